"""The figure with sliders, without a browser: its HTML, its widgets, which of them is shown, its errors."""

import base64
import html.parser
import io
import json
import re
import zlib

import jupyter_client
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from lmm_teach import plot
from lmm_teach.explore import MAX_FRAMES, explore

ALT = "A square whose shade of grey follows the parameters"


class Draw:
    """Draw a small square, the grey of which tells the values, and count the calls."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def __call__(self, **values: object) -> Figure:
        self.calls.append(values)
        grey = zlib.crc32(repr(values).encode()) % 256 / 255
        return Figure(figsize=(0.2, 0.1), dpi=100, facecolor=str(grey))


class Page(html.parser.HTMLParser):
    """Collect the elements of a page: (tag, attributes) and the text inside each tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def script_data(page: str) -> tuple[list[list[str]], list[bytes]]:
    """Return what the script is given: the texts of each grid, and the frames."""
    script = "".join(Page(page).texts["script"])
    texts, frames = json.loads("[" + re.search(r"\}\)\((\[.*\])\)$", script, re.DOTALL).group(1) + "]")
    return texts, [base64.b64decode(frame) for frame in frames]


def test_plain_text():
    e = explore(Draw(), alt=ALT, h2=np.linspace(0, 1, 21), initial={"h2": 0.5})
    assert repr(e) == "explore: h2 (21 values); initial h2=0.5"
    e = explore(Draw(), alt=ALT, n=[10, 1000000], method=["ML", "REML"])
    assert repr(e) == "explore: n (2 values), method (2 values); initial n=10, method=ML"


def test_html_has_one_labelled_native_slider_for_each_parameter():
    e = explore(
        Draw(), alt=ALT, caption="Try it", labels={"h2": "h²", "kb": ("distance", "kb")},
        initial={"kb": 50}, h2=[0, 0.25, 0.5], kb=[10, 50],
    )  # fmt: skip
    page = Page(e.html())
    assert page.all("input") == [
        {"type": "range", "min": "0", "max": "2", "step": "1", "value": "0", "autocomplete": "off",
         "aria-label": "h²", "aria-valuetext": "0"},
        {"type": "range", "min": "0", "max": "1", "step": "1", "value": "1", "autocomplete": "off",
         "aria-label": "distance", "aria-valuetext": "50 kb"},
    ]  # fmt: skip
    assert page.texts["span"] == ["h²", "distance"]
    assert page.texts["output"] == ["0", "50 kb"]
    assert page.texts["figcaption"] == ["Try it"]
    assert page.texts["p"] == ["Shown at h² = 0, distance = 50 kb; the sliders need JavaScript."]
    assert [tag for tag, _ in page.elements].count("label") == 2
    assert "hidden" in page.all("div")[0]  # shown by the script, so that nobody meets a dead slider


def test_html_holds_every_frame_in_order_and_starts_with_the_initial_one():
    e = explore(Draw(), alt=ALT, a=[1, 2, 3], b=[10, 20], initial={"a": 2, "b": 20})
    texts, frames = script_data(e.html())
    assert texts == [["1", "2", "3"], ["10", "20"]]
    assert frames == [e.frame((i, j)) for i in range(3) for j in range(2)]
    assert len(set(frames)) == 6
    (picture,) = Page(e.html()).all("img")
    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")) == frames[3]
    assert picture["alt"] == ALT
    assert (picture["width"], picture["height"]) == ("20", "10")


def test_html_is_deterministic_has_no_ids_and_asks_for_nothing():
    grids = {"alt": ALT, "a": np.linspace(0, 1, 5)}
    first, second = explore(Draw(), **grids).html(), explore(Draw(), **grids).html()
    assert first == second
    for _, attributes in Page(first).elements:
        assert "id" not in attributes  # so any number of explorers, even equal ones, can share a page
        assert not {"href", "srcset"} & set(attributes)
    assert not re.search(
        r"https?:|//|@import|url\(|eval|innerHTML", re.sub(r"base64,[^\"]*|\[\"[^]]*\]", "", first)
    )


NASTY = """<b> & "double" 'single' </script><script>alert(1)</script> <!-- \\"""


def test_html_escapes_every_text():
    e = explore(
        Draw(), alt=NASTY, caption=NASTY, labels={"a": NASTY, "b": ("b", NASTY)}, a=[NASTY, "plain"], b=[1, 2]
    )
    page = Page(e.html())
    assert page.all("img")[0]["alt"] == NASTY
    assert page.texts["figcaption"] == [NASTY]
    assert page.texts["span"] == [NASTY, "b"]
    assert page.texts["output"] == [NASTY, "1 " + NASTY]
    assert page.all("input")[0]["aria-valuetext"] == NASTY
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert script_data(e.html())[0] == [[NASTY, "plain"], ["1 " + NASTY, "2 " + NASTY]]
    assert "<" not in re.search(r"\}\)\((.*)\)</script>", e.html(), re.DOTALL).group(1)


def test_frames_are_reduced_and_the_page_is_light():
    x = np.linspace(0, 10, 400)

    def draw(rate):
        fig, ax = plot.axes()
        for k in range(3):
            ax.plot(x, np.sin(x * (1 + rate) + k), label=f"curve {k}")
        ax.set(xlabel="time (s)", ylabel="height (m)", ylim=(-1.1, 1.1))
        ax.legend(loc="upper right")
        return fig

    e = explore(draw, alt=ALT, rate=np.linspace(0, 1, 21))
    assert len(e.html()) < 0.55e6
    for frame in script_data(e.html())[1]:
        image = Image.open(io.BytesIO(frame))
        assert image.size == (640, 400) and image.mode == "P" and len(image.getcolors()) <= 64


def test_every_frame_is_drawn_once():
    draw = Draw()
    e = explore(draw, alt=ALT, a=[1, 2], b=["x", "y"])
    assert draw.calls == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    e.html()
    e.widget()
    assert len(draw.calls) == 4


def test_figures_made_with_pyplot_are_closed():
    def draw(a):
        fig, ax = pyplot.subplots()
        ax.plot([0, a])
        return fig

    explore(draw, alt=ALT, a=[1, 2])
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("grid", "texts"),
    [
        (np.linspace(0, 1, 5), ["0", "0.25", "0.5", "0.75", "1"]),
        (np.logspace(-5, 5, 3), ["1e-05", "1", "1e+05"]),
        ([0.123456, 0.123457], ["0.123456", "0.123457"]),
        (np.array([100000, 2000000]), ["100000", "2000000"]),
        ([0.5, float("inf")], ["0.5", "inf"]),
        (range(2), ["0", "1"]),
    ],
)
def test_values_are_written_with_as_few_digits_as_tell_them_apart(grid, texts):
    assert script_data(explore(Draw(), alt=ALT, a=grid).html())[0] == [texts]


def test_initial_value_is_found_in_spite_of_rounding():
    grid = np.linspace(0, 1, 11)
    assert 0.3 not in grid
    assert explore(Draw(), alt=ALT, a=grid, initial={"a": 0.3}).start == (3,)
    assert explore(Draw(), alt=ALT, method=["ML", "REML"], initial={"method": "REML"}).start == (1,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": []}, "a has 0 values"),
        ({"a": [1]}, "a has 1 values"),
        ({"a": "xy"}, "a is the string 'xy'"),
        ({"a": [1, 2, 1]}, "3 values, but only 2 different"),
        ({"a": [1, None]}, "a has the value None"),
        ({"a": [1, float("nan")]}, "a has the value nan"),
        ({"a": [1, 2], "alt": "too short"}, "alt has 9 characters"),
        ({"a": [1, 2], "alt": " " * 40}, "alt has 0 characters"),
        ({"a": [1, 2], "initial": {"a": 3}}, "initial a=3 is not in its grid: 1, 2"),
        ({"a": [1, 2], "initial": {"b": 1}}, "initial names b, but the grids are a"),
        ({"a": [1, 2], "labels": {"b": "x"}}, "labels names b, but the grids are a"),
        ({}, "got 0 parameters"),
        ({name: [1, 2] for name in "abcd"}, "got 4 parameters"),
        ({"a": range(76), "b": [1, 2]}, "76 x 2 values make 152 frames; at most 150"),
        ({"a": range(151)}, "151 frames"),
    ],
)
def test_explore_refuses(arguments, message):
    draw = Draw()
    with pytest.raises(ValueError, match=message):
        explore(draw, **({"alt": ALT} | arguments))
    assert draw.calls == []


def test_explore_accepts_the_stated_limit():
    assert len(script_data(explore(Draw(), alt=ALT, a=range(MAX_FRAMES)).html())[1]) == MAX_FRAMES


def test_draw_must_return_figures_of_one_size():
    with pytest.raises(ValueError, match=r"draw\(a=1\) returned NoneType"):
        explore(lambda a: None, alt=ALT, a=[1, 2])
    with pytest.raises(ValueError, match="give a function"):
        explore(Figure(), alt=ALT, a=[1, 2])
    with pytest.raises(ValueError, match=r"2 sizes, \[\(100, 100\), \(200, 100\)\]"):
        explore(lambda a: Figure(figsize=(a, 1), dpi=100), alt=ALT, a=[1, 2])


def test_widget_follows_its_sliders():
    e = explore(Draw(), alt=NASTY, caption="Try it", labels={"a": "first"}, a=[1, 2, 3], b=[10, 20])
    view, first, second, caption = e.widget().children

    def shown():
        (picture,) = Page(view.value).all("img")
        assert picture["alt"] == NASTY
        return base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))

    assert shown() == e.frame((0, 0))
    first.index = 2
    assert shown() == e.frame((2, 0))
    second.label = "20"
    assert shown() == e.frame((2, 1))
    assert (first.description, second.description, caption.value) == ("first", "b", "Try it")


CELL = f"""
calls = []
from matplotlib.figure import Figure
from lmm_teach.explore import explore
def draw(a):
    calls.append(a)
    return Figure(figsize=(1, 1))
explore(draw, alt={ALT!r}, a=[1, 2, 3])
"""
FIGURE_CELL = "from lmm_teach import plot\nfig, ax = plot.axes()\nax.plot([0, 1])\nfig"
PYPLOT_CELL = "import matplotlib.pyplot as plt\nplt.figure(); plt.close()\n" + FIGURE_CELL


@pytest.fixture(scope="module")
def run():
    """Return a function that runs a cell in a real kernel and returns the outputs that it showed."""
    manager, client = jupyter_client.manager.start_new_kernel()

    def run(code: str, allow_stdin: bool) -> list[dict]:
        shown = []
        reply = client.execute_interactive(
            code,
            allow_stdin=allow_stdin,
            stdin_hook=lambda message: None,
            output_hook=shown.append,
            timeout=60,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        kinds = ("stream", "display_data", "execute_result", "error")
        return [message["content"] for message in shown if message["msg_type"] in kinds]

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_kernel_with_nobody_before_it_shows_html(run):
    (output,) = run(CELL, allow_stdin=False)
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert output["data"]["text/plain"] == "explore: a (3 values); initial a=1"
    (output,) = run("print(calls)", allow_stdin=False)
    assert output["text"] == "[1, 2, 3]\n"


def test_a_kernel_with_a_reader_shows_widgets_and_draws_one_frame(run):
    (output,) = run(CELL, allow_stdin=True)
    assert set(output["data"]) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    assert output["data"]["text/plain"] == "explore: a (3 values); initial a=1"
    (output,) = run("print(calls)", allow_stdin=True)
    assert output["text"] == "[1]\n"


def test_jupyterlite_always_has_a_reader(monkeypatch):
    """There the kernel is the reader's own browser, which cannot answer on standard input."""
    draw = Draw()
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "emscripten")
        shown = explore(draw, alt=ALT, a=[1, 2, 3])._repr_mimebundle_()
    assert set(shown) == {"application/vnd.jupyter.widget-view+json", "text/plain"} and draw.calls == [{"a": 1}]
    assert set(explore(draw, alt=ALT, a=[1, 2, 3])._repr_mimebundle_()) == {"text/html", "text/plain"}


@pytest.mark.parametrize("cell", [FIGURE_CELL, PYPLOT_CELL])
def test_a_cell_that_ends_in_a_figure_shows_it_once(run, cell):
    (output,) = run(cell, allow_stdin=False)
    assert set(output["data"]) == {"image/png", "text/plain"}
    assert output["data"]["text/plain"] == "<Figure size 640x400 with 1 Axes>"
