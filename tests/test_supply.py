"""What comes from elsewhere is what was chosen and is listed: packages, actions, scripts, what the site ships."""

import json
import os
import re
from pathlib import Path

import pytest
import sbom

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
IN_CI = os.environ.get("CI") == "true"


@pytest.mark.parametrize(("name", "fewest"), [
    ("requirements.txt", 61), ("requirements-lite.txt", 61), ("tests/requirements-mutants.txt", 16),
    ("tests/requirements-fuzz.txt", 1),
])  # fmt: skip
def test_every_pin_has_the_hashes_of_its_files(name, fewest):
    pins = re.split(r"\n(?=\S)", (ROOT / name).read_text())
    assert len(pins) >= fewest
    for pin in pins:
        assert re.match(r"[\w.-]+==\S+", pin) and re.search(r"--hash=sha256:[0-9a-f]{64}\b", pin), pin


def test_workflows_name_what_they_run_by_digest_and_grant_each_job_its_permissions():
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = path.read_text()
        for used in re.findall(r"(?:uses|container): (.*)", text):
            assert re.fullmatch(r"\S+@[0-9a-f]{40}  # v[\d.]+|\S+@sha256:[0-9a-f]{64}", used), (path.name, used)
        assert "\npermissions: {}\n" in text, path.name
        assert text.count("    runs-on:") == text.count("    permissions:\n"), path.name


def test_every_page_has_a_policy_without_evaluation():
    paths = [*HTML.glob("*.html"), *HTML.glob("book/**/*.html"), *HTML.glob("_modules/**/*.html")]
    if not paths:
        (pytest.fail if IN_CI else pytest.skip)("the book is not built: make book")
    for path in paths:
        policy = re.search(r'<meta charset="utf-8" ?/?><meta http-equiv="Content-Security-Policy" content="([^"]*)"',
                           path.read_text())  # fmt: skip
        assert policy, path
        scripts = re.search(r"script-src ([^;]*)", policy[1])[1]
        assert policy[1].startswith("default-src 'none';")
        assert not re.search(r"unsafe-(eval|inline)|https?:|\*|data:", scripts), path


def test_the_site_lists_what_it_ships_and_a_file_of_unknown_origin_is_noticed(tmp_path):
    if not (HTML / "sbom.json").exists():
        (pytest.fail if IN_CI else pytest.skip)("the book is not built: make book")
    bom = json.loads((HTML / "sbom.json").read_text())
    names = {one["name"] for one in bom["components"]}
    assert {"sphinx", "bootstrap", "katex", "@fortawesome/fontawesome-free", "@popperjs/core"} <= names
    assert {"jupyterlite-core", "ipywidgets", "jupyterlab-myst", "@jupyterlab/application"} <= names
    assert all(one["licenses"][0]["expression"] for one in bom["components"])
    assert all(one["evidence"]["occurrences"] for one in bom["components"])  # none that is no longer there
    texts = (HTML / "licences.txt").read_text()
    for holder in ("Sphinx team", "Bootstrap Authors", "Fonticons", "Khan Academy", "Zeno Rocha", "Project Jupyter"):
        assert holder in texts, holder
    assert sbom.unlisted(HTML, bom["components"]) == []
    strangers = ["_static/jquery.js", "_static/vendor/new/x.css", "lite/extensions/@new/one", "lite/pypi/new-1-py3.whl"]
    for name in strangers:
        path = tmp_path / name / "package.json" if "extensions" in name else tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sbom.unlisted(tmp_path, bom["components"]) == strangers


def test_the_licence_is_read_from_its_text():
    assert sbom.licence_of(sbom.MIT) == "MIT"
    bsd = "Redistribution and use in source and\n binary forms, with or without"
    assert sbom.licence_of(bsd) == "BSD-2-Clause"
    assert sbom.licence_of(f"{bsd} modification. Neither the\nname of") == "BSD-3-Clause"
    with pytest.raises(ValueError, match="which licence"):
        sbom.licence_of("All rights reserved.")
