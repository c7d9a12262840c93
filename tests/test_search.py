"""`search.minima` on functions whose minima are known."""

import numpy as np
import pytest

from lmm_teach.search import minima


def test_every_minimum_is_found_and_no_maximum():
    # f = cos(t) has minima at odd multiples of pi
    found = minima(lambda t: -np.sin(t), np.linspace(0, 20, 101))
    assert found == pytest.approx([np.pi, 3 * np.pi, 5 * np.pi], abs=1e-12)


def test_monotone_functions_have_none():
    assert minima(lambda t: np.exp(t), np.linspace(-3, 3, 20)) == []
    assert minima(lambda t: -np.exp(t), np.linspace(-3, 3, 20)) == []


def test_a_minimum_on_a_grid_point():
    assert minima(lambda t: t, np.linspace(-1, 1, 3)) == pytest.approx([0.0], abs=1e-13)


@pytest.mark.parametrize(
    ("grid", "slope", "message"),
    [
        ([1.0], np.sin, "grid of 1 points"),
        ([0.0, 2.0, 1.0], np.sin, "increasing order"),
        ([0.0, np.nan], np.sin, "1 NaN"),
        ([0.0, 1.0], lambda t: t * np.nan, "the slope holds 2 NaN"),
    ],
)
def test_bad_input_is_named(grid, slope, message):
    with pytest.raises(ValueError, match=message):
        minima(slope, np.array(grid))
