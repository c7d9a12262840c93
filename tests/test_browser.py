"""What a reader meets, in a real Chromium: sliders in a built page and in JupyterLab, and the whole book's pages."""

import contextlib
import functools
import http.server
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pdf import CHROMIUM
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
IN_CI = os.environ.get("CI") == "true"
if not CHROMIUM and not IN_CI:
    pytest.skip(
        "no Chromium: install it (Debian: apt install chromium) or set CHROMIUM to the path of a Chrome",
        allow_module_level=True,
    )

ALT = "Three damped waves; a higher rate makes each of them oscillate faster"
DRAW = f"""\
import numpy as np
from lmm_teach import plot
from lmm_teach.explore import explore

x = np.linspace(0, 10, 400)

def draw(rate, damping=0.1):
    fig, ax = plot.axes()
    for k in range(3):
        ax.plot(x, np.sin(x * (1 + rate) + k) * np.exp(-damping * x), label=f"curve {{k}}")
    ax.set(xlabel="time (s)", ylabel="height (m)", ylim=(-1.1, 1.1))
    ax.legend(loc="upper right")
    return fig

ALT = {ALT!r}
"""
ONE = 'explore(draw, alt=ALT, labels={"rate": "rate ρ"}, rate=np.linspace(0, 1, 21))'
TWO = """\
explore(draw, alt=ALT, caption="Both at once.", labels={"damping": ("damping", "per s")},
        initial={"rate": 0.5, "damping": 0.1}, rate=[0, 0.5, 1], damping=[0, 0.1, 0.2, 0.3])"""
FIGURE = new_code_cell(
    "draw(0.5)",
    metadata={"mystnb": {"image": {"alt": ALT}, "figure": {"caption": "Three waves.", "name": "waves"}}},
)
NOTEBOOK = new_notebook(
    cells=[
        new_markdown_cell("# Sliders\n\nWith $\\delta = \\sigma_e^2 / \\sigma_g^2$:\n\n$$ y = Xb + e $$ (model)"),
        new_code_cell(DRAW),
        *(new_code_cell(code, metadata={"tags": ["nbval-ignore-output"]}) for code in (ONE, TWO, ONE)),
        FIGURE,
    ],
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
)  # fmt: skip


# ---- a browser, and pages for it ----


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM:
        pytest.fail("CI must check the book in a browser, but there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextlib.contextmanager
def reader(chromium, **options):
    """Open a page with no way out of this machine; `page.faults` collects what it asked for and what went wrong."""
    context = chromium.new_context(**options)
    page = context.new_page()
    page.faults = []

    def gate(route):
        url = urlsplit(route.request.url)
        if url.hostname == "127.0.0.1" or url.scheme == "file":
            route.continue_()
        else:
            page.faults.append(f"external request: {route.request.url}")
            route.abort()

    def on_console(message):
        if message.type == "error":
            page.faults.append(f"console error: {message.text} ({message.location.get('url')})")

    context.route("**/*", gate)
    page.on("console", on_console)
    page.on("pageerror", lambda error: page.faults.append(f"script error: {error}"))
    yield page
    context.close()


@contextlib.contextmanager
def served(folder: Path):
    """Serve a folder on a free port and give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Build a book of one page with the project's own settings."""
    folder = tmp_path_factory.mktemp("sample")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["bibtex_bibfiles"] = ["references.bib"]
    config["sphinx"]["config"]["html_static_path"] = [str(ROOT / "book" / "_css")]
    extensions = config["sphinx"]["local_extensions"]
    kept = ("katex", "policy", "quick", "streams")  # a single page is no chapter
    for name in [name for name in extensions if name not in kept]:
        config["sphinx"]["config"]["extensions"].remove(name)
        del extensions[name]
    for name in extensions:
        extensions[name] = str(ROOT / "book" / "_ext")
    config["sphinx"]["config"]["templates_path"] = [str(ROOT / "book" / "_templates")]
    (folder / "_config.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    (folder / "references.bib").touch()
    (folder / "_toc.yml").write_text("format: jb-book\nroot: sliders\n")
    nbformat.write(NOTEBOOK, folder / "sliders.ipynb")
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    build = [jupyter_book, "build", folder, "-W", "--keep-going"]
    result = subprocess.run(build, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return folder / "_build" / "html"


# ---- what a page is checked for ----

# Formulas that stayed text, or that MathJax could not read; pictures without a description; a page too wide.
AUDIT = r"""async () => {
  await document.fonts.ready;
  const faults = [], body = document.querySelector("article") || document.body;
  for (const math of document.querySelectorAll(".math")) {
    const seen = math.querySelector(".katex-html > .katex-base"), spoken = math.querySelector("math");
    const text = math.textContent.slice(0, 80);
    if (!seen || math.checkVisibility() && !seen.getBoundingClientRect().width)
      faults.push("formula not typeset: " + text);
    else if (!spoken || !spoken.querySelector("mi, mn, mo, mtext") || spoken.closest("[aria-hidden=true]"))
      faults.push("formula that is not spoken: " + text);
    else if (!seen.closest("[aria-hidden=true]")) faults.push("formula spoken twice: " + text);
  }
  const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.closest("pre, code, script, style, noscript, .katex")
        && /\\[(\[]|\$\$|\\begin\{/.test(text.data))
      faults.push("formula left as text: " + text.data.trim().slice(0, 80));
  }
  for (const image of body.querySelectorAll("img")) {
    const alt = image.alt.trim();  // Sphinx writes the file's name where nothing is given
    if (alt.length < 20 || alt.endsWith(image.src.split("/").pop()))
      faults.push("picture without alt text: " + image.src.slice(0, 80) + " " + alt);
    if (!image.naturalWidth) faults.push("picture that does not load: " + image.src.slice(0, 80));
  }
  return faults; }"""
TOO_WIDE = """() => {
  const root = document.documentElement, faults = [];
  if (root.scrollWidth > root.clientWidth)
    for (const element of document.body.querySelectorAll("article *"))
      if (element.getBoundingClientRect().right > root.clientWidth + 1 && !element.closest("pre, .math, table"))
        { faults.push(element.outerHTML.slice(0, 100)); break; }
  for (const box of document.querySelectorAll(".pst-scrollable-table-container"))
    if (box.scrollWidth > box.clientWidth + 1) return ["table that scrolls: " + box.textContent.slice(0, 80)];
  return root.scrollWidth > root.clientWidth
    ? [`page of ${root.scrollWidth} pixels on a screen of ${root.clientWidth}: ${faults}`] : []; }"""


def dead_sliders(page) -> list[str]:
    """Move every slider of the page by keyboard, there and back; return those that change no frame or no text."""
    faults = []
    for figure in page.locator("figure:has(input[type=range])").all():
        picture = figure.locator("img")
        for slider in figure.locator("input[type=range]").all():
            name, output = slider.get_attribute("aria-label"), slider.locator("xpath=../output")
            slider.focus()
            page.keyboard.press("Home")
            start = picture.get_attribute("src"), output.text_content()
            page.keyboard.press("ArrowRight")
            moved = picture.get_attribute("src"), output.text_content()
            page.keyboard.press("ArrowLeft")
            back = picture.get_attribute("src"), output.text_content()
            if moved[0] == start[0]:
                faults.append(f"slider {name} does not change the frame")
            if moved[1] == start[1] or slider.get_attribute("aria-valuetext") != back[1]:
                faults.append(f"slider {name} does not say its value")
            if back != start:
                faults.append(f"slider {name} does not move back")
    return faults


def audit(chromium, url: str) -> list[str]:
    """Return everything that is wrong with a page."""
    with reader(chromium, viewport={"width": 1440, "height": 900}) as page:
        page.goto(url, wait_until="load")
        faults = page.evaluate(AUDIT) + dead_sliders(page)
        page.set_viewport_size({"width": 375, "height": 800})
        page.add_style_tag(content="* { content-visibility: visible !important }")  # else cut and not seen as too wide
        return page.faults + faults + page.evaluate(TOO_WIDE)


def test_audit_finds_each_fault(chromium, tmp_path):
    """Check the checker: a page with every fault that it looks for, and nothing but those."""
    (tmp_path / "bad.html").write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><link rel=icon href='data:,'><article>"
        "<script src='https://example.org/x.js'></script>"
        "<script>console.error('oh')</script><script>throw new Error('thrown')</script>"
        "<p>\\(x\\)</p><p><code>$$</code> $$ y $$</p><p class=math>z</p>"
        "<p class=math><span class=katex-html aria-hidden=true><span class=katex-base>v</span></span></p>"
        "<p class=math><math><mi>x</mi></math><span class=katex-html><span class=katex-base>w</span></span></p>"
        "<img src='a.png' alt='../_images/a.png'><div style='width:900px'>wide</div>"
        "<figure><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt='A picture that is described well'>"
        "<label>dead<input type=range max=3 aria-label=h2 aria-valuetext=0><output>0</output></label></figure>"
    )
    with served(tmp_path) as address:
        faults = audit(chromium, f"{address}/bad.html")
    expected = [
        "external request: https://example.org/x.js", "console error: oh", "script error: thrown",
        "console error: Failed to load resource: net::ERR_FAILED",
        "console error: Failed to load resource: the server responded with a status of 404",
        "formula not typeset: z", "formula that is not spoken: v", "formula spoken twice: xw",
        "formula left as text: \\(x\\)",
        "formula left as text: $$ y $$", "picture without alt text", "picture that does not load",
        "slider h2 does not change the frame", "slider h2 does not say its value", "page of 9",
    ]  # fmt: skip
    for fault in expected:
        assert any(found.startswith(fault) for found in faults), (fault, faults)
    for found in faults:
        assert any(found.startswith(fault) for fault in expected), found


# ---- the sliders of a built page ----


@pytest.fixture
def address(sample):
    with served(sample) as address:
        yield f"{address}/sliders.html"


def test_built_page_has_no_fault(chromium, address):
    assert audit(chromium, address) == []
    with reader(chromium) as page:
        page.goto(address)
        assert page.locator("figure.lmm-explore").count() == 3
        assert page.locator(".lmm-explore input[type=range]").count() == 4
        assert page.locator(".katex").count() >= 2


def test_built_page_works_from_a_folder(chromium, sample):
    with reader(chromium) as page:
        page.goto((sample / "sliders.html").as_uri())
        assert page.evaluate(AUDIT) == []
        assert page.locator(".lmm-explore input[type=range]").count() == 4
        assert dead_sliders(page) == []
        # The theme's icon font is refused by Chromium's rules for files; nothing else may go wrong.
        assert [fault for fault in page.faults if "/fontawesome/" not in fault] == []


# Four ways to run text as a script; the first three write into the page.
INTRUDERS = """() => {
  document.body.append(Object.assign(document.createElement("script"), {text: "window.ran = 'script'"}));
  document.body.insertAdjacentHTML("beforeend", "<img src='data:,' onerror='window.ran = `handler`'>");
  document.body.append(Object.assign(document.createElement("script"), {src: "data:text/javascript,ran = 'data'"}));
  setTimeout("window.ran = 'evaluated'");
  return new Promise(wait => setTimeout(() => wait(window.ran || null), 300)); }"""


@pytest.mark.parametrize("where", ["served", "folder"])
def test_a_script_that_was_not_in_the_page_when_it_was_built_is_refused(chromium, address, sample, where):
    with reader(chromium) as page:
        page.goto(address if where == "served" else (sample / "sliders.html").as_uri())
        before = len(page.faults)  # from a folder, fonts are refused
        assert page.evaluate(INTRUDERS) is None
        assert sum("Content Security Policy" in fault for fault in page.faults[before:]) == 4


def test_mouse_and_keyboard_move_a_slider_and_the_picture_on_the_screen(chromium, address):
    with reader(chromium, viewport={"width": 1200, "height": 900}) as page:
        page.goto(address)
        figure = page.locator("figure.lmm-explore").nth(1)
        rate, damping = figure.get_by_role("slider").all()
        outputs = figure.locator("output")
        picture = figure.get_by_role("img", name=ALT)
        expect(figure.get_by_label("rate")).to_have_count(1)
        expect(figure.locator("figcaption")).to_have_text("Both at once.")
        expect(outputs).to_have_text(["0.5", "0.1 per s"])
        seen = [picture.screenshot()]

        def drag(slider, start: float, end: float) -> None:
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            page.mouse.move(box["x"] + start * box["width"], box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(box["x"] + end * box["width"], box["y"] + box["height"] / 2, steps=5)
            page.mouse.up()

        drag(rate, 0.5, 0.99)
        expect(outputs).to_have_text(["1", "0.1 per s"])
        seen.append(picture.screenshot())
        drag(damping, 0.35, 0.99)
        expect(outputs).to_have_text(["1", "0.3 per s"])
        seen.append(picture.screenshot())
        damping.press("Home")
        expect(outputs).to_have_text(["1", "0 per s"])
        assert damping.get_attribute("aria-valuetext") == "0 per s"
        seen.append(picture.screenshot())
        rate.press("ArrowLeft")
        rate.press("ArrowLeft")
        expect(outputs).to_have_text(["0", "0 per s"])
        seen.append(picture.screenshot())
        assert len(set(seen)) == len(seen)
        assert page.faults == []


def test_a_step_is_shown_in_the_next_frame(chromium, address):
    with reader(chromium) as page:
        page.goto(address)
        page.locator("figure.lmm-explore").first.scroll_into_view_if_needed()
        steps = page.evaluate("""async () => {
          const figure = document.querySelector("figure.lmm-explore");
          const picture = figure.querySelector("img"), slider = figure.querySelector("input"), steps = [];
          for (let i = 0; i <= Number(slider.max); i++) {
            await new Promise(requestAnimationFrame);
            slider.value = i;
            const start = performance.now();
            slider.dispatchEvent(new Event("input"));
            const ready = picture.complete && picture.naturalWidth > 0;
            await picture.decode();
            steps.push([ready, performance.now() - start]);
          }
          return steps; }""")
        assert len(steps) == 21
        assert all(ready for ready, _ in steps)  # nothing to load, so no empty frame is ever painted
        assert sorted(time for _, time in steps)[10] < 50, steps  # ms; the median, as the machine may be busy


def test_first_frame_is_shown_without_scripts(chromium, address):
    with reader(chromium, java_script_enabled=False) as page:
        page.goto(address)
        for k, start in enumerate(["rate ρ = 0", "rate = 0.5, damping = 0.1 per s", "rate ρ = 0"]):
            figure = page.locator("figure.lmm-explore").nth(k)
            picture = figure.locator("img")
            expect(picture).to_be_visible()
            assert picture.get_attribute("alt") == ALT
            box = picture.bounding_box()
            assert box["width"] / box["height"] == pytest.approx(1.6, rel=0.01)
            expect(figure.locator("input").first).to_be_hidden()
            expect(figure.get_by_text(f"Shown at {start};")).to_be_visible()
        assert page.faults == []


def test_sliders_fit_a_telephone(chromium, address):
    with reader(chromium, viewport={"width": 375, "height": 800}) as page:
        page.goto(address)
        boxes = [part.bounding_box() for part in page.locator(".lmm-explore :is(img, input, output)").all()]
        assert len(boxes) == 3 + 4 + 4
        for box in boxes:
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 375
            assert box["height"] >= 16  # a finger's target


# ---- the book ----


def pages_of_the_book() -> list[str]:
    """Where each page of the book is in its site; without a book, the test ends here."""
    paths = sorted(HTML.glob("*.html")) + sorted(HTML.glob("book/**/*.html"))
    paths = [path for path in paths if 'http-equiv="Refresh"' not in path.read_text()]  # to the first page
    if not paths:
        (pytest.fail if IN_CI else pytest.skip)("the book is not built, so its pages are not checked: make book")
    return [path.relative_to(HTML).as_posix() for path in paths]


def test_every_page_of_the_book(chromium):
    faults = []
    with served(HTML) as address:
        for where in pages_of_the_book():
            faults += [f"{where}: {fault}" for fault in audit(chromium, f"{address}/{where}")]
    assert not faults, "\n".join(faults)


# How far the tables that book.css stacks on a narrow screen must be scrolled sideways.
SCROLLED = """() => [...document.querySelectorAll("table:is(.equation-index, .autosummary)")].map(
  table => table.closest(".pst-scrollable-table-container")).map(box => box.scrollWidth - box.clientWidth)"""


@pytest.mark.parametrize("name", ["equations", "api"])
def test_wide_tables_are_stacked_on_a_telephone(chromium, name):
    path = HTML / "book" / f"{name}.html"
    if not path.exists():
        (pytest.fail if IN_CI else pytest.skip)("the book is not built: make book")
    with reader(chromium, viewport={"width": 375, "height": 800}) as page:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        beyond = page.evaluate(SCROLLED)
        assert beyond and max(beyond) <= 0
        page.evaluate("() => document.querySelectorAll('link[href*=\"book.css\"]').forEach(link => link.remove())")
        assert max(page.evaluate(SCROLLED)) > 0  # as they would be without the rules


# How each element of a page and what stands before and after it look.
LOOK = """names => [...document.querySelectorAll("body *")].flatMap(e => ["", "::before", "::after"].map(part => {
  const style = getComputedStyle(e, part);
  return part && style.content === "none" ? "" : names.map(name => style.getPropertyValue(name)).join(";"); }))"""
NAMES = """display position color background-color background-image font-size font-family font-weight line-height
  margin-top margin-left margin-bottom padding-top padding-left border-top-width border-left-width border-top-color
  max-width border-top-left-radius overflow-x flex-grow flex-wrap align-items justify-content opacity visibility
  transform content z-index text-decoration-line list-style-type white-space text-align float box-shadow""".split()
# Put the style sheets that site.css was made from in its place.
SOURCES = """async names => {
  const one = document.querySelector("link[href*='site.css']"), folder = one.href.replace(/site[.]css.*/, "");
  const links = names.map(name =>
    Object.assign(document.createElement("link"), {rel: "stylesheet", href: folder + name}));
  const ready = links.map(link => new Promise((done, failed) => { link.onload = done; link.onerror = failed; }));
  one.replaceWith(...links);
  await Promise.all(ready); }"""


@pytest.mark.parametrize("name", ["search", "book/index", "book/04_rotation"])
@pytest.mark.parametrize("width", [1440, 375])
def test_pages_look_as_with_the_style_sheets_that_site_css_was_made_from(chromium, name, width):
    pages_of_the_book()
    css = (HTML / "_static" / "site.css").read_text()
    sheets = re.match(r"/\* From (.*) \*/", css)[1].split()
    assert len(sheets) > 10
    with reader(chromium, viewport={"width": width, "height": 900}, reduced_motion="reduce") as page:
        page.goto((HTML / f"{name}.html").as_uri(), wait_until="networkidle")
        page.evaluate("document.fonts.ready")
        page.wait_for_timeout(1000)
        pruned = page.evaluate(LOOK, NAMES)
        page.evaluate(SOURCES, sheets)
        for _ in range(20):  # until their fonts are there, which give icons their width
            if same := page.evaluate(LOOK, NAMES) == pruned:
                break
            page.wait_for_timeout(250)
        assert len(pruned) > 300 and same
        page.evaluate("document.querySelectorAll('link[href*=\"styles/\"]').forEach(link => link.remove())")
        assert page.evaluate(LOOK, NAMES) != pruned  # as it would be without the theme's rules


@pytest.mark.parametrize("width", [1440, 375])
def test_a_link_into_a_page_shows_its_target(chromium, width):
    """Also far down a long page, whose parts have no height before they come near the screen."""
    pages_of_the_book()
    with served(HTML) as address, reader(chromium, viewport={"width": width, "height": 900}) as page:
        for target in ("08_reml.html#equation-reml-density", "08_reml.html#erratum-8-bound", "08_reml.html#remedies"):
            page.goto("about:blank")
            page.goto(f"{address}/book/{target}", wait_until="load")
            page.wait_for_timeout(300)
            top = page.evaluate("document.querySelector(':target').getBoundingClientRect().top")
            assert 0 <= top < 150, (target, top)


# What the search page of Sphinx lists for a query, as addresses, the first one first.
FOUND = """query => {
  history.replaceState(null, "", "?q=" + encodeURIComponent(query));
  return Search._performSearch(...Search._parseQuery(query)).reverse().map(([page, , anchor]) => page + anchor); }"""
WANTED = {  # among the first so many
    "nLLeval": (2, "book/06_variance"), "logdelta": (1, "book/notation#variances-and-their-ratio"),
    "h2": (1, "book/notation#variances-and-their-ratio"), "computeAKB": (1, "book/10_low_rank"),
    "findH2": (1, "book/07_search"), "find_log_delta": (1, "book/07_search"), "setG": (3, "book/03_spectrum"),
    "proximal contamination": (1, "book/glossary#term-proximal-contamination"), "REML": (3, "book/08_reml"),
    "decompose_snps": (2, "book/api#lmm_teach.spectrum.decompose_snps"),
}  # fmt: skip


def test_the_search_finds_names_and_terms_where_they_are_explained(chromium):
    if not (HTML / "searchindex.js").exists():
        (pytest.fail if IN_CI else pytest.skip)("the book is not built: make book")
    with served(HTML) as address, reader(chromium) as page:
        page.goto(f"{address}/search.html?q=findh2", wait_until="load")
        first = page.locator("#search-results li").first
        expect(first.locator("a").first).to_have_attribute("href", re.compile(r"book/07_search\.html"))
        expect(first.locator("p.context")).to_contain_text("findH2")
        for query, (places, wanted) in WANTED.items():
            found = page.evaluate(FOUND, query)
            assert wanted in found[:places], (query, found[:5])
            assert page.evaluate(FOUND, query.lower()) == page.evaluate(FOUND, query.upper()) == found
        assert "book/14_proximal" in page.evaluate(FOUND, "proximal contamination")[:2]
        formula = '<span class="katex-mathml"><math><mi>x</mi></math></span><span class="katex-html">x</span>'
        text = f"<p>Contents</p><article>of {formula} is</article>"
        assert page.evaluate("html => Search.htmlToText(html)", text) == "of x is"  # not "xx", seen and spoken
        page.evaluate("() => { Search._index.most = {}; }")
        assert page.evaluate(FOUND, "findH2")[0] != "book/07_search"  # so it is this extension's order
        assert page.faults == []


# ---- live, in JupyterLab ----


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab in an empty home on a folder with one notebook, and give the notebook's address."""
    work = tmp_path / "work"
    work.mkdir()
    nbformat.write(NOTEBOOK, work / "sliders.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
        f"--ServerApp.root_dir={work}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", "--ServerApp.ip=127.0.0.1",
    ]  # fmt: skip
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        environment = os.environ | {name: str(tmp_path / name) for name in homes}
        server = subprocess.Popen(command, env=environment, cwd=work, stdout=out, stderr=out)
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=1).close()
                break
            assert server.poll() is None, log.read_text()
            threading.Event().wait(0.5)
        else:
            pytest.fail("JupyterLab did not start:\n" + log.read_text())
        yield f"http://127.0.0.1:{port}/lab/tree/sliders.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(30)


def test_live_sliders_redraw_in_jupyterlab(chromium, lab):
    with reader(chromium, viewport={"width": 1200, "height": 2400}) as page:
        page.goto(lab)
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel", timeout=60000)
        page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.ready; }")
        page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
        page.wait_for_selector(".jp-OutputArea-output [role=slider] >> nth=3", timeout=60000)
        assert page.locator("figure.lmm-explore").count() == 0  # the frames were not all drawn

        box = page.locator(".widget-vbox").nth(1)
        picture, (rate, damping) = box.get_by_role("img", name=ALT), box.get_by_role("slider").all()
        readouts = box.locator(".widget-readout")
        expect(readouts).to_have_text(["0.5", "0.1 per s"])
        seen = [picture.get_attribute("src")]

        def moved(texts: list[str]) -> None:
            expect(readouts).to_have_text(texts)
            expect(picture).not_to_have_attribute("src", seen[-1], timeout=20000)
            seen.append(picture.get_attribute("src"))

        rate.press("ArrowRight")
        moved(["1", "0.1 per s"])
        damping.press("ArrowRight")
        moved(["1", "0.2 per s"])
        handle, track = damping.bounding_box(), box.locator(".noUi-target").nth(1).bounding_box()
        page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        page.mouse.down()
        page.mouse.move(track["x"] + track["width"], handle["y"] + handle["height"] / 2, steps=4)
        page.mouse.up()
        moved(["1", "0.3 per s"])
        assert len(set(seen)) == len(seen)
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        assert page.faults == []
