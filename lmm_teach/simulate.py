"""Cohorts with known truth: populations, families, chromosomes, linkage disequilibrium and a trait (chapter 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ._arrays import Floats

CHROMOSOME = 100_000_000  # base pairs; at one centimorgan per million, one morgan
COVARIATE_EFFECT = 0.5


@dataclass(frozen=True)
class Cohort:
    """n individuals, s SNPs and the truth about a trait, y = X alpha + (G[:, causal] beta, centred) + shift + noise.

    Attributes
    ----------
    G : (n, s) allele counts 0, 1 or 2, NaN where missing
    chrom, position : (s,) chromosomes 1, 2, … and base pairs, in ascending order
    population, family : (n,) numbers from 0; a family is a sibship, whose parents are not in the cohort
    frequency : (populations, s) frequency of the counted allele in each population
    X, alpha : (n, d) intercept and covariates, and (d,) their effects
    y : (n,) trait
    causal, beta : (c,) columns of G with an effect, and their effects per allele
    g : (n,) genetic value, centred
    sigma2_g : population variance of g, exactly
    sigma2_e : variance that the noise was drawn with (the realised one varies)
    h2 : sigma2_g / (sigma2_g + sigma2_e); the shift between populations is in neither
    """

    G: Floats
    chrom: NDArray[np.int64]
    position: NDArray[np.int64]
    population: NDArray[np.int64]
    family: NDArray[np.int64]
    frequency: Floats
    X: Floats
    alpha: Floats
    y: Floats
    causal: NDArray[np.int64]
    beta: Floats
    g: Floats
    sigma2_g: float
    sigma2_e: float
    h2: float


def cohort(
    n: int,
    s: int,
    *,
    seed: int,
    populations: int = 1,
    fst: float = 0.1,
    siblings: int = 1,
    chromosomes: int = 5,
    ld: float = 0.0,
    h2: float = 0.5,
    causal: int | Sequence[int] | None = None,
    effects: Sequence[float] | None = None,
    shift: float = 0.0,
    covariates: int = 0,
    missing: float = 0.0,
) -> Cohort:
    """Simulate a cohort; the same arguments give the same one.

    Each SNP has an ancestral frequency, uniform between 0.1 and 0.9, from which the populations drift apart by the
    Balding-Nichols model. A founder's chromosome is a Gaussian Markov chain along the SNPs, cut at the quantile of
    the frequency, so that frequencies are exact and neighbours are correlated. Every individual is a child of two
    founders of one population, by Mendel's rules and with Haldane's crossovers: siblings share long segments.

    Parameters
    ----------
    n, s : numbers of individuals and of SNPs
    seed : integer from 0. Genotypes and trait have separate streams, so trait options leave the genotypes alone
    populations : number of populations, of equal size up to one family
    fst : share of the ancestral variance p(1 - p) that separates populations, 0 ≤ fst < 1; unused with one population
    siblings : size of each sibship (the last may be smaller); 1 for unrelated individuals
    chromosomes : number of chromosomes, one morgan each, with equally many SNPs up to one
    ld : correlation of the chain over the mean distance of neighbours, 0 ≤ ld < 1; it decays exponentially with
        distance and is 0 between chromosomes. Alleles correlate less than the chain
    h2 : share of the variance that is genetic, 0 ≤ h2 ≤ 1
    causal : number of causal SNPs, chosen at random among those that vary, or their columns; None for all that vary
    effects : one per causal SNP, per allele, which then fixes sigma2_e. None: normal per standard deviation of the
        SNP, scaled so that sigma2_g = h2 and sigma2_e = 1 - h2
    shift : trait mean of the last population minus that of the first, for reasons that are not genetic, in standard
        deviations √(sigma2_g + sigma2_e); those between lie evenly between
    covariates : number of standard normal covariates, each with the effect 0.5
    missing : probability that a genotype is missing, 0 ≤ missing < 1, whatever its value

    Raises
    ------
    ValueError
        if a number is out of its range, or the trait asked for does not exist
    """
    _check(n=n, s=s, populations=populations, siblings=siblings, chromosomes=chromosomes)
    _check(0, seed=seed, covariates=covariates)
    for name, value, top in (
        ("fst", fst, False),
        ("ld", ld, False),
        ("missing", missing, False),
        ("h2", h2, True),
    ):
        if not (0 <= value < 1 or (top and value == 1)):
            raise ValueError(f"{name} must be from 0 {'to' if top else 'to below'} 1, but is {value}")
    if not np.isfinite(shift) or (shift and populations == 1):
        raise ValueError(f"shift = {shift} needs to be finite, and more than one population ({populations})")
    families = -(-n // siblings)
    if families < populations or s < chromosomes:
        raise ValueError(
            f"{families} families cannot fill {populations} populations, or {s} SNPs {chromosomes} "
            "chromosomes"
        )
    genotype_rng, trait_rng = np.random.default_rng(seed).spawn(2)
    family = np.arange(n) // siblings
    home = np.arange(families) * populations // families  # the population of each family
    chrom = np.arange(s) * chromosomes // s + 1
    position, gap = _map(genotype_rng, chrom)
    frequency = _drift(genotype_rng, s, populations, fst)
    G = np.zeros((s, n), dtype=np.int8)
    for _ in ("mother", "father"):
        pair = [
            _haplotypes(genotype_rng, frequency, home, ld ** (gap / (CHROMOSOME * chromosomes / s)))
            for _ in "12"
        ]
        G += _gametes(genotype_rng, pair[0], pair[1], family, gap)
    counts = G.T.astype(np.float64)
    columns, beta, g, sigma2_g, sigma2_e = _genetics(trait_rng, counts, h2, causal, effects)
    population = home[family]
    X = np.column_stack((np.ones(n), trait_rng.standard_normal((n, covariates))))
    alpha = np.array([0.0] + [COVARIATE_EFFECT] * covariates)
    environment = shift * np.sqrt(sigma2_g + sigma2_e) * population / max(populations - 1, 1)
    y = X @ alpha + g + environment + np.sqrt(sigma2_e) * trait_rng.standard_normal(n)
    if missing:
        counts[genotype_rng.random((n, s)) < missing] = np.nan
    return Cohort(
        counts,
        chrom,
        position,
        population,
        family,
        frequency,
        X,
        alpha,
        y,
        columns,
        beta,
        g,
        sigma2_g,
        sigma2_e,
        sigma2_g / (sigma2_g + sigma2_e),
    )


def _check(least: int = 1, **numbers: int) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, but is {value!r}")


def _map(rng: np.random.Generator, chrom: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Draw positions, and the distance of each SNP to the one before: infinite at the start of a chromosome."""
    where = rng.integers(1, CHROMOSOME, chrom.size)
    position = where[np.lexsort((where, chrom))]
    gap = np.maximum(np.diff(position, prepend=0), 1).astype(np.float64)  # no two SNPs at distance 0
    gap[np.diff(chrom, prepend=0) != 0] = np.inf
    return position, gap


def _drift(rng: np.random.Generator, s: int, populations: int, fst: float) -> Floats:
    """Draw each population's frequencies: Beta with mean p and variance fst p(1 - p)."""
    p = np.tile(rng.uniform(0.1, 0.9, s), (populations, 1))
    if populations == 1 or fst == 0:
        return p
    return rng.beta(p * (1 - fst) / fst, (1 - p) * (1 - fst) / fst)


def _haplotypes(
    rng: np.random.Generator, frequency: Floats, home: NDArray[np.int64], correlation: Floats
) -> NDArray[np.int8]:
    """Draw one founder chromosome set per family, (s, families): z is the chain, its tail the counted allele."""
    cut = ndtri(frequency)[home]
    alleles = np.empty((frequency.shape[1], home.size), dtype=np.int8)
    z = np.zeros(home.size)
    for j, r in enumerate(correlation):
        z = r * z + np.sqrt(1 - r * r) * rng.standard_normal(home.size)
        alleles[j] = z < cut[:, j]
    return alleles


def _gametes(
    rng: np.random.Generator,
    one: NDArray[np.int8],
    other: NDArray[np.int8],
    family: NDArray[np.int64],
    gap: Floats,
) -> NDArray[np.int8]:
    """Pass one recombined haplotype of a parent to each child, (s, n)."""
    # Haldane: an odd number of crossovers between two SNPs d morgans apart; 1/2 between chromosomes
    odd = (1 - np.exp(-2 * gap / CHROMOSOME)) / 2
    crossed = rng.random((gap.size, family.size), dtype=np.float32) < odd[:, None]
    use_other = np.cumsum(crossed, axis=0, dtype=np.uint8) & 1  # the count wraps at 256, which is even
    return np.where(use_other, other[:, family], one[:, family])


def _genetics(
    rng: np.random.Generator,
    G: Floats,
    h2: float,
    causal: int | Sequence[int] | None,
    effects: Sequence[float] | None,
) -> tuple[NDArray[np.int64], Floats, Floats, float, float]:
    """Choose the causal SNPs and their effects; return them with g, sigma2_g and sigma2_e."""
    sd = G.std(axis=0)
    varying = np.flatnonzero(sd)
    if causal is None:
        columns = varying
    elif isinstance(causal, (int, np.integer)):
        _check(0, causal=causal)
        if causal > varying.size:
            raise ValueError(f"causal = {causal}, but only {varying.size} SNPs vary in the cohort")
        columns = np.sort(rng.choice(varying, causal, replace=False))
    else:
        columns = np.asarray(causal, dtype=np.int64)
        if columns.ndim != 1 or not np.isin(columns, varying).all() or np.unique(columns).size < columns.size:
            raise ValueError(
                f"causal must name different columns from 0 to {G.shape[1] - 1} of SNPs that vary, "
                f"but is {causal}"
            )
    if effects is None:
        beta = rng.standard_normal(columns.size) / sd[columns]
    else:
        beta = np.array(effects, dtype=np.float64)
        if beta.shape != columns.shape or not np.isfinite(beta).all():
            raise ValueError(
                f"effects must be {columns.size} finite numbers, one per causal SNP, but is {effects}"
            )
    g = G[:, columns] @ beta
    g = g - g.mean()
    variance = float(g.var())
    if (h2 > 0) != (variance > 0) and (effects is not None or h2 > 0):
        raise ValueError(f"h2 = {h2}, but the genetic variance of {columns.size} causal SNPs is {variance:g}")
    if effects is not None:
        return columns, beta, g, variance, variance * (1 - h2) / h2 if h2 else 1.0
    factor = np.sqrt(h2 / variance) if variance else 0.0
    return columns, beta * factor, g * factor, float(h2), 1.0 - h2
