"""Sets of SNPs and pairs against closed forms, dense matrices, simulation and direct fits."""

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.stats import chi2, f, kstest

import lmm_teach as lt
from lmm_teach import dense, simulate


@pytest.fixture(scope="module")
def sample():
    people = simulate.cohort(150, 400, seed=3, siblings=3, h2=0.4, covariates=1)
    Z = lt.standardize(people.G)
    G0 = Z[:, :300] / np.sqrt(300)
    return people.G, Z, people.X, people.y, lt.decompose_snps(G0), G0 @ G0.T


def P_matrix(V, X):
    Vi = np.linalg.inv(V)
    return Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)


# ---- the tail of a weighted sum ----


@pytest.mark.parametrize("count", [1, 2, 3, 10, 49, 100, 1000])  # 49: where the two rules for the step meet
@pytest.mark.parametrize("p", [1 - 1e-9, 0.99, 0.5, 1e-3, 1e-8, 1e-40, 1e-300])
def test_equal_weights_are_a_scaled_chi2(count, p):
    q = chi2.isf(p, count)
    exact = chi2.sf(q, count)
    for scale in (1e-12, 1.0, 1e9):
        assert lt.mixture_sf(scale * q, np.full(count, scale)) == pytest.approx(exact, rel=1e-11, abs=0)


@pytest.mark.parametrize("pairs", [[1, 0.5], [1, 0.9, 0.3, 0.01], [1, 1e-5], np.geomspace(1e-3, 1, 6)])
def test_pairs_of_weights_are_sums_of_exponentials(pairs):
    pairs = np.array(pairs)
    residues = np.array([np.prod([a / (a - b) for b in pairs if b != a]) for a in pairs])
    for q in (0.5, 3, 40, 1000):
        exact = residues @ np.exp(-q / (2 * pairs))
        assert lt.mixture_sf(q, np.repeat(pairs, 2)) == pytest.approx(exact, rel=1e-11, abs=0)


def test_mixed_weights_agree_with_simulation_and_order_does_not_matter():
    weights = np.random.default_rng(1).exponential(size=30)
    draws = np.random.default_rng(2).chisquare(1, (200_000, 30)) @ weights
    for q in np.quantile(draws, [0.01, 0.3, 0.9, 0.999]):
        p = lt.mixture_sf(q, weights)
        assert abs(np.mean(draws > q) - p) < 4 * np.sqrt(p * (1 - p) / 200_000)
        assert lt.mixture_sf(q, weights[::-1]) == pytest.approx(p, rel=1e-12, abs=0)
        assert lt.mixture_sf(q, [*weights, 0.0, -1e-12]) == pytest.approx(p, rel=1e-9, abs=0)


def test_the_tail_falls_from_one_to_zero():
    weights = [3.0, 1.0, 0.2]
    p = [lt.mixture_sf(q, weights) for q in (-1, 0, 1e-300, 1e-6, 1, 10, 100, 4000, 1e5)]
    assert p[:2] == [1, 1] and p[2] == pytest.approx(1, rel=1e-11)
    assert p[-1] == 0 and p[-2] > 0 and (np.diff(p) <= 0).all()


@pytest.mark.parametrize(
    ("q", "weights"), [(1, []), (1, [0.0]), (1, [1, -1]), (1, [np.nan, 1]), (1, [np.inf]), (np.nan, [1]), (np.inf, [1])]
)
def test_bad_weights(q, weights):
    with pytest.raises(ValueError, match="^(weights from|q = nan|q = inf) .*must be finite"):
        lt.mixture_sf(q, weights)
    with pytest.raises(ValueError, match="could not convert"):
        lt.mixture_sf(1.0, ["a"])


# ---- the likelihood ratio ----


@pytest.mark.parametrize("unit", [1.0, 1e60])
def test_a_trait_without_noise_ends_the_search_at_a_bound(unit):
    """Of 20 SNPs and a set: its likelihood grows without bound as the noise vanishes, where no covariance is left."""
    rng = np.random.default_rng(1)
    G, G1 = (lt.standardize(rng.normal(size=(50, r))) / np.sqrt(r) for r in (20, 5))
    y = unit * (G @ rng.normal(size=20) + G1 @ rng.normal(size=5))
    t = lt.set_lrt(G1, np.ones((50, 1)), y, lt.decompose_snps(G))
    assert 300 < t.statistic < 2000 and 0 < t.p < 1e-60 and 0.1 < t.sigma2_set / unit**2 < 10


def test_rlrt_null_has_the_distribution_of_direct_fits():
    G1 = lt.standardize(simulate.cohort(40, 4, seed=5, chromosomes=1).G) / 2
    X = np.ones((40, 1))
    mu = np.linalg.eigvalsh(G1.T @ G1)
    drawn = lt.rlrt_null(mu, 39, 40_000, seed=1)
    rng = np.random.default_rng(6)
    fitted = np.array([lt.set_lrt(G1, X, y).statistic for y in rng.normal(size=(400, 40))])
    zero, found = np.mean(drawn == 0), np.mean(fitted == 0)
    assert abs(found - zero) < 4 * np.sqrt(zero * (1 - zero) / 400)
    positive = drawn[drawn > 0]
    p = [np.mean(positive >= t) for t in fitted[fitted > 0]]
    assert kstest(p, "uniform").pvalue > 0.01


def test_rlrt_null_mass_at_zero_and_scale():
    mu = np.array([5.0, 1.0, 0.2])
    drawn = lt.rlrt_null(mu, 100, 20_000, seed=2)
    rng = np.random.default_rng(3)
    xi, R = rng.chisquare(1, (200_000, 3)), rng.chisquare(97, 200_000)
    mass = np.mean(xi @ mu / (xi.sum(axis=1) + R) <= mu.sum() / 100)
    assert abs(np.mean(drawn == 0) - mass) < 0.012
    np.testing.assert_allclose(lt.rlrt_null(1e6 * mu, 100, 20_000, seed=2), drawn, atol=1e-7)
    np.testing.assert_array_equal(lt.rlrt_null([0.0, *mu, -1e-12], 100, 20_000, seed=2), drawn)


def test_rlrt_null_of_one_snp_is_that_of_f():
    drawn = lt.rlrt_null([2.0], 50, 20_000, seed=4)
    assert abs(np.mean(drawn == 0) - f.cdf(1, 1, 49)) < 0.015
    for F in (2.0, 4.0, 8.0):
        t = 50 * np.log(1 + (F - 1) / 50) - np.log(F)
        assert abs(np.mean(drawn > t) - f.sf(F, 1, 49)) < 0.012


def test_rlrt_null_of_a_multiple_of_the_identity_is_zero():
    """As many eigenvalues as contrasts, all equal: the likelihood is flat."""
    np.testing.assert_allclose(lt.rlrt_null([2.0, 2.0, 2.0], 3, 50, seed=5), 0, atol=1e-13)


def test_rlrt_null_bad_input():
    for mu, message in (([-1.0, 1], "^eigenvalues .* 0 or more"), ([], "not all 0"), ([1.0, 1, 1], "only m = 2")):
        with pytest.raises(ValueError, match=message):
            lt.rlrt_null(mu, 2, 10, seed=1)


def test_one_snp_without_background_in_closed_form(sample):
    _, Z, X, _, _, _ = sample
    m = 150 - X.shape[1]
    A = null_space(X.T)
    for seed in range(10):
        y = 3 + np.random.default_rng(seed).normal(size=150)
        x, r = A.T @ Z[:, 320], A.T @ y
        F = (m - 1) * (x @ r) ** 2 / (x @ x * (r @ r) - (x @ r) ** 2)
        t = lt.set_lrt(Z[:, [320]], X, y)
        want = m * np.log(1 + (F - 1) / m) - np.log(F) if F > 1 else 0.0
        assert t.statistic == pytest.approx(want, abs=1e-6)
        assert t.sigma2_set == 0 or F > 1
        assert t.p == (1.0 if F <= 1 else pytest.approx(0.5 * chi2.sf(want, 1), rel=1e-4))
        if F > 1:
            noise = (r @ r - (x @ r) ** 2 / (x @ x)) / (m - 1)  # the mean square that F divides by
            assert t.sigma2_set == pytest.approx((F - 1) / (x @ x) * noise, rel=1e-4)


@pytest.mark.parametrize("size", [1, 8, 60])
def test_lrt_with_a_background_agrees_with_the_mixture(sample, size):
    _, Z, X, y, spec, K = sample
    G1 = Z[:, 300 : 300 + size] / np.sqrt(size)
    rng = np.random.default_rng(size)
    for trait in (y, y + G1 @ rng.normal(size=size), rng.normal(size=150), 3 * G1 @ rng.normal(size=size) + y):
        t = lt.set_lrt(G1, X, trait, spec)
        best = lt.fit_a2(K, G1 @ G1.T, X, trait, reml=True)
        null = lt.LMM(spec, X, trait).fit(reml=True).nll
        assert t.statistic == pytest.approx(2 * (null - best.fit.nll), abs=1e-4)
        if t.statistic > 0.5:
            assert t.sigma2_set == pytest.approx(best.a2 * best.fit.sigma2_g, rel=0.02)
            assert t.p == pytest.approx(0.5 * chi2.sf(t.statistic, 1), rel=1e-6)


# ---- the score ----


def test_score_against_dense_matrices_and_the_slope_of_the_likelihood(sample):
    _, Z, X, y, spec, K = sample
    G1 = Z[:, 300:312] / np.sqrt(12)
    model = lt.LMM(spec, X, y)
    null = model.fit(reml=True)
    P = P_matrix(null.sigma2_g * K + null.sigma2_e * np.eye(150), X)
    Q = 0.5 * np.sum((G1.T @ P @ y) ** 2)
    t = lt.set_score(G1, X, y, spec)
    assert t.statistic == pytest.approx(Q, rel=1e-8) and np.isnan(t.sigma2_set)
    assert t.p == pytest.approx(lt.mixture_sf(2 * Q, np.linalg.eigvalsh(G1.T @ P @ G1)), rel=1e-6)

    def nll(step):
        return model.evaluate(delta=null.delta, reml=True, include=np.sqrt(step) * G1).nll

    slope = (4 * nll(1e-4) - nll(2e-4) - 3 * null.nll) / 2e-4 / null.sigma2_g
    assert -slope == pytest.approx(Q - 0.5 * np.trace(G1.T @ P @ G1), rel=1e-4)


def test_score_without_background_is_that_of_the_residuals(sample):
    _, Z, X, y, _, _ = sample
    G1, Pi = Z[:, 300:305], P_matrix(np.eye(150), X)
    s2 = y @ Pi @ y / (150 - X.shape[1])
    t = lt.set_score(G1, X, y)
    assert t.statistic == pytest.approx(0.5 * np.sum((G1.T @ Pi @ y) ** 2) / s2**2, rel=1e-8)
    assert t.p == pytest.approx(lt.mixture_sf(2 * t.statistic * s2, np.linalg.eigvalsh(G1.T @ Pi @ G1)), rel=1e-6)


def test_score_keeps_its_level_and_both_tests_find_an_effect(sample):
    _, Z, X, _, spec, _ = sample
    G1, G0 = Z[:, 300:310] / np.sqrt(10), Z[:, :300] / np.sqrt(300)
    rng = np.random.default_rng(7)
    traits = [G0 @ rng.normal(size=300) + rng.normal(size=150) for _ in range(200)]
    p = np.array([lt.set_score(G1, X, y, spec).p for y in traits])
    assert kstest(p, "uniform").pvalue > 0.01 and np.mean(p < 0.05) < 0.1
    strong = traits[0] + 1.5 * G1 @ rng.normal(size=10)
    assert lt.set_score(G1, X, strong, spec).p < 1e-5 and lt.set_lrt(G1, X, strong, spec).p < 1e-5


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_do_not_change_p(sample, scale):
    _, Z, X, y, spec, _ = sample
    G1 = Z[:, 300:310]
    for test in (lt.set_lrt, lt.set_score):
        plain = test(G1, X, y, spec)
        assert test(scale * G1, X, y, spec).p == pytest.approx(plain.p, rel=1e-3)
        assert test(G1, X, scale * y, spec).p == pytest.approx(plain.p, rel=1e-3)
        for G, trait, factor in ((scale * G1, y, scale**-2), (G1, scale * y, scale**2)):
            if test is lt.set_lrt:
                found = test(G, X, trait, spec).sigma2_set
                assert found == pytest.approx(factor * plain.sigma2_set, rel=1e-2)
        background = lt.Spectrum(spec.U, scale**10 * spec.S)
        assert test(G1, X, y, background).p == pytest.approx(plain.p, rel=1e-3)


@pytest.mark.parametrize("test", [lt.set_lrt, lt.set_score])
def test_bad_sets(sample, test):
    _, Z, X, y, spec, _ = sample
    for background in (spec, None):
        with pytest.raises(ValueError, match="explains the whole set"):
            test(X * 2.0, X, y, background)
        with pytest.raises(ValueError, match="explains the whole set"):
            test(np.zeros((150, 2)), X, y, background)
        with pytest.raises(ValueError, match="^X has 150 rows, but there are 100"):
            test(Z[:100, :3], X, y, background)
        with pytest.raises(ValueError, match="^G1 holds 300 NaN"):
            test(np.full((150, 2), np.nan), X, y, background)


# ---- pairs ----


@pytest.mark.parametrize(("n", "d"), [(150, 2), (150, 1), (6, 2)])  # 6 leave one degree of freedom
def test_epistasis_against_the_dense_likelihood(sample, n, d):
    G, _, X, y, spec, K = sample
    X = X[:, :d]
    pairs = np.array([[300, 350], [1, 2], [399, 0]])
    if n < 150:
        G, X, y, K = np.random.default_rng(1).normal(size=(n, 400)), X[:n], y[:n], K[:n, :n]
        spec = lt.decompose_kinship(K)
    found = lt.epistasis(G, pairs, X, y, spec)
    delta = lt.LMM(spec, X, y).fit(reml=True).delta
    for row, (i, j) in enumerate(pairs):
        columns = np.column_stack([X, G[:, i], G[:, j], G[:, i] * G[:, j]])
        null, full = (dense.evaluate(K, c, y, delta=delta, reml=False) for c in (columns[:, :-1], columns))
        statistic = 2 * (null.nll - full.nll)
        assert found.statistic[row] == pytest.approx(statistic, abs=1e-8)
        assert found.beta[row] == pytest.approx(full.beta[-1])
        reml = dense.evaluate(K, columns, y, delta=delta, reml=True)
        assert found.se[row] == pytest.approx(np.sqrt(reml.beta_cov[-1, -1]))
        assert found.p[row] == pytest.approx(chi2.sf(statistic, 1))
        assert found.log10_p[row] == pytest.approx(np.log10(found.p[row]))
    assert (found.reason == "").all()


def test_epistasis_does_not_depend_on_the_coding(sample):
    G, Z, X, y, spec, _ = sample
    pairs = np.array([[300, 350], [10, 11], [350, 300]])
    found = lt.epistasis(G, pairs, X, y, spec)
    for other in (Z, 2 - G, 1000 + 5 * G):
        np.testing.assert_allclose(lt.epistasis(other, pairs, X, y, spec).statistic, found.statistic, rtol=1e-5)
    assert found.statistic[0] == pytest.approx(found.statistic[2])
    twice = lt.epistasis(G, pairs, np.column_stack([X, X @ np.ones(X.shape[1])]), y, spec)
    np.testing.assert_allclose(twice.statistic, found.statistic, rtol=1e-8)  # a dependent covariate


def test_epistasis_finds_interactions_and_ignores_main_effects(sample):
    _, Z, X, _, spec, _ = sample
    rng = np.random.default_rng(8)
    main = 2 * Z[:, 300] - 2 * Z[:, 350] + rng.normal(size=150)
    assert lt.epistasis(Z, [[300, 350]], X, main, spec).p[0] > 0.001
    product = main + Z[:, 300] * Z[:, 350]
    assert lt.epistasis(Z, [[300, 350]], X, product, spec).p[0] < 1e-8


def test_pairs_that_cannot_be_tested(sample):
    G, _, X, y, spec, _ = sample
    G = G.copy()
    G[:, 7], G[:, 8] = 1.0, 0.0
    G[:, 10], G[:, 11] = np.arange(150) % 2, np.arange(150) % 3 == 0
    G[:, 11] *= 1 - G[:, 10]  # never both: the product is zero
    before = G.copy()
    found = lt.epistasis(G, [[5, 5], [7, 5], [8, 5], [10, 11], [5, 6]], X, y, spec)
    assert found.reason.tolist()[:3] == ["the main effects are not independent"] * 3
    assert found.reason.tolist()[3:] == ["the main effects explain the product", ""]
    for values in (found.beta, found.se, found.statistic, found.p, found.log10_p):
        assert np.isnan(values).tolist() == [True] * 4 + [False]
    assert (G == before).all()
    assert lt.epistasis(G, np.empty((0, 2), dtype=int), X, y, spec).p.shape == (0,)


def test_pairs_that_explain_y(sample):
    G, _, X, _, spec, _ = sample
    main = X @ np.ones(X.shape[1]) + G[:, 300] - 2 * G[:, 350]
    for y in (main, main + G[:, 300] * G[:, 350]):
        found = lt.epistasis(G, [[300, 350], [1, 2]], X, y, spec)
        assert found.reason.tolist() == ["X, main effects and product explain y", ""]
        assert np.isnan(found.p).tolist() == [True, False]


def test_bad_pairs(sample):
    G, _, X, y, spec, _ = sample
    for pairs, message in (
        ([[0, 400]], "names columns"), ([[-1, 3]], "names columns"), ([[0.0, 1.0]], "whole numbers"),
        ([0, 1], "shape"), ([[0, 1, 2]], "shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            lt.epistasis(G, pairs, X, y, spec)
    few = lt.decompose_snps(lt.standardize(G[:4]))
    with pytest.raises(ValueError, match="degrees of freedom"):
        lt.epistasis(G[:4], [[0, 1]], np.ones((4, 1)), y[:4], few)
    with pytest.raises(ValueError, match="^snps has 100 rows, but there are 150"):
        lt.epistasis(G[:100], [[0, 1]], X, y, spec)
    with pytest.raises(ValueError, match="^snps holds .* NaN"):
        lt.epistasis(np.where(G == 2, np.nan, G), [[0, 1]], X, y, spec)
