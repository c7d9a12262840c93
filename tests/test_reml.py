"""REML is the likelihood of error contrasts, and where ML has no bound: the algebra and the figures of chapter 8."""

import numpy as np
import pytest
from golden import genotypes
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

import lmm_teach as lt
from lmm_teach import dense


def kernel(n, s, seed):
    """Standardised random genotypes as a kernel: trace n, rank min(s, n - 1), the vector of ones outside."""
    counts = np.random.default_rng(seed).binomial(2, 0.4, size=(n, s)).astype(float)
    return lt.kinship(lt.standardize(counts))


def phenotype(K, seed, h2=0.5):
    return np.linalg.cholesky(dense.covariance(K, h2=h2)) @ np.random.default_rng(seed).normal(size=len(K))


# ---- REML is a density ----


@pytest.mark.parametrize("h2", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("d", [1, 4])
def test_reml_is_the_density_of_any_full_set_of_contrasts(d, h2):
    """-log N(Ly; 0, σ̂² L M Lᵀ) = nLL + ½ log|L Lᵀ| for L = JAᵀ with any non-singular J: only a constant."""
    n, rng = 30, np.random.default_rng(d)
    K = kernel(n, 80, d)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    y = phenotype(K, 1) + 5
    e = lt.LMM(lt.decompose_kinship(K), X, y).evaluate(h2=h2, reml=True)
    V = (e.sigma2_g + e.sigma2_e) * dense.covariance(K, h2=h2)
    A = null_space(X.T)
    for J in (np.eye(n - d), rng.normal(size=(n - d, n - d))):
        L = J @ A.T
        density = multivariate_normal(np.zeros(n - d), L @ V @ L.T).logpdf(L @ y)
        assert -density - 0.5 * np.linalg.slogdet(L @ L.T)[1] == pytest.approx(e.nll, abs=1e-8)


@pytest.mark.parametrize("reml", [True, False])
def test_neither_likelihood_sees_the_coding_of_X_nor_what_X_can_add_to_y(reml):
    n, rng = 40, np.random.default_rng(3)
    K = kernel(n, 90, 4)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    y = phenotype(K, 5)
    spec = lt.decompose_kinship(K)
    plain = lt.LMM(spec, X, y).evaluate(h2=0.4, reml=reml)
    J = np.array([[1, 3, 0], [0, 20, 7], [0, 0, 0.1]])
    coded = lt.LMM(spec, X @ J, y + X @ [50, -3, 2]).evaluate(h2=0.4, reml=reml)
    assert coded.nll == pytest.approx(plain.nll, abs=1e-9)
    assert J @ coded.beta - [50, -3, 2] == pytest.approx(plain.beta, abs=1e-9)
    slow = dense.evaluate(K, X @ J, y, h2=0.4, reml=reml)
    assert slow.nll == pytest.approx(plain.nll, abs=1e-8)


# ---- where ML has no bound ----


def slope(m, reml, delta=1e-9):
    """Growth of nLL while log δ falls by one."""
    return m.evaluate(delta=delta / np.e, reml=reml).nll - m.evaluate(delta=delta, reml=reml).nll


@pytest.mark.parametrize("d", [1, 3])
def test_ml_falls_by_half_for_each_direction_that_X_absorbs(d):
    """null(K) = col(X): nLL = ½ d log δ + ½[Σ log S + n log(2π q*/n) + n], q* = Σ η²/λ; REML has a limit."""
    n, rng = 60, np.random.default_rng(d)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    A = null_space(X.T)
    K = A @ A.T @ kernel(n, 400, 7) @ A @ A.T
    y = phenotype(K, 8)
    m = lt.LMM(lt.decompose_kinship(K), X, y)
    assert m.k == n - d
    assert slope(m, False) == pytest.approx(-d / 2, abs=1e-6)
    assert slope(m, True) == pytest.approx(0, abs=1e-6)
    q = A.T @ y @ np.linalg.solve(A.T @ K @ A, A.T @ y)
    log_S = np.log(np.linalg.eigvalsh(K)[d:]).sum()
    limit = 0.5 * (log_S + n * (np.log(2 * np.pi * q / n) + 1))
    assert m.evaluate(delta=1e-9, reml=False).nll - d / 2 * np.log(1e-9) == pytest.approx(limit, abs=1e-5)
    limit = 0.5 * (log_S + (n - d) * (np.log(2 * np.pi * q / (n - d)) + 1))
    assert m.evaluate(delta=1e-9, reml=True).nll == pytest.approx(limit, abs=1e-5)
    assert (m.fit(reml=False).unbounded, m.fit(reml=True).unbounded) == (True, False)


def test_a_phenotype_without_noise_has_no_bound_even_in_reml():
    """y in col(K) + col(X), such as a prediction from K: REML falls by ½ for each direction outside K and X."""
    n = 100
    K = kernel(n, 60, 11)
    m = lt.LMM(lt.decompose_kinship(K), np.ones((n, 1)), K @ np.random.default_rng(12).normal(size=n) + 3)
    assert slope(m, False, 1e-7) == pytest.approx(-40 / 2, abs=1e-3)
    assert slope(m, True, 1e-7) == pytest.approx(-39 / 2, abs=1e-3)
    assert m.fit(reml=True).unbounded


def test_with_the_intercept_alone_ml_is_reml_and_one_free_mean():
    """K1 = 0, X = 1: nLL_ML - nLL_REML = ½[log 2π σ̂_e² + 1 + n log(1 - 1/n)], with REML's σ̂_e² at that h²."""
    n = 50
    K = kernel(n, 300, 13)
    m = lt.LMM(lt.decompose_kinship(K), np.ones((n, 1)), phenotype(K, 14) + 2)
    for h2 in (0.0, 0.5, 0.99, 1 - 1e-9):
        reml, ml = (m.evaluate(h2=h2, reml=kind) for kind in (True, False))
        price = 0.5 * (np.log(2 * np.pi * reml.sigma2_e) + 1 + n * np.log1p(-1 / n))
        assert ml.nll - reml.nll == pytest.approx(price, abs=1e-9)


# ---- the posts' figures ----


@pytest.fixture(scope="module")
def posts():
    """K from all 5,000 SNPs of synth, and from those that are not on chromosome 1; X of the post; y."""
    people, y = genotypes("synth")
    others = people.chrom != "1"
    kernels = [lt.decompose_kinship(lt.kinship(lt.standardize(G))) for G in (people.G, people.G[:, others])]
    return *kernels, np.column_stack([people.G[:, np.flatnonzero(others)[0]], np.ones(500)]), y


def test_the_curves_of_11_march(posts):
    """The six numbers read off the post's pictures, and what FaST-LMM 0.6.13 returns there, to 1e-9."""
    spec, _, X, y = posts
    m = lt.LMM(spec, X, y)
    fastlmm = {  # LMM.setK, setX, sety, nLLeval(h2=..., REML=...)
        (0.0001, False): 709.4537793914271, (0.63, False): 701.9897117785935, (0.965, False): 703.3413982874945,
        (0.9999, False): 700.9662423222898, (0.99999, False): 699.8164654813505,
        (0.0001, True): 707.6138067550656, (0.63, True): 700.5571807736727, (0.9999, True): 703.597559766128,
    }  # fmt: skip
    for (h2, reml), nll in fastlmm.items():
        assert m.evaluate(h2=h2, reml=reml).nll == pytest.approx(nll, abs=1e-9)
    post = {0.0001: 709.454, 0.63: 701.990, 0.965: 703.341, 0.9999: 700.966}
    for h2, nll in post.items():
        assert m.evaluate(h2=h2, reml=False).nll == pytest.approx(nll, abs=5.1e-4)
    assert m.evaluate(h2=0.0001, reml=True).nll == pytest.approx(707.61, abs=5e-3)
    assert m.evaluate(h2=0.9999, reml=True).nll == pytest.approx(703.60, abs=5e-3)
    reml, ml = m.fit(reml=True), m.fit(reml=False)
    assert (reml.h2, reml.nll) == (pytest.approx(0.590977, abs=5e-7), pytest.approx(700.533, abs=5e-4))
    assert (ml.h2, ml.nll) == (pytest.approx(0.631085, abs=5e-7), pytest.approx(701.990, abs=5.1e-4))
    assert (reml.unbounded, ml.unbounded) == (False, True)
    # findH2(REML=False) returns 0.99999, its last point, where ML is lower than at the optimum inside
    assert m.evaluate(h2=0.99999, reml=False).nll < ml.nll - 2


def test_the_null_models_of_the_synth_set(posts):
    everything, others, _, y = posts
    for spec, h2, nll in ((everything, 0.59047, 702.0108), (others, 0.61600, 700.51516)):
        f = lt.LMM(spec, np.ones((500, 1)), y).fit(reml=True)
        assert (f.h2, f.nll) == (pytest.approx(h2, abs=5.1e-6), pytest.approx(nll, abs=5.1e-5))
