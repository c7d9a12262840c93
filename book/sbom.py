"""List what the built site ships that others wrote: python book/sbom.py [SITE].

Writes sbom.json (CycloneDX 1.6) and licences.txt into the site; a file in `_static`, an extension of JupyterLite or a
wheel that the list does not cover is an error. Equal sites give equal bytes.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
LITE = ROOT / ".venv-lite"
OWN = re.compile(r"(access|print)\.js|(book|print|launch|site)\.css|card\.png|icon\.svg")
PACKAGES = {  # the distributions whose files lie in _static; the first match counts
    "sphinx": r"basic\.css|(doctools|documentation_options|language_data|searchtools|sphinx_highlight)\.js|"
              r"(file|plus|minus)\.png",
    "pygments": r"pygments\.css",
    "sphinx-book-theme": r"(scripts|styles)/sphinx-book-theme\.|images/|locales/|sbt-webpack-macros\.html",
    "pydata-sphinx-theme": r"(scripts|styles)/pydata-sphinx-theme\.|styles/theme\.css|webpack-macros\.html",
    "sphinx-copybutton": r"copybutton(_funcs)?\.(js|css)",
    "sphinx-design": r"design-tabs\.js|sphinx-design\.min\.css",
    "sphinx-togglebutton": r"togglebutton\.(js|css)",
    "sphinx-exercise": r"exercise\.css",
    "sphinx-proof": r"proof\.css",
    "myst-nb": r"mystnb\.[0-9a-f]+\.css",
}  # fmt: skip
# What those distributions hold of others, and KaTeX: its files, the one that tells the version, whose copyright.
SCRIPTS = {
    "bootstrap": (r"(scripts|styles)/bootstrap\.", "styles/bootstrap.css", "2011-2024 The Bootstrap Authors"),
    "@popperjs/core": (r"scripts/bootstrap\.js$", None, "2019 Federico Zivolo"),  # in Bootstrap's file
    "clipboard": (r"clipboard\.min\.js", "clipboard.min.js", "Zeno Rocha"),
    "@tabler/icons": (r"(check-solid|copy-button)\.svg", None, "2020-2024 Paweł Kuna"),
    "@fortawesome/fontawesome-free": (r"vendor/fontawesome/", "vendor/fontawesome/*/css/all.min.css", None),
    "katex": (r"katex/", None, None),
}
# Extensions of JupyterLite that have another name than their distribution.
OWNERS = {"jupyterlab-manager": "jupyterlab-widgets", "pyodide-kernel-extension": "jupyterlite-pyodide-kernel"}
FONT_AWESOME = "CC-BY-4.0 AND OFL-1.1 AND MIT"
MIT = """\
MIT License

Copyright (c) {holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def licence_of(text: str) -> str:
    """The SPDX name of a licence's text; of metadata less is certain: one package's say BSD where the text is MIT."""
    words = " ".join(text.split())
    if "Redistribution and use in source and binary forms" in words:
        return "BSD-3-Clause" if "either the name" in words else "BSD-2-Clause"
    if "Permission is hereby granted, free of charge" in words:
        return "MIT"
    raise ValueError(f"which licence is this?\n{text[:300]}")


def component(kind: str, name: str, version: str, licence: str, places, text: str = "") -> dict:
    purl = f"pkg:{kind}/{name.replace('@', '%40')}" + (f"@{version}" if version else "")
    found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "text": text,
             "licenses": licence and [{"expression": licence}],
             "evidence": {"occurrences": [{"location": place} for place in places]}}  # fmt: skip
    return {key: value for key, value in found.items() if value or key == "text"}


def of_distribution(package: Distribution, places) -> dict:
    files = [path for path in package.files or () if re.search(r"dist-info/(.*/)?LICEN[CS]E", str(path))]
    text = "\n".join(path.read_text(encoding="utf-8").strip() for path in files)
    return component("pypi", package.name.lower().replace("_", "-"), package.version, licence_of(text), places, text)


def in_static(site: Path) -> list[dict]:
    static = site / "_static"
    files = sorted(path.relative_to(static).as_posix() for path in static.rglob("*") if path.is_file())

    def matching(pattern: str) -> list[str]:
        return [f"_static/{name}" for name in files if re.match(pattern, name)]

    found = [of_distribution(distribution(name), matching(pattern)) for name, pattern in PACKAGES.items()]
    for name, (pattern, told, holder) in SCRIPTS.items():
        version, licence, text = "", "MIT", MIT.format(holder=holder)
        if told:
            version = re.search(r"\bv?(\d+\.\d+\.\d+)", next(static.glob(told)).read_text(encoding="utf-8"))[1]
        if name == "katex":
            version = re.search(r"KaTeX ([\d.]+\d)", (ROOT / "book/_katex/README.md").read_text())[1]
            text = (ROOT / "book/_katex/LICENSE").read_text(encoding="utf-8").strip()
        elif name.startswith("@fortawesome"):
            licence, text = FONT_AWESOME, next(static.glob("vendor/fontawesome/*/LICENSE.txt")).read_text().strip()
        found.append(component("npm", name, version, licence, matching(pattern), text))
    return found


def in_lite(site: Path) -> list[dict]:
    """JupyterLite's distributions, its wheels, and the scripts of others in it, whose licences it ships itself."""
    folders, found = [str(path) for path in LITE.glob("lib/python*/site-packages")], []
    places = {"jupyterlite-core": ["lite/build"]}
    for path in sorted(site.glob("lite/extensions/**/package.json")):
        folder = path.parent.relative_to(site).as_posix()
        places.setdefault(OWNERS.get(path.parent.name, path.parent.name), []).append(folder)
    for name, where in places.items():
        package = next(iter(distributions(name=name, path=folders)), None)
        if package is None:
            raise ValueError(f"{where[0]} belongs to no distribution")
        found.append(of_distribution(package, where))
    for path in sorted(site.glob("lite/pypi/*.whl")):
        name, version = path.name.split("-")[:2]
        with ZipFile(path) as wheel:
            text = "\n".join(wheel.read(one).decode().strip() for one in sorted(wheel.namelist())
                             if re.search(r"dist-info/(.*/)?LICENSE", one))  # fmt: skip
        if name != "lmm_teach":
            where = path.relative_to(site).as_posix()
            found.append(component("pypi", name.replace("_", "-"), version, licence_of(text), [where], text))
    for path in sorted(site.glob("lite/**/third-party-licenses.json")):
        where = path.parent.relative_to(site).as_posix()
        for one in json.loads(path.read_text(encoding="utf-8"))["packages"]:
            found.append(component("npm", one["name"], one["versionInfo"], one["licenseId"], [where]))
    return found


def listed(site: Path) -> list[dict]:
    """The components, one for each name and version, by name."""
    found = {}
    for one in in_static(site) + (in_lite(site) if (site / "lite").exists() else []):
        known = found.setdefault(one["bom-ref"], one)
        if known is not one:
            known["evidence"]["occurrences"] += one["evidence"]["occurrences"]
            known["text"] = known["text"] or one["text"]
    return [found[key] for key in sorted(found)]


def unlisted(site: Path, components) -> list[str]:
    """Files of _static, extensions and wheels that are neither the book's own nor a component's."""
    places = {spot["location"] for one in components for spot in one.get("evidence", {}).get("occurrences", ())}
    files = [path for path in (site / "_static").rglob("*") if path.is_file()]
    files = [path for path in files if not OWN.fullmatch(path.relative_to(site / "_static").as_posix())]
    files += site.glob("lite/extensions/**/package.json")
    files += [path for path in site.glob("lite/pypi/*.whl") if not path.name.startswith("lmm_teach-")]
    where = [path.relative_to(site).as_posix().removesuffix("/package.json") for path in files]
    return sorted(name for name in where if name not in places)


def write(site: Path) -> list[str]:
    """Write both files; return what the list lacks."""
    components = listed(site)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    book = {"type": "application", "bom-ref": "book", "name": "Linear Mixed Models, Line by Line", "version": version,
            "licenses": [{"expression": "MIT AND CC-BY-4.0"}]}  # fmt: skip
    parts = [{key: value for key, value in one.items() if key != "text"} for one in components]
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": book},
           "components": parts}  # fmt: skip
    (site / "sbom.json").write_text(json.dumps(bom, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    texts = [f"{one['name']} {one.get('version', '')}\n\n{one['text']}" for one in components if one["text"]]
    head = ("What this site ships that others wrote, and its licences. Those of the scripts within JupyterLite stand\n"
            "in the files third-party-licenses.json of lite/; sbom.json lists all parts, with versions.")  # fmt: skip
    text = f"\n\n{'=' * 100}\n\n".join([head, *texts]) + "\n"
    (site / "licences.txt").write_text(text, encoding="utf-8")
    return unlisted(site, components)


if __name__ == "__main__":
    if lacking := write(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "_build" / "html"):
        sys.exit("book/sbom.py does not list " + ", ".join(lacking))
