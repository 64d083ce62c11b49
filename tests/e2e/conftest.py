"""Whole chains take longer than tests may by default."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.timeout(600))
