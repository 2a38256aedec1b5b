"""Intervals, paired comparisons and the verdict on a claim. Every test is scipy's; Holm's
correction of their p-values, which scipy does not have, is ours.

The rules are those of the project's list of claims: Student-t intervals over trials, differences
paired by trial, one-sided paired t-tests, Holm's correction inside one claim.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

NAN = float("nan")

FEWEST_TRIALS = 3
"""A table or figure shows the values themselves where there are fewer trials than this. The
t-interval of two is about nine times as wide as the two are apart, which says nothing."""


class Interval(NamedTuple):
    """Mean over trials and the half-width of its confidence interval, in the unit of the values.

    `half_width` is nan for one trial; `mean` too for none.
    """

    mean: float
    half_width: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """The claim "a is greater than b", measured on `n` trials that a and b have in common.

    `effect` is the mean of a − b, `low` and `high` its 95 % t-interval, `effect_size` Cohen's d_z
    (mean over standard deviation of the differences). `p_greater` and `p_less` are the p-values of
    the one-sided paired t-tests for a > b and for a < b; with fewer than two trials they are nan.
    """

    effect: float
    low: float
    high: float
    p_greater: float
    p_less: float
    n: int
    effect_size: float


@dataclass(frozen=True)
class Judgement:
    """A comparison, its p-values after Holm inside the claim, and what follows.

    `verdict`: holds | reversed | undecided | not run (fewer than two common trials).
    """

    comparison: Comparison
    p_holds: float
    p_reversed: float
    verdict: str


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
    half_width = stats.t.ppf((1 + level) / 2, n - 1) * stats.sem(sample)
    return Interval(float(sample.mean()), float(half_width), n)


def paired_comparison(a: pd.Series, b: pd.Series) -> Comparison:
    """Compare a with b on the trials (the index) that both have.

    Where all differences are equal there is no t statistic; its limit is taken. The interval is
    the difference itself, and (p_greater, p_less, effect_size) is (0, 1, ∞) for a positive,
    (1, 0, −∞) for a negative and (0.5, 0.5, 0) for no difference. Equal means: to within 1e-12 of
    the largest value, for two means of the same accuracies can differ in their last bits.

    Raises:
        ValueError: a trial occurs twice in `a` or in `b`.
    """
    if a.index.has_duplicates or b.index.has_duplicates:
        raise ValueError("paired_comparison: a trial occurs twice")
    a, b = a.align(b, join="inner")
    difference = (a - b).to_numpy(dtype=np.float64)
    mean, half_width, n = t_interval(difference)
    if n < 2:
        return Comparison(mean, NAN, NAN, NAN, NAN, n, NAN)

    resolution = 1e-12 * max(a.abs().max(), b.abs().max())
    if np.ptp(difference) <= resolution:
        sign = 0.0 if abs(mean) <= resolution else math.copysign(1.0, mean)
        effect = mean if sign else 0.0
        effect_size = sign * math.inf if sign else 0.0
        return Comparison(effect, effect, effect, (1 - sign) / 2, (1 + sign) / 2, n, effect_size)

    return Comparison(
        effect=mean,
        low=mean - half_width,
        high=mean + half_width,
        p_greater=float(stats.ttest_rel(a, b, alternative="greater").pvalue),
        p_less=float(stats.ttest_rel(a, b, alternative="less").pvalue),
        n=n,
        effect_size=float(mean / difference.std(ddof=1)),
    )


def holm(p_values: Iterable[float]) -> np.ndarray:
    """Adjusted p-values of Holm's step-down procedure (1979), in the order given.

    Rejecting where they are below α keeps the chance of any false rejection below α, whatever the
    dependence between the tests. nan (a test that was not made) stays nan and does not count.
    It is ours because no library that we depend on has it: scipy.stats corrects for false
    discoveries alone. The tests check it against the closed test that it is a short cut for.
    """
    p = np.asarray(list(p_values), dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # argsort puts nan last
    steps = np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1))
    adjusted = np.full_like(p, NAN)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def judge(comparisons: Sequence[Comparison], level: float = 0.05) -> tuple[Judgement, ...]:
    """Judge each comparison of one claim, with Holm's correction over those that could be made.

    The two directions are two families, each corrected and tested at `level`. So, whatever the
    number of comparisons and their dependence, the chance that any that is not truly greater
    "holds" is at most `level`, and so is the chance that any that is not truly less is "reversed".
    (Put into one family, the p-values against a claim would weaken the test of the claim itself.)
    No comparison can be both, since p_greater + p_less = 1 and the correction only raises them.
    """
    p_holds = holm(comparison.p_greater for comparison in comparisons)
    p_reversed = holm(comparison.p_less for comparison in comparisons)
    judgements = []
    for comparison, holds, reverse in zip(comparisons, p_holds, p_reversed, strict=True):
        if np.isnan(holds):
            verdict = "not run"
        elif holds < level:
            verdict = "holds"
        elif reverse < level:
            verdict = "reversed"
        else:
            verdict = "undecided"
        judgements.append(Judgement(comparison, float(holds), float(reverse), verdict))
    return tuple(judgements)


def claim_verdict(verdicts: Sequence[str], share: float = 1.0) -> str:
    """The verdict on a claim that says: at least this share of these comparisons hold.

    - reproduced: the share is reached;
    - contradicted: so many are reversed that it cannot be reached (for share 1: any);
    - not run: neither, and a comparison is missing;
    - inconclusive: neither, and none is missing.

    A missing cell is thus needed only while the verdict depends on it: one counterexample refutes
    "everywhere" before everything has been run (choice; the list of claims leaves the order open).
    """
    if not verdicts:
        return "not run"
    needed = max(1, math.ceil(share * len(verdicts) - 1e-9))  # 1e-9: 3/10 of 10 is 3, not 4
    if verdicts.count("holds") >= needed:
        return "reproduced"
    if verdicts.count("reversed") > len(verdicts) - needed:
        return "contradicted"
    if "not run" in verdicts:
        return "not run"
    return "inconclusive"
