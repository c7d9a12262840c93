"""How often the likelihood ratio of a set beside a kinship has p < 0.05 or 0.2 without an effect, by two conversions.

    python benchmarks/set_levels.py

draws 500 traits with h² = 0.5 from the background kernel of chapter 15's sample, tests sets of 1 and 10 SNPs without
effects with `set_lrt`, and converts the ratio to p by half of χ²₁ and by `rlrt_null` with the eigenvalues of G₁ᵀPG₁,
P at the δ of the null model taken for known. It writes ``results/set_levels.json`` and takes some minutes. It fails
when a share by the second is more than four standard errors from its level.
"""

from common import keep, main, source

SETS, TRAITS, DRAWS, LEVELS = (1, 10), 500, 5_000, (0.05, 0.2)


def measure() -> int:
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import simulate

    cohort = simulate.cohort(300, 800, seed=15, siblings=3, h2=0, chromosomes=4)
    Z, X, faults, results = lt.standardize(cohort.G), cohort.X, [], {}
    G0 = Z[:, :600] / np.sqrt(600)
    spec = lt.decompose_snps(G0)

    def eigenvalues(G1: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Those of G₁ᵀPG₁, up to a factor, which does not matter."""
        m = lt.LMM(spec, X, y)
        T, d = m.inner(G1, h2=m.fit(reml=True).h2), m.d
        free = T[d:, d:] - T[d:, :d] @ np.linalg.solve(T[:d, :d], T[:d, d:])
        return np.linalg.eigvalsh(free[1:, 1:])

    for size in SETS:
        G1, rng, p = Z[:, 600 : 600 + size] / np.sqrt(size), np.random.default_rng(size), []
        for k in range(TRAITS):
            y = np.sqrt(0.5) * (G0 @ rng.normal(size=600) + rng.normal(size=300))
            test = lt.set_lrt(G1, X, y, spec)
            null = lt.rlrt_null(eigenvalues(G1, y), 300 - X.shape[1], DRAWS, seed=k)
            p.append((test.p, (1 + np.sum(null >= test.statistic)) / (1 + DRAWS)))
        shares = [[round(float(np.mean(values < level)), 3) for level in LEVELS] for values in np.array(p).T]
        results[str(size)] = {"half of chi2_1": shares[0], "delta taken for known": shares[1]}
        for level, share in zip(LEVELS, shares[1], strict=True):
            if abs(share - level) > 4 * np.sqrt(level * (1 - level) / TRAITS):
                faults.append(f"{size} SNPs: share {share} at level {level}")
    record = {
        "data": {"set": "simulate.cohort(300, 800, seed=15, siblings=3, h2=0, chromosomes=4)", "h2": 0.5,
                 "traits": TRAITS, "draws": DRAWS},
        **source(),
        "levels": LEVELS,
        "results": results,
        "faults": faults,
    }  # fmt: skip
    return keep("set_levels", record)


if __name__ == "__main__":
    main(measure)
