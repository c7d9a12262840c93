"""Killed or interrupted programs, full disks, missing rights: a clear message, and the next run is right."""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import notebooks
import pytest

from lmm_teach import data

ROOT = Path(__file__).resolve().parents[1]
CONTENT = bytes(range(256)) * 400


def python(code, *arguments, **environment):
    """Run Python in a process of its own; an empty value takes a variable out of the environment."""
    environment = {name: value for name, value in {**os.environ, **environment}.items() if value}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "book")))
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


FETCH = """
    import os, resource, signal
    from pathlib import Path
    from lmm_teach import data
    data.HS1940_SHA256 = {{"a.bed": {sha!r}}}
    {accident}
    data.hs1940 = lambda: data._find(data.cache_folder(), [("source", lambda name: bytes(range(256)) * 400)])
    data.main()
"""
KILLED = "lambda self, c: (self.open('wb').write(c[:99]), os.kill(os.getpid(), signal.SIGKILL))"


@pytest.mark.parametrize(("accident", "message"), [
    (f"Path.write_bytes = {KILLED}", None),
    ("resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))", "File too large"),
    ("data.cache_folder().chmod(0); os.geteuid() or os.seteuid(12345)", "Permission denied"),  # root may all
])  # fmt: skip
def test_a_fetch_that_fails_leaves_no_half_of_a_file_and_the_next_is_whole(tmp_path, monkeypatch, accident, message):
    cache, sha = tmp_path / "cache", hashlib.sha256(CONTENT).hexdigest()
    cache.mkdir()
    done = python(FETCH.format(sha=sha, accident=accident), LMM_TEACH_DATA=str(cache))
    cache.chmod(0o700)
    if message:
        assert done.returncode == 1 and list(cache.iterdir()) == []
        for words in (f"a.bed, 102400 bytes, cannot be written to {cache}", message, "set LMM_TEACH_DATA to another"):
            assert words in done.stderr
        assert done.stderr.count("\n") == 1  # no traceback
    else:
        assert done.returncode == -signal.SIGKILL and [path.suffix for path in cache.iterdir()] == [".part"]
    monkeypatch.setattr(data, "HS1940_SHA256", {"a.bed": sha})
    data._find(cache, [("source", lambda name: CONTENT)])
    assert (cache / "a.bed").read_bytes() == CONTENT


def test_a_cache_that_cannot_be_read_is_named_when_nothing_else_has_the_data(tmp_path):
    (tmp_path / "a.bed").mkdir()
    assert data._state(tmp_path / "a.bed") == "unreadable (Is a directory)"
    assert data._state(tmp_path / "b") == "not there"


def test_without_a_home_the_way_out_is_named(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "LMM_TEACH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container that runs as a number without a name
    with pytest.raises(SystemExit, match="no folder for the data .*Set LMM_TEACH_DATA"):
        data.main()


@pytest.mark.parametrize("home", ["/dev/null", ""])
def test_with_a_home_that_cannot_be_written_or_none_the_package_is_imported_and_draws_without_a_word(home):
    done = python(
        """
        import logging
        import lmm_teach, lmm_teach.data
        assert logging.getLogger("matplotlib").level == logging.NOTSET  # later warnings are shown
        figure, ax = lmm_teach.plot.axes()
        ax.set_title("title")
        figure._repr_png_()
        """,
        HOME=home, MPLCONFIGDIR="", XDG_CONFIG_HOME="", XDG_CACHE_HOME="",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SCAN = """
    import multiprocessing, os, signal
    from concurrent.futures import ProcessPoolExecutor
    import numpy as np
    import lmm_teach as lt

    def blocks():
        for _ in range(6):
            yield draw()
        os.kill(os.getpid(), signal.SIGKILL)

    rng = np.random.default_rng(1)
    draw = lambda: rng.binomial(2, 0.3, (40, 30)).astype(float)
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("fork"))
    spec = lt.decompose_snps(lt.standardize(draw()))
    lt.scan_blocks(blocks(), np.ones((40, 1)), rng.normal(size=40), spec, pool)
"""


def test_workers_end_with_the_program_that_is_killed():
    """The output ends when the last process that holds it does; else there is a time-out."""
    assert python(SCAN).returncode == -signal.SIGKILL


@pytest.fixture
def chapter(tmp_path):
    """A notebook whose only cell says that it runs, and goes on for a minute."""
    cell = nbformat.v4.new_code_cell("import pathlib, time\npathlib.Path('runs').touch()\ntime.sleep(60)", id="one")
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGINT])
def test_a_notebook_whose_run_is_killed_or_interrupted_stays_as_it_was_and_its_kernel_ends(which, chapter):
    before = chapter.read_bytes()
    with subprocess.Popen([sys.executable, str(ROOT / "book" / "notebooks.py"), str(chapter)], start_new_session=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:  # fmt: skip
        while run.poll() is None and not (chapter.parent / "runs").exists():
            time.sleep(0.1)
        run.send_signal(which)
        _, errors = run.communicate(timeout=30)  # until the kernel has ended, which holds the same pipes
    assert run.returncode == (1 if which == signal.SIGINT else -which)
    if which == signal.SIGINT:
        assert errors == "interrupted: the notebook that was running is as it was\n"
    assert chapter.read_bytes() == before and not list(chapter.parent.glob(".*"))


def test_a_kill_while_a_notebook_is_written_leaves_the_old_one_and_the_next_run_the_new_one(chapter, monkeypatch):
    before = chapter.read_bytes()
    code = """
        import os, signal, sys
        from pathlib import Path
        import notebooks
        notebooks.execute = lambda notebook, folder: notebook
        Path.write_text = lambda self, t, **_: (self.open("w").write(t[:9]), os.kill(os.getpid(), signal.SIGKILL))
        notebooks.main(sys.argv[1:])
    """
    assert python(code, chapter).returncode == -signal.SIGKILL
    assert chapter.read_bytes() == before
    monkeypatch.setattr(notebooks, "execute", lambda notebook, folder: notebook)
    notebooks.main([chapter])
    assert nbformat.read(chapter, as_version=4).metadata.kernelspec.name == "python3"
    assert [path.name for path in chapter.parent.iterdir()] == ["chapter.ipynb"]


@pytest.fixture
def make(tmp_path):
    """Start make in a folder where the Makefile is the book's and the programs are a shell script."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-lite.txt", "book/alone.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    for folder in (".venv", ".venv-lite"):
        (tmp_path / folder / "bin").mkdir(parents=True)
        for name in ("python", "jupyter-book"):
            (tmp_path / folder / "bin" / name).write_text("#!/bin/sh\nmkdir -p _build/html/lite/pypi\n")
            (tmp_path / folder / "bin" / name).chmod(0o755)
        (tmp_path / folder / "installed").touch()
    (tmp_path / "book" / "lite.py").touch()
    environment = {name: value for name, value in os.environ.items() if name != "LOCKED" and "MAKE" not in name}

    def start(target, script):
        (tmp_path / ".venv" / "bin" / "jupyter-book").write_text(f"#!/bin/sh\n{script}\n")
        return subprocess.Popen(["make", target, f"PYTHON={sys.executable}"], cwd=tmp_path, env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip

    return start


def until(path):
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_build_waits_until_the_first_has_ended_though_its_make_be_killed(make, tmp_path, killed):
    script = "echo begin >> log; sleep 2; echo end >> log"
    first = make("book", script)
    until(tmp_path / "log")
    if killed:
        first.kill()
    second = make("book", script)
    second_errors = second.communicate(timeout=30)[1]
    first.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (-signal.SIGKILL if killed else 0, 0)
    assert second_errors == "another make is at work in this folder; this one waits until it has ended\n"
    assert (tmp_path / "log").read_text().split() == ["begin", "end"] * 2


def test_after_a_build_that_was_killed_nothing_that_it_read_is_taken_for_whole(make, tmp_path):
    script = "test -e _build/.doctrees && echo old >> log; mkdir -p _build/.doctrees; echo built >> log"
    killed = make("pages", f"{script}; sleep 30")
    until(tmp_path / "log")
    with suppress(ProcessLookupError):
        os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=20)
    for _ in range(2):
        assert make("pages", script).communicate(timeout=20)[1] == ""
    assert (tmp_path / "log").read_text().split() == ["built", "built", "old", "built"]
