"""What a claim consists of, and how it is decided from the trials.

A claim has parts; a part is a set of statements (`metaug.reporting.statements`), of which so many
must hold. Each statement has its p-values, and a claim combines them by partial conjunctions.
docs/verdicts.md says the same for readers.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from metaug.grid import Grid
from metaug.reporting.looks import LEVEL, OVERLAP, corrected
from metaug.reporting.results import Query, Results
from metaug.reporting.statements import AnyStatement, Finding, Statement, mean_of
from metaug.reporting.statistics import NAN, at_least, or_one

VERDICTS = ("reproduced", "contradicted", "ruled out", "inconclusive", "not run")


@dataclass(frozen=True)
class Part:
    """Statements of which at least this share must hold."""

    statements: tuple[AnyStatement, ...]
    share: float = 1.0

    @property
    def needed(self) -> int:
        """How many must hold; 1e-9, because 3/10 of 10 is 3, not 4."""
        return max(1, math.ceil(self.share * len(self.statements) - 1e-9))


def all_hold(statements: Iterable[AnyStatement]) -> Part:
    return Part(tuple(statements))


def some_hold(statements: Iterable[AnyStatement]) -> Part:
    """At least one holds: so "the best of these is greater than that" is decided."""
    statements = tuple(statements)
    return Part(statements, share=1 / max(1, len(statements)))


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: a sentence, and what must hold for it, by the queries of a grid."""

    id: str
    where: str
    sentence: str
    parts: Callable[[Grid], list[Part]]

    def statements(self, grid: Grid) -> tuple[AnyStatement, ...]:
        """What the claim compares on a grid; two parts may share a statement."""
        return _distinct(self.parts(grid))

    def queries(self, grid: Grid) -> tuple[Query, ...]:
        """The distinct numbers that it rests on."""
        return _queries(self.statements(grid))


@dataclass(frozen=True)
class Outcome:
    """A decided claim.

    Attributes:
        claim: the claim.
        verdict: one of `VERDICTS`.
        findings: every statement with what the trials say.
        deciding: the finding on which the verdict turns: the weakest of those that it needs; of a
            claim that is inconclusive, the weakest that would have to hold; of one that is ruled
            out, the mean of its comparisons; of one that has not been run, the first that is
            missing.
        in_paper: how many statements, and of how many numbers, the claim has at the scale `full`.
        satisfied_by_paper: whether the numbers that the paper prints satisfy the claim; None where
            it does not print them all.
        p_reproduced: of the test that all that must hold holds.
        p_contradicted: of the test that it does not.
        p_holm: the p-value of the verdict (reproduced, contradicted) after Holm over all claims;
            nan for other verdicts.
    """

    claim: Claim
    verdict: str
    findings: tuple[Finding, ...]
    deciding: Finding
    in_paper: tuple[int, int] = (0, 0)
    satisfied_by_paper: bool | None = None
    p_reproduced: float = NAN
    p_contradicted: float = NAN
    p_holm: float = NAN

    @property
    def made(self) -> int:
        """How many comparisons could be made: of `len(findings)` that the scale asks for, which
        may be fewer than the paper's."""
        return len(self.findings) - self.count("not run")

    @property
    def p(self) -> float:
        """The p-value of `deciding`; of a claim that is ruled out, that of the test against the
        printed difference."""
        ruled_out = self.verdict == "ruled out"
        return self.deciding.comparison.p_ruled_out if ruled_out else self.deciding.p

    def count(self, verdict: str) -> int:
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The distinct numbers that the claim rests on."""
        return _queries(self.findings)


class _Decided(NamedTuple):
    """A decided part: its verdict, the finding on which it turns, and the p-values for it and
    against it."""

    verdict: str
    deciding: Finding
    p_reproduced: float
    p_contradicted: float


ORDER = ("contradicted", "not run", "inconclusive", "ruled out", "reproduced")
"""The verdict of a claim is the first of these that one of its parts has."""


def decide_claim(claim: Claim, grid: Grid, results: Results) -> Outcome:
    """Decide a claim on a grid: its parts one by one, then all together."""
    parts = claim.parts(grid)
    found = {s: Finding(s, s.compare(results)) for s in _distinct(parts)}
    decided = [
        _decide_part(part, [found[s] for s in part.statements], results, len(parts))
        for part in parts
    ]
    verdict = next(v for v in ORDER if v in {part.verdict for part in decided})
    deciding = min((part for part in decided if part.verdict == verdict), key=_weakness)
    return Outcome(
        claim,
        verdict,
        tuple(found.values()),
        deciding.deciding,
        p_reproduced=max(part.p_reproduced for part in decided),
        p_contradicted=min(part.p_contradicted for part in decided),
    )


def decide_claims(
    claims: Sequence[Claim], grid: Grid, results: Results, paper: Grid
) -> list[Outcome]:
    """Decide claims, and compare them with the paper and with each other.

    Args:
        claims: of one list.
        grid: of the scale.
        results: the trials.
        paper: the grid of the scale `full`: what the claims ask for in the paper.
    """
    outcomes = [decide_claim(claim, grid, results) for claim in claims]
    p_values = {
        "reproduced": [outcome.p_reproduced for outcome in outcomes],
        "contradicted": [outcome.p_contradicted for outcome in outcomes],
    }
    given = p_values.keys() & {outcome.verdict for outcome in outcomes}
    holm = {verdict: _holm(p_values[verdict]) for verdict in given}
    return [
        replace(
            outcome,
            in_paper=(len(outcome.claim.statements(paper)), len(outcome.claim.queries(paper))),
            satisfied_by_paper=satisfied_by_paper(outcome.claim, paper),
            p_holm=holm[outcome.verdict][i] if outcome.verdict in holm else NAN,
        )
        for i, outcome in enumerate(outcomes)
    ]


def _holm(p_values: Sequence[float]) -> list[float]:
    """After Holm over all claims; what has not been run counts as 1.

    Corrected for the looks, as `corrected` does. Where a claim has several comparisons, its p-value
    may have that correction already: it then errs on the safe side.
    """
    # here, because it takes a second or two: every start of Snakemake would wait
    from statsmodels.stats.multitest import multipletests

    known = [min(1.0, OVERLAP * or_one(p)) for p in p_values]
    return list(map(float, multipletests(known, method="holm")[1])) if known else []


def satisfied_by_paper(claim: Claim, paper: Grid) -> bool | None:
    """Whether the numbers that the paper prints satisfy the claim; None if some are not printed."""
    if any(math.isnan(s.published) for s in claim.statements(paper)):
        return None
    return all(
        sum(s.published > 0 or (_may_be_equal(s) and s.published == 0) for s in part.statements)
        >= part.needed
        for part in claim.parts(paper)
    )


def _may_be_equal(statement: AnyStatement) -> bool:
    return isinstance(statement, Statement) and statement.margin > 0


def _distinct(parts: Iterable[Part]) -> tuple[AnyStatement, ...]:
    return tuple(dict.fromkeys(s for part in parts for s in part.statements))


def _queries(items: Iterable[AnyStatement | Finding]) -> tuple[Query, ...]:
    return tuple(dict.fromkeys(query for item in items for query in item.queries))


def _decide_part(part: Part, findings: Sequence[Finding], results: Results, parts: int) -> _Decided:
    """Decide a part of a claim of so many parts.

    Reproduced: the share holds. Contradicted: so many are reversed that it cannot be reached. Not
    run: neither, and a statement is missing. Ruled out: none of these, and the mean difference is
    below the mean that the paper prints. Contradicted and ruled out are corrected for the number
    of parts (Bonferroni).
    """
    needed, allowed = part.needed, len(findings) - part.needed + 1
    for_it = at_least([f.comparison.p_holds for f in findings], needed)
    against = at_least([f.comparison.p_reversed for f in findings], allowed, parts)
    surest_first = sorted(findings, key=_doubt)
    missing = [f for f in findings if f.verdict == "not run"]
    if for_it <= LEVEL:
        return _Decided("reproduced", surest_first[needed - 1], for_it, against)
    if against <= LEVEL:
        worst_first = sorted(findings, key=lambda f: or_one(f.comparison.p_reversed))
        return _Decided("contradicted", worst_first[allowed - 1], for_it, against)
    if missing:
        return _Decided("not run", missing[0], for_it, against)
    mean = _mean_finding(findings, results)
    if mean and corrected(or_one(mean.comparison.p_ruled_out), parts) <= LEVEL:
        return _Decided("ruled out", mean, for_it, against)
    return _Decided("inconclusive", surest_first[needed - 1], for_it, against)


def _doubt(finding: Finding) -> tuple[float, float]:
    """To sort by: how far a finding is from holding. Many p-values are 1, where the effect size
    tells more."""
    return or_one(finding.comparison.p_holds), -_size(finding)


def _mean_finding(findings: Sequence[Finding], results: Results) -> Finding | None:
    """The mean of all these comparisons, which is what may be ruled out; None where one of them is
    about a range.

    One test on all of them, and not one for each: that would be wrong by chance more often the more
    there are, or find nothing once corrected for their number.
    """
    statements = [f.statement for f in findings if isinstance(f.statement, Statement)]
    if len(statements) < len(findings):
        return None
    if len(findings) == 1:
        return findings[0]
    mean = Statement(
        f"mean of all {len(findings)} comparisons",
        mean_of([statement.greater for statement in statements]),
        mean_of([statement.lesser for statement in statements]),
    )
    return Finding(mean, mean.compare(results))


def _weakness(part: _Decided) -> tuple[float, float]:
    """To sort by: the strongest counterexample, else the part that is least certain to hold."""
    p = part.p_contradicted if part.verdict == "contradicted" else -part.p_reproduced
    return p, _size(part.deciding)


def _size(finding: Finding) -> float:
    """Its effect size, to sort by; that of a comparison that was not made is the least."""
    size = finding.comparison.effect_size
    return -math.inf if math.isnan(size) else size


def by_chance(outcomes: Sequence[Outcome]) -> float:
    """How many wrong verdicts chance alone would at most give on the claims of which a comparison
    could be made: the expected number, whatever is true."""
    return LEVEL * sum(outcome.made > 0 for outcome in outcomes)
