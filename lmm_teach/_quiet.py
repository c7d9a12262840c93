"""Import Matplotlib without its warnings that the home cannot be written or that fonts are being listed: it copes."""

import logging

_log = logging.getLogger("matplotlib")
_level = _log.level
_log.setLevel(logging.ERROR)
import matplotlib.figure  # noqa: E402, F401

_log.setLevel(_level)
