"""Test many SNPs at once: a set as a variance component, and pairs for an effect of their product (chapter 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq, minimize

from ._arrays import Floats, matrix
from .association import log10_sf_chi2
from .likelihood import LMM
from .spectrum import Spectrum, decompose_snps

GAMMA = np.geomspace(1e-6, 1e6, 241)  # σ₁²/σ_e² times the mean eigenvalue, where the null of the LRT is evaluated
MAX_NODES = 20_000  # of the contour, on either side


@dataclass(frozen=True)
class SetTest:
    """Result of a test of one set of SNPs.

    Attributes
    ----------
    statistic : likelihood ratio, or Q of the score test
    p : p-value; 1 where the likelihood ratio is zero
    sigma2_set : variance of the set's kernel at the optimum, in squared units of y (NaN for the score test)
    """

    statistic: float
    p: float
    sigma2_set: float


@dataclass(frozen=True)
class Pairs:
    """One test per pair of SNPs; arrays of length p, NaN where `reason` says why.

    Attributes
    ----------
    beta, se : effect of the product and its standard error, in units of y per squared unit of the SNPs
    statistic : likelihood ratio, χ² with one degree of freedom
    p, log10_p : p-value and its logarithm
    reason : "" where the pair was tested
    """

    beta: Floats
    se: Floats
    statistic: Floats
    p: Floats
    log10_p: Floats
    reason: NDArray[np.str_]


def mixture_sf(q: float, weights: ArrayLike) -> float:
    """Upper tail of a weighted sum of independent χ² variables with one degree of freedom each.

    Parameters
    ----------
    q : value
    weights : (r,) positive weights

    Returns
    -------
    float
        P(Σ wᵢ χ²ᵢ > q), relative error 1e-9, however small it is

    Raises
    ------
    ValueError
        if a weight is negative, or none is positive

    Notes
    -----
    Derived in :eq:`contour`: the inversion integral of the moment generating function, along a parabola through the
    saddle point that opens to the right, by the trapezoidal rule.
    """
    w = np.asarray(weights, dtype=np.float64)
    largest = w.max(initial=0.0)
    if not (0 < largest < np.inf and (w > -1e-8 * largest).all()):
        raise ValueError(f"weights from {w.min(initial=0.0):.3g} to {largest:.3g}: they must be 0 or more, not all 0")
    w, q = w[w > 1e-12 * largest] / largest, float(q / largest)
    if q <= 0:
        return 1.0
    top = 0.5  # the singularity of the moment generating function
    z = brentq(lambda z: (w / (1 - 2 * z * w)).sum() - q - 1 / z, 1e-12 * top, top * (1 - 1e-12), xtol=1e-15)
    bend = 1 / (4 * (top - z))
    strip = min(1 / (2 * bend), (math.sqrt(1 + 4 * bend * z) - 1) / (2 * bend))  # how near the singularities come
    h = 2 * math.pi * strip / 37
    side = min(MAX_NODES, math.ceil(math.sqrt(40 / (q * bend)) / h))
    v = h * np.arange(-side, side + 1)
    s = z + bend * v**2 + 1j * v
    log = -0.5 * np.log(1 - 2 * s[:, None] * w).sum(axis=1) - s * q
    peak = float(log.real.max())
    total = (np.exp(log - peak) / s * (2 * bend * v + 1j)).sum() * h / (2j * math.pi)
    return float(min(max(total.real * math.exp(peak), 0.0), 1.0))


def rlrt_null(mu: ArrayLike, m: int, draws: int, *, seed: int) -> Floats:
    """Draw from the exact null distribution of the restricted likelihood ratio of one variance component.

    Parameters
    ----------
    mu : (r,) positive eigenvalues of G₁ᵀΠG₁
    m : n - d contrasts
    draws : number of draws
    seed : of the random numbers

    Returns
    -------
    (draws,) array
        with exact zeros

    Notes
    -----
    Derived in :eq:`rlrt-null`.
    """
    mu = np.asarray(mu, dtype=np.float64)
    rng = np.random.default_rng(seed)
    w = rng.chisquare(1, size=(draws, mu.size))
    R = rng.chisquare(m - mu.size, size=draws) if m > mu.size else np.zeros(draws)
    best, whole = np.zeros(draws), w.sum(axis=1) + R
    for gamma in GAMMA / mu.mean():
        shrunk = w @ (1 / (1 + gamma * mu)) + R
        best = np.maximum(best, m * np.log(whole / shrunk) - np.log1p(gamma * mu).sum())
    return best


def set_lrt(G1: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum | None = None) -> SetTest:
    """Likelihood-ratio test (REML) of a set of SNPs as a variance component beside the kernel of `spec`.

    Parameters
    ----------
    G1 : (n, r) scaled genotypes of the set
    X : (n, d) covariates
    y : (n,) phenotype
    spec : Spectrum of the background kernel, or None for noise alone

    Returns
    -------
    SetTest
        p is half of χ²₁'s tail, and 1 at zero; it is conservative for small sets (chapter 15)

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity

    Notes
    -----
    Derived in :eq:`set-lrt`.
    """
    G1 = matrix("G1", G1)
    if spec is None:
        m = LMM(decompose_snps(G1), X, y)
        f = m.fit(reml=True)
        statistic, variance = 2 * (m.evaluate(h2=0.0, reml=True).nll - f.nll), f.sigma2_g
    else:
        m = LMM(spec, X, y)
        null = m.fit(reml=True)
        start = np.log(null.delta) if 0 < null.h2 < 1 else np.log(spec.S.sum() / m.n) + (5.0 if null.h2 == 0 else -5.0)
        unit = math.sqrt(spec.S.sum() / (G1**2).sum())  # the set's kernel brought to the trace of K

        def nll(v: Floats) -> float:
            W = math.exp(0.5 * v[1]) * unit * G1
            return m.evaluate(log_delta=float(np.clip(v[0], -18, 18)), reml=True, include=W).nll

        grid = [(start + a, b) for a in (-1.0, 0.0, 1.0, 3.0) for b in (-8.0, -5.0, -3.0, -1.0, 1.0, 4.0)]
        best = minimize(nll, min(grid, key=lambda v: nll(np.array(v))), method="Nelder-Mead",
                        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 1000})  # fmt: skip
        statistic = 2 * (null.nll - float(best.fun))
        e = m.evaluate(log_delta=float(np.clip(best.x[0], -18, 18)), reml=True,
                       include=math.exp(0.5 * best.x[1]) * unit * G1)  # fmt: skip
        variance = e.sigma2_g * math.exp(best.x[1]) * unit**2
    if statistic <= 1e-6:  # the search comes near the boundary, not onto it
        return SetTest(0.0, 1.0, 0.0)
    return SetTest(statistic, 0.5 * 10.0 ** float(log10_sf_chi2(statistic)), variance)


def set_score(G1: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum) -> SetTest:
    """Score test of a set of SNPs as a variance component beside the kernel of `spec`.

    Parameters
    ----------
    G1 : (n, r) scaled genotypes of the set
    X : (n, d) covariates
    y : (n,) phenotype
    spec : Spectrum of the background kernel

    Returns
    -------
    SetTest

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, or a set that X explains

    Notes
    -----
    Derived in :eq:`set-score`.
    """
    m = LMM(spec, X, y)
    null = m.fit(reml=True)
    B = m.inner(matrix("G1", G1, rows=m.n), h2=null.h2)
    free = B[m.d :, m.d :] - B[m.d :, : m.d] @ np.linalg.solve(B[: m.d, : m.d], B[: m.d, m.d :])
    sigma2 = null.sigma2_g + null.sigma2_e
    Q = 0.5 * float(free[1:, 0] @ free[1:, 0]) / sigma2**2
    weights = np.linalg.eigvalsh(free[1:, 1:]) / sigma2
    if weights.max(initial=0.0) <= 1e-10:
        raise ValueError("X explains the whole set of SNPs, so there is nothing to test")
    return SetTest(Q, mixture_sf(2 * Q, weights), math.nan)


def epistasis(snps: ArrayLike, pairs: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum) -> Pairs:
    """Test for each pair of SNPs whether their product has an effect beside both main effects.

    Parameters
    ----------
    snps : (n, s) genotypes without missing values; not changed
    pairs : (p, 2) columns of `snps`
    X : (n, d) covariates
    y : (n,) phenotype
    spec : Spectrum of K; δ is that of the ML optimum without SNPs

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        for shapes that do not match, NaN, or a pair that names no column

    Notes
    -----
    Derived in :eq:`epistasis`.
    """
    G = matrix("snps", snps, rows=spec.n)
    couples = np.asarray(pairs)
    if couples.ndim != 2 or couples.shape[1] != 2 or couples.dtype.kind not in "iu":
        raise ValueError(f"pairs must hold two columns of whole numbers, but has shape {couples.shape}")
    if couples.size and not (0 <= couples.min() and couples.max() < G.shape[1]):
        raise ValueError(f"pairs names columns {couples.min()} to {couples.max()}, but there are {G.shape[1]} SNPs")
    m = LMM(spec, X, y)
    delta = m.fit(reml=False).delta
    found = np.full((3, len(couples)), np.nan)
    reason = np.full(len(couples), "", dtype="U40")
    for row, (i, j) in enumerate(couples.tolist()):
        W = np.column_stack([G[:, i], G[:, j], G[:, i] * G[:, j]])
        B = m.inner(W, delta=delta)
        main = [*range(m.d), m.d + 1, m.d + 2]
        test = [m.d, m.d + 3]
        length = np.diag(B)[[*main, m.d + 3]].copy()
        try:
            factor = cho_factor(B[np.ix_(main, main)] / np.sqrt(np.outer(length[:-1], length[:-1])), lower=True)
            if (factor[0].diagonal() < 1e-6).any():
                raise np.linalg.LinAlgError
        except (np.linalg.LinAlgError, ValueError):
            reason[row] = "the main effects are not independent"
            continue
        across = B[np.ix_(main, test)] / np.sqrt(length[:-1])[:, None]
        rest = B[np.ix_(test, test)] - across.T @ cho_solve(factor, across)
        if not rest[1, 1] > 1e-10 * length[-1]:
            reason[row] = "the main effects explain the product"
            continue
        q0, q1 = rest[0, 0], rest[0, 0] - rest[0, 1] ** 2 / rest[1, 1]
        found[:, row] = rest[0, 1] / rest[1, 1], math.sqrt(q1 / (m.n - m.d - 3) / rest[1, 1]), m.n * math.log(q0 / q1)
    log10_p = log10_sf_chi2(np.where(np.isnan(found[2]), 0.0, found[2]))
    log10_p[np.isnan(found[2])] = np.nan
    return Pairs(found[0], found[1], found[2], 10.0**log10_p, log10_p, reason)
