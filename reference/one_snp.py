"""Ask FaST-LMM, PyLMM, GEMMA and lmm_teach about the same three SNPs, and 40-digit arithmetic who is right.

    python reference/one_snp.py [--write]

writes ``golden/one_snp.csv``, the table of chapter 16: HS1940, CD8, the centred kinship, the intercept as covariate. It
needs lmm_teach with its extra ``data``, installs Debian's ``gemma`` if it is missing, makes one environment per program
and takes a minute, two the first time. Each program keeps its own quantities and units: the chapter says how they are
related.
"""

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import run_pylmm
from programs import FASTLMM, Within, call, debian, environment, inside, leave, save_or_check
from referee import PINS as REFEREE

# the SNP with the smallest p-value; the one at which GEMMA's λ is worst; the first
SNPS = ("mCV22965443", "rs13482967", "rs3683945")
# GEMMA's limit; tests/test_pylmm.py has each program's own, up to a million times narrower
VALUE = Within("GEMMA's λ stops at a relative step of 1e-5, and p follows", relative=1.2e-4)

Found = Iterator[tuple[str, str, str, float | str]]  # snp, method, quantity, value


# ---- each program, inside its environment ----


def fastlmm(d) -> Found:
    import logging

    import numpy as np
    from fastlmm.association import single_snp
    from fastlmm.inference.lmm import LMM
    from pysnptools.kernelreader import KernelData
    from pysnptools.snpreader import SnpData

    logging.disable(logging.CRITICAL)
    n, names = len(d["y"]), d["names"]
    model = LMM()
    model.setK(d["K"].copy())
    model.sety(d["y"])
    for name, x in zip(names, d["snps"].T, strict=True):
        model.setX(np.column_stack([x, np.ones(n)]))
        for reml in (True, False):
            e = model.findH2(REML=reml)
            values = {"h2": e["h2"], "beta": e["beta"][0], "sigma2": e["sigma2"], "nLL": e["nLL"]}
            for quantity, value in values.items():
                yield name, f"LMM.findH2, REML={reml}", quantity, float(value)
    ids = np.array([[str(i), str(i)] for i in range(n)])
    where = np.column_stack([np.ones(len(names)), np.arange(len(names)), np.arange(len(names))])
    test = SnpData(iid=ids, sid=names, val=d["snps"].copy(), pos=where)
    table = single_snp(test, SnpData(iid=ids, sid=["y"], val=d["y"][:, None].copy()),
                       K0=KernelData(iid=ids, val=d["K"].copy()), leave_out_one_chrom=False, count_A1=True)  # fmt: skip
    for name in names:
        row = table.set_index("SNP").loc[name]
        for quantity in ("Nullh2", "SnpWeight", "SnpWeightSE", "PValue"):
            yield name, "single_snp", quantity, float(row[quantity])


def pylmm3(d) -> Found:
    from pylmm3.lmm import LMM

    model = LMM(d["y"], d["K"])
    for refit in (True, False):
        for name, x in zip(d["names"], d["snps"].T[:, :, None], strict=True):
            h = float(model.fit(X=x if refit else None)[0])
            t, p, beta, variance = model.association(x, returnBeta=True)
            LL = float(model.LL(h, X=x, REML=True)[0])
            values = {"h2": h, "beta": beta, "se": variance.item() ** 0.5, "t": t, "p": p, "LL": LL}
            for quantity, value in values.items():
                yield name, f"association, refit={refit}", quantity, float(value)


def referee(d) -> Found:
    """Everything from the eigenvalues on in 40 digits. K is double-centred: only the intercept is outside."""
    import mpmath as mp

    mp.mp.dps = 40
    n = len(d["y"])
    S, y = ([mp.mpf(float(v)) for v in d[name]] for name in ("S", "y_along"))

    def sums(t, x):
        """Per power j of the shares of noise: Σν, A, B and Σνy² with ν^j; then the slope's parts and b."""
        nu = [mp.exp(t) / (s + mp.exp(t)) for s in S]
        A, B, q = ([mp.fsum(w**j * a * b for w, a, b in zip(nu, u, v, strict=True)) for j in (1, 2)]
                   for u, v in ((x, x), (x, y), (y, y)))  # fmt: skip
        if not any(x):
            return mp.fsum(nu), 0, A[0], mp.mpf(0), q
        b = B[0] / A[0]
        return mp.fsum(nu), A[1] / A[0], A[0], b, [c - 2 * b * e + b * b * a for a, e, c in zip(A, B, q, strict=True)]

    def slope(t, x, reml):
        shares, seen, _, _, (q1, q2) = sums(t, x)
        d = 2 if any(x) else 1
        return (shares + (0 if reml else 1) - (seen if reml else 0) - (n - d if reml else n) * q2 / q1) / 2

    def nll(t, x, reml):
        _, _, A, _, (q, _) = sums(t, x)
        N = n - (2 if any(x) else 1) if reml else n
        logs = mp.fsum(mp.log1p(s / mp.exp(t)) for s in S)  # log|M| with M = K/δ + I
        if reml and any(x):
            logs += mp.log(A) - mp.log(mp.fsum(a * a for a in x))
        return (logs + N * (mp.log(2 * mp.pi * q / N) + 1)) / 2

    def tested(t, x):
        _, _, A, b, (q, _) = sums(t, x)
        F = b * b * A / q * (n - 2)
        return {"beta": b, "se": mp.sqrt(q / A / (n - 2)), "F": F, "p": tail(F)}

    def tail(F):
        nu = mp.mpf(n - 2)
        return mp.betainc(nu / 2, mp.mpf(1) / 2, 0, nu / (nu + F), regularized=True)

    zero = [mp.mpf(0)] * len(S)

    def optimum(x, reml):
        return mp.findroot(lambda t: slope(t, x, reml), (mp.mpf(-1.5), mp.mpf(-1.4)), tol=mp.mpf(10) ** -60)

    null = {reml: optimum(zero, reml) for reml in (True, False)}
    for name, row in zip(d["names"], d["along"].T, strict=True):
        x = [mp.mpf(float(v)) for v in row]
        found = {}
        for reml in (True, False):
            t = optimum(x, reml)
            found[f"refit, {'REML' if reml else 'ML'}"] = {"lambda": mp.exp(-t), "h2": 1 / (1 + mp.exp(t)),
                                                           **tested(t, x), "logl": -nll(t, x, reml)}  # fmt: skip
            if not reml:
                ratio = 2 * (nll(null[reml], zero, reml) - nll(t, x, reml))
                found["likelihood ratio"] = {"chi2": ratio, "p": mp.erfc(mp.sqrt(ratio / 2))}
        found["fixed, REML"] = {"lambda": mp.exp(-null[True]), **tested(null[True], x)}
        found["fixed, REML"]["logl"] = -nll(null[True], x, True)
        F = n * tested(null[False], x)["F"] / (tested(null[False], x)["F"] + n - 2)
        found["score, ML"] = {"lambda": mp.exp(-null[False]), "F": F, "p": tail(F)}
        for method, values in found.items():
            for quantity, value in values.items():
                yield name, method, quantity, mp.nstr(value, 17)


def run(folder: Path) -> None:
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    program = {"fastlmm": fastlmm, "pylmm3": pylmm3, "referee": referee}[folder.name]
    leave(folder, [[str(snp), *rest] for snp, *rest in program(np.load(folder / "data.npz"))])


# ---- outside ----


def gemma(folder: Path, mice: Path) -> Found:
    debian("gemma")
    for end in ("bed", "bim", "fam"):
        shutil.copy(mice / f"mouse_hs1940.{end}", folder)
    (folder / "snps.txt").write_text("".join(f"{name}\n" for name in SNPS))
    common = ("gemma", "-bfile", "mouse_hs1940", "-n", "1", "-outdir", ".")
    call(*common, "-gk", "1", "-o", "K", cwd=folder)
    for test in ("1", "4"):
        call(*common, "-k", "K.cXX.txt", "-lmm", test, "-snps", "snps.txt", "-o", "scan", cwd=folder)
        with (folder / "scan.assoc.txt").open(newline="\n") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                for quantity in ("beta", "se", "l_remle", "l_mle", "logl_H1", "p_wald", "p_lrt", "p_score"):
                    if quantity in row and (test == "4" or quantity == "logl_H1"):
                        yield row["rs"].strip(), f"-lmm {test}", quantity, row[quantity].strip()


def lmm_teach(d) -> Found:
    import numpy as np
    from scipy import stats

    import lmm_teach as lt

    one, spec = np.ones((len(d["y"]), 1)), d["spec"]
    null = {reml: lt.LMM(spec, one, d["y"]).fit(reml=reml) for reml in (True, False)}
    tests = {
        "refit, REML": lt.scan(d["snps"], one, d["y"], spec),
        "fixed, REML": lt.scan(d["snps"], one, d["y"], spec, refit=False),
        "likelihood ratio": lt.scan(d["snps"], one, d["y"], spec, test="lrt"),
    }
    for method, r in tests.items():
        for j, name in enumerate(d["names"]):
            model = lt.LMM(spec, np.column_stack([one, d["snps"][:, j]]), d["y"])
            logl = -model.evaluate(delta=r.delta[j], reml="REML" in method).nll
            values = {"lambda": 1 / r.delta[j], "h2": r.h2[j], "beta": r.beta[j], "se": r.se[j], "logl": logl}
            values["F" if "REML" in method else "chi2"] = r.statistic[j]
            for quantity, value in (values | {"p": r.p[j]}).items():
                yield str(name), method, quantity, float(value)
    score = lt.scan(d["snps"], one, d["y"], spec, test="score", delta=null[False].delta)
    n = len(d["y"])
    for name, statistic in zip(d["names"], score.statistic, strict=True):  # GEMMA's factor n and F(1, n - 2)
        yield str(name), "score, ML", "p", float(stats.f.sf(statistic * n / (n - 1), 1, n - 2))


def main() -> None:
    import numpy as np

    import lmm_teach as lt
    from lmm_teach import data, plink

    mice = data.hs1940()
    people = mice.genotypes()
    chosen = plink.analysed(people.G, mice.phenotypes()["CD8"], standardised=False)
    columns = [int(np.flatnonzero(people.snp == name)[0]) for name in SNPS]
    snps, spec = people.G[np.ix_(chosen.individuals, columns)], lt.decompose_kinship(chosen.K)
    assert spec.k == spec.n - 1  # as `referee` presupposes
    shared = {"K": chosen.K, "y": chosen.y, "snps": snps, "names": np.array(SNPS)}
    along = {"S": spec.S, "y_along": spec.U.T @ (chosen.y - chosen.y.mean())}
    along["along"] = spec.U.T @ (snps - snps.mean(axis=0))
    rows = [("lmm_teach", *row) for row in lmm_teach(shared | {"spec": spec})]
    with tempfile.TemporaryDirectory() as name:
        for program, pins in (("fastlmm", FASTLMM), ("pylmm3", run_pylmm.PINS), ("referee", REFEREE)):
            folder = Path(name) / program
            folder.mkdir()
            np.savez(folder / "data.npz", **shared, **along)
            rows += [(program, *row) for row in inside(environment(program, *pins), __file__, folder)]
        (Path(name) / "gemma").mkdir()
        rows += [("gemma", *row) for row in gemma(Path(name) / "gemma", mice.folder)]
    rows.sort(key=lambda row: SNPS.index(row[1]))  # stable: by SNP, then by program as above
    keys = ("program", "snp", "method", "quantity", "value")
    table = [dict(zip(keys, row, strict=True)) for row in rows]
    order = ("snp", "program", *keys[2:])
    save_or_check("one_snp", [{key: row[key] for key in order} for row in table], {"value": VALUE})


if __name__ == "__main__":
    run(Path(sys.argv[2])) if "--inside" in sys.argv[1:] else main()
