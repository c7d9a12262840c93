"""Time the approximate tests beside the exact scan with more and more individuals, and compare errors and power.

    python benchmarks/approximate.py

takes about eight minutes. With one BLAS thread and in CPU seconds it measures, for 5,000 SNPs and more and more
individuals, the kinship, its decomposition, the exact scan, the scan at a fixed δ, GRAMMAR-Γ and BOLT-LMM-inf (with its
own estimate of δ). It solves BOLT-LMM-inf for 20,000 individuals and 20,000 SNPs in a process of its own, whose memory
it reads. And it tests simulated cohorts with causal SNPs by all methods. It writes ``results/approximate.json`` and
fails where a target is missed.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common import keep, main, source

SIZES, SNPS, CHROMOSOMES = (500, 1_000, 2_000, 4_000, 8_000), 5_000, 20
DECOMPOSED = 4_000  # no n × n matrix for more individuals than these
LARGE, BOLT_TOLERANCE = 20_000, 5e-4  # BOLT-LMM's own tolerance of the conjugate gradients
COHORTS, COHORT = 24, {"n": 800, "s": 2_000, "chromosomes": 10, "siblings": 2, "ld": 0.7}
SHARES = {"causal": 0.32, "polygenic": 0.28, "noise": 0.40}  # of the variance; 2 causal SNPs on each chromosome but
NULL, THRESHOLD = (9, 10), 1e-5  # these, which have no effects at all; and the p-value that counts as a discovery
# at most; the exponent is that of the seconds in n, between the two largest sizes
TARGETS = {"megabytes": 2_000, "bolt_exponent": 1.5, "h2_error": 0.03}


def timed(call: Callable[[], object]) -> tuple[object, float]:
    begun = time.process_time()
    found = call()
    return found, round(time.process_time() - begun, 3)


def unrelated(n: int, s: int):  # noqa: ANN201
    """Allele counts of independent SNPs as 8-bit integers, chromosomes, and a trait with h² = 0.5 of all SNPs."""
    import numpy as np

    rng = np.random.default_rng(n)
    snps, genetic = np.empty((n, s), dtype=np.int8, order="F"), np.zeros(n)
    for j in range(0, s, 500):
        x = rng.binomial(2, rng.uniform(0.1, 0.5, min(500, s - j)), (n, min(500, s - j)))
        snps[:, j : j + 500] = x
        genetic += (x - x.mean(axis=0)) / x.std(axis=0) @ rng.normal(size=x.shape[1])
    y = genetic / genetic.std() + rng.normal(size=n)
    return snps, np.repeat(np.arange(1, CHROMOSOMES + 1), s // CHROMOSOMES), np.ones((n, 1)), y


def silent(*_: object) -> None:
    """Progress that nobody watches."""


def large() -> int:
    """BOLT-LMM-inf for 20,000 × 20,000; the peak is that of the process, genotypes included."""
    import lmm_teach as lt

    snps, chrom, X, y = unrelated(LARGE, LARGE)
    passes = []
    found, seconds = timed(
        lambda: lt.bolt_inf(snps, chrom, X, y, tolerance=BOLT_TOLERANCE, progress=lambda done, _: passes.append(done))
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({
        "individuals": LARGE, "snps": LARGE, "genotypes_megabytes": snps.nbytes // 10**6, "cpu_seconds": seconds,
        "peak_megabytes": peak // 10**6, "n_by_n_megabytes": 8 * LARGE**2 // 10**6, "tolerance": BOLT_TOLERANCE,
        "iterations_of_last_system": found.iterations, "passes_over_the_snps": passes[-1], "h2": round(found.h2, 4),
        "calibration": round(found.calibration, 4), "calibration_se": round(found.calibration_se, 4),
        "mean_chi2": round(float(found.chi2.mean()), 4),
    }))  # fmt: skip
    return 0


def costs() -> dict[int, dict[str, float]]:
    import lmm_teach as lt

    rows: dict[int, dict[str, float]] = {}
    for n in SIZES:
        snps, chrom, X, y = unrelated(n, SNPS)
        row = rows[n] = {}
        if n <= DECOMPOSED:
            K, row["kinship"] = timed(lambda snps=snps: lt.kinship(lt.standardize(snps)))
            spec, row["decomposition"] = timed(lambda K=K: lt.decompose_kinship(K))
            for name, call in (
                ("exact_scan", lambda a=(snps, X, y, spec): lt.scan(*a, progress=silent)),
                ("fixed_scan", lambda a=(snps, X, y, spec): lt.scan(*a, refit=False, progress=silent)),
                ("grammar_gamma", lambda a=(snps, X, y, spec): lt.grammar_gamma(*a, progress=silent)),
            ):
                row[name] = timed(call)[1]
        found, row["bolt_inf"] = timed(
            lambda a=(snps, chrom, X, y): lt.bolt_inf(*a, tolerance=BOLT_TOLERANCE, progress=silent)
        )
        row["bolt_iterations"] = found.iterations
    return rows


def compared() -> dict[str, object]:
    """Quantiles of the error in -log10 p, power at causal SNPs, and calibration where nothing has an effect."""
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import simulate
    from lmm_teach.association import log10_sf_f

    exact = {"fixed": "exact", "grammar_gamma": "exact", "loco_fixed": "loco", "bolt_inf": "loco"}
    logs: dict[str, list] = {name: [] for name in ("regression", "exact", "loco", *exact)}
    chosen, silent_snps, scale = [], [], []
    size = dict(COHORT)
    for seed in range(COHORTS):
        c = simulate.cohort(seed=seed, h2=0, **size)
        rng, Z, n = np.random.default_rng(seed), lt.standardize(c.G), size["n"]
        active = ~np.isin(c.chrom, NULL)
        causal = np.concatenate(
            [rng.choice(np.flatnonzero(c.chrom == k), 2, replace=False) for k in np.unique(c.chrom[active])]
        )
        parts = (Z[:, causal] @ rng.choice([-1.0, 1.0], causal.size), Z[:, active] @ rng.normal(size=active.sum()),
                 rng.normal(size=n))  # fmt: skip
        y = sum(np.sqrt(share / v.var()) * v for share, v in zip(SHARES.values(), parts, strict=True))
        X, spec, snps = np.ones((n, 1)), lt.decompose_snps(Z / np.sqrt(size["s"])), c.G.astype(np.int8)
        r = (Z.T @ (y - y.mean())) / n / y.std()
        found = {
            "exact": lt.scan(snps, X, y, spec), "fixed": lt.scan(snps, X, y, spec, refit=False),
            "grammar_gamma": lt.grammar_gamma(snps, X, y, spec), "loco": lt.loco(snps, c.chrom, X, y),
            "loco_fixed": lt.loco(snps, c.chrom, X, y, refit=False),
            "bolt_inf": lt.bolt_inf(snps, c.chrom, X, y, tolerance=1e-6, progress=silent),
        }  # fmt: skip
        for name, result in found.items():
            logs[name].append(-result.log10_p)
        logs["regression"].append(-log10_sf_f((n - 2) * r**2 / (1 - r**2), n - 2))
        chosen.append(np.isin(np.arange(size["s"]), causal))
        silent_snps.append(~active)
        scale.append(float(found["bolt_inf"].chi2.mean() / found["loco_fixed"].statistic.mean()))
    table = {name: np.concatenate(values) for name, values in logs.items()}
    at, none = np.concatenate(chosen), np.concatenate(silent_snps)

    def rejected(name: str) -> list[float]:
        return [float((v[part] > -np.log10(0.05)).mean()) for v, part in zip(logs[name], silent_snps, strict=True)]

    return {
        "quantiles": (grid := [0, 0.01, 0.05, 0.5, 0.95, 0.99, 1]),
        "error_minus_log10_p": {
            name: np.quantile(table[name] - table[of], grid).round(4).tolist() for name, of in exact.items()
        },
        "power": {name: round(float((v[at] > -np.log10(THRESHOLD)).mean()), 4) for name, v in table.items()},
        "causal_snps": int(at.sum()),
        "below_0.05_without_effects": {
            name: round(float((v[none] > -np.log10(0.05)).mean()), 4) for name, v in table.items()
        },
        "standard_error_over_cohorts": {
            name: round(float(np.std(rejected(name), ddof=1) / COHORTS**0.5), 4) for name in table
        },
        "snps_without_effects": int(none.sum()),
        "bolt_mean_chi2_over_loco": [round(v, 4) for v in sorted(scale)],
    }


def measure() -> int:
    import numpy as np

    faults = []
    rows = costs()
    last = [rows[n]["bolt_inf"] for n in SIZES[-2:]]
    exponent = float(np.log(last[1] / last[0]) / np.log(SIZES[-1] / SIZES[-2]))
    inside = [sys.executable, Path(__file__).resolve(), "--large"]
    big = json.loads(subprocess.run(inside, check=True, capture_output=True, text=True).stdout)
    found = {"megabytes": big["peak_megabytes"], "bolt_exponent": exponent, "h2_error": abs(big["h2"] - 0.5)}
    faults += [f"{name} is {found[name]:.3f}; at most {most}" for name, most in TARGETS.items() if found[name] > most]
    comparison = compared()
    record = {
        "what": "CPU seconds; bolt_inf estimates its own delta; the others start from the decomposition",
        "data": {"set": "independent SNPs, unrelated individuals, h2 = 0.5", "snps": SNPS, "chromosomes": CHROMOSOMES},
        **source(),
        "seconds": rows,
        "large": big,
        "cohorts": {"number": COHORTS, **COHORT, "shares": SHARES, "chromosomes_without_effects": NULL,
                    "threshold": THRESHOLD, **comparison},
        "targets": TARGETS,
        "faults": faults,
    }  # fmt: skip
    return keep("approximate", record)


if __name__ == "__main__":
    if "--large" in sys.argv[1:]:
        sys.exit(large())
    main(measure)
