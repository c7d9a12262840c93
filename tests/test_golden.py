"""Null models of real and synthetic data against other people's programs and 40-digit arithmetic."""

import ast
import json
import math
from pathlib import Path

import pytest
from golden import problem, table

import lmm_teach as lt

SETS = {"fastlmm_hs1940_cd8_null": "hs_n1", "fastlmm_synth_null": "synth"}
KERNELS = [(data, kinship) for data in ("hs_n1", "synth") for kinship in ("Kc", "Ks")]


def model(data, kinship, centred=True):
    p = problem(data, kinship, centred=centred)
    return lt.LMM(lt.decompose_kinship(p.K), p.X, p.y)


@pytest.mark.parametrize(("data", "kinship"), KERNELS)
def test_fit_agrees_with_the_referee(data, kinship):
    """λ = σ_g²/σ_e² to 1e-7 and the likelihood to 1e-9 of a solution in 40-digit arithmetic."""
    m = model(data, kinship)
    rows = [r for r in table("referee_null") if (r["data"], r["K"]) == (data, kinship)]
    assert {r["mode"] for r in rows} == {"REML", "ML"}
    for row in rows:
        f = m.fit(reml=row["mode"] == "REML")
        assert 1 / f.delta == pytest.approx(float(row["lambda_vg_ve"]), rel=1e-7)
        assert -f.nll == pytest.approx(float(row["logL"]), abs=1e-9)
        assert (f.sigma2_g, f.sigma2_e) == pytest.approx((float(row["vg"]), float(row["ve"])), rel=1e-7)
        assert f.h2 == pytest.approx(float(row["h2"]), rel=1e-7)
        assert f.boundary is None


@pytest.mark.parametrize("name", SETS)
def test_nll_agrees_with_fastlmm(name):
    """Every nLL, σ² and β that fastlmm 0.6.13 returned, at fixed h² and at its own optimum, to 1e-9."""
    models = {}
    checked = 0
    for row in table(name):
        key = row["K"], row["form"] == "centred"
        if key not in models:
            models[key] = model(SETS[name], *key)
        m = models[key]
        form = {"log_delta": float(row["log_delta"])} if row["log_delta"] else {"h2": float(row["h2"])}
        reml = row["REML"] == "True"
        e = m.evaluate(reml=reml, **form)
        assert e.nll == pytest.approx(float(row["nLL"]), abs=1e-9), row
        if row["sigma2"]:  # lmm_cov returns neither
            assert e.sigma2_g + e.sigma2_e == pytest.approx(float(row["sigma2"]), rel=1e-9)
            assert e.beta[0] == pytest.approx(float(row["beta0"]), abs=1e-9)
        # ML has no bound where X explains the null space of K; FaST-LMM's search then ends at its last grid point.
        if "find" in row["api"] and (reml or float(row["h2"]) < 0.9999):
            assert m.fit(reml=reml).nll <= float(row["nLL"]) + 1e-9
        checked += 1
    assert checked >= 40


@pytest.mark.parametrize("kinship", ["Kc", "Ks"])
def test_likelihood_agrees_with_pylmm_up_to_its_constant(kinship):
    """REML: PyLMM divides q by n in one term and by n - d in another, LL = -nLL - ½[n log((n-d)/n) + d].

    ML: PyLMM raises the zero eigenvalue that X explains to 1e-6, which moves log|M|; in REML log|XᵀM⁻¹X| undoes it.
    """
    m = model("hs_n1", kinship)
    rows = [r for r in table("pylmm3_hs1940_cd8_null") if r["K"] == kinship]
    for row in rows:
        reml = row["REML"] == "True"
        e = m.evaluate(h2=float(row["h2"]), reml=reml)
        if reml:
            shift = 0.5 * (m.n * math.log((m.n - m.d) / m.n) + m.d)
        else:
            shift = 0.5 * (m.n - m.k) * math.log1p(e.h2 * 1e-6 / (1 - e.h2))
        assert float(row["LL"]) == pytest.approx(-e.nll - shift, abs=1e-8)
    assert len(rows) >= 10


def quoted(name):
    """The value that a cell of chapter 19 assigns to a variable, read without running it."""
    text = (Path(__file__).parents[1] / "book" / "19_mice.ipynb").read_text(encoding="utf-8")
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                    return ast.literal_eval(node.value)
    raise AssertionError(f"chapter 19 assigns no {name}")


def test_chapter_19_quotes_the_golden_tables():
    rows = {(r["data"], r["K"]): r for r in table("gemma_null")}
    for trait, key in (("CD8", "hs_n1"), ("MCH", "hs_n6")):
        for column, value in quoted("gemma")[trait].items():
            assert value == rows[key, "Kc"][column]
    for column, value in quoted("row").items():
        assert value == rows["hs_n1", "Ks"][column]
    exact = {(r["data"], r["K"], r["mode"]): r for r in table("referee_null")}["hs_n1", "Kc", "REML"]
    assert quoted("referee") == {"lambda": float(exact["lambda_vg_ve"]), "logl": float(exact["logL"])}
    snp = quoted("gemma_snp")
    line = next(r for r in table("gemma_scan") if r["data"] == "hs_n1" and r["row"] == str(snp["row"]))
    assert all(str(value) == line[column] for column, value in snp.items())
    snp = quoted("fastlmm_snp")
    line = next(r for r in table("fastlmm_hs1940_cd8_loco") if r["SNP"] == snp["SNP"])
    assert snp["PValue"] == float(line["PValue"])
