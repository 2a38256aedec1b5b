"""What the screen makes of Snakemake's log records."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import MissingRuleException
from snakemake_interface_logger_plugins.common import LogEvent

from metaug.suite.plan import Plan, load_plan
from metaug.suite.screen import TOLD, LogHandler
from tests.paper.synthetic import write_records

ROOT = Path(__file__).parents[2]
TAKE_SECONDS = ("scipy.stats", "scipy.optimize", "seaborn", "statsmodels", "sklearn", "torchvision")


@pytest.fixture(name="plan")
def plan_fixture(tmp_path, monkeypatch) -> Plan:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return load_plan({"methods": ["simclr"]})


@pytest.fixture(name="handler")
def handler_fixture(plan, monkeypatch):
    """A handler that knows the plan of a run of `table1`, of a process without a terminal."""
    monkeypatch.setattr(LogHandler, "listens", False)
    settings = dict.fromkeys(("dryrun", "verbose", "quiet", "printshellcmds"))
    handler = LogHandler(SimpleNamespace(**settings), None)
    tell(handler, plan=plan, targets=lambda: {"table1"})
    return handler


def emit(handler: LogHandler, text: str = "", level: int = logging.INFO, **attributes) -> None:
    handler.emit(logging.makeLogRecord({"msg": text, "levelno": level, **attributes}))


def tell(handler: LogHandler, **what) -> None:
    emit(handler, **{TOLD: what})


def start(handler: LogHandler, number: int, rule: str, log: str, local: bool, **wildcards) -> None:
    emit(
        handler,
        event=LogEvent.JOB_INFO,
        jobid=number,
        rule_name=rule,
        log=[log],
        local=local,
        wildcards=wildcards,
    )


def test_what_is_to_do_is_counted_in_trials(handler, plan, capsys):
    (spec,) = (spec for spec in plan.specs_of["table1"] if spec.method == "simclr")
    tell(handler, trainings=[("train_0", spec.hash)])
    assert capsys.readouterr().err == "table1 at scale smoke: 2 trials to train\n"
    write_records(plan, spec)
    tell(handler, trainings=[("train_0", spec.hash)])
    assert capsys.readouterr().err == "table1 at scale smoke: nothing to train\n"


def test_snakemakes_details_are_not_shown(handler, capsys):
    for text in ("Building DAG of jobs...", "Select jobs to execute...", "Complete log(s): x"):
        emit(handler, text)
    emit(handler, "Provided cores: 1", event=LogEvent.RESOURCES_INFO)
    start(handler, 1, "table", "table.log", True, artefact="table1")
    start(handler, 2, "table1", "table1.log", True)
    for number in (1, 2):
        emit(handler, "Finished jobid", event=LogEvent.JOB_FINISHED, job_id=number)
    assert capsys.readouterr() == ("", "")


def test_the_number_of_a_job_of_a_cluster_is_shown(handler, capsys):
    emit(handler, "Job 3 has been submitted with SLURM jobid 12 (log: x).")
    assert capsys.readouterr().err == "Job 3 has been submitted with SLURM jobid 12 (log: x).\n"


def test_warnings_and_errors_are_shown(handler, capsys):
    emit(handler, "The disk is [nearly] full", logging.WARNING)
    emit(handler, "MissingInputException: no x", logging.ERROR, event=LogEvent.ERROR)
    assert capsys.readouterr().err == "The disk is [nearly] full\nMissingInputException: no x\n"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("tabel1", "unknown target 'tabel1'; did you mean 'table1'?"),
        ("scoreboard", "unknown target 'scoreboard'; did you mean 'scorecard'?"),
        ("xyz", "unknown target 'xyz'; known: all, dots1, extra1, "),
    ],
)
def test_an_unknown_target_is_one_line(handler, capsys, target, expected):
    text = str(MissingRuleException(target))
    emit(handler, f"MissingRuleException:\n{text}", logging.ERROR, event=LogEvent.ERROR)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {expected}")
    assert said.count("\n") == 1


def test_an_unknown_file_is_named_by_snakemake(handler, capsys):
    text = f"MissingRuleException:\n{MissingRuleException('results/x.csv')}"
    emit(handler, text, logging.ERROR, event=LogEvent.ERROR)
    assert capsys.readouterr().err == f"{text}\n"


def test_a_job_of_a_cluster_says_what_is_wrong_by_its_log(handler, plan, capsys):
    Path("job.log").write_text("error: an old one\ntrial 0\nerror: the disk is full\nmore\n")
    key = plan.specs_of["table1"][0].hash
    tell(handler, trainings=[("train_0", key)])
    start(handler, 1, "train_0", "job.log", False, spec=key)
    emit(handler, "Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[0] == "error: the disk is full"
    assert lines[1].startswith("failed: ")
    assert lines[1].endswith(", Digits-M; its log is job.log")


def test_a_job_of_this_machine_has_said_it_itself(handler, capsys):
    Path("job.log").write_text("error: the disk is full\n")
    start(handler, 1, "figure", "job.log", True, artefact="figure2")
    emit(handler, "Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1)
    text = "CalledProcessError in file x"
    emit(handler, text, logging.ERROR, event=LogEvent.ERROR)
    text = "WorkflowError:\nAt least one job did not complete successfully."
    emit(handler, text, logging.ERROR, event=LogEvent.ERROR)
    assert capsys.readouterr().err == (
        "failed: drawing figure2; its log is job.log\n"
        "1 job failed, for the reasons above. What was finished is kept: the same command goes on "
        "from there.\n"
    )


def test_a_run_ends_with_its_files_whether_there_was_something_to_do_or_not(handler, capsys):
    files = "table1: results/smoke/tables/table1.{csv,md,tex,html}\n"
    tell(handler, finished=True)
    assert capsys.readouterr() == (files, "")
    emit(handler, "Nothing to be done (all requested files are present and up to date).")
    assert capsys.readouterr() == (files, "Nothing to be done: every file is up to date.\n")


def test_no_start_of_snakemake_waits_for_packages_that_only_a_job_needs():
    program = (
        "import sys, metaug.suite.screen\n"
        f"print(*(name for name in {TAKE_SECONDS} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "\n"
