"""Test SNPs one at a time: Wald, likelihood ratio and score, with δ fixed or refitted for each SNP (chapter 13)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, solve_triangular
from scipy.special import betainc, betaln, log_ndtr, ndtri

from ._arrays import LARGEST, UNFIT, Floats, extent, genotypes, in_range, vector
from ._progress import Bar
from .likelihood import GRID, LMM, LOST, SPAN
from .projection import residual
from .search import newton
from .spectrum import Spectrum
from .variance import Fit

NODES = 16  # Chebyshev nodes in a bracket
RANK = 1e-13  # of the largest weight: what the skeleton of the weights may leave out
LARGEST_SINGLE = 1e15  # of phenotype and SNPs in single precision, which cannot hold products above 3e38
TESTS = ("wald", "lrt", "score")


@dataclass(frozen=True)
class Scan:
    """One test per SNP; arrays of length s, NaN where `reason` says why.

    Attributes
    ----------
    beta, se : effect and its standard error, in units of y per unit of the SNP
    h2, delta : variance ratio that the SNP was tested at
    statistic : F (Wald, 1 and `dof` degrees of freedom) or χ² (likelihood ratio and score, 1 degree of freedom)
    p, log10_p : p-value, and its logarithm, which does not underflow
    reason : "" where the SNP was tested, else why it was not
    missing : number of genotypes that were replaced by the SNP's mean
    dof : n - d - 1
    null : the fit without a SNP, or None where δ was given
    """

    beta: Floats
    se: Floats
    h2: Floats
    delta: Floats
    statistic: Floats
    p: Floats
    log10_p: Floats
    reason: NDArray[np.str_]
    missing: NDArray[np.int64]
    dof: int
    null: Fit | None


def log10_sf_f(statistic: ArrayLike, dof: int) -> Floats:
    """Logarithm to base ten of the upper tail of F(1, dof), without underflow.

    Parameters
    ----------
    statistic : values of F, 0 or more
    dof : denominator's degrees of freedom

    Returns
    -------
    array of the same shape

    Notes
    -----
    Derived in :eq:`tail-f`: the tail is a regularised incomplete beta function of x = dof / (dof + F). Where that
    underflows, the power x^(dof/2) is taken out as a logarithm, and Gauss and Laguerre integrate the rest.
    """
    F = np.atleast_1d(statistic)
    a, x = dof / 2, dof / (dof + F)
    p = betainc(a, 0.5, x)
    result = np.log(np.maximum(p, 1e-300))
    if (far := p < 1e-290).any():
        v, w = np.polynomial.laguerre.laggauss(20)
        integral = (1 - x[far, None] * np.exp(-v / a)) ** -0.5 @ w
        result[far] = a * np.log(x[far]) + np.log(integral) - math.log(a) - betaln(a, 0.5)
    return np.reshape(result / math.log(10), np.shape(statistic))


def log10_sf_chi2(statistic: ArrayLike) -> Floats:
    """Logarithm to base ten of the upper tail of χ² with one degree of freedom, without underflow.

    Parameters
    ----------
    statistic : values of χ², 0 or more

    Returns
    -------
    array of the same shape

    Notes
    -----
    Derived in :eq:`tail-chi2`.
    """
    return (math.log(2) + log_ndtr(-np.sqrt(statistic))) / math.log(10)


INTERPOLATE = chebyshev.chebvander(chebyshev.chebpts1(NODES), NODES - 1).T * (2 / NODES)
INTERPOLATE[0] /= 2  # values at the nodes -> coefficients


def value(u: Floats, coefficients: Floats) -> Floats:
    """Chebyshev series of each SNP at its own point."""
    return np.asarray(chebyshev.chebval(u, coefficients, tensor=False))


def derivatives(slope: Floats, curve: Floats, u: Floats) -> tuple[Floats, Floats]:
    """Slope and curvature of each SNP's series at its own point, as `newton` wants them."""
    return value(u, slope), value(u, curve)


class Scanner:
    """Everything that the SNPs of a scan share; `block` tests some of them.

    Parameters
    ----------
    X, y, spec, refit, test, delta, single : as in `scan`

    Raises
    ------
    ValueError
        as `scan`

    Notes
    -----
    Derived in :eq:`skeleton` and :eq:`snp-profile`.
    """

    def __init__(
        self, X: ArrayLike, y: ArrayLike, spec: Spectrum, refit: bool, test: str, delta: float | None, single: bool
    ) -> None:
        if test not in TESTS:
            raise ValueError(f"test = {test!r} is none of {', '.join(TESTS)}")
        self.name, self.reml, self.refit = test, test != "lrt", refit and test != "score"
        if delta is not None and (self.refit or not delta >= 0):
            raise ValueError(f"delta = {delta} must be 0 or more, and needs refit=False or test='score'")
        self.m = m = LMM(spec, X, y)
        self.largest = LARGEST_SINGLE if single else LARGEST
        vector("y", y, largest=self.largest)
        self.dof = m.n - m.d - 1
        if self.dof < 2:
            raise ValueError(f"{m.n} individuals, {m.d} independent covariates and a SNP leave {self.dof} degrees of "
                             "freedom; at least 2 are needed")  # fmt: skip
        self.null = m.fit(reml=self.reml) if delta is None else None
        Q, outside = m._Q, m._rotated.outside
        self.Q_along, self.r_along = m._rotated.along[:, :-1].T, m._rotated.along[:, -1]
        # Directions without genetic variance that X leaves free. If there are none, no SNP has a part outside.
        self.free = 0.0 if outside is None else m.n - m.k - float((outside[:, :-1] ** 2).sum())
        self.closed = self.free < 1e-6
        seen = (self.Q_along**2).sum(axis=1) > 1e-20
        self.columns = np.flatnonzero(seen | (not self.closed))  # the others lie outside, where no SNP is
        parts = [residual(Q, spec.U) if self.columns.size else spec.U, Q]
        if outside is not None and not self.closed:
            parts.append(residual(Q, outside))
        self.basis = np.hstack(parts, dtype=np.float32 if single else np.float64).T
        self.size = max(32, min(512, 2**20 // m.n))  # SNPs in a block: it should fit into the cache
        if self.refit:
            grid = GRID[::5] + math.log(spec.S.sum() / m.n)
            whole = m.k == m.n and spec.S[-1] > math.exp(-SPAN) * spec.S[0]
            self.t = np.array([*([-np.inf] if whole else []), *grid, np.inf])
            fine = np.array([self.t[0], *np.linspace(grid[0], grid[-1], 61), np.inf])
            _, R, order = qr(self.weights(fine).T, mode="economic", pivoting=True)
            kept = np.abs(R.diagonal()) > RANK * abs(R[0, 0])
            self.skeleton = self.weights(fine[order[: kept.sum()]])
            self.Q, self.R = qr(self.skeleton.T, mode="economic")
        else:
            fixed = self.null.delta if delta is None and self.null else float(delta or 0.0)
            self.t = np.array([math.log(fixed) if fixed else -np.inf])
            self.skeleton = self.weights(self.t)
        W = self.skeleton[:, :-1]
        self.sums = [W * self.r_along] + [W * self.Q_along[j] for j in self.columns]
        self.grid = self.nodes(self.t)
        self.brackets: dict[int, tuple[Floats, ...]] = {}

    def weights(self, t: Floats) -> Floats:
        """Weights (S_min + δ) / (S + δ) at each t = log δ, S_min = 0 for k < n: (t, k + 1), the last for outside."""
        S, base = self.m._S, self.m._S[-1] if self.m.k == self.m.n else 0.0
        delta = np.exp(np.minimum(t, 700.0))[:, None]
        return np.hstack([(base + delta) / (S + delta), np.full((t.size, 1), 0.0 if self.closed else 1.0)])

    def nodes(self, t: Floats) -> tuple[Floats, ...]:
        """What all SNPs share at each t: the skeleton's mixture, C's inverse factor, c through it, q, a constant."""
        m, W = self.m, self.weights(t)
        mix = solve_triangular(self.R, self.Q.T @ W.T).T if self.refit else np.eye(1)
        T = (W[:, :-1] @ m._products + (m._outside if m.k < m.n else 0.0))[:, m._pair]
        whole = T[:, -1, -1]
        try:
            L = np.linalg.inv(np.linalg.cholesky(T[:, :-1, :-1]))
            c = (L @ T[:, :-1, -1:])[:, :, 0]
            q = whole - (c**2).sum(axis=1)
        except np.linalg.LinAlgError:
            q = 0 * whole
        if not (q > LOST * whole).all():
            raise ValueError(f"at delta = {np.exp(t).min():.1e} rounding leaves no digit of what X does not explain, "
                             "since eigenvalues of the covariance differ by too much; use a larger delta")  # fmt: skip
        N = self.dof if self.reml else m.n
        constant = N * (math.log(2 * math.pi / N) + 1) - np.log(W[:, :-1]).sum(axis=1)
        if self.reml:
            constant = constant - 2 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        return mix, L[:, :, self.columns], c, q, constant

    def profile(self, nodes: tuple[Floats, ...], moments: Floats) -> Floats:
        """nLL, A = xᵀPx, B = xᵀPy and q at each t, (4, t, b), from the moments (2 + columns, rank, b)."""
        mix, L, c, q, constant = nodes
        found = np.empty((4, len(q), moments.shape[2]))
        nll, A, B, found[3] = found[0], mix @ moments[0], mix @ moments[1], q[:, None]
        if self.columns.size:
            E = np.einsum("tij,jtb->tib", L, mix @ moments[2:])
            A -= (E**2).sum(axis=1)
            B -= (c[:, None] @ E)[:, 0]
        found[1:3] = A, B
        np.log(np.maximum(found[3] - B * B / A, 1e-300), out=nll)
        nll *= self.dof if self.reml else self.m.n
        nll += constant[:, None] + (np.log(A) if self.reml else 0.0)
        nll *= 0.5
        return found

    def block(self, snps: NDArray) -> dict[str, NDArray]:
        """Test the columns of an (n, b) array; every value of the result has length b."""
        m, b = self.m, snps.shape[1]
        moments = np.empty((2 + self.columns.size, len(self.skeleton), b))
        missing, reason, out = np.zeros(b, dtype=np.int64), np.zeros(b, dtype="U40"), np.zeros(b)
        size = extent(snps) if snps.dtype.kind == "f" else np.ones(b)
        fits = in_range(size, self.largest) | np.isinf(size)
        snps = snps if fits.all() else np.where(fits, snps, 0)
        for j in range(0, b, self.size):
            part = slice(j, j + self.size)
            self.moments(snps[:, part], moments[:, :, part], missing[part], reason[part], out[part])
        reason[~fits] = UNFIT
        lost = reason != ""
        moments[0][:, lost], moments[1:, :, lost] = 1.0, 0.0
        with np.errstate(invalid="ignore", divide="ignore"):  # of an A that is rounding
            found = self.profile(self.grid, moments)
        if self.refit:
            unbounded = np.full(b, not self.reml and m.k < m.n) & (self.free - (out > 0) < 0.5)
            t, (nll, A, B, q) = self.optimum(found, moments, unbounded)
            lost_null = self.null is not None and self.null.unbounded and self.null.boundary == "h2=1"
            reason[(unbounded & (t == self.t[0]) | lost_null) & (reason == "")] = "ML has no bound as h2 -> 1"
        else:
            t, (nll, A, B, q) = np.full(b, self.t[0]), found[:, 0]
        gone = ~(A > (0.0 if self.refit else LOST * moments[0][0]))
        reason[gone & (reason == "")] = "rounding leaves nothing of it"
        A, B = np.where(gone, 1.0, A), np.where(gone, 0.0, B)
        rest = q - B * B / A
        reason[(rest <= 1e-12 * q) & (reason == "")] = "explains y exactly"
        rest = np.maximum(rest, 1e-12 * q)
        beta, se, delta = B / A, np.sqrt(rest / self.dof / A), np.exp(t)
        if self.name == "wald":
            statistic = (beta / se) ** 2
        elif self.name == "score":
            statistic = (m.n - m.d) * B * B / (A * q)
        elif self.refit and self.null:
            statistic = np.maximum(2 * (self.null.nll - nll), 0.0)
        else:
            statistic = m.n * np.log(q / rest)
        log10_p = log10_sf_f(statistic, self.dof) if self.name == "wald" else log10_sf_chi2(statistic)
        result = {"beta": beta, "se": se, "h2": 1 / (1 + delta), "delta": delta, "statistic": statistic,
                  "p": 10.0**log10_p, "log10_p": log10_p}  # fmt: skip
        for values in result.values():
            values[reason != ""] = np.nan
        return result | {"reason": reason, "missing": missing}

    def moments(self, x: NDArray, moments: Floats, missing: NDArray, reason: NDArray, out: Floats) -> None:
        """Rotate a few SNPs and sum over individuals with the weights of the skeleton; fill the arrays given."""
        m, k = self.m, self.m.k
        with np.errstate(invalid="ignore"):  # a missing or infinite genotype makes its column NaN
            rotated = np.asarray(self.basis @ np.asarray(x, dtype=self.basis.dtype), dtype=np.float64)
        if (holes := np.flatnonzero(~np.isfinite(rotated[k]))).size:
            x = x.astype(np.float64)  # a copy
            gone = np.isnan(x[:, holes])
            if not np.isfinite(x[:, holes][~gone]).all():
                raise ValueError("a genotype is infinite; mark missing ones by NaN")
            missing[holes] = gone.sum(axis=0)
            mean = np.where(gone, 0.0, x[:, holes]).sum(axis=0) / np.maximum(m.n - missing[holes], 1)
            x[:, holes] = np.where(gone, mean, x[:, holes])
            rotated[:, holes] = self.basis @ x[:, holes].astype(self.basis.dtype)
        along, shadow, over = rotated[:k], (rotated[k : k + m.d] ** 2).sum(axis=0), rotated[k + m.d :]
        square = along * along
        whole = square.sum(axis=0)
        if not self.closed:
            left = np.einsum("ij,ij->j", x, x, dtype=np.float64) - shadow - whole
            out[:] = np.where(left > 1e-12 * (whole + shadow), left, 0.0)
            whole = whole + out
        w = self.skeleton[:, -1:]  # the weights outside
        moments[0] = self.skeleton[:, :-1] @ square + w * out
        for i, j in enumerate([-1, *self.columns]):
            moments[i + 1] = self.sums[i] @ along + (0.0 if self.closed else w * over[j])
        for j in np.flatnonzero(~(whole > 1e-10 * (whole + shadow))):  # X explains all of these SNPs
            same = (x[:, j] == x[0, j]).all()
            reason[j] = "all genotypes missing" if missing[j] == m.n else "constant" if same else "X explains it"

    def optimum(self, found: Floats, moments: Floats, unbounded: NDArray) -> tuple[Floats, Floats]:
        """Per SNP, the t of the lowest nLL over all valleys and both ends, and the profile there, (4, b)."""
        nll, low = found[0], int(np.isinf(self.t[0]))
        valley = (nll[1:-1] < nll[:-2]) & (nll[1:-1] <= nll[2:])
        valley[:low], valley[-1] = False, False
        upper = (nll[-1] <= nll[0]) | (unbounded & valley.any(axis=0))
        t, best = np.where(upper, np.inf, self.t[0]), np.where(upper, found[:, -1], found[:, 0])
        lowest = nll[low] <= nll[low + 1]  # a valley between the two shows in no value, but in the slope
        for i in [low] * int(lowest.any()) + (np.flatnonzero(valley.any(axis=1)) + 1).tolist():
            snps, (start, end) = np.flatnonzero(lowest if i == low else valley[i - 1]), self.t[[max(i - 1, low), i + 1]]
            if i not in self.brackets:
                u = chebyshev.chebpts1(NODES)
                self.brackets[i] = self.nodes((start + end) / 2 + (end - start) / 2 * u)
            coefficients = INTERPOLATE @ self.profile(self.brackets[i], moments[:, :, snps])
            slope, curve = (chebyshev.chebder(coefficients[0], order) for order in (1, 2))
            u = newton(partial(derivatives, slope, curve), np.full(snps.size, -1.0), np.ones(snps.size))
            here = np.array([value(u, c) for c in coefficients])
            better = (here[0] < best[0, snps]) & ((i > low) | (value(np.full(snps.size, -1.0), slope) < 0))
            t[snps[better]] = ((start + end) / 2 + (end - start) / 2 * u)[better]
            best[:, snps[better]] = here[:, better]
        return t, best


def scan(
    snps: ArrayLike, X: ArrayLike, y: ArrayLike, spec: Spectrum, *, refit: bool = True, test: str = "wald",
    delta: float | None = None, single: bool = False, progress: Callable[[int, int], object] | None = None,
) -> Scan:  # fmt: skip
    """Test each SNP, with δ at the optimum of its own likelihood or fixed at that of the model without a SNP.

    Parameters
    ----------
    snps : (n, s) genotypes, any numbers, NaN where missing; a missing one is replaced by the SNP's mean. Not changed
    X : (n, d) covariates, intercept included
    y : (n,) phenotype
    spec : Spectrum of K
    refit : δ of its own for every SNP (True), or one for all (False; EMMAX). It is looked for from e⁻¹⁰ to e¹⁰ times
        the mean eigenvalue of K, and at the ends: h² = 0 exactly, and h² = 1 where K is non-singular
    test : "wald" (REML), "lrt" (ML likelihood ratio) or "score" (REML, δ of the model without a SNP in any case)
    delta : the δ for all, if it is known; then refit=False or test="score"
    single : rotate in single precision: about half the time, errors of the order 1e-6 standard errors in beta; for
        phenotypes and SNPs between 1e-15 and 1e15 in size (else 1e-70 and 1e70)
    progress : called with the number of SNPs done and s after each block; by default a bar if somebody is there to
        look at it and the scan is long

    Returns
    -------
    Scan
        If the scan is interrupted from the keyboard, the SNPs not reached are NaN, and a warning says how many.

    Raises
    ------
    ValueError
        for shapes that do not match, an infinite genotype, an unknown test, a delta that does not go with the rest,
        n - d < 3, or whatever `LMM` refuses

    Notes
    -----
    Derived in :eq:`f-statistic`, :eq:`lrt-statistic` and :eq:`score-statistic`.
    """
    scanner = Scanner(X, y, spec, refit, test, delta, single)
    G = genotypes(snps, spec.n)
    s, step, parts = G.shape[1], 8 * scanner.size, [scanner.block(G[:, :0])]
    report = progress or Bar("SNPs")
    try:
        for j in range(0, s, step):
            parts.append(scanner.block(G[:, j : j + step]))
            report(min(j + step, s), s)
    except KeyboardInterrupt:
        done = min(step * (len(parts) - 1), s)
        warnings.warn(f"interrupted: {done} of {s} SNPs are done, the others are NaN", stacklevel=2)
        rest = {name: np.full(s - done, np.nan) for name in parts[0]}
        rest |= {"reason": np.full(s - done, "not reached"), "missing": np.zeros(s - done, dtype=np.int64)}
        parts.append(rest)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Scan(**arrays, dof=scanner.dof, null=scanner.null)


def lambda_gc(p: ArrayLike) -> float:
    """Genomic inflation factor: the median test statistic, as χ² with one degree of freedom, over the expected one.

    Parameters
    ----------
    p : p-values, NaN where there was no test

    Returns
    -------
    float, 1 for uniform p-values

    Raises
    ------
    ValueError
        if a p-value is outside [0, 1], or all are NaN

    Notes
    -----
    Derived in :eq:`lambda-gc`.
    """
    values = np.asarray(p, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not values.size or values.min() < 0 or values.max() > 1:
        raise ValueError(f"{np.size(p)} p-values, {values.size} of them not NaN: they must be numbers from 0 to 1")
    return float(np.median(ndtri(values / 2) ** 2) / ndtri(0.25) ** 2)
