"""The model written out with n × n matrices: slow, obviously right, the oracle of every test (chapter 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import null_space
from scipy.special import gammaln

from ._arrays import LARGEST, Floats, matrix, vector
from .variance import Evaluation, shares


def covariance(
    K: ArrayLike, *, h2: float | None = None, delta: float | None = None, log_delta: float | None = None
) -> Floats:
    """The phenotype's covariance over the total variance: M = h² K + (1 - h²) I.

    Parameters
    ----------
    K : (n, n) kinship matrix
    h2, delta, log_delta : exactly one of them

    Returns
    -------
    M : (n, n) covariance divided by σ_g² + σ_e²

    Raises
    ------
    ValueError
        if K is not square, or not exactly one of h2, delta and log_delta is given and in range

    Notes
    -----
    Derived in :eq:`covariance`.
    """
    K = matrix("K", K, largest=LARGEST**2)
    if K.shape[0] != K.shape[1]:
        raise ValueError(f"K must be square, but its shape is {K.shape}")
    genetic, residual = shares(h2, delta, log_delta)
    return genetic * K + residual * np.eye(K.shape[0])


def gaussian_nll(y: Floats, mean: Floats, V: Floats) -> float:
    """Minus the log-density of a multivariate normal, by determinant and inverse.

    Parameters
    ----------
    y, mean : (n,) observation and its expectation
    V : (n, n) covariance

    Returns
    -------
    float
        nLL, in natural-log units

    Raises
    ------
    ValueError
        if the shapes do not fit, a number is NaN or infinite, or V is not positive definite

    Notes
    -----
    Derived in :eq:`gaussian`.
    """
    y, V = vector("y", y), matrix("V", V, largest=LARGEST**2)
    r = y - vector("mean", mean, rows=y.size)
    if V.shape != (y.size, y.size):
        raise ValueError(f"V has shape {V.shape}, but y has {y.size} entries")
    sign, logdet = np.linalg.slogdet(V)
    if sign <= 0:
        raise ValueError(f"V has a determinant of sign {sign:g}: a covariance must be positive definite")
    return 0.5 * float(y.size * np.log(2 * np.pi) + logdet + r @ np.linalg.inv(V) @ r)


def student_nll(y: Floats, mean: Floats, Sigma: Floats, dof: float) -> float:
    """Minus the log-density of a multivariate t, by determinant and inverse.

    Parameters
    ----------
    y, mean : (n,) observation and its expectation
    Sigma : (n, n) shape matrix, in squared units of y
    dof : degrees of freedom ν > 0

    Returns
    -------
    float
        nLL, in natural-log units

    Notes
    -----
    Derived in :eq:`student`.
    """
    n, r = y.size, y - mean
    q = r @ np.linalg.inv(Sigma) @ r
    constant = gammaln(dof / 2) - gammaln((dof + n) / 2) + 0.5 * n * np.log(dof * np.pi)
    return float(constant + 0.5 * np.linalg.slogdet(Sigma)[1] + 0.5 * (dof + n) * np.log(1 + q / dof))


def evaluate(
    K: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    *,
    reml: bool,
    h2: float | None = None,
    delta: float | None = None,
    log_delta: float | None = None,
    dof: float | None = None,
    scale: float = 1.0,
) -> Evaluation:
    """Profile likelihood at one value of h², with explicit inverses and determinants.

    Parameters
    ----------
    K : (n, n) kinship matrix
    X : (n, d) covariates of full column rank, intercept included
    y : (n,) phenotype
    reml : restricted likelihood (True) or full likelihood (False)
    h2, delta, log_delta : exactly one of them
    dof, scale : as in `LMM.evaluate`

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        for arrays whose shapes do not match, a wrong h2, delta or log_delta, or a singular covariance

    Notes
    -----
    Derived in :eq:`profile-ml` and :eq:`profile-reml`. This is the oracle: O(n³) per call.
    """
    M = covariance(K, h2=h2, delta=delta, log_delta=log_delta)
    n = M.shape[0]
    X, y = matrix("X", X, rows=n), vector("y", y, rows=n)
    d = X.shape[1]
    genetic, residual = shares(h2, delta, log_delta)
    values = np.linalg.eigvalsh(M)
    if values[0] <= n * np.finfo(float).eps * values[-1]:
        raise ValueError(f"the covariance is singular at h2 = {genetic:g} (eigenvalues from {values[0]:.1e} to "
                         f"{values[-1]:.1e}), so its inverse does not exist; evaluate at a smaller h2")  # fmt: skip
    inverse = np.linalg.inv(M)
    C = X.T @ inverse @ X
    beta = np.linalg.inv(C) @ X.T @ inverse @ y
    r = y - X @ beta
    _, logdet_M = np.linalg.slogdet(M)
    if reml:
        sigma2 = r @ inverse @ r / (n - d)
        _, logdet_C = np.linalg.slogdet(C)
        _, logdet_XX = np.linalg.slogdet(X.T @ X)
        nll = 0.5 * (logdet_M + logdet_C - logdet_XX + (n - d) * (np.log(2 * np.pi * sigma2) + 1))
    else:
        sigma2 = r @ inverse @ r / n
        nll = 0.5 * (logdet_M + n * (np.log(2 * np.pi * sigma2) + 1))
    if dof is not None:
        A = null_space(X.T) if reml else np.eye(n)
        mean = np.zeros(n - d) if reml else X @ beta
        nll = student_nll(A.T @ y, mean, scale * A.T @ M @ A, dof)
        sigma2 = (dof * scale + r @ inverse @ r) / (dof + A.shape[1])
    return Evaluation(
        nll=float(nll),
        beta=beta,
        beta_cov=sigma2 * np.linalg.inv(C),
        sigma2_g=float(genetic * sigma2),
        sigma2_e=float(residual * sigma2),
        h2=genetic,
        delta=residual / genetic if genetic else np.inf,
    )
