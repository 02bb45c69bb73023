"""How thorough the property tests are: HYPOTHESIS_PROFILE=thorough for ten times as many examples.

A test that sets its own number, since its examples are slow, keeps it.
"""

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=100, deadline=None)  # a loaded machine keeps no deadline
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
