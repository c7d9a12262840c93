"""Run lme4 on a random intercept per group: ``golden/lme4.csv``.

    python reference/run_lme4.py [--write]

installs Debian's ``r-cran-lme4`` if it is missing, and needs lmm_teach with its extra ``data``, and some seconds.
`lmer` fits y ~ covariates + (1 | group) by REML and by ML to two data sets: "hs_n1", CD8 of HS1940 with sex as
covariate and sibships as groups, and "anova", three pairs without covariate. That is the model of the other programs
with K = ZZᵀ, where Z holds the groups' indicators; lme4's REML likelihood lacks their term ½ log|XᵀX|.
"""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
from programs import Within, call, debian, save_or_check

from lmm_teach import data

ANOVA = {"y": [1.0, 2.0, 4.0, 6.0, 8.0, 9.0], "group": [0, 0, 1, 1, 2, 2]}
FORMULAS = {"hs_n1": "y ~ sex + (1 | group)", "anova": "y ~ (1 | group)"}
PROGRAM = """
suppressMessages(library(lme4))
program <- sprintf("lme4 %s R %s.%s", packageDescription("lme4")$Version, R.version$major, R.version$minor)
cat("data,formula,mode,n,groups,loglik,vg,ve,beta0,beta1,program\\n")
for (name in c("hs_n1", "anova")) {
  table <- read.csv(paste0(name, ".csv"), colClasses = c(group = "factor"))
  formula <- readLines(paste0(name, ".formula"))
  for (reml in c(TRUE, FALSE)) {
    fit <- lmer(as.formula(formula), table, REML = reml)
    v <- as.data.frame(VarCorr(fit))$vcov
    beta1 <- if (length(fixef(fit)) > 1) sprintf("%.12g", fixef(fit)[2]) else ""
    cat(sprintf("%s,%s,%s,%d,%d,%.12g,%.12g,%.12g,%.12g,%s,%s\\n", name, formula, if (reml) "REML" else "ML",
                nrow(table), nlevels(table$group), as.numeric(logLik(fit)), v[1], v[2], fixef(fit)[1], beta1, program))
  }
}
"""

STOP = "lme4's optimiser stops at a relative 1e-7 or so"
TOLERANCES = {
    "loglik": Within("rounding; the likelihood is flat at its maximum", absolute=1e-8),
    "vg": Within(STOP, relative=1e-6),
    "ve": Within(STOP, relative=1e-6),
    "beta0": Within(STOP, relative=1e-6),
    "beta1": Within(STOP, relative=1e-6),
}


def mice() -> dict[str, list]:
    """CD8, sex (1 or 2, the fifth column of the .fam file) and sibship of the mice that have CD8."""
    found = data.hs1940()
    y = found.phenotypes()["CD8"]
    fam = (found.folder / "mouse_hs1940.fam").read_text().splitlines()
    sex = np.array([int(line.split()[4]) for line in fam])
    there = ~np.isnan(y)
    columns = {"y": y, "sex": sex, "group": found.genotypes().sibship}
    return {name: values[there].tolist() for name, values in columns.items()}


def main() -> None:
    debian("r-base-core", "r-cran-lme4")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run, columns in (("hs_n1", mice()), ("anova", ANOVA)):
            with (folder / f"{run}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
            (folder / f"{run}.formula").write_text(FORMULAS[run] + "\n")
        (folder / "fit.R").write_text(PROGRAM)
        rows = list(csv.DictReader(io.StringIO(call("Rscript", "--vanilla", "fit.R", cwd=folder))))
    save_or_check("lme4", rows, TOLERANCES)


if __name__ == "__main__":
    main()
