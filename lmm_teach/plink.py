"""Genotype files: read a PLINK data set, and choose who and what is analysed by GEMMA's rules (chapter 19)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._arrays import Floats, matrix
from .kinship import kinship, summarize_snps


@dataclass(frozen=True)
class Plink:
    """A PLINK 1 data set: n individuals, s SNPs.

    Attributes
    ----------
    G : (n, s) number of copies of allele A1 (0, 1 or 2), NaN where missing
    individual, family, father, mother : (n,) identifiers as in the .fam file, "0" for an unknown parent
    snp, chrom : (s,) identifiers as in the .bim file; chromosomes are text, because X is one
    position : (s,) in base pairs
    a1, a2 : (s,) alleles; A1, the fifth column of the .bim file, is the one counted in G
    """

    G: Floats
    individual: NDArray[np.str_]
    family: NDArray[np.str_]
    father: NDArray[np.str_]
    mother: NDArray[np.str_]
    snp: NDArray[np.str_]
    chrom: NDArray[np.str_]
    position: NDArray[np.int64]
    a1: NDArray[np.str_]
    a2: NDArray[np.str_]

    @property
    def sibship(self) -> NDArray[np.int64]:
        """(n,) number of the pair of parents: equal for full siblings, unique where a parent is unknown."""
        known = (self.father != "0") & (self.mother != "0")
        pairs = [
            f"{f}\t{m}" if k else f"\t{i}"
            for i, (f, m, k) in enumerate(zip(self.father, self.mother, known, strict=True))
        ]
        return np.unique(pairs, return_inverse=True)[1]


@dataclass(frozen=True)
class Unread:
    """Genotypes that are still in a file: ``np.asarray`` reads them, here or in the worker they were sent to.

    Attributes
    ----------
    bed : path of the .bed file, which holds `individuals` by `snps` genotypes
    rows, columns : which of them: a slice without a step, or indices
    shape : (number of rows, number of columns)
    dtype : of what is read
    """

    bed: Path
    individuals: int
    snps: int
    rows: slice | NDArray[np.int64]
    columns: NDArray[np.int64]
    dtype: ClassVar = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        return len(np.arange(self.individuals)[self.rows]), self.columns.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("genotypes in a file cannot be had without a copy")
        with _open(self.bed, self.individuals, self.snps) as reader:
            return np.asarray(reader.read((self.rows, self.columns), dtype=self.dtype.name), dtype)


@dataclass(frozen=True)
class Analysed:
    """What is left of n individuals and s SNPs, and its kinship.

    Attributes
    ----------
    individuals : (n,) True for the m individuals with a phenotype
    snps : (s,) True for the SNPs that passed the filters
    K : (m, m) kinship
    y : (m,) their phenotype
    """

    individuals: NDArray[np.bool_]
    snps: NDArray[np.bool_]
    K: Floats
    y: Floats


def read_plink(prefix: str | os.PathLike[str]) -> Plink:
    """Read ``prefix.bed``, ``prefix.bim`` and ``prefix.fam``; CRLF line ends are welcome.

    Parameters
    ----------
    prefix : path without the ending; G counts allele A1 (fifth column of the .bim file), as PLINK and GEMMA do

    Raises
    ------
    ValueError
        if a file is malformed, or the .bed file's size does not match the rows of the two others
    """
    bed, snp, person, position = _trio(prefix)
    with _open(bed, person.shape[1], snp.shape[1]) as reader:
        G = reader.read(dtype="float64")
    return Plink(
        G=G,
        family=person[0],
        individual=person[1],
        father=person[2],
        mother=person[3],
        chrom=snp[0],
        snp=snp[1],
        position=position,
        a1=snp[4],
        a2=snp[5],
    )


def read_blocks(
    prefix: str | os.PathLike[str],
    *,
    size: int | None = None,
    individuals: ArrayLike | None = None,
    snps: ArrayLike | None = None,
    unread: bool = False,
) -> Iterator[Any]:
    """Read the genotypes of a PLINK data set a few SNPs at a time, for `scan_blocks`.

    Parameters
    ----------
    prefix : as in `read_plink`
    size : SNPs in a block, all but perhaps the last; by default as many as make 8 MB, and 1024 at most
    individuals, snps : which of them, as a mask or as indices; by default all
    unread : give blocks that are read only where they are used (`Unread`): by the workers of an executor, which must
        find the file under the same name

    Returns
    -------
    iterator of (n, size) allele counts in single precision, which is exact for them, NaN where missing: arrays, or
    `Unread`

    Raises
    ------
    ValueError
        as `read_plink`, before anything is read; or if size is below 1, or a selection selects nothing or is no
        selection
    """
    bed, snp, person, _ = _trio(prefix)
    chosen = []
    for name, given, count in (("individuals", individuals, person.shape[1]), ("snps", snps, snp.shape[1])):
        try:
            chosen.append(np.arange(count)[slice(None) if given is None else np.asarray(given)])
        except IndexError as fault:
            raise ValueError(f"{name} must be a mask or indices of {count}: {fault}") from fault
        if chosen[-1].ndim != 1 or not chosen[-1].size:
            raise ValueError(f"{name} selects shape {chosen[-1].shape} of {count}; one or more are needed")
    people, columns = chosen
    step = max(1, min(1024, 2_000_000 // people.size)) if size is None else size
    if step < 1:
        raise ValueError(f"size = {size} SNPs in a block; there must be one or more")
    rows = slice(None) if individuals is None else people
    cuts = (columns[j : j + step] for j in range(0, columns.size, step))
    blocks = (Unread(bed.resolve(), person.shape[1], snp.shape[1], rows, cut) for cut in cuts)
    return blocks if unread else map(np.asarray, blocks)


def _trio(
    prefix: str | os.PathLike[str],
) -> tuple[Path, NDArray[np.str_], NDArray[np.str_], NDArray[np.int64]]:
    """Check the three files; return the path of the .bed file, columns of the two others, and the positions."""
    bed, bim, fam = (Path(f"{os.fspath(prefix)}.{end}") for end in ("bed", "bim", "fam"))
    # .fam files may carry more phenotypes than PLINK's one (HS1940's does); .bim files have six columns.
    snp, person = _columns(bim, 6, exactly=True), _columns(fam, 5, exactly=False)
    _check(bed, person.shape[1], snp.shape[1])
    for number, text in enumerate(snp[3].tolist(), start=1):
        if not re.fullmatch("[+-]?[0-9]{1,18}", text):
            raise ValueError(
                f"{bim}, line {number}: column 4 must hold base-pair positions, whole numbers of at most 18 digits, "
                f"not {text[:40]!r}"
            )
    return bed, snp, person, snp[3].astype(np.int64)


def _check(bed: Path, n: int, s: int) -> None:
    """Refuse a .bed file whose start or size is wrong."""
    size, expected = bed.stat().st_size, 3 + (n + 3) // 4 * s
    with bed.open("rb") as file:
        start = file.read(3)
    if start != b"\x6c\x1b\x01":
        raise ValueError(
            f"{bed} starts with {start.hex(' ')}, not 6c 1b 01: not a PLINK 1 file in SNP-major order"
        )
    if size != expected:
        raise ValueError(
            f"{bed} has {size} bytes, but {n} individuals in {bed.stem}.fam and {s} SNPs in {bed.stem}.bim "
            f"need {expected}: a file is truncated or does not belong to the others"
        )


@dataclass(frozen=True)
class _Bed:
    """What bed-reader does, in NumPy and several times slower, for places without it (a browser)."""

    bed: Path
    n: int
    s: int

    def __enter__(self) -> _Bed:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, index: tuple[Any, Any] = (slice(None), slice(None)), dtype: str = "float64") -> Floats:
        rows, columns = index
        packed = np.memmap(self.bed, np.uint8, "r", offset=3, shape=(self.s, (self.n + 3) // 4))[columns]
        # A row of the file is a SNP; a byte holds four individuals, the first in its lowest two bits.
        codes = (packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).reshape(len(packed), -1)
        counts = np.array([2, np.nan, 1, 0], dtype)  # of A1; code 1 is a missing genotype
        return counts[np.ascontiguousarray(codes[:, np.arange(self.n)[rows]])].T


def _open(bed: Path, n: int, s: int) -> Any:
    """Open a .bed file, which may have changed since its set was checked."""
    _check(bed, n, s)
    try:
        from bed_reader import open_bed
    except ImportError:
        return _Bed(bed, n, s)
    return open_bed(bed, iid_count=n, sid_count=s, count_A1=True)


def analysed(
    G: ArrayLike,
    y: ArrayLike,
    *,
    standardised: bool,
    centre: bool = True,
    max_missing: float = 0.05,
    min_maf: float = 0.01,
) -> Analysed:
    """Choose individuals and SNPs and build their kinship by GEMMA's rules.

    Individuals without a phenotype leave. A SNP stays if, among those left, at most `max_missing` of its genotypes
    are missing, its minor allele has frequency `min_maf` or more and it is not constant. SNPs are centred (and
    scaled, if `standardised`) by everybody's mean and s.d., those without a phenotype included.

    Parameters
    ----------
    G : (n, s) allele counts, NaN where missing; not changed
    y : (n,) phenotype, NaN where missing; not changed
    standardised : False for the average of centred SNPs (``gemma -gk 1``), True for standardised ones (``-gk 2``)
    centre : subtract row and column means of K over the analysed individuals, as GEMMA does before a fit. REML
        does not see it; ML does, since K was centred by everybody
    max_missing, min_maf : shares between 0 and 1

    Raises
    ------
    ValueError
        if lengths do not match, a value is infinite or not an allele count, or nothing is left
    """
    G = matrix("G", G, nan=True)
    target = matrix("y", np.atleast_2d(np.asarray(y, dtype=np.float64)).T, rows=G.shape[0], nan=True)[:, 0]
    if np.nanmin(G, initial=0) < 0 or np.nanmax(G, initial=0) > 2:
        raise ValueError(
            f"G must hold allele counts from 0 to 2, but spans {np.nanmin(G):g} to {np.nanmax(G):g}"
        )
    for name, share in (("max_missing", max_missing), ("min_maf", min_maf)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be a share between 0 and 1, but is {share}")
    people = ~np.isnan(target)
    if not people.any():
        raise ValueError(f"none of the {people.size} individuals has a phenotype")
    summary = summarize_snps(G[people])
    frequency = summary.mean / 2
    snps = (
        ~summary.constant
        & (summary.missing <= max_missing * people.sum())
        & (np.minimum(frequency, 1 - frequency) >= min_maf)
    )
    if not snps.any():
        raise ValueError(
            f"none of the {snps.size} SNPs passes: missing <= {max_missing}, MAF >= {min_maf}, not constant"
        )
    everybody = summarize_snps(G[:, snps])
    Z = G[np.ix_(people, snps)] - everybody.mean
    if standardised:
        Z /= everybody.sd
    K = kinship(np.nan_to_num(Z, copy=False))  # a missing genotype is set to the mean
    if centre:
        K = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
    return Analysed(individuals=people, snps=snps, K=K, y=target[people])


def _columns(path: Path, count: int, *, exactly: bool) -> NDArray[np.str_]:
    """Read the first `count` columns of a table separated by blanks or tabs, as text: (count, rows)."""
    rows = []
    # Lines and fields of bytes end at ASCII's blanks alone, those of text also at some that an identifier may hold.
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # Windows' mark of UTF-8
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            fields = [field.decode() for field in line.split()]
        except UnicodeDecodeError as fault:
            raise ValueError(f"{path}, line {number}: {fault}; the file must be text in UTF-8") from fault
        if b"\0" in line:
            raise ValueError(f"{path}, line {number} holds a zero byte; the file must be text in UTF-8")
        if len(fields) < count or (exactly and len(fields) != count):
            raise ValueError(
                f"{path}, line {number}: {len(fields)} columns instead of "
                f"{'' if exactly else 'at least '}{count}"
            )
        rows.append(fields[:count])
    if not rows:
        raise ValueError(f"{path} is empty")
    return np.array(rows).T
