"""What a training does about SLURM; `squeue` and `scontrol` are played by small programs."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from metaug.suite import slurm
from metaug.suite.cluster import waiting_for_earlier_jobs
from metaug.suite.slurm import earlier_jobs, requeued_at_time_limit, seconds_left

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program of this name and these lines of shell before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def write(name: str, lines: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59", None),
        ("0:30", 30),
        ("12:00:00", 43_200),
        ("1-00:00:01", 86_401),
        ("INVALID", None),
        ("UNLIMITED", None),
    ],
)
def test_time_left_is_read(text: str, seconds: int | None) -> None:
    assert seconds_left(text) == seconds


def test_trainings_wait_for_the_jobs_that_an_earlier_run_here_has_left(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    here = Path.cwd()
    queue = [
        f"7|rule_train_0_wildcards_aaaaaaaaaaaa|{here}",
        f"8|rule_train_1_wildcards_aaaaaaaaaaaa|{here}",
        "9|rule_train_0_wildcards_bbbbbbbbbbbb|/elsewhere",
        f"10|(null)|{here}",
    ]
    program("squeue", "cat <<END\n" + "\n".join(queue) + "\nEND")
    assert earlier_jobs(here) == {"aaaaaaaaaaaa": ["7", "8"]}
    resource = waiting_for_earlier_jobs()["slurm_extra"]
    assert "earlier run here are not done yet: 7, 8." in capsys.readouterr().err
    assert resource(SimpleNamespace(spec="aaaaaaaaaaaa")) == "--dependency=afterany:7:8"
    assert resource(SimpleNamespace(spec="bbbbbbbbbbbb")) == ""

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert earlier_jobs(here) == {}


def test_nothing_is_said_where_there_is_no_slurm(
    program: Program, capsys: pytest.CaptureFixture
) -> None:
    assert waiting_for_earlier_jobs() == {}
    assert not capsys.readouterr().err


@pytest.fixture
def job(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This process is the job of a training whose time is nearly over; the file of requeues."""
    requeues = tmp_path / "requeues"
    program("scontrol", f'echo "$@" >> {requeues}')
    program(
        "squeue",
        'case "$*" in *%k*) echo rule_train_0_wildcards_aaaaaaaaaaaa;; *) echo 0:20;; esac',
    )
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.1)
    return requeues


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_that_got_on_is_requeued_before_its_time_limit(
    job: Path, capsys: pytest.CaptureFixture
) -> None:
    steps = iter((5, 5, 6))
    with requeued_at_time_limit(lambda: next(steps)):
        wait_for(job.exists)
    assert job.read_text() == "requeue 7\n"
    assert "SLURM puts job 7 into the queue again" in capsys.readouterr().out


def test_a_job_that_got_no_further_is_not_requeued_and_says_why(
    job: Path, program: Program, capsys: pytest.CaptureFixture
) -> None:
    program("squeue", 'case "$*" in *%k*) echo rule_train_0_wildcards_a;; *) echo 0:00;; esac')
    said: list[str] = []

    def is_said() -> bool:
        said.append(capsys.readouterr().err)
        return any(said)

    with requeued_at_time_limit(lambda: 5):
        wait_for(is_said)
    assert "error: job 7 wrote no checkpoint within its time limit" in "".join(said)
    assert not job.exists()


def test_a_job_is_requeued_though_slurm_did_not_answer_at_times(
    job: Path, program: Program, tmp_path: Path
) -> None:
    answered = tmp_path / "answered"
    program(
        "squeue",
        'case "$*" in *%k*) word=comment; text=rule_train_0_wildcards_a;; '
        "*) word=left; text=0:20;; esac\n"
        f"[ -e {answered}.$word ] && echo $text || {{ touch {answered}.$word; exit 1; }}",
    )
    steps = iter((5, 6))
    with requeued_at_time_limit(lambda: next(steps)):
        wait_for(job.exists)
    assert job.read_text() == "requeue 7\n"


def test_a_job_whose_program_cannot_ask_slurm_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, say."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    trained = False
    with requeued_at_time_limit(lambda: 5):
        trained = True
    assert trained


def test_a_job_that_is_done_is_not_requeued(job: Path, program: Program) -> None:
    program("squeue", 'case "$*" in *%k*) echo rule_train_0_wildcards_a;; *) echo 1:00:00;; esac')
    with requeued_at_time_limit(lambda: 5):
        pass
    assert not job.exists()


def test_a_users_own_job_is_left_alone(job: Path, program: Program) -> None:
    """`snakemake --cores 4` within `salloc`: its end is the user's affair."""
    program("squeue", 'case "$*" in *%k*) echo "(null)";; *) echo 0:20;; esac')
    steps = iter(range(100))
    with requeued_at_time_limit(lambda: next(steps)):
        time.sleep(0.5)
    assert not job.exists()
    assert next(steps) == 0


def test_a_refusal_of_slurm_says_how_to_go_on(
    job: Path, program: Program, capsys: pytest.CaptureFixture
) -> None:
    program("scontrol", f"echo disabled >&2; touch {job}; exit 1")
    steps = iter((5, 6))
    with requeued_at_time_limit(lambda: next(steps)):
        wait_for(job.exists)
        time.sleep(0.3)
    assert "does not requeue job 7 (disabled); when it has ended" in capsys.readouterr().err
