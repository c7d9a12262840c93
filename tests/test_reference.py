"""The golden problems are the ones the reference programs saw, and GEMMA's null models are ours."""

import numpy as np
import pytest
from golden import genotypes, problem, table

import lmm_teach as lt


@pytest.mark.parametrize("kinship", ["Kc", "Ks"])
@pytest.mark.parametrize("name", ["hs_n1", "hs_n6", "synth"])
def test_gemma_logs_the_same_null_model(name, kinship):
    """Six printed digits of the likelihoods, the variance components and the share of variance explained."""
    (row,) = (row for row in table("gemma_null") if (row["data"], row["K"]) == (name, kinship))
    p = problem(name, kinship)
    assert (row["n"], row["snps"]) == (str(len(p.y)), str(p.snps))
    m = lt.LMM(lt.decompose_kinship(p.K), p.X, p.y)
    reml, ml = m.fit(reml=True), m.fit(reml=False)
    genetic = reml.sigma2_g * np.trace(p.K) / len(p.K)
    ours = {"logl_reml": -reml.nll, "logl_ml": -ml.nll, "vg": reml.sigma2_g, "ve": reml.sigma2_e,
            "pve": genetic / (genetic + reml.sigma2_e)}  # fmt: skip
    if (name, kinship) == (
        "synth",
        "Ks",
    ):  # ML has no bound as h2 -> 1, so GEMMA stops at its own: lambda = 1e5
        assert float(row["logl_ml"]) > -ml.nll + 1
        ours["logl_ml"] = -m.evaluate(delta=1e-5, reml=False).nll
    for key, value in ours.items():
        # GEMMA stops at a relative step of 1e-5 in lambda, which moves vg and ve by a share of that
        assert float(row[key]) == pytest.approx(value, rel=1e-5 if key in ("vg", "ve") else 5e-6), key


def test_the_synth_set():
    people, y = genotypes("synth")
    assert people.G.shape == (500, 5000)
    assert dict(zip(*np.unique(people.chrom, return_counts=True), strict=True)) == {
        str(c): 1000 for c in range(1, 6)
    }
    assert (y.mean(), y.var()) == pytest.approx((0, 1), abs=1e-9)
    assert {str(allele) for allele in np.concatenate((people.a1, people.a2))} == {"1", "2"}
