"""Data sets: the HS1940 mice, found or fetched, and checked before use (chapter 19); the posts' synth set (chapter 8).

Beside them, what the repository holds of other programs' numbers and of timings (`golden`, `benchmark`).

``python -m lmm_teach.data`` fills the cache with the mice and says where it is.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Floats
from .plink import Plink, read_plink

#: SHA-256 of the uncompressed files, the same in Debian's gemma-doc and in GEMMA's repository.
HS1940_SHA256 = {
    "mouse_hs1940.bed": "82ae9049806a896b12547fe892a85465949005bca8f7e855fdb2b0ea558936d2",
    "mouse_hs1940.bim": "86d28fb5bda51b33972366218f5ad834de937ce55e444fb1a682e77e3adc9cf1",
    "mouse_hs1940.fam": "8b23d60fd5f25a004b3725f6f0c66001b3ddc8a58aca07525b005529b0e1f54c",
    "mouse_hs1940.pheno.txt": "60ced3ddb4ad6e158d858c77d309bfcd4966e27f38878da36b4547f8da28fb64",
}
#: Columns of the phenotype file: CD8, a split of it into halves with their signs (1 if positive), and MCH.
HS1940_PHENOTYPES = ("CD8", "CD8_half1", "CD8_half2", "CD8_half1_sign", "CD8_half2_sign", "MCH")
GEMMA_DOC = Path("/usr/share/doc/gemma/example")
GEMMA_URL = (
    "https://raw.githubusercontent.com/genetics-statistics/GEMMA/"
    "ce5e778cc36c40a2fa82f3dafe66403bb0e3a185/example"
)
#: The repository, whose folders reference/ and benchmarks/ are there if the package was installed from a clone with -e,
#: or if a notebook runs in the folder book/ of a clone or of the book's JupyterLite.
#:
#: :meta hide-value:
REPOSITORY = Path(__file__).resolve().parents[1]
if not (REPOSITORY / "reference" / "golden").is_dir() and (Path.cwd().parent / "reference" / "golden").is_dir():
    REPOSITORY = Path.cwd().parent
SYNTH = REPOSITORY / "reference" / "synth"
# A source: its name for messages, and a function from a file's name to its uncompressed bytes.
Source = tuple[str, Callable[[str], bytes]]


@dataclass(frozen=True)
class HS1940:
    """Where the files of the 1,940 heterogeneous-stock mice are; every one has passed its SHA-256.

    Attributes
    ----------
    folder : the folder that holds the files named in `HS1940_SHA256`
    """

    folder: Path

    def genotypes(self) -> Plink:
        """Read the 12,226 SNPs (190 MB as floats)."""
        return read_plink(self.folder / "mouse_hs1940")

    def phenotypes(self) -> dict[str, Floats]:
        """Read the six columns of `HS1940_PHENOTYPES`, (1940,) each, standardised units, NaN where missing."""
        table = np.genfromtxt(self.folder / "mouse_hs1940.pheno.txt", missing_values="NA")
        return dict(zip(HS1940_PHENOTYPES, table.T.copy(), strict=True))


def hs1940() -> HS1940:
    """Find the HS1940 mice: in the cache, in Debian's gemma-doc, or in GEMMA's repository.

    The cache is the folder ``LMM_TEACH_DATA`` names, else ``lmm_teach`` in the user's cache folder. A file that
    fails its SHA-256 is never used; it is fetched again and replaced in one step.

    Raises
    ------
    FileNotFoundError
        if no source has the data; the message names each source's fault and every way out
    OSError
        if the cache cannot be written, or there is no home folder to hold it
    """
    return _find(
        cache_folder(),
        (
            ("Debian's gemma-doc", lambda name: _read(GEMMA_DOC, name)),
            ("GEMMA's repository", lambda name: _download(GEMMA_URL, name)),
        ),
    )


def synth() -> tuple[Plink, Floats]:
    """Read the simulated set of the 2015 posts, FaST-LMM's synth: 500 individuals, 5,000 SNPs, five chromosomes.

    It is part of the book's repository, folder ``reference/synth``, and is found there, or in a folder ``synth`` of the
    cache; nothing is downloaded. FaST-LMM's own subsets ``chr1`` and ``allButChr1`` are the SNPs with chrom "1" and the
    others, in this order.

    Returns
    -------
    people : Plink
        genotypes without gaps (20 MB as floats)
    y : (500,) array
        phenotype with ten causal SNPs, mean 0 and variance 1, in the order of the individuals

    Raises
    ------
    FileNotFoundError
        if neither folder has the set, as after an install without the repository; the message names the ways out
    """
    copy = cache_folder() / "synth"
    folder = next((f for f in (SYNTH, copy) if (f / "all.bed.gz").is_file()), None)
    if folder is None:
        raise FileNotFoundError(
            f"the synth set was not found: neither {SYNTH} nor {copy} holds all.bed.gz. It comes with the book's "
            "repository. Ways out, any one:\n"
            "  - clone the repository and install the package from there: pip install -e .\n"
            f"  - copy the repository's folder reference/synth to {copy}"
        )
    with tempfile.TemporaryDirectory() as unpacked:
        for name in ("all.bed", "all.bim", "all.fam"):
            (Path(unpacked) / name).write_bytes(_read(folder, name))
        people = read_plink(Path(unpacked) / "all")
    rows = [line.split() for line in _read(folder, "pheno_10_causals.txt").decode().splitlines()]
    values = {(family, individual): float(value) for family, individual, value in rows}
    return people, np.array([values[who] for who in zip(people.family, people.individual, strict=True)])


def golden(name: str) -> list[dict[str, str]]:
    """Read what another program computed, as its script under ``reference/`` wrote it down.

    Parameters
    ----------
    name : a table of the repository's ``reference/golden``, without the ending

    Returns
    -------
    rows : one dict per row, every value still as text

    Raises
    ------
    FileNotFoundError
        if there is no such table, as after an install without the repository
    """
    with _kept("reference/golden", f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def benchmark(name: str) -> dict[str, Any]:
    """Read what a script of ``benchmarks/`` measured, with the versions and the machine.

    Parameters
    ----------
    name : a file of the repository's ``benchmarks/results``, without the ending

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        if there is no such file, as after an install without the repository
    """
    return dict(json.loads(_kept("benchmarks/results", f"{name}.json").read_text(encoding="utf-8")))


def _kept(folder: str, name: str) -> Path:
    path = REPOSITORY / folder / name
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob(f"*{path.suffix}"))) or "nothing"
        raise FileNotFoundError(
            f"{path} is not there ({path.parent} holds {there}). Such files come with the book's repository: clone it "
            "and install the package from there: pip install -e ."
        )
    return path


def cache_folder() -> Path:
    """Name the folder that holds the data: ``LMM_TEACH_DATA``, else the user's cache folder of the system."""
    try:
        if chosen := os.environ.get("LMM_TEACH_DATA"):
            return Path(chosen).expanduser()
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as fault:
        raise OSError(f"no folder for the data ({fault}) Set LMM_TEACH_DATA to one that can be written.") from fault
    return Path(base) / "lmm_teach"


def _find(cache: Path, sources: Iterable[Source]) -> HS1940:
    """Return the cache once every file in it is right, taking from each source in turn what is missing."""
    faults = [
        f"the cache {cache}: " + "; ".join(f"{name} is {_state(cache / name)}" for name in _wanting(cache))
    ]
    for label, read in sources:
        for name in _wanting(cache):
            try:
                content = read(name)
                if (found := hashlib.sha256(content).hexdigest()) != HS1940_SHA256[name]:
                    raise ValueError(
                        f"{name} has {len(content)} bytes and SHA-256 {found[:12]}…, "
                        f"expected {HS1940_SHA256[name][:12]}…"
                    )
            except (OSError, EOFError, zlib.error, ValueError, ImportError, subprocess.SubprocessError) as fault:
                faults.append(f"{label}: {fault}")
                break
            _write(cache / name, content)
    if _wanting(cache):
        raise FileNotFoundError(
            "\n".join(
                (
                    "the HS1940 mice were not found. Tried:",
                    *(f"  - {fault}" for fault in faults),
                    "Ways out, any one:",
                    "  - python -m lmm_teach.data  (on Debian or Ubuntu it needs no root and no GitHub)",
                    "  - apt install gemma-doc",
                    f"  - copy the files of {GEMMA_URL} into {cache}",
                    "  - set LMM_TEACH_DATA to a folder that holds " + ", ".join(HS1940_SHA256),
                )
            )
        )
    return HS1940(cache)


def _wanting(cache: Path) -> list[str]:
    return [name for name in HS1940_SHA256 if _state(cache / name) != "right"]


def _state(path: Path) -> str:
    try:
        right = hashlib.sha256(path.read_bytes()).hexdigest() == HS1940_SHA256[path.name]
    except FileNotFoundError:
        return "not there"
    except OSError as fault:
        return f"unreadable ({fault.strerror})"
    return "right" if right else "damaged (its SHA-256 is wrong)"


def _write(path: Path, content: bytes) -> None:
    """Put the whole file in place in one step, so that no other process ever sees a part of it."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as fault:
        raise OSError(
            fault.errno,
            f"{path.name}, {len(content)} bytes, cannot be written to {path.parent} ({fault}): make room there, or "
            "set LMM_TEACH_DATA to another folder",
        ) from fault
    finally:
        with suppress(OSError):
            part.unlink()


def _read(folder: Path, name: str) -> bytes:
    packed = folder / f"{name}.gz"
    return gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()


def _download(url: str, name: str) -> bytes:
    if sys.platform == "emscripten":
        return _browse(f"{url}/{name}")
    import pooch

    content = io.BytesIO()
    # 2 s to connect, tried at each of the server's four addresses, so that a blocked network costs 8 s at most.
    pooch.HTTPDownloader(timeout=(2, 8), chunk_size=1 << 16)(f"{url}/{name}", content, None)
    return content.getvalue()


def _browse(url: str) -> bytes:
    """Download through the browser that runs this Python (JupyterLite); GitHub permits that to every page."""
    from js import XMLHttpRequest  # type: ignore[import-not-found]
    from pyodide.ffi import JsException  # type: ignore[import-not-found]

    request = XMLHttpRequest.new()
    request.open("GET", url, False)
    request.responseType = "arraybuffer"
    try:
        request.send()
    except JsException as fault:
        raise OSError(f"{url}: {fault}") from fault
    if request.status != 200:
        raise OSError(f"{url}: HTTP status {request.status}")
    return bytes(request.response.to_bytes())


def _apt(folder: Path) -> Path:
    """Fetch and unpack Debian's gemma-doc as an ordinary user, without installing it; return its examples."""
    own = [
        f"-oDir::State::Lists={folder}/lists",
        f"-oDir::Cache={folder}/cache",
        "-oAcquire::Languages=none",
        "-oAcquire::http::Timeout=10",
        "-oAcquire::Retries=1",
    ]
    for state in ("lists/partial", "cache/archives/partial"):
        (folder / state).mkdir(parents=True)

    def run(*command: str, check: bool = True) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if check and done.returncode:
            raise OSError(f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-300:]}")

    run("apt-get", *own, "update", check=False)  # one unreachable archive of several is no reason to stop
    run("apt-get", *own, "download", "gemma-doc")
    run("dpkg-deb", "-x", *(package.name for package in folder.glob("gemma-doc_*.deb")), "unpacked")
    return folder / "unpacked" / GEMMA_DOC.relative_to("/")


def main() -> None:
    """Fill the cache, through apt-get when nothing else worked, and print where the data is."""
    try:
        found = hs1940()
    except FileNotFoundError as fault:
        if shutil.which("apt-get") is None:
            raise SystemExit(str(fault)) from None
        with tempfile.TemporaryDirectory() as folder:
            try:
                examples = _apt(Path(folder))
                found = _find(
                    cache_folder(), (("apt-get download gemma-doc", lambda name: _read(examples, name)),)
                )
            except (OSError, subprocess.SubprocessError) as second:
                raise SystemExit(f"{fault}\napt-get did not help: {second}") from None
    except OSError as fault:
        raise SystemExit(str(fault)) from None
    print(f"HS1940: {found.folder}")


if __name__ == "__main__":
    main()
