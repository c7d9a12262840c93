"""The book away from its site: printed pages, the PDF, and the zip opened as a folder, each in a real Chromium."""

import zipfile

import offline
import pdf
import pytest
from bs4 import BeautifulSoup
from pikepdf import Dictionary, Pdf
from test_browser import AUDIT, HTML, IN_CI, chromium, dead_sliders, reader, served  # noqa: F401

PAGES = ["book/index.html", "book/04_rotation.html"]


@pytest.fixture(scope="module")
def site():
    if not (HTML / PAGES[-1]).exists():
        (pytest.fail if IN_CI else pytest.skip)("the book is not built, so it is not printed: make book")
    return HTML


@pytest.fixture
def faulty(tmp_path):
    """Write a site of two pages with every fault that is looked for."""
    site = tmp_path / "html"
    (site / "_static").mkdir(parents=True)
    (site / "_static" / "a.js.map").touch()
    (site / "_static" / "documentation_options.js").write_text("SHOW_SEARCH_SUMMARY: true")
    start = (
        "<!doctype html><html lang=en><head><title>One - A book</title>{}"
        '<link rel="stylesheet" href="_static/gone.css">'
        "</head><body><article><section id=one><h1>One</h1>"
    )
    end = "</section></article><footer><p class=component-author>By Nobody</p></footer></body></html>"
    (site / "index.html").write_text(
        start.format('<link rel="next" href="two.html"><link rel="preload" as="font" href="_static/gone.woff2">')
        + '<p><a href="two.html#nowhere">a</a> <a href="two.html#one">b</a> <a href="file:///etc">c</a></p>'
        '<p><span class=math>x</span><img src="gone.png" width=20 height=20></p><p style="width:900px">wide</p>'
        '<a href="_static/a.js.map">e</a><div style="break-before:page; height:5mm"></div>' + end
    )
    (site / "two.html").write_text(start.format("") + "<h2>Two</h2>" + end)
    return site


# ---- the PDF ----


def test_pdf_of_two_pages(site, tmp_path):
    """Bookmarks, links from page to page, numbers in the contents, alternative texts and titles are there."""
    out = tmp_path / "book.pdf"
    assert pdf.make(site, out, PAGES) == []
    articles = [BeautifulSoup((site / page).read_text(), "html.parser").article for page in PAGES]
    with Pdf.open(out) as book:
        assert str(book.docinfo["/Title"]) == "Linear Mixed Models, Line by Line"
        assert str(book.docinfo["/Author"]) == "The Linear Mixed Models, Line by Line authors"
        assert str(book.Root.Lang) == "en"

        headings = [h for article in articles for h in article.select("h1, h2, h3, h4")]
        titles = [str(bookmark.Title) for bookmark in pdf.bookmarks(book.Root.Outlines)]
        assert titles[0] == "Contents"
        for title, heading in zip(titles[1:], headings, strict=True):
            for spoken in heading.select(".katex-mathml"):
                spoken.decompose()
            assert title.split() == heading.text.removesuffix("#").split()

        numbers = pdf.numbers(book)
        first, second = (numbers[pdf.name(page)] for page in PAGES)
        linked = {
            (k, numbers[str(link.Dest)[1:]])
            for k, page in enumerate(book.pages, 1)
            for link in page.get("/Annots", [])
            if "/Dest" in link
        }
        assert any(k < first for k, _ in linked)  # the contents
        assert any(first <= k < second <= there for k, there in linked)  # from the first page to the chapter

        described = {str(o.Alt) for o in book.objects if isinstance(o, Dictionary) and "/Alt" in o}
        for image in (image for article in articles for image in article.select("img")):
            assert image["alt"] in described


def test_pdf_audit_finds_each_fault(faulty, tmp_path):
    faults = pdf.make(faulty, tmp_path / "book.pdf")
    expected = [
        "link to nothing: #two.nowhere", "page 4 is blank", "page 3 links to file:///etc", "picture that does not load",
        "formula not typeset: x", "over the edge: <p style=",
    ]  # fmt: skip
    for fault in expected:
        assert sum(found.startswith(fault) for found in faults) == 1, (fault, faults)
    assert len(faults) == len(expected), faults


# ---- a page on paper ----

PRINTED = r"""async () => {
  await document.fonts.ready;
  dispatchEvent(new Event("beforeprint"));
  const style = element => getComputedStyle(element), faults = [];
  if (style(document.body).backgroundColor !== "rgb(255, 255, 255)") faults.push("not white");
  for (const element of document.querySelectorAll("article :is(h1, h2, p, pre, pre span, td, a, .katex)"))
    if (style(element).color.match(/\d+/g).slice(0, 3).every(part => part > 150))
      faults.push("pale: " + element.outerHTML.slice(0, 80));
  for (const element of document.querySelectorAll("button, input, nav, .headerlink, .bd-sidebar"))
    if (element.checkVisibility()) faults.push("a reader of paper has no use for " + element.outerHTML.slice(0, 80));
  for (const element of document.querySelectorAll("details > div, .solution p, .lmm-explore output"))
    if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true}))
      faults.push("hidden: " + element.textContent.slice(0, 80));
  const edge = document.documentElement.clientWidth + 1;
  for (const element of document.querySelectorAll("article pre *, article .katex-base, article img, article td"))
    if (element.getBoundingClientRect().right > edge) faults.push("cut: " + element.outerHTML.slice(0, 80));
  for (const sliders of document.querySelectorAll(".lmm-explore > div"))
    if (!getComputedStyle(sliders, "::after").content.includes("on the screen"))
      faults.push("the sliders do not say where they move");
  dispatchEvent(new Event("afterprint"));
  if (document.documentElement.dataset.theme !== "dark" || document.querySelector("details[open]"))
    faults.push("not as before");
  return faults; }"""


def printed(chromium, address, without=(), width=pdf.PAPER["width"]):  # noqa: F811
    """Prepare a page in the dark theme for paper, with or without some files, and return what is wrong."""
    with reader(chromium, viewport=pdf.PAPER | {"width": width}) as page:
        page.add_init_script("localStorage.setItem('mode', 'dark'); localStorage.setItem('theme', 'dark')")
        for name in without:
            page.route(f"**/{name}*", lambda route: route.abort())
        page.goto(address)
        page.emulate_media(media="print")
        return page.evaluate(PRINTED)


def test_a_page_in_the_dark_theme_prints_well(chromium, site):  # noqa: F811
    with served(site) as address:
        page = f"{address}/book/08_reml.html"
        assert printed(chromium, page) == []
        # On paper so narrow that formulas are cut, too.
        faults = printed(chromium, page, without=("print.css", "print.js"), width=400)
    expected = [
        "not white", "pale: <", "a reader of paper has no use for", "hidden: ", 'cut: <span class="n',
        'cut: <span class="katex-base', "the sliders do not say",
    ]  # fmt: skip
    for fault in expected:
        assert any(found.startswith(fault) for found in faults), (fault, faults)


# ---- the zip ----


def test_zip_works_from_a_folder(chromium, site, tmp_path):  # noqa: F811
    archive = tmp_path / "book.zip"
    assert offline.make(site, archive) == []
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)
    with reader(chromium) as page:
        page.goto((tmp_path / "book" / "index.html").as_uri())
        page.wait_for_url("**/book/index.html")
        page.locator("article").get_by_role("link", name="Rotation", exact=True).click()
        page.wait_for_url(f"**/{PAGES[1]}")
        assert page.evaluate(AUDIT) == []
        assert page.locator(".lmm-explore input").count() > 0
        assert dead_sliders(page) == []
        page.goto((tmp_path / "book" / "search.html").as_uri() + "?q=Woodbury")
        page.wait_for_selector("#search-results a >> text=Low rank")
        page.locator("#search-results p", has_text="finished").wait_for()
        assert page.faults == []


def test_zip_lacks_nothing_that_is_asked_for_and_is_always_the_same(faulty, tmp_path):
    faults = offline.make(faulty, tmp_path / "book.zip")
    assert faults == [
        "index.html refers to _static/a.js.map", "index.html refers to _static/gone.css",
        "index.html refers to gone.png", "two.html refers to _static/gone.css",
    ]  # fmt: skip
    before = (tmp_path / "book.zip").read_bytes()
    for path in faulty.rglob("*.html"):
        path.write_text(path.read_text())
        path.chmod(0o600)
    offline.make(faulty, tmp_path / "book.zip")
    assert (tmp_path / "book.zip").read_bytes() == before
