"""`kinship` against the definitions, column by column."""

import numpy as np
import pytest

import lmm_teach as lt

G = np.array([[0, 1, 2, 1, np.nan], [1, np.nan, 2, 0.1, np.nan], [2, 0, 2, 0.1, np.nan], [1, 2, 2, 0.1, np.nan]])


def test_each_column_is_imputed_centred_and_scaled():
    Z = lt.standardize(G)
    np.testing.assert_allclose(Z[:, 0], np.array([-1, 0, 1, 0]) / np.sqrt(0.5))
    np.testing.assert_allclose(Z[:, 1], np.array([0, 0, -1, 1]) / np.sqrt(0.5))  # missing = mean = 0
    np.testing.assert_array_equal(Z[:, [2, 4]], 0.0)  # constant, and missing in everybody
    np.testing.assert_allclose(Z[:, [0, 1, 3]].mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(Z[:, [0, 1, 3]].var(axis=0), 1)


def test_a_column_equal_up_to_rounding_counts_as_constant():
    x = np.full((3, 1), 0.1)
    assert x.std() > 0  # rounding: the mean of three 0.1 is not 0.1
    np.testing.assert_array_equal(lt.standardize(x), 0.0)


def test_summary_counts():
    snps = lt.summarize_snps(G)
    np.testing.assert_array_equal(snps.missing, [0, 1, 0, 0, 4])
    np.testing.assert_array_equal(snps.constant, [False, False, True, False, True])
    np.testing.assert_allclose(snps.mean[:3], [1, 1, 2])
    assert np.isnan(snps.mean[4])
    np.testing.assert_allclose(snps.sd[:3], [np.sqrt(0.5), np.sqrt(0.5), 0])


def test_constant_means_one_genotype_in_that_snp():
    """Neither the largest nor the smallest of the sample, and spread by rounding alone or seen only once."""
    snps = lt.summarize_snps([[1, 0.1, np.nan, 0, 3], [1, 0.1, 2, 2, 0], [1, 0.1, np.nan, 1, 0]])
    np.testing.assert_array_equal(snps.constant, [True, True, True, False, False])
    np.testing.assert_array_equal(snps.sd[:3], 0.0)
    np.testing.assert_allclose(snps.mean, [1, 0.1, 2, 1, 1])
    np.testing.assert_allclose(snps.sd[3:], np.sqrt([2 / 3, 2]))


def test_kinship_is_the_average_outer_product_with_trace_n():
    rng = np.random.default_rng(1)
    Z = lt.standardize(rng.binomial(2, 0.4, (20, 50)))
    K = lt.kinship(Z)
    np.testing.assert_allclose(K, sum(np.outer(z, z) for z in Z.T) / 50, atol=1e-14)
    assert np.trace(K) == pytest.approx(20, abs=1e-12)
    for factor in (7, 1e-9):
        np.testing.assert_allclose(lt.scale_kinship(factor * K), K, atol=1e-13)


def test_inputs_are_not_changed():
    before = G.copy()
    lt.standardize(G)
    lt.summarize_snps(G)
    np.testing.assert_array_equal(G, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.standardize(np.zeros(3)), r"^G must be 2-d.*\(3,\)"),
        (lambda: lt.summarize_snps(np.zeros(3)), "^G must be 2-d"),
        (lambda: lt.standardize(np.zeros((0, 3))), "no rows"),
        (lambda: lt.standardize([[1.0, np.inf]]), "0 NaN and 1 infinite"),
        (lambda: lt.standardize([["a", "b"]]), "not an array of numbers"),
        (lambda: lt.standardize(np.ones((2, 2)) * 1j), "complex"),
        (lambda: lt.kinship([[1.0, np.nan]]), "^Z holds 1 NaN"),
        (lambda: lt.kinship(np.zeros((3, 0))), "at least one SNP"),
        (lambda: lt.scale_kinship(np.zeros(4)), "^K must be 2-d"),
        (lambda: lt.scale_kinship(np.zeros((2, 3))), "square"),
        (lambda: lt.scale_kinship(np.zeros((2, 2))), "trace 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
