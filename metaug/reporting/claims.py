"""What a claim consists of, and how it is decided from the trials.

A claim has parts; a part is a set of statements "this is greater than that", of which a share must
hold. Both sides of a statement are weighted sums of numbers, taken trial by trial, so that every
statement is one paired comparison (`metaug.reporting.statistics`). All comparisons of a claim are
one family of Holm's correction, whatever part they belong to.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaug.config import Grid
from metaug.reporting.aggregate import COLUMNS
from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import (
    NAN,
    Judgement,
    claim_verdict,
    judge,
    paired_comparison,
    t_interval,
)

VERDICTS = ("reproduced", "contradicted", "inconclusive", "not run")
NO_RESULTS = Results(pd.DataFrame(columns=COLUMNS))


class Term(NamedTuple):
    """A number in a weighted sum: its weight, its address, and what the paper prints there (nan for
    nothing)."""

    weight: float
    query: Query
    published: float = NAN


@dataclass(frozen=True)
class Quantity:
    """A weighted sum of numbers, taken trial by trial."""

    terms: tuple[Term, ...]

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.terms + other.weighted(-1).terms)

    def weighted(self, factor: float) -> "Quantity":
        """A multiple of it."""
        return Quantity(tuple(t._replace(weight=factor * t.weight) for t in self.terms))

    @property
    def queries(self) -> tuple[Query, ...]:
        return tuple(term.query for term in self.terms)

    @property
    def published(self) -> float:
        """Its value by the paper's numbers; nan where one is not printed."""
        return math.fsum(term.weight * term.published for term in self.terms)

    def values(self, results: Results) -> pd.Series:
        """Its value by trial, for the trials that all its terms have."""
        parts = [term.weight * results.values(term.query) for term in self.terms]
        return reduce(lambda a, b: a.add(b).dropna(), parts)


def quantity(query: Query, published: float = NAN) -> Quantity:
    """One number, and what the paper prints there."""
    return Quantity((Term(1.0, query, published),))


def mean_of(quantities: Sequence[Quantity]) -> Quantity:
    """The mean of quantities, at least one, trial by trial."""
    share = 1 / len(quantities)
    return Quantity(tuple(term for q in quantities for term in q.weighted(share).terms))


@dataclass(frozen=True)
class Statement:
    """ "`greater` is greater than `lesser`", in the words of `text`.

    `or_equal`: they may be equal. The test is the same, since the hypothesis that it has to reject
    ("less") differs by its boundary only; but differences that are all zero hold.
    """

    text: str
    greater: Quantity
    lesser: Quantity
    or_equal: bool = False

    @property
    def queries(self) -> tuple[Query, ...]:
        return self.greater.queries + self.lesser.queries

    @property
    def published(self) -> float:
        """The difference that the paper prints, greater - lesser; nan where it prints none."""
        return (self.greater - self.lesser).published


@dataclass(frozen=True)
class Finding:
    """A statement and what the trials say to it.

    `effect` is the mean of greater − lesser over `n` common trials, `low` and `high` its 95 %
    t-interval, `effect_size` Cohen's d_z (infinite where all differences are equal); `p` is the
    p-value, after Holm inside the claim, of the test for the statement, or for its opposite where
    that is the verdict. p and effect size are nan where nothing was tested.
    `verdict`: holds | reversed | undecided | not run.
    """

    text: str
    queries: tuple[Query, ...]
    effect: float
    low: float
    high: float
    p: float
    n: int
    verdict: str
    effect_size: float = NAN


@dataclass(frozen=True)
class Part:
    """Statements of which at least this share must hold.

    `rules` are findings that are no tests: their verdict is read off the means.
    """

    statements: tuple[Statement, ...]
    share: float = 1.0
    rules: tuple[Finding, ...] = ()


def all_hold(statements: Iterable[Statement], rules: Iterable[Finding] = ()) -> Part:
    return Part(tuple(statements), rules=tuple(rules))


def some_hold(statements: Iterable[Statement]) -> Part:
    """At least one holds.

    So "the best of these is greater than that" is decided: that one of them is. Tested on all of
    them, under Holm, it needs no allowance for having picked the best after looking.
    """
    statements = tuple(statements)
    return Part(statements, share=1 / max(1, len(statements)))


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: `parts` says what must hold, from the queries of a grid.

    The results are for quantities that depend on them alone: which setting is the best.
    """

    id: str
    where: str
    statement: str
    parts: Callable[[Grid, Results], list[Part]]

    def comparisons(self, grid: Grid) -> tuple[Statement | Finding, ...]:
        """What the claim compares on a grid."""
        parts = self.parts(grid, NO_RESULTS)
        return (*_statements(parts), *_rules(parts))

    def queries(self, grid: Grid) -> tuple[Query, ...]:
        """The distinct numbers that it rests on."""
        return _queries(self.comparisons(grid))


@dataclass(frozen=True)
class Outcome:
    """A decided claim.

    `verdict` is one of `VERDICTS`; `deciding` is the finding on which it turns: the weakest of
    those that had to hold, the strongest counterexample, or what is missing. `in_paper`: how many
    comparisons, and of how many numbers, the claim has at the scale `full`.
    """

    claim: Claim
    verdict: str
    findings: tuple[Finding, ...]
    deciding: Finding
    in_paper: tuple[int, int]

    @property
    def made(self) -> int:
        """How many comparisons could be made: of `len(findings)` that the scale asks for, which
        may be fewer than the paper's."""
        return len(self.findings) - self.count("not run")

    def count(self, verdict: str) -> int:
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The distinct numbers that the claim rests on."""
        return _queries(self.findings)


def decide_claim(claim: Claim, grid: Grid, results: Results, paper: Grid) -> Outcome:
    """Decide a claim on a grid: its parts one by one, then all together.

    Contradicted if a part is; else not run if a part is; else inconclusive if a part is; else
    reproduced. That is `claim_verdict` one level up. `paper` is the grid of the scale `full`.
    """
    parts = claim.parts(grid, results)
    statements = _statements(parts)
    comparisons = [
        paired_comparison(s.greater.values(results), s.lesser.values(results)) for s in statements
    ]
    found = {
        statement: _finding(statement, judgement)
        for statement, judgement in zip(statements, judge(comparisons), strict=True)
    }
    decided = [_decide_part([*(found[s] for s in p.statements), *p.rules], p.share) for p in parts]
    verdicts = [verdict for verdict, _ in decided]
    order = ("contradicted", "not run", "inconclusive", "reproduced")
    verdict = next(v for v in order if v in verdicts)
    pick = min if verdict == "contradicted" else max
    deciding = pick((finding for v, finding in decided if v == verdict), key=_p)
    in_paper = len(claim.comparisons(paper)), len(claim.queries(paper))
    return Outcome(claim, verdict, (*found.values(), *_rules(parts)), deciding, in_paper)


def satisfied_by_paper(claim: Claim, paper: Grid) -> bool | None:
    """Whether the numbers that the paper prints satisfy the claim; None if some are not printed."""
    parts = claim.parts(paper, NO_RESULTS)
    if _rules(parts) or any(math.isnan(s.published) for s in _statements(parts)):
        return None
    return all(
        sum(s.published > 0 or (s.or_equal and s.published == 0) for s in part.statements)
        >= _needed(len(part.statements), part.share)
        for part in parts
    )


def _needed(count: int, share: float) -> int:
    """How many of `count` comparisons must hold."""
    return max(1, math.ceil(share * count - 1e-9))


def _statements(parts: Iterable[Part]) -> list[Statement]:
    """The distinct statements: two parts may share one, which is tested once."""
    return list(dict.fromkeys(s for part in parts for s in part.statements))


def _queries(comparisons: Iterable[Statement | Finding]) -> tuple[Query, ...]:
    return tuple(dict.fromkeys(query for c in comparisons for query in c.queries))


def _rules(parts: Iterable[Part]) -> list[Finding]:
    return [rule for part in parts for rule in part.rules]


def _finding(statement: Statement, judgement: Judgement) -> Finding:
    comparison = judgement.comparison
    verdict = judgement.verdict
    equal = comparison.effect == comparison.low == comparison.high == 0
    if statement.or_equal and verdict == "undecided" and equal:
        verdict = "holds"
    p = judgement.p_reversed if verdict == "reversed" else judgement.p_holds
    return Finding(
        statement.text,
        statement.queries,
        comparison.effect,
        comparison.low,
        comparison.high,
        p,
        comparison.n,
        verdict,
        comparison.effect_size,
    )


def _decide_part(findings: Sequence[Finding], share: float) -> tuple[str, Finding]:
    """The verdict of a part and the finding on which it turns."""
    verdict = claim_verdict([finding.verdict for finding in findings], share)
    needed = _needed(len(findings), share)
    if verdict == "not run":
        return verdict, next(f for f in findings if f.verdict == "not run")
    if verdict == "contradicted":
        reverse = sorted((f for f in findings if f.verdict == "reversed"), key=_p)
        return verdict, reverse[len(findings) - needed]
    made = [f for f in findings if f.verdict != "not run"]
    rank = ("holds", "undecided", "reversed")
    made.sort(key=lambda f: (rank.index(f.verdict), _p(f)))
    return verdict, made[needed - 1]


def _p(finding: Finding) -> float:
    """p-value to sort by; rules have none: what their verdict says."""
    if not math.isnan(finding.p):
        return finding.p
    return 0.0 if finding.verdict == "holds" else 1.0


def contrast(results: Results, settings: Sequence[Quantity]) -> Quantity:
    """The setting with the highest mean minus the one with the lowest: the range of the means.

    Which settings these are is taken from the same trials, which widens a range by noise. The
    others enter with weight 0: without their trials there is no range.
    """
    means = [t_interval(setting.values(results)).mean for setting in settings]
    weights = [0.0] * len(settings)
    if not any(math.isnan(mean) for mean in means):
        weights[int(np.argmax(means))] += 1
        weights[int(np.argmin(means))] -= 1
    pairs = zip(weights, settings, strict=True)
    return Quantity(tuple(t for weight, setting in pairs for t in setting.weighted(weight).terms))


def range_exceeds_noise(
    results: Results, name: str, settings: Sequence[Quantity], factor: float
) -> Finding:
    """ "The range of the means over `settings` is more than `factor` mean half-widths".

    A plain rule, no test: it holds if it is so and is undecided otherwise. It is never reversed,
    since a small range and few trials look alike. Effect: range minus `factor` half-widths, with
    the interval of the range.
    """
    text = f"range over {name} > {factor:g} × mean half-width of the intervals"
    queries = tuple(query for setting in settings for query in setting.queries)
    intervals = [t_interval(setting.values(results)) for setting in settings]
    if any(interval.n < 2 for interval in intervals):
        return Finding(text, queries, NAN, NAN, NAN, NAN, 0, "not run")
    measured = t_interval(contrast(results, settings).values(results))
    effect = measured.mean - factor * float(np.mean([i.half_width for i in intervals]))
    return Finding(
        text,
        queries,
        effect,
        effect - measured.half_width,
        effect + measured.half_width,
        NAN,
        measured.n,
        "holds" if effect > 0 else "undecided",
    )
