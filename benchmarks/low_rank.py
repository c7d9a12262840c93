"""Time the low-rank path, 200 SNPs and more and more individuals: time and memory must grow like n, not faster.

    python benchmarks/low_rank.py

measures, with one BLAS thread and in CPU seconds, the decomposition (once), and the constructor of `LMM` and one
evaluation (medians; the sizes take turns, so that what else the machine does hits all), and writes
``results/low_rank.json``. It fails when constructor and evaluation together take more time than n to the power 1.1,
when an evaluation takes longer for more individuals, when anything like an n by n matrix is allocated, or when the
likelihood differs from the one that Woodbury's identity gives without eigenvectors.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable

from common import cpu_seconds, keep, main, source

SIZES, SNPS, COVARIATES, ROUNDS = (2_000, 5_000, 10_000, 20_000, 50_000, 100_000), 200, 3, 7
TARGETS = {"exponent": 1.1, "evaluate_growth": 3.0}  # at most; the second is for 50 times as many individuals
MEMORY = {"decompose": 5.0, "construct": 0.5, "evaluate": 0.01}  # peaks, at most, in arrays of n by 200 numbers


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure() -> int:
    import numpy as np

    import lmm_teach as lt

    def problem(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return G (n, 200), X (n, 3) and y (n,), of which the SNPs explain half."""
        rng = np.random.default_rng(n)
        G = lt.standardize(rng.normal(size=(n, SNPS))) / np.sqrt(SNPS)
        X = np.column_stack([np.ones(n), rng.normal(size=(n, COVARIATES - 1))])
        return G, X, G @ rng.normal(size=SNPS) + rng.normal(size=n)

    def by_woodbury(G: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
        """REML's nLL at δ = 1 from the s by s matrix GᵀG + I."""
        A, (n, d) = np.column_stack([X, y]), X.shape
        small, across = G.T @ G + np.eye(SNPS), G.T @ A
        T = A.T @ A - across.T @ np.linalg.solve(small, across)
        q = T[d, d] - T[d, :d] @ np.linalg.solve(T[:d, :d], T[:d, d])
        logdet = sum(sign * np.linalg.slogdet(B)[1] for sign, B in ((1, small), (1, T[:d, :d]), (-1, X.T @ X)))
        return 0.5 * (logdet + (n - d) * (np.log(2 * np.pi * q / (n - d)) + 1))

    faults, problems, memory = [], {}, {}
    took = {n: {"decompose": [], "construct": [], "evaluate": []} for n in SIZES}
    for n in SIZES:
        G, X, y = problem(n)
        begun = time.process_time()
        spec = lt.decompose_snps(G)
        took[n]["decompose"].append(time.process_time() - begun)
        m = lt.LMM(spec, X, y)
        gap = abs(m.evaluate(delta=1.0, reml=True).nll - by_woodbury(G, X, y))
        if gap > 1e-10 * n:
            faults.append(f"n = {n}: nLL differs by {gap:.1e} from Woodbury's")
        problems[n], memory[n] = (spec, X, y), {"genotypes": G.nbytes, "n_by_n": 8 * n * n}
        for name, call in (
            ("decompose", lambda G=G: lt.decompose_snps(G)),
            ("construct", lambda n=n: lt.LMM(*problems[n])),
            ("evaluate", lambda m=m: m.evaluate(h2=0.5, reml=True)),
        ):
            memory[n][name] = peak_bytes(call)
            if memory[n][name] > MEMORY[name] * G.nbytes:
                faults.append(f"n = {n}: {name} allocates {memory[n][name]} bytes at its peak")

    for turn in range(-1, ROUNDS):  # the first one warms up
        for n in SIZES[:: 1 if turn % 2 else -1]:
            m = lt.LMM(*problems[n])
            once = cpu_seconds(lambda n=n: lt.LMM(*problems[n]), max(1, 20_000 // n))
            again = cpu_seconds(lambda m=m: m.evaluate(h2=0.5, reml=True), 200)
            if turn >= 0:
                took[n]["construct"].append(once)
                took[n]["evaluate"].append(again)
    medians = {n: {name: statistics.median(times) for name, times in row.items()} for n, row in took.items()}
    total = [medians[n]["construct"] + medians[n]["evaluate"] for n in SIZES]
    found = {
        "exponent": float(np.polyfit(np.log(SIZES), np.log(total), 1)[0]),  # b in a n^b, by least squares in logs
        "evaluate_growth": medians[SIZES[-1]]["evaluate"] / medians[SIZES[0]]["evaluate"],
    }
    faults += [f"{name} is {found[name]:.2f}; at most {most}" for name, most in TARGETS.items() if found[name] > most]
    record = {
        "data": {"set": "standard normal SNPs, standardised", "snps": SNPS, "d": COVARIATES},
        **source(),
        "results": {name: round(value, 3) for name, value in found.items()} | {
            "milliseconds": {n: {name: round(1e3 * t, 4) for name, t in row.items()} for n, row in medians.items()},
            "peak_memory_bytes": memory,
        },
        "targets": TARGETS,
        "rounds": ROUNDS,
        "faults": faults,
    }  # fmt: skip
    return keep("low_rank", record)


if __name__ == "__main__":
    main(measure)
