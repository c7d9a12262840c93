"""`gls.solve` against explicit inverses, well and badly scaled, full and deficient rank."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm_teach.gls import solve


@settings(deadline=None, max_examples=50)
@given(d=st.integers(1, 6), seed=st.integers(0, 10**6), scale=st.sampled_from([1e-8, 1.0, 1e8]))
def test_full_rank(d, seed, scale):
    X = scale * np.random.default_rng(seed).normal(size=(d + 20, d))
    C, c = X.T @ X, X.T @ np.arange(d + 20.0)
    got = solve(C, c)
    np.testing.assert_allclose(got.b, np.linalg.solve(C, c), rtol=1e-9)
    np.testing.assert_allclose(got.inverse @ C, np.eye(d), atol=1e-10)
    assert got.logdet == pytest.approx(np.linalg.slogdet(C)[1], abs=1e-10)
    assert got.rank == d


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e7])
def test_deficient_rank_gives_the_shortest_solution(scale):
    X = np.random.default_rng(3).normal(size=(30, 2))
    X = scale * np.column_stack([X, X[:, 0] + X[:, 1]])
    y = np.arange(30.0)
    C, c = X.T @ X, X.T @ y
    got = solve(C, c)
    assert got.rank == 2
    np.testing.assert_allclose(X @ got.b, X @ np.linalg.lstsq(X, y)[0], rtol=1e-8)
    np.testing.assert_allclose(got.inverse, np.linalg.pinv(C, rcond=1e-12), rtol=1e-6)
    assert got.logdet == pytest.approx(np.log(np.linalg.eigvalsh(C)[1:]).sum(), abs=1e-9)


def test_several_dependent_columns():
    """The zero eigenvalues are measured against the largest, not against each other."""
    X = np.random.default_rng(4).normal(size=(30, 2)) @ np.random.default_rng(5).normal(size=(2, 5))
    got = solve(X.T @ X, X.T @ np.arange(30.0))
    assert got.rank == 2
    np.testing.assert_allclose(X @ got.b, X @ np.linalg.lstsq(X, np.arange(30.0))[0], rtol=1e-8)


def test_the_units_of_a_column_cost_no_rank():
    """An eigenvalue of 1e-18 of the largest is no zero where Cholesky sees a pivot of the column's own size."""
    X = np.random.default_rng(6).normal(size=(30, 2))
    plain, scaled = solve(X.T @ X, X.T @ np.arange(30.0)), X * [1.0, 1e-9]
    got = solve(scaled.T @ scaled, scaled.T @ np.arange(30.0))
    assert got.rank == 2
    np.testing.assert_allclose(got.b * [1.0, 1e-9], plain.b, rtol=1e-12)


def test_no_information_is_rank_zero():
    got = solve(np.zeros((1, 1)), np.zeros(1))
    assert (got.rank, got.logdet, got.b[0], got.inverse[0, 0]) == (0, 0.0, 0.0, 0.0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but 2 right-hand"):
        solve(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="NaN or infinity"):
        solve(np.array([[np.nan]]), np.ones(1))
