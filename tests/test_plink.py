"""The PLINK reader against the format's definition, and GEMMA's rules against a plain loop."""

import pickle
import sys

import bed_reader
import numpy as np
import pytest

from lmm_teach import data, plink

# One byte holds four individuals, the first in the lowest bits; 00 = A1 A1, 10 = A1 A2, 11 = A2 A2, 01 = missing.
BED = bytes(
    [0x6C, 0x1B, 0x01, 0b01_11_10_00, 0b00_00_00_10, 0b11_11_11_11, 0b00_00_00_11, 0b01_00_10_11, 0b01]
)
BIM = "1\trs1\t0\t100\tA\tG\nX rs2 0.5 200 C T\n2\trs3\t0\t7\tG\tG\n"
FAM = (
    "f1 i1 dad 0 1 -9\nf1 i2 dad mum 2 -9 7 NA\nf1 i3 dad mum 1\nf2 i4 dad aunt 1 -9\nf2\ti5\tdad\t0\t1\t-9\n"
)
G = np.array([[2, 0, 0], [1, 0, 1], [0, 0, 2], [np.nan, 0, np.nan], [1, 0, np.nan]])


@pytest.fixture
def files(tmp_path):
    prefix = tmp_path / "set.with.dots"

    def write(bed=BED, bim=BIM, fam=FAM):
        for end, content in (("bed", bed), ("bim", bim), ("fam", fam)):
            content = content.encode() if isinstance(content, str) else content
            prefix.with_name(f"{prefix.name}.{end}").write_bytes(content)
        return prefix

    return write


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_it_counts_a1_and_reads_every_column(files, line_end):
    found = plink.read_plink(files(bim=BIM.replace("\n", line_end), fam=FAM.replace("\n", line_end)))
    np.testing.assert_array_equal(found.G, G)
    assert found.G.dtype == np.float64
    assert found.snp.tolist() == ["rs1", "rs2", "rs3"]
    assert found.chrom.tolist() == ["1", "X", "2"]
    assert found.position.tolist() == [100, 200, 7]
    assert found.a1.tolist() == ["A", "C", "G"]
    assert found.a2.tolist() == ["G", "T", "G"]
    assert found.individual.tolist() == ["i1", "i2", "i3", "i4", "i5"]
    assert found.family.tolist() == ["f1", "f1", "f1", "f2", "f2"]
    assert found.father.tolist() == ["dad", "dad", "dad", "dad", "dad"]
    assert found.mother.tolist() == ["0", "mum", "mum", "aunt", "0"]


def test_sibships_share_both_parents(files):
    sibship = plink.read_plink(files()).sibship.tolist()
    assert sibship[1] == sibship[2]
    assert len(set(sibship)) == 4


@pytest.mark.parametrize(("change", "message"), [
    ({"bed": BED[:-1]}, "8 bytes, but 5 individuals in .*fam and 3 SNPs in .*bim need 9"),
    ({"bed": BED + b"\0"}, "10 bytes, but .* need 9"),
    ({"bed": b"\x6c\x1b\x00" + BED[3:]}, "starts with 6c 1b 00, not 6c 1b 01"),
    ({"bed": b""}, "starts with , not 6c 1b 01"),
    ({"bim": BIM + "1 rs4 0 9 A G\n"}, "9 bytes, but .* 4 SNPs in .* need 11"),
    ({"fam": FAM * 2}, "10 individuals .* need 12"),
    ({"bim": "1 rs1 0 100 A\n"}, "line 1: 5 columns instead of 6"),
    ({"bim": BIM + "1 rs1 0 100 A G G\n"}, "line 4: 7 columns instead of 6"),
    ({"bim": BIM.replace("200", "2e2")}, "column 4 must hold base-pair positions"),
    ({"fam": FAM + "f3 i6\n"}, "line 6: 2 columns instead of at least 5"),
    ({"fam": ""}, "fam is empty"),
    ({"fam": FAM.replace("i3", "Zoë").encode("latin1")}, "fam, line 3: .* UTF-8"),
    ({"bim": BIM.encode("utf-16")}, "bim, line 1: .* UTF-8"),
    ({"fam": FAM.replace("i3", "i3\0")}, "fam, line 3 holds a zero byte"),  # NumPy would drop it
    ({"bim": BIM.replace("200", "9" * 19)}, "bim, line 2: column 4 must hold .* not '9999"),
    ({"bim": BIM.replace("200", "2_0")}, "bim, line 2: column 4"),  # Python reads 20
    ({"bim": BIM.replace("200", "٢")}, "bim, line 2: column 4"),
])  # fmt: skip
def test_files_that_do_not_fit_are_refused(files, change, message):
    with pytest.raises(ValueError, match=message):
        plink.read_plink(files(**change))


def both(read, monkeypatch):
    """What `read` gives with bed-reader and without it."""
    found = [read()]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "bed_reader", None)
        with pytest.raises(ImportError):
            import bed_reader  # noqa: F401
        found.append(read())
    assert found[0].dtype == found[1].dtype and found[0].flags.f_contiguous == found[1].flags.f_contiguous
    return found


@pytest.mark.parametrize("odd", ["\xa0", "\x85", "\u2028", "\x1c"])
def test_only_blanks_tabs_and_line_ends_part_fields_and_windows_mark_is_no_part_of_one(files, odd):
    prefix = files(bim="\ufeff" + BIM, fam="\ufeff" + FAM.replace("i3", f"i{odd}3"))
    found = plink.read_plink(prefix)
    assert found.individual[2] == f"i{odd}3"
    assert (found.chrom[0], found.family[0]) == ("1", "f1")


@pytest.mark.parametrize("reader", [None, bed_reader])
@pytest.mark.parametrize("now", [BED[:-1], BED + b"\0", BED[:2], b"\x6c\x1b\x00" + BED[3:], None])
def test_a_bed_file_that_changes_after_the_check_is_refused_when_it_is_read(files, monkeypatch, reader, now):
    monkeypatch.setitem(sys.modules, "bed_reader", reader)
    prefix = files()
    blocks = plink.read_blocks(prefix, size=2)
    np.testing.assert_array_equal(next(blocks), G[:, :2])
    bed = prefix.with_name(f"{prefix.name}.bed")
    bed.unlink() if now is None else bed.write_bytes(now)
    with pytest.raises((ValueError, FileNotFoundError), match="set.with.dots.bed.*need 9|not 6c 1b 01|No such file"):
        next(blocks)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 41])
@pytest.mark.parametrize("s", [1, 2, 30])
def test_without_bed_reader_a_file_reads_the_same(files, monkeypatch, n, s):
    rng = np.random.default_rng([n, s])
    packed = rng.integers(0, 256, (n + 3) // 4 * s, dtype=np.uint8).tobytes()  # a quarter is missing
    prefix = files(BED[:3] + packed, "1 rs 0 5 A G\n" * s, "f i 0 0 1\n" * n)
    np.testing.assert_array_equal(*both(lambda: plink.read_plink(prefix).G, monkeypatch))
    for people in (None, rng.integers(-n, n, 6), np.arange(n) % 2 == 0):
        for snps in (None, rng.integers(-s, s, 5), np.arange(s) % 3 == 0):
            read = lambda: np.hstack(list(plink.read_blocks(prefix, size=4, individuals=people, snps=snps)))  # noqa: B023
            np.testing.assert_array_equal(*both(read, monkeypatch))


def test_without_bed_reader_the_mice_are_the_same(monkeypatch):
    np.testing.assert_array_equal(*both(lambda: data.hs1940().genotypes().G, monkeypatch))


def cohort():
    rng = np.random.default_rng(1)
    G = rng.binomial(2, rng.uniform(0, 0.2, 60), (50, 60)).astype(float)
    G[rng.random(G.shape) < 0.03] = np.nan
    G[:, 7], G[:, 8], G[:, 9] = 1.0, np.nan, 2 - G[:, 10]
    y = rng.normal(size=50)
    y[[3, 30, 31]] = np.nan
    return G, y


@pytest.mark.parametrize("standardised", [False, True])
def test_the_rules_written_as_a_loop(standardised):
    G, y = cohort()
    before = G.copy(), y.copy()
    found = plink.analysed(G, y, standardised=standardised, centre=False, min_maf=0.02)
    people = [i for i in range(50) if not np.isnan(y[i])]
    kept, total = [], np.zeros((47, 47))
    for j in range(60):
        seen = [G[i, j] for i in people if not np.isnan(G[i, j])]
        maf = min(sum(seen), 2 * len(seen) - sum(seen)) / max(2 * len(seen), 1)
        if len(people) - len(seen) <= 0.05 * len(people) and len(set(seen)) > 1 and maf >= 0.02:
            kept.append(j)
            everybody = [g for g in G[:, j] if not np.isnan(g)]
            mean = sum(everybody) / len(everybody)
            z = np.array([0.0 if np.isnan(G[i, j]) else G[i, j] - mean for i in range(50)])
            z = z / np.sqrt(np.mean(z**2)) if standardised else z
            total += np.outer(z[people], z[people])
    assert 5 < len(kept) < 55
    np.testing.assert_array_equal(np.flatnonzero(found.snps), kept)
    np.testing.assert_array_equal(np.flatnonzero(found.individuals), people)
    np.testing.assert_array_equal(found.y, y[people])
    np.testing.assert_allclose(found.K, total / len(kept), atol=1e-13)
    P = np.eye(47) - 1 / 47
    centred = plink.analysed(G, y, standardised=standardised, min_maf=0.02).K
    np.testing.assert_allclose(centred, P @ found.K @ P, atol=1e-13)
    np.testing.assert_array_equal(G, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize(("change", "message"), [
    (lambda G, y: (G, y[:-1]), "y has 49 rows, but there are 50"),
    (lambda G, y: (G, y * np.nan), "none of the 50 individuals has a phenotype"),
    (lambda G, y: (G, np.where(y > 0, np.inf, y)), "y holds .* infinite"),
    (lambda G, y: (G - 1, y), "allele counts from 0 to 2, but spans -1 to 1"),
    (lambda G, y: (G * 2, y), "allele counts from 0 to 2, but spans 0 to 4"),
    (lambda G, y: (G * np.nan, y), "none of the 60 SNPs passes"),
    (lambda G, y: (G[:, :0], y), "none of the 0 SNPs passes"),
])  # fmt: skip
def test_input_that_leaves_nothing_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plink.analysed(*change(*cohort()), standardised=True)


@pytest.mark.parametrize("name", ["max_missing", "min_maf"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_shares_outside_0_and_1_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* between 0 and 1"):
        plink.analysed(*cohort(), standardised=True, **{name: value})


def test_blocks_are_slices_of_the_whole(files):
    prefix = files()
    for size in (1, 2, 3, 100, None):
        blocks = list(plink.read_blocks(prefix, size=size))
        assert [b.shape[1] for b in blocks] == ([size] * (3 // (size or 9)) + [3 % (size or 9)] * (3 % (size or 9) > 0))
        assert all(b.dtype == np.float32 for b in blocks)
        np.testing.assert_array_equal(np.hstack(blocks), G)
    for people, snps in (([0, 4], [2, 0]), (np.array([1, 0, 0, 1, 1], dtype=bool), np.array([False, True, True]))):
        found = np.hstack(list(plink.read_blocks(prefix, size=1, individuals=people, snps=snps)))
        np.testing.assert_array_equal(found, G[people][:, snps])


def test_unread_blocks_are_read_when_they_are_used(files, tmp_path):
    blocks = list(plink.read_blocks(files(), size=2, individuals=[4, 0], snps=[2, 0, 1], unread=True))
    assert [(block.shape, block.dtype) for block in blocks] == [((2, 2), np.float32), ((2, 1), np.float32)]
    sent = [pickle.loads(pickle.dumps(block)) for block in blocks]
    np.testing.assert_array_equal(np.hstack(sent), G[[4, 0]][:, [2, 0, 1]])
    assert np.asarray(sent[0], dtype=np.float64).dtype == np.float64
    everybody = next(plink.read_blocks(files(), unread=True))
    assert everybody.shape == (5, 3) and len(pickle.dumps(everybody)) < 1000
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(everybody, copy=False)


def test_a_block_has_at_most_8_megabytes_by_default(tmp_path):
    rows = [f"1 rs{j} 0 {j} A G\n" for j in range(1500)]
    for n, width in ((4, 1024), (4000, 500)):
        (tmp_path / "x.bim").write_text("".join(rows))
        (tmp_path / "x.fam").write_text("".join(f"f i{i} 0 0 1\n" for i in range(n)))
        (tmp_path / "x.bed").write_bytes(b"\x6c\x1b\x01" + bytes(n // 4 * 1500))
        block = next(plink.read_blocks(tmp_path / "x"))
        assert block.shape == (n, width) and (block == 2).all()


@pytest.mark.parametrize(("options", "message"), [
    ({"size": 0}, "size = 0 SNPs"),
    ({"snps": [0, 3]}, "snps must be .* of 3: index 3 is out of bounds"),
    ({"individuals": [True, False]}, "individuals must be a mask or indices of 5"),
    ({"individuals": [False] * 5}, r"individuals selects shape \(0,\) of 5"),
    ({"snps": [[0, 1]]}, r"snps selects shape \(1, 2\) of 3"),
    ({"snps": ["rs1"]}, "snps must be a mask or indices"),
])  # fmt: skip
def test_a_selection_of_nothing_is_refused_before_anything_is_read(files, options, message):
    with pytest.raises(ValueError, match=message):
        plink.read_blocks(files(), **options)


@pytest.mark.parametrize("change", [{"bed": BED[:-1]}, {"bed": b""}, {"fam": FAM * 2}, {"bim": BIM * 2}])
def test_blocks_of_files_that_do_not_fit_are_refused(files, change):
    with pytest.raises(ValueError, match="not 6c 1b 01|need"):
        plink.read_blocks(files(**change))
