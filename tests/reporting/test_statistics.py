import itertools
import math
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metaug.reporting.claims import (
    VERDICTS,
    Claim,
    Outcome,
    Part,
    Quantity,
    Statement,
    decide_claim,
    quantity,
)
from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import (
    Comparison,
    claim_verdict,
    holm,
    judge,
    paired_comparison,
    t_interval,
)
from metaug.spec import TrialSpec
from tests.paper.synthetic import plan_of


def comparison(p_greater: float, effect: float = 1.0) -> Comparison:
    return Comparison(effect, effect - 1, effect + 1, p_greater, 1 - p_greater, 5, 1.0)


MISSING = paired_comparison(pd.Series({0: 80.0}), pd.Series({0: 79.0}))


def test_interval_is_students():
    # t_{.975, 2} = 4.302653 (tables of Student's t); s = 1
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval == pytest.approx((2.0, 4.302653 / math.sqrt(3), 3), abs=1e-6)
    assert t_interval([1.0, 2.0, 3.0], level=0.9).half_width == pytest.approx(
        2.919986 / math.sqrt(3), abs=1e-6
    )


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert t_interval([5.0])[0] == 5.0
    assert math.isnan(t_interval([5.0]).half_width)
    assert math.isnan(t_interval([]).mean)
    assert math.isnan(t_interval([]).half_width)
    assert (t_interval([5.0]).n, t_interval([]).n) == (1, 0)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_intervals_cover_95_per_cent(n):
    draws = np.random.default_rng(n).normal(70.0, 1.5, (4000, n))
    intervals = [t_interval(values) for values in draws]
    covered = np.mean([abs(mean - 70.0) <= half_width for mean, half_width, _ in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_comparison_is_the_t_test_on_differences_of_common_trials():
    a = pd.Series({0: 80.0, 1: 82.5, 2: 81.0, 3: 84.0, 9: 10.0})
    b = pd.Series({3: 81.0, 2: 80.0, 1: 80.0, 0: 79.5, 7: 99.0})
    d = np.array([0.5, 2.5, 1.0, 3.0])
    t = d.mean() / (d.std(ddof=1) / 2)
    result = paired_comparison(a, b)
    assert result.n == 4
    assert result.effect == pytest.approx(1.75)
    assert result.effect_size == pytest.approx(d.mean() / d.std(ddof=1))
    assert result.p_greater == pytest.approx(stats.t.sf(t, 3))
    assert result.p_less == pytest.approx(stats.t.cdf(t, 3))
    half_width = 3.18244631 * d.std(ddof=1) / 2  # t_{.975, 3}
    assert (result.low, result.high) == pytest.approx((1.75 - half_width, 1.75 + half_width))


def test_comparison_turned_round_is_the_mirror_image():
    rng = np.random.default_rng(0)
    a, b = pd.Series(rng.normal(80, 1, 6)), pd.Series(rng.normal(79, 1, 6))
    there, back = paired_comparison(a, b), paired_comparison(b, a)
    assert back.effect == pytest.approx(-there.effect)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert (back.p_greater, back.p_less) == pytest.approx((there.p_less, there.p_greater))


@pytest.mark.parametrize(
    ("gap", "p_greater", "p_less", "effect_size"),
    [(0.5, 0.0, 1.0, math.inf), (-0.5, 1.0, 0.0, -math.inf), (0.0, 0.5, 0.5, 0.0)],
)
def test_equal_differences_take_the_limit_of_the_test(gap, p_greater, p_less, effect_size):
    b = pd.Series([70.0, 72.0, 75.0])
    assert paired_comparison(b + gap, b) == Comparison(
        gap, gap, gap, p_greater, p_less, 3, effect_size
    )


def test_rounding_is_not_a_difference():
    b = pd.Series([70.1, 70.1, 70.1])
    a = pd.Series([np.nextafter(70.1, 100)] * 3)
    assert paired_comparison(a, b) == Comparison(0.0, 0.0, 0.0, 0.5, 0.5, 3, 0.0)


def test_fewer_than_two_common_trials_decide_nothing():
    result = paired_comparison(pd.Series({0: 1.0, 1: 2.0}), pd.Series({1: 1.0, 2: 2.0}))
    assert (result.n, result.effect) == (1, 1.0)
    assert math.isnan(result.p_greater) and math.isnan(result.low)
    assert paired_comparison(pd.Series({0: 1.0}), pd.Series({1: 1.0})).n == 0


def test_a_trial_given_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        paired_comparison(pd.Series([1.0, 2.0], index=[0, 0]), pd.Series([1.0]))


def closed_test(p_values: list[float]) -> list[float]:
    """Adjusted p-values of the closed test with Bonferroni's: a hypothesis is rejected if every
    intersection of hypotheses that it is in is. All 2^m − 1 are gone through."""
    every = range(len(p_values))
    subsets = [s for k in every for s in itertools.combinations(every, k + 1)]
    joint = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets}
    return [max(p for subset, p in joint.items() if i in subset) for i in every]


def test_holm_is_the_closed_test_with_bonferroni():
    # the textbook example; R's p.adjust(c(.01, .04, .03, .005), "holm") prints the same
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    rng = np.random.default_rng(0)
    for size in range(1, 9):
        for highest in (0.05, 0.4, 1.0):
            p_values = list(rng.uniform(0, highest, size))
            assert holm(p_values) == pytest.approx(closed_test(p_values))
            ties = [p_values[0]] * 2 + p_values
            assert holm(ties) == pytest.approx(closed_test(ties))


def test_holm_leaves_out_tests_that_were_not_made():
    adjusted = holm([0.02, math.nan, 0.01])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.02])
    assert math.isnan(adjusted[1])
    assert holm([]).size == 0


def test_each_direction_is_corrected_by_itself():
    comparisons = [comparison(0.001), comparison(0.5), comparison(0.999)]
    judgements = judge(comparisons)
    assert [item.verdict for item in judgements] == ["holds", "undecided", "reversed"]
    assert [item.p_holds for item in judgements] == pytest.approx([0.003, 1.0, 1.0])
    assert [item.p_reversed for item in judgements] == pytest.approx([1.0, 1.0, 0.003])


def test_the_correction_can_undo_a_significant_comparison():
    assert judge([comparison(0.04)])[0].verdict == "holds"
    both = judge([comparison(0.04), comparison(0.03)])
    assert [item.verdict for item in both] == ["undecided", "undecided"]


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["holds", "holds", "holds"], "reproduced"),
        (["holds", "holds", "undecided"], "inconclusive"),
        (["holds", "holds", "reversed"], "contradicted"),
        (["holds", "undecided", "reversed"], "contradicted"),
        (["holds", "not run", "holds"], "not run"),
        ([], "not run"),
    ],
)
def test_claim_needs_all_and_falls_with_one(verdicts, verdict):
    assert claim_verdict(verdicts) == verdict


def test_a_counterexample_needs_no_further_cells():
    assert claim_verdict(["reversed", "not run"]) == "contradicted"


def test_missing_comparisons_do_not_cost_the_others_power():
    assert judge([comparison(0.04), MISSING])[0].verdict == "holds"


@pytest.mark.parametrize(
    ("holds", "reversed_", "undecided", "missing", "verdict"),
    [
        (6, 2, 0, 0, "reproduced"),  # 6 of 8 are 75 %
        (6, 0, 0, 2, "reproduced"),
        (5, 2, 1, 0, "inconclusive"),
        (5, 3, 0, 0, "contradicted"),  # 6 are out of reach
        (5, 0, 2, 1, "not run"),
    ],
)
def test_claim_about_most(holds, reversed_, undecided, missing, verdict):
    counts = {"holds": holds, "reversed": reversed_, "undecided": undecided, "not run": missing}
    verdicts = list(itertools.chain(*([word] * count for word, count in counts.items())))
    assert claim_verdict(verdicts, share=0.75) == verdict


def test_share_is_not_spoilt_by_rounding():
    assert claim_verdict(["holds"] * 3 + ["undecided"] * 7, share=0.1 + 0.2) == "reproduced"


PLAN = plan_of("lite")
SPEC = PLAN.grid.spec("cmc", "cifar10")


def spec(name: str) -> TrialSpec:
    """A training of its own for each name."""
    return SPEC.model_copy(update={"learning_rate": 1 + crc32(name.encode())})


def number(name: str) -> Quantity:
    return quantity(Query(spec(name), "conv"))


def beats(others: list[str], or_equal: bool = False) -> Claim:
    """The claim that method "a" is better than each of the others."""
    part = Part(tuple(Statement(f"a > {b}", number("a"), number(b), or_equal) for b in others))
    return Claim("C1", "Table 1", "A is the best.", lambda grid, results: [part])


def decided(tidy, values: dict[str, list[float]], or_equal: bool = False) -> Outcome:
    frame = pd.concat([tidy(accuracies, spec=spec(m).hash) for m, accuracies in values.items()])
    claim = beats([m for m in values if m != "a"], or_equal)
    return decide_claim(claim, PLAN.grid, Results(frame), PLAN.grid)


def test_findings_carry_the_numbers_of_their_comparisons(tidy):
    values = {"a": [80.0, 82.5, 81.0], "b": [79.5, 80.0, 80.0], "c": [81.5, 83.0, 80.8]}
    for finding, b in zip(decided(tidy, values).findings, "bc", strict=True):
        expected = paired_comparison(pd.Series(values["a"]), pd.Series(values[b]))
        assert finding.effect_size == pytest.approx(expected.effect_size)
        assert (finding.effect, finding.low, finding.high) == pytest.approx(
            (expected.effect, expected.low, expected.high)
        )


def test_a_missing_comparison_has_no_effect_size(tidy):
    outcome = decided(tidy, {"a": [80.0, 82.0], "b": [79.0], "c": [70.0, 71.0]})
    assert [finding.verdict for finding in outcome.findings] == ["not run", "holds"]
    assert math.isnan(outcome.findings[0].effect_size)
    assert (outcome.verdict, outcome.made) == ("not run", 1)


@pytest.mark.parametrize(
    ("b", "verdict"),
    [
        ([69.0, 70.0, 71.0], "reproduced"),  # equal in every trial
        ([69.1, 70.0, 70.9], "inconclusive"),  # equal on average
        ([68.9, 69.9, 70.8], "reproduced"),
        ([69.1, 70.1, 71.2], "contradicted"),
    ],
)
def test_at_least_as_good_needs_a_significant_difference_or_equal_trials(tidy, b, verdict):
    assert decided(tidy, {"a": [69.0, 70.0, 71.0], "b": b}, or_equal=True).verdict == verdict


SIMULATED = 300
SLACK = 3 * math.sqrt(0.05 * 0.95 / SIMULATED)
"""Three standard errors of a rate of 5 %."""


@pytest.fixture(name="rates")
def rates_fixture(tidy):
    """Rates of the verdicts on a claim "a beats b0 ... bm", by the true effects and trials.

    Trials share their difficulty, and all comparisons share a; the noise of one training is 1.
    """

    def rates(true_effects: list[float], n: int) -> dict[str, float]:
        rng = np.random.default_rng(0)
        others = [f"b{i}" for i in range(len(true_effects))]
        frame = pd.concat([tidy([0.0] * n, spec=spec(m).hash) for m in ("a", *others)])
        means = 70 - np.array([0.0, *true_effects])[:, None]
        verdicts = []
        for _ in range(SIMULATED):
            values = means + rng.normal(0, 3, n) + rng.normal(0, 1, (len(means), n))
            results = Results(frame.assign(value=values.ravel()))
            outcome = decide_claim(beats(others), PLAN.grid, results, PLAN.grid)
            verdicts.append(outcome.verdict)
        return {v: verdicts.count(v) / SIMULATED for v in VERDICTS}

    return rates


@pytest.mark.parametrize(("n", "margin", "rate"), [(3, 10, 0.95), (5, 3, 0.85), (20, 2, 0.98)])
def test_claim_true_by_a_margin_is_reproduced(rates, n, margin, rate):
    found = rates([margin] * 4, n)
    assert found["reproduced"] > rate
    assert found["contradicted"] == 0


@pytest.mark.parametrize(("n", "margin", "rate"), [(3, 10, 0.9), (5, 3, 0.75), (20, 2, 0.98)])
def test_claim_false_by_a_margin_is_contradicted(rates, n, margin, rate):
    found = rates([margin] * 3 + [-margin], n)
    assert found["contradicted"] > rate
    assert found["reproduced"] == 0


@pytest.mark.parametrize("n", [3, 5, 20])
def test_claim_without_any_effect_is_mostly_left_open(rates, n):
    found = rates([0.0] * 4, n)
    assert found["reproduced"] < 0.01
    assert found["contradicted"] < 0.05 + SLACK
    assert found["inconclusive"] > 0.95 - SLACK - 0.01


@pytest.mark.parametrize(("n", "margin"), [(3, 30), (5, 10), (20, 5)])
def test_one_absent_effect_among_true_ones_keeps_to_the_level(rates, n, margin):
    found = rates([margin] * 3 + [0.0], n)
    assert found["reproduced"] == pytest.approx(0.05, abs=SLACK)
    assert found["contradicted"] < 0.05 + SLACK
