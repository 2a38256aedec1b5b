"""What the screen shows while Snakemake works: how far it is, one line for each finished trial, and
what went wrong. Snakemake's own report, every file name included, is in `.snakemake/log/`.

In a terminal bars follow the trainings (`metaug.suite.bars`). Elsewhere, in a pipe or the log of a
CI service, nothing is redrawn and jobs print for themselves. A dry run, and a run with --verbose,
--quiet or --printshellcmds, is reported by Snakemake itself.

Snakemake finds this handler as `snakemake_logger_plugin_metaug`, and profiles/default asks for it.
The Snakefile has it know the plan by `tell`.
"""

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.text import Text
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from metaug.reporting.names import counted
from metaug.spec import suggestion
from metaug.suite.bars import Bars, Job
from metaug.suite.plan import Plan
from metaug.suite.remaining import Training, trainings_of
from metaug.suite.summary import print_summary

TOLD = "metaug"
"""The attribute of a log record that holds what the Snakefile tells."""

KNOWN = "metaug_known"
"""The attribute that holds what is set when it is known."""

_WORDS = {
    "prepare": "preparing {dataset}",
    "table": "rendering {artefact}",
    "figure": "drawing {artefact}",
    "verdicts": "deciding the claims",
    "page": "writing the report",
    "trials": "gathering the records",
    "plan": "timing the plan",
}
"""What the rules that train nothing do."""

_NOTHING = "Nothing to be done"
_WORTH_SAYING = re.compile("^(Terminating processes|Will exit after)|has been submitted with")
_SAID_BY_THE_JOB = re.compile("CalledProcessError|^Exiting because a job execution failed")
_SOME_FAILED = "At least one job did not complete successfully"
_NO_TARGET = re.compile("^MissingRuleException:\nNo rule to produce ([^\\s/.]+) ")
_COLLECTIONS = ("all", "tables", "figures", "scorecard", "report", "plan")
"""The targets that are no artefact."""


def tell(**what: Any) -> None:
    """Have the screen know of something, by Snakemake's log, and wait until it does: the bars must
    be there before the first job prints.

    Args:
        what: `plan` and a function that gives the `targets` of the command line, which Snakemake
            does not know yet, when the Snakefile has been read; `trainings`, pairs of a rule
            and the hash of a spec, when a run starts; `finished=True` when it has succeeded.
    """
    known = threading.Event()
    logging.getLogger("snakemake.logging").info("", extra={TOLD: what, KNOWN: known})
    if LogHandler.listens:
        known.wait(timeout=60)


class LogHandler(LogHandlerBase):
    """What Snakemake hands its log records to, one at a time."""

    listens: ClassVar[bool] = False
    """Whether there is one in this process: users may prefer another handler."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        LogHandler.listens = True
        settings = self.common_settings
        self._snakemake: logging.Handler | None = None
        if settings.dryrun or settings.verbose or settings.quiet or settings.printshellcmds:
            self._snakemake = _handler_of_snakemake(settings)
        self._plan: Plan | None = None
        self._read_targets: Callable[[], Iterable[str]] = tuple
        self._trainings: dict[tuple[str, str], Training] = {}
        self._jobs: dict[int, Job] = {}
        self._failed: list[Job] = []
        self._console = Console(stderr=True, highlight=False)
        self._bars: Bars | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record says, or nothing."""
        try:
            if self._snakemake is not None:
                self._snakemake.handle(record)
            elif TOLD in record.__dict__:
                self._told(**record.__dict__[TOLD])
            else:
                self._handle(record, getattr(record, "event", None))
        except Exception:
            self.handleError(record)
        finally:
            if KNOWN in record.__dict__:
                record.__dict__[KNOWN].set()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._remove_bars()
        super().close()

    def _remove_bars(self) -> None:
        if self._bars is not None:
            self._bars.close()
            self._bars = None

    def _told(
        self,
        plan: Plan | None = None,
        targets: Callable[[], Iterable[str]] | None = None,
        trainings: Iterable[tuple[str, str]] | None = None,
        finished: bool = False,
    ) -> None:
        if plan is not None and targets is not None:
            self._plan, self._read_targets = plan, targets
        if trainings is not None:
            self._start(trainings)
        if finished:
            self._finish()

    def _targets(self) -> list[str]:
        return sorted(self._read_targets()) or ["all"]

    def _start(self, jobs: Iterable[tuple[str, str]]) -> None:
        assert self._plan is not None
        trainings = trainings_of(self._plan, jobs)
        self._trainings = {training.key: training for training in trainings}
        to_do = sum(len(training.trials) - training.finished() for training in trainings)
        self._say(
            f"{', '.join(self._targets())} at scale {self._plan.scale.name}: "
            + (counted(to_do, "trial") + " to train" if to_do else "nothing to train")
        )
        self._name_other_images()
        if sys.stderr.isatty():  # rich may have been told that a log is a terminal
            self._bars = Bars(trainings)

    def _name_other_images(self) -> None:
        if self._plan and (others := self._plan.of_other_images()):
            self._problem(others, "yellow")

    def _finish(self) -> None:
        assert self._plan is not None
        self._remove_bars()
        print_summary(self._plan, self._targets(), Console(highlight=False))

    def _handle(self, record: Any, event: LogEvent | None) -> None:
        text = record.getMessage()
        if event == LogEvent.JOB_INFO:
            self._job_starts(record)
        elif event == LogEvent.JOB_FINISHED:
            self._job_ends(record.job_id)
        elif event == LogEvent.JOB_ERROR:
            self._job_fails(record.jobid)
        elif event in (LogEvent.ERROR, None) and record.levelno >= logging.WARNING:
            self._problem(text, "red" if record.levelno >= logging.ERROR else "yellow")
        elif event is None and text.startswith(_NOTHING):
            self._say("Nothing to be done: every file is up to date.")
            self._name_other_images()
            self._finish()
        elif event is None and _WORTH_SAYING.search(text):
            self._say(text)

    def _job_starts(self, record: Any) -> None:
        wildcards = dict(record.wildcards or {})
        training = self._trainings.get((record.rule_name, wildcards.get("spec", "")))
        words = _WORDS.get(record.rule_name)
        if training is None and words is None:  # a target: it has nothing to do
            return
        name = training.name if training else str(words).format(**wildcards)
        log = Path(record.log[0]) if record.log else None
        self._jobs[record.jobid] = job = Job(name, log, record.local, training)
        if self._bars is not None:
            self._bars.start(record.jobid, job)

    def _job_ends(self, number: int) -> Job | None:
        if self._bars is not None:
            self._bars.end(number)
        return self._jobs.pop(number, None)

    def _job_fails(self, number: int) -> None:
        job = self._job_ends(number)
        if job is None:
            return
        self._failed.append(job)
        if not job.local and (reason := job.error()):  # one of this machine has said it itself
            self._say(reason, "red")
        self._say(f"failed: {job.name}; its log is {job.log}", "red")

    def _problem(self, text: str, style: str) -> None:
        """Say what Snakemake says is wrong, once."""
        if _SAID_BY_THE_JOB.search(text):
            return
        if _SOME_FAILED in text:
            failed = counted(len(self._failed), "job")
            text = (
                f"{failed} failed, for the reasons above. What was finished is kept: the "
                "same command goes on from there."
            )
        if (unknown := _NO_TARGET.match(text)) and self._plan is not None:
            targets = suggestion(unknown[1], (*self._plan.rendered, *_COLLECTIONS))
            text = f"error: unknown target {unknown[1]!r}; {targets}"
        self._say(text, style)

    def _say(self, text: str, style: str = "") -> None:
        console = self._console if self._bars is None else self._bars.console
        console.print(Text(text, style), soft_wrap=not console.is_terminal)


def _handler_of_snakemake(settings: Any) -> logging.Handler:
    """What Snakemake would report with, if it did not have this handler."""
    return ColorizingTextHandler(
        nocolor=settings.nocolor,
        stream=sys.stdout if settings.stdout else sys.stderr,
        formatter=DefaultFormatter(settings.quiet, settings.show_failed_logs),
        filter=DefaultFilter(
            settings.quiet,
            settings.debug_dag,
            settings.verbose,
            settings.dryrun,
            settings.printshellcmds,
        ),
    )
