"""Linear mixed models for genome-wide association, written to be read.

The package of the book *Linear Mixed Models, Line by Line*: one module per chapter, in the order in which data
flow through it: `kinship`, `spectrum`, `rotation`, `gls`, `likelihood`, `search`; `dense` is the oracle that
checks them.
"""

from . import dense
from .kinship import SnpSummary, kinship, scale_kinship, standardize, summarize_snps
from .likelihood import LMM, Evaluation, Fit
from .rotation import Rotated, rotate
from .spectrum import Spectrum, decompose_kinship, decompose_snps

__all__ = [
    "LMM", "Evaluation", "Fit", "Rotated", "SnpSummary", "Spectrum", "decompose_kinship", "decompose_snps", "dense",
    "kinship", "rotate", "scale_kinship", "standardize", "summarize_snps",
]  # fmt: skip
