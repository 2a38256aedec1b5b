import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metaug.reporting.looks import LEVEL, LEVELS, LOOKS, OVERLAP, TAIL, looks_of
from metaug.reporting.statistics import (
    at_least,
    compare,
    p_above,
    range_above,
    range_greater,
    t_interval,
)
from tests.paper.synthetic import plan_of

NAN = float("nan")
GRID = plan_of("lite").grid
SPEC = GRID.spec("cmc", "cifar10")


def differences(mean: float, n: int = 5, spread: float = 1.0) -> pd.Series:
    """Differences by trial with this mean and standard deviation."""
    values = np.random.default_rng(n).normal(size=n)
    return pd.Series(mean + spread * (values - values.mean()) / values.std(ddof=1))


def test_the_interval_is_that_of_student():
    values = [80.0, 81.5, 79.0, 80.2]
    interval = t_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (interval.mean - interval.half_width, interval.mean + interval.half_width) == (
        pytest.approx((low, high))
    )
    assert t_interval([80.0]) == pytest.approx((80.0, NAN, 1), nan_ok=True)
    assert t_interval([]) == pytest.approx((NAN, NAN, 0), nan_ok=True)


def test_a_comparison_is_the_one_sided_paired_t_test():
    d = differences(0.9, 10)
    found = compare(d, published=2.0)
    first = compare(d[:5], published=2.0)
    holds = stats.ttest_1samp(d, 0, alternative="greater").pvalue
    reverse = stats.ttest_1samp(d, 0, alternative="less").pvalue
    below = stats.ttest_1samp(d, 2.0, alternative="less").pvalue
    factor = LEVEL / LEVELS[10]
    assert found.p_holds == pytest.approx(min(1, holds * factor, first.p_holds))
    assert found.p_reversed == pytest.approx(min(1, reverse * factor, first.p_reversed))
    assert found.p_ruled_out == pytest.approx(min(1, below * factor, first.p_ruled_out))
    assert (found.effect, found.n) == (pytest.approx(0.9), 10)
    assert found.effect_size == pytest.approx(0.9)
    low, high = stats.t.interval(1 - 2 * TAIL, 9, d.mean(), stats.sem(d))
    assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("n", LOOKS)
def test_the_interval_leaves_out_zero_where_the_test_at_this_look_decides(n):
    """At the edge, with differences just large enough and just too small to hold. With five trials,
    where the interval is exactly the test's, it leaves out zero only then."""
    noise = np.resize([1.0, -1.0], n)
    noise -= noise.mean()
    edge = float(stats.t.isf(LEVELS[n], n - 1) * stats.sem(noise))
    for factor, decided in ((1.001, True), (0.999, False)):
        d = pd.Series(factor * edge + noise)
        above, below = compare(d), compare(-d)
        for look in LOOKS[: LOOKS.index(n)]:
            assert compare(d[:look]).verdict == "undecided"  # so that only this look decides
        assert (above.verdict == "holds", below.verdict == "reversed") == (decided, decided)
        left_out = decided or n > LOOKS[0]
        assert (above.low > 0, below.high < 0) == (left_out, left_out)


@pytest.mark.parametrize(
    ("mean", "spread", "published", "verdict"),
    [
        (3.0, 1.0, NAN, "holds"),
        (-3.0, 1.0, NAN, "reversed"),
        (-3.0, 1.0, 2.0, "reversed"),  # rather than ruled out
        (0.1, 0.5, 2.0, "ruled out"),
        (0.1, 0.5, 0.3, "undecided"),
        (0.1, 0.5, NAN, "undecided"),
    ],
)
def test_the_verdict_of_a_comparison(mean, spread, published, verdict):
    assert compare(differences(mean, spread=spread), published).verdict == verdict


@pytest.mark.parametrize("n", range(5))
def test_fewer_than_five_trials_decide_nothing(n):
    found = compare(pd.Series([10.0] * n, dtype=float), published=20.0)
    assert (found.verdict, found.n) == ("not run", 0)
    assert math.isnan(found.effect)


def test_trials_after_a_look_wait_for_the_next():
    d = differences(1.0, 12)
    assert compare(d) == compare(d[:10])
    assert compare(d[:9]) == compare(d[:5])
    assert compare(d[::-1]) == compare(d)
    reached = [looks_of(n) for n in (0, 4, 5, 9, 10, 19, 20, 50)]
    assert list(map(len, reached)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_was_decided_at_a_look_stays_decided():
    d = pd.concat([differences(3.0, 5), pd.Series([-20.0, 15.0, -18.0, 12.0, -15.0])])
    d = d.reset_index(drop=True)
    assert compare(d[:5]).verdict == compare(d).verdict == "holds"
    assert compare(d).p_holds == compare(d[:5]).p_holds
    assert compare(d).n == 10


def test_at_least_as_good_allows_for_a_margin():
    equal = pd.Series([0.0] * 5)
    assert compare(equal).verdict == "undecided"
    assert compare(equal, margin=0.2).verdict == "holds"
    assert compare(differences(-0.1, spread=0.05), margin=0.2).verdict == "holds"
    assert compare(differences(-0.4, spread=0.05), margin=0.2).verdict == "reversed"
    assert compare(differences(-0.1, spread=1.0), margin=0.2).verdict == "undecided"


def test_equal_differences_are_the_limit_of_the_t_test():
    above, below = compare(pd.Series([0.5] * 5)), compare(pd.Series([-0.5] * 5))
    assert (above.verdict, above.p_holds, above.effect_size) == ("holds", 0.0, math.inf)
    assert (below.verdict, below.p_reversed, below.effect_size) == ("reversed", 0.0, -math.inf)
    assert (above.low, above.high) == (0.5, 0.5)
    nearly = compare(pd.Series([0.5, 0.5 + 1e-14, 0.5, 0.5, 0.5]))
    assert nearly.p_holds == 0.0


def test_equivalence_needs_both_sides():
    assert compare(differences(0.1, spread=0.2)).equivalent
    assert not compare(differences(0.4, spread=0.2)).equivalent
    assert not compare(differences(0.0, spread=2.0)).equivalent


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (pd.Series([1.0, 2.0], index=[0, 0]), "a trial occurs twice"),
        (pd.Series([1.0] * 4 + [NAN]), "not a finite number"),
    ],
)
def test_impossible_differences_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        compare(series)


def test_p_values_of_many_samples_are_those_of_each():
    samples = np.random.default_rng(0).normal(size=(4, 6))
    samples[1] = 2.0
    found = p_above(samples, 0.5)
    for i in (0, 2, 3):
        expected = stats.ttest_1samp(samples[i], 0.5, alternative="greater").pvalue
        assert found[i] == pytest.approx(expected)
    assert found[1] == 0.0


def test_at_least_is_intersection_union_for_all_and_bonferroni_for_one():
    p = [0.01, 0.2, 0.03]
    assert at_least(p, 3) == 0.2
    assert at_least(p, 1) == pytest.approx(0.03 * OVERLAP)
    assert at_least(p, 2) == pytest.approx(0.06 * OVERLAP)
    assert at_least([0.01, NAN], 2) == 1.0


def test_one_of_several_keeps_the_level_under_any_dependence():
    common = np.random.default_rng(0).normal(size=(4_000, 1, max(LOOKS)))
    for share in (0.0, 0.7):
        values = share * common + np.random.default_rng(1).normal(size=(4_000, 4, max(LOOKS)))
        p = np.min(
            [p_above(values[..., :look], 0.0) * LEVEL / LEVELS[look] for look in LOOKS], axis=0
        )
        rate = np.mean([at_least(list(row), 1) <= LEVEL for row in p])
        assert rate <= LEVEL + 0.01


def settings(*means: float, n: int = 5, spread: float = 0.1) -> list[pd.Series]:
    rng = np.random.default_rng(7)
    return [pd.Series(mean + spread * rng.normal(size=n)) for mean in means]


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ((60.0, 63.0, 61.0), "holds"),
        ((60.0, 60.2, 60.1), "reversed"),
        ((60.0, 61.0, 60.5), "undecided"),
    ],
)
def test_a_range_is_compared_with_a_bound(means, verdict):
    found = range_above(settings(*means), 1.0)
    assert found.verdict == verdict
    assert found.effect == pytest.approx(max(means) - min(means) - 1.0, abs=0.2)


def test_a_range_is_compared_with_a_range():
    wide, narrow = settings(60.0, 64.0, 61.0), settings(60.0, 60.5)
    assert range_greater(wide, narrow).verdict == "holds"
    assert range_greater(narrow, wide).verdict == "reversed"
    assert range_greater(wide, settings(50.0, 54.0)).verdict == "undecided"
    assert range_greater(wide, [s[:4] for s in narrow]).verdict == "not run"


def test_the_interval_of_a_range_allows_for_having_picked_the_widest_pair():
    """All means are equal; the plain interval of the widest pair would hold that in 7 of 10."""
    rng = np.random.default_rng(0)
    held = np.zeros(2)
    for _ in range(200):
        eight, two = ([pd.Series(rng.normal(size=5)) for _ in range(n)] for n in (8, 2))
        found = range_above(eight, 1.0), range_greater(eight, two)
        held += [c.low <= truth <= c.high for c, truth in zip(found, (-1.0, 0.0), strict=True)]
    assert (held / 200 >= 0.95).all()


def test_the_interval_of_a_range_leaves_out_zero_where_a_verdict_is_given():
    rng = np.random.default_rng(3)
    verdicts = set()
    for _ in range(200):
        larger, smaller = (
            [pd.Series(rng.normal(scale=s) + rng.normal(size=5)) for _ in range(3)] for s in (6, 3)
        )
        for found in (range_greater(larger, smaller), range_above(larger, 3.0)):
            assert (found.low > 0, found.high < 0) == (
                found.verdict == "holds",
                found.verdict == "reversed",
            )
            verdicts.add(found.verdict)
    assert verdicts == {"holds", "reversed", "undecided"}


def test_the_interval_of_a_range_agrees_with_its_verdict():
    five = settings(60.0, 64.0, 61.0, 60.0, 60.5)
    wide, narrow = five[:3], five[3:]
    for found in (range_greater(wide, narrow), range_above(wide, 1.0)):
        assert 0 < found.low < found.effect < found.high
    for found in (range_greater(narrow, wide), range_above(narrow, 1.0)):
        assert found.low < found.effect < found.high < 0


def test_noise_alone_does_not_make_a_range():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        eight = [pd.Series(rng.normal(size=5)) for _ in range(4)]
        two = [pd.Series(rng.normal(size=5)) for _ in range(2)]
        wrong += range_greater(eight, two).verdict == "holds"
    assert wrong / 400 <= LEVEL


def test_a_range_waits_for_the_next_look():
    wide, narrow = settings(60.0, 64.0, 61.0, n=9), settings(60.0, 60.5, n=9)
    first_wide, first_narrow = ([v[:5] for v in values] for values in (wide, narrow))
    assert range_above(wide, 1.0) == range_above(first_wide, 1.0)
    assert range_greater(wide, narrow) == range_greater(first_wide, first_narrow)


def test_what_was_decided_of_a_range_stays_decided():
    early, noise = settings(60.0, 63.0), settings(60.0, 60.0, spread=30.0)
    ten = [pd.concat([a, b], ignore_index=True) for a, b in zip(early, noise, strict=True)]
    five, later = range_above(early, 1.0), range_above(ten, 1.0)
    assert (later.n, five.verdict, later.verdict) == (10, "holds", "holds")
    assert later.p_holds == five.p_holds
