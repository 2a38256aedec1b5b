"""Write what the repository shows of the reference run: python results/reference/render.py

From the records in `lite.zip` beside this file it renders the tables, figures, scorecard and report
of the reference run, and the tables of numbers in docs/findings.md. To be run after `metaug bundle`
has written new records into the bundle; a test holds all of it to the bundle.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from metaug.config import load_config
from metaug.paper import table1
from metaug.paper.floors import floor_rows
from metaug.paper.published import printed
from metaug.reporting.claims import Outcome
from metaug.reporting.figures import write_drawing
from metaug.reporting.names import dataset_name, name_in_text
from metaug.reporting.results import Results
from metaug.reporting.scorecard import write_scorecard
from metaug.reporting.statements import Finding
from metaug.reporting.statistics import FEWEST_TRIALS
from metaug.reporting.tables import Table, write_table
from metaug.suite.bundle import import_bundle
from metaug.suite.plan import Plan
from metaug.suite.report import write_report_of

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "results/reference/lite.zip"
FINDINGS = ROOT / "docs/findings.md"

SHOWN = (
    "table1",
    "dots1",
    "table4",
    "table5",
    "figure2",
    "figure3",
    "figure7",
    "extra1",
    "extra3",
    "extra4",
)
"""Artefacts of which enough has been run."""

ENDINGS = (".csv", ".md", ".png")
"""Files that are kept; the others hold the same."""

COMPARED = (
    ("metaug", "metaug_oucl"),
    ("metaug_oucl", "cmc"),
    ("metaug", "cmc"),
    ("metaug", "cmc_hard"),
    ("metaug", "looc"),
    ("metaug", "supervised"),
)
"""Pairs of methods whose comparisons docs/findings.md prints."""


@contextlib.contextmanager
def reference_plan() -> Iterator[Plan]:
    """The plan of `lite`, in a folder of its own that has the records of the bundle."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        import_bundle(BUNDLE)
        scales = ROOT / "config/scales"
        yield Plan(*load_config({"scale": "lite"}, scales), scales)


def render(plan: Plan, results: Results, outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write the files that the repository shows below a folder; their paths, relative to it."""
    tables = folder / "results/reference/lite"
    figures = folder / "figures/reference/lite"
    for path in (tables, tables / "tables", figures):
        path.mkdir(parents=True, exist_ok=True)
    for name in SHOWN:
        artefact = plan.render(name, results)
        if isinstance(artefact, Table):
            write_table(artefact, tables / "tables" / name)
        else:
            write_drawing(artefact, figures / name)
    write_scorecard(outcomes, "lite", tables / "scorecard")
    files = [path for top in (tables, figures) for path in top.rglob("*") if path.is_file()]
    for path in files:
        if path.suffix not in ENDINGS:
            path.unlink()
    write_report_of(plan, report := tables / "report.html")
    return sorted(path.relative_to(folder) for path in {*files, report} if path.exists())


def number_tables(plan: Plan, results: Results, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The tables of numbers in docs/findings.md, by the name of their mark there."""
    datasets = plan.grid.all_datasets(*table1.DATASETS)
    found = {f"accuracies {d}": _accuracies(plan, results, d) for d in datasets}
    return found | {"comparisons": _comparisons(outcomes, datasets)}


def _accuracies(plan: Plan, results: Results, dataset: str) -> str:
    """Mean and interval of every method that was run on a data set, the best on conv first."""
    queries, paper = plan.cells["table1"], printed("table1")
    floors = {row.name: row.labels[0] for row in floor_rows(plan.grid, queries)}
    lines = {}
    for row in dict.fromkeys(row for row, _ in queries):
        places = [(row, f"{dataset}_{probe}") for probe in table1.PROBES]
        ours = [results.interval(queries[place]) for place in places if place in queries]
        if not ours or any(interval.n < FEWEST_TRIALS for interval in ours):
            continue
        name = floors.get(row, name_in_text(row)).replace(" ‡", "")
        cells = [f"{mean:.1f} ± {half_width:.1f}" for mean, half_width, *_ in ours]
        in_paper = ", ".join(f"{paper[place].value:.2f}" for place in places if place in paper)
        line = f"| {' | '.join([name, *cells, str(ours[0].n), in_paper])} |"
        lines[line] = ours[0].mean
    best_first = sorted(lines, key=lambda line: -lines[line])
    heading = f"{dataset_name(dataset)}, test accuracy in per cent"
    head = [f"| {heading} | conv | fc | trials | printed in the paper |"]
    return "\n".join([*head, "| :-- | --: | --: | --: | --: |", *best_first])


def _comparisons(outcomes: Sequence[Outcome], datasets: Sequence[str]) -> str:
    """The differences between MetAug and its closest rivals, with their verdicts."""
    by_text: dict[str, Finding] = {f.text: f for o in outcomes for f in o.findings}
    lines = ["| comparison | data set | read-out | ours | printed | verdict |"]
    lines.append("| :-- | :-- | :-- | --: | --: | :-- |")
    for better, worse in COMPARED:
        text = title = f"{name_in_text(better)} > {name_in_text(worse)}"
        for dataset in datasets:
            for probe in table1.PROBES:
                finding = by_text[f"{text}, {dataset_name(dataset)} {probe}"]
                if not finding.comparison.n:
                    continue
                cells = [title, dataset_name(dataset), probe, *_sizes(finding), finding.verdict]
                lines.append(f"| {' | '.join(cells)} |")
                title = ""
    return "\n".join(lines).replace("|  |", "| |")


def _sizes(finding: Finding) -> list[str]:
    """Our difference with its interval, and the printed one."""
    ours = finding.comparison
    half_width = (ours.high - ours.low) / 2
    return [f"{_signed(ours.effect)} ± {half_width:.2f}", _signed(finding.statement.published)]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def put_tables(text: str, tables: dict[str, str]) -> str:
    """A page with these tables between its marks `<!-- NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: a table has no mark there.
    """
    for name, table in tables.items():
        before, mark, after = text.partition(f"<!-- {name} -->\n")
        _, end, after = after.partition("<!-- end -->")
        if not (mark and end):
            raise ValueError(f"{FINDINGS.name} has no place for {name!r}")
        text = f"{before}{mark}{table}\n{end}{after}"
    return text


def main() -> int:
    """Write everything."""
    with reference_plan() as plan:
        results = plan.results()
        outcomes = plan.decide(results)
        for path in render(plan, results, outcomes, ROOT):
            print(path)
        FINDINGS.write_text(
            put_tables(FINDINGS.read_text(), number_tables(plan, results, outcomes))
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
