"""What every test shares: no window opens, and Hypothesis tries the same examples every time, however slow.

`pytest --hypothesis-profile nightly` tries more, and others every time, where a test does not set the number itself.
"""

import io
import os
from types import SimpleNamespace

import matplotlib
import pytest
from hypothesis import Phase, settings

matplotlib.use("Agg")
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.register_profile("mutants", settings.get_profile("repeatable"), max_examples=20, database=None,
                          phases=[Phase.explicit, Phase.generate])  # fmt: skip
settings.load_profile("repeatable")

# `make mutants`: the files, beside test_<module>.py, whose tests ought to notice a change in the module
MUTANTS_OF = {
    "dense": ["likelihood"], "likelihood": ["low_rank", "reml"], "rotation": ["likelihood"], "update": ["low_rank"],
    "variance": ["likelihood"],
}  # fmt: skip


def pytest_configure(config):
    """Where mutmut runs a mutant, leave the tests of its module."""
    parts = os.environ.get("MUTANT_UNDER_TEST", "").split(".")
    if len(parts) == 3:
        files = tuple(f"tests/test_{name}.py" for name in (parts[1], "corner_cases", *MUTANTS_OF.get(parts[1], [])))
        config.args[:] = [test for test in config.args if test.startswith(files)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """As if a terminal were there and every task were long: the stream to which progress bars write."""
    from lmm_teach import _progress

    stream = Terminal()
    monkeypatch.setattr(_progress, "QUIET", 0.0)
    monkeypatch.setattr(_progress, "sys", SimpleNamespace(stderr=stream))
    return stream
