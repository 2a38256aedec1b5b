"""The simulation decides as the scorecard does; verdicts are seldom wrong, intervals as often."""

import math

import numpy as np
import pytest

from benchmarks.verdicts import (
    ASSUMED,
    DIFFERENCE,
    NUMBER,
    RANGE,
    SCENARIOS,
    SLOW,
    claims_tables,
    draws_of,
    full_grid,
    judge,
    means_of,
    simulate,
    verdicts_of,
)
from metaug.paper.claims import CLAIMS
from metaug.reporting.claims import Claim, decide_claim
from metaug.reporting.looks import LOOKS
from tests.paper.synthetic import results_from

GRID = full_grid()
BY_ID = {claim.id: claim for claim in CLAIMS}
SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}
DRAWS = 300
SLACK = 100 * math.sqrt(0.05 * 0.95 / DRAWS)
"""The standard error of a rate of 5 % in so many draws, in points."""


@pytest.mark.parametrize("claim", CLAIMS, ids=[*BY_ID])
def test_a_draw_is_decided_as_the_scorecard_decides_it(claim: Claim) -> None:
    many = len(claim.statements(GRID)) > 30
    values = draws_of(means_of(claim, GRID), SCENARIO["printed means, sd 1"], 2, seed=1)
    shift = 50.0 if claim.id in ASSUMED else 0.0  # an accuracy is in 0 to 100
    judged = {statement: judge(statement, values) for statement in claim.statements(GRID)}
    verdicts = verdicts_of(claim.parts(GRID), judged, values)
    for i, look in enumerate(LOOKS[:1] if many else LOOKS):
        trials = {query: shift + drawn[1, :look] for query, drawn in values.items()}
        outcome = decide_claim(claim, GRID, results_from(trials))
        assert outcome.verdict == verdicts[i, 1]
        for finding in outcome.findings:
            c = finding.comparison
            theirs = c.p_holds, c.p_reversed, c.p_ruled_out, c.low, c.high
            ours = [part[i, 1] for part in judged[finding.statement]]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in BY_ID if name not in SLOW])
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.sd == 0.5 and s.share != 0.5], ids=lambda s: s.name
)
def test_no_verdict_is_wrong_more_often_than_its_level(name: str, scenario) -> None:
    found = simulate(BY_ID[name], GRID, scenario, DRAWS)
    assert found.error <= 5 + 2 * SLACK
    assert found.changed <= 1


def test_an_effect_that_is_absent_is_ruled_out_with_five_trials() -> None:
    found = simulate(BY_ID["C2"], GRID, SCENARIO["no effect, sd 0.5"], DRAWS)
    assert found.share("ruled out")[0] >= 90


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_intervals_hold_the_true_value_in_95_of_100_at_a_fixed_number_and_at_a_decision(
    scenario,
) -> None:
    """Within two points, and two standard errors of a claim of one difference."""
    draws = 8 * DRAWS
    error = 100 * math.sqrt(0.05 * 0.95 / draws)
    for name in ("C2", "C7", "C9", "C13"):
        covered = simulate(BY_ID[name], GRID, scenario, draws).covered
        assert covered[NUMBER].mean(0) == pytest.approx(95, abs=2)
        assert covered[DIFFERENCE].mean(0) == pytest.approx(95, abs=2 + 2 * error)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_intervals_of_ranges_hold_the_true_range_at_least_as_often(scenario) -> None:
    covered = simulate(BY_ID["C14"], GRID, scenario, DRAWS).covered[RANGE]
    assert covered.min() >= 95 - 2


def test_the_tables_have_a_row_for_each_claim_and_each_kind_of_interval() -> None:
    text = claims_tables(["C7", "C15"], 20)
    assert text.count("| C7 |") == text.count("| C15 |") == len(SCENARIOS)
    for kind in (NUMBER, DIFFERENCE, RANGE):
        assert text.count(f"| {kind} |") == len(SCENARIOS)
