import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metaug.reporting.statistics import (
    Comparison,
    claim_verdict,
    decide,
    holm,
    judge,
    paired_comparison,
    t_interval,
)


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


def naive_holm(p_values: list[float]) -> list[float]:
    """The smallest level at which the step-down procedure rejects, by its definition."""

    def rejected(level: float) -> set[int]:
        out: set[int] = set()
        for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[i] > level / (len(p_values) - step) * (1 + 1e-12):
                break
            out.add(i)
        return out

    levels = sorted({p * k for p in p_values for k in range(1, len(p_values) + 1)} | {1.0})
    return [
        min(1.0, next((level for level in levels if i in rejected(level)), 1.0))
        for i in range(len(p_values))
    ]


def test_holm_is_the_step_down_procedure():
    # the textbook example; R's p.adjust(c(.01, .04, .03, .005), "holm") prints the same
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    rng = np.random.default_rng(0)
    for size in range(1, 8):
        p_values = list(rng.uniform(0, 0.4, size).round(3))
        assert holm(p_values) == pytest.approx(naive_holm(p_values))


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
    ("p_values", "verdict"),
    [
        ([0.001, 0.002, 0.003], "reproduced"),
        ([0.001, 0.002, 0.300], "inconclusive"),
        ([0.001, 0.002, 0.999], "contradicted"),
        ([0.001, 0.300, 0.999], "contradicted"),
    ],
)
def test_claim_needs_all_and_falls_with_one(p_values, verdict):
    assert decide([comparison(p) for p in p_values]).verdict == verdict


def test_claim_with_a_missing_cell_is_not_run():
    decision = decide([comparison(0.001), MISSING, comparison(0.002)])
    assert decision.verdict == "not run"
    assert decision.made == 2
    assert [item.verdict for item in decision.judgements] == ["holds", "not run", "holds"]
    assert decide([]).verdict == "not run"


def test_a_counterexample_needs_no_further_cells():
    assert decide([comparison(0.999), MISSING]).verdict == "contradicted"


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


def simulated_verdicts(true_effects, n, claims=2000, seed=0) -> dict[str, float]:
    """Rates of the verdicts on a claim "A beats B_1 ... B_m", with the true effects given.

    Trials share their difficulty, and all comparisons share A; the noise of one training is 1.
    """
    rng = np.random.default_rng(seed)
    m = len(true_effects)
    trial = rng.normal(70, 3, (claims, 1, n))
    a = trial + rng.normal(0, 1, (claims, 1, n))
    b = trial + rng.normal(0, 1, (claims, m, n)) - np.asarray(true_effects)[:, None]
    greater = stats.ttest_rel(np.broadcast_to(a, b.shape), b, axis=-1, alternative="greater").pvalue
    for i, j in [(0, 0), (1, m - 1), (2, m // 2)]:  # the arrays below stand for paired_comparison
        result = paired_comparison(pd.Series(a[i, 0]), pd.Series(b[i, j]))
        assert result.p_greater == pytest.approx(greater[i, j])
        assert result.p_less == pytest.approx(1 - greater[i, j])

    verdicts = [decide([comparison(p) for p in claim]).verdict for claim in greater]
    return {verdict: verdicts.count(verdict) / claims for verdict in set(verdicts)}


def test_claim_true_by_a_margin_is_reproduced():
    assert simulated_verdicts([3.0] * 8, n=5).get("reproduced", 0) > 0.75
    assert simulated_verdicts([3.0] * 8, n=20).get("reproduced", 0) > 0.99


def test_claim_false_by_a_margin_is_contradicted():
    rates = simulated_verdicts([3.0] * 7 + [-3.0], n=20)
    assert rates.get("contradicted", 0) > 0.99
    assert rates.get("reproduced", 0) == 0
    assert simulated_verdicts([-3.0] * 8, n=5).get("contradicted", 0) > 0.9


@pytest.mark.parametrize("n", [3, 20])
def test_claim_without_any_effect_is_mostly_left_open(n):
    rates = simulated_verdicts([0.0] * 8, n=n)
    assert rates.get("reproduced", 0) < 0.01
    assert rates.get("contradicted", 0) < 0.05 + 0.015  # three standard errors of 2,000 claims
    assert rates["inconclusive"] > 0.93


def test_one_absent_effect_among_true_ones_keeps_to_the_level():
    rates = simulated_verdicts([5.0] * 7 + [0.0], n=20)
    assert rates.get("reproduced", 0) == pytest.approx(0.05, abs=0.015)
    assert rates.get("contradicted", 0) < 0.05 + 0.015
