"""Equations and code name each other: labels in docstrings exist in the book, and the book's marks lead back."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from equation_index import all_tests, checked, fastlmm, lines, parse, sources, uses

ROOT = Path(__file__).resolve().parents[1]


def citations(tree, name):
    """Pairs (label, object) for every :eq: in the docstrings of a syntax tree."""
    found = {(label, name) for label in re.findall(r":eq:`([^`]+)`", ast.get_docstring(tree) or "")}
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found |= citations(node, f"{name}.{node.name}")
    return found


def docstring(name):
    """The docstring of the object with this dotted name, or None where there is no such object."""
    package, module, *rest = name.split(".")
    try:
        found = importlib.import_module(f"{package}.{module}")
        for part in rest:
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return inspect.getdoc(found) or ""


def untested(marks, tests):
    """Objects that are marked as the implementation of an equation and that no test uses."""
    return sorted({name for _, name in marks if not checked(name, tests)})


def complaints(labels, marks, cited):
    """What does not fit between the book (labels, marks) and the package (cited)."""
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield f"equation {label} stands {labels.count(label)} times in the book"
    for label, name in sorted(cited):
        if label not in labels:
            yield f"the docstring of {name} cites {label}, which no equation of the book is labelled"
        elif (label, name) not in marks:
            yield f"the docstring of {name} cites {label}, but the book does not mark it as implemented by {name}"
    for label, name in marks:
        if label is None:
            yield f"{name} is said to implement something, but no labelled equation stands above"
        elif (text := docstring(name)) is None:
            yield f"equation {label} is said to be implemented by {name}, which does not exist"
        elif f":eq:`{label}`" not in text:
            yield f"equation {label} is said to be implemented by {name}, whose docstring does not cite it"


def test_the_book_and_the_package_agree():
    pages = [parse(text) for text in sources().values()]
    cited = set()
    for path in (ROOT / "lmm_teach").glob("*.py"):
        cited |= citations(ast.parse(path.read_text(encoding="utf-8")), f"lmm_teach.{path.stem}")
    assert cited, "no docstring cites an equation"
    labels = [label for page, _ in pages for label in page]
    marks = [mark for _, page in pages for mark in page]
    found = list(complaints(labels, marks, cited))
    assert not found, "\n".join(found)


def test_the_index_has_every_equation_and_a_test_for_each_function():
    pages, text = [parse(text) for text in sources().values()], "\n".join(lines())
    assert untested([mark for _, page in pages for mark in page], all_tests()) == []
    for labels, marks in pages:
        for label in labels:
            assert text.count(f"{{eq}}`{label}`") == 1, label
        for label, name in marks:
            row = next(line for line in text.split("\n") if line.startswith(f"| {{eq}}`{label}` |"))
            assert f"`~{name}`" in row and "`test_" in row


def table_faults(labels, marks, places):
    """What the table of FaST-LMM's lines lacks, and what it has that the book has not."""
    yield from (f"{label} is not in the table, with a place or none" for label in {*dict(marks)} - {*places})
    yield from (f"{label} is in the table, but in no chapter" for label in {*places} - {*labels})


def test_every_equation_that_code_computes_is_looked_up_in_fastlmm():
    pages = [parse(text) for text in sources().values()]
    labels, marks = ([item for page in pages for item in page[k]] for k in (0, 1))
    assert list(table_faults(labels, marks, fastlmm())) == []
    assert len(list(table_faults(["a", "b"], [("a", "f"), ("b", "g")], {"b": [], "c": []}))) == 2


def test_tests_that_use_a_function_are_found_and_those_of_its_module_come_first():
    code = """
def helper(a): return lt.LMM(a)
M = helper(1)
def test_direct(): lt.kinship(a, b.c)
def test_errors():
    with pytest.raises(ValueError): lt.kinship(a)
def test_through_a_helper(): M.evaluate(h2=0)
def test_of_another_object(page): page.evaluate("1"), dense.kinship(2), x.standardize()
"""
    tests = {name: uses(ast.parse(code)) for name in ("test_a.py", "test_kinship.py")}
    assert checked("lmm_teach.kinship.kinship", tests) == [
        ("test_kinship.py", "test_direct"), ("test_a.py", "test_direct")
    ]  # fmt: skip
    (first, second) = checked("lmm_teach.likelihood.LMM.evaluate", tests)
    assert first[1] == second[1] == "test_through_a_helper"
    marks = [(None, f"lmm_teach.{name}") for name in ("kinship.kinship", "kinship.standardize", "dense.evaluate")]
    assert untested(marks, tests) == ["lmm_teach.dense.evaluate", "lmm_teach.kinship.standardize"]


PAGE = r"""
Costs \$5. $$ K = \frac{1}{s} Z Z^\top $$ (kinship)

Implemented by {py:func}`~lmm_teach.kinship.kinship`.

$$
x = y
$$ (other)
"""
GOOD = parse(PAGE), {("kinship", "lmm_teach.kinship.kinship")}


def test_a_good_page_is_read_and_passes():
    (labels, marks), cited = GOOD
    assert labels == ["kinship", "other"] and marks == [("kinship", "lmm_teach.kinship.kinship")]
    assert list(complaints(labels, marks, cited)) == []


def test_a_mark_may_name_several_objects():
    line = "See {py:mod}`no`. Implemented by {py:func}`~a.b`, and {py:meth}`c`. Implemented by {py:class}`d`."
    assert parse(f"$$ x $$ (e)\n{line}") == (["e"], [("e", "a.b"), ("e", "c"), ("e", "d")])


@pytest.mark.parametrize(
    ("page", "cited", "complaint"),
    [
        (PAGE.replace("(kinship)", "(kin)"), GOOD[1], "no equation of the book is labelled"),
        (PAGE.replace("(other)", "(kinship)"), GOOD[1], "stands 2 times"),
        (PAGE.replace("Implemented", "Programmed"), GOOD[1], "does not mark it as implemented by"),
        (PAGE.replace("kinship.kinship`", "kinship.standardize`"), GOOD[1], "whose docstring does not cite it"),
        (PAGE.replace("kinship.kinship`", "kinship.kinsman`"), GOOD[1], "which does not exist"),
        (PAGE.replace("$$ (kinship)", "$$"), GOOD[1], "no labelled equation stands above"),
        (PAGE, GOOD[1] | {("other", "lmm_teach.gls.solve")}, "but the book does not mark it as implemented by"),
    ],
)
def test_a_bad_page_is_seen(page, cited, complaint):
    assert any(complaint in found for found in complaints(*parse(page), cited))


def test_docstrings_are_read_at_every_level():
    method = 'def m(self):\n        """:eq:`c` and :eq:`d`."""'
    tree = ast.parse(f'"""A :eq:`a`."""\nclass C:\n    """B :eq:`b`."""\n    {method}')
    assert citations(tree, "p") == {("a", "p"), ("b", "p.C"), ("c", "p.C.m"), ("d", "p.C.m")}
