"""Simulated cohorts have the frequencies, relatedness, linkage and variances that were asked for."""

import dataclasses
import time

import numpy as np
import pytest

import lmm_teach as lt
from lmm_teach.simulate import CHROMOSOME, cohort


def correlations(G):
    return np.corrcoef(G, rowvar=False)


def test_frequencies_are_those_of_the_populations():
    c = cohort(6000, 40, seed=1, populations=3, fst=0.1, siblings=1, ld=0.5)
    for k in range(3):
        p = c.frequency[k]
        seen = c.G[c.population == k]
        assert len(seen) == 2000
        # binomial counts of 4,000 alleles: 5 standard errors
        np.testing.assert_array_less(
            np.abs(seen.mean(axis=0) / 2 - p), 5 * np.sqrt(p * (1 - p) / 4000) + 1e-9
        )
    assert set(np.unique(c.G)) == {0.0, 1.0, 2.0}


def test_genotypes_within_a_population_are_in_hardy_weinberg_proportion():
    c = cohort(5000, 60, seed=2, ld=0.3)
    p = c.frequency[0]
    np.testing.assert_allclose(c.G.var(axis=0), 2 * p * (1 - p), rtol=0.12)
    assert c.G.var(axis=0).sum() == pytest.approx((2 * p * (1 - p)).sum(), rel=0.02)


@pytest.mark.parametrize("fst", [0.02, 0.1, 0.4])
def test_fst(fst):
    """Hudson's estimator with known frequencies: (p1 - p2)² / (p1 (1 - p2) + p2 (1 - p1)), ratio of sums."""
    p, q = cohort(4, 20000, seed=3, populations=2, fst=fst).frequency
    assert ((p - q) ** 2).sum() / (p * (1 - q) + q * (1 - p)).sum() == pytest.approx(fst, rel=0.05)


def test_one_population_or_no_fst_means_no_drift():
    p = cohort(10, 50, seed=4, populations=2, fst=0).frequency
    np.testing.assert_array_equal(p[0], p[1])
    np.testing.assert_array_equal(p[0], cohort(10, 50, seed=4).frequency[0])
    assert 0.1 <= p.min() <= p.max() <= 0.9


def test_siblings_share_half_and_others_nothing():
    c = cohort(300, 6000, seed=5, siblings=3, chromosomes=20)
    p = c.frequency[0]
    K = (
        (c.G - 2 * p) @ ((c.G - 2 * p) / (2 * p * (1 - p))).T / 6000
    )  # known frequencies: expectation 1, 1/2 and 0
    same = c.family[:, None] == c.family
    off = ~np.eye(300, dtype=bool)
    assert np.bincount(c.family).tolist() == [3] * 100
    assert K[~off].mean() == pytest.approx(1, abs=0.02)
    assert K[same & off].mean() == pytest.approx(0.5, abs=0.02)
    assert K[~same].mean() == pytest.approx(0, abs=0.01)


def test_siblings_share_segments_that_end():
    """Of two gametes of a parent, Haldane: the chance to agree in origin at distance d is ½(1 + e^(-4d))."""
    c = cohort(8000, 30, seed=6, siblings=2, chromosomes=1)
    p = c.frequency[0]
    Z = (c.G - 2 * p) / np.sqrt(2 * p * (1 - p))
    product = (
        Z[::2] * Z[1::2]
    )  # (pairs, s), mean 1/2; correlated along the chromosome through shared segments
    shared = np.cov(product, rowvar=False)
    distance = np.abs(np.subtract.outer(c.position, c.position)) / CHROMOSOME
    near, far = (distance > 0) & (distance < 0.1), distance > 0.6
    # IBD of a parent's two gametes has variance 1/4; Z Z' = the mean of two such, so cov = (1/8) e^(-4d)
    assert shared[near].mean() == pytest.approx((np.exp(-4 * distance[near]) / 8).mean(), abs=0.015)
    assert shared[far].mean() == pytest.approx((np.exp(-4 * distance[far]) / 8).mean(), abs=0.015)


def test_linkage_decays_with_distance_and_stops_at_chromosomes():
    c = cohort(4000, 300, seed=7, chromosomes=3, ld=0.9)
    r = correlations(c.G)
    same = c.chrom[:, None] == c.chrom
    steps = np.abs(np.subtract.outer(np.arange(300), np.arange(300)))
    mean = [r[same & (steps == k)].mean() for k in (1, 3, 10, 40)]
    assert mean[0] > 0.5
    assert mean[0] > mean[1] > mean[2] > 0.05
    assert abs(mean[3]) < 0.02
    # sampling correlations of 4,000 unlinked individuals: standard deviation 1/√4000
    assert r[~same].std() == pytest.approx(4000**-0.5, rel=0.1)
    assert abs(r[~same].mean()) < 0.002


def test_without_ld_neighbours_are_independent():
    r = correlations(cohort(4000, 100, seed=8, chromosomes=2).G)
    assert r[~np.eye(100, dtype=bool)].std() == pytest.approx(4000**-0.5, rel=0.1)


def test_the_map():
    c = cohort(4, 103, seed=9, chromosomes=5)
    assert np.bincount(c.chrom)[1:].tolist() in (
        [21, 21, 20, 21, 20],
        [21, 20, 21, 20, 21],
        [21, 21, 21, 20, 20],
    )
    for k in range(1, 6):
        here = c.position[c.chrom == k]
        assert (np.diff(here) >= 0).all()
        assert 1 <= here[0] <= here[-1] < CHROMOSOME


@pytest.mark.parametrize("h2", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("causal", [None, 20, [3, 1, 70]])
def test_variances(h2, causal):
    c = cohort(4000, 80, seed=10, h2=h2, causal=causal, covariates=2)
    assert (c.sigma2_g, c.sigma2_e, c.h2) == pytest.approx((h2, 1 - h2, h2), abs=1e-15)
    assert c.g.var() == pytest.approx(h2, abs=1e-12)
    noise = c.y - c.X @ c.alpha - c.g
    assert noise.var() == pytest.approx(1 - h2, rel=0.1, abs=1e-12)
    centred = c.G[:, c.causal] - c.G[:, c.causal].mean(axis=0)
    np.testing.assert_allclose(centred @ c.beta, c.g, atol=1e-12)
    assert c.alpha.tolist() == [0, 0.5, 0.5]
    assert (c.X[:, 0] == 1).all()
    assert len(c.causal) == {None: 80, 20: 20}.get(causal if not isinstance(causal, list) else 0, 3)


def test_given_effects_are_used_as_they_are():
    c = cohort(500, 50, seed=11, causal=[7, 2], effects=[0.5, -1.0], h2=0.2)
    assert c.causal.tolist() == [7, 2]
    assert c.beta.tolist() == [0.5, -1.0]
    raw = 0.5 * c.G[:, 7] - c.G[:, 2]
    np.testing.assert_allclose(c.g, raw - raw.mean(), atol=1e-13)
    assert c.sigma2_g == pytest.approx(raw.var())
    assert c.h2 == pytest.approx(0.2)


def test_the_shift_separates_populations_and_nothing_else():
    plain = cohort(900, 40, seed=12, populations=3)
    moved = cohort(900, 40, seed=12, populations=3, shift=2.0)
    np.testing.assert_allclose(moved.y - plain.y, moved.population * 1.0, atol=1e-12)


def test_the_spectral_fit_recovers_h2():
    c = cohort(1500, 3000, seed=13, siblings=5, h2=0.6)
    fit = lt.LMM(lt.decompose_snps(lt.standardize(c.G) / np.sqrt(3000)), c.X, c.y).fit(reml=True)
    assert fit.h2 == pytest.approx(0.6, abs=0.12)


def test_missing_genotypes():
    full, c = cohort(400, 200, seed=14), cohort(400, 200, seed=14, missing=0.1)
    gone = np.isnan(c.G)
    assert gone.mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(c.G[~gone], full.G[~gone])
    np.testing.assert_array_equal(c.y, full.y)


def test_the_seed_decides_everything_and_no_global_state_is_touched():
    options = {"populations": 2, "siblings": 2, "ld": 0.5, "covariates": 1, "missing": 0.1}
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (cohort(60, 40, seed=15, **options) for _ in "12")
    other = cohort(60, 40, seed=16, **options)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert not np.array_equal(one.G, other.G, equal_nan=True)
    trait = cohort(60, 40, seed=15, **options | {"h2": 0.1, "causal": 5, "covariates": 3})
    np.testing.assert_array_equal(trait.G, one.G)


def test_a_large_cohort_is_quick():
    begun = time.process_time()
    assert cohort(2000, 10000, seed=17, ld=0.8, siblings=2).G.shape == (2000, 10000)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(("bad", "message"), [
    ({"n": 0}, "n must be .* at least 1, but is 0"), ({"n": 2.5}, "n must be .* but is 2.5"),
    ({"s": -1}, "s must be"), ({"seed": -1}, "seed must be"), ({"seed": None}, "seed must be"),
    ({"seed": True}, "seed must be"), ({"populations": 0}, "populations must be"),
    ({"siblings": 0}, "siblings must be"), ({"chromosomes": 0}, "chromosomes must be"),
    ({"covariates": -1}, "covariates must be"), ({"fst": 1}, "fst must be from 0 to below 1, but is 1"),
    ({"fst": float("nan")}, "fst must be"), ({"ld": 1.0}, "ld must be"), ({"ld": -0.1}, "ld must be"),
    ({"missing": 1}, "missing must be"), ({"h2": 1.1}, "h2 must be from 0 to 1, but is 1.1"),
    ({"shift": 1.0}, "shift = 1.0 .* more than one population"),
    ({"shift": float("inf"), "populations": 2}, "shift = inf"),
    ({"populations": 9, "siblings": 5}, "8 families cannot fill 9 populations"), ({"chromosomes": 31}, "30 SNPs 31"),
    ({"causal": 31}, "causal = 31, but only 30 SNPs vary"), ({"causal": 0}, "genetic variance of 0 causal SNPs is 0"),
    ({"causal": [1, 1]}, "different columns from 0 to 29"), ({"causal": [30]}, "different columns"),
    ({"causal": 2, "effects": [1.0]}, "effects must be 2 finite numbers"),
    ({"causal": 1, "effects": [float("nan")]}, "effects must be 1 finite"),
    ({"causal": 1, "effects": [1.0], "h2": 0}, "h2 = 0, but the genetic variance of 1 causal"),
    ({"causal": 1, "effects": [0.0]}, "genetic variance of 1 causal SNPs is 0"),
])  # fmt: skip
def test_bad_input(bad, message):
    with pytest.raises(ValueError, match=message):
        cohort(**{"n": 40, "s": 30, "seed": 1} | bad)
