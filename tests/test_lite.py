"""A chapter is one click from running: JupyterLite in the built book, copies for Colab, and links that lead there."""

import ast
import builtins
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import launch
import lite
import nbformat
import pytest
from test_browser import HTML, IN_CI, ROOT, TOO_WIDE, chromium, reader, served  # noqa: F401

LITE = HTML / "lite"
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
PYODIDE = "https://cdn.jsdelivr.net/pyodide/"  # the runtime, which JupyterLite alone fetches
BUILT = pytest.mark.skipif(not IN_CI and not LITE.is_dir(), reason="JupyterLite is not built: make book")


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


# ---- what is in the site ----


def wheel_faults(folder: Path) -> list[str]:
    """Compare the index of a folder of wheels with what lies there."""
    index, faults = json.loads((folder / "all.json").read_text()), []
    files = [file for package in index.values() for release in package["releases"].values() for file in release]
    for file in files:
        path = folder / urlsplit(file["url"]).path
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != file["digests"]["sha256"]:
            faults.append(f"{path.name} is not what the index says")
    needed = {"lmm-teach", "ipywidgets", "jupyterlab-widgets", "comm"}  # Pyodide has the others
    return faults + [f"no wheel of {name}" for name in sorted(needed - {name.replace("_", "-") for name in index})]


@BUILT
def test_the_folder_holds_what_the_first_page_says_to_run(tmp_path):
    """The wheel and the notebooks are where the commands look, and the package finds the data above a notebook."""
    commands = re.search(r"```sh\n(python3 -m venv .*?)```", (ROOT / "book" / "index.md").read_text(), re.DOTALL)[1]
    wheel, notebooks = re.findall(r"(lite/pypi/\S+|_sources/\S+) ?", commands)
    folder = re.search(r"mkdir (\S+)", commands)[1]
    assert (HTML / folder).parent.is_dir() and not (HTML / folder).exists()
    assert {path.name for path in HTML.glob(notebooks)} == {path.name for path in CHAPTERS}
    assert (HTML / "_sources" / "book" / "08_reml.ipynb").read_bytes() == (ROOT / "book" / "08_reml.ipynb").read_bytes()
    with zipfile.ZipFile(HTML / wheel) as opened:
        opened.extractall(tmp_path / "package")
    shutil.copytree((HTML / folder).parent / "reference", tmp_path / "reference")
    (tmp_path / "run").mkdir()
    program = "from lmm_teach import data; print(data.__file__, len(data.synth()[1]), data.REPOSITORY)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "package")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path / "run", env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "package" / "lmm_teach" / "data.py"), "500", str(tmp_path)]


@BUILT
def test_nothing_tells_when_jupyterlite_was_built():
    """Every date in it is that of the commit, so that two builds of a commit are equal."""
    indexes = [*(LITE / "api").rglob("all.json"), LITE / "pypi" / "all.json"]
    dated = re.compile(r'"(?:created|last_modified|upload_time)": "(.+?)"')
    assert len({date for path in indexes for date in dated.findall(path.read_text())}) == 1
    with zipfile.ZipFile(next((LITE / "pypi").glob("lmm_teach-*.whl"))) as wheel:
        assert len({info.date_time for info in wheel.infolist()}) == 1


@BUILT
def test_the_wheels_are_those_of_the_index_and_the_package_is_todays(tmp_path):
    assert wheel_faults(LITE / "pypi") == []
    with zipfile.ZipFile(next((LITE / "pypi").glob("lmm_teach-*.whl"))) as wheel:
        packed = {name: wheel.read(name) for name in wheel.namelist() if name.startswith("lmm_teach/")}
    assert packed == {f"lmm_teach/{path.name}": path.read_bytes() for path in (ROOT / "lmm_teach").glob("*.py")}
    # the fault found: another wheel than the index says, and one that is missing
    index = json.loads((LITE / "pypi" / "all.json").read_text())
    kept = {name: package for name, package in index.items() if name != "comm"}
    (tmp_path / "all.json").write_text(json.dumps(kept))
    for path in (LITE / "pypi").glob("*.whl"):
        (tmp_path / path.name).write_bytes(path.read_bytes() + b"x" * path.name.startswith("lmm_teach"))
    wrong = next(tmp_path.glob("lmm_teach-*")).name
    assert wheel_faults(tmp_path) == [f"{wrong} is not what the index says", "no wheel of comm"]


@BUILT
def test_every_chapter_and_what_it_reads_is_in_the_site():
    for path in CHAPTERS:
        copy = nbformat.read(LITE / "files" / "book" / path.name, as_version=4)
        nbformat.validate(copy)
        assert copy.cells[0].source == lite.BROWSER
        assert copy.cells[1].source == nbformat.read(path, as_version=4).cells[0].source
    for folder in lite.FILES:
        listed = json.loads((LITE / "api" / "contents" / folder / "all.json").read_text())["content"]
        assert {file["name"] for file in listed} == {path.name for path in (ROOT / folder).iterdir()}
        for path in (ROOT / folder).iterdir():
            assert (LITE / "files" / folder / path.name).read_bytes() == path.read_bytes()


@BUILT
def test_the_site_is_small():
    size = sum(path.stat().st_size for path in LITE.rglob("*") if path.is_file())
    assert size < 40e6 and not list(LITE.rglob("*.map"))


# ---- the copies ----


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_copy_differs_by_its_first_cell_and_by_what_needs_processes(path):
    notebook = nbformat.read(path, as_version=4)
    copy = nbformat.from_dict(lite.for_browser(json.loads(path.read_text())))
    nbformat.validate(copy)
    assert len(copy.cells) == len(notebook.cells) + 1
    for before, after in zip(notebook.cells, copy.cells[1:], strict=True):
        if before.cell_type == after.cell_type:
            assert (after.source, after.get("outputs")) == (before.source, before.get("outputs"))
        else:
            assert after.source == lite.NO_PROCESSES.format(source=before.source)
    shown = [cell.source for cell in copy.cells if cell.source.startswith(lite.NO_PROCESSES[:20])]
    assert bool(shown) == ("ProcessPoolExecutor(" in "\n".join(code(notebook)))
    assert needs("\n".join(code(copy)[1:]), "".join(shown)) == set()


def needs(run: str, shown: str) -> set[str]:
    """Name what code uses that only code in a Markdown cell defines, and what no browser has."""
    names = [node for node in ast.walk(ast.parse(run)) if isinstance(node, ast.Name)]
    stored, loaded = ({node.id for node in names if isinstance(node.ctx, kind)} for kind in (ast.Store, ast.Load))
    stored |= {node.arg for node in ast.walk(ast.parse(run)) if isinstance(node, ast.arg)} | set(dir(builtins))
    missing = set(re.findall(r"^ *(?:def )?(\w+)(?: = |\()", shown, re.MULTILINE)) & loaded - stored
    return missing | set(re.findall(r"ProcessPoolExecutor\(|os\.kill|subprocess|Thread\(|Client\(", run))


def test_what_a_browser_cannot_run_is_found():
    assert needs("print(x, y)\ny = 1", "x = 1\ny = 2\nprint(x)") == {"x"}
    assert needs("f()", "def f():\n    pass") == {"f"}
    assert needs("p = ProcessPoolExecutor(2)", "") == {"ProcessPoolExecutor("}


def test_a_copy_keeps_what_it_is_made_of():
    notebook = json.loads(CHAPTERS[0].read_text())
    before = json.dumps(notebook)
    first = lite.installing(notebook, "x = 1")["cells"]
    assert first[0]["source"] == "x = 1" and first[1:] == notebook["cells"] and json.dumps(notebook) == before


def test_the_copies_for_colab_clone_the_repository(tmp_path):
    command = [sys.executable, ROOT / "book" / "lite.py", "--colab", tmp_path]
    subprocess.run(command, env=os.environ | {"GITHUB_REPOSITORY": "someone/something"}, check=True)
    for path in CHAPTERS:
        copy = nbformat.read(tmp_path / path.name, as_version=4)
        assert "git clone -q --depth 1 https://github.com/someone/something.git " in copy.cells[0].source
        assert code(copy)[1:] == code(nbformat.read(path, as_version=4))
    assert len(list(tmp_path.iterdir())) == len(CHAPTERS)


# ---- the links ----

ROW = re.compile(r'<nav class="launch".*?</nav>', re.DOTALL)


def link_faults(page: str, where: str, site: Path, repository: str) -> list[str]:
    """Check the row of links in the text of the page at `where`: a path below the site."""
    name, rows = Path(where).stem, ROW.findall(page)
    if len(rows) != 1:
        return [f"{len(rows)} rows of links"]
    faults, urls = [], re.findall(r'href="([^"]+)"', rows[0])
    if len(urls) != (3 if repository else 1):
        faults.append(f"{len(urls)} links")
    for url in urls:
        parts = urlsplit(urljoin(f"http://site/{where}", url))
        if parts.hostname == "site":
            notebook = Path("files", *parse_qs(parts.query).get("path", ["none"]))
            if not (site / parts.path[1:]).is_file() or not (site / "lite" / notebook).is_file():
                faults.append(f"leads nowhere: {url}")
        elif repository not in url:
            faults.append(f"another repository: {url}")
        if f"{name}.ipynb" not in url:
            faults.append(f"another notebook: {url}")
    return faults


@BUILT
def test_every_chapter_has_links_that_lead_to_its_notebook():
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    for path in CHAPTERS:
        where = f"book/{path.stem}.html"
        page = (HTML / where).read_text()
        assert link_faults(page, where, HTML, repository) == [], where
        assert re.search(r'</h1>\s*<nav class="launch"', page), where
    assert not ROW.search((HTML / "book" / "glossary.html").read_text())


@BUILT
def test_a_wrong_link_is_found():
    where, good = "book/02_model.html", launch.links("book/02_model", "me/mine")
    row = lambda urls: '<nav class="launch">' + "".join(f'<a href="{url}">' for url in urls) + "</nav>"
    urls = [url for _, url, _ in good]
    assert link_faults(row(urls), where, HTML, "me/mine") == []
    assert link_faults("", where, HTML, "") == ["0 rows of links"]
    for wrong, fault in (
        (urls[:1], "1 links"),
        ([urls[0].replace("../", "")], "leads nowhere"),
        ([urls[0].replace("02_model", "02_models")], "leads nowhere"),
        ([urls[0].replace("02_model", "03_spectrum")], "another notebook"),
        ([urls[1].replace("me/mine", "you/yours")], "another repository"),
    ):
        assert any(found.startswith(fault) for found in link_faults(row(wrong), where, HTML, "me/mine")), fault


# ---- in a browser ----


@BUILT
def test_the_row_fits_a_telephone_and_a_folder_has_words_in_its_place(chromium, tmp_path):  # noqa: F811
    with served(HTML) as address, reader(chromium, viewport={"width": 375, "height": 800}) as page:
        page.goto(f"{address}/book/02_model.html")
        nav = page.get_by_role("navigation", name="Run this chapter")
        assert nav.get_by_role("link", name="JupyterLite").get_attribute("title")
        for link in nav.get_by_role("link").all():
            box = link.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 375 and box["height"] >= 24, box  # a finger's target
        assert page.evaluate(TOO_WIDE) == []
    with reader(chromium) as page:
        page.goto((HTML / "book" / "02_model.html").as_uri())
        assert page.get_by_role("link", name="JupyterLite").count() == 0
        assert "JupyterLite (once the book is served over http)" in page.locator("nav.launch").inner_text()


@BUILT
def test_the_link_opens_the_notebook_and_asks_for_nothing_but_pyodide(chromium):  # noqa: F811
    with served(HTML) as address, reader(chromium, viewport={"width": 1200, "height": 900}) as page:
        page.goto(f"{address}/book/02_model.html")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="JupyterLite").click()
        lab = opened.value
        asked, broken = [], []
        lab.on("request", lambda request: asked.append(request.url))
        lab.on("response", lambda response: response.status >= 400 and broken.append(response.url))
        lab.reload()
        lab.wait_for_selector(".jp-Notebook .jp-CodeCell >> text=pip install", timeout=60000)
        lab.wait_for_selector("h1:has-text('Model')", timeout=60000)
        for _ in range(300):  # it may have asked already
            if any(url.startswith(PYODIDE) for url in asked):
                break
            lab.wait_for_timeout(200)
        else:
            pytest.fail(f"Pyodide is not asked for in a minute, only {asked[-5:]}")
        assert lab.locator(".jp-Dialog").count() == 0  # no question which kernel, nor a fault
        assert broken == []
        assert [url for url in asked if urlsplit(url).hostname not in ("127.0.0.1", None)
                and not url.startswith(PYODIDE)] == []  # fmt: skip
