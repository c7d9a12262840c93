"""Print the built book as one PDF: python book/pdf.py [SITE PDF].

The pages are joined into one document in the order in which each names the next. Identifiers get the name of their
page in front, so that links between pages become links within the PDF. Chromium typesets and prints it, with a
bookmark for each heading; what went wrong is found in the joined document and in the PDF, and stops the program.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from pikepdf import Dictionary, ObjectStreamMode, Pdf
from playwright.sync_api import sync_playwright

BUILD = Path(__file__).resolve().parents[1] / "_build"

# Scripts and buttons do nothing on paper; the source code that [source] leads to is not printed.
LEFT_OUT = "script, button, .headerlink, .lmm-explore > p, a:has(.viewcode-link)"
STYLE = """\
@page cover { @bottom-center { content: none } }
#cover { page: cover; text-align: center; padding-top: 70mm }
#cover p { font-size: 1.1em }
#cover p:first-child { font-size: 2.6em; line-height: 1.3; margin-bottom: 1em }
#contents, article { break-before: page }
#contents h1 { margin-bottom: 0.5em }
#contents > ul { columns: 2; column-gap: 3em }
#contents ul { list-style: none; padding: 0 }
#contents ul ul { padding-left: 1em }
#contents > ul > li { margin-top: 0.4em }
#contents a { display: flex; gap: 1em; justify-content: space-between }
#contents a::after { content: attr(data-page) }
#contents ul ul a { color: #000 !important }
"""
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PAPER = {"width": round((210 - 2 * 18) / 25.4 * 96), "height": 1000}  # CSS pixels between print.css's margins on A4

# What would be missing or cut on paper.
AUDIT = """() => {
  const edge = document.documentElement.clientWidth + 1, faults = [];
  const over = element => element.getBoundingClientRect().right > edge;
  for (const element of document.querySelectorAll("article *"))
    if (over(element) && !over(element.parentElement) && !element.closest(".katex-base > *, .katex-mathml"))
      faults.push("over the edge: " + element.outerHTML.slice(0, 200));
  for (const math of document.querySelectorAll(".math"))
    if (!math.querySelector(".katex-html > .katex-base"))
      faults.push("formula not typeset: " + math.textContent.slice(0, 80));
  for (const image of document.images)
    if (!image.naturalWidth) faults.push("picture that does not load: " + image.src.slice(0, 80));
  for (const link of document.querySelectorAll("a[href^='#']"))
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1))))
      faults.push("link to nothing: " + link.getAttribute("href"));
  return faults; }"""

# The headings as they are seen: a formula's MathML would say it a second time.
HEADINGS = """all => all.map(heading => {
  const copy = heading.cloneNode(true);
  for (const spoken of copy.querySelectorAll(".katex-mathml")) spoken.remove();
  return copy.textContent.trim(); })"""

# Give each line of the contents its page.
NUMBER = """numbers => {
  for (const line of document.querySelectorAll("#contents a"))
    line.dataset.page = numbers[line.getAttribute("href").slice(1)]; }"""


def beside(page: str, address: str) -> str:
    """Resolve an address in a page, both relative to the folder of the site."""
    return normpath(join(dirname(page), urlsplit(address).path)) if urlsplit(address).path else page


def pages(html: Path) -> list[str]:
    """Follow the book from where index.html sends the reader, by each page's link to the next."""
    page, found = "index.html", []
    while page:
        text = (html / page).read_text()
        refresh = re.search(r'http-equiv="Refresh" content="0; url=([^"]+)"', text)
        following = refresh or re.search(r'<link rel="next"[^>]* href="([^"]+)"', text)
        if not refresh:
            found.append(page)
        page = beside(page, following[1]) if following else None
    return found


def name(page: str) -> str:
    """Turn a page's address into the name of its article: book/08_reml.html becomes book-08_reml."""
    return page.removesuffix(".html").replace("/", "-")


def prepare(html: Path, page: str, book: list[str]) -> BeautifulSoup:
    """Read a page and make its article fit for paper and for its place among the pages of the book."""
    soup = BeautifulSoup((html / page).read_text(), "html.parser")
    article = soup.select_one("article")
    for part in article.select(LEFT_OUT):
        part.decompose()
    for details in article.select("details"):
        details["open"] = ""
    for sliders in article.select(".lmm-explore > [hidden]"):
        del sliders["hidden"]
    for element in article.select("[id]"):
        element["id"] = f"{name(page)}.{element['id']}"
    article["id"] = name(page)
    for element in article.select("[src]"):
        if not urlsplit(element["src"]).scheme:
            element["src"] = f"{html.name}/{beside(page, element['src'])}"
    for link in article.select("a[href]"):
        url = urlsplit(link["href"])
        target = beside(page, link["href"])
        if not url.scheme and target in book:
            link["href"] = f"#{name(target)}" + (f".{unquote(url.fragment)}" if url.fragment else "")
        elif not url.scheme:  # a picture in a window of its own, a page that is not printed
            del link["href"]
    return soup


def contents(articles: list) -> str:
    """List chapters and sections as links, with room for the numbers of their pages."""

    def entry(heading, target) -> str:
        return f'<a href="#{target["id"]}" data-page="000"><span>{heading.decode_contents()}</span></a>'

    chapters = (
        f"<li>{entry(article.h1, article)}<ul>"
        + "".join(f"<li>{entry(h2, h2.parent)}</li>" for h2 in article.select("section[id] > h2"))
        + "</ul></li>"
        for article in articles
    )
    return f"<h1>Contents</h1><ul>{''.join(chapters)}</ul>"


def joined(html: Path, book: list[str]) -> str:
    """Write the document to print; it belongs beside the folder of the site."""
    soups = [prepare(html, page, book) for page in book]
    articles = [soup.article for soup in soups]
    first, title = soups[0], re.split(r" [—-] (?=[^—]*$)", soups[-1].title.text)[-1].strip()
    for element in first.head.select("[href], [src]"):
        attribute = "href" if element.has_attr("href") else "src"
        element[attribute] = f"{html.name}/{beside(book[0], element[attribute])}"
    head = first.head.select("link[rel=stylesheet], script[src*='print.js']")
    running = "".join(
        f"@page {name(page)} {{ @top-right {{ content: {json.dumps(article.h1.text.strip(), ensure_ascii=False)}; "
        f'font: 8pt sans-serif }} }}\n#{name(page)} {{ page: {name(page)} }}\n'
        for page, article in zip(book, articles, strict=True)
    )
    footer = "".join(map(str, first.select("footer .component-author, footer .copyright, footer .extra_footer")))
    return (
        f'<!doctype html><html lang="{first.html["lang"]}" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{''.join(map(str, head))}<style>{STYLE}{running}</style></head><body>"
        f'<section id="cover"><p>{title}</p>{footer}</section><section id="contents">{contents(articles)}</section>'
        f'<main class="bd-main"><div class="bd-content"><div class="bd-article-container">{"".join(map(str, articles))}'
        "</div></div></main></body></html>"
    )


def numbers(pdf: Pdf) -> dict[str, int]:
    """Find on which page each identifier stands that something links to."""
    number = {page.objgen: k for k, page in enumerate(pdf.pages, 1)}
    return {name[1:]: number[target[0].objgen] for name, target in pdf.Root.Dests.items()}


def bookmarks(node: Dictionary) -> Iterator[Dictionary]:
    """Yield the bookmarks below a node in the order of the text."""
    child = node.get("/First")
    while child is not None:
        yield child
        yield from bookmarks(child)
        child = child.get("/Next")


def faults(pdf: Pdf) -> list[str]:
    """Find links that lead nowhere or to this computer, and pages that hold no more than their number."""
    found, there = [], numbers(pdf)
    for number, page in enumerate(pdf.pages, 1):
        if b"/MCID" not in page.Contents.read_bytes():
            found.append(f"page {number} is blank")
        for annotation in page.get("/Annots", []):
            target = str(annotation.get("/Dest", "")).removeprefix("/")
            address = str(annotation.get("/A", {}).get("/URI", ""))
            if target not in there and not re.match("https?:|mailto:", address):
                found.append(f"page {number} links to {target or address}, which is not there")
    return found


def make(html: Path, out: Path, book: list[str] | None = None) -> list[str]:
    """Print these pages of a built book (by default all) into one file; return what is wrong with it."""
    book = book or pages(html)
    source = html.parent / f"{out.stem}.html"
    source.write_text(joined(html, book))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=PAPER)
        page.set_default_timeout(300_000)
        page.emulate_media(media="print")
        page.goto(source.as_uri())
        page.evaluate("document.fonts.ready.then(() => { dispatchEvent(new Event('beforeprint')) })")
        found = page.evaluate(AUDIT)
        headings = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all(HEADINGS)
        author = page.locator("#cover .component-author").text_content().strip().removeprefix("By ")
        # Twice, since only the first copy tells where everything stands.
        for _ in range(2):
            page.pdf(path=out, format="A4", outline=True, tagged=True)
            with Pdf.open(out) as pdf:
                page.evaluate(NUMBER, numbers(pdf))
        browser.close()
    source.unlink()
    with Pdf.open(out, allow_overwriting_input=True) as pdf:
        # Chromium writes a heading that begins a page twice, and a formula too.
        for bookmark, heading in zip(bookmarks(pdf.Root.Outlines), headings, strict=True):
            bookmark.Title = heading
        pdf.docinfo["/Author"] = author
        pdf.save(out, object_stream_mode=ObjectStreamMode.generate)
        return found + faults(pdf)


if __name__ == "__main__":
    html, out = map(Path, (sys.argv[1:] or (BUILD / "html", BUILD / "lmm-line-by-line.pdf")))
    if wrong := make(html, out):
        sys.exit("\n".join(wrong))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
