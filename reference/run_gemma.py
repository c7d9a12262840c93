"""Run GEMMA's null models and scans, and write ``golden/gemma_null.csv`` and ``golden/gemma_scan.csv``.

    python reference/gemma.py

needs ``gemma`` on the PATH (``apt install gemma``), lmm_teach with its extra ``data``, and a minute. GEMMA builds
the kinship (``-gk 1`` centred, ``-gk 2`` standardised), fits the null model by REML and ML, and logs six digits of
each number; ``-lmm 4`` tests every SNP, of which a part is kept. Nothing is computed here: the numbers are copied.
"""

import csv
import gzip
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lmm_teach import data

HERE = Path(__file__).resolve().parent
# name, PLINK prefix, phenotype column after the fifth of the .fam file
RUNS = (("hs_n1", "mouse_hs1940", 1), ("hs_n6", "mouse_hs1940", 6), ("synth", "all", 1))
# our column, and the words GEMMA puts before the number
LOGGED = {
    "n": "number of analyzed individuals",
    "snps": "number of analyzed SNPs/var",
    "logl_reml": "REMLE log-likelihood in the null model",
    "logl_ml": "MLE log-likelihood in the null model",
    "pve": "pve estimate in the null model",
    "se_pve": "se(pve) in the null model",
    "vg": "vg estimate in the null model",
    "ve": "ve estimate in the null model",
}

# scans with the centred kinship: name, PLINK prefix, whether with the covariate of cov.txt, one SNP of how many is kept
SCANS = (("hs_n1", "mouse_hs1940", False, 40), ("synth", "all", False, 25), ("synth_cov", "all", True, 25))
KEPT = ("rs", "af", "beta", "se", "l_remle", "l_mle", "p_wald", "p_lrt", "p_score")


def unpack_synth(folder: Path) -> None:
    """Write the synth set, with its phenotype as the sixth column of the .fam file and LF line ends."""
    for name in ("all.bed", "all.bim", "all.fam", "pheno_10_causals.txt", "cov.txt"):
        content = gzip.decompress((HERE / "synth" / f"{name}.gz").read_bytes())
        (folder / name).write_bytes(content if name == "all.bed" else content.replace(b"\r", b""))
    y = {
        line.split()[1]: line.split()[2]
        for line in (folder / "pheno_10_causals.txt").read_text().splitlines()
    }
    fam = [line.split() for line in (folder / "all.fam").read_text().splitlines()]
    (folder / "all.fam").write_text("".join(" ".join([*row[:5], y[row[1]]]) + "\n" for row in fam))
    cov = {line.split()[1]: line.split()[2] for line in (folder / "cov.txt").read_text().splitlines()}
    (folder / "all.cov").write_text("".join(f"1 {cov[row[1]]}\n" for row in fam))  # GEMMA wants the intercept, too


def scan(folder: Path, prefix: str, covariate: bool, step: int) -> list[dict[str, str]]:
    """Run ``-lmm 4`` with the centred kinship that `null_model` left, and keep every `step`-th SNP."""
    command = ["gemma", "-bfile", prefix, "-n", "1", "-k", f"{prefix}_n1_gk1.cXX.txt", "-lmm", "4", "-o", "scan"]
    command += ["-outdir", "."] + (["-c", f"{prefix}.cov"] if covariate else [])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    with (folder / "scan.assoc.txt").open(newline="\n") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [{"row": str(i)} | {key: row[key].strip() for key in KEPT} for i, row in enumerate(rows) if i % step == 0]


def null_model(folder: Path, prefix: str, column: int, gk: int) -> dict[str, str]:
    """Run GEMMA twice, for the kinship and for the model, and read its log."""
    name = f"{prefix}_n{column}_gk{gk}"
    common = ["gemma", "-bfile", prefix, "-n", str(column), "-outdir", "."]
    kinship = f"{name}.{'cXX' if gk == 1 else 'sXX'}.txt"
    for options in (["-gk", str(gk), "-o", name], ["-k", kinship, "-lmm", "4", "-o", f"{name}_lmm4"]):
        done = subprocess.run([*common, *options], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"gemma {' '.join(options)} failed:\n{done.stdout}{done.stderr}")
    log = (folder / f"{name}_lmm4.log.txt").read_text()
    found = {
        ours: re.findall(rf"^## {re.escape(theirs)} = (\S+)$", log, re.M) for ours, theirs in LOGGED.items()
    }
    found["gemma"] = re.findall(r"^## GEMMA Version\s+=\s+(\S+)", log, re.M)
    for ours, values in found.items():
        if len(values) != 1:
            raise SystemExit(f"GEMMA's log has {len(values)} values for {ours} instead of one:\n{log}")
    return {ours: values[0] for ours, values in found.items()}


def main() -> None:
    if shutil.which("gemma") is None:
        raise SystemExit("gemma is not on the PATH; on Debian and Ubuntu: apt install gemma")
    mice = data.hs1940().folder
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_synth(folder)
        for end in ("bed", "bim", "fam"):
            shutil.copy(mice / f"mouse_hs1940.{end}", folder)
        rows = [
            {"data": run, "K": K} | null_model(folder, prefix, column, gk)
            for run, prefix, column in RUNS
            for K, gk in (("Kc", 1), ("Ks", 2))
        ]
        scans = [
            {"data": run} | row
            for run, prefix, covariate, step in SCANS
            for row in scan(folder, prefix, covariate, step)
        ]
    for name, found in (("gemma_null", rows), ("gemma_scan", scans)):
        with (HERE / "golden" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
        print(f"{name}.csv: {len(found)} rows by GEMMA {rows[0]['gemma']}")


if __name__ == "__main__":
    main()
