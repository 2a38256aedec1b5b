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


def test_table_1_the_dot_plot_and_the_scorecard_are_those_of_the_bundle(plan: Plan) -> None:
    write_table(table1.render(plan.grid, plan.results("table1")), "table1")
    write_drawing(dots1.render(plan.grid, plan.results("dots1")), "dots1")
    write_scorecard(plan.decide(plan.results("claims")), "lite", "scorecard")
    for made, committed in (
        ("table1.csv", "results/reference/lite/tables/table1.csv"),
        ("table1.md", "results/reference/lite/tables/table1.md"),
        ("dots1.csv", "figures/reference/lite/dots1.csv"),
        ("scorecard.md", "results/reference/lite/scorecard.md"),
        ("scorecard_comparisons.csv", "results/reference/lite/scorecard_comparisons.csv"),
        ("scorecard_forest.csv", "results/reference/lite/scorecard_forest.csv"),
    ):
        assert Path(made).read_text() == (ROOT / committed).read_text(), committed


CONTENDERS = ("cmc", "metaug_oucl", "metaug", "looc")
ALL = (*CONTENDERS, "supervised", "cmc_hard")


@pytest.mark.parametrize(
    ("file", "dataset", "methods"),
    [
        ("README.md", "cifar10", CONTENDERS),
        ("docs/findings.md", "cifar10", ALL),
        ("docs/findings.md", "cifar100", ALL),
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
            assert n == (10 if dataset == "cifar100" and method in ("cmc", "metaug_oucl") else 5)
            assert f"{mean:.1f} ± {half_width:.1f}" in text, (method, probe)


COMPARED = {
    "MetAug > MetAug (only OUCL)": "metaug > metaug_oucl",
    "MetAug (only OUCL) > CMC": "metaug_oucl > cmc",
    "MetAug > CMC": "metaug > cmc",
    "MetAug > CMC + Hard": "metaug > cmc_hard",
    "MetAug > LooC": "metaug > looc",
    "MetAug > supervised": "metaug > supervised",
}


@pytest.fixture
def comparisons() -> pd.DataFrame:
    """By their text; several claims share some."""
    found = pd.read_csv(ROOT / "results/reference/lite/scorecard_comparisons.csv")
    return found.drop_duplicates("comparison").set_index("comparison")


def test_the_findings_print_the_comparisons_of_the_bundle(comparisons: pd.DataFrame) -> None:
    expected = []
    for title, text in COMPARED.items():
        for dataset, name in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
            for probe in ("conv", "fc"):
                row = comparisons.loc[f"{text}, {dataset}_{probe}"]
                ours = f"{signed(row.effect)} ± {(row.high - row.low) / 2:.2f}"
                first = title if (dataset, probe) == ("cifar10", "conv") else ""
                cells = [first, name, probe, ours, signed(row.published), row.verdict]
                expected.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    findings = (ROOT / "docs/findings.md").read_text()
    assert "\n".join(expected) in findings


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def test_the_readme_prints_the_comparisons_of_the_bundle(comparisons: pd.DataFrame) -> None:
    readme = (ROOT / "README.md").read_text()
    for text in ("metaug_oucl > cmc", "metaug > metaug_oucl"):
        for dataset in ("cifar10", "cifar100"):
            row = comparisons.loc[f"{text}, {dataset}_conv"]
            assert f"{signed(row.effect)} ± {(row.high - row.low) / 2:.2f}" in readme, text


def test_the_pages_say_which_claims_are_decided(plan: Plan) -> None:
    outcomes = plan.decide(plan.results("claims"))
    decided = {o.claim.id: o for o in outcomes if o.verdict != "not run"}
    assert {name: outcome.verdict for name, outcome in decided.items()} == {
        "C1b": "contradicted",
        "C3": "contradicted",
    }
    findings = (ROOT / "docs/findings.md").read_text()
    for name, outcome in decided.items():
        paragraph = findings.partition(f"**{name}, ")[2].partition("\n\n")[0]
        assert "contradicted**" in paragraph
        assert f"(p = {outcome.p_holm:.3f} after Holm" in paragraph, name
