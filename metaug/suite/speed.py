"""How fast this device trains: seconds of a step of every kind, timed on random images."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from metaug.method import Batch, DataShape, Method, build_method
from metaug.seeds import draws_of
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan

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


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step (mean over the passes of an epoch), and the number of passes."""

    step_seconds: float
    passes: int


class Clock:
    """Times steps, each kind once."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self._speeds: dict[tuple[Any, ...], Speed] = {}
        self._lines: dict[tuple[Any, ...], tuple[float, float]] = {}

    def speed(self, spec: TrialSpec) -> Speed:
        """The speed of a spec. On a GPU, which a small step does not fill, that of its own step; on
        the CPU that of its kind of step at the small shape, and how much longer a step of the
        reference takes at the spec's own shape."""
        if self.device.type == "cuda":
            return self._speed_in_parts(spec)
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

    def _speed_in_parts(self, spec: TrialSpec) -> Speed:
        """The speed of a spec at its own shape; where its batch is too large for the memory, so
        many times that of a part."""
        size = spec.batch_size
        while True:
            try:
                speed = self._speed_of(spec.model_copy(update={"batch_size": size}))
            except torch.OutOfMemoryError:
                if size < 4:
                    raise
                size //= 2
                torch.cuda.empty_cache()
                continue
            return replace(speed, step_seconds=speed.step_seconds * spec.batch_size / size)

    def _reference(self, spec: TrialSpec) -> TrialSpec:
        """The reference with the shape of a spec."""
        reference = self.plan.grid.spec(REFERENCE, spec.dataset, spec.backbone)
        shape = {key: getattr(spec, key) for key in ("batch_size", "width", "image_size")}
        return reference.model_copy(update={**shape, "epochs": 1})

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


def timed(plan: Plan, clock: Clock) -> dict[str, Speed]:
    """The speed of every spec, by hash; says on stderr how far it is."""
    speeds = {}
    with tqdm(
        total=len(plan.specs),
        desc=f"timing steps on {clock.device}",
        unit="spec",
        disable=None,  # a bar in a terminal, nothing in a pipe
        leave=False,
    ) as bar:
        for key, spec in plan.specs.items():
            bar.set_postfix_str(f"{spec.method} {spec.dataset}", refresh=False)
            speeds[key] = clock.speed(spec)
            bar.update()
    return speeds
