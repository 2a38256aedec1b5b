"""The tidy frame of results: one row per (spec, trial, probe, setting, metric).

scale     smoke | lite | full, or one of a user's own; one frame has one scale
spec      12 hex digits, the hash of the TrialSpec
trial     0, 1, 2, ...; the same trial of two methods has the same data: differences are paired
seed      the seed of the trial
method, dataset, backbone
probe     conv | fc (AlexNet), pool (ResNet), "" for quantities of the training itself
readout   the probe and an option of it, as in "projection;features=with_augmented"; with spec and
          metric it is the address of a number (`metaug.reporting.results.Query`)
setting   for readers: "key=value;key=value" of what differs from the defaults; "" for nothing
metric    top1, top5, knn_top1 (per cent, 0 to 100), train_loss, seconds, ...
value     float
"""

from pathlib import Path

import numpy as np
import pandas as pd

from metaug.errors import UserError
from metaug.files import atomic_path

COLUMNS = [
    "scale",
    "spec",
    "trial",
    "seed",
    "method",
    "dataset",
    "backbone",
    "probe",
    "readout",
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
        key = ["spec", column, "readout", "metric"]
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


def write_frame(frame: pd.DataFrame, path: Path | str) -> None:
    """Validate and write a tidy frame, atomically and sorted: equal results give equal bytes."""
    validate_frame(frame)
    with atomic_path(path) as temporary:
        frame[COLUMNS].sort_values(COLUMNS).to_csv(temporary, index=False, lineterminator="\n")
