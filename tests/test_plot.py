"""The figure style: what it draws, that it leaves nothing behind, and that errors name the fault."""

import io
import types

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from lmm_teach import plot


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def colour_distance(picture: bytes, colour: tuple[int, int, int]) -> int:
    """Return how far the nearest pixel is from a colour (the largest of the three channels)."""
    return int(np.abs(pixels(picture) - colour).max(axis=2).min())


def test_axes_has_the_asked_size_and_touches_no_global_state():
    before = dict(matplotlib.rcParams)
    fig, ax = plot.axes(width=500, height=300)
    assert pixels(plot.png(fig)).shape == (300, 500, 3)
    assert repr(fig) == "<Figure size 500x300 with 1 Axes>"
    assert not ax.spines["top"].get_visible() and ax.spines["left"].get_visible()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_axes_panels_share_what_is_asked():
    fig, axes = plot.axes(2, 3, sharey=True)
    assert axes.shape == (2, 3) and len(fig.axes) == 6
    assert axes[0, 0].get_shared_y_axes().joined(axes[0, 0], axes[1, 2])


@pytest.mark.parametrize("wrong", [{"nrows": 0}, {"width": 0}, {"height": -1}])
def test_axes_refuses(wrong):
    with pytest.raises(ValueError, match="positive"):
        plot.axes(**wrong)


def test_text_is_large_enough_for_a_telephone():
    fig, ax = plot.axes()
    ax.plot([0, 1], label="a curve")
    labels = [
        *ax.get_xticklabels(),
        *ax.get_yticklabels(),
        ax.xaxis.label,
        *ax.legend().get_texts(),
    ]
    assert min(text.get_size() for text in labels) / 72 * fig.dpi * 375 / 640 > 9  # pixels


def test_first_colours_are_told_apart_and_dark_enough_on_white():
    _, ax = plot.axes()
    cycle = [ax.plot([0, 1])[0].get_color() for _ in range(7)]
    assert len(set(cycle)) == 7 and cycle[:2] == [plot.BLUE, plot.VERMILLION]
    assert plot.YELLOW not in cycle


def test_png_is_small_deterministic_and_white():
    def draw() -> plot.Figure:
        fig, ax = plot.axes()
        ax.plot(np.sin(np.linspace(0, 9, 300)))
        return fig

    fig = draw()
    first = plot.png(fig)
    assert first == plot.png(fig) == plot.png(draw())
    assert len(Image.open(io.BytesIO(first)).getcolors()) <= 64
    assert tuple(pixels(first)[0, 0]) == (255, 255, 255)
    assert fig.dpi == plot.DPI


def test_png_of_a_transparent_figure_has_a_white_ground():
    fig = Figure(figsize=(1, 1), facecolor=(0, 0, 0, 0))
    assert (pixels(plot.png(fig)) == 255).all()


def test_notebook_picture_is_drawn_at_twice_the_shown_size():
    fig, _ = plot.axes(width=300, height=200)
    picture, shown = fig._repr_png_()
    assert pixels(picture).shape == (400, 600, 3)
    assert shown == {"width": 300, "height": 200}
    assert repr(fig) == "<Figure size 300x200 with 1 Axes>"


def test_heatmap_keeps_both_ends_of_the_colour_bar():
    K = np.random.default_rng(0).normal(0.5, 0.02, (80, 80))
    fig, ax = plot.axes()
    plot.heatmap(ax, K, limits=(0, 1))
    picture = plot.png(fig)
    assert colour_distance(picture, (68, 1, 84)) < 20  # viridis at 0
    assert colour_distance(picture, (253, 231, 37)) < 20  # and at 1


def test_heatmap_draws_boundaries_names_and_label():
    K = np.eye(60)
    groups = ["a"] * 30 + ["b"] * 1 + ["c"] * 29
    kept = K.copy()
    fig, ax = plot.axes()
    plot.heatmap(ax, K, groups, label="kinship")
    assert [line.get_ydata()[0] for line in ax.lines[::2]] == [29.5, 30.5]
    assert [line.get_xdata()[0] for line in ax.lines[1::2]] == [29.5, 30.5]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "c"]  # b is too small to carry a name
    assert list(ax.get_yticks()) == [14.5, 45.0]
    assert fig.axes[1].get_ylabel() == "kinship"
    np.testing.assert_array_equal(K, kept)


@pytest.mark.parametrize(
    ("K", "groups", "message"),
    [
        (np.ones((2, 3)), None, r"\(2, 3\).*square"),
        (np.array([[1.0, np.nan], [0, 1]]), None, "1 values that are not finite"),
        (np.eye(3), ["a", "b"], r"\(2,\).*3 x 3"),
        (np.eye(3), ["a", "b", "a"], "group a is in 2 pieces"),
    ],
)
def test_heatmap_refuses(K, groups, message):
    _, ax = plot.axes()
    with pytest.raises(ValueError, match=message):
        plot.heatmap(ax, K, groups)


def test_profile_marks_the_optimum():
    h2 = np.linspace(0, 1, 11)
    fig, ax = plot.axes()
    plot.profile(ax, h2, (h2 - 0.42) ** 2, types.SimpleNamespace(h2=0.42, nll=0.0))
    curve, line, point = ax.lines
    np.testing.assert_array_equal(curve.get_xdata(), h2)
    assert list(line.get_xdata()) == [0.42, 0.42]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (0.42, 0.0)
    assert ax.get_legend().get_texts()[0].get_text() == "optimum, h² = 0.420"
    assert ax.get_xlabel() and ax.get_ylabel()
    with pytest.raises(ValueError, match=r"\(11,\).*\(10,\)"):
        plot.profile(ax, h2, h2[:10], types.SimpleNamespace(h2=0.42, nll=0.0))


def sample(x):
    """Add one.

    More words.
    """

    def inner():
        "Inner words."
        return 1

    return x + inner()  # kept


class Sample:
    """Words."""

    @property
    def half(self):
        """Words."""
        return "not a docstring"

    def empty(self):
        """Nothing else."""


def test_source_leaves_out_docstrings_only():
    shown = plot.source(sample)
    assert (
        shown.code == "def sample(x):\n    def inner():\n        return 1\n\n    return x + inner()  # kept"
    )
    scope = {}
    exec(shown.code, scope)
    assert scope["sample"](1) == sample(1) == 2
    assert plot.source(Sample.half).code == '@property\ndef half(self):\n    return "not a docstring"'
    assert plot.source(Sample).code.startswith("class Sample:\n    @property")
    assert '"""Nothing else."""' in plot.source(Sample).code  # it is the whole body


def test_source_is_shown_as_markdown():
    bundle = plot.source(plot.axes)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown"}
    assert bundle["text/plain"] == "<source of lmm_teach.plot.axes>"
    assert bundle["text/markdown"].startswith("```python\ndef axes(")
    assert bundle["text/markdown"].endswith("\n```")


def test_source_refuses_what_has_none():
    with pytest.raises(ValueError, match="no Python source"):
        plot.source(len)
    with pytest.raises(ValueError, match="no Python source"):
        plot.source(3)


def test_no_label_of_a_heat_map_is_cut_off():
    """The border of the picture is white on all sides, whatever the widths of ticks and labels."""
    rng = np.random.default_rng(0)
    kinship = 0.4 * np.cov(rng.normal(size=(202, 900)))  # at 202 the last tick is a wide one
    for width, height in ((560, 460), (640, 400)):
        figure, ax = plot.axes(width=width, height=height)
        plot.heatmap(ax, kinship, groups=np.arange(202) // 26, label="kinship $K_{ij}$")
        ax.set_ylabel("sibship")
        pixels = np.asarray(Image.open(io.BytesIO(plot.png(figure))).convert("L"))
        edges = [pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]]
        assert all((edge > 250).all() for edge in edges)


def test_qq_plot_puts_uniform_p_values_on_the_diagonal():
    fig, ax = plot.axes()
    p = np.arange(1, 100) / 100
    assert plot.qq(ax, p[::-1], label="exact") == 0
    diagonal, points = ax.lines
    assert points.get_xdata() == pytest.approx(points.get_ydata())
    assert points.get_xdata()[0] == pytest.approx(2)  # 1/100 is the mean of the smallest of 99
    assert ax.get_legend().get_texts()[0].get_text() == "exact"
    band = ax.collections[0].get_paths()[0].vertices
    at_last = band[np.isclose(band[:, 0], points.get_xdata()[0]), 1]
    assert at_last.max() == pytest.approx(-np.log10(1 - 0.975 ** (1 / 99)))  # smallest p: 1 - (1 - p)^99
    assert at_last.min() == pytest.approx(-np.log10(1 - 0.025 ** (1 / 99)))
    plot.qq(ax, p**2)
    assert len(ax.lines) == 3 and len(ax.collections) == 1  # diagonal and band are drawn once


def test_qq_plot_says_how_many_were_not_tested():
    _, ax = plot.axes()
    assert plot.qq(ax, [0.5, np.nan, 0.1, np.nan], label="scan") == 2
    assert ax.get_legend().get_texts()[0].get_text() == "scan (2 not tested)"
    assert len(ax.lines[-1].get_xdata()) == 2


@pytest.mark.parametrize("p", [[], [np.nan], [[0.1]], [0.0, 0.5], [0.5, 1.1], [-0.1], 0.5])
def test_qq_plot_refuses(p):
    with pytest.raises(ValueError, match="p "):
        plot.qq(plot.axes()[1], p)


def test_manhattan_plot_lays_chromosomes_side_by_side():
    _, ax = plot.axes()
    lost = plot.manhattan(ax, [1, 1, 2, 2, "X"], [10, 100, 50, 80, 1], [-1, -2, np.nan, -8, -3], 1e-5)
    assert lost == 1
    points = [line for line in ax.lines if line.get_marker() == "."]
    assert [line.get_xdata().tolist() for line in points] == [[10, 100], [180], [181]]
    assert [line.get_ydata().tolist() for line in points] == [[1, 2], [8], [3]]
    emphasised = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "o"]
    assert emphasised == [[], [180], []]
    assert ax.lines[-1].get_ydata()[0] == pytest.approx(5)
    assert [text.get_text() for text in ax.get_xticklabels()] == [
        "1",
        "2",
    ]  # X is too short to carry its name
    assert ax.get_xticks().tolist() == [50, 140]


def test_manhattan_plot_without_a_threshold_has_no_line():
    _, ax = plot.axes()
    assert plot.manhattan(ax, [2, 1], [5, 5], [-1, -2]) == 0
    assert len(ax.lines) == 2 and [text.get_text() for text in ax.get_xticklabels()] == ["2", "1"]


def test_manhattan_plots_that_share_an_axis_cut_nothing_off():
    for first, second in ((-3, -9), (-9, -3)):
        _, axs = plot.axes(2, 1, sharey=True)
        plot.manhattan(axs[0], [1, 1], [1, 2], [first, -0.1])
        plot.manhattan(axs[1], [1, 1], [1, 2], [second, -0.1])
        low, high = axs[0].get_ylim()
        assert low == 0 and 9 < high < 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"chrom": [1]}, "one length"),
        ({"log10_p": [0.5, -1]}, "0 or below"),
        ({"log10_p": [np.nan, np.nan]}, "NaN for no test"),
        ({"log10_p": [-np.inf, -1]}, "finite"),
        ({"threshold": 5.0}, "between 0 and 1"),
    ],
)
def test_manhattan_plot_refuses(wrong, message):
    right = {"chrom": [1, 1], "position": [1, 2], "log10_p": [-1, -2], "threshold": 0.05}
    with pytest.raises(ValueError, match=message):
        plot.manhattan(plot.axes()[1], **(right | wrong))
