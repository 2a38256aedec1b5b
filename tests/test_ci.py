"""The workflows of GitHub: they parse, and what they run is there."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaug.suite.plan import load_plan

ROOT = Path(__file__).parents[1]
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}


def steps_of(name: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]


def commands_of(name: str) -> list[list[str]]:
    lines = [line for step in steps_of(name) for line in step.get("run", "").splitlines()]
    return [shlex.split(line) for line in lines]


def made(*arguments: str) -> str:
    """What `make` would run."""
    run = subprocess.run(
        ["make", "-n", "VENV=fresh", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_there_is_a_workflow_for_the_tests_and_one_for_table_1() -> None:
    assert set(WORKFLOWS) == {"ci.yml", "table1.yml"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_triggers_jobs_and_steps(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert "pull_request" in workflow[True]  # YAML 1.1 reads `on` as a truth value
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        assert job["timeout-minutes"] <= 60
    for step in steps_of(name):
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_runs_is_there(name: str) -> None:
    for program, *arguments in commands_of(name):
        assert program in {"make", "bash", "pip", "python", "cat", "gh"}
        if program == "make":
            targets = [word for word in arguments if "=" not in word]
            assert made(*targets)
        if program == "bash":
            assert (ROOT / arguments[0]).is_file()


def test_the_files_that_the_workflow_shows_are_those_of_table_1() -> None:
    plan = load_plan({"scale": "smoke"})
    written = {str(path) for path in [*plan.files("table1"), plan.tidy_frame]}
    named = {word for line in commands_of("table1.yml") for word in line if "results/" in word}
    (upload,) = (step["with"] for step in steps_of("table1.yml") if "path" in step.get("with", {}))
    assert named == {"results/smoke/tables/table1.md"}
    assert named <= written
    for path in upload["path"].split():
        assert any(file == path or file.startswith(f"{path}/") for file in written)


def test_only_a_run_that_may_write_comments() -> None:
    (job,) = WORKFLOWS["table1.yml"]["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    (comment,) = (step for step in job["steps"] if step.get("run", "").startswith("gh"))
    assert comment["if"].endswith("head.repo.full_name == github.repository")
    # a number in the environment, not in the text of the command: nothing can be injected
    assert "${{" not in comment["run"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_expression_stands_in_a_command(name: str) -> None:
    assert not any("${{" in step.get("run", "") for step in steps_of(name))


def test_make_smoke_trains_a_method_beside_floor_and_supervised() -> None:
    command = "table1 --config 'methods=[random,supervised,agreement]'"
    assert command in made("smoke", "METHOD=agreement")
    assert command.replace("agreement", "metaug") in made("smoke")


def test_lint_builds_the_site() -> None:
    assert "fresh/bin/python docs/build.py" in made("lint")
