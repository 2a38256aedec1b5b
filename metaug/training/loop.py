"""The training loop of one trial."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from metaug.errors import Diverged, UserError
from metaug.method import Batch, DataShape, Method, build_method
from metaug.optimizers import rate_factor, set_rate_factor
from metaug.seeds import Draws, draws_of, epoch_order
from metaug.spec import TrialSpec
from metaug.training.checkpoint import CHECKPOINT
from metaug.training.curve import LearningCurve
from metaug.training.display import Display
from metaug.training.images import TrainingSet
from metaug.training.parallel import agreed, check_processes, leads, processes, together
from metaug.training.provenance import conditions
from metaug.training.resume import Unusable, resume_training, save_training
from metaug.training.runtime import Runtime
from metaug.training.steps import Step, number_of_steps, steps_of
from metaug.training.stop import postponed
from metaug.training.stopwatch import Stopwatch


def train(
    spec: TrialSpec,
    trial: int,
    data: TrainingSet,
    folder: Path,
    runtime: Runtime,
    stopwatch: Stopwatch | None = None,
) -> tuple[Method, list[dict[str, float]]]:
    """Train the method of `spec` on `data`, resuming from a checkpoint in `folder` if there is one.

    A resumed training ends with exactly the numbers of an undisturbed one. So a checkpoint that is
    damaged, of another training or of other conditions (`provenance.conditions`) is not used: one
    line says why, and the training starts anew. A signal (`stop`) is heeded between two steps,
    after a checkpoint.

    Where several processes train together (`metaug.training.parallel`), all of them call this; one
    of them writes.

    Args:
        spec: what to train.
        trial: trial number.
        data: training images.
        folder: of the checkpoint.
        runtime: device, progress, checkpoints.
        stopwatch: goes on from the seconds in the checkpoint; by default one that starts now.

    Returns:
        The trained method and its learning curve: for each epoch the mean of what was logged.

    Raises:
        Diverged: a loss is not finite (names the step).
        UserError: the data are fewer than a batch, or the processes cannot train together.
    """
    stopwatch = stopwatch or Stopwatch()
    method = _untrained(spec, trial, data, runtime)
    if not method.trained:
        method.warm_up(_all_images(method, data, trial, runtime))
        return method, []
    if spec.epochs == 0:
        return method, []
    if len(data) < spec.batch_size:
        raise UserError(
            f"{spec}: {len(data)} training images are fewer than a batch of {spec.batch_size}; "
            "lower batch_size or raise train_images"
        )
    check_processes(spec, processes())
    runtime.announce(trial, folder)
    total = number_of_steps(spec, method.passes, len(data))

    checkpoint = folder / CHECKPOINT
    found = conditions(runtime.device, runtime.mixed_precision)
    first, curve = 0, LearningCurve()
    if checkpoint.exists():
        try:
            first, curve, seconds = resume_training(checkpoint, method, trial, found, total)
            stopwatch.go_on_from(seconds)
        except Unusable as why:
            print(f"checkpoint {checkpoint} {why}: trial {trial} starts anew", flush=True)
            method = _untrained(spec, trial, data, runtime)  # it may be half restored
    if first == 0:
        method.warm_up(_all_images(method, data, trial, runtime))

    display = Display(spec, trial, first, total, folder, runtime)
    saved = time.monotonic()
    order: Tensor | None = None
    with postponed() as stop_asked, together(method), closing(display):
        for step in steps_of(spec, method.passes, len(data), first):
            if order is None or step.position == 0:
                order = epoch_order(trial, step.epoch, step.pass_index, len(data))
            rows = order[step.position * spec.batch_size : (step.position + 1) * spec.batch_size]
            draws = draws_of(trial, step.epoch, step.pass_index, step.position)
            batch = _batch(method, data, rows, step, draws, runtime)
            for optimizer in method.optimizers.values():
                set_rate_factor(optimizer, rate_factor(spec, step.progress))
            curve.add(_finite_numbers(method.update(batch), step))
            display.step()
            if step.is_last_of_epoch:
                display.epoch(step.epoch, curve.end_epoch(step.epoch), curve)
            stopping = agreed(stop_asked(), runtime.device)
            due = time.monotonic() - saved >= runtime.checkpoint_seconds
            if leads() and (due or stopping):
                done = step.number + 1
                save_training(checkpoint, method, trial, found, done, curve, stopwatch.read())
                saved = time.monotonic()
            if stopping:
                break
    return method, curve.rows


def _untrained(spec: TrialSpec, trial: int, data: TrainingSet, runtime: Runtime) -> Method:
    """The method as it is before the first step."""
    method = build_method(spec, DataShape(len(data), data.classes), trial)
    method.to(runtime.device).train()
    if method.trained and spec.epochs:
        method.mixed_precision = runtime.mixed_precision
    return method


def _all_images(method: Method, data: TrainingSet, trial: int, runtime: Runtime) -> Iterator[Batch]:
    """Every training image once, in batches of nearly equal size, for `Method.warm_up`."""
    order = torch.randperm(len(data), generator=draws_of(trial, "warm-up")("order"))
    parts = order.tensor_split(math.ceil(len(data) / method.spec.batch_size))
    for position, rows in enumerate(parts):
        before = Step(0, 0, 0, position, 0.0, is_last_of_epoch=False)
        yield _batch(method, data, rows, before, draws_of(trial, "warm-up", position), runtime)


def _batch(
    method: Method, data: TrainingSet, rows: Tensor, step: Step, draws: Draws, runtime: Runtime
) -> Batch:
    part, parts = method.part
    return Batch(
        crops=method.augment(data.batch(rows.chunk(parts)[part], runtime.device), draws),
        index=rows.to(runtime.device),
        labels=data.labels[rows].to(runtime.device),
        epoch=step.epoch,
        pass_index=step.pass_index,
        step=step.number,
        progress=step.progress,
        draws=draws,
    )


def _finite_numbers(logs: Mapping[str, Tensor | float], step: Step) -> dict[str, float]:
    """What a step logged, as numbers.

    Raises:
        Diverged: one of them is not finite.
    """
    numbers = {key: float(value) for key, value in logs.items()}
    for key, value in numbers.items():
        if not math.isfinite(value):
            raise Diverged(f"{key} is {value} at step {step.number} (epoch {step.epoch})")
    return numbers
