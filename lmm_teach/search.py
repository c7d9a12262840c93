"""Find every local minimum of a smooth function of one variable from its two derivatives (chapter 7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._arrays import Floats, vector

Derivatives = Callable[[Floats], tuple[Floats, Floats]]


def minima(derivatives: Derivatives, grid: Floats, slopes: Floats | None = None) -> list[float]:
    """Locate each place where the slope turns from negative to positive.

    Every pair of neighbouring grid points between which the slope changes from below zero to above holds a
    minimum; all these brackets are refined together by Newton's method. A minimum is missed only if a maximum
    lies in the same grid interval.

    Parameters
    ----------
    derivatives : slope and curvature of the function; takes an array of arguments, returns two arrays of its shape
    grid : (g,) increasing arguments, at least two
    slopes : (g,) the slopes on the grid, if they are known already

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
    slopes = vector("the slope", derivatives(grid)[0] if slopes is None else slopes, rows=grid.size)
    turns = np.flatnonzero((slopes[:-1] < 0) & (slopes[1:] >= 0))
    return newton(derivatives, grid[turns], grid[turns + 1]).tolist() if turns.size else []


def newton(derivatives: Derivatives, low: Floats, high: Floats) -> Floats:
    """Refine brackets of minima by Newton's method, and by bisection where a step would leave its bracket.

    Parameters
    ----------
    derivatives : as in `minima`
    low, high : (b,) brackets; the slope is negative at `low` and not negative at `high`

    Returns
    -------
    (b,) array
        where the slope is zero

    Notes
    -----
    Derived in :eq:`newton`. The error after a Newton step is of the order of the step squared, so a step below 1e-8 is
    the last one.
    """
    t = (low + high) / 2
    for _ in range(200):
        slope, curvature = derivatives(t)
        low, high = np.where(slope < 0, t, low), np.where(slope < 0, high, t)
        step = np.divide(slope, curvature, out=np.full_like(t, np.inf), where=curvature > 0)
        inside = (t - step >= low) & (t - step <= high)
        previous, t = t, np.where(inside, t - step, (low + high) / 2)
        if (np.abs(t - previous) <= np.where(inside, 1e-8, 1e-14) * np.maximum(1.0, np.abs(t))).all():
            break
    return t
