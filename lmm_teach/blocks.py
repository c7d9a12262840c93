"""Scan SNPs that come in blocks, here or on any executor, in bounded memory and without losing a block (chapter 18)."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import tempfile
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._progress import Bar
from ._worker import follow
from .association import Scan, Scanner
from .plink import Unread
from .spectrum import Spectrum
from .variance import Fit

Block = NDArray | Unread
RESULTS = 2  # count this up when a change of the package changes results, so that those kept are not used


class Unfinished(RuntimeError):
    """The executor is dead, or failed twice at one block.

    Attributes
    ----------
    scan : what is done; NaN, with the reason "not reached", for SNPs that were drawn from the iterator but not tested
    """

    scan: Scan


def write(path: Path, fill: Callable[[BinaryIO], object], about: str) -> None:
    """Write a file that will be there as a whole or not at all; an error tells what it is `about`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as fault:
        raise OSError(fault.errno, f"{about} cannot be written to {path.parent} ({fault})") from fault
    finally:
        temporary.unlink(missing_ok=True)


def publish(scanner: Scanner, folder: Path) -> Path:
    """Move what `Scanner.block` needs to a folder, the large matrix to a file of its own."""
    basis, scanner.basis = scanner.basis, np.empty((0, 0))
    del scanner.m._spec, scanner.m._rotated  # U again
    write(folder / "basis.npy", lambda file: np.save(file, basis), "the rotation")
    write(folder / "scanner", lambda file: pickle.dump(scanner, file, protocol=5), "the scan")
    return folder


@lru_cache(maxsize=1)  # a worker tests many blocks of one scan
def published(folder: Path) -> Scanner:
    """Read what `publish` wrote; the matrix is mapped, so that the workers of one machine share one copy."""
    follow()
    scanner: Scanner = pickle.loads((folder / "scanner").read_bytes())
    scanner.basis = np.asarray(np.load(folder / "basis.npy", mmap_mode="r"))
    return scanner


def work(source: Scanner | Path, number: int, block: Block) -> dict[str, NDArray]:
    """Test a block; `number` tells Dask that a second attempt is not the first, whose error it would repeat."""
    part = (source if isinstance(source, Scanner) else published(source)).block(np.asarray(block))
    return part | {"reason": np.array(part["reason"].tolist(), dtype=str)}  # no wider than the longest


class Here(Executor):
    """Runs at once what it is given, for places that start no thread (a browser)."""

    def __init__(self, max_workers: int) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Call a function and hold its result."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as fault:
            future.set_exception(fault)
        return future


if sys.platform == "emscripten":
    ThreadPoolExecutor = Here


class Run:
    """The blocks of one scan: which were drawn, are being tested, and are done.

    Parameters
    ----------
    n : number of individuals
    submit : starts the test of a block, given the number of this attempt and the block
    folder, key : where results are kept, and a hash of all that they depend on beside the block; or None and b""
    """

    def __init__(self, n: int, submit: Callable[[int, Block], Future], folder: Path | None, key: bytes) -> None:
        self.n, self.submit, self.folder, self.key = n, submit, folder, key
        self.sizes: list[int] = []
        self.done: dict[int, dict[str, NDArray]] = {}
        self.pending: deque[tuple[int, Block, Future, Path | None]] = deque()
        self.attempts, self.tested = 0, 0

    def name(self, number: int) -> str:
        """A block in an error: its number, and where its SNPs would be in one array."""
        start = sum(self.sizes[:number])
        return f"block {number} (SNPs {start} to {start + self.sizes[number] - 1}, counted from 0)"

    def start(self, block: Block) -> Future:
        """Give a block to the executor."""
        self.attempts += 1
        try:
            return self.submit(self.attempts, block)
        except Exception as fault:  # broken or shut down
            raise Unfinished(f"the executor takes no more work ({fault!r})") from fault

    def add(self, given: Block) -> None:
        """Check a block; take its result from the folder, or start its test."""
        number, path = len(self.sizes), None
        block = given if isinstance(given, Unread) else np.asarray(given)
        if len(block.shape) != 2 or block.shape[0] != self.n or block.dtype.kind not in "biuf":
            raise ValueError(f"block {number} must be an array of numbers with {self.n} rows, one per individual, and "
                             f"a column per SNP, but has shape {block.shape} and type {block.dtype}")  # fmt: skip
        self.sizes.append(block.shape[1])
        if not isinstance(block, Unread):
            block = contents(block)
        if self.folder:
            path = self.folder / f"{fingerprint(self.key, contents(block).T)}.npz"
            if path.exists():
                try:
                    with path.open("rb") as file:
                        return self.take(number, dict(np.load(file)), None)
                except (ValueError, EOFError, zipfile.BadZipFile):
                    pass  # damaged since it was written: test the block again, which replaces the file
        self.pending.append((number, block, self.start(block), path))

    def collect(self) -> None:
        """Wait for the block that was started first; if it fails, start it again, once."""
        for last in (False, True):
            number, block, future, path = self.pending[0]
            try:
                part = future.result()
            except ValueError as fault:
                raise ValueError(f"{self.name(number)}: {fault}") from fault
            except Exception as fault:
                if last:
                    raise Unfinished(f"{self.name(number)} failed twice, the second time by {fault!r}") from fault
                self.pending[0] = number, block, self.start(block), path
            else:
                break
        self.take(number, part, path)
        self.pending.popleft()

    def take(self, number: int, part: dict[str, NDArray], path: Path | None) -> None:
        """Take a result, and keep it if there is a path."""
        if path:
            packed = io.BytesIO()  # into a file that takes no more, the oldest NumPy leaves a zip open, which complains
            np.savez(packed, **part)  # type: ignore
            write(path, lambda file: file.write(packed.getbuffer()), f"the result of {self.name(number)}")
        self.done[number] = part
        self.tested += self.sizes[number]

    def stop(self) -> str:
        """Cancel what can be cancelled, keep what else is done, and say what there is."""
        for *_, future, _ in self.pending:
            future.cancel()
        with suppress(OSError):  # if the disk is full, it has been said, or the count says what is kept
            for number, _, future, path in self.pending:
                if future.done() and not future.cancelled() and future.exception() is None:
                    self.take(number, future.result(), path)
        where = f"kept in {self.folder}" if self.folder else "not kept, since no folder was given"
        return (f"{self.tested} SNPs in {len(self.done)} of {len(self.sizes)} blocks are done, {where}; "
                f"{sum(self.sizes) - self.tested} SNPs were drawn but are not done")  # fmt: skip

    def scan(self, empty: dict[str, NDArray], dof: int, null: Fit | None) -> Scan:
        """All results so far, in the order of the blocks."""
        parts = [empty]
        for number, size in enumerate(self.sizes):
            lost = {name: np.full(size, np.nan) for name in empty}
            lost |= {"reason": np.full(size, "not reached"), "missing": np.zeros(size, dtype=np.int64)}
            parts.append(self.done.get(number, lost))
        return Scan(**{name: np.concatenate([part[name] for part in parts]) for name in empty}, dof=dof, null=null)


def contents(block: Block) -> NDArray:
    """Copy a block, for the iterator may use its array again: as bytes, which travel faster, if it is allele counts."""
    block = np.asarray(block)
    with np.errstate(invalid="ignore"):
        small = block.astype(np.int8)
    return small if (small == block).all() else block.copy()


def fingerprint(key: bytes, *arrays: ArrayLike) -> str:
    """Hash arrays, their types and their shapes."""
    digest = hashlib.sha256(key)
    for array in map(np.ascontiguousarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def scan_blocks(
    blocks: Iterable[Block], X: ArrayLike, y: ArrayLike, spec: Spectrum, executor: Executor | None = None, *,
    refit: bool = True, test: str = "wald", delta: float | None = None, single: bool = False,
    progress: Callable[[int, int | None], object] | None = None, folder: str | os.PathLike[str] | None = None,
    in_flight: int = 4,
) -> Scan:  # fmt: skip
    """Test SNPs that come in blocks, a few of which are in memory at a time; the result is that of `scan`.

    Parameters
    ----------
    blocks : iterator of (n, b) genotypes, NaN where missing, such as `plink.read_blocks`. While some blocks are
        tested the next one is drawn. Blocks that are `plink.Unread` are read by the executor's workers; with a folder
        also here, to tell whether their result is kept
    X, y, spec : as in `scan`
    executor : where blocks are tested: None for a thread of this process, or any `concurrent.futures.Executor`, such
        as a ProcessPoolExecutor or, for a Dask cluster, ``client.get_executor()`` (Dask warns of blocks above 10 MB).
        It is not shut down. A block that fails is tested again, once; Dask itself moves those of a lost worker
    refit, test, delta, single : as in `scan`
    progress : called with the number of SNPs done and None, for the total is unknown; at the end, with it twice
    folder : where the result of each finished block is kept. A later call with the same folder, data and options
        takes it from there; a block that has changed is tested again. While the scan lasts, this folder also holds
        the rotation (as large as U), which workers read: they must see it. By default that folder is temporary. A
        program that is killed leaves the rotation behind, in a folder named ``scan-…``
    in_flight : blocks given to the executor at a time: two for each process, four for each worker of a cluster, to
        which they take time to travel, keep all of them busy

    Returns
    -------
    Scan
        If the scan is interrupted from the keyboard, SNPs drawn but not tested are NaN, and a warning says how many.

    Raises
    ------
    ValueError
        as `scan`, or for a block with a wrong shape, type or value; the message gives its number, from 0
    Unfinished
        if the executor is dead or fails twice at one block; it holds what is done, and says how to go on
    OSError
        if a file cannot be written; blocks finished before that are kept

    Notes
    -----
    Derived in :eq:`pipeline`. An error of the iterator comes through as it is, with a note of what is kept.
    """
    if in_flight < 1:
        raise ValueError(f"in_flight = {in_flight} must be 1 or more")
    scanner, kept, key = Scanner(X, y, spec, refit, test, delta, single), None, b""
    empty, report = work(scanner, 0, np.empty((spec.n, 0))), progress or Bar("SNPs")
    if folder is not None:
        kept, options = Path(folder), f"{RESULTS} {refit} {test} {delta} {single}"
        kept.mkdir(parents=True, exist_ok=True)
        key = fingerprint(options.encode(), X, y, spec.U, spec.S).encode()
    with ExitStack() as stack:
        source: Scanner | Path = scanner
        if (pool := executor) is None:
            pool, in_flight = stack.enter_context(ThreadPoolExecutor(1)), 2
            blocks = map(np.asarray, blocks)  # read here, while the thread computes
        else:
            place = tempfile.TemporaryDirectory(prefix="scan-", dir=kept, ignore_cleanup_errors=True)
            source = publish(scanner, Path(stack.enter_context(place)))
        run = Run(spec.n, lambda number, block: pool.submit(work, source, number, block), kept, key)
        try:
            for block in blocks:
                run.add(block)
                while len(run.pending) >= in_flight:
                    run.collect()
                report(run.tested, None)
            while run.pending:
                run.collect()
                report(run.tested, None)
            report(run.tested, run.tested)
        except KeyboardInterrupt:
            warnings.warn(f"interrupted: {run.stop()}, and are NaN", stacklevel=2)
        except Unfinished as fault:
            again = f"folder={str(kept)!r}" if kept else "give a folder"
            fault.args = (f"{fault}; {run.stop()}. To go on, use a new executor and {again}",)
            fault.scan = run.scan(empty, scanner.dof, scanner.null)
            raise
        except Exception as fault:
            fault.add_note(run.stop())
            raise
        return run.scan(empty, scanner.dof, scanner.null)
