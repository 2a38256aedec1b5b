"""The training loop of one trial."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from metaug.data.arrays import Prepared, Split, balanced_subset
from metaug.errors import Diverged, UserError
from metaug.files import atomic_write_text
from metaug.method import Batch, DataShape, Method, build_method
from metaug.optimizers import rate_factor, set_rate_factor
from metaug.seeds import Draws, draws_of, epoch_order, subset_generator, validation_generator
from metaug.spec import TrialSpec
from metaug.training.checkpoint import DamagedCheckpoint, load_checkpoint, save_checkpoint
from metaug.training.curve import curve_csv
from metaug.training.parallel import agreed, check_processes, leads, processes, together
from metaug.training.provenance import conditions
from metaug.training.stop import postponed

CHECKPOINT = "checkpoint.safetensors"
CURVE = "curve.csv"
"""The learning curve so far, to watch a training by."""


@dataclass(frozen=True)
class Runtime:
    """How a training is run. Device, precision and the number of threads of PyTorch change its
    numbers, if only by rounding; the rest does not.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, ...; see `choose_device`.
        mixed_precision: bfloat16 autocast of the encoders (CUDA only).
        checkpoint_seconds: least time between two checkpoints; 0: after every step.
        progress: show a progress bar where stderr is a terminal.
        tensorboard: folder for TensorBoard events, or None.
        announce: told the trial and the folder of its checkpoint before the first step, so that
            other processes can join (`metaug.suite.helpers`).
    """

    device: torch.device
    mixed_precision: bool = False
    checkpoint_seconds: float = 60.0
    progress: bool = True
    tensorboard: Path | None = None
    announce: Callable[[int, Path], None] = lambda trial, folder: None


@dataclass(frozen=True)
class TrainingSet:
    """The training images of one trial: a class-balanced subset of a split."""

    images: np.ndarray
    labels: Tensor
    classes: int

    @classmethod
    def of(cls, split: Split, spec: TrialSpec, trial: int, classes: int) -> "TrainingSet":
        """The subset of trial `trial`: the same for all methods.

        Where a validation part is held out, the subset comes from the rest.
        """
        rows = np.arange(len(split.labels))
        if spec.probe.split == "validation":
            rows = np.setdiff1d(rows, validation_rows(split.labels, trial))
        elif spec.train_images is None:
            return cls(split.images, torch.from_numpy(split.labels), classes)
        if spec.train_images is not None:
            generator = subset_generator(trial)
            rows = rows[balanced_subset(split.labels[rows], spec.train_images, generator)]
        return cls(split.images[rows], torch.from_numpy(split.labels[rows]), classes)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        """Images `rows` as uint8 (N, 3, H, W), channels-last."""
        images = torch.from_numpy(self.images[rows.numpy()])
        return images.to(device, non_blocking=True).permute(0, 3, 1, 2)


def validation_rows(labels: np.ndarray, trial: int) -> np.ndarray:
    """Rows of the training split that a trial holds out: a class-balanced tenth, ascending.

    Raises:
        UserError: a class has so few images that none would be left to train on.
    """
    held_out = balanced_subset(labels, len(labels) // 10, validation_generator(trial))
    lost = np.setdiff1d(labels[held_out], np.delete(labels, held_out))
    if len(lost):
        raise UserError(
            f"a validation part of {len(held_out)} images would hold all of class {lost[0]}: "
            "measure on probe: {split: test}"
        )
    return held_out


def evaluation_split(prepared: Prepared, spec: TrialSpec, trial: int) -> Split:
    """The images that a trial's representations are judged on: `spec.probe.split`."""
    if spec.probe.split == "test":
        return prepared.test
    rows = validation_rows(prepared.train.labels, trial)
    return Split(prepared.train.images[rows], prepared.train.labels[rows])


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU.

    Raises:
        UserError: the name is none of a device, or there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"device {name!r} is not available here; try device=auto") from None
    return device


def train(
    spec: TrialSpec, trial: int, data: TrainingSet, folder: Path, runtime: Runtime
) -> tuple[Method, list[dict[str, float]]]:
    """Train the method of `spec` on `data`, resuming from a checkpoint in `folder` if there is one.

    A resumed training ends with exactly the numbers of an undisturbed one. So a checkpoint that is
    damaged, of another training or of other conditions (`provenance.conditions`) is not used: one
    line says why, and the training starts anew. A signal (`stop`) is heeded between two steps,
    after a checkpoint.

    Where several processes train together (`metaug.training.parallel`), all of them call this; one
    of them writes.

    Returns:
        The trained method and its learning curve: for each epoch the mean of what was logged.

    Raises:
        Diverged: a loss is not finite (names the step).
        UserError: the data are fewer than a batch, or the processes cannot train together.
    """
    method = _untrained(spec, trial, data, runtime)
    if not method.trained or spec.epochs == 0:
        return method, []
    if len(data) < spec.batch_size:
        raise UserError(
            f"{spec}: {len(data)} training images are fewer than a batch of {spec.batch_size}; "
            "lower batch_size or raise train_images"
        )
    check_processes(spec, processes())
    runtime.announce(trial, folder)
    steps_per_pass = len(data) // spec.batch_size
    steps_per_epoch = steps_per_pass * method.passes
    total = steps_per_epoch * spec.epochs

    checkpoint = folder / CHECKPOINT
    found = conditions(runtime.device, runtime.mixed_precision)
    state: dict[str, Any] = {"step": 0, "curve": [], "sums": {}, "counts": {}}
    if checkpoint.exists():
        try:
            state = _resume(checkpoint, method, spec, trial, found, total)
        except _Unusable as why:
            print(f"checkpoint {checkpoint} {why}: trial {trial} starts anew", flush=True)
            method = _untrained(spec, trial, data, runtime)  # it may be half restored
    if state["step"] == 0:
        method.warm_up(_all_images(method, data, trial, runtime))
    curve: list[dict[str, float]] = state["curve"]
    sums = defaultdict(float, state["sums"])
    counts = defaultdict(int, state["counts"])
    writer = SummaryWriter(runtime.tensorboard) if runtime.tensorboard and leads() else None
    saved = time.monotonic()
    bar = tqdm(
        total=total,
        initial=state["step"],
        desc=f"{spec.method} {spec.dataset} trial {trial}",
        unit="step",
        disable=None if runtime.progress and leads() else True,
        leave=False,
    )
    order: Tensor | None = None
    with postponed() as stop_asked, together(method):
        for step in range(state["step"], total):
            epoch, within = divmod(step, steps_per_epoch)
            pass_index, position = divmod(within, steps_per_pass)
            if order is None or position == 0:
                order = epoch_order(trial, epoch, pass_index, len(data))
            rows = order[position * spec.batch_size : (position + 1) * spec.batch_size]
            progress = (epoch + position / steps_per_pass) / spec.epochs
            draws = draws_of(trial, epoch, pass_index, position)
            batch = _batch(
                method,
                data,
                rows,
                draws,
                runtime,
                epoch=epoch,
                pass_index=pass_index,
                step=step,
                progress=progress,
            )
            for optimizer in method.optimizers.values():
                set_rate_factor(optimizer, rate_factor(spec, progress))
            for key, value in _numbers(method.update(batch)).items():
                if not math.isfinite(value):
                    raise Diverged(f"{key} is {value} at step {step} (epoch {epoch})")
                sums[key] += value
                counts[key] += 1
            bar.update()
            if within == steps_per_epoch - 1:
                means = {key: sums[key] / counts[key] for key in sums}
                curve.append({"epoch": epoch, **means})
                bar.set_postfix({key: f"{value:.4g}" for key, value in list(means.items())[:1]})
                sums.clear()
                counts.clear()
                if leads():
                    atomic_write_text(folder / CURVE, curve_csv(curve))
                if writer:
                    for key, value in means.items():
                        writer.add_scalar(key, value, epoch)
            due = time.monotonic() - saved >= runtime.checkpoint_seconds
            stopping = agreed(stop_asked(), runtime.device)
            if leads() and (due or stopping):
                so_far = {"step": step + 1, "curve": curve, "sums": sums, "counts": counts}
                _save(checkpoint, method, spec, trial, found, so_far)
                saved = time.monotonic()
            if stopping:
                break
    bar.close()
    if writer:
        writer.close()
    return method, curve


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
        yield _batch(method, data, rows, draws_of(trial, "warm-up", position), runtime)


def _batch(
    method: Method,
    data: TrainingSet,
    rows: Tensor,
    draws: Draws,
    runtime: Runtime,
    *,
    epoch: int = 0,
    pass_index: int = 0,
    step: int = 0,
    progress: float = 0.0,
) -> Batch:
    part, parts = method.part
    return Batch(
        crops=method.augment(data.batch(rows.chunk(parts)[part], runtime.device), draws),
        index=rows.to(runtime.device),
        labels=data.labels[rows].to(runtime.device),
        epoch=epoch,
        pass_index=pass_index,
        step=step,
        progress=progress,
        draws=draws,
    )


def _numbers(logs: Mapping[str, Tensor | float]) -> dict[str, float]:
    return {key: float(value) for key, value in logs.items()}


def _save(
    path: Path,
    method: Method,
    spec: TrialSpec,
    trial: int,
    found: Mapping[str, Any],
    so_far: Mapping[str, Any],
) -> None:
    save_checkpoint(
        path,
        {
            "spec": spec.hash,
            "trial": trial,
            "conditions": dict(found),
            **so_far,
            "method": dict(method.state_dict()),
            "optimizers": {n: o.state_dict() for n, o in method.optimizers.items()},
        },
    )


class _Unusable(Exception):
    """Why a checkpoint is not resumed from; goes on after its name."""


def _resume(
    path: Path,
    method: Method,
    spec: TrialSpec,
    trial: int,
    found: Mapping[str, Any],
    total: int,
) -> dict[str, Any]:
    """Load the checkpoint into method and optimisers.

    Raises:
        _Unusable: it is damaged, does not fit, or is of another training or other conditions.
    """
    try:
        state = load_checkpoint(path, next(method.parameters()).device)
    except DamagedCheckpoint:
        raise _Unusable("is cut short, damaged or of an older version") from None
    try:
        if (state["spec"], state["trial"]) != (spec.hash, trial):
            raise _Unusable("belongs to another training")
        for key in {**found, **state["conditions"]}:
            before, now = state["conditions"].get(key), found.get(key)
            if before != now:
                raise _Unusable(f"was made with {key} = {before}, not {now}")
        if not 0 < state["step"] <= total:
            raise _Unusable(f"is at step {state['step']} of {total}")
        method.load_state_dict(state["method"])
        for name, optimizer in method.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        return {key: state[key] for key in ("step", "curve", "sums", "counts")}
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        raise _Unusable(f"does not fit the code of {spec.method}") from None
