"""The scorecard: every claim of the paper with its verdict, as CSV, Markdown and HTML."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from metaug.data.datasets import DATASETS
from metaug.files import atomic_path, atomic_write_text
from metaug.reporting.claims import VERDICTS, Outcome, by_chance
from metaug.reporting.figures import Drawing, write_drawing
from metaug.reporting.forest import forest_plot
from metaug.reporting.html import HTML, MARKDOWN
from metaug.reporting.names import ScaleTexts, dataset_name
from metaug.reporting.results import Query
from metaug.reporting.statements import Finding
from metaug.reporting.style import shown_width, svg_uri

SYMBOLS = {
    "reproduced": "✓",
    "contradicted": "✗",
    "ruled out": "≠",
    "inconclusive": "~",
    "not run": "·",
}
FINDING_SYMBOLS = {
    "holds": "✓",
    "reversed": "✗",
    "ruled out": "≠",
    "undecided": "~",
    "not run": "·",
}

HEADINGS = ScaleTexts(
    {
        "smoke": "A check of the plumbing, not evidence: the verdicts below say that the machinery "
        "works, nothing about the paper.",
        "lite": "Reduced data and training: evidence about these claims at this size, not the "
        "paper's own experiment.",
        "full": "The paper's protocol.",
    },
    own="A user's own scale, {}: not the paper's own experiment.",
)

RULES = (
    "A claim is a set of comparisons on paired trials, by one-sided t-tests. A comparison holds, "
    "is reversed (significant the other way), is ruled out (neither, and it is significantly "
    "below the difference that the paper prints), is undecided, or has not been run (fewer "
    "than five common trials).",
    "A claim is reproduced if all its comparisons hold (or the share that it speaks of), "
    "contradicted if one is reversed (or so many that the share is out of reach), and ruled out if "
    "neither is so and the mean of its differences lies below the mean of the printed ones: there "
    "is no effect of that size. A reversed comparison outranks a missing one.",
    "Trials count at 5, 10 and 20. The level of 0.05, which both directions share, is spent over "
    "these looks. p is scaled so that 0.05 is the limit at each, and what holds or is reversed at "
    "one stays so; what is ruled out may still turn out to hold, by less than is printed. Where "
    "all must hold, the largest p is that of the claim (an intersection-union test); where some "
    "must, or one would contradict, p is corrected for their number. The last p is after Holm over "
    "all claims.",
    "“At least as good as” allows for 0.2 points, the half-width that the paper prints. The ranges "
    "over β and δ “matter a lot” beyond 1 point (choice).",
    "Difference, interval, p and n are those of the comparison on which the verdict turns: the "
    "weakest of those that it needs, or would need in order to be reproduced. “Ruled out” turns on "
    "the mean of all comparisons, and its p is that of the test against the mean of the printed "
    "ones. The interval is the t-interval of 96.9 %: where “greater” holds "
    "or is reversed at this look, it lies on one side of zero. Where trials stop because the "
    "comparison is decided, it still holds the true difference in 93 to 97 %.",
    "The paper’s own means: whether the numbers that it prints satisfy the claim as they are.",
    "Comparisons made are counted out of those that this scale asks for. Where the paper has more, "
    "or takes them over more numbers, the check is a reduced one, and its verdict is about what is "
    "compared here alone.",
)
OWN_MEANS = {True: "satisfy it", False: "do not satisfy it", None: "not all printed"}


def write_scorecard(outcomes: Sequence[Outcome], scale: str, stem: Path | str) -> None:
    """Write `stem`.csv, `stem`_comparisons.csv, `stem`.md and .html, and the forest plot as
    `stem`_forest.pdf, .png and .csv, each atomically."""
    forest = forest_plot(outcomes, scale)
    write_drawing(forest, f"{stem}_forest")
    for ending, frame in (("", as_frame), ("_comparisons", comparisons_as_frame)):
        with atomic_path(f"{stem}{ending}.csv") as temporary:
            frame(outcomes, scale).to_csv(temporary, index=False, lineterminator="\n")
    markdown = MARKDOWN.get_template("scorecard.md.jinja").render(
        _content(outcomes, scale), forest_caption=forest.caption
    )
    atomic_write_text(f"{stem}.md", markdown)
    page = HTML.get_template("page.html.jinja").render(
        title=f"Scorecard ({scale})",
        styles=["table.css", "scorecard.css"],
        table=f"<h1>Scorecard</h1>\n{_html(outcomes, scale, forest)}",
    )
    atomic_write_text(f"{stem}.html", page)


def as_frame(outcomes: Sequence[Outcome], scale: str) -> pd.DataFrame:
    """One row per claim, full precision, empty where there is nothing.

    `effect`, `low` and `high` are the difference and the ends of its interval; `published` is the
    difference that the paper prints. `made` of the `possible` comparisons at
    this scale could be made; `paper` is how many the claim has in the paper, and `paper_cells` of
    how many numbers.
    """
    rows = []
    for outcome in outcomes:
        finding = outcome.deciding
        rows.append(
            {
                "scale": scale,
                "id": outcome.claim.id,
                "where": outcome.claim.where,
                "claim": outcome.claim.sentence,
                "verdict": outcome.verdict,
                "decided_by": finding.text,
                **_numbers(finding),
                "p": outcome.p,
                "p_holm": outcome.p_holm,
                "papers_own_means": OWN_MEANS[outcome.satisfied_by_paper],
                "made": outcome.made,
                "possible": len(outcome.findings),
                "paper": outcome.in_paper[0],
                "paper_cells": outcome.in_paper[1],
                "holds": outcome.count("holds"),
                "reversed": outcome.count("reversed"),
                "ruled_out": outcome.count("ruled out"),
                "undecided": outcome.count("undecided"),
                "cells": "; ".join(map(str, outcome.queries)),
            }
        )
    return pd.DataFrame(rows)


def comparisons_as_frame(outcomes: Sequence[Outcome], scale: str) -> pd.DataFrame:
    """One row per comparison of every claim, as `as_frame`."""
    rows = [
        {
            "scale": scale,
            "id": outcome.claim.id,
            "comparison": finding.text,
            "verdict": finding.verdict,
            **_numbers(finding),
            "cells": "; ".join(map(str, finding.queries)),
        }
        for outcome in outcomes
        for finding in outcome.findings
    ]
    return pd.DataFrame(rows)


def _numbers(finding: Finding) -> dict[str, float | bool]:
    comparison = finding.comparison
    return {
        "effect": comparison.effect,
        "low": comparison.low,
        "high": comparison.high,
        "ci95_images": comparison.of_images,
        "published": finding.statement.published,
        "effect_size": comparison.effect_size,
        "p": finding.p,
        "n": comparison.n,
        "equivalent": comparison.equivalent,
    }


def html_scorecard(
    outcomes: Sequence[Outcome], scale: str, link: Callable[[Query], str] | None = None
) -> str:
    """The scorecard as a fragment; `link` gives the address of a number's trials, "" for none."""
    return _html(outcomes, scale, forest_plot(outcomes, scale), link)


def _html(
    outcomes: Sequence[Outcome],
    scale: str,
    forest: Drawing,
    link: Callable[[Query], str] | None = None,
) -> str:
    return HTML.get_template("scorecard.html.jinja").render(
        _content(outcomes, scale),
        link=link or (lambda query: ""),
        forest={
            "svg": svg_uri(forest.figure),
            "width": shown_width(forest.figure),
            "caption": forest.caption,
        },
    )


def tally(outcomes: Sequence[Outcome]) -> str:
    """How many claims came out how, in one line."""
    counts = {v: sum(outcome.verdict == v for outcome in outcomes) for v in VERDICTS}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def coverage(outcome: Outcome) -> str:
    """How many comparisons could be made; and what they are reduced from, where this scale asks for
    fewer than the paper or takes each over fewer cells."""
    asked, cells = len(outcome.findings), len(outcome.queries)
    paper, paper_cells = outcome.in_paper
    text = f"{outcome.made} of {asked} made"
    if asked < paper:
        return f"{text}, reduced from the paper’s {paper}"
    if cells < paper_cells:
        return f"{text}, on {cells} cells, reduced from the paper’s {paper_cells}"
    return text


def _user_data_note(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The sentence that says so where claims are decided on a data set that the paper lacks."""
    datasets = {query.spec.dataset for outcome in outcomes for query in outcome.queries}
    names = sorted(map(dataset_name, datasets - DATASETS.keys()))
    if not names:
        return ()
    return (f"Decided on a user's own data, which the paper does not have: {', '.join(names)}.",)


def _content(outcomes: Sequence[Outcome], scale: str) -> dict[str, object]:
    return {
        "outcomes": outcomes,
        "scale": scale,
        "heading": " ".join((HEADINGS[scale], *_user_data_note(outcomes))),
        "rules": RULES,
        "coverage": coverage,
        "tally": tally(outcomes),
        "counts": {v: sum(o.verdict == v for o in outcomes) for v in VERDICTS},
        "order": {verdict: rank for rank, verdict in enumerate(VERDICTS)},
        "symbols": SYMBOLS,
        "finding_symbols": FINDING_SYMBOLS,
        "own_means": OWN_MEANS,
        "by_chance": by_chance(outcomes),
    }
