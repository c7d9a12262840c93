"""`mixing` against the dense model, closed forms, scipy's densities and FaST-LMM 0.6.13."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import lmm_teach as lt
from lmm_teach import dense, simulate


def sample(n, s, r, seed, shares=(0.3, 0.3)):
    """G0 (n, s), G1 (n, r), X (n, 2) and y, of which the two kernels explain about the two shares."""
    rng = np.random.default_rng(seed)
    G0, G1 = (lt.standardize(rng.normal(size=(n, c))) / np.sqrt(c) for c in (s, r))
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    parts = (np.sqrt(share) * G @ rng.normal(size=G.shape[1]) for share, G in zip(shares, (G0, G1), strict=True))
    return G0, G1, X, X @ [1.0, 0.5] + sum(parts) + np.sqrt(1 - sum(shares)) * rng.normal(size=n)


# ---- two kernels ----


@pytest.mark.parametrize("reml", [True, False])
def test_surface_is_the_dense_likelihood_of_each_mixture(reml):
    G0, G1, X, y = sample(25, 60, 4, 1)
    K0, K1 = G0 @ G0.T, G1 @ G1.T
    a2, h2 = [0.0, 0.3, 1.0], [0.0, 0.5, 0.9]
    got = lt.surface(K0, K1, X, y, a2=a2, h2=h2, reml=reml)
    want = [[dense.evaluate((1 - w) * K0 + w * K1, X, y, h2=v, reml=reml).nll for v in h2] for w in a2]
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_surface_refuses_what_has_no_likelihood():
    G0, G1, X, y = sample(25, 60, 4, 1)
    K0, K1 = G0 @ G0.T, G1 @ G1.T
    with pytest.raises(ValueError, match="h2 = 1 makes the covariance K itself"):
        lt.surface(K0, K1, X, y, a2=[0.5], h2=[1.0], reml=True)
    with pytest.raises(ValueError, match=r"a2 = 1\.5 is not between 0 and 1"):
        lt.surface(K0, K1, X, y, a2=[1.5], h2=[0.5], reml=True)


@settings(max_examples=60)
@given(
    n=st.integers(8, 25), s=st.integers(3, 60), r=st.integers(1, 6), seed=st.integers(0, 10**6),
    a2=st.sampled_from([0.0, 0.1, 0.5, 0.95]), h2=st.sampled_from([0.05, 0.5, 0.9]), reml=st.booleans(),
)  # fmt: skip
def test_a_second_kernel_by_rank_update_is_the_mixture(n, s, r, seed, a2, h2, reml):
    """K0 with √(a2 / (1 - a2)) G1 included, at δ / (1 - a2), is the mixture at δ; σ_g² becomes that of K0."""
    G0, G1, X, y = sample(n, s, r, seed)
    mixed = lt.LMM(lt.decompose_snps(G0, G1, a2), X, y).evaluate(h2=h2, reml=reml)
    by_update = lt.LMM(lt.decompose_snps(G0), X, y).evaluate(
        delta=mixed.delta / (1 - a2), include=np.sqrt(a2 / (1 - a2)) * G1, reml=reml
    )
    assert by_update.nll == pytest.approx(mixed.nll, abs=1e-8)
    np.testing.assert_allclose(by_update.beta, mixed.beta, rtol=1e-7, atol=1e-8)
    assert by_update.sigma2_g == pytest.approx((1 - a2) * mixed.sigma2_g, rel=1e-7)
    assert by_update.sigma2_e == pytest.approx(mixed.sigma2_e, rel=1e-7)


@pytest.mark.parametrize("reml", [True, False])
def test_fit_a2_finds_the_optimum_of_three_variances(reml):
    G0, G1, X, y = sample(80, 40, 5, 3)
    K0, K1 = G0 @ G0.T, G1 @ G1.T
    f = lt.fit_a2(K0, K1, X, y, reml=reml)

    def nll(t):  # logarithms of the two genetic variances over that of the noise
        k0, k1 = np.exp(t)
        return dense.evaluate((k0 * K0 + k1 * K1) / (k0 + k1), X, y, reml=reml, delta=1 / (k0 + k1)).nll

    found = minimize(nll, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    assert f.fit.nll <= found.fun + 1e-8
    k0, k1 = np.exp(found.x)
    assert f.a2 == pytest.approx(k1 / (k0 + k1), abs=1e-4)
    assert (f.h2_0, f.h2_1) == pytest.approx((k0 / (1 + k0 + k1), k1 / (1 + k0 + k1)), abs=1e-4)
    assert f.h2_0 + f.h2_1 == pytest.approx(f.fit.h2)
    assert f.boundary is None


@pytest.mark.parametrize(("shares", "end"), [((0.7, 0.0), "a2=0"), ((0.0, 0.7), "a2=1")])
def test_fit_a2_drops_to_either_end(shares, end):
    G0, G1, X, y = sample(80, 40, 40, 12, shares)
    f = lt.fit_a2(G0 @ G0.T, G1 @ G1.T, X, y, reml=True)
    assert (f.boundary, f.a2) == (end, float(end[-1]))
    alone = lt.LMM(lt.decompose_snps(G0 if end == "a2=0" else G1), X, y).fit(reml=True)
    assert f.fit.nll == pytest.approx(alone.nll, abs=1e-8)


def test_an_end_is_searched_up_to_the_first_grid_point():
    """A weight well below the first step of the grid is found, and beats both of its neighbours."""
    rng = np.random.default_rng(5)
    G0 = lt.standardize(rng.normal(size=(150, 30))) / np.sqrt(30)
    G1 = lt.standardize(rng.normal(size=(150, 3))) / np.sqrt(3)
    y = 3 * G0 @ rng.normal(size=30) + 0.4 * G1 @ np.ones(3) + 0.3 * rng.normal(size=150)
    f = lt.fit_a2(G0 @ G0.T, G1 @ G1.T, np.ones((150, 1)), y, reml=True)
    assert f.boundary is None and 0 < f.a2 < 0.1
    turned = lt.fit_a2(G1 @ G1.T, G0 @ G0.T, np.ones((150, 1)), y, reml=True)
    assert turned.boundary is None and turned.a2 == pytest.approx(1 - f.a2, abs=1e-5)


def test_the_surface_has_nothing_below_the_fit():
    G0, G1, X, y = sample(60, 100, 8, 7)
    K0, K1 = G0 @ G0.T, G1 @ G1.T
    f = lt.fit_a2(K0, K1, X, y, reml=True)
    grid = lt.surface(K0, K1, X, y, a2=np.linspace(0, 1, 41), h2=np.linspace(0, 0.99, 100), reml=True)
    assert f.fit.nll <= grid.min() <= f.fit.nll + 0.05


def test_without_genetic_variance_there_is_no_weight():
    rng = np.random.default_rng(2)
    G0, G1, X, _ = sample(60, 20, 3, 2)
    y = rng.normal(size=60)
    for G in (G0, G1):  # no variance along either kernel
        Q = np.linalg.qr(np.column_stack([X, G]))[0]
        y = y - Q @ (Q.T @ y)
    f = lt.fit_a2(G0 @ G0.T, G1 @ G1.T, X, y, reml=True)
    assert np.isnan(f.a2) and f.boundary is None and f.fit.boundary == "h2=0" and (f.h2_0, f.h2_1) == (0, 0)


def test_fit_a2_refuses_proportional_kernels_and_bad_grids():
    G0, _, X, y = sample(40, 60, 4, 3)
    K = G0 @ G0.T
    with pytest.raises(ValueError, match="does not depend on a2"):
        lt.fit_a2(K, 2 * K, X, y, reml=True)
    for grid in ([0.1, 1.0], [0.0, 0.5], [0.0, 0.7, 0.3, 1.0], [0.0, 0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="must rise from 0 to 1"):
            lt.fit_a2(K, K, X, y, reml=True, grid=grid)


# ---- prediction ----


@settings(max_examples=60)
@given(
    n=st.integers(6, 20), s=st.integers(0, 50), seed=st.integers(0, 10**6),
    form=st.sampled_from([{"h2": 0.0}, {"h2": 0.4}, {"delta": 0.05}, {"log_delta": 3.0}]), reml=st.booleans(),
)  # fmt: skip
def test_prediction_is_the_conditional_distribution(n, s, seed, form, reml):
    """Mean and covariance by n × n inverses, Gaussian conditioning, with β as a flat-prior coefficient."""
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(n + 4, s)) / np.sqrt(max(s, 1))
    X = np.column_stack([np.ones(n + 4), rng.normal(size=n + 4)])
    y = rng.normal(size=n)
    if s:
        e = lt.LMM(lt.decompose_snps(G[:n]), X[:n], y).evaluate(reml=reml, **form)
    else:
        e = lt.LMM(lt.decompose_snps(G[:n]), X[:n], y).evaluate(reml=reml, h2=0)
    p = lt.predict(G[:n], X[:n], y, G[n:], X[n:], e)
    V = e.sigma2_g * G @ G.T + e.sigma2_e * np.eye(n + 4)
    gain = V[n:, :n] @ np.linalg.inv(V[:n, :n])
    left = X[n:] - gain @ X[:n]
    beta_cov = np.linalg.inv(X[:n].T @ np.linalg.inv(V[:n, :n]) @ X[:n])
    np.testing.assert_allclose(p.mean, X[n:] @ e.beta + gain @ (y - X[:n] @ e.beta), atol=1e-7)
    want = V[n:, n:] - gain @ V[:n, n:] + left @ beta_cov @ left.T
    np.testing.assert_allclose(p.covariance, want, atol=1e-7)


def test_prediction_equals_ridge_and_henderson():
    rng = np.random.default_rng(4)
    for s in (5, 60):
        G, X = rng.normal(size=(30, s)) / np.sqrt(s), np.column_stack([np.ones(30), rng.normal(size=30)])
        y = rng.normal(size=30)
        G_new, X_new = rng.normal(size=(7, s)), np.ones((7, 2))
        e = lt.LMM(lt.decompose_snps(G), X, y).evaluate(delta=0.7, reml=True)
        w = np.linalg.solve(G.T @ G + 0.7 * np.eye(s), G.T @ (y - X @ e.beta))
        mean = lt.predict(G, X, y, G_new, X_new, e).mean
        np.testing.assert_allclose(mean, X_new @ e.beta + G_new @ w, atol=1e-10)
        A = np.block([[X.T @ X, X.T @ G], [G.T @ X, G.T @ G + 0.7 * np.eye(s)]])
        both = np.linalg.solve(A, np.concatenate([X.T @ y, G.T @ y]))
        np.testing.assert_allclose(both, np.concatenate([e.beta, w]), atol=1e-10)


def test_the_density_of_the_new_times_that_of_the_old_is_that_of_all():
    """With the variances fixed and β integrated out, by the chain rule."""
    rng = np.random.default_rng(8)
    G, X = rng.normal(size=(40, 90)) / np.sqrt(90), np.column_stack([np.ones(40), rng.normal(size=40)])
    y = rng.normal(size=40)
    e = lt.LMM(lt.decompose_snps(G[:30]), X[:30], y[:30]).evaluate(h2=0.6, reml=True)

    def integrated(rows):
        V = e.sigma2_g * G[rows] @ G[rows].T + e.sigma2_e * np.eye(rows.stop)
        A = null_space(X[rows].T)
        contrasts = -multivariate_normal(np.zeros(A.shape[1]), A.T @ V @ A).logpdf(A.T @ y[rows])
        return contrasts + 0.5 * np.linalg.slogdet(X[rows].T @ X[rows])[1]

    new = lt.predict(G[:30], X[:30], y[:30], G[30:], X[30:], e).nll(y[30:])
    assert integrated(slice(0, 30)) + new == pytest.approx(integrated(slice(0, 40)), abs=1e-9)


def test_density_of_a_prediction_is_scipys():
    p = lt.Prediction(np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]]))
    assert p.nll([0.0, 3.0]) == pytest.approx(-multivariate_normal(p.mean, p.covariance).logpdf([0.0, 3.0]))
    with pytest.raises(ValueError, match="3 rows, but there are 2"):
        p.nll([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="singular"):
        lt.Prediction(np.zeros(2), np.ones((2, 2))).nll([0.0, 1.0])


def test_predict_names_what_does_not_fit():
    G0, _, X, y = sample(20, 8, 2, 1)
    e = lt.LMM(lt.decompose_snps(G0), X, y).evaluate(h2=0.3, reml=True)
    with pytest.raises(ValueError, match="8 and 7 SNPs"):
        lt.predict(G0, X, y, G0[:, :7], X, e)
    with pytest.raises(ValueError, match="2 and 1 columns"):
        lt.predict(G0, X, y, G0, X[:, :1], e)
    twice = np.column_stack([X, X[:, 1]])
    e = lt.LMM(lt.decompose_snps(G0), twice, y).evaluate(h2=0.3, reml=True)
    with pytest.raises(ValueError, match="1 of 3 columns of X were dropped"):
        lt.predict(G0, twice, y, G0, twice, e)


# ---- choosing SNPs ----


def test_rank_is_the_order_of_univariate_f():
    rng = np.random.default_rng(6)
    Z, X, y = rng.normal(size=(40, 12)), np.column_stack([np.ones(40), rng.normal(size=40)]), rng.normal(size=40)
    rss = [np.linalg.lstsq(np.column_stack([X, z]), y)[1][0] for z in Z.T]
    F = (np.linalg.lstsq(X, y)[1][0] - rss) / (np.array(rss) / 37)
    np.testing.assert_array_equal(lt.rank_snps(Z, X, y), np.argsort(-F))
    spoilt = np.column_stack([np.zeros(40), X[:, 1] * 3 + 5, Z])
    order = lt.rank_snps(spoilt, X, y)
    assert set(order[-2:]) == {0, 1}
    np.testing.assert_array_equal(order[:-2] - 2, np.argsort(-F))
    np.testing.assert_array_equal(lt.rank_snps(1e6 * Z, X, 1e-6 * y), np.argsort(-F))
    np.testing.assert_array_equal(lt.rank_snps(np.repeat(Z[:, :1], 100, axis=1), X, y), np.arange(100))  # no preference


def strong(n, s, seed, causal=3):
    c = simulate.cohort(n, s, seed=seed, h2=0.0)
    Z, chosen = lt.standardize(c.G), np.random.default_rng(seed).choice(s, causal, replace=False)
    return Z, c.X, c.y + Z[:, chosen].sum(axis=1) / np.sqrt(causal), chosen


def test_rank_does_not_depend_on_the_unit_of_a_snp():
    Z, X, y, _ = strong(30, 10, 1)
    unit = np.array([1e-9, 1e6, *np.ones(8)])
    np.testing.assert_array_equal(lt.rank_snps(Z * unit, X, y), lt.rank_snps(Z, X, y))


def test_selection_is_what_a_loop_over_folds_gives():
    Z, X, y, _ = strong(60, 40, 1)
    label = np.random.default_rng(3).integers(0, 4, 60)
    counts = [0, 1, 4, 40]
    got = lt.select_snps(Z, X, y, counts, folds=label)
    for fold in range(4):
        out, train = label == fold, label != fold
        z = Z[train] - Z[train].mean(axis=0)
        order = np.argsort(-np.abs(np.corrcoef(z.T, y[train])[-1, :-1]))
        for j, r in enumerate(counts):
            G = Z[:, order[:r]] / np.sqrt(max(r, 1))
            K = G @ G.T
            m = lt.LMM(lt.decompose_kinship(K[np.ix_(train, train)]), X[train], y[train])
            f = m.fit(reml=True) if r else m.evaluate(h2=0, reml=True)
            V = f.sigma2_g * K + f.sigma2_e * np.eye(60)
            gain = V[np.ix_(out, train)] @ np.linalg.inv(V[np.ix_(train, train)])
            left = X[out] - gain @ X[train]
            mean = X[out] @ f.beta + gain @ (y[train] - X[train] @ f.beta)
            cov = V[np.ix_(out, out)] - gain @ V[np.ix_(train, out)] + left @ f.beta_cov @ left.T
            assert got.nll[fold, j] == pytest.approx(-multivariate_normal(mean, cov).logpdf(y[out]), abs=1e-6)
            assert got.mse[fold, j] == pytest.approx(np.mean((y[out] - mean) ** 2), rel=1e-6)
    assert got.counts.tolist() == counts and got.chosen == counts[got.nll.sum(axis=0).argmin()]
    np.testing.assert_array_equal(got.order, lt.rank_snps(Z, X, y))


def test_few_strong_snps_are_chosen_many_weak_ones_too_and_none_for_nothing():
    counts = [0, 2, 8, 32, 400]
    Z, X, y, causal = strong(200, 400, 2)
    few = lt.select_snps(Z, X, y, counts, folds=5, seed=1)
    assert 2 <= few.chosen <= 8 and set(causal) <= set(few.order[:8])
    c = simulate.cohort(200, 400, seed=2, h2=0.8)
    assert lt.select_snps(Z, X, c.y, counts, folds=5, seed=1).chosen == 400
    noise = np.random.default_rng(1).normal(size=200)
    assert lt.select_snps(Z, X, noise, counts, folds=5, seed=1).chosen == 0


def test_random_folds_repeat_with_their_seed_and_have_equal_sizes():
    Z, X, y, _ = strong(53, 30, 1)
    one, again, other = (lt.select_snps(Z, X, y, [0, 2], folds=5, seed=seed) for seed in (0, 0, 2))
    np.testing.assert_array_equal(one.nll, again.nll)
    np.testing.assert_array_equal(one.nll, lt.select_snps(Z, X, y, [0, 2], folds=5).nll)
    np.testing.assert_array_equal(lt.choose_pcs(Z, [0, 2], folds=5).nll, lt.choose_pcs(Z, [0, 2], folds=5, seed=0).nll)
    assert (one.nll != other.nll).any() and one.nll.shape == (5, 2)
    assert lt.select_snps(Z, X, y, [0, 2], folds=2).nll.shape == (2, 2)
    Q = np.linalg.qr(X)[0]  # 53 folds leave one out each
    left_out = ((y - Q @ (Q.T @ y)) / (1 - (Q**2).sum(axis=1))) ** 2
    found = lt.select_snps(Z, X, y, [0], folds=53).mse[:, 0]
    np.testing.assert_allclose(np.sort(found), np.sort(left_out), rtol=1e-8)


def test_bad_counts_and_folds_are_named():
    Z, X, y, _ = strong(30, 10, 1)
    with pytest.raises(ValueError, match="from 0 to 11, but 10 SNPs allow 0 to 10"):
        lt.select_snps(Z, X, y, [0, 1, 11], folds=5)
    for counts in ([2, 1], [1, 1], [], [0.5, 1.0], 3):
        with pytest.raises(ValueError, match="increasing whole numbers"):
            lt.select_snps(Z, X, y, counts, folds=5)
    with pytest.raises(ValueError, match="from -1 to 1"):
        lt.select_snps(Z, X, y, [-1, 1], folds=5)
    for folds in (1, 31):
        with pytest.raises(ValueError, match=f"{folds} folds cannot be made of 30"):
            lt.select_snps(Z, X, y, [0, 1], folds=folds)
    for folds in (np.zeros(30), np.arange(29)):
        with pytest.raises(ValueError, match="at least two differ"):
            lt.select_snps(Z, X, y, [0, 1], folds=folds)


def test_labels_may_be_words():
    Z, X, y, _ = strong(30, 10, 1)
    words = np.array(["north", "south", "east"])[np.arange(30) % 3]
    assert lt.select_snps(Z, X, y, [0, 1], folds=words).nll.shape == (3, 2)
    assert lt.select_snps(Z, X, y, [1], folds=words).chosen == 1
    assert lt.select_snps(Z, X, y, [0, 1], folds=words == "north").nll.shape == (2, 2)
    found = lt.choose_pcs(Z, [0, 1], folds=np.arange(10) % 2)
    assert found.nll.shape == (2, 2) and found.counts.tolist() == [0, 1]


# ---- choosing components ----


def test_held_out_score_is_a_normal_density_of_each_snp():
    c = simulate.cohort(25, 80, seed=3, populations=2, fst=0.1)
    Z = lt.standardize(c.G)
    label = np.arange(80) % 4
    got = lt.choose_pcs(Z, [0, 1, 3], folds=label)
    A = null_space(np.ones((1, 25)))  # 24 contrasts
    for fold in range(4):
        K = A.T @ Z[:, label != fold] @ Z[:, label != fold].T @ A / 60
        S, U = (v[..., ::-1] for v in np.linalg.eigh(K))
        for j, k in enumerate([0, 1, 3]):
            v = S[k:].mean()
            C = (U[:, :k] * (S[:k] - v)) @ U[:, :k].T + v * np.eye(24)
            density = multivariate_normal(np.zeros(24), C).logpdf((A.T @ Z[:, label == fold]).T).sum()
            assert got.nll[fold, j] == pytest.approx(-density, rel=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), c=st.integers(0, 3))
def test_the_closed_form_is_the_best_covariance_of_its_kind(seed, c):
    """Tipping and Bishop: no other W Wᵀ + vI with c columns fits the training SNPs better."""
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(6, 20)) * np.array([3, 2, 1.5, 1, 1, 1])[:, None]
    K = B @ B.T / 20
    S, U = (v[..., ::-1] for v in np.linalg.eigh(K))
    v = S[c:].mean()

    def nll(W, v):
        C = W @ W.T + v * np.eye(6)
        return np.linalg.slogdet(C)[1] + np.trace(np.linalg.solve(C, K))

    best = nll(U[:, :c] * np.sqrt(S[:c] - v), v)
    assert best == pytest.approx(np.log(S[:c]).sum() + (6 - c) * np.log(v) + 6)
    for size in (0.01, 0.3, 3.0):
        W = U[:, :c] * np.sqrt(S[:c] - v) + size * rng.normal(size=(6, c))
        assert nll(W, v * np.exp(size * rng.normal())) >= best


def test_components_are_the_populations_whatever_the_ld_and_the_families():
    tried = range(9)
    plain = simulate.cohort(150, 800, seed=1, populations=3, fst=0.05)
    got = lt.choose_pcs(lt.standardize(plain.G), tried, folds=5)
    assert got.chosen == 2 and got.pcs.shape == (150, 2)
    np.testing.assert_allclose(got.pcs.T @ got.pcs, np.eye(2), atol=1e-10)
    U = lt.decompose_snps(lt.standardize(plain.G) / np.sqrt(800)).U[:, :2]
    np.testing.assert_allclose(np.abs((U * got.pcs).sum(axis=0)), 1, atol=1e-8)
    linked = simulate.cohort(150, 800, seed=1, populations=3, fst=0.05, ld=0.9)
    Z = lt.standardize(linked.G)
    assert lt.choose_pcs(Z, tried, folds=5).chosen == 8  # neighbours are on both sides
    assert lt.choose_pcs(Z, tried, folds=linked.chrom).chosen == 2
    siblings = simulate.cohort(160, 800, seed=1, populations=3, fst=0.05, siblings=4)
    Z = lt.standardize(siblings.G)
    assert lt.choose_pcs(Z, tried, folds=5).chosen == 8
    got = lt.choose_pcs(Z, tried, folds=5, cutoff=0.25)
    assert got.chosen == 2 and got.pcs.shape == (160, 2) and 30 < got.used.size < 60
    np.testing.assert_allclose(got.pcs[got.used].T @ got.pcs[got.used], np.eye(2), atol=1e-10)
    between = np.stack([got.pcs[siblings.population == p].mean(axis=0) for p in range(3)])
    within = max(got.pcs[siblings.population == p].std(axis=0).max() for p in range(3))
    apart = np.linalg.norm(between[:, None] - between[None], axis=2)[np.triu_indices(3, 1)]
    assert apart.min() > 4 * within  # projected siblings lie with their own population


def test_components_of_unrelated_people_are_those_of_a_sample_without_the_others():
    """SNPs are centred over the people used, whatever their mean was."""
    Z = lt.standardize(simulate.cohort(80, 300, seed=4, populations=2, fst=0.1, siblings=2).G)
    got = lt.choose_pcs(Z, range(4), folds=3, seed=2, cutoff=0.25)
    alone = lt.choose_pcs(Z[got.used], range(4), folds=3, seed=2)
    assert got.used.size < 60 and got.chosen == alone.chosen == 1
    np.testing.assert_allclose(got.nll, alone.nll)
    np.testing.assert_allclose(np.abs(got.pcs[got.used]), np.abs(alone.pcs), atol=1e-10)
    moved = lt.choose_pcs(Z + np.arange(300), range(4), folds=3, seed=2)
    np.testing.assert_allclose(moved.nll, lt.choose_pcs(Z, range(4), folds=3, seed=2).nll)


def test_too_many_components_are_refused():
    Z = lt.standardize(simulate.cohort(30, 12, seed=1, chromosomes=1).G)
    with pytest.raises(ValueError, match=r"from 0 to 29, but 30 individuals allow 0 to 28"):
        lt.choose_pcs(Z, [0, 29], folds=3)
    for most in (8, 9):
        message = f"8 SNPs of 30 .* have 8 components, and no noise is left for {most}"
        for counts in ([0, most], [most], [0, 1, most]):
            with pytest.raises(ValueError, match=message):
                lt.choose_pcs(Z, counts, folds=3)


def test_unrelated_keeps_no_pair_and_drops_the_best_connected_first():
    star = np.eye(5)
    star[0] = star[:, 0] = 0.5
    np.testing.assert_array_equal(lt.unrelated(star, 0.25), [1, 2, 3, 4])
    np.testing.assert_array_equal(lt.unrelated(star, 0.5), [1, 2, 3, 4])  # "from which" includes it
    np.testing.assert_array_equal(lt.unrelated(np.array([[3, 3, 1], [3, 3, 1], [1, 1, 3]]), 2), [1, 2])
    K = lt.kinship(lt.standardize(simulate.cohort(60, 900, seed=2, siblings=4).G))
    kept, before = lt.unrelated(K, 0.25), K.copy()
    rest = K[np.ix_(kept, kept)] - np.diag(K.diagonal()[kept])
    assert rest.max() < 0.25 and set(kept // 4) == set(range(15))
    np.testing.assert_array_equal(K, before)
    with pytest.raises(ValueError, match="square"):
        lt.unrelated(np.ones((2, 3)), 0.1)


# ---- what does not fit is named ----


def test_every_argument_is_named():
    G, _, X, y = sample(20, 8, 2, 1)
    K, e = G @ G.T, lt.LMM(lt.decompose_snps(G), X, y).evaluate(h2=0.3, reml=True)
    for call, message in (
        (lambda: lt.surface(K, K, X, y, a2=0.5, h2=[0.5], reml=True), "^a2 must be 1-d"),
        (lambda: lt.surface(K, K, X, y, a2=[0.5], h2=0.5, reml=True), "^h2 must be 1-d"),
        (lambda: lt.fit_a2(K, K, X, y, reml=True, grid=0.5), "^grid must be 1-d"),
        (lambda: lt.Prediction(y, K).nll(0.0), "^y_new must be 1-d"),
        (lambda: lt.predict(y, X, y, G, X, e), "^G must be 2-d"),
        (lambda: lt.predict(G, X, y, y, X, e), "^G_new must be 2-d"),
        (lambda: lt.predict(G, X[:9], y, G, X, e), "^X has 9 rows, but there are 20"),
        (lambda: lt.predict(G, X, y[:9], G, X, e), "^y has 9 rows, but there are 20"),
        (lambda: lt.predict(G, X, y, G[:9], X, e), "^X_new has 20 rows, but there are 9"),
        (lambda: lt.rank_snps(y, X, y), "^Z must be 2-d"),
        (lambda: lt.rank_snps(G, X[:9], y), "^X has 9 rows, but there are 20"),
        (lambda: lt.rank_snps(G, X, y[:9]), "^y has 9 rows, but there are 20"),
        (lambda: lt.select_snps(y, X, y, [0, 1], folds=2), "^Z must be 2-d"),
        (lambda: lt.select_snps(G, X[:9], y, [0, 1], folds=2), "^X has 9 rows, but there are 20"),
        (lambda: lt.select_snps(G, X, y[:9], [0, 1], folds=2), "^y has 9 rows, but there are 20"),
        (lambda: lt.choose_pcs(y, [0, 1], folds=2), "^Z must be 2-d"),
        (lambda: lt.unrelated(y, 0.5), "^K must be 2-d"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()


# ---- FaST-LMM 0.6.13, run once on the problem below ----


def problem():
    c = simulate.cohort(120, 300, seed=11, siblings=4, h2=0.5)
    Z = lt.standardize(c.G)
    X = np.column_stack([np.ones(120), np.random.default_rng(3).normal(size=120)])
    return Z, Z[:, :250] / np.sqrt(250), Z[:, 250:280] / np.sqrt(30), X, c.y + 0.3 * X[:, 1]


def test_numbers_of_fastlmm():
    """`lmm_cov.LMM.nLLeval_2K(h2=0.3, h2_1=0.35)`; `lmm.LMM.findA2`; `predictMean(delta=1.5)` of the last 20."""
    _, G0, G1, X, y = problem()
    K0, K1 = G0 @ G0.T, G1 @ G1.T
    (both,), = lt.surface(K0, K1, X, y, a2=[0.35 / 0.65], h2=[0.65], reml=True)
    assert both == pytest.approx(170.89753277, abs=1e-7)
    f = lt.fit_a2(K0, K1, X, y, reml=True)
    assert (f.a2, f.boundary) == (0.0, "a2=0")
    assert f.fit.h2 == pytest.approx(0.4368665, abs=1e-6)
    assert f.fit.nll == pytest.approx(163.8329916, abs=1e-6)
    old, new = slice(0, 100), slice(100, 120)
    e = lt.LMM(lt.decompose_snps(G1[old]), X[old], y[old]).evaluate(delta=1.5, reml=True)
    p = lt.predict(G1[old], X[old], y[old], G1[new], X[new], e)
    np.testing.assert_allclose(p.mean[:3], [-0.16937216, -0.0746649, -0.10105578], atol=1e-7)
    # `nLLeval_test` leaves out the uncertainty of β
    spec = lt.decompose_snps(G1[old])
    gain = G1[new] @ (G1[old].T @ spec.U / (spec.S + 1.5)) @ spec.U.T
    left = X[new] - gain @ X[old]
    without = lt.Prediction(p.mean, p.covariance - left @ e.beta_cov @ left.T)
    assert without.nll(y[new]) == pytest.approx(38.807449684, abs=1e-6)
    assert p.nll(y[new]) > without.nll(y[new]) + 0.1


def test_score_of_a_second_kernel_needs_the_cross_term():
    """`scoretest2K._score`, low rank: ½(|A|² + |B|²) where ½|A + B|² = ½ tr(PG₂G₂ᵀPG₂G₂ᵀ) belongs."""
    Z, _, G1, X, y = problem()
    G2 = Z[:, 280:290] / np.sqrt(10)
    h2, sigma2 = 0.035102599425965955, 1.02774783457274  # its null model
    Q = np.linalg.qr(X)[0]
    spec = lt.decompose_snps(G1 - Q @ (Q.T @ G1))
    parts = lt.rotate(spec, G2 - Q @ (Q.T @ G2))
    A = parts.along.T @ (parts.along / (sigma2 * (h2 * spec.S + 1 - h2))[:, None])
    B = parts.outside.T @ parts.outside / (sigma2 * (1 - h2))
    V_inverse = np.linalg.inv(sigma2 * (h2 * G1 @ G1.T + (1 - h2) * np.eye(120)))
    P = V_inverse - V_inverse @ X @ np.linalg.solve(X.T @ V_inverse @ X, X.T @ V_inverse)
    right = 0.5 * np.trace(P @ G2 @ G2.T @ P @ G2 @ G2.T)
    assert right == pytest.approx(752.2332805, abs=1e-5)
    assert 0.5 * ((A + B) ** 2).sum() == pytest.approx(right, rel=1e-9)
    assert 0.5 * ((A**2).sum() + (B**2).sum()) == pytest.approx(447.5424021, abs=1e-5)
