"""Run GEMMA's null models and single-SNP tests: ``golden/gemma_null.csv`` and ``golden/gemma_scan.csv``.

    python reference/run_gemma.py [--write]

installs Debian's ``gemma`` if it is missing, needs lmm_teach with its extra ``data``, and a minute. GEMMA builds the
kinship (``-gk 1`` centred, ``-gk 2`` standardised), and ``-lmm 4`` fits the null model by REML and ML, logs six digits
of each number and tests the SNPs that ``-snps`` names. ``-snps`` touches neither a kinship given by ``-k`` nor the null
model, so only SNPs of the table are named. Nothing is computed here: the numbers are copied.
"""

import csv
import gzip
import re
import shutil
import tempfile
from pathlib import Path

from programs import HERE, Within, call, debian, save_or_check_all

from lmm_teach import data, plink

# name, PLINK prefix, phenotype column after the fifth of the .fam file
RUNS = (("hs_n1", "mouse_hs1940", 1), ("hs_n6", "mouse_hs1940", 6), ("synth", "all", 1))
# our column, and the words GEMMA puts before the number
LOGGED = {
    "n": "number of analyzed individuals",
    "logl_reml": "REMLE log-likelihood in the null model",
    "logl_ml": "MLE log-likelihood in the null model",
    "pve": "pve estimate in the null model",
    "se_pve": "se(pve) in the null model",
    "vg": "vg estimate in the null model",
    "ve": "ve estimate in the null model",
}
# scans: name, PLINK prefix, -gk, whether with the covariate of cov.txt, one SNP of how many is kept
SCANS = (("hs_n1", "mouse_hs1940", 1, False, 40), ("synth", "all", 1, False, 25), ("synth_cov", "all", 1, True, 25),
         ("synth_ks", "all", 2, False, 25))  # fmt: skip
KEPT = ("rs", "af", "beta", "se", "l_remle", "l_mle", "p_wald", "p_lrt", "p_score")

STOP = "λ stops at a relative step of 1e-5"
NULL = {
    "logl_reml": Within("six printed digits", relative=5e-6),
    "logl_ml": Within("six printed digits", relative=5e-6),
    "pve": Within("six printed digits, and " + STOP, relative=1e-5),
    "se_pve": Within("six printed digits, and " + STOP, relative=1e-5),
    "vg": Within(STOP, relative=2e-5),
    "ve": Within(STOP, relative=2e-5),
}
SCAN = {
    "beta": Within(STOP + ", which moves β by a few 1e-5 of its error", absolute=2e-6),
    "se": Within(STOP, relative=5e-6),
    "l_remle": Within(STOP, relative=2e-5),
    "l_mle": Within(STOP, relative=2e-5),
    "p_wald": Within(STOP + ", 5e-5 in log10 p", relative=1.2e-4),
    "p_lrt": Within("seven printed digits; the likelihood is flat in λ", relative=3e-6),
    "p_score": Within(STOP + ", 5e-5 in log10 p", relative=1.2e-4),
}


def unpack_synth(folder: Path) -> None:
    """Write the synth set, with its phenotype as the sixth column of the .fam file and LF line ends."""
    for name in ("all.bed", "all.bim", "all.fam", "pheno_10_causals.txt", "cov.txt"):
        content = gzip.decompress((HERE / "synth" / f"{name}.gz").read_bytes())
        (folder / name).write_bytes(content if name == "all.bed" else content.replace(b"\r", b""))
    lines = (folder / "pheno_10_causals.txt").read_text().splitlines()
    y = {line.split()[1]: line.split()[2] for line in lines}
    fam = [line.split() for line in (folder / "all.fam").read_text().splitlines()]
    (folder / "all.fam").write_text("".join(" ".join([*row[:5], y[row[1]]]) + "\n" for row in fam))
    cov = {line.split()[1]: line.split()[2] for line in (folder / "cov.txt").read_text().splitlines()}
    # GEMMA wants the intercept, too
    (folder / "all.cov").write_text("".join(f"1 {cov[row[1]]}\n" for row in fam))


def names_of_analysed(run: str) -> list[str]:
    """The SNPs that pass GEMMA's filters, in order: `null_model` compares their number with GEMMA's."""
    if run.startswith("synth"):
        people, y = data.synth()
    else:
        mice = data.hs1940()
        people, y = mice.genotypes(), mice.phenotypes()[{"hs_n1": "CD8", "hs_n6": "MCH"}[run]]
    return people.snp[plink.analysed(people.G, y, standardised=False).snps].tolist()


def gemma(folder: Path, output: str, *options: str) -> str:
    """Run GEMMA and return its log."""
    call("gemma", *options, "-outdir", ".", "-o", output, cwd=folder)
    return (folder / f"{output}.log.txt").read_text()


def logged(log: str, words: str) -> str:
    found = re.findall(rf"^## {re.escape(words)}\s+=\s+(\S+)", log, re.M)
    if len(found) != 1:
        raise SystemExit(f"GEMMA's log has {len(found)} values for '{words}' instead of one:\n{log}")
    return found[0]


def null_model(folder: Path, prefix: str, column: int, gk: int, names: list[str]) -> dict[str, str]:
    """Run GEMMA twice, for the kinship from all SNPs and for the model, and read its logs."""
    name, common = f"{prefix}_n{column}_gk{gk}", ("-bfile", prefix, "-n", str(column))
    snps = logged(gemma(folder, name, *common, "-gk", str(gk)), "number of analyzed SNPs/var")
    if int(snps) != len(names):
        raise SystemExit(f"GEMMA analyses {snps} SNPs of {name}, lmm_teach {len(names)}")
    (folder / "one.txt").write_text(f"{names[0]}\n")
    log = gemma(folder, f"{name}_lmm4", *common, "-k", kinship(name, gk), "-lmm", "4", "-snps", "one.txt")
    row = {ours: logged(log, theirs) for ours, theirs in LOGGED.items()}
    return {"n": row.pop("n"), "snps": snps, **row, "gemma": logged(log, "GEMMA Version")}


def kinship(name: str, gk: int) -> str:
    """The file that -gk wrote."""
    return f"{name}.{'cXX' if gk == 1 else 'sXX'}.txt"


def scan(folder: Path, prefix: str, gk: int, covariate: bool, step: int, names: list[str]) -> list[dict[str, str]]:
    """Test every `step`-th SNP, with the kinship that `null_model` left."""
    (folder / "kept.txt").write_text("\n".join(names[::step]) + "\n")
    K = kinship(f"{prefix}_n1_gk{gk}", gk)
    options = ("-bfile", prefix, "-n", "1", "-k", K, "-lmm", "4", "-snps", "kept.txt")
    gemma(folder, "scan", *options, *(("-c", f"{prefix}.cov") if covariate else ()))
    with (folder / "scan.assoc.txt").open(newline="\n") as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    if [row["rs"].strip() for row in found] != names[::step]:
        raise SystemExit(f"GEMMA tested other SNPs of {prefix} than it was told to")
    return [{"row": str(i * step)} | {key: row[key].strip() for key in KEPT} for i, row in enumerate(found)]


def check_loco(folder: Path, prefix: str) -> None:
    """Chapter 14 says that -loco changes nothing in the kinship of PLINK files."""
    chromosomes = [line.split() for line in (folder / f"{prefix}.bim").read_text().splitlines()]
    (folder / "anno.txt").write_text("".join(f"{rs}, {bp}, {c}\n" for c, rs, _, bp, *_ in chromosomes))
    gemma(folder, "loco", "-bfile", prefix, "-n", "1", "-gk", "2", "-loco", chromosomes[0][0], "-a", "anno.txt")
    if (folder / kinship("loco", 2)).read_bytes() != (folder / kinship(f"{prefix}_n1_gk2", 2)).read_bytes():
        raise SystemExit("GEMMA's -loco changes the kinship of PLINK files, against what chapter 14 says")


def main() -> None:
    debian("gemma")
    mice = data.hs1940().folder
    names = {run: names_of_analysed(run) for run, *_ in (*RUNS, *SCANS)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_synth(folder)
        for end in ("bed", "bim", "fam"):
            shutil.copy(mice / f"mouse_hs1940.{end}", folder)
        nulls = [
            {"data": run, "K": K} | null_model(folder, prefix, column, gk, names[run])
            for run, prefix, column in RUNS
            for K, gk in (("Kc", 1), ("Ks", 2))
        ]
        check_loco(folder, "all")
        scans = [
            {"data": run} | row
            for run, prefix, gk, covariate, step in SCANS
            for row in scan(folder, prefix, gk, covariate, step, names[run])
        ]
    save_or_check_all(("gemma_null", nulls, NULL), ("gemma_scan", scans, SCAN))


if __name__ == "__main__":
    main()
