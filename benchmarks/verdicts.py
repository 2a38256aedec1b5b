"""What the verdicts on claims are worth: `python -m benchmarks.verdicts`.

Trials of every number that a claim rests on are drawn around known means, and every claim is
decided at 5, 10 and 20 trials, of which the first are the same. The means are those that the paper
prints, half of their differences, or all equal; for the figures, of which the paper prints no
numbers, means are assumed with which the claim is true (`ASSUMED`). A verdict that is not true of
the means is an error: "reproduced" where the claim is not true, "contradicted" where not so many of
its comparisons are reversed, "ruled out" where the mean of the differences is the printed one.

The second table says how often the intervals of tables and scorecard hold the true value. Both are
in docs/verdicts.md.

Verdicts of thousands of draws are made at once here. That they are the scorecard's, draw by draw,
is tested.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from metaug.config import load_config
from metaug.grid import Grid
from metaug.paper.claims import CLAIMS
from metaug.reporting.claims import ORDER, Claim, Part
from metaug.reporting.looks import LEVEL, LEVELS, LOOKS, OVERLAP, tail_of
from metaug.reporting.results import Query
from metaug.reporting.statements import AnyStatement, Quantity, RangeStatement, Statement, mean_of
from metaug.reporting.statistics import ordered_pairs


class Scenario(NamedTuple):
    """Which share of the differences is true, and the standard deviation of a trial in points."""

    name: str
    share: float
    sd: float


SCENARIOS = [
    Scenario(f"{name}, sd {sd:g}", share, sd)
    for name, share in (
        ("no effect", 0.0),
        ("printed means", 1.0),
        ("half of the printed differences", 0.5),
    )
    for sd in (0.5, 1.0)
]

SLOW = ("C1", "C3", "C15")
"""Claims of so many comparisons that they are drawn a fifth as often."""

VERDICTS = ("reproduced", "contradicted", "ruled out", "inconclusive")


def _hyper(query: Query, name: str) -> float:
    return float(str(query.spec.hyper[name]))


def _of_margin(query: Query) -> float:
    """Similarities in hundredths: the margin lowers those that it should by one."""
    lowered = ("features=with_augmented;pairs=positive", "features=original;pairs=negative")
    return -1.0 if _hyper(query, "alpha") and query.readout.endswith(lowered) else 0.0


def _of_weights(query: Query) -> float:
    """φ_dec = 6 adds 1.5 points, φ_dec = 1 none."""
    if query.spec.hyper["loss"] != "weighted" or _hyper(query, "decay") == 1:
        return 0.0
    return 1.5 - 0.25 * abs(_hyper(query, "decay") - 6)


def _of_batches(query: Query) -> float:
    """A doubling adds a point, to ours half of one."""
    ours = {"metaug": (4.0, 0.5), "metaug_oucl": (3.0, 0.5)}
    base, step = ours.get(query.spec.method, (0.0, 1.0))
    return base + step * math.log2(query.spec.batch_size / 32)


def _of_margin_sizes(query: Query) -> float:
    """Small and Medium add a point, Large two."""
    gains = {"small": 1.0, "medium": 1.0, "large": 2.0}
    return gains[str(query.spec.hyper["margin_size"])] if _hyper(query, "alpha") else 0.0


def _of_hyper_parameters(query: Query) -> float:
    """Means range by 2.8 points over β, 2.4 over δ, 1.8 over α and .25 over γ."""
    return -(
        0.7 * abs(math.log2(_hyper(query, "beta")) - 4)
        + 0.6 * abs(math.log10(_hyper(query, "delta")) + 5)
        + 0.3 * max(0.0, -11 - math.log10(_hyper(query, "alpha")))
        + abs(_hyper(query, "gamma") - 0.4)
    )


ASSUMED: Mapping[str, Callable[[Query], float]] = {
    "C10": _of_margin,
    "C11": _of_weights,
    "C12": _of_batches,
    "C13": _of_margin_sizes,
    "C14": _of_hyper_parameters,
    "C15": _of_hyper_parameters,
}
"""Means, less a constant, where the paper prints none."""

Draws = Mapping[Query, np.ndarray]
"""Values (draws, trials) by number."""


def means_of(claim: Claim, grid: Grid) -> dict[Query, float]:
    """What the paper prints at each number of a claim, or what is assumed."""
    if claim.id in ASSUMED:
        return {query: ASSUMED[claim.id](query) for query in claim.queries(grid)}
    terms = [
        term
        for statement in claim.statements(grid)
        if isinstance(statement, Statement)
        for term in (statement.greater - statement.lesser).terms
    ]
    return {term.query: term.published for term in terms}


def draws_of(
    means: Mapping[Query, float], scenario: Scenario, draws: int, seed: int
) -> dict[Query, np.ndarray]:
    """Normal trials around a share of the means."""
    rng = np.random.default_rng(seed)
    return {
        query: scenario.share * mean + scenario.sd * rng.normal(size=(draws, LOOKS[-1]))
        for query, mean in means.items()
    }


def value_of(quantity: Quantity, values: Mapping[Query, np.ndarray]) -> np.ndarray:
    """A weighted sum of drawn numbers."""
    return np.asarray(sum(term.weight * values[term.query] for term in quantity.terms))


class Judged(NamedTuple):
    """A statement, judged on every draw at every look; all (looks, draws)."""

    p_holds: np.ndarray
    p_reversed: np.ndarray
    p_ruled_out: np.ndarray
    low: np.ndarray
    high: np.ndarray


def judge(statement: AnyStatement, values: Draws) -> Judged:
    """Judge a statement as `Statement.compare` and `RangeStatement.compare` do."""
    if isinstance(statement, Statement):
        difference = value_of(statement.greater - statement.lesser, values)
        return judge_difference(difference, statement.published, statement.margin)
    if not isinstance(statement, RangeStatement):
        raise TypeError(f"{statement.text} cannot be drawn")
    ours = np.stack([value_of(setting, values) for setting in statement.settings])
    bound = statement.bound
    if not isinstance(bound, tuple):
        return _in_chunks(lambda some: judge_range(some, bound), ours)
    theirs = np.stack([value_of(setting, values) for setting in bound])
    return _in_chunks(judge_ranges, ours, theirs)


def _in_chunks(judged: Callable[..., Judged], *settings: np.ndarray) -> Judged:
    """Judge some draws at a time: all pairs of pairs of these fit into memory."""
    draws, some = settings[0].shape[1], 25
    parts = [judged(*(s[:, at : at + some] for s in settings)) for at in range(0, draws, some)]
    return Judged(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))


def judge_difference(values: np.ndarray, published: float, margin: float) -> Judged:
    """Judge "above -margin" on differences (draws, trials)."""
    rows = []
    for look in LOOKS:
        mean, error = _mean_and_error(values[:, :look])
        half_width = _t(look) * error
        rows.append(
            (
                _p((mean + margin) / error, look),
                _p((-mean - margin) / error, look),
                _p((published - mean) / error, look),
                mean - half_width,
                mean + half_width,
            )
        )
    return _by_look(rows)


def judge_range(settings: np.ndarray, bound: float) -> Judged:
    """Judge "the range is above a bound" on (settings, draws, trials)."""
    rows = []
    for look in LOOKS:
        mean, error = _mean_and_error(ordered_pairs(settings[..., :look]))
        count, (one, all_) = len(mean), (_t(look), _t(look, len(mean)))
        rows.append(
            (
                _p(((mean - bound) / error).max(0), look, count),
                _p(((bound - mean) / error).min(0), look),
                np.full(mean.shape[1], np.nan),
                (mean - all_ * error).max(0) - bound,
                (mean + one * error).max(0) - bound,
            )
        )
    return _by_look(rows)


def judge_ranges(ours: np.ndarray, theirs: np.ndarray) -> Judged:
    """Judge "the range of ours is above that of theirs" on (settings, draws, trials)."""
    rows = []
    for look in LOOKS:
        pairs = ordered_pairs(ours[..., :look]), ordered_pairs(theirs[..., :look])
        mean, error = _mean_and_error(pairs[0][:, None] - pairs[1][None])
        first, second = mean.shape[:2]
        t = mean / error
        rows.append(
            (
                _p(t.min(1).max(0), look, first),
                _p((-t).min(0).max(0), look, second),
                np.full(mean.shape[2], np.nan),
                (mean - _t(look, first) * error).min(1).max(0),
                (mean + _t(look, second) * error).max(0).min(0),
            )
        )
    return _by_look(rows)


def _by_look(rows: Sequence[Sequence[np.ndarray]]) -> Judged:
    """p-values and ends by look; of the p-values, the smallest up to each."""
    holds, reverse, ruled_out, low, high = (np.stack(column) for column in zip(*rows, strict=True))
    smallest = np.minimum.accumulate
    return Judged(smallest(holds), smallest(reverse), smallest(ruled_out), low, high)


def _mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = values.shape[-1]
    return values.mean(-1), values.std(-1, ddof=1) / math.sqrt(n)


def _p(t: np.ndarray, look: int, count: int = 1) -> np.ndarray:
    """One-sided p-values, so that `LEVEL` is the limit at every look; the best of so many."""
    p = _corrected(stats.t.sf(t, look - 1), count)
    return np.minimum(1.0, p * LEVEL / LEVELS[look])


def _corrected(p: np.ndarray, count: int) -> np.ndarray:
    return p if count == 1 else np.minimum(1.0, p * count * OVERLAP)


def _t(look: int, count: int = 1) -> float:
    return float(stats.t.ppf(1 - tail_of(count), look - 1))


def verdicts_of(
    parts: Sequence[Part], judged: Mapping[AnyStatement, Judged], values: Draws
) -> np.ndarray:
    """The verdict of a claim (looks, draws), as `decide_claim` gives it."""
    decided = [_verdicts_of_part(part, judged, values, len(parts)) for part in parts]
    return np.asarray(ORDER)[np.min([np.vectorize(ORDER.index)(v) for v in decided], axis=0)]


def _verdicts_of_part(
    part: Part, judged: Mapping[AnyStatement, Judged], values: Draws, parts: int
) -> np.ndarray:
    found = [judged[statement] for statement in part.statements]
    count, allowed = len(found), len(found) - part.needed + 1
    holds = np.sort([one.p_holds for one in found], axis=0)[part.needed - 1]
    reverse = np.sort([one.p_reversed for one in found], axis=0)[allowed - 1]
    for_it = _corrected(holds, count - part.needed + 1)
    against = _corrected(reverse, parts * (count - allowed + 1))
    mean = mean_difference(part)
    ruled_out = np.full(for_it.shape, np.nan)
    if mean is not None:
        p = judge_difference(value_of(mean, values), mean.published, 0.0).p_ruled_out
        ruled_out = _corrected(p, parts)
    conditions = [for_it <= LEVEL, against <= LEVEL, ruled_out <= LEVEL]
    return np.select(conditions, VERDICTS[:3], VERDICTS[3])


def mean_difference(part: Part) -> Quantity | None:
    """The mean of the differences of a part; None where it has ranges."""
    statements = [s for s in part.statements if isinstance(s, Statement)]
    if len(statements) < len(part.statements):
        return None
    return mean_of([statement.greater - statement.lesser for statement in statements])


def truth_of(statement: AnyStatement, means: Mapping[Query, np.ndarray]) -> float:
    """The true difference of a statement."""
    if isinstance(statement, Statement):
        return float(value_of(statement.greater - statement.lesser, means))
    if not isinstance(statement, RangeStatement):
        raise TypeError(f"{statement.text} cannot be drawn")
    bound = statement.bound
    return _range(statement.settings, means) - (
        _range(bound, means) if isinstance(bound, tuple) else bound
    )


def _range(settings: Sequence[Quantity], means: Mapping[Query, np.ndarray]) -> float:
    return float(np.ptp([value_of(setting, means) for setting in settings]))


def errors_of(parts: Sequence[Part], means: Mapping[Query, np.ndarray]) -> list[str]:
    """The verdicts that are not true of these means."""

    def count(part: Part, sign: int) -> int:
        """How many statements hold, or are reversed."""
        margins = [getattr(statement, "margin", 0.0) for statement in part.statements]
        truths = [truth_of(statement, means) for statement in part.statements]
        return sum(sign * (t + m) > 1e-9 for t, m in zip(truths, margins, strict=True))

    def is_less(part: Part) -> bool:
        """Whether the mean difference is less than the printed one, or none is printed."""
        mean = mean_difference(part)
        return mean is None or not float(value_of(mean, means)) >= mean.published - 1e-9

    true = {
        "reproduced": all(count(part, 1) >= part.needed for part in parts),
        "contradicted": any(count(p, -1) > len(p.statements) - p.needed for p in parts),
        "ruled out": any(is_less(part) for part in parts),
    }
    return [verdict for verdict, is_true in true.items() if not is_true]


@dataclass(frozen=True)
class Simulated:
    """A claim in a scenario.

    Attributes:
        verdicts: of every draw at every look (looks, draws).
        errors: the verdicts that are not true.
        covered: by what is printed, per cent of the intervals that hold the true value, one row for
            each number or statement: at every look and, of a statement, at the look at which it was
            decided (or the last).
    """

    verdicts: np.ndarray
    errors: list[str]
    covered: Mapping[str, np.ndarray]

    def share(self, verdict: str) -> np.ndarray:
        """Per cent of the draws with a verdict, by look."""
        return 100 * (self.verdicts == verdict).mean(1)

    @property
    def error(self) -> float:
        """Per cent of the draws with a verdict that is not true at any look."""
        return 100 * float(np.isin(self.verdicts, self.errors).any(0).mean())

    @property
    def changed(self) -> float:
        """Per cent of the draws in which a verdict for or against the claim is not kept."""
        firm = np.isin(self.verdicts[:-1], VERDICTS[:2])
        return 100 * float((firm & (self.verdicts[1:] != self.verdicts[:-1])).any(0).mean())


def simulate(claim: Claim, grid: Grid, scenario: Scenario, draws: int, seed: int = 0) -> Simulated:
    """Draw trials of a claim and decide it on them."""
    means, parts = means_of(claim, grid), claim.parts(grid)
    values = draws_of(means, scenario, draws, seed)
    truth = {query: np.asarray(scenario.share * mean) for query, mean in means.items()}
    judged = {statement: judge(statement, values) for statement in claim.statements(grid)}
    covered: dict[str, list[np.ndarray]] = {}
    for query, trials in values.items():
        covered.setdefault(NUMBER, []).append(_coverage_of_tables(trials, float(truth[query])))
    for statement, one in judged.items():
        kind = RANGE if isinstance(statement, RangeStatement) else DIFFERENCE
        covered.setdefault(kind, []).append(_coverage(one, truth_of(statement, truth)))
    return Simulated(
        verdicts_of(parts, judged, values),
        errors_of(parts, truth),
        {kind: np.array(rows) for kind, rows in covered.items()},
    )


NUMBER, DIFFERENCE, RANGE = "a number of a table", "a difference", "a range"


def _coverage_of_tables(trials: np.ndarray, truth: float) -> np.ndarray:
    """Per cent of the plain 95 % t-intervals that hold the truth, at every look."""
    shares = []
    for look in LOOKS:
        mean, error = _mean_and_error(trials[:, :look])
        held = abs(mean - truth) <= stats.t.ppf(0.975, look - 1) * error
        shares.append(100 * held.mean())
    return np.array(shares)


def _coverage(judged: Judged, truth: float) -> np.ndarray:
    """Per cent of the intervals that hold the truth: at every look, and where it was decided."""
    holds = (judged.low <= truth) & (truth <= judged.high)
    p = np.fmin(np.fmin(judged.p_holds, judged.p_reversed), judged.p_ruled_out)
    decided = p <= LEVEL
    decided[-1] = True
    stopped = np.take_along_axis(holds, decided.argmax(0)[None], 0)
    return 100 * np.concatenate([holds, stopped]).mean(1)


def full_grid() -> Grid:
    """The grid of the paper's protocol."""
    config, scale = load_config({"scale": "full"}, Path("config/scales"))
    return Grid(scale, config)


def claims_tables(names: Sequence[str], draws: int) -> str:
    """Markdown: verdicts by scenario and claim, then coverage by scenario."""
    grid, text = full_grid(), []
    head = ["claim", *VERDICTS, "wrong", "not kept"]
    looks = [f"{n} trials" for n in LOOKS]
    coverage = [["interval of", "scenario", *looks, "when decided", "lowest claim"]]
    for seed, scenario in enumerate(SCENARIOS):
        lines = [head]
        covered: dict[str, list[np.ndarray]] = {}
        for claim in CLAIMS:
            if claim.id not in names:
                continue
            fewer = draws // 5 if claim.id in SLOW else draws
            found = simulate(claim, grid, scenario, fewer, seed)
            for kind, rows in found.covered.items():
                covered.setdefault(kind, []).append(rows)
            cells = [" · ".join(f"{share:.0f}" for share in found.share(v)) for v in VERDICTS]
            marked = [
                f"**{cell}**" if verdict in found.errors else cell
                for verdict, cell in zip(VERDICTS, cells, strict=True)
            ]
            lines.append([claim.id, *marked, f"{found.error:.1f}", f"{found.changed:.1f}"])
        text.append(f"{scenario.name[0].upper()}{scenario.name[1:]}:\n\n{markdown(lines, 1)}\n")
        for kind, found_rows in sorted(covered.items()):
            shares = [f"{share:.1f}" for share in np.concatenate(found_rows).mean(0)]
            lowest = min(float(rows.mean(0)[-1]) for rows in found_rows)
            last = ["", ""] if kind == NUMBER else [f"{lowest:.1f}"]
            coverage.append([kind, scenario.name, *shares, *last])
    first, *others = coverage
    others.sort(key=lambda line: line[0])
    return "\n".join([*text, markdown([first, *others], 2)])


def markdown(lines: Sequence[Sequence[str]], words: int) -> str:
    """A table whose first columns are words, and the others numbers."""
    head, *rows = lines
    rule = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--claims", nargs="*", default=[claim.id for claim in CLAIMS])
    arguments = parser.parse_args()
    print(claims_tables(arguments.claims, arguments.draws))


if __name__ == "__main__":
    main()
