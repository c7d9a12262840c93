"""Find every local minimum of a smooth function of one variable from its slope (chapter 7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from ._arrays import Floats, vector


def minima(slope: Callable[[Floats], Floats], grid: Floats) -> list[float]:
    """Locate each place where the slope turns from negative to positive.

    Every pair of neighbouring grid points between which the slope changes from below zero to above holds a
    minimum; each such bracket is refined by Brent's root finder on the slope. A minimum is missed only if a
    maximum lies in the same grid interval.

    Parameters
    ----------
    slope : derivative of the function; takes an array of arguments, returns an array of the same shape
    grid : (g,) increasing arguments, at least two

    Returns
    -------
    list of float
        The minima, in increasing order; empty if the slope never turns.

    Raises
    ------
    ValueError
        if the grid is not increasing, or the slope is NaN on it

    Notes
    -----
    Derived in :eq:`minimum`.
    """
    grid = vector("grid", grid)
    if grid.size < 2 or not (np.diff(grid) > 0).all():
        raise ValueError(f"the grid of {grid.size} points must hold at least two, in increasing order")
    values = vector("the slope", slope(grid), rows=grid.size)
    turns = np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    return [
        brentq(lambda t: float(slope(np.array([t]))[0]), grid[i], grid[i + 1], xtol=1e-13, rtol=1e-15)
        for i in turns
    ]
