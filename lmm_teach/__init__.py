"""Linear mixed models for genome-wide association, written to be read.

The package of the book *Linear Mixed Models, Line by Line*, one module per step, in the order in which data flow:
`kinship`, `spectrum`, `rotation`, `gls`, `variance`, `likelihood`, `search`; beside them `projection` and `proximal`.
`dense` is the oracle that checks them; `simulate`, `data` and `plink` supply cohorts; `plot` and `explore` draw.
"""

from importlib import import_module
from types import ModuleType

from . import dense, plink, plot, simulate
from .explore import explore
from .kinship import SnpSummary, kinship, scale_kinship, standardize, summarize_snps
from .likelihood import LMM
from .projection import Projected, project_kinship, project_snps
from .rotation import Rotated, rotate
from .spectrum import Spectrum, decompose_kinship, decompose_snps
from .variance import Evaluation, Fit

__all__ = [
    "LMM", "Evaluation", "Fit", "Projected", "Rotated", "SnpSummary", "Spectrum", "data", "decompose_kinship",
    "decompose_snps", "dense", "explore", "kinship", "plink", "plot", "project_kinship", "project_snps", "rotate",
    "scale_kinship", "simulate", "standardize", "summarize_snps",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    # `data` is imported when it is first used: `python -m lmm_teach.data` warns if it is already there.
    if name == "data":
        return import_module(".data", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
