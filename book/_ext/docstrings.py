"""Sphinx extension: what a docstring says of an argument or a field is one text, of which Napoleon takes the first line
for a type: "Z : (n, s) genotypes, standardised" becomes "Z" and, below it, the rest.
"""

import re

ENTRY = re.compile(r"( *)(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.+)")
UNDERLINE = re.compile(r" *-{3,}")
SECTIONS = ("Parameters", "Attributes")


def plain(lines: list[str]) -> list[str]:
    out, section = [], None
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if UNDERLINE.fullmatch(following):
            section = line.strip()
        if section in SECTIONS and (entry := ENTRY.fullmatch(line)):
            out += [entry[1] + entry[2], f"{entry[1]}    {entry[3]}"]
        else:
            out.append(line)
    return out


def setup(app):
    app.connect("autodoc-process-docstring", lambda app, what, name, obj, options, lines: lines.__setitem__(
        slice(None), plain(lines)), priority=100)  # fmt: skip
    return {"parallel_read_safe": True, "parallel_write_safe": True}
