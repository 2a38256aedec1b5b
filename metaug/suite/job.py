"""One job: all trials of a spec, trained, evaluated and recorded, in one process."""

import contextlib
import math
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save

from metaug.data.arrays import Prepared, open_prepared
from metaug.errors import Diverged
from metaug.evaluation.protocol import evaluate
from metaug.files import atomic_write_bytes, atomic_write_text, exclusive
from metaug.seeds import derive_seed
from metaug.spec import TrialSpec
from metaug.suite.done import mark_done
from metaug.suite.record import (
    CURVE_BESIDE,
    ENCODERS_BESIDE,
    failure_path,
    put_aside,
    read_failure,
    read_record,
    record_path,
    write_record,
)
from metaug.training.curve import curve_csv
from metaug.training.images import TrainingSet, evaluation_split
from metaug.training.loop import train
from metaug.training.provenance import provenance
from metaug.training.runtime import Runtime
from metaug.training.stopwatch import Stopwatch


def run_trials(
    spec: TrialSpec,
    trials: Iterable[int],
    *,
    data: Path,
    output: Path,
    work: Path,
    runtime: Runtime,
    keep_encoders: bool = False,
) -> None:
    """Run the trials of a spec that are not done yet, and mark all as done.

    A trial is done when it has a valid record of these data, or a note that it failed: a training
    that diverges would do so again. Each is recorded as it ends, so that a job that is killed or
    fails loses neither finished trials nor, thanks to checkpoints in `work`, more than the last
    minute of the unfinished one. A trial that another process is training is waited for.

    Args:
        spec: what to train.
        trials: trial numbers.
        data: folder of the prepared data set.
        output: folder of the spec's records.
        work: folder for checkpoints; removed at the end.
        runtime: device, progress, checkpoints.
        keep_encoders: write the trained encoders beside the records, as safetensors.
    """
    trials = list(trials)
    prepared = open_prepared(data)
    for trial in trials:
        checkpoints = work / f"trial_{trial:03d}"
        with exclusive(output / f".trial_{trial:03d}.lock", wait=True):
            if read_record(record_path(output, trial), spec, trial, prepared.digest):
                print(f"{spec}: trial {trial} is done already", flush=True)
            elif failure := read_failure(output, spec, trial, prepared.digest):
                print(
                    f"{spec}: trial {trial} failed earlier: {failure.reason}; delete "
                    f"{failure.path} to train it again",
                    flush=True,
                )
            else:
                _run_trial(spec, trial, prepared, output, checkpoints, runtime, keep_encoders)
            if checkpoints.exists():
                shutil.rmtree(checkpoints)
    with contextlib.suppress(OSError):  # others train in it still, or have removed it
        work.rmdir()
    mark_done(output, trials, prepared.digest)


def _run_trial(
    spec: TrialSpec,
    trial: int,
    prepared: Prepared,
    output: Path,
    checkpoints: Path,
    runtime: Runtime,
    keep_encoders: bool,
) -> None:
    record, failure = record_path(output, trial), failure_path(output, trial)
    origin = {
        "seed": derive_seed("trial", trial),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(runtime.device, runtime.mixed_precision),
    }
    # a folder for these data: what was begun on others is not gone on with
    folder = checkpoints / prepared.digest[:12]
    put_aside(record, prepared.digest)
    try:
        numbers = _numbers(spec, trial, prepared, record, folder, runtime, keep_encoders)
    except Diverged as error:
        print(f"{spec}: trial {trial} failed: {error}; the others go on", flush=True)
        put_aside(failure, prepared.digest)
        write_record(failure, spec, trial, prepared.digest, {**origin, "reason": str(error)})
        return
    write_record(record, spec, trial, prepared.digest, {**origin, **numbers})
    failure.unlink(missing_ok=True)


def _numbers(
    spec: TrialSpec,
    trial: int,
    prepared: Prepared,
    path: Path,
    folder: Path,
    runtime: Runtime,
    keep_encoders: bool,
) -> dict[str, Any]:
    """Train and evaluate; what a record says of it. Writes curve and encoders beside `path`."""
    data = TrainingSet.of(prepared.train, spec, trial, len(prepared.class_names))
    stopwatch = Stopwatch()
    method, curve = train(spec, trial, data, folder, runtime, stopwatch)
    trained = stopwatch.read()
    test = evaluation_split(prepared, spec, trial)
    rows, hits = evaluate(method, spec, trial, data, test, runtime.device, folder)
    evaluated = stopwatch.read()
    seconds = {
        "train_seconds": trained.wall,
        "probe_seconds": (evaluated - trained).wall,
        "cpu_seconds": evaluated.cpu,
    }
    if curve:
        rows += [
            {"probe": "", "setting": "", "metric": f"{name}_{key}", "value": epoch[key]}
            for name, epoch in (("first", curve[0]), ("last", curve[-1]))
            for key in epoch
            if key != "epoch"
        ]
    rows += [
        {"probe": "", "setting": "", "metric": metric, "value": value}
        for metric, value in seconds.items()
    ]
    for row in rows:
        if not math.isfinite(float(row["value"])):
            name = " ".join(str(row[key]) for key in ("probe", "setting", "metric") if row[key])
            raise Diverged(f"{name} is {row['value']} after the training")
    if curve:
        atomic_write_text(path.with_suffix(CURVE_BESIDE), curve_csv(curve))
    if keep_encoders:
        encoders = {k: v.contiguous() for k, v in method.encoders.state_dict().items()}
        atomic_write_bytes(path.with_suffix(ENCODERS_BESIDE), save(encoders))
    accuracy = ", ".join(
        f"{row['probe']} {row['value']:.2f} %"
        for row in rows
        if row["metric"] == "top1" and not row["setting"]
    )
    loss = f", loss {curve[-1]['loss']:.4f}" if curve else ""
    # what is read first comes first: a narrow terminal cuts the line off (metaug.suite.screen)
    print(
        f"{spec.method} on {spec.dataset}, trial {trial}: {accuracy}, {evaluated.wall:.0f} s "
        f"({spec.backbone}, spec {spec.hash}{loss})",
        flush=True,
    )
    return {**seconds, "curve": curve, "rows": rows, "hits": hits}
