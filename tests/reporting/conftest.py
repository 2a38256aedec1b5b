"""Synthetic results with known means and intervals, for the tests of tables and statistics."""

import hashlib
import math

import pandas as pd
import pytest
from scipy import stats

from metaug.paper.published import load_published


def tidy(values, **keys) -> pd.DataFrame:
    """The rows of one cell of a tidy frame: trial i has values[i]."""
    cell = {
        "scale": "full",
        "spec": "000000000000",
        "method": "cmc",
        "dataset": "cifar10",
        "backbone": "alexnet",
        "probe": "conv",
        "setting": "",
        "metric": "top1",
    } | keys
    trials = {"trial": range(len(values)), "seed": [1000 + i for i in range(len(values))]}
    order = ["scale", "spec", "trial", "seed", "method", "dataset", "backbone", "probe"]
    return pd.DataFrame(cell | trials | {"value": values})[[*order, "setting", "metric", "value"]]


def trials_of(mean: float, half_width: float) -> list[float]:
    """Values with this mean and this half-width of the 95 % t-interval (none: one value)."""
    if math.isnan(half_width):
        return [mean]
    # of three values −d, 0, +d around the mean the standard error is d / √3
    distance = half_width / stats.t.ppf(0.975, 2) * math.sqrt(3)
    return [mean - distance, mean, mean + distance]


def published_as_results(artefact: str) -> pd.DataFrame:
    """The printed numbers of Table 1 as if they were trials of ours."""
    printed = load_published().query("artefact == @artefact")
    frames = []
    for row in printed.itertuples():
        values = trials_of(row.value, row.ci95)
        for probe in [row.backbone] if row.backbone else ["conv", "fc"]:
            keys = {"method": row.method, "dataset": row.dataset, "metric": row.metric}
            spec = hashlib.sha256(f"{row.method} {row.dataset}".encode()).hexdigest()[:12]
            frames.append(tidy(values, probe=probe, spec=spec, **keys))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(name="tidy")
def tidy_fixture():
    return tidy


@pytest.fixture(scope="session")
def published_table1() -> pd.DataFrame:
    return published_as_results("table1")
