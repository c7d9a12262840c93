"""Linear mixed models for genome-wide association, written to be read.

The package of the book *Linear Mixed Models, Line by Line*, one module per step, in the order in which data flow:
`kinship`, `spectrum`, `rotation`, `gls`, `variance`, `likelihood`, `search`, `association`; beside them `projection`,
`mixing`, `proximal` and `sets`; for what is too large, `approximate` and `blocks`. `dense` is the oracle that checks
them; `simulate`, `data` and `plink` supply cohorts; `plot` and `explore` draw.
"""

from importlib import import_module
from types import ModuleType

from . import _quiet, dense, plink, plot, simulate  # noqa: F401
from .approximate import BoltInf, GrammarGamma, bolt_inf, conjugate_gradients, grammar_gamma
from .association import Scan, lambda_gc, scan
from .blocks import Unfinished, scan_blocks
from .explore import explore
from .kinship import SnpSummary, kinship, scale_kinship, standardize, summarize_snps
from .likelihood import LMM
from .mixing import (
    Components,
    Prediction,
    Selection,
    TwoKernelFit,
    choose_pcs,
    fit_a2,
    predict,
    rank_snps,
    select_snps,
    surface,
    unrelated,
)
from .projection import Projected, project_kinship, project_snps
from .proximal import LocoScan, loco, window
from .rotation import Rotated, rotate
from .sets import Pairs, SetTest, epistasis, mixture_sf, rlrt_null, set_lrt, set_score
from .spectrum import Spectrum, decompose_kinship, decompose_snps
from .variance import Evaluation, Fit

__all__ = [
    "LMM", "BoltInf", "Components", "Evaluation", "Fit", "GrammarGamma", "LocoScan", "Pairs", "Prediction",
    "Projected", "Rotated", "Scan", "Selection", "SetTest", "SnpSummary", "Spectrum", "TwoKernelFit", "Unfinished",
    "bolt_inf", "choose_pcs", "conjugate_gradients", "data", "decompose_kinship", "decompose_snps", "dense",
    "epistasis", "explore", "fit_a2", "grammar_gamma", "kinship", "lambda_gc", "loco", "mixture_sf", "plink", "plot",
    "predict", "project_kinship", "project_snps", "rank_snps", "rlrt_null", "rotate", "scale_kinship", "scan",
    "scan_blocks", "select_snps", "set_lrt", "set_score", "simulate", "standardize", "summarize_snps", "surface",
    "unrelated", "window",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    # `data` is imported when it is first used: `python -m lmm_teach.data` warns if it is already there.
    if name == "data":
        return import_module(".data", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
