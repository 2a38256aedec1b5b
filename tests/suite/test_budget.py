"""A budget goes to open comparisons, is spent and not exceeded, and is spent on by the next run."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from metaug.reporting.claims import Outcome
from metaug.reporting.looks import LEVELS
from metaug.reporting.results import Query, Results
from metaug.reporting.statements import Finding, Statement, quantity
from metaug.suite import budget
from metaug.suite.budget import (
    chance_of_decision,
    next_schedule,
    open_schedule,
    print_schedule,
    schedule,
)
from metaug.suite.plan import Plan
from metaug.suite.schedule import Schedule, read_schedule, write_schedule
from tests.paper.conftest import results_of
from tests.paper.synthetic import NOTHING, plan_of, results_from

PLAN = plan_of("lite")
SPECS = {spec.hash: spec for spec in PLAN.specs_of["claims"]}
SECONDS = {key: 100.0 + 20 * (i % 7) for i, key in enumerate(SPECS)}
NOT_STARTED: dict[str, frozenset[int]] = dict.fromkeys(SPECS, frozenset())
A = Query(PLAN.grid.spec("metaug", "cifar10"), "conv")
B = Query(PLAN.grid.spec("cmc", "cifar10"), "conv")
ZEROS = [0.0] * 5


@cache
def nothing_decided() -> list[Outcome]:
    """The claims without trials."""
    return PLAN.decide(NOTHING)


def above(differences: Iterable[float]) -> list[float]:
    """Accuracies that are so much above 50 %."""
    return [50 + float(difference) for difference in differences]


def scheduled(hours: float, done: Mapping[str, frozenset[int]] = NOT_STARTED) -> Schedule:
    return schedule(nothing_decided(), NOTHING, done, SECONDS, hours)


def after(done: Mapping[str, frozenset[int]], run: Schedule) -> dict[str, frozenset[int]]:
    return {key: trials | {*run.trials.get(key, ())} for key, trials in done.items()}


@pytest.mark.parametrize("hours", [2.0, 10.0, 50.0])
def test_the_budget_is_spent_and_not_exceeded(hours: float) -> None:
    run = scheduled(hours)
    spent = sum(SECONDS[key] * len(trials) for key, trials in run.trials.items()) / 3600
    assert run.planned_hours == pytest.approx(spent)
    assert 0.9 * hours <= spent <= hours


def test_nothing_is_trained_for_no_hours() -> None:
    assert scheduled(0.0).trials == {}


def test_two_runs_spend_as_one_of_twice_the_hours() -> None:
    first = scheduled(10.0)
    second = scheduled(10.0, done=after(NOT_STARTED, first))
    both, once = after(after(NOT_STARTED, first), second), after(NOT_STARTED, scheduled(20.0))
    assert not any({*first.trials.get(k, ())} & {*second.trials.get(k, ())} for k in SPECS)
    assert first.planned_hours + second.planned_hours == pytest.approx(20.0, rel=0.1)
    same = sum(both[key] == once[key] for key in SPECS)
    assert same > 0.9 * len(SPECS)


def test_what_is_settled_gets_nothing() -> None:
    """Every comparison of a world in which all claims hold is decided at five trials."""
    results = Results(results_of(PLAN, "claims", noise=0.01))
    done = dict.fromkeys(SPECS, frozenset(range(5)))
    outcomes = PLAN.decide(results)
    open_specs = {
        query.spec.hash
        for outcome in outcomes
        if outcome.verdict in ("not run", "inconclusive")
        for finding in outcome.findings
        if finding.verdict in ("not run", "undecided")
        for query in finding.queries
    }
    settled = SPECS.keys() - open_specs
    assert len(settled) > 0.9 * len(SPECS)
    run = schedule(outcomes, results, done, SECONDS, 1000.0)
    assert not run.trials.keys() & settled


def outcome_of(*findings: Finding) -> Outcome:
    return Outcome(nothing_decided()[0].claim, "inconclusive", findings, findings[0])


def finding_of(query: Query, reference: Query, results: Results) -> Finding:
    statement = Statement(f"{query} > {reference}", quantity(query, 2.0), quantity(reference, 0.0))
    return Finding(statement, statement.compare(results))


def test_of_two_open_comparisons_the_likelier_and_the_cheaper_come_first() -> None:
    near, far = [1.0, 2.6, -0.6, 1.6, 0.7], [1.0, 3.4, -1.9, 2.9, -0.2]
    c, d = (Query(PLAN.grid.spec(m, "cifar10"), "conv") for m in ("looc", "cmc_hard"))
    results = results_from({A: above(near), B: above(ZEROS), c: above(far), d: above(ZEROS)})
    findings = (finding_of(A, B, results), finding_of(c, d, results))
    assert {finding.verdict for finding in findings} == {"undecided"}
    done = dict.fromkeys((q.spec.hash for q in (A, B, c, d)), frozenset(range(5)))
    outcomes, hours = [outcome_of(*findings)], 10 * 100 / 3600

    def trained(prices: dict[Query, float]) -> set[str]:
        seconds = {query.spec.hash: price for query, price in prices.items()}
        return {*schedule(outcomes, results, done, seconds, hours).trials}

    equal = dict.fromkeys((A, B, c, d), 100.0)
    assert trained(equal) == {A.spec.hash, B.spec.hash}
    assert trained({**equal, c: 10.0, d: 10.0}) >= {c.spec.hash, d.spec.hash}


def test_trials_are_trained_in_whole_rounds() -> None:
    results = results_from({A: [1.0, 3.0], B: [0.0, 1.5]})
    done = dict.fromkeys((A.spec.hash, B.spec.hash), frozenset({0, 1}))
    outcomes = [outcome_of(finding_of(A, B, results))]
    seconds = {A.spec.hash: 300.0, B.spec.hash: 100.0}
    run = schedule(outcomes, results, done, seconds, 900 / 3600)
    assert run.trials == {A.spec.hash: [2, 3], B.spec.hash: [2, 3]}


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.0, 1.0), (0.5, 0.6), (1.2, 0.8), (2.0, 1.5), (-0.4, 0.5)]
)
def test_the_chance_of_a_decision_is_that_of_a_simulation(mean: float, deviation: float) -> None:
    rng, base = np.random.default_rng(0), np.array([-1.2, -0.4, 0.0, 0.4, 1.2])
    values = mean + deviation * base / base.std(ddof=1)
    results = results_from({A: above(values), B: above(ZEROS)})
    centres = rng.normal(mean, deviation / 5**0.5, (4000, 1))
    further = rng.normal(centres, deviation, (4000, 5))
    decided = decided_at_ten(np.hstack([np.tile(values, (4000, 1)), further]))
    chance = chance_of_decision(finding_of(A, B, results), results, 10)
    assert chance == pytest.approx(decided.mean(), abs=0.08)


def decided_at_ten(values: np.ndarray) -> np.ndarray:
    """Whether scipy's t-tests at the level of the look at ten decide, row by row."""
    tests = ((0.0, "greater"), (0.0, "less"), (2.0, "less"))  # 2.0 is printed
    p_values = [
        stats.ttest_1samp(values, bound, axis=1, alternative=side).pvalue for bound, side in tests
    ]
    return np.min(p_values, axis=0) <= LEVELS[10]


def test_at_least_as_good_is_reversed_below_minus_its_margin_alone() -> None:
    base = np.array([-1.2, -0.4, 0.0, 0.4, 1.2])
    results = results_from({A: above(0.3 * base / base.std(ddof=1)), B: above(ZEROS)})
    statement = Statement("a ≥ b", quantity(A), quantity(B), margin=0.2)
    finding = Finding(statement, statement.compare(results))
    limit = stats.t.ppf(1 - LEVELS[10], 9) * 0.3 / 10**0.5
    at_the_look = stats.norm(0.0, 0.3 * (1 / 5 - 1 / 10) ** 0.5)
    expected = at_the_look.sf(limit - 0.2) + at_the_look.cdf(-0.2 - limit)
    assert chance_of_decision(finding, results, 10) == pytest.approx(expected)


def test_equal_trials_are_certain_to_decide_and_single_ones_tell_nothing() -> None:
    equal = results_from({A: above([1.0] * 5), B: above(ZEROS)})
    assert chance_of_decision(finding_of(A, B, equal), equal, 10) == 1.0
    single = results_from({A: [1.0], B: [0.0]})
    assert chance_of_decision(finding_of(A, B, single), single, 5) == budget.UNKNOWN


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budget, "seconds_of", lambda plan: SECONDS)
    return plan_with(hours=2.0)


def begin(plan: Plan) -> Schedule:
    """The start of a run: its schedule, which is in the file then."""
    open_schedule(plan)
    write_schedule(plan.schedule, plan.budget_file)
    return read_schedule(plan.budget_file)


@pytest.mark.parametrize(
    ("provenance", "seconds"),
    [
        ({"device": "cpu"}, 50.0),
        ({"device": "cpu", "processes": 4}, 200.0),
        ({"device": "NVIDIA H100", "processes": 4}, 110.0),
    ],
)
def test_a_trial_is_priced_by_the_cores_or_the_gpu_that_it_took(
    provenance: dict[str, Any], seconds: float
) -> None:
    record = {"cpu_seconds": 50.0, "train_seconds": 100.0, "probe_seconds": 10.0}
    assert budget._core_seconds(record | {"provenance": provenance}) == seconds


def test_a_dry_run_writes_nothing(plan: Plan) -> None:
    open_schedule(plan)
    assert plan.schedule.trials
    assert not plan.budget_file.exists()


def plan_with(hours: float) -> Plan:
    config = PLAN.config.model_copy(update={"hours": hours})
    return Plan(config, PLAN.scale)


def test_an_interrupted_run_goes_on_and_a_finished_one_is_followed_by_the_next(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin(plan)
    assert first == next_schedule(plan, 2.0)
    done = {key: {0} for key in first.trials}
    monkeypatch.setattr(Plan, "done", lambda self, spec: frozenset(done.get(spec.hash, ())))
    assert begin(plan) == first
    done.update({key: {*trials} for key, trials in first.trials.items()})
    second = begin(plan)
    assert second.trials
    assert not any({*trials} & done.get(key, set()) for key, trials in second.trials.items())


def test_the_plan_of_a_budget_is_what_a_run_would_train(
    plan: Plan, capsys: pytest.CaptureFixture
) -> None:
    print_schedule(plan, 2.0)
    fresh = capsys.readouterr().out
    assert "goes on" not in fresh
    (key, (trial, *_)), *_ = begin(plan).trials.items()
    write_schedule(Schedule(hours=2.0, trials={key: [trial]}, planned_hours=0.1), plan.budget_file)
    print_schedule(plan, 2.0)
    out = capsys.readouterr().out
    assert out.startswith(f"A run goes on with what is left of {plan.budget_file}:\n")
    assert "1 trial of 1 training\n" in out
    print_schedule(plan_with(hours=4.0), 4.0)
    assert "goes on" not in capsys.readouterr().out


def test_another_budget_is_another_schedule_and_a_damaged_one_is_made_again(plan: Plan) -> None:
    first = begin(plan)
    assert begin(plan_with(hours=4.0)).planned_hours > first.planned_hours
    plan.budget_file.write_text("{")
    assert begin(plan) == first


def test_a_run_with_a_budget_asks_for_the_scheduled_trials_and_nothing_else(plan: Plan) -> None:
    begin(plan)
    wanted = {mark for name in PLAN.artefacts for mark in plan.marks(name)}
    trials = read_schedule(plan.budget_file).trials
    assert wanted == {
        plan.mark(key, range(t, t + 1)) for key, numbers in trials.items() for t in numbers
    }
    assert len(wanted) == len({*plan.marks()})
