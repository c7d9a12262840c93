"""What the scripts of this folder share: environments of their own, Debian packages, and the golden tables.

A script takes no options, or one:

    python reference/run_gemma.py            # run the program again and compare with the tables: exit 1 if one differs
    python reference/run_gemma.py --write    # run the program and write the tables

Only the standard library is needed, so that a script can also import this module inside the environment it has made.
Every program runs with one thread of BLAS.
"""

import csv
import json
import math
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
SHOWN = 20  # differences printed per table
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

# pysnptools, which fastlmm imports, needs six without saying so; the rest is pinned so that a run can be repeated
FASTLMM = (
    "fastlmm==0.6.13", "fastlmmclib==0.0.8", "pysnptools==0.5.15", "six==1.17.0", "bed-reader==1.1.0", "numpy==2.4.6",
    "scipy==1.17.1", "pandas==3.1.1", "statsmodels==0.15.0", "scikit-learn==1.9.1",
)  # fmt: skip

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Within:
    """How far a number may be from the table's: `absolute` + `relative` times the table's number; and why."""

    why: str
    relative: float = 0.0
    absolute: float = 0.0

    def allows(self, old: float) -> float:
        return self.absolute + self.relative * abs(old)


# ---- running programs ----


def call(*command: Any, cwd: Path | None = None) -> str:
    """Run a command and return what it printed; if it fails, exit with that and what it wrote to stderr."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"{words[0]} is not installed") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(name: str, *pins: str) -> Path:
    """Make ``reference/.venv-NAME`` with these packages, or keep it if it was made with them; return its Python."""
    folder = HERE / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join([f"python {platform.python_version()}", *pins]) + "\n"
    finished = folder / "pins.txt"  # written last: an interrupted installation starts afresh
    if not (python.exists() and finished.exists() and finished.read_text() == wanted):
        venv.create(folder, clear=True, with_pip=True, symlinks=os.name != "nt")
        call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins)
        finished.write_text(wanted)
    return python


def inside(python: Path, script: str, folder: Path) -> list[dict[str, Any]]:
    """Run ``script --inside folder`` with the Python of an environment, and return the rows that it left there.

    The script finds its input in `folder` and leaves its rows with `leave`.
    """
    call(python, Path(script).resolve(), "--inside", folder)
    return json.loads((folder / "rows.json").read_text())


def leave(folder: Path, rows: Rows) -> None:
    (folder / "rows.json").write_text(json.dumps(list(rows)))


def debian(*packages: str) -> None:
    """Install the Debian packages that are missing, as root or with sudo; exit if neither is possible."""
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    if hasattr(os, "geteuid") and os.geteuid():
        apt = ["sudo", "-n", *apt]
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        try:
            done = subprocess.run([*apt, *words], capture_output=True, text=True, check=False)
        except FileNotFoundError as fault:
            raise SystemExit(f"this needs the Debian packages {' '.join(missing)}: {fault}") from None
        if done.returncode and words[0] == "install":
            raise SystemExit(f"this needs: apt-get install {' '.join(missing)}\n{done.stdout}{done.stderr}")


def _installed(package: str) -> bool:
    words = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.stdout == "installed"


# ---- golden tables ----


def save_or_check(name: str, rows: Rows, tolerances: Mapping[str, Within]) -> None:
    """Compare the rows with ``golden/NAME.csv``, or write that table if the script was called with ``--write``.

    Parameters
    ----------
    name : the table, without the ending
    rows : what the program computed now, a dict per row, all with the same keys; a float is written with 17 digits,
        so a shorter form must come as text
    tolerances : for each column of numbers that may move how far it may; other columns, versions among them, must
        not change by a letter

    Raises
    ------
    SystemExit
        with the rows that differ
    """
    save_or_check_all((name, rows, tolerances))


def save_or_check_all(*tables: tuple[str, Rows, Mapping[str, Within]]) -> None:
    """Do the same with several tables; all of them are compared before the script fails."""
    wrong = []
    for name, rows, tolerances in tables:
        new = [{key: _text(value) for key, value in row.items()} for row in rows]
        path = GOLDEN / f"{name}.csv"
        if "--write" in sys.argv[1:]:
            _write(path, new)
            print(f"{path.name}: {len(new)} rows written")
        elif complaints := _compare(path, new, tolerances):
            wrong.append(f"{path.name}: {len(complaints)} differences")
            wrong += [f"  {text}" for text in complaints[:SHOWN]] + ["  ..."] * (len(complaints) > SHOWN)
    if wrong:
        raise SystemExit("\n".join(wrong))


def _text(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _compare(path: Path, rows: Sequence[dict[str, str]], tolerances: Mapping[str, Within]) -> list[str]:
    """Say what differs; if nothing does, print how near the nearest number is to its limit."""
    if not path.exists():
        return [f"there is no {path}; --write makes it"]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        known, columns = list(reader), list(reader.fieldnames or [])
    if unknown := set(tolerances) - set(columns):
        return [f"tolerances for columns that the table does not have: {', '.join(sorted(unknown))}"]
    if rows and columns != list(rows[0]):
        return [f"columns {', '.join(columns)} in the table, {', '.join(rows[0])} now"]
    if len(known) != len(rows):
        return [f"{len(known)} rows in the table, {len(rows)} now"]
    complaints, worst = [], (0.0, "no number has moved")
    for line, (old, new) in enumerate(zip(known, rows, strict=True), start=2):
        for column, share, change in _moved(old, new, tolerances):
            if not share <= 1:
                complaints.append(f"line {line}, {column}: {change} ({', '.join(list(old.values())[:4])})")
            worst = max(worst, (share, f"largest change, line {line}, {column}: {change}"))
    if not complaints:
        print(f"{path.name}: {len(rows)} rows stand; {worst[1]}")
    return complaints


def _moved(
    old: dict[str, str], new: dict[str, str], tolerances: Mapping[str, Within]
) -> Iterator[tuple[str, float, str]]:
    """Columns in which two rows differ, by what share of the allowed change, and the change in words."""
    for column, before in old.items():
        now = new[column]
        if before == now:
            continue
        limit = tolerances.get(column)
        change = f"{before} in the table, {now} now"
        try:
            a, b = float(before), float(now)
        except ValueError:
            limit = None
        if limit is None:
            yield column, math.inf, change
        elif not (math.isnan(a) and math.isnan(b)):
            moved, allowed = abs(a - b), limit.allows(a)
            share = 0.0 if moved == 0 else moved / allowed if allowed and not math.isnan(moved) else math.inf
            yield column, share, f"{change}, {moved:.1g} of {allowed:.1g} allowed ({limit.why})"
