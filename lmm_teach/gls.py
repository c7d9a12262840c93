"""Solve the small normal equations of generalised least squares (chapter 4; conditioning in chapter 5)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from ._arrays import Floats

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Solution:
    """Solution of C b = c.

    Attributes
    ----------
    b : (d,) solution; of minimal length if C is singular
    inverse : (d, d) inverse of C; the pseudo-inverse if C is singular
    logdet : log-determinant of C; of its non-zero eigenvalues if C is singular
    rank : number of eigenvalues that count as non-zero
    """

    b: Floats
    inverse: Floats
    logdet: float
    rank: int


def solve(C: Floats, c: Floats) -> Solution:
    """Solve C b = c by Cholesky; by eigenvectors where C is numerically singular.

    Parameters
    ----------
    C : (d, d) symmetric positive semi-definite matrix XᵀM⁻¹X
    c : (d,) right-hand side XᵀM⁻¹y

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        if the shapes do not fit, or a number is NaN or infinite

    Notes
    -----
    Derived in :eq:`gls`. In the fallback an eigenvalue counts as zero below d·eps of the largest, so that a factor
    common to all columns of X changes nothing; units of single columns do (chapter 5), and `LMM` therefore passes an
    orthonormal basis.
    """
    d = c.size
    if C.shape != (d, d):
        raise ValueError(f"C has shape {C.shape}, but {d} right-hand sides need ({d}, {d})")
    if not math.isfinite(C.sum() + c.sum()):
        raise ValueError("C or c holds NaN or infinity: the weights of the individuals are out of range")
    L, failed = dpotrf(C, lower=1)
    pivots = L.diagonal() ** 2
    # A pivot is what is left of C_jj after the columns before it; d·eps of it is rounding.
    if not failed and (pivots > d * EPS * C.diagonal()).all():
        return Solution(dpotrs(L, c, lower=1)[0], dpotrs(L, np.eye(d), lower=1)[0], float(np.log(pivots).sum()), d)
    values, vectors = np.linalg.eigh(C)
    keep = values > d * EPS * values[-1]
    V, kept = vectors[:, keep], values[keep]
    inverse = (V / kept) @ V.T
    return Solution(inverse @ c, inverse, float(np.log(kept).sum()), int(keep.sum()))
