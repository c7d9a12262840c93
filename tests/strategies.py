"""Whole studies for Hypothesis: any size, rank, missingness, scale and conditioning, and whatever else is awkward."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import lmm_teach as lt

KERNELS = ("snps", "not centred", "graded", "clones", "one snp", "identity", "in X", "zero", "none")
COVARIATES = ("normal", "nearly the one before", "the one before", "far from zero", "rare", "zero")
PHENOTYPES = ("normal", "genetic", "without noise", "outlier", "nearly in X", "in X", "constant")
SNPS = ("counts", "missing", "rare", "in the kernel", "nearly in X", "in X", "constant", "all missing", "phenotype",
        "clone")  # fmt: skip


@dataclass(frozen=True)
class Study:
    """snps (n, s) with NaN, chrom (s,), X (n, d), y (n,), and the scaled genotypes G (n, r) of the kernel GGᵀ."""

    snps: np.ndarray
    chrom: np.ndarray
    X: np.ndarray
    y: np.ndarray
    G: np.ndarray

    @property
    def arrays(self):
        return self.snps, self.chrom, self.X, self.y, self.G


def scales(largest):
    """Powers of ten up to 10^largest and down to its inverse: often 1, and more often moderate than not."""
    return st.one_of(st.just(0), st.integers(-20, 20), st.integers(-largest, largest)).map(lambda e: 10.0**e)


def kernel(rng, kind, n, r, X):
    if kind in ("zero", "none"):
        return np.zeros((n, r if kind == "zero" else 0))
    if kind == "identity":
        return np.eye(n)
    if kind == "in X":
        return X @ rng.normal(size=(X.shape[1], r))
    G = rng.normal(size=(n, r))
    if kind == "graded":  # condition of the kernel 1e14
        return np.linalg.qr(G)[0] * np.geomspace(1, 1e-7, min(n, r))
    if kind == "clones":  # individuals and SNPs that occur twice
        G = np.hstack([G, G])[np.arange(n) // 2]
    if kind == "not centred":
        return 1 + G
    Z = lt.standardize(G[:, :1] if kind == "one snp" else G)
    return Z / np.sqrt(Z.shape[1])


def covariate(rng, kind, n, before):
    return {
        "normal": rng.normal(size=n), "far from zero": 1e6 + rng.normal(size=n), "zero": np.zeros(n),
        "rare": np.eye(n)[rng.integers(n)], "the one before": -2 * before,
        "nearly the one before": before + 10.0 ** -rng.integers(3, 13) * rng.normal(size=n),
    }[kind]  # fmt: skip


def covariates(rng, kinds, n, intercept):
    columns = [np.ones(n) if intercept or not kinds else rng.normal(size=n)]
    for kind in kinds:
        columns.append(covariate(rng, kind, n, columns[-1]))
    return np.column_stack(columns)


def phenotype(rng, kind, X, G):
    n, spanned = len(X), X @ rng.normal(size=X.shape[1])
    if kind in ("in X", "constant"):
        return spanned if kind == "in X" else np.full(n, 0.1)
    genetic = G @ rng.normal(size=G.shape[1])
    noise = {"genetic": 0.5, "without noise": 0.0, "nearly in X": 10.0 ** -rng.integers(5, 11)}.get(kind, 1.0)
    y = spanned + noise * rng.normal(size=n) + (genetic if kind in ("genetic", "without noise") else 0.0)
    return y * np.where(np.arange(n) == 0, 1e3, 1.0) if kind == "outlier" else y


def tested_snp(rng, kind, X, y, G, before):
    n = len(y)
    x = rng.integers(0, 3, size=n).astype(float)
    if kind == "missing":
        x[rng.random(n) < rng.random()] = np.nan
    elif kind in ("in X", "nearly in X"):
        x = X @ rng.normal(size=X.shape[1]) + (0 if kind == "in X" else 10.0 ** -rng.integers(3, 9)) * x
    elif kind == "in the kernel":
        return G[:, rng.integers(G.shape[1])].copy() if G.shape[1] else x
    elif kind == "rare":
        x = np.eye(n)[rng.integers(n)]
    elif kind == "clone":
        return before.copy()
    return {"constant": np.full(n, 0.1), "all missing": np.full(n, np.nan), "phenotype": y.copy()}.get(kind, x)


@st.composite
def studies(draw, largest=150, kernels=KERNELS, phenotypes=PHENOTYPES, individuals=24):
    """Draw a study; the units of phenotype, tested SNPs, kernel and covariates range from 10^-largest to 10^largest."""
    n = draw(st.integers(4, individuals))
    kinds = draw(st.lists(st.sampled_from(COVARIATES), max_size=3))
    intercept, r, seed = draw(st.booleans()), draw(st.integers(1, 2 * n)), draw(st.integers(0, 2**32 - 1))
    kernel_kind, y_kind = draw(st.sampled_from(kernels)), draw(st.sampled_from(phenotypes))
    tested = draw(st.lists(st.sampled_from(SNPS), min_size=1, max_size=6))
    units = {name: draw(scales(largest)) for name in ("snps", "X", "y", "G")}
    rng = np.random.default_rng(seed)
    X = covariates(rng, kinds, n, intercept)
    G = kernel(rng, kernel_kind, n, r, X)
    y = phenotype(rng, y_kind, X, G)
    snps = [np.arange(n) % 3.0]
    for kind in tested:
        snps.append(tested_snp(rng, kind, X, y, G, snps[-1]))
    snps = np.column_stack(snps)
    chrom = np.arange(snps.shape[1]) % 3
    widths = np.where(rng.random(X.shape[1]) < 0.5, units["X"], 1.0)  # some covariates only
    return Study(snps * units["snps"], chrom, X * widths, y * units["y"], G * units["G"])
