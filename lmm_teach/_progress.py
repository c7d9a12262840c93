"""A progress bar for long work: in a terminal or a notebook that somebody looks at, and nowhere else."""

import sys
import time

import ipywidgets
from IPython.display import display

from .explore import _someone_is_there

QUIET = 2.0  # seconds before anything is shown


class Bar:
    """Call it with what is done and what there is to do (None: unknown), as the `progress` of a scan is called."""

    def __init__(self, unit: str) -> None:
        self.unit, self.begun = unit, time.monotonic()
        self.widget: ipywidgets.IntProgress | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if self.widget is None and time.monotonic() - self.begun < QUIET:
            return
        text = f"{done:,}{'' if total is None else f' of {total:,}'} {self.unit}"
        if _someone_is_there():
            if self.widget is None:
                self.widget = ipywidgets.IntProgress()
                display(self.widget)
            self.widget.max, self.widget.value, self.widget.description = total or max(done, 1), done, text
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r{text}" + ("\n" if total is not None and done >= total else ""))
            sys.stderr.flush()
