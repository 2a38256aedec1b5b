"""The level is spent over the looks, and no more of it than there is."""

import pytest

from benchmarks.looks import SPENDING, level_of_the_looks, looks_table
from metaug.reporting.looks import LEVEL, LEVELS, LOOKS, scaled


def test_the_level_is_kept_over_all_looks_together() -> None:
    level, error = level_of_the_looks(200_000)
    assert level == pytest.approx(100 * LEVEL, abs=3 * error)
    for look in LOOKS:
        assert scaled(LEVELS[look], look) == pytest.approx(LEVEL)


def test_the_table_has_a_row_for_each_way_to_spend_the_level() -> None:
    text = looks_table(2_000)
    assert all(f"| {name} |" in text for name in SPENDING)
