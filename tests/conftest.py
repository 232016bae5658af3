"""
What every test shares: how many examples hypothesis tries, and that a norm which a test names is one.

``HYPOTHESIS_PROFILE=ci`` tries many examples, always the same.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.conformance import list_marks

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a slip of the pen in the id of a norm: the line that was meant would seem untested, or tested twice."""
    for item in items:
        list(list_marks(item))
