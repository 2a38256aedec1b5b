"""Synthetic results for the artefacts: of what they ask for themselves, and of the paper's numbers.

`results_of` makes the results that an artefact's trainings would give, every number with a mean of
its own; `published_as_results` feeds the printed numbers back as if they were ours; `write_records`
writes the records that a plan's trainings would leave.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from scipy import stats

from metaug.config import load_config
from metaug.paper import cells, figure2
from metaug.paper.published import printed
from metaug.reporting.aggregate import COLUMNS
from metaug.reporting.results import Query, Results, readout_of
from metaug.reporting.statistics import Interval
from metaug.reporting.tables import Column, Row, Table
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan
from metaug.suite.record import record_path, write_record

SCALES = ("smoke", "lite", "full")
SCALE_FILES = Path(__file__).parents[2] / "config" / "scales"
TRIALS = 3
STEP = 0.25
"""Accuracies of a cell's three trials: its mean minus this, its mean, its mean plus this."""

HALF_WIDTH = stats.t.ppf(0.975, TRIALS - 1) * STEP / math.sqrt(TRIALS)
"""Half-width of the 95 % interval of such a cell: its standard deviation is STEP."""

ACCURACIES = ("top1", "top5", "knn_top1")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOTHING = Results(pd.DataFrame(columns=COLUMNS))

Mean = Callable[[TrialSpec, str, str], float]


@cache
def plan_of(scale: str, **config: object) -> Plan:
    return Plan(*load_config({"scale": scale, **config}, SCALE_FILES), SCALE_FILES)


def mean_of(spec: TrialSpec, readout: str, metric: str = "top1") -> float:
    """An accuracy between 10 and 90, with two decimals, as good as unique."""
    key = readout if ";" in readout else f"{readout};"
    return 10 + crc32(f"{spec.hash} {key} {metric}".encode()) % 8000 / 100


@cache
def specs_of(scale: str, *artefacts: ModuleType) -> list[TrialSpec]:
    """The distinct specs of some artefacts."""
    grid = plan_of(scale).grid
    return list(dict.fromkeys(spec for a in artefacts for spec in cells.specs_of(a.cells(grid))))


def render_of(
    scale: str, artefact: ModuleType, accuracy: Mean = mean_of, trials: int = TRIALS
) -> Any:
    """An artefact as if all that it asks for had been run."""
    return artefact.render(plan_of(scale).grid, results_of(scale, artefact, accuracy, trials))


def render_nothing(artefact: ModuleType) -> Any:
    """An artefact of the paper's protocol of which nothing has been run."""
    return artefact.render(plan_of("full").grid, NOTHING)


@cache
def results_of(
    scale: str, artefact: ModuleType, accuracy: Mean = mean_of, trials: int = TRIALS
) -> Results:
    """The results of an artefact at a scale, as if all that it asks for had been run."""
    return Results(frame_of(scale, artefact, accuracy=accuracy, trials=trials))


def frame_of(
    scale: str, *artefacts: ModuleType, accuracy: Mean = mean_of, trials: int = TRIALS
) -> pd.DataFrame:
    """The tidy frame of some artefacts at a scale."""
    return _frame_of(scale, artefacts, accuracy, trials).copy()


@cache
def _frame_of(
    scale: str, artefacts: tuple[ModuleType, ...], accuracy: Mean, trials: int
) -> pd.DataFrame:
    plan, histograms = plan_of(scale), figure2 in artefacts
    rows: list[dict[str, object]] = []
    for spec in specs_of(scale, *artefacts):
        rows += _rows_of(plan, spec, accuracy, trials, histograms)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows_of(
    plan: Plan, spec: TrialSpec, accuracy: Mean, trials: int, histograms: bool
) -> list[dict[str, object]]:
    keys = {"scale": spec.scale, "spec": spec.hash, "method": spec.method}
    keys |= {"dataset": spec.dataset, "backbone": spec.backbone}
    setting = plan.setting(spec)
    return [
        {
            **keys,
            "trial": trial,
            "seed": 1000 + trial,
            **row,
            "readout": readout_of(row["probe"], row["setting"]),
            "setting": joined(setting, row["setting"]),
        }
        for trial in range(trials)
        for row in record_rows(spec, trial, trials, accuracy, histograms)
    ]


def readouts_of(spec: TrialSpec) -> list[tuple[str, str]]:
    """Probe and option of every read-out of a method."""
    layers = ("conv", "fc6", "fc") if spec.backbone == "alexnet" else ("pool",)
    augmented: tuple[str, ...] = ()
    if kind := spec.hyper.get("augmented_readout"):
        augmented = ("projection",) if kind == "projection" else layers
    return [
        *((probe, "") for probe in dict.fromkeys((*layers, *augmented))),
        *((probe, "features=with_augmented") for probe in augmented),
    ]


def record_rows(
    spec: TrialSpec,
    trial: int,
    trials: int = TRIALS,
    accuracy: Mean = mean_of,
    histograms: bool = True,
) -> list[dict[str, Any]]:
    """The rows of the record of a trial."""
    has_mags = "order" in spec.hyper
    probes = ("conv", "fc6", "fc") if spec.backbone == "alexnet" else ("pool",)
    values = {
        (probe, option, metric): accuracy(spec, f"{probe};{option}", metric)
        for probe, option in readouts_of(spec)
        for metric in ACCURACIES
    }
    values |= {(p, "", "effective_rank"): 20.0 for p in probes}
    values |= {(p, "", "feature_std"): 0.9 for p in probes}
    values["", "", "train_seconds"] = 100.0 + crc32(spec.hash.encode()) % 50
    if spec.method != "random":
        values["", "", "first_loss"], values["", "", "last_loss"] = 3.0, 2.0
    if has_mags:
        delta = float(spec.hyper["delta"] or 0)
        exact = spec.hyper["order"] == "exact"
        values["", "", "last_augmented_gradient_share"] = delta / (1 + delta)
        values["", "", "first_second_order_share"] = 0.25 if exact else 0.0
        values |= similarities(spec, histograms)
    shift = (trial - (trials - 1) / 2) * STEP
    return [
        {
            "probe": probe,
            "setting": option,
            "metric": metric,
            "value": mean + shift * (metric in ACCURACIES),
        }
        for (probe, option, metric), mean in values.items()
    ]


def record_of(spec: TrialSpec, trial: int, trials: int = TRIALS) -> dict[str, Any]:
    """What the record of a trial holds besides its spec; the second was of a changed checkout."""
    return {
        "seed": 1000 + trial,
        "started": "2026-01-02T03:04:05+00:00",
        "train_seconds": 61.0 + 60 * trial,
        "probe_seconds": 7.0,
        "cpu_seconds": 60.0 + 60 * trial,
        "provenance": {
            "commit": COMMIT,
            "dirty": trial == 1,
            "device": "cpu",
            "packages": {"torch": "2.14.1"},
        },
        "curve": [{"epoch": i, "loss": 5.0 / (1 + i) + trial / 2} for i in range(spec.epochs)],
        "rows": record_rows(spec, trial, trials),
    }


def write_records(plan: Plan, spec: TrialSpec, data: str = "data") -> None:
    """Write the records of a spec into the current folder, as if its trials had been run there on
    the data with this digest."""
    for trial in range(plan.grid.trials):
        path = record_path(plan.folder(spec), trial)
        write_record(path, spec, trial, data, record_of(spec, trial, plan.grid.trials))


def similarities(spec: TrialSpec, histograms: bool) -> dict[tuple[str, str, str], float]:
    """Mean similarities, and histograms around them; augmented ones collapse without margin."""
    values = {}
    for features, shift in (("original", 0.0), ("with_augmented", 0.05)):
        for pairs, middle in (("positive", 0.8), ("negative", 0.5)):
            setting = f"features={features};pairs={pairs}"
            mean = middle + shift * (1 if spec.hyper["alpha"] == 0 else -1)
            values["", setting, "mean_similarity"] = mean
            if histograms:
                shares = np.exp(-((((np.arange(50) + 0.5) / 50 - mean) / 0.08) ** 2))
                for i, share in enumerate(shares / shares.sum()):
                    values["", setting, f"histogram_{i:02d}"] = float(share)
    return values


def joined(*settings: str) -> str:
    return ";".join(sorted(part for text in settings for part in text.split(";") if part))


def results_from(
    values: Mapping[Query, Sequence[float]],
    failures: Mapping[str, tuple[str, ...]] | None = None,
    hits: Mapping[tuple[str, int], Mapping[str, str]] | None = None,
) -> Results:
    """Results with these values by trial; failures and hits are those of `Results`."""
    rows = [
        {
            **{"scale": query.spec.scale, "spec": query.spec.hash, "trial": i, "seed": 1000 + i},
            **{"method": query.spec.method, "dataset": query.spec.dataset},
            **{"backbone": query.spec.backbone, "probe": query.readout.partition(";")[0]},
            **{"readout": query.readout, "setting": "", "metric": query.metric, "value": value},
        }
        for query, trials in values.items()
        for i, value in enumerate(trials)
    ]
    return Results(pd.DataFrame(rows, columns=COLUMNS), failures, hits)


def published_as_results(artefact: str) -> Results:
    """The numbers that the paper prints in a table, as if each were a trial of ours."""
    plan, paper = plan_of("full"), printed(artefact)
    places = plan.cells[artefact].items()
    return results_from({query: [paper[p].value] for p, query in places if p in paper})


def row_of(spec: TrialSpec) -> str:
    """The row of a method; of an untrained network that of its views, and of its own where its
    images are not as large as the others'."""
    if spec.method != "random":
        return spec.method
    usual = plan_of(spec.scale).grid.sizes[spec.dataset].image_size
    return "_".join(("random", *spec.views, *([spec.hash] if spec.image_size != usual else ())))


def cells_of(table: Table) -> list[tuple[Row, Column]]:
    return [(row, column) for row in table.rows for column in table.columns]


def check_cell(table: Table, row: str, column: str, mean: float) -> None:
    """The cell has this mean and the interval of three trials of `mean_of`."""
    expected = Interval(mean, HALF_WIDTH, TRIALS)
    ours = table.cells[row, column].ours
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9, err_msg=f"{row}, {column}")


def run_cells(table: Table) -> set[tuple[str, str]]:
    """Row and column of the cells that have trials of ours."""
    return {
        (row.name, column.name) for row, column in cells_of(table) if table.cell(row, column).ours.n
    }
