"""Sphinx extension: KaTeX sets the formulas while the book is built, so that a page shows them without a script.

Each formula is written twice, as MathML, which a screen reader speaks, and as the boxes that are seen.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

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
    return re.sub("<annotation.*?</annotation>", "", html)


def set_formula(translator, node, tex, display):
    try:
        translator.body.append(formula(tex, display))
    except Exception as error:
        logging.getLogger(__name__).warning("KaTeX: %s", error, location=node)


def inline(translator, node):
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    set_formula(translator, node, node.astext(), display=False)
    translator.body.append("</span>")
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


def setup(app):
    app.add_html_math_renderer("katex", (inline, None), (block, None))
    app.connect("builder-inited", lambda app: app.config.html_static_path.append(str(KATEX / "static")))
    app.add_css_file("katex/katex.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
