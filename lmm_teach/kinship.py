"""From genotypes to the kinship matrix: standardise each SNP, multiply, and fix the scale (chapter 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import LARGEST, Floats, matrix


@dataclass(frozen=True)
class SnpSummary:
    """What the individuals say about each SNP. Every field has length s.

    Attributes
    ----------
    missing : number of individuals without a genotype
    mean : mean of the observed genotypes, in allele counts (NaN where none is observed)
    sd : population standard deviation after mean imputation, in allele counts
    constant : True where at most one distinct genotype is observed, so that the SNP carries no information
    """

    missing: NDArray[np.int64]
    mean: Floats
    sd: Floats
    constant: NDArray[np.bool_]


def summarize_snps(G: ArrayLike) -> SnpSummary:
    """Count, average and spread of each column of G.

    Parameters
    ----------
    G : (n, s) genotypes in allele counts, NaN where missing

    Raises
    ------
    ValueError
        if G is not 2-d, is empty or holds an infinite value

    Notes
    -----
    Derived in :eq:`standardize`.
    """
    G = matrix("G", G, nan=True)
    observed = ~np.isnan(G)
    count = observed.sum(axis=0)
    total = G.sum(axis=0, where=observed)
    mean = np.divide(total, count, out=np.full(G.shape[1], np.nan), where=count > 0)
    deviation = G - mean
    deviation[~observed] = 0.0  # mean imputation: a missing genotype deviates by zero
    # Equality of extremes, not a small sd: rounding leaves sd = 1e-17 for a column of 0.1.
    constant = ~(np.fmax.reduce(G, axis=0) > np.fmin.reduce(G, axis=0))
    sd = np.where(constant, 0.0, np.sqrt(np.einsum("ij,ij->j", deviation, deviation) / G.shape[0]))
    return SnpSummary(G.shape[0] - count, mean, sd, constant)


def standardize(G: ArrayLike) -> Floats:
    """Give every SNP mean zero and population variance one.

    Parameters
    ----------
    G : (n, s) genotypes in allele counts, NaN where missing; not changed

    Returns
    -------
    Z : (n, s) standardised genotypes, without unit. A missing genotype becomes 0, the mean. A SNP that is
        constant or missing in everybody becomes a column of zeros; `summarize_snps` counts these.

    Raises
    ------
    ValueError
        if G is not 2-d, is empty or holds an infinite value

    Notes
    -----
    Derived in :eq:`standardize`.
    """
    G = matrix("G", G, nan=True)
    snps = summarize_snps(G)
    Z = G - snps.mean
    Z /= np.where(snps.constant, 1.0, snps.sd)
    Z[np.isnan(G)] = 0.0
    Z[:, snps.constant] = 0.0
    return Z


def kinship(Z: ArrayLike) -> Floats:
    """Average the SNPs' outer products: K = Z Zᵀ / s.

    Parameters
    ----------
    Z : (n, s) standardised genotypes. Columns of zeros count in s: remove constant SNPs first if trace K = n
        is to hold.

    Returns
    -------
    K : (n, n) kinship matrix, without unit; trace K = n when no column of Z is constant

    Raises
    ------
    ValueError
        if Z is not 2-d, has no column, or holds NaN or infinity (standardise first)

    Notes
    -----
    Derived in :eq:`kinship`.
    """
    Z = matrix("Z", Z)
    if Z.shape[1] == 0:
        raise ValueError("Z has no columns: a kinship needs at least one SNP")
    return Z @ Z.T / Z.shape[1]


def scale_kinship(K: ArrayLike) -> Floats:
    """Multiply K by the number that makes its trace n, so that h² is a share of the average variance.

    Parameters
    ----------
    K : (n, n) kinship matrix with positive trace; not changed

    Returns
    -------
    K : (n, n) the same matrix times n / trace K

    Raises
    ------
    ValueError
        if K is not square or its trace is not positive

    Notes
    -----
    Derived in :eq:`scale-kinship`. FaST-LMM calls this step ``DiagKtoN``.
    """
    K = matrix("K", K, largest=LARGEST**2)
    n, columns = K.shape
    if n != columns:
        raise ValueError(f"K must be square, but its shape is {K.shape}")
    trace = float(np.trace(K))
    if not trace > 0:
        raise ValueError(f"K has trace {trace:g}, which no positive factor turns into n = {n}")
    return K * (n / trace)
