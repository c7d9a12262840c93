"""FaST-LMM's defects: what it printed is what the wrong formula gives, and not what the right one and lmm_teach give.

The numbers of ``reference/golden/fastlmm_defects.csv`` are FaST-LMM's, written by ``reference/fastlmm_defects.py``,
which also makes the data and says what each defect is. FaST-LMM itself is not needed here.
"""

import csv
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import null_space
from scipy.optimize import minimize, minimize_scalar

import lmm_teach as lt
from lmm_teach import dense, projection

SCRIPT = Path(__file__).resolve().parents[1] / "reference" / "fastlmm_defects.py"
SPEC = importlib.util.spec_from_file_location("fastlmm_defects", SCRIPT)
defects = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(defects)

H2, DELTA, SIGMA2, DOF, SCALE, TINY = (getattr(defects, name) for name in "H2 DELTA SIGMA2 DOF SCALE TINY".split())
P, T = defects.problem(), defects.student()
X, y, G, few, Z = (P[name] for name in ("X", "y", "G", "few", "Z"))
K, K_few = G @ G.T, few @ few.T
n, d = X.shape
EYE = np.eye(n)
TWICE, EMPTY = defects.doubled(X), np.column_stack([X, np.zeros(n)])
M, M_few = (dense.covariance(kernel, h2=H2) for kernel in (K, K_few))
M_delta = K_few + DELTA * EYE

with defects.TABLE.open(newline="") as file:
    FASTLMM = {(row["defect"], row["quantity"]): float(row["fastlmm"]) for row in csv.DictReader(file)}


# ---- dense formulas, written here once more so that they share nothing with the package ----


def nll(logdet, q, N):
    """The profile: σ̂² = q / N inserted."""
    return 0.5 * (logdet + N * (math.log(2 * math.pi * q / N) + 1))


def contrasts(M, X, y):
    """REML's log-determinant, quadratic form and number of contrasts, for an X of any rank."""
    A = null_space(X.T)
    inner = A.T @ M @ A
    if np.linalg.eigvalsh(inner)[0] <= 0:
        return math.nan, math.nan, A.shape[1]
    return np.linalg.slogdet(inner)[1], A.T @ y @ np.linalg.solve(inner, A.T @ y), A.shape[1]


def reml(M, X, y):
    return nll(*contrasts(M, X, y))


def from_sums(C, c, yy, logdet_M, X):
    """REML as lmm.py puts it together from XᵀM⁻¹X, XᵀM⁻¹y, yᵀM⁻¹y and log|M|."""
    logdet_C, logdet_XX = (float(np.linalg.slogdet(A)[1]) for A in (C, X.T @ X))
    return nll(logdet_M + logdet_C - logdet_XX, yy - c @ np.linalg.solve(C, c), len(y) - X.shape[1])


def t_nll(K, data, scale, reml, **form):
    """Student's t by matrices: shape scale · (h²K + (1-h²)I), or scale · (K + δI) for the form that FaST-LMM has."""
    X, y = data["X"], data["y"]
    shape = K + form["delta"] * np.eye(len(y)) if "delta" in form else dense.covariance(K, **form)
    A = null_space(X.T) if reml else np.eye(len(y))
    inverse = np.linalg.inv(shape)
    beta = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ y)
    return dense.student_nll(A.T @ y, A.T @ X @ beta, scale * A.T @ shape @ A, DOF)


def optimum(value):
    grid = np.linspace(0, 0.9999, 21)
    h2 = grid[np.argmin([value(v) for v in grid])]
    ends = max(h2 - 0.05, 0.0), min(h2 + 0.05, 0.9999)
    found = minimize_scalar(value, bounds=ends, options={"xatol": 1e-9})
    return {"nLL": found.fun, "h2": found.x}


# ---- the wrong formulas ----


def one_pair_too_many():
    """1, full rank: three eigenpairs are dropped for an X of rank two, and N = n - 3."""
    Pi = EYE - TWICE @ np.linalg.pinv(TWICE)
    S, U = np.linalg.eigh(Pi @ (K + EYE) @ Pi)
    D = H2 * (S[3:] - 1) + 1 - H2
    return nll(np.log(D).sum(), ((U[:, 3:].T @ Pi @ y) ** 2 / D).sum(), n - 3)


def one_direction_too_few():
    """1, low rank: N = n - 3, so that n - 3 - k directions are counted outside."""
    Pi = EYE - TWICE @ np.linalg.pinv(TWICE)
    U, s, _ = np.linalg.svd(Pi @ few, full_matrices=False)
    r, D = Pi @ y, H2 * s**2 + 1 - H2
    outside = r - U @ (U.T @ r)
    q = ((U.T @ r) ** 2 / D).sum() + outside @ outside / (1 - H2)
    return nll(np.log(D).sum() + (n - 3 - 12) * math.log(1 - H2), q, n - 3)


def logarithms_of_zero():
    """2: log|XᵀM⁻¹X| - log|XᵀX| = -inf + inf."""
    C = EMPTY.T @ np.linalg.solve(M, EMPTY)
    return float(np.linalg.slogdet(C)[1]) - float(np.linalg.slogdet(EMPTY.T @ EMPTY)[1])


def wrong_sign_outside():
    """5: Ω = 1 - wᵀM⁻¹w with the sign of its part outside turned round."""
    w, inverse = P["w"], np.linalg.inv(M_delta)
    U = np.linalg.svd(few, full_matrices=False)[0]
    outside = w - U @ (U.T @ w)
    omega = 1 - w @ inverse @ w + 2 * (outside @ outside) / DELTA
    XM, yM = X.T @ inverse, y @ inverse
    C, c = XM @ X + np.outer(XM @ w, XM @ w) / omega, XM @ y + (XM @ w) * (yM @ w) / omega
    return from_sums(C, c, yM @ y + (yM @ w) ** 2 / omega, np.linalg.slogdet(M_delta)[1] + math.log(omega), X)


def long_eigenvectors():
    """6: U = GV/√S with S scaled to the sum n; here it is twice too long, and S is a fourth of what it was."""
    left, s, _ = np.linalg.svd(2 * few, full_matrices=False)
    S = s**2 * n / (s**2).sum()
    U = left * (s / np.sqrt(S))
    D, data = H2 * S + 1 - H2, np.column_stack([X, y])
    along = U.T @ data
    outside = data - U @ along
    T = along.T @ (along / D[:, None]) + outside.T @ outside / (1 - H2)
    logdet_M = np.log(D).sum() + (n - 12) * math.log(1 - H2)
    return from_sums(T[:d, :d], T[:d, d], T[d, d], logdet_M, X)


def predicted_variance(power):
    """8: σ²(K** + δI - a(K + δI)⁻¹aᵀ), of which the part outside the eigenvectors is multiplied by σ² to a power."""
    a, U = P["across"], np.linalg.svd(few, full_matrices=False)[0]
    outside = a - a @ U @ U.T
    explained = a @ np.linalg.solve(M_delta, a.T) - outside @ outside.T / DELTA
    between = P["new"] @ P["new"].T + DELTA * np.eye(3)
    return (SIGMA2 * (between - explained) - SIGMA2**power * outside @ outside.T / DELTA)[0, 0]


def score_variance(crossed):
    """9: inverse information of the tested component, at the h² that FaST-LMM found, with 2<A, B> or without."""
    h2, G1 = FASTLMM["9", "h2 of the null model"], P["tested"]
    V = dense.covariance(K_few, h2=h2)
    V = V * contrasts(V, X, y)[1] / (n - d)  # the total variance by REML
    A = null_space(X.T)
    P_V = A @ np.linalg.inv(A.T @ V @ A) @ A.T
    U = np.linalg.svd(A @ (A.T @ few), full_matrices=False)[0]  # the eigenvectors, covariates projected out
    along, outside = G1.T @ P_V @ U @ U.T @ G1, G1.T @ P_V @ (EYE - U @ U.T) @ G1
    square = ((along + outside) ** 2).sum() if crossed else (along**2).sum() + (outside**2).sum()
    null, with_tested = [P_V, P_V @ K_few], P_V @ G1 @ G1.T
    information = 0.5 * np.array([[np.trace(a @ b) for a in null] for b in null])
    cross = 0.5 * np.array([np.trace(with_tested @ a) for a in null])
    return 1 / (0.5 * square - cross @ np.linalg.solve(information, cross))


def without_beta():
    """12: all eigenvalues of XᵀM⁻¹X are below 1e-10, so β = 0; the determinants cancel as they should."""
    C = X.T @ np.linalg.solve(M, X)
    logdet = np.linalg.slogdet(M)[1] + np.linalg.slogdet(C)[1] - np.linalg.slogdet(X.T @ X)[1]
    return nll(logdet, y @ np.linalg.solve(M, y), n - d)


# ---- lmm_teach ----


def model(G, X=X, y=y):
    return lt.LMM(lt.decompose_snps(G), X, y)


def ours(G=G, X=X, y=y, *, reml=True, **options):
    return model(G, X, y).evaluate(reml=reml, **options or {"h2": H2})


def ridge(e):
    """Effects of the SNPs by ridge regression on y - Xβ."""
    return np.linalg.solve(few.T @ few + DELTA * np.eye(12), few.T @ (y - X @ e.beta))


def trace_after_projecting():
    kernel = K.copy()
    projection.project_kinship(kernel, X, y)
    return np.trace(kernel)


@dataclass(frozen=True)
class Case:
    """How to get FaST-LMM's number, the right one by matrices, and the right one by lmm_teach.

    `wrong` is None where FaST-LMM is right (a row for comparison), `ours` where lmm_teach has no such function.
    """

    wrong: Callable[[], float] | None
    right: Callable[[], float]
    ours: Callable[[], float] | None
    rel: float = 1e-8


def downdated(weight):
    W = G[:, :2]
    return reml(M - weight * W @ W.T, X, y)


def student_case(reml_, scale, **form):
    def by_matrices(**other):
        return t_nll(T["G"] @ T["G"].T, T, scale, reml_, **other)

    return Case(
        (lambda: by_matrices(**form)) if "delta" in form else None,
        lambda: by_matrices(h2=0.5),
        lambda: model(T["G"], T["X"], T["y"]).evaluate(reml=reml_, dof=DOF, scale=scale, **form).nll,
    )


def search_case(quantity, dropped):
    K_t, m = T["G"] @ T["G"].T, model(T["G"], T["X"], T["y"])
    return Case(
        (lambda: optimum(lambda h2: reml(dense.covariance(K_t, h2=h2), T["X"], T["y"]))[quantity]) if dropped else None,
        lambda: optimum(lambda h2: t_nll(K_t, T, SCALE, True, h2=h2))[quantity],
        lambda: optimum(lambda h2: m.evaluate(h2=h2, reml=True, dof=DOF, scale=SCALE).nll)[quantity],
        rel=1e-8 if quantity == "nLL" else 1e-6,  # Brent's method stops there
    )


def best_mixture(reml):
    """The lowest nLL over both weights, by the dense model."""
    mixture = lambda v: dense.evaluate((1 - v[0]) * K + v[0] * K_few, X, y, h2=v[1], reml=reml).nll
    return minimize(mixture, (0.3, 0.7), bounds=[(0, 1), (0, 0.99)]).fun


def variance_case():
    def right():
        return dense.evaluate(K, X, y, h2=H2, reml=False).beta_cov[1, 1]

    return Case(lambda: H2 * right(), right, lambda: ours(reml=False).beta_cov[1, 1])


def scale_case(quantity, scale):
    V = dense.covariance(T["G"] @ T["G"].T, h2=0.5)
    e = model(T["G"], T["X"], T["y"]).evaluate(h2=0.5, reml=True)
    if quantity == "nLL":
        return Case(None, lambda: reml(scale * V, T["X"], T["y"]), lambda: e.nll)
    _, q, N = contrasts(V, T["X"], T["y"])
    return Case((lambda: q / N / scale) if scale != 1 else None, lambda: q / N, lambda: e.sigma2_g + e.sigma2_e)


CASES = {
    ("1", "nLL, full rank"): Case(one_pair_too_many, lambda: reml(M, TWICE, y), lambda: ours(X=TWICE).nll),
    ("1", "nLL, low rank"): Case(
        one_direction_too_few, lambda: reml(M_few, TWICE, y), lambda: ours(few, X=TWICE).nll
    ),
    ("2", "nLL, X with a column of zeros"): Case(
        logarithms_of_zero, lambda: reml(M, EMPTY, y), lambda: ours(X=EMPTY).nll
    ),
    ("2", "sigma2, X with a column twice"): Case(
        lambda: contrasts(M, TWICE, y)[1] / (n - 3),
        lambda: contrasts(M, TWICE, y)[1] / (n - 2),
        lambda: ours(X=TWICE).sigma2_g + ours(X=TWICE).sigma2_e,
    ),
    ("3", "variance_beta[1], h2"): variance_case(),
    ("3", "variance_beta[1], delta"): variance_case(),
    ("4", "nLL, delta"): Case(None, lambda: downdated(H2), lambda: ours(delta=DELTA, exclude=G[:, :2]).nll),
    ("4", "nLL, K of trace n"): Case(
        lambda: downdated(1.0), lambda: downdated(H2), lambda: ours(h2=H2, exclude=G[:, :2]).nll
    ),
    ("4", "nLL, K of trace n s"): Case(
        lambda: reml(dense.covariance(Z @ Z.T, h2=0.02) - Z[:, :2] @ Z[:, :2].T, X, y),
        lambda: reml(dense.covariance(Z[:, 2:] @ Z[:, 2:].T, h2=0.02), X, y),
        lambda: ours(Z, h2=0.02, exclude=Z[:, :2]).nll,
    ),
    ("5", "nLL, delta"): Case(
        wrong_sign_outside,
        lambda: reml(M_delta - np.outer(P["w"], P["w"]), X, y),
        lambda: ours(few, delta=DELTA, exclude=P["w"][:, None]).nll,
    ),
    ("6", "U[:, 0] @ U[:, 0]"): Case(
        lambda: np.trace(4 * K_few) / n, lambda: 1.0, lambda: (lt.decompose_snps(2 * few).U[:, 0] ** 2).sum()
    ),
    ("6", "nLL"): Case(
        long_eigenvectors, lambda: reml(dense.covariance(4 * K_few, h2=H2), X, y), lambda: ours(2 * few).nll
    ),
    ("7", "weights[0], h2"): Case(
        lambda: few[:, 0] @ np.linalg.solve(M_few, y - X @ ours(few).beta),
        lambda: few[:, 0] @ np.linalg.solve(M_delta, y - X @ dense.evaluate(K_few, X, y, h2=H2, reml=True).beta),
        lambda: ridge(ours(few))[0],
    ),
    ("8", "variance[0, 0]"): Case(lambda: predicted_variance(-1), lambda: predicted_variance(1), None),
    ("9", "h2 of the null model"): Case(
        None, lambda: optimum(lambda h2: reml(dense.covariance(K_few, h2=h2), X, y))["h2"],
        lambda: model(few).fit(reml=True).h2, rel=1e-6,
    ),
    ("9", "varsqform"): Case(lambda: score_variance(False), lambda: score_variance(True), None),
    ("10", "caller's trace of K"): Case(lambda: np.trace(K + EYE), lambda: np.trace(K), trace_after_projecting),
    ("10", "nLL, decomposed again"): Case(
        lambda: reml(M + H2 * EYE, X, y), lambda: reml(M, X, y), lambda: projection.project_kinship(K, X, y).nll(h2=H2)
    ),
    ("12", "beta[1], X in small units"): Case(
        lambda: 0.0,
        lambda: 1e7 * dense.evaluate(K, X, y, h2=H2, reml=True).beta[1],
        lambda: ours(X=1e-7 * X).beta[1],
    ),
    ("12", "nLL, X in small units"): Case(without_beta, lambda: reml(M, X, y), lambda: ours(X=1e-7 * X).nll),
    ("12", "nLL, y in small units"): Case(
        lambda: -math.inf, lambda: reml(M_few, X, TINY * y), lambda: ours(few, y=TINY * y).nll
    ),
    ("12", "rank of K, G in small units"): Case(
        lambda: (np.linalg.svd(TINY * few)[1] > 1e-10).sum(),
        lambda: np.linalg.matrix_rank(TINY * few),
        lambda: lt.decompose_snps(TINY * few).k,
    ),
    **{
        ("13", f"{quantity} of {method}"): search_case(quantity, method != "lmm_cov.findH2")
        for method in ("lmm.findH2", "lmm.find_log_delta", "lmm_cov.findH2", "lmm_cov.find_log_delta")
        for quantity in ("nLL", "h2")
    },
    ("13", "nLL of lmm.findA2, REML=False"): Case(
        lambda: best_mixture(True), lambda: best_mixture(False), lambda: lt.fit_a2(K, K_few, X, y, reml=False).fit.nll
    ),
    **{
        ("14", f"nLL, {form}, {'REML' if kind else 'ML'}"): student_case(kind, scale, **values)
        for form, scale, values in (
            ("h2=0.5", 1.0, {"h2": 0.5}), ("h2=0.5, scale=4", SCALE, {"h2": 0.5}), ("delta=1", 1.0, {"delta": 1.0})
        )
        for kind in (True, False)
    },
    ("14", "nLL, delta=1, lmm_cov"): student_case(True, 1.0, delta=1.0),
    **{
        ("15", f"{quantity}, scale={scale:g}{where}"): scale_case(quantity, scale)
        for quantity, where in (("nLL", ""), ("sigma2", ""), ("nLL", ", lmm_cov"))
        for scale in (1.0, SCALE)
    },
    ("16", "h2, delta"): Case(lambda: 0.0, lambda: 1 / (1 + DELTA), lambda: ours(delta=DELTA).h2),
}  # fmt: skip


def test_every_number_has_a_case_and_every_case_a_number():
    assert set(CASES) == set(FASTLMM)


@pytest.mark.parametrize("key", CASES, ids=lambda key: f"{key[0]}: {key[1]}")
def test_fastlmm_is_wrong_in_the_way_we_say(key):
    case, printed = CASES[key], FASTLMM[key]
    right = float(case.right())
    assert math.isfinite(right)
    if case.wrong is None:
        assert printed == pytest.approx(right, rel=case.rel, abs=0)
    else:
        assert printed == pytest.approx(float(case.wrong()), rel=case.rel, abs=0, nan_ok=True)
        assert not abs(printed - right) <= 1e-3 * abs(right)
    if case.ours is not None:
        assert float(case.ours()) == pytest.approx(right, rel=case.rel, abs=0)
