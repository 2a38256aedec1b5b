"""The scorecard: every claim of the paper with its verdict, as CSV, Markdown and HTML."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from metaug.files import atomic_path, atomic_write_text
from metaug.reporting.claims import VERDICTS, CellKey, Outcome
from metaug.reporting.html import HTML, MARKDOWN

SYMBOLS = {"reproduced": "✓", "contradicted": "✗", "inconclusive": "~", "not run": "·"}
FINDING_SYMBOLS = {"holds": "✓", "reversed": "✗", "undecided": "~", "not run": "·"}

HEADINGS = {
    "smoke": "A check of the plumbing, not evidence: the verdicts below say that the machinery "
    "works, nothing about the paper.",
    "lite": "Reduced data and training: evidence about these claims at this size, not the paper's "
    "own experiment.",
    "full": "The paper's protocol.",
}

RULES = (
    "Each claim is a set of comparisons on paired trials: one-sided paired t-tests, corrected by "
    "Holm inside the claim. It is reproduced if all of them hold (or the share that it speaks of), "
    "contradicted if one is significant the other way, not run if a needed cell has fewer than two "
    "trials, and inconclusive otherwise. Effect, interval, p and n are those of the comparison on "
    "which the verdict turns: the weakest of those that had to hold, or the strongest "
    "counterexample. p is corrected, the interval is not."
)


def write_scorecard(outcomes: Sequence[Outcome], scale: str, stem: Path | str) -> None:
    """Write `stem`.csv, .md and .html, each atomically."""
    with atomic_path(f"{stem}.csv") as temporary:
        as_frame(outcomes, scale).to_csv(temporary, index=False, lineterminator="\n")
    markdown = MARKDOWN.get_template("scorecard.md.jinja").render(_content(outcomes, scale))
    atomic_write_text(f"{stem}.md", markdown)
    page = HTML.get_template("page.html.jinja").render(
        title=f"Scorecard ({scale})",
        styles=["table.css", "scorecard.css"],
        table=f"<h1>Scorecard</h1>\n{html_scorecard(outcomes, scale)}",
    )
    atomic_write_text(f"{stem}.html", page)


def as_frame(outcomes: Sequence[Outcome], scale: str) -> pd.DataFrame:
    """One row per claim, full precision, empty where there is nothing."""
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
                "effect": finding.effect,
                "ci95_low": finding.low,
                "ci95_high": finding.high,
                "p": finding.p,
                "n": finding.n,
                "made": outcome.made,
                "possible": len(outcome.findings),
                "holds": outcome.count("holds"),
                "reversed": outcome.count("reversed"),
                "undecided": outcome.count("undecided"),
                "cells": "; ".join(map(str, outcome.cells)),
            }
        )
    return pd.DataFrame(rows)


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


def _content(outcomes: Sequence[Outcome], scale: str) -> dict[str, object]:
    return {
        "outcomes": outcomes,
        "scale": scale,
        "heading": HEADINGS[scale],
        "rules": RULES,
        "tally": tally(outcomes),
        "counts": {v: sum(o.verdict == v for o in outcomes) for v in VERDICTS},
        "order": {verdict: rank for rank, verdict in enumerate(VERDICTS)},
        "symbols": SYMBOLS,
        "finding_symbols": FINDING_SYMBOLS,
    }
