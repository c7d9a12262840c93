"""Time the scan beside the bare rotation of the genotypes and beside the other programs, and its memory.

    python benchmarks/scan.py [set ...]

runs on HS1940 (CD8), synth and two simulated cohorts, or on those named. It uses the environment of null_model.py and
that of reference/run_pylmm.py (PyLMM needs NumPy 1), and Debian's gemma and bolt-lmm. One BLAS thread, CPU seconds. A
program and ours take turns, and each turn gives a ratio, how many times as long the other one takes; its spread is
reported. FaST-LMM and PyLMM refit a part of the SNPs, from which their time for all is extrapolated. It writes
``results/scan.json`` and fails where the programs disagree or a target is missed.
"""

import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import keep, main, source
from null_model import environment

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "reference"))
import programs  # noqa: E402
import run_bolt  # noqa: E402
import run_gemma  # noqa: E402
import run_pylmm  # noqa: E402

PAIRS, TURNS, REFITTED, BLOCK = 11, 5, 40, 512
SETS = {"hs1940": None, "synth": None, "simulated 1000": 1000, "simulated 2000": 2000}
# On HS1940: at most (rotation, memory), or at least (the others), so much in the median
TARGETS = {"rotation": 1.25, "gemma": 8, "fastlmm_refit": 60, "pylmm_refit": 100, "fastlmm_loco": 2, "megabytes": 100}
PYLMM_RUN = """
import sys, time, numpy as np
from pylmm3.lmm import LMM
d = np.load(sys.argv[1])
model = LMM(d["y"][:, None], d["K"], Kva=d["S"].copy(), Kve=d["U"])
model.fit(REML=True)
begun, found = time.process_time(), []
for x in d["snps"].T[:, :, None]:
    if sys.argv[2] == "refit":
        model.fit(X=x, REML=True)
    found.append(model.association(x, REML=True)[1].item())
print(time.process_time() - begun)
print(*found)
"""


def spread(ratios: list[float]) -> dict[str, float]:
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return {"min": round(low, 3), "median": round(middle, 3), "max": round(high, 3)}


def children(call: Callable[[], object]) -> float:
    """CPU seconds of the programs that a call starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Peers:
    """One data set, and for each program a function that returns the CPU seconds of a run and its -log10 p.

    The files of PLINK that GEMMA and BOLT read are in `folder`, named `prefix`.
    """

    def __init__(self, snps, K, y, chrom, folder: Path, prefix: str) -> None:  # type: ignore[no-untyped-def]
        import numpy as np

        import lmm_teach as lt

        self.snps, self.K, self.y, self.chrom, self.folder, self.prefix = snps, K, y, chrom, folder, prefix
        self.n, self.s = snps.shape
        self.X, self.spec = np.ones((self.n, 1)), lt.decompose_kinship(K)
        self.some = np.linspace(0, self.s - 1, min(REFITTED, self.s)).astype(int)
        null = np.full((self.n, self.n - self.spec.k), self.n**-0.5)
        np.savez(folder / "some.npz", y=y, K=K, S=np.append(self.spec.S, np.zeros(self.n - self.spec.k)),
                 U=np.column_stack([self.spec.U, null]), snps=snps[:, self.some])  # fmt: skip
        self.gemma_K = ""

    def timed(self, call: Callable[[], object]) -> tuple[float, object]:
        begun = time.process_time()
        result = call()
        return time.process_time() - begun, result

    def rotation(self) -> float:
        def rotate() -> None:
            for j in range(0, self.s, BLOCK):
                self.spec.U.T @ self.snps[:, j : j + BLOCK]

        return self.timed(rotate)[0]

    def ours(self, **options):  # type: ignore[no-untyped-def]
        import lmm_teach as lt

        seconds, r = self.timed(lambda: lt.scan(self.snps, self.X, self.y, self.spec, **options))
        return seconds, -r.log10_p

    def gemma(self):  # type: ignore[no-untyped-def]
        """What GEMMA's own log gives for rotating and testing; ``-lmm 1`` is its exact Wald test."""
        import numpy as np

        run = ["gemma", "-bfile", self.prefix, "-n", "1", "-outdir", "."]
        if not self.gemma_K:
            subprocess.run([*run, "-gk", "1", "-o", "k"], cwd=self.folder, check=True, capture_output=True)
            self.gemma_K = "k.cXX.txt"
        command = [*run, "-k", self.gemma_K, "-lmm", "1", "-o", "scan"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        log = (self.folder / "scan.log.txt").read_text()
        minutes = re.findall(r"time on (?:calculating UtX|optimization) = (\S+) min", log)
        p = np.genfromtxt(self.folder / "scan.assoc.txt", names=True, delimiter="\t", dtype=None, encoding=None)
        return 60 * sum(map(float, minutes)), -np.log10(p["p_wald"])

    def fastlmm_refit(self):  # type: ignore[no-untyped-def]
        import numpy as np
        from fastlmm.inference.lmm import LMM as FastLMM

        theirs = FastLMM()
        theirs.setK(self.K.copy())
        theirs.sety(self.y)
        begun, h2 = time.process_time(), []
        for j in self.some:
            theirs.setX(np.column_stack([self.snps[:, j], np.ones(self.n)]))
            h2.append(float(theirs.findH2(nGridH2=10, REML=True)["h2"]))
        return (time.process_time() - begun) * self.s / len(self.some), np.array(h2)

    def fastlmm_fixed(self):  # type: ignore[no-untyped-def]
        """FaST-LMM's `single_snp` with the kinship given: decomposition and null fit are counted, too."""
        import numpy as np
        from fastlmm.association import single_snp
        from pysnptools.kernelreader import KernelData

        test, trait, ids = self.snp_data()
        K = KernelData(iid=ids, val=self.K.copy())
        seconds, table = self.timed(lambda: single_snp(test, trait, K0=K, leave_out_one_chrom=False, count_A1=True))
        return seconds, -np.log10(table.set_index("SNP").loc[test.sid, "PValue"].to_numpy())

    def fastlmm_loco(self):  # type: ignore[no-untyped-def]
        import numpy as np
        from fastlmm.association import single_snp

        test, trait, _ = self.snp_data()
        seconds, table = self.timed(lambda: single_snp(test, trait, count_A1=True))
        return seconds, -np.log10(table.set_index("SNP").loc[test.sid, "PValue"].to_numpy())

    def snp_data(self):  # type: ignore[no-untyped-def]
        import numpy as np
        from pysnptools.snpreader import SnpData

        ids = np.array([[str(i), str(i)] for i in range(self.n)])
        where = np.column_stack([self.chrom.astype(float), np.zeros(self.s), np.arange(self.s)])
        names = np.array([f"s{j}" for j in range(self.s)])
        test = SnpData(iid=ids, sid=names, val=self.snps.copy(), pos=where)
        return test, SnpData(iid=ids, sid=["y"], val=self.y[:, None].copy()), ids

    def pylmm(self, mode: str):  # type: ignore[no-untyped-def]
        import numpy as np

        python = programs.environment("pylmm3", *run_pylmm.PINS)
        lines = programs.call(python, "-W", "ignore", "-c", PYLMM_RUN, self.folder / "some.npz", mode).splitlines()
        return float(lines[0]) * self.s / len(self.some), -np.log10([float(p) for p in lines[1].split()])

    def bolt(self):  # type: ignore[no-untyped-def]
        """BOLT-LMM-inf with its own estimate of h2; all CPU seconds of the program."""
        command = [*run_bolt.COMMAND, "--phenoCol=CD8", "--statsFile=CD8.txt"]
        return children(lambda: programs.call(*command, cwd=self.folder)), None


def prepare(name: str, folder: Path) -> Peers:
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import data, plink

    if name == "hs1940":
        mice = data.hs1940()
        people, y = mice.genotypes(), mice.phenotypes()["CD8"]
        for end in ("bed", "bim", "fam"):
            shutil.copy(mice.folder / f"mouse_hs1940.{end}", folder)
        run_bolt.prepare(folder)
        prefix = "mouse_hs1940"
    elif name == "synth":
        people, y = data.synth()
        run_gemma.unpack_synth(folder)
        prefix = "all"
    else:
        from bed_reader import to_bed

        n = SETS[name]
        people = lt.simulate.cohort(n, 5000, seed=n, siblings=2, h2=0.5, ld=0.5)
        y, prefix = people.y, "simulated"
        table = {"chromosome": people.chrom.astype(str), "bp_position": people.position,
                 "sid": [f"s{j}" for j in range(5000)], "iid": [f"i{i}" for i in range(n)],
                 "allele_1": ["A"] * 5000, "allele_2": ["C"] * 5000}  # fmt: skip
        to_bed(folder / "simulated.bed", people.G, properties=table, count_A1=True)
        lines = [f"f{i} i{i} 0 0 1 {value!r}\n" for i, value in enumerate(y.tolist())]
        (folder / "simulated.fam").write_text("".join(lines))
    found = plink.analysed(people.G, y, standardised=False)
    snps = np.asarray(people.G[np.ix_(found.individuals, found.snps)])
    return Peers(snps, found.K, found.y, people.chrom[found.snps], folder, prefix)


def compare(peers: Peers, hs1940: bool, faults: list[str]) -> dict[str, object]:
    """All programs on one set: seconds, ratios to our scan, agreement."""
    import tracemalloc

    import numpy as np

    import lmm_teach as lt

    results: dict[str, object] = {"n": peers.n, "snps": peers.s}
    scanned: dict[str, list[float]] = {}
    exact = {"wald": {}, "lrt": {"test": "lrt"}, "single": {"single": True}, "fixed": {"refit": False}}
    p = {}
    for name, options in exact.items():
        pairs = []
        for _ in range(PAIRS):
            plain = peers.rotation()
            seconds, p[name] = peers.ours(**options)
            pairs.append((seconds, plain))
        scanned[name] = [a for a, _ in pairs]
        results[name] = {
            "seconds": round(statistics.median(scanned[name]), 4),
            "rotation_seconds": round(statistics.median(b for _, b in pairs), 4),
            "over_rotation": spread([a / b for a, b in pairs]),
        }
    begun = time.process_time()
    loco = lt.loco(peers.snps, peers.chrom, peers.X, peers.y)
    loco_seconds = time.process_time() - begun
    results["loco"] = {"seconds": round(loco_seconds, 2), "top_minus_log10_p": round(-np.nanmin(loco.log10_p), 3)}
    if hs1940:
        tracemalloc.start()
        peers.ours()
        results["peak_megabytes_beyond_inputs"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
        tracemalloc.stop()
    h2 = lt.scan(peers.snps[:, peers.some], peers.X, peers.y, peers.spec).h2
    # program, turns, what of ours takes turns with it, our answer, how far apart the two may be, and why
    theirs = {
        "gemma": (peers.gemma, 3, {}, p["wald"], 1e-4),  # stop rule at a relative step of 1e-5 in lambda
        "fastlmm_refit": (peers.fastlmm_refit, TURNS, {}, h2, 1e-5),  # h2, which Brent's method finds to 1e-6
        "pylmm_refit": (lambda: peers.pylmm("refit"), TURNS, {}, p["wald"][peers.some], 1e-5),
        "pylmm_fixed": (lambda: peers.pylmm("fixed"), TURNS, exact["fixed"], p["fixed"][peers.some], 1e-5),
        "fastlmm_fixed": (peers.fastlmm_fixed, TURNS, exact["fixed"], p["fixed"], 1e-5),
    }
    for name, (run, turns, options, answer, tolerance) in theirs.items():
        ratios, times = [], []
        for _ in range(turns):
            mine = peers.ours(**options)[0]
            seconds, values = run()
            ratios.append(seconds / mine)
            times.append(seconds)
        apart = float(np.nanmax(np.abs(values - answer)))
        results[name] = {
            "seconds": round(statistics.median(times), 3),
            "times_ours": spread(ratios),
            "compared_with": "fixed" if options else "wald",
            "largest_difference": float(f"{apart:.1e}"),
        }
        if not apart <= tolerance:
            faults.append(f"{name} differs from ours by {apart:.1e} on {peers.n} individuals")
    if hs1940:
        seconds, values = peers.fastlmm_loco()
        mine = lt.loco(peers.snps, peers.chrom, peers.X, peers.y, refit=False)
        apart = float(np.nanmax(np.abs(values + mine.log10_p)))
        results["fastlmm_loco"] = {
            "seconds": round(seconds, 2),
            "times_ours": spread([seconds / loco_seconds]),
            "compared_with": "loco (ours refits)",
            "largest_difference": float(f"{apart:.1e}"),
        }
        seconds, c = peers.timed(lambda: lt.bolt_inf(peers.snps.astype(np.int8), peers.chrom, peers.X, peers.y))
        theirs_seconds, _ = peers.bolt()
        results["bolt"] = {
            "seconds": round(theirs_seconds, 2),
            "tolerance": run_bolt.TOLERANCE,
            "lmm_teach_seconds": round(seconds, 2),
            "lmm_teach_tolerance": 1e-10,
            "iterations": c.iterations,
        }
    return results


def measure(*names: str) -> int:
    programs.debian("gemma", "bolt-lmm")
    results, faults = {}, []
    for name in names or SETS:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = compare(prepare(name, Path(folder)), name == "hs1940", faults)
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    if "hs1940" in results:
        r = results["hs1940"]
        reached = {"rotation": r["wald"]["over_rotation"]["median"], "megabytes": r["peak_megabytes_beyond_inputs"]}
        reached |= {name: r[name]["times_ours"]["median"] for name in TARGETS if name in r}
        for name, target in TARGETS.items():
            if reached[name] > target if name in ("rotation", "megabytes") else reached[name] < target:
                faults.append(f"{name}: {reached[name]} on hs1940; the target is {target}")
    where = source("fastlmm")
    record = {
        "what": "CPU seconds, one BLAS thread; refits of fastlmm and pylmm3 extrapolated from 40 SNPs; times_ours: how "
                "many times as long as our scan; X is the intercept, K is centred (gemma -gk 1)",
        "machine": where["machine"],
        "versions": where["versions"] | {"pylmm3": "0.1.1", "gemma": "0.98.5", "bolt": "2.4"},
        "results": results,
        "faults": faults,
    }  # fmt: skip
    if names:
        print(json.dumps(record, indent=2))
        return 1 if faults else 0
    return keep("scan", record)


if __name__ == "__main__":
    main(measure, environment)
