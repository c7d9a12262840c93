"""The two problems of the golden tables, prepared as the reference programs were given them.

`problem` returns K, X and y of the null model; `table` the rows of ``reference/golden/<name>.csv``.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lmm_teach import data, plink

REFERENCE = data.REPOSITORY / "reference"


@dataclass(frozen=True)
class Problem:
    """K (n, n) of that many snps, X (n, 1) the intercept, y (n,): read-only, since tests share them."""

    K: np.ndarray
    X: np.ndarray
    y: np.ndarray
    snps: int


table = data.golden


@cache
def genotypes(name: str) -> tuple[plink.Plink, np.ndarray]:
    """Genotypes and phenotype: HS1940 with CD8 ("hs_n1") or MCH ("hs_n6"), or the synth set ("synth")."""
    if name != "synth":
        mice = data.hs1940()
        return mice.genotypes(), mice.phenotypes()[{"hs_n1": "CD8", "hs_n6": "MCH"}[name]]
    return data.synth()


@cache
def problem(name: str, kinship: str, *, centred: bool = True) -> Problem:
    """Prepare a null model: kinship "Kc" (centred SNPs) or "Ks" (standardised), double-centred if `centred`."""
    people, y = genotypes(name)
    found = plink.analysed(people.G, y, standardised={"Kc": False, "Ks": True}[kinship], centre=centred)
    prepared = Problem(found.K, np.ones((len(found.y), 1)), found.y, int(found.snps.sum()))
    for array in (prepared.K, prepared.X, prepared.y):
        array.flags.writeable = False
    return prepared
