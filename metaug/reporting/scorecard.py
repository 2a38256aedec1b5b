"""The scorecard: every claim of the paper with its verdict, as CSV, Markdown and HTML."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from metaug.files import atomic_path, atomic_write_text
from metaug.reporting.claims import VERDICTS, CellKey, Finding, Outcome
from metaug.reporting.html import HTML, MARKDOWN
from metaug.reporting.names import ScaleTexts

SYMBOLS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "~", "not run": "·"}
FINDING_SYMBOLS = {"holds": "✓", "reversed": "✗", "undecided": "~", "not run": "·"}

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
    "Each claim is a set of comparisons on paired trials: one-sided paired t-tests, corrected by "
    "Holm inside the claim. It is reproduced if all of them hold (or the share that it speaks of), "
    "contradicted if one is significant the other way (or so many that the share is out of reach), "
    "not run if a needed cell has fewer than two trials, and inconclusive otherwise.",
    "A reversed comparison outranks a missing one: a counterexample refutes “everywhere” before "
    "everything has been run.",
    "The tests for a claim and those against it are two families: Holm corrects each by itself, at "
    "level 0.05.",
    "“At least as good as” (C8) and “not better than” (C11) need a significant difference too: a "
    "tie is inconclusive, unless it is exact in every trial, which holds.",
    "The rule on ranges (C14) compares means and is no test: it holds or is undecided, never "
    "reversed, and has neither p nor effect size.",
    "Effect, interval, effect size, p and n are those of the comparison on which the verdict "
    "turns: the weakest of those that had to hold, or the strongest counterexample. The effect "
    "size is Cohen’s d_z: the mean of the paired differences over their standard deviation. p is "
    "corrected, the interval is not.",
    "Comparisons made are counted out of those that this scale asks for. Where the paper has more, "
    "or takes them over more cells, the check is a reduced one, and its verdict is about what is "
    "compared here alone.",
)


def write_scorecard(outcomes: Sequence[Outcome], scale: str, stem: Path | str) -> None:
    """Write `stem`.csv, `stem`_comparisons.csv, `stem`.md and .html, each atomically."""
    for ending, frame in (("", as_frame), ("_comparisons", comparisons_as_frame)):
        with atomic_path(f"{stem}{ending}.csv") as temporary:
            frame(outcomes, scale).to_csv(temporary, index=False, lineterminator="\n")
    markdown = MARKDOWN.get_template("scorecard.md.jinja").render(_content(outcomes, scale))
    atomic_write_text(f"{stem}.md", markdown)
    page = HTML.get_template("page.html.jinja").render(
        title=f"Scorecard ({scale})",
        styles=["table.css", "scorecard.css"],
        table=f"<h1>Scorecard</h1>\n{html_scorecard(outcomes, scale)}",
    )
    atomic_write_text(f"{stem}.html", page)


def as_frame(outcomes: Sequence[Outcome], scale: str) -> pd.DataFrame:
    """One row per claim, full precision, empty where there is nothing.

    `made` of the `possible` comparisons at this scale could be made; `paper` is how many the claim
    has in the paper, and `paper_cells` how many cells.
    """
    rows = []
    for outcome in outcomes:
        finding = outcome.deciding
        rows.append(
            {
                "scale": scale,
                "id": outcome.claim.id,
                "where": outcome.claim.where,
                "claim": outcome.claim.statement,
                "verdict": outcome.verdict,
                "decided_by": finding.text,
                **_numbers(finding),
                "made": outcome.made,
                "possible": len(outcome.findings),
                "paper": len(outcome.claim.comparisons),
                "paper_cells": len(outcome.claim.cells),
                "holds": outcome.count("holds"),
                "reversed": outcome.count("reversed"),
                "undecided": outcome.count("undecided"),
                "cells": "; ".join(map(str, outcome.cells)),
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
            "cells": "; ".join(map(str, finding.cells)),
        }
        for outcome in outcomes
        for finding in outcome.findings
    ]
    return pd.DataFrame(rows)


def _numbers(finding: Finding) -> dict[str, float]:
    return {
        "effect": finding.effect,
        "ci95_low": finding.low,
        "ci95_high": finding.high,
        "effect_size": finding.effect_size,
        "p": finding.p,
        "n": finding.n,
    }


def html_scorecard(
    outcomes: Sequence[Outcome], scale: str, link: Callable[[CellKey], str] | None = None
) -> str:
    """The scorecard as a fragment; `link` gives the address of a cell's trials, "" for none."""
    template = HTML.get_template("scorecard.html.jinja")
    return template.render(_content(outcomes, scale), link=link or (lambda key: ""))


def tally(outcomes: Sequence[Outcome]) -> str:
    """How many claims came out how, in one line."""
    counts = {v: sum(outcome.verdict == v for outcome in outcomes) for v in VERDICTS}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def coverage(outcome: Outcome) -> str:
    """How many comparisons could be made; and what they are reduced from, where this scale asks for
    fewer than the paper or takes each over fewer cells."""
    asked, paper = len(outcome.findings), len(outcome.claim.comparisons)
    cells, paper_cells = len(outcome.cells), len(outcome.claim.cells)
    text = f"{outcome.made} of {asked} made"
    if asked < paper:
        return f"{text}, reduced from the paper’s {paper}"
    if cells < paper_cells:
        return f"{text}, on {cells} cells, reduced from the paper’s {paper_cells}"
    return text


def _content(outcomes: Sequence[Outcome], scale: str) -> dict[str, object]:
    return {
        "outcomes": outcomes,
        "scale": scale,
        "heading": HEADINGS[scale],
        "rules": RULES,
        "coverage": coverage,
        "tally": tally(outcomes),
        "counts": {v: sum(o.verdict == v for o in outcomes) for v in VERDICTS},
        "order": {verdict: rank for rank, verdict in enumerate(VERDICTS)},
        "symbols": SYMBOLS,
        "finding_symbols": FINDING_SYMBOLS,
    }
