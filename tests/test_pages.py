"""What a page weighs and waits for, and how its formulas are written; the seconds are in benchmarks/pages.py."""

import gzip
import json
import os
import re
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import docstrings
import katex
import pytest
import quick
import streams
import unparted
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from jupyter_cache import get_cache
from myst_nb.core.utils import coalesce_streams

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="module")
def pages():
    """The text of each page, without the pictures in it, and the size of all of it, compressed."""
    found = sorted(HTML.glob("book/*.html"))
    if not found:
        (pytest.fail if IN_CI else pytest.skip)("the book is not built, so its pages are not weighed: make book")
    texts = {path: path.read_text() for path in found}
    return {path: (re.sub("[A-Za-z0-9+/=]{1000,}", "", text), compressed(path)) for path, text in texts.items()}


def compressed(path: Path) -> int:
    content = path.read_bytes()
    return len(content) if path.suffix in (".png", ".woff", ".woff2") else len(gzip.compress(content, 6))


def asked(text: str) -> list[str]:
    """The files that a page asks for."""
    elements = re.findall(r"<(?:script|img|link)\b[^>]*>", text)
    found = [re.search(r'\b(?:src|href)="([^"]*)"', e) for e in elements if "<link" not in e or "stylesheet" in e]
    return [re.sub(r"\?.*", "", unquote(match[1])) for match in found if match and not match[1].startswith("data:")]


def test_no_page_weighs_more_than_two_megabytes(pages):
    """Compressed, with its style sheets, scripts and pictures, and all the fonts that these may ask for."""
    weight = cache(compressed)
    fonts = sum(weight(font) for font in HTML.glob("_static/**/*.woff*"))
    for path, (text, size) in pages.items():
        files = {(path.parent / url).resolve() for url in asked(text)}
        assert len(files) > 12
        assert size + fonts + sum(map(weight, files)) < 2e6, path.name


def test_no_page_says_where_it_was_built(pages):
    """So that the builds of two clones are equal."""
    folder = re.compile(rf"(?<![\w./-]){re.escape(str(ROOT))}(?![\w-])")
    for path, (text, _) in pages.items():
        assert not folder.search(text), path.name


def test_no_script_runs_before_the_text_is_there(pages):
    for path, (text, _) in pages.items():
        scripts = re.findall(r"<script\b[^>]*\bsrc=[^>]*>", text)
        assert len(scripts) > 5
        blocking = [script for script in scripts if " defer" not in script]
        assert len(blocking) == 1 and "/documentation_options.js" in blocking[0], path.name


def test_pages_wait_for_two_style_sheets(pages):
    for path, (text, _) in pages.items():
        sheets = re.findall(r'<link\b[^>]*rel="stylesheet"[^>]*>', text)
        awaited = [re.search(r"_static/([^?\"]*)", sheet)[1] for sheet in sheets if 'media="print"' not in sheet]
        assert awaited == ["site.css", "book.css"], path.name


def test_icons_are_in_the_style_sheet_and_in_its_font(pages):
    """The macros that replace the theme's leave out its script for icons, and the font holds what pages show."""
    icons = {icon for text, _ in pages.values() for icon in re.findall(r'class="fa(?:s|-solid) (fa-[a-z-]+)', text)}
    style = (HTML / "_static" / "site.css").read_text()
    font = TTFont(next(HTML.glob("_static/vendor/fontawesome/*/webfonts/fa-solid-900.woff")))
    assert len(icons) > 5 and font.reader.file.seek(0, 2) < 10_000
    for icon in icons:
        rule = re.search(rf"\.{icon}:before[^{{]*{{content:\"(\\\\(\w+)|.)\"", style)
        assert rule, icon
        assert (int(rule[2], 16) if rule[2] else ord(rule[1])) in font.getBestCmap(), icon
    assert "fa-ghost" not in style  # an icon that no page shows


def test_a_style_sheet_loses_the_rules_that_no_page_can_use(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.css").write_text(
        "@charset 'utf-8'; @import '../b.css'; /*! MIT */ /* a remark */ .in, .out > p, #in:not(.out) { top: 0 }"
        ".out { top: 1px } @media print { .out { top: 2px } .in a[href] { src: url(../x.png) url('data:y') } }"
        "@media screen { .out { top: 3px } } @font-face { src: url('f.woff') }"
    )
    (tmp_path / "b.css").write_text("p.in { background: url(y.png) }")
    assert quick.pruned(tmp_path, "sub/a.css", {"in"}).split("\n") == [
        "p.in{background: url(y.png)}", "/*! MIT */", ".in,#in:not(.out){top: 0}",
        '@media print {.in a[href]{src: url(sub/../x.png) url("data:y")}}', '@font-face { src: url("sub/f.woff") }',
    ]  # fmt: skip


def printed(text: str) -> list[str]:
    """What the cells of a page print, from its HTML."""
    found = re.findall(r'<div class="output stream [^>]*><div class="highlight"><pre>(.*?)</pre>', text, re.S)
    return [unescape(re.sub("<[^>]*>", "", part)).strip() for part in found]


def test_pages_show_what_the_notebooks_print(pages):
    for path, (text, _) in pages.items():
        notebook = ROOT / "book" / f"{path.stem}.ipynb"
        if notebook.exists():
            cells = json.loads(notebook.read_text())["cells"]
            outputs = [output for cell in cells for output in cell.get("outputs", [])]
            texts = ["".join(output["text"]).strip() for output in outputs if output["output_type"] == "stream"]
            assert len(texts) > 5 and printed(text) == texts, path.name


def test_a_line_printed_in_two_pieces_is_one_line():
    pieces = [{"output_type": "stream", "name": "stdout", "text": text} for text in ("nLL", " 145.78\n\n", "h2\n")]
    merged = streams.joined(coalesce_streams)([pieces[0], {"output_type": "display_data"}, *pieces[1:]])
    assert [output.get("text") for output in merged] == ["nLL 145.78\n\nh2\n", None]
    assert pieces[0]["text"] == "nLL"


def test_a_formula_is_written_once_to_be_seen_and_once_to_be_spoken():
    soup = BeautifulSoup(katex.formula(r"\hat\beta = \frac{x^\top y}{2}"), "html.parser")
    assert [element.name for element in soup.math.select("mi, mo, mn, mfrac, mover, msup")] == [
        "mover", "mi", "mo", "mo", "mfrac", "msup", "mi", "mi", "mi", "mn",
    ]  # fmt: skip
    seen = soup.select_one(".katex-html[aria-hidden=true]")
    assert seen.get_text().replace("\u200b", "") == "β^=2x⊤y"
    assert r"\hat" not in str(soup)


@pytest.mark.parametrize(("tex", "lines"), [
    ("a+b=c", ["a+", "b=", "c"]),
    (r"(X^\top(K+\delta I)^{-1}X)^{-1}-b", ["(X⊤(K+δI)−1X)−1−", "b"]),
    (r"n\log(1+F/\nu)-[0,1)\cup(2,3]", ["nlog(1+F/ν)−", "[0,1)∪", "(2,3]"]),
    (r"(K+\delta I)^{-1}(K+\delta I)=2.8\times10^{-14}", ["(K+δI)−1(K+δI)=", "2.8×10−14"]),
    ("(" + "+".join("abcdefghijklmn") + ")=o", ["(a+", *(f"{x}+" for x in "bcdefghijklm"), "n)=", "o"]),
])  # fmt: skip
def test_a_formula_breaks_between_its_boxes_but_not_within_a_short_pair_of_brackets(tex, lines):
    seen = katex.formula(tex).split("katex-html")[1].partition(">")[2]
    assert [re.sub("<[^>]*>", "", line).replace("\u200b", "") for line in seen.split("<wbr>")] == lines


def test_a_number_stays_with_its_unit_and_with_what_it_numbers(pages):
    parted = []
    for path, (text, _) in pages.items():
        for paragraph in BeautifulSoup(text, "html.parser").select("article p:not(.admonition-title, .cell p)"):
            for words in paragraph.find_all(string=True):
                if not words.find_parent("code") and not words.find_parent(class_="math"):
                    parted += [(path.name, str(words))] if unparted.NUMBER.search(words) else []
    assert [where for where in parted if where[0] != "bibliography.html"] == []


@pytest.mark.skipif(not IN_CI, reason="without nbval before it, a build runs the notebooks itself")
def test_the_chapters_are_built_from_the_run_that_nbval_checked():
    records = get_cache(ROOT / "_build" / ".jupyter_cache").list_cache_records()
    chapters = {Path(record.uri).name: record.data for record in records if record.uri.endswith(".ipynb")}
    assert len(chapters) >= 20 and not any("execution_seconds" in data for data in chapters.values())


@pytest.mark.parametrize(("tex", "says"), [(r"\frac{1}", "frac"), (r"\undefined", "Undefined"), ("é_2", "unicode")])
def test_a_formula_that_latex_would_not_read_is_an_error(tex, says):
    with pytest.raises(Exception, match=says):
        katex.formula(tex)


def test_a_docstring_names_an_argument_and_then_says_all_of_it():
    lines = [
        "See x : y.", "", "Parameters", "----------", "Z : (n, s) genotypes, if", "    asked for", "a, *b : two", "",
        "Returns", "-------", "K : (n, n)",
    ]  # fmt: skip
    assert docstrings.plain(lines) == [
        *lines[:4], "Z", "    (n, s) genotypes, if", "    asked for", "a, *b", "    two", *lines[7:],
    ]  # fmt: skip
