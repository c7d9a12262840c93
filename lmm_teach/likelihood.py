"""The likelihood of the mixed model as a function of one number, after the rotation (`nLLeval`; chapters 4, 6-8)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from ._arrays import LARGEST, Floats, matrix, vector
from .gls import solve
from .projection import independent, residual
from .rotation import rotate
from .search import minima
from .spectrum import Spectrum
from .update import absorb
from .variance import Evaluation, Fit, shares

GRID = np.linspace(-10.0, 10.0, 101)  # log δ relative to the mean eigenvalue of K
LOST = 1e-13  # of a sum over individuals: what is left of it after a subtraction of less is rounding
SPAN = 30.0  # logarithm of the largest ratio of two eigenvalues of M at which that cannot happen


def student_nll(logdet: float, q: float, N: int, dof: float, scale: float) -> float:
    """Minus the log-density of a multivariate t, from a log-determinant and a quadratic form.

    Parameters
    ----------
    logdet : log-determinant of M (with REML's terms)
    q : residual quadratic form rᵀM⁻¹r, in squared units of y
    N : number of observations or contrasts
    dof : degrees of freedom ν > 0
    scale : the prior's value of the total variance, in squared units of y

    Returns
    -------
    float
        nLL, in natural-log units

    Notes
    -----
    Derived in :eq:`student`.
    """
    # lgamma(dof/2) - lgamma((dof + N)/2), whose digits would cancel for a large dof
    gammas = float(betaln(dof / 2, N / 2)) - math.lgamma(N / 2)
    determinant = 0.5 * (logdet + N * math.log(math.pi * dof * scale))
    return gammas + determinant + 0.5 * (dof + N) * math.log1p(q / (dof * scale))


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
        for shapes that do not match, NaN or infinity, units in which numbers are above 1e70 or below 1e-70,
        n - rank X < 2, an X of rank zero, or a y that X explains exactly (a constant y, for instance)

    Notes
    -----
    Derived in :eq:`sums`. X is replaced by an orthonormal basis Q of its columns and y by its residual on Q:
    neither changes the likelihood, and both keep digits.
    """

    def __init__(self, spec: Spectrum, X: ArrayLike, y: ArrayLike) -> None:
        X, y = matrix("X", X, rows=spec.n), vector("y", y, rows=spec.n, largest=LARGEST)
        Q, self._kept = independent(X)
        self._Q = Q
        self.n, self.d, self.k = spec.n, Q.shape[1], spec.k
        self.dropped = tuple(j for j in range(X.shape[1]) if j not in self._kept)
        if self.d == 0:
            raise ValueError(f"X (shape {X.shape}) has no non-zero column; pass at least np.ones((n, 1))")
        if self.n - self.d < 2:
            raise ValueError(f"{self.n} individuals and {self.d} independent covariates leave fewer than 2 degrees "
                             "of freedom; use more individuals or fewer covariates")  # fmt: skip
        self._offset = Q.T @ y
        r = residual(Q, y)
        left, size = np.linalg.norm(r), np.linalg.norm(y)
        if left <= 1e-12 * size:
            raise ValueError(f"X explains y exactly (|residual| = {left:.1e}, |y| = {size:.1e}): a constant y, or one "
                             "that is a sum of covariates, leaves no variance to model")  # fmt: skip
        self._spec, self._S = spec, spec.S
        self._R_inverse = np.linalg.solve(Q.T @ X[:, self._kept], np.eye(self.d))
        # Every sum over individuals that a likelihood needs is w @ products: one column per pair (a, b) of the
        # d + 1 columns of [Q, r]; _pair[a, b] is the column of that pair.
        self._rotated = rotated = rotate(spec, np.column_stack([Q, r]))
        rows, columns = np.triu_indices(self.d + 1)
        self._products = rotated.along[:, rows] * rotated.along[:, columns]
        self._outside = np.zeros(rows.size)
        if rotated.outside is not None:
            self._outside = (rotated.outside[:, rows] * rotated.outside[:, columns]).sum(axis=0)
        self._pair = np.zeros((self.d + 1, self.d + 1), dtype=np.intp)
        self._pair[rows, columns] = self._pair[columns, rows] = np.arange(rows.size)

    def __repr__(self) -> str:
        dropped = f", dropped columns {self.dropped} of X" if self.dropped else ""
        return f"LMM(n={self.n}, rank of X {self.d}, rank of K {self.k}{dropped})"

    def evaluate(
        self, *, reml: bool, h2: float | None = None, delta: float | None = None, log_delta: float | None = None,
        dof: float | None = None, scale: float = 1.0,
        exclude: ArrayLike | None = None, include: ArrayLike | None = None,
    ) -> Evaluation:  # fmt: skip
        """Evaluate the profile likelihood at one value of the variance ratio.

        Parameters
        ----------
        reml : restricted likelihood (True) or full likelihood (False); there is no default
        h2, delta, log_delta : exactly one of them
        dof, scale : None for the normal model; else the degrees of freedom ν > 0 of a multivariate t, and the value
            of the total variance σ_g² + σ_e² that its prior is centred on, in squared units of y
        exclude, include : (n, r) columns W whose W Wᵀ is taken from K or added to it, with the scaling of G = Z/√s

        Returns
        -------
        Evaluation
            With `dof`, the variances are those of 1 / E[1/σ² | y]: between `scale` and the profile's.

        Raises
        ------
        ValueError
            if not exactly one of h2, delta, log_delta is given and in range, if h² = 1 and K is singular, if dof or
            scale is not positive, if K without the excluded columns gives no covariance, or if the eigenvalues of M
            differ by so much that rounding leaves nothing

        Notes
        -----
        Derived in :eq:`profile-rotated`; for `dof` in :eq:`student`, for `exclude` and `include` in :eq:`rank-update`.
        """
        genetic, noise = shares(h2, delta, log_delta)
        D = genetic * self._S + noise
        nulls = self.n - self.k
        if noise == 0 and nulls:
            raise ValueError(f"h2 = 1 makes the covariance K itself, whose rank is {self.k} with {self.n} individuals: "
                             "its inverse does not exist; evaluate at h2 < 1")  # fmt: skip
        sums = (1.0 / D) @ self._products
        logdet_M = float(np.log(D).sum())
        if nulls:
            sums += self._outside / noise
            logdet_M += nulls * math.log(noise)
        T = sums[self._pair]
        if genetic and not (exclude is None and include is None):
            T, change = self._update(T, noise / genetic, genetic, include, exclude)
            logdet_M += change
        gls = solve(T[:-1, :-1], T[:-1, -1])
        whole = T[-1, -1]
        q = float(whole - T[:-1, -1] @ gls.b)
        if gls.rank < self.d or not q > LOST * whole:
            raise ValueError(f"at h2 = {genetic:.6g} rounding leaves no digit of rᵀPr ({q:.1e} of {whole:.1e}), "
                             "since eigenvalues of the covariance differ by too much; use a smaller h2")  # fmt: skip
        N, logdet_C = (self.n - self.d, gls.logdet) if reml else (self.n, 0.0)
        if dof is None:
            sigma2 = q / N
            nll = 0.5 * (logdet_M + logdet_C + N * (math.log(2 * math.pi * sigma2) + 1))
        else:
            if not (0 < dof < np.inf and 0 < scale < np.inf):
                raise ValueError(f"dof = {dof} and scale = {scale} must be positive and finite; for the normal model "
                                 "leave dof out")  # fmt: skip
            sigma2 = (dof * scale + q) / (dof + N)
            nll = student_nll(logdet_M + logdet_C, q, N, dof, scale)
        beta = self._R_inverse @ (self._offset + gls.b)
        beta_cov = sigma2 * (self._R_inverse @ gls.inverse @ self._R_inverse.T)
        if self.dropped:
            beta, beta_cov = self._fill(beta), self._fill(self._fill(beta_cov).T)
        delta = noise / genetic if genetic else np.inf
        return Evaluation(nll, beta, beta_cov, genetic * sigma2, noise * sigma2, genetic, delta)

    def derivatives(self, log_delta: ArrayLike, *, reml: bool) -> tuple[Floats, Floats]:
        """First and second derivative of the profile nLL by log δ, at many points at once.

        Parameters
        ----------
        log_delta : (g,) finite numbers
        reml : as in `evaluate`

        Returns
        -------
        slope, curvature : (g,) arrays
            d nLL / d log δ and d² nLL / d (log δ)²

        Notes
        -----
        Derived in :eq:`slope` and :eq:`curvature`. The share of noise δ / (S + δ) of each eigenvector is 1 outside.
        """
        delta = np.exp(vector("log_delta", log_delta))[:, None]
        nu = delta / (self._S + delta)
        T1, T2, T3 = ((w @ self._products + self._outside)[:, self._pair] for w in (nu, nu**2, nu**3))
        QT1Q, QT2Q, QT3Q = (T[:, :-1, :-1] for T in (T1, T2, T3))
        b = np.linalg.solve(QT1Q, T1[:, :-1, -1:])
        v = np.concatenate([-b, np.ones((len(b), 1, 1))], axis=1)  # r - Qb in the basis [Q, r]
        q1, q2, q3 = ((v.transpose(0, 2, 1) @ T @ v)[:, 0, 0] for T in (T1, T2, T3))
        u = (T2 @ v)[:, :-1]  # what moves b: its derivative is -solve(QT1Q, u)
        moved = (u.transpose(0, 2, 1) @ np.linalg.solve(QT1Q, u))[:, 0, 0]
        first, second = nu.sum(axis=1) + (self.n - self.k), (nu * (1 - nu)).sum(axis=1)
        if reml:
            A2, A3 = np.linalg.solve(QT1Q, QT2Q), np.linalg.solve(QT1Q, QT3Q)
            first = first - np.trace(A2, axis1=1, axis2=2)
            second = second - np.trace(A2 + A2 @ A2 - 2 * A3, axis1=1, axis2=2)
        N, ratio = self.n - self.d if reml else self.n, q2 / q1
        return 0.5 * (first - N * ratio), 0.5 * (second - N * (ratio + ratio**2 + 2 * (moved - q3) / q1))

    def fit(self, *, reml: bool) -> Fit:
        """Find the h² at which the profile likelihood is highest, over all local optima and both ends.

        The grid covers log δ within 10 of the logarithm of K's mean eigenvalue, and down to 20 below the logarithm of
        the smallest one, but not to more than 30 below that of the largest, where nLL still falls there. Beyond it the
        ends stand for the rest: h² = 0 exactly, and h² = 1 exactly where K is non-singular, else the smallest δ of the
        grid.

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
        limit = max(limit, float(np.log(self._S[0])) - SPAN)
        slopes = self.derivatives([limit, *grid], reml=reml)[0]
        unbounded = bool(slopes[: 1 if reml else 2].max() > 0.25)
        if slopes[1] > 0 and not unbounded and limit < grid[0]:  # nLL still falls at the lower end
            grid = np.concatenate([np.arange(limit, grid[0] - 0.1, 0.2), grid])
            slopes = self.derivatives([limit, *grid], reml=reml)[0]
        if np.abs(slopes[1:]).max() <= 1e-9 * self.n:
            raise ValueError(f"the likelihood does not depend on h2 (its slope is {np.abs(slopes[1:]).max():.1e} at "
                             "most): K is a multiple of the identity on what X leaves free")  # fmt: skip
        best_inside = minima(lambda t: self.derivatives(t, reml=reml), grid, slopes[1:])
        inside = [self.evaluate(log_delta=t, reml=reml) for t in best_inside]
        found: list[tuple[Evaluation, str | None]] = [(e, None) for e in inside]
        found.append((self.evaluate(h2=0.0, reml=reml), "h2=0"))
        if not unbounded or not inside:
            whole = self.k == self.n and self._S[-1] > math.exp(-SPAN) * self._S[0]
            end = {"h2": 1.0} if whole else {"log_delta": float(grid[0])}
            found.append((self.evaluate(reml=reml, **end), "h2=1"))
        best, boundary = min(found, key=lambda pair: pair[0].nll)
        optima = tuple((e.h2, e.nll) for e in reversed(inside))
        return Fit(**vars(best), boundary=boundary, optima=optima, unbounded=unbounded)

    def inner(
        self, W: ArrayLike, *, h2: float | None = None, delta: float | None = None, log_delta: float | None = None
    ) -> Floats:
        """Inner products of Q, r and further columns under M⁻¹.

        Parameters
        ----------
        W : (n, w) columns
        h2, delta, log_delta : exactly one of them

        Returns
        -------
        (d + 1 + w, d + 1 + w) array
            [Q r W]ᵀ M⁻¹ [Q r W], with Q an orthonormal basis of X and r the residual of y

        Raises
        ------
        ValueError
            for a W whose shape does not match, NaN or infinity, or as `evaluate` does

        Notes
        -----
        Derived in :eq:`sums`.
        """
        genetic, noise = shares(h2, delta, log_delta)
        if noise == 0 and self.k < self.n:
            raise ValueError(f"h2 = 1 with a K of rank {self.k} and {self.n} individuals: M has no inverse; use h2 < 1")
        rotated = rotate(self._spec, W)
        along = np.hstack([self._rotated.along, rotated.along])
        B = (along.T / (genetic * self._S + noise)) @ along
        if self._rotated.outside is not None and rotated.outside is not None:
            outside = np.hstack([self._rotated.outside, rotated.outside])
            B += outside.T @ outside / noise
        return np.asarray(B)

    def _update(
        self, T: Floats, delta: float, genetic: float, include: ArrayLike | None, exclude: ArrayLike | None
    ) -> tuple[Floats, float]:
        """Change T, and the log-determinant, for a K to which columns are added and from which columns are taken."""
        excluded, included = (np.empty((self.n, 0)) if W is None else matrix(name, W, rows=self.n)
                              for name, W in (("exclude", exclude), ("include", include)))  # fmt: skip
        B = self.inner(np.hstack([excluded, included]), delta=delta)
        B[: len(T), : len(T)] = T
        change = 0.0
        for columns, sign in ((included, 1), (excluded, -1)):  # what is excluded may be part of what was included
            if r := columns.shape[1]:
                B, logdet = absorb(B, r, genetic, sign)
                change += logdet
        return B, change

    def _fill(self, values: Floats) -> Floats:
        full = np.full((self.d + len(self.dropped), *values.shape[1:]), np.nan)
        full[self._kept] = values
        return full
