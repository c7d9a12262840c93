"""The eigen-decomposition of the kinship, from SNPs (`setG`) or from the matrix itself (`setK`) (chapter 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import LARGEST, Floats, matrix

NEGATIVE = 1e-6  # of the largest eigenvalue: single precision and text files make errors of this size, models do not


@dataclass(frozen=True)
class Spectrum:
    """K = U diag(S) Uᵀ with the zero eigenvalues left out.

    Attributes
    ----------
    U : (n, k) orthonormal eigenvectors, one per column
    S : (k,) positive eigenvalues, largest first; they have the unit of K
    clipped : most negative eigenvalue, taken for a rounding error of zero (0.0 if there was none)
    """

    U: Floats
    S: Floats
    clipped: float = 0.0

    @property
    def n(self) -> int:
        """Number of individuals."""
        return int(self.U.shape[0])

    @property
    def k(self) -> int:
        """Rank of K: the number of eigenvalues kept."""
        return int(self.S.size)

    def __repr__(self) -> str:
        rounding = self.n * np.finfo(float).eps * self.S.max(initial=0.0)
        clip = f", clipped {self.clipped:.1e}" if self.clipped < -rounding else ""
        return f"Spectrum(n={self.n}, rank {self.k}{clip})"


def decompose_snps(G0: ArrayLike, G1: ArrayLike | None = None, a2: float = 0.0) -> Spectrum:
    """Decompose K = (1 - a2) G0 G0ᵀ + a2 G1 G1ᵀ without forming K where that is cheaper.

    Fewer SNPs than individuals: a thin singular value decomposition of the SNPs. Otherwise: `decompose_kinship`.

    Parameters
    ----------
    G0 : (n, s0) scaled genotypes, G = Z/√s in the book
    G1 : (n, s1) scaled genotypes of a second kernel, or None
    a2 : weight of the second kernel, between 0 and 1

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        for NaN, infinity, unequal numbers of rows, a2 outside [0, 1], or a2 > 0 without G1

    Notes
    -----
    Derived in :eq:`economy-svd` and, for two kernels, in :eq:`mixing-snps`.
    """
    G0 = matrix("G0", G0)
    if G1 is not None:
        G1 = matrix("G1", G1, rows=G0.shape[0])
    w0, w1 = _weights(a2, G1 is not None, "G1")
    parts = [np.sqrt(w) * G for w, G in ((w0, G0), (w1, G1)) if w > 0 and G is not None]
    G = np.hstack(parts)
    n, s = G.shape
    if s >= n:
        return decompose_kinship(G @ G.T)
    U, singular, _ = np.linalg.svd(G, full_matrices=False)
    keep = singular > n * np.finfo(float).eps * singular.max(initial=0.0)
    return Spectrum(U[:, keep], singular[keep] ** 2)


def decompose_kinship(K0: ArrayLike, K1: ArrayLike | None = None, a2: float = 0.0) -> Spectrum:
    """Decompose K = (1 - a2) K0 + a2 K1 with a symmetric eigensolver.

    Parameters
    ----------
    K0 : (n, n) symmetric positive semi-definite kinship matrix; not changed
    K1 : (n, n) second kinship matrix, or None
    a2 : weight of the second kernel, between 0 and 1

    Returns
    -------
    Spectrum
        Eigenvalues within n·eps of zero, relative to the largest, are left out. Negative ones down to -1e-6 of the
        largest are rounding errors of the input: they are left out and reported in `clipped`, together with
        positive ones up to twice their size, which are errors too.

    Raises
    ------
    ValueError
        for NaN, infinity, a matrix that is not square, not symmetric or not positive semi-definite, unequal
        shapes, a2 outside [0, 1], or a2 > 0 without K1

    Notes
    -----
    Derived in :eq:`economy-eigh` and, for two kernels, in :eq:`mixing-kinship`.
    """
    K0 = _symmetric("K0", K0)
    if K1 is not None:
        K1 = _symmetric("K1", K1)
        if K1.shape != K0.shape:
            raise ValueError(f"K0 is {K0.shape} and K1 is {K1.shape}: both must cover the same individuals")
    w0, w1 = _weights(a2, K1 is not None, "K1")
    K = K0 if w1 == 0 or K1 is None else w0 * K0 + w1 * K1
    values, vectors = np.linalg.eigh(K)
    S, U = values[::-1], vectors[:, ::-1]  # LAPACK returns them in ascending order
    largest, smallest = float(S[0]), float(S[-1])
    if smallest < -NEGATIVE * max(largest, 0.0):
        count = int((S < -NEGATIVE * max(largest, 0.0)).sum())
        raise ValueError(
            f"K is not positive semi-definite: {count} of {S.size} eigenvalues are negative, the smallest "
            f"{smallest:.3g} against a largest of {largest:.3g}; a kinship Z Zᵀ / s cannot do that: decompose the "
            "SNPs themselves, or compute and store K with more digits"
        )
    keep = S > max(S.size * np.finfo(float).eps * largest, -2 * smallest)  # rounding errors have either sign
    return Spectrum(np.ascontiguousarray(U[:, keep]), S[keep].copy(), min(smallest, 0.0))


def _symmetric(name: str, values: ArrayLike) -> Floats:
    K = matrix(name, values, largest=LARGEST**2)
    if K.shape[0] != K.shape[1]:
        raise ValueError(f"{name} must be square, but its shape is {K.shape}")
    gap, size = float(np.abs(K - K.T).max()), float(np.abs(K).max())
    if gap > NEGATIVE * size:
        raise ValueError(
            f"{name} is not symmetric: entries differ from their mirror images by up to {gap:.3g}, with a largest "
            f"entry of {size:.3g}; if that is meant to be rounding, pass ({name} + {name}.T) / 2"
        )
    return (K + K.T) / 2


def _weights(a2: float, second: bool, name: str) -> tuple[float, float]:
    if not 0 <= a2 <= 1:
        raise ValueError(f"a2 = {a2} is not between 0 and 1: it is the weight of the second kernel")
    if a2 > 0 and not second:
        raise ValueError(f"a2 = {a2} gives weight to a second kernel, but {name} was not passed")
    return 1.0 - a2, float(a2)
