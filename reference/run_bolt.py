"""Run BOLT-LMM's infinitesimal model on HS1940: ``golden/bolt_null.csv`` and ``golden/bolt_hs1940_cd8.csv``.

    python reference/run_bolt.py [--write]

installs Debian's ``bolt-lmm`` if it is missing, and needs lmm_teach's data set HS1940, and 20 seconds per trait. BOLT
wants a .fam file of six columns, GEMMA's has more; ``--LDscoresUseChip`` replaces the table of LD scores, which Debian
does not ship. It applies no filter by allele frequency: every SNP that varies among the mice with a phenotype counts.

``bolt_null.csv`` has the logged parameters of CD8 and MCH, ``bolt_hs1940_cd8.csv`` every 27th of those SNPs for CD8.
"""

import csv
import re
import shutil
import tempfile
from pathlib import Path

from programs import Within, call, debian, save_or_check_all

from lmm_teach import data

TRAITS = {"hs_n1": "CD8", "hs_n6": "MCH"}
EVERY = 27
# With BOLT's own 5e-4 the square root of a statistic is off by up to 6e-4, which is much of a small statistic
TOLERANCE = 1e-5
COMMAND = (
    "bolt", "--bfile=hs", "--phenoFile=traits.txt", "--lmmInfOnly", "--LDscoresUseChip", "--numThreads=1",
    "--verboseStats", f"--CGtol={TOLERANCE}",
)  # fmt: skip
# our column, and BOLT's words with the number in parentheses
LOGGED = {
    "n": r"Number of individuals used in analysis: Nused = (\d+)",
    "snps": r"Mean LINREG: \S+ \((\d+) good SNPs\)",
    "h2g": r"Estimated \(pseudo-\)heritability: h2g = (\S+)",
    "sigma2_K": r"Variance params: sigma\^2_K = ([^,]+),",
    "log_delta": r"Variance params: .* logDelta = ([^,]+),",
    "calibration": r"AvgPro: .* Calibration: (\S+)",
    "calibration_se": r"AvgPro: .* Calibration: \S+ \(([^)]+)\)",
    "ratio_of_medians": r"Ratio of medians: (\S+)",
    "program": r"(BOLT-LMM, v\S+)",
}
KEPT = ("SNP", "CHR", "ALLELE1", "ALLELE0", "A1FREQ", "CHISQ_LINREG", "BETA", "SE", "CHISQ_BOLT_LMM_INF")

SINGLE = "single precision: the BLAS kernel of the processor moves the variances, and with them everything"
STEP = "the search for h2 stops within 0.001, on single-precision residuals of 5e-3"
NULL = {
    "h2g": Within(STEP, absolute=0.001),
    "sigma2_K": Within(STEP, relative=5e-4),
    "log_delta": Within(STEP, absolute=1e-3),
    "calibration": Within(SINGLE, absolute=0.002),
    "calibration_se": Within(SINGLE, absolute=0.001),
    "ratio_of_medians": Within(SINGLE, absolute=0.002),
}
SNPS = {
    "CHISQ_LINREG": Within("six printed digits", relative=1e-5, absolute=1e-6),
    "BETA": Within(SINGLE, relative=2e-3, absolute=1e-4),
    "SE": Within(SINGLE, relative=1e-3),
    "CHISQ_BOLT_LMM_INF": Within(SINGLE, relative=2e-3, absolute=1e-3),
}


def prepare(folder: Path) -> None:
    mice = data.hs1940()
    for end in ("bed", "bim"):
        shutil.copy(mice.folder / f"mouse_hs1940.{end}", folder / f"hs.{end}")
    fam = [line.split() for line in (mice.folder / "mouse_hs1940.fam").read_text().splitlines()]
    (folder / "hs.fam").write_text("".join(f"{row[0]} {row[1]} 0 0 {row[4]} -9\n" for row in fam))
    # the digits as they stand in the file: CD8 and MCH are its columns 1 and 6
    values = [line.split() for line in (mice.folder / "mouse_hs1940.pheno.txt").read_text().splitlines()]
    lines = (f"{row[0]} {row[1]} {v[0]} {v[5]}\n" for row, v in zip(fam, values, strict=True))
    (folder / "traits.txt").write_text("FID IID CD8 MCH\n" + "".join(lines))


def logged(log: str, pattern: str) -> str:
    found = re.findall(pattern, log)
    if len(found) != 1:
        raise SystemExit(f"BOLT's log has {len(found)} matches of '{pattern}' instead of one:\n{log}")
    return found[0]


def main() -> None:
    debian("bolt-lmm")
    nulls = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for run, trait in TRAITS.items():
            log = call(*COMMAND, f"--phenoCol={trait}", f"--statsFile={trait}.txt", cwd=folder)
            nulls.append({"data": run} | {ours: logged(log, pattern) for ours, pattern in LOGGED.items()})
        with (folder / "CD8.txt").open(newline="") as file:
            # BOLT writes -1e+09 for a SNP that does not vary
            snps = [row for row in csv.DictReader(file, delimiter="\t") if float(row["CHISQ_LINREG"]) >= 0]
    kept = [{key: row[key] for key in KEPT} for row in snps[::EVERY]]
    save_or_check_all(("bolt_null", nulls, NULL), ("bolt_hs1940_cd8", kept, SNPS))


if __name__ == "__main__":
    main()
