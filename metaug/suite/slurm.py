"""What a training does about SLURM, where it is a job of one: goes on after a time limit, and does
not run beside a job of an earlier run that trains the same.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MARGIN = 30.0
"""Seconds before the time limit at which a training is requeued: `scontrol` needs one or two."""

POLL_SECONDS = 2.0
"""How often a training that has written nothing looks again in these last seconds."""

RETRY = 5
"""So many times longer it waits where SLURM does not answer."""

COMMENT = "rule_train_"
"""How the comments of trainings begin: Snakemake's plugin names rule and spec there."""


def earlier_jobs(folder: Path) -> dict[str, list[str]]:
    """The jobs that an earlier run in `folder` left in the queue: by spec, their numbers.

    Empty where there is no SLURM, and within one of its jobs.
    """
    if "SLURM_JOB_ID" in os.environ or not shutil.which("squeue"):
        return {}
    jobs: dict[str, list[str]] = {}
    for line in (_squeue("%i|%k|%Z", "--me") or "").splitlines():
        number, comment, place = line.split("|", 2)
        if comment.startswith(COMMENT) and Path(place) == folder:
            jobs.setdefault(comment.rpartition("_")[2], []).append(number)
    return jobs


@contextmanager
def requeued_at_time_limit(progress: Callable[[], int]) -> Iterator[None]:
    """Have SLURM start this job again shortly before its time limit, as often as it gets on.

    The block is killed then; it must be able to go on from what it has written. A job that got no
    further since it was started is not requeued: it would never end. Outside of a job that
    Snakemake submitted, nothing happens.

    Args:
        progress: how far the work on disk is; another number when it has got on.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job or not shutil.which("squeue"):
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(job, progress, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()


def _watch(job: str, progress: Callable[[], int], ended: threading.Event) -> None:
    if not _answer("%k", job, ended).startswith(COMMENT):
        return
    start = progress()
    # asked again each time: an administrator may have given the job more time
    while (left := seconds_left(_answer("%L", job, ended))) is not None:
        if left <= MARGIN and progress() != start:
            _requeue(job)
            return
        if left <= 2 * POLL_SECONDS:
            print(
                f"error: job {job} wrote no checkpoint within its time limit, so it is not started "
                "again; raise `runtime` in profiles/slurm/config.yaml",
                file=sys.stderr,
                flush=True,
            )
            return
        if ended.wait(max(left - MARGIN, POLL_SECONDS)):
            return


def _answer(field: str, job: str, ended: threading.Event) -> str:
    """What SLURM says of a job, which is asked until it answers; "" if the training ends before."""
    while (found := _squeue(field, "--jobs", job)) is None:
        if ended.wait(RETRY * POLL_SECONDS):
            return ""
    return found


def _requeue(job: str) -> None:
    print(f"time limit: SLURM puts job {job} into the queue again, to go on from here", flush=True)
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    if done.returncode:
        print(
            f"error: SLURM does not requeue job {job} ({done.stderr.strip()}); when it has ended, "
            "the same command goes on from its checkpoint",
            file=sys.stderr,
            flush=True,
        )


def seconds_left(text: str) -> int | None:
    """Seconds out of SLURM's `[days-][hours:]minutes:seconds`; None if there is no limit."""
    days, _, clock = text.strip().rpartition("-")
    fields = clock.split(":")
    if len(fields) < 2 or not all(field.isdecimal() for field in fields):
        return None
    seconds = 0
    for field in fields:
        seconds = 60 * seconds + int(field)
    return seconds + 86_400 * int(days or 0)


def _squeue(fields: str, *which: str) -> str | None:
    """What SLURM says of some jobs; None where it does not answer now."""
    command = ["squeue", "--noheader", f"--format={fields}", *which]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode else done.stdout.strip()
