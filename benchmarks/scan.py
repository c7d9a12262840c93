"""Time the exact scan of HS1940 (CD8) beside its rotation, GEMMA, FaST-LMM and PyLMM; and its memory.

    python benchmarks/scan.py

uses the environment of null_model.py and makes a second one for PyLMM (which needs NumPy 1); GEMMA must be on the PATH
(Debian: apt install gemma). One BLAS thread, CPU seconds. The rotation and the scan take turns, pair by pair. FaST-LMM
and PyLMM refit 60 SNPs, from which their time for all is extrapolated. It writes ``results/scan.json`` and fails where
the programs disagree or a target is missed.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from importlib.metadata import version
from pathlib import Path

import null_model

HERE = Path(__file__).resolve().parent
PYLMM = HERE / ".venv-pylmm"
PAIRS, REFITTED, BLOCK = 11, 60, 512
# at most (rotation, memory) or at least (the others) so much, in the median
TARGETS = {"rotation": 1.25, "gemma": 8, "fastlmm_refit": 60, "pylmm_refit": 100, "fastlmm_loco": 2, "megabytes": 100}
PYLMM_RUN = """
import sys, time, numpy as np
from pylmm3.lmm import LMM
d = np.load(sys.argv[1])
model = LMM(d["y"][:, None], d["K"], Kva=d["S"], Kve=d["U"])
begun, found = time.process_time(), []
for x in d["snps"].T[:, :, None]:
    model.fit(X=x, REML=True)
    found.append(model.association(x, REML=True)[1].item())
print(time.process_time() - begun)
print(*found)
"""


def gemma(folder: Path, mice: Path) -> dict[str, float]:
    """Seconds that GEMMA reports for rotating and for testing; `-lmm 1` is its exact Wald test."""
    run = ["gemma", "-bfile", str(mice / "mouse_hs1940"), "-n", "1", "-outdir", str(folder)]
    found = []
    for repeat in range(4):
        kind = ["-gk", "1"] if repeat == 0 else ["-k", str(folder / "k.cXX.txt"), "-lmm", "1"]
        subprocess.run([*run, *kind, "-o", "k" if repeat == 0 else "scan"], check=True, capture_output=True)
        if repeat:
            log = (folder / "scan.log.txt").read_text()
            minutes = re.findall(r"time on (?:calculating UtX|optimization) = (\S+) min", log)
            found.append([60 * float(t) for t in minutes])
    rotate, test = (statistics.median(column) for column in zip(*found, strict=True))
    return {"UtX": rotate, "optimisation": test}


def measure() -> int:
    import tracemalloc

    import numpy as np
    from fastlmm.association import single_snp
    from fastlmm.inference.lmm import LMM as FastLMM
    from pysnptools.snpreader import SnpData

    import lmm_teach as lt
    from lmm_teach import data, plink

    mice = data.hs1940()
    people, phenotype = mice.genotypes(), mice.phenotypes()["CD8"]
    found = plink.analysed(people.G, phenotype, standardised=False)
    snps = people.G[np.ix_(found.individuals, found.snps)]
    chrom, y, n = people.chrom[found.snps], found.y, len(found.y)
    X, spec = np.ones((n, 1)), lt.decompose_kinship(found.K)
    s = snps.shape[1]
    results, faults = {}, []

    def rotation() -> None:
        for j in range(0, s, BLOCK):
            spec.U.T @ snps[:, j : j + BLOCK]

    variants = {"wald": {}, "lrt": {"test": "lrt"}, "single": {"single": True}}
    pairs = {name: [] for name in variants}
    for _ in range(PAIRS):
        for name, options in variants.items():
            plain = null_model.seconds(rotation, 1)
            pairs[name].append((null_model.seconds(lambda o=options: lt.scan(snps, X, y, spec, **o), 1), plain))
    for name, times in pairs.items():
        ratios = sorted(a / b for a, b in times)
        results[name] = {
            "scan_seconds": round(statistics.median(a for a, _ in times), 3),
            "rotation_seconds": round(statistics.median(b for _, b in times), 3),
            "ratio": {"min": round(ratios[0], 3), "median": round(statistics.median(ratios), 3),
                      "max": round(ratios[-1], 3)},
        }  # fmt: skip
    ours = results["wald"]["scan_seconds"]
    if results["wald"]["ratio"]["median"] > TARGETS["rotation"]:
        faults.append(f"the scan takes {results['wald']['ratio']['median']} times the rotation; the target is 1.25")
    tracemalloc.start()
    wald = lt.scan(snps, X, y, spec)
    results["peak_megabytes_beyond_inputs"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
    tracemalloc.stop()
    if results["peak_megabytes_beyond_inputs"] > TARGETS["megabytes"]:
        faults.append(f"the scan's peak is {results['peak_megabytes_beyond_inputs']} MB beyond its inputs")

    def compare(name: str, theirs: float, mine: float = ours) -> None:
        ratio = theirs / mine
        results[name] = {"seconds": round(theirs, 2), "lmm_teach_seconds": mine, "times_faster": round(ratio, 1)}
        if ratio < TARGETS[name]:
            faults.append(f"{name}: {ratio:.1f} times faster; the target is {TARGETS[name]}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.which("gemma"):
            parts = gemma(folder, mice.folder)
            compare("gemma", sum(parts.values()))
            results["gemma"] |= parts
        else:
            faults.append("gemma is not on the PATH, so it was not timed")
        some = np.linspace(0, s - 1, REFITTED).astype(int)
        theirs, h2 = FastLMM(), []
        theirs.setK(found.K.copy())
        theirs.sety(y)
        begun = time.process_time()
        for j in some:
            theirs.setX(np.column_stack([snps[:, j], np.ones(n)]))
            h2.append(float(theirs.findH2(nGridH2=10, REML=True)["h2"]))
        compare("fastlmm_refit", (time.process_time() - begun) * s / REFITTED)
        if np.abs(np.array(h2) - wald.h2[some]).max() > 1e-5:
            faults.append("fastlmm finds other optima")
        np.savez(folder / "some.npz", y=y, K=found.K, S=np.append(spec.S, 0.0),
                 U=np.column_stack([spec.U, np.full(n, n**-0.5)]), snps=snps[:, some])  # fmt: skip
        python = PYLMM / "bin" / "python"
        if not python.exists():
            venv.create(PYLMM, with_pip=True)
            install = [python, "-m", "pip", "install", "--quiet", "pylmm3==0.1.1", "numpy<2", "scipy<2"]
            subprocess.run(install, check=True)
        run = [python, "-W", "ignore", "-c", PYLMM_RUN, folder / "some.npz"]
        lines = subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()
        compare("pylmm_refit", float(lines[0]) * s / REFITTED)
        if np.abs(np.log10([float(p) for p in lines[1].split()]) - wald.log10_p[some]).max() > 1e-5:
            faults.append("pylmm finds other p-values")
    ids = np.array([[str(i), str(i)] for i in range(n)])
    where = np.column_stack([chrom.astype(float), np.zeros(s), people.position[found.snps]])
    test = SnpData(iid=ids, sid=people.snp[found.snps], val=snps.copy(), pos=where)
    begun = time.process_time()
    loco = lt.loco(snps, chrom, X, y)
    mine = time.process_time() - begun
    begun = time.process_time()
    single_snp(test, SnpData(iid=ids, sid=["y"], val=y[:, None].copy()), count_A1=True)
    compare("fastlmm_loco", time.process_time() - begun, round(mine, 2))
    record = {
        "data": {"set": "HS1940, CD8, centred kinship", "n": n, "d": 1, "snps": s},
        "what": "CPU seconds; fastlmm's and pylmm3's refits extrapolated from 60 SNPs; LOCO: only ours refits delta",
        "machine": {"processor": null_model.processor(), "cores": os.cpu_count(), "blas_threads": 1},
        "versions": {name: version(name) for name in null_model.PACKAGES} | {"pylmm3": "0.1.1", "gemma": "0.98.5"},
        "top_minus_log10_p": {k: round(-np.nanmin(r.log10_p), 3) for k, r in (("scan", wald), ("loco", loco))},
        "results": results,
        "faults": faults,
    }
    text = json.dumps(record, indent=2)
    (HERE / "results" / "scan.json").write_text(text + "\n")
    print(text)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(measure() if "--measure" in sys.argv[1:] else null_model.run_in_own_environment(Path(__file__)))
