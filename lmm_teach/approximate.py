"""Tests that give up a little exactness for a cost linear in n per SNP: GRAMMAR-Γ and BOLT-LMM-inf (chapter 17).

EMMAX, which keeps the rotation and gives up only the δ of each SNP, is `scan` with ``refit=False``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from ._arrays import LARGEST, UNFIT, Floats, extent, genotypes, in_range, matrix, vector
from ._progress import Bar
from .association import log10_sf_chi2
from .kinship import summarize_snps
from .likelihood import LMM, LOST
from .projection import independent, residual
from .spectrum import Spectrum
from .variance import Fit

PROBES = 30  # random SNPs for the calibration, and random vectors for the trace
Apply = Callable[[Floats], Floats]


@dataclass(frozen=True)
class GrammarGamma:
    """One test per SNP; arrays of length s, NaN where `reason` says why.

    Attributes
    ----------
    gamma : Γ, the one value that stands for xᵀPx / xᵀΠx of every SNP, in units of 1 / y²
    beta, se : approximate effect and standard error, in units of y per unit of the SNP
    chi2, p, log10_p : score statistic, χ² with 1 degree of freedom, and its p-value
    reason : "" where the SNP was tested, else why it was not
    missing : number of genotypes that were replaced by the SNP's mean
    null : the fit without a SNP
    """

    gamma: float
    beta: Floats
    se: Floats
    chi2: Floats
    p: Floats
    log10_p: Floats
    reason: NDArray[np.str_]
    missing: NDArray[np.int64]
    null: Fit


@dataclass(frozen=True)
class BoltInf:
    """One test per SNP; arrays of length s, NaN where `reason` says why.

    Attributes
    ----------
    chi2, p, log10_p : χ² with 1 degree of freedom, and its p-value
    calibration, calibration_se : the factor that turns the uncalibrated statistic into `chi2`, and the standard error
        that comes from the choice of the SNPs behind it
    sigma2_g, delta, h2 : the variances that the test used, given or estimated
    iterations : steps of the conjugate gradients in the last system
    reason, missing : as in `GrammarGamma`
    """

    chi2: Floats
    p: Floats
    log10_p: Floats
    calibration: float
    calibration_se: float
    sigma2_g: float
    delta: float
    h2: float
    iterations: int
    reason: NDArray[np.str_]
    missing: NDArray[np.int64]


def conjugate_gradients(apply: Apply, B: ArrayLike, *, tolerance: float = 1e-10) -> tuple[Floats, int]:
    """Solve A U = B for a symmetric positive definite A that is known only by what it does to vectors.

    Parameters
    ----------
    apply : maps an (n, r) array to A times it, column by column; the columns may have an A each
    B : (n, r) right-hand sides, solved side by side
    tolerance : largest ‖B - A U‖ / ‖B‖ of a column

    Returns
    -------
    U : (n, r)
    iterations : applications of A

    Raises
    ------
    ValueError
        if A is not positive definite, or n iterations and 100 more do not suffice

    Notes
    -----
    Derived in :eq:`cg-step`.
    """
    R = matrix("B", B).copy()
    U, D, square = np.zeros_like(R), R.copy(), (R * R).sum(axis=0)
    goal = tolerance**2 * square
    for iteration in range(len(R) + 101):
        if (square <= goal).all():
            return U, iteration
        AD = apply(D)
        curvature = (D * AD).sum(axis=0)
        active = square > goal
        if not (curvature[active] > 0).all():
            raise ValueError(f"the matrix is not positive definite: vᵀAv = {curvature[active].min():.2e} for a "
                             "direction of the search")  # fmt: skip
        step = np.where(active, square / np.where(active, curvature, 1.0), 0.0)
        U += step * D
        R -= step * AD
        new = np.where(active, (R * R).sum(axis=0), square)
        D = R + np.where(active, new / np.maximum(square, 1e-300), 0.0) * D
        square = new
    worst = math.sqrt((square / np.maximum(goal, 1e-300)).max()) * tolerance
    raise ValueError(f"{iteration} iterations of conjugate gradients leave a relative residual of {worst:.1e} instead "
                     f"of {tolerance:.1e}: is delta extremely small?")  # fmt: skip


def _impute(x: NDArray) -> tuple[Floats, NDArray[np.int64]]:
    """Columns as float64 with the mean in place of NaN, and the number of NaN in each; refuse infinity."""
    filled, missing = x.astype(np.float64), np.zeros(x.shape[1], dtype=np.int64)  # a copy
    if (holes := np.flatnonzero(~np.isfinite(filled.sum(axis=0)))).size:
        some = filled[:, holes]
        gone = np.isnan(some)
        if not np.isfinite(some[~gone]).all():
            raise ValueError("a genotype is infinite; mark missing ones by NaN")
        missing[holes] = gone.sum(axis=0)
        mean = np.where(gone, 0.0, some).sum(axis=0) / np.maximum(len(x) - missing[holes], 1)
        filled[:, holes] = np.where(gone, mean, some)
    return filled, missing


def _untestable(x: Floats, missing: NDArray[np.int64], inside: Floats, whole: Floats) -> NDArray[np.str_]:
    """Why a column cannot be tested: X leaves nothing of it."""
    reason = np.zeros(x.shape[1], dtype="U40")
    for j in np.flatnonzero(~(inside > 1e-10 * whole)):
        constant = (x[:, j] == x[0, j]).all()
        reason[j] = "all genotypes missing" if missing[j] == len(x) else "constant" if constant else "X explains it"
    return reason


def _blocks(s: int, n: int) -> Iterator[slice]:
    size = max(16, min(1024, 2**23 // n))
    return (slice(j, min(j + size, s)) for j in range(0, s, size))


def grammar_gamma(
    snps: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum, *, independent_snps: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> GrammarGamma:  # fmt: skip
    """Test each SNP by the score test with one number in place of every xᵀPx: O(n d) per SNP, and no rotation.

    Parameters
    ----------
    snps : (n, s) genotypes, any numbers, NaN where missing; a missing one is replaced by the SNP's mean. Not changed
    X : (n, d) covariates, intercept included
    y : (n,) phenotype
    spec : Spectrum of K
    independent_snps : False where the tested SNPs are those of K, or alike; True where they vary independently of K,
        as SNPs of a chromosome that K leaves out do among unrelated individuals
    progress : called with the number of SNPs done and s after each block

    Returns
    -------
    GrammarGamma

    Raises
    ------
    ValueError
        for shapes that do not match, an infinite genotype, or whatever `LMM` and its `fit` refuse

    Notes
    -----
    Derived in :eq:`gamma-kinship` and, for independent SNPs, :eq:`gamma-independent`.
    """
    G = genotypes(snps, spec.n)
    n, s = G.shape
    m = LMM(spec, X, y)
    null, Q, y = m.fit(reml=True), m._Q, np.asarray(y)
    unit = 2.0 ** math.frexp(null.sigma2_g + null.sigma2_e)[1]  # of the variances, so that no square overflows
    genetic, noise = null.sigma2_g / unit, null.sigma2_e / unit
    D = genetic * spec.S + noise  # V's eigenvalues along U; outside it is the noise
    QU = spec.U.T @ Q

    def solve(A: Floats) -> Floats:
        along = spec.U.T @ A
        outside = (A - spec.U @ along) / noise if spec.k < n else 0.0
        return np.asarray(spec.U @ (along / D[:, None]) + outside)

    VQ, Vr = solve(Q), solve(residual(Q, y)[:, None])
    C = Q.T @ VQ
    Py = (Vr - VQ @ np.linalg.solve(C, Q.T @ Vr))[:, 0]
    if independent_snps:
        trace_M = (1 / D).sum() + ((n - spec.k) / noise if spec.k < n else 0.0)
        gamma = (trace_M - np.trace(np.linalg.solve(C, VQ.T @ VQ))) / (n - Q.shape[1])
    else:
        trace_PK = (spec.S / D).sum() - np.trace(np.linalg.solve(C, (QU.T * (spec.S / D**2)) @ QU))
        left = spec.S.sum() - (spec.S[:, None] * QU**2).sum()
        if not (left > LOST * spec.S.sum() and trace_PK > 0):
            raise ValueError(f"X leaves {left:.1e} of trace K = {spec.S.sum():.1e}, which is rounding: Γ has no value; "
                             "leave covariates out, or use scan")  # fmt: skip
        gamma = trace_PK / left
    vectors, inside, product = np.column_stack([Py, Q]).T, np.empty(s), np.empty(s)
    missing, reason, report = np.zeros(s, dtype=np.int64), np.zeros(s, dtype="U40"), progress or Bar("SNPs")
    for part in _blocks(s, n):
        x, missing[part] = _impute(G[:, part])
        fits = in_range(extent(x))
        x = x if fits.all() else np.where(fits, x, 0.0)
        whole, products = (x * x).sum(axis=0), vectors @ x
        product[part], inside[part] = products[0], whole - (products[1:] ** 2).sum(axis=0)
        reason[part] = np.where(fits, _untestable(x, missing[part], inside[part], whole), UNFIT)
        report(part.stop, s)
    inside[reason != ""] = np.nan
    beta, se = product / (gamma * inside), math.sqrt(unit) / np.sqrt(gamma * inside)
    chi2 = (beta / se) ** 2
    log10_p = log10_sf_chi2(chi2)
    return GrammarGamma(float(gamma) / unit, beta, se, chi2, 10.0**log10_p, log10_p, reason, missing, null)


class Genotypes:
    """Standardised SNPs and their kinship, without forming either: products with blocks of the columns as they are.

    Parameters
    ----------
    snps : (n, s) genotypes; integers stay integers
    chrom : (s,) chromosome of each SNP
    Q : (n, d) orthonormal basis of the covariates
    """

    def __init__(self, snps: NDArray, chrom: NDArray, Q: Floats) -> None:
        self.snps, self.chrom, self.Q = snps, chrom, Q
        n, s = snps.shape
        self.mean, self.sd, self.missing = np.zeros(s), np.zeros(s), np.zeros(s, dtype=np.int64)
        for part in _blocks(s, n):
            summary = summarize_snps(snps[:, part])
            self.mean[part] = np.nan_to_num(summary.mean)
            self.sd[part], self.missing[part] = summary.sd, summary.missing
        self.inverse_sd = np.divide(1.0, self.sd, out=np.zeros(s), where=self.sd > 0)
        self.number = int((self.sd > 0).sum())
        chromosomes, self.code = np.unique(chrom, return_inverse=True)
        self.inside = np.bincount(self.code, self.sd > 0, chromosomes.size)  # varying SNPs of each

    def standardised(self, part: slice | NDArray[np.intp]) -> Floats:
        """Columns of Z, projected: (n, b)."""
        x, _ = _impute(self.snps[:, part])
        return residual(self.Q, (x - self.mean[part]) * self.inverse_sd[part])

    def times_kinship(self, V: Floats, left_out: NDArray[np.intp]) -> Floats:
        """ΠKΠ times each column of V = ΠV, K without the chromosome whose code `left_out` names (-1: with all)."""
        out, shift = np.zeros_like(V), np.zeros(V.shape[1])
        weight = 1.0 / (self.number - np.where(left_out < 0, 0, self.inside[left_out]))
        total = V.sum(axis=0)
        for part in _blocks(*self.snps.shape[::-1]):
            x = self.snps[:, part].astype(np.float64)
            if self.missing[part].any():
                x, _ = _impute(x)
            T = (x.T @ V - self.mean[part, None] * total) * self.inverse_sd[part, None] ** 2
            T *= (self.code[part, None] != left_out) * weight
            out += x @ T
            shift += self.mean[part] @ T
        return residual(self.Q, out - shift)


def _estimate_delta(Z: Genotypes, r: Floats, rng: np.random.Generator, tolerance: float, counted: Apply) -> float:
    """The δ at which yᵀPPy / yᵀPy equals tr P / (n - d), with tr P from random signs."""
    n = len(r)
    signs = residual(Z.Q, rng.choice([-1.0, 1.0], (n, PROBES)))
    B, everything = np.column_stack([r, signs]), np.full(PROBES + 1, -1)

    def excess(t: float) -> float:
        apply = lambda V: counted(Z.times_kinship(V, everything) + math.exp(t) * V)  # noqa: E731
        U, _ = conjugate_gradients(apply, B, tolerance=tolerance)
        trace = (signs * U[:, 1:]).sum() / PROBES
        return math.log(U[:, 0] @ U[:, 0] / (r @ U[:, 0])) - math.log(trace / (n - Z.Q.shape[1]))

    t, at = 0.0, excess(0.0)
    step = 1.0 if at > 0 else -1.0  # nLL falls towards larger δ where the excess is positive
    while abs(t) < 7:
        following = excess(t + step)
        if following * at <= 0:
            return math.exp(brentq(excess, *sorted((t, t + step)), xtol=1e-3))
        t, at = t + step, following
    return math.exp(t)


def bolt_inf(
    snps: ArrayLike, chrom: ArrayLike, X: ArrayLike, y: ArrayLike, *, sigma2_g: float | None = None,
    delta: float | None = None, seed: int = 0, tolerance: float = 1e-10,
    progress: Callable[[int, int | None], object] | None = None,
) -> BoltInf:  # fmt: skip
    """Test each SNP with the kinship of the other chromosomes, by conjugate gradients: no n × n matrix is formed.

    Each iteration reads the genotypes once and costs O(n s) per chromosome and probe.

    Parameters
    ----------
    snps : (n, s) genotypes, NaN where missing; standardised for the kinship, block by block. Not changed, and not
        converted as a whole: 8-bit integers take one byte each
    chrom : (s,) chromosome of each SNP
    X : (n, d) covariates, intercept included; projected out of y and SNPs
    y : (n,) phenotype
    sigma2_g, delta : variance of the genetic part, in squared units of y, and the ratio of the noise's to it. None:
        δ solves REML's equation with a trace from 30 random vectors, between e⁻⁷ and e⁷, and σ_g² follows from δ
    seed : of the random vectors, and of the SNPs for the calibration
    tolerance : of the conjugate gradients, relative residual
    progress : called with the number of times that the genotypes have been read, and None

    Returns
    -------
    BoltInf

    Raises
    ------
    ValueError
        if `chrom` has not one entry per SNP, all varying SNPs are on one chromosome, sigma2_g comes without delta or
        either is not positive, shapes do not match, a genotype is infinite, or X explains y

    Notes
    -----
    Derived in :eq:`bolt-statistic`, the calibration in :eq:`bolt-calibration`, δ in :eq:`reml-trace`.
    """
    X = matrix("X", X)
    y = vector("y", y, rows=len(X), largest=LARGEST)
    G, where = genotypes(snps, len(X)), np.asarray(chrom)
    n, s = G.shape
    if where.shape != (s,):
        raise ValueError(f"chrom has shape {where.shape}, but there are {s} SNPs")
    if sigma2_g is not None and delta is None:
        raise ValueError(f"sigma2_g = {sigma2_g} is given without delta; give both, or delta alone, or neither")
    for name, value in (("sigma2_g", sigma2_g), ("delta", delta)):
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name} = {value} must be positive and finite")
    Q = independent(X)[0]
    freedom, r = n - Q.shape[1], residual(Q, y)
    if freedom < 2 or np.linalg.norm(r) <= 1e-12 * np.linalg.norm(y):
        raise ValueError(f"{n} individuals and {Q.shape[1]} independent covariates leave {freedom} degrees of freedom "
                         f"and a residual of {np.linalg.norm(r):.1e}: nothing to test")  # fmt: skip
    Z = Genotypes(G, where, Q)
    if (Z.inside > 0).sum() < 2:
        raise ValueError(f"the {Z.number} SNPs that vary are on fewer than two chromosomes: without one of them no "
                         "kinship is left; use `scan`")  # fmt: skip
    rng, report, passes = np.random.default_rng(seed), progress or Bar("passes over the SNPs"), 0

    def counted(V: Floats) -> Floats:
        nonlocal passes
        passes += 1
        report(passes, None)
        return V

    if delta is None:
        delta = _estimate_delta(Z, r, rng, max(tolerance, 1e-6), counted)
    varying = np.flatnonzero(Z.sd > 0)
    chosen = np.sort(rng.choice(varying, min(PROBES, varying.size), replace=False))
    probes = Z.standardised(chosen)
    left = (probes**2).sum(axis=0) > 1e-10 * n
    if not left.any():
        raise ValueError(f"X explains each of the {chosen.size} SNPs drawn for the calibration: nothing is left")
    chosen, probes = chosen[left], probes[:, left]
    codes = np.arange(Z.inside.size)
    left_out = np.concatenate([codes, Z.code[chosen], [-1]])
    B = np.column_stack([np.tile(r[:, None], codes.size), probes, r])
    U, iterations = conjugate_gradients(
        lambda V: counted(Z.times_kinship(V, left_out) + delta * V), B, tolerance=tolerance
    )
    if sigma2_g is None:
        sigma2_g = float(r @ U[:, -1]) / freedom
    size = (U * U).sum(axis=0)[: codes.size]  # |P y|² of each chromosome, in units of δ's form
    solved = U[:, codes.size : -1]
    ratio = freedom * sigma2_g * (probes * solved).sum(axis=0) / ((probes**2).sum(axis=0) * size[Z.code[chosen]])
    calibration = 1 / float(ratio.mean())
    error = calibration**2 * float(ratio.std(ddof=1)) / math.sqrt(ratio.size) if ratio.size > 1 else math.nan
    chi2, reason = np.empty(s), np.zeros(s, dtype="U40")
    for part in _blocks(s, n):
        x, _ = _impute(G[:, part])
        code, whole = Z.code[part], (x * x).sum(axis=0)
        inside = (residual(Q, x) ** 2).sum(axis=0)
        product = (x.T @ U[:, : codes.size])[np.arange(x.shape[1]), code]  # U = ΠU, so x need not be projected
        reason[part] = _untestable(x, Z.missing[part], inside, whole)
        chi2[part] = calibration * freedom * product**2 / (np.where(reason[part] == "", inside, np.inf) * size[code])
    chi2[reason != ""] = np.nan
    log10_p = log10_sf_chi2(chi2)
    return BoltInf(chi2, 10.0**log10_p, log10_p, calibration, error, sigma2_g, delta, 1 / (1 + delta), iterations,
                   reason, Z.missing)  # fmt: skip
