"""Ask for what is behind a number, what a plan costs, whether prepared data are whole, and for the
repository's generated files.

python -m metaug show table1:metaug:cifar10_conv --scale lite
python -m metaug plan --scale full
python -m metaug verify
python -m metaug bundle --scale lite
python -m metaug bundle import FILE
python -m metaug config > config/config.yaml
"""

import argparse
import json
import signal
import sys
from pathlib import Path

try:
    import yaml  # noqa: F401 (the suite needs it, the library does not)
except ModuleNotFoundError:
    print("error: the suite is missing: pip install 'metaug-reproduction[suite]'", file=sys.stderr)
    sys.exit(2)

from metaug.config import CONFIG, Config, default_config, read_config, read_yaml
from metaug.data.arrays import MANIFEST, verify
from metaug.errors import UserError
from metaug.reporting.methods import methods_markdown
from metaug.suite.budget import print_schedule
from metaug.suite.bundle import import_bundle, write_bundle
from metaug.suite.cost import print_plan
from metaug.suite.locale import use_utf8
from metaug.suite.plan import Plan, load_plan
from metaug.suite.show import show


def main() -> None:
    """Run a command; what the user got wrong is one line on stderr and exit status 2."""
    arguments = _parser().parse_args()
    use_utf8()
    try:
        match arguments.command:
            case "show":
                print(show(_plan(arguments), arguments.cell))
            case "plan":
                plan = _plan(arguments)
                if arguments.hours is None:
                    print_plan(plan)
                else:
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
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metaug",
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
    for command in (shown, planned):
        command.add_argument("--scale", help="default: that of config/config.yaml")
        command.add_argument(
            "--config", nargs="+", default=[], metavar="KEY=VALUE", help="as for Snakemake"
        )
    bundled = commands.add_parser("bundle", help="all records of a scale in one file, or from one")
    bundled.add_argument("action", nargs="?", choices=("export", "import"), default="export")
    bundled.add_argument(
        "file", nargs="?", type=Path, help="default of export: results/SCALE/bundle.zip"
    )
    bundled.add_argument("--scale", help="of export; default: that of config/config.yaml")
    verified = commands.add_parser("verify", help="compare prepared data with their SHA-256 sums")
    verified.add_argument("folders", nargs="*", type=Path, help="default: all folders in data/")
    commands.add_parser("config", help="print the default config/config.yaml")
    commands.add_parser("schema", help="print the JSON schema of the config")
    commands.add_parser("methods", help="print docs/methods.md")
    return parser


def _bundle(arguments: argparse.Namespace) -> None:
    """Write the records of a scale into a file, or bring those of a file in."""
    if arguments.action == "import":
        if arguments.file is None:
            raise UserError("name the file: python -m metaug bundle import FILE")
        new, known, superseded = import_bundle(arguments.file)
        print(f"{new} records are new, {known} were there, {superseded} are of superseded versions")
        return
    scale = arguments.scale or str(read_config(CONFIG).get("scale", "smoke"))
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


def _plan(arguments: argparse.Namespace) -> Plan:
    """The plan of config/config.yaml, changed by the command line."""
    if not CONFIG.exists():
        raise UserError(f"no {CONFIG} here; run this in the folder of the Snakefile")
    values = read_config(CONFIG)
    for text in arguments.config:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--config {text}: write KEY=VALUE")
        values[key] = read_yaml(value)
    if arguments.scale:
        values["scale"] = arguments.scale
    return load_plan(values)


if __name__ == "__main__":
    main()
