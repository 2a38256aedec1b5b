"""A training that was broken off is gone on with from its checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaug.method import Method
from metaug.training.checkpoint import DamagedCheckpoint, load_checkpoint, save_checkpoint
from metaug.training.curve import LearningCurve
from metaug.training.stopwatch import Seconds


class Unusable(Exception):
    """Why a checkpoint is not gone on from; a sentence without its beginning, the file's name."""


def save_training(
    path: Path,
    method: Method,
    trial: int,
    found: Mapping[str, Any],
    steps: int,
    curve: LearningCurve,
    seconds: Seconds,
) -> None:
    """Write the checkpoint of a training.

    Args:
        path: of the checkpoint.
        method: with its optimisers.
        trial: trial number.
        found: the conditions of the training (`provenance.conditions`).
        steps: how many are done.
        curve: of what they logged.
        seconds: that the training has taken.
    """
    save_checkpoint(
        path,
        {
            "spec": method.spec.hash,
            "trial": trial,
            "conditions": dict(found),
            "step": steps,
            "seconds": list(seconds),
            **curve.state(),
            "method": dict(method.state_dict()),
            "optimizers": {n: o.state_dict() for n, o in method.optimizers.items()},
        },
    )


def resume_training(
    path: Path, method: Method, trial: int, found: Mapping[str, Any], total: int
) -> tuple[int, LearningCurve, Seconds]:
    """Load a checkpoint into a method and its optimisers.

    Args:
        path: of the checkpoint.
        method: as it is before the first step.
        trial: trial number.
        found: the conditions of this run (`provenance.conditions`).
        total: steps of the whole training.

    Returns:
        How many steps are done, the learning curve so far, and the seconds that they took.

    Raises:
        Unusable: the checkpoint is damaged, does not fit, or is of another training or other
            conditions. The method may then be half restored.
    """
    try:
        state = load_checkpoint(path, next(method.parameters()).device)
    except DamagedCheckpoint:
        raise Unusable("is cut short, damaged or of an older version") from None
    try:
        if (state["spec"], state["trial"]) != (method.spec.hash, trial):
            raise Unusable("belongs to another training")
        for key in {**found, **state["conditions"]}:
            before, now = state["conditions"].get(key), found.get(key)
            if before != now:
                raise Unusable(f"was made with {key} = {before}, not {now}")
        if not 0 < state["step"] <= total:
            raise Unusable(f"is at step {state['step']} of {total}")
        method.load_state_dict(state["method"])
        for name, optimizer in method.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        curve = LearningCurve(state["curve"], state["sums"], state["counts"])
        return int(state["step"]), curve, Seconds(*map(float, state["seconds"]))
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        raise Unusable(f"does not fit the code of {method.spec.method}") from None
