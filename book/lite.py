"""Copy the chapters to where they run with one click: a JupyterLite beside the book, and Colab.

    python book/lite.py FOLDER           build the JupyterLite into a folder (make lite)
    python book/lite.py --colab FOLDER   write the copies for Colab, which clone the repository GITHUB_REPOSITORY names

A copy has a first cell that installs the package. In the browser, what needs processes is shown and not run.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("reference/golden", "reference/synth", "benchmarks/results")  # what the notebooks read
PACKAGE = ("lmm_teach", "pyproject.toml", "README.md", "LICENSE")
BROWSER = """\
# The package comes from this site, NumPy and SciPy come with Pyodide: the first start takes a minute.
%pip install -q lmm_teach"""
COLAB = """\
!test -d /content/lmm || git clone -q --depth 1 https://github.com/{repository}.git /content/lmm
%pip install -q "/content/lmm[data]"
%cd -q /content/lmm/book"""
CONFIG = {"appName": "Linear Mixed Models, Line by Line", "appUrl": "./tree", "faviconUrl": "./tree/favicon.ico"}
NO_PROCESSES = "*A browser starts no processes, so these lines are shown and not run.*\n\n```python\n{source}\n```"


def installing(notebook: dict, source: str) -> dict:
    """The notebook with a first cell."""
    cell = {"cell_type": "code", "id": "install", "source": source, "metadata": {}, "outputs": []}
    return notebook | {"cells": [cell | {"execution_count": None}, *notebook["cells"]]}


def for_browser(notebook: dict) -> dict:
    """The notebook for Pyodide: its kernel, texts in one piece, and no cell that uses a pool of processes."""
    code = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    pools, cells = re.findall(r"(\w+) = ProcessPoolExecutor\(", code), []
    for cell in notebook["cells"]:
        cell = cell | {"source": "".join(cell["source"])}
        for output in cell.get("outputs", ()):
            for texts in (output, output.get("data", {})):
                texts.update({key: "".join(text) for key, text in texts.items() if isinstance(text, list)})
        if cell["cell_type"] == "code" and any(re.search(rf"\b{name}\b", cell["source"]) for name in pools):
            cell = {"cell_type": "markdown", "id": cell["id"], "metadata": {},
                    "source": NO_PROCESSES.format(source=cell["source"])}  # fmt: skip
        cells.append(cell)
    kernel = {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}
    return installing({**notebook, "cells": cells, "metadata": notebook["metadata"] | {"kernelspec": kernel}}, BROWSER)


def copy_chapters(folder: Path, change) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        copy = change(json.loads(path.read_text(encoding="utf-8")))
        (folder / path.name).write_text(json.dumps(copy, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def run(folder: Path, *command) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}")


def build(output: Path) -> None:
    """Build the site: the apps, the chapters, what they read, and wheels of the package and of its sliders."""
    with tempfile.TemporaryDirectory() as place:
        source, site, built = Path(place, "source"), Path(place, "site"), Path(place, "built", "lite")
        source.mkdir()
        site.mkdir()
        settings = {"jupyter-lite-schema-version": 0, "jupyter-config-data": CONFIG}
        (site / "jupyter-lite.json").write_text(json.dumps(settings))
        for name in PACKAGE:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
        wheel = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", site / "pypi")
        run(source, *wheel, source)
        for path in (Path(sys.prefix) / "wheels").glob("*.whl"):
            shutil.copy(path, site / "pypi")
        copy_chapters(site / "contents" / "book", for_browser)
        for name in FILES:
            shutil.copytree(ROOT / name, site / "contents" / name)
        for path in site.rglob("*"):
            path.touch()  # JupyterLite keeps dates before SOURCE_DATE_EPOCH, and these would be of the checkout
        # Not in its place: newer dates of all that lies beside it are set to SOURCE_DATE_EPOCH.
        run(site, sys.executable, "-m", "jupyterlite_core", "build", "--contents", "contents", "--output-dir", built,
            "--apps", "notebooks", "--apps", "tree", "--no-sourcemaps", "--no-unused-shared-packages")  # fmt: skip
        shutil.rmtree(output, ignore_errors=True)
        shutil.move(built, output)


if __name__ == "__main__":
    if sys.argv[1] == "--colab":
        first = COLAB.format(repository=os.environ["GITHUB_REPOSITORY"])
        copy_chapters(Path(sys.argv[2]), lambda notebook: installing(notebook, first))
    else:
        build(Path(sys.argv[1]).resolve())
