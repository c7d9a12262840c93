"""Malformed PLINK files into lmm_teach.plink, guided by coverage (make fuzz); no test, since it runs for an hour.

Three files that fit together are built from the fuzzer's bytes and spoilt. What `decoded` refuses must be refused with
the name of a file, and what it accepts must be read as it says. fuzz_plink.json is what the last run came to.
"""

import re
import sys
import tempfile
import warnings
from pathlib import Path

import atheris
import bed_reader
import numpy as np

with atheris.instrument_imports(include=["lmm_teach.plink"]):
    from lmm_teach import plink

WORDS = ["0", "1", "X", "rs1", "A", "é", "-9", "+7", "0.5", "1e3", "1_0", "٣", "9" * 18, "9" * 19, "9" * 5000]
PIECES = [b"\0", b"\n", b"\r", b" ", b"\t\v", b"\x1c", b"\xff", b"\xef\xbb\xbf", b"#", b"l\x1b\0", b"",
          "\u2028\xa0\x85".encode(), "1 A\n".encode("utf-16")]  # fmt: skip


def spoilt(data, pick):
    """The contents of the .bed, .bim and .fam file; None for a file that is not there."""
    n, s, blank, end = data.ConsumeIntInRange(0, 9), data.ConsumeIntInRange(0, 6), pick(" \t"), pick(["\n", "\r\n"])
    size = (n + 3) // 4 * s
    files = [bytearray(b"l\x1b\x01" + data.ConsumeBytes(size).ljust(size, b"\x1b"))]
    for rows, columns in ((s, 6), (n, pick([5, 6, 8]))):
        words = [[pick(WORDS[: pick([2, 8, 15])]) for _ in range(columns)] for _ in range(rows)]
        text = pick(["", "", "\ufeff"]) + "".join(blank.join(row) + end for row in words)
        files.append(bytearray(text.encode()))
    for _ in range(data.ConsumeIntInRange(0, 4)):
        file = pick(files)
        a, b = sorted(data.ConsumeIntInRange(0, len(file)) for _ in range(2))
        file[a : pick([a, b])] = pick([pick(PIECES), data.ConsumeBytes(8), file[a:b] * 2, file[a:b][::-1]])
    return [None if data.ConsumeIntInRange(0, 99) == 99 else bytes(file) for file in files]


@atheris.instrument_func
def decoded(bed, bim, fam):
    """Columns of the two tables and allele counts by the format's definition, or None for what is malformed."""
    tables = []
    for content, fewest, most in ((bim, 6, 6), (fam, 5, 10**9)):
        text = (content or b"").decode("utf-8-sig", "surrogateescape")
        lines = re.split("\r\n|\n|\r", text)
        rows = [re.findall(r"[^ \t\v\f]+", line) for line in (lines if lines[-1] else lines[:-1])]
        fit = rows and all(fewest <= len(row) <= most for row in rows)
        if not fit or re.search("[\0\udc80-\udcff]", text):  # a zero byte, or what is not UTF-8
            return None
        tables.append([[row[i] for row in rows] for i in range(fewest)])
    n, s, width = len(rows), len(tables[0][0]), (len(rows) + 3) // 4
    positions = all(re.fullmatch("[+-]?[0-9]{1,18}", word) for word in tables[0][3])
    if not positions or not bed or bed[:3] != b"l\x1b\x01" or len(bed) != 3 + width * s:
        return None
    code = [[bed[3 + width * j + i // 4] >> 2 * (i % 4) & 3 for j in range(s)] for i in range(n)]
    return *tables, np.array((2, np.nan, 1, 0))[code]


def one(content):
    data = atheris.FuzzedDataProvider(content)
    pick = lambda among: among[data.ConsumeIntInRange(0, len(among) - 1)]  # noqa: E731
    sys.modules["bed_reader"] = pick([bed_reader, None])
    files = spoilt(data, pick)
    for end, file in zip(("bed", "bim", "fam"), files, strict=True):
        path = PREFIX.with_suffix(f".{end}")
        path.unlink(missing_ok=True) if file is None else path.write_bytes(file)
    expected = decoded(*files)
    try:
        found, blocks = plink.read_plink(PREFIX), list(plink.read_blocks(PREFIX, size=pick([None, 1, 4])))
    except (ValueError, FileNotFoundError) as fault:
        assert expected is None and str(PREFIX) in str(fault), (fault, files)
        return
    assert expected, ("malformed files were read", files)
    snp, person, G = expected
    columns = [found.chrom, found.snp, found.position, found.a1, found.a2]
    assert [c.tolist() for c in columns] == [snp[0], snp[1], [int(p) for p in snp[3]], *snp[4:]], (found, files)
    columns = [found.family, found.individual, found.father, found.mother]
    assert [c.tolist() for c in columns] == person[:4], (found, files)
    for read in (found.G, np.hstack(blocks)):
        np.testing.assert_array_equal(read, G, strict=read is found.G)


warnings.simplefilter("error")
with tempfile.TemporaryDirectory() as folder:
    PREFIX = Path(folder, "set")
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
