"""The SLURM profile on a real SLURM of one machine: `bash .ci/slurm start FOLDER`."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metaug.data.prepare import prepare
from metaug.suite.job import run_trials
from metaug.suite.plan import load_plan
from metaug.training.runtime import Runtime
from tests.workflow.conftest import ROOT, Project

REQUIRED = "METAUG_REQUIRE_SLURM" in os.environ
PROFILE = "profiles/slurm/config.yaml"
DATA = "data/digits_m-32"
CONFIG = ["methods=[simclr]", "trials=1", "checkpoint_seconds=0"]
SECONDS = 200
"""Longer than anything here lasts."""


def has_test_slurm() -> bool:
    """Whether `.ci/slurm` has been started: never a cluster that others use."""
    if not shutil.which("scontrol"):
        return False
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    return "metaug-test" in done.stdout


pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(
        not has_test_slurm() and not REQUIRED,
        reason="the SLURM profile is not tested: no SLURM is running (bash .ci/slurm start DIR)",
    ),
]


@pytest.fixture
def cluster(fresh: Project) -> Project:
    """A project whose SLURM profile is filled in, with prepared data and trainings of seconds."""
    prepare("digits_m", 32, fresh.folder / DATA, None)
    on_partition(fresh, "cpu")
    fresh.edit(PROFILE, "latency-wait: 60", "latency-wait: 10")
    fresh.edit("config/scales/smoke.yaml", "epochs: 2\n", "epochs: 20\n")
    return fresh


def on_partition(project: Project, name: str) -> None:
    """Fill in the partition, in place of the one that the checkout's user may have filled in."""
    profile = project.folder / PROFILE
    text, count = re.subn(
        r'slurm_partition: "\w*"', f'slurm_partition: "{name}"', profile.read_text()
    )
    assert count == 1
    profile.write_text(text)


def start(project: Project, target: str, *config: str) -> subprocess.Popen:
    """The command of the README in a process group of its own."""
    command = [target, "--profile", "profiles/slurm", "--config", *CONFIG, *config]
    output = project.folder / "output.txt"
    with output.open("w") as file:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", *command),
                *("--slurm-init-seconds-before-status-checks", "3"),
            ],
            cwd=project.folder,
            env={**os.environ, "PYTHONPATH": str(project.folder), "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def output(project: Project) -> str:
    return (project.folder / "output.txt").read_text()


def queue(project: Project, field: str) -> list[str]:
    """A field of each job of this project that is not done, by its format for squeue."""
    command = ["squeue", "--noheader", f"--format=%Z|{field}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    mine = (line.partition("|") for line in lines)
    return [value for place, _, value in mine if place == str(project.folder)]


def scontrol(*arguments: str) -> str:
    command = ["scontrol", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def asked_for(job: str) -> str:
    """CPUs, memory and GPUs of a job, and its time limit."""
    shown = scontrol("show", "job", job)
    return " ".join(re.findall(r"\b(?:TRES|TimeLimit|TresPerJob)=(\S+)", shown))


def numbers(record: Path) -> list:
    """All numbers of a trial but durations."""
    content = json.loads(record.read_text())
    rows = [row for row in content["rows"] if "seconds" not in row["metric"]]
    return [*rows, content["curve"]]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {SECONDS} s"
        time.sleep(0.02)


def test_a_training_cancelled_after_the_main_process_died_ends_equal_to_a_local_one(
    cluster: Project, tmp_path: Path
) -> None:
    with contextlib.chdir(cluster.folder):
        plan = load_plan({"scale": "smoke", "methods": ["simclr"]})
    spec = next(spec for spec in plan.specs.values() if spec.method == "simclr")
    runtime = Runtime(torch.device("cpu"), progress=False)
    local = {"output": tmp_path / "local", "work": tmp_path / "work"}
    run_trials(spec, [0], data=cluster.folder / DATA, **local, runtime=runtime)
    record, mark = plan.folder(spec) / "trial_000.json", str(plan.mark(spec, range(1)))

    first = start(cluster, mark)
    checkpoints = f"{plan.work_folder(spec)}/trial_*/*/checkpoint.safetensors"
    wait_for(lambda: any(cluster.folder.glob(checkpoints)), "checkpoint")
    (job,) = queue(cluster, "%i")
    scontrol("suspend", job)  # however fast it is, it is in the middle
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert asked_for(job) == "12:00:00 cpu=1,mem=4011M,node=1,billing=1"

    again = start(cluster, mark)
    wait_for(lambda: len(queue(cluster, "%i")) == 2, "second job")
    assert f"SLURM jobs of an earlier run here are not done yet: {job}." in output(cluster)
    assert any(line.startswith(f"afterany:{job}") for line in queue(cluster, "%E"))
    subprocess.run(["scancel", job], check=True)
    assert again.wait(timeout=SECONDS) == 0, output(cluster)
    assert numbers(cluster.folder / record) == numbers(local["output"] / "trial_000.json")


def test_a_users_error_is_one_line_and_is_not_submitted_again(cluster: Project) -> None:
    """A GPU is asked for and given; PyTorch does not see this one, because it is pretended."""
    on_partition(cluster, "gpu")
    running = start(cluster, "table1", "device=cuda:99")
    wait_for(lambda: queue(cluster, "%i") or running.poll() is not None, "job")
    (job,) = queue(cluster, "%i")
    assert "gres:gpu:1" in asked_for(job)
    assert running.wait(timeout=SECONDS) != 0
    (log,) = cluster.folder.glob(".snakemake/slurm_logs/rule_train_0/*/*.log")
    errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    assert errors == ["error: device 'cuda:99' is not available here; try device=auto"]
    assert len(re.findall("has been submitted with SLURM jobid", output(cluster))) == 1


TURN = """
import sys, time
from pathlib import Path
from metaug.suite.slurm import requeued_at_time_limit
turns = Path(sys.argv[1])
with requeued_at_time_limit(lambda: len(turns.read_text()) if turns.exists() else 0):
    time.sleep(2)
    if sys.argv[2] == "on":
        with turns.open("a") as file:
            file.write("x")
    if not turns.exists() or len(turns.read_text()) < 2:
        time.sleep(300)
    turns.with_suffix(".done").touch()
"""


def test_a_job_is_started_again_at_its_time_limit_while_it_gets_on(tmp_path: Path) -> None:
    """One that writes something in each turn, and one that never does."""
    script = tmp_path / "turn.py"
    script.write_text(TURN)
    for name in ("on", "stuck"):
        subprocess.run(
            [
                *("sbatch", "--mem=500", "--time=1", "--requeue", "--comment=rule_train_0_x"),
                *(f"--output={tmp_path / name}.log", f"--job-name={tmp_path.name}-{name}"),
                f"--wrap={sys.executable} {script} {tmp_path / name} {name}",
            ],
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    wait_for((tmp_path / "on.done").exists, "end")
    assert (tmp_path / "on").read_text() == "xx"
    wait_for(lambda: "wrote no checkpoint" in (tmp_path / "stuck.log").read_text(), "message")
    assert "into the queue again" not in (tmp_path / "stuck.log").read_text()
    subprocess.run(["scancel", f"--name={tmp_path.name}-stuck"], check=True)
