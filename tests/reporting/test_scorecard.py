import math
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from metaug.reporting.claims import VERDICTS, Claim, Outcome
from metaug.reporting.results import Query
from metaug.reporting.scorecard import (
    RULES,
    as_frame,
    html_scorecard,
    tally,
    write_scorecard,
)
from metaug.reporting.statements import Finding, Statement, quantity
from metaug.reporting.statistics import Comparison
from tests.paper.synthetic import plan_of
from tests.reporting.test_report import takes_nothing_from_outside

NAN = float("nan")
GRID = plan_of("lite").grid
OURS = Query(GRID.spec("metaug", "cifar10"), "conv")
OTHER = Query(GRID.spec("cmc", "cifar10", views=("l", "ab")), "conv")


PS = {"holds": "p_holds", "reversed": "p_reversed", "ruled out": "p_ruled_out"}


def finding(
    verdict: str,
    effect: float = 1.25,
    p: float = 0.012,
    n: int = 5,
    size: float = 3.14,
    published: float = NAN,
) -> Finding:
    """A finding whose p-values give the verdict."""
    statement = Statement("metaug > cmc <conv>", quantity(OURS, published), quantity(OTHER, 0.0))
    if verdict == "not run":
        return Finding(statement, Comparison())
    p_values = {"p_holds": 0.9, "p_reversed": 0.9} | {PS.get(verdict, "p_holds"): p}
    comparison = Comparison(effect, effect - 0.5, effect + 0.5, n, size, **p_values)
    found = Finding(statement, comparison)
    assert found.verdict == verdict
    return found


def outcome(
    number: int,
    verdict: str,
    *findings: Finding,
    paper: int | None = None,
    paper_numbers: int = 2,
    **other,
) -> Outcome:
    """An outcome; the paper has as many comparisons of the two numbers, unless told otherwise."""
    claim = Claim(f"C{number}", f"Table {number}", f"Claim | number {number}.", lambda grid: [])
    in_paper = (paper or len(findings), paper_numbers)
    return Outcome(claim, verdict, findings, findings[0], in_paper, **other)


OUTCOMES = [
    outcome(
        1,
        "reproduced",
        finding("holds", published=2.5),
        finding("holds", 2.0, 0.0004),
        p_holm=0.036,
        satisfied_by_paper=True,
    ),
    outcome(
        2,
        "contradicted",
        finding("reversed", -0.75, 0.02, size=-2.72),
        finding("holds"),
        satisfied_by_paper=False,
    ),
    outcome(3, "inconclusive", finding("undecided", 0.1, 0.4)),
    outcome(4, "not run", finding("not run"), finding("holds")),
    outcome(5, "ruled out", finding("ruled out", 0.1, 0.01, published=1.5)),
]


class Texts(HTMLParser):
    """All text of a page, and the addresses of its links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.links += [
            value
            for key, value in attributes
            if key in ("href", "src") and value and not value.startswith("data:")
        ]


def text_of(page: str) -> str:
    return " ".join(" ".join(Texts(page).texts).split())


def test_csv_has_one_row_for_each_claim(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    table = pd.read_csv(tmp_path / "scorecard.csv", index_col="id")
    assert list(table.index) == ["C1", "C2", "C3", "C4", "C5"]
    assert list(table["verdict"]) == [o.verdict for o in OUTCOMES]
    row = table.loc["C1"]
    numbers = ["effect", "low", "high", "published", "effect_size", "p", "n", "p_holm"]
    assert list(row[numbers]) == [1.25, 0.75, 1.75, 2.5, 3.14, 0.012, 5, 0.036]
    assert row["papers_own_means"] == "satisfy it"
    assert (table.loc["C5", "ruled_out"], table.loc["C5", "published"]) == (1, 1.5)
    assert list(table.loc["C4", ["made", "possible", "paper"]]) == [1, 2, 2]
    assert math.isnan(table.loc["C4", "effect"])
    assert math.isnan(table.loc["C4", "effect_size"])
    assert (table.loc["C2", "holds"], table.loc["C2", "reversed"]) == (1, 1)


def test_every_comparison_of_every_claim_has_a_row(tmp_path):
    write_scorecard(OUTCOMES, "lite", tmp_path / "scorecard")
    table = pd.read_csv(tmp_path / "scorecard_comparisons.csv", keep_default_na=False)
    assert list(table["id"]) == ["C1", "C1", "C2", "C2", "C3", "C4", "C4", "C5"]
    assert list(table["verdict"]) == [f.verdict for o in OUTCOMES for f in o.findings]
    assert set(table["comparison"]) == {"metaug > cmc <conv>"}
    assert set(table["scale"]) == {"lite"}
    assert list(table["effect_size"]) == [
        "3.14",
        "3.14",
        "-2.72",
        "3.14",
        "3.14",
        "",
        "3.14",
        "3.14",
    ]
    assert list(table.loc[1, ["effect", "p", "n"]]) == ["2.0", "0.0004", 5]


def test_a_reduced_check_is_not_taken_for_the_whole(tmp_path):
    reduced = outcome(12, "reproduced", *[finding("holds")] * 11, paper=44)
    write_scorecard([reduced], "lite", tmp_path / "scorecard")
    wanted = "11 of 11 made, reduced from the paper’s 44"
    assert wanted in (tmp_path / "scorecard.md").read_text()
    assert wanted in text_of((tmp_path / "scorecard.html").read_text())
    row = pd.read_csv(tmp_path / "scorecard.csv").loc[0]
    assert list(row[["made", "possible", "paper", "paper_cells"]]) == [11, 11, 44, 2]
    assert "reduced from" not in text_of(html_scorecard(OUTCOMES, "full"))


def test_nor_is_one_that_runs_over_fewer_cells():
    reduced = outcome(15, "reproduced", finding("holds"), paper_numbers=4)
    page = text_of(html_scorecard([reduced], "lite"))
    assert "1 of 1 made, on 2 cells, reduced from the paper’s 4" in page


def test_readings_of_the_rules_are_stated(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    markdown = (tmp_path / "scorecard.md").read_text()
    page = text_of((tmp_path / "scorecard.html").read_text())
    for rule in RULES:
        assert rule in markdown
        assert rule in page
    readings = ("outranks a missing", "spent over these looks", "allows for 0.2 points")
    assert all(reading in page for reading in readings)


def test_every_claim_names_the_cells_it_rests_on():
    cells = f"metaug cifar10 alexnet {OURS.spec.hash} conv top1; {OTHER}"
    assert set(as_frame(OUTCOMES, "full")["cells"]) == {cells}


def test_all_formats_say_verdict_effect_its_size_and_p(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    markdown = (tmp_path / "scorecard.md").read_text()
    page = text_of((tmp_path / "scorecard.html").read_text())
    numbers = ("+1.25", "−0.750", "+2.50", "+1.50", "0.036", "do not satisfy it")
    for wanted in (*VERDICTS, *numbers):
        assert wanted in markdown
        assert wanted in page
    assert "0.012" in page
    assert "0.012" in markdown
    assert "< 0.001" in page


@pytest.mark.parametrize(
    ("scale", "warned"), [("smoke", True), ("lite", False), ("full", False), ("mine", False)]
)
def test_smoke_is_said_to_be_no_evidence(scale, warned, tmp_path):
    write_scorecard(OUTCOMES, scale, tmp_path / "scorecard")
    for ending in ("md", "html"):
        text = (tmp_path / f"scorecard.{ending}").read_text()
        assert ("A check of the plumbing, not evidence" in text) is warned
        assert scale in text
    assert set(as_frame(OUTCOMES, scale)["scale"]) == {scale}


def test_special_characters_cannot_break_the_page_or_the_table(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    assert "<conv>" not in (tmp_path / "scorecard.html").read_text()
    rows = [
        r for r in (tmp_path / "scorecard.md").read_text().splitlines() if re.match(r"\| C\d", r)
    ]
    assert len(rows) == 5
    unescaped = [row.replace("\\|", "").count("|") for row in rows]
    assert unescaped == [13] * 5  # twelve columns


def test_a_missing_comparison_is_called_missing():
    page = text_of(html_scorecard(OUTCOMES[3:4], "full"))
    assert "Missing: metaug > cmc <conv>" in page
    assert "1 of 2 made" in page


def test_cells_lead_where_the_caller_says():
    page = html_scorecard(OUTCOMES[:1], "full", lambda query: f"#{query.spec.method}")
    assert set(Texts(page).links) == {"#metaug", "#cmc"}
    assert Texts(html_scorecard(OUTCOMES, "full")).links == []


def test_page_takes_nothing_from_outside(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    page = (tmp_path / "scorecard.html").read_text()
    assert Texts(page).links == []
    (forest,) = re.findall(r'src="([^"]*)"', page)
    assert takes_nothing_from_outside(forest)
    page = page.replace(forest, "")
    assert "http" not in page
    assert "<script" not in page


def test_nan_is_never_shown(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    assert "nan" not in text_of((tmp_path / "scorecard.html").read_text()).lower().split()
    assert "nan" not in (tmp_path / "scorecard.md").read_text().lower().split()


def test_an_infinite_effect_size_is_a_sign_and_infinity():
    certain = outcome(1, "reproduced", finding("holds", size=math.inf))
    page = text_of(html_scorecard([certain], "full"))
    assert "+∞" in page
    assert "inf" not in page.split()


def test_equal_outcomes_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_scorecard(OUTCOMES, "full", tmp_path / name)
    for ending in (".csv", "_comparisons.csv", ".md", ".html"):
        a, b = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("a", "b"))
        assert a == b


def test_what_chance_alone_would_give_is_said(tmp_path):
    write_scorecard(OUTCOMES, "full", tmp_path / "scorecard")
    wanted = (
        "would give at most 0.25 wrong verdicts on the 5 claims of which a comparison could be made"
    )
    assert wanted in (tmp_path / "scorecard.md").read_text()
    assert wanted in text_of((tmp_path / "scorecard.html").read_text())


def test_tally_counts_verdicts():
    assert tally(OUTCOMES) == "1 reproduced, 1 contradicted, 1 ruled out, 1 inconclusive, 1 not run"
