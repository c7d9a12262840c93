"""Run FaST-LMM on inputs that show its defects: ``golden/fastlmm_defects.csv``.

    python reference/fastlmm_defects.py [--write]

runs in the environment of ``run_fastlmm.py`` and needs lmm_teach (for the data of chapter 12) and some seconds. Each
function below runs one defect on the arrays of `problem` (or `student`), which the tests use, too, and says what is
wrong; ``tests/test_errata.py`` repeats each number, by the wrong formula, and compares it with the right one.
"""

import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TABLE = HERE / "golden" / "fastlmm_defects.csv"
Arrays = dict[str, np.ndarray]
Found = Iterator[tuple[str, float]]

# What the problems are evaluated at, here and in the tests
H2, DELTA, SIGMA2 = 0.4, 1.5, 2.0  # 1 / (1 + DELTA) = H2
DOF, SCALE = 30.0, 4.0
TINY = 1e-11


def problem() -> Arrays:
    """40 individuals and 60 SNPs, of which 12 carry the trait; X is the intercept and a covariate.

    Z (40, 60) standardised SNPs, G = Z/√60, few (40, 12) = 12 columns of Z over √12, X (40, 2), y (40,), tested (40, 5)
    columns of another kernel, new (3, 12) scaled genotypes of three others, across (3, 40) their kinship with the 40,
    not in the span of `few`, and w (40,) a short column outside that span.
    """
    rng = np.random.default_rng(2015)
    n, s = 40, 60
    counts = rng.binomial(2, rng.uniform(0.2, 0.8, s), size=(n, s)).astype(float)
    Z = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    few = Z[:, :12] / math.sqrt(12)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = 1.0 + 0.5 * X[:, 1] + few @ rng.normal(size=12) + rng.normal(size=n)
    new = rng.normal(size=(3, 12)) / math.sqrt(12)
    across = new @ few.T + 0.1 * rng.normal(size=(3, n))
    tested, w = rng.normal(size=(n, 5)), 0.1 * rng.normal(size=n)
    genotypes = {"Z": Z, "G": Z / math.sqrt(s), "few": few, "tested": tested, "new": new}
    return genotypes | {"X": X, "y": y, "across": across, "w": w}


def student() -> Arrays:
    """Scaled genotypes G (90, 400), covariates X (90, 2) and phenotype y (90,) of chapter 12."""
    import lmm_teach as lt
    from lmm_teach import simulate

    cohort = simulate.cohort(90, 400, seed=5, siblings=6, h2=0.5)
    X = np.column_stack([np.ones(90), np.random.default_rng(12).normal(size=90)])
    return {"G": lt.standardize(cohort.G) / np.sqrt(400), "X": X, "y": cohort.y}


def doubled(X: np.ndarray) -> np.ndarray:
    """X with its last column twice: three columns of rank two."""
    return np.column_stack([X, X[:, -1]])


def lmm(G: np.ndarray, X: np.ndarray, y: np.ndarray) -> Any:
    from fastlmm.inference.lmm import LMM

    model = LMM()
    model.setG(G.copy())
    model.setX(X)
    model.sety(y)
    return model


def lmm_cov(X: np.ndarray, y: np.ndarray, **kernel: Any) -> Any:
    from fastlmm.inference.lmm_cov import LMM

    return LMM(X=X, Y=y[:, None], **kernel)


def number(value: Any) -> float:
    return float(np.asarray(value).item())


# ---- one function per defect: its number, what is wrong, and the rows that show it ----


def _1(p: Arrays, _: Arrays) -> Found:
    """lmm_cov takes the number of X's columns for its rank: one eigenpair too many is dropped, n - D is too small."""
    for name, kernel in (("full rank", {"K": p["G"] @ p["G"].T}), ("low rank", {"G": p["few"]})):
        yield f"nLL, {name}", number(lmm_cov(doubled(p["X"]), p["y"], **kernel).nLLeval(h2=H2)["nLL"])


def _2(p: Arrays, _: Arrays) -> Found:
    """lmm in REML takes logarithms of all eigenvalues of XᵀM⁻¹X and XᵀX, zeros included, and n - D for n - rank X.

    With a column twice the zeros come out as rounding errors, and nLL differs from one computer to the next.
    """
    empty = np.column_stack([p["X"], np.zeros(len(p["y"]))])
    yield "nLL, X with a column of zeros", number(lmm(p["G"], empty, p["y"]).nLLeval(h2=H2)["nLL"])
    yield "sigma2, X with a column twice", number(lmm(p["G"], doubled(p["X"]), p["y"]).nLLeval(h2=H2)["sigma2"])


def _3(p: Arrays, _: Arrays) -> Found:
    """lmm in ML multiplies variance_beta by h2 once too often, in both parametrisations."""
    model = lmm(p["G"], p["X"], p["y"])
    for form in ({"h2": H2}, {"delta": DELTA}):
        yield f"variance_beta[1], {next(iter(form))}", number(model.nLLeval(REML=False, **form)["variance_beta"][1])


def _4(p: Arrays, _: Arrays) -> Found:
    """lmm called with h2 takes excluded columns from h²K + (1-h²)I with the weight 1 for h². (delta is right.)"""
    model = lmm(p["G"], p["X"], p["y"])
    model.set_exclude_idx([0, 1])
    yield "nLL, delta", number(model.nLLeval(delta=DELTA)["nLL"])
    yield "nLL, K of trace n", number(model.nLLeval(h2=H2)["nLL"])
    model = lmm(p["Z"], p["X"], p["y"])
    model.set_exclude_idx([0, 1])
    yield "nLL, K of trace n s", number(model.nLLeval(h2=0.02)["nLL"])


def _5(p: Arrays, _: Arrays) -> Found:
    """lmm adds what excluded columns have outside the eigenvectors to I - WᵀM⁻¹W, and must subtract it.

    Columns of the kernel have nothing outside, so one that has is put into the attribute `G` after the decomposition.
    """
    model = lmm(p["few"], p["X"], p["y"])
    model.G = np.column_stack([p["few"], p["w"]])
    model.set_exclude_idx([12])
    yield "nLL, delta", number(model.nLLeval(delta=DELTA)["nLL"])


def _6(p: Arrays, _: Arrays) -> Found:
    """setG, where the SVD fails, scales S to the sum n before it forms U = G V / √S: U is not orthonormal."""
    import fastlmm.inference.lmm as module

    def failing(*_: Any, **__: Any) -> None:
        raise module.LA.LinAlgError("made to fail")

    working, module.LA.svd = module.LA.svd, failing
    try:
        model = lmm(2.0 * p["few"], p["X"], p["y"])  # trace 4 n
    finally:
        module.LA.svd = working
    yield "U[:, 0] @ U[:, 0]", number(model.U[:, 0] @ model.U[:, 0])
    yield "nLL", number(model.nLLeval(h2=H2)["nLL"])


def _7(p: Arrays, _: Arrays) -> Found:
    """getPosteriorWeights called with h2 leaves out the factor h² of Gᵀ(h²K + (1-h²)I)⁻¹(y - Xβ)."""
    model = lmm(p["few"], p["X"], p["y"])
    beta = model.nLLeval(h2=H2)["beta"]
    yield "weights[0], h2", number(model.getPosteriorWeights(beta, h2=H2)[0])


def _8(p: Arrays, _: Arrays) -> Found:
    """predictVariance divides its low-rank term by sigma2 instead of multiplying."""
    model = lmm(p["few"], p["X"], p["y"])
    model.setTestData(Xstar=np.ones((3, 2)), K0star=p["across"])
    between = p["new"] @ p["new"].T
    yield "variance[0, 0]", number(model.predictVariance(delta=DELTA, sigma2=SIGMA2, Kstar_star=between)[0, 0])


def _9(p: Arrays, _: Arrays) -> Found:
    """scoretest2K, low rank: the squared norm of A + B is taken for that of A plus that of B in tr(PGGᵀPGGᵀ)."""
    from fastlmm.association.score import scoretest2K

    test = scoretest2K(p["y"][:, None].copy(), X=p["X"], G0=p["few"])
    yield "h2 of the null model", number(test.optparams["h2"])
    yield "varsqform", number(test._score(p["tested"])[2])


def _10(p: Arrays, _: Arrays) -> Found:
    """lmm_cov adds 1 to the diagonal of its K and leaves it there: in the caller's array, too, with inplace=True."""
    K = p["G"] @ p["G"].T
    model = lmm_cov(p["X"], p["y"], K=K, inplace=True)
    model.getSU()
    yield "caller's trace of K", number(np.trace(K))
    model.clear_cache(reset_K=False)
    yield "nLL, decomposed again", number(model.nLLeval(h2=H2)["nLL"])


def _12(p: Arrays, _: Arrays) -> Found:
    """Fixed limits of 1e-10: on eigenvalues of XᵀM⁻¹X, on standard deviations, on singular values."""
    found = lmm(p["G"], 1e-7 * p["X"], p["y"]).nLLeval(h2=H2)
    yield "beta[1], X in small units", number(found["beta"][1])
    yield "nLL, X in small units", number(found["nLL"])
    yield "nLL, y in small units", number(lmm_cov(p["X"], TINY * p["y"], G=p["few"]).nLLeval(h2=H2)["nLL"])
    model = lmm_cov(p["X"], p["y"], G=TINY * p["few"])
    yield "rank of K, G in small units", float(len(model.getSU()[0]))


def _13(p: Arrays, t: Arrays) -> Found:
    """findH2 and find_log_delta of lmm, and find_log_delta of lmm_cov, drop dof and scale. (Its findH2 does not.)

    findA2 of lmm drops them, too, and whether ML or REML is asked for.
    """
    models = {"lmm": lmm(t["G"], t["X"], t["y"]), "lmm_cov": lmm_cov(t["X"], t["y"], G=t["G"])}
    for name, model in models.items():
        search = {"findH2": {"nGridH2": 100}, "find_log_delta": {"sid_count": 1, "nGrid": 100}}
        for method, options in search.items():
            found = getattr(model, method)(dof=DOF, scale=SCALE, **options)
            yield f"nLL of {name}.{method}", number(found["nLL"])
            yield f"h2 of {name}.{method}", number(found["h2"])
    model = lmm(p["few"], p["X"], p["y"])
    model.setG(p["G"].copy(), p["few"].copy(), a2=0.5)
    model.setX(p["X"])
    model.sety(p["y"])
    yield "nLL of lmm.findA2, REML=False", number(model.findA2(REML=False)["nLL"])


def _14(_: Arrays, t: Arrays) -> Found:
    """With dof, delta is not another name for h2: its prior is one on σ_g². (The h2 rows are right.)"""
    model = lmm(t["G"], t["X"], t["y"])
    for form in ({"h2": 0.5}, {"h2": 0.5, "scale": SCALE}, {"delta": 1.0}):
        what = ", ".join(f"{name}={value:g}" for name, value in form.items())
        for reml in (True, False):
            yield f"nLL, {what}, {'REML' if reml else 'ML'}", number(model.nLLeval(REML=reml, dof=DOF, **form)["nLL"])
    yield "nLL, delta=1, lmm_cov", number(lmm_cov(t["X"], t["y"], G=t["G"]).nLLeval(delta=1.0, dof=DOF)["nLL"])


def _15(_: Arrays, t: Arrays) -> Found:
    """Docstrings of lmm_cov: scale other than 1 gives Student's t. Without dof it changes nothing but sigma2."""
    for scale in (1.0, SCALE):
        found = lmm(t["G"], t["X"], t["y"]).nLLeval(h2=0.5, scale=scale)
        yield f"nLL, scale={scale:g}", number(found["nLL"])
        yield f"sigma2, scale={scale:g}", number(found["sigma2"])
        found = lmm_cov(t["X"], t["y"], G=t["G"]).nLLeval(h2=0.5, scale=scale)
        yield f"nLL, scale={scale:g}, lmm_cov", number(found["nLL"])


def _16(p: Arrays, _: Arrays) -> Found:
    """lmm called with delta returns h2 = 0 in REML."""
    yield "h2, delta", number(lmm(p["G"], p["X"], p["y"]).nLLeval(delta=DELTA)["h2"])


DEFECTS: tuple[Callable[[Arrays, Arrays], Found], ...] = (
    _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _12, _13, _14, _15, _16,
)  # fmt: skip


# ---- running them ----


def measure(folder: Path) -> list[dict[str, str]]:
    """Inside the environment: read the arrays and run every defect."""
    logging.disable(logging.CRITICAL)
    p, t = (dict(np.load(folder / f"{name}.npz")) for name in ("problem", "student"))
    versions = " ".join(f"{name} {version(name)}" for name in ("fastlmm", "numpy", "scipy"))
    with np.errstate(all="ignore"):
        return [
            {"defect": run.__name__.strip("_"), "quantity": quantity, "fastlmm": f"{value:.17g}", "versions": versions}
            for run in DEFECTS
            for quantity, value in run(p, t)
        ]


def main() -> None:
    # imported here, because the tests import this module without the folder on the path
    from programs import FASTLMM, Within, environment, inside, leave, save_or_check

    if "--inside" in sys.argv:
        folder = Path(sys.argv[-1])
        return leave(folder, measure(folder))
    python = environment("fastlmm", *FASTLMM)
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "problem.npz", **problem())
        np.savez(Path(name) / "student.npz", **student())
        rows = inside(python, __file__, Path(name))
    rounding = Within("rounding, and searches that stop at a relative 1e-7", relative=1e-6)
    return save_or_check(TABLE.stem, rows, {"fastlmm": rounding})


if __name__ == "__main__":
    main()
