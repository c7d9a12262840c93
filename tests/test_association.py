"""The scan against one model per SNP, GEMMA, 40-digit arithmetic and closed forms; and SNPs it cannot test."""

import warnings

import numpy as np
import pytest
from golden import genotypes, problem, table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import null_space

import lmm_teach as lt
from lmm_teach.association import Scanner, log10_sf_chi2, log10_sf_f, scan


def cohort(n, s, d, seed, columns=3):
    """K of rank min(s, n - 1), X with intercept, y, and SNPs to test, of which one has an effect."""
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, s))) / np.sqrt(s)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    snps = rng.integers(0, 3, size=(n, columns)).astype(float)
    y = X @ rng.normal(size=d) + G @ rng.normal(size=s) + 0.5 * snps[:, 0] + rng.normal(size=n)
    return G, X, y, snps


def one_by_one(snps, X, y, spec, **options):
    """What a scan should say, from a model of its own for every SNP: refitted unless `delta` is given."""
    reml = options.get("test", "wald") != "lrt"
    for x in snps.T:
        m = lt.LMM(spec, np.column_stack([X, x]), y)
        if m.dropped:
            yield None
        elif "delta" in options:
            yield m.evaluate(reml=reml, delta=options["delta"])
        else:
            yield m.fit(reml=reml)


KERNELS = {"low rank": lambda G: lt.decompose_snps(G[:, :7] * np.sqrt(G.shape[1] / 7)),
           "n - 1": lambda G: lt.decompose_snps(G),
           "full": lambda G: lt.decompose_kinship(G @ G.T + 0.3 * np.eye(len(G)))}  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(n=st.integers(24, 60), d=st.integers(1, 3), seed=st.integers(0, 10**6), kernel=st.sampled_from(sorted(KERNELS)))
def test_refitted_wald_is_a_model_per_snp(n, d, seed, kernel):
    G, X, y, snps = cohort(n, 2 * n, d, seed)
    spec = KERNELS[kernel](G)
    r = scan(snps, X, y, spec)
    lowest = np.exp(-10) * spec.S.sum() / n  # `fit` looks further down, a scan does not
    for j, f in enumerate(one_by_one(snps, X, y, spec)):
        m = lt.LMM(spec, np.column_stack([X, snps[:, j]]), y)
        within = f.delta >= lowest or spec.k == n
        assert m.evaluate(delta=r.delta[j], reml=True).nll <= f.nll + 1e-8 or not within
        assert within or r.delta[j] == pytest.approx(lowest)
        e = m.evaluate(delta=r.delta[j], reml=True)
        assert r.beta[j] == pytest.approx(e.beta[-1], rel=1e-7, abs=1e-9)
        assert r.se[j] == pytest.approx(np.sqrt(e.beta_cov[-1, -1]), rel=1e-7)
        assert r.statistic[j] == pytest.approx((e.beta[-1] / r.se[j]) ** 2, rel=1e-6, abs=1e-9)
        assert r.p[j] == pytest.approx(stats.f.sf(r.statistic[j], 1, n - d - 1), rel=1e-9)
        if f.boundary is None and 0 < r.h2[j] < 1 and within:
            assert np.log(r.delta[j] / f.delta) == pytest.approx(0, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(24, 60), d=st.integers(1, 3), seed=st.integers(0, 10**6), kernel=st.sampled_from(sorted(KERNELS)),
       delta=st.sampled_from([0.0, 0.05, 1.0, 30.0, np.inf]))  # fmt: skip
def test_fixed_delta_gives_one_f_in_four_guises(n, d, seed, kernel, delta):
    """Wald, likelihood ratio and score are functions of one F (identity E14), and F is that of the whole model."""
    if delta == 0.0 and kernel != "full":
        delta = 0.01
    G, X, y, snps = cohort(n, 2 * n, d, seed)
    spec = KERNELS[kernel](G)
    wald = scan(snps, X, y, spec, refit=False, delta=delta)
    nu = n - d - 1
    for j, e in enumerate(one_by_one(snps, X, y, spec, delta=delta)):
        assert wald.beta[j] == pytest.approx(e.beta[-1], rel=1e-7, abs=1e-9)
        assert wald.se[j] == pytest.approx(np.sqrt(e.beta_cov[-1, -1]), rel=1e-7)
    F = wald.statistic
    lrt = scan(snps, X, y, spec, refit=False, delta=delta, test="lrt").statistic
    score = scan(snps, X, y, spec, delta=delta, test="score").statistic
    np.testing.assert_allclose(lrt, n * np.log1p(F / nu), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(score, (n - d) * F / (F + nu), rtol=1e-7, atol=1e-9)
    null = lt.LMM(spec, X, y).evaluate(reml=False, delta=delta).nll
    for j, e in enumerate(one_by_one(snps, X, y, spec, delta=delta, test="lrt")):
        assert lrt[j] == pytest.approx(2 * (null - e.nll), rel=1e-6, abs=1e-7)


def test_of_two_optima_the_better_one_is_taken():
    """Three large eigenvalues and three small ones: the likelihood can have an optimum for either group."""
    S = np.array([200.0] * 3 + [1.0] * 3 + [0.0] * 4)
    X, y = np.eye(10)[:, -1:], np.array([3.3, 2.0, 7.7, 1.9, 0.7, 3.9, 0.5, 0.0, 0.1, 2.0])
    snps = np.random.default_rng(1).normal(size=(10, 40)) * np.sqrt(S + 1)[:, None]
    spec, better = lt.decompose_kinship(np.diag(S)), []
    r = scan(snps, X, y, spec)
    for j, f in enumerate(one_by_one(snps, X, y, spec)):
        optima = [np.log((1 - h2) / h2) for h2, _ in f.optima]
        if len(optima) == 2 and min(optima) > np.log(S.mean()) - 9:  # well within what a scan looks at
            assert np.log(r.delta[j] / f.delta) == pytest.approx(0, abs=1e-6)
            better.append("larger" if f.h2 == max(f.optima)[0] else "smaller")
    assert better.count("larger") > 5 and better.count("smaller") > 5


def test_of_two_ends_the_better_one_is_taken():
    """The smallest δ and h² = 0, where no optimum is between them."""
    S, X, rng = np.array([200.0] * 3 + [1.0] * 3 + [0.0] * 4), np.eye(10)[:, -1:], np.random.default_rng(2)
    spec, lowest, ends = lt.decompose_kinship(np.diag(S)), np.exp(-10) * S.mean(), []
    for _ in range(6):
        y, snps = rng.normal(size=10) * ([1.0] * 3 + [3.0] * 3 + [0.03] * 4), rng.normal(size=(10, 20))
        snps *= np.sqrt(S + 1)[:, None]
        r = scan(snps, X, y, spec)
        for j, f in enumerate(one_by_one(snps, X, y, spec)):
            if all((1 - h2) / h2 < lowest for h2, _ in f.optima):
                m = lt.LMM(spec, np.column_stack([X, snps[:, j]]), y)
                low, none = (m.evaluate(delta=delta, reml=True).nll for delta in (lowest, np.inf))
                assert r.delta[j] == (pytest.approx(lowest) if low < none else np.inf)
                ends.append(r.delta[j])
    assert np.isinf(ends).sum() > 10 and np.isfinite(ends).sum() > 10


def test_where_k_is_not_singular_the_smallest_deltas_lead_to_zero():
    """Half of the eigenvalues are like the noise, whose δ is near the smallest of a scan, but zero."""
    G, X, _, snps = cohort(40, 200, 1, 10, columns=20)
    U, rng = KERNELS["full"](G).U, np.random.default_rng(4)
    spec = lt.Spectrum(U, np.repeat([1.0, 1e-4], 20))
    lowest = np.exp(-10) * spec.S.mean()
    near = 0
    for _ in range(6):
        y = U @ (np.sqrt(spec.S + 1.5 * lowest) * rng.normal(size=40))
        r = scan(snps, X, y, spec)
        for j, f in enumerate(one_by_one(snps, X, y, spec)):
            m = lt.LMM(spec, np.column_stack([X, snps[:, j]]), y)
            assert m.evaluate(delta=r.delta[j], reml=True).nll <= m.evaluate(delta=0.0, reml=True).nll + 1e-9
            if f.delta > np.e * lowest:
                assert np.log(r.delta[j] / f.delta) == pytest.approx(0, abs=1e-6)
            near += lowest / np.e < f.delta < np.e * lowest
    assert near > 10


@pytest.mark.parametrize("test", ["wald", "lrt", "score"])
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_without_a_delta_it_is_that_of_the_model_without_a_snp(kernel, test):
    G, X, y, snps = cohort(50, 80, 2, 3)
    spec = KERNELS[kernel](G)
    r = scan(snps, X, y, spec, refit=False, test=test)
    null = lt.LMM(spec, X, y).fit(reml=test != "lrt")
    assert null.boundary is None and repr(r.null) == repr(null)
    np.testing.assert_allclose(r.delta, null.delta, rtol=1e-12)
    np.testing.assert_allclose(r.h2, null.h2, rtol=1e-12)
    given = scan(snps, X, y, spec, refit=False, test=test, delta=null.delta)
    assert given.null is None
    np.testing.assert_allclose(r.statistic, given.statistic, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(24, 60), d=st.integers(1, 3), seed=st.integers(0, 10**6), full=st.booleans())
def test_refitted_likelihood_ratio(n, d, seed, full):
    G, X, y, snps = cohort(n, 2 * n, d, seed)
    spec = KERNELS["full" if full else "low rank"](G)
    null = lt.LMM(spec, X, y).fit(reml=False)
    r = scan(snps, X, y, spec, test="lrt")
    for j, f in enumerate(one_by_one(snps, X, y, spec, test="lrt")):
        if not f.unbounded:
            assert r.statistic[j] == pytest.approx(max(2 * (null.nll - f.nll), 0), rel=1e-6, abs=1e-6)
            assert r.log10_p[j] == pytest.approx(stats.chi2.logsf(r.statistic[j], 1) / np.log(10), abs=1e-9)


def test_a_snp_that_brings_ml_down_without_bound_is_tested_at_its_optimum_inside():
    G, X, y, snps = cohort(60, 200, 1, 5)
    spec = lt.decompose_snps(G)  # lacks the vector of ones only, which X holds
    assert set(scan(snps, X, y, spec, test="lrt").reason) == {"ML has no bound as h2 -> 1"}  # nor has the null's
    y = y + 2 * np.random.default_rng(1).normal(size=60)
    null = lt.LMM(spec, X, y).fit(reml=False)
    assert null.unbounded and null.boundary is None
    r = scan(snps, X, y, spec, test="lrt")
    for j, f in enumerate(one_by_one(snps, X, y, spec, test="lrt")):
        assert f.unbounded
        if f.boundary is None:
            assert r.statistic[j] == pytest.approx(max(2 * (null.nll - f.nll), 0), abs=1e-6)
        else:
            assert r.reason[j] == "ML has no bound as h2 -> 1"


def test_ml_without_a_bound_where_X_explains_two_directions_outside_K():
    G, X, y, snps = cohort(60, 200, 2, 5, columns=10)
    spec = lt.decompose_snps(G - X @ np.linalg.lstsq(X, G)[0])
    y = y + 2 * np.random.default_rng(1).normal(size=60)
    null, r, inside = lt.LMM(spec, X, y).fit(reml=False), scan(snps, X, y, spec, test="lrt"), 0
    assert spec.k == 58 and null.unbounded and null.boundary is None
    for j, f in enumerate(one_by_one(snps, X, y, spec, test="lrt")):
        if f.boundary is None:
            assert r.statistic[j] == pytest.approx(max(2 * (null.nll - f.nll), 0), abs=1e-6)
            inside += 1
    assert inside > 5


def test_a_snp_that_is_within_K_leaves_ml_its_bound():
    """One direction is outside K and X; y has a little of it, which only a SNP with a part there explains."""
    rng = np.random.default_rng(6)
    G = rng.normal(size=(40, 38))
    G -= G.mean(axis=0)
    X, axis = np.ones((40, 1)), null_space(np.column_stack([G, np.ones(40)]).T)
    genetic = 2 + G @ rng.normal(size=38)
    y = genetic + 0.058 * axis[:, 0]
    within, beyond = 30 + G @ rng.normal(size=(38, 3)), rng.normal(size=(40, 2))
    spec = lt.decompose_snps(G)
    lowest = np.exp(-10) * spec.S.sum() / 40  # every optimum is a little below
    r = scan(np.column_stack([within, beyond]), X, y, spec, test="lrt")
    assert r.null.delta < lowest and not r.null.unbounded
    assert r.reason.tolist() == ["", "", "", *["ML has no bound as h2 -> 1"] * 2]
    for j, e in enumerate(one_by_one(within, X, y, spec, test="lrt", delta=lowest)):
        assert r.delta[j] == pytest.approx(lowest)
        assert r.statistic[j] == pytest.approx(2 * (r.null.nll - e.nll), abs=1e-7)
    less = scan(within, X, genetic + 0.03 * axis[:, 0], spec, test="lrt")  # ML still grows there
    assert less.null.unbounded and less.null.boundary == "h2=1"
    assert less.reason.tolist() == ["ML has no bound as h2 -> 1"] * 3


def assert_agrees_with_gemma(name, p, snps):
    rows = [r for r in table("gemma_scan") if r["data"] == name]
    assert len(rows) > 100
    picked = snps[:, [int(r["row"]) for r in rows]]
    gemma = {key: np.array([float(r[key]) for r in rows]) for key in rows[0] if key not in ("data", "rs")}
    spec, X = lt.decompose_kinship(p.K), p.X
    if name == "synth_cov":
        X = np.column_stack([X, covariate()])
    r = scan(picked, X, p.y, spec)
    np.testing.assert_allclose(1 / r.delta, gemma["l_remle"], rtol=2e-5)
    assert (np.abs(r.beta - gemma["beta"]) < 2e-5 * gemma["se"]).all()
    np.testing.assert_allclose(r.se, gemma["se"], rtol=5e-6)
    np.testing.assert_allclose(r.log10_p, np.log10(gemma["p_wald"]), atol=5e-5)
    bounded = gemma["l_mle"] < 9.9e4  # GEMMA's bound, where ML has none
    r = scan(picked, X, p.y, spec, test="lrt")
    null = lt.LMM(spec, X, p.y).fit(reml=False)
    np.testing.assert_allclose(1 / r.delta[bounded], gemma["l_mle"][bounded], rtol=2e-5)
    np.testing.assert_allclose(r.log10_p[bounded], np.log10(gemma["p_lrt"])[bounded], atol=1e-6)
    # GEMMA's score test: F with the factor n, at the ML optimum without a SNP; ours: χ² with n - d
    r = scan(picked, X, p.y, spec, test="score", delta=null.delta)
    F = r.statistic * null_size(p, X)
    np.testing.assert_allclose(stats.f.logsf(F, 1, r.dof) / np.log(10), np.log10(gemma["p_score"]), atol=5e-5)
    return bounded


def null_size(p, X):
    return len(p.y) / (len(p.y) - X.shape[1])


def covariate():
    import gzip

    from golden import REFERENCE

    lines = gzip.decompress((REFERENCE / "synth" / "cov.txt.gz").read_bytes()).decode().splitlines()
    values = {line.split()[1]: float(line.split()[2]) for line in lines}
    return np.array([values[individual] for individual in genotypes("synth")[0].individual])


def analysed_snps(name):
    people, y = genotypes(name)
    found = lt.plink.analysed(people.G, y, standardised=False)
    return people.G[np.ix_(found.individuals, found.snps)]


@pytest.mark.parametrize("name", ["hs_n1", "synth", "synth_cov"])
def test_scan_agrees_with_gemma(name):
    """GEMMA stops at relative steps of 1e-5 in λ and prints seven digits; that is the whole tolerance."""
    data = name.removesuffix("_cov")
    bounded = assert_agrees_with_gemma(name, problem(data, "Kc"), analysed_snps(data))
    assert bounded.all() if name == "hs_n1" else bounded.mean() > 0.5


def test_gemma_tests_at_its_largest_lambda_where_ml_has_no_bound():
    """With the standardised kinship of synth `l_mle` is 1e5 throughout: p_lrt and p_score are ours at δ = 1e-5."""
    rows, p = [r for r in table("gemma_scan") if r["data"] == "synth_ks"], problem("synth", "Ks")
    assert len(rows) == 200 and {float(r["l_mle"]) for r in rows} == {1e5}
    picked, spec = analysed_snps("synth")[:, [int(r["row"]) for r in rows]], lt.decompose_kinship(p.K)
    lrt, score = (scan(picked, p.X, p.y, spec, test=test, refit=False, delta=1e-5) for test in ("lrt", "score"))
    by_f = stats.f.sf(score.statistic * null_size(p, p.X), 1, score.dof)
    for ours, column in ((lrt.p, "p_lrt"), (by_f, "p_score")):
        np.testing.assert_allclose(ours, [float(r[column]) for r in rows], rtol=1e-6)
    np.testing.assert_allclose(scan(picked, p.X, p.y, spec).log10_p, np.log10([float(r["p_wald"]) for r in rows]),
                               atol=5e-5)  # fmt: skip


@pytest.mark.parametrize("mode", ["REML", "ML"])
def test_scan_agrees_with_40_digit_arithmetic(mode):
    rows = [r for r in table("referee_scan") if r["mode"] == mode]
    p, columns = problem("hs_n1", "Kc"), [int(r["row"]) for r in rows]
    assert len(rows) >= 20
    snps, spec = analysed_snps("hs_n1")[:, columns], lt.decompose_kinship(p.K)
    r = scan(snps, p.X, p.y, spec, test="wald" if mode == "REML" else "lrt")
    want = {key: np.array([float(row[key]) for row in rows]) for key in ("lambda", "beta", "se")}
    np.testing.assert_allclose(1 / r.delta, want["lambda"], rtol=1e-9)
    np.testing.assert_allclose(r.beta, want["beta"], atol=1e-9 * want["se"].min())
    np.testing.assert_allclose(r.se, want["se"], rtol=1e-9)


def test_the_skeleton_loses_no_digits():
    """Mixtures of its rows are the weights at any δ, and the mixtures are small."""
    G, X, y, _ = cohort(80, 300, 2, 8)
    for kernel in KERNELS.values():
        s = Scanner(X, y, kernel(G), True, "wald", None, False)
        t = np.linspace(s.t[np.isfinite(s.t)][0], s.t[np.isfinite(s.t)][-1], 501)
        mix = s.nodes(t)[0]
        assert np.abs(mix @ s.skeleton - s.weights(t)).max() < 1e-11
        assert np.abs(mix).max() < 50 and len(s.skeleton) < 50


def test_snps_and_deltas_out_of_range():
    """A reason for the SNP, or an error where no SNP can be tested; in single precision the range is smaller."""
    G, X, y, snps = cohort(50, 200, 2, 9, columns=4)
    spec, large, beyond = lt.decompose_snps(G), "its numbers are too large or too small", [1.0, 1e60, 1e-80, 1e200]
    assert scan(snps * beyond, X, y, spec).reason.tolist() == ["", "", large, large]
    assert scan(snps * beyond, X, y, spec, single=True).reason.tolist() == ["", large, large, large]
    assert lt.grammar_gamma(snps * beyond, X, y, spec).reason.tolist() == ["", "", large, large]
    with pytest.raises(ValueError, match=r"y has columns .* outside 1e-15 to 1e\+15"):
        scan(snps, X, 1e20 * y, spec, single=True)
    uncentred = lt.decompose_snps(np.random.default_rng(3).normal(size=(50, 49)))  # X explains what is outside
    for d in (2, 5):  # with two columns numbers of rounding are left, with five no Cholesky factor exists
        X = np.column_stack([np.ones(50), np.random.default_rng(0).normal(size=(50, d - 1))])
        with pytest.raises(ValueError, match="at delta = 1.0e-20 rounding leaves no digit"):
            scan(snps, X, y, uncentred, refit=False, delta=1e-20)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_single_precision_is_another_but_close(kernel):
    G, X, y, snps = cohort(60, 200, 2, 4, columns=20)
    single, double = (scan(snps, X, y, KERNELS[kernel](G), single=precision) for precision in (True, False))
    assert 0 < np.abs(single.beta - double.beta).max() < 1e-5 * double.se.min()
    assert np.abs(single.log10_p - double.log10_p).max() < 1e-5


def test_a_snp_that_is_lost_in_rounding():
    """Outside K it is a covariate, and there the weights are 1e16 times those inside."""
    G, X, y, snps = cohort(40, 7, 2, 3)
    snps[:, 0] = X[:, 1] + G @ np.ones(7)
    r = scan(snps, X, y, lt.decompose_snps(G), refit=False, delta=1e-16)
    assert r.reason.tolist() == ["rounding leaves nothing of it", "", ""]
    assert np.isnan(r.statistic).tolist() == [True, False, False]


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_any_number_type_any_order_and_no_snp_at_all(kernel):
    G, X, y, snps = cohort(40, 200, 1, 10, columns=5)
    spec = KERNELS[kernel](G)
    want = scan(snps, X, y, spec).p
    for kind in (np.int8, np.uint8, np.float32, np.int64):
        np.testing.assert_allclose(scan(snps.astype(kind), X, y, spec).p, want, rtol=1e-12)
    np.testing.assert_allclose(scan(np.asfortranarray(snps), X, y, spec).p, want, rtol=1e-12)
    np.testing.assert_allclose(scan(snps[:, ::-1], X, y, spec).p[::-1], want, rtol=1e-12)
    assert scan(snps[:, :0], X, y, spec).p.shape == (0,)
    known = {"refit": False, "delta": 1.0}
    for unit in (1e-6, 1e6):
        scaled = scan(snps * unit, X, y / unit, spec)
        np.testing.assert_allclose(scaled.p, want, rtol=1e-8)
        scaled = scan(snps * unit, X, y / unit, spec, **known)
        np.testing.assert_allclose(scaled.p, scan(snps, X, y, spec, **known).p, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_of_K_do_not_matter_at_the_ends_either(unit):
    G, X, _, snps = cohort(40, 200, 1, 10, columns=20)
    full, rng = KERNELS["full"](G), np.random.default_rng(3)
    heritable = full.U @ (np.sqrt(full.S) * rng.normal(size=40))
    for y, end in ((heritable, 0.0), (full.U @ (rng.normal(size=40) / np.sqrt(full.S)), np.inf)):
        r, scaled = (scan(snps, X, y, lt.Spectrum(full.U, c * full.S)) for c in (1.0, unit))
        assert (r.delta == end).sum() > 5
        np.testing.assert_array_equal(scaled.delta == end, r.delta == end)
        np.testing.assert_allclose(scaled.delta, unit * r.delta, rtol=1e-6)
        np.testing.assert_allclose(scaled.p, r.p, rtol=1e-8)


def test_blocks_make_no_difference_and_progress_is_told():
    G, X, y, _ = cohort(40, 200, 1, 11)
    snps = np.random.default_rng(3).integers(0, 3, size=(40, 9000)).astype(float)
    spec, calls = lt.decompose_snps(G), []
    r = scan(snps, X, y, spec, progress=lambda done, s: calls.append((done, s)))
    assert calls == [(4096, 9000), (8192, 9000), (9000, 9000)]
    np.testing.assert_allclose(scan(snps[:, 4000:4200], X, y, spec).p, r.p[4000:4200], rtol=1e-9)


def test_genotypes_in_single_precision_are_summed_in_double():
    """The part outside K is a difference of sums: |x|² less what lies along K and X."""
    G, X, y, _ = cohort(40, 25, 1, 13)
    spec, snps = lt.decompose_snps(G), np.random.default_rng(4).normal(5, 1, size=(40, 9)).astype(np.float32)
    np.testing.assert_allclose(scan(snps, X, y, spec).p, scan(snps.astype(float), X, y, spec).p, rtol=1e-9)


def test_a_scan_that_takes_long_shows_how_far_it_is(terminal):
    G, X, y, snps = cohort(40, 200, 1, 11)
    scan(snps, X, y, lt.decompose_snps(G))
    assert terminal.getvalue() == f"\r{snps.shape[1]} of {snps.shape[1]} SNPs\n"


def test_an_interrupted_scan_keeps_what_is_done():
    G, X, y, _ = cohort(40, 200, 1, 12)
    snps = np.random.default_rng(3).integers(0, 3, size=(40, 9000)).astype(float)

    def stop(done, s):
        if done > 5000:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="8192 of 9000 SNPs are done"):
        r = scan(snps, X, y, lt.decompose_snps(G), progress=stop)
    assert r.p.size == 9000 and np.isfinite(r.p[:8192]).all() and np.isnan(r.p[8192:]).all()
    assert set(r.reason[:8192]) == {""} and set(r.reason[8192:]) == {"not reached"} and r.reason.size == 9000
    assert r.missing.size == 9000 and r.missing.dtype == np.int64 and not r.missing.any()


def test_a_scan_that_is_interrupted_at_its_end_is_whole():
    G, X, y, snps = cohort(40, 200, 1, 12)

    def stop(done, s):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=f"{snps.shape[1]} of {snps.shape[1]} SNPs are done"):
        r = scan(snps, X, y, lt.decompose_snps(G), progress=stop)
    np.testing.assert_array_equal(r.p, scan(snps, X, y, lt.decompose_snps(G)).p)


def test_a_scan_that_is_interrupted_at_once_has_reached_nothing(monkeypatch):
    G, X, y, snps = cohort(40, 200, 1, 12)
    plain = Scanner.block

    def stopped(self, block):
        if block.size:
            raise KeyboardInterrupt
        return plain(self, block)

    monkeypatch.setattr(Scanner, "block", stopped)
    with pytest.warns(UserWarning, match="0 of 3 SNPs are done"):
        r = scan(snps, X, y, lt.decompose_snps(G))
    assert r.reason.tolist() == ["not reached"] * 3 and np.isnan(r.p).all() and r.missing.tolist() == [0] * 3


def test_null_p_values_are_uniform():
    """With δ known, F is exactly F(1, n - d - 1): traits drawn from the model, SNPs independent of them."""
    rng = np.random.default_rng(13)
    G, X, _, snps = cohort(100, 150, 2, 13, columns=40)
    spec = lt.decompose_snps(G)
    root = np.linalg.cholesky(G @ G.T + 0.8 * np.eye(100))
    traits = (root @ rng.normal(size=(100, 1500))).T
    F = [scan(snps[:, [i % 40]], X, y, spec, refit=False, delta=0.8).statistic[0] for i, y in enumerate(traits)]
    F = np.array(F)
    assert stats.kstest(stats.f.sf(F, 1, 97), "uniform").pvalue > 0.01
    assert stats.kstest(stats.f.sf(F / 1.2, 1, 97), "uniform").pvalue < 0.01  # the test can fail


def test_tails_do_not_underflow():
    """Values from 60-digit arithmetic (mpmath's incomplete beta and complementary error functions)."""
    assert log10_sf_chi2(1840.0) == pytest.approx(-401.28162791078535, rel=1e-12)
    for F, dof in ((3.0, 5), (0.2, 1408), (40.0, 300)):
        assert log10_sf_f(F, dof) == pytest.approx(stats.f.logsf(F, 1, dof) / np.log(10), rel=1e-9)
    for F, dof, want in ((1e4, 1408, -641.30310480064201), (2000.0, 10**4, -397.61544224203549)):
        assert log10_sf_f(F, dof) == pytest.approx(want, rel=1e-12)
    steps = np.diff(log10_sf_f(np.linspace(1320.0, 1345.0, 11), 10**6))  # on both sides of where the formula changes
    assert np.ptp(steps) < 1e-4 * np.abs(steps).max()
    assert log10_sf_f(0.0, 7) == 0.0 and np.shape(log10_sf_f(1.0, 7)) == ()
    np.testing.assert_array_equal(log10_sf_f([[1, 2], [3, 4]], 7).ravel(), log10_sf_f([1, 2, 3, 4], 7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"snps": np.ones((39, 2))}, r"40 rows, one per individual.*\(39, 2\)"),
        ({"snps": np.ones(40)}, "shape"),
        ({"snps": np.array([["0"] * 2] * 40)}, "numbers"),
        ({"snps": np.full((40, 1), np.inf)}, "infinite"),
        ({"test": "f"}, "'f' is none of wald, lrt, score"),
        ({"delta": 1.0}, "needs refit=False"),
        ({"delta": -1.0, "refit": False}, "must be 0 or more"),
        ({"X": np.random.default_rng(1).normal(size=(40, 38))}, "leave 1 degrees"),
    ],
)
def test_bad_input_is_named(options, message):
    G, X, y, snps = cohort(40, 200, 1, 14)
    given = {"snps": snps, "X": X, "y": y, "spec": lt.decompose_snps(G)} | options
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        scan(given.pop("snps"), given.pop("X"), given.pop("y"), given.pop("spec"), **given)


def test_genomic_inflation_is_the_factor_of_the_statistics():
    uniform = np.arange(1, 1000) / 1000
    assert lt.lambda_gc(uniform) == pytest.approx(1, abs=1e-12)
    inflated = stats.chi2.sf(1.3 * stats.chi2.isf(uniform, 1), 1)
    assert lt.lambda_gc([*inflated, np.nan]) == pytest.approx(1.3, rel=1e-12)
    assert lt.lambda_gc([0.0, 0.5, 1.0]) == pytest.approx(1, abs=1e-12)
    for wrong in ([], [np.nan], [0.5, 1.1], [-0.1]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            lt.lambda_gc(wrong)


def test_an_optimum_in_the_lowest_cell_of_the_grid_is_found():
    """nLL at the grid's lower end is below that at the next value, and lowest between the two."""
    S, rng = np.repeat([1000.0, 1.0, 0.0], [3, 3, 4]), np.random.default_rng(1)
    y, X = np.array([7.3, 4.5, 17.3, 1.9, 0.7, 3.9, 0.5, 0.0, 0.1, 2.0]), np.eye(10)[:, -1:]
    spec = lt.decompose_kinship(np.diag(S))
    x = (0.05 * rng.normal(size=(10, 60)) * np.sqrt(S + 1)[:, None])[:, [58]]
    r, f = lt.scan(x, X, y, spec), lt.LMM(spec, np.column_stack([X, x]), y).fit(reml=True)
    assert -10 < np.log(f.delta / S.mean()) < -9
    assert r.delta[0] == pytest.approx(f.delta, rel=1e-9) and r.beta[0] == pytest.approx(f.beta[-1], rel=1e-9)
