"""Cases in which arithmetic or the model fails easily: what goes wrong in each, and what the package does instead."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import minimize_scalar
from scipy.special import betaln
from scipy.stats import f as f_distribution

import lmm_teach as lt
from lmm_teach import dense
from lmm_teach.projection import independent, residual
from lmm_teach.rotation import rotate


def cohort(n, s, d, seed, h2=0.5):
    """Scaled G (n, s) of centred columns, X (n, d) with intercept, y of which the SNPs explain about h2."""
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, s))) / np.sqrt(s)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    noise = np.sqrt(1 - h2) * rng.normal(size=n)
    return G, X, 3 + X @ rng.normal(size=d) + np.sqrt(h2) * G @ rng.normal(size=s) + noise


def spectrum_model(eigenvalues, eta):
    """A model whose REML likelihood has the given spectrum λ and rotated residual η: X is a further axis."""
    X = np.zeros((len(eta) + 1, 1))
    X[-1] = 1.0
    return lt.LMM(lt.decompose_kinship(np.diag([*eigenvalues, 0.0])), X, np.array([*eta, 2.0]))


def ols(X, y):
    """Coefficients, residual sum of squares and (XᵀX)⁻¹ of linear regression."""
    beta, rss = np.linalg.lstsq(X, y)[:2]
    return beta, rss[0], np.linalg.inv(X.T @ X)


# ---- the ends of h² ----


def test_h2_to_1_where_X_explains_the_null_space_of_K():
    """ML falls by ½ log 10 per decade, which is no estimate; at h² = 1 there is no likelihood, of either kind."""
    G, X, y = cohort(60, 300, 1, 4)  # SNPs sum to zero, and X is the intercept
    m = lt.LMM(lt.decompose_snps(G), X, y)
    far = [m.evaluate(delta=delta, reml=False).nll for delta in (1e-10, 1e-11)]
    assert far[0] - far[1] == pytest.approx(0.5 * np.log(10), abs=1e-6)
    f = m.fit(reml=False)
    assert f.boundary is None
    assert f.unbounded
    assert not m.fit(reml=True).unbounded
    inside = minimize_scalar(lambda t: m.evaluate(log_delta=t, reml=False).nll, bounds=(-3, 3), options={"xatol": 1e-9})
    assert np.log(f.delta) == pytest.approx(inside.x, abs=1e-6)
    for reml in (True, False):
        for end in ({"h2": 1.0}, {"delta": 0.0}, {"log_delta": -1e9}):
            with pytest.raises(ValueError, match="rank is 59 with 60 individuals.*evaluate at h2 < 1"):
                m.evaluate(reml=reml, **end)


@pytest.mark.parametrize("d", [1, 3])
def test_h2_to_1_where_X_does_not_explain_the_null_space_of_K(d):
    """n - k = 40 directions outside; ML grows by ½k per unit of -log δ, REML by half the rank of AᵀKA."""
    G, X, y = cohort(100, 60, d, 9)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    Q = np.linalg.qr(X)[0]
    absorbed = np.linalg.matrix_rank(Q - m._spec.U @ (m._spec.U.T @ Q), tol=1e-8)
    for delta in (1e-9, 1e-300):  # no guard is needed down to the smallest numbers: S is positive, and δ is added
        ml, reml = (m.evaluate(delta=delta / np.e, reml=kind).nll - m.evaluate(delta=delta, reml=kind).nll
                    for kind in (False, True))  # fmt: skip
        assert ml == pytest.approx(60 / 2, abs=1e-5)
        assert reml == pytest.approx((60 + absorbed - d) / 2, abs=1e-5)
    assert not m.fit(reml=False).unbounded and m.fit(reml=True).boundary is None


def test_h2_of_0():
    """M = I, whatever K is: linear regression, a candidate of its own in the search, and flagged."""
    G, X, y = cohort(40, 20, 3, 2)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    beta, rss, inverse = ols(X, y)
    for reml, N in ((False, 40), (True, 37)):
        e = m.evaluate(h2=0.0, reml=reml)
        assert e.nll == pytest.approx(N / 2 * (np.log(2 * np.pi * rss / N) + 1), abs=1e-9)
        np.testing.assert_allclose(e.beta, beta, rtol=1e-9)
        np.testing.assert_allclose(e.beta_cov, rss / N * inverse, rtol=1e-9, atol=1e-12)
        assert (e.sigma2_g, e.delta) == (0.0, np.inf)
    eigenvalues = np.linspace(3, 0.5, 30)
    quiet = spectrum_model(eigenvalues, np.sqrt(1 / eigenvalues))  # small λ, large η: no signal
    for reml in (True, False):
        assert quiet.fit(reml=reml).nll == quiet.evaluate(h2=0, reml=reml).nll
    falling = quiet.fit(reml=True)
    assert (falling.boundary, falling.h2, falling.delta, falling.sigma2_g) == ("h2=0", 0.0, np.inf, 0.0)


def test_h2_at_the_upper_bound():
    """Flagged, whether the end is h² = 1 itself or, where K is singular, the smallest δ of the search."""
    eigenvalues = np.linspace(3, 0.5, 30)
    rising = spectrum_model(eigenvalues, eigenvalues).fit(reml=True)  # η² grows faster than λ: no noise
    assert rising.boundary == "h2=1"
    assert np.log(rising.delta) == pytest.approx(np.log(0.5) - 20, abs=1e-12)  # the smallest δ that is looked at
    x = eigenvalues[:, None] ** 0.5 * np.cos(np.arange(30))[:, None]
    exact = lt.LMM(lt.decompose_kinship(np.diag(eigenvalues)), x, eigenvalues).fit(reml=True)
    assert (exact.boundary, exact.h2, exact.delta, exact.sigma2_e) == ("h2=1", 1.0, 0.0, 0.0)


def test_several_optima():
    """The better of two is returned, the other is listed."""
    m = spectrum_model([1000.0] * 3 + [1.0] * 3 + [0.0] * 2, [7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.5, 0.0])
    f = m.fit(reml=True)
    assert [-np.log(h2 / (1 - h2)) for h2, _ in f.optima] == pytest.approx([3.41, -3.14], abs=0.01)
    assert np.log(f.delta) == pytest.approx(3.41, abs=0.01)
    nll = [value for _, value in f.optima]
    assert nll[1] - nll[0] == pytest.approx(20.11 - 18.93, abs=0.01)
    assert f.boundary is None


# ---- ranks ----


def test_eigenvalues_that_rounding_made_negative():
    """Clipped and reported, however large K is; but an indefinite matrix is refused."""
    G, X, y = cohort(15, 40, 1, 0)
    K = G @ G.T
    u = np.ones(15) / np.sqrt(15)
    for error in (1e-15, 1e-12, 1e-9):  # the null direction of K pushed below zero
        for scale in (1e-12, 1.0, 1e12):
            spec = lt.decompose_kinship(scale * (K - error * np.outer(u, u)))
            assert spec.k == 14
            assert -2 * error <= spec.clipped / scale + 1e-15 and (spec.S > 0).all()
            assert np.isfinite(lt.LMM(spec, X, y).evaluate(log_delta=-40.0, reml=True).nll)
    spec = lt.decompose_kinship(K - 1e-9 * np.outer(u, u))
    assert spec.clipped == pytest.approx(-1e-9, rel=1e-3)
    assert "clipped -1.0e-09" in repr(spec)
    with pytest.raises(ValueError, match=r"1 of 15 eigenvalues are negative, the smallest -0\.1 "):
        lt.decompose_kinship(K - 0.1 * np.outer(u, u))
    few = G[:, :3] @ G[:, :3].T  # eleven more eigenvalues are zero, up to rounding
    for scale in (1e-12, 1e12):  # the limit is relative
        with pytest.raises(ValueError, match="not positive semi-definite: 1 of 15"):
            lt.decompose_kinship(scale * (few - 0.1 * np.outer(u, u)))
    with pytest.raises(ValueError, match="not positive semi-definite: 15 of 15"):
        lt.decompose_kinship(-np.eye(15))


def test_collinear_covariates():
    """Dropped and reported; the model is that of the others."""
    G, X, y = cohort(30, 80, 2, 7)
    spec = lt.decompose_snps(G)
    wide = lt.LMM(spec, np.column_stack([X[:, 0], 2 * X[:, 0], X[:, 1], X[:, 0] - X[:, 1]]), y)
    assert (wide.d, wide.dropped) == (2, (1, 3))
    assert repr(wide) == "LMM(n=30, rank of X 2, rank of K 29, dropped columns (1, 3) of X)"
    assert repr(lt.LMM(spec, X, y)) == "LMM(n=30, rank of X 2, rank of K 29)"
    for reml in (True, False):
        a, b = wide.evaluate(h2=0.4, reml=reml), lt.LMM(spec, X, y).evaluate(h2=0.4, reml=reml)
        assert a.nll == pytest.approx(b.nll, abs=1e-9)
        np.testing.assert_allclose(a.beta[[0, 2]], b.beta)
        assert np.isnan(a.beta[[1, 3]]).all()
        np.testing.assert_allclose(a.beta_cov[np.ix_([0, 2], [0, 2])], b.beta_cov)
        assert np.isnan(a.beta_cov[1]).all()


@pytest.mark.parametrize(("distance", "kept"), [(1e-3, [0, 1]), (3e-10, [0, 1]), (3e-11, [0]), (0.0, [0])])
def test_nearly_collinear_covariates(distance, kept):
    """Q is orthonormal however little is left of a column; below 1e-10 of its length the column is left out."""
    rng = np.random.default_rng(11)
    one, other = np.linalg.qr(rng.normal(size=(50, 2)))[0].T
    y = rng.normal(size=50)
    X = np.column_stack([one, one + distance * other])
    Q, found = independent(X)
    assert found == kept
    np.testing.assert_allclose(Q.T @ Q, np.eye(len(kept)), rtol=0, atol=1e-14)
    assert np.abs(X.T @ residual(Q, y)).max() < (1e-14 if len(kept) == 2 else 1e-9)
    spec = lt.decompose_snps(rng.normal(size=(50, 20)))
    far = lt.LMM(spec, np.column_stack([one, other])[:, : len(kept)], y).evaluate(h2=0.4, reml=True)
    near = lt.LMM(spec, X, y).evaluate(h2=0.4, reml=True)
    # X + distance * other is rounded to 1e-16, so its direction is known to 1e-16 / distance only
    assert near.nll == pytest.approx(far.nll, abs=1e-9 if distance != 3e-10 else 1e-5)


def test_constant_snps_and_snps_that_X_explains():
    """NaN and a reason, and the scan goes on."""
    G, X, y = cohort(50, 200, 2, 9)
    snps = np.random.default_rng(9).integers(0, 3, size=(50, 8)).astype(float)
    snps[:, 1] = 2.0
    snps[:, 2] = np.nan
    snps[:, 3] = 3 * X[:, 1] - 1
    snps[:7, 4] = np.nan
    snps[:, 5] = np.where(np.arange(50) < 3, np.nan, 1.0)
    snps[1:, 7], snps[0, 7] = np.nan, 2.0
    before, spec = snps.copy(), lt.decompose_snps(G)
    r = lt.scan(snps, X, y, spec)
    assert r.reason.tolist()[:4] == ["", "constant", "all genotypes missing", "X explains it"]
    assert r.reason.tolist()[4:] == ["", "constant", "", "constant"]
    assert r.missing.tolist() == [0, 0, 50, 0, 7, 3, 0, 49] and r.missing.dtype == np.int64
    for values in (r.beta, r.se, r.h2, r.delta, r.statistic, r.p, r.log10_p):
        assert np.isnan(values).tolist() == [False, True, True, True, False, True, False, True]
    g = lt.grammar_gamma(snps, X, y, spec)
    assert g.reason.tolist() == r.reason.tolist() and (np.isnan(g.p) == (g.reason != "")).all()
    assert set(lt.rank_snps(snps[:, [0, 1, 3, 6]], X, y)[-2:]) == {1, 2}
    filled = snps[:, [4]].copy()
    filled[:7] = np.nanmean(filled)
    assert lt.scan(filled, X, y, spec).p[0] == pytest.approx(r.p[4], rel=1e-9)
    np.testing.assert_array_equal(snps, before)
    assert lt.scan(np.column_stack([y, snps[:, 0]]), X, y, spec).reason.tolist() == ["explains y exactly", ""]


@pytest.mark.parametrize("d", [5, 6, 9])
def test_no_more_individuals_than_covariates(d):
    X = np.random.default_rng(d).normal(size=(5, d))
    y, spec = np.arange(5.0), lt.decompose_kinship(np.eye(5))
    for call in (lambda: lt.LMM(spec, X, y), lambda: lt.scan(np.eye(5), X, y, spec),
                 lambda: lt.project_snps(np.eye(5), X, y)):  # fmt: skip
        with pytest.raises(ValueError, match="5 individuals and 5 independent covariates leave fewer than 2 degrees"):
            call()


def test_one_or_two_degrees_of_freedom():
    """Two are needed for a model, and beside the SNP for its test."""
    G, X, y = cohort(8, 20, 6, 1)
    spec = lt.decompose_snps(G)
    with pytest.raises(ValueError, match="8 individuals and 7 independent covariates leave fewer than 2 degrees"):
        lt.LMM(spec, np.column_stack([X, G[:, 0]]), y)
    m = lt.LMM(spec, X, y)
    assert m.evaluate(h2=0.5, reml=True).nll == pytest.approx(dense.evaluate(G @ G.T, X, y, h2=0.5, reml=True).nll)
    with pytest.raises(ValueError, match="and a SNP leave 1 degrees of freedom; at least 2 are needed"):
        lt.scan(G, X, y, spec)
    r = lt.scan(G, X[:, :5], y, spec, refit=False, delta=1.0)
    np.testing.assert_allclose(r.p, f_distribution.sf(r.statistic, 1, 2), rtol=1e-9)
    assert r.dof == 2 and np.isfinite(r.p).all()


@pytest.mark.parametrize("s", [19, 20, 21, 60])
def test_rank_n_minus_1_after_centring(s):
    """Fewer SNPs than individuals or more, from SNPs or from K: one zero eigenvalue, one direction outside."""
    G, X, y = cohort(20, s, 2, 0)
    models = [lt.LMM(spec, X, y) for spec in (lt.decompose_snps(G), lt.decompose_kinship(G @ G.T))]
    assert [m.k for m in models] == [19, 19]
    for h2 in (0.0, 0.5, 1 - 1e-6):
        for reml in (True, False):
            one, other = (m.evaluate(h2=h2, reml=reml).nll for m in models)
            assert one == pytest.approx(other, abs=1e-9)
            if h2 < 0.9:
                assert one == pytest.approx(dense.evaluate(G @ G.T, X, y, h2=h2, reml=reml).nll, abs=1e-9)


def test_rank_between_n_minus_d_and_n():
    """X leaves n - d directions, K has more, and nothing is left over for the complement: max(0, n - d - k)."""
    rng = np.random.default_rng(3)
    n, d, k = 20, 5, 17
    G, X, y = rng.normal(size=(n, k)), np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))]), rng.normal(size=n)
    m, P = lt.LMM(lt.decompose_snps(G), X, y), lt.project_snps(G, X, y)
    A = null_space(X.T)
    assert (m.k, P.m, P.S.size) == (k, n - d, n - d)
    np.testing.assert_allclose(P.S, np.linalg.eigvalsh(A.T @ G @ G.T @ A)[::-1], rtol=1e-10)
    for h2 in (0.0, 0.5, 0.99):
        want = dense.evaluate(G @ G.T, X, y, h2=h2, reml=True).nll
        assert m.evaluate(h2=h2, reml=True).nll == pytest.approx(want, abs=1e-9)
        assert P.nll(h2=h2) == pytest.approx(want, abs=1e-9)
    limit = P.nll(h2=1.0)  # REML has one, although K is singular: ΠKΠ has full rank on the contrasts
    for delta in (1e-4, 1e-8):  # the slope is at most m / 2S, and X's weights of order 1 / δ take as many digits
        close = P.m / 2 / P.S[-1] * delta + 1e-14 / delta
        assert m.evaluate(delta=delta, reml=True).nll == pytest.approx(limit, abs=close)


@pytest.mark.parametrize("copies", [2, 5])
def test_snps_that_occur_twice(copies):
    """They add no rank, by either route."""
    G, X, y = cohort(20, 6, 1, 0)
    twice = np.hstack([G] * copies) / np.sqrt(copies)
    one = lt.LMM(lt.decompose_snps(G), X, y)
    for spec in (lt.decompose_snps(twice), lt.decompose_kinship(twice @ twice.T)):
        assert spec.k == 6
        np.testing.assert_allclose(spec.S, one._S, rtol=1e-12)
        np.testing.assert_allclose((spec.U * spec.S) @ spec.U.T, G @ G.T, atol=1e-14)
        other = lt.LMM(spec, X, y)
        assert other.evaluate(delta=1e-8, reml=True).nll == pytest.approx(one.evaluate(delta=1e-8, reml=True).nll)


# ---- what is missing, and what says nothing ----


def test_missing_genotypes():
    """Imputed and then standardised, by the same mean in the kernel, in the test and in what is excluded."""
    rng = np.random.default_rng(5)
    G = rng.binomial(2, 0.4, size=(40, 60)).astype(float)
    G[rng.random(G.shape) < 0.1] = np.nan
    X, y = np.ones((40, 1)), rng.normal(size=40)
    Z = lt.standardize(G)
    filled = np.where(np.isnan(G), np.nanmean(G, axis=0), G)
    np.testing.assert_allclose(Z, (filled - filled.mean(axis=0)) / filled.std(axis=0), atol=1e-13)
    assert np.trace(lt.kinship(Z)) == pytest.approx(40, rel=1e-13)  # h² needs no other scale
    spec = lt.decompose_snps(Z / np.sqrt(60))
    r, same = lt.scan(G, X, y, spec), lt.scan(filled, X, y, spec)
    np.testing.assert_allclose(r.log10_p, same.log10_p, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(r.missing, np.isnan(G).sum(axis=0))
    W, rest = Z[:, :5] / np.sqrt(60), lt.decompose_snps(Z[:, 5:] / np.sqrt(60))
    without = lt.LMM(spec, X, y).evaluate(h2=0.5, reml=True, exclude=W).nll
    assert without == pytest.approx(lt.LMM(rest, X, y).evaluate(h2=0.5, reml=True).nll, abs=1e-9)
    for call in (lambda: lt.kinship(G), lambda: lt.decompose_snps(G)):
        with pytest.raises(ValueError, match=f"{np.isnan(G).sum()} NaN"):
            call()


def test_missing_phenotypes_and_covariates():
    """Refused, with the advice to drop individuals before K is decomposed; `plink.analysed` does so."""
    rng = np.random.default_rng(6)
    G, y = rng.binomial(2, 0.4, size=(30, 50)).astype(float), rng.normal(size=30)
    y[[3, 20]] = np.nan
    X = np.column_stack([np.ones(30), rng.normal(size=30)])
    everybody, advice = lt.decompose_kinship(lt.kinship(lt.standardize(G))), "drop those individuals before the kinship"
    with pytest.raises(ValueError, match=f"y holds 2 NaN and 0 infinite values of 30; {advice}"):
        lt.LMM(everybody, X, y)
    with pytest.raises(ValueError, match=f"X holds 2 NaN and 0 infinite values of 60; {advice}"):
        lt.scan(G, np.where(np.isnan(y)[:, None] & (X != 1), np.nan, X), np.nan_to_num(y), everybody)
    found = lt.plink.analysed(G, y, standardised=True, centre=False)
    assert (np.flatnonzero(~found.individuals) == [3, 20]).all() and found.K.shape == (28, 28)
    model = lt.LMM(lt.decompose_kinship(found.K), X[found.individuals], found.y)
    np.testing.assert_allclose(found.K, lt.kinship(lt.standardize(G[:, found.snps]))[np.ix_(*[found.individuals] * 2)])
    slow = dense.evaluate(found.K, X[found.individuals], found.y, h2=0.4, reml=True)
    assert model.evaluate(h2=0.4, reml=True).nll == pytest.approx(slow.nll, abs=1e-9)


@pytest.mark.parametrize("case", ["constant", "zero", "covariates"])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_phenotypes_that_X_explains(case, scale):
    G, X, _ = cohort(20, 30, 3, 8)
    y = scale * {"constant": np.full(20, 7.1), "zero": np.zeros(20), "covariates": X @ [5.0, -2.0, 0.1]}[case]
    spec, snps, chrom = lt.decompose_snps(G), G[:, :4], [1, 1, 2, 2]
    for call in (lambda: lt.LMM(spec, X, y), lambda: lt.scan(snps, X, y, spec), lambda: lt.project_snps(G, X, y),
                 lambda: lt.project_kinship(G @ G.T, X, y), lambda: lt.grammar_gamma(snps, X, y, spec),
                 lambda: lt.loco(snps, chrom, X, y), lambda: lt.set_lrt(snps, X, y)):  # fmt: skip
        with pytest.raises(ValueError, match="X explains y exactly"):
            call()
    with pytest.raises(ValueError, match="nothing to test"):
        lt.bolt_inf(snps, chrom, X, y)


def test_kinship_of_zero():
    """No rank: linear regression whatever h² is, and `fit` says that there is no h² to be found."""
    _, X, y = cohort(20, 30, 2, 8)
    beta, rss, _ = ols(X, y)
    want = 9 * (np.log(2 * np.pi * rss / 18) + 1)
    for spec in (lt.decompose_kinship(np.zeros((20, 20))), lt.decompose_snps(np.zeros((20, 2))),
                 lt.decompose_snps(np.zeros((20, 0)))):  # fmt: skip
        assert spec.k == 0 and lt.project_kinship(np.zeros((20, 20)), X, y).S.size == 0
        m = lt.LMM(spec, X, y)
        for h2 in (0.0, 0.4):
            e = m.evaluate(h2=h2, reml=True)
            assert e.nll == pytest.approx(want, abs=1e-9)
            np.testing.assert_allclose(e.beta, beta, rtol=1e-9)
        with pytest.raises(ValueError, match="K is zero, so h2 is not identifiable; use linear regression"):
            m.fit(reml=True)
        x = np.arange(20.0) % 3
        r = lt.scan(x[:, None], X, y, spec, refit=False, delta=1.0)
        both, less, inverse = ols(np.column_stack([X, x]), y)
        assert r.beta[0] == pytest.approx(both[-1]) and r.se[0] == pytest.approx(np.sqrt(less / 17 * inverse[-1, -1]))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_kinship_that_is_a_multiple_of_the_identity(scale):
    """On everything, or on what X leaves free: the likelihood is flat, and `fit` says so."""
    rng = np.random.default_rng(4)
    X, y = np.column_stack([np.ones(10), rng.normal(size=10)]), rng.normal(size=10)
    b = X @ rng.normal(size=(2, 2))
    for K in (np.eye(10), np.eye(10) + b @ b.T):
        m = lt.LMM(lt.decompose_kinship(scale * K), X, y)
        values = [m.evaluate(delta=delta * scale, reml=True).nll for delta in (0.0, 1.0, 1e4, np.inf)]
        np.testing.assert_allclose(values, values[0], rtol=1e-9)
        with pytest.raises(ValueError, match="does not depend on h2.*multiple of the identity on what X leaves free"):
            m.fit(reml=True)


# ---- removing columns from K ----


def test_removing_what_is_not_in_K():
    """The Cholesky factor does not exist, and the error says why."""
    G, X, y = cohort(12, 30, 1, 3)
    m = lt.LMM(lt.decompose_snps(G), X, y)
    with pytest.raises(ValueError, match=r"K without the 1 excluded columns .* not positive definite .*1/√s"):
        m.evaluate(reml=True, h2=0.9, exclude=np.sqrt(30) * 3 * G[:, :1])


def test_removing_nearly_all_of_K():
    """An update keeps its digits unless δ is tiny and what is left no longer spans everybody: LOCO recomputes."""
    G, X, y = cohort(60, 200, 1, 5)
    m = lt.LMM(lt.decompose_snps(G), X, y)

    def error(removed, delta):
        left = lt.LMM(lt.decompose_snps(G[:, removed:]), X, y).evaluate(delta=delta, reml=True).nll
        return abs(m.evaluate(delta=delta, reml=True, exclude=G[:, :removed]).nll - left)

    for delta in (1.0, 1e-4, 1e-7, 1e-10):
        assert error(100, delta) < 1e-11  # what is left spans everybody
        assert error(195, delta) < 1e-13 / delta
    assert error(195, 1e-10) > 1e-8  # 7e-7 or more, as the processor rounds
    chrom = np.array([1] * 195 + [2] * 5)
    r = lt.loco(G, chrom, X, y)
    e, K = r.nulls["1"], lt.standardize(G[:, 195:]) @ lt.standardize(G[:, 195:]).T / 5
    assert e.nll == pytest.approx(dense.evaluate(K, X, y, h2=e.h2, reml=True).nll, abs=1e-8)


# ---- digits ----


def test_slopes_at_a_small_genetic_variance():
    """With γ = 1 / δ, (yᵀPy - yᵀPPy) / γ cancels, its curvature's formula twice; sums over eigenvalues less."""
    S, eta = [4, 3, 2, 2, 1], [Fraction(v) for v in (1.5, -0.25, 2.0, 0.75, -1.125)]
    m = spectrum_model([float(v) for v in S], [float(v) for v in eta])
    t = np.log(sum(S) / 6) + 10.0  # the far end of the search
    delta = Fraction(float(np.exp(t)))
    nu = [delta / (v + delta) for v in S]
    q1, q2, q3 = (sum(w**j * e**2 for w, e in zip(nu, eta, strict=True)) for j in (1, 2, 3))
    slope = (sum(nu) - 5 * q2 / q1) / 2
    curvature = (sum(w * (1 - w) for w in nu) - 5 * (q2 / q1 - 2 * q3 / q1 + (q2 / q1) ** 2)) / 2
    found = [values[0] for values in m.derivatives([t], reml=True)]
    assert found == pytest.approx([float(slope), float(curvature)], rel=1e-9)
    D, e, gamma = 1 + np.array(S) / float(delta), np.array(eta, dtype=float), 1 / float(delta)
    P1, P2, P3 = (e**2 @ D**-j for j in (1, 2, 3))
    gemma = (P1 + P3 - 2 * P2) / gamma**2  # yᵀPKPKPy
    exact = float(sum(v**2 * (w * x) ** 2 * w for v, w, x in zip(S, nu, eta, strict=True)))
    assert abs(gemma / exact - 1) > 1e-9


def test_likelihood_ratios_below_zero_by_rounding():
    """SNPs without any effect: two searches differ by rounding, either way; a set on the boundary has p = 1."""
    G, X, y = cohort(60, 20, 2, 12)
    spec = lt.decompose_snps(G)
    null = lt.LMM(spec, X, y).fit(reml=False)
    V = dense.covariance(G @ G.T, delta=null.delta)
    Py = np.linalg.solve(V, y - X @ null.beta)
    snps = np.random.default_rng(1).normal(size=(60, 200))
    snps -= np.outer(Py, Py @ snps) / (Py @ Py)  # xᵀPy = 0
    for options in ({}, {"refit": False}):
        r = lt.scan(snps, X, y, spec, test="lrt", **options)
        assert (r.statistic >= 0).all() and r.statistic.max() < 1e-9
        assert (r.p <= 1).all() and r.p.min() > 1 - 1e-4
    assert (lt.scan(snps, X, y, spec, test="lrt").statistic == 0).sum() > 10  # these were clipped
    Q = np.linalg.qr(np.column_stack([X, G[:, :5]]))[0]
    found = lt.set_lrt(G[:, :5], X, y - Q @ (Q.T @ y))
    assert (found.statistic, found.p) == (0.0, 1.0)


@pytest.mark.parametrize("test", ["wald", "lrt", "score"])
def test_p_values_that_underflow(test):
    """p is zero, its logarithm is not."""
    rng = np.random.default_rng(13)
    G = lt.standardize(rng.normal(size=(4000, 5)))
    x = rng.normal(size=4000)
    X, y = np.ones((4000, 1)), 0.4 * x + 0.3 * G @ rng.normal(size=5) + 0.1 * rng.normal(size=4000)
    r = lt.scan(x[:, None], X, y, lt.decompose_snps(G), test=test)
    assert r.p[0] == 0.0 and r.reason[0] == ""
    assert -10_000 < r.log10_p[0] < -330
    nu, F = r.dof, (r.beta[0] / r.se[0]) ** 2
    if test == "wald":  # the leading term of the tail: x^(ν/2) / (ν/2 B(ν/2, ½)), relative error of order 1 / F
        leading = nu / 2 * np.log(nu / (nu + F)) - np.log(nu / 2) - betaln(nu / 2, 0.5)
        assert r.log10_p[0] * np.log(10) == pytest.approx(leading, abs=0.5)


# ---- units ----


def test_kinships_are_taken_in_units_up_to_1e140_and_refused_beyond():
    G, X, y = cohort(30, 100, 1, 24)
    K = G @ G.T / np.abs(G @ G.T).max()
    of_K = [
        lambda K: dense.covariance(K, h2=0.5), lambda K: lt.project_kinship(K, X, y), lt.decompose_kinship,
        lt.scale_kinship, lambda K: lt.unrelated(K, 0.1),
    ]  # fmt: skip
    for call in of_K:
        call(0.5e140 * K)
        with pytest.raises(ValueError, match="use another unit"):
            call(1.1e140 * K)


def test_phenotypes_are_taken_in_units_up_to_1e70_and_refused_beyond():
    G, X, y = cohort(30, 100, 1, 25)
    y, spec, chrom = y / np.abs(y).max(), lt.decompose_snps(G), np.arange(100) % 2
    of_y = [
        lambda y: lt.LMM(spec, X, y), lambda y: lt.project_snps(G, X, y), lambda y: lt.rank_snps(G, X, y),
        lambda y: lt.grammar_gamma(G, X, y, spec), lambda y: lt.bolt_inf(G, chrom, X, y, delta=1.0),
    ]  # fmt: skip
    for call in of_y:
        call(0.9e70 * y)
        with pytest.raises(ValueError, match="use another unit"):
            call(1.1e70 * y)
    np.testing.assert_allclose(rotate(spec, 1e200 * G).along, 1e200 * rotate(spec, G).along, atol=1e185)  # no squares


@pytest.mark.parametrize("unit", [1.0, 1e6])
def test_h2_to_1_where_the_smallest_eigenvalue_is_nearly_rounding(unit):
    """K has full rank, but at h² = 1 the likelihood would be that of rounding errors: the end is a small δ > 0."""
    rng = np.random.default_rng(26)
    U = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    S = unit * np.array([1.0, *np.geomspace(1e-3, 1e-6, 38), 3e-14])
    spec = lt.Spectrum(U, S)
    X, y = U[:, [0, -1]], U @ (np.sqrt(S) * rng.normal(size=40))
    f = lt.LMM(spec, X, y).fit(reml=True)
    assert f.boundary == "h2=1" and 0 < f.delta < 1e-9 * unit
    r = lt.scan(U[:, 3:5] + U[:, 7:9], X, y, spec)
    assert (r.reason == "").all() and (r.delta > 0).all()
