"""`rotation` against explicit projectors."""

import numpy as np
import pytest

import lmm_teach as lt


@pytest.mark.parametrize("s", [1, 5, 11, 12, 30])
def test_the_two_parts_make_up_the_whole(s):
    rng = np.random.default_rng(s)
    G = lt.standardize(rng.normal(size=(12, s)))
    spec = lt.decompose_snps(G)
    A = rng.normal(size=(12, 3))
    parts = lt.rotate(spec, A)
    np.testing.assert_allclose(parts.along, spec.U.T @ A, atol=1e-14)
    np.testing.assert_allclose(spec.U @ parts.along + parts.outside, A, atol=1e-14)
    np.testing.assert_allclose(spec.U.T @ parts.outside, 0, atol=1e-13)


def test_nothing_is_outside_a_full_basis():
    spec = lt.decompose_kinship(np.diag([3.0, 2.0, 1.0]))
    parts = lt.rotate(spec, np.eye(3))
    assert parts.outside is None
    np.testing.assert_allclose(np.abs(parts.along), np.eye(3))


def test_bad_input_is_named():
    spec = lt.decompose_kinship(np.eye(3))
    with pytest.raises(ValueError, match="^A has 4 rows, but there are 3 individuals"):
        lt.rotate(spec, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"2-d.*\(3,\)"):
        lt.rotate(spec, np.zeros(3))
