"""Properties of every finite input: nothing fails in silence, units do not matter, and the scan is the dense model."""

import traceback
import warnings
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import studies

import lmm_teach as lt
from lmm_teach import dense
from lmm_teach.projection import residual

PACKAGE = Path(lt.__file__).parent


def outcome(call):
    """What the call returns, or the ValueError with which the package says what is wrong; nothing else is allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call()
        except ValueError as fault:
            raised = Path(traceback.extract_tb(fault.__traceback__)[-1].filename)
            if raised.parent != PACKAGE or isinstance(fault, np.linalg.LinAlgError):
                raise
            return fault


def assert_evaluation(e, dropped):
    for name in ("nll", "sigma2_g", "sigma2_e", "h2"):
        assert np.isfinite(getattr(e, name)), name
    assert 0 <= e.h2 <= 1 and e.delta >= 0 and e.sigma2_g >= 0 and e.sigma2_e >= 0
    lost = np.isin(np.arange(e.beta.size), dropped)
    assert (np.isfinite(e.beta) == ~lost).all()
    assert (np.isfinite(e.beta_cov) == ~(lost[:, None] | lost)).all() and (np.diagonal(e.beta_cov)[~lost] >= 0).all()


def assert_scan(r):
    tested = r.reason == ""
    for field in fields(r):
        values = getattr(r, field.name)
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            assert (np.isnan(values) == ~tested).all(), field.name
            assert np.isfinite(values[tested]).all() or field.name == "delta", field.name
    assert (r.p[tested] >= 0).all() and (r.p[tested] <= 1).all() and (r.log10_p[tested] <= 0).all()


def assert_sound(name, result, dropped):
    """Every number of a result is finite, or it is said why it is not."""
    if isinstance(result, ValueError):
        assert len(str(result)) > 20
    elif isinstance(result, lt.Evaluation):
        assert_evaluation(result, dropped)
    elif hasattr(result, "reason"):
        assert_scan(result)
    elif isinstance(result, lt.TwoKernelFit):
        assert_evaluation(result.fit, dropped)
        assert np.isfinite(result.a2) or result.fit.boundary == "h2=0"
    elif is_dataclass(result):
        for field in fields(result):
            if field.name != "sigma2_set":  # the score test estimates no variance
                assert np.isfinite(np.asarray(getattr(result, field.name), dtype=float)).all(), (name, field.name)
    else:
        assert np.isfinite(result).all(), name


CALLS = {
    "standardize": lambda s, spec: lt.standardize(s.snps),
    "kinship": lambda s, spec: lt.kinship(lt.standardize(s.snps)),
    "fit": lambda s, spec: lt.LMM(spec, s.X, s.y).fit(reml=True),
    "fit ml": lambda s, spec: lt.LMM(spec, s.X, s.y).fit(reml=False),
    "h2": lambda s, spec: lt.LMM(spec, s.X, s.y).evaluate(h2=0.3, reml=True),
    "exclude": lambda s, spec: lt.LMM(spec, s.X, s.y).evaluate(h2=0.3, reml=True, exclude=s.G[:, :1]),
    "student": lambda s, spec: lt.LMM(spec, s.X, s.y).evaluate(h2=0.3, reml=True, dof=4.0),
    "wald": lambda s, spec: lt.scan(s.snps, s.X, s.y, spec),
    "lrt": lambda s, spec: lt.scan(s.snps, s.X, s.y, spec, test="lrt"),
    "score": lambda s, spec: lt.scan(s.snps, s.X, s.y, spec, test="score"),
    "single": lambda s, spec: lt.scan(s.snps, s.X, s.y, spec, single=True),
    "fixed": lambda s, spec: lt.scan(s.snps, s.X, s.y, spec, refit=False, delta=1.0),
    "loco": lambda s, spec: lt.loco(s.snps, s.chrom, s.X, s.y),
    "grammar": lambda s, spec: lt.grammar_gamma(s.snps, s.X, s.y, spec),
    "bolt": lambda s, spec: lt.bolt_inf(s.snps, s.chrom, s.X, s.y, delta=1.0),
    "fit_a2": lambda s, spec: lt.fit_a2(
        product(s.G), lt.kinship(lt.standardize(s.snps)), s.X, s.y, reml=True, grid=[0.0, 0.5, 1.0]
    ),
    "blocks": lambda s, spec: lt.scan_blocks([s.snps[:, :2], s.snps[:, 2:]], s.X, s.y, spec, refit=False),
    "project": lambda s, spec: lt.project_snps(s.G, s.X, s.y).nll(h2=0.3),
    "set_lrt": lambda s, spec: lt.set_lrt(s.G, s.X, s.y),
    "set_lrt of two": lambda s, spec: lt.set_lrt(lt.standardize(s.snps), s.X, s.y, spec),
    "set_score": lambda s, spec: lt.set_score(s.G, s.X, s.y),
    "epistasis": lambda s, spec: lt.epistasis(np.nan_to_num(s.snps), [[0, 1]], s.X, s.y, spec),
    "rank_snps": lambda s, spec: lt.rank_snps(np.nan_to_num(s.snps), s.X, s.y),
    "predict": lambda s, spec: lt.predict(
        s.G, s.X, s.y, s.G[:2], s.X[:2], lt.LMM(spec, s.X, s.y).evaluate(h2=0.3, reml=True), spec
    ),
}


def product(G):
    """K of the user's own making; beyond 1e308 it is infinite, which the package refuses."""
    with np.errstate(over="ignore", invalid="ignore"):
        return G @ G.T


@given(study=studies(), by_snps=st.booleans())
def test_nothing_fails_in_silence(study, by_snps):
    """Every number is finite or has a reason, every fault is a ValueError of the package, and nothing is warned of."""
    before = [array.copy() for array in study.arrays]
    spec = outcome(lambda: lt.decompose_snps(study.G) if by_snps else lt.decompose_kinship(product(study.G)))
    if isinstance(spec, ValueError):
        assert_sound("decompose", spec, ())
    else:
        m = outcome(lambda: lt.LMM(spec, study.X, study.y))
        for name, call in CALLS.items():
            assert_sound(name, outcome(lambda call=call: call(study, spec)), getattr(m, "dropped", ()))
    for array, copy in zip(study.arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---- units, coordinates, and the order of individuals; the dense model ----

WELL_POSED = {"kernels": ("snps", "not centred", "graded", "clones", "one snp"),
              "phenotypes": ("normal", "genetic", "outlier", "nearly in X")}  # fmt: skip


def model(study):
    """Spectrum and model of a study whose covariates are independent; the others are not asked here."""
    spec = outcome(lambda: lt.decompose_snps(study.G))
    m = outcome(lambda: lt.LMM(spec, study.X, study.y))
    assume(not isinstance(m, ValueError) and not m.dropped and m.n - m.d > 2)
    return spec, m


def imputed(snps):
    """Missing genotypes replaced by the SNP's mean, or by 0 if all are missing."""
    gone = np.isnan(snps)
    mean = np.where(gone, 0.0, snps).sum(axis=0) / np.maximum((~gone).sum(axis=0), 1)
    return np.where(gone, mean, snps)


def growth(study, spec, delta):
    """By how much an error of the input can grow: by the conditions of M and X, and by what X leaves of y; of SNPs."""
    D = np.append(spec.S, [] if spec.k == spec.n else 0.0) + min(delta, 1e9 * spec.S[0])
    singular = np.linalg.svd(study.X / np.linalg.norm(study.X, axis=0), compute_uv=False)
    Q, A = np.linalg.qr(study.X)[0], np.column_stack([study.y, imputed(study.snps)])
    A = A / np.maximum(np.linalg.norm(A, axis=0), 1e-300)
    kept = np.maximum(np.linalg.norm(residual(Q, A), axis=0), 1e-16)
    whole = D.max() / D.min() * singular[0] / singular[-1] / kept[0]
    # A scan subtracts squared lengths to find what of a SNP is outside K and X, and rounding tilts the last eigenvector
    # out of K's span, which matters where X holds all that is outside.
    tilt = spec.S[0] / spec.S[-1] if spec.k < spec.n else 1.0
    return whole, max(whole, tilt) / kept[1:] ** 2


EXACT = "explains y exactly"  # said where no more than 1e-12 of y's square is left, or not if rounding leaves more


def correlation(r):
    """Size of the correlation of SNP and phenotype, X and K accounted for: from 0 to 1 in any units."""
    return np.where(r.reason == EXACT, 1.0, np.sqrt(r.statistic / (r.statistic + r.dof)))


def untested(r):
    return ~np.isin(r.reason, ["", EXACT])


@given(study=studies(largest=50, **WELL_POSED), seed=st.integers(0, 10**6), reml=st.booleans(), data=st.data())
def test_units_coordinates_and_order_do_not_matter(study, seed, reml, data):
    """y -> cy adds N log c to nLL, K -> cK turns δ into cδ; X -> XT, x -> cx and a permutation change nothing."""
    spec, m = model(study)
    rng, n, X, y, snps = np.random.default_rng(seed), m.n, study.X, study.y, study.snps
    of_y, of_K, of_x = (10.0 ** data.draw(st.integers(-8, 8)) * rng.uniform(1, 10) for _ in "yKx")
    delta = float(spec.S.mean()) * 10.0 ** data.draw(st.integers(-3, 3))
    whole, each = growth(study, spec, delta)
    assume(1e-14 * n * whole < 1e-4)
    T, order = np.triu(rng.uniform(0.1, 0.3, (m.d, m.d)), 1) + np.eye(m.d), rng.permutation(n)
    T = T / np.linalg.norm(X, axis=0)[:, None] * 10.0 ** rng.integers(-5, 6, m.d)
    larger, permuted = lt.decompose_snps(np.sqrt(of_K) * study.G), lt.decompose_snps(study.G[order])
    moved = {
        "y": (spec, X, of_y * y, snps, delta, (n - m.d if reml else n) * np.log(of_y)),
        "K": (larger, X, y, snps, of_K * delta, 0.0),
        "X": (spec, X @ T, y, snps, delta, 0.0),
        "x": (spec, X, y, of_x * snps, delta, 0.0),
        "order": (permuted, X[order], y[order], snps[order], delta, 0.0),
    }
    nll, scan = m.evaluate(delta=delta, reml=reml).nll, lt.scan(snps, X, y, spec, refit=False, delta=delta)
    for name, (K, X1, y1, snps1, delta1, shift) in moved.items():
        # What is compared was computed from numbers rounded to 1e-16, in sums of n of them.
        nll1 = lt.LMM(K, X1, y1).evaluate(delta=delta1, reml=reml).nll - shift
        assert nll1 == pytest.approx(nll, rel=1e-13, abs=1e-14 * n**2 * whole), name
        r, close = lt.scan(snps1, X1, y1, K, refit=False, delta=delta1), 1e-14 * n * each
        asked = close < 1e-4
        assert (untested(r) == untested(scan))[asked].all(), name
        asked &= ~untested(scan)
        assert (np.abs(correlation(r) - correlation(scan)) <= close)[asked].all(), name


@given(study=studies(largest=50, **WELL_POSED), seed=st.integers(0, 10**6), reml=st.booleans())
def test_the_fit_does_not_depend_on_units(study, seed, reml):
    """Nor on the order of individuals: the lowest nLL, up to N log c."""
    spec, m = model(study)
    rng, n = np.random.default_rng(seed), m.n
    of_y, of_K, order = 10.0 ** rng.uniform(-9, 9), 10.0 ** rng.uniform(-9, 9), rng.permutation(n)
    fit = outcome(lambda: m.fit(reml=reml))
    assume(not isinstance(fit, ValueError) and not fit.unbounded)
    whole, _ = growth(study, spec, fit.delta)
    assume(1e-14 * n * whole < 1e-4)
    other = lt.LMM(lt.decompose_snps(np.sqrt(of_K) * study.G[order]), study.X[order], of_y * study.y[order])
    found = other.fit(reml=reml)
    shift = (n - m.d if reml else n) * np.log(of_y)
    assert found.nll - shift == pytest.approx(fit.nll, rel=1e-13, abs=1e-14 * n**2 * whole)


@given(study=studies(largest=50, **WELL_POSED), refit=st.booleans(), power=st.integers(-3, 3))
def test_the_scan_is_the_dense_model(study, refit, power):
    """Effect and standard error at the scan's δ; and if that was fitted, no δ of a grid has a lower nLL."""
    spec, m = model(study)
    n, K, mean = m.n, study.G @ study.G.T, float(spec.S.sum()) / m.n
    options = {} if refit else {"refit": False, "delta": mean * 10.0**power}
    r = outcome(lambda: lt.scan(study.snps, study.X, study.y, spec, **options))
    assume(not isinstance(r, ValueError))
    size_y, sizes = np.linalg.norm(study.y), np.linalg.norm(study.X, axis=0)
    for j, x in enumerate(imputed(study.snps).T):
        if r.reason[j]:
            continue
        columns = np.column_stack([study.X / sizes, x / np.linalg.norm(x)])
        near = np.linalg.svd(columns, compute_uv=False)
        # The oracle inverts XᵀM⁻¹X, whose condition is that of M times the square of X's.
        close = 1e-14 * n * growth(study, spec, r.delta[j])[0] * (near[0] / near[-1]) ** 2
        if close > 1e-4:
            continue
        e = dense.evaluate(K, columns, study.y / size_y, delta=r.delta[j], reml=True)
        unit = size_y / np.linalg.norm(x)
        beta, se = unit * e.beta[-1], unit * np.sqrt(e.beta_cov[-1, -1])
        scale = np.hypot(beta, np.sqrt(r.dof) * se)
        # The scan subtracts what the SNP explains of y's square, so an error of se is one of its square.
        assert abs(r.beta[j] - beta) <= close * scale and r.dof * abs(r.se[j] ** 2 - se**2) <= close * scale**2
        if refit:
            tried = [dense.evaluate(K, columns, study.y / size_y, reml=True, log_delta=np.log(mean) + t).nll
                     for t in (-8.0, -4.0, -1.0, 0.0, 1.0, 4.0, 8.0)]  # fmt: skip
            # Both are logarithms of what columns leave of y.
            left = max(np.linalg.norm(residual(np.linalg.qr(columns)[0], study.y)) / size_y, 1e-16)
            rounding = max(close, 1e-14 * n * np.exp(8) * n * (near[0] / near[-1]) ** 2) / left
            assert e.nll <= min(tried) + n * rounding
