"""The forest plot: every claim with our difference, its interval and the paper's."""

from collections.abc import Sequence

import pandas as pd

from metaug.reporting.claims import Outcome
from metaug.reporting.figures import Drawing, canvas
from metaug.reporting.style import BLUE, GREEN, GREY, PURPLE, TEXT_WIDTH, VERMILLION

COLORS = {
    "reproduced": GREEN,
    "contradicted": VERMILLION,
    "ruled out": PURPLE,
    "inconclusive": BLUE,
    "not run": GREY,
}
CAPTION = (
    "For every claim the comparison on which its verdict turns: our mean difference over paired "
    "trials with its interval, and the difference that the paper prints (star), where it prints "
    "one. Of a claim that is ruled out, this is the mean of all its comparisons. A claim that has "
    "not been run has neither. Right of zero is for the claim. Small dots "
    "are all its comparisons, and in brackets is how many could be made so far. "
    "Differences are points of accuracy; in C10, of mean similarity."
)


def forest_plot(outcomes: Sequence[Outcome], scale: str) -> Drawing:
    """One row for each claim, coloured by its verdict; claims that have not been run are named.

    Args:
        outcomes: the decided claims, in the order from top to bottom.
        scale: smoke, lite or full.
    """
    height = 0.9 + 0.27 * max(1, len(outcomes))
    with canvas("The paper's claims", scale, height=height, width=TEXT_WIDTH) as (figure, (axes,)):
        axes.axvline(0, color="black", linewidth=0.8)
        for row, outcome in enumerate(outcomes):
            color, found = COLORS[outcome.verdict], outcome.deciding.comparison
            made = [f.comparison.effect for f in outcome.findings if f.comparison.n]
            axes.plot(made, [row] * len(made), "o", color=color, alpha=0.4, markersize=3)
            if found.n:
                spread = [[found.effect - found.low], [found.high - found.effect]]
                axes.errorbar(found.effect, row, xerr=spread, fmt="o", color=color, capsize=2)
            if outcome.verdict != "not run":
                published = outcome.deciding.statement.published
                axes.plot(published, row, "*", color="black", markersize=7, zorder=5)
            axes.annotate(
                _label(outcome),
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                color=color,
            )
        axes.set_yticks(range(len(outcomes)), [f"{o.claim.id}  {o.claim.where}" for o in outcomes])
        axes.set_ylim(max(1, len(outcomes)) - 0.5, -0.5)
        axes.set_xlabel("difference (points)")
    data = pd.DataFrame(
        {
            "claim": [o.claim.id for o in outcomes],
            "verdict": [o.verdict for o in outcomes],
            "comparison": [o.deciding.text for o in outcomes],
            "difference": [o.deciding.comparison.effect for o in outcomes],
            "low": [o.deciding.comparison.low for o in outcomes],
            "high": [o.deciding.comparison.high for o in outcomes],
            "published": [o.deciding.statement.published for o in outcomes],
            "n": [o.deciding.comparison.n for o in outcomes],
        }
    )
    return Drawing(figure, data, CAPTION)


def _label(outcome: Outcome) -> str:
    """The verdict; of a claim that waits for comparisons, how many of them could be made."""
    if outcome.verdict != "not run" or not outcome.made:
        return outcome.verdict
    return f"not run ({outcome.made} of {len(outcome.findings)})"
