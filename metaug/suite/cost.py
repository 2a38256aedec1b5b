"""What a plan costs: trainings, hours at the speed of this device, memory and disk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from metaug.data.arrays import open_prepared
from metaug.errors import UserError
from metaug.method import find_method
from metaug.reporting.looks import LOOKS
from metaug.spec import TrialSpec
from metaug.suite.plan import Plan
from metaug.suite.speed import Clock, Speed, timed
from metaug.suite.summary import settings_of
from metaug.training.runtime import choose_device
from metaug.training.steps import number_of_steps

LEFT_OUT = (
    "Left out: probing (features, linear probe, kNN), preparing and downloading data, starting "
    "processes, checkpoints. Hyper-parameters that are real numbers are taken not to change the "
    "time. Memory: the most that one job asks of a cluster. Disk: the prepared data sets, and the "
    "most that one job writes while it runs."
)
TIMED_ON = {
    "cpu": "Every kind of step is timed at a small shape on random images and scaled to its own as "
    "SimCLR is; long steps on a part of their batch.",
    "cuda": "Every kind of step is timed at its own shape on random images, or on a part of its "
    "batch where the GPU has no memory for the whole; then one GPU cannot train it.",
}
"""How steps are timed, by type of device."""


@dataclass(frozen=True)
class Cost:
    """What an artefact needs.

    Attributes:
        artefact: its name.
        cells: read-outs of trainings that it shows.
        specs: distinct specs behind them.
        hours: of one trial of each of these specs.
        impossible: how many of these specs cannot be trained: their batch is more than the images.
        memory_mb: the most that a job of it asks for.
        disk_mb: its prepared data sets, and the most that one job of it writes while it runs.
    """

    artefact: str
    cells: int
    specs: int
    hours: float
    impossible: int
    memory_mb: int
    disk_mb: int


def training_images(plan: Plan, spec: TrialSpec) -> int:
    """Images that a trial of the spec is trained on."""
    try:
        available = len(open_prepared(plan.data_folder(spec)).train.labels)
    except UserError:  # not prepared yet
        available = plan.grid.known[spec.dataset].training_images
    return min(spec.train_images or available, available)


def is_possible(plan: Plan, spec: TrialSpec) -> bool:
    """Whether there are enough images for one batch of a spec, or it needs none."""
    trained = find_method(spec.method).trained and spec.epochs > 0
    return not trained or spec.batch_size <= training_images(plan, spec)


def hours_of(plan: Plan, spec: TrialSpec, speed: Speed) -> float:
    """Hours of training of one trial; none where it is not possible."""
    steps = number_of_steps(spec, speed.passes, training_images(plan, spec))
    return steps * speed.step_seconds / 3600


def costs_of(plan: Plan, speeds: Mapping[str, Speed]) -> list[Cost]:
    """The cost of each artefact; `speeds` by the hash of a spec."""
    return [
        cost_of(plan, name, plan.specs_of[name], speeds)
        for name in plan.rendered
        if name in plan.artefacts and not name.startswith("dots")
    ]


def cost_of(
    plan: Plan, artefact: str, specs: Iterable[TrialSpec], speeds: Mapping[str, Speed]
) -> Cost:
    """The cost of some specs of an artefact; `speeds` by the hash of a spec."""
    chosen = {*specs}
    shown = {(q.spec, q.readout) for q in plan.cells[artefact].values() if q.spec in chosen}
    return Cost(
        artefact,
        len(shown),
        len(chosen),
        sum(hours_of(plan, spec, speeds[spec.hash]) for spec in chosen),
        sum(not is_possible(plan, spec) for spec in chosen),
        max((plan.memory_mb(spec) for spec in chosen), default=0),
        _disk_mb(plan, chosen),
    )


def _disk_mb(plan: Plan, specs: Iterable[TrialSpec]) -> int:
    """MB of the prepared data sets of some specs, one byte for each colour of a pixel, and the most
    that the training of one of them writes."""
    specs = list(specs)
    data = 0.0
    for name, size in {(spec.dataset, spec.image_size) for spec in specs}:
        dataset = plan.grid.known[name]
        data += (dataset.training_images + dataset.test_images) * 3 * size**2 / 1e6
    return int(data) + max((plan.files_mb(spec) for spec in specs), default=0)


def cheapest_part(plan: Plan, speeds: Mapping[str, Speed]) -> str:
    """What Table 1 costs on each of its data sets, and the command for the cheapest.

    A data set on which a training is not possible is left out; the text is empty where none is
    left.
    """
    parts: dict[str, list[TrialSpec]] = {}
    for spec in plan.specs_of.get("table1", ()):
        parts.setdefault(spec.dataset, []).append(spec)
    costs = {name: cost_of(plan, "table1", specs, speeds) for name, specs in parts.items()}
    ranked = sorted((c.hours, name) for name, c in costs.items() if not c.impossible)
    if not ranked:
        return ""
    unit, trials = unit_of(choose_device(plan.config.device)), plan.grid.trials
    each = ", ".join(f"{name} {hours * trials:,.1f}" for hours, name in ranked)
    hours, name = ranked[0]
    fewer = ""
    if trials > LOOKS[0]:
        fewer = (
            f"; with trials={LOOKS[0]}, the fewest that decide a comparison, "
            f"{hours * LOOKS[0]:,.1f}"
        )
    return (
        f"Table 1 alone, by data set, in {unit}: {each}. The cheapest useful part is on {name}: "
        f"{costs[name].specs * trials:,} trainings, {hours * trials:,.1f} {unit}{fewer}:\n"
        f"  snakemake --cores all table1{settings_of(plan.config, datasets=[name])}"
    )


def unit_of(device: torch.device) -> str:
    """What the hours of a plan are hours of."""
    return "GPU-hours" if device.type == "cuda" else "core-hours"


@dataclass(frozen=True)
class Estimate:
    """What a plan costs.

    Attributes:
        costs: of each artefact, of one trial of each of its trainings.
        hours: of all distinct trainings, one trial of each.
        unit: what the hours are: core-hours or GPU-hours.
        worker: the core or the GPU that they are hours of.
        timings: how many kinds of steps were timed.
        timed_on: type of the device.
        memory_mb, disk_mb: as in a cost, of all trainings together.
        cheapest: the text of `cheapest_part`.
    """

    costs: tuple[Cost, ...]
    hours: float
    unit: str
    worker: str
    timings: int
    timed_on: str
    memory_mb: int
    disk_mb: int
    cheapest: str


def estimate(plan: Plan) -> Estimate:
    """Time the steps of a plan; takes some seconds for each kind."""
    device = choose_device(plan.config.device)
    torch.set_num_threads(1)
    clock = Clock(plan, device)
    speeds = timed(plan, clock)
    costs = tuple(costs_of(plan, speeds))
    worker = "one core of this machine"
    if device.type == "cuda":
        worker = torch.cuda.get_device_name(device)
    return Estimate(
        costs=costs,
        hours=sum(hours_of(plan, spec, speeds[key]) for key, spec in plan.specs.items()),
        unit=unit_of(device),
        worker=worker,
        timings=clock.kinds,
        timed_on=device.type,
        memory_mb=max((cost.memory_mb for cost in costs), default=0),
        disk_mb=_disk_mb(plan, plan.specs.values()),
        cheapest=cheapest_part(plan, speeds),
    )


def _jobs_of_a_training(plan: Plan) -> int:
    """Of the trials that the scale asks for; with a budget each is a job of its own."""
    return len(plan.parts) if plan.config.hours is None else plan.grid.trials


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """What `print_plan` says, all trials together, for scripts."""
    found, trials, jobs = estimate(plan), plan.grid.trials, _jobs_of_a_training(plan)
    return {
        "scale": plan.scale.name,
        "trials": trials,
        "artefacts": {
            cost.artefact: {
                "cells": cost.cells,
                "trainings": cost.specs * trials,
                "jobs": cost.specs * jobs,
                "impossible": cost.impossible * trials,
                "hours": cost.hours * trials,
                "memory_mb": cost.memory_mb,
                "disk_mb": cost.disk_mb,
            }
            for cost in found.costs
        },
        "distinct": {
            "trainings": len(plan.specs) * trials,
            "jobs": len(plan.specs) * jobs,
            "hours": found.hours * trials,
            "memory_mb": found.memory_mb,
            "disk_mb": found.disk_mb,
        },
        "unit": found.unit,
        "worker": found.worker,
    }


def print_plan(plan: Plan) -> None:
    """Print trainings, jobs, hours, memory and disk of every artefact, and the cheapest part."""
    found, trials, jobs = estimate(plan), plan.grid.trials, _jobs_of_a_training(plan)
    costs, unit = found.costs, found.unit

    print(f"Plan of scale {plan.scale.name}: {trials} trials of each training\n")
    print(
        f"{'artefact':10}{'cells':>8}{'(cell, trial)':>15}{'trainings':>11}{'jobs':>7}{unit:>14}"
        f"{'memory':>10}{'disk':>10}"
    )
    for cost in costs:
        hours = f"{cost.hours * trials:,.1f}" if cost.impossible < cost.specs else "—"
        print(
            f"{cost.artefact:10}{cost.cells:8,}{cost.cells * trials:15,}"
            f"{cost.specs * trials:11,}{cost.specs * jobs:7,}{hours:>13}"
            f"{'*' if cost.impossible else ' '}{_gb(cost.memory_mb)}{_gb(cost.disk_mb)}"
        )
    cells, specs = sum(cost.cells for cost in costs), sum(cost.specs for cost in costs)
    total = sum(cost.hours for cost in costs) * trials
    every = len(plan.specs)
    print(
        f"{'sum':10}{cells:8,}{cells * trials:15,}{specs * trials:11,}{specs * jobs:7,}"
        f"{total:13,.1f}\n"
        f"{'distinct':10}{'':23}{every * trials:11,}{every * jobs:7,}"
        f"{found.hours * trials:13,.1f} {_gb(found.memory_mb)}{_gb(found.disk_mb)}\n"
    )
    for cost in costs:
        if cost.impossible:
            print(
                f"* {cost.artefact}: {cost.impossible * trials:,} of its trainings cannot run "
                "and cost nothing here: their batch is more than the training images"
            )
    if found.cheapest:
        print(found.cheapest)
    print(
        f"\n{cells * trials:,} (cell, trial) pairs need {every * trials:,} distinct "
        f"trainings: {found.hours * trials:,.1f} hours of {found.worker}, from "
        f"{found.timings} timings.\n{TIMED_ON[found.timed_on]} {LEFT_OUT}",
        flush=True,
    )


def _gb(megabytes: int) -> str:
    return f"{megabytes / 1000:7,.1f} GB"
