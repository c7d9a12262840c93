"""What every test shares: no window opens, and Hypothesis tries the same examples every time, however slow.

`pytest --hypothesis-profile nightly` tries more, and others every time, where a test does not set the number itself.
"""

import matplotlib
from hypothesis import settings

matplotlib.use("Agg")
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=200)
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile("repeatable")
