"""What the repository shows of the reference run is what its bundle renders."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from metaug.reporting.claims import Outcome
from metaug.reporting.html import p_value
from metaug.reporting.results import Results
from metaug.suite.plan import Plan
from tests.conftest import script
from tests.reporting.test_report import answer

ROOT = Path(__file__).parents[1]
LARGEST_REPORT = 2_000_000  # bytes
RENDER = script("results/reference/render.py")


@pytest.fixture(scope="module")
def plan() -> Iterator[Plan]:
    """The plan of `lite`, in a folder that has the records of the reference run."""
    with RENDER.reference_plan() as plan:
        yield plan


@pytest.fixture(scope="module")
def results(plan: Plan) -> Results:
    return plan.results()


@pytest.fixture(scope="module")
def outcomes(plan: Plan, results: Results) -> list[Outcome]:
    return plan.decide(results)


def test_every_file_is_what_the_bundle_renders(
    plan: Plan, results: Results, outcomes: list[Outcome], tmp_path: Path
) -> None:
    files = RENDER.render(plan, results, outcomes, tmp_path)
    shown = [
        p for top in ("results", "figures") for p in (ROOT / top / "reference").rglob("lite/**/*")
    ]
    assert files == sorted(path.relative_to(ROOT) for path in shown if path.is_file())
    for file in files:
        if file.suffix in (".csv", ".md"):
            assert (tmp_path / file).read_text() == (ROOT / file).read_text(), file


def test_the_report_has_the_verdicts_of_the_bundle_and_is_small(plan: Plan) -> None:
    report = ROOT / "results/reference/lite/report.html"
    assert report.stat().st_size <= LARGEST_REPORT
    text = report.read_text()
    for spec in plan.specs.values():
        assert (f'id="training-{spec.hash}"' in text) == bool(plan.read_records(spec))


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_the_report_fits_the_window(tmp_path: Path, width: int) -> None:
    script = """
    const page = document.documentElement;
    const lines = [...document.querySelectorAll("table.claims > tbody > tr:first-child > *")];
    answer({
      page: page.scrollWidth <= page.clientWidth,
      claims: lines.every(line => line.getBoundingClientRect().right <= innerWidth),
    });
    """
    report = ROOT / "results/reference/lite/report.html"
    assert answer(report, script, tmp_path, width) == {"page": True, "claims": True}


def test_the_findings_print_the_numbers_of_the_bundle(
    plan: Plan, results: Results, outcomes: list[Outcome]
) -> None:
    findings = (ROOT / "docs/findings.md").read_text()
    assert RENDER.put_tables(findings, RENDER.number_tables(plan, results, outcomes)) == findings


def test_a_table_without_a_place_in_the_page_is_an_error() -> None:
    page = "<!-- a -->\nold\n<!-- end -->\n"
    assert RENDER.put_tables(page, {"a": "new"}) == "<!-- a -->\nnew\n<!-- end -->\n"
    with pytest.raises(ValueError, match="no place for 'b'"):
        RENDER.put_tables(page, {"b": "new"})


def test_the_readme_prints_the_accuracies_of_the_bundle(plan: Plan, results: Results) -> None:
    queries = plan.cells["table1"]
    readme = (ROOT / "README.md").read_text()
    for method in ("cmc", "metaug_oucl", "metaug", "looc", "random_rgb_l_ab"):
        for probe in ("conv", "fc"):
            mean, half_width, n = results.interval(queries[method, f"cifar10_{probe}"])
            assert n == 5
            assert f"{mean:.1f} ± {half_width:.1f}" in readme, (method, probe)


@pytest.fixture
def comparisons() -> pd.DataFrame:
    """By their text; several claims share some."""
    found = pd.read_csv(ROOT / "results/reference/lite/scorecard_comparisons.csv")
    return found.drop_duplicates("comparison").set_index("comparison")


def test_the_readme_prints_the_comparisons_of_the_bundle(comparisons: pd.DataFrame) -> None:
    readme = (ROOT / "README.md").read_text()
    for text in ("MetAug (only OUCL) > CMC", "MetAug > MetAug (only OUCL)"):
        for dataset in ("CIFAR-10", "CIFAR-100", "Tiny ImageNet"):
            row = comparisons.loc[f"{text}, {dataset} conv"]
            effect = f"{row.effect:+.2f}".replace("-", "\N{MINUS SIGN}")
            assert f"{effect} ± {(row.high - row.low) / 2:.2f}" in readme, text


VERDICTS = {
    "C1": "ruled out",
    "C1b": "contradicted",
    "C2": "ruled out",
    "C3": "contradicted",
    "C7": "contradicted",
    "C8": "inconclusive",
    "C10": "inconclusive",
    "C11": "inconclusive",
}
"""Of every claim whose comparisons have all been made, or that is decided without the others."""


def test_the_findings_say_the_verdict_of_every_claim_that_was_run(outcomes: list[Outcome]) -> None:
    run = {o.claim.id: o for o in outcomes if o.verdict != "not run"}
    assert {name: outcome.verdict for name, outcome in run.items()} == VERDICTS
    findings = (ROOT / "docs/findings.md").read_text()
    claims = findings.partition("## The claims\n")[2].partition("\n## ")[0]
    bold = re.findall(r"\*\*(C\d+b?), [^*]*:\s([^*:]*)\*\*", claims)
    assert dict(bold) == VERDICTS
    for name in ("C1b", "C3", "C7"):  # what is ruled out has no p of the claim
        paragraph = claims.partition(f"**{name}, ")[2].partition("\n\n")[0]
        p = p_value(run[name].p_holm)
        assert f"(p {p if p.startswith('<') else f'= {p}'} after Holm" in paragraph, name


def test_the_readme_says_the_verdict_of_every_claim_that_was_run() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (C[^:]*): .* \| (ruled out|contradicted|inconclusive)", readme, re.M)
    assert {name: verdict for names, verdict in rows for name in names.split(", ")} == VERDICTS
