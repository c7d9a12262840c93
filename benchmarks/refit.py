"""Repeat the timing experiment of the post of 10 March 2015: h² fitted anew for each SNP of synth by three programs.

    python benchmarks/refit.py

uses the environments of null_model.py and reference/run_pylmm.py. 500 individuals, K from all 5,000 SNPs; X is the
intercept and one SNP, every 20th of the 4,000 that are not on chromosome 1; REML. The programs take turns, SNP by
SNP, in CPU seconds with one BLAS thread, three rounds, of which the fastest counts. In passes of their own the calls
of the likelihood are counted: as the programs are, and with Brent's tolerance at 1e-6 instead of its 1.48e-8; for
ours, the points at which slope or likelihood is evaluated. It writes ``results/refit.json``, and fails where the
programs disagree by more than the post allows, 1e-5.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common import RESULTS, cpu_seconds, main, source
from null_model import environment

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "reference"))
import programs  # noqa: E402
import run_pylmm  # noqa: E402

STEP, ROUNDS, LOOSE = 20, 3, 1e-6
PYLMM_RUN = """
import json, sys, time, warnings, numpy as np, scipy
from functools import partial
from pylmm3 import lmm
warnings.simplefilter("ignore")
d = np.load(sys.argv[1])
model, plain, brent, calls = lmm.LMM(d["y"], d["K"]), lmm.LMM.LL, scipy.optimize.brent, 0
def counted(*args, **kwargs):
    global calls
    calls += 1
    return plain(*args, **kwargs)
for line in sys.stdin:
    kind, j = line.split()
    x = d["snps"][:, [int(j)]]
    lmm.LMM.LL = plain if kind == "time" else counted
    scipy.optimize.brent = partial(brent, tol=float(sys.argv[2])) if kind == "loose" else brent
    calls, begun = 0, time.process_time()
    if kind == "once":
        model.LL(0.6, X=x, REML=True)
    else:
        h = float(model.fit(X=x, REML=True)[0])
    print(json.dumps([time.process_time() - begun, calls, h if kind != "once" else 0.6]), flush=True)
"""


class PyLMM:
    """PyLMM in a process of its own: it fits the SNP it is told to, and answers (seconds, calls, h²)."""

    def __init__(self, folder: Path) -> None:
        python = programs.environment("pylmm3", *run_pylmm.PINS)
        command = [python, "-c", PYLMM_RUN, folder / "data.npz", str(LOOSE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, kind: str, j: int) -> tuple[float, int, float]:
        assert self.process.stdin and self.process.stdout
        print(kind, j, file=self.process.stdin, flush=True)
        seconds, calls, h2 = json.loads(self.process.stdout.readline())
        return seconds, calls, h2


def fastlmm(K: Any, y: Any, snps: Any, points: int) -> Callable[[str, int], tuple[float, int, float]]:
    """FaST-LMM with that many intervals in its grid, to be asked as `PyLMM` is."""
    import numpy as np
    import scipy.optimize
    from fastlmm.inference.lmm import LMM

    model, plain, brent = LMM(), LMM.nLLeval, scipy.optimize.brent
    model.setK(K.copy())
    model.sety(y)
    count = [0]

    def counted(*args: Any, **options: Any) -> Any:
        count[0] += 1
        return plain(*args, **options)

    def ask(kind: str, j: int) -> tuple[float, int, float]:
        X = np.column_stack([snps[:, j], np.ones(len(y))])  # the post leaves this out of the time, too
        LMM.nLLeval = plain if kind in ("time", "once") else counted
        scipy.optimize.brent = partial(brent, tol=LOOSE) if kind == "loose" else brent
        count[0], begun = 0, time.process_time()
        model.setX(X)
        found = model.nLLeval(h2=0.6, REML=True) if kind == "once" else model.findH2(nGridH2=points, REML=True)
        result = time.process_time() - begun, count[0], float(found["h2"])
        LMM.nLLeval, scipy.optimize.brent = plain, brent
        return result

    return ask


def lmm_teach(spec: Any, y: Any, snps: Any) -> Callable[[str, int], tuple[float, int, float]]:
    """Ours, rotation included; counted are the points at which slope or likelihood is evaluated, in a few calls."""
    import numpy as np

    import lmm_teach as lt

    class Counted(lt.LMM):
        count = 0

        def derivatives(self, log_delta: Any, *, reml: bool) -> Any:
            self.count += len(log_delta)
            return super().derivatives(log_delta, reml=reml)

        def evaluate(self, **options: Any) -> Any:
            self.count += 1
            return super().evaluate(**options)

    def ask(kind: str, j: int) -> tuple[float, int, float]:
        X = np.column_stack([np.ones(len(y)), snps[:, j]])
        begun = time.process_time()
        model = (lt.LMM if kind in ("time", "once") else Counted)(spec, X, y)
        found = model.evaluate(h2=0.6, reml=True) if kind == "once" else model.fit(reml=True)
        return time.process_time() - begun, getattr(model, "count", 0), found.h2

    return ask


def measure() -> int:
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import data

    people, y = data.synth()
    Z = lt.standardize(people.G)
    K, others = lt.kinship(Z), Z[:, people.chrom != "1"]
    snps = others[:, ::STEP]
    spec = lt.decompose_kinship(K)
    chosen = range(snps.shape[1])
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "data.npz", K=K, y=y, snps=snps)
        pylmm = PyLMM(Path(name))
        programs = {
            "fastlmm_10": fastlmm(K, y, snps, 10),
            "fastlmm_100": fastlmm(K, y, snps, 100),
            "pylmm3": pylmm,
            "lmm_teach": lmm_teach(spec, y, snps),
        }
        h2 = {}
        for program, ask in programs.items():
            counts, loose = ([ask(kind, j) for j in chosen] for kind in ("count", "loose"))
            h2[program] = np.array([row[2] for row in counts])
            results[program] = {"calls": [row[1] for row in counts], "calls_loose": [row[1] for row in loose]}
            results[program]["loose_h2_apart"] = float(f"{np.abs(h2[program] - [row[2] for row in loose]).max():.1e}")
        for kind in ("once", "time"):
            times = {program: np.full((ROUNDS, len(chosen)), np.nan) for program in programs}
            for turn in range(ROUNDS):
                for j in chosen:
                    for program in list(programs)[:: 1 if (turn + j) % 2 else -1]:
                        times[program][turn, j] = programs[program](kind, j)[0]
            for program, seconds in times.items():
                micro = np.round(1e6 * seconds.min(axis=0)).astype(int).tolist()
                once = {"one_call": statistics.median(micro)}
                results[program] |= {"microseconds": micro} if kind == "time" else once
        assert pylmm.process.stdin
        pylmm.process.stdin.close()
        pylmm.process.wait()
    for result in results.values():
        calls, micro = (np.array(result[key], dtype=float) for key in ("calls", "microseconds"))
        result["quantiles"] = np.quantile(micro, [0, 0.25, 0.5, 0.75, 1]).round().astype(int).tolist()
        # how much of the spread of times over SNPs is due to the number of calls; none if all calls are alike
        result["correlation"] = round(float(np.corrcoef(calls, micro)[0, 1]), 3) if np.ptp(calls) else None
    scan = cpu_seconds(lambda: lt.scan(others, np.ones((500, 1)), y, spec), 3) / others.shape[1]
    apart = {program: float(f"{np.abs(h2[program] - h2['lmm_teach']).max():.1e}") for program in h2}
    faults = [f"{program} finds h2 apart by {value}" for program, value in apart.items() if value > 1e-5]
    where = source("fastlmm")
    record = {
        "data": {"set": "synth, K of 5,000 SNPs, SNPs off chromosome 1", "n": 500, "d": 2, "snps": len(chosen)},
        "what": "microseconds per SNP, the rotation of X included; one_call: the same with one evaluation at h2 = 0.6",
        "machine": where["machine"],
        "versions": where["versions"] | {"pylmm3": "0.1.1"},
        "scan_microseconds_per_snp": round(1e6 * scan, 1),
        "h2": [round(float(v), 6) for v in h2["lmm_teach"]],
        "h2_apart": apart,
        "results": results,
        "faults": faults,
    }
    text = json.dumps(record)
    (RESULTS / "refit.json").write_text(text.replace(', "', ',\n"') + "\n")
    for program, result in results.items():
        calls = result["calls"]
        print(program, "calls", min(calls), "to", max(calls), result["quantiles"], result["correlation"])
    print("\n".join(faults) or f"{len(chosen)} SNPs, no faults; a scan takes {1e6 * scan:.0f} microseconds per SNP")
    return 1 if faults else 0


if __name__ == "__main__":
    main(measure, environment)
