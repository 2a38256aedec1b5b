"""The trials that a run with a budget trains, and the file that says so while they are trained."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from metaug.files import atomic_write_text


class Schedule(BaseModel):
    """What a run with a budget trains.

    Attributes:
        hours: the core-hours that were asked for.
        trials: by hash of a spec, the trials to train.
        planned_hours: what they are expected to take.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    hours: float
    trials: dict[str, list[int]]
    planned_hours: float


def write_schedule(schedule: Schedule, path: Path) -> None:
    """Write it, atomically."""
    atomic_write_text(path, schedule.model_dump_json(indent=1) + "\n")


def read_schedule(path: Path) -> Schedule | None:
    """The schedule in a file; None where there is none, or it is damaged."""
    try:
        return Schedule.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
