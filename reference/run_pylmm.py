"""Run PyLMM, as its port pylmm3, on HS1940 (CD8) and on small inputs: ``golden/pylmm3_*.csv`` (chapter 16).

    python reference/run_pylmm.py [--write]

needs lmm_teach with its extra ``data``, and a minute. PyLMM needs NumPy 1, so it gets an environment of its own.
Nothing is computed here but the inputs: `problems` makes the small ones, and ``tests/test_pylmm.py`` calls it, too.
"""

import sys
import tempfile
from pathlib import Path

from programs import Within, environment, inside, leave, save_or_check_all

PINS = ("pylmm3==0.1.1", "numpy==1.26.4", "scipy==1.17.1")
EVERY = 140  # of the 10,768 SNPs: 77 rows
H2 = (0.1, 0.25, 0.5, 0.75, 0.9)

BRENT = "Brent's method compares values that rounding has decided"
FOUND = Within(BRENT, absolute=2e-6)
NULL = {
    "h2": FOUND,
    "lambda_vg_ve": Within(BRENT, relative=1e-5),
    "sigma2": Within(BRENT, relative=1e-5),
    "beta0": Within("zero, y is centred", absolute=1e-12),
    "LL": Within("sums of n terms in another order", absolute=1e-8),
}
REFIT = {
    "h2": FOUND,
    "lambda": Within(BRENT, relative=1e-5),
    "t": Within(BRENT, relative=2e-6, absolute=2e-6),
    "p": Within(BRENT, relative=1e-5),
    "beta": Within(BRENT, absolute=2e-6),
    "se": Within(BRENT, relative=2e-6),
    "LL": Within("sums of n terms in another order", absolute=1e-8),
}
CASES = {"value": Within(BRENT, relative=2e-6, absolute=2e-6)}


def problems():
    """Small inputs: name -> (K, X, y), all by formula or seed.

    "h2=…": two levels of eigenvalues whose coordinates fit that h² exactly. "factor …": three groups, of which the
    first is multiplied. The last coordinate has no kinship and carries the one covariate, so REML does not see it.
    "covariates": 60 individuals in families of four, ten columns in X. "families" and "cages": 30 families of four, and
    30 cages with one animal each of four families; the trait of both is of families alone.
    """
    import numpy as np

    found = {}

    def spectrum(name, eigenvalues, coordinates):
        found[name] = np.diag([*eigenvalues, 0.0]), np.eye(len(eigenvalues) + 1)[:, -1:], np.array([*coordinates, 2.0])

    levels = np.repeat([4.0, 1.0], [20, 30])
    for h2 in (0.5, 0.96, 0.98):
        spectrum(f"h2={h2}", levels, np.sqrt(levels + 1 / h2 - 1))
    groups = np.repeat([1000.0, 1.0, 0.0], [3, 3, 2])
    coordinates = np.array([7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.5, 0.0])
    for factor in (1, 1.7, 0.1):
        spectrum(f"factor {factor}", groups, coordinates * np.where(groups == 1000, factor, 1))
    rng = np.random.default_rng(16)
    K = np.kron(np.eye(15), (np.eye(4) + 1) / 2)
    y = np.linalg.cholesky(K + np.eye(60)) @ rng.normal(size=60)
    found["covariates"] = K, np.column_stack([np.ones(60), rng.normal(size=(60, 9))]), y
    families, one = np.kron(np.eye(30), (np.eye(4) + 1) / 2), np.ones((120, 1))
    y = np.linalg.cholesky(0.7 * families + 0.3 * np.eye(120)) @ np.random.default_rng(24).normal(size=120)
    found["families"] = families, one, y
    found["cages"] = np.kron(np.ones((4, 4)), np.eye(30)), one, y
    return found


def hs1940():
    """The null models' K, X, y with either kinship, and every `EVERY`-th SNP with its name."""
    import numpy as np

    from lmm_teach import data, plink

    mice = data.hs1940()
    people, phenotype = mice.genotypes(), mice.phenotypes()["CD8"]
    kinds = {name: plink.analysed(people.G, phenotype, standardised=name == "Ks") for name in ("Kc", "Ks")}
    chosen = kinds["Kc"]
    snps = np.flatnonzero(chosen.snps)[::EVERY]
    arrays = {name: kind.K for name, kind in kinds.items()}
    return arrays | {"y": chosen.y, "snps": people.G[np.ix_(chosen.individuals, snps)], "rs": people.snp[snps]}


def synth():
    """K of all SNPs, y, and the first SNP that is not on chromosome 1, as in the posts of 10 and 11 March."""
    import numpy as np

    from lmm_teach import data, kinship, standardize

    people, y = data.synth()
    snp = people.G[:, np.flatnonzero(people.chrom != "1")[0]]
    return {"synth_K": kinship(standardize(people.G)), "synth_y": y, "synth_snp": snp}


# ---- inside PyLMM's environment ----


def null(d, LMM):
    for name in ("Kc", "Ks"):
        model = LMM(d["y"], d[name])
        for reml in (True, False):
            for api, h in [("fit", None)] + [("LL", h) for h in H2]:
                h = float(model.fit(REML=reml)[0]) if api == "fit" else h
                LL, beta, sigma2, _ = model.LL(h, REML=reml)
                yield {"K": name, "api": api, "REML": reml, "h2": h, "lambda_vg_ve": h / (1 - h),
                       "sigma2": sigma2.item(), "beta0": beta.item(), "LL": float(LL)}  # fmt: skip


def refit(d, LMM):
    model = LMM(d["y"], d["Kc"])
    for j, (rs, x) in enumerate(zip(d["rs"], d["snps"].T, strict=True)):
        h = float(model.fit(X=x[:, None])[0])
        t, p, beta, variance = model.association(x[:, None], returnBeta=True)
        yield {"i": EVERY * j, "rs": str(rs), "h2": h, "lambda": h / (1 - h), "t": float(t), "p": float(p),
               "beta": float(beta), "se": variance.item() ** 0.5, "LL": float(model.optLL)}  # fmt: skip


def attempt(call):
    """The result of a call, or the name of the exception."""
    try:
        return call()
    except Exception as fault:
        return type(fault).__name__


def cases(d, LMM):
    """What the chapter says PyLMM does, case by case: (case, quantity, value)."""
    import numpy as np
    from pylmm3 import lmm, misc

    small = problems()
    for name, (K, X, y) in small.items():
        model = LMM(y, K.copy(), X0=X)
        yield name, "REML h2", attempt(lambda model=model: float(model.fit()[0]))
        for reml in (True, False):
            yield name, f"LL at h2=0.3, REML={reml}", float(model.LL(0.3, REML=reml)[0])
        yield name, "ML sigma2 at h2=0.3", model.LL(0.3, REML=False)[2].item()
    model = LMM(d["synth_y"], d["synth_K"])
    for reml in (True, False):
        h, *_, LL = model.fit(X=d["synth_snp"][:, None], REML=reml)
        yield "synth", f"fit, REML={reml}: h2", float(h)
        yield "synth", f"fit, REML={reml}: LL", float(LL)
    K, X, y = small["covariates"]
    model = LMM(y, K.copy(), X0=X[:, :1])
    model.fit()
    t, p = model.association(X[:, 1:2])
    yield "tstat", "t", float(t)
    yield "tstat", "p", float(p)
    yield "tstat", "log=True", float(model.tstat(np.array([t]), 1.0, 1.0, 2, log=True)[1])
    for reml in (True, False):
        for again in (True, False):
            _, ps = lmm.GWAS(y, X[:, 1:3], K.copy(), REML=reml, refit=again)
            yield "GWAS", f"p, REML={reml}, refit={again}", float(ps[0])
    gap = X[:, 1:3].copy()
    gap[0, 0] = np.nan
    yield "GWAS", "a missing genotype", attempt(lambda: lmm.GWAS(y, gap, K.copy()))
    yield "calculateKinship", "complete genotypes", attempt(lambda: lmm.calculateKinship(np.round(X[:, 1:])))
    S, U = np.linalg.eigh(np.kron(np.eye(3), np.ones((2, 2))))
    LMM(np.arange(6.0), U * S @ U.T, Kva=S, Kve=U)
    yield "constructor", "smallest eigenvalue of the caller's Kva afterwards", float(S.min())
    for first, second in (("families", "cages"), ("cages", "families")):
        (K1, _, y), (K2, _, _) = small[first], small[second]
        h1, h2, _, _, _, LL = misc.fitTwo(y, K1.copy(), K2.copy())
        for what, value in (("h1", h1), ("h2", h2), ("LL", LL)):
            yield f"fitTwo, {first} first", what, float(value)


def run(folder: Path) -> None:
    import warnings

    import numpy as np
    from pylmm3.lmm import LMM

    warnings.simplefilter("ignore")  # NumPy's, about scalars made of arrays and logarithms of negative numbers
    d = np.load(folder / "data.npz")
    tables = {
        "null": list(null(d, LMM)),
        "refit": list(refit(d, LMM)),
        "cases": [dict(zip(("case", "quantity", "value"), row, strict=True)) for row in cases(d, LMM)],
    }
    leave(folder, [tables])


def main() -> None:
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", **hs1940(), **synth())
        (tables,) = inside(environment("pylmm3", *PINS), __file__, folder)
    save_or_check_all(
        ("pylmm3_hs1940_cd8_null", tables["null"], NULL),
        ("pylmm3_hs1940_cd8_refit", tables["refit"], REFIT),
        ("pylmm3_cases", tables["cases"], CASES),
    )


if __name__ == "__main__":
    run(Path(sys.argv[2])) if "--inside" in sys.argv[1:] else main()
