"""Scans in blocks: the numbers of `scan` on every executor, and what is left when workers, disks or readers fail."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmm_teach as lt
from lmm_teach import _progress, blocks
from lmm_teach.association import Scanner
from lmm_teach.blocks import publish, published


def problem(n=60, s=150, seed=1, rank=None, columns=120):
    """SNPs to test, some missing, constant or covariates; X; y; and the spectrum of other SNPs."""
    rng = np.random.default_rng(seed)
    G = lt.standardize(rng.normal(size=(n, rank or s))) / np.sqrt(rank or s)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    snps = rng.integers(0, 3, size=(n, columns)).astype(np.float32)
    snps[rng.random(snps.shape) < 0.01] = np.nan
    snps[:, 5], snps[:, 17], snps[:, 31] = 2.0, np.nan, X[:, 1]
    y = G @ rng.normal(size=G.shape[1]) + np.nan_to_num(snps[:, 0]) / 2 + rng.normal(size=n)
    return snps, X, y, lt.decompose_snps(G)


def cut(snps, size=20):
    for j in range(0, snps.shape[1], size):
        yield snps[:, j : j + size]


def assert_same(a, b):
    for field in fields(a):
        mine, other = getattr(a, field.name), getattr(b, field.name)
        if field.name == "null":
            mine, other = repr(mine), repr(other)
        np.testing.assert_array_equal(mine, other, err_msg=field.name)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rank=st.sampled_from([None, 7]), size=st.integers(1, 130), data=st.data(),
       test=st.sampled_from(["wald", "lrt", "score"]), refit=st.booleans(), single=st.booleans())  # fmt: skip
def test_it_is_the_scan_whatever_the_options(seed, rank, size, data, test, refit, single):
    snps, X, y, spec = problem(seed=seed, rank=rank)
    fixed = not refit or test == "score"
    delta = data.draw(st.sampled_from([None, 0.3] if fixed else [None]))
    options = {"test": test, "refit": refit, "single": single, "delta": delta}
    whole = lt.scan(snps, X, y, spec, **options)
    assert_same(lt.scan_blocks([snps], X, y, spec, **options), whole)
    found = lt.scan_blocks(cut(snps, size), X, y, spec, **options)
    for name in ("reason", "missing", "dof"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    np.testing.assert_allclose(found.statistic, whole.statistic, rtol=1e-2 if single else 1e-6, atol=1e-6)


def test_the_blocks_of_scan_give_its_bits():
    snps, X, y, spec = problem(columns=9000)
    assert_same(lt.scan_blocks(cut(snps, 4096), X, y, spec), lt.scan(snps, X, y, spec))


def test_ml_without_a_bound_says_so_in_blocks_too():
    snps, X, _, spec = problem(seed=5)
    y = spec.U @ (np.sqrt(spec.S) * np.random.default_rng(5).normal(size=spec.k))  # no noise
    found = lt.scan_blocks(cut(snps), X, y, spec, test="lrt")
    assert "ML has no bound as h2 -> 1" in found.reason
    np.testing.assert_array_equal(found.reason, lt.scan(snps, X, y, spec, test="lrt").reason)


# ---- executors ----


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("options", [{}, {"refit": False}, {"test": "lrt", "single": True}], ids=str)
def test_threads_and_processes_give_the_same_bits(pool, options):
    for rank in (None, 7):
        snps, X, y, spec = problem(rank=rank)
        here = lt.scan_blocks(cut(snps), X, y, spec, **options)
        with ThreadPoolExecutor(2) as threads:
            assert_same(lt.scan_blocks(cut(snps), X, y, spec, threads, **options), here)
        assert_same(lt.scan_blocks(cut(snps), X, y, spec, pool, **options), here)
    assert pool.submit(os.getpid).result() != os.getpid()  # it was not shut down


def test_dask_gives_the_same_bits_and_so_it_does_when_a_worker_is_killed(dask):
    snps, X, y, spec = problem(columns=400)
    here = lt.scan_blocks(cut(snps), X, y, spec)
    assert_same(lt.scan_blocks(cut(snps), X, y, spec, dask.get_executor()), here)
    workers = dask.run(os.getpid)

    def killing():
        for number, block in enumerate(cut(snps)):
            if number == 7:
                os.kill(next(iter(workers.values())), signal.SIGKILL)
            yield block

    assert_same(lt.scan_blocks(killing(), X, y, spec, dask.get_executor()), here)
    dask.wait_for_workers(2)
    assert set(dask.run(os.getpid).values()) != set(workers.values())  # one was killed indeed


def as_file(snps, prefix):
    """Write allele counts as a PLINK file."""
    code = np.select([snps == 0, snps == 1, snps == 2], [3, 2, 0], 1).astype(np.uint8)
    code = np.vstack([code, np.zeros((-len(code) % 4, code.shape[1]), dtype=np.uint8)])
    quads = code.T.reshape(code.shape[1], -1, 4) << np.array([0, 2, 4, 6], dtype=np.uint8)
    prefix.with_suffix(".bed").write_bytes(b"\x6c\x1b\x01" + quads.sum(axis=2, dtype=np.uint8).tobytes())
    prefix.with_suffix(".bim").write_text("".join(f"1 rs{j} 0 {j} A G\n" for j in range(snps.shape[1])))
    prefix.with_suffix(".fam").write_text("".join(f"f i{i} 0 0 0 1\n" for i in range(len(snps))))
    return prefix


def test_workers_read_what_is_unread_and_results_are_kept_all_the_same(pool, dask, tmp_path):
    snps, X, y, spec = problem()
    snps[:, 31], snps[:, 60:] = 1 + (X[:, 1] > 0), np.nan_to_num(snps[:, 60:])  # half of the blocks travel as bytes
    prefix = as_file(snps, tmp_path / "x")

    def blocks(unread):
        return lt.plink.read_blocks(prefix, size=20, unread=unread)

    np.testing.assert_array_equal(np.hstack(list(blocks(False))), snps)
    here = lt.scan_blocks(blocks(False), X, y, spec)
    assert_same(lt.scan_blocks(blocks(True), X, y, spec), here)
    for executor in (pool, dask.get_executor()):
        assert_same(lt.scan_blocks(blocks(True), X, y, spec, executor), here)
    counts = []
    for unread in (True, False, True):
        with Counting() as executor:
            assert_same(lt.scan_blocks(blocks(unread), X, y, spec, executor, folder=tmp_path / "kept"), here)
        counts.append(executor.count)
        assert executor.sent <= {lt.plink.Unread}
    assert counts == [6, 0, 0]


def test_without_an_executor_unread_blocks_are_read_by_the_caller_while_the_thread_computes(tmp_path, monkeypatch):
    snps, X, y, spec = problem()
    prefix, readers, testers = as_file(snps, tmp_path / "x"), set(), set()
    read, block = lt.plink.Unread.__array__, Scanner.block

    def reading(self, *args, **options):
        readers.add(threading.current_thread())
        return read(self, *args, **options)

    def testing(self, snps):
        if snps.size:
            testers.add(threading.current_thread())
        return block(self, snps)

    monkeypatch.setattr(lt.plink.Unread, "__array__", reading)
    monkeypatch.setattr(Scanner, "block", testing)
    lt.scan_blocks(lt.plink.read_blocks(prefix, size=20, unread=True), X, y, spec)
    assert readers == {threading.main_thread()} and len(testers) == 1 and not testers & readers
    with Counting() as executor:
        lt.scan_blocks(lt.plink.read_blocks(prefix, size=20, unread=True), X, y, spec, executor)
    assert executor.sent == {lt.plink.Unread}  # with an executor the workers read


class Counting(ThreadPoolExecutor):
    """Threads that count what they are given, and fail at the attempts named."""

    def __init__(self, fail=()):
        super().__init__(2)
        self.count, self.fail, self.sent, self.numbers = 0, fail, set(), set()

    def submit(self, *args):
        self.count += 1
        self.sent.add(type(args[-1]))
        self.numbers.add(args[-2])
        if self.count in self.fail:
            future = Future()
            future.set_exception(EOFError(f"attempt {self.count}"))
            return future
        return super().submit(*args)


def test_a_pool_whose_worker_is_killed_is_given_up_and_the_next_one_goes_on(tmp_path):
    snps, X, y, spec = problem()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as broken:

        def killing():
            for number, block in enumerate(cut(snps)):
                if number == 5:
                    os.kill(broken.submit(os.getpid).result(), signal.SIGKILL)
                yield block

        with pytest.raises(lt.Unfinished, match=r"BrokenProcessPool.* blocks are done, kept in .* folder=") as fault:
            lt.scan_blocks(killing(), X, y, spec, broken, folder=tmp_path)
    partial, whole = fault.value.scan, lt.scan_blocks(cut(snps), X, y, spec)
    kept = len(list(tmp_path.glob("*.npz")))
    done = partial.reason != "not reached"
    assert done.sum() == 20 * kept and 0 < kept < 6
    assert np.isnan(partial.p[~done]).all() and (partial.missing[~done] == 0).all()
    np.testing.assert_array_equal(partial.p[done], whole.p[: len(done)][done])
    with Counting() as executor:
        assert_same(lt.scan_blocks(cut(snps), X, y, spec, executor, folder=tmp_path), whole)
    assert executor.count == 6 - kept  # nothing that was finished is done again
    assert len(list(tmp_path.iterdir())) == 6  # results, and nothing else


def test_a_block_that_fails_once_is_redone_and_twice_is_too_much():
    snps, X, y, spec = problem()
    with Counting(fail=[1, 4]) as executor:
        whole = lt.scan_blocks(cut(snps), X, y, spec)
        assert_same(lt.scan_blocks(cut(snps), X, y, spec, executor), whole)
    assert executor.count == len(executor.numbers) == 8  # Dask takes the same number for the same work
    with Counting(fail=[2, 6]) as executor, pytest.raises(lt.Unfinished, match=r"block 1 .* failed twice") as fault:
        lt.scan_blocks(cut(snps), X, y, spec, executor)
    assert str(fault.value.__cause__) == "attempt 6"
    assert " are done, not kept, since no folder was given; " in str(fault.value)
    assert str(fault.value).endswith(" To go on, use a new executor and give a folder")
    partial = fault.value.scan
    assert (partial.reason[:20] != "not reached").all() and set(partial.reason[20:40]) == {"not reached"}
    assert np.isnan(partial.p[20:40]).all() and (partial.missing[20:40] == 0).all()
    assert partial.missing.dtype == np.int64
    assert (partial.dof, repr(partial.null)) == (whole.dof, repr(whole.null))


def test_a_dead_executor_is_named_at_once(tmp_path):
    snps, X, y, spec = problem()
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(lt.Unfinished, match=r"takes no more work .*0 SNPs in 0 of 1 blocks are done") as fault:
        lt.scan_blocks(cut(snps), X, y, spec, executor, folder=tmp_path)
    assert str(fault.value).endswith(f" To go on, use a new executor and folder={str(tmp_path)!r}")


# ---- memory ----


@pytest.mark.parametrize("in_flight", [1, 3])
def test_few_blocks_are_drawn_before_they_are_tested(in_flight):
    snps, X, y, spec = problem(columns=400)
    drawn, tested = 0, 0

    def counted():
        nonlocal drawn
        for block in cut(snps):
            drawn += 1
            assert drawn - tested <= in_flight
            yield block

    def progress(done, total):
        nonlocal tested
        assert (done <= 20 * drawn) and total in (None, 400)
        tested = done // 20

    with ThreadPoolExecutor(2) as executor:
        lt.scan_blocks(counted(), X, y, spec, executor, in_flight=in_flight, progress=progress)
    assert (drawn, tested) == (20, 20)
    drawn, tested, in_flight = 0, 0, 2
    lt.scan_blocks(counted(), X, y, spec, progress=progress)


def test_the_next_block_is_read_while_one_is_tested(monkeypatch):
    snps, X, y, spec = problem()
    read, plain = threading.Event(), Scanner.block

    def slow(self, block):
        assert not block.size or read.wait(60), "nothing was read meanwhile"
        return plain(self, block)

    def reading():
        for number, block in enumerate(cut(snps)):
            if number == 1:
                read.set()
            yield block

    monkeypatch.setattr(Scanner, "block", slow)
    found = lt.scan_blocks(reading(), X, y, spec)
    assert found.p.size == 120 and found.reason.dtype == "U21"  # no wider than "all genotypes missing"


def test_where_no_thread_starts_blocks_are_tested_at_once(monkeypatch):
    snps, X, y, spec = problem()
    here = lt.scan_blocks(cut(snps), X, y, spec)
    monkeypatch.setattr(blocks, "ThreadPoolExecutor", blocks.Here)  # as it is on emscripten
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread in a browser"))
    assert_same(lt.scan_blocks(cut(snps), X, y, spec), here)
    with pytest.raises(ValueError, match="block 1 .*SNPs 7 to"):
        lt.scan_blocks([snps[:, :7], snps[:, :7] + np.inf], X, y, spec)
    assert blocks.Here(1).submit(int, "12", base=3).result() == 5


def test_workers_read_one_matrix_and_not_the_eigenvectors_again(tmp_path):
    snps, X, y, spec = problem(n=500, s=600)
    scanner, want = (Scanner(X, y, spec, True, "wald", None, False) for _ in range(2))
    publish(scanner, tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 8 * 500 * 501 <= size < 1.3 * 8 * 500 * 501
    x = np.random.default_rng(1).normal(size=(500, 30))
    np.testing.assert_array_equal(published(tmp_path).block(x)["p"], want.block(x)["p"])


@pytest.mark.parametrize(("taken", "about"), [("basis.npy", "the rotation"), ("scanner", "the scan")])
def test_what_cannot_be_written_is_named_and_no_half_of_it_is_left(taken, about, tmp_path):
    _, X, y, spec = problem()
    (tmp_path / taken / "x").mkdir(parents=True)
    with pytest.raises(OSError, match=f"{about} cannot be written to ") as fault:
        publish(Scanner(X, y, spec, True, "wald", None, False), tmp_path)
    assert fault.value.errno == fault.value.__cause__.errno and str(tmp_path) in str(fault.value)
    assert {path.name for path in tmp_path.iterdir()} == {"basis.npy", taken}


def test_nothing_given_is_changed_and_a_reader_may_use_its_array_again():
    snps, X, y, spec = problem()
    before = [a.copy() for a in (snps, X, y, spec.U, spec.S)]

    def reusing():
        array = np.empty((60, 20), dtype=np.float32)
        for block in cut(snps):
            array[:] = block
            yield array

    here = lt.scan_blocks(cut(snps), X, y, spec)
    with ThreadPoolExecutor(2) as executor:
        assert_same(lt.scan_blocks(reusing(), X, y, spec, executor), here)
    assert_same(lt.scan_blocks(reusing(), X, y, spec), here)
    for a, b in zip(before, (snps, X, y, spec.U, spec.S), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_block_and_blocks_without_snps():
    snps, X, y, spec = problem()
    found = lt.scan_blocks([], X, y, spec)
    assert found.p.shape == (0,) and (found.reason.dtype.kind, found.missing.dtype) == ("U", np.int64)
    found = lt.scan_blocks([snps[:, :0], snps[:, :20], snps[:, :0]], X, y, spec)
    assert_same(found, lt.scan(snps[:, :20], X, y, spec))


# ---- what was finished is kept ----


def test_while_a_scan_lasts_the_rotation_is_in_its_folder(tmp_path):
    snps, X, y, spec = problem()

    def watched():
        for block in cut(snps):
            (place,) = (path for path in tmp_path.iterdir() if path.is_dir())
            assert place.name.startswith("scan-") and np.load(place / "basis.npy").shape == (61, 60)
            yield block

    lt.scan_blocks(watched(), X, y, spec, blocks.Here(1), folder=tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_results_are_taken_from_the_folder_only_if_nothing_changed(tmp_path):
    snps, X, y, spec = problem()

    def tested(blocks, X=X, y=y, spec=spec, **options):
        with Counting() as executor:
            found = lt.scan_blocks(blocks, X, y, spec, executor, folder=tmp_path, **options)
        return executor.count, found

    count, first = tested(cut(snps))
    assert count == 6
    count, again = tested(cut(snps))
    assert count == 0
    assert_same(again, first)
    assert_same(first, lt.scan_blocks(cut(snps), X, y, spec))
    other = snps.copy()
    other[0, 50] = 2 - np.nan_to_num(other[0, 50])
    count, changed = tested(cut(other))
    assert count == 1
    assert_same(changed, lt.scan_blocks(cut(other), X, y, spec))
    assert tested(np.asfortranarray(block) for block in cut(snps))[0] == 0  # the order in memory is no content
    assert tested(block.astype(np.float64) for block in cut(snps))[0] == 6
    assert tested(cut(snps[:, ::-1]))[0] == 6
    for change in ({"refit": False}, {"test": "lrt"}, {"single": True}, {"X": X[:, ::-1]}, {"y": y + X[:, 1]},
                   {"spec": lt.Spectrum(spec.U, 2 * spec.S)}, {"refit": False, "delta": 1.0}):  # fmt: skip
        assert tested(cut(snps), **change)[0] == 6, change
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-30] if path.name < "8" else b"")  # damaged
    count, mended = tested(cut(snps))
    assert count == 6
    assert_same(mended, first)


RUN = """
import os, resource, signal, sys
import numpy as np
import lmm_teach as lt
sys.path.insert(0, {tests!r})
from test_blocks import cut, problem

snps, X, y, spec = problem(columns=2000)
def blocks():
    yield from cut(snps[:, :100])
    {accident}
    yield snps[:, 100:]
try:
    lt.scan_blocks(blocks(), X, y, spec, folder={folder!r})
except OSError as fault:
    print(type(fault).__name__, fault.errno, fault, *fault.__notes__)
"""


def run(folder, accident):
    code = textwrap.dedent(RUN).format(tests=os.path.dirname(__file__), folder=str(folder), accident=accident)
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits, no signals")
@pytest.mark.parametrize("accident", [
    "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))", "os.kill(os.getpid(), signal.SIGKILL)"
])  # fmt: skip
def test_a_full_disk_and_a_killed_program_leave_what_was_finished(accident, tmp_path):
    done = run(tmp_path, accident)
    kept = len(list(tmp_path.glob("*.npz")))
    if "FSIZE" in accident:
        assert kept == 5
        assert "OSError 27 " in done.stdout and "the result of block 5 (SNPs 100 to 1999" in done.stdout
        assert str(tmp_path) in done.stdout and "100 SNPs in 5 of 6 blocks are done, kept in" in done.stdout
        assert done.stderr == "" and len(list(tmp_path.iterdir())) == 5  # no half of a file is left
    else:
        assert done.returncode == -signal.SIGKILL and kept >= 3
    snps, X, y, spec = problem(columns=2000)
    with Counting() as executor:
        found = lt.scan_blocks([*cut(snps[:, :100]), snps[:, 100:]], X, y, spec, executor, folder=tmp_path)
    assert executor.count == 6 - kept and len(found.p) == 2000


def test_a_folder_that_vanishes_is_named(tmp_path):
    snps, X, y, spec = problem()

    def vanishing():
        for number, block in enumerate(cut(snps)):
            if number == 1:  # before the first result is written
                (tmp_path / "kept").rmdir()
            yield block

    what = r"the result of block 0 \(SNPs 0 to 19, counted from 0\) cannot be written to "
    with pytest.raises(OSError, match=what) as fault:
        lt.scan_blocks(vanishing(), X, y, spec, folder=tmp_path / "kept")
    assert fault.value.__notes__[0].startswith("0 SNPs in 0 of 2 blocks are done, kept in")


def test_allele_counts_travel_as_bytes_and_other_genotypes_as_they_are():
    counts = np.array([[0.0, 1.0, 2.0]])
    assert blocks.contents(counts).dtype == np.int8 and blocks.contents(counts).tolist() == counts.tolist()
    for other in (counts + 0.5, counts + 200, np.array([[np.nan, 1.0]])):
        assert blocks.contents(other).dtype == float and blocks.contents(other) is not other
        np.testing.assert_array_equal(blocks.contents(other), other)


def test_results_with_other_eigenvectors_are_not_taken(tmp_path):
    snps, X, y, spec = problem()
    other = lt.Spectrum(spec.U[::-1], spec.S)
    folder = tmp_path / "not there" / "yet"
    lt.scan_blocks(cut(snps), X, y, spec, folder=folder)
    assert_same(lt.scan_blocks(cut(snps), X, y, other, folder=folder), lt.scan_blocks(cut(snps), X, y, other))


def test_an_error_of_the_reader_comes_through_with_a_note(tmp_path):
    snps, X, y, spec = problem()

    def broken():
        yield from cut(snps[:, :60])
        raise OSError("the cable was pulled")

    with pytest.raises(OSError, match="^the cable was pulled") as fault:
        lt.scan_blocks(broken(), X, y, spec, folder=tmp_path)
    kept = len(list(tmp_path.iterdir()))
    assert kept >= 2
    assert fault.value.__notes__[0].startswith(f"{20 * kept} SNPs in {kept} of 3 blocks are done, kept in")


def test_an_interrupted_scan_returns_what_is_done():
    snps, X, y, spec = problem()

    def stop(done, total):
        if done >= 60:
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as executor, pytest.warns(UserWarning, match=r"interrupted: \d+ SNPs") as caught:
        found = lt.scan_blocks(cut(snps), X, y, spec, executor, progress=stop)
    done = found.reason != "not reached"
    assert f"{(~done).sum()} SNPs were drawn but are not done, and are NaN" in str(caught[0].message)
    assert done[:60].all() and len(done) <= 120
    np.testing.assert_array_equal(found.p[done], lt.scan_blocks(cut(snps), X, y, spec).p[: len(done)][done])


def test_the_warning_of_an_interrupted_scan_points_at_its_call():
    snps, X, y, spec = problem()

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted") as caught:
        lt.scan(snps, X, y, spec, progress=stop)
        lt.scan_blocks(cut(snps), X, y, spec, progress=stop)
    assert [w.filename for w in caught] == [__file__] * 2


def test_blocks_that_were_done_when_the_scan_was_interrupted_are_kept_in_the_folder(tmp_path):
    """Three more than the one that was collected: an executor that is done at once, and four blocks in flight."""
    snps, X, y, spec = problem()

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted: 80 SNPs in 4 of 4 blocks are done, kept in"):
        found = lt.scan_blocks(cut(snps), X, y, spec, blocks.Here(1), progress=stop, folder=tmp_path)
    assert (found.reason != "not reached").all() and found.missing.dtype == np.int64
    with Counting() as executor:
        lt.scan_blocks(cut(snps), X, y, spec, executor, folder=tmp_path)
    assert executor.count == 2


def replaced(snps, number, change):
    for i, block in enumerate(cut(snps)):
        yield change(block) if i == number else block


def infinite(block):
    block = block.copy()
    block[3, 4] = np.inf
    return block


@pytest.mark.parametrize("executor", [None, "pool"])
@pytest.mark.parametrize(("change", "message"), [
    (lambda block: block[:-1], r"block 2 must .* 60 rows.* has shape \(59, 20\) and type float32"),
    (lambda block: block[:, 0], r"block 2 must .*shape \(60,\)"),
    (lambda block: block.astype(str), "block 2 must .*type <U"),
    (lambda block: None, r"block 2 must .*shape \(\) and type object"),
    (infinite, r"block 2 \(SNPs 40 to 59, counted from 0\): a genotype is infinite"),
])  # fmt: skip
def test_a_bad_block_is_named_and_those_before_it_are_kept(change, message, executor, request, tmp_path):
    snps, X, y, spec = problem()
    executor = executor and request.getfixturevalue(executor)
    with pytest.raises(ValueError, match=message) as fault:
        lt.scan_blocks(replaced(snps, 2, change), X, y, spec, executor, folder=tmp_path, in_flight=1)
    # without an executor the thread may have tested block 3 before block 2's error is seen
    assert len(list(tmp_path.iterdir())) in ([2] if executor else [2, 3] if change is infinite else [1, 2])
    assert "kept in" in fault.value.__notes__[0]


def test_bad_options_are_named():
    snps, X, y, spec = problem()
    for options, message in (({"in_flight": 0}, "in_flight = 0"), ({"test": "f"}, "none of wald"),
                             ({"delta": 1.0}, "needs refit=False")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            lt.scan_blocks(cut(snps), X, y, spec, **options)


# ---- the bar ----


def test_a_scan_in_blocks_shows_how_far_it_is(terminal):
    snps, X, y, spec = problem()
    lt.scan_blocks(cut(snps, 60), X, y, spec)
    assert terminal.getvalue().endswith("\r120 of 120 SNPs\n")


@pytest.mark.parametrize("total", [None, 5000])
def test_the_bar_copes_with_an_unknown_total(total, monkeypatch, capsys):
    monkeypatch.setattr(_progress, "QUIET", 0.0)
    bar = _progress.Bar("SNPs")
    monkeypatch.setattr(_progress, "_someone_is_there", lambda: False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar(3000, total)
    bar(5000, 5000)
    known = "" if total is None else " of 5,000"
    assert capsys.readouterr().err == f"\r3,000{known} SNPs\r5,000 of 5,000 SNPs\n"
    monkeypatch.setattr(_progress, "_someone_is_there", lambda: True)
    shown = []
    monkeypatch.setattr(_progress, "display", shown.append)
    bar(2000, total)
    bar(3000, total)
    assert shown == [bar.widget]  # once
    assert (bar.widget.value, bar.widget.max, bar.widget.description) == (3000, total or 3000, f"3,000{known} SNPs")
