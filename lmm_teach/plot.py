"""The book's one figure style, and two ways to show things in a notebook.

A figure is made by `axes`, never by pyplot, and a cell shows it by ending in the figure itself::

    fig, ax = plot.axes()
    ax.plot(h2, nll)
    fig

That gives exactly one output, a picture with the text ``<Figure size 640x400 with 1 Axes>``, whichever
matplotlib backend the front end has chosen, and leaves nothing in pyplot's list of open figures.

Sizes are in CSS pixels. The style is applied where the axes are made and nowhere else: text keeps
matplotlib's own 10 points, and the resolution of `DPI` makes them about 18 pixels, which is still legible
(9 pixels) when a telephone shrinks a 640-pixel figure to its width of 375.
"""

import ast
import inspect
import io
import textwrap
from collections.abc import Callable
from typing import Any, Protocol

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from numpy.typing import ArrayLike
from PIL import Image
from scipy.special import betaincinv

# Okabe and Ito's palette: told apart by readers with any of the common forms of colour blindness.
BLACK, BLUE, SKY, GREEN = "#000000", "#0072B2", "#56B4E9", "#009E73"
YELLOW, ORANGE, VERMILLION, PURPLE = "#F0E442", "#E69F00", "#D55E00", "#CC79A7"

DPI = 130  # pixels to the inch, so that 10-point text is 18 pixels high

_STYLE: Any = {
    # Yellow is left out of the cycle: a thin yellow line cannot be seen on white.
    "axes.prop_cycle": cycler(color=[BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK]),
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "figure.facecolor": "white",
}


class Optimum(Protocol):
    """What `profile` needs to know of a fitted model: `LMM.fit` returns one."""

    @property
    def h2(self) -> float:
        """Heritability at the optimum."""
        ...

    @property
    def nll(self) -> float:
        """Negative log-likelihood there."""
        ...


class Figure(MatplotlibFigure):
    """A matplotlib figure that a notebook can show without pyplot or an inline backend."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        # Twice the pixels, shown at the nominal size: sharp on a dense screen.
        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        return png(self, scale=2, colours=256), {"width": width, "height": height}


def axes(
    nrows: int = 1, ncols: int = 1, *, width: int = 640, height: int = 400, **options: Any
) -> tuple[Figure, Any]:
    """Make an empty figure in the book's style.

    Parameters
    ----------
    nrows, ncols : int
        Panels down and across.
    width, height : int
        Size of the whole figure in CSS pixels.
    **options
        Passed to `matplotlib.figure.Figure.subplots`, such as ``sharey=True``.

    Returns
    -------
    figure : Figure
        End the cell with it, or return it from a function given to `lmm_teach.explore`.
    axes : matplotlib.axes.Axes or ndarray of them
        One `Axes`, or an array of shape (nrows, ncols) without its axes of length one.

    Raises
    ------
    ValueError
        If a count of panels or a size is not positive.
    """
    if min(nrows, ncols, width, height) <= 0:
        raise ValueError(
            f"a figure of {nrows} x {ncols} panels, {width} x {height} pixels: give positive numbers"
        )
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
        return figure, figure.subplots(nrows, ncols, **options)


def png(figure: MatplotlibFigure, scale: float = 1, colours: int = 64) -> bytes:
    """Draw a figure as a PNG file with at most `colours` (2 to 256) colours, the same bytes each time.

    A chart has few colours, so a palette makes it three times smaller than matplotlib's own PNG. The palette
    is spread over all the colours there are, not in proportion to their area: the default of Pillow drops the
    ends of a colour bar.
    """
    canvas, nominal = FigureCanvasAgg(figure), figure.dpi
    try:
        figure.dpi = nominal * scale
        canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    finally:
        figure.dpi = nominal
    opaque = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    packed = io.BytesIO()
    opaque.quantize(colours, method=Image.Quantize.MAXCOVERAGE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def heatmap(
    ax: Axes,
    K: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    label: str = "relatedness",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a kinship matrix as a picture, one cell per pair of individuals.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    K : array_like, shape (n, n)
        The matrix.
    groups : array_like, shape (n,), optional
        Family or population of each individual, equal ones side by side. Their boundaries are drawn, and the
        names of those that are large enough to carry one.
    label : str
        What the colours mean; written beside the colour bar.
    limits : (float, float), optional
        Values at the two ends of the colour bar; by default the smallest and the largest of K.

    Raises
    ------
    ValueError
        If K is not a finite square matrix, or `groups` does not fit it or has a group in two pieces.
    """
    K = np.asarray(K, dtype=float)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or K.size == 0:
        raise ValueError(f"K has shape {K.shape}: a kinship matrix is square")
    if not np.isfinite(K).all():
        raise ValueError(
            f"K has {np.count_nonzero(~np.isfinite(K))} values that are not finite: impute genotypes first"
        )
    n = len(K)
    # The usual engine cuts labels beside axes of fixed aspect. The canvas leads to a subfigure's figure too.
    ax.figure.canvas.figure.set_layout_engine("compressed")
    low, high = limits or (None, None)
    picture = ax.imshow(K, cmap="viridis", vmin=low, vmax=high)
    ax.figure.colorbar(picture, ax=ax, label=label)
    ax.grid(False)
    ax.set_xlabel("individual")
    if groups is None:
        ax.set_ylabel("individual")
        return
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(f"groups has shape {names.shape}, K is {n} x {n}: give one group per individual")
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    first, pieces = np.unique(names[starts], return_counts=True)
    if pieces.max() > 1:
        raise ValueError(
            f"group {first[pieces.argmax()]} is in {pieces.max()} pieces: sort the individuals by group"
        )
    for start in starts[1:]:
        ax.axhline(start - 0.5, color="white", linewidth=0.6)
        ax.axvline(start - 0.5, color="white", linewidth=0.6)
    sizes = np.diff(np.r_[starts, n])
    named = sizes * 20 >= n  # a smaller group's name would run into its neighbours'
    centres = (starts + (sizes - 1) / 2)[named]
    ax.set_yticks(centres, [str(name) for name in names[starts][named]])
    ax.tick_params(axis="y", length=0)


def profile(ax: Axes, h2: ArrayLike, nll: ArrayLike, best: Optimum) -> None:
    """Draw a profile likelihood over h² and mark its optimum.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    h2, nll : array_like, shape (g,)
        Grid of heritabilities and the negative log-likelihood at each.
    best : Optimum
        Anything with ``h2`` and ``nll``, such as the result of `LMM.fit`.

    Raises
    ------
    ValueError
        If `h2` and `nll` are not two vectors of one length.
    """
    h2, nll = np.asarray(h2, dtype=float), np.asarray(nll, dtype=float)
    if h2.ndim != 1 or h2.shape != nll.shape:
        raise ValueError(f"h2 has shape {h2.shape} and nll {nll.shape}: give one nll for each h2")
    ax.plot(h2, nll, color=BLUE)
    ax.axvline(best.h2, color=VERMILLION, linestyle="--", linewidth=1)
    ax.plot([best.h2], [best.nll], "o", color=VERMILLION, label=f"optimum, h² = {best.h2:.3f}")
    ax.set_xlabel("heritability h²")
    ax.set_ylabel("negative log-likelihood")
    ax.legend()


def qq(ax: Axes, p: ArrayLike, *, label: str | None = None, color: str | None = None) -> int:
    """Draw a QQ plot: sorted p-values against those that tests without any effect would give.

    The i-th smallest of N such p-values has the mean i / (N + 1). The first call on an axes also draws the
    diagonal and a grey band in which 95 % of points would lie, each taken by itself, if tests were independent.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw; call again on the same axes to compare.
    p : array_like, shape (s,)
        p-values, above 0 and up to 1; NaN where there was no test.
    label : str, optional
        Name of the test for the legend, which then also says how many p-values were NaN, if any were.
    color : str, optional
        Colour of the points; by default the next of the cycle.

    Returns
    -------
    int
        How many p-values were NaN and left out.

    Raises
    ------
    ValueError
        If p is not a vector, is NaN throughout, or has values outside (0, 1].
    """
    p = np.asarray(p, dtype=float)
    kept = np.sort(p[~np.isnan(p)])
    lost = p.size - kept.size
    if p.ndim != 1 or not kept.size:
        raise ValueError(f"p has shape {p.shape} and {kept.size} numbers: give a vector of p-values")
    if kept[0] <= 0 or kept[-1] > 1:
        raise ValueError(f"p goes from {kept[0]:g} to {kept[-1]:g}: p-values are above 0 and up to 1")
    rank = np.arange(1, kept.size + 1)
    x = -np.log10(rank / (kept.size + 1))
    if not ax.lines:
        low, high = (-np.log10(betaincinv(rank, rank[::-1], q)) for q in (0.975, 0.025))
        ax.fill_between(x, low, high, color="#D0D0D0", linewidth=0)
        ax.plot([0, x[0]], [0, x[0]], color=BLACK, linewidth=1)
        ax.set_xlabel("expected $-\\log_{10}p$")
        ax.set_ylabel("observed $-\\log_{10}p$")
    if label and lost:
        label += f" ({lost} not tested)"
    ax.plot(x, -np.log10(kept), ".", markersize=4, color=color, label=label)
    if label:
        ax.legend(loc="upper left")
    return lost


def manhattan(
    ax: Axes, chrom: ArrayLike, position: ArrayLike, log10_p: ArrayLike, threshold: float | None = None
) -> int:
    """Draw a Manhattan plot: -log10 p of each SNP at its place in the genome, chromosomes side by side.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    chrom : array_like, shape (s,)
        Chromosome of each SNP, a number or a name; they are drawn in the order of their first SNPs.
    position : array_like, shape (s,)
        Place on the chromosome, in base pairs.
    log10_p : array_like, shape (s,)
        Logarithm to base ten of each p-value, as `Scan.log10_p`; NaN where there was no test.
    threshold : float, optional
        A p-value. A line is drawn there, and SNPs with smaller ones are emphasised.

    Returns
    -------
    int
        How many SNPs were NaN and left out.

    Raises
    ------
    ValueError
        If the three are not vectors of one length, a logarithm is positive or infinite or all are NaN, or the
        threshold is not between 0 and 1.
    """
    names, where, log10_p = np.asarray(chrom), np.asarray(position), np.asarray(log10_p, dtype=float)
    if log10_p.ndim != 1 or not names.shape == where.shape == log10_p.shape:
        shapes = f"{names.shape}, {where.shape} and {log10_p.shape}"
        raise ValueError(f"chrom, position and log10_p have shapes {shapes}: give three of one length")
    tested = ~np.isnan(log10_p)
    if not tested.any() or log10_p[tested].max() > 0 or np.isinf(log10_p).any():
        raise ValueError("log10_p must hold logarithms of p-values, 0 or below and finite, NaN for no test")
    if threshold is not None and not 0 < threshold < 1:
        raise ValueError(f"threshold = {threshold} must be a p-value between 0 and 1")
    start, ticks = 0.0, {}
    for number, name in enumerate(dict.fromkeys(names.tolist())):
        own = names == name
        end = float(where[own].max())
        ax.plot(
            start + where[own & tested],
            -log10_p[own & tested],
            ".",
            markersize=4,
            color=(BLUE, SKY)[number % 2],
        )
        if threshold is not None:
            hits = own & tested & (log10_p < np.log10(threshold))
            ax.plot(start + where[hits], -log10_p[hits], "o", markersize=5, color=VERMILLION)
        ticks[str(name)] = (start + end / 2, end)
        start += end
    if threshold is not None:
        ax.axhline(-np.log10(threshold), color=BLACK, linestyle="--", linewidth=1)
    wide = {name: middle for name, (middle, length) in ticks.items() if length * 40 >= start}
    ax.set_xticks(list(wide.values()), list(wide))  # a shorter chromosome's name would run into the next
    ax.tick_params(axis="x", length=0, labelsize=8)
    ax.grid(False, axis="x")
    ax.set_ylim(0, max(ax.get_ylim()[1], -1.05 * log10_p[tested].min()))  # not below a panel that shares it
    ax.set_xlabel("chromosome")
    ax.set_ylabel("$-\\log_{10}p$")
    return int((~tested).sum())


class Source:
    """Source code that a notebook shows highlighted; made by `source`."""

    def __init__(self, name: str, code: str) -> None:
        self.name, self.code = name, code

    def __repr__(self) -> str:
        return f"<source of {self.name}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/markdown": f"```python\n{self.code}\n```"}


def source(function: Callable[..., Any] | property) -> Source:
    """Show the source of one of the package's functions or classes, without docstrings.

    What the reader sees is what the tests run, and a change of the code changes the cell's committed output.

    Parameters
    ----------
    function : function, class or property
        Any that is written in Python.

    Returns
    -------
    Source
        End the cell with it: a notebook shows the code highlighted.

    Raises
    ------
    ValueError
        If Python has no source for it.
    """
    target = function.fget if isinstance(function, property) else function
    try:
        lines = textwrap.dedent(inspect.getsource(target)).splitlines()  # type: ignore[arg-type]
    except (TypeError, OSError) as error:
        raise ValueError(
            f"{function!r} has no Python source to show: give a function, class or property"
        ) from error
    hidden: set[int] = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node)
            and len(node.body) > 1
        ):
            docstring = node.body[0]
            end = docstring.end_lineno or docstring.lineno
            hidden.update(range(docstring.lineno, end + 1))
            if not lines[end].strip():  # the blank line that set the docstring apart
                hidden.add(end + 1)
    code = "\n".join(line for number, line in enumerate(lines, 1) if number not in hidden)
    return Source(f"{target.__module__}.{target.__qualname__}", code)  # type: ignore[union-attr]
