"""`spectrum`: whatever the route, U diag(S) Uᵀ must be K."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmm_teach as lt


def snps(n, s, seed=0):
    rng = np.random.default_rng(seed)
    return lt.standardize(rng.normal(size=(n, s))) / np.sqrt(s)


def assert_decomposes(spec, K, rank):
    scale = np.abs(K).max()
    np.testing.assert_allclose((spec.U * spec.S) @ spec.U.T, K, atol=1e-12 * scale)
    np.testing.assert_allclose(spec.U.T @ spec.U, np.eye(spec.k), atol=1e-12)
    assert spec.k == rank
    assert (spec.S > 0).all()
    assert (np.diff(spec.S) <= 0).all()


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 25), s=st.integers(1, 60), seed=st.integers(0, 10**6), scale=st.sampled_from([1e-20, 1, 1e6]))
def test_snps_and_kinship_give_the_same_matrix(n, s, seed, scale):
    G = scale * snps(n, s, seed)
    rank = min(n - 1, s)  # centred columns cannot reach the direction of the ones
    assert_decomposes(lt.decompose_snps(G), G @ G.T, rank)
    assert_decomposes(lt.decompose_kinship(G @ G.T), G @ G.T, rank)


def test_full_rank_without_centring():
    G = np.random.default_rng(2).normal(size=(12, 30))
    spec = lt.decompose_snps(G)
    assert_decomposes(spec, G @ G.T, 12)
    assert spec.clipped == 0.0


def test_zero_columns_and_a_zero_matrix():
    G = snps(10, 4)
    assert_decomposes(lt.decompose_snps(np.hstack([G, np.zeros((10, 2))])), G @ G.T, 4)
    assert lt.decompose_snps(np.zeros((10, 2))).k == 0
    assert lt.decompose_snps(np.zeros((10, 0))).k == 0
    assert lt.decompose_kinship(np.zeros((10, 10))).k == 0


@pytest.mark.parametrize("a2", [0, 0.3, 1])
@pytest.mark.parametrize(("s0", "s1"), [(4, 5), (30, 3), (30, 40)])
def test_mixing(a2, s0, s1):
    G0, G1 = snps(20, s0, 1), snps(20, s1, 2)
    K = (1 - a2) * G0 @ G0.T + a2 * G1 @ G1.T
    by_snps = lt.decompose_snps(G0, G1, a2)
    by_kinship = lt.decompose_kinship(G0 @ G0.T, G1 @ G1.T, a2)
    assert_decomposes(by_snps, K, np.linalg.matrix_rank(K))
    assert_decomposes(by_kinship, K, by_snps.k)


def test_only_a_negative_eigenvalue_beyond_rounding_is_shown():
    """Three eigenvalues of one size: n eps is 6.7e-16 of it, whatever the unit of K."""
    for scale in (1e-9, 1.0, 1e9):
        for clipped, shown in ((0.0, ""), (-6e-16, ""), (-8e-16, f", clipped {-8e-16 * scale:.1e}")):
            spec = lt.Spectrum(np.eye(3), np.full(3, scale), clipped * scale)
            assert repr(spec) == f"Spectrum(n=3, rank 3{shown})"
    assert repr(lt.decompose_kinship(np.zeros((4, 4)))) == "Spectrum(n=4, rank 0)"


@pytest.mark.parametrize("digits", [8, 9, 12])
def test_a_kinship_from_a_text_file_keeps_its_rank(digits):
    """Rounding entries scatters the zero eigenvalues to both sides; neither side is rank."""
    G = snps(60, 20)
    K = np.array([[float(f"{entry:.{digits}f}") for entry in row] for row in G @ G.T])
    spec = lt.decompose_kinship(K)
    assert spec.k == 20
    assert spec.clipped < -(10.0 ** -(digits + 1))


def test_a_kinship_in_single_precision_is_accepted():
    rng = np.random.default_rng(0)
    Z = lt.standardize(rng.binomial(2, rng.uniform(0.1, 0.9, 200), size=(300, 200))).astype(np.float32)
    spec = lt.decompose_kinship(Z @ Z.T / np.float32(200))  # 100 zeros, each with an error of either sign
    assert spec.clipped < -1e-8
    np.testing.assert_allclose((spec.U * spec.S) @ spec.U.T, Z.astype(float) @ Z.T.astype(float) / 200, atol=1e-5)


def test_a_kernel_of_weight_zero_does_not_choose_the_route():
    """At a2 = 1 only the few SNPs of G1 count, so tiny singular values survive as they do without G0."""
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.normal(size=(rows, 4)))[0] for rows in (30, 4))
    graded = (left * [1, 1e-3, 1e-6, 1e-9]) @ right.T
    assert lt.decompose_snps(rng.normal(size=(30, 50)), graded, 1.0).k == lt.decompose_snps(graded).k == 4


def test_inputs_are_not_changed():
    K0, K1 = np.eye(4) * 2, np.ones((4, 4))
    before = K0.copy(), K1.copy()
    lt.decompose_kinship(K0, K1, 0.5)
    np.testing.assert_array_equal(K0, before[0])
    np.testing.assert_array_equal(K1, before[1])


BENT = np.eye(3) + np.array([[0, 1e-3, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.decompose_kinship(np.ones((3, 2))), r"^K0 must be square.*\(3, 2\)"),
        (lambda: lt.decompose_kinship(BENT), r"^K0 is not symmetric.*0\.001"),
        (lambda: lt.decompose_kinship(np.full((2, 2), np.nan)), "^K0 holds 4 NaN"),
        (lambda: lt.decompose_kinship(np.eye(3), np.ones((3, 2)), 0.5), "^K1 must be square"),
        (lambda: lt.decompose_kinship(np.eye(3), np.eye(4), 0.5), r"\(3, 3\) and K1 is \(4, 4\)"),
        (lambda: lt.decompose_kinship(np.eye(3), None, 0.5), "K1 was not passed"),
        (lambda: lt.decompose_kinship(np.eye(3), np.eye(3), 1.5), r"a2 = 1.5 is not between"),
        (lambda: lt.decompose_kinship(np.eye(3), np.eye(3), np.nan), "a2 = nan"),
        (lambda: lt.decompose_snps(np.eye(3), np.eye(4), 0.5), "^G1 has 4 rows, but there are 3"),
        (lambda: lt.decompose_snps(np.eye(3), None, 0.2), "G1 was not passed"),
        (lambda: lt.decompose_snps(np.eye(3), np.eye(3), -0.1), "a2 = -0.1"),
        (lambda: lt.decompose_snps(np.array([[1.0, np.inf]])), "^G0 holds 0 NaN and 1 infinite"),
        (lambda: lt.decompose_snps(np.zeros(3)), "2-d"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("unit", [1e-120, 1e120])
def test_a_kinship_is_in_squared_units(unit):
    G = np.random.default_rng(3).normal(size=(12, 30))
    spec, scaled = (lt.decompose_kinship(c * G @ G.T) for c in (1.0, unit))
    np.testing.assert_allclose(scaled.S, unit * spec.S, rtol=1e-12)
