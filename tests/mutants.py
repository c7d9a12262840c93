"""Renew tests/mutants.json from what mutmut found: how many small changes of each module some test notices.

A survivor is in the record with a reason why no test can or need notice it; one without a reason is an error.
"""

import json
import sys
from pathlib import Path

from mutmut.__main__ import status_by_exit_code
from mutmut.mutation.diff_apply import get_diff_for_mutant

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "mutants.json"


def change(name: str, path: Path) -> str:
    """The function, and its line as the mutant has it."""
    after = [line[1:].strip() for line in get_diff_for_mutant(name, path=path).splitlines()[2:] if line[:1] == "+"]
    function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    return f"{path.stem}.{function.replace('ǁ', '.')}: {' '.join(after)}"


def main() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"modules": {}, "survivors": {}}
    reasons = {mutant: reason for reason, mutants in record["survivors"].items() for mutant in mutants}
    for meta in sorted((ROOT / "mutants" / "lmm_teach").glob("*.py.meta")):
        path = Path("lmm_teach", meta.name.removesuffix(".meta"))
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        tested = {name: status_by_exit_code[code] for name, code in codes.items() if code is not None}
        if not tested:
            continue
        alive = [change(name, path) for name, status in tested.items() if status != "killed"]
        old = [mutant for mutant in reasons if mutant.startswith(f"{path.stem}.")]
        reasons = {m: r for m, r in reasons.items() if m not in old} | {m: reasons.get(m, "") for m in alive}
        counts = {"mutants": len(codes), "tested": len(tested), "killed": len(tested) - len(alive)}
        record["modules"][path.stem] = counts
    record["survivors"] = {r: sorted(m for m in reasons if reasons[m] == r) for r in sorted(set(reasons.values()))}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for module, count in record["modules"].items():
        print(f"{module:12} {count['killed']:5} of {count['tested']:5} killed, {count['killed'] / count['tested']:.1%}")
    if new := record["survivors"].get(""):
        sys.exit("survivors without a reason:\n" + "\n".join(new))


if __name__ == "__main__":
    main()
