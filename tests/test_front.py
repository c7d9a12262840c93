"""The book's front: the head of every page, the order of parts and chapters, and the site's address."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import head
import pdf
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
REFRESH = 'http-equiv="Refresh"'


@pytest.fixture(scope="module")
def site():
    if not (HTML / "book" / "index.html").exists():
        in_ci = os.environ.get("CI") == "true"
        (pytest.fail if in_ci else pytest.skip)("the book is not built, so its pages are not read: make book")
    return HTML


def faults(path, text):
    """What the head of a page lacks, given the page's place and its text."""
    soup = BeautifulSoup(text.partition("</head>")[0], "html.parser")
    said = {meta.get("name") or meta.get("property"): meta["content"] for meta in soup.select("meta[content]")}
    description = said.get("description", "")
    if not 50 <= len(description) <= 160 or re.search(r"[\\${}<]|\[\w+, \d", description):
        yield f"description of {len(description)} characters: {description}"
    wanted = {"og:description": description, "og:site_name": "Linear Mixed Models, Line by Line"}
    yield from (f"{name} is not {text}" for name, text in wanted.items() if said.get(name) != text)
    yield from (f"no {name}" for name in ("og:title", "og:type", "og:image:alt", "twitter:card") if not said.get(name))
    icon = soup.select_one("link[rel=icon]")
    files = {"icon": icon and icon["href"], "picture": said.get("og:image")}
    for name, address in files.items():
        if not address or not (address.startswith("https:") or (path.parent / address).is_file()):
            yield f"no {name} at {address}"


def test_every_page_has_a_head_of_its_own(site):
    pages = [path for path in site.rglob("*.html") if path.parts[len(site.parts)] not in ("_static", "lite")]
    texts = {path: path.read_text(encoding="utf-8") for path in pages}
    read = {path: text for path, text in texts.items() if REFRESH not in text}
    wrong = [f"{path.relative_to(site)}: {fault}" for path, text in read.items() for fault in faults(path, text)]
    assert len(read) > 25 and not wrong, "\n".join(wrong)
    described = [re.search('name="description" content="([^"]+)"', text)[1] for text in read.values()]
    assert len(set(described)) == len(described)

    (first,) = [text for text in texts.values() if REFRESH in text]
    meta = 'property="og:(?:title|description)" content="([^"]+)"'
    assert re.findall(meta, first) == re.findall(meta, texts[site / "book" / "index.html"])


def test_a_head_that_lacks_everything_is_noticed(tmp_path):
    found = list(faults(tmp_path / "page.html", '<meta name="description" content="$x$"></head>'))
    assert [fault.split(":")[0].split(" of")[0].split(" is")[0] for fault in found] == [
        "description", "og", "og", "no og", "no og", "no og", "no twitter", "no icon at None", "no picture at None",
    ]  # fmt: skip


def test_parts_lead_to_their_chapters_in_order(site):
    """Next links, the first page's map and the sidebar follow the table of contents; chapters keep their numbers."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert pdf.pages(site) == [f"{name}.html" for name in listed]
    body = [Path(name).name for name in listed if re.match(r"book/(part_|\d)", name)]
    first = BeautifulSoup((site / "book" / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert [Path(link["href"]).stem for link in first.select("table a.internal")] == body
    entries = {Path(link["href"]).stem: link.text.strip() for link in first.select(".bd-sidebar a.internal")}
    assert [name for name in entries if name in body] == body
    for name in body:
        number = re.match(r"\d+", name)
        assert re.match(r"(\d+\.)?", entries[name])[0] == (f"{int(number[0])}." if number else "")


def paragraphs(*contents):
    return nodes.section("", *(nodes.paragraph("", "", *content) for content in contents))


def test_description_is_made_of_whole_sentences_without_latex():
    formula = [nodes.Text("All values of "), nodes.math("", r"\hat\sigma_g^2(K+\delta I)"), nodes.Text(" count.")]
    assert head.describe(paragraphs(formula, [nodes.Text("Not this.")])) == "All values of σ_g²(K+δI) count."
    assert head.describe(nodes.section("", nodes.title("", "Only a title"))) == ""
    sentence = "A sentence of exactly fifty characters, see above. "
    assert head.shorten(sentence * 9) == (sentence * 3).strip()
    assert head.shorten("Short. " + "word " * 99) == "Short. " + "word " * 29 + "word…"
    assert head.shorten("As posts [Nobody et al., 2015] say.") == "As posts say."


def test_the_address_of_the_site_comes_from_the_repository_or_from_whoever_builds_it():
    assert head.site_address({}) == ""
    assert head.site_address({"GITHUB_REPOSITORY": "Some/book"}) == "https://some.github.io/book/"
    assert head.site_address({"GITHUB_REPOSITORY": "Some/some.github.io"}) == "https://some.github.io/"
    given = {"GITHUB_REPOSITORY": "Some/book", "BOOK_URL": "https://example.org/lmm"}
    assert head.site_address(given) == "https://example.org/lmm/"


def test_sitemap_and_tags_have_absolute_addresses():
    tree = ElementTree.fromstring(head.sitemap("https://example.org/", {"book/b&c", "book/a"}))
    assert [place.text for place in tree.findall("{*}url/{*}loc")] == [
        "https://example.org/book/a.html", "https://example.org/book/b&c.html",
    ]  # fmt: skip
    made = head.tags("article", 'The "title"', "What it says.", "Book", "https://example.org/a.html", "https://c.png")
    soup = BeautifulSoup(made, "html.parser")
    said = {meta.get("property"): meta["content"] for meta in soup.select("meta")}
    assert said["og:url"] == "https://example.org/a.html" and said["og:title"] == 'The "title"'
    assert "og:url" not in head.tags("article", "T", "D", "S", "", "c.png")
