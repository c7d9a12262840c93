"""Leaving chromosomes out against recomputation and FaST-LMM; windows that stay on their chromosome."""

import numpy as np
import pytest
from golden import genotypes, table

import lmm_teach as lt
from lmm_teach import simulate


def test_loco_is_a_scan_per_chromosome():
    people = simulate.cohort(80, 300, seed=1, chromosomes=3, siblings=4)
    G = people.G.copy()
    G[:, 5] = 1.0  # constant: tells nothing, and does not count
    G[3, 100:120] = np.nan
    X = np.column_stack([np.ones(80), np.arange(80.0) % 2])
    order = np.random.default_rng(2).permutation(300)
    for options in ({}, {"refit": False}, {"test": "score"}):
        r = lt.loco(G[:, order], people.chrom[order], X, people.y, **options)
        for c in (1, 2, 3):
            others = lt.standardize(G[:, (people.chrom != c) & ~lt.summarize_snps(G).constant])
            spec = lt.decompose_kinship(lt.kinship(others))
            want = lt.scan(G[:, people.chrom == c], X, people.y, spec, **options)
            here = np.argsort(order)[people.chrom == c]
            np.testing.assert_allclose(r.p[here], want.p, rtol=1e-6)
            np.testing.assert_allclose(r.beta[here], want.beta, rtol=1e-6, atol=1e-9)
            assert r.reason[here].tolist() == want.reason.tolist()
            assert r.missing[here].tolist() == want.missing.tolist()
            assert r.nulls[str(c)].h2 == pytest.approx(want.null.h2, abs=1e-8)
    assert (r.reason == "constant").sum() == 1 and r.null is None


def test_two_chromosomes_suffice_and_each_is_reported(terminal):
    people = simulate.cohort(40, 60, seed=1, chromosomes=2)
    calls = []
    r = lt.loco(people.G, people.chrom, np.ones((40, 1)), people.y, progress=lambda *done: calls.append(done))
    assert calls == [(30, 60), (60, 60)] and terminal.getvalue() == ""
    assert r.dof == 38 and np.isfinite(r.p).all()
    lt.loco(people.G, people.chrom, np.ones((40, 1)), people.y)
    assert terminal.getvalue() == "\r30 of 60 SNPs\r60 of 60 SNPs\n"  # and no word from the scan of a chromosome


def test_loco_agrees_with_fastlmm():
    """fastlmm 0.6.13, single_snp with leave-one-chromosome-out, HS1940 CD8: δ fixed per chromosome, the same F."""
    people, phenotype = genotypes("hs_n1")
    found = lt.plink.analysed(people.G, phenotype, standardised=False)
    chrom, names = people.chrom[found.snps], people.snp[found.snps].tolist()
    G = people.G[np.ix_(found.individuals, found.snps)]
    r = lt.loco(G, chrom, np.ones((len(found.y), 1)), found.y, refit=False)
    rows = table("fastlmm_hs1940_cd8_loco")
    at = [names.index(row["SNP"]) for row in rows]
    columns = ("PValue", "beta_allele", "se_allele", "Nullh2")
    theirs = {key: np.array([float(row[key]) for row in rows]) for key in columns}
    assert len(rows) > 250
    np.testing.assert_allclose(r.log10_p[at], np.log10(theirs["PValue"]), atol=1e-6)
    np.testing.assert_allclose(r.se[at], theirs["se_allele"], rtol=1e-7)
    # FaST-LMM counts the other allele, so the sign of beta differs
    np.testing.assert_allclose(np.abs(r.beta[at]), np.abs(theirs["beta_allele"]), atol=1e-6 * theirs["se_allele"].min())
    np.testing.assert_allclose([r.nulls[chrom[j]].h2 for j in at], theirs["Nullh2"], atol=1e-7)


def test_windows_stay_on_their_chromosome():
    chrom, position = np.array([1, 1, 1, 2, 2]), np.array([10, 50, 900, 40, 60])
    assert lt.window(chrom, position, 1, 40).tolist() == [0, 1]
    assert lt.window(chrom, position, 3, 20).tolist() == [3, 4]
    assert lt.window(chrom, position, 2, 0).tolist() == [2]
    assert lt.window(chrom.astype(str), position, 0, 10**9).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.window([1, 1], [3], 0, 5), "one length"),
        (lambda: lt.window([1, 1], [3, 4], 2, 5), "no index of 2"),
        (lambda: lt.window([1, 1], [3, 4], 0, -1), "0 or more"),
        (lambda: lt.loco(np.ones(4), [1, 2, 3, 4], np.ones((4, 1)), np.arange(4.0)), "^snps must be 2-d"),
        (lambda: lt.loco(np.eye(4), [1, 1, 1], np.ones((4, 1)), np.arange(4.0)), "there are 4 SNPs"),
        (lambda: lt.loco(np.eye(4), [1, 1, 1, 1], np.ones((4, 1)), np.arange(4.0)), "fewer than two chromosomes"),
        (lambda: lt.loco(np.column_stack([np.eye(4)[:, :2], np.ones(4)]), [1, 1, 2], np.ones((4, 1)), np.arange(4.0)),
         "fewer than two chromosomes"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
