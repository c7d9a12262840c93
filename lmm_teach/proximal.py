"""Keep a SNP's neighbours out of the kinship that it is tested with: windows, and whole chromosomes (chapter 14)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import matrix
from ._progress import Bar
from .association import Scan, scan
from .kinship import standardize, summarize_snps
from .spectrum import decompose_kinship
from .variance import Fit


def window(chrom: ArrayLike, position: ArrayLike, snp: int, width: float) -> NDArray[np.intp]:
    """Find the SNPs near one SNP: on its chromosome, within `width` base pairs on either side, itself included.

    Parameters
    ----------
    chrom, position : (s,) chromosome of each SNP, and its place in base pairs
    snp : index of the SNP in the middle
    width : distance, 0 or more, in base pairs

    Returns
    -------
    (w,) indices, in ascending order

    Raises
    ------
    ValueError
        if the lengths differ, `snp` is no index, or `width` is negative
    """
    where, place = np.asarray(chrom), np.asarray(position)
    if where.ndim != 1 or where.shape != place.shape:
        raise ValueError(f"chrom has shape {where.shape} and position {place.shape}; give two vectors of one length")
    if not 0 <= snp < where.size:
        raise ValueError(f"snp = {snp} is no index of {where.size} SNPs")
    if not width >= 0:
        raise ValueError(f"width = {width} base pairs must be 0 or more")
    return np.flatnonzero((where == where[snp]) & (np.abs(place - place[snp]) <= width))


@dataclass(frozen=True)
class LocoScan(Scan):
    """A scan with a kinship for each chromosome, made of the SNPs of the others.

    Attributes
    ----------
    nulls : the fit without a SNP, for each chromosome; `null` is None
    """

    nulls: dict[str, Fit]


def loco(
    snps: ArrayLike, chrom: ArrayLike, X: ArrayLike, y: ArrayLike, *, refit: bool = True, test: str = "wald",
    progress: Callable[[int, int], object] | None = None,
) -> LocoScan:  # fmt: skip
    """Test each SNP with the kinship of all SNPs on other chromosomes (leave one chromosome out).

    Parameters
    ----------
    snps : (n, s) genotypes, NaN where missing; standardised for the kinship, tested as they are. Not changed
    chrom : (s,) chromosome of each SNP
    X : (n, d) covariates, intercept included
    y : (n,) phenotype
    refit, test : as in `scan`
    progress : called with the number of SNPs done and s after each chromosome

    Returns
    -------
    LocoScan
        in the order of the columns of `snps`

    Raises
    ------
    ValueError
        if `chrom` has not one entry per SNP, all varying SNPs are on one chromosome, or as `scan` does

    Notes
    -----
    Derived in :eq:`loco`. Each chromosome costs one decomposition, O(n³); a few n × n matrices are held at a
    time, however many chromosomes there are.
    """
    G = matrix("snps", snps, nan=True)
    where = np.asarray(chrom)
    if where.shape != (G.shape[1],):
        raise ValueError(f"chrom has shape {where.shape}, but there are {G.shape[1]} SNPs")
    varies = ~summarize_snps(G).constant
    chromosomes = list(dict.fromkeys(where.tolist()))
    counts = {c: int((varies & (where == c)).sum()) for c in chromosomes}
    if len([c for c in chromosomes if counts[c]]) < 2:
        raise ValueError(f"the {int(varies.sum())} SNPs that vary are on fewer than two chromosomes: without one "
                         "of them no kinship is left; use `scan`")  # fmt: skip

    def products(c: object) -> NDArray[np.float64]:
        Z = standardize(G[:, where == c])
        return np.asarray(Z @ Z.T)

    total = np.zeros((G.shape[0], G.shape[0]))
    for c in chromosomes:
        total += products(c)
    report, done = progress or Bar("SNPs"), 0
    nulls: dict[str, Fit] = {}
    result: dict[str, NDArray] = {}
    for c in chromosomes:
        columns = np.flatnonzero(where == c)
        spec = decompose_kinship((total - products(c)) / (varies.sum() - counts[c]))
        part = scan(G[:, columns], X, y, spec, refit=refit, test=test, progress=lambda *_: None)
        if part.null is not None:
            nulls[str(c)] = part.null
        for field in fields(Scan):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray):
                result.setdefault(field.name, np.zeros(where.size, value.dtype))[columns] = value
        done += columns.size
        report(done, where.size)
    return LocoScan(**result, dof=part.dof, null=None, nulls=nulls)
