"""What the repository shows of the reference run is what its bundle renders."""

from pathlib import Path

import pandas as pd
import pytest

from metaug.paper import dots1, table1
from metaug.reporting.figures import write_drawing
from metaug.reporting.scorecard import write_scorecard
from metaug.reporting.tables import write_table
from metaug.suite.bundle import import_bundle
from metaug.suite.plan import Plan
from tests.paper.synthetic import plan_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan of `lite`, in a folder that has the records of the reference run."""
    monkeypatch.chdir(tmp_path)
    import_bundle(ROOT / "results/reference/lite.zip")
    return Plan(plan_of("lite").config, plan_of("lite").scale)


def test_table_1_the_dot_plot_and_the_comparisons_are_those_of_the_bundle(plan: Plan) -> None:
    write_table(table1.render(plan.grid, plan.results("table1")), "table1")
    write_drawing(dots1.render(plan.grid, plan.results("dots1")), "dots1")
    write_scorecard(plan.decide(plan.results("claims")), "lite", "scorecard")
    for made, committed in (
        ("table1.csv", "results/reference/lite/tables/table1.csv"),
        ("table1.md", "results/reference/lite/tables/table1.md"),
        ("dots1.csv", "figures/reference/lite/dots1.csv"),
        ("scorecard_comparisons.csv", "results/reference/lite/scorecard_comparisons.csv"),
    ):
        assert Path(made).read_text() == (ROOT / committed).read_text(), committed


CONTENDERS = ("cmc", "metaug_oucl", "metaug", "looc")


@pytest.mark.parametrize(
    ("file", "dataset", "methods"),
    [
        ("README.md", "cifar10", CONTENDERS),
        ("docs/findings.md", "cifar10", (*CONTENDERS, "supervised", "cmc_hard")),
        ("docs/findings.md", "cifar100", ("supervised", "cmc", "metaug_oucl")),
    ],
)
def test_the_pages_print_the_numbers_of_the_bundle(
    plan: Plan, file: str, dataset: str, methods: tuple[str, ...]
) -> None:
    queries, results = table1.cells(plan.grid), plan.results("table1")
    text = (ROOT / file).read_text()
    for method in methods:
        for probe in ("conv", "fc"):
            mean, half_width, n = results.interval(queries[method, f"{dataset}_{probe}"])
            assert n == 5
            assert f"{mean:.1f} ± {half_width:.1f}" in text, (method, probe)


def test_the_pages_print_the_comparisons_of_the_bundle() -> None:
    comparisons = pd.read_csv(ROOT / "results/reference/lite/scorecard_comparisons.csv")
    rows = comparisons[comparisons.id == "C3"].set_index("comparison")
    readme, findings = ((ROOT / name).read_text() for name in ("README.md", "docs/findings.md"))
    for dataset in ("cifar10", "cifar100"):
        for probe in ("conv", "fc"):
            row = rows.loc[f"metaug_oucl > cmc, {dataset}_{probe}"]
            printed = f"{row.effect:.2f} ± {(row.high - row.low) / 2:.2f}".replace("-", "−")
            assert printed in findings, printed
            if probe == "conv":
                assert printed.removeprefix("−") in readme, printed
