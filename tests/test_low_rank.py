"""Fewer SNPs than individuals: memory that grows like n, and columns that come and go without a new decomposition."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmm_teach as lt
from lmm_teach import dense
from lmm_teach.update import absorb

SNPS, COVARIATES = 50, 3


def tall(n, seed=1):
    """Scaled G (n, 50) of independent SNPs, X (n, 3), y (n,)."""
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, SNPS))) / np.sqrt(SNPS)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, COVARIATES - 1))])
    return G, X, G @ rng.normal(size=SNPS) + rng.normal(size=n)


def peak_bytes(call):
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_nothing_grows_faster_than_n():
    """Peaks in arrays of n by k numbers; an n by n matrix would be 400 of them."""
    G, X, y = tall(20_000)
    spec = lt.decompose_snps(G)
    m = lt.LMM(spec, X, y)
    assert m.k == SNPS
    assert peak_bytes(lambda: lt.decompose_snps(G)) < 6 * G.nbytes
    assert peak_bytes(lambda: lt.LMM(spec, X, y)) < 1.0 * G.nbytes
    assert peak_bytes(lambda: m.evaluate(h2=0.5, reml=True)) < 0.01 * G.nbytes
    assert peak_bytes(lambda: m.evaluate(h2=0.5, reml=True, exclude=G[:, :5])) < 1.0 * G.nbytes


def test_an_evaluation_does_not_know_n():
    """Same rank, 20 times the individuals: the same arrays, and the same bytes to a few hundred."""
    few, many = (lt.LMM(lt.decompose_snps(G), X, y) for G, X, y in (tall(1_000), tall(20_000)))
    pairs = (COVARIATES + 1) * (COVARIATES + 2) // 2
    assert few._products.shape == many._products.shape == (SNPS, pairs)
    assert few._outside.shape == many._outside.shape == (pairs,)
    for call in (lambda m: m.evaluate(h2=0.5, reml=True), lambda m: m.fit(reml=True)):
        call(few)  # whatever is allocated once only
        assert peak_bytes(lambda c=call: c(many)) < 1.2 * peak_bytes(lambda c=call: c(few)) + 2_000


@settings(deadline=None, max_examples=60)
@given(n=st.integers(8, 40), seed=st.integers(0, 10**6), data=st.data())
def test_the_likelihood_by_eigenvectors_is_woodburys(n, seed, data):
    """From the s by s matrix GᵀG + δI alone; with SNPs that occur twice the eigenvectors are fewer than the SNPs."""
    s = data.draw(st.integers(1, n - 4))
    twice = data.draw(st.integers(0, s))
    delta = data.draw(st.sampled_from([0.03, 1.0, 20.0]))
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(n, s))
    G = np.hstack([G, G[:, :twice]])
    X, y = np.column_stack([np.ones(n), rng.normal(size=n)]), rng.normal(size=n)
    A, columns = np.column_stack([X, y]), G.shape[1]
    small, across = G.T @ G + delta * np.eye(columns), G.T @ A
    T = (A.T @ A - across.T @ np.linalg.solve(small, across)) / delta
    q = T[2, 2] - T[2, :2] @ np.linalg.solve(T[:2, :2], T[:2, 2])
    logdet = np.linalg.slogdet(small)[1] + (n - columns) * np.log(delta)
    ml = 0.5 * (logdet + n * (np.log(2 * np.pi * q / n) + 1))
    logdet += np.linalg.slogdet(T[:2, :2])[1] - np.linalg.slogdet(X.T @ X)[1]
    reml = 0.5 * (logdet + (n - 2) * (np.log(2 * np.pi * q / (n - 2)) + 1))
    spec = lt.decompose_snps(G)
    m = lt.LMM(spec, X, y)
    assert m.k == s
    assert m.evaluate(delta=delta, reml=False).nll == pytest.approx(ml, abs=1e-8)
    assert m.evaluate(delta=delta, reml=True).nll == pytest.approx(reml, abs=1e-8)
    # An eigenvalue of the size of rounding, kept with its direction, is as good as one left out.
    U = np.hstack([spec.U, np.linalg.qr(np.hstack([spec.U, rng.normal(size=(n, 1))]))[0][:, -1:]])
    kept = lt.LMM(lt.Spectrum(U, np.append(spec.S, 1e-15)), X, y)
    assert kept.evaluate(delta=delta, reml=True).nll == pytest.approx(reml, abs=1e-8)


def inner(M, A, W):
    """Inner products of the columns of A, and after them of W, under the inverse of M."""
    columns = np.hstack([A, W])
    return columns.T @ np.linalg.solve(M, columns)


@settings(deadline=None, max_examples=200)
@given(n=st.integers(3, 25), p=st.integers(1, 4), r=st.integers(1, 6), seed=st.integers(0, 10**6),
       h2=st.sampled_from([0.05, 0.4, 0.9]), sign=st.sampled_from([1, -1]))  # fmt: skip
def test_absorbing_is_recomputation(n, p, r, seed, h2, sign):
    """Any columns may be added; those of K may be taken away, all of them too."""
    rng = np.random.default_rng(seed)
    W, rest, A = rng.normal(size=(n, r)), rng.normal(size=(n, 4)), rng.normal(size=(n, p))
    K = rest @ rest.T + (W @ W.T if sign < 0 else 0)
    M, changed = dense.covariance(K, h2=h2), dense.covariance(K + sign * W @ W.T, h2=h2)
    B, logdet = absorb(inner(M, A, W), r, h2, sign)
    np.testing.assert_allclose(B, A.T @ np.linalg.solve(changed, A), rtol=1e-7, atol=1e-9)
    assert logdet == pytest.approx(np.linalg.slogdet(changed)[1] - np.linalg.slogdet(M)[1], abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(3, 25), r=st.integers(1, 6), seed=st.integers(0, 10**6), first=st.sampled_from([1, -1]))
def test_there_and_back_is_the_identity(n, r, seed, first):
    rng = np.random.default_rng(seed)
    W, A = rng.normal(size=(n, r)), rng.normal(size=(n, 3))
    M = dense.covariance(W @ W.T, h2=0.5)
    start = inner(M, np.hstack([A, W]), W)  # W twice: once to go, once to come back
    B, there = absorb(start, r, 0.5, first)
    B, back = absorb(B, r, 0.5, -first)
    np.testing.assert_allclose(B, A.T @ np.linalg.solve(M, A), rtol=1e-7, atol=1e-9)
    assert there + back == pytest.approx(0, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(4, 25), s=st.integers(1, 40), seed=st.integers(0, 10**6), h2=st.sampled_from([0.1, 0.5, 0.9]))
def test_without_all_its_snps_the_model_is_linear_regression(n, s, seed, h2):
    """M becomes (1 - h²) I: ordinary least squares, whatever h², and a capacitance with the eigenvalues δ / (S + δ)."""
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(n, s)) / np.sqrt(s)
    X, y = np.ones((n, 1)), rng.normal(size=n)
    M = dense.covariance(G @ G.T, h2=h2)
    B, logdet = absorb(inner(M, np.column_stack([X, y]), G), s, h2, -1)
    A = np.column_stack([X, y])
    np.testing.assert_allclose(B, A.T @ A / (1 - h2), rtol=1e-7)
    assert np.linalg.slogdet(M)[1] + logdet == pytest.approx(n * np.log(1 - h2), abs=1e-8)
    spec, delta = lt.decompose_snps(G), (1 - h2) / h2
    capacitance = np.linalg.eigvalsh(np.eye(s) - h2 * G.T @ np.linalg.solve(M, G))
    expected = np.sort(np.concatenate([delta / (spec.S + delta), np.ones(s - spec.k)]))
    np.testing.assert_allclose(capacitance, expected, atol=1e-9)
    m = lt.LMM(spec, X, y)
    for reml in (True, False):
        bare = m.evaluate(h2=h2, reml=reml, exclude=G)
        assert bare.nll == pytest.approx(m.evaluate(h2=0.0, reml=reml).nll, abs=1e-7)
        np.testing.assert_allclose(bare.beta, [y.mean()], atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(5, 20), r=st.integers(1, 3), seed=st.integers(0, 10**6), h2=st.sampled_from([0.1, 0.5, 0.9]))
def test_a_downdate_is_refused_exactly_when_no_covariance_is_left(n, r, seed, h2):
    rng = np.random.default_rng(seed)
    G, W = rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=(n, r))
    M = dense.covariance(G @ G.T, h2=h2)
    # M - h² c² W Wᵀ loses its definiteness where h² c² times the largest eigenvalue of WᵀM⁻¹W is one
    limit = 1 / np.sqrt(h2 * np.linalg.eigvalsh(W.T @ np.linalg.solve(M, W))[-1])
    for factor, definite in ((0.99, True), (1.01, False)):
        V = limit * factor * W
        assert (np.linalg.eigvalsh(M - h2 * V @ V.T)[0] > 0) == definite
        if definite:
            absorb(inner(M, G[:, :1], V), r, h2, -1)
        else:
            with pytest.raises(ValueError, match=rf"K without the {r} excluded columns .* not positive definite"):
                absorb(inner(M, G[:, :1], V), r, h2, -1)
        absorb(inner(M, G[:, :1], V), r, h2, 1)  # adding is always possible


def test_two_negative_directions_are_seen():
    """Their determinant is positive again, so its sign is no test (lmm_cov's `nLLcore` makes it one)."""
    G = tall(40)[0]
    W = 3 * G[:, :2]
    M = dense.covariance(G @ G.T, h2=0.4)
    assert (np.linalg.eigvalsh(M - 0.4 * W @ W.T) < 0).sum() == 2
    assert np.linalg.det(np.eye(2) - 0.4 * W.T @ np.linalg.solve(M, W)) > 0
    with pytest.raises(ValueError, match="not positive definite"):
        absorb(inner(M, G[:, 5:6], W), 2, 0.4, -1)
