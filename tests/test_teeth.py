"""The re-run of the notebooks has teeth: it fails on any changed number, and on a wrong sign in the likelihood."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def rerun(notebook, *options, **environment):
    """Run pytest --nbval on a notebook; return {index among the code cells: whether it failed}."""
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command += [f"--rootdir={notebook.parent}", f"--junitxml={report}", *options, str(notebook)]
    environment = {**os.environ, **environment}
    run = subprocess.run(command, cwd=notebook.parent, env=environment, capture_output=True, text=True)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    cases = ElementTree.parse(report).iter("testcase")
    return {int(case.get("name").removeprefix("Cell ")): case.find("failure") is not None for case in cases}


def change_one_digit(text):
    """The text with the last digit of its last number changed, or None where it has no number."""
    changed, count = re.subn(r"(\d)(\D*)\Z", lambda m: str((int(m[1]) + 1) % 10) + m[2], text)
    return changed if count else None


def spoil(cell):
    """Change one digit in one output of the cell; return whether there was one that nbval compares."""
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return False
    for output in cell.outputs:
        holder, key = (output, "text") if output.output_type == "stream" else (output.get("data", {}), "text/plain")
        if changed := change_one_digit(holder.get(key, "")):
            holder[key] = changed
            return True
    return False


def replay(cell):
    """Code that shows at once what the cell showed when it was executed."""
    lines = ["import sys, IPython.display"]
    for output in cell.outputs:
        lines.append(f"_ = sys.stdout.write({output.text!r})" if output.output_type == "stream" else
                     f"IPython.display.display({dict(output.data)!r}, raw=True)")  # fmt: skip
    return "\n".join(lines)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_every_changed_number_of_every_chapter_is_noticed_and_nothing_else(tmp_path):
    """In one notebook, whose cells show the outputs of the chapters' cells without the work behind them."""
    cells = {(path.stem, i): cell for path in NOTEBOOKS for i, cell in enumerate(code_cells(path))}
    for cell in cells.values():
        cell.source = replay(cell)
    spoilt = {place: spoil(cell) for place, cell in cells.items()}
    assert {path.stem for path in NOTEBOOKS} == {chapter for (chapter, _), changed in spoilt.items() if changed}
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells.values())), tmp_path / "all.ipynb")
    failed = rerun(tmp_path / "all.ipynb")
    assert {place: failed[i] for i, place in enumerate(cells)} == spoilt


def test_a_changed_number_of_a_cell_that_is_executed_is_noticed(tmp_path):
    notebook = nbformat.read(ROOT / "book" / "04_rotation.ipynb", as_version=4)
    spoilt = {i: spoil(cell) for i, cell in enumerate(c for c in notebook.cells if c.cell_type == "code")}
    nbformat.write(notebook, tmp_path / "04_rotation.ipynb")
    assert rerun(tmp_path / "04_rotation.ipynb") == spoilt


def signs(tree):
    """The binary plus signs in what LMM.evaluate assigns to nll."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == "evaluate":
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "nll":
                    yield from (n for n in ast.walk(node) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Add))


LIKELIHOOD = (ROOT / "lmm_teach" / "likelihood.py").read_text(encoding="utf-8")


def test_the_likelihood_has_signs_to_flip():
    assert list(signs(ast.parse(LIKELIHOOD)))


@pytest.mark.parametrize("which", range(len(list(signs(ast.parse(LIKELIHOOD))))))
def test_a_flipped_sign_in_the_likelihood_is_noticed(which, tmp_path):
    shutil.copytree(ROOT / "lmm_teach", tmp_path / "lmm_teach")
    tree = ast.parse(LIKELIHOOD)
    list(signs(tree))[which].op = ast.Sub()
    (tmp_path / "lmm_teach" / "likelihood.py").write_text(ast.unparse(tree), encoding="utf-8")
    notebook = Path(shutil.copy(ROOT / "book" / "04_rotation.ipynb", tmp_path))
    failed = rerun(notebook, "-x", PYTHONPATH=str(tmp_path))
    assert any(failed.values()) and not failed[0], "no cell depends on the sign, or the package does not import"
