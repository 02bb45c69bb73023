"""What all tests share.

How thorough the property tests are: HYPOTHESIS_PROFILE=thorough for ten times as many examples. A test that sets its
own number, since its examples are slow, keeps it.
"""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=100, deadline=None)  # a loaded machine keeps no deadline
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

LOGGERS = [logging.getLogger(name) for name in ("tidegate", "tidegate.access", "tidegate.error")]


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """What the command line sets up writes to streams that are one test's own."""
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in LOGGERS]
    yield
    for logger, (handlers, level, propagate) in zip(LOGGERS, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
