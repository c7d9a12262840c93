"""What the scripts of this folder share: one thread of BLAS, the clock, and the record of what was found where."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("lmm_teach", "numpy", "scipy")
LIBRARIES = ("OPENBLAS", "OMP", "MKL", "PST")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in LIBRARIES} | {"VECLIB_MAXIMUM_THREADS": "1"}
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # would measure another machine's OpenBLAS


def cpu_seconds(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds of one call."""
    begun = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - begun) / repeats


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def source(*packages: str) -> dict[str, object]:
    """The machine, and the versions of what ran on it."""
    return {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system(), "blas_threads": 1},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in (*PACKAGES, *packages)},
    }


def keep(name: str, record: dict) -> int:
    """Write the record and print it; the exit code of the script: 1 if there were faults."""
    text = json.dumps(record, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
    return 1 if record["faults"] else 0


def main(measure: Callable[..., int], python: Callable[[], str | Path] = lambda: sys.executable) -> None:
    """Measure in a process of its own, of this or another Python: BLAS reads its number of threads at the start."""
    script, *options = sys.argv
    if options[:1] == ["--measure"]:
        sys.exit(measure(*options[1:]))
    environment = {name: value for name, value in os.environ.items() if name not in FORCED}
    inside = [python(), Path(script).resolve(), "--measure", *options]
    sys.exit(subprocess.run(inside, env=environment | ONE_THREAD, check=False).returncode)
