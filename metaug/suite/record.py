"""What a trial leaves behind, one JSON file: its record or, if it failed, the reason.

A file that is not what it should be is moved aside with one line that names it, and its trial
counts as not run. So no mean is taken over fewer trials without a word.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from metaug.errors import UserError
from metaug.files import atomic_write_text
from metaug.hits import decode_hits
from metaug.spec import TrialSpec

FORMAT = 1
CURVE_BESIDE = ".curve.csv"
ENCODERS_BESIDE = ".encoders.safetensors"
"""Endings of the files that may lie beside a record, in place of its own."""

PERCENTAGES = {"top1", "top5", "knn_top1", "top1_last", "top1_best", "probe_train_top1"}


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Row(_Checked):
    probe: str
    setting: str
    metric: str
    value: float

    @model_validator(mode="after")
    def _possible(self) -> "_Row":
        if self.metric in PERCENTAGES and not 0 <= self.value <= 100:
            raise ValueError(f"a {self.metric} of {self.value} % is impossible")
        return self


class _Provenance(_Checked):
    commit: str | None
    dirty: bool | None
    device: str


class _Outcome(_Checked):
    format: Literal[1]
    hash: str
    trial: int
    data: str
    spec: dict[str, Any]
    started: str
    provenance: _Provenance


class _Record(_Outcome):
    seed: int
    train_seconds: float
    curve: list[dict[str, float]]
    rows: list[_Row] = Field(min_length=1)
    hits: dict[str, str] = {}

    @field_validator("hits")
    @classmethod
    def _decodable(cls, hits: dict[str, str]) -> dict[str, str]:
        for text in hits.values():
            decode_hits(text)
        return hits

    @model_validator(mode="after")
    def _distinct(self) -> "_Record":
        rows = Counter((row.probe, row.setting, row.metric) for row in self.rows)
        for key, count in rows.items():
            if count > 1:
                raise ValueError(f"it has {' '.join(filter(None, key))} twice")
        return self


class _Failed(_Outcome):
    reason: str


@dataclass(frozen=True)
class Failure:
    """A trial that cannot be finished.

    Attributes:
        trial: its number.
        reason: what happened, and at which step: `loss is nan at step 12 (epoch 0)`.
        path: the file that says so; without it, the trial is trained again.
    """

    trial: int
    reason: str
    path: Path


def record_path(folder: Path, trial: int) -> Path:
    """Where the record of a trial lies in its spec's folder."""
    return folder / f"trial_{trial:03d}.json"


def failure_path(folder: Path, trial: int) -> Path:
    """Where it lies in its spec's folder why a trial failed."""
    return folder / f"failed_{trial:03d}.json"


def write_record(
    path: Path, spec: TrialSpec, trial: int, data: str, content: dict[str, Any]
) -> None:
    """Write a record, or a failure, atomically; `data` is the digest of the data trained on."""
    outcome = {
        "format": FORMAT,
        "hash": spec.hash,
        "trial": trial,
        "data": data,
        "spec": spec.model_dump(mode="json"),
        **content,
    }
    atomic_write_text(path, json.dumps(outcome, indent=1) + "\n")


def read_record(
    path: Path, spec: TrialSpec, trial: int, data: str | None = None
) -> dict[str, Any] | None:
    """The record at `path`; None where there is none or, if `data` is given, one of other data.

    One that is damaged, of another trial or of impossible numbers is moved aside: None.

    Raises:
        UserError: the file cannot be read, for example because permission is missing.
    """
    return _read(path, _Record, spec, trial, data)


def read_failure(
    folder: Path, spec: TrialSpec, trial: int, data: str | None = None
) -> Failure | None:
    """Why a trial failed; None if it did not. Checked like a record."""
    path = failure_path(folder, trial)
    found = _read(path, _Failed, spec, trial, data)
    return Failure(trial, found["reason"], path) if found else None


def _read(
    path: Path, kind: type[_Outcome], spec: TrialSpec, trial: int, data: str | None
) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        outcome = json.loads(content)
        wrong = _what_is_wrong(outcome, kind, spec, trial)
    except (ValueError, RecursionError):
        wrong = "is cut short or damaged" if content else "is empty"
    if wrong:
        _move_aside(path, wrong)
        return None
    return outcome if data in (None, outcome["data"]) else None


def put_aside(path: Path, data: str) -> None:
    """Move a record or failure of other data out of the way of a new one, with the files that are
    written beside it, and say so: nothing of it is lost.

    Args:
        path: where the new one is to be.
        data: digest of the data of the new one.
    """
    try:
        found = json.loads(path.read_bytes())["data"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return
    if isinstance(found, str) and found != data:
        aside = path.with_name(f"{path.name}.{found[:12]}")
        path.replace(aside)
        for ending in (CURVE_BESIDE, ENCODERS_BESIDE):
            if (other := path.with_suffix(ending)).exists():
                other.replace(other.with_name(f"{other.name}.{found[:12]}"))
        print(f"{path} is of other images: kept as {aside.name}", flush=True)


def fault_of(record: object, spec: TrialSpec, trial: int) -> str:
    """What is wrong with a record that should be of this trial: "is damaged (...)"; "" if nothing
    is."""
    return _what_is_wrong(record, _Record, spec, trial)


def _what_is_wrong(outcome: Any, kind: type[_Outcome], spec: TrialSpec, trial: int) -> str:
    if isinstance(outcome, dict) and outcome.get("format", FORMAT) != FORMAT:
        return f"has format {outcome['format']!r} instead of {FORMAT}"
    try:
        found = kind.model_validate(outcome)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        return f"is damaged ({': '.join(filter(None, (place, message)))})"
    if (found.hash, found.trial) != (spec.hash, trial):
        return f"is of trial {found.trial} of spec {found.hash}"
    return "" if found.spec == spec.model_dump(mode="json") else "has another spec than its folder"


def _move_aside(path: Path, wrong: str) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
        done = f"moved aside to {aside.name}"
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        done = f"left out, because it cannot be moved aside ({error.strerror})"
    print(f"{path} {wrong}: {done}; its trial counts as not run", file=sys.stderr, flush=True)
