"""Time the null model of HS1940 (CD8) beside FaST-LMM's: one evaluation, one whole fit, and the memory of ours.

    python benchmarks/null_model.py

makes an environment of its own, ``benchmarks/.venv`` (fastlmm and lmm_teach; kept for the next run), measures in it
with one BLAS thread, and writes ``results/null_model.json``. The two programs take turns, pair by pair, on the same
K, X and y after the decomposition, in CPU seconds, so that what else the machine does hits both. It fails when they
disagree on a result, when a target is missed, or when ours allocates anything like an n by n matrix.
"""

import os
import statistics
import subprocess
import tracemalloc
import venv
from collections.abc import Callable
from pathlib import Path

from common import cpu_seconds, keep, main, source

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
# pysnptools, which fastlmm imports, needs six without saying so
PEERS = ("fastlmm==0.6.13", "six==1.17.0")
H2 = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
PAIRS, GRID = 31, 100
TARGETS = {"evaluate": 1.0, "fit": 3.0}  # how many times faster, at least, the median pair must be


def environment() -> Path:
    """The Python of an environment that has FaST-LMM and this package."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--editable", f"{HERE.parent}[data]", *PEERS]
    subprocess.run(install, check=True)
    return python


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int, size: int = 1
) -> dict[str, object]:
    """Time both in turns, alternating who begins; a call does `size` things; ratio: how many times faster ours is."""
    pairs = []
    for pair in range(-1, PAIRS):  # the first one warms up
        order = (ours, theirs) if pair % 2 else (theirs, ours)
        took = {call: cpu_seconds(call, repeats) / size for call in order}
        pairs.append((took[ours], took[theirs]))
    ratios = sorted(b / a for a, b in pairs[1:])
    micro = [round(1e6 * statistics.median(column), 2) for column in zip(*pairs[1:], strict=True)]
    return {
        "lmm_teach_microseconds": micro[0],
        "fastlmm_microseconds": micro[1],
        "ratio": {
            "min": round(ratios[0], 2),
            "median": round(statistics.median(ratios), 2),
            "max": round(ratios[-1], 2),
        },
        "pairs": PAIRS,
        "calls_per_pair": repeats * size,
    }


def peak_bytes(call: Callable[[], object]) -> int:
    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure() -> int:
    import numpy as np
    from fastlmm.inference.lmm import LMM as FastLMM

    import lmm_teach as lt
    from lmm_teach import data, plink

    mice = data.hs1940()
    found = plink.analysed(mice.genotypes().G, mice.phenotypes()["CD8"], standardised=False)
    n = len(found.y)
    X = np.ones((n, 1))
    ours = lt.LMM(lt.decompose_kinship(found.K), X, found.y)
    theirs = FastLMM()
    theirs.setK(found.K.copy())
    theirs.setX(X)
    theirs.sety(found.y)

    results: dict[str, dict[str, object]] = {"evaluate": {}, "fit": {}, "memory_bytes": {"n_by_n": 8 * n * n}}
    faults = []
    for name, reml in (("REML", True), ("ML", False)):
        difference = max(
            abs(ours.evaluate(h2=h, reml=reml).nll - float(theirs.nLLeval(h2=h, REML=reml)["nLL"]))
            for h in H2
        )
        a, b = ours.fit(reml=reml), theirs.findH2(nGridH2=GRID, REML=reml)
        apart = abs(a.h2 - float(b["h2"])), a.nll - float(b["nLL"])
        if difference > 1e-9 or apart[0] > 1e-6 or abs(apart[1]) > 1e-9:
            faults.append(
                f"{name}: nLL differs by {difference:.1e} at fixed h2; at the optimum h2 by {apart[0]:.1e}, "
                f"nLL by {apart[1]:.1e}"
            )
        results["evaluate"][name] = compare(
            lambda r=reml: [ours.evaluate(h2=h, reml=r) for h in H2],
            lambda r=reml: [theirs.nLLeval(h2=h, REML=r) for h in H2],
            repeats=30,
            size=len(H2),
        ) | {"max_nll_difference": difference}
        results["fit"][name] = compare(
            lambda r=reml: ours.fit(reml=r), lambda r=reml: theirs.findH2(nGridH2=GRID, REML=r), 2
        )
        results["fit"][name] |= {
            "h2": a.h2,
            "nll": a.nll,
            "fastlmm_h2": float(b["h2"]),
            "nll_minus_fastlmm": apart[1],
        }
        for label, call in (
            ("evaluate", lambda r=reml: ours.evaluate(h2=0.5, reml=r)),
            ("fit", lambda r=reml: ours.fit(reml=r)),
        ):
            peak = peak_bytes(call)
            results["memory_bytes"][f"{label}_{name}"] = peak
            if peak > 8 * n * n / 4:
                faults.append(
                    f"{label} ({name}) allocates {peak} bytes at its peak; an n by n matrix has {8 * n * n}"
                )
        for label, target in TARGETS.items():
            median = results[label][name]["ratio"]["median"]
            if median < target:
                faults.append(
                    f"{label} ({name}) is {median} times faster than fastlmm's; the target is {target}"
                )
    record = {
        "data": {"set": "HS1940, CD8, centred kinship", "n": n, "d": 1, "snps": int(found.snps.sum())},
        "fastlmm_calls": {"evaluate": "LMM.nLLeval", "fit": f"LMM.findH2(nGridH2={GRID})"},
        **source("fastlmm"),
        "results": results,
        "faults": faults,
    }  # fmt: skip
    return keep("null_model", record)


if __name__ == "__main__":
    main(measure, environment)
