"""Sphinx extension: no line breaks between a number and its unit, nor in names and short code."""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

UNITS = "%|ms|s|min|h|kB|MB|GB|GiB|MiB|px|mmHg|Mb|cm|SNPs?|January|February|March|April"
COUNTED = "[Cc]hapters?|[Cc]hromosome|[Ee]xercise|[Ll]evel|[Ss]tep"
NUMBER = re.compile(rf"\d (?=(?:{UNITS})(?!\w|\.\w))|\b(?:{COUNTED}) (?=\d|$)")
NAME = re.compile(r"((?:FaST|BOLT)-LMM(?:-inf)?|GRAMMAR-Γ)")
SHORT = 14  # characters of code that stay on one line
AS_IT_IS = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


class Unparted(SphinxPostTransform):
    """Numbers stay with their units and with what they number, names and short code in one piece."""

    default_priority = 901
    formats = ("html",)

    def run(self):
        for code in self.document.findall(nodes.literal):
            if len(code.astext()) <= SHORT:
                code["classes"].append("together")
        for link in list(self.document.findall(nodes.reference)):
            if link.children and isinstance(link[0], nodes.Text) and link[0].startswith(" "):  # titles of solutions
                link.replace(link[0], nodes.Text(link[0].lstrip()))
                link.parent.insert(link.parent.index(link), nodes.Text(" "))
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, AS_IT_IS):
                whole = NUMBER.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
                parts = [
                    nodes.inline("", part, classes=["together"]) if i % 2 else nodes.Text(part)
                    for i, part in enumerate(NAME.split(whole)) if part
                ]  # fmt: skip
                text.parent.replace(text, parts)


def setup(app):
    app.add_post_transform(Unparted)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
