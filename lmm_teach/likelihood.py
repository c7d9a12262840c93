"""The likelihood of the mixed model as a function of one number, after the rotation (`nLLeval`; chapters 4, 6-8)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from ._arrays import Floats, matrix, vector
from .gls import solve
from .rotation import rotate
from .search import minima
from .spectrum import Spectrum

GRID = np.linspace(-10.0, 10.0, 101)  # log δ relative to the mean eigenvalue of K


@dataclass(frozen=True)
class Evaluation:
    """The likelihood at one δ, with everything else at its best there.

    Attributes
    ----------
    nll : negative log-likelihood (REML or ML, as asked), in natural-log units
    beta : (d,) fixed effects, in units of y per unit of X; NaN for a column that `LMM.dropped` lists
    beta_cov : (d, d) their covariance, in squared units
    sigma2_g, sigma2_e : variance components, in squared units of y
    h2 : share σ_g² / (σ_g² + σ_e²)
    delta : ratio σ_e² / σ_g², infinite at h² = 0
    """

    nll: float
    beta: Floats
    beta_cov: Floats
    sigma2_g: float
    sigma2_e: float
    h2: float
    delta: float


@dataclass(frozen=True)
class Fit(Evaluation):
    """The evaluation at the optimum.

    Attributes
    ----------
    boundary : None for an optimum inside, "h2=0" or "h2=1" for one at that end
    optima : (h2, nll) of every local optimum inside, in order of h2
    unbounded : True where the likelihood grows without bound as h² → 1, so that "the optimum" is the best one inside,
        or where there is none, the smallest δ of the search (chapter 8)
    """

    boundary: str | None = None
    optima: tuple[tuple[float, float], ...] = ()
    unbounded: bool = False


def shares(h2: float | None, delta: float | None, log_delta: float | None) -> tuple[float, float]:
    """Turn the one parameter that was given into the shares h² and 1 - h², each to full precision.

    Parameters
    ----------
    h2, delta, log_delta : exactly one of them is not None

    Returns
    -------
    (float, float)
        h² and 1 - h²

    Raises
    ------
    ValueError
        if none or several are given, or the one is NaN or out of range

    Notes
    -----
    Derived in :eq:`conversions`. The second share is not computed as one minus the first, which would lose the
    digits of a small δ.
    """
    given = {
        name: float(value)
        for name, value in (("h2", h2), ("delta", delta), ("log_delta", log_delta))
        if value is not None
    }
    if len(given) != 1:
        raise ValueError(f"give exactly one of h2, delta and log_delta; got {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    if name == "h2" and 0 <= value <= 1:
        return value, 1.0 - value
    if name == "delta" and value >= 0:
        return 1.0 / (1.0 + value), 1.0 if value == np.inf else value / (1.0 + value)
    if name == "log_delta" and not math.isnan(value):
        return float(expit(-value)), float(expit(value))
    allowed = {"h2": "between 0 and 1", "delta": "0 or more", "log_delta": "a number"}[name]
    raise ValueError(f"{name} = {value} must be {allowed}")


class LMM:
    """The model y ~ N(Xβ, σ_g² K + σ_e² I), rotated once so that each evaluation costs O(k d²).

    Parameters
    ----------
    spec : Spectrum of K, n individuals, rank k
    X : (n, d) covariates, intercept included
    y : (n,) phenotype

    Attributes
    ----------
    n, d, k : individuals, rank of X, rank of K
    dropped : columns of X that depend linearly on columns before them; the model is fitted without these

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, n - rank X < 2, an X of rank zero, or a y that X explains
        exactly (a constant y, for instance)

    Notes
    -----
    Derived in :eq:`sums`. X is replaced by an orthonormal basis Q of its columns and y by its residual on Q:
    neither changes the likelihood, and both keep digits.
    """

    def __init__(self, spec: Spectrum, X: ArrayLike, y: ArrayLike) -> None:
        X, y = matrix("X", X, rows=spec.n), vector("y", y, rows=spec.n)
        Q, self._kept = _independent(X)
        self.n, self.d, self.k = spec.n, Q.shape[1], spec.k
        self.dropped = tuple(j for j in range(X.shape[1]) if j not in self._kept)
        if self.d == 0:
            raise ValueError(f"X (shape {X.shape}) has no non-zero column; pass at least np.ones((n, 1))")
        if self.n - self.d < 2:
            raise ValueError(f"{self.n} individuals and {self.d} independent covariates leave fewer than 2 degrees "
                             "of freedom; use more individuals or fewer covariates")  # fmt: skip
        self._offset = Q.T @ y
        r = y - Q @ self._offset
        r -= Q @ (Q.T @ r)
        left, size = np.linalg.norm(r), np.linalg.norm(y)
        if left <= 1e-12 * size:
            raise ValueError(f"X explains y exactly (|residual| = {left:.1e}, |y| = {size:.1e}): a constant y, or one "
                             "that is a sum of covariates, leaves no variance to model")  # fmt: skip
        self._S = spec.S
        self._R_inverse = np.linalg.solve(Q.T @ X[:, self._kept], np.eye(self.d))
        # Every sum over individuals that a likelihood needs is w @ products: one column per pair (a, b) of the
        # d + 1 columns of [Q, r]; _pair[a, b] is the column of that pair.
        rotated = rotate(spec, np.column_stack([Q, r]))
        rows, columns = np.triu_indices(self.d + 1)
        self._products = rotated.along[:, rows] * rotated.along[:, columns]
        self._outside = np.zeros(rows.size)
        if rotated.outside is not None:
            self._outside = np.einsum("ij,ij->j", rotated.outside[:, rows], rotated.outside[:, columns])
        self._pair = np.zeros((self.d + 1, self.d + 1), dtype=np.intp)
        self._pair[rows, columns] = self._pair[columns, rows] = np.arange(rows.size)

    def __repr__(self) -> str:
        dropped = f", dropped columns {self.dropped} of X" if self.dropped else ""
        return f"LMM(n={self.n}, rank of X {self.d}, rank of K {self.k}{dropped})"

    def evaluate(
        self, *, reml: bool, h2: float | None = None, delta: float | None = None, log_delta: float | None = None
    ) -> Evaluation:
        """Evaluate the profile likelihood at one value of the variance ratio.

        Parameters
        ----------
        reml : restricted likelihood (True) or full likelihood (False); there is no default
        h2, delta, log_delta : exactly one of them

        Returns
        -------
        Evaluation

        Raises
        ------
        ValueError
            if not exactly one of h2, delta, log_delta is given and in range, or if h² = 1 and K is singular

        Notes
        -----
        Derived in :eq:`profile-rotated`.
        """
        genetic, residual = shares(h2, delta, log_delta)
        D = genetic * self._S + residual
        nulls = self.n - self.k
        if residual == 0 and nulls:
            raise ValueError(f"h2 = 1 makes the covariance K itself, whose rank is {self.k} with {self.n} individuals: "
                             "its inverse does not exist; evaluate at h2 < 1")  # fmt: skip
        sums = (1.0 / D) @ self._products
        logdet_M = float(np.log(D).sum())
        if nulls:
            sums += self._outside / residual
            logdet_M += nulls * math.log(residual)
        T = sums[self._pair]
        gls = solve(T[:-1, :-1], T[:-1, -1])
        q = float(T[-1, -1] - T[:-1, -1] @ gls.b)
        N = self.n - self.d if reml else self.n
        sigma2 = q / N
        nll = 0.5 * (logdet_M + (gls.logdet if reml else 0.0) + N * (math.log(2 * math.pi * sigma2) + 1))
        beta = self._R_inverse @ (self._offset + gls.b)
        beta_cov = sigma2 * (self._R_inverse @ gls.inverse @ self._R_inverse.T)
        if self.dropped:
            beta, beta_cov = self._fill(beta), self._fill(self._fill(beta_cov).T)
        delta = residual / genetic if genetic else np.inf
        return Evaluation(nll, beta, beta_cov, genetic * sigma2, residual * sigma2, genetic, delta)

    def slope(self, log_delta: ArrayLike, *, reml: bool) -> Floats:
        """Derivative of the profile nLL by log δ, at many points at once.

        Parameters
        ----------
        log_delta : (g,) finite numbers
        reml : as in `evaluate`

        Returns
        -------
        (g,) array
            d nLL / d log δ

        Notes
        -----
        Derived in :eq:`slope`. The share of noise δ / (S + δ) of each eigenvector is 1 outside.
        """
        delta = np.exp(vector("log_delta", log_delta))[:, None]
        noise = delta / (self._S + delta)
        T1, T2 = ((w @ self._products + self._outside)[:, self._pair] for w in (noise, noise * noise))
        C1, c1 = T1[:, :-1, :-1], T1[:, :-1, -1:]
        solved = np.linalg.solve(C1, np.concatenate([c1, T2[:, :-1, :-1]], axis=2))
        b = solved[:, :, :1]
        v = np.concatenate([-b, np.ones((len(b), 1, 1))], axis=1)  # r - Qb in the basis [Q, r]
        q1 = (T1[:, -1:, :] @ v)[:, 0, 0]
        q2 = (v.transpose(0, 2, 1) @ T2 @ v)[:, 0, 0]
        trace = noise.sum(axis=1) + (self.n - self.k)
        if reml:
            trace -= np.trace(solved[:, :, 1:], axis1=1, axis2=2)
        return 0.5 * (trace - (self.n - self.d if reml else self.n) * q2 / q1)

    def fit(self, *, reml: bool) -> Fit:
        """Find the h² at which the profile likelihood is highest, over all local optima and both ends.

        The grid covers log δ within 10 of the logarithm of K's mean eigenvalue; beyond it the ends stand for the
        rest: h² = 0 exactly, and h² = 1 exactly where K is non-singular, else the smallest δ of the grid.

        Parameters
        ----------
        reml : as in `evaluate`

        Returns
        -------
        Fit

        Raises
        ------
        ValueError
            if the likelihood does not depend on h² (K is zero, or a multiple of I on what X leaves free)

        Notes
        -----
        Derived in :eq:`minimum`. Where the likelihood grows without bound as h² → 1 (ML, and X explains the null
        space of K: chapter 8), that end is no estimate: the best optimum inside is returned if there is one, and
        `unbounded` says so.
        """
        if self.k == 0:
            raise ValueError("K is zero, so h2 is not identifiable; use linear regression")
        grid = GRID + np.log(self._S.sum() / self.n)
        # Far below the smallest eigenvalue the slope tends to ½ for each direction outside K that X explains, if X
        # explains them all, instead of to 0 or below: a likelihood without bound.
        limit = min(float(np.log(self._S[-1])) - 20.0, float(grid[0]))
        at_limit, *slopes = self.slope([limit, *grid], reml=reml)
        if np.abs(slopes).max() <= 1e-9 * self.n:
            raise ValueError(f"the likelihood does not depend on h2 (its slope is {np.abs(slopes).max():.1e} at most): "
                             "K is a multiple of the identity on what X leaves free")  # fmt: skip
        inside = [self.evaluate(log_delta=t, reml=reml) for t in minima(lambda t: self.slope(t, reml=reml), grid)]
        found: list[tuple[Evaluation, str | None]] = [(e, None) for e in inside]
        found.append((self.evaluate(h2=0.0, reml=reml), "h2=0"))
        unbounded = bool(max(at_limit, slopes[0]) > 0.25)
        if not unbounded or not inside:
            end = {"h2": 1.0} if self.k == self.n else {"log_delta": float(grid[0])}
            found.append((self.evaluate(reml=reml, **end), "h2=1"))
        best, boundary = min(found, key=lambda pair: pair[0].nll)
        optima = tuple((e.h2, e.nll) for e in reversed(inside))
        return Fit(**vars(best), boundary=boundary, optima=optima, unbounded=unbounded)

    def _fill(self, values: Floats) -> Floats:
        full = np.full((self.d + len(self.dropped), *values.shape[1:]), np.nan)
        full[self._kept] = values
        return full


def _independent(X: Floats) -> tuple[Floats, list[int]]:
    """An orthonormal basis of X's columns, and which columns are independent of those before them."""
    basis, kept = np.empty((X.shape[0], 0)), list[int]()
    for j, x in enumerate(X.T):
        r = x - basis @ (basis.T @ x)
        r -= basis @ (basis.T @ r)  # once more: the first pass leaves rounding of the size of x
        if np.linalg.norm(r) > 1e-10 * np.linalg.norm(x):
            basis, kept = np.column_stack([basis, r / np.linalg.norm(r)]), [*kept, j]
    return basis, kept
