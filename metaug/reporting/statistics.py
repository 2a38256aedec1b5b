"""Intervals, paired comparisons, and what several of them say together. Every test is scipy's.

The rules are those of the project's list of claims (docs/verdicts.md): Student-t intervals over
trials, differences paired by trial, one-sided t-tests with the level spent over the looks.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy

from metaug.reporting.looks import LEVEL, corrected, looks_of, scaled, tail_of

NAN = float("nan")

FEWEST_TRIALS = 3
"""A table or figure shows the values themselves where there are fewer trials than this. The
t-interval of two is about nine times as wide as the two are apart, which says nothing."""

EQUIVALENCE = 0.5
"""Points: two means that differ by less are called equivalent (choice)."""


class Interval(NamedTuple):
    """Mean over trials and the half-width of its confidence interval, in the unit of the values.

    `half_width` is nan for one trial; `mean` too for none.
    """

    mean: float
    half_width: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """The statement "a is greater than b", judged on paired trials.

    Attributes:
        effect: mean of a - b over the trials that count; nan where there are too few.
        low, high: its t-interval of 96.9 % (`looks.TAIL`). Zero lies outside where the test at this
            look holds or is reversed; with five trials, only there. The interval of a range holds
            the true value more often (see `range_above`).
        n: trials that count: those up to the last look that was reached (0: none was).
        effect_size: Cohen's d_z, mean over standard deviation of the differences.
        p_holds: of the test for the statement, scaled so that 0.05 is the limit at every look; the
            smallest of the looks that were reached, because what was decided stays decided.
        p_reversed: of the test for its opposite, scaled likewise.
        p_ruled_out: of the test that the difference is less than the printed one; nan where none
            is printed.
        of_images: half-width of the 95 % interval of the difference over test images, the
            trainings being as they are: how far it would move with other images of the same kind.
            nan where records do not tell. It is not in `low` and `high`, nor in the tests: these
            are about trainings.
        equivalent: whether the difference is shown to be within ± `EQUIVALENCE`.
    """

    effect: float = NAN
    low: float = NAN
    high: float = NAN
    n: int = 0
    effect_size: float = NAN
    p_holds: float = NAN
    p_reversed: float = NAN
    p_ruled_out: float = NAN
    equivalent: bool = False
    of_images: float = NAN

    @property
    def verdict(self) -> str:
        """holds | reversed | ruled out | undecided | not run."""
        if not self.n:
            return "not run"
        if self.p_holds <= LEVEL:
            return "holds"
        if self.p_reversed <= LEVEL:
            return "reversed"
        return "ruled out" if self.p_ruled_out <= LEVEL else "undecided"


def t_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Student-t interval of the mean of independent trials: t_{(1+level)/2, n−1} · s / √n.

    For one value the half-width is nan, for none the mean too.
    """
    sample = np.asarray(list(values), dtype=np.float64)
    n = sample.size
    if n == 0:
        return Interval(NAN, NAN, 0)
    if n == 1:
        return Interval(float(sample[0]), NAN, 1)
    half_width = scipy.stats.t.ppf((1 + level) / 2, n - 1) * scipy.stats.sem(sample)
    return Interval(float(sample.mean()), float(half_width), n)


def compare(differences: pd.Series, published: float = NAN, margin: float = 0.0) -> Comparison:
    """Judge "a is greater than b" on the differences a - b by trial.

    Args:
        differences: one for each trial that both have, by trial. Those up to the last look count.
        published: the difference that the paper prints, in the same unit.
        margin: >= 0; "a is at least as good as b" holds where a - b is greater than -margin.

    Raises:
        ValueError: a trial occurs twice, or a difference is not finite.
    """
    if differences.index.has_duplicates:
        raise ValueError("compare: a trial occurs twice")
    if not np.isfinite(differences).all():
        raise ValueError("compare: a difference is not a finite number")
    values = differences.sort_index().to_numpy(dtype=np.float64)
    looks = looks_of(len(values))
    if not looks:
        return Comparison()
    sample = values[: looks[-1]]
    interval = t_interval(sample, 1 - 2 * tail_of())
    mean, half_width = interval.mean, 0.0 if _equal(sample) else interval.half_width

    def p(sign: int, bound: float) -> float:
        """The smallest p-value over the looks that sign * difference is above the bound."""
        return min(scaled(float(p_above(sign * values[:look], bound)), look) for look in looks)

    return Comparison(
        effect=mean,
        low=mean - half_width,
        high=mean + half_width,
        n=looks[-1],
        effect_size=_effect_size(sample),
        p_holds=p(1, -margin),
        p_reversed=p(-1, margin),
        p_ruled_out=NAN if math.isnan(published) else p(-1, -published),
        equivalent=max(p(1, -EQUIVALENCE), p(-1, -EQUIVALENCE)) <= LEVEL,
    )


def _effect_size(differences: np.ndarray) -> float:
    """Cohen's d_z; its limit where all differences are equal."""
    mean = float(differences.mean())
    if not _equal(differences):
        return mean / float(differences.std(ddof=1))
    return math.copysign(math.inf, mean) if abs(mean) > RESOLUTION else 0.0


def p_above(samples: np.ndarray, bound: float) -> np.ndarray:
    """p-values of one-sided t-tests that the means along the last axis are above a bound.

    Where all values are equal there is no t statistic; its limit is taken: 0 above the bound, 1
    below it, 0.5 on it.
    """
    shifted = samples - bound
    equal, mean = _equal(samples), shifted.mean(-1)
    testable = np.where(equal[..., None], np.arange(samples.shape[-1]), shifted)
    p = scipy.stats.ttest_1samp(testable, 0.0, axis=-1, alternative="greater").pvalue
    limit = np.select([mean > RESOLUTION, mean < -RESOLUTION], [0.0, 1.0], 0.5)
    return np.where(equal, limit, p)


RESOLUTION = 1e-9
"""Differences of accuracies below this are those of their last bits."""


def _equal(samples: np.ndarray) -> np.ndarray:
    """Whether the values along the last axis are all equal."""
    return np.asarray(np.ptp(samples, axis=-1) <= RESOLUTION)


def at_least(p_values: Sequence[float], count: int, families: int = 1) -> float:
    """p-value of "at least `count` of these hold": a partial conjunction (Benjamini and Heller
    2008), valid whatever the dependence.

    All must hold: the largest p, without a correction (an intersection-union test). One must hold:
    the smallest times their number (Bonferroni). nan, a test that was not made, counts as 1.
    `families`: so many such sets were looked at.
    """
    ordered = sorted(map(or_one, p_values))
    return corrected(ordered[count - 1], families * (len(ordered) - count + 1))


def or_one(p: float) -> float:
    """A p-value; 1 for nan, a test that was not made."""
    return 1.0 if math.isnan(p) else p


def range_above(settings: Sequence[pd.Series], bound: float) -> Comparison:
    """Judge "the range of the means over these settings is more than `bound`".

    It is so if a setting is above another by more than `bound`, tested on every ordered pair
    (Bonferroni); it is not if every pair is shown to differ by less (intersection-union). So it
    needs no allowance for having picked the best and the worst after looking, and neither do the
    ends of the interval, which are made in the same way.
    """
    values = _together(settings)

    def judged(look: int) -> _Range:
        pairs = ordered_pairs(values[:, :look])
        return _Range(
            above=at_least(list(p_above(pairs, bound)), 1),
            below=at_least(list(p_above(-pairs, -bound)), len(pairs)),
            low=float(_limit(pairs, -1, len(pairs)).max()) - bound,
            high=float(_limit(pairs, 1).max()) - bound,
            widest=pairs[int(np.argmax(pairs.mean(-1)))] - bound,
        )

    return _ranged(judged, looks_of(values.shape[1]))


def range_greater(larger: Sequence[pd.Series], smaller: Sequence[pd.Series]) -> Comparison:
    """Judge "the range of the means over `larger` is greater than that over `smaller`".

    It is so if one difference within the first is greater than every difference within the second:
    an intersection-union test for each ordered pair of the first, and Bonferroni over these. The
    interval is made in the same way.
    """
    values = _together([*larger, *smaller])

    def judged(look: int) -> _Range:
        ours = ordered_pairs(values[: len(larger), :look])
        theirs = ordered_pairs(values[len(larger) :, :look])
        gaps = ours[:, None] - theirs[None]
        return _Range(
            above=at_least(list(p_above(gaps, 0.0).max(1)), 1),
            below=at_least(list(p_above(-gaps, 0.0).max(0)), 1),
            low=float(_limit(gaps, -1, len(ours)).min(1).max()),
            high=float(_limit(gaps, 1, len(theirs)).max(0).min()),
            widest=ours[int(np.argmax(ours.mean(-1)))] - theirs[int(np.argmax(theirs.mean(-1)))],
        )

    return _ranged(judged, looks_of(values.shape[1]))


class _Range(NamedTuple):
    """What the trials up to a look say about a range: p-values for "greater" and for "less", the
    ends of the interval, and the differences of the widest pair."""

    above: float
    below: float
    low: float
    high: float
    widest: np.ndarray


def _limit(samples: np.ndarray, sign: int, count: int = 1) -> np.ndarray:
    """One end of the t-intervals of the means along the last axis, the upper for sign 1, picked out
    of so many."""
    n = samples.shape[-1]
    factor = scipy.stats.t.ppf(1 - tail_of(count), n - 1)
    return np.asarray(samples.mean(-1) + sign * factor * scipy.stats.sem(samples, axis=-1))


def _ranged(judged: Callable[[int], _Range], looks: Sequence[int]) -> Comparison:
    """The comparison of a range: effect and interval at the last look, the smallest p-values."""
    if not looks:
        return Comparison()
    found = {look: judged(look) for look in looks}
    last = found[looks[-1]]
    return Comparison(
        effect=float(last.widest.mean()),
        low=last.low,
        high=last.high,
        n=looks[-1],
        effect_size=_effect_size(last.widest),
        p_holds=min(scaled(one.above, look) for look, one in found.items()),
        p_reversed=min(scaled(one.below, look) for look, one in found.items()),
    )


def _together(settings: Sequence[pd.Series]) -> np.ndarray:
    """Values by setting and trial, of the trials that all settings have."""
    frame = pd.concat([s.rename(i) for i, s in enumerate(settings)], axis=1).dropna().sort_index()
    return frame.to_numpy(dtype=np.float64).T


def ordered_pairs(values: np.ndarray) -> np.ndarray:
    """Differences of every ordered pair, (pairs, ..., trials), of (settings, ..., trials)."""
    count = len(values)
    return np.array([values[i] - values[j] for i in range(count) for j in range(count) if i != j])
