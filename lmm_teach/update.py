"""Columns added to a kernel or taken away from it without a new decomposition (chapter 10)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ._arrays import Floats


def absorb(B: Floats, r: int, genetic: float, sign: int) -> tuple[Floats, float]:
    """Turn inner products under M⁻¹ into those under (M ± h² W Wᵀ)⁻¹.

    Parameters
    ----------
    B : (p + r, p + r) inner products AᵀM⁻¹A of p columns and, after them, the r columns of W
    r : number of columns of W
    genetic : their weight, h² in M = h² K + (1 - h²) I; above zero
    sign : 1 to add W Wᵀ to K, -1 to take it away

    Returns
    -------
    B : (p, p) inner products of the p columns under the inverse of the new covariance
    logdet : log-determinant of the new covariance minus that of M

    Raises
    ------
    ValueError
        if what is left after taking W Wᵀ away is not positive definite

    Notes
    -----
    Derived in :eq:`rank-update` and :eq:`rank-update-determinant`; the weight is h² because `exclude` speaks of K, not
    of M.
    """
    p = B.shape[0] - r
    across = B[:p, p:]
    capacitance = np.eye(r) + sign * genetic * B[p:, p:]
    try:
        factor = cho_factor(capacitance)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(capacitance)[0])
        raise ValueError(
            f"K without the {r} excluded columns leaves a covariance that is not positive definite (smallest "
            f"eigenvalue of I - h2 WᵀM⁻¹W: {smallest:.3g}); pass columns of the scaled genotypes that K was made of, "
            "with the same imputation, and the factor 1/√s"
        ) from None
    logdet = 2.0 * float(np.log(factor[0].diagonal()).sum())
    return B[:p, :p] - sign * genetic * across @ cho_solve(factor, across.T), logdet
