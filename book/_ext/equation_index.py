"""Sphinx extension: the directive `equation-index` lists every labelled equation, its functions and tests of them.

Labels and marks ("Implemented by ...") are read in the chapters, uses in tests/, and the lines of FaST-LMM in a table
that `reference/fastlmm_lines.py` compares with FaST-LMM's source.
"""

import ast
import csv
import itertools
import json
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
EQUATION = r"\$\$(?:[^$]|\\\$)+?\$\$[ \t]*\((?P<label>[\w:.-]+)\)"
MARK = r"^.*?\bImplemented by (?P<mark>.*\{py:.*)$"
ROLE = r"\{py:(?:func|meth|class|attr|mod)\}`~?([\w.]+)`"
FASTLMM = ROOT / "reference" / "golden" / "fastlmm_lines.csv"
MODULES = {"lt", "lmm_teach", *(path.stem for path in (ROOT / "lmm_teach").glob("*.py"))}
COMPARISONS = {".approx", ".allclose", ".assert_allclose", ".array_equal", ".assert_array_equal"}
TESTS = 3  # named for each equation


def sources():
    """The text of each page of the book, by its name."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}
    for path in (ROOT / "book").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        pages[path.name] = "\n\n".join(texts)
    return dict(sorted(pages.items()))


def parse(text):
    """The labels of a page's equations, and a pair (label, object) for each object said to implement one.

    A mark without an equation above it has the label None.
    """
    labels, marks = [], []
    for match in re.finditer(f"{EQUATION}|{MARK}", text, re.MULTILINE):
        if match["label"]:
            labels.append(match["label"])
        else:
            marks += [(labels[-1] if labels else None, name) for name in re.findall(ROLE, match["mark"])]
    return labels, marks


def mentions(node):
    """The names in a syntax tree: `a`, `module.b` of the package's modules or `lt.b`, and `.b` of any other object."""
    found = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            found.add(n.id)
        elif isinstance(n, ast.Attribute):
            owner = n.value.id if isinstance(n.value, ast.Name) else ""
            found.add(f"{owner}.{n.attr}" if owner in MODULES else f".{n.attr}")
    return found


def uses(tree):
    """The names that each test of a syntax tree mentions, itself or through helpers and fixtures of its file."""
    own = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            own[node.name] = mentions(node)
        elif isinstance(node, ast.Assign):
            own |= {n.id: mentions(node.value) for target in node.targets for n in ast.walk(target)
                    if isinstance(n, ast.Name)}  # fmt: skip
    for names in own.values():
        while more := set().union(*(own.get(used, ()) for used in names)) - names:
            names |= more
    return {name: names for name, names in own.items() if name.startswith("test_")}


def checked(name, tests, label=""):
    """The tests that use an object of the package, of {file: {test: names}}, as a list of (file, test), best first.

    First those of its module's file; among these the ones that share words with the equation's label, that compare with
    `dense`, or numbers at all, and that mention least besides. Tests that provoke errors count where there are no
    others. A class is used where its name is, or a function of its module that returns it; a method where its class is
    and an attribute of its name is taken.
    """
    module, *path = name.removeprefix("lmm_teach.").split(".")
    tree = ast.parse((ROOT / "lmm_teach" / f"{module}.py").read_text(encoding="utf-8"))
    makers = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.returns
              and ast.unparse(node.returns) == path[0]}  # fmt: skip
    wanted = {prefix + part for part in (path[0], *makers) for prefix in ("", "lt.", f"{module}.")}
    found = [
        (".raises" in names, file != f"test_{module}.py", -len({*label.split("-")} & {*test.split("_")}),
         not any(used.startswith("dense.") for used in names), not names & COMPARISONS, len(names), file, test)
        for file, functions in tests.items() for test, names in functions.items()
        if names & wanted and {f".{part}" for part in path[1:]} <= names
    ]  # fmt: skip
    return [(file, test) for errors, *_, file, test in sorted(found) if errors == min(found)[0]]


def all_tests():
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    return {path.name: uses(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}


def fastlmm():
    """For each equation that is in the table, where FaST-LMM computes it, in Markdown: {label: [place]}, maybe none."""
    places = {}
    with FASTLMM.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found = places.setdefault(row["label"], [])
            if row["file"]:
                numbers = row["lines"].replace("-", "–")
                found.append(f"`{row['file']}` {numbers}, `{row['function']}`: `{row['name']}`")
    return places


def lines():
    """The index in Markdown: a table per page for what code computes, and after it the other equations."""
    tests, elsewhere = all_tests(), fastlmm()
    for page, text in sources().items():
        labels, marks = parse(text)
        if not labels:
            continue
        yield from (f"**{{doc}}`/book/{page.rpartition('.')[0]}`**", "")
        done = {label: [name for of, name in marks if of == label] for label in labels
                if label in dict(marks) or elsewhere.get(label)}  # fmt: skip
        if done:
            yield from ("| equation | label | `lmm_teach` | FaST-LMM 0.6.13 | tests |", "|---|---|---|---|---|")
        for label, names in done.items():
            functions = "; ".join(f"{{py:obj}}`~{name}`" for name in names)
            in_turn = itertools.zip_longest(*(checked(name, tests, label) for name in names))
            pairs = list(dict.fromkeys(pair for turn in in_turn for pair in turn if pair))[:TESTS]
            named = "; ".join(f"`{file[:-3]}`: {test[5:].replace('_', ' ')}" for file, test in pairs)
            places = "; ".join(elsewhere.get(label, ()))
            yield f"| {{eq}}`{label}` | `{label}` | {functions or '–'} | {places or 'none'} | {named or '–'} |"
        rest = [f"{{eq}}`{label}` `{label}`" for label in labels if label not in done]
        yield from ("", ("Also: " if done else "") + ", ".join(rest) + "." if rest else "", "")


class EquationIndex(SphinxDirective):
    def run(self):
        for path in (*(ROOT / "book").glob("*.ipynb"), *(ROOT / "tests").glob("test_*.py"), FASTLMM):
            self.env.note_dependency(str(path))
        box = nodes.container(classes=["equation-index"])
        self.state.nested_parse(StringList(list(lines()), self.get_source_info()[0]), self.content_offset, box)
        for table in box.findall(nodes.table):
            table["classes"].append("equation-index")  # book.css stacks its columns on a narrow screen
        return box.children


def setup(app):
    app.add_directive("equation-index", EquationIndex)
    return {"parallel_read_safe": True}
