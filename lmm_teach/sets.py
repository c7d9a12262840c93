"""Test many SNPs at once: a set as a variance component, and pairs for an effect of their product (chapter 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, brute, minimize

from ._arrays import Floats, matrix
from .association import log10_sf_chi2
from .likelihood import LMM, LOST
from .projection import independent, residual
from .spectrum import Spectrum, decompose_snps
from .variance import Evaluation

GAMMA = np.geomspace(1e-6, 1e6, 241)  # σ₁²/σ_e² times the mean eigenvalue, where the null of the LRT is evaluated
DIGITS = 40.0  # minus the logarithm of what the contour's step and its ends may leave of the integrand


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


def _positive(name: str, values: ArrayLike) -> Floats:
    """Check that numbers are not negative, and leave out those that are zero up to rounding."""
    v = np.asarray(values, dtype=np.float64)
    largest = v.max(initial=0.0)
    if not (0 < largest < np.inf and (v > -1e-8 * largest).all()):
        raise ValueError(f"{name} from {v.min(initial=0.0):.3g} to {largest:.3g}: they must be finite and 0 or more, "
                         "not all 0")  # fmt: skip
    return np.asarray(v[v > 1e-12 * largest])


def mixture_sf(q: float, weights: ArrayLike) -> float:
    """Upper tail of a weighted sum of independent χ² variables with one degree of freedom each.

    Parameters
    ----------
    q : value
    weights : (r,) weights, 0 or more

    Returns
    -------
    float
        P(Σ wᵢ χ²ᵢ > q), relative error below 1e-11, however small it is

    Raises
    ------
    ValueError
        if q is not finite, a weight is negative or not finite, or none is positive

    Notes
    -----
    Derived in :eq:`contour`: the inversion integral of the moment generating function along a hyperbola through the
    saddle point, by the trapezoidal rule.
    """
    w = _positive("weights", weights)
    if not abs(q) < np.inf:
        raise ValueError(f"q = {q} must be finite")
    w, q = w / w.max(), float(q / w.max())
    if q <= 0:
        return 1.0
    top = 0.5  # where the moment generating function ends
    saddle = brentq(lambda z: (w / (1 - 2 * z * w)).sum() - q - 1 / z, 1e-300, top * (1 - 1e-15),
                    xtol=1e-300, rtol=1e-14)  # fmt: skip
    tau, angle = 2 * (top - saddle), math.pi / 3
    strip = min(math.pi / 2, math.acos(max(-1.0, 1 - top / tau))) - angle  # up to where it decays, or to the pole
    curvature = (2 * (w / (1 - 2 * saddle * w)) ** 2).sum() + 1 / saddle**2
    width = 1 / (tau * math.sin(angle) * math.sqrt(curvature))  # of the peak of the integrand
    h = 2 * math.pi * min(strip / DIGITS, width / math.sqrt(2 * DIGITS))
    side = math.ceil(math.acosh(1 + 2 * DIGITS / (q * tau)) / h)
    u = h * np.arange(-side, side + 1) + 1j * angle
    z = top - tau + tau * np.cosh(u)
    log = -0.5 * np.log(1 - 2 * z[:, None] * w).sum(axis=1) - z * q
    peak = float(log[side].real)
    total = (np.exp(log - peak) / z * np.sinh(u)).sum() * tau * h / (2j * math.pi)
    return min(max(float(total.real) * math.exp(peak), 0.0), 1.0)


def rlrt_null(mu: ArrayLike, m: int, draws: int, *, seed: int) -> Floats:
    """Draw from the null distribution of the restricted likelihood ratio of one kernel beside noise.

    Parameters
    ----------
    mu : eigenvalues of G₁ᵀΠG₁ (zeros among them do not count)
    m : n - d contrasts
    draws : number of draws
    seed : of the random numbers

    Returns
    -------
    (draws,) array
        with exact zeros; the supremum is taken over a grid of 241 variance ratios

    Raises
    ------
    ValueError
        if an eigenvalue is negative, none is positive, or more than m are

    Notes
    -----
    Derived in :eq:`rlrt-null`.
    """
    values = _positive("eigenvalues", mu)
    if values.size > m:
        raise ValueError(f"{values.size} positive eigenvalues, but only m = {m} contrasts")
    rng = np.random.default_rng(seed)
    w = rng.chisquare(1, size=(draws, values.size))
    R = rng.chisquare(m - values.size, size=draws) if m > values.size else np.zeros(draws)
    best, whole = np.zeros(draws), w.sum(axis=1) + R
    for gamma in GAMMA / values.mean():
        shrunk = w @ (1 / (1 + gamma * values)) + R
        best = np.maximum(best, m * np.log(whole / shrunk) - np.log1p(gamma * values).sum())
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
        for shapes that do not match, NaN or infinity, or a set that X explains

    Notes
    -----
    Derived in :eq:`set-lrt`.
    """
    G1 = _free(G1, X)
    if spec is None:
        m = LMM(decompose_snps(G1), X, y)
        f = m.fit(reml=True)
        statistic, variance = 2 * (m.evaluate(h2=0.0, reml=True).nll - f.nll), f.sigma2_g
    else:
        m = LMM(spec, X, y)
        null = m.fit(reml=True)
        unit = math.sqrt(m.n / (G1**2).sum())  # the set's kernel brought to trace n
        mean = math.log(spec.S.sum() / m.n)

        def at(v: Floats) -> Evaluation:  # v: log σ_e²/σ_0², log σ_1²/σ_e²
            W = math.exp(0.5 * (v[0] + v[1])) * unit * G1
            return m.evaluate(log_delta=float(v[0]), reml=True, include=W)

        start = math.log(np.clip(null.delta, math.exp(mean - 4), math.exp(mean + 4)))
        first = brute(lambda v: at(v).nll, [(start, start + 3), (-7, 1)], Ns=5, finish=None)
        best = minimize(lambda v: at(v).nll, first, method="Nelder-Mead", options={"xatol": 1e-6},
                        bounds=[(mean - 20, mean + 20), (-60, 20)])  # fmt: skip
        e = at(best.x)
        statistic, variance = 2 * (null.nll - e.nll), e.sigma2_e * math.exp(best.x[1]) * unit**2
    if statistic <= 1e-6:  # the search comes near the boundary, not onto it
        return SetTest(0.0, 1.0, 0.0)
    return SetTest(statistic, 0.5 * 10.0 ** float(log10_sf_chi2(statistic)), variance)


def set_score(G1: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum | None = None) -> SetTest:
    """Score test of a set of SNPs as a variance component beside the kernel of `spec`.

    Parameters
    ----------
    G1 : (n, r) scaled genotypes of the set
    X : (n, d) covariates
    y : (n,) phenotype
    spec : Spectrum of the background kernel, with δ at the REML optimum without the set, or None for noise alone

    Returns
    -------
    SetTest
        the statistic is Q, in units of one over those of y squared; p takes the null model's variances for known

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, or a set that X explains

    Notes
    -----
    Derived in :eq:`set-score`.
    """
    G1 = _free(G1, X)
    m = LMM(decompose_snps(G1) if spec is None else spec, X, y)
    null = m.evaluate(h2=0.0, reml=True) if spec is None else m.fit(reml=True)
    B = m.inner(G1, delta=null.delta)
    free = B[m.d :, m.d :] - B[m.d :, : m.d] @ np.linalg.solve(B[: m.d, : m.d], B[: m.d, m.d :])
    sigma2 = null.sigma2_g + null.sigma2_e
    Q = 0.5 * float(free[1:, 0] @ free[1:, 0]) / sigma2**2
    return SetTest(Q, mixture_sf(2 * Q, np.linalg.eigvalsh(free[1:, 1:]) / sigma2), math.nan)


def _free(G1: ArrayLike, X: ArrayLike) -> Floats:
    """Check that X leaves something of a set of SNPs."""
    G1 = matrix("G1", G1)
    left = np.linalg.norm(residual(independent(matrix("X", X, rows=len(G1)))[0], G1))
    if left <= 1e-8 * np.linalg.norm(G1):
        raise ValueError(f"X explains the whole set of {G1.shape[1]} SNPs, so there is nothing to test")
    return G1


def epistasis(snps: ArrayLike, pairs: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum) -> Pairs:
    """Test for each pair of SNPs whether their product has an effect beside both main effects.

    Parameters
    ----------
    snps : (n, s) genotypes without missing values; not changed
    pairs : (p, 2) columns of `snps`
    X : (n, d) covariates
    y : (n,) phenotype
    spec : Spectrum of K; δ is that of the REML optimum without SNPs

    Returns
    -------
    Pairs

    Raises
    ------
    ValueError
        for shapes that do not match, NaN, a pair that names no column, or fewer than 4 individuals beside X's rank

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
    if m.n - m.d < 4:
        raise ValueError(f"{m.n} individuals and {m.d} covariates leave no degrees of freedom beside three columns")
    delta = m.fit(reml=True).delta
    found = np.full((3, len(couples)), np.nan)
    reason = np.zeros(len(couples), dtype="U40")
    for row, (i, j) in enumerate(couples.tolist()):
        columns, product = np.column_stack([m._Q, G[:, i], G[:, j]]), G[:, i] * G[:, j]
        Q = independent(columns)[0]
        if Q.shape[1] < m.d + 2:
            reason[row] = "the main effects are not independent"
            continue
        rest = residual(Q, product)
        if not np.linalg.norm(rest) > 1e-10 * np.linalg.norm(product):
            reason[row] = "the main effects explain the product"
            continue
        # Q spans X and both main effects; what they explain of the product does not change its coefficient
        length = float(np.linalg.norm(rest))
        B = m.inner(np.column_stack([Q[:, m.d :], rest / length]), delta=delta)
        main, test = [*range(m.d), m.d + 1, m.d + 2], [m.d, m.d + 3]
        left = B[np.ix_(test, test)] - B[np.ix_(test, main)] @ np.linalg.solve(
            B[np.ix_(main, main)], B[np.ix_(main, test)]
        )
        q0, q1 = left[0, 0], left[0, 0] - left[0, 1] ** 2 / left[1, 1]
        if not (q0 > LOST * B[m.d, m.d] and q1 > 1e-12 * q0):
            reason[row] = "X, main effects and product explain y"
            continue
        found[:2, row] = left[0, 1] / left[1, 1] / length, math.sqrt(q1 / (m.n - m.d - 3) / left[1, 1]) / length
        found[2, row] = m.n * math.log(q0 / q1)
    log10_p = log10_sf_chi2(np.where(np.isnan(found[2]), 0.0, found[2]))
    log10_p[np.isnan(found[2])] = np.nan
    return Pairs(found[0], found[1], found[2], 10.0**log10_p, log10_p, reason)
