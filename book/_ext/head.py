"""Sphinx extension: what the head of a page tells browsers, search engines and programs that show links.

Each page gets a description, the first sentences of its own prose (or `description` of its front matter), and Open
Graph tags; the site an icon, a picture for shared links, and an index.html that leads to the first page and has the
same tags. Where the site's address is known there are absolute addresses, canonical links and a sitemap. BOOK_URL gives
the address, or GITHUB_REPOSITORY ("owner/name") where GitHub builds the book for https://owner.github.io/name/.
"""

import os
import re
from html import escape, unescape
from pathlib import Path

import numpy as np
from docutils import nodes

import lmm_teach as lt
from lmm_teach import dense, plot, simulate

ICON = Path(__file__).resolve().parents[1] / "icon.svg"
CARD = "_static/card.png"
CARD_ALT = "The title above the covariance of eight families, a bright block for each, and a likelihood curve."
LONGEST, SHORTEST = 160, 80  # characters of a description; search engines show no more, and fewer say too little
SIGNS = {r"\times": "×", r"\to": "→", r"\log": "log ", r"\hat": "", r"\top": "ᵀ"}
GREEK = {r"\beta": "β", r"\gamma": "γ", r"\delta": "δ", r"\lambda": "λ", r"\sigma": "σ", r"\chi": "χ"}
REDIRECT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
{tags}
<meta http-equiv="Refresh" content="0; url={url}" />
</head><body><a href="{url}">{title}</a></body></html>
"""


def site_address(environment) -> str:
    """The address of the published book with a slash at the end, or nothing if it is not known."""
    if address := environment.get("BOOK_URL"):
        return address.rstrip("/") + "/"
    owner, _, name = environment.get("GITHUB_REPOSITORY", "").partition("/")
    place = "" if name.lower() == f"{owner.lower()}.github.io" else f"{name}/"  # the site of the owner itself
    return f"https://{owner.lower()}.github.io/{place}" if name else ""


def plain(latex: str) -> str:
    """A short formula as text."""
    for command, sign in (SIGNS | GREEK).items():
        latex = re.sub(re.escape(command) + r"(?![a-zA-Z]) ?", sign, latex)
    return re.sub(r"[{}\\$]", "", latex.replace("^2", "²").replace("^3", "³"))


def shorten(text: str) -> str:
    """As many whole sentences as search engines show, or if these are short, as many words."""
    text = " ".join(re.sub(r" \[[^\]]*, \d{4}\w?\]", "", text).split())  # without citations
    if len(text) <= LONGEST:
        return text
    end = max((match.end() for match in re.finditer(r"[.?!](?= )", text[: LONGEST + 1])), default=0)
    return text[:end] if end >= SHORTEST else text[: text.rindex(" ", 0, LONGEST)].rstrip(",;:.") + "…"


def describe(doctree) -> str:
    """The first sentences of a page's running text, or nothing if it has none."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            texts = paragraph.findall(lambda node: isinstance(node, (nodes.Text, nodes.math)))
            return shorten("".join(
                plain(node.astext()) if isinstance(node, nodes.math) else node.astext()
                for node in texts if not isinstance(node.parent, nodes.math)
            ))  # fmt: skip
    return ""


def tags(kind: str, title: str, description: str, site: str, url: str, card: str) -> str:
    """The elements of one page's head; without the site's address there is no `url`."""
    properties = {"og:type": kind, "og:site_name": site, "og:title": title, "og:description": description,
                  "og:url": url, "og:image": card, "og:image:alt": CARD_ALT, "og:image:width": "1200",
                  "og:image:height": "630"}  # fmt: skip
    lines = [f'<meta name="description" content="{escape(description)}" />']
    lines += [f'<meta property="{name}" content="{escape(text)}" />' for name, text in properties.items() if text]
    return "\n".join([*lines, '<meta name="twitter:card" content="summary_large_image" />'])


def tags_of(app, page: str, title: str, doctree, up: str) -> str:
    """The tags of a page whose path leads `up` to the site's folder; one without text is described by its title."""
    site, address = app.config.html_title or app.config.project, app.config.html_baseurl
    name = unescape(re.sub("<[^>]*>", "", title))
    given = app.env.metadata.get(page, {}).get("description")
    description = given or (doctree and describe(doctree)) or f"{name}: a page of the book {site}."
    url = address and address + page + ".html"
    kind = "website" if page == app.config.root_doc else "article"
    return tags(kind, name, description, site, url, (address or up) + CARD)


def add_tags(app, page, template, context, doctree):
    # The pages with the package's source have no doctree, and the search page no title either.
    title = context.get("title") or page.capitalize()
    found = tags_of(app, page, title, doctree, "../" * page.count("/"))
    context["metatags"] = f"{context.get('metatags', '')}\n{found}\n"


def draw_card(path: Path) -> None:
    """Draw the picture that stands beside a shared link, 1200 by 630 pixels."""
    cohort = simulate.cohort(48, 2000, seed=13, siblings=6, h2=0.5)
    K = lt.kinship(lt.standardize(cohort.G))
    model, h2 = lt.LMM(lt.decompose_kinship(K), cohort.X, cohort.y), np.linspace(0, 0.98, 50)
    best = model.fit(reml=True)
    fig, (picture, curve) = plot.axes(1, 2, width=1200, height=630)
    fig.set_layout_engine("none")
    picture.set_position((0.05, 0.08, 0.25, 0.4762))
    picture.imshow(dense.covariance(K, h2=best.h2), vmin=-0.1, vmax=1.1)
    picture.axis("off")
    curve.set_position((0.4, 0.08, 0.55, 0.4762))
    curve.plot(h2, [model.evaluate(h2=value, reml=True).nll for value in h2], color=plot.BLUE, linewidth=4)
    curve.plot(best.h2, best.nll, "o", color=plot.VERMILLION, markersize=16)
    curve.set(xticks=[], yticks=[], ymargin=0.1)
    fig.text(0.05, 0.92, "Linear Mixed Models,\nLine by Line", size=35, weight="bold", va="top")
    fig.text(0.05, 0.64, "FaST-LMM, PyLMM and GEMMA: derived, run, checked", size=17, va="center")
    path.write_bytes(plot.png(fig))


def sitemap(address: str, pages) -> str:
    urls = "".join(f"<url><loc>{escape(address + page)}.html</loc></url>\n" for page in sorted(pages))
    return ('<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
            f"{urls}</urlset>\n")  # fmt: skip


def set_site(app, config):
    config.html_favicon = str(ICON)
    config.html_baseurl = config.html_baseurl or site_address(os.environ)


def write_files(app, exception):
    if exception or app.builder.format != "html":
        return
    out, root = Path(app.outdir), app.config.root_doc
    draw_card(out / CARD)
    if root != "index":
        title = app.env.titles[root].astext()
        head = tags_of(app, root, title, app.env.get_doctree(root), "")
        page = REDIRECT.format(title=escape(title), tags=head, url=f"{root}.html")
        (out / "index.html").write_text(page, encoding="utf-8")
    if app.config.html_baseurl:
        (out / "sitemap.xml").write_text(sitemap(app.config.html_baseurl, app.env.found_docs), encoding="utf-8")


def setup(app):
    app.connect("config-inited", set_site)
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
