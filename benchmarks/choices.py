"""Choices made by measurement, on validation images, never on the test split.

`python -m benchmarks.choices lite` trains what a question asks for and prints its table. Records
lie in `benchmarks/results/choices`; the same command goes on from them. The answers are in
docs/lite.md.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.questions import QUESTIONS, Question
from metaug.config import load_config
from metaug.data.prepare import prepare
from metaug.grid import Grid
from metaug.method import find_method
from metaug.paper.floors import floor_of
from metaug.spec import TrialSpec
from metaug.suite.job import run_trials
from metaug.suite.record import read_record, record_path
from metaug.training.runtime import Runtime

RECORDS = Path("benchmarks/results/choices")
READOUTS = ("conv", "fc6", "fc")


@dataclass(frozen=True)
class Training:
    """One row's training: its candidate, method and spec, and the spec of its own floor, the
    untrained network of the same views and widths."""

    candidate: str
    method: str
    spec: TrialSpec
    floor: TrialSpec


@dataclass
class Numbers:
    """What the trials of a training gave, by trial.

    Attributes:
        top1: validation accuracy, per cent, by read-out.
        gain: the same less that of the own floor.
        core_seconds: of training and probing.
    """

    top1: dict[str, list[float]] = field(default_factory=dict)
    gain: dict[str, list[float]] = field(default_factory=dict)
    core_seconds: list[float] = field(default_factory=list)


def trainings_of(question: Question) -> list[Training]:
    """Everything that a question compares."""
    config, scale = load_config({"scale": question.scale}, Path("config/scales"))
    grid = Grid(scale, config)
    found = []
    for candidate, changes in question.candidates.items():
        for method in question.methods:
            own = changes.get(method, changes.get("*"))
            if own is not None:
                spec = _spec(grid, method, question.dataset, own)
                found.append(Training(candidate, method, spec, floor_of(grid, spec)))
    return found


def _spec(grid: Grid, method: str, dataset: str, changes: Mapping[str, Any]) -> TrialSpec:
    """The spec of a method, measured on validation; hyper-parameters that it lacks are left out."""
    known = {*TrialSpec.model_fields, *find_method(method).Hyper.model_fields}
    probe = grid.scale.probe.model_copy(update={"split": "validation"})
    own = {key: value for key, value in changes.items() if key in known}
    return grid.spec(method, dataset, **own, probe=probe)


def train_all(
    trainings: Iterable[Training], trials: int, data_root: Path | None, jobs: int
) -> None:
    """Train what has no record yet, trial by trial, one thread each."""
    specs = dict.fromkeys(s for t in trainings for s in (t.floor, t.spec))
    for folder, spec in {_data(spec): spec for spec in specs}.items():
        prepare(spec.dataset, spec.image_size, folder, data_root)
    waiting = [(spec, trial) for trial in range(trials) for spec in specs]
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        for result in [pool.submit(_train, *pair) for pair in waiting]:
            result.result()


def _one_thread() -> None:
    torch.set_num_threads(1)


def _train(spec: TrialSpec, trial: int) -> None:
    run_trials(
        spec,
        [trial],
        data=_data(spec),
        output=RECORDS / spec.hash,
        work=RECORDS / "work" / f"{spec.hash}-{trial}",
        runtime=Runtime(torch.device("cpu"), progress=False),
    )


def _data(spec: TrialSpec) -> Path:
    return Path("data") / f"{spec.dataset}-{spec.image_size}"


def numbers_of(training: Training, trials: int) -> Numbers:
    """What the records of a training say."""
    numbers = Numbers()
    for trial in range(trials):
        ours, floor = (_values(spec, trial) for spec in (training.spec, training.floor))
        if not ours or not floor:
            continue
        for readout in READOUTS:
            if readout in ours:
                numbers.top1.setdefault(readout, []).append(ours[readout])
                numbers.gain.setdefault(readout, []).append(ours[readout] - floor[readout])
        numbers.core_seconds.append(ours["cpu_seconds"])
    return numbers


def _values(spec: TrialSpec, trial: int) -> dict[str, float]:
    record = read_record(record_path(RECORDS / spec.hash, trial), spec, trial)
    if record is None:
        return {}
    return {
        row["probe"] or row["metric"]: row["value"]
        for row in record["rows"]
        if not row["setting"] and row["metric"] in ("top1", "cpu_seconds")
    }


def table_of(question: Question, trials: int) -> str:
    """Markdown: a row for each candidate and method, and a row that judges each candidate."""
    header = ["candidate", "method", "trials", *READOUTS]
    header += [*(f"gain {r}" for r in READOUTS), "core-seconds"]
    lines = [header, ["---"] * 2 + ["---:"] * (len(header) - 2)]
    judged: dict[str, dict[str, Numbers]] = {}
    for training in trainings_of(question):
        numbers = numbers_of(training, trials)
        if numbers.core_seconds:
            judged.setdefault(training.candidate, {})[training.method] = numbers
    for candidate, rows in judged.items():
        for method, numbers in rows.items():
            lines.append(
                [
                    candidate,
                    method,
                    str(len(numbers.core_seconds)),
                    *(_mean(numbers.top1.get(r, [])) for r in READOUTS),
                    *(_mean(numbers.gain.get(r, []), sign=True) for r in READOUTS),
                    f"{np.mean(numbers.core_seconds):.0f}",
                ]
            )
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{_judgement(judged)}"


def _mean(values: list[float], sign: bool = False) -> str:
    return f"{np.mean(values):{'+' if sign else ''}.1f}" if values else ""


def _judgement(judged: Mapping[str, Mapping[str, Numbers]]) -> str:
    """For each candidate and read-out: the mean gain over the own floor of the methods that are
    trained without labels, the standard deviation over trials (pooled over those methods), and
    gain / deviation / sqrt(core-hour of a trial): how soon a regime tells that training helps."""
    names = ["mean gain", "above floor", "deviation", "core-hours a trial", "score"]
    lines = [["candidate", "read-out", *names], ["---"] * 2 + ["---:"] * len(names)]
    for candidate, rows in judged.items():
        learned = {m: n for m, n in rows.items() if m not in ("random", "supervised")}
        hours = float(np.mean([np.mean(n.core_seconds) for n in learned.values()])) / 3600
        for readout in READOUTS:
            gains = [n.gain[readout] for n in learned.values() if readout in n.gain]
            variances = [np.var(values, ddof=1) for values in gains if len(values) > 1]
            gain = float(np.mean([np.mean(values) for values in gains]))
            deviation = float(np.sqrt(np.mean(variances))) if variances else float("nan")
            score = gain / deviation / hours**0.5
            above = f"{sum(np.mean(values) > 0 for values in gains)} of {len(gains)}"
            numbers = f"{gain:+.2f}", above, f"{deviation:.2f}", f"{hours:.4f}", f"{score:.1f}"
            lines.append([candidate, readout, *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", choices=sorted(QUESTIONS))
    parser.add_argument("--data-root", type=Path, default=os.environ.get("METAUG_DATA_ROOT"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--trials", type=int, help="default: the question's")
    parser.add_argument("--table", action="store_true", help="print what there is, train nothing")
    arguments = parser.parse_args()
    question = QUESTIONS[arguments.question]
    trials = arguments.trials or question.trials
    if not arguments.table:
        train_all(trainings_of(question), trials, arguments.data_root, arguments.jobs)
    print(table_of(question, trials))


if __name__ == "__main__":
    main()
