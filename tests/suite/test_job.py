"""One job: trials are recorded as they are done, skipped when valid, and never half-written."""

import io
import itertools
import json
import multiprocessing
import os
import re
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from metaug.config import Config, Scale
from metaug.data.arrays import open_prepared
from metaug.data.prepare import prepare
from metaug.errors import Diverged, UserError
from metaug.evaluation.protocol import Evaluation
from metaug.grid import Grid
from metaug.spec import TrialSpec
from metaug.suite import job
from metaug.suite.done import mark_path
from metaug.suite.job import run_trials
from metaug.suite.record import failure_path, read_failure
from metaug.training import loop, stop, stopwatch
from metaug.training.checkpoint import load_checkpoint, save_checkpoint
from metaug.training.images import TrainingSet, evaluation_split
from metaug.training.runtime import Runtime
from metaug.training.stopwatch import Seconds

RUNTIME = Runtime(device=torch.device("cpu"), progress=False)
SCALE = Scale.model_validate(
    {
        "name": "smoke",
        "trials": 2,
        "datasets": {"digits_m": {"image_size": 32, "train_images": 100}},
        "backbones": {"alexnet": {"width": 0.0625}},
        "spec": {
            "augmentation": "cmc",
            "batch_size": 20,
            "epochs": 1,
            "optimizer": "adam",
            "learning_rate": 1e-3,
        },
        "hyper": {"projector_hidden": 16},
        "probe": {"epochs": 2, "averaged_epochs": 1},
    }
)


def make_spec(**changes: Any) -> TrialSpec:
    return Grid(SCALE, Config()).spec("simclr", "digits_m", **changes)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits_m-32"
    prepare("digits_m", 32, folder, None)
    return folder


def run(spec: TrialSpec, data: Path, folder: Path, trials: range = range(2), **more: Any) -> None:
    run_trials(
        spec,
        trials,
        data=data,
        output=folder / "out",
        work=folder / "work",
        runtime=more.pop("runtime", RUNTIME),
        **more,
    )


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.name: json.loads(p.read_text()) for p in sorted(folder.glob("trial_*.json"))}


def numbers(record: dict[str, Any]) -> list[Any]:
    return [row for row in record["rows"] if "seconds" not in row["metric"]]


def test_records_say_what_they_are(data: Path, tmp_path: Path) -> None:
    spec = make_spec()
    run(spec, data, tmp_path)
    found = records(tmp_path / "out")
    assert list(found) == ["trial_000.json", "trial_001.json"]
    for record in found.values():
        assert TrialSpec.model_validate(record["spec"]) == spec
        assert record["provenance"]["packages"]["torch"]
        assert {row["probe"] for row in record["rows"]} == {"conv", "fc6", "fc", ""}
        assert len(record["curve"]) == spec.epochs
    assert (tmp_path / "out/trial_000.curve.csv").read_text().startswith("epoch,loss\n")
    assert not (tmp_path / "work").exists()


def test_trials_differ_and_repeat_exactly(data: Path, tmp_path: Path) -> None:
    run(make_spec(), data, tmp_path / "a")
    run(make_spec(), data, tmp_path / "b")
    a, b = records(tmp_path / "a/out"), records(tmp_path / "b/out")
    assert [numbers(r) for r in a.values()] == [numbers(r) for r in b.values()]
    assert numbers(a["trial_000.json"]) != numbers(a["trial_001.json"])


def test_valid_records_are_kept_and_damaged_ones_trained_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_spec(), data, tmp_path)
    first, second = (tmp_path / f"out/trial_00{i}.json" for i in (0, 1))
    before = first.read_text(), numbers(json.loads(second.read_text()))
    second.write_text(second.read_text()[:100])
    run(make_spec(), data, tmp_path)
    assert f"{second} is cut short or damaged: moved aside" in capsys.readouterr().err
    assert (first.read_text(), numbers(json.loads(second.read_text()))) == before


def interrupt_at_step(
    step: int, data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> None:
    """Start the trials and stop them before the given step, counted over all trials."""
    with monkeypatch.context() as patch:
        rate_factor = loop.rate_factor
        calls = iter(range(1000))

        def interrupted(spec: TrialSpec, progress: float) -> float:
            if next(calls) == step:
                raise KeyboardInterrupt
            return rate_factor(spec, progress)

        patch.setattr(loop, "rate_factor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(make_spec(), data, folder, **more)


def test_an_interrupted_job_loses_no_finished_trial(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at_step(7, data, tmp_path, monkeypatch)  # five steps a trial
    finished = tmp_path / "out/trial_000.json"
    assert records(tmp_path / "out").keys() == {finished.name}
    before = finished.read_text()
    run(make_spec(), data, tmp_path)
    assert finished.read_text() == before
    assert len(records(tmp_path / "out")) == 2


def test_what_a_killed_job_left_behind_is_removed(data: Path, tmp_path: Path) -> None:
    """The job was killed between a record and the removal of its checkpoints."""
    run(make_spec(), data, tmp_path)
    (tmp_path / "work/trial_000/0123").mkdir(parents=True)
    (tmp_path / "work/trial_000/0123/checkpoint.safetensors").write_bytes(b"old")
    run(make_spec(), data, tmp_path)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"threads": 2}, "was made with threads = 2, not 1"),
        ({"mixed_precision": True}, "was made with mixed_precision = True, not False"),
        ({"torch": "1.0"}, "was made with torch = 1.0, not"),
    ],
)
def test_a_training_begun_under_other_conditions_starts_anew(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    line: str,
) -> None:
    before = loop.conditions
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "conditions", lambda *given: {**before(*given), **changed})
        interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    run(make_spec(), data, tmp_path)
    out = capsys.readouterr().out
    assert line in out
    assert "trial 0 starts anew" in out


def test_the_seconds_of_a_resumed_training_are_those_of_all_its_runs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock finds it 100 s later, 70 s of which the CPU has worked."""
    looks = itertools.count()

    def now() -> Seconds:
        look = next(looks)
        return Seconds(100.0 * look, 70.0 * look)

    monkeypatch.setattr(stopwatch, "_now", now)
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    run(make_spec(), data, tmp_path / "undisturbed", runtime=every_step)
    interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    run(make_spec(), data, tmp_path, runtime=every_step)
    found = [
        records(folder / "out")["trial_000.json"] for folder in (tmp_path, tmp_path / "undisturbed")
    ]
    for key in ("train_seconds", "probe_seconds", "cpu_seconds"):
        assert found[0][key] == found[1][key] > 0


def test_a_training_of_two_threads_says_so(data: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(make_spec(), data, tmp_path, range(1))
    finally:
        torch.set_num_threads(before)
    assert records(tmp_path / "out")["trial_000.json"]["provenance"]["threads"] == 2


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_flipped_bit_in_a_checkpoint_is_not_trained_on(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: float,
) -> None:
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    (checkpoint,) = tmp_path.glob("work/trial_000/*/checkpoint.safetensors")
    content = bytearray(checkpoint.read_bytes())
    content[int(len(content) * place)] ^= 4
    checkpoint.write_bytes(content)
    run(make_spec(), data, tmp_path)
    assert "is cut short, damaged or of an older version: trial 0 starts anew" in (
        capsys.readouterr().out
    )
    run(make_spec(), data, tmp_path / "undisturbed")
    ours, undisturbed = (records(f / "out") for f in (tmp_path, tmp_path / "undisturbed"))
    assert [numbers(r) for r in ours.values()] == [numbers(r) for r in undisturbed.values()]


@pytest.mark.parametrize(
    "change, line",
    [
        ({"step": 10**9}, "is at step 1000000000 of 5"),
        ({"step": "3"}, "does not fit the code of simclr"),
        ({"trial": 7}, "belongs to another training"),
        ({"method": {}}, "does not fit the code of simclr"),
        ({"optimizers": []}, "does not fit the code of simclr"),
        ({"conditions": None}, "does not fit the code of simclr"),
    ],
)
def test_an_odd_checkpoint_is_named_in_one_line(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    line: str,
) -> None:
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    (checkpoint,) = tmp_path.glob("work/trial_000/*/checkpoint.safetensors")
    state = load_checkpoint(checkpoint, torch.device("cpu"))
    save_checkpoint(checkpoint, {**state, **change})
    run(make_spec(), data, tmp_path)
    assert f"checkpoint {checkpoint} {line}: trial 0 starts anew" in capsys.readouterr().out


def test_a_signal_ends_a_training_after_a_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate_factor = loop.rate_factor
    calls = iter(range(1000))

    def signalled(spec: TrialSpec, progress: float) -> float:
        if next(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return rate_factor(spec, progress)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(stop, "_received", None)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "rate_factor", signalled)
        patch.setattr(stop.ctypes, "CDLL", lambda name: SimpleNamespace(prctl=lambda *_: 0))
        stop.stop_on_signals()
        try:
            with pytest.raises(stop.Stopped, match="SIGTERM"):
                run(make_spec(), data, tmp_path)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    (checkpoint,) = tmp_path.glob("work/trial_000/*/checkpoint.safetensors")
    assert load_checkpoint(checkpoint, torch.device("cpu"))["step"] == 3
    monkeypatch.setattr(stop, "_received", None)
    run(make_spec(), data, tmp_path)
    run(make_spec(), data, tmp_path / "undisturbed")
    ours, undisturbed = (records(f / "out") for f in (tmp_path, tmp_path / "undisturbed"))
    assert [numbers(r) for r in ours.values()] == [numbers(r) for r in undisturbed.values()]


def test_a_training_begun_on_other_data_is_not_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    found = open_prepared(data)
    negatives = replace(found.train, images=255 - found.train.images)
    changed = replace(found, train=negatives, digest="0" * 64)
    monkeypatch.setattr(job, "open_prepared", lambda folder: changed)
    run(make_spec(), data, tmp_path)
    run(make_spec(), data, tmp_path / "undisturbed")
    ours, undisturbed = (records(f / "out") for f in (tmp_path, tmp_path / "undisturbed"))
    assert [numbers(r) for r in ours.values()] == [numbers(r) for r in undisturbed.values()]


def test_a_record_of_other_images_is_kept_beside_the_new_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_spec(), data, tmp_path, range(1), keep_encoders=True)
    (path,) = (tmp_path / "out").glob("trial_*.json")
    beside = [path.with_suffix(ending) for ending in (".curve.csv", ".encoders.safetensors")]
    encoders = beside[1].read_bytes()
    before, digest = path.read_bytes(), open_prepared(data).digest
    found = open_prepared(data)
    negatives = replace(found.train, images=255 - found.train.images)
    changed = replace(found, train=negatives, digest="0" * 64)
    monkeypatch.setattr(job, "open_prepared", lambda folder: changed)
    capsys.readouterr()
    run(make_spec(), data, tmp_path, range(1))
    aside = path.with_name(f"{path.name}.{digest[:12]}")
    assert f"{path} is of other images: kept as {aside.name}\n" in capsys.readouterr().out
    assert aside.read_bytes() == before
    assert [file.exists() for file in beside] == [True, False]
    kept = [file.with_name(f"{file.name}.{digest[:12]}") for file in beside]
    assert kept[0].exists()
    assert kept[1].read_bytes() == encoders
    assert json.loads(path.read_bytes())["data"] == "0" * 64


def test_a_trial_that_another_process_trains_is_waited_for(data: Path, tmp_path: Path) -> None:
    """Two processes at once: every trial is trained once, and both end well."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        said = list(pool.map(_run_quietly, [data] * 2, [tmp_path] * 2))
    assert sorted(records(tmp_path / "out")) == ["trial_000.json", "trial_001.json"]
    for number in range(2):
        assert sum(f"trial {number} is done already" in text for text in said) == 1


def test_a_folder_that_another_process_removes_first_is_no_error(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir = Path.rmdir

    def late(folder: Path) -> None:
        rmdir(folder)
        rmdir(folder)

    monkeypatch.setattr(Path, "rmdir", late)
    run(make_spec(), data, tmp_path)
    assert not (tmp_path / "work").exists()
    assert len(records(tmp_path / "out")) == 2


def _run_quietly(data: Path, folder: Path) -> str:
    torch.set_num_threads(1)
    text = io.StringIO()
    with redirect_stdout(text):
        run(make_spec(), data, folder)
    return text.getvalue()


def test_array_cut_short_is_named(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    copy.mkdir()
    for file in data.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "train.npy").write_bytes((data / "train.npy").read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"train\.npy has .* bytes instead of"):
        run(make_spec(), copy, tmp_path)


def diverging() -> TrialSpec:
    return make_spec(learning_rate=1e30, optimizer="sgd", momentum=0.0)


def test_a_diverged_trial_is_an_outcome_and_not_repeated(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, digest = diverging(), open_prepared(data).digest
    run(spec, data, tmp_path)
    assert not records(tmp_path / "out")
    found = [read_failure(tmp_path / "out", spec, trial, digest) for trial in range(2)]
    assert [f and f.trial for f in found] == [0, 1]
    assert all(f and re.fullmatch(r"loss is nan at step \d+ \(epoch 0\)", f.reason) for f in found)
    assert mark_path(tmp_path / "out", range(2)).exists()
    assert not (tmp_path / "work").exists()

    with monkeypatch.context() as patch:
        patch.setattr(job, "train", None)
        run(spec, data, tmp_path)
    assert "trial 1 failed earlier: loss is nan at step" in capsys.readouterr().out
    assert found[1]
    found[1].path.unlink()
    before = failure_path(tmp_path / "out", 0).stat().st_mtime_ns
    run(spec, data, tmp_path)
    assert found[1].path.exists()
    assert failure_path(tmp_path / "out", 0).stat().st_mtime_ns == before


def test_a_trial_that_diverges_does_not_stop_the_others(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spec: TrialSpec, number: int, *rest: Any) -> Any:
        if number == 0:
            raise Diverged("loss is inf at step 3 (epoch 0)")
        return loop.train(spec, number, *rest)

    monkeypatch.setattr(job, "train", fail)
    run(make_spec(), data, tmp_path)
    assert records(tmp_path / "out").keys() == {"trial_001.json"}
    assert failure_path(tmp_path / "out", 0).exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_features_that_are_not_finite_are_a_failure_and_not_chance(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def spoiled(*arguments: Any) -> Any:
        method, curve = loop.train(*arguments)
        with torch.no_grad():
            next(method.encoders.parameters()).fill_(value)
        return method, curve

    monkeypatch.setattr(job, "train", spoiled)
    spec = make_spec()
    run(spec, data, tmp_path, range(1))
    failure = read_failure(tmp_path / "out", spec, 0)
    assert failure
    assert failure.reason.startswith("the features conv of 500 of 500 images are not finite")
    assert not records(tmp_path / "out")


def test_a_summary_that_is_not_finite_is_a_failure_and_no_record(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"probe": "conv", "setting": "", "metric": "top1", "value": float("nan")}
    monkeypatch.setattr(job, "evaluate", lambda *_: Evaluation([row], {}))
    run(make_spec(), data, tmp_path, range(1))
    failure = read_failure(tmp_path / "out", make_spec(), 0)
    assert failure
    assert failure.reason == "conv top1 is nan after the training"


def test_a_record_that_is_removed_during_a_run_is_an_error(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(*arguments: Any) -> Any:
        (tmp_path / "out/trial_000.json").unlink(missing_ok=True)
        return loop.train(*arguments)

    monkeypatch.setattr(job, "train", remove)
    with pytest.raises(UserError, match=r"trial_000\.json in .* was removed during the run"):
        run(make_spec(), data, tmp_path)
    assert not mark_path(tmp_path / "out", range(2)).exists()


def test_a_batch_larger_than_all_there_is_is_named(data: Path, tmp_path: Path) -> None:
    """The grid refuses what it can know; how many images a whole data set has, it cannot."""
    spec = make_spec(train_images=None, batch_size=2000)
    with pytest.raises(UserError, match="training images are fewer than a batch of 2000"):
        run(spec, data, tmp_path)


def test_encoders_are_kept_on_request(data: Path, tmp_path: Path) -> None:
    run(make_spec(), data, tmp_path, range(1), keep_encoders=True)
    weights = load_file(tmp_path / "out/trial_000.encoders.safetensors")
    assert "rgb.stages.conv1.0.weight" in weights


def test_tensorboard_events_are_written_on_request(data: Path, tmp_path: Path) -> None:
    runtime = Runtime(torch.device("cpu"), progress=False, tensorboard=tmp_path / "events")
    run(make_spec(), data, tmp_path, range(1), runtime=runtime)
    assert any((tmp_path / "events").rglob("events.out.tfevents*"))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments with which trained methods are evaluated."""
    seen: list[tuple[Any, ...]] = []
    original = job.evaluate

    def evaluate(*given: Any) -> Evaluation:
        seen.append(given)
        return original(*given)

    monkeypatch.setattr(job, "evaluate", evaluate)
    return seen


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_trial_is_judged_on_the_split_that_its_spec_names(
    data: Path, tmp_path: Path, judged: list[tuple[Any, ...]], split: str
) -> None:
    spec = make_spec(epochs=0, probe={"split": split, "epochs": 1, "averaged_epochs": 1})
    run(spec, data, tmp_path, range(1))
    ((_, _, trial, _, images, *_),) = judged
    expected = evaluation_split(open_prepared(data), spec, trial)
    assert np.array_equal(images.images, expected.images)
    assert np.array_equal(images.labels, expected.labels)
    (record,) = records(tmp_path / "out").values()
    assert bool(record["hits"]) == (split == "test")


def test_each_trial_has_training_images_of_its_own(
    data: Path, tmp_path: Path, judged: list[tuple[Any, ...]]
) -> None:
    spec = make_spec(epochs=0, probe={"epochs": 1, "averaged_epochs": 1})
    run(spec, data, tmp_path, range(2))
    assert [trial for _, _, trial, *_ in judged] == [0, 1]
    split = open_prepared(data).train
    own = [TrainingSet.of(split, spec, trial, 10).images for trial in (0, 1)]
    assert not np.array_equal(*own)
    for (_, _, _, train, *_), images in zip(judged, own, strict=True):
        assert np.array_equal(train.images, images)
