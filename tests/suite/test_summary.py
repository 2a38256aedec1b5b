"""What a run ends with."""

import contextlib
import io
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from metaug import __main__ as cli
from metaug.reporting.scorecard import write_scorecard
from metaug.reporting.tables import write_table
from metaug.suite.plan import Plan, load_plan
from metaug.suite.summary import next_commands, print_summary, typed
from tests.paper.synthetic import write_records

ROOT = Path(__file__).parents[2]
METHODS = ["random", "simclr"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A folder in which Table 1 and the scorecard have been rendered."""
    folder = tmp_path_factory.mktemp("rendered")
    shutil.copytree(ROOT / "config", folder / "config")
    with contextlib.chdir(folder):
        plan = load_plan({"methods": METHODS})
        for spec in plan.specs_of["table1"]:
            write_records(plan, spec)
        write_table(plan.render("table1", plan.results("table1")), "results/smoke/tables/table1")
        write_scorecard(plan.decide(plan.results("claims")), "smoke", "results/smoke/scorecard")
    return folder


@pytest.fixture(name="plan")
def plan_fixture(rendered, tmp_path, monkeypatch) -> Plan:
    """The plan, in a copy of that folder."""
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return load_plan({"methods": METHODS})


def summary(plan: Plan, *targets: str, terminal: bool = True, width: int = 200) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, color_system=None, width=width)
    print_summary(plan, targets, console)
    return text.getvalue()


def test_a_table_is_printed_from_its_file(plan):
    file = Path("results/smoke/tables/table1.md")
    file.write_text(file.read_text().replace("SimCLR |", "Written by hand |"))
    text = summary(plan, "table1")
    assert "Written by hand" in text
    assert "table1: results/smoke/tables/table1.{csv,md,tex,html}\n" in text


def test_elsewhere_than_in_a_terminal_there_are_the_files_alone(plan):
    assert summary(plan, "table1", "figure1", "scorecard", terminal=False) == (
        "table1: results/smoke/tables/table1.{csv,md,tex,html}\n"
        "figure1: figures/smoke/figure1.{pdf,png,csv}\n"
        "scorecard: results/smoke/scorecard.{csv,md,html}\n"
    )


def test_the_report_is_named_by_the_address_that_a_browser_opens(plan):
    page = Path("results/smoke/report.html").resolve()
    assert f"report: {page.as_uri()}\n" in summary(plan, "report")
    assert f"report: {page.as_uri()}\n" in summary(plan, "all")


def test_the_scorecard_is_printed_with_its_verdicts(plan):
    lines = summary(plan, "scorecard").splitlines()
    (line,) = (line for line in lines if line.startswith("C1 "))
    assert line.rstrip().endswith("· not run")


def test_a_group_of_artefacts_is_a_list_of_files(plan):
    lines = summary(plan, "tables").strip().partition("\n\n")[0].splitlines()
    assert [line.partition(":")[0] for line in lines] == plan.tables


def test_a_target_that_is_a_file_has_no_summary(plan):
    assert summary(plan, "data/digits_m-32/manifest.json") == ""


def test_two_commands_follow_and_the_first_can_be_typed(plan, monkeypatch, capsys):
    commands = [command for command, _ in next_commands(plan, ["table1"])]
    assert commands[1] == "make lite DATA=DIR"
    program, *arguments = shlex.split(commands[0])
    assert Path(program).name == "metaug"
    monkeypatch.setattr(sys, "argv", ["metaug", *arguments])
    cli.main()
    assert capsys.readouterr().out.startswith("table1:simclr:digits_m_conv, scale smoke\n")


def test_metaugs_number_is_asked_for_where_it_was_run(plan):
    file = Path("results/smoke/tables/table1.csv")
    head, *rows = file.read_text().splitlines()
    assert any(row.startswith("metaug,") for row in rows)
    numbers = next(row for row in rows if row.startswith("simclr,")).partition(",")[2]
    rows = [f"metaug,{numbers}" if row.startswith("metaug,") else row for row in rows]
    file.write_text("\n".join([head, *rows]) + "\n")
    command, _ = next_commands(plan, ["table1"])[0]
    assert "show table1:metaug:digits_m_conv" in command


def test_at_other_scales_the_report_is_next_and_after_it_the_bundle(plan):
    lite = load_plan({"scale": "lite", "methods": METHODS})
    assert (
        "snakemake --cores all report --config scale=lite" in next_commands(lite, ["figure2"])[1][0]
    )
    assert "metaug bundle --scale lite" in next_commands(lite, ["report"])[1][0]
    assert "metaug show figure2 --config scale=lite" in next_commands(lite, ["figure2"])[0][0]


def test_a_program_that_the_shell_would_not_find_is_given_with_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = tmp_path / ".venv/bin"
    here.mkdir(parents=True)
    for name in ("python", "metaug"):
        (here / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert typed("metaug show C1") == ".venv/bin/metaug show C1"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert typed("metaug show C1") == f"{here}/metaug show C1"
    monkeypatch.setenv("PATH", str(here))
    assert typed("metaug show C1") == "metaug show C1"
    assert typed("make lite") == "make lite"
