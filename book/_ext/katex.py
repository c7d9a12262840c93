"""Sphinx extension: KaTeX sets the formulas while the book is built, so that a page shows them without a script.

Each formula is written twice, as MathML, which a screen reader speaks, and as the boxes that are seen. Lines break
neither in short brackets nor between a formula and its punctuation.
"""

import re
from functools import cache
from html import escape
from itertools import accumulate
from os.path import relpath
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

AFTER = r"^(?:[.,;:?!)\]”’'\"]|(?<=[’'])s\b|-[a-z]+)+"
BEFORE = r"[(\[“‘'\"]+$"
# A bracket with an exponent is a pair of spans, one in the other.
OPENS, CLOSES = (re.compile(rf'class="{kind}[^>]*>(?!<span class="{kind})') for kind in ("mopen", "mclose"))
BETWEEN = '</span><span class="katex-base">'
UNBROKEN = 24  # characters; a line on a telephone has some 35
KATEX = Path(__file__).resolve().parents[1] / "_katex"


@cache
def engine():
    """Start a JavaScript engine that holds KaTeX."""
    engine = MiniRacer()
    engine.eval((KATEX / "katex.min.js").read_text(encoding="utf-8"))
    return engine


@cache
def formula(tex: str, display: bool = False) -> str:
    """Turn TeX into HTML, without the TeX that KaTeX writes into it; what LaTeX would not read is an error."""
    html = engine().call("katex.renderToString", tex, {"displayMode": display, "strict": "error"})
    html = re.sub("<annotation.*?</annotation>|</?semantics>", "", html)
    return breakable(html)


def breakable(html: str) -> str:
    """Let lines break between a formula's boxes, but not inside a short pair of brackets."""
    boxes = html.split(BETWEEN)
    level = list(accumulate(len(OPENS.findall(box)) - len(CLOSES.findall(box)) for box in boxes))
    text = [re.sub("<[^>]*>", "", box.rpartition('<span class="katex-html" aria-hidden="true">')[2]) for box in boxes]
    for i in range(len(boxes) - 1):
        first = max((j + 1 for j in range(i) if level[j] <= 0), default=0)
        last = next((j for j in range(i, len(boxes)) if level[j] <= 0), len(boxes) - 1)
        if text[i].endswith(("×", "⋅")):
            boxes[i] += BETWEEN
        elif level[i] <= 0 or sum(map(len, text[first : last + 1])) > UNBROKEN:
            boxes[i] += "</span><wbr>" + BETWEEN.removeprefix("</span>")
        else:
            boxes[i] += BETWEEN
    return "".join(boxes)


def set_formula(translator, node, tex, display):
    try:
        translator.body.append(formula(tex, display))
    except Exception as error:
        logging.getLogger(__name__).warning("KaTeX: %s", error, location=node)


class Punctuation(SphinxPostTransform):
    """A formula takes the brackets and the punctuation beside it along: browsers break lines at a formula's boxes."""

    default_priority = 900
    formats = ("html",)

    def run(self):
        for math in list(self.document.findall(nodes.math)):
            i = math.parent.index(math)
            for side, step, pattern in (("after", 1, AFTER), ("before", -1, BEFORE)):
                text = math.parent[i + step] if 0 <= i + step < len(math.parent) else None
                if isinstance(text, nodes.Text) and (found := re.search(pattern, text)):
                    math[side] = found[0]
                    math.parent[i + step] = nodes.Text(text[: found.start()] + text[found.end() :])


def inline(translator, node):
    beside = node.get("before", ""), node.get("after", "")
    if any(beside):
        translator.body.append(f'<span class="together">{escape(beside[0])}')
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    set_formula(translator, node, node.astext(), display=False)
    translator.body.append("</span>")
    if any(beside):
        translator.body.append(f"{escape(beside[1])}</span>")
    raise nodes.SkipNode


def block(translator, node):
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    tex = node.astext()
    lines = r"\\" in tex and not node.get("nowrap")
    set_formula(translator, node, rf"\begin{{split}}{tex}\end{{split}}" if lines else tex, display=True)
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def add_static(app):
    app.config.html_static_path.append(relpath(KATEX / "static", app.confdir))  # so that builds in two clones are equal


def setup(app):
    app.add_html_math_renderer("katex", (inline, None), (block, None))
    app.add_post_transform(Punctuation)
    app.connect("builder-inited", add_static)
    app.add_css_file("katex/katex.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
