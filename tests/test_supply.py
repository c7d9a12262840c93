"""What comes from elsewhere is what was chosen: packages, actions, and the scripts that a page runs."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
IN_CI = os.environ.get("CI") == "true"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-lite.txt"])
def test_every_pin_has_the_hashes_of_its_files(name):
    pins = re.split(r"\n(?=\S)", (ROOT / name).read_text())
    assert len(pins) > 60
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
