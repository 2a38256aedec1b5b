"""Trainings share the GPUs of a machine; the GPUs here are names, none is needed."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metaug.suite.places import place_on_gpu

TAKE_A_PLACE = """
import sys, time
from pathlib import Path
from metaug.suite.places import place_on_gpu
names = sys.argv[3].split(",")
with place_on_gpu(names, range(len(names)), int(sys.argv[2]), Path(sys.argv[1])) as index:
    print("on", names[index], flush=True)
    time.sleep(600)
"""

Start = Callable[[str, int], subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that takes a place on one of some GPUs and keeps it."""
    started: list[subprocess.Popen] = []

    def take(names: str, jobs_per_gpu: int = 1) -> subprocess.Popen:
        command = [sys.executable, "-c", TAKE_A_PLACE, str(tmp_path), str(jobs_per_gpu), names]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield take
    for process in started:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def test_two_trainings_get_a_gpu_each_and_a_third_waits_until_one_is_killed(start: Start) -> None:
    first = start("a,b")
    assert line(first) == "on a"
    assert line(start("a,b")) == "on b"
    third = start("a,b")
    assert line(third) == "waiting for a GPU: 2 x 1 trainings are running"
    first.send_signal(signal.SIGKILL)
    assert line(third) == "on a"


def test_a_gpu_is_the_same_under_another_number(start: Start) -> None:
    assert line(start("b")) == "on b"  # CUDA_VISIBLE_DEVICES=1: its number 0
    assert line(start("a,b")) == "on a"
    assert line(start("a,b")).startswith("waiting")


def test_a_second_training_goes_to_a_gpu_only_if_asked_and_to_an_empty_one_first(
    start: Start,
) -> None:
    taken = [line(start("a,b", 2)) for _ in range(4)]
    assert taken == ["on a", "on b", "on a", "on b"]
    assert line(start("a,b", 2)).startswith("waiting")


def test_a_place_is_free_again_after_the_training(tmp_path: Path) -> None:
    for _ in range(2):
        with place_on_gpu(["a"], [0], 1, tmp_path) as index:
            assert index == 0
