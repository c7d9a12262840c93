"""How often F without an effect has p < 0.05, where δ is known, refitted for the SNP, or fixed at the fit without it.

    python benchmarks/levels.py

takes the first 30, 100 and 300 individuals of chapter 13's cohort, one SNP, and 10,000 traits without an effect of
it, drawn with δ = 1, tests them with `scan`, and writes ``results/levels.json``. It takes some minutes on one BLAS
thread. It fails when the level at the known δ, whose distribution is exact, is more than four standard errors off.
"""

from common import keep, main, source

SIZES, TRAITS, SNP, LEVEL = (30, 100, 300), 10_000, 300, 0.05


def measure() -> int:
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import simulate

    cohort = simulate.cohort(300, 1200, seed=13, siblings=4, h2=0.5, covariates=2)
    error, faults, results = float(np.sqrt(LEVEL * (1 - LEVEL) / TRAITS)), [], {}
    for n in SIZES:
        K, X, x = lt.kinship(lt.standardize(cohort.G[:n])), cohort.X[:n], cohort.G[:n, [SNP]]
        spec, rng = lt.decompose_kinship(K), np.random.default_rng(n)
        traits = np.linalg.cholesky(K + np.eye(n)) @ rng.normal(size=(n, TRAITS))
        ways = {"known": {"refit": False, "delta": 1.0}, "refitted": {"refit": True}, "fixed": {"refit": False}}
        p = {name: np.array([lt.scan(x, X, y, spec, **how).p[0] for y in traits.T]) for name, how in ways.items()}
        share = results[str(n)] = {name: round(float((values < LEVEL).mean()), 4) for name, values in p.items()}
        if abs(share["known"] - LEVEL) > 4 * error:
            faults.append(f"n = {n}: level {share['known']} at the known δ")
    record = {
        "data": {"set": "simulate.cohort(300, 1200, seed=13, siblings=4, h2=0.5, covariates=2), first n individuals",
                 "d": cohort.X.shape[1], "snp": SNP, "delta": 1.0, "traits": TRAITS},
        **source(),
        "results": results,
        "standard_error": round(error, 4),
        "faults": faults,
    }  # fmt: skip
    return keep("levels", record)


if __name__ == "__main__":
    main(measure)
