"""Static checks of the chapters: each rule yields complaints, and each is shown a notebook that breaks it."""

import ast
import copy
import json
import pkgutil
import re
import tempfile
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import lmm_teach as lt

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def code_cells(notebook):
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def data_of(cell):
    """The mime bundles among a cell's outputs."""
    return [output.data for output in cell.outputs if "data" in output]


def printed(cell):
    """Everything a cell shows as text."""
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    return "\n".join(streams + [str(value) for data in data_of(cell) for value in data.values()])


def explore_call(cell):
    """The explore(...) call that a cell ends in, or None."""
    body = ast.parse(cell.source).body
    call = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    name = getattr(getattr(call, "func", None), "attr", getattr(getattr(call, "func", None), "id", None))
    return call if name == "explore" else None


# ---- the rules ----


def executed_in_order(notebook):
    counts = [cell.execution_count for _, cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"cells are not executed once each and in order: {counts} (make notebooks)"


def only_text_outputs(notebook):
    if "widgets" in notebook.metadata:
        yield "the notebook holds widget state (make notebooks)"
    for i, cell in code_cells(notebook):
        for kind in {kind for data in data_of(cell) for kind in data}:
            if kind not in ("text/plain", "text/markdown", "text/latex"):
                yield f"cell {i} holds {kind} (make notebooks)"


def nothing_went_wrong(notebook):
    for i, cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"cell {i} raised or warned: {output.get('text', output.get('evalue'))}"
        if re.search(r"0x[0-9a-f]{6,}", printed(cell)):
            yield f"cell {i} prints an address in memory, which differs in every run"


def printed_lines_fit(notebook):
    """A page has room for a hundred letters."""
    for i, cell in code_cells(notebook):
        shown = [data.get("text/plain", "") for data in data_of(cell) if "text/html" not in data]
        shown += [output.text for output in cell.outputs if output.output_type == "stream"]
        for line in "" if explore_call(cell) else "\n".join(shown).splitlines():
            if len(line) > 100:
                yield f"cell {i} prints a line of {len(line)} letters: {line}"


def every_output_is_compared(notebook):
    for i, cell in code_cells(notebook):
        tags = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("nbval") or tag == "raises-exception"]
        if re.search(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source, re.MULTILINE):
            yield f"cell {i} steers nbval by a comment"
        if explore_call(cell) is None and tags:
            yield f"cell {i} is tagged {tags} but does not end in explore(...)"
        if explore_call(cell) is not None and tags != ["nbval-ignore-output"]:
            yield f"cell {i} ends in explore(...) and must be tagged nbval-ignore-output"
        if tags and any(output.output_type == "stream" for output in cell.outputs):
            yield f"cell {i} prints something that nbval ignores"


def every_figure_is_described(notebook):
    for i, cell in code_cells(notebook):
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if any(data.get("text/plain", "").startswith("<Figure size") for data in data_of(cell)) and len(alt) < 40:
            yield f"cell {i} draws a figure whose alt text has {len(alt)} characters; 40 are needed"
        if call := explore_call(cell):
            words = next((keyword.value for keyword in call.keywords if keyword.arg == "alt"), None)
            if words is None or (isinstance(words, ast.Constant) and len(words.value) < 40):
                yield f"cell {i} calls explore(...) without alt text of 40 characters"


def exercises_are_solved(notebook):
    labels, titles, solved, solving = [], [], set(), None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if solving and any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source))):
                solved.add(solving)
            continue
        labels += re.findall(r"\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)", cell.source)
        titles += re.findall(r"\{exercise(?:-start)?\} *([^\n]*)", cell.source)
        for start, label, options in re.findall(
            r"\{solution-(start|end)\} *(\S*)((?:\n:[\w-]+:[^\n]*)*)", cell.source
        ):
            solving = label if start == "start" and re.search(r":class:.*\bdropdown\b", options) else None
    if len(labels) < 3:
        yield f"{len(labels)} exercises; three are needed"
    for title in titles:
        if not re.search(r", level\xa0[123]$", title):
            yield f"exercise {title!r} does not end in its level, 1 to 3, after a no-break space"
    for label in set(labels) - solved:
        yield f"exercise {label} has no collapsed solution (:class: dropdown) with a cell that asserts something"


def sections_are_there(notebook):
    headings = {line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.split("\n")}
    for heading in {"## Exercises", "## Summary"} - headings:
        yield f"there is no section '{heading}'"


def prose(notebook):
    """The Markdown without mathematics, code, link targets and options of directives."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for aside in (r"```[a-z]*\n.*?```", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)]*\)", r"https?://\S+",
                  r"\bdoi:\S+", r"\{[\w:-]+\}`[^`]*`", r"^:[\w-]+:.*$"):  # fmt: skip
        text = re.sub(aside, " ", text, flags=re.DOTALL | re.MULTILINE if "^" in aside else re.DOTALL)
    return re.sub(r"(?<=\d),(?=\d{3})", "", text)


def quoted_numbers_are_computed(notebook):
    shown = "\n".join(cell.source + "\n" + printed(cell) for _, cell in code_cells(notebook))
    known = [float(number) for number in re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", shown)]
    for number in re.findall(r"(?<![\w.])\d+\.\d{3,}(?![\d.]*\d)", prose(notebook)):
        half_a_digit = 0.5 * 10.0 ** -len(number.partition(".")[2]) * (1 + 1e-9)
        if not any(abs(value - float(number)) <= half_a_digit for value in known):
            yield f"the text quotes {number}, which no cell prints or contains"


def nothing_of_one_machine(notebook):
    text = "\n".join(cell.source + (printed(cell) if cell.cell_type == "code" else "") for cell in notebook.cells)
    places = {str(ROOT), str(ROOT.parent), str(Path.home()), tempfile.gettempdir(), "/home", "/Users", ".."}
    for place in places - {"/"}:
        if re.search(rf"(?<![\w./]){re.escape(place)}[/\\]", text):
            yield f"a path below {place} is of one machine only"
    for word in re.findall(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b", text):
        yield f"{word} is left in"


def cells_are_short(notebook):
    """Imports do not count, nor does the final explore(...), whose grids, labels and alt text are not steps."""
    for i, cell in code_cells(notebook):
        lines = {k for k, line in enumerate(cell.source.split("\n"), 1) if line.strip()}
        imports = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, (ast.Import, ast.ImportFrom))]
        for node in filter(None, [*imports, explore_call(cell)]):
            lines -= set(range(node.lineno, node.end_lineno + 1))
        if len(lines) > 15:
            yield f"cell {i} has {len(lines)} lines; 12 are the aim and 15 the limit"


RULES = [
    executed_in_order, only_text_outputs, nothing_went_wrong, printed_lines_fit, every_output_is_compared,
    every_figure_is_described, exercises_are_solved, sections_are_there, quoted_numbers_are_computed,
    nothing_of_one_machine, cells_are_short,
]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_chapter_keeps_the_rule(rule, path):
    complaints = list(rule(nbformat.read(path, as_version=4)))
    assert not complaints, f"{path.name}:\n" + "\n".join(complaints)


def contents_faults(root):
    """Where the table of contents, the pages and the maps of README.md and of the landing page differ."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    listed = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    pages = {str(path.relative_to(root).with_suffix(""))
             for kind in ("*.ipynb", "*.md") for path in (root / "book").glob(kind)}  # fmt: skip
    yield from (f"{page} is listed twice" for page in sorted({page for page in listed if listed.count(page) > 1}))
    yield from (f"{page} is no page" for page in sorted(set(listed) - pages))
    yield from (f"{page} is not in _toc.yml" for page in sorted(pages - set(listed)))
    for name, prefix in (("README.md", "book/"), ("book/index.md", "")):
        text = (root / name).read_text(encoding="utf-8")
        for path in sorted((root / "book").glob("*.ipynb")):
            if f"]({prefix}{path.name})" not in text:
                yield f"{path.stem} is not in the map of {name}"


def test_every_page_is_in_the_table_of_contents_and_every_chapter_in_both_maps():
    assert list(contents_faults(ROOT)) == []


def test_the_cells_of_the_page_on_linear_algebra_hold():
    page = (ROOT / "book" / "linear_algebra.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\}.*\n(?::.*\n)*((?:.*\n)*?)```", page, re.MULTILINE)
    assert len(cells) == page.count("{code-cell}") and all("assert " in cell for cell in cells[1:])
    exec("".join(cells), {})


def table_of_names(page):
    """What the reference's table lists, by the last part of each name."""
    table = re.search(r"autosummary::\n(?: +:.*\n)*\n((?: +~\S+\n)+)", page)[1]
    return {name.rpartition(".")[2]: pkgutil.resolve_name(name) for name in re.findall(r"~(\S+)", table)}


def test_the_reference_lists_every_name_of_the_package():
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    listed = table_of_names(page)
    assert set(listed) == set(lt.__all__)
    assert all(getattr(lt, name) is thing for name, thing in listed.items())
    assert set(lt.__all__) - set(table_of_names(page.replace("   ~lmm_teach.sets.epistasis\n", ""))) == {"epistasis"}


def citation_faults(page, entry):
    """What the landing page's citation lacks of CITATION.cff."""
    cited = page.partition("## How to cite")[2].partition("\n## ")[0]
    wanted = {"title": entry["title"], "version": f"{{{entry['version']}}}", "author": entry["authors"][0]["name"]}
    yield from (f"no {name}: {text}" for name, text in wanted.items() if text not in cited)


def test_the_landing_page_cites_the_book_as_its_citation_file_does():
    page = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    entry = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert list(citation_faults(page, entry)) == []
    assert list(citation_faults(page, entry | {"version": "9.9"})) == ["no version: {9.9}"]


# ---- the rules can fail ----


def good_notebook():
    """The smallest chapter that keeps every rule, with a printed number, a figure and a slider."""
    alt = "A line that rises from the lower left to the upper right corner."
    cells = [
        new_markdown_cell("# Chapter\n\nA third is 0.333, $1.2345$ is in [a formula](x/0.4567) of version 1.234.5."),
        new_code_cell("print(f'{1 / 3:.5f}')", outputs=[new_output("stream", name="stdout", text="0.33333\n")]),
        new_code_cell("fig", metadata={"mystnb": {"image": {"alt": alt}}},
                      outputs=[new_output("execute_result", {"text/plain": "<Figure size 640x400 with 1 Axes>"})]),
        new_code_cell(f"lt.explore(draw, alt='{alt}', h2=grid)", metadata={"tags": ["nbval-ignore-output"]},
                      outputs=[new_output("execute_result", {"text/plain": "explore: h2"})]),
        new_markdown_cell("## Exercises"),
    ]  # fmt: skip
    for label in "abc":
        cells += [
            new_markdown_cell(
                f"```{{exercise-start}} A, level\xa01\n:label: {label}\n```\nShow it.\n```{{exercise-end}}\n```"
            ),
            new_markdown_cell(f"```{{solution-start}} {label}\n:class: dropdown\n```\nIt is so."),
            new_code_cell("assert 1 + 1 == 2"),
            new_markdown_cell("```{solution-end}\n```"),
        ]
    notebook = new_notebook(cells=[*cells, new_markdown_cell("## Summary")])
    for count, (_, cell) in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
    return notebook


FAULTS = {
    "not executed": (executed_in_order, lambda cells: cells[3].update(execution_count=None)),
    "executed twice": (executed_in_order, lambda cells: cells[3].update(execution_count=7)),
    "image": (only_text_outputs, lambda cells: cells[2].outputs[0].data.update({"image/png": "iVBO"})),
    "html": (only_text_outputs, lambda cells: cells[2].outputs[0].data.update({"text/html": "<b>"})),
    "warning": (nothing_went_wrong, lambda cells: cells[1].outputs[0].update(name="stderr")),
    "error": (nothing_went_wrong, lambda cells: cells[1].update(outputs=[new_output("error", evalue="no")])),
    "address": (nothing_went_wrong, lambda cells: cells[1].outputs[0].update(text="<A at 0x7f00aa11>")),
    "long line": (printed_lines_fit, lambda cells: cells[1].outputs[0].update(text="0.33333\n" + 101 * "3")),
    "ignored output": (every_output_is_compared, lambda cells: cells[1].metadata.update(tags=["nbval-ignore-output"])),
    "skipped": (every_output_is_compared, lambda cells: cells[1].metadata.update(tags=["nbval-skip"])),
    "ignored by comment": (every_output_is_compared, lambda cells: cells[1].update(source="# NBVAL_SKIP\n1")),
    "explore untagged": (every_output_is_compared, lambda cells: cells[3].metadata.clear()),
    "explore prints": (every_output_is_compared, lambda cells: cells[3].outputs.append(cells[1].outputs[0])),
    "no alt text": (every_figure_is_described, lambda cells: cells[2].metadata.clear()),
    "short alt text": (every_figure_is_described, lambda cells: cells[3].update(source="lt.explore(f, alt='A line')")),
    "explore without alt text": (every_figure_is_described, lambda cells: cells[3].update(source="explore(f, a=b)")),
    "two exercises": (exercises_are_solved, lambda cells: cells.pop(5)),
    "no level": (
        exercises_are_solved, lambda cells: cells[5].update(source=cells[5].source.replace(", level\xa01", ""))
    ),
    "open solution": (exercises_are_solved, lambda cells: cells[6].update(source="```{solution-start} a\n```")),
    "nothing asserted": (exercises_are_solved, lambda cells: cells[7].update(source="1 + 1")),
    "asserted elsewhere": (exercises_are_solved, lambda cells: cells.insert(7, cells[8])),
    "no summary": (sections_are_there, lambda cells: cells.pop()),
    "no exercises": (sections_are_there, lambda cells: cells[4].update(source="## Exercise")),
    "number of nowhere": (quoted_numbers_are_computed, lambda cells: cells[0].update(source="It is 0.334.")),
    "last digit": (quoted_numbers_are_computed, lambda cells: cells[0].update(source="It is 0.33334.")),
    "absolute path": (nothing_of_one_machine, lambda cells: cells[0].update(source=f"see {ROOT}/book")),
    "path upwards": (nothing_of_one_machine, lambda cells: cells[1].update(source="open('../data/x')")),
    "unfinished": (nothing_of_one_machine, lambda cells: cells[0].update(source="TO" + "DO: write")),
    "long cell": (cells_are_short, lambda cells: cells[1].update(source="import numpy\n" + 16 * "x = 1\n")),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_passes_a_good_chapter(rule):
    assert list(rule(good_notebook())) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_rule_sees_the_fault(fault):
    rule, spoil = FAULTS[fault]
    notebook = good_notebook()
    spoil(notebook.cells)
    assert list(rule(notebook)), f"{rule.__name__} does not notice: {fault}"


def test_cleaning_drops_images_html_widgets_and_timings_and_nothing_else():
    from notebooks import clean

    good = good_notebook()
    spoilt = copy.deepcopy(good)
    spoilt.metadata = nbformat.from_dict({"widgets": {"state": {}}, "language_info": {"version": "3.11.7"}})
    for _, cell in code_cells(spoilt):
        cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
        for data in data_of(cell):
            data.update({"image/png": "iVBO", "text/html": "<b>", "application/vnd.jupyter.widget-view+json": {}})
    spoilt.cells[1].outputs = [new_output("stream", name="stdout", text=text) for text in ("0.33", "333\n")]
    assert json.dumps(clean(spoilt)) == json.dumps(clean(good))
    assert [cell.source for cell in clean(good).cells] == [cell.source for cell in good.cells]
    assert [cell.get("outputs") for cell in clean(good).cells] == [cell.get("outputs") for cell in good.cells]
