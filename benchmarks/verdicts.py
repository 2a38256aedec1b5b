"""What the verdicts on claims are worth: `python -m benchmarks.verdicts`.

Trials of every number that a claim rests on are drawn at random, and the claims decided as the
scorecard does, at 5, 10 and 20 trials. Where all effects are zero, a claim that is reproduced is an
error; where the printed means are the truth, one that is contradicted or ruled out is (if the
paper's own means satisfy it). Claims of which the paper does not print all numbers are drawn with
zero effects alone. The table in docs/verdicts.md is from here. `looks` compares ways to spend the
level.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from metaug.config import load_config
from metaug.grid import Grid
from metaug.paper.claims import CLAIMS
from metaug.reporting.claims import Claim, decide_claim, satisfied_by_paper
from metaug.reporting.looks import LEVEL, LOOKS
from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import p_above

SCENARIOS: dict[str, tuple[float, float]] = {
    "no effect, sd .5": (0.0, 0.5),
    "printed means, sd .5": (1.0, 0.5),
    "printed means, sd 1": (1.0, 1.0),
    "half of the printed differences, sd .5": (0.5, 0.5),
}
"""Share of the printed means that is true, and the standard deviation of a trial in points."""

SPENDING: dict[str, Callable[[float], float]] = {
    "0.05 t": lambda t: LEVEL * t,
    "Pocock, 0.05 ln(1 + (e - 1) t)": lambda t: LEVEL * float(np.log(1 + (np.e - 1) * t)),
    "0.05 √t (chosen)": lambda t: LEVEL * t**0.5,
}


class Drawn(Results):
    """Results of trials that were drawn, not run."""

    def __init__(self, values: dict[Query, pd.Series]) -> None:
        self._drawn = values

    def values(self, query: Query) -> pd.Series:
        return self._drawn[query]


def printed_means(claim: Claim, grid: Grid) -> dict[Query, float]:
    """What the paper prints at each number of a claim; nan for nothing."""
    terms = [
        term
        for statement in claim.statements(grid)
        for side in (getattr(statement, "greater", None), getattr(statement, "lesser", None))
        if side is not None
        for term in side.terms
    ]
    return {term.query: term.published for term in terms}


def shares(
    claim: Claim, grid: Grid, share: float, sd: float, draws: int, trials: int
) -> Counter[str]:
    """How often each verdict comes out."""
    rng = np.random.default_rng(0)
    queries, means = claim.queries(grid), printed_means(claim, grid)
    parts = claim.parts(grid)
    claim = replace(claim, parts=lambda grid: parts)  # which are the same for every draw
    verdicts: Counter[str] = Counter()
    for _ in range(draws):
        values = {
            query: pd.Series(50 + share * (means[query] - 50) + sd * rng.normal(size=trials))
            if share
            else pd.Series(50 + sd * rng.normal(size=trials))
            for query in queries
        }
        verdicts[decide_claim(claim, grid, Drawn(values)).verdict] += 1
    return verdicts


def claims_table(names: Sequence[str], draws: int) -> str:
    """Markdown: per cent of the draws by scenario, claim and number of trials."""
    config, scale = load_config({"scale": "full"}, Path("config/scales"))
    grid = Grid(scale, config)
    kinds = ("reproduced", "contradicted", "ruled out", "inconclusive")
    lines = [["scenario", "claim", "trials", *kinds], ["---"] * 2 + ["---:"] * 5]
    for scenario, (share, sd) in SCENARIOS.items():
        for claim in CLAIMS:
            if claim.id not in names or (share and satisfied_by_paper(claim, grid) is not True):
                continue
            for trials in LOOKS:
                found = shares(claim, grid, share, sd, draws, trials)
                numbers = [f"{100 * found[kind] / draws:.0f}" for kind in kinds]
                lines.append([scenario, claim.id, str(trials), *numbers])
                print(f"| {' | '.join(lines[-1])} |", flush=True)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def levels_of(spending: Callable[[float], float], p: Sequence[np.ndarray]) -> list[float]:
    """The nominal level of each look that spends the level so, from p-values without any effect."""
    alive, levels, spent = np.ones(len(p[0]), dtype=bool), [], 0.0
    for values, look in zip(p, LOOKS, strict=True):
        count = int((spending(look / LOOKS[-1]) - spent) * len(values))
        levels.append(float(np.sort(values[alive])[count - 1]))
        alive &= values > levels[-1]
        spent = spending(look / LOOKS[-1])
    return levels


def looks_table(draws: int) -> str:
    """Markdown: for each way to spend the level, its levels and its power by look."""

    def p_values(effect: float, seed: int) -> list[np.ndarray]:
        drawn = np.random.default_rng(seed).normal(effect, size=(draws, LOOKS[-1]))
        return [p_above(drawn[:, :look], 0.0) for look in LOOKS]

    nothing, effect = p_values(0.0, 0), p_values(1.0, 1)
    head = ["spending", *(f"level at {n}" for n in LOOKS), *(f"power by {n}" for n in LOOKS)]
    lines = [head, ["---"] + ["---:"] * 6]
    for name, spending in SPENDING.items():
        levels = levels_of(spending, nothing)
        found, power = np.zeros(draws, dtype=bool), []
        for p, level in zip(effect, levels, strict=True):
            found |= p <= level
            power.append(f"{found.mean():.2f}")
        lines.append([name, *(f"{level:.4f}" for level in levels), *power])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("claims", "looks"), nargs="?", default="claims")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--claims", nargs="*", default=[claim.id for claim in CLAIMS])
    arguments = parser.parse_args()
    if arguments.what == "looks":
        print(looks_table(max(arguments.draws, 100_000)))
    else:
        print(claims_table(arguments.claims, arguments.draws))


if __name__ == "__main__":
    main()
