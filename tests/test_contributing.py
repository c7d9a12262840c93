"""What the back matter promises: a chapter is added as the page says, versions agree, sources can be found."""

import os
import re
import shutil
import tomllib
from pathlib import Path

import launch
import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from equation_index import parse
from pybtex.database import parse_file
from test_book import RULES, contents_faults
from test_teeth import spoil

ROOT = Path(__file__).resolve().parents[1]
BIBLIOGRAPHY = ROOT / "_build" / "html" / "book" / "bibliography.html"

# ---- a chapter from the template ----


def steps():
    """What the page tells to copy, (from, to), and the lines to add, {file: line}."""
    page = (ROOT / "book" / "contributing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| – \| .*\|$", page, re.MULTILINE)
    toc = re.search(r"^ *- file: \S+$", page, re.MULTILINE)[0]
    lines = dict(zip(("README.md", "book/index.md", "_toc.yml"), (*rows, toc), strict=True))
    return re.search(r"^cp (\S+) (\S+)$", page, re.MULTILINE).groups(), lines


def template():
    return nbformat.read(ROOT / steps()[0][0], as_version=4)


def anchors(text):
    """Labels of equations, exercises and sections."""
    return {*parse(text)[0], *re.findall(r"^(?::label: |\((?=\S+\)=$))([\w-]+)", text, re.MULTILINE)}


def test_the_steps_of_the_page_add_a_chapter(tmp_path):
    (source, target), lines = steps()
    name = Path(target).stem
    (tmp_path / "book" / "template").mkdir(parents=True)
    for path in (*ROOT.glob("book/*.ipynb"), ROOT / source):
        if path != ROOT / target:  # as for who has just followed the page to the letter
            shutil.copy(path, tmp_path / path.relative_to(ROOT))
    for path in (*ROOT.glob("book/*.md"), *(ROOT / file for file in lines)):
        text = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(line for line in text if name not in line)
        (tmp_path / path.relative_to(ROOT)).write_text(kept, encoding="utf-8")
    shutil.copy(tmp_path / source, tmp_path / target)
    assert list(contents_faults(tmp_path)) == [
        f"book/{name} is not in _toc.yml",
        f"{name} is not in the map of README.md",
        f"{name} is not in the map of book/index.md",
    ]
    for file, line in lines.items():
        before = (tmp_path / file).read_text(encoding="utf-8").split("\n")
        last = max(k for k, text in enumerate(before) if re.search(r"\b\d\d_\w+", text))
        (tmp_path / file).write_text("\n".join([*before[: last + 1], line, *before[last + 1 :]]), encoding="utf-8")
    assert list(contents_faults(tmp_path)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_template_keeps_the_rule(rule):
    assert list(rule(template())) == []


def test_the_template_prints_numbers_that_are_compared_and_has_labels_of_its_own():
    cells = template().cells
    assert sum(spoil(cell) for cell in cells if cell.cell_type == "code") >= 3
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(anchors(text)) >= 4 and all("template" in label for label in anchors(text))


# ---- versions, and the repository ----


def newest(changes):
    return re.search(r"^## .*?(\d+\.\d+\.\d+)", changes, re.MULTILINE)[1]


def test_the_newest_entry_of_the_changes_is_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert newest((ROOT / "book" / "changelog.md").read_text(encoding="utf-8")) == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    assert newest("# Changes\n\n## Unreleased: 0.2.0\n\n## 0.1.0\n") == "0.2.0"


def test_the_repository_is_named_with_its_address_where_that_is_known():
    known, unknown = launch.substitutions("owner/name"), launch.substitutions("")
    assert known.keys() == unknown.keys() == {"repository", "issue"}
    assert "git clone https://github.com/owner/name`" in known["repository"]
    assert "(https://github.com/owner/name/issues/new)" in known["issue"]
    assert "http" not in "".join(unknown.values())


@pytest.mark.skipif(not BIBLIOGRAPHY.is_file(), reason="the book is not built: make book")
def test_the_built_pages_name_the_repository():
    for page in ("index", "contributing"):
        html = BeautifulSoup(BIBLIOGRAPHY.with_name(f"{page}.html").read_text(encoding="utf-8"), "html.parser")
        text = re.sub(r"\s+", " ", html.find("article").text).replace("’", "'")
        repository = launch.substitutions(os.environ.get("GITHUB_REPOSITORY", ""))["repository"]
        assert f"Get {repository.replace('`', '')}" in text


# ---- the bibliography ----


def address(fields):
    """Where a source is found, by the fields of its entry, or None."""
    if doi := fields.get("doi"):
        return f"https://doi.org/{doi}"
    return f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else fields.get("url")


def source_faults(entries, links):
    """What is wrong with entries {key: fields}, of which `links` are the addresses on the built page."""
    for key, fields in entries.items():
        if (doi := fields.get("doi")) and not re.fullmatch(r"10\.\d{4,5}/[!-z]*[0-9A-Za-z]", doi):
            yield f"{key}: {doi} is no DOI"
        if not (found := address(fields)) and "address" not in fields.get("note", ""):
            yield f"{key} has no doi, eprint or url, and no note on its address"
        elif found and found not in links:
            yield f"{key}: no link to {found}"


@pytest.fixture(scope="module")
def entries():
    return {key: dict(entry.fields) for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items()}


@pytest.mark.skipif(not BIBLIOGRAPHY.is_file(), reason="the book is not built: make book")
def test_every_source_has_a_doi_or_an_address_and_the_built_bibliography_links_to_it(entries):
    page = BeautifulSoup(BIBLIOGRAPHY.read_text(encoding="utf-8"), "html.parser")
    assert list(source_faults(entries, {link["href"] for link in page.select("article a[href]")})) == []


def test_a_source_without_an_address_and_a_wrong_doi_are_found(entries):
    links = {address(fields) for fields in entries.values()}
    assert list(source_faults(entries, links)) == []
    for key, change, fault in (
        ("fastlmm2011", {"doi": "10.1038.nmeth.1681"}, "is no DOI"),
        ("fastlmm2011", {"doi": "https://doi.org/10.1038/nmeth.1681"}, "is no DOI"),
        ("gemma2012", {"doi": "10.1038/ng.2311"}, "gemma2012: no link to https://doi.org/10.1038/ng.2311"),
        ("lippert2013", {"note": ""}, "lippert2013 has no doi, eprint or url, and no note on its address"),
    ):
        spoilt = entries | {key: entries[key] | change}
        assert any(found.endswith(fault) for found in source_faults(spoilt, links)), fault
