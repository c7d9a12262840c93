"""Two kernels at once, prediction, and the number of SNPs or components that predicts best (chapter 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar

from ._arrays import LARGEST, Floats, matrix, vector
from .likelihood import LMM
from .projection import independent, residual
from .spectrum import Spectrum, decompose_kinship, decompose_snps
from .variance import Evaluation, Fit, shares

Indices = NDArray[np.intp]
WEIGHTS = np.linspace(0.0, 1.0, 11)


@dataclass(frozen=True)
class TwoKernelFit:
    """The optimum over the weight of the second kernel and h².

    Attributes
    ----------
    a2 : weight of the second kernel in K = (1 - a2) K0 + a2 K1; NaN at h² = 0, where there is nothing to divide
    fit : Fit of that mixture
    boundary : None for an optimum inside, "a2=0" or "a2=1" for one at that end

    Notes
    -----
    Derived in :eq:`two-shares`.
    """

    a2: float
    fit: Fit
    boundary: str | None

    @property
    def h2_0(self) -> float:
        """Share of the first kernel in the total variance, (1 - a2) h²."""
        return (1.0 - self.a2) * self.fit.h2 if self.fit.h2 else 0.0

    @property
    def h2_1(self) -> float:
        """Share of the second kernel in the total variance, a2 h²."""
        return self.a2 * self.fit.h2 if self.fit.h2 else 0.0


def surface(
    K0: ArrayLike, K1: ArrayLike, X: ArrayLike, y: ArrayLike, *, a2: ArrayLike, h2: ArrayLike, reml: bool
) -> Floats:
    """Evaluate the profile nLL of two kernels on a grid, with one decomposition per weight.

    Parameters
    ----------
    K0, K1 : (n, n) kinship matrices
    X, y : (n, d) covariates and (n,) phenotype, as for `LMM`
    a2 : (p,) weights of K1, between 0 and 1
    h2 : (q,) heritabilities, from 0 to below 1
    reml : as in `LMM.evaluate`

    Returns
    -------
    (p, q) array
        nLL, in natural-log units

    Raises
    ------
    ValueError
        for a weight or an h2 out of range (h2 = 1 where the mixture is singular), or arrays that `LMM` refuses

    Notes
    -----
    Derived in :eq:`two-surface`.
    """
    models = (LMM(decompose_kinship(K0, K1, float(w)), X, y) for w in vector("a2", a2))
    values = vector("h2", h2)
    return np.array([[m.evaluate(h2=float(v), reml=reml).nll for v in values] for m in models])


def fit_a2(
    K0: ArrayLike, K1: ArrayLike, X: ArrayLike, y: ArrayLike, *, reml: bool, grid: ArrayLike = WEIGHTS
) -> TwoKernelFit:  # fmt: skip
    """Find the weight of the second kernel and the h² at which the profile likelihood is highest (`findA2`).

    Parameters
    ----------
    K0, K1 : (n, n) kinship matrices; a2 is a share of variance if both have trace n
    X, y : (n, d) covariates and (n,) phenotype, as for `LMM`
    reml : as in `LMM.evaluate`
    grid : (g,) increasing weights from 0 to 1, one decomposition each; an optimum narrower than two intervals can
        be missed

    Returns
    -------
    TwoKernelFit

    Raises
    ------
    ValueError
        for a grid that does not rise from 0 to 1, kernels between which the data cannot tell (proportional ones), or
        arrays that `LMM` refuses

    Notes
    -----
    Derived in :eq:`two-profile`. Around each minimum of the grid, Brent's bounded search, which stays inside; the ends
    themselves are in the grid.
    """
    grid = vector("grid", grid)
    if grid[0] != 0 or grid[-1] != 1 or not (np.diff(grid) > 0).all():
        raise ValueError(f"the grid of {grid.size} weights must rise from 0 to 1, but is {grid}")

    def best(a2: float) -> Fit:
        return LMM(decompose_kinship(K0, K1, a2), X, y).fit(reml=reml)

    found = [(float(a2), best(float(a2))) for a2 in grid]
    nll = np.array([fit.nll for _, fit in found])
    if all(fit.boundary == "h2=0" for _, fit in found):
        return TwoKernelFit(np.nan, found[0][1], None)
    if np.ptp(nll) <= 1e-10 * len(vector("y", y)):
        raise ValueError(f"the likelihood does not depend on a2 (it varies by {np.ptp(nll):.1e} over the grid): K0 and "
                         "K1 are proportional on what X leaves free; use one of them")  # fmt: skip
    for i in range(grid.size):
        low, high = max(i - 1, 0), min(i + 1, grid.size - 1)
        if nll[i] <= nll[low : high + 1].min() and found[i][1].boundary != "h2=0":
            span = grid[[low, high]]
            inside = float(minimize_scalar(lambda a2: best(a2).nll, bounds=span, options={"xatol": 1e-7}).x)
            found.append((inside, best(inside)))
    a2, fit = min(found, key=lambda pair: pair[1].nll)  # of equals the first: an end before its neighbours
    return TwoKernelFit(a2, fit, {0.0: "a2=0", 1.0: "a2=1"}.get(a2))


@dataclass(frozen=True)
class Prediction:
    """The distribution of new phenotypes given the old ones and the variances.

    Attributes
    ----------
    mean : (m,) best linear unbiased prediction, in units of y
    covariance : (m, m) of the new phenotypes around it, noise and the uncertainty of β included, in squared units
    """

    mean: Floats
    covariance: Floats

    def nll(self, y_new: ArrayLike) -> float:
        """Minus the log-density of the new phenotypes, taken together.

        Parameters
        ----------
        y_new : (m,) phenotypes

        Raises
        ------
        ValueError
            if the shapes do not match, or the covariance is singular (no noise, and dependent genotypes)

        Notes
        -----
        Derived in :eq:`out-of-sample`.
        """
        r = vector("y_new", y_new, rows=self.mean.size) - self.mean
        try:
            factor = cho_factor(self.covariance)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"the covariance of {r.size} predictions is singular (smallest variance "
                f"{self.covariance.diagonal().min():.3g}): the model has no noise; use the mean alone"
            ) from None
        logdet = 2 * np.log(factor[0].diagonal()).sum()
        return 0.5 * float(r.size * np.log(2 * np.pi) + logdet + r @ cho_solve(factor, r))


def predict(
    G: ArrayLike, X: ArrayLike, y: ArrayLike, G_new: ArrayLike, X_new: ArrayLike, evaluation: Evaluation,
    spec: Spectrum | None = None,
) -> Prediction:  # fmt: skip
    """Predict phenotypes from SNPs and covariates (`setTestData`, `predictMean`, `predictVariance`).

    Parameters
    ----------
    G : (n, s) scaled genotypes of the kernel K = GGᵀ; for two kernels [√(1 - a2) G0, √a2 G1]. s = 0 for none
    X, y : (n, d) covariates and (n,) phenotype that the model was evaluated with
    G_new, X_new : (m, s) genotypes, with the means and scales of G, and (m, d) covariates
    evaluation : from `LMM.evaluate` or `LMM.fit` on these G, X and y
    spec : `decompose_snps(G)`, where it is at hand

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        for shapes that do not match, NaN or infinity, or an evaluation with dropped columns

    Notes
    -----
    Derived in :eq:`blup` and :eq:`predictive`.
    """
    G, G_new = matrix("G", G), matrix("G_new", G_new)
    X, y = matrix("X", X, rows=len(G)), vector("y", y, rows=len(G))
    X_new, beta = matrix("X_new", X_new, rows=len(G_new)), evaluation.beta
    if G_new.shape[1] != G.shape[1] or not X_new.shape[1] == X.shape[1] == beta.size:
        raise ValueError(f"G and G_new have {G.shape[1]} and {G_new.shape[1]} SNPs, X and X_new {X.shape[1]} and "
                         f"{X_new.shape[1]} columns for {beta.size} effects; old and new must match")  # fmt: skip
    if np.isnan(beta).any():
        raise ValueError(f"{np.isnan(beta).sum()} of {beta.size} columns of X were dropped because they depend on "
                         "others; fit and predict without them")  # fmt: skip
    genetic, noise = shares(None, evaluation.delta, None)
    spec = decompose_snps(G) if spec is None else spec
    # K* M⁻¹ = G* (Gᵀ M⁻¹), and the columns of G have no part outside U
    gain = genetic * (G_new @ ((spec.U.T @ G) / (genetic * spec.S + noise)[:, None]).T) @ spec.U.T
    left = X_new - gain @ X
    covariance = evaluation.sigma2_g * (G_new - gain @ G) @ G_new.T + left @ evaluation.beta_cov @ left.T
    covariance = (covariance + covariance.T) / 2 + evaluation.sigma2_e * np.eye(len(G_new))
    return Prediction(X_new @ beta + gain @ (y - X @ beta), covariance)


def rank_snps(Z: ArrayLike, X: ArrayLike, y: ArrayLike) -> Indices:
    """Order SNPs by their univariate F, the most strongly associated first.

    Parameters
    ----------
    Z : (n, s) genotypes
    X, y : (n, d) covariates and (n,) phenotype

    Returns
    -------
    (s,) columns of Z; those that X explains come last

    Notes
    -----
    Derived in :eq:`rank-by-f`: F rises with the squared correlation of the residuals.
    """
    Z = matrix("Z", Z)
    Q, _ = independent(matrix("X", X, rows=len(Z)))
    R, r = residual(Q, Z), residual(Q, vector("y", y, rows=len(Z), largest=LARGEST))
    length = (R * R).sum(axis=0)
    tested = length > 1e-10 * (Z * Z).sum(axis=0)
    explained = np.divide((R.T @ r) ** 2, length, out=np.full(length.size, -1.0), where=tested)
    return np.argsort(-explained, kind="stable")


@dataclass(frozen=True)
class Selection:
    """SNPs chosen for a kernel, and the evidence.

    Attributes
    ----------
    counts : (c,) numbers of SNPs that were tried
    nll, mse : (folds, c) nLL and mean squared error of the phenotypes held out
    chosen : the count with the smallest sum of nLL over the folds
    order : (s,) columns of Z, ranked on all individuals; the selected ones are `order[:chosen]`
    """

    counts: Indices
    nll: Floats
    mse: Floats
    chosen: int
    order: Indices


def select_snps(
    Z: ArrayLike, X: ArrayLike, y: ArrayLike, counts: Sequence[int], *, folds: int | ArrayLike, seed: int = 0,
    reml: bool = True,
) -> Selection:  # fmt: skip
    """Choose how many of the most associated SNPs make the kernel that predicts best (FaST-LMM-Select).

    In each fold SNPs are ranked, and δ is fitted, without the individuals held out.

    Parameters
    ----------
    Z : (n, s) standardised genotypes
    X, y : (n, d) covariates and (n,) phenotype
    counts : (c,) increasing numbers of SNPs to try; 0 is linear regression
    folds : number of random folds, or (n,) labels (families, say) of which each in turn is held out
    seed : of the random folds
    reml : likelihood for δ, as in `LMM.evaluate`

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        for counts or folds that are not there, or arrays that `LMM` refuses

    Notes
    -----
    Derived in :eq:`select-count`.
    """
    Z = matrix("Z", Z)
    X, y = matrix("X", X, rows=len(Z)), vector("y", y, rows=len(Z))
    tried, label = _counts(counts, Z.shape[1] + 1, f"{Z.shape[1]} SNPs"), _folds(len(Z), folds, seed)
    nll, mse = (np.empty((label.max() + 1, tried.size)) for _ in "12")
    for fold in range(len(nll)):
        out, train = label == fold, label != fold
        order = rank_snps(Z[train], X[train], y[train])
        for j, count in enumerate(tried):
            G = Z[:, order[:count]] / np.sqrt(max(count, 1))
            spec = decompose_snps(G[train])
            m = LMM(spec, X[train], y[train])
            e = m.fit(reml=reml) if count else m.evaluate(h2=0, reml=reml)
            p = predict(G[train], X[train], y[train], G[out], X[out], e, spec)
            nll[fold, j], mse[fold, j] = p.nll(y[out]), np.mean((y[out] - p.mean) ** 2)
    return Selection(tried, nll, mse, int(tried[nll.sum(axis=0).argmin()]), rank_snps(Z, X, y))


@dataclass(frozen=True)
class Components:
    """Principal components chosen as covariates, and the evidence.

    Attributes
    ----------
    counts : (c,) numbers of components that were tried
    nll : (folds, c) nLL of the SNPs held out, summed over them
    chosen : the count with the smallest sum over the folds
    pcs : (n, chosen) components of all individuals, of length one over those in `used`
    used : (u,) individuals that they were computed from
    """

    counts: Indices
    nll: Floats
    chosen: int
    pcs: Floats
    used: Indices


def choose_pcs(
    Z: ArrayLike, counts: Sequence[int], *, folds: int | ArrayLike, seed: int = 0, cutoff: float | None = None
) -> Components:
    """Choose how many principal components describe SNPs that were held out best (`compute_auto_pcs`).

    Parameters
    ----------
    Z : (n, s) standardised genotypes
    counts : (c,) increasing numbers of components to try
    folds : number of random folds of SNPs, or (s,) labels (chromosomes, say) of which each in turn is held out
    seed : of the random folds
    cutoff : kinship at which two individuals count as related: components then come from `unrelated` individuals,
        and the others are projected onto them. None to use all

    Returns
    -------
    Components

    Raises
    ------
    ValueError
        for counts or folds that are not there, or components of SNPs that do not have as many

    Notes
    -----
    Derived in :eq:`ppca-held-out`.
    """
    Z = matrix("Z", Z)
    n, s = Z.shape
    used = np.arange(n) if cutoff is None else unrelated(Z @ Z.T / s, cutoff)
    centred = Z - Z[used].mean(axis=0)
    A, m, label = centred[used], len(used) - 1, _folds(s, folds, seed)
    tried = _counts(counts, m, f"{len(used)} individuals")
    nll = np.empty((label.max() + 1, tried.size))
    for fold in range(len(nll)):
        out, rest = A[:, label == fold], A[:, label != fold]
        spec = decompose_kinship(rest @ rest.T / rest.shape[1])
        if spec.k <= tried[-1]:
            raise ValueError(f"{rest.shape[1]} SNPs of {len(used)} individuals have {spec.k} components, and no noise "
                             f"is left for {tried[-1]}; try fewer")  # fmt: skip
        along = ((out.T @ spec.U) ** 2).sum(axis=0)
        for j, c in enumerate(tried):
            noise = spec.S[c:].sum() / (m - c)
            logdet = np.log(spec.S[:c]).sum() + (m - c) * np.log(noise)
            fitted = (along[:c] / spec.S[:c]).sum() + ((out**2).sum() - along[:c].sum()) / noise
            nll[fold, j] = 0.5 * (out.shape[1] * (m * np.log(2 * np.pi) + logdet) + fitted)
    chosen = int(tried[nll.sum(axis=0).argmin()])
    spec = decompose_kinship(A @ A.T / s)
    pcs = centred @ (A.T @ spec.U[:, :chosen]) / (s * spec.S[:chosen])
    return Components(tried, nll, chosen, pcs, used)


def unrelated(K: ArrayLike, cutoff: float) -> Indices:
    """Drop individuals, the one with most relatives first, until no two are related (`VertexCut`).

    Parameters
    ----------
    K : (n, n) kinship matrix
    cutoff : kinship from which two individuals count as related

    Returns
    -------
    (u,) those that stay, in ascending order

    Raises
    ------
    ValueError
        if K is not square, or holds NaN or infinity
    """
    K = matrix("K", K, largest=LARGEST**2)
    if K.shape[0] != K.shape[1]:
        raise ValueError(f"K must be square, but its shape is {K.shape}")
    related, stay = K >= cutoff, np.ones(len(K), dtype=bool)
    np.fill_diagonal(related, False)
    while (relatives := related.sum(axis=0)).any():
        most = relatives.argmax()
        related[most], related[:, most], stay[most] = False, False, False
    return np.flatnonzero(stay)


def _counts(counts: Sequence[int], limit: int, what: str) -> Indices:
    values = np.asarray(counts)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iu" or (np.diff(values) <= 0).any():
        raise ValueError(f"counts must be increasing whole numbers, but is {counts}")
    if values[0] < 0 or values[-1] >= limit:
        raise ValueError(f"counts go from {values[0]} to {values[-1]}, but {what} allow 0 to {limit - 1}")
    return values.astype(np.intp)


def _folds(n: int, folds: int | ArrayLike, seed: int) -> Indices:
    label = np.asarray(folds)
    if label.ndim == 0:
        if not 2 <= label <= n:
            raise ValueError(f"{label} folds cannot be made of {n}; use 2 to {n}")
        return np.random.default_rng(seed).permutation(n) % int(label)
    if label.shape != (n,) or len(names := np.unique(label)) < 2:
        raise ValueError(f"folds has shape {label.shape}; give ({n},) labels of which at least two differ")
    return np.searchsorted(names, label)
