"""Sphinx extension: the directive `equation-index` lists every labelled equation, its function and tests that use it.

Nothing of it is written by hand: labels and marks ("Implemented by ...") are read in the chapters, uses in tests/.
"""

import ast
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
TESTS = 3  # named for each function


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


def calls(tree):
    """For each test of a syntax tree, the names it uses and how often: {test: {name: count}}."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            names = [n.attr if isinstance(n, ast.Attribute) else n.id
                     for n in ast.walk(node) if isinstance(n, (ast.Attribute, ast.Name))]  # fmt: skip
            found[node.name] = {name: names.count(name) for name in set(names)}
    return found


def checked(name, tests):
    """At most `TESTS` tests that use an object of the package: those of its module first, then the shortest.

    A class is used where its name is, or a function of its module that returns it. `tests` is
    {file: {test: {name: count}}}, the answer a list of (file, test).
    """
    module, *path = name.removeprefix("lmm_teach.").split(".")
    tree = ast.parse((ROOT / "lmm_teach" / f"{module}.py").read_text(encoding="utf-8"))
    makers = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.returns
              and ast.unparse(node.returns) == path[-1]}  # fmt: skip
    found = [
        (file != f"test_{module}.py", sum(names.values()), file, test)
        for file, functions in tests.items() for test, names in functions.items() if names.keys() & {path[-1], *makers}
    ]  # fmt: skip
    return [(file, test) for *_, file, test in sorted(found)[:TESTS]]


def all_tests():
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    return {path.name: calls(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}


def lines():
    """The index in Markdown: a table per page for what code implements, and after it the other equations."""
    tests = all_tests()
    for page, text in sources().items():
        labels, marks = parse(text)
        if not labels:
            continue
        yield from (f"**{{doc}}`/book/{page.rpartition('.')[0]}`**", "")
        done = {}
        for label, name in marks:
            done.setdefault(label, []).append(name)
        if done:
            yield from ("| equation | label | `lmm_teach` | tests that use it |", "|---|---|---|---|")
        for label, names in done.items():
            functions = "; ".join(f"{{py:obj}}`~{name}`" for name in names)
            pairs = sorted({pair for name in names for pair in checked(name, tests)})
            named = "; ".join(f"`{file[:-3]}`: {test[5:].replace('_', ' ')}" for file, test in pairs)
            yield f"| {{eq}}`{label}` | `{label}` | {functions} | {named} |"
        rest = [f"{{eq}}`{label}` `{label}`" for label in labels if label not in done]
        yield from ("", ("Also: " if done else "") + ", ".join(rest) + "." if rest else "", "")


class EquationIndex(SphinxDirective):
    def run(self):
        for path in (*(ROOT / "book").glob("*.ipynb"), *(ROOT / "tests").glob("test_*.py")):
            self.env.note_dependency(str(path))
        box = nodes.container(classes=["equation-index"])
        self.state.nested_parse(StringList(list(lines()), self.get_source_info()[0]), self.content_offset, box)
        return box.children


def setup(app):
    app.add_directive("equation-index", EquationIndex)
    return {"parallel_read_safe": True}
