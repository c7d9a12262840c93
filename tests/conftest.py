"""What every test shares: no window opens, and Hypothesis tries the same examples every time, however slow."""

import matplotlib
from hypothesis import settings

matplotlib.use("Agg")
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
