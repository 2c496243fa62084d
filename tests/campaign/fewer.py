"""A plugin of pytest for `tests.campaign.covering`: a few fixed examples a property, so that a figure can be had again.

A line that only one of hundreds of random examples reaches is not covered: a test that names its case must reach it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import Phase, settings

EXAMPLES_MAX = 20


def fewer(found: settings) -> settings:
    """The same settings with few examples, the same in each run, none of them kept or made smaller."""
    return settings(
        found,
        max_examples=min(found.max_examples, EXAMPLES_MAX), derandomize=True, database=None, deadline=None,
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """A property keeps its settings on its function, a machine on its class."""
    for item in items:
        for holder, name in (
            (getattr(item, "obj", None), "_hypothesis_internal_use_settings"),
            (getattr(item, "cls", None), "settings"),
        ):
            found = getattr(holder, name, None)
            if isinstance(found, settings):
                setattr(getattr(holder, "__func__", holder), name, fewer(found))
