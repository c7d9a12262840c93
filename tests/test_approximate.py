"""GRAMMAR-Γ, conjugate gradients and BOLT-LMM-inf against matrices, the exact tests, and BOLT itself."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from golden import genotypes, table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

import lmm_teach as lt
from lmm_teach import approximate
from lmm_teach.projection import independent, residual

quiet = {"progress": lambda *_: None}


def dense_P(K, X, delta):
    """P of the δ form and the basis-free projector Π."""
    M = np.linalg.inv(K + delta * np.eye(len(K)))
    return M - M @ X @ np.linalg.inv(X.T @ M @ X) @ X.T @ M, np.eye(len(K)) - X @ np.linalg.pinv(X)


@pytest.fixture(scope="module")
def cohort():
    return lt.simulate.cohort(150, 400, seed=3, siblings=3, chromosomes=4, covariates=2, h2=0.5)


@pytest.fixture(scope="module")
def spec(cohort):
    return lt.decompose_kinship(lt.kinship(lt.standardize(cohort.G)))


# ---- GRAMMAR-Γ ----


@pytest.mark.parametrize("covariates", [0, 2])
@pytest.mark.parametrize("snps", [100, 400])  # k < n and k = n - 1
def test_gamma_is_the_mean_over_the_snps_of_the_kinship(covariates, snps):
    """D18: sum of xᵀPx over sum of xᵀΠx, an identity; with an intercept alone, the mean of the ratios, too."""
    c = lt.simulate.cohort(150, snps, seed=4, covariates=covariates, siblings=2, h2=0.6)
    Z = lt.standardize(c.G)
    a = lt.grammar_gamma(c.G, c.X, c.y, lt.decompose_snps(Z / np.sqrt(snps)))
    P, Pi = dense_P(lt.kinship(Z), c.X, a.null.delta)
    xPx = np.einsum("ij,ij->j", Z, P @ Z) / a.null.sigma2_g
    assert xPx.sum() / np.einsum("ij,ij->j", Z, Pi @ Z).sum() == pytest.approx(a.gamma, rel=1e-10)
    if covariates == 0:
        assert np.mean(xPx / np.einsum("ij,ij->j", Z, Z)) == pytest.approx(a.gamma, rel=1e-10)


@pytest.mark.parametrize("snps", [100, 400])
def test_gamma_for_independent_snps_is_a_trace(snps):
    c = lt.simulate.cohort(150, snps, seed=4, covariates=1, siblings=2, h2=0.6)
    Z = lt.standardize(c.G)
    a = lt.grammar_gamma(c.G, c.X, c.y, lt.decompose_snps(Z / np.sqrt(snps)), independent_snps=True)
    P, _ = dense_P(lt.kinship(Z), c.X, a.null.delta)
    assert np.trace(P) / a.null.sigma2_g / (150 - 2) == pytest.approx(a.gamma, rel=1e-10)
    x = np.random.default_rng(0).standard_normal((150, 20_000))  # SNPs that know nothing of K
    x -= c.X @ np.linalg.lstsq(c.X, x, rcond=None)[0]
    ratio = np.einsum("ij,ij->j", x, P @ x) / np.einsum("ij,ij->j", x, x) / a.null.sigma2_g
    assert abs(ratio.mean() - a.gamma) < 4 * ratio.std() / np.sqrt(ratio.size)


def test_grammar_gamma_is_the_score_test_with_one_number_for_all(cohort, spec):
    c = cohort
    a = lt.grammar_gamma(c.G, c.X, c.y, spec)
    r = lt.scan(c.G, c.X, c.y, spec, test="score")
    P, Pi = dense_P(lt.kinship(lt.standardize(c.G)), c.X, a.null.delta)
    inside = np.einsum("ij,ij->j", c.G, Pi @ c.G)
    exact = np.einsum("ij,ij->j", c.G, P @ c.G) / a.null.sigma2_g
    np.testing.assert_allclose(a.chi2 * a.gamma * inside / exact, r.statistic, rtol=1e-8)
    np.testing.assert_allclose(a.beta * a.gamma * inside / exact, r.beta, rtol=1e-8)
    np.testing.assert_allclose(a.beta / a.se, np.sqrt(a.chi2) * np.sign(a.beta), rtol=1e-12)
    assert np.corrcoef(a.chi2, r.statistic)[0, 1] > 0.99
    np.testing.assert_allclose(np.log10(a.p), a.log10_p, rtol=1e-10)


def test_a_kinship_of_full_rank_has_nothing_outside(cohort):
    c = cohort
    K = lt.kinship(lt.standardize(c.G)) + 0.1 * np.eye(150)
    a = lt.grammar_gamma(c.G, c.X, c.y, lt.decompose_kinship(K))
    P, Pi = dense_P(K, c.X, a.null.delta)
    x = c.G[:, 0]
    beta = x @ P @ c.y / a.null.sigma2_g / (a.gamma * (x @ Pi @ x))
    assert a.beta[0] == pytest.approx(beta, rel=1e-8)
    free = lt.grammar_gamma(c.G, c.X, c.y, lt.decompose_kinship(K), independent_snps=True)
    assert free.gamma == pytest.approx(np.trace(P) / a.null.sigma2_g / (150 - 3), rel=1e-10)


def test_without_genetic_variance_gamma_is_that_of_linear_regression(cohort):
    c = cohort
    y = np.random.default_rng(5).standard_normal(150)
    K = np.diag([1000.0] + [1.0] * 148 + [0.0])  # its only large direction carries no y, so h2 = 0
    y[0] = 0.0
    a = lt.grammar_gamma(c.G, np.ones((150, 1)), y - y.mean(), lt.decompose_kinship(K))
    assert a.null.boundary == "h2=0"
    assert a.gamma == pytest.approx(1 / a.null.sigma2_e, rel=1e-12)


def test_gamma_in_extreme_units_is_the_same_test(cohort, spec):
    """With V of the order 1e-138 its inverse has a square beyond the largest number."""
    c, K = cohort, lt.kinship(lt.standardize(cohort.G))
    tiny, usual = (lt.grammar_gamma(c.G[:, :5], c.X, y, k) for y, k in (
        (1e-69 * c.y, lt.decompose_kinship(1e60 * K)), (c.y, spec)))  # fmt: skip
    np.testing.assert_allclose(tiny.chi2, usual.chi2, rtol=1e-6)
    np.testing.assert_allclose(1e69 * tiny.se, usual.se, rtol=1e-6)


def test_without_noise_gamma_is_that_of_K_alone(cohort):
    c, K = cohort, lt.kinship(lt.standardize(cohort.G)) + 0.2 * np.eye(150)
    y = K @ np.random.default_rng(5).normal(size=150)  # more along its large directions than with h² = 1
    P, Pi = dense_P(K, c.X, 0.0)
    ratios = {True: np.trace(P) / np.trace(Pi), False: np.trace(P @ K) / np.trace(Pi @ K)}
    for independent_snps, want in ratios.items():
        a = lt.grammar_gamma(c.G, c.X, y, lt.decompose_kinship(K), independent_snps=independent_snps)
        assert (a.null.boundary, a.null.sigma2_e) == ("h2=1", 0.0)
        assert a.gamma * a.null.sigma2_g == pytest.approx(want, rel=1e-9)


def test_covariates_may_leave_little_of_K_but_not_rounding_alone():
    rng = np.random.default_rng(1)
    U, noise = np.linalg.qr(rng.normal(size=(50, 2)))[0], rng.normal(size=(50, 2))
    snps = rng.normal(size=(50, 3))
    X, y = np.column_stack([U[:, 0], noise[:, 0]]), 30 * U[:, 1] + noise[:, 1]
    little = np.array([1.0, 1e-6])
    for unit in (1.0, 1e-20, 1e20):
        a = lt.grammar_gamma(snps, X, y, lt.Spectrum(U, unit * little))
        K = (U * little) @ U.T
        P, Pi = dense_P(K, X, a.null.delta / unit)
        assert a.gamma * a.null.sigma2_g * unit == pytest.approx(np.trace(P @ K) / np.trace(Pi @ K), rel=1e-6)
    with pytest.raises(ValueError, match=r"X leaves .*e-1[45] of trace K = 1.0e\+00, which is rounding"):
        lt.grammar_gamma(snps, X, y, lt.Spectrum(U, np.array([1.0, 1e-14])))


def test_bad_snps_have_a_reason_and_the_others_their_test(cohort, spec):
    c = cohort
    G = c.G[:, :7].copy()
    G[:, 0], G[:, 1], G[:, 2], G[:, 6] = 1.0, np.nan, c.X[:, 1], 1e200 * G[:, 6]
    G[:4, 3] = np.nan
    before = G.copy()
    filled = G[:, 3].copy()
    filled[:4] = np.nanmean(filled)
    a = lt.grammar_gamma(G, c.X, c.y, spec)
    b = lt.grammar_gamma(np.column_stack([filled, G[:, 5]]), c.X, c.y, spec)
    assert a.reason.tolist()[:3] == ["constant", "all genotypes missing", "X explains it"]
    assert a.reason.tolist()[3:] == ["", "", "", "its numbers are too large or too small"]
    assert a.missing.tolist() == [0, 150, 0, 4, 0, 0, 0] and a.missing.dtype == np.int64
    for values in (a.beta, a.se, a.chi2, a.p, a.log10_p):
        assert np.isnan(values).tolist() == [True] * 3 + [False] * 3 + [True]
    np.testing.assert_allclose(a.chi2[[3, 5]], b.chi2, rtol=1e-12)
    np.testing.assert_array_equal(G, before)
    np.testing.assert_allclose(lt.grammar_gamma(c.G.astype(np.int8), c.X, c.y, spec).chi2,
                               lt.grammar_gamma(c.G, c.X, c.y, spec).chi2, rtol=1e-12)  # fmt: skip
    with pytest.raises(ValueError, match="infinite"):
        lt.grammar_gamma(np.where(G == 1, np.inf, G), c.X, c.y, spec)
    with pytest.raises(ValueError, match=r"150 rows.*\(7, 2\)"):
        lt.grammar_gamma(np.ones((7, 2)), c.X, c.y, spec)


def test_every_block_is_tested_and_reported(cohort, spec, terminal):
    c, calls = cohort, []
    G = np.hstack([c.G] * 3)  # 1,200 columns: two blocks
    a = lt.grammar_gamma(G, c.X, c.y, spec, progress=lambda *done: calls.append(done))
    assert calls == [(1024, 1200), (1200, 1200)] and terminal.getvalue() == ""
    np.testing.assert_allclose(a.chi2, np.tile(lt.grammar_gamma(c.G, c.X, c.y, spec).chi2, 3), rtol=1e-9)
    assert terminal.getvalue() == "\r400 of 400 SNPs\n"


@pytest.mark.parametrize(("n", "size"), [(100, 1024), (10_000, 838), (10**6, 16)])
def test_blocks_cover_all_snps_and_hold_64_megabytes(n, size):
    assert list(approximate._blocks(2 * size + 3, n)) == [
        slice(0, size), slice(size, 2 * size), slice(2 * size, 2 * size + 3)
    ]  # fmt: skip


def test_grammar_gamma_names_what_does_not_fit(cohort, spec):
    c = cohort
    with pytest.raises(ValueError, match="^X has 149 rows, but there are 150"):
        lt.grammar_gamma(c.G, c.X[1:], c.y, spec)
    with pytest.raises(ValueError, match="^y has 149 rows, but there are 150"):
        lt.grammar_gamma(c.G, c.X, c.y[1:], spec)


# ---- conjugate gradients ----


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), r=st.integers(1, 4), seed=st.integers(0, 10**6), spread=st.floats(0, 4))
def test_conjugate_gradients_solve_what_solve_solves(n, r, seed, spread):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (Q * 10.0 ** rng.uniform(0, spread, n)) @ Q.T
    B = rng.standard_normal((n, r))
    before = B.copy()
    U, _ = lt.conjugate_gradients(lambda V: A @ V, B, tolerance=1e-13)
    np.testing.assert_allclose(U, np.linalg.solve(A, B), atol=1e-8 * np.abs(U).max())
    np.testing.assert_array_equal(B, before)


def test_conjugate_gradients_need_as_many_steps_as_there_are_eigenvalues():
    """D19: K of a balanced one-way layout has two, so two steps reach the solution."""
    K = np.kron(np.eye(5), np.ones((4, 4)))
    b = np.random.default_rng(0).standard_normal((20, 1))
    M = K + 0.7 * np.eye(20)
    U, iterations = lt.conjugate_gradients(lambda V: M @ V, b, tolerance=1e-12)
    assert iterations == 2
    np.testing.assert_allclose(U, np.linalg.solve(M, b), rtol=1e-12)


def test_conjugate_gradients_leave_a_solved_column_alone_and_take_a_zero_one():
    A = np.diag(np.arange(1.0, 31.0))
    B = np.column_stack([np.eye(30)[:, 0], np.zeros(30), np.ones(30)])
    U, iterations = lt.conjugate_gradients(lambda V: A @ V, B)
    np.testing.assert_allclose(U, np.linalg.solve(A, B), atol=1e-10)
    assert iterations > 5
    np.testing.assert_array_equal(U[:, :2], B[:, :2])


def test_conjugate_gradients_refuse_what_they_cannot_solve():
    with pytest.raises(ValueError, match="not positive definite"):
        lt.conjugate_gradients(lambda V: -V, np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"not positive definite: vᵀAv = 0\.00e\+00"):
        lt.conjugate_gradients(lambda V: 0 * V, np.ones((3, 1)))
    with pytest.raises(ValueError, match="^B must be 2-d"):
        lt.conjugate_gradients(lambda V: V, np.ones(3))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^103 iterations .* instead of 1\.0e-10") as fault:
        # not one matrix, so it never ends
        lt.conjugate_gradients(lambda V: V * rng.uniform(0.1, 10, V.shape), np.ones((3, 1)))
    assert 1e-10 < float(str(fault.value).partition("residual of ")[2].split()[0]) < 1e6


# ---- BOLT-LMM-inf ----


def dense_bolt(G, chrom, X, y, sigma2_g, delta, chosen):
    """The statistic with n × n matrices, and the calibration from the SNPs `chosen`."""
    Z = lt.standardize(G)
    chi2, ratio, d = np.full(G.shape[1], np.nan), {}, np.linalg.matrix_rank(X)
    for c in np.unique(chrom):
        others = Z[:, (chrom != c) & (Z.std(axis=0) > 0)]
        P, Pi = dense_P(others @ others.T / others.shape[1], X, delta)
        u = P @ y
        for j in np.flatnonzero((chrom == c) & (Z.std(axis=0) > 0)):
            x = Pi @ Z[:, j]
            chi2[j] = (len(y) - d) * (x @ u) ** 2 / ((x @ x) * (u @ u))
            ratio[j] = (len(y) - d) * sigma2_g * (x @ P @ x) / ((x @ x) * (u @ u))
    return chi2 / np.mean([ratio[j] for j in chosen]), ratio


@pytest.mark.parametrize("first", [0, 1])  # with an intercept, and without
@pytest.mark.parametrize("missing", [0, 0.02])
def test_products_with_the_kinship_are_those_of_the_matrix(cohort, missing, first):
    G, rng = cohort.G.copy(), np.random.default_rng(4)
    G[rng.random(G.shape) < missing] = np.nan
    G[:, 7] = 1.0
    Q = independent(cohort.X[:, first:])[0]
    V, Z, varies = residual(Q, rng.normal(size=(150, 5))), lt.standardize(G), np.arange(400) != 7
    genotypes = approximate.Genotypes(G, cohort.chrom, Q)
    np.testing.assert_allclose(genotypes.standardised(slice(5, 20)), residual(Q, Z[:, 5:20]), atol=1e-12)
    found = genotypes.times_kinship(V, np.array([-1, 0, 3, 1, -1]))
    for j, without in enumerate([None, *np.unique(cohort.chrom)[[0, 3, 1]], None]):
        kept = Z[:, varies & (cohort.chrom != without)]
        want = residual(Q, kept @ (kept.T @ V[:, j]) / kept.shape[1])
        np.testing.assert_allclose(found[:, j], want, atol=1e-12)


def test_a_snp_that_X_explains_calibrates_nothing(cohort):
    """Its xᵀPx is rounding; the constant is that of the others."""
    c, first = cohort, np.eye(150)[:, :1]
    X, chrom = np.column_stack([c.X, first]), np.arange(6) // 3
    G = np.column_stack([first, c.G[:, :5]])
    b = lt.bolt_inf(G, chrom, X, c.y, sigma2_g=0.4, delta=1.0, **quiet)
    chi2 = dense_bolt(G, chrom, X, c.y, 0.4, 1.0, range(1, 6))[0]
    assert b.reason.tolist() == ["X explains it", "", "", "", "", ""]
    np.testing.assert_allclose(b.chi2[1:], chi2[1:], rtol=1e-8)
    alone = lt.bolt_inf(G[:, :2], [0, 1], X, c.y, sigma2_g=0.4, delta=1.0, **quiet)  # one SNP has no spread
    assert np.isfinite(alone.calibration) and np.isnan(alone.calibration_se)
    with pytest.raises(ValueError, match="X explains each of the 2 SNPs"):
        lt.bolt_inf(np.column_stack([first, 2 * first]), [0, 1], X, c.y, delta=1.0, **quiet)


@pytest.mark.parametrize("missing", [0, 0.02])
def test_bolt_is_its_dense_formula(cohort, missing):
    c = cohort
    G = c.G.copy()
    G[:, 7] = 1.0
    if missing:
        G[np.random.default_rng(1).random(G.shape) < missing] = np.nan
    before = G.copy()
    b = lt.bolt_inf(G, c.chrom, c.X, c.y, sigma2_g=0.4, delta=0.8, **quiet)
    varying = np.flatnonzero(~lt.summarize_snps(G).constant)
    chosen = np.sort(np.random.default_rng(0).choice(varying, 30, replace=False))
    chi2, ratio = dense_bolt(G, c.chrom, c.X, c.y, 0.4, 0.8, chosen)
    # relative to 1, since a tiny product xᵀPy is a difference of large ones
    np.testing.assert_allclose(np.sqrt(b.chi2), np.sqrt(chi2), rtol=1e-8, atol=1e-8)
    spread = np.array([ratio[j] for j in chosen])
    assert b.calibration == pytest.approx(1 / spread.mean(), rel=1e-8)
    assert b.calibration_se == pytest.approx(b.calibration**2 * spread.std(ddof=1) / np.sqrt(30), rel=1e-6)
    assert (b.reason[7], b.reason[8]) == ("constant", "")
    assert (b.sigma2_g, b.delta) == (0.4, 0.8) and b.h2 == pytest.approx(1 / 1.8, rel=1e-15)
    assert b.missing.sum() == np.isnan(G).sum()
    np.testing.assert_array_equal(G, before)
    np.testing.assert_allclose(np.log10(b.p[varying]), b.log10_p[varying], rtol=1e-10)


def test_bolt_takes_the_variance_from_y_where_delta_alone_is_given(cohort):
    c = cohort
    P, _ = dense_P(lt.kinship(lt.standardize(c.G)), c.X, 0.8)
    a = lt.bolt_inf(c.G, c.chrom, c.X, c.y, delta=0.8, **quiet)
    assert a.sigma2_g == pytest.approx(c.y @ P @ c.y / (150 - 3), rel=1e-9)
    b = lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=a.sigma2_g, delta=0.8, **quiet)
    np.testing.assert_array_equal(a.chi2, b.chi2)


def test_bolt_needs_two_degrees_of_freedom():
    rng = np.random.default_rng(2)
    snps, y = rng.integers(0, 3, size=(5, 40)), rng.normal(size=5)
    X = np.column_stack([np.ones(5), rng.normal(size=(5, 3))])
    b = lt.bolt_inf(snps, np.arange(40) % 2, X[:, :3], y, delta=1.0, **quiet)
    assert np.isfinite(b.chi2[b.reason == ""]).all() and (b.reason == "").sum() > 20
    with pytest.raises(ValueError, match="leave 1 degrees of freedom"):
        lt.bolt_inf(snps, np.arange(40) % 2, X, y, delta=1.0, **quiet)


def test_bolt_on_eight_bit_integers_is_the_same_and_holds_no_square_matrix():
    c = lt.simulate.cohort(600, 300, seed=8, chromosomes=3)
    G = c.G.astype(np.int8)
    tracemalloc.start()
    b = lt.bolt_inf(G, c.chrom, c.X, c.y, sigma2_g=0.5, delta=1.0, **quiet)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    a = lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=0.5, delta=1.0, **quiet)
    np.testing.assert_allclose(b.chi2, a.chi2, rtol=1e-9)
    tracemalloc.start()
    lt.loco(G, c.chrom, c.X, c.y, **quiet)
    assert peak < tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_bolt_calibrates_to_the_exact_test(cohort):
    """With δ and σ_g² known, calibrated statistics have the mean of the exact ones, and correlate with them."""
    c = lt.simulate.cohort(400, 1000, seed=11, siblings=2, h2=0.4)
    b = lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=0.4, delta=1.5, **quiet)
    chi2, ratio = dense_bolt(c.G, c.chrom, c.X, c.y, 0.4, 1.5, chosen=range(1000))
    values = np.array([ratio[j] for j in range(1000)])
    exact = chi2 * values.mean() / values
    assert abs(b.calibration * values.mean() - 1) < 4 * b.calibration_se / b.calibration
    assert np.corrcoef(b.chi2, exact)[0, 1] > 0.998
    assert b.chi2.mean() == pytest.approx(exact.mean(), rel=0.02)


def test_the_equation_of_the_trace_is_that_of_reml(cohort, spec):
    """yᵀPPy / yᵀPy = tr P / (n - d) at REML's optimum and nowhere near it."""
    c = cohort
    f = lt.LMM(spec, c.X, c.y).fit(reml=True)
    K = lt.kinship(lt.standardize(c.G))

    def excess(delta):
        P, _ = dense_P(K, c.X, delta)
        return (c.y @ P @ P @ c.y) / (c.y @ P @ c.y) * (150 - 3) / np.trace(P) - 1

    assert abs(excess(f.delta)) < 1e-6
    assert excess(f.delta / 2) > 1e-3 and excess(f.delta * 2) < -1e-3


@pytest.mark.parametrize(("seed", "h2"), [(1, 0.3), (6, 0.3), (2, 0.8), (4, 0.8)])
def test_with_orthogonal_signs_the_trace_is_exact_and_delta_is_that_of_reml(seed, h2, monkeypatch):
    c = lt.simulate.cohort(64, 100, seed=seed, chromosomes=2, covariates=1, h2=h2)
    f = lt.LMM(lt.decompose_kinship(lt.kinship(lt.standardize(c.G))), c.X, c.y).fit(reml=True)
    assert f.boundary is None and (f.delta < 1) == (h2 > 0.5)
    Q = independent(c.X)[0]
    monkeypatch.setattr(approximate, "PROBES", 64)
    signs = SimpleNamespace(choice=lambda values, shape: hadamard(64).astype(float))
    genotypes = approximate.Genotypes(c.G, c.chrom, Q)
    delta = approximate._estimate_delta(genotypes, residual(Q, c.y), signs, 1e-10, lambda V: V)
    assert np.log(delta / f.delta) == pytest.approx(0, abs=1.1e-3)  # the tolerance of the search


def test_bolt_estimates_the_variances_within_the_error_of_its_random_vectors(monkeypatch):
    c = lt.simulate.cohort(200, 300, seed=12, siblings=3, h2=0.6)
    f = lt.LMM(lt.decompose_kinship(lt.kinship(lt.standardize(c.G))), c.X, c.y).fit(reml=True)
    few = [lt.bolt_inf(c.G, c.chrom, c.X, c.y, seed=seed, tolerance=1e-6, **quiet).h2 for seed in range(6)]
    assert abs(np.mean(few) - f.h2) < 4 * np.std(few, ddof=1) / np.sqrt(6)
    monkeypatch.setattr(approximate, "PROBES", 500)  # the error falls with the square root
    many = lt.bolt_inf(c.G, c.chrom, c.X, c.y, tolerance=1e-6, **quiet)
    assert many.h2 == pytest.approx(f.h2, abs=0.03)
    assert many.sigma2_g * (1 + many.delta) == pytest.approx(f.sigma2_g + f.sigma2_e, rel=0.02)
    assert many.h2 == pytest.approx(1 / (1 + many.delta), rel=1e-12)


def test_bolt_reports_each_reading_of_the_genotypes(cohort, terminal):
    c, calls = cohort, []
    b = lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=0.4, delta=0.8, progress=lambda *done: calls.append(done))
    assert calls == [(i, None) for i in range(1, b.iterations + 1)] and terminal.getvalue() == ""
    few = lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=0.4, delta=0.8, tolerance=1e-3, **quiet)
    assert few.iterations < b.iterations / 2
    lt.bolt_inf(c.G, c.chrom, c.X, c.y, sigma2_g=0.4, delta=0.8)
    assert terminal.getvalue() == "".join(f"\r{i} passes over the SNPs" for i in range(1, b.iterations + 1))


def test_bolt_without_heritability_ends_at_its_bound():
    c = lt.simulate.cohort(200, 500, seed=13)
    U = lt.decompose_kinship(lt.kinship(lt.standardize(c.G))).U
    y = U[:, -50:] @ np.random.default_rng(0).standard_normal(50)  # less like relatives than chance would have it
    b = lt.bolt_inf(c.G, c.chrom, c.X, y, **quiet)
    assert b.delta == pytest.approx(np.exp(7))
    r = lt.scan(c.G, c.X, y, lt.decompose_kinship(np.eye(200)), refit=False, delta=1.0, test="score")
    np.testing.assert_allclose(np.sqrt(b.chi2), np.sqrt(r.statistic), rtol=0.01, atol=0.01)


def test_bolt_itself_is_matched_up_to_its_calibration():
    """408 SNPs of HS1940 on all chromosomes, given BOLT's own variances: it scales SNPs to |x|² = n - 1, we to n.

    BOLT computes in single precision, so its xᵀPy is wrong by a number that does not shrink with the statistic.
    """
    mice, y = genotypes("hs_n1")
    people = ~np.isnan(y)
    n = int(people.sum())
    (null,) = (row for row in table("bolt_null") if row["data"] == "hs_n1")
    given = {"sigma2_g": float(null["sigma2_K"]) * (n - 1) / n, "delta": np.exp(float(null["log_delta"])) * n / (n - 1)}
    b = lt.bolt_inf(mice.G[people].astype(np.int8), mice.chrom, np.ones((n, 1)), y[people], **given, **quiet)
    assert int(null["snps"]) == np.sum(b.reason == "")
    rows = {row["SNP"]: float(row["CHISQ_BOLT_LMM_INF"]) for row in table("bolt_hs1940_cd8")}
    where = np.array([int(np.flatnonzero(mice.snp == snp)[0]) for snp in rows])
    theirs, ours = np.array(list(rows.values())), b.chi2[where]
    ratio = theirs / ours
    constant = np.median(ratio)
    assert constant * b.calibration == pytest.approx(float(null["ratio_of_medians"]), abs=0.002)
    assert np.abs(np.percentile(ratio, [1, 99]) / constant - 1).max() < 0.002
    assert np.abs(np.sqrt(theirs) - np.sqrt(constant * ours)).max() < 1e-4
    for chromosome in set(mice.chrom):
        assert np.median(ratio[mice.chrom[where] == chromosome]) == pytest.approx(constant, rel=2e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chrom": np.ones(400)}, "fewer than two chromosomes"),
        ({"snps": np.eye(100, 400).repeat(2, axis=0)[:150]}, "the 75 SNPs that vary are on fewer"),
        ({"chrom": np.ones(3)}, r"shape \(3,\), but there are 400"),
        ({"sigma2_g": 1.0}, "without delta"),
        ({"delta": 0.0}, "delta = 0.0 must be positive"),
        ({"delta": np.inf}, "delta = inf must be positive and finite"),
        ({"sigma2_g": -1.0, "delta": 1.0}, "sigma2_g = -1.0"),
        ({"y": np.ones(150)}, "degrees of freedom"),
        ({"X": np.ones((149, 1))}, "^y has 150 rows, but there are 149"),
        ({"X": np.ones(150)}, "^X must be 2-d"),
        ({"snps": np.array([["a"]])}, "array of numbers"),
    ],
)
def test_bad_input_is_refused(cohort, change, words):
    c = cohort
    given = {"snps": c.G, "chrom": c.chrom, "X": c.X, "y": c.y} | change
    with pytest.raises(ValueError, match=words):
        lt.bolt_inf(**given, **quiet)


def test_products_with_the_kinship_are_sums_over_blocks(cohort, monkeypatch):
    Q = independent(cohort.X[:, -1:])[0]  # an intercept would take away what the means take away
    Z = approximate.Genotypes(cohort.G, cohort.chrom, Q)
    V, everything = residual(Q, np.random.default_rng(5).normal(size=(150, 3))), np.full(3, -1)
    whole = Z.times_kinship(V, everything)
    monkeypatch.setattr(approximate, "_blocks", lambda s, n: (slice(j, min(j + 150, s)) for j in range(0, s, 150)))
    np.testing.assert_allclose(Z.times_kinship(V, everything), whole, rtol=1e-9, atol=1e-12)
    assert Z.missing.dtype == np.int64


def test_counts_of_missing_genotypes_are_whole_numbers(cohort, spec):
    G = cohort.G.astype(float)
    G[3, 7] = np.nan
    X, y = cohort.X, cohort.y
    for r in (lt.grammar_gamma(G, X, y, spec), lt.bolt_inf(G, cohort.chrom, X, y, delta=1.0)):
        assert r.missing.dtype == np.int64 and r.missing.sum() == r.missing[7] == 1


def test_a_column_that_is_solved_stays_as_it_is():
    """The first is an eigenvector, solved by one step; the second needs many."""
    A = np.geomspace(1, 1e3, 40)
    apply = lambda V: A[:, None] * V
    b = np.eye(40)[:, :1] + 1e-3 * np.ones((40, 1))
    alone, few = lt.conjugate_gradients(apply, b, tolerance=0.1)
    both, many = lt.conjugate_gradients(apply, np.hstack([b, np.ones((40, 1))]), tolerance=0.1)
    assert few < many
    np.testing.assert_allclose(both[:, :1], alone, rtol=1e-11)


def test_bolt_does_not_depend_on_the_unit_of_a_snp(cohort):
    G = cohort.G.astype(float)
    G[:, 7] *= 1e-9
    one, other = (lt.bolt_inf(g, cohort.chrom, cohort.X, cohort.y, delta=1.0) for g in (cohort.G, G))
    np.testing.assert_allclose(one.chi2, other.chi2, rtol=1e-6)


def test_two_snps_give_the_calibration_a_standard_error(cohort):
    two = [0, 399]  # on two chromosomes
    r = lt.bolt_inf(cohort.G[:, two], cohort.chrom[two], cohort.X, cohort.y, delta=1.0)
    assert 0 < r.calibration_se < 1
