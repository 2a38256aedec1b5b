"""Ask what there is to work with, what is behind a number, what a plan costs, whether prepared data
are whole, and for the repository's generated files.

metaug doctor
metaug show table1:metaug:cifar10_conv --scale lite
metaug plan --scale full
metaug verify
metaug bundle --scale lite
metaug bundle import FILE
metaug config > config/config.yaml

`python -m metaug` is the same. The exit status is 0 if all is well, 1 if `doctor` finds that the
scale cannot be run, and 2 if a command was not understood or failed, which is one line on stderr.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn


def _suite_is_missing(error: ModuleNotFoundError) -> NoReturn:
    """The library is installed without the extra that all commands need."""
    package = str(error.name).partition(".")[0]
    if package in ("metaug", "baselines"):
        raise error
    print(
        f"error: the suite is missing ({package} is not installed): "
        "pip install -e '.[suite]' in the folder of the project",
        file=sys.stderr,
    )
    sys.exit(2)


try:
    from rich.console import Console

    from metaug.config import (
        Config,
        config_file,
        default_config,
        load_config,
        read_config,
        read_yaml,
    )
    from metaug.data.arrays import MANIFEST, verify
    from metaug.errors import UserError
    from metaug.paper.claims_page import claims_markdown
    from metaug.reporting.methods import methods_markdown
    from metaug.suite.budget import print_schedule
    from metaug.suite.bundle import import_bundle, write_bundle
    from metaug.suite.cost import plan_as_json, print_plan
    from metaug.suite.doctor import command, diagnosis_as_json, examine, print_diagnosis, problems
    from metaug.suite.locale import use_utf8
    from metaug.suite.plan import Plan, load_plan
    from metaug.suite.show import show, show_as_json
    from metaug.suite.summary import print_table
except ModuleNotFoundError as error:
    _suite_is_missing(error)


OWN_SCALES = ("smoke", "lite", "full")


def main() -> None:
    """Run a command; what the user got wrong is one line on stderr and exit status 2."""
    arguments = _parser().parse_args()
    use_utf8()
    try:
        match arguments.command:
            case "doctor":
                sys.exit(_doctor(arguments))
            case "show" if arguments.json:
                _print_json(show_as_json(_plan(arguments), arguments.cell))
            case "show":
                _show(_plan(arguments), arguments.cell)
            case "plan" if arguments.json:
                if arguments.hours is not None:
                    raise UserError("plan --hours prints no JSON: leave out --json or --hours")
                _print_json(plan_as_json(_plan(arguments)))
            case "plan" if arguments.hours is None:
                print_plan(_plan(arguments))
            case "plan":
                plan = _plan(arguments, hours=arguments.hours)
                print_schedule(plan, arguments.hours)
            case "bundle":
                _bundle(arguments)
            case "verify":
                _verify(arguments.folders)
            case "config":
                print(default_config(), end="")
            case "schema":
                print(json.dumps(Config.model_json_schema(), indent=2))
            case "methods":
                print(methods_markdown(), end="")
            case "claims":
                print(claims_markdown(), end="")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as rich does
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        _suite_is_missing(error)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="metaug",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("show", help="spec, trials and commit behind a number")
    shown.add_argument(
        "cell",
        help="ARTEFACT:ROW:COLUMN as in the CSV, table1:metaug:cifar10_conv; an artefact, for its "
        "trainings; a claim, C1, for its comparisons; scorecard; or the 12 digits of a spec",
    )
    planned = commands.add_parser("plan", help="number of trainings and hours, before any of them")
    planned.add_argument(
        "--hours",
        type=float,
        help="instead: what a run with this budget of core-hours would train, and what for",
    )
    examined = commands.add_parser(
        "doctor", help="what there is: software, devices, disk, data sets; and what can be run"
    )
    for each in (shown, planned, examined):
        each.add_argument("--scale", help="default: that of config/config.yaml")
        each.add_argument(
            "--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for Snakemake"
        )
        each.add_argument("--json", action="store_true", help="print JSON, for scripts")
    examined.add_argument(
        "--command",
        dest="command_only",
        action="store_true",
        help="print only the command that runs what is there",
    )
    bundled = commands.add_parser("bundle", help="all records of a scale in one file, or from one")
    bundled.set_defaults(action="export", file=None)
    actions = bundled.add_subparsers(dest="action", metavar="{export,import}")
    exported = actions.add_parser("export", help="write the bundle; without a word, this is done")
    exported.add_argument("file", nargs="?", type=Path, help="default: results/SCALE/bundle.zip")
    for each, default in ((bundled, None), (exported, argparse.SUPPRESS)):
        each.add_argument("--scale", default=default, help="default: that of config/config.yaml")
    imported = actions.add_parser("import", help="bring the records of a bundle into results/")
    imported.add_argument("file", type=Path)
    verified = commands.add_parser("verify", help="compare prepared data with their SHA-256 sums")
    verified.add_argument("folders", nargs="*", type=Path, help="default: all folders in data/")
    commands.add_parser("config", help="print the default config/config.yaml")
    commands.add_parser("schema", help="print the JSON schema of the config")
    commands.add_parser("methods", help="print docs/methods.md")
    commands.add_parser("claims", help="print docs/claims.md")
    return parser


def _show(plan: Plan, address: str) -> None:
    """Print what is behind an address; of a table that was rendered, the table before that."""
    text = show(plan, address)
    print_table(plan, address, Console(highlight=False))
    print(text)


def _doctor(arguments: argparse.Namespace) -> int:
    """Say what there is; 1 if the scale cannot be run."""
    plan = _plan(arguments)
    if arguments.json or arguments.command_only:
        findings = list(examine(plan.config))
        wrong = problems(plan.config, plan.scale, findings)
        if arguments.json:
            _print_json(diagnosis_as_json(plan.config, plan.scale, findings))
        elif wrong:
            print(*(f"error: {line}" for line in wrong), sep="\n", file=sys.stderr)
        else:
            print(command(plan.config, plan.scale, findings))
        return int(bool(wrong))
    scales = [plan.scale]
    if arguments.scale is None and plan.config.datasets is None:
        scales += [
            load_config({"scale": name})[1] for name in OWN_SCALES if name != plan.scale.name
        ]
    return int(not print_diagnosis(plan.config, scales, Console()))


def _print_json(content: object) -> None:
    print(json.dumps(content, indent=1, ensure_ascii=False))


def _bundle(arguments: argparse.Namespace) -> None:
    """Write the records of a scale into a file, or bring those of a file in."""
    if arguments.action == "import":
        new, known, superseded = import_bundle(arguments.file)
        print(
            f"{new} records are new in {Path('results').resolve()}, {known} were there, "
            f"{superseded} are of superseded versions"
        )
        return
    scale = arguments.scale or str(read_config(config_file()).get("scale", "smoke"))
    path = arguments.file or Path("results") / scale / "bundle.zip"
    print(f"{path}: {write_bundle(scale, path)} records, {path.stat().st_size:,} bytes")


def _verify(folders: list[Path]) -> None:
    """Read every prepared array; the first that is not as it was written is an error."""
    folders = folders or sorted(path.parent for path in Path("data").glob(f"*/{MANIFEST}"))
    if not folders:
        raise UserError("no prepared data in data/: name a folder, or run in that of the Snakefile")
    for folder in folders:
        verify(folder)
        print(f"{folder}: every file is as it was written")


def _plan(arguments: argparse.Namespace, **changes: object) -> Plan:
    """The plan of config/config.yaml, or of the suite's where this folder has none, changed by the
    command line and then by `changes`."""
    values = read_config(config_file())
    for text in arguments.config:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--config {text}: write KEY=VALUE")
        values[key] = read_yaml(value)
    if arguments.scale:
        values["scale"] = arguments.scale
    return load_plan(values | changes)


if __name__ == "__main__":
    main()
