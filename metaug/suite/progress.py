"""How far the trials of a job are, by what is on disk: what a killed job would go on from."""

from collections.abc import Iterable
from pathlib import Path

from metaug.suite.record import failure_path, record_path
from metaug.training.checkpoint import CHECKPOINT, checkpoint_step

FINISHED = 10**9
"""What a finished trial counts: more than any number of steps."""


def progress(trials: Iterable[int], output: Path, work: Path) -> int:
    """A number that grows with every finished trial and with the steps of the unfinished one.

    Args:
        trials: trial numbers.
        output: folder of the spec's records.
        work: folder of the checkpoints.
    """
    return sum(_of_trial(output, trial, work / f"trial_{trial:03d}") for trial in trials)


def _of_trial(output: Path, trial: int, unfinished: Path) -> int:
    if record_path(output, trial).exists() or failure_path(output, trial).exists():
        return FINISHED
    checkpoints = unfinished.glob(f"*/{CHECKPOINT}")
    return max((checkpoint_step(path) for path in checkpoints), default=0)
