"""The bars at the bottom of a terminal: one for the whole run and one for each job, by what is on
disk. What jobs print scrolls by above them."""

import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from metaug.reporting.html import duration
from metaug.suite.remaining import Training

POLL_SECONDS = 1.0
"""Between two looks at what is on disk."""

MOST_BARS = 6
"""Jobs that are shown at a time; on a cluster there may be hundreds."""

_OF_A_TRIAL = re.compile(r"trial \d+: ")


@dataclass(frozen=True)
class Job:
    """A job that is running.

    Attributes:
        name: what it does, for readers.
        log: its log.
        local: it runs on this machine, and what it prints comes here.
        training: what it trains, if it does.
    """

    name: str
    log: Path | None
    local: bool
    training: Training | None

    def error(self) -> str:
        """The last line of its log that says what is wrong."""
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
        return next((line for line in reversed(lines) if line.startswith("error:")), "")


class Bars:
    """The progress of a run, from when it is made until it is closed.

    Whatever this process and its jobs write to the terminal comes here through a pipe, so that it
    does not tear the bars.
    """

    def __init__(self, trainings: list[Training]) -> None:
        self._kept = {fd: os.dup(fd) for fd in (1, 2) if os.isatty(fd)}
        terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self.console = Console(file=terminal, highlight=False)
        read, write = os.pipe()
        for fd in self._kept:
            os.dup2(write, fd)
        os.close(write)
        self._printed = os.fdopen(read, "rb")
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Job, TaskID]] = {}
        self._logs: dict[Path, int] = {}
        self._done: dict[tuple[str, str], float] = {
            training.key: training.done() for training in trainings
        }
        self._finished = {training.key: training.finished() for training in trainings}
        self._trials = sum(len(training.trials) for training in trainings)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(ratio=3, no_wrap=True)),
            BarColumn(None, table_column=Column(ratio=2)),
            TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
            _Left(table_column=Column(no_wrap=True)),
            console=self.console,
            expand=True,
            transient=True,
            refresh_per_second=4,
            speed_estimate_period=float("inf"),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._total = self._bars.add_task(
            "all trials",
            total=self._trials,
            completed=sum(self._finished.values()),
            count="",
            visible=bool(trainings),
        )
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._print, self._follow)
        ]
        self._bars.start()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Remove the bars and give the terminal back."""
        self._ended.set()
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, terminal in self._kept.items():
            os.dup2(terminal, fd)
            os.close(terminal)
        for thread in self._threads:
            thread.join(timeout=2)  # a job that outlives Snakemake keeps the pipe open
        self._update()
        self._bars.stop()

    def start(self, number: int, job: Job) -> None:
        """Show a job."""
        with self._lock:
            task = self._bars.add_task(
                job.name,
                total=len(job.training.trials) if job.training else 1,  # no moving bar
                completed=self._finished[job.training.key] if job.training else 0,
                count="",
                visible=False,  # the next update decides
            )
            self._running[number] = (job, task)
            if job.log and not job.local:
                self._logs[job.log] = 0
        self._update()

    def end(self, number: int) -> None:
        """Show a job no more."""
        self._update()
        with self._lock:
            job, task = self._running.pop(number, (None, None))
            if job is None or task is None:
                return
            self._bars.remove_task(task)
            if job.log is not None:
                self._logs.pop(job.log, None)

    def _print(self) -> None:
        """Print what comes through the pipe, line by line."""
        for line in self._printed:
            self._line(line)

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip("\n").rpartition("\r")[2]
        style = "red" if text.startswith("error:") else ""
        one_line = _OF_A_TRIAL.search(text) is not None
        self.console.print(
            Text(text, style), no_wrap=one_line, overflow="ellipsis" if one_line else "fold"
        )

    def _follow(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        """Look at what the jobs have left on disk."""
        with self._lock:
            for place, (job, task) in enumerate(self._running.values()):
                self._bars.update(task, visible=place < MOST_BARS)
                if (training := job.training) is None:
                    continue
                key, trials = training.key, len(training.trials)
                self._finished[key], self._done[key] = training.finished(), training.done()
                now = min(self._finished[key] + 1, trials)
                count = f"trial {now} of {trials}"
                self._bars.update(task, completed=self._done[key], count=count)
            self._bars.update(
                self._total,
                completed=sum(self._done.values()),
                count=f"{sum(self._finished.values())} of {self._trials}",
            )
            for log, start in self._logs.items():
                if log.exists():
                    with log.open("rb") as file:
                        if file.seek(0, os.SEEK_END) < start:
                            start = 0  # the job has been started again, and its log with it
                        file.seek(start)
                        lines = file.read().rpartition(b"\n")[:2]
                    self._logs[log] = start + sum(map(len, lines))
                    for line in b"".join(lines).splitlines():
                        self._line(line)


class _Left(ProgressColumn):
    """About how long the rest takes, at the speed so far."""

    max_refresh = 2.0

    def render(self, task: Task) -> Text:
        if task.id or not task.time_remaining:  # the first bar is that of the whole run
            return Text()
        return Text(f"about {duration(task.time_remaining)} left", "cyan")
