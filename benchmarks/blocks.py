"""Time scans in blocks: streamed from disk, on two Dask workers, by Cholesky and by eigenvectors; and the machine.

    python benchmarks/blocks.py

needs lmm_teach with its extras ``data`` and ``scale-out``, two cores that have nothing else to do, 2 GB of memory and
six minutes. One BLAS thread. Where cores work side by side (streaming, Dask) it measures wall-clock time, elsewhere
CPU seconds; what is compared takes turns. It writes ``results/blocks.json``, of which chapter 18 makes its model of
costs, and fails where two ways disagree or a target is missed.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from common import cpu_seconds, keep, main, source

N, SNPS, SOME = 2_000, 100_000, 20_000
PAIRS, DASK_PAIRS = 5, 3
TRAITS, TRAIT_N, TRAIT_SNPS = (1, 2, 5, 10, 20, 50), 1_500, 6_000
TARGETS = {"peak_megabytes": 500, "streaming": 0.85, "dask": 1.6}  # at most the first, at least the others
# One program that streams the whole file, and one that imports the same modules and does nothing
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
import lmm_teach as lt
from lmm_teach import plink
import bed_reader
done = {}
if sys.argv[2:]:
    with np.load(sys.argv[1] + ".npz") as d:
        spec, X, y = lt.Spectrum(d["U"], d["S"]), d["X"], d["y"]
    begun = time.perf_counter()
    found = lt.scan_blocks(plink.read_blocks(sys.argv[1]), X, y, spec)
    done = {"seconds": time.perf_counter() - begun, "snps": found.p.size, "tested": int(np.isfinite(found.p).sum())}
# getrusage counts the parent's memory before the program was loaded; Linux knows better
status = Path("/proc/self/status")
high = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
peak = int(high[0]) if high else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes
done["megabytes"] = peak * 1024 / 1e6
print(json.dumps(done))
"""


def wall(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def fastest(call: Callable[[], object], repeats: int, rounds: int = 5) -> float:
    """CPU seconds of one call, at best: rates are of the machine, not of what else it does."""
    call()
    return min(cpu_seconds(call, repeats) for _ in range(rounds))


def spread(ratios: list[float]) -> dict[str, float]:
    values = sorted(ratios)
    return {"min": round(values[0], 3), "median": round(statistics.median(values), 3), "max": round(values[-1], 3)}


def machine(faults: list[str]) -> dict[str, object]:
    """What the machine does per second, with the sizes of a scan."""
    import numpy as np
    from scipy.linalg import solve_triangular

    import lmm_teach as lt

    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(N, N)), np.asfortranarray(rng.normal(size=(N, 1024)))
    L = np.linalg.cholesky(A @ A.T / N + np.eye(N))
    x, big, out = A[0].copy(), rng.normal(size=40_000_000), np.empty(40_000_000)
    Z, V = rng.normal(size=(N, 1000)), rng.normal(size=(N, 25))
    A32, B32 = A.astype(np.float32), B.astype(np.float32)

    def rate(flops: float, call: Callable[[], object], repeats: int = 1) -> float:
        return round(flops / fastest(call, repeats) / 1e9, 2)

    rates = {
        "dot": rate(2 * N, lambda: x @ x, 20_000),
        "dot_beyond_cache": rate(2 * big.size, lambda: big @ big),
        "gemv": rate(2 * N * N, lambda: A @ x, 10),
        "gemm": rate(2 * N * N * 1024, lambda: A @ B),
        "gemm_float32": rate(2 * N * N * 1024, lambda: A32 @ B32),
        "gemm_skinny": rate(2 * 1000 * N * 25, lambda: Z.T @ V, 10),
        "trsm": rate(N * N * 1024, lambda: solve_triangular(L, B, lower=True, check_finite=False)),
    }
    widths = [2**i for i in range(11)]
    block = {b: rate(2 * N * N * b, lambda b=b: A @ B[:, :b], max(1, 16 // b)) for b in widths}
    K = A @ A.T / N
    eigh, cholesky = (fastest(lambda f=f: f(K), 1, 2) for f in (np.linalg.eigh, np.linalg.cholesky))
    spec = lt.decompose_kinship(K)
    X, y = np.ones((N, 1)), rng.normal(size=N) + A[0]
    snps = rng.integers(0, 3, size=(N, 8192)).astype(np.float32)
    each = {
        "rotation": fastest(lambda: [spec.U.T @ snps[:, j : j + 512] for j in range(0, 8192, 512)], 1, 3),
        "fixed": fastest(lambda: lt.scan(snps, X, y, spec, refit=False), 1, 3),
        "refit": fastest(lambda: lt.scan(snps, X, y, spec), 1, 3),
        "refit_single": fastest(lambda: lt.scan(snps, X, y, spec, single=True), 1, 3),
    }
    return {
        "gflops": rates,
        "gflops_by_block": block,
        "copy_gigabytes_per_second": round(2 * big.nbytes / fastest(lambda: np.copyto(out, big), 1) / 1e9, 2),
        "decomposition": {
            "n": N, "eigh_seconds": round(eigh, 3), "cholesky_seconds": round(cholesky, 4),
            "eigh_in_gemm_n3": round(eigh * rates["gemm"] * 1e9 / N**3, 2),
            "cholesky_in_gemm_n3": round(cholesky * rates["gemm"] * 1e9 / N**3, 3),
        },
        "microseconds_per_snp": {name: round(1e6 * t / 8192, 2) for name, t in each.items()},
    }  # fmt: skip


def traits(faults: list[str]) -> dict[str, object]:
    """CPU seconds for t traits with a δ each: a Cholesky factor for each trait, or one set of eigenvectors."""
    import numpy as np
    from scipy.linalg import solve_triangular

    n, s = TRAIT_N, TRAIT_SNPS
    rng = np.random.default_rng(2)
    G = rng.normal(size=(n, n)) / np.sqrt(n)
    K, X = G @ G.T, np.column_stack([np.ones(n), rng.normal(size=n)])
    snps = np.asfortranarray(rng.integers(0, 3, size=(n, s)).astype(float))
    Y, deltas = rng.normal(size=(n, max(TRAITS))), np.exp(rng.normal(size=max(TRAITS)))

    def statistics_of(turned: np.ndarray, squares: np.ndarray, data: np.ndarray, w: np.ndarray) -> np.ndarray:
        """xᵀPy / xᵀPx: every column is of a rotated or a solved matrix, w the weight of each coordinate."""
        C, c = data[:, :-1].T @ (w[:, None] * data), (w[:, None] * data).T @ turned
        E = np.linalg.solve(C[:, :-1], c[:-1])
        return (c[-1] - C[:, -1] @ E) / (w @ squares - (c[:-1] * E).sum(axis=0))

    def by_cholesky(t: int) -> np.ndarray:
        found = []
        for j in range(t):
            L = np.linalg.cholesky(K + deltas[j] * np.eye(n))
            solve = lambda A, L=L: solve_triangular(L, A, lower=True, check_finite=False)  # noqa: E731
            turned = solve(snps)
            found.append(statistics_of(turned, turned**2, solve(np.column_stack([X, Y[:, j]])), np.ones(n)))
        return np.array(found)

    def by_eigenvectors(t: int) -> np.ndarray:
        S, U = np.linalg.eigh(K)
        turned, data = U.T @ snps, U.T @ np.column_stack([X, Y[:, :t]])
        squares = turned**2
        return np.array([
            statistics_of(turned, squares, data[:, [0, 1, 2 + j]], 1 / (S + deltas[j])) for j in range(t)
        ])  # fmt: skip

    gap = np.abs(by_cholesky(3) - by_eigenvectors(3)).max()
    if gap > 1e-9:
        faults.append(f"Cholesky and eigenvectors differ by {gap:.1e}")
    took = {"cholesky": [], "eigen": []}
    for t in TRAITS:
        rounds = 2 if t < 20 else 1
        took["cholesky"].append(round(min(cpu_seconds(lambda t=t: by_cholesky(t), 1) for _ in range(rounds)), 3))
        took["eigen"].append(round(min(cpu_seconds(lambda t=t: by_eigenvectors(t), 1) for _ in range(rounds)), 3))
    # straight lines through the first and the last point: where they cross
    (a0, a1), (b0, b1) = (np.polyfit(TRAITS, took[name], 1)[::-1] for name in ("cholesky", "eigen"))
    return {"n": n, "snps": s, "t": list(TRAITS)} | {f"{k}_seconds": v for k, v in took.items()} | {
        "crossover": round((b0 - a0) / (a1 - b1), 2), "max_difference": float(f"{gap:.1e}")
    }  # fmt: skip


def write_file(prefix: Path) -> None:
    """A PLINK file of random SNPs, two bits per genotype, and the spectrum, X and y that they are tested with."""
    import numpy as np

    import lmm_teach as lt

    rng = np.random.default_rng(3)
    code = np.array([3, 2, 0], dtype=np.uint8)  # two bits for 0, 1 and 2 copies
    with prefix.with_suffix(".bed").open("wb") as file:
        file.write(b"\x6c\x1b\x01")
        for _ in range(0, SNPS, 1000):
            most = rng.integers(13, 128, size=(1000, 1), dtype=np.uint8)  # allele frequencies from 5 % to 50 %
            G = (rng.bytes(1000 * N), rng.bytes(1000 * N))
            G = sum((np.frombuffer(g, dtype=np.uint8).reshape(1000, N) < most).astype(np.uint8) for g in G)
            quads = code[G].reshape(1000, N // 4, 4)
            file.write((quads << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(axis=2, dtype=np.uint8).tobytes())
    prefix.with_suffix(".bim").write_text("".join(f"1\trs{j}\t0\t{j + 1}\tA\tG\n" for j in range(SNPS)))
    prefix.with_suffix(".fam").write_text("".join(f"f i{i} 0 0 0 -9\n" for i in range(N)))
    Z = lt.standardize(next(lt.plink.read_blocks(prefix, size=3000)).astype(float)) / np.sqrt(3000)
    spec = lt.decompose_snps(Z)
    y = Z @ rng.normal(size=3000) + rng.normal(size=N)
    np.savez(prefix.with_suffix(".npz"), U=spec.U, S=spec.S, X=np.ones((N, 1)), y=y)


def streaming(prefix: Path, faults: list[str]) -> dict[str, object]:
    """From disk against from memory, in turns; and a program of its own for the whole file, for its memory."""
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import plink

    runs = [json.loads(subprocess.run([sys.executable, "-c", PROGRAM, str(prefix), *more], check=True,
                                      capture_output=True, text=True).stdout) for more in ([], ["scan"])]  # fmt: skip
    with np.load(prefix.with_suffix(".npz")) as d:
        spec, X, y = lt.Spectrum(d["U"], d["S"]), d["X"], d["y"]
    some = np.arange(SOME)
    snps = np.hstack(list(plink.read_blocks(prefix, snps=some)))
    calls = {
        "read": lambda blocks: sum(block.shape[1] for block in blocks),
        "memory": lambda _: lt.scan(snps, X, y, spec),
        "disk": lambda blocks: lt.scan_blocks(blocks, X, y, spec),
    }

    def blocks() -> Iterator[np.ndarray]:
        return plink.read_blocks(prefix, snps=some)  # checks the whole .bim file, which is not timed

    if np.abs(calls["memory"](blocks()).log10_p - calls["disk"](blocks()).log10_p).max() > 1e-8:
        faults.append("the scan from disk finds other p-values")
    turns, cpu = [], []
    for turn in range(PAIRS):
        names = list(calls)[:: 1 if turn % 2 else -1]
        before = time.process_time()
        turns.append({name: wall(partial(calls[name], blocks())) for name in names})
        cpu.append(time.process_time() - before)
    took = {name: statistics.median(turn[name] for turn in turns) for name in calls}
    found = {
        "file_megabytes": round(prefix.with_suffix(".bed").stat().st_size / 1e6, 1),
        "float64_megabytes": 8 * N * SNPS / 1e6,
        "snps": runs[1]["snps"],
        "seconds": round(runs[1]["seconds"], 2),
        "peak_megabytes": round(runs[1]["megabytes"], 1),
        "imports_megabytes": round(runs[0]["megabytes"], 1),
        "million_genotypes_read_per_second": round(N * SOME / took["read"] / 1e6, 1),
        "some_seconds": {name: round(t, 3) for name, t in took.items()},
        "rate_over_memory": spread([turn["memory"] / turn["disk"] for turn in turns]),
        "cpu_over_wall": round(sum(cpu) / sum(sum(turn.values()) for turn in turns), 2),
    }
    if runs[1]["tested"] != SNPS:
        faults.append(f"{SNPS - runs[1]['tested']} SNPs were not tested")
    if found["peak_megabytes"] > TARGETS["peak_megabytes"]:
        faults.append(f"streaming takes {found['peak_megabytes']} MB; the target is {TARGETS['peak_megabytes']}")
    if found["rate_over_memory"]["median"] < TARGETS["streaming"]:
        faults.append(f"from disk {found['rate_over_memory']['median']} of the rate from memory; the target is 0.85")
    return found


def workers(prefix: Path, faults: list[str]) -> dict[str, object]:
    """Two Dask workers against one, in turns; blocks that each reads for itself, or that are sent to it."""
    import numpy as np
    from distributed import Client, LocalCluster

    import lmm_teach as lt
    from lmm_teach import plink

    with np.load(prefix.with_suffix(".npz")) as d:
        spec, X, y = lt.Spectrum(d["U"], d["S"]), d["X"], d["y"]
    options = {"threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        LocalCluster(n_workers=1, **options) as c1, LocalCluster(n_workers=2, **options) as c2,
        Client(c1) as one, Client(c2) as two,
    ):  # fmt: skip

        def run(client: Client, count: int, unread: bool) -> object:
            blocks = plink.read_blocks(prefix, snps=np.arange(count), unread=unread)
            return lt.scan_blocks(blocks, X, y, spec, client.get_executor(pure=False), in_flight=8)

        results = [run(client, 5_000, unread).log10_p for client in (one, two) for unread in (True, False)]  # warms up
        if not all(np.array_equal(result, results[0]) for result in results):
            faults.append("one Dask worker and two, or blocks sent and blocks read by the worker, give other p-values")
        turns: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for turn in range(DASK_PAIRS):
            for unread, pairs in turns.items():
                order = (one, two) if turn % 2 else (two, one)
                took = {client: wall(lambda c=client, u=unread: run(c, SNPS, u)) for client in order}
                pairs.append((took[one], took[two]))
    found: dict[str, object] = {"snps": SNPS}
    for unread, pairs in turns.items():
        first, second = (round(statistics.median(column), 2) for column in zip(*pairs, strict=True))
        ratio = spread([a / b for a, b in pairs])
        found["unread" if unread else "sent"] = {"one_seconds": first, "two_seconds": second, "speed_up": ratio}
        if unread and ratio["median"] < TARGETS["dask"]:
            faults.append(f"two Dask workers are {ratio['median']} times as fast as one; the target is 1.6")
    return found


def measure() -> int:
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        prefix = Path(name) / "snps"
        write_file(prefix)
        results = {
            "streaming": streaming(prefix, faults),
            "dask": workers(prefix, faults),
            "machine": machine(faults),
            "traits": traits(faults),
        }
    record = {
        "data": {"set": "random SNPs, none missing; kinship of the first 3,000", "n": N, "d": 1, "snps": SNPS},
        "what": "one BLAS thread; wall-clock time for streaming and dask, CPU seconds for the rest",
        **source("bed-reader", "dask", "distributed"),
        "targets": TARGETS,
        "results": results,
        "faults": faults,
    }
    return keep("blocks", record)


if __name__ == "__main__":
    main(measure)
