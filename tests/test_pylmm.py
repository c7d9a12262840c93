"""PyLMM, and the one SNP that chapter 16 shows to all programs: every golden number against lmm_teach, with its cause.

The tables are written by ``reference/run_pylmm.py`` and ``reference/one_snp.py``; the programs are not needed here. The
copy of PyLMM that the chapter builds is taken from the notebook and must give what PyLMM itself gave.
"""

import ast
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden import REFERENCE, genotypes, problem, table
from scipy import stats
from scipy.optimize import brent

import lmm_teach as lt
from lmm_teach import plink

BOOK = Path(__file__).resolve().parents[1] / "book"
# Brent's method compares values, and rounding decides below this distance in h² (chapter 16, brent-floor)
BRENT = 2e-7
# SNP of the table, in the order of the genotypes
NAMES = ("mCV22965443", "rs13482967", "rs3683945")


@cache
def pylmm_problems():
    sys.path.insert(0, str(REFERENCE))  # for the script's own import of programs.py
    try:
        spec = importlib.util.spec_from_file_location("run_pylmm", REFERENCE / "run_pylmm.py")
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
    finally:
        sys.path.remove(str(REFERENCE))
    return script.problems()


@cache
def copy_of_pylmm():
    """The functions `likelihood` and `fit` of the chapter."""
    cells = json.loads((BOOK / "16_pylmm.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {"np": np, "brent": brent}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith(("def likelihood(", "def fit(")):
            exec(compile(ast.parse(source), "16_pylmm.ipynb", "exec"), names)
    return names["likelihood"], names["fit"]


def rotated(K, X, y):
    S, U = np.linalg.eigh(K)
    return np.maximum(S, 1e-6), U.T @ X, U.T @ y


def excess(n, d):
    """How much higher PyLMM's REML value is: two estimates of σ² in one formula (chapter 16, pylmm-constant)."""
    return 0.5 * (n * np.log(n / (n - d)) - d)


def cases():
    return {(row["case"], row["quantity"]): row["value"] for row in table("pylmm3_cases")}


@cache
def mice():
    """Genotypes of the analysed animals, names of SNPs, X, y and the spectrum of the centred K."""
    people, phenotype = genotypes("hs_n1")
    used = plink.analysed(people.G, phenotype, standardised=False)
    p = problem("hs_n1", "Kc")
    snps = people.G[np.ix_(used.individuals, used.snps)]
    return snps, people.snp[used.snps].tolist(), p.X, p.y, lt.decompose_kinship(p.K)


# ---- PyLMM ----


@pytest.mark.parametrize("kinship", ["Kc", "Ks"])
def test_null_fit_of_pylmm(kinship):
    p = problem("hs_n1", kinship)
    m = lt.LMM(lt.decompose_kinship(p.K), p.X, p.y)
    rows = [row for row in table("pylmm3_hs1940_cd8_null") if row["K"] == kinship]
    for row in rows:
        reml, h2 = row["REML"] == "True", float(row["h2"])
        e = m.evaluate(h2=h2, reml=reml)
        total = (e.sigma2_g + e.sigma2_e) * (1 if reml else m.n / (m.n - m.d))  # PyLMM divides by n - d in ML, too
        assert float(row["sigma2"]) == pytest.approx(total, rel=1e-8)
        if row["api"] == "fit":
            assert h2 == pytest.approx(m.fit(reml=reml).h2, abs=BRENT)
    assert sum(row["api"] == "fit" for row in rows) == 2


def test_refit_of_pylmm():
    snps, names, X, y, spec = mice()
    rows = table("pylmm3_hs1940_cd8_refit")
    columns = [int(row["i"]) for row in rows]
    assert len(rows) == 77 and [names[i] for i in columns] == [row["rs"] for row in rows]
    r = lt.scan(snps[:, columns], X, y, spec)
    theirs = {key: np.array([float(row[key]) for row in rows]) for key in ("h2", "t", "p", "beta", "se", "LL")}
    assert np.abs(theirs["h2"] - r.h2).max() < BRENT
    assert np.abs((theirs["beta"] - r.beta) / r.se).max() < 1e-6
    assert np.abs(theirs["se"] / r.se - 1).max() < 1e-6
    assert np.abs(np.log10(theirs["p"]) - r.log10_p).max() < 1e-6
    assert np.abs(theirs["t"] - r.beta / r.se).max() < 1e-6
    for x, delta, LL in zip(snps[:, columns].T, r.delta, theirs["LL"], strict=True):
        nll = lt.LMM(spec, np.column_stack([X, x]), y).evaluate(delta=delta, reml=True).nll
        assert LL == pytest.approx(-nll + excess(len(y), 2), abs=1e-8)


@pytest.mark.parametrize("name", [row["case"] for row in table("pylmm3_cases") if row["quantity"] == "REML h2"])
def test_the_chapters_copy_is_pylmm(name):
    likelihood, fit = copy_of_pylmm()
    K, X, y = pylmm_problems()[name]
    S, X_along, y_along = rotated(K, X, y)
    for reml in (True, False):
        LL, _, sigma2, _ = likelihood(0.3, S, X_along, y_along, reml)
        assert float(cases()[name, f"LL at h2=0.3, REML={reml}"]) == pytest.approx(LL, abs=1e-9)
        assert float(cases()[name, "ML sigma2 at h2=0.3"]) == pytest.approx(sigma2, rel=1e-9)
    value = lt.LMM(lt.decompose_kinship(K), X, y).evaluate(h2=0.3, reml=True)
    # 1e-6 in the place of zero eigenvalues, of which "cages" has 90 that X does not absorb
    assert float(cases()[name, "LL at h2=0.3, REML=True"]) == pytest.approx(-value.nll + excess(*X.shape), abs=1e-5)
    expected = cases()[name, "REML h2"]
    if expected.isalpha():
        with pytest.raises(RuntimeError) as fault:
            fit(S, X_along, y_along)
        assert type(fault.value).__name__ == expected
    else:
        assert fit(S, X_along, y_along)[0] == pytest.approx(float(expected), abs=2e-6)


@pytest.mark.parametrize("reml", [True, False])
def test_fit_of_synth(reml):
    """ML has no bound there; PyLMM's first maximum inside is the best one inside, which `LMM.fit` returns, too."""
    people, y = genotypes("synth")
    K = lt.kinship(lt.standardize(people.G))
    X = np.column_stack([np.ones(500), people.G[:, np.flatnonzero(people.chrom != "1")[0]]])
    theirs, LL = (float(cases()["synth", f"fit, REML={reml}: {what}"]) for what in ("h2", "LL"))
    found, seen = copy_of_pylmm()[1](*rotated(K, X, y), reml=reml)
    f = lt.LMM(lt.decompose_kinship(K), X, y).fit(reml=reml)
    assert (found, f.h2) == pytest.approx((theirs, theirs), abs=1e-6) and f.unbounded != reml
    floor = 0.5 * np.log1p(1e-6 * theirs / (1 - theirs))  # the zero eigenvalue that is raised
    assert LL == pytest.approx(-f.nll + (excess(500, 2) if reml else -floor), abs=1e-8)
    assert seen[:100] == [h / 100 for h in range(100)] and 107 < len(seen) < 140


def test_two_components():
    small = pylmm_problems()
    family, cage, X, y = small["families"][0], small["cages"][0], *small["families"][1:]
    found = lt.fit_a2(family, cage, X, y, reml=True)
    assert found.boundary == "a2=0"
    at = lt.LMM(lt.decompose_kinship(family, cage, 0.01), X, y).fit(reml=True)  # w = 0.99, the last of the grid
    for first, best, weight in (("families", at, 0.99), ("cages", found.fit, 0.0)):
        told = {what: float(cases()[f"fitTwo, {first} first", what]) for what in ("h1", "h2", "LL")}
        assert told["LL"] == pytest.approx(-best.nll + excess(120, 1), abs=1e-8)
        assert (told["h1"], told["h2"]) == pytest.approx((weight * best.h2, (1 - weight) * best.h2), abs=1e-6)


def test_what_pylmm_says_about_one_t():
    told = cases()
    t, p, log_p = (float(told["tstat", what]) for what in ("t", "p", "log=True"))
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 58), rel=1e-9)
    assert log_p == pytest.approx(np.log(p) - np.log(2) + 2, abs=1e-9)  # 2 in the place of log 2
    for refit in (True, False):
        assert len({told["GWAS", f"p, REML={reml}, refit={refit}"] for reml in (True, False)}) == 1
    assert {told["GWAS", "a missing genotype"], told["calculateKinship", "complete genotypes"]} == {"TypeError"}


# ---- one SNP ----


@cache
def one_snp():
    rows = table("one_snp")
    return {(row["program"], row["method"], row["quantity"], row["snp"]): float(row["value"]) for row in rows}


def told(program, method, quantity):
    return np.array([one_snp()[program, method, quantity, name] for name in NAMES])


@cache
def scans():
    snps, names, X, y, spec = mice()
    columns = snps[:, [names.index(name) for name in NAMES]]
    null = lt.LMM(spec, X, y).fit(reml=False)
    return {
        "refit, REML": lt.scan(columns, X, y, spec),
        "fixed, REML": lt.scan(columns, X, y, spec, refit=False),
        "likelihood ratio": lt.scan(columns, X, y, spec, test="lrt"),
        "score": lt.scan(columns, X, y, spec, test="score", delta=null.delta),
        "columns": columns,
    }


def loglik(method, reml):
    """Of the three SNPs, each at the δ of the scan."""
    _, _, X, y, spec = mice()
    models = (lt.LMM(spec, np.column_stack([X, x]), y) for x in scans()["columns"].T)
    return np.array([-m.evaluate(delta=d, reml=reml).nll for m, d in zip(models, scans()[method].delta, strict=True)])


def gemma_score_p():
    n = len(mice()[3])
    return stats.f.sf(scans()["score"].statistic * n / (n - 1), 1, n - 2)  # factor n, and F in place of χ²


@pytest.mark.parametrize("program", ["referee", "lmm_teach"])
def test_forty_digits_and_the_tables_own_row(program):
    """Rounding only: 1e-10 in λ, and what follows from it."""
    ml = "refit, ML" if program == "referee" else "likelihood ratio"
    for method, ours in (("refit, REML", "refit, REML"), ("fixed, REML", "fixed, REML"), (ml, "likelihood ratio")):
        r = scans()[ours]
        expected = {"lambda": 1 / r.delta, "beta": r.beta, "se": r.se, "logl": loglik(ours, ours != "likelihood ratio")}
        for quantity, value in expected.items():
            np.testing.assert_allclose(told(program, method, quantity), value, rtol=1e-10)
    for method, quantity in (("refit, REML", "F"), ("fixed, REML", "F"), ("likelihood ratio", "chi2")):
        np.testing.assert_allclose(told(program, method, quantity), scans()[method].statistic, rtol=1e-8)
        np.testing.assert_allclose(told(program, method, "p"), scans()[method].p, rtol=1e-7)
    np.testing.assert_allclose(told(program, "score, ML", "p"), gemma_score_p(), rtol=1e-7)


@pytest.mark.parametrize("reml", [True, False])
def test_fastlmm_refitted(reml):
    """h² to Brent's floor; the values at the optimum to rounding, since nLL is flat there."""
    method, ours = f"LMM.findH2, REML={reml}", "refit, REML" if reml else "likelihood ratio"
    r = scans()[ours]
    assert np.abs(told("fastlmm", method, "h2") - r.h2).max() < BRENT
    assert np.abs((told("fastlmm", method, "beta") - r.beta) / r.se).max() < 1e-6
    np.testing.assert_allclose(-told("fastlmm", method, "nLL"), loglik(ours, reml), atol=1e-9, rtol=0)


def test_single_snp():
    """δ fixed without a SNP; K of trace n; effects per standard deviation."""
    _, _, _, _, spec = mice()
    r, sd = scans()["fixed, REML"], scans()["columns"].std(axis=0)
    scale = spec.n / spec.S.sum()
    h2 = told("fastlmm", "single_snp", "Nullh2")
    assert 1 / (1 + (1 / h2 - 1) / scale) == pytest.approx(r.h2, abs=BRENT)
    assert np.abs((told("fastlmm", "single_snp", "SnpWeight") / sd - r.beta) / r.se).max() < 1e-6
    np.testing.assert_allclose(told("fastlmm", "single_snp", "SnpWeightSE") / sd, r.se, rtol=1e-6)
    assert np.abs(np.log10(told("fastlmm", "single_snp", "PValue")) - r.log10_p).max() < 1e-6


@pytest.mark.parametrize("refit", [True, False])
def test_pylmm_on_one_snp(refit):
    """As FaST-LMM, and the log-likelihood is too high by its constant."""
    method, ours = f"association, refit={refit}", "refit, REML" if refit else "fixed, REML"
    r = scans()[ours]
    assert np.abs(told("pylmm3", method, "h2") - r.h2).max() < BRENT
    assert np.abs((told("pylmm3", method, "beta") - r.beta) / r.se).max() < 1e-6
    np.testing.assert_allclose(told("pylmm3", method, "se"), r.se, rtol=1e-6)
    np.testing.assert_allclose(told("pylmm3", method, "t") ** 2, r.statistic, rtol=2e-6)
    assert np.abs(np.log10(told("pylmm3", method, "p")) - r.log10_p).max() < 1e-6
    # at a fixed δ nLL is not flat, and its slope times Brent's floor is seen
    atol = 1e-9 if refit else 1e-7
    right = loglik(ours, True) + excess(len(mice()[3]), 2)
    np.testing.assert_allclose(told("pylmm3", method, "LL"), right, atol=atol, rtol=0)


def test_gemma_on_one_snp():
    """λ stops at a relative step of 1e-5 and the Wald p-value follows; seven digits are printed of the rest."""
    r, lrt = scans()["refit, REML"], scans()["likelihood ratio"]
    np.testing.assert_allclose(told("gemma", "-lmm 4", "l_remle"), 1 / r.delta, rtol=2e-5)
    np.testing.assert_allclose(told("gemma", "-lmm 4", "l_mle"), 1 / lrt.delta, rtol=2e-5)
    assert np.abs((told("gemma", "-lmm 4", "beta") - r.beta) / r.se).max() < 2e-5
    np.testing.assert_allclose(told("gemma", "-lmm 4", "se"), r.se, rtol=5e-6)
    assert np.abs(np.log10(told("gemma", "-lmm 4", "p_wald")) - r.log10_p).max() < 5e-5
    assert np.abs(np.log10(told("gemma", "-lmm 4", "p_lrt")) - lrt.log10_p).max() < 1e-6
    assert np.abs(np.log10(told("gemma", "-lmm 4", "p_score") / gemma_score_p())).max() < 5e-5
    for test, ours, reml in (("1", "refit, REML", True), ("4", "likelihood ratio", False)):
        np.testing.assert_allclose(told("gemma", f"-lmm {test}", "logl_H1"), loglik(ours, reml), atol=5.1e-4, rtol=0)
    worst = told("gemma", "-lmm 4", "l_remle")[1] * r.delta[1] - 1
    assert -9e-6 < worst < -7e-6  # rs13482967
    # GEMMA's p at GEMMA's λ is ours at that λ
    _, _, X, y, spec = mice()
    at = lt.scan(scans()["columns"][:, [1]], X, y, spec, refit=False, delta=1 / told("gemma", "-lmm 4", "l_remle")[1])
    assert at.p[0] == pytest.approx(told("gemma", "-lmm 4", "p_wald")[1], rel=2e-6)
