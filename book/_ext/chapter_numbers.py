"""Sphinx extension: the number in a chapter's file name is its number in the book (04_rotation.ipynb is chapter 4)."""

import re
from pathlib import PurePath

from docutils import nodes
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles as Collector


def setup(app):
    number_in_order = Collector.assign_section_numbers

    def number_by_file(self, env):
        before = env.toc_secnumbers
        number_in_order(self, env)
        for page, numbers in env.toc_secnumbers.items():
            if match := re.match(r"(\d+)_", PurePath(page).name):
                chapter = int(match[1])
                env.toc_secnumbers[page] = {anchor: n and (chapter, *n[1:]) for anchor, n in numbers.items()}
                for node in (env.titles[page], *env.tocs[page].findall(nodes.reference)):
                    if node.get("secnumber"):
                        node["secnumber"] = [chapter, *node["secnumber"][1:]]
        return [page for page, numbers in env.toc_secnumbers.items() if numbers != before.get(page)]

    Collector.assign_section_numbers = number_by_file
    return {"parallel_read_safe": True}
