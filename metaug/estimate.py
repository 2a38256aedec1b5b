"""What a plan costs: how many trainings, and the hours they take at the speed of this machine."""

import time
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from metaug.data.arrays import open_prepared
from metaug.data.datasets import DATASETS
from metaug.errors import UserError
from metaug.method import Batch, DataShape, Method, build_method
from metaug.plan import Plan
from metaug.reporting.aggregate import ACCURACIES, COLUMNS
from metaug.reporting.tables import Table
from metaug.spec import TrialSpec
from metaug.training.loop import choose_device

TRAINING_IMAGES = {
    "digits_m": 1_437,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "stl10": 5_000,
    "tiny_imagenet": 100_000,
    "imagenet": 1_281_167,
}
"""Sizes of the training splits, for data sets that have not been prepared yet."""

MEASURED_IMAGES = 10_000
"""A method is measured as if it had at most so many training images: its memory bank is small."""

FEW = 4
"""Images of the smallest step that is timed."""

LONG = 0.4
"""Seconds: once a step takes longer, it is not measured on still more images."""

LEFT_OUT = (
    "Left out: probing (features, linear probe, kNN), preparing and downloading data, starting "
    "processes, checkpoints. Steps are timed on random images; long ones on a part of their batch "
    "and scaled up. Hyper-parameters that are real numbers are taken not to change the time."
)


@dataclass(frozen=True)
class Speed:
    """Seconds of a step of training (mean over the passes of an epoch), the number of passes, and
    the read-outs of the method."""

    step_seconds: float
    passes: int
    readouts: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What an artefact needs.

    Attributes:
        artefact: its name.
        cells: accuracies that it shows: the cells of a table, the trainings of a figure.
        specs: distinct specs behind them.
        hours: of one trial of each of these specs.
    """

    artefact: str
    cells: int
    specs: int
    hours: float


def group_of(spec: TrialSpec) -> tuple[Any, ...]:
    """What the time of a step depends on; specs of one group are measured once."""
    choices = {key: value for key, value in spec.hyper.items() if not isinstance(value, float)}
    return (
        spec.method,
        spec.backbone,
        spec.width,
        spec.view_width,
        spec.views,
        spec.image_size,
        spec.batch_size,
        tuple(sorted(choices.items())),
    )


def measure(spec: TrialSpec, device: torch.device) -> Speed:
    """Time steps of a spec on random images, with ever larger parts of its batch."""
    classes = DATASETS[spec.dataset].classes
    images = max(min(spec.train_images or MEASURED_IMAGES, MEASURED_IMAGES), spec.batch_size)
    method = build_method(spec, DataShape(images, classes), seed=0).to(device).eval()
    with torch.no_grad():
        blank = torch.zeros(2, 3, spec.image_size, spec.image_size, device=device)
        readouts = tuple(method.representation(blank))
    if not method.trained or spec.epochs == 0:
        return Speed(0.0, 1, readouts)
    method.train()
    method.optimizers = method.build_optimizers()
    _time_step(method, FEW, classes, device)  # the first step of a process is slow
    sizes, seconds = [FEW], [_time_step(method, FEW, classes, device)]
    while sizes[-1] < spec.batch_size and seconds[-1] < LONG:
        sizes.append(min(2 * sizes[-1], spec.batch_size))
        seconds.append(_time_step(method, sizes[-1], classes, device))
    return Speed(_extrapolated(sizes, seconds, spec.batch_size), method.passes, readouts)


def _time_step(method: Method, size: int, classes: int, device: torch.device) -> float:
    """Seconds of a step on `size` random images, mean over the passes of an epoch.

    On the CPU these are seconds of one core, which other work on the machine does not lengthen.
    """
    generator = torch.Generator().manual_seed(size)
    side = method.spec.image_size
    pixels = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, generator=generator)
    images = pixels.to(device).permute(0, 3, 1, 2)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    for pass_index in range(method.passes):
        method.update(
            Batch(
                crops=method.augment(images, generator),
                index=torch.arange(size, device=device),
                labels=torch.arange(size, device=device) % classes,
                epoch=0,
                pass_index=pass_index,
                step=1,
                progress=0.0,
                generator=generator,
            )
        )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (clock() - start) / method.passes


def _extrapolated(sizes: list[int], seconds: list[float], batch_size: int) -> float:
    """Seconds at `batch_size`, on the line through the last two sizes (or through zero)."""
    if sizes[-1] == batch_size:
        return seconds[-1]
    if len(sizes) == 1:
        return seconds[-1] * batch_size / sizes[-1]
    slope = max(seconds[-1] - seconds[-2], 0) / (sizes[-1] - sizes[-2])
    return seconds[-1] + slope * (batch_size - sizes[-1])


def training_images(plan: Plan, spec: TrialSpec) -> int:
    """Images that a trial of the spec is trained on."""
    try:
        available = len(open_prepared(plan.data_folder(spec)).train.labels)
    except UserError:  # not prepared yet
        available = TRAINING_IMAGES[spec.dataset]
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
            cells_of(plan, name, speeds),
            len(plan.specs_of[name]),
            sum(hours[spec.hash] for spec in plan.specs_of[name]),
        )
        for name in plan.rendered
        if name in plan.artefacts
    ]


def cells_of(plan: Plan, artefact: str, speeds: dict[str, Speed]) -> int:
    """The accuracies that an artefact shows: of a table, the cells that are filled when it is
    rendered from one trial of all it needs; of a figure, one for each of its trainings."""
    specs = plan.specs_of[artefact]
    if plan.rendered[artefact] is not Table:
        return len(specs)
    rows = [
        {
            "scale": spec.scale,
            "spec": spec.hash,
            "trial": 0,
            "seed": 0,
            "method": spec.method,
            "dataset": spec.dataset,
            "backbone": spec.backbone,
            "probe": readout.partition(";")[0],
            "setting": plan.setting(spec, readout.partition(";")[2]),
            "metric": metric,
            "value": 50.0,
        }
        for spec in specs
        for readout in speeds[spec.hash].readouts
        for metric in ACCURACIES
    ]
    table = plan.render(artefact, {artefact: pd.DataFrame(rows, columns=COLUMNS)})
    assert isinstance(table, Table)
    return sum(cell.ours.n > 0 for cell in table.cells.values())


def print_plan(plan: Plan) -> None:
    """Print trainings, (cell, trial) pairs and estimated hours of every artefact."""
    device = choose_device(plan.config.device)
    torch.set_num_threads(1)
    groups = {group_of(spec): spec for spec in plan.specs.values()}
    bar = tqdm(groups.items(), desc="timing steps", unit="group", disable=None, leave=False)
    measured = {group: measure(spec, device) for group, spec in bar}
    speeds = {key: measured[group_of(spec)] for key, spec in plan.specs.items()}
    costs, trials = costs_of(plan, speeds), plan.grid.trials
    distinct = sum(hours_of(plan, spec, speeds[key]) for key, spec in plan.specs.items())

    print(f"Plan of scale {plan.scale.name}: {trials} trials of each training\n")
    print(f"{'artefact':10}{'cells':>8}{'(cell, trial)':>15}{'trainings':>11}{'hours':>12}")
    for cost in costs:
        print(
            f"{cost.artefact:10}{cost.cells:8,}{cost.cells * trials:15,}"
            f"{cost.specs * trials:11,}{cost.hours * trials:12,.1f}"
        )
    cells = sum(cost.cells for cost in costs)
    specs, hours = sum(cost.specs for cost in costs), sum(cost.hours for cost in costs)
    worker = "one core of this machine"
    if device.type == "cuda":
        worker = torch.cuda.get_device_name(device)
    print(
        f"{'sum':10}{cells:8,}{cells * trials:15,}{specs * trials:11,}{hours * trials:12,.1f}\n"
        f"{'distinct':10}{'':23}{len(plan.specs) * trials:11,}{distinct * trials:12,.1f}\n\n"
        f"{cells * trials:,} (cell, trial) pairs need {len(plan.specs) * trials:,} distinct "
        f"trainings: {distinct * trials:,.1f} hours of {worker}, from the times of "
        f"{len(groups)} kinds of steps.\n{LEFT_OUT}",
        flush=True,
    )
