"""Synthetic results with known means and intervals, for the tests of tables and statistics."""

import pandas as pd
import pytest

from metaug.reporting.aggregate import COLUMNS


def tidy(values, **keys) -> pd.DataFrame:
    """The rows of one number of a tidy frame: trial i has values[i]."""
    cell = {
        "scale": "full",
        "spec": "000000000000",
        "method": "cmc",
        "dataset": "cifar10",
        "backbone": "alexnet",
        "probe": "conv",
        "readout": "conv",
        "setting": "",
        "metric": "top1",
    } | keys
    trials = {"trial": range(len(values)), "seed": [1000 + i for i in range(len(values))]}
    return pd.DataFrame(cell | trials | {"value": values})[COLUMNS]


@pytest.fixture(name="tidy")
def tidy_fixture():
    return tidy
