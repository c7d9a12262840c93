"""HS1940 is found in the promised order, and nothing that fails its checksum is ever used."""

import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lmm_teach import data

CONTENT = {"a.bed": bytes(range(256)) * 2000, "a.bim": b"1\trs1\t0\t5\tA\tG\n" * 3000}


@pytest.fixture
def small(monkeypatch):
    """Two small files stand in for the mice, so that the search itself is tested without a network."""
    monkeypatch.setattr(data, "HS1940_SHA256", {n: hashlib.sha256(c).hexdigest() for n, c in CONTENT.items()})


def good(name):
    return CONTENT[name]


def forbidden(name):
    raise AssertionError(f"this source must not be asked for {name}")


def broken(name):
    raise OSError("no route")


def contents(cache):
    return {path.name: path.read_bytes() for path in cache.iterdir()}


def test_the_cache_is_asked_first_and_then_the_sources_in_order(small, tmp_path):
    asked = []
    first = lambda name: asked.append(("first", name)) or broken(name)
    second = lambda name: asked.append(("second", name)) or good(name)
    found = data._find(tmp_path / "c", (("1", first), ("2", second), ("3", forbidden)))
    assert found.folder == tmp_path / "c"
    assert asked == [("first", "a.bed"), ("second", "a.bed"), ("second", "a.bim")]
    data._find(tmp_path / "c", (("3", forbidden),))
    assert contents(tmp_path / "c") == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[:-1],
        lambda c: c[: len(c) // 2],
        lambda c: b"",
        lambda c: c[:99] + bytes([c[99] ^ 1]) + c[100:],
        lambda c: c + b"\n",
    ],
)
def test_a_damaged_file_in_the_cache_is_refused_and_replaced(small, tmp_path, damage):
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "a.bed").write_bytes(damage(CONTENT["a.bed"]))
    with pytest.raises(FileNotFoundError, match="a.bed is damaged"):
        data._find(tmp_path, ())
    asked = []
    data._find(tmp_path, (("again", lambda name: asked.append(name) or good(name)),))
    assert asked == ["a.bed"]
    assert contents(tmp_path) == CONTENT


def test_a_source_with_wrong_content_is_refused_and_the_next_one_is_asked(small, tmp_path):
    wrong = lambda name: good(name)[:-7]
    with pytest.raises(FileNotFoundError) as fault:
        data._find(tmp_path / "c", (("Mirror", wrong), ("Elsewhere", broken)))
    message = str(fault.value)
    assert "Mirror: a.bed has 511993 bytes and SHA-256" in message
    assert "Elsewhere: no route" in message
    for way_out in ("python -m lmm_teach.data", "apt install gemma-doc", data.GEMMA_URL, "LMM_TEACH_DATA"):
        assert way_out in message
    assert not (tmp_path / "c").exists()
    data._find(tmp_path / "c", (("Mirror", wrong), ("Other", good)))
    assert contents(tmp_path / "c") == CONTENT


def test_an_interrupted_write_leaves_nothing_behind(small, tmp_path, monkeypatch):
    def cut_off(self, content):
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(OSError, match="a.bed, 512000 bytes, cannot be written .*disk full.* LMM_TEACH_DATA"):
        data._find(tmp_path, (("source", good), ("another", forbidden)))
    assert contents(tmp_path) == {}


def test_simultaneous_fills_never_show_a_partial_file(small, tmp_path):
    partial_sizes, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            for name, content in CONTENT.items():
                if (tmp_path / name).exists() and (tmp_path / name).read_bytes() != content:
                    partial_sizes.append(name)

    def fill(_):
        for name, content in CONTENT.items():
            data._write(tmp_path / name, content)
        return data._find(tmp_path, (("source", good),)).folder

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fill, range(64))) == {tmp_path}
    stop.set()
    watcher.join()
    assert partial_sizes == []
    assert contents(tmp_path) == CONTENT


@pytest.fixture
def server(tmp_path):
    """A web server with the two files: whole at /whole, cut short at /short, silent at /silent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            folder, name = self.path.strip("/").split("/")
            if folder == "silent":
                time.sleep(1.5)
                return
            if name not in CONTENT:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT[name])))
            self.end_headers()
            self.wfile.write(CONTENT[name][: 1000 if folder == "short" else None])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_the_download_is_checked(small, tmp_path, server):
    cache = tmp_path / "c"
    with pytest.raises(FileNotFoundError, match="net: .*1000 bytes read"):
        data._find(cache, (("net", partial(data._download, f"{server}/short")),))
    assert not cache.exists()
    data._find(cache, (("net", partial(data._download, f"{server}/whole")),))
    assert contents(cache) == CONTENT
    with pytest.raises(OSError, match="404"):
        data._download(f"{server}/whole", "b.bed")


def test_a_failing_network_is_quick_and_quiet(small, tmp_path, server, capfd):
    begun = time.monotonic()
    for url in (f"{server}/silent", "http://127.0.0.1:9", "http://name.invalid"):
        with pytest.raises(FileNotFoundError, match="net: "):
            data._find(tmp_path, (("net", partial(data._download, url)),))
    assert time.monotonic() - begun < 10
    assert capfd.readouterr() == ("", "")


def test_a_folder_gives_plain_and_packed_files(tmp_path):
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(CONTENT["a.bed"]))
    (tmp_path / "a.bim").write_bytes(CONTENT["a.bim"])
    assert {name: data._read(tmp_path, name) for name in CONTENT} == CONTENT


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:5], lambda c: c[:200], lambda c: c[:12] + b"\xff" * 9 + c[21:], lambda c: b"<html>" + c],
)
def test_a_damaged_archive_is_a_fault_of_its_source(small, tmp_path, damage):
    (tmp_path / "a.bed.gz").write_bytes(damage(gzip.compress(CONTENT["a.bed"])))
    with pytest.raises(FileNotFoundError, match="doc: "):
        data._find(tmp_path / "c", (("doc", partial(data._read, tmp_path)),))


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LMM_TEACH_DATA", str(tmp_path))
    assert data.cache_folder() == tmp_path
    monkeypatch.setenv("LMM_TEACH_DATA", "")  # set but empty counts as not set
    monkeypatch.setattr(Path, "home", lambda: Path("/home/reader"))
    for platform, variables, expected in [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/lmm_teach"),
        ("linux", {}, "/home/reader/.cache/lmm_teach"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/reader/Library/Caches/lmm_teach"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/lmm_teach"),
        ("win32", {}, "/home/reader/AppData/Local/lmm_teach"),
    ]:
        monkeypatch.setattr(sys, "platform", platform)
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert data.cache_folder() == Path(expected)


def executable(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="apt-get is Debian's")
def test_main_turns_to_apt_get_last(small, tmp_path, monkeypatch, capsys):
    tools, cache, packed = tmp_path / "bin", tmp_path / "cache", tmp_path / "doc"
    tools.mkdir()
    packed.mkdir()
    for name, content in CONTENT.items():
        (packed / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("LMM_TEACH_DATA", str(cache))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(data, "GEMMA_DOC", tmp_path / "usr" / "doc")
    monkeypatch.setattr(data, "GEMMA_URL", "http://127.0.0.1:9")
    unpacked = str(data.GEMMA_DOC.relative_to("/"))
    executable(tools / "apt-get", 'case "$*" in *download*) : > gemma-doc_1_all.deb;; *) exit 100;; esac')
    executable(
        tools / "dpkg-deb", f'test -f "$2" && mkdir -p "$3/{unpacked}" && cp {packed}/* "$3/{unpacked}"'
    )
    data.main()
    assert capsys.readouterr() == (f"HS1940: {cache}\n", "")
    assert contents(cache) == CONTENT

    (cache / "a.bim").unlink()
    executable(tools / "apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    with pytest.raises(SystemExit, match=r"(?s)a.bim is not there.*Unable to locate package"):
        data.main()
    monkeypatch.setattr(data.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match="Ways out"):
        data.main()


def test_python_m_prints_one_line_and_no_warning():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "lmm_teach.data"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"HS1940: {data.hs1940().folder}\n", "")


def test_the_mice():
    mice = data.hs1940()
    plink, y = mice.genotypes(), mice.phenotypes()
    assert plink.G.shape == (1940, 12226)
    assert not np.isnan(plink.G).any()
    assert list(y) == list(data.HS1940_PHENOTYPES)
    assert [int((~np.isnan(y[name])).sum()) for name in y] == [1410, 757, 653, 757, 653, 1580]
    # the halves are a partition of CD8, and the fourth and fifth columns are their signs
    halves = np.where(np.isnan(y["CD8_half1"]), y["CD8_half2"], y["CD8_half1"])
    np.testing.assert_allclose(halves, y["CD8"], atol=1e-16)
    for half in ("CD8_half1", "CD8_half2"):
        seen = ~np.isnan(y[half])
        np.testing.assert_array_equal(y[f"{half}_sign"][seen], y[half][seen] > 0)
    # counted apart from this code: cut the .fam file's columns 3 and 4 where column 6 is not NA, sort -u, wc -l
    assert len(set(plink.sibship[~np.isnan(y["CD8"])])) == 154
    assert sorted(map(int, set(plink.chrom))) == list(range(1, 20))
    assert plink.snp[0] == "rs3683945"
    assert plink.position[0] == 3197400
    # GEMMA reports frequency 0.443 of allele1 = A for the first SNP among CD8's mice
    assert round(float(plink.G[~np.isnan(y["CD8"]), 0].mean()) / 2, 3) == 0.443
    assert plink.a1[0] == "A"


def test_the_synth_set_is_found_in_the_repository():
    people, y = data.synth()
    assert people.G.shape == (500, 5000)
    assert not np.isnan(people.G).any()
    assert (y.mean(), y.var()) == pytest.approx((0, 1), abs=1e-9)
    # rows 1 and 500 of the unpacked files, and A1 alleles counted in all.bed's pairs of bits by ten lines of their own
    assert [str(i) for i in people.individual[[0, -1]]] == ["cid0P0", "cid499P1"]
    assert y[[0, -1]].tolist() == [0.4853395139922632, -1.730214012017139]
    assert people.G[:, [0, -1]].sum(axis=0).tolist() == [47, 140]
    assert people.G.sum() == 1303530


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the set that may be spoilt, in the repository's place; the cache is empty."""
    folder = tmp_path / "synth"
    shutil.copytree(data.SYNTH, folder)
    monkeypatch.setattr(data, "SYNTH", folder)
    monkeypatch.setenv("LMM_TEACH_DATA", str(tmp_path / "cache"))
    return folder


def test_the_synth_set_may_lie_in_the_cache_and_phenotypes_follow_the_individuals(copied):
    people, y = data.synth()
    lines = gzip.decompress((copied / "pheno_10_causals.txt.gz").read_bytes()).splitlines()
    (copied / "pheno_10_causals.txt.gz").write_bytes(gzip.compress(b"\r\n".join(lines[::-1])))
    shutil.move(copied, data.cache_folder() / "synth")
    again, same = data.synth()
    np.testing.assert_array_equal(again.G, people.G)
    np.testing.assert_array_equal(same, y)


def test_without_the_repository_the_ways_out_are_named(copied):
    shutil.rmtree(copied)
    with pytest.raises(FileNotFoundError) as fault:
        data.synth()
    for words in (str(copied), "pip install -e", str(data.cache_folder() / "synth")):
        assert words in str(fault.value)
    assert not data.cache_folder().exists()


def test_a_damaged_synth_set_is_refused(copied):
    bed, bim = copied / "all.bed.gz", copied / "all.bim.gz"
    whole = gzip.decompress(bed.read_bytes())
    bed.write_bytes(gzip.compress(whole[:-1]))
    with pytest.raises(ValueError, match="truncated"):
        data.synth()
    bed.write_bytes(gzip.compress(whole))
    data.synth()
    bim.write_bytes(bim.read_bytes()[:-1000])
    with pytest.raises(EOFError):
        data.synth()


def test_golden_tables_and_benchmarks_are_read_and_a_missing_one_names_those_that_are_there():
    assert {"data", "K", "gemma"} <= set(data.golden("gemma_null")[0])
    assert data.benchmark("null_model")["versions"]["fastlmm"] == "0.6.13"
    with pytest.raises(FileNotFoundError, match="none.csv is not there.*gemma_null.*pip install"):
        data.golden("none")
    with pytest.raises(FileNotFoundError, match="null_model"):
        data.benchmark("none")


def test_outside_a_clone_the_repository_is_found_above_the_notebook(tmp_path):
    """As in JupyterLite and Colab: the package is installed without the repository, the notebook lies in its book/."""
    package = Path(data.__file__).parent
    shutil.copytree(package, tmp_path / "installed" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("clone/reference/golden", "clone/book"):
        (tmp_path / folder).mkdir(parents=True)
    for place, expected in (("clone/book", "clone"), ("clone", "installed")):
        code = "from lmm_teach import data; print(data.REPOSITORY, data.SYNTH)"
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / place, env=environment, capture_output=True,
                              text=True, check=True)  # fmt: skip
        root = tmp_path / expected
        assert done.stdout == f"{root} {root / 'reference' / 'synth'}\n"


class Browser:
    """The two modules that Pyodide gives Python, with a request that a handful of addresses answer."""

    class Fault(Exception):
        pass

    def __init__(self, answers):
        self.answers, self.XMLHttpRequest, self.JsException = answers, self, self.Fault

    def new(self):
        return self

    def open(self, method, url, asynchronous):
        assert (method, asynchronous) == ("GET", False)
        self.url = url

    def send(self):
        assert self.responseType == "arraybuffer"  # else bytes above 127 are lost
        if self.url not in self.answers:
            raise self.Fault("NetworkError")
        self.status, self.content = self.answers[self.url]

    @property
    def response(self):
        return self

    def to_bytes(self):
        return self.content


def test_in_a_browser_the_mice_come_through_it(small, monkeypatch, tmp_path):
    answers = {f"{data.GEMMA_URL}/{name}": (200, content) for name, content in CONTENT.items()}
    browser = Browser(answers)
    for name in ("js", "pyodide.ffi"):
        monkeypatch.setitem(sys.modules, name, browser)
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setattr(data, "GEMMA_DOC", tmp_path / "doc")
    monkeypatch.setenv("LMM_TEACH_DATA", str(tmp_path / "cache"))
    data.hs1940()
    assert contents(tmp_path / "cache") == CONTENT

    shutil.rmtree(tmp_path / "cache")
    answers[f"{data.GEMMA_URL}/a.bed"] = 404, b"not found"
    with pytest.raises(FileNotFoundError, match="GEMMA's repository: .*/a.bed: HTTP status 404"):
        data.hs1940()
    answers.clear()
    with pytest.raises(FileNotFoundError, match="GEMMA's repository: .*/a.bed: NetworkError"):
        data.hs1940()
