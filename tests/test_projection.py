"""`projection` against the classic form of REML, whatever the ranks of K and of what X leaves of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmm_teach as lt
from lmm_teach import dense
from lmm_teach.projection import independent, residual
from lmm_teach.search import minima


def cohort(n, s, d, seed):
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, s))) / np.sqrt(s)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    return G, X, X @ rng.normal(size=d) + G @ rng.normal(size=s) + rng.normal(size=n)


@settings(deadline=None, max_examples=200)
@given(n=st.integers(6, 25), data=st.data(), d=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_projected_likelihood_is_the_classic_one(n, data, d, seed):
    """SNPs fewer than, equal to and more than n - d and n: constant included, to 1e-10 of the likelihood's size."""
    s = data.draw(st.one_of(st.integers(1, 3 * n), st.integers(n - d - 1, n + 1)))
    G, X, y = cohort(n, s, d, seed)
    by_snps, by_kinship = lt.project_snps(G, X, y), lt.project_kinship(G @ G.T, X, y)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    for form in ({"h2": 0.0}, {"h2": 0.3}, {"delta": 0.05}, {"log_delta": 3.0}):
        classic = m.evaluate(reml=True, **form).nll
        assert dense.evaluate(G @ G.T, X, y, reml=True, **form).nll == pytest.approx(classic, rel=1e-10, abs=1e-10)
        assert by_snps.nll(**form) == pytest.approx(classic, rel=1e-10, abs=1e-10)
        assert by_kinship.nll(**form) == pytest.approx(classic, rel=1e-10, abs=1e-10)
    t = np.array([-2.0, 0.5, 3.0])
    for got, want in zip(by_snps.derivatives(t), m.derivatives(t, reml=True), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-8)
    assert by_snps.m == n - d and by_snps.S.size <= min(s, n - d)
    assert np.abs(by_kinship.U.T @ X).max(initial=0.0) < 1e-10


def test_without_the_shift_directions_of_x_can_be_kept():
    """A kernel without part in a covariate's direction: zero twice in ΠKΠ, so eigenvectors of zero mix."""
    G, X, y = cohort(12, 4, 3, 5)
    P = lt.project_kinship(G @ G.T, X, y)
    Q, _ = independent(X)
    plain = np.linalg.eigh(residual(Q, residual(Q, G @ G.T).T))[1][:, X.shape[1]:]
    assert np.abs(plain.T @ X).max() > 0.1
    assert np.abs(P.U.T @ X).max() < 1e-12 and P.S.size == 4


def test_dependent_columns_of_x_change_nothing():
    G, X, y = cohort(15, 40, 2, 6)
    twice = np.column_stack([X, X[:, 0] - 2 * X[:, 1], np.zeros(15)])
    for project, kernel in ((lt.project_snps, G), (lt.project_kinship, G @ G.T)):
        one, other = project(kernel, X, y), project(kernel, twice, y)
        assert one.m == other.m == 13
        assert one.nll(h2=0.5) == pytest.approx(other.nll(h2=0.5), abs=1e-10)
    Q, kept = independent(twice)
    assert kept == [0, 1] and Q.shape == (15, 2)


def test_what_is_left_is_orthogonal_to_its_own_digits():
    """One pass would leave rounding of the size of what it took away."""
    Q = np.linalg.qr(np.random.default_rng(12).normal(size=(50, 4)))[0]
    q, r = Q[:, :3], Q[:, 3]
    left = residual(q, 1e8 * q @ [1.0, -2.0, 3.0] + r)
    assert np.abs(q.T @ left).max() < 1e-14
    np.testing.assert_allclose(left, r, atol=1e-7)


def test_scale_of_the_kernel_and_of_y():
    G, X, y = cohort(15, 40, 2, 7)
    for scale in (1e-20, 1e-8, 1e8):
        P = lt.project_kinship(scale * G @ G.T, X, y)
        assert P.nll(delta=0.7 * scale) == pytest.approx(lt.project_kinship(G @ G.T, X, y).nll(delta=0.7), abs=1e-8)
        assert P.S.size == 13
    P = lt.project_snps(G, X, y)
    for scale in (1e-9, 1000, 1e9):
        Q = lt.project_snps(G, X, scale * y)
        assert Q.nll(h2=0.3) - P.nll(h2=0.3) == pytest.approx(13 * np.log(scale), abs=1e-9)
        with pytest.raises(ValueError, match="explains y exactly"):
            lt.project_snps(G, X, scale * X @ [1.0, np.pi])


def test_a_full_kernel_needs_no_noise():
    G, X, y = cohort(10, 40, 2, 10)
    P, K = lt.project_kinship(G @ G.T + np.eye(10), X, y), G @ G.T + np.eye(10)
    assert P.nll(h2=1.0) == pytest.approx(dense.evaluate(K, X, y, h2=1.0, reml=True).nll, abs=1e-9)


def test_one_negative_direction_is_rounding_or_refused():
    """The limit is a millionth of the largest eigenvalue, not of the mean one, and it looks at the smallest."""
    X, y = np.eye(10)[:, :1], np.arange(10.0)
    large = [1.0, 1000.0, *[1.0] * 7]
    assert lt.project_kinship(np.diag([*large, -5e-4]), X, y).S.size == 8
    with pytest.raises(ValueError, match=r"from 1e\+03 down to -0\.005 or below"):
        lt.project_kinship(np.diag([*large, -5e-3]), X, y)


def test_the_bimodal_spectrum_and_the_two_levels():
    """Closed forms need no individuals: λ and η are the whole problem."""
    two = lt.Projected(50, np.repeat([4.0, 1.0], [20, 30]), np.sqrt(np.repeat([30 / 20, 12 / 30], [20, 30])), 0.0,
                       np.eye(50))  # fmt: skip
    assert two.derivatives([np.log(1 / 11)])[0] == pytest.approx([0.0], abs=1e-12)
    eta = np.array([7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.5, 0.0])
    humps = lt.Projected(8, np.repeat([1000.0, 1.0], 3), eta[:6], 0.25, np.eye(8)[:, :6])
    found = minima(humps.derivatives, np.linspace(-10, 10, 101))
    assert found == pytest.approx([-3.14, 3.41], abs=0.01)
    assert humps.nll(log_delta=found[1]) < humps.nll(log_delta=found[0])


def test_kernels_that_x_explains_leave_linear_regression():
    """What rounding leaves of them is neither a genetic direction nor a negative eigenvalue."""
    _, X, y = cohort(12, 40, 2, 8)
    regression = dense.evaluate(np.zeros((12, 12)), X, y, h2=0.0, reml=True).nll
    for project, kernel in (
        (lt.project_kinship, np.zeros((12, 12))), (lt.project_kinship, X @ X.T), (lt.project_snps, np.zeros((12, 40))),
        (lt.project_snps, np.zeros((12, 3))), (lt.project_snps, X), (lt.project_snps, np.hstack([X] * 7)),
    ):  # fmt: skip
        P = project(kernel, X, y)
        assert P.S.size == 0 and P.m == 10
        assert P.nll(h2=0.0) == pytest.approx(regression) == P.nll(h2=0.3)


def test_a_kernel_that_is_mostly_in_the_direction_of_x():
    """Rounding is relative to K, so the rank is that of what X leaves only down to there."""
    G, X, y = cohort(12, 4, 2, 9)
    plain = lt.project_kinship(G @ G.T, X, y)
    shadowed = lt.project_kinship(G @ G.T + 1e6 * np.ones((12, 12)), X, y)
    assert plain.S.size == shadowed.S.size == 4
    np.testing.assert_allclose(shadowed.S, plain.S, rtol=1e-7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.project_kinship(np.ones((3, 2)), np.ones((3, 1)), np.ones(3)), "^K must be square"),
        (lambda: lt.project_kinship(np.ones(3), np.ones((3, 1)), np.ones(3)), "^K must be 2-d"),
        (lambda: lt.project_snps(np.ones(3), np.ones((3, 1)), np.ones(3)), "^G must be 2-d"),
        (lambda: lt.project_snps(np.eye(5), np.ones((5, 1)), np.arange(5.0)).derivatives(1.0), "^log_delta must"),
        (lambda: lt.project_kinship(np.eye(3), np.ones((2, 1)), np.ones(3)), "^X has 2 rows"),
        (lambda: lt.project_snps(np.ones((3, 1)), np.ones((3, 1)), np.ones(2)), "y has 2 rows"),
        (lambda: lt.project_kinship(np.diag([1.0, 1.0, -1.0]), np.ones((3, 1)), np.ones(3)), "positive semi-definite"),
        (lambda: lt.project_kinship(np.eye(3) + np.eye(3, k=1), np.ones((3, 1)), np.ones(3)), "not symmetric"),
        (lambda: lt.project_kinship(np.eye(3), np.eye(3)[:, :2], np.arange(3.0)), "fewer than 2 degrees"),
        (lambda: lt.project_snps(np.eye(3), np.eye(3), np.arange(3.0)), "fewer than 2 degrees"),
        (lambda: lt.project_snps(np.eye(5), np.ones((5, 1)), np.full(5, 7.0)), "explains y exactly"),
        (lambda: lt.project_snps(np.eye(5), np.ones((5, 1)), np.zeros(5)), "explains y exactly"),
        (lambda: lt.project_snps(np.eye(5)[:, :1], np.ones((5, 1)), np.arange(5.0)).nll(h2=1.0), "leaves 3 of 4"),
        (lambda: lt.project_snps(np.eye(5), np.ones((5, 1)), np.arange(5.0)).nll(), "exactly one"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
