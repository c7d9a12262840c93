"""Solve models in 40-digit arithmetic: ``golden/referee_null.csv`` and ``golden/referee_scan.csv``.

    python reference/referee.py [--write]

makes an environment for mpmath, ``reference/.venv-referee``, and needs lmm_teach with its extra ``data``, and half a
minute. Checked are the null models of HS1940 (CD8) and of synth, with both kinships, and the model of every 440th SNP
of HS1940 with the centred kinship, all by REML and by ML.

Only the eigenvalues of K, the rotated phenotype and the rotated SNP are taken from double precision; from there on,
every sum, the root of the slope and the likelihood carry 40 digits. K is double-centred, so the intercept lies outside
its eigenvectors, and y and the SNP are centred.
"""

import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from programs import HERE, Within, environment, inside, leave, save_or_check_all

PINS = ("mpmath==1.3.0", "numpy==2.4.6")
NULLS = [(name, kinship) for name in ("hs_n1", "synth") for kinship in ("Kc", "Ks")]
EVERY = 440  # of the 10,768 SNPs: 25 rows
INSIDE = -3.0, 2.0  # where log δ is looked for: ML may grow without bound beyond (synth with Ks)

EIGEN = "double precision of K's eigenvalues and of the rotated y"
NULL = {
    "lambda_vg_ve": Within(EIGEN, relative=1e-10),
    "h2": Within(EIGEN, relative=1e-10),
    "logL": Within(EIGEN, absolute=1e-9),
    "vg": Within(EIGEN, relative=1e-10),
    "ve": Within(EIGEN, relative=1e-10),
    "pve_trace": Within(EIGEN, relative=1e-10),
}
SCAN = {
    "lambda": Within(EIGEN, relative=1e-10),
    "beta": Within(EIGEN, absolute=1e-11),
    "se": Within(EIGEN, relative=1e-10),
}


def sums(delta, S, x, y, n, reml):
    """Slope of nLL by log δ, q (the minimum of the sum of squares, divided by σ_g²), xᵀM⁻¹x and β; x may be None.

    S, x and y are arrays of doubles or of numbers with 40 digits, and M = K + δI.
    """
    w = 1 / (S + delta)
    d = 1 if x is None else 2
    A, b, r, share = 0, 0, y, 0
    if x is not None:
        A = (w * x * x).sum()
        b = (w * x * y).sum() / A
        r, share = y - b * x, (w * w * x * x).sum() / A
    q, q2 = (w * r * r).sum(), (w * w * r * r).sum()
    N = n - d if reml else n
    # the intercept is the one direction outside: it adds log δ to log|M|, and in REML log|XᵀM⁻¹X| takes it away
    slope = (delta * (w.sum() - (share if reml else 0)) + (0 if reml else 1) - N * delta * q2 / q) / 2
    return slope, q, A, b


def solve(S, x, y, n, reml):
    """The root of the slope by bisection in doubles, then by secants in 40 digits: δ, and `sums` there."""
    import mpmath as mp

    double = [None if a is None else a.astype(float) for a in (S, x, y)]
    low, high = INSIDE
    assert sums(math.exp(low), *double, n, reml)[0] < 0 < sums(math.exp(high), *double, n, reml)[0]
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if sums(math.exp(middle), *double, n, reml)[0] < 0 else (low, middle)
    t, before = mp.mpf(high), mp.mpf(high) + mp.mpf(10) ** -7
    f_before = sums(mp.exp(before), S, x, y, n, reml)[0]
    for _ in range(20):
        found = sums(mp.exp(t), S, x, y, n, reml)
        if abs(found[0]) < mp.mpf(10) ** -28:
            return mp.exp(t), *found[1:]
        t, before, f_before = t - found[0] * (t - before) / (found[0] - f_before), t, found[0]
    raise ArithmeticError("the secants did not converge")


def null_model(S, y, n, trace, reml):
    import mpmath as mp

    delta, q, *_ = solve(S, None, y, n, reml)
    N = n - 1 if reml else n
    vg = q / N
    logdet = mp.fsum(mp.log(s + delta) for s in S) + (0 if reml else mp.log(delta))
    logl = -(logdet + N * (mp.log(2 * mp.pi * vg) + 1)) / 2
    genetic = vg * trace / n
    values = {"lambda_vg_ve": 1 / delta, "h2": 1 / (1 + delta), "logL": logl, "vg": vg, "ve": vg * delta}
    return values | {"pve_trace": genetic / (genetic + vg * delta)}


def measure(folder):
    """Inside the environment."""
    import mpmath as mp

    mp.mp.dps = 40

    def exact(values):
        return np.array([mp.mpf(float(v)) for v in values])

    rows = []
    for name, kinship in NULLS:
        d = np.load(folder / f"{name}_{kinship}.npz")
        S, y = exact(d["S"]), exact(d["y"])
        for reml in (True, False):
            values = null_model(S, y, int(d["n"]), mp.mpf(float(d["trace"])), reml)
            text = {key: mp.nstr(value, 17) for key, value in values.items()}
            where = {"table": "referee_null", "data": name, "K": kinship, "mode": "REML" if reml else "ML"}
            rows.append(where | text)
    d = np.load(folder / "hs_n1_Kc.npz")
    S, y, n = exact(d["S"]), exact(d["y"]), int(d["n"])
    for i, column in enumerate(d["snps"].T):
        x = exact(column)
        for reml in (True, False):
            delta, q, A, b = solve(S, x, y, n, reml)
            values = {"lambda": 1 / delta, "beta": b, "se": mp.sqrt(q / (n - 2) / A)}
            text = {key: mp.nstr(value, 20) for key, value in values.items()}
            rows.append({"table": "referee_scan", "row": str(i * EVERY), "mode": "REML" if reml else "ML"} | text)
    leave(folder, rows)


def prepare(folder):
    """Write eigenvalues and rotated vectors of the problems of ``tests/golden.py``."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from golden import genotypes, problem

    import lmm_teach as lt

    for name, kinship in NULLS:
        p = problem(name, kinship)
        spec = lt.decompose_kinship(p.K)
        assert spec.k == spec.n - 1 and np.abs(spec.U.sum(axis=0)).max() < 1e-9
        arrays = {"S": spec.S, "y": spec.U.T @ (p.y - p.y.mean()), "n": spec.n, "trace": np.trace(p.K)}
        if (name, kinship) == ("hs_n1", "Kc"):
            people, phenotype = genotypes(name)
            used = lt.plink.analysed(people.G, phenotype, standardised=False)
            snps = people.G[np.ix_(used.individuals, used.snps)][:, ::EVERY]
            arrays["snps"] = spec.U.T @ (snps - snps.mean(axis=0))
        np.savez(folder / f"{name}_{kinship}.npz", **arrays)


def main():
    if "--inside" in sys.argv:
        return measure(Path(sys.argv[-1]))
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        rows = inside(environment("referee", *PINS), __file__, Path(name))
    tables = {"referee_null": [], "referee_scan": []}
    for row in rows:
        tables[row.pop("table")].append(row)
    scan, null = tables["referee_scan"], tables["referee_null"]
    return save_or_check_all(("referee_null", null, NULL), ("referee_scan", scan, SCAN))


if __name__ == "__main__":
    main()
