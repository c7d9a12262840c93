"""Run FaST-LMM's null models and its scan: three tables ``golden/fastlmm_*.csv``.

    python reference/run_fastlmm.py [--write]

makes an environment for fastlmm 0.6.13, ``reference/.venv-fastlmm``, and needs lmm_teach with its extra ``data``, and
a minute. The null models, ``fastlmm_hs1940_cd8_null.csv`` and ``fastlmm_synth_null.csv``: `nLLeval` of ``LMM`` and of
``lmm_cov.LMM`` at seven h², `findH2` with 10 and with 100 grid points, and `find_log_delta`. The scan,
``fastlmm_hs1940_cd8_loco.csv``: `single_snp`, each chromosome tested with a kinship from all SNPs of the others, for
every 40th SNP. K, y and the SNPs analysed are those of ``tests/golden.py``.
"""

import logging
import math
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from programs import FASTLMM, HERE, Within, environment, inside, leave, save_or_check_all

SETS = {"fastlmm_hs1940_cd8_null": "hs_n1", "fastlmm_synth_null": "synth"}
LOCO = "fastlmm_hs1940_cd8_loco"
H2 = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
EVERY = 40

BRENT = "Brent's search finds a minimum that rounding flattens over some 1e-7 of h2"
NULL = {
    "h2": Within(BRENT, absolute=1e-6),
    "nLL": Within("rounding of the eigenvalues", absolute=1e-8),
    "sigma2": Within(BRENT, relative=2e-6),
    "beta0": Within("centred, it is 0 but for rounding; rounding of the mean of y", absolute=1e-8),
    "log_delta": Within(BRENT, absolute=5e-6),
    "lambda_vg_ve": Within(BRENT + "; λ = h2/(1 - h2) amplifies it at the last grid point", relative=5e-6),
}
SCAN = {
    "PValue": Within("h2 by Brent, 1e-6 in log10 p", relative=2.5e-6),
    "beta_allele": Within("h2 by Brent", absolute=1e-7),
    "se_allele": Within("h2 by Brent", relative=1e-7),
    "Nullh2": Within(BRENT, absolute=5e-7),
}


# ---- inside the environment ----


def number(value: Any) -> float:
    return float(np.asarray(value).item())


def row(kinship: str, form: str, api: str, reml: bool, h2: float, found: dict[str, Any]) -> dict[str, str]:
    log_delta = found.get("log_delta") if "find_log_delta" in api else None
    if log_delta is not None:  # the h2 beside it is 0 in REML (defect 16)
        h2 = 1 / (1 + math.exp(number(log_delta)))
    values = {"h2": h2, "nLL": found["nLL"], "sigma2": found.get("sigma2"), "beta0": found["beta"]}
    values |= {"log_delta": log_delta, "lambda_vg_ve": h2 / (1 - h2)}
    text = {key: "" if value is None else f"{number(value):.15g}" for key, value in values.items()}
    where = {"K": kinship, "form": form, "api": api, "REML": str(reml)}
    return where | text | {"program": f"fastlmm {version('fastlmm')}"}


def null_models(kinship: str, form: str, K: np.ndarray, y: np.ndarray) -> Iterator[dict[str, str]]:
    from fastlmm.inference.lmm import LMM

    model = LMM()
    model.setK(K.copy())
    model.setX(np.ones((len(y), 1)))
    model.sety(y)
    for reml in (True, False):
        for h2 in H2:
            yield row(kinship, form, "LMM.nLLeval", reml, h2, model.nLLeval(h2=h2, REML=reml))
        for api, options in (("findH2", {}), ("findH2(nGridH2=100)", {"nGridH2": 100})):
            found = model.findH2(REML=reml, **options)
            yield row(kinship, form, f"LMM.{api}", reml, number(found["h2"]), found)
        found = model.find_log_delta(1, REML=reml)
        yield row(kinship, form, "LMM.find_log_delta(1)", reml, math.nan, found)


def null_models_cov(kinship: str, K: np.ndarray, y: np.ndarray) -> Iterator[dict[str, str]]:
    """The same from ``lmm_cov``, which knows REML only, takes X out of K itself and returns neither σ² nor β."""
    from fastlmm.inference.lmm_cov import LMM

    model = LMM(X=np.ones((len(y), 1)), Y=y[:, None], K=K.copy())
    for h2 in H2:
        yield row(kinship, "raw", "lmm_cov.nLLeval", True, h2, model.nLLeval(h2=h2))
    found = model.findH2()
    yield row(kinship, "raw", "lmm_cov.findH2", True, number(found["h2"]), found)


def scan(counts: np.ndarray, chrom: np.ndarray, names: np.ndarray, y: np.ndarray) -> Iterator[dict[str, str]]:
    from fastlmm.association import single_snp
    from pysnptools.snpreader import SnpData

    iid = [["0", str(i)] for i in range(len(y))]
    snps = SnpData(iid=iid, sid=names, val=counts, pos=np.column_stack([chrom, chrom, np.arange(len(chrom))]))
    pheno = SnpData(iid=iid, sid=["CD8"], val=y[:, None])
    found = single_snp(test_snps=snps[:, ::EVERY], K0=snps, pheno=pheno, count_A1=True).set_index("SNP")
    for name, sd in zip(names[::EVERY], counts[:, ::EVERY].std(axis=0), strict=True):
        line = found.loc[name]
        # weights are those of the standardised SNP
        values = {"PValue": line.PValue, "beta_allele": line.SnpWeight / sd, "se_allele": line.SnpWeightSE / sd}
        text = {key: f"{value:.10g}" for key, value in (values | {"Nullh2": line.Nullh2}).items()}
        yield {"SNP": str(name), "Chr": f"{line.Chr:.0f}"} | text


def measure(folder: Path) -> None:
    logging.disable(logging.CRITICAL)
    rows: list[dict[str, str]] = []
    for table in SETS:
        arrays = np.load(folder / f"{table}.npz")
        found: list[dict[str, str]] = []
        for kinship in ("Kc", "Ks"):
            for form in ("raw", "centred"):
                found += null_models(kinship, form, arrays[f"{kinship}_{form}"], arrays["y"])
            found += null_models_cov(kinship, arrays[f"{kinship}_raw"], arrays["y"])
        rows += [{"table": table} | line for line in found]
    arrays = np.load(folder / f"{LOCO}.npz")
    found = list(scan(arrays["counts"].astype(float), arrays["chrom"].astype(float), arrays["names"], arrays["y"]))
    leave(folder, rows + [{"table": LOCO} | line for line in found])


# ---- outside ----


def prepare(folder: Path) -> None:
    """Write what FaST-LMM is given: K and y of the null models, and allele counts of the analysed SNPs."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from golden import genotypes, problem

    from lmm_teach import plink

    for table, name in SETS.items():
        kernels = {
            f"{kinship}_{form}": problem(name, kinship, centred=form == "centred").K
            for kinship in ("Kc", "Ks")
            for form in ("raw", "centred")
        }
        np.savez(folder / f"{table}.npz", **kernels, y=problem(name, "Kc").y)
    people, y = genotypes("hs_n1")
    used = plink.analysed(people.G, y, standardised=False)
    counts = people.G[np.ix_(used.individuals, used.snps)].astype(np.int8)
    chrom, names = people.chrom[used.snps].astype(int), people.snp[used.snps]
    np.savez(folder / f"{LOCO}.npz", counts=counts, chrom=chrom, names=names, y=used.y)


def main() -> None:
    if "--inside" in sys.argv:
        return measure(Path(sys.argv[-1]))
    python = environment("fastlmm", *FASTLMM)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        rows = inside(python, __file__, Path(name))
    tables: dict[str, list[dict[str, str]]] = {}
    for line in rows:
        tables.setdefault(line.pop("table"), []).append(line)
    return save_or_check_all(*((table, tables[table], SCAN if table == LOCO else NULL) for table in (*SETS, LOCO)))


if __name__ == "__main__":
    main()
