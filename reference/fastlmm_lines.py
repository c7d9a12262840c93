"""Find the lines of FaST-LMM that compute the book's equations: ``golden/fastlmm_lines.csv``.

    python reference/fastlmm_lines.py [--write]

The table says of an equation's label in which file and function of fastlmm 0.6.13 it is computed, in which lines, and
what variable or function these lines name. A row without a file says that FaST-LMM does not compute the equation. The
lines themselves are not kept, only eight digits of their SHA-256 sum, by which they are found again in the installed
source: between the beginning of a statement and the end of one, inside the function. Where they are no longer, or no
longer name what they should, the lines are "gone", and the comparison with the table fails. With ``--write`` the
lines are taken as they stand in the table (and checked in the same way), and the sums are made anew.
"""

import ast
import csv
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from programs import FASTLMM, GOLDEN, call, environment, save_or_check_all

TABLE = "fastlmm_lines"


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The functions and methods below a node, with their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            if isinstance(child, ast.FunctionDef):
                yield prefix + child.name, child
            yield from functions(child, f"{prefix}{child.name}.")


def stretches(function: ast.AST, length: int) -> Iterator[range]:
    """The stretches of so many lines that begin with a statement of a function and end with one."""
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    ends = {node.end_lineno for node in statements}
    for first in sorted({node.lineno for node in statements}):
        if first + length - 1 in ends:
            yield range(first, first + length)


def names(function: ast.AST, lines: range) -> set[str]:
    """Variables, attributes and functions named in some lines."""
    found = {ast.Name: "id", ast.Attribute: "attr"}
    return {getattr(node, found[type(node)]) for node in ast.walk(function)
            if type(node) in found and node.lineno in lines}  # fmt: skip


def digest(source: str, lines: range) -> str:
    text = "\n".join(line.strip() for line in source.splitlines()[lines.start - 1 : lines.stop - 1])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def located(row: dict[str, str], source: str, write: bool = False) -> dict[str, str]:
    """A row with the lines where the source has them now, or "gone"."""
    function = dict(functions(ast.parse(source))).get(row["function"])
    first, _, last = row["lines"].partition("-")
    known = range(int(first), int(last or first) + 1)
    for lines in stretches(function, len(known)) if function else ():
        right = lines == known if write else digest(source, lines) == row["digest"]
        if right and row["name"] in names(function, lines):
            found = f"{lines[0]}-{lines[-1]}" if len(lines) > 1 else f"{lines[0]}"
            return row | {"lines": found, "digest": digest(source, lines)}
    return row | {"lines": "gone"}


def main() -> None:
    python = environment("fastlmm", *FASTLMM)
    where = "import importlib.util as u; print(u.find_spec('fastlmm').submodule_search_locations[0])"
    package = Path(call(python, "-c", where).strip())
    version = call(python, "-c", "import importlib.metadata as m; print(m.version('fastlmm'))").strip()
    rows = []
    with (GOLDEN / f"{TABLE}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["file"]:
                source = (package / row["file"]).read_text(encoding="utf-8")
                row = located(row, source, "--write" in sys.argv) | {"program": f"fastlmm {version}"}
            rows.append(row)
    if gone := [f"{row['label']} ({row['function']})" for row in rows if row["lines"] == "gone"]:
        raise SystemExit(f"not in the source as the table says: {', '.join(gone)}")
    save_or_check_all((TABLE, rows, {}))


if __name__ == "__main__":
    main()
