"""Solve single-SNP models of HS1940 (CD8) in 40-digit arithmetic and write ``golden/referee_scan.csv``.

    pip install mpmath; python reference/referee.py

Only the eigenvectors of K, the rotated phenotype and the rotated SNP are taken from double precision; from there on,
every sum, the root of the slope and the likelihood carry 40 digits. K is double-centred, so the intercept lies outside
its eigenvectors, and y and the SNP are centred.
"""

import csv
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from golden import genotypes, problem  # noqa: E402

import lmm_teach as lt  # noqa: E402

mp.mp.dps = 40
EVERY = 440  # of the 10,768 SNPs: 25 rows


def slope(t, S, x, y, n, reml):
    """Slope of nLL by t = log δ, and q and A, all for the model with intercept and SNP."""
    delta = mp.exp(t)
    nu = [delta / (s + delta) for s in S]
    xx = [w * a * a for w, a in zip(nu, x, strict=True)]
    A1, A2 = mp.fsum(xx), mp.fsum(w * a for w, a in zip(nu, xx, strict=True))
    b = mp.fsum(w * a * c for w, a, c in zip(nu, x, y, strict=True)) / A1
    vv = [w * (c - b * a) ** 2 for w, a, c in zip(nu, x, y, strict=True)]
    q1, q2 = mp.fsum(vv), mp.fsum(w * a for w, a in zip(nu, vv, strict=True))
    N = n - 2 if reml else n
    count = mp.fsum(nu) + (0 if reml else 1) - (A2 / A1 if reml else 0)  # the intercept is the one direction outside
    return (count - N * q2 / q1) / 2, q1, A1, b


def solve(S, x, y, n, reml):
    """Root of the slope near the double-precision optimum, by Illinois steps in 40 digits."""
    low, high = mp.mpf(-4), mp.mpf(3)
    f_low, f_high = slope(low, S, x, y, n, reml)[0], slope(high, S, x, y, n, reml)[0]
    assert f_low < 0 < f_high
    for _ in range(200):
        t = (low * f_high - high * f_low) / (f_high - f_low)
        f, q, A, b = slope(t, S, x, y, n, reml)
        if abs(f) < mp.mpf(10) ** -28:
            break
        if f < 0:
            low, f_low, f_high = t, f, f_high / 2
        else:
            high, f_high, f_low = t, f, f_low / 2
    se = mp.sqrt(q / (n - 2) / A)
    return {"lambda": mp.nstr(mp.exp(-t), 20), "beta": mp.nstr(b, 20), "se": mp.nstr(se, 20)}


def main():
    people, phenotype = genotypes("hs_n1")
    found = lt.plink.analysed(people.G, phenotype, standardised=False)
    spec = lt.decompose_kinship(problem("hs_n1", "Kc").K)
    G = people.G[np.ix_(found.individuals, found.snps)]
    y = [mp.mpf(float(v)) for v in spec.U.T @ (found.y - found.y.mean())]
    S = [mp.mpf(float(v)) for v in spec.S]
    rows = []
    for j in range(0, G.shape[1], EVERY):
        x = [mp.mpf(float(v)) for v in spec.U.T @ (G[:, j] - G[:, j].mean())]
        for reml in (True, False):
            row = solve(S, x, y, spec.n, reml)
            rows.append({"row": j, "mode": "REML" if reml else "ML"} | row)
    with (HERE / "golden" / "referee_scan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"referee_scan.csv: {len(rows)} models")


if __name__ == "__main__":
    main()
