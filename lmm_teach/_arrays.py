"""Checks that every public function makes on its arrays; each message gives the numbers and the way out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
LARGEST = 1e70  # of data, and its inverse the smallest: squares and ratios of squares then stay in range
UNFIT = "its numbers are too large or too small"


def matrix(
    name: str, values: ArrayLike, *, rows: int | None = None, nan: bool = False, largest: float = LARGEST
) -> Floats:
    """Return `values` as a 2-d float array, or raise a ValueError that says what is wrong with it."""
    return _check(name, values, 2, "2-d", rows, nan, largest)


def vector(name: str, values: ArrayLike, *, rows: int | None = None, largest: float = np.inf) -> Floats:
    """Return `values` as a 1-d float array, or raise a ValueError that says what is wrong with it."""
    return _check(name, values, 1, "1-d", rows, False, largest)


def extent(array: NDArray) -> NDArray:
    """The largest absolute value of each column (of a vector: the one), NaN left aside."""
    above, below = (f.reduce(array, axis=0, initial=0) for f in (np.fmax, np.fmin))
    return np.asarray(np.maximum(above, -below), dtype=np.float64)


def in_range(size: NDArray, largest: float = LARGEST) -> NDArray[np.bool_]:
    """Whether numbers of that size, or zeros, can be squared and divided without loss."""
    return np.asarray((size == 0) | ((size >= 1 / largest) & (size <= largest)))


def genotypes(snps: ArrayLike, n: int) -> NDArray:
    """Return `snps` as an array of whatever numbers it holds, one row per individual, or raise a ValueError."""
    G = np.asarray(snps)
    if G.ndim != 2 or G.shape[0] != n or G.dtype.kind not in "biuf":
        raise ValueError(f"snps must be an array of numbers with {n} rows, one per individual, and a column per SNP, "
                         f"but has shape {G.shape} and type {G.dtype}")  # fmt: skip
    return G


def _check(name: str, values: ArrayLike, ndim: int, kind: str, rows: int | None, nan: bool, largest: float) -> Floats:
    if np.iscomplexobj(values):
        raise ValueError(f"{name} holds complex numbers; the model is real, so pass its real part")
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise ValueError(f"{name} is not an array of numbers: {fault}") from fault
    if array.ndim != ndim:
        raise ValueError(f"{name} must be {kind}, but its shape is {array.shape}; reshape it first")
    if array.shape[0] == 0:
        raise ValueError(f"{name} has no rows (shape {array.shape}); there must be one row per individual")
    if rows is not None and array.shape[0] != rows:
        raise ValueError(f"{name} has {array.shape[0]} rows, but there are {rows} individuals; the rows must match")
    infinite = int(np.isinf(array).sum())
    missing = 0 if nan else int(np.isnan(array).sum())
    if infinite or missing:
        advice = "remove or impute them" if nan else "drop those individuals before the kinship is decomposed"
        raise ValueError(f"{name} holds {missing} NaN and {infinite} infinite values of {array.size}; {advice}")
    if not (fits := in_range(size := extent(array), largest)).all():
        raise ValueError(f"{name} has columns whose largest absolute value is {size[~fits].flat[0]:.1e}, outside "
                         f"{1 / largest:.0e} to {largest:.0e}: their squares cannot be told from zero or infinity; "
                         "use another unit")  # fmt: skip
    return array
