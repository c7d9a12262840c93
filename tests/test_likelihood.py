"""`likelihood` against brute force, closed forms and its own symmetries."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.stats import multivariate_normal, multivariate_t

import lmm_teach as lt
from lmm_teach import dense
from lmm_teach.likelihood import student_nll
from lmm_teach.variance import shares


def cohort(n, s, d, seed, h2=0.5):
    """Random G (n, s), X (n, d) with intercept, y of which the SNPs explain about h2."""
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, s))) / np.sqrt(s)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    noise = np.sqrt(1 - h2) * rng.normal(size=n)
    return G, X, 3 + X @ rng.normal(size=d) + np.sqrt(h2) * G @ rng.normal(size=s) + noise


FORMS = [{"h2": 0.0}, {"h2": 0.37}, {"h2": 0.999}, {"delta": 0.02}, {"delta": 40.0}, {"log_delta": -3.0}]
forms = st.sampled_from([*FORMS, {"delta": np.inf}, {"log_delta": 2.5}])
shapes = st.integers(6, 25).flatmap(lambda n: st.tuples(st.just(n), st.integers(3, 3 * n), st.integers(1, 4)))


@settings(deadline=None, max_examples=200)
@given(shape=shapes, seed=st.integers(0, 10**6), form=forms, reml=st.booleans(), by_snps=st.booleans())
def test_every_form_agrees_with_the_dense_model(shape, seed, form, reml, by_snps):
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed)
    spec = lt.decompose_snps(G) if by_snps else lt.decompose_kinship(G @ G.T)
    fast = lt.LMM(spec, X, y).evaluate(reml=reml, **form)
    slow = dense.evaluate(G @ G.T, X, y, reml=reml, **form)
    assert fast.nll == pytest.approx(slow.nll, abs=1e-8)
    np.testing.assert_allclose(fast.beta, slow.beta, atol=1e-7)
    np.testing.assert_allclose(fast.beta_cov, slow.beta_cov, rtol=1e-7, atol=1e-9)
    for name in ("sigma2_g", "sigma2_e", "h2", "delta"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), rel=1e-8)


@settings(deadline=None, max_examples=50)
@given(shape=shapes, seed=st.integers(0, 10**6), h2=st.sampled_from([0.0, 0.3, 0.9]))
def test_the_dense_model_is_a_normal_density(shape, seed, h2):
    """ML is the density of y at its best mean and scale, REML that of n - d contrasts."""
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed)
    M = dense.covariance(G @ G.T, h2=h2)
    ml = dense.evaluate(G @ G.T, X, y, h2=h2, reml=False)
    V = (ml.sigma2_g + ml.sigma2_e) * M
    assert ml.nll == pytest.approx(-multivariate_normal(X @ ml.beta, V).logpdf(y), abs=1e-8)
    assert ml.nll == pytest.approx(dense.gaussian_nll(y, X @ ml.beta, V), abs=1e-8)
    A = null_space(X.T)
    reml = dense.evaluate(G @ G.T, X, y, h2=h2, reml=True)
    V = (reml.sigma2_g + reml.sigma2_e) * M
    assert reml.nll == pytest.approx(-multivariate_normal(np.zeros(n - d), A.T @ V @ A).logpdf(A.T @ y), abs=1e-8)


@pytest.mark.parametrize("unit", [1e-60, 1e60])
def test_units_of_y_shift_the_density(unit):
    G, _, y = cohort(20, 50, 2, 1)
    V, mean = dense.covariance(G @ G.T, h2=0.4), np.full(20, 0.3)
    want = dense.gaussian_nll(y, mean, V) + 20 * np.log(unit)
    assert dense.gaussian_nll(unit * y, unit * mean, unit**2 * V) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_dense_model_refuses_a_covariance_that_is_singular_up_to_rounding(scale):
    G, X, y = cohort(20, 5, 2, 1)
    with pytest.raises(ValueError, match="singular at h2 = 1 .*smaller h2"):
        dense.evaluate(scale * G @ G.T, X, y, h2=1.0, reml=True)


def test_nothing_beats_the_profile():
    """Moving β or the total variance away from the profile only makes the density smaller."""
    G, X, y = cohort(20, 50, 2, 1)
    e = dense.evaluate(G @ G.T, X, y, h2=0.4, reml=False)
    V = (e.sigma2_g + e.sigma2_e) * dense.covariance(G @ G.T, h2=0.4)
    for step in (-1e-3, 1e-3):
        assert dense.gaussian_nll(y, X @ (e.beta + step), V) > e.nll
        assert dense.gaussian_nll(y, X @ e.beta, V * (1 + step)) > e.nll


@settings(deadline=None, max_examples=60)
@given(shape=shapes, seed=st.integers(0, 10**6), reml=st.booleans(), log_delta=st.floats(-4, 4))
def test_slope_and_curvature_are_the_derivatives(shape, seed, reml, log_delta):
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    h = 1e-4
    ends = [m.evaluate(log_delta=log_delta + t, reml=reml).nll for t in (-2 * h, -h, h, 2 * h)]
    difference = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    slope, curvature = m.derivatives([log_delta], reml=reml)
    assert slope[0] == pytest.approx(difference, abs=1e-7)
    (below,), (above,) = (m.derivatives([log_delta + t], reml=reml)[0] for t in (-h, h))
    assert curvature[0] == pytest.approx((above - below) / (2 * h), abs=1e-6)
    many = m.derivatives([log_delta - 1, log_delta, log_delta + 2], reml=reml)
    assert (many[0][1], many[1][1]) == pytest.approx((slope[0], curvature[0]), rel=1e-9, abs=1e-11)


@settings(deadline=None, max_examples=60)
@given(shape=shapes, seed=st.integers(0, 10**6), h2=st.sampled_from([0.0, 0.5, 0.9]))
def test_fit_is_at_least_as_good_as_a_fine_search(shape, seed, h2):
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed, h2)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    f = m.fit(reml=True)
    mean = m._S.sum() / n
    fine = min(m.evaluate(log_delta=t, reml=True).nll for t in np.log(mean) + np.linspace(-10, 10, 1001))
    assert f.nll <= fine + 1e-9
    assert f.nll <= m.evaluate(h2=0, reml=True).nll
    if f.boundary is None:
        assert m.derivatives([np.log(f.delta)], reml=True)[0][0] == pytest.approx(0, abs=1e-8)
    assert (f.boundary == "h2=0") == (f.h2 == 0.0)


@settings(deadline=None, max_examples=60)
@given(shape=shapes, seed=st.integers(0, 10**6), reml=st.booleans(), dof=st.sampled_from([0.5, 4.0, 300.0]),
       scale=st.sampled_from([0.3, 1.7]))  # fmt: skip
def test_student_t_is_scipys_density(shape, seed, reml, dof, scale):
    """Of y at the GLS mean (ML), or of n - d contrasts (REML), with shape matrix scale · M."""
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed)
    e = lt.LMM(lt.decompose_snps(G), X, y).evaluate(reml=reml, h2=0.4, dof=dof, scale=scale)
    slow = dense.evaluate(G @ G.T, X, y, reml=reml, h2=0.4, dof=dof, scale=scale)
    M = scale * dense.covariance(G @ G.T, h2=0.4)
    A = null_space(X.T) if reml else np.eye(n)
    mean = A.T @ (X @ e.beta)
    density = multivariate_t(mean, A.T @ M @ A, df=dof).logpdf(A.T @ y)
    assert e.nll == pytest.approx(-density, abs=1e-9)
    assert e.nll == pytest.approx(slow.nll, abs=1e-9)
    assert (e.sigma2_g, e.sigma2_e) == pytest.approx((slow.sigma2_g, slow.sigma2_e), rel=1e-8)
    unscaled = dense.evaluate(G @ G.T, X, y, reml=reml, h2=0.4, dof=dof)
    assert unscaled.nll == dense.evaluate(G @ G.T, X, y, reml=reml, h2=0.4, dof=dof, scale=1.0).nll
    np.testing.assert_allclose(e.beta_cov, slow.beta_cov, rtol=1e-7, atol=1e-9)


# A downdate of nearly everything at h² near 1 divides by (1 - h²)² of what it subtracts, so it is not asked here.
WELL = [{"h2": 0.0}, {"h2": 0.37}, {"h2": 0.8}, {"delta": 0.5}, {"delta": 40.0}, {"log_delta": 1.0}]


@settings(deadline=None, max_examples=100)
@given(shape=shapes, seed=st.integers(0, 10**6), reml=st.booleans(), form=st.sampled_from(WELL), r=st.integers(1, 3))
def test_excluded_and_included_columns_are_recomputation(shape, seed, reml, form, r):
    """K without some of its own SNPs, with further columns, and both, whatever the form and the rank."""
    n, s, d = shape
    G, X, y = cohort(n, s, d, seed)
    W, more = G[:, :r], np.random.default_rng(seed).normal(size=(n, 2))
    m = lt.LMM(lt.decompose_snps(G), X, y)
    for K, options in (
        (G[:, r:] @ G[:, r:].T, {"exclude": W}),
        (G @ G.T + more @ more.T, {"include": more}),
        (G[:, r:] @ G[:, r:].T + more @ more.T, {"exclude": W, "include": more}),
        (G @ G.T, {"exclude": more, "include": more}),
    ):
        fast, slow = m.evaluate(reml=reml, **form, **options), dense.evaluate(K, X, y, reml=reml, **form)
        assert fast.nll == pytest.approx(slow.nll, abs=1e-8)
        np.testing.assert_allclose(fast.beta, slow.beta, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(fast.beta_cov, slow.beta_cov, rtol=1e-6, atol=1e-8)
        assert fast.sigma2_e == pytest.approx(slow.sigma2_e, rel=1e-7)


def test_student_t_tends_to_the_normal_with_a_known_variance():
    G, X, y = cohort(30, 60, 2, 4)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    profile = m.evaluate(reml=True, h2=0.4)
    q = 28 * (profile.sigma2_g + profile.sigma2_e)
    fixed = profile.nll - 14 * (np.log(q / 28) + 1) + 0.5 * (28 * np.log(1.3) + q / 1.3)
    for dof in (1e8, 1e12, 1e16):
        assert m.evaluate(reml=True, h2=0.4, dof=dof, scale=1.3).nll == pytest.approx(fixed, abs=1e-5)


def test_balanced_anova_has_a_closed_form():
    """Groups of two: the textbook's mean squares give δ, the variances and nLL (REML and ML)."""
    y = np.array([1.0, 2, 4, 6, 8, 9])
    m = lt.LMM(lt.decompose_kinship(np.kron(np.eye(3), np.ones((2, 2)))), np.ones((6, 1)), y)
    f = m.fit(reml=True)
    assert f.delta == pytest.approx(2 / 23.5, rel=1e-10)
    assert (f.sigma2_g, f.sigma2_e) == pytest.approx((11.75, 1.0), rel=1e-10)
    assert f.nll == pytest.approx(10.293365783574, abs=1e-9)
    assert f.beta[0] == pytest.approx(5.0)
    f = m.fit(reml=False)
    assert f.delta == pytest.approx(2 / (49 / 3 - 1), rel=1e-10)
    assert (f.sigma2_g, f.sigma2_e) == pytest.approx((23 / 3, 1.0), rel=1e-10)
    assert f.nll == pytest.approx(12.703443213392, abs=1e-9)


def spectrum_model(eigenvalues, eta):
    """A model whose REML likelihood has the given spectrum λ and rotated residual η: X is a further axis."""
    K = np.diag([*eigenvalues, 0.0])
    X = np.zeros((len(eta) + 1, 1))
    X[-1] = 1.0
    return lt.LMM(lt.decompose_kinship(K), X, np.array([*eta, 2.0]))


def test_two_levels_have_a_closed_form():
    m = spectrum_model([4.0] * 20 + [1.0] * 30, [np.sqrt(30 / 20)] * 20 + [np.sqrt(12 / 30)] * 30)
    f = m.fit(reml=True)
    assert f.delta == pytest.approx(1 / 11, rel=1e-10)
    assert m.derivatives([np.log(1 / 11)], reml=True)[0][0] == pytest.approx(0, abs=1e-12)


def test_an_optimum_far_below_the_mean_eigenvalue_is_found():
    m = spectrum_model([1000.0] * 3 + [1.0] * 3 + [0.0] * 2, [7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.05, 0.0])
    f = m.fit(reml=True)
    assert np.log(f.delta) == pytest.approx(-7.87, abs=0.01) and f.nll == pytest.approx(18.59, abs=0.01)
    assert len(f.optima) == 2 and f.boundary is None and not f.unbounded
    for scale in np.geomspace(0.8, 1, 4):  # wherever the extended grid meets the other one
        other = spectrum_model([1000.0] * 3 + [scale] * 3 + [0.0] * 2, [7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.05, 0.0])
        assert np.log(other.fit(reml=True).delta) == pytest.approx(-7.87 + np.log(scale), abs=0.02)
    # ML still grows at the smallest δ of the grid, and stops only far below
    assert m.derivatives([-4.2, -40.0], reml=False)[0] == pytest.approx([1.42, -3], abs=0.01)
    ml = m.fit(reml=False)
    assert ml.unbounded and ml.boundary is None and np.log(ml.delta) == pytest.approx(3.17, abs=0.01)


def test_an_end_may_be_better_than_the_optimum_inside():
    m = spectrum_model([1000.0] * 3 + [1.0] * 3 + [1e-3] * 2, [7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.01, 0.005])
    f = m.fit(reml=True)
    ((h2, nll),) = f.optima
    assert f.boundary == "h2=1" and h2 == pytest.approx(0.0324, abs=1e-4) and f.nll < nll - 3


def test_ml_without_bound_is_seen_beyond_the_grid():
    """Eigenvalues below the smallest δ of the search hide the divergence from it, but not from `unbounded`."""
    eigenvalues = np.array([*np.linspace(3, 0.5, 25), 1e-7, 1e-8, 1e-9])
    m = spectrum_model(eigenvalues, np.sqrt(eigenvalues + 0.5))
    f = m.fit(reml=False)
    assert m.derivatives([-10.0], reml=False)[0][0] < 0
    assert f.unbounded
    assert f.boundary is None
    assert not m.fit(reml=True).unbounded


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_scale_laws(form, reml):
    G, X, y = cohort(25, 60, 2, 5)
    spec, n = lt.decompose_snps(G), 25
    m = lt.LMM(spec, X, y)
    N = n - 2 if reml else n
    e = m.evaluate(reml=reml, **form)
    scaled = lt.LMM(spec, X, 1000 * y).evaluate(reml=reml, **form)
    assert scaled.nll == pytest.approx(e.nll + N * np.log(1000), abs=1e-9)
    np.testing.assert_allclose(scaled.beta, 1000 * e.beta, rtol=1e-10)
    other = lt.LMM(lt.decompose_snps(3 * G), X, y).evaluate(delta=9 * e.delta, reml=reml)
    assert other.nll == pytest.approx(e.nll, abs=1e-9)
    turned = lt.LMM(spec, X @ np.array([[1e3, 2.0], [0, 1e-3]]), y).evaluate(reml=reml, **form)
    assert turned.nll == pytest.approx(e.nll, abs=1e-8)  # REML's log|XᵀX| is there for this
    shifted = lt.LMM(spec, X, y + X @ np.array([1e6, -1e6])).evaluate(reml=reml, **form)
    assert shifted.nll == pytest.approx(e.nll, abs=1e-6)
    order = np.random.default_rng(0).permutation(n)
    permuted = lt.LMM(lt.decompose_snps(G[order]), X[order], y[order]).evaluate(reml=reml, **form)
    assert permuted.nll == pytest.approx(e.nll, abs=1e-9)


def test_scaling_k_scales_the_fitted_delta():
    G, X, y = cohort(40, 200, 2, 6)
    f = lt.LMM(lt.decompose_snps(G), X, y).fit(reml=True)
    big = lt.LMM(lt.decompose_snps(1e4 * G), X, y).fit(reml=True)
    assert big.delta == pytest.approx(1e8 * f.delta, rel=1e-7)
    assert big.nll == pytest.approx(f.nll, abs=1e-9)


def test_evaluation_after_rotation_allocates_nothing_of_size_n_by_n():
    G, X, y = cohort(400, 500, 2, 8)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    m.evaluate(h2=0.5, reml=True)
    tracemalloc.start()
    m.evaluate(h2=0.5, reml=True)
    evaluate = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert evaluate < 20 * 400 * 8  # twenty vectors of length n; one matrix is 400


def test_inputs_are_not_changed():
    G, X, y = cohort(10, 20, 2, 9)
    spec = lt.decompose_snps(G)
    before = [a.copy() for a in (spec.U, spec.S, X, y)]
    lt.LMM(spec, X, y).fit(reml=True)
    for a, b in zip((spec.U, spec.S, X, y), before, strict=True):
        np.testing.assert_array_equal(a, b)


SPEC = lt.decompose_kinship(np.diag([2.0, 1.0, 0.5, 0.0]))
ONE, Y = np.ones((4, 1)), np.array([1.0, 2, 4, 3])
MODEL = lt.LMM(SPEC, ONE, Y)
ONE_OUTSIDE = lt.decompose_snps(np.array([[1.0, 0, 0], [0, 2, 0], [1, 1, 3], [0, 2, 1]]))  # X explains that one too


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lt.LMM(SPEC, np.ones(4), Y), r"^X must be 2-d.*\(4,\)"),
        (lambda: lt.LMM(SPEC, ONE, Y[:, None]), r"y must be 1-d.*\(4, 1\)"),
        (lambda: lt.LMM(SPEC, np.ones((3, 1)), Y), "X has 3 rows, but there are 4"),
        (lambda: lt.LMM(SPEC, ONE, Y[:3]), "y has 3 rows, but there are 4"),
        (lambda: lt.LMM(SPEC, ONE, [1, 2, np.nan, np.inf]), "^y holds 1 NaN and 1 infinite"),
        (lambda: lt.LMM(SPEC, np.full((4, 1), np.nan), Y), "4 NaN"),
        (lambda: lt.LMM(SPEC, np.zeros((4, 2)), Y), "no non-zero column"),
        (lambda: lt.LMM(SPEC, np.zeros((4, 0)), Y), "no non-zero column"),
        (lambda: MODEL.evaluate(reml=True), "exactly one of h2, delta and log_delta; got none"),
        (lambda: MODEL.evaluate(h2=0.5, delta=1.0, reml=True), "got h2, delta"),
        (lambda: MODEL.evaluate(h2=1.2, reml=True), "h2 = 1.2 must be between 0 and 1"),
        (lambda: MODEL.evaluate(h2=-0.1, reml=True), "h2 = -0.1 must be between"),
        (lambda: MODEL.evaluate(h2=np.nan, reml=True), "h2 = nan"),
        (lambda: MODEL.evaluate(delta=-1.0, reml=True), "delta = -1.0 must be 0 or more"),
        (lambda: lt.LMM(SPEC, 1e80 * ONE, Y), r"X has columns .* 1.0e\+80, outside 1e-70 to 1e\+70.*use another unit"),
        (lambda: lt.LMM(SPEC, ONE, 1e-80 * Y), r"y has columns .* 4.0e-80, outside"),
        (lambda: lt.decompose_kinship(1e150 * np.eye(4)), r"K0 has columns .* outside 1e-140 to 1e\+140"),
        (lambda: lt.LMM(ONE_OUTSIDE, ONE, Y).evaluate(delta=1e-20, reml=True), "rounding leaves no digit of rᵀPr"),
        (lambda: MODEL.inner(ONE, h2=1.0), "h2 = 1 with a K of rank 3 and 4 individuals"),
        (lambda: MODEL.inner(ONE, delta=0.0), "M has no inverse"),
        (lambda: MODEL.evaluate(log_delta=np.nan, reml=True), "log_delta = nan must be a number$"),
        (lambda: MODEL.evaluate(h2=1.0, reml=True), "rank is 3 with 4 individuals"),
        (lambda: MODEL.evaluate(delta=0.0, reml=False), "rank is 3 with 4 individuals"),
        (lambda: MODEL.evaluate(log_delta=-1e9, reml=False), "rank is 3 with 4 individuals"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, dof=0.0), "dof = 0.0 and scale = 1.0 must be positive"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, dof=np.inf), "dof = inf and scale = 1.0 must be positive"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, dof=3, scale=-1.0), "scale = -1.0 must be positive"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, dof=3, scale=0.0), "scale = 0.0 must be positive"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, dof=3, scale=np.inf), "scale = inf must be positive"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, exclude=np.ones((3, 1))), "^exclude has 3 rows"),
        (lambda: MODEL.evaluate(h2=0.5, reml=True, include=np.ones(4)), "^include must be 2-d"),
        (lambda: MODEL.derivatives(0.0, reml=True), "^log_delta must be 1-d"),
        (lambda: MODEL.inner(np.ones((3, 1)), h2=0.5), "has 3 rows, but there are 4"),
        (lambda: dense.covariance(np.ones(4), h2=0.5), "^K must be 2-d"),
        (lambda: dense.gaussian_nll(0.0, np.zeros(4), np.eye(4)), "^y must be 1-d"),
        (lambda: dense.gaussian_nll(Y, np.zeros(4), np.ones(4)), "^V must be 2-d"),
        (lambda: dense.evaluate(np.eye(4), np.ones((3, 1)), Y, h2=0.5, reml=True), "^X has 3 rows, but there are 4"),
        (lambda: dense.evaluate(np.eye(4), ONE, Y[:3], h2=0.5, reml=True), "^y has 3 rows, but there are 4"),
        (lambda: dense.covariance(np.ones((2, 3)), h2=0.5), "square"),
        (lambda: dense.gaussian_nll(Y, np.zeros(3), np.eye(4)), "mean has 3 rows"),
        (lambda: dense.gaussian_nll(Y, np.zeros(4), np.eye(3)), r"V has shape \(3, 3\), but y has 4"),
        (lambda: dense.gaussian_nll(Y, np.zeros(4), -np.diag([1.0, 1, 1, -1])), "positive definite"),
        (lambda: dense.gaussian_nll(Y, np.zeros(4), np.diag([1.0, 1, 1, 0])), "positive definite"),
        (lambda: dense.evaluate(np.diag([2.0, 1.0, 0.5, 0.0]), ONE, Y, h2=1.0, reml=True), "singular at h2 = 1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_shares_of_each_form_to_full_precision():
    assert shares(0.25, None, None) == (0.25, 0.75)
    assert shares(None, 3.0, None) == (0.25, 0.75)
    assert shares(None, None, np.log(3.0)) == pytest.approx((0.25, 0.75), rel=1e-15)
    for infinite in ((None, np.inf, None), (None, None, np.inf), (0.0, None, None)):
        assert shares(*infinite) == (0.0, 1.0)
    for small in ((None, 1e-30, None), (None, None, np.log(1e-30))):
        assert shares(*small) == pytest.approx((1.0, 1e-30), rel=1e-13)


def test_reml_has_no_default():
    with pytest.raises(TypeError, match="reml"):
        MODEL.evaluate(h2=0.5)
    with pytest.raises(TypeError, match="reml"):
        MODEL.fit()


def test_the_student_likelihoods_are_scipys_density():
    rng = np.random.default_rng(3)
    A = rng.normal(size=(6, 6))
    Sigma, y, mean = A @ A.T + np.eye(6), rng.normal(size=6), rng.normal(size=6)
    for dof in (0.7, 5.0, 200.0):
        want = -multivariate_t(mean, Sigma, df=dof).logpdf(y)
        assert dense.student_nll(y, mean, Sigma, dof) == pytest.approx(want, rel=1e-12)
        logdet, q = np.linalg.slogdet(Sigma)[1], (y - mean) @ np.linalg.solve(Sigma, y - mean)
        M_is_a_part = student_nll(logdet - 6 * np.log(2.5), 2.5 * q, 6, dof, 2.5)  # Sigma = 2.5 M
        assert M_is_a_part == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("s", [8, 40])
def test_inner_products_under_the_inverse_covariance_are_the_dense_ones(s):
    G, X, y = cohort(20, s, 3, seed=5)
    W = np.random.default_rng(6).normal(size=(20, 2))
    inverse = np.linalg.inv(dense.covariance(G @ G.T, h2=0.3))
    m = lt.LMM(lt.decompose_snps(G), X, y)
    T = m.inner(W, h2=0.3)
    for other in (m.inner(W, delta=7 / 3), m.inner(W, log_delta=np.log(7 / 3))):
        np.testing.assert_allclose(other, T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(T[4:, 4:], W.T @ inverse @ W, rtol=1e-10, atol=1e-12)
    whole = lt.LMM(lt.decompose_kinship(G @ G.T + np.eye(20)), X, y).inner(W, h2=1.0)  # without noise
    np.testing.assert_allclose(whole[4:, 4:], W.T @ np.linalg.solve(G @ G.T + np.eye(20), W), rtol=1e-10, atol=1e-12)
    # which basis of X stands in front does not matter after it has been eliminated
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    rest, yW = T[3:, 3:] - T[3:, :3] @ np.linalg.solve(T[:3, :3], T[:3, 3:]), np.column_stack([y, W])
    np.testing.assert_allclose(rest, yW.T @ P @ yW, rtol=1e-10, atol=1e-12)
