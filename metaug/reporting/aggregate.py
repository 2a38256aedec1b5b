"""The tidy frame of results: one row per (spec, trial, probe, setting, metric).

scale     smoke | lite | full, or one of a user's own; one frame has one scale
spec      12 hex digits, the hash of the TrialSpec
trial     0, 1, 2, ...; the same trial of two methods has the same data: differences are paired
seed      the seed of the trial
method, dataset, backbone
probe     conv | fc (AlexNet), pool (ResNet), "" for quantities of the training itself
setting   canonical "key=value;key=value" of what differs from the defaults; "" for nothing
metric    top1, top5, knn_top1 (per cent, 0 to 100), train_loss, seconds, ...
value     float
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from metaug.errors import UserError
from metaug.files import atomic_path
from metaug.reporting.statistics import FEWEST_TRIALS, NAN, Interval, t_interval

COLUMNS = [
    "scale",
    "spec",
    "trial",
    "seed",
    "method",
    "dataset",
    "backbone",
    "probe",
    "setting",
    "metric",
    "value",
]
NUMBERS = ["trial", "seed", "value"]
TEXTS = [column for column in COLUMNS if column not in NUMBERS]
ACCURACIES = ["top1", "top5", "knn_top1"]


def validate_frame(frame: pd.DataFrame) -> None:
    """Refuse a frame that is not what the tables and claims rely on. Further columns are allowed.

    Raises:
        UserError: a column is missing; a field is empty or not a number; the scale
            differs from that of the first row; an accuracy is outside 0..100; a trial or a seed
            occurs twice in one cell. One line, naming the row (1 is the first below the header).
    """
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise UserError(f"the results have no column {missing[0]!r}; needed: {', '.join(COLUMNS)}")

    for column in TEXTS:
        _refuse(frame, frame[column].isna(), f"has no {column}")
    trial, seed, value = (pd.to_numeric(frame[column], errors="coerce") for column in NUMBERS)
    _refuse(
        frame, trial.isna() | (trial < 0) | (trial % 1 != 0), "has no trial number 0, 1, 2, ..."
    )
    _refuse(frame, seed.isna() | (seed % 1 != 0), "has no integer seed")
    _refuse(frame, ~np.isfinite(value), "has a value that is not a finite number")

    _refuse(frame, frame["scale"] == "", "has no scale")
    if len(frame):
        scale = frame["scale"].iloc[0]
        _refuse(frame, frame["scale"] != scale, f"is of another scale than row 1 ({scale})")
    accuracy = frame["metric"].isin(ACCURACIES)
    _refuse(frame, accuracy & ~value.between(0, 100), "has an accuracy outside 0 to 100 per cent")
    for column in ("trial", "seed"):
        key = ["spec", column, "probe", "setting", "metric"]
        _refuse(frame, frame.duplicated(key), f"repeats the {column} of an earlier row")


def _refuse(frame: pd.DataFrame, wrong: pd.Series, what: str) -> None:
    if wrong.any():
        position = int(np.argmax(wrong))
        row = frame.iloc[position]
        keys = (
            "scale",
            "method",
            "dataset",
            "probe",
            "setting",
            "metric",
            "trial",
            "seed",
            "value",
        )
        named = " ".join(f"{key}={row[key]}" for key in keys)
        raise UserError(f"row {position + 1} of the results {what} ({named})")


def load_frame(path: Path | str) -> pd.DataFrame:
    """Read and validate a tidy frame. Texts are str ("" stays ""), values exact float64.

    Raises:
        UserError: the file is missing, is not CSV, or `validate_frame` refuses it; names the file.
    """
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXTS, str),
            keep_default_na=False,
            na_values={column: ["", "nan", "NaN"] for column in NUMBERS},
        )
        validate_frame(frame)
    except FileNotFoundError as error:
        raise UserError(f"no results at {path}: train something first") from error
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"cannot read {path} as CSV: {' '.join(str(error).split())}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return frame[COLUMNS].astype({"trial": "int64", "value": "float64"})


def write_frame(frame: pd.DataFrame, path: Path | str) -> None:
    """Validate and write a tidy frame, atomically and sorted: equal results give equal bytes."""
    validate_frame(frame)
    with atomic_path(path) as temporary:
        frame[COLUMNS].sort_values(COLUMNS).to_csv(temporary, index=False, lineterminator="\n")


class CellInterval(Interval):
    """What a table or figure shows of some trials: the interval, and the values by trial.

    The half-width is nan for fewer than `FEWEST_TRIALS` values, which are shown themselves. `specs`
    are those whose trials it is made of, so that every number of a table leads to its trainings.
    """

    specs: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


def interval_of(values: pd.Series, specs: Iterable[str]) -> CellInterval:
    """Mean and 95 % t-interval of values by trial."""
    mean, half_width, n = t_interval(values)
    interval = CellInterval(mean, half_width if n >= FEWEST_TRIALS else NAN, n)
    interval.specs = tuple(dict.fromkeys(specs))
    interval.values = tuple(map(float, values))
    return interval


def values_of(interval: Interval) -> tuple[float, ...]:
    """The values by trial, where the interval remembers them."""
    return interval.values if isinstance(interval, CellInterval) else ()


def select(frame: pd.DataFrame, **keys: str) -> pd.Series:
    """The values of one cell, indexed by trial; empty if nothing was run.

    `keys` are columns and what they must equal, e.g. method="cmc", dataset="cifar10",
    probe="conv", setting="", metric="top1". Enough of them must be given that one spec, probe,
    setting and metric remains: trials of different trainings are never pooled.

    Raises:
        UserError: more than one cell fits; names the column in which they differ.
    """
    rows = _rows_of(frame, keys)
    return rows.set_index("trial")["value"].sort_index()


def cell(frame: pd.DataFrame, **keys: str) -> CellInterval:
    """Mean and 95 % t-interval over the trials of one cell; see `select`."""
    rows = _rows_of(frame, keys)
    return interval_of(rows.set_index("trial")["value"].sort_index(), rows["spec"])


def _rows_of(frame: pd.DataFrame, keys: Mapping[str, str]) -> pd.DataFrame:
    chosen = np.logical_and.reduce([frame[column] == wanted for column, wanted in keys.items()])
    rows = frame[chosen]
    cells = rows[TEXTS].drop_duplicates()
    if len(cells) > 1:
        column = next(column for column in reversed(TEXTS) if cells[column].nunique() > 1)
        found = ", ".join(repr(value) for value in sorted(cells[column].unique()))
        asked = " ".join(f"{key}={value}" for key, value in keys.items())
        raise UserError(f"{asked} is more than one cell of the results: {column} is {found}")
    return rows
