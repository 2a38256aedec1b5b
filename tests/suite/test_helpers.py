"""A job of two processes: records like any other, and an end in good order, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metaug.config import Config, Scale
from metaug.data.prepare import prepare
from metaug.grid import Grid
from tests.conftest import TINY

pytestmark = pytest.mark.end_to_end

CODE = """
import sys
from pathlib import Path
import torch
from metaug.spec import TrialSpec
from metaug.suite.helpers import helpers
from metaug.suite.job import run_trials
from metaug.suite.script import script
from metaug.training.runtime import Runtime

count, text, data, output = sys.argv[1:]
devices = [torch.device("cpu")] * int(count)
spec, output = TrialSpec.model_validate_json(text), Path(output)
alone = Runtime(devices[0], checkpoint_seconds=0, progress=False)
with script(str(output / "log")), helpers(devices, spec, Path(data), alone) as runtime:
    run_trials(
        spec, (0,), data=Path(data), output=output, work=output / "work", runtime=runtime
    )
"""


SPEC = Grid(Scale.model_validate(TINY), Config()).spec(
    "simclr", "digits_m", train_images=32, epochs=3, learning_rate=0.001
)
Start = Callable[[int, Path], "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits_m-32"
    prepare("digits_m", 32, folder, None)
    return folder


@pytest.fixture(scope="module")
def job(data: Path) -> Iterator[Start]:
    """Start a job of so many processes; none is left in the end."""
    started = []

    def start(count: int, output: Path) -> "subprocess.Popen[str]":
        output.mkdir(exist_ok=True)
        arguments = [str(count), SPEC.canonical_json(), str(data), str(output)]
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def done(job: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders of a job of one process and of one of two, both undisturbed."""
    folders = {count: tmp_path_factory.mktemp(str(count)) for count in (1, 2)}
    for count, folder in folders.items():
        finish(job(count, folder))
    return folders


def finish(process: "subprocess.Popen[str]") -> None:
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("trial_*.json"))]


def helpers_of(process: "subprocess.Popen[str]") -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"metaug.suite.helpers" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_processes_leave_the_records_of_one(done: dict[int, Path]) -> None:
    one, two = records(done[1]), records(done[2])
    assert len(two) == 1
    for ours, theirs in zip(two, one, strict=True):
        assert ours["provenance"].pop("processes") == 2
        assert ours.keys() == theirs.keys()
        assert ours["provenance"].keys() == theirs["provenance"].keys()
        # later epochs of so small a network make much of rounding
        first, expected = ours["curve"][0], theirs["curve"][0]
        assert first["loss"] == pytest.approx(expected["loss"], rel=1e-3)
        names = [[row["probe"], row["metric"]] for row in ours["rows"]]
        assert names == [[row["probe"], row["metric"]] for row in theirs["rows"]]
    assert {path.name for path in done[2].iterdir()} == {path.name for path in done[1].iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the helpers in /proc")
@pytest.mark.parametrize("end", ["stopped", "killed", "helper killed"])
def test_however_a_job_ends_no_process_is_left_and_it_goes_on_to_the_same_numbers(
    job: Start, done: dict[int, Path], tmp_path: Path, end: str
) -> None:
    process = job(2, tmp_path)
    wait_for(lambda: any(tmp_path.glob("work/*/*/checkpoint.safetensors")))
    (helper,) = helpers_of(process)
    if end == "stopped":
        process.terminate()
    else:
        os.kill(process.pid if end == "killed" else helper, signal.SIGKILL)
    output, error = process.communicate(timeout=60)
    wait_for(lambda: not Path(f"/proc/{helper}").exists())
    if end == "stopped":
        assert error == "stopped by SIGTERM; the same command goes on from here\n"
        assert process.returncode == 128 + signal.SIGTERM
    if end == "helper killed":
        assert process.returncode == 1
        assert "error: a process of this training ended with status -9" in output
        assert error == ""
    assert not (tmp_path / "trial_000.json").exists()
    if end != "stopped":
        return  # what is left is the same
    finish(job(2, tmp_path))
    assert "starts anew" not in (tmp_path / "log").read_text()
    curves, expected = ([r["curve"] for r in records(f)] for f in (tmp_path, done[2]))
    assert curves == expected
