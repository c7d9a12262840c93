"""`search.minima` on functions whose minima are known."""

import numpy as np
import pytest

from lmm_teach.search import minima, newton


def test_every_minimum_is_found_and_no_maximum():
    # f = cos(t) has minima at odd multiples of pi
    found = minima(lambda t: (-np.sin(t), -np.cos(t)), np.linspace(0, 20, 101))
    assert found == pytest.approx([np.pi, 3 * np.pi, 5 * np.pi], abs=1e-12)


def test_monotone_functions_have_none():
    assert minima(lambda t: (np.exp(t), np.exp(t)), np.linspace(-3, 3, 20)) == []
    assert minima(lambda t: (-np.exp(t), -np.exp(t)), np.linspace(-3, 3, 20)) == []


def test_a_minimum_on_a_grid_point():
    assert minima(lambda t: (t, np.ones_like(t)), np.linspace(-1, 1, 3)) == pytest.approx([0.0], abs=1e-13)
    assert minima(lambda t: (t - 1, np.ones_like(t)), np.linspace(-1, 1, 3)) == pytest.approx([1.0], abs=1e-13)


def test_brackets_that_newton_leaves_are_bisected():
    """Slopes with a flat foot, a kink's worth of curvature and an inflection, from brackets wide and lopsided."""
    cases = [(lambda t: np.tanh(20 * (t - 3)), lambda t: 20 / np.cosh(np.clip(20 * (t - 3), -300, 300)) ** 2, 3.0),
             (lambda t: np.cbrt(t - 1), lambda t: np.cbrt(np.abs(t - 1) + 1e-300) ** -2 / 3, 1.0),
             (lambda t: (t + 2) ** 3, lambda t: 3 * (t + 2) ** 2, -2.0)]  # fmt: skip
    for slope, curvature, root in cases:
        found = newton(lambda t, s=slope, c=curvature: (s(t), c(t)), np.array([root - 9.0]), np.array([root + 0.3]))
        assert found == pytest.approx([root], abs=1e-6)


@pytest.mark.parametrize(("slope", "curvature", "root", "low", "high", "evaluations"), [
    (lambda t: t - 0.2, np.ones_like, 0.2, -1.0, 2.0, 2),
    (lambda t: t - 1e9, np.ones_like, 1e9, 9e8, 1.3e9, 2),
    (lambda t: t**2 - 1, lambda t: 2 * t, 1.0, 0.5, 1.52, 3),  # steps of 1e-2, 5e-5 and 1e-9, which is the last
    (lambda t: 1 + t**3, lambda t: 3 * t**2, -1.0, -3.0, 3.0, 7),  # without curvature in the middle: bisected
])  # fmt: skip
def test_a_step_below_1e_8_is_the_last(slope, curvature, root, low, high, evaluations):
    calls = []

    def derivatives(t):
        calls.append(t)
        return slope(t), curvature(t)

    assert newton(derivatives, np.array([low]), np.array([high])) == pytest.approx([root], rel=1e-13)
    assert len(calls) == evaluations


def test_a_root_of_high_order_stays_in_its_bracket_when_the_steps_run_out():
    """Newton's steps go 1/101 of the way each, so that 200 of them leave a seventh of it."""
    found = newton(lambda t: ((t - 1) ** 101, 101 * (t - 1) ** 100), np.array([0.5]), np.array([2.0]))
    assert found == pytest.approx([1.0], abs=0.25 / 7)


def test_the_slopes_on_the_grid_may_be_given():
    calls = []

    def derivatives(t):
        calls.append(t.size)
        return t - 0.2, np.ones_like(t)

    grid = np.linspace(-1, 1, 21)
    assert minima(derivatives, grid, grid - 0.2) == pytest.approx([0.2], abs=1e-15)
    assert max(calls) == 1


@pytest.mark.parametrize(
    ("grid", "slope", "message"),
    [
        ([1.0], lambda t: (t, t), "grid of 1 points"),
        (0.0, lambda t: (t, t), "^grid must be 1-d"),
        ([0.0, 2.0, 1.0], lambda t: (t, t), "increasing order"),
        ([0.0, 1.0, 1.0], lambda t: (t, t), "increasing order"),
        ([0.0, 1.0], lambda t: (t[1:], t), "the slope has 1 rows"),
        ([0.0, np.nan], lambda t: (t, t), "1 NaN"),
        ([0.0, 1.0], lambda t: (t * np.nan, t), "the slope holds 2 NaN"),
    ],
)
def test_bad_input_is_named(grid, slope, message):
    with pytest.raises(ValueError, match=message):
        minima(slope, np.array(grid))
