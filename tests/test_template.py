"""A chapter copied from the template builds without a warning and has no fault in a browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_markdown_cell, new_notebook
from test_browser import ROOT, audit, chromium, reader, served  # noqa: F401

CHAPTER = "book/20_template"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A book as GitHub builds it: the chapter, the pages that it leads to, and stubs for two of them."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("*.ipynb", "__pycache__"))
    shutil.copy(ROOT / "book" / "template" / "NN_template.ipynb", folder / f"{CHAPTER}.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Model")]), folder / "book" / "02_model.ipynb")
    (folder / "book" / "linear_algebra.md").write_text("# Linear algebra\n")
    shutil.copy(ROOT / "_config.yml", folder)
    chapters = [{"file": page} for page in ("book/linear_algebra", "book/02_model", CHAPTER, "book/bibliography")]
    toc = {"format": "jb-book", "root": "book/glossary", "parts": [{"numbered": True, "chapters": chapters}]}
    (folder / "_toc.yml").write_text(yaml.safe_dump(toc))
    build = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-W", "--keep-going"]
    environment = os.environ | {"GITHUB_REPOSITORY": "owner/name"}
    result = subprocess.run(build, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return folder / "_build" / "html"


def test_a_chapter_from_the_template_has_no_fault(chromium, site):  # noqa: F811
    with served(site) as address:
        url = f"{address}/{CHAPTER}.html"
        assert audit(chromium, url) == []
        with reader(chromium) as page:
            page.goto(url)
            assert page.locator("article h1").inner_text().startswith("20. Template")
            assert "%" not in page.locator("article").inner_text()  # instructions are hidden
            assert "(20.1)" in page.locator("article").inner_text()
            assert page.locator(".lmm-explore input[type=range]").count() == 1
            assert page.locator("article figure img").count() >= 2
            assert page.locator("div.exercise").count() == 3
            assert page.locator(f"a[href*='//github.com/owner/name/issues/new'][href*='{CHAPTER}']").is_visible()
