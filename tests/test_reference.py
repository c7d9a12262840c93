"""The golden problems are the ones the reference programs saw; GEMMA's, BOLT's and lme4's null models are ours."""

import re
from pathlib import Path

import numpy as np
import pytest
from golden import REFERENCE, genotypes, problem, table

import lmm_teach as lt
from lmm_teach import data


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


@pytest.mark.parametrize("name", ["hs_n1", "hs_n6"])
def test_bolt_estimates_our_null_model(name):
    """BOLT's kinship: all SNPs that vary, standardised. Its h² comes from 15 random phenotypes, hence the tolerance."""
    (row,) = (row for row in table("bolt_null") if row["data"] == name)
    people, y = genotypes(name)
    there = ~np.isnan(y)
    G, y = people.G[there], y[there]
    varying = G[:, ~lt.summarize_snps(G).constant]
    assert (int(row["n"]), int(row["snps"])) == varying.shape
    fit = lt.LMM(lt.decompose_kinship(lt.kinship(lt.standardize(varying))), np.ones((len(y), 1)), y).fit(reml=True)
    assert float(row["h2g"]) == pytest.approx(fit.h2, abs=0.02)
    assert 1 / (1 + np.exp(float(row["log_delta"]))) == pytest.approx(float(row["h2g"]), abs=0.0005)
    assert float(row["sigma2_K"]) == pytest.approx(fit.sigma2_g, rel=0.05)


def groups(name):
    """y, X and group of the table of lme4."""
    if name == "anova":
        return np.array([1.0, 2, 4, 6, 8, 9]), np.ones((6, 1)), np.array([0, 0, 1, 1, 2, 2])
    people, y = genotypes("hs_n1")
    fam = (data.hs1940().folder / "mouse_hs1940.fam").read_text().splitlines()
    sex = np.array([float(line.split()[4]) for line in fam])
    there = ~np.isnan(y)
    return y[there], np.column_stack([np.ones(there.sum()), sex[there]]), people.sibship[there]


@pytest.mark.parametrize("name", ["hs_n1", "anova"])
def test_a_random_intercept_per_group_is_lme4s_model(name):
    """K = ZZᵀ of the groups' indicators: σ_g² is the variance of the intercepts, σ_e² of the residuals.

    lme4 takes REML as the density of y with β integrated out, ours as that of n - d orthonormal contrasts of y:
    the two differ by ½ log|XᵀX|, which no parameter changes.
    """
    y, X, group = groups(name)
    Z = (group[:, None] == np.unique(group)).astype(float)
    model = lt.LMM(lt.decompose_kinship(Z @ Z.T), X, y)
    rows = [row for row in table("lme4") if row["data"] == name]
    assert {row["mode"] for row in rows} == {"REML", "ML"}
    for row in rows:
        reml = row["mode"] == "REML"
        assert (int(row["n"]), int(row["groups"])) == Z.shape
        fit = model.fit(reml=reml)
        shift = 0.5 * np.linalg.slogdet(X.T @ X)[1] if reml else 0.0
        assert float(row["loglik"]) == pytest.approx(-fit.nll - shift, abs=1e-7)
        found = [float(row[key]) for key in ("vg", "ve", "beta0", "beta1") if row[key]]
        assert found == pytest.approx([fit.sigma2_g, fit.sigma2_e, *fit.beta], rel=1e-6)
        if name == "anova":  # mean squares: 49 between two degrees of freedom, 3 within three
            between = 49 / 2 if reml else 49 / 3
            assert (fit.sigma2_g, fit.sigma2_e) == pytest.approx(((between - 1) / 2, 1.0), rel=1e-9)


def test_every_golden_table_is_read_by_a_test_or_a_chapter_and_all_together_are_small():
    tables = list((REFERENCE / "golden").glob("*.csv"))
    tests = Path(__file__).parent
    book = tests.parent / "book"
    readers = [*tests.glob("test_*.py"), *book.glob("*.ipynb"), *book.glob("_ext/*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in readers)
    assert [path.stem for path in tables if not re.search(rf'"{path.stem}(\.csv)?\\?"', text)] == []
    assert sum(path.stat().st_size for path in tables) < 300_000
