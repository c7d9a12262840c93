"""The variance components at one ratio, and the names of that ratio: h², δ, log δ (chapters 2 and 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ._arrays import Floats


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
    unbounded : True where the likelihood grows without bound as h² → 1, or in ML still grows at the smallest δ of the
        grid, so that "the optimum" is the best one inside, or where there is none, the smallest δ of the search
        (chapter 8)
    """

    boundary: str | None = None
    optima: tuple[tuple[float, float], ...] = ()
    unbounded: bool = False
