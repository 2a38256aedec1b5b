"""What a claim compares: statements about numbers, and what the trials say to each.

A statement is "this is greater than that", where both sides are weighted sums of numbers taken
trial by trial, or it is about a range of means. Each gives p-values for itself, for its opposite,
and against the difference that the paper prints (`metaug.reporting.statistics`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaug.reporting.results import Query, Results
from metaug.reporting.statistics import (
    NAN,
    Comparison,
    compare,
    range_above,
    range_greater,
    t_interval,
)


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

    def of_images(self, results: Results, trials: Iterable[int]) -> np.ndarray | None:
        """Its value by test image, mean over trials; None where it is not known, or the terms are
        of different test images."""
        if len({(t.query.spec.dataset, t.query.spec.image_size) for t in self.terms}) > 1:
            return None
        trials = list(trials)
        parts = [results.of_images(term.query, trials) for term in self.terms]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({len(part) for part in known}) > 1:
            return None
        weights = (term.weight for term in self.terms)
        return np.sum([w * part for w, part in zip(weights, known, strict=True)], axis=0)


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

    With a `margin`: "at least as good", which holds where greater - lesser is above -margin.
    """

    text: str
    greater: Quantity
    lesser: Quantity
    margin: float = 0.0

    @property
    def queries(self) -> tuple[Query, ...]:
        return self.greater.queries + self.lesser.queries

    @property
    def published(self) -> float:
        """The difference that the paper prints, greater - lesser; nan where it prints none."""
        return (self.greater - self.lesser).published

    def compare(self, results: Results) -> Comparison:
        """What the trials say."""
        difference = self.greater - self.lesser
        values = difference.values(results)
        comparison = compare(values, self.published, self.margin)
        images = difference.of_images(results, values.sort_index().index[: comparison.n])
        if images is None:
            return comparison
        return replace(comparison, of_images=t_interval(images).half_width)


@dataclass(frozen=True)
class RangeStatement:
    """ "The range of the means over `settings` is greater than `bound`", a number of points or the
    range over other settings. The paper prints none of these ranges."""

    text: str
    settings: tuple[Quantity, ...]
    bound: float | tuple[Quantity, ...]

    @property
    def queries(self) -> tuple[Query, ...]:
        others = self.bound if isinstance(self.bound, tuple) else ()
        return tuple(query for setting in (*self.settings, *others) for query in setting.queries)

    @property
    def published(self) -> float:
        return NAN

    def compare(self, results: Results) -> Comparison:
        """What the trials say."""
        ours = [setting.values(results) for setting in self.settings]
        if isinstance(self.bound, tuple):
            return range_greater(ours, [setting.values(results) for setting in self.bound])
        return range_above(ours, self.bound)


@dataclass(frozen=True)
class Missing:
    """What a claim would compare, and the scale does not have: it stays "not run"."""

    text: str
    queries: tuple[Query, ...] = ()
    published: float = NAN

    def compare(self, results: Results) -> Comparison:
        """Nothing."""
        return Comparison()


AnyStatement = Statement | RangeStatement | Missing


@dataclass(frozen=True)
class Finding:
    """A statement and what the trials say to it."""

    statement: AnyStatement
    comparison: Comparison

    @property
    def text(self) -> str:
        return self.statement.text

    @property
    def queries(self) -> tuple[Query, ...]:
        return self.statement.queries

    @property
    def verdict(self) -> str:
        """holds | reversed | ruled out | undecided | not run."""
        return self.comparison.verdict

    @property
    def p(self) -> float:
        """The p-value behind the verdict; of an open statement that for it."""
        c = self.comparison
        return {"reversed": c.p_reversed, "ruled out": c.p_ruled_out}.get(c.verdict, c.p_holds)
