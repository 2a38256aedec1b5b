"""What a plan costs: how many trainings, and the hours they take at the speed of this machine."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from metaug.data.arrays import open_prepared
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method, build_method
from metaug.seeds import draws_of
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan
from metaug.training.loop import choose_device

MEASURED_IMAGES = 10_000
"""A method is timed as if it had at most so many training images: its memory bank is small."""

SMALL_SIZE, SMALL_BATCH = 32, 64
SMALL_WIDTHS = {"alexnet": 0.25, "resnet18": 0.125, "resnet50": 0.125}
"""Every kind of step is timed at this image size, batch and width, or its own if that is less: the
shapes of the scales for the CPU."""

REFERENCE = "simclr"
"""How a step grows with its shape is timed with this method."""

LONG = 3.0
"""Seconds: once a step takes longer, it is not timed on still more images."""

LEFT_OUT = (
    "Left out: probing (features, linear probe, kNN), preparing and downloading data, starting "
    "processes, checkpoints. Every kind of step is timed at a small shape on random images and "
    "scaled to its own as SimCLR is; long steps on a part of their batch. Hyper-parameters that "
    "are real numbers are taken not to change the time."
)


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step (mean over the passes of an epoch), and the number of passes."""

    step_seconds: float
    passes: int


@dataclass(frozen=True)
class Cost:
    """What an artefact needs.

    Attributes:
        artefact: its name.
        cells: read-outs of trainings that it shows.
        specs: distinct specs behind them.
        hours: of one trial of each of these specs.
    """

    artefact: str
    cells: int
    specs: int
    hours: float


class Clock:
    """Times steps, each kind once."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self._speeds: dict[tuple[Any, ...], Speed] = {}
        self._lines: dict[tuple[Any, ...], tuple[float, float]] = {}

    def speed(self, spec: TrialSpec) -> Speed:
        """The speed of a spec: that of its kind of step at the small shape, and how much longer a
        step of the reference takes at the spec's own shape."""
        small = _small(spec)
        speed = self._speed_of(small)
        if small == spec or not speed.step_seconds:
            return speed
        reference = self._reference(spec)
        fixed, each = self._line(reference)
        growth = (fixed + each * spec.batch_size) / self._speed_of(_small(reference)).step_seconds
        return replace(speed, step_seconds=speed.step_seconds * growth)

    @property
    def kinds(self) -> int:
        """How many kinds of steps were timed."""
        return len(self._speeds) + len(self._lines)

    def _reference(self, spec: TrialSpec) -> TrialSpec:
        """The reference with the shape of a spec."""
        reference = self.plan.grid.spec(REFERENCE, spec.dataset, spec.backbone)
        return reference.model_copy(update={"batch_size": spec.batch_size})

    def _speed_of(self, spec: TrialSpec) -> Speed:
        choices = {key: value for key, value in spec.hyper.items() if not isinstance(value, float)}
        kind = (
            *(spec.method, spec.backbone, spec.width, spec.view_width, spec.views),
            *(spec.image_size, spec.batch_size, tuple(sorted(choices.items()))),
        )
        if kind not in self._speeds:
            self._speeds[kind] = self._time(spec)
        return self._speeds[kind]

    def _time(self, spec: TrialSpec) -> Speed:
        method = self._build(spec)
        if not method.trained or spec.epochs == 0:
            return Speed(0.0, 1)
        _time_step(method, spec.batch_size, self.device)  # the first one is slow
        return Speed(_time_step(method, spec.batch_size, self.device), method.passes)

    def _line(self, spec: TrialSpec) -> tuple[float, float]:
        """Seconds of a step apart from its images, and for each image: from a step on 2 images
        and one that takes some three times as long."""
        shape = (spec.backbone, spec.width, spec.image_size)
        if shape not in self._lines:
            method = self._build(spec)
            _time_step(method, 2, self.device)
            first = last = _time_step(method, 2, self.device)
            images = 2
            while images < SMALL_BATCH and (images == 2 or last < min(3 * first, LONG)):
                images *= 2
                last = _time_step(method, images, self.device)
            each = max(last - first, 0.0) / (images - 2)
            self._lines[shape] = (max(first - 2 * each, 0.0), each)
        return self._lines[shape]

    def _build(self, spec: TrialSpec) -> Method:
        classes = self.plan.grid.known[spec.dataset].classes
        images = min(spec.train_images or MEASURED_IMAGES, MEASURED_IMAGES)
        method = build_method(spec, DataShape(max(images, spec.batch_size), classes), trial=0)
        method.to(self.device).train()
        if method.trained:
            method.optimizers = method.build_optimizers()
        return method


def _small(spec: TrialSpec) -> TrialSpec:
    return spec.model_copy(
        update={
            "image_size": min(spec.image_size, SMALL_SIZE),
            "width": min(spec.width, SMALL_WIDTHS[spec.backbone]),
            "batch_size": min(spec.batch_size, SMALL_BATCH),
        }
    )


def _time_step(method: Method, size: int, device: torch.device) -> float:
    """Seconds of a step on `size` random images, mean over the passes of an epoch.

    On the CPU these are seconds of one core, which other work on the machine does not lengthen.
    """
    generator = torch.Generator().manual_seed(size)
    side = method.spec.image_size
    pixels = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, generator=generator)
    images = pixels.to(device).permute(0, 3, 1, 2)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    draws = draws_of("timing")
    for pass_index in range(method.passes):
        method.update(
            Batch(
                crops=method.augment(images, draws),
                index=torch.arange(size, device=device),
                labels=torch.arange(size, device=device) % method.data.classes,
                epoch=0,
                pass_index=pass_index,
                step=1,
                progress=0.0,
                draws=draws,
            )
        )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (clock() - start) / method.passes


def training_images(plan: Plan, spec: TrialSpec) -> int:
    """Images that a trial of the spec is trained on."""
    try:
        available = len(open_prepared(plan.data_folder(spec)).train.labels)
    except UserError:  # not prepared yet
        available = plan.grid.known[spec.dataset].training_images
    return min(spec.train_images or available, available)


def hours_of(plan: Plan, spec: TrialSpec, speed: Speed) -> float:
    """Hours of training of one trial."""
    steps = spec.epochs * speed.passes * (training_images(plan, spec) // spec.batch_size)
    return steps * speed.step_seconds / 3600


def costs_of(plan: Plan, speeds: dict[str, Speed]) -> list[Cost]:
    """The cost of each artefact; `speeds` by the hash of a spec."""
    hours = {key: hours_of(plan, spec, speeds[key]) for key, spec in plan.specs.items()}
    return [
        Cost(
            name,
            len({(query.spec, query.readout) for query in plan.cells[name].values()}),
            len(plan.specs_of[name]),
            sum(hours[spec.hash] for spec in plan.specs_of[name]),
        )
        for name in plan.rendered
        if name in plan.artefacts
    ]


@dataclass(frozen=True)
class Estimate:
    """What a plan costs.

    Attributes:
        costs: of each artefact, of one trial of each of its trainings.
        hours: of all distinct trainings, one trial of each.
        worker: what these are hours of.
        timings: how many kinds of steps were timed.
    """

    costs: tuple[Cost, ...]
    hours: float
    worker: str
    timings: int


def estimate(plan: Plan) -> Estimate:
    """Time the steps of a plan; takes some seconds for each kind."""
    device = choose_device(plan.config.device)
    torch.set_num_threads(1)
    clock = Clock(plan, device)
    bar = tqdm(plan.specs.items(), desc="timing steps", unit="spec", disable=None, leave=False)
    speeds = {key: clock.speed(spec) for key, spec in bar}
    hours = sum(hours_of(plan, spec, speeds[key]) for key, spec in plan.specs.items())
    worker = "one core of this machine"
    if device.type == "cuda":
        worker = torch.cuda.get_device_name(device)
    return Estimate(tuple(costs_of(plan, speeds)), hours, worker, clock.kinds)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Trainings and estimated hours of every artefact, all trials together, for scripts."""
    found, trials = estimate(plan), plan.grid.trials
    return {
        "scale": plan.scale.name,
        "trials": trials,
        "artefacts": {
            cost.artefact: {
                "cells": cost.cells,
                "trainings": cost.specs * trials,
                "hours": cost.hours * trials,
            }
            for cost in found.costs
        },
        "distinct": {"trainings": len(plan.specs) * trials, "hours": found.hours * trials},
        "worker": found.worker,
    }


def print_plan(plan: Plan) -> None:
    """Print trainings, (cell, trial) pairs and estimated hours of every artefact."""
    found, trials = estimate(plan), plan.grid.trials
    costs, distinct = found.costs, found.hours

    print(f"Plan of scale {plan.scale.name}: {trials} trials of each training\n")
    print(f"{'artefact':10}{'cells':>8}{'(cell, trial)':>15}{'trainings':>11}{'hours':>16}")
    for cost in costs:
        print(
            f"{cost.artefact:10}{cost.cells:8,}{cost.cells * trials:15,}"
            f"{cost.specs * trials:11,}{cost.hours * trials:16,.1f}"
        )
    cells = sum(cost.cells for cost in costs)
    specs, hours = sum(cost.specs for cost in costs), sum(cost.hours for cost in costs)
    print(
        f"{'sum':10}{cells:8,}{cells * trials:15,}{specs * trials:11,}{hours * trials:16,.1f}\n"
        f"{'distinct':10}{'':23}{len(plan.specs) * trials:11,}{distinct * trials:16,.1f}\n\n"
        f"{cells * trials:,} (cell, trial) pairs need {len(plan.specs) * trials:,} distinct "
        f"trainings: {distinct * trials:,.1f} hours of {found.worker}, from the times of "
        f"{found.timings} timings.\n{LEFT_OUT}",
        flush=True,
    )
