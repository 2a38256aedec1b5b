"""One job: trials are recorded as they are done, skipped when valid, and never half-written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from metaug import trial
from metaug.config import Config, Grid, Scale
from metaug.data.arrays import open_prepared
from metaug.data.prepare import prepare
from metaug.errors import UserError
from metaug.files import exclusive
from metaug.spec import TrialSpec
from metaug.training import loop
from metaug.training.loop import Runtime
from metaug.trial import run_trials

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


def test_valid_records_are_kept_and_damaged_ones_trained_again(data: Path, tmp_path: Path) -> None:
    run(make_spec(), data, tmp_path)
    first, second = (tmp_path / f"out/trial_00{i}.json" for i in (0, 1))
    before = first.read_text(), numbers(json.loads(second.read_text()))
    second.write_text(second.read_text()[:100])
    run(make_spec(), data, tmp_path)
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


def test_failure_loses_no_finished_trial(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at_step(7, data, tmp_path, monkeypatch)  # five steps a trial
    assert records(tmp_path / "work").keys() == {"trial_000.json"}
    assert not records(tmp_path / "out")
    waiting = (tmp_path / "work/trial_000.json").read_text()
    run(make_spec(), data, tmp_path)
    assert (tmp_path / "out/trial_000.json").read_text() == waiting
    assert len(records(tmp_path / "out")) == 2


def test_a_training_begun_on_other_data_is_not_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_step = replace(RUNTIME, checkpoint_seconds=0)
    interrupt_at_step(3, data, tmp_path, monkeypatch, runtime=every_step)
    found = open_prepared(data)
    negatives = replace(found.train, images=255 - found.train.images)
    changed = replace(found, train=negatives, digest="0" * 64)
    monkeypatch.setattr(trial, "open_prepared", lambda folder: changed)
    run(make_spec(), data, tmp_path)
    run(make_spec(), data, tmp_path / "undisturbed")
    ours, undisturbed = (records(f / "out") for f in (tmp_path, tmp_path / "undisturbed"))
    assert [numbers(r) for r in ours.values()] == [numbers(r) for r in undisturbed.values()]


def test_two_processes_do_not_share_a_spec(data: Path, tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "out/.trial_000.lock"),
        pytest.raises(UserError, match=r"process \d+ is working in"),
    ):
        run(make_spec(), data, tmp_path)


def test_checkpoint_cut_short_is_named(data: Path, tmp_path: Path) -> None:
    digest = open_prepared(data).digest[:12]
    checkpoint = tmp_path / "work/trial_000" / digest / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"\x08\x00\x00")
    with pytest.raises(UserError, match=r"checkpoint.*is cut short or damaged; delete it"):
        run(make_spec(), data, tmp_path)


def test_array_cut_short_is_named(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    copy.mkdir()
    for file in data.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "train.npy").write_bytes((data / "train.npy").read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"train\.npy has .* bytes instead of"):
        run(make_spec(), copy, tmp_path)


def test_diverged_training_names_trial_and_step(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"loss is nan at step \d+ \(epoch 0\) of trial 0"):
        run(make_spec(learning_rate=1e30, optimizer="sgd", momentum=0.0), data, tmp_path)
    assert not records(tmp_path / "out")


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
