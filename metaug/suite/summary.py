"""What a run ends with: the artefact itself, where its files are, and what to do next."""

import csv
import json
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from metaug.config import Config, config_file, read_config
from metaug.reporting.tables import Table
from metaug.reporting.terminal import scorecard_in_terminal, table_in_terminal
from metaug.suite.plan import Plan


def print_summary(plan: Plan, targets: Iterable[str], console: Console) -> None:
    """Print what the targets of a run have made, from the files that were rendered.

    In a terminal these are the tables and the scorecard as such, the addresses of all files, and
    two commands to go on with; elsewhere the files alone.

    Args:
        plan: says where the files lie.
        targets: names of artefacts and of groups of them; others are passed over.
        console: where to print.
    """
    targets = list(targets)
    files = dict(line for name in targets for line in files_of(plan, name))
    if not files:
        return
    if console.is_terminal:
        console.print()
        for name in targets:
            print_table(plan, name, console)
        if {"scorecard", "all"} & {*targets}:
            console.print(scorecard_in_terminal(plan.tidy_frame.with_name("scorecard.md")), "")
    for title, path in files.items():
        console.print(Text.assemble((f"{title}: ", "bold"), path), soft_wrap=True)
    if console.is_terminal:
        console.print("\nGo on with", style="bold")
        for command, purpose in next_commands(plan, targets):
            lines = Text.assemble("  ", (command, "cyan"), "\n    ", (purpose, "dim"))
            console.print(lines, soft_wrap=True)


def print_table(plan: Plan, name: str, console: Console) -> None:
    """Print a table as it was rendered; nothing where it was not, or is none."""
    if plan.rendered.get(name) is Table and (path := markdown_of(plan, name)).exists():
        console.print(table_in_terminal(path, console.width), "")


def markdown_of(plan: Plan, table: str) -> Path:
    """The Markdown file of a table."""
    return next(path for path in plan.files(table) if path.suffix == ".md")


def files_of(plan: Plan, name: str) -> list[tuple[str, str]]:
    """What a target makes, and where it lies."""
    folder = plan.tidy_frame.parent
    report = folder / "report.html"
    if name in plan.rendered:
        first, *others = plan.files(name)
        endings = ",".join(path.suffix[1:] for path in (first, *others))
        return [(name, f"{first.with_suffix('')}.{{{endings}}}")]
    match name:
        case "tables" | "figures":
            return [line for each in getattr(plan, name) for line in files_of(plan, each)]
        case "scorecard":
            return [(name, f"{folder}/scorecard.{{csv,md,html}}")]
        case "report":
            return [(name, report.resolve().as_uri())]
        case "all":
            return [
                ("tables", f"{folder}/tables"),
                ("figures", f"figures/{plan.scale.name}"),
                *files_of(plan, "scorecard"),
                *files_of(plan, "report"),
            ]
    return []


def next_commands(plan: Plan, targets: Iterable[str]) -> list[tuple[str, str]]:
    """Two commands that make sense after a run, and what each is for."""
    names, scale = {*targets}, plan.scale.name
    shown = [name for name in (*plan.tables, *plan.artefacts) if name in names & {*plan.rendered}]
    address = _address(plan, shown[0]) if shown else "C1"
    purpose = "the comparisons behind a claim" if address == "C1" else "what is behind a number"
    settings = settings_of(plan.config)
    behind = f"metaug show {address}{settings}"
    if scale == "smoke":
        more = ("make lite DATA=DIR", "Table 1 on real images; DIR is the folder of the data sets")
    elif names & {"report", "all"}:
        more = (f"metaug bundle --scale {scale}", "all records in one file, to hand on")
    else:
        more = (
            f"snakemake --cores all report{settings}",
            "everything on one page; trains what is missing for it",
        )
    return [(typed(command), why) for command, why in ((behind, purpose), more)]


def _address(plan: Plan, artefact: str) -> str:
    """The address of a number of a table that was run, MetAug's if there is one; else the artefact
    itself."""
    if plan.rendered[artefact] is Table:
        with markdown_of(plan, artefact).with_suffix(".csv").open(encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["method"] != "metaug")
        for row in rows:
            for column, value in row.items():
                if column.endswith("_mean") and value:
                    return f"{artefact}:{row['method']}:{column.removesuffix('_mean')}"
    return artefact


def settings_of(config: Config, **changes: Any) -> str:
    """What this config, with some changes, has that config/config.yaml has not: ` --config
    KEY=VALUE …` for a shell; empty where there is nothing."""
    file = Config.model_validate(read_config(config_file()))
    here = config.model_dump(mode="json") | changes
    there = file.model_dump(mode="json")
    settings = [
        shlex.quote(f"{key}={value if isinstance(value, str) else json.dumps(value)}")
        for key, value in here.items()
        if value != there[key]
    ]
    return " ".join([" --config", *settings]) if settings else ""


def typed(command: str) -> str:
    """A command as it can be typed here: a program of this environment that the shell would not
    find is given with its path."""
    program, _, arguments = command.partition(" ")
    here = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    if not here.exists() or (found and Path(found).parent.resolve() == here.parent.resolve()):
        return command
    place = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    return f"{shlex.quote(str(place))} {arguments}"
