"""One job: all trials of a spec, trained, evaluated and recorded, in one process."""

import shutil
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from safetensors.torch import save

from metaug.data.arrays import Prepared, open_prepared
from metaug.evaluation.protocol import evaluate
from metaug.files import atomic_write_bytes, atomic_write_text, exclusive
from metaug.record import provenance, read_record, record_path, write_record
from metaug.seeds import derive_seed
from metaug.spec import TrialSpec
from metaug.training.curve import curve_csv
from metaug.training.loop import Runtime, TrainingSet, evaluation_split, train


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
    """Run the trials of a spec that have no valid record yet.

    A finished trial's record waits in `work` until all are done and is then moved to `output`: a
    job that is killed or fails loses neither finished trials nor, thanks to checkpoints in `work`,
    more than the last minute of the unfinished one.

    Args:
        spec: what to train.
        trials: trial numbers.
        data: folder of the prepared data set.
        output: folder of the spec's records.
        work: folder for what is unfinished; removed at the end.
        runtime: device, progress, checkpoints.
        keep_encoders: write the trained encoders beside the records, as safetensors.
    """
    trials = list(trials)
    with exclusive(output / f".trial_{min(trials):03d}.lock"):
        prepared = open_prepared(data)
        for trial in trials:
            waiting, final = record_path(work, trial), record_path(output, trial)
            if read_record(final, spec, trial, prepared.digest):
                print(f"{spec}: trial {trial} is done already", flush=True)
                final.touch()
            elif read_record(waiting, spec, trial, prepared.digest):
                print(f"{spec}: trial {trial} was finished by an earlier run", flush=True)
            else:
                _run_trial(spec, trial, prepared, waiting, runtime, keep_encoders)
        for trial in trials:
            waiting = record_path(work, trial)
            for extra in work.glob(f"{waiting.stem}.*.*"):
                extra.replace(output / extra.name)
            if waiting.exists():
                waiting.replace(output / waiting.name)
        if work.exists() and not any(work.iterdir()):
            work.rmdir()


def _run_trial(
    spec: TrialSpec,
    trial: int,
    prepared: Prepared,
    path: Path,
    runtime: Runtime,
    keep_encoders: bool,
) -> None:
    started = datetime.now(UTC)
    data = TrainingSet.of(prepared.train, spec, trial, len(prepared.class_names))
    checkpoints = path.with_suffix("")
    begin, begin_cpu = time.perf_counter(), time.process_time()
    # a folder for these data: what was begun on others is not gone on with
    folder = checkpoints / prepared.digest[:12]
    method, curve = train(spec, trial, data, folder, runtime)
    trained = time.perf_counter()
    test = evaluation_split(prepared, spec, trial)
    rows = evaluate(method, spec, trial, data, test, runtime.device)
    evaluated = time.perf_counter()
    seconds = {
        "train_seconds": trained - begin,
        "probe_seconds": evaluated - trained,
        "cpu_seconds": time.process_time() - begin_cpu,
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
    if curve:
        atomic_write_text(path.with_suffix(".curve.csv"), curve_csv(curve))
    if keep_encoders:
        encoders = {k: v.contiguous() for k, v in method.encoders.state_dict().items()}
        atomic_write_bytes(path.with_suffix(".encoders.safetensors"), save(encoders))
    write_record(
        path,
        spec,
        trial,
        prepared.digest,
        {
            "seed": derive_seed("trial", trial),
            "started": started.isoformat(timespec="seconds"),
            **seconds,
            "provenance": provenance(runtime.device),
            "curve": curve,
            "rows": rows,
        },
    )
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    loss = f"loss {curve[-1]['loss']:.4f}, " if curve else ""
    accuracy = ", ".join(
        f"{row['probe']} {row['value']:.2f} %"
        for row in rows
        if row["metric"] == "top1" and not row["setting"]
    )
    print(f"{spec}: trial {trial}: {loss}top-1 {accuracy}, {evaluated - begin:.0f} s", flush=True)
