"""A figure with sliders that works in a notebook and, without a kernel, in the rendered book.

One definition is drawn in two ways. Where a person sits in front of a live kernel, the sliders are
ipywidgets and each move calls `draw`. Where nobody does (a book build, nbval, a script), every frame is drawn
once and packed into plain HTML with native sliders and a dozen lines of script, which needs no server, no
library and no network. The two are told apart by what the front end says with each cell it sends:
``allow_stdin`` is true where `input()` could be answered. So a reader in JupyterLab waits for one frame, not
for all of them.
"""

import base64
import html
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import ipywidgets
import numpy as np
from IPython import get_ipython
from matplotlib import pyplot
from matplotlib.figure import Figure

from .plot import png

MAX_FRAMES = 150  # about 2 MB of page and 10 s of drawing
MIN_ALT = 20  # characters; fewer cannot say what a figure shows

# No transition and no animation: nothing moves by itself, which is what prefers-reduced-motion asks for. The last
# two rules keep the book's dark theme from laying a pale ground under the text and a border around the picture.
_CSS = """\
.lmm-explore{width:fit-content;max-width:100%;margin:1em auto;color:inherit}
.lmm-explore img{display:block;max-width:100%;height:auto}
.lmm-explore label{display:flex;flex-wrap:wrap;align-items:center;gap:.2em .8em;margin:.4em 0}
.lmm-explore input{flex:1 1 6em;min-width:0;height:1.6em;margin:0;accent-color:#0072b2}
.lmm-explore output{flex:0 0 5.5em;font-variant-numeric:tabular-nums}
.lmm-explore figcaption{margin-top:.4em}
.lmm-explore [hidden]{display:none}
.text_html:has(>.lmm-explore){background:none!important;color:inherit!important;padding:0!important}
.lmm-explore img{background:#fff!important;padding:0!important}"""

# Once the page is there, frames are held as images, so that changing the source paints at once; the last slider moves
# fastest.
_SCRIPT = """\
((texts, frames) => {
const root = document.currentScript.closest("figure"), view = root.querySelector("img");
const sliders = [...root.querySelectorAll("input")], outputs = root.querySelectorAll("output");
const images = [];
const image = k => images[k] ??= Object.assign(new Image(), {src: "data:image/png;base64," + frames[k]});
addEventListener("load", () => frames.forEach((_, k) => image(k)));
const show = () => {
  let k = 0;
  sliders.forEach((slider, j) => {
    const i = Number(slider.value);
    k = k * texts[j].length + i;
    outputs[j].value = texts[j][i];
    slider.setAttribute("aria-valuetext", texts[j][i]); });
  view.src = image(k).src; };
sliders.forEach(slider => slider.addEventListener("input", show));
root.querySelector("div").hidden = false;
root.querySelector("p").hidden = true;
show();
})"""


@dataclass(frozen=True)
class _Control:
    """One slider: its parameter and label, its values and how each is written, and the index it starts at."""

    name: str
    label: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    start: int


@dataclass(frozen=True, eq=False)
class Explorer:
    """A figure with sliders, as `explore` returns it; end the cell with it."""

    draw: Callable[..., Figure]
    alt: str
    caption: str | None
    controls: tuple[_Control, ...]
    drawn: dict[tuple[int, ...], bytes] = field(default_factory=dict)

    @property
    def start(self) -> tuple[int, ...]:
        """Positions of the initial values in their grids."""
        return tuple(c.start for c in self.controls)

    def __repr__(self) -> str:
        grids = ", ".join(f"{c.name} ({len(c.values)} values)" for c in self.controls)
        starts = ", ".join(f"{c.name}={c.texts[c.start]}" for c in self.controls)
        return f"explore: {grids}; initial {starts}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        if _someone_is_there():
            shown = self.widget()._repr_mimebundle_()
        else:
            shown = {"text/html": self.html()}
        return {**shown, "text/plain": repr(self)}

    def frame(self, at: tuple[int, ...]) -> bytes:
        """Return the frame at these positions in the grids as a PNG file; it is drawn once."""
        if at not in self.drawn:
            values = {c.name: c.values[i] for c, i in zip(self.controls, at, strict=True)}
            figure = self.draw(**values)
            if not isinstance(figure, Figure):
                call = ", ".join(f"{name}={value!r}" for name, value in values.items())
                raise ValueError(f"draw({call}) returned {type(figure).__name__}: return a matplotlib Figure")
            self.drawn[at] = png(figure)
            pyplot.close(figure)  # a figure made with pyplot would be shown a second time, and never freed
        return self.drawn[at]

    def html(self) -> str:
        """Draw every frame and return HTML that stands by itself; equal calls give equal text."""
        pictures = [
            self.frame(at) for at in itertools.product(*(range(len(c.values)) for c in self.controls))
        ]
        sizes = {_size(picture) for picture in pictures}
        if len(sizes) > 1:
            raise ValueError(
                f"draw returned figures of {len(sizes)} sizes, {sorted(sizes)} pixels: keep to one"
            )
        frames = json.dumps([base64.b64encode(picture).decode() for picture in pictures])
        texts = json.dumps([c.texts for c in self.controls]).replace("<", "\\u003c")  # cannot end the script
        start = ", ".join(f"{c.label} = {c.texts[c.start]}" for c in self.controls)
        sliders = "".join(_slider(c) for c in self.controls)
        return (
            f'<figure class="lmm-explore"><style>{_CSS}</style>{_img(self.frame(self.start), self.alt)}'
            f"<div hidden>{sliders}</div>"
            f"<p>Shown at {html.escape(start)}; the sliders need JavaScript.</p>"
            + (f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else "")
            + f"<script>{_SCRIPT}({texts}, {frames})</script></figure>"
        )

    def widget(self) -> ipywidgets.VBox:
        """Return ipywidgets that call `draw` at each move and remember the frames they have drawn."""
        sliders = [
            ipywidgets.SelectionSlider(
                options=[(text, i) for i, text in enumerate(c.texts)],
                index=c.start,
                description=c.label,
                style={"description_width": "initial"},
                layout={"width": "min(640px, 100%)"},
            )
            for c in self.controls
        ]
        # Not ipywidgets.Image, which has no alternative text.
        view = ipywidgets.HTML(_img(self.frame(self.start), self.alt))

        def redraw(change: object) -> None:
            view.value = _img(self.frame(tuple(slider.index for slider in sliders)), self.alt)

        for slider in sliders:
            slider.observe(redraw, names="index")
        caption = [ipywidgets.Label(self.caption)] if self.caption else []
        return ipywidgets.VBox([view, *sliders, *caption])


def explore(
    draw: Callable[..., Figure],
    /,
    *,
    alt: str,
    caption: str | None = None,
    labels: Mapping[str, str | tuple[str, str]] | None = None,
    initial: Mapping[str, Any] | None = None,
    **grids: Iterable[Any],
) -> Explorer:
    """Let the reader move the parameters of a figure.

    Parameters
    ----------
    draw : callable
        ``draw(**values)`` returns one matplotlib Figure, always of the same size. Fix the limits of its axes,
        so that the eye sees the curve move and not the frame.
    alt : str
        What the figure shows, for those who cannot see it; at least 20 characters.
    caption : str, optional
        Plain text below the figure.
    labels : mapping, optional
        Text beside each parameter's slider, or a pair (text, unit); by default the parameter's name.
    initial : mapping, optional
        Values to start from; by default the first of each grid.
    **grids : sequence
        One to three parameters, each with at least two numbers or strings; at most 150 combinations in all.

    Returns
    -------
    Explorer
        End the cell with it.

    Raises
    ------
    ValueError
        If `alt` is too short, a grid has fewer than two values or repeats one, there are too many parameters
        or frames, `labels` or `initial` name what is not there, or `draw` returns something other than a
        Figure or figures of several sizes.
    """
    if not callable(draw):
        raise ValueError(f"draw is {draw!r}: give a function that returns a figure")
    if len(alt.strip()) < MIN_ALT:
        raise ValueError(
            f"alt has {len(alt.strip())} characters: say in at least {MIN_ALT} what the figure shows"
        )
    if not 1 <= len(grids) <= 3:
        raise ValueError(
            f"explore got {len(grids)} parameters: give one to three grids, such as h2=[0.1, 0.5, 0.9]"
        )
    for argument, given in (("labels", labels or {}), ("initial", initial or {})):
        if unknown := sorted(set(given) - set(grids)):
            raise ValueError(f"{argument} names {', '.join(unknown)}, but the grids are {', '.join(grids)}")
    controls = tuple(
        _control(name, grid, (labels or {}).get(name, name), initial or {}) for name, grid in grids.items()
    )
    count = math.prod(len(c.values) for c in controls)
    if count > MAX_FRAMES:
        sizes = " x ".join(str(len(c.values)) for c in controls)
        raise ValueError(
            f"{sizes} values make {count} frames; at most {MAX_FRAMES} are drawn: give coarser grids"
        )
    explorer = Explorer(draw, alt, caption, controls)
    # Drawn here, not when shown: a notebook reports an error of the display but lets the cell pass.
    if _someone_is_there():
        explorer.frame(explorer.start)
    else:
        explorer.html()
    return explorer


def _control(
    name: str, grid: Iterable[Any], label: str | tuple[str, str], initial: Mapping[str, Any]
) -> _Control:
    if isinstance(grid, str):
        raise ValueError(f"{name} is the string {grid!r}: give a list of values")
    values = tuple(grid.tolist() if isinstance(grid, np.ndarray) else grid)
    if len(values) < 2:
        raise ValueError(f"{name} has {len(values)} values: a slider needs at least two")
    if bad := [v for v in values if not isinstance(v, Real | str) or v != v]:
        raise ValueError(f"{name} has the value {bad[0]!r}: give numbers or strings")
    if len(set(values)) < len(values):
        raise ValueError(
            f"{name} has {len(values)} values, but only {len(set(values))} different ones: drop the repeats"
        )
    text, unit = (label, "") if isinstance(label, str) else label
    start = 0
    if name in initial:
        matches = [i for i, value in enumerate(values) if _same(value, initial[name])]
        if not matches:
            raise ValueError(
                f"initial {name}={initial[name]} is not in its grid: {', '.join(_texts(values))}"
            )
        start = matches[0]
    return _Control(name, text, values, tuple(f"{shown} {unit}".strip() for shown in _texts(values)), start)


def _same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal but for rounding: 0.3 finds the 0.30000000000000004 of a linspace."""
    if isinstance(a, Real) and isinstance(b, Real):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)


def _texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    """Write the values with as few digits (four or more) as tell them apart."""
    for digits in range(4, 18):
        texts = tuple(str(v) if isinstance(v, str | Integral) else f"{v:.{digits}g}" for v in values)
        if len(set(texts)) == len(texts):
            break
    return texts


def _slider(control: _Control) -> str:
    label, text = html.escape(control.label), html.escape(control.texts[control.start])
    return (
        f'<label><span>{label}</span><input type="range" min="0" max="{len(control.values) - 1}" step="1"'
        f' value="{control.start}" autocomplete="off" aria-label="{label}" aria-valuetext="{text}">'
        f"<output>{text}</output></label>"
    )


def _size(picture: bytes) -> tuple[int, int]:
    """Read width and height, in pixels, from the header of a PNG file."""
    return int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])


def _img(picture: bytes, alt: str) -> str:
    width, height = _size(picture)
    return (
        f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}" alt="{html.escape(alt)}"'
        f' width="{width}" height="{height}" decoding="sync" style="max-width:100%;height:auto">'
    )


def _someone_is_there() -> bool:
    """Tell whether the cell was sent by a front end with a person before it."""
    if sys.platform == "emscripten":  # JupyterLite: the kernel is the reader's own browser
        return True
    kernel = getattr(get_ipython(), "kernel", None)
    content = kernel.get_parent().get("content", {}) if kernel is not None else {}
    return bool(content.get("allow_stdin", False))
