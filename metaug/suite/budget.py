"""What to train next within a number of core-hours: what decides most of the claims for its price.

The open comparisons of the open claims compete. A step brings all trainings of a comparison to its
next look (`metaug.reporting.looks`). It is worth the probability that the comparison is decided
there, as a share of its claim's comparisons, and that of others that rest on no more trainings. The
steps with the most worth for an hour are taken until the budget is spent. A comparison that is
decided gets no more.

The schedule lies in `results/<scale>/budget.json`. While trials of it are missing, the same command
goes on with it; after that the next one is made.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import scipy
import torch

from metaug.reporting.claims import Outcome
from metaug.reporting.looks import LEVELS, LOOKS
from metaug.reporting.names import counted
from metaug.reporting.results import Results
from metaug.reporting.statements import Finding, Statement
from metaug.spec import TrialSpec
from metaug.suite.cost import hours_of
from metaug.suite.plan import Plan
from metaug.suite.schedule import Schedule, read_schedule
from metaug.suite.speed import Clock
from metaug.training.runtime import choose_device

UNKNOWN = 0.5
"""Probability that the next look decides a comparison of which nothing is known."""

OPEN = ("not run", "undecided")
"""Verdicts of comparisons that get more trials. One that is ruled out does not: more trials could
still show that it holds, but not by what the paper prints."""


@dataclass(frozen=True)
class _Step:
    """Trainings of which each is to have so many trials, and what that is worth."""

    specs: frozenset[str]
    look: int
    worth: float


def schedule(
    outcomes: list[Outcome],
    results: Results,
    done: Mapping[str, frozenset[int]],
    seconds: Mapping[str, float],
    hours: float,
) -> Schedule:
    """Spend a budget on open comparisons.

    Args:
        outcomes: every claim, decided from the trials that there are.
        results: these trials.
        done: by hash of a spec that may be trained, the trials that need no training.
        seconds: by the same hashes, core-seconds of one trial.
        hours: the budget in core-hours. It is not exceeded, and what is left is less than a round
            of the cheapest step that is left.
    """
    # a later look is worth something only after the earlier one
    waiting: dict[frozenset[str], list[_Step]] = {}
    for step in sorted(_steps(outcomes, results, done), key=lambda step: step.look):
        waiting.setdefault(step.specs, []).append(step)
    trials: dict[str, list[int]] = {}
    left = 3600 * hours

    def missing(step: _Step, look: int) -> dict[str, list[int]]:
        return {
            spec: new
            for spec in sorted(step.specs)
            if (new := sorted({*range(look)} - done[spec] - {*trials.get(spec, ())}))
        }

    def price(new: Mapping[str, list[int]]) -> float:
        return sum(seconds[spec] * len(numbers) for spec, numbers in new.items())

    def take(new: Mapping[str, list[int]]) -> None:
        nonlocal left
        left -= price(new)
        for spec, numbers in new.items():
            trials.setdefault(spec, []).extend(numbers)

    while waiting:
        first = [steps[0] for steps in waiting.values()]
        prices = {step: price(missing(step, step.look)) for step in first}
        affordable = [step for step in first if prices[step] <= left]
        best = max(affordable or first, key=lambda step: step.worth / (prices[step] or 1e-9))
        waiting[best.specs].pop(0)
        if not waiting[best.specs]:
            del waiting[best.specs]
        for look in [best.look] if affordable else range(best.look, 0, -1):
            if price(new := missing(best, look)) <= left:  # whole rounds: none is half of a pair
                take(new)
                break
    trials = {spec: sorted(numbers) for spec, numbers in trials.items()}
    return Schedule(hours=float(hours), trials=trials, planned_hours=hours - left / 3600)


def _steps(
    outcomes: list[Outcome], results: Results, done: Mapping[str, frozenset[int]]
) -> list[_Step]:
    """Every step that brings an open comparison to a look; those on the same trainings are one."""
    worths: dict[tuple[frozenset[str], int], float] = {}
    for outcome in outcomes:
        for finding in _open(outcome):
            specs = frozenset(query.spec.hash for query in finding.queries)
            if not specs or not specs <= done.keys():
                continue
            still_open = 1 / len(outcome.findings)
            for look in (look for look in LOOKS if look > finding.comparison.n):
                chance = chance_of_decision(finding, results, look)
                worths[specs, look] = worths.get((specs, look), 0.0) + still_open * chance
                still_open *= 1 - chance
    return [
        _Step(specs, look, sum(w for (s, n), w in worths.items() if n == look and s <= specs))
        for specs, look in worths
    ]


def _open(outcome: Outcome) -> Iterator[Finding]:
    """What may still change the verdict of a claim."""
    if outcome.verdict in ("not run", "inconclusive"):
        yield from (finding for finding in outcome.findings if finding.verdict in OPEN)


def chance_of_decision(finding: Finding, results: Results, look: int) -> float:
    """Probability that a comparison is decided at a look, if its trials go on as they began.

    The mean at the look is normal around the present mean. `UNKNOWN` where there are fewer than two
    trials, or where the comparison is about ranges.
    """
    statement = finding.statement
    if not isinstance(statement, Statement):
        return UNKNOWN
    values = (statement.greater - statement.lesser).values(results)
    n, mean, deviation = len(values), float(values.mean()), float(values.std())
    if n < 2 or n >= look:
        return UNKNOWN
    if deviation == 0:
        return 1.0
    limit = float(scipy.stats.t.ppf(1 - LEVELS[look], look - 1)) * deviation / math.sqrt(look)
    spread = deviation * math.sqrt(1 / n - 1 / look)
    holds = scipy.stats.norm.sf((limit - statement.margin - mean) / spread)
    # reversed, or below what is printed (nan: nothing is)
    bounds = (-statement.margin, statement.published)
    bound = max(value for value in bounds if not math.isnan(value))
    fails = scipy.stats.norm.cdf((bound - limit - mean) / spread)
    return float(min(1.0, holds + fails))


def seconds_of(plan: Plan) -> dict[str, float]:
    """Core-seconds of one trial of every training that claims rest on.

    The mean of its records or, without any, the plan's estimate, times the ratio of recorded to
    estimated seconds of those that have records: estimates leave out the probes.
    """
    specs = plan.specs_of["claims"]
    recorded = {spec.hash: _recorded(plan, spec) for spec in specs}
    if all(recorded.values()):
        return {key: value for key, value in recorded.items() if value}
    torch.set_num_threads(1)
    clock = Clock(plan, choose_device(plan.config.device))
    estimated = {spec.hash: 3600 * hours_of(plan, spec, clock.speed(spec)) for spec in specs}
    both = [key for key in estimated if recorded[key] and estimated[key]]
    ratio = 1.0
    if both:
        ratio = sum(recorded[key] or 0 for key in both) / sum(estimated[key] for key in both)
    return {key: recorded[key] or estimated[key] * ratio for key in estimated}


def _recorded(plan: Plan, spec: TrialSpec) -> float | None:
    seconds = [_core_seconds(record) for record in plan.read_records(spec)]
    return sum(seconds) / len(seconds) if seconds else None


def _core_seconds(record: Mapping[str, Any]) -> float:
    """What a trial took of its cores or, on a GPU, of the GPU; a shared machine does not lengthen
    the former. Of several processes, which work as long as each other, the record has one."""
    if record["provenance"]["device"] == "cpu":
        return float(record["cpu_seconds"] * record["provenance"].get("processes", 1))
    return float(record["train_seconds"] + record["probe_seconds"])


_Evidence = tuple[list[Outcome], Results, dict[str, frozenset[int]]]


def next_schedule(plan: Plan, hours: float, evidence: _Evidence | None = None) -> Schedule:
    """The schedule that a run with this budget would make now."""
    if not hours:
        return Schedule(hours=0.0, trials={}, planned_hours=0.0)
    return schedule(*(evidence or _evidence(plan)), seconds_of(plan), hours)


def _evidence(plan: Plan) -> _Evidence:
    """The claims as they are decided now, the trials behind them, and which of them are done."""
    results = plan.results("claims")
    done = {spec.hash: plan.done(spec) for spec in plan.specs_of["claims"]}
    return plan.decide(results), results, done


def open_schedule(plan: Plan) -> None:
    """Before a run with a budget: go on with the schedule that there is, or make the next, which
    `Plan.start` writes."""
    hours = plan.config.hours
    if hours is not None:
        plan.schedule = _unfinished(plan, hours) or next_schedule(plan, hours)


def _unfinished(plan: Plan, hours: float) -> Schedule | None:
    """The schedule that a run with this budget goes on with: trials of it are missing, and it was
    made for the same budget."""
    found = read_schedule(plan.budget_file)
    return found if found and found.hours == hours and _missing(plan, found) else None


def _missing(plan: Plan, found: Schedule) -> bool:
    """Whether trials of a schedule are missing; one of other specs has none left to train."""
    return any(
        not {*trials} <= plan.done(plan.specs[spec])
        for spec, trials in found.trials.items()
        if spec in plan.specs
    )


def print_schedule(plan: Plan, hours: float) -> None:
    """Print what a budget would be spent on, and what each claim would rest on afterwards."""
    evidence = outcomes, results, done = _evidence(plan)
    found = _unfinished(plan, hours)
    if found:
        print(f"A run goes on with what is left of {plan.budget_file}:\n")
    else:
        found = next_schedule(plan, hours, evidence)
    print(
        f"{plan.scale.name}: of {hours:g} core-hours, {found.planned_hours:.1f} are spent on "
        f"{counted(sum(map(len, found.trials.values())), 'trial')} of "
        f"{counted(len(found.trials), 'training')}\n"
    )
    for key, trials in found.trials.items():
        spec = plan.specs[key]
        print(f"  {counted(len(trials), 'trial')} of {spec} {plan.setting(spec)}")
    print(f"\n{'claim':7}{'verdict':14}{'comparisons':>12}{'open':>6}{'looked at':>11}{'power':>7}")
    for outcome in outcomes:
        open_ones = list(_open(outcome))
        looked = [
            (finding, look)
            for finding in open_ones
            if (look := _look_after(finding, done, found)) > finding.comparison.n
        ]
        chances = [chance_of_decision(finding, results, look) for finding, look in looked]
        power = f"{sum(chances) / len(chances):.0%}" if chances else "—"
        print(
            f"{outcome.claim.id:7}{outcome.verdict:14}{len(outcome.findings):12}{len(open_ones):6}"
            f"{len(looked):11}{power:>7}"
        )
    print(
        "\nLooked at: open comparisons that reach their next look. Power: the mean probability "
        f"that it decides them; {UNKNOWN:.0%} where fewer than two trials say anything."
    )


def _look_after(finding: Finding, done: Mapping[str, frozenset[int]], found: Schedule) -> int:
    """The look that a comparison has reached once a schedule is trained; 0 if none."""
    counts = [
        _consecutive(done.get(key, frozenset()) | {*found.trials.get(key, ())})
        for key in {query.spec.hash for query in finding.queries}
    ]
    return max((look for look in LOOKS if counts and look <= min(counts)), default=0)


def _consecutive(trials: frozenset[int]) -> int:
    """How many of the trials 0, 1, 2, ... there are before one is missing."""
    return next(t for t in range(len(trials) + 1) if t not in trials)
