"""Rotation into the eigenvectors of K, and what lies outside them (`setX`, `sety`; chapter 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Floats, matrix
from .spectrum import Spectrum


@dataclass(frozen=True)
class Rotated:
    """The columns of A, split by the eigenvectors of K.

    Attributes
    ----------
    along : (k, c) coordinates UᵀA along the eigenvectors
    outside : (n, c) remainder (I - UUᵀ)A, or None when k = n and nothing remains
    """

    along: Floats
    outside: Floats | None


def rotate(spec: Spectrum, A: ArrayLike) -> Rotated:
    """Rotate the columns of A into the eigenvectors of K.

    Parameters
    ----------
    spec : Spectrum of K, n individuals, rank k
    A : (n, c) one variable per column

    Returns
    -------
    Rotated

    Raises
    ------
    ValueError
        if A is not 2-d, has other than n rows, or holds NaN or infinity

    Notes
    -----
    Derived in :eq:`rotation` and, for k < n, in :eq:`outside`.
    """
    A = matrix("A", A, rows=spec.n, largest=np.inf)
    along = spec.U.T @ A
    return Rotated(along, A - spec.U @ along if spec.k < spec.n else None)
