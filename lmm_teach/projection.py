"""Covariates projected out, so that REML needs one vector of squares (`lmm_cov`; chapter 9)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import LARGEST, Floats, matrix, vector
from .spectrum import NEGATIVE, _symmetric, decompose_kinship, decompose_snps
from .variance import shares


def independent(X: Floats) -> tuple[Floats, list[int]]:
    """Find an orthonormal basis of X's columns, and which columns depend on those before them.

    Parameters
    ----------
    X : (n, c) covariates, of any rank

    Returns
    -------
    Q : (n, d) orthonormal basis of the columns; d is the rank of X
    kept : the d columns of X that are not combinations of columns before them

    Notes
    -----
    Derived in :eq:`projector`. Gram and Schmidt, twice; a column counts as dependent if less than 1e-10 of its length
    is left.
    """
    Q, kept = np.empty((X.shape[0], 0)), list[int]()
    for j, x in enumerate(X.T):
        r = x - Q @ (Q.T @ x)
        r -= Q @ (Q.T @ r)  # once more: the first pass leaves rounding of the size of x
        if np.linalg.norm(r) > 1e-10 * np.linalg.norm(x):
            Q, kept = np.column_stack([Q, r / np.linalg.norm(r)]), [*kept, j]
    return Q, kept


def residual(Q: Floats, A: Floats) -> Floats:
    """Project the columns of A onto what is orthogonal to Q: (I - QQᵀ) A.

    Parameters
    ----------
    Q : (n, d) orthonormal columns
    A : (n,) or (n, c)

    Returns
    -------
    array of A's shape

    Notes
    -----
    Derived in :eq:`projector`.
    """
    R = A - Q @ (Q.T @ A)
    return R - Q @ (Q.T @ R)


@dataclass(frozen=True)
class Projected:
    """All that REML needs to know of K, X and y: the likelihood of m independent contrasts.

    Attributes
    ----------
    m : degrees of freedom, n - rank X
    S : (k,) positive eigenvalues λ of ΠKΠ, Π = I - QQᵀ
    eta : (k,) coordinates of y along their eigenvectors, in units of y
    rest : squared length of what is left of Πy, spread over the other m - k directions
    U : (n, k) the eigenvectors; orthogonal to X
    """

    m: int
    S: Floats
    eta: Floats
    rest: float
    U: Floats

    def nll(
        self, *, h2: float | None = None, delta: float | None = None, log_delta: float | None = None
    ) -> float:
        """Evaluate REML's profile negative log-likelihood.

        Parameters
        ----------
        h2, delta, log_delta : exactly one of them

        Raises
        ------
        ValueError
            if not exactly one is given and in range, or if h² = 1 and directions without genetic variance are left

        Notes
        -----
        Derived in :eq:`projected-reml`. Equal to `LMM.evaluate(reml=True).nll`, constant included.
        """
        genetic, noise = shares(h2, delta, log_delta)
        D = genetic * self.S + noise
        others = self.m - self.S.size
        if noise == 0 and others:
            raise ValueError(f"h2 = 1 leaves {others} of {self.m} contrasts without variance; evaluate at h2 < 1")
        q = float((self.eta**2 / D).sum() + (self.rest / noise if others else 0.0))
        logdet = float(np.log(D).sum()) + (others * math.log(noise) if others else 0.0)
        return 0.5 * (logdet + self.m * (math.log(2 * math.pi * q / self.m) + 1))

    def derivatives(self, log_delta: ArrayLike) -> tuple[Floats, Floats]:
        """First and second derivative of `nll` by log δ.

        Parameters
        ----------
        log_delta : (g,) finite numbers

        Returns
        -------
        slope, curvature : (g,) arrays

        Notes
        -----
        Derived in :eq:`slope-projected` and :eq:`curvature-projected`.
        """
        delta = np.exp(vector("log_delta", log_delta))[:, None]
        nu = delta / (self.S + delta)
        squares, others = self.eta**2, self.m - self.S.size
        q1, q2, q3 = ((nu**j * squares).sum(axis=1) + (self.rest if others else 0.0) for j in (1, 2, 3))
        slope = 0.5 * (nu.sum(axis=1) + others - self.m * q2 / q1)
        curvature = 0.5 * ((nu * (1 - nu)).sum(axis=1) - self.m * (q2 / q1 - 2 * q3 / q1 + (q2 / q1) ** 2))
        return slope, curvature


def project_kinship(K: ArrayLike, X: ArrayLike, y: ArrayLike) -> Projected:
    """Project the covariates out of a kinship matrix and a phenotype (`setSU_fromK`).

    Parameters
    ----------
    K : (n, n) kinship matrix; not changed
    X : (n, c) covariates
    y : (n,) phenotype

    Returns
    -------
    Projected

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, a K that is not symmetric and positive semi-definite,
        n - rank X < 2, or a y that X explains exactly

    Notes
    -----
    Derived in :eq:`shifted-projection`: the d directions of X are the eigenvectors of Π(K + cI)Π with eigenvalue zero,
    and every other eigenvalue is at least c, so the two kinds cannot mix. c is the mean eigenvalue of K (FaST-LMM: 1).
    """
    K = _symmetric("K", K)
    Q = _basis(X, K.shape[0])
    n, d = Q.shape
    shift = float(np.trace(K)) / n or 1.0
    P = residual(Q, residual(Q, K + shift * np.eye(n)).T)
    spec = decompose_kinship((P + P.T) / 2)
    S = spec.S[: n - d] - shift
    if spec.k < n - d or S[-1] < -NEGATIVE * max(S[0], shift):
        raise ValueError(f"K is not positive semi-definite: on what X leaves free its eigenvalues go from {S[0]:.3g} "
                         f"down to {S[-1]:.3g} or below; decompose the SNPs themselves")  # fmt: skip
    return _contrasts(Q, spec.U[:, : n - d], S, y, shift)


def project_snps(G: ArrayLike, X: ArrayLike, y: ArrayLike) -> Projected:
    """Project the covariates out of scaled genotypes and a phenotype (`setSU_fromG`).

    Parameters
    ----------
    G : (n, s) scaled genotypes, K = GGᵀ; not changed
    X : (n, c) covariates
    y : (n,) phenotype

    Returns
    -------
    Projected

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, n - rank X < 2, or a y that X explains exactly

    Notes
    -----
    Derived in :eq:`projected-snps`. For s < n - d a thin singular value decomposition, else `project_kinship`.
    """
    G = matrix("G", G)
    Q = _basis(X, G.shape[0])
    if G.shape[1] >= G.shape[0] - Q.shape[1]:
        return project_kinship(G @ G.T, X, y)
    spec = decompose_snps(residual(Q, G))
    return _contrasts(Q, spec.U, spec.S, y, float((G**2).sum()) / G.shape[0])


def _basis(X: ArrayLike, n: int) -> Floats:
    Q, _ = independent(matrix("X", X, rows=n))
    if n - Q.shape[1] < 2:
        raise ValueError(f"{n} individuals and {Q.shape[1]} independent covariates leave fewer than 2 degrees of "
                         "freedom; use more individuals or fewer covariates")  # fmt: skip
    return Q


def _contrasts(Q: Floats, U: Floats, S: Floats, y: ArrayLike, mean: float) -> Projected:
    y = vector("y", y, rows=Q.shape[0], largest=LARGEST)
    r = residual(Q, y)
    left, size = np.linalg.norm(r), np.linalg.norm(y)
    if left <= 1e-12 * size:
        raise ValueError(f"X explains y exactly (|residual| = {left:.1e}, |y| = {size:.1e}): a constant y, or one that "
                         "is a sum of covariates, leaves no variance to model")  # fmt: skip
    # Rounding errors are relative to K, of which X may take nearly all; `mean` is K's mean eigenvalue.
    keep = S > Q.shape[0] * np.finfo(float).eps * max(S.max(initial=0.0), mean)
    U, S = U[:, keep], S[keep]
    eta = U.T @ r
    others = r - U @ eta
    return Projected(Q.shape[0] - Q.shape[1], S, eta, float(others @ others), U)
