import itertools
from zlib import crc32

import numpy as np
import pytest
from scipy import stats

from metaug.reporting.claims import (
    Claim,
    Part,
    by_chance,
    decide_claim,
    decide_claims,
    some_hold,
)
from metaug.reporting.looks import LEVEL, LEVELS, OVERLAP
from metaug.reporting.results import Query
from metaug.reporting.statements import Quantity, Statement, quantity
from tests.paper.synthetic import plan_of, results_from

NAN = float("nan")
GRID = plan_of("lite").grid
SPEC = GRID.spec("cmc", "cifar10")


def number(name: str) -> Quantity:
    """A number of a training of its own for each name."""
    spec = SPEC.model_copy(update={"learning_rate": 1 + crc32(name.encode())})
    return quantity(Query(spec, "conv"))


def results_of(values: dict[str, list[float]]):
    return results_from({number(m).queries[0]: v for m, v in values.items()})


def decided(part: Part, values: dict[str, list[float]]):
    claim = Claim("C1", "Table 1", "A is the best.", lambda grid: [part])
    results = results_of(values)
    return decide_claim(claim, GRID, results)


def beats(*others: str) -> Part:
    return Part(tuple(Statement(f"a > {b}", number("a"), number(b)) for b in others))


NOISE = np.array([0.1, -0.2, 0.0, 0.2, -0.1])


@pytest.mark.parametrize(
    ("b", "c", "verdict", "turns_on"),
    [
        (68.0, 69.0, "reproduced", "a > c"),
        (68.0, 71.0, "contradicted", "a > c"),
        (68.0, 70.0, "inconclusive", "a > c"),
        (70.0, 71.0, "contradicted", "a > c"),
        (None, 68.0, "not run", "a > b"),
        (None, 71.0, "contradicted", "a > c"),
    ],
)
def test_all_must_hold_and_one_counterexample_is_enough(b, c, verdict, turns_on):
    values = {"a": list(70 + NOISE), "c": list(c + NOISE[::-1])}
    values |= {"b": list(b + NOISE[::-1])} if b else {}
    outcome = decided(beats("b", "c"), values)
    assert (outcome.verdict, outcome.deciding.text) == (verdict, turns_on)


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ((68.0, 71.0, 71.0), "reproduced"),
        ((71.0, 71.0, 71.0), "contradicted"),
        ((70.0, 71.0, 71.0), "inconclusive"),
    ],
)
def test_one_of_several_must_hold(means, verdict):
    values = {"a": list(70 + NOISE)}
    values |= {b: list(mean + NOISE[::-1]) for b, mean in zip("bcd", means, strict=True)}
    outcome = decided(some_hold(beats("b", "c", "d").statements), values)
    assert outcome.verdict == verdict


LEVEL_WITH_A = {"a": list(70 + NOISE)} | {
    name: list(mean + NOISE[::-1]) for name, mean in (("b", 70), ("c", 70.15), ("d", 70.05))
}
"""Three that are not significantly below a or above it; c is the best of them."""


def test_a_claim_turns_on_the_weakest_comparison_even_where_many_p_values_are_1():
    all_of_them = beats("b", "c", "d")
    found = decided(all_of_them, LEVEL_WITH_A)
    assert {finding.comparison.p_holds for finding in found.findings} == {1.0}
    assert (found.verdict, found.deciding.text) == ("inconclusive", "a > c")
    assert decided(some_hold(all_of_them.statements), LEVEL_WITH_A).deciding.text == "a > b"


def test_a_claim_of_several_parts_turns_on_the_weakest_part():
    claim = Claim("C1", "Table 1", "A.", lambda grid: [beats(name) for name in "bcd"])
    results = results_of(LEVEL_WITH_A)
    assert decide_claim(claim, GRID, results).deciding.text == "a > c"


def printed(part: Part, difference: float) -> Part:
    """The same, where the paper prints a difference in each."""

    def valued(q: Quantity, value: float) -> Quantity:
        return Quantity(tuple(term._replace(published=value) for term in q.terms))

    return Part(
        tuple(
            Statement(s.text, valued(s.greater, difference), valued(s.lesser, 0.0))
            for s in part.statements
        ),
        part.share,
    )


@pytest.mark.parametrize(
    ("c", "difference", "verdict"),
    [
        (70.0, 2.0, "ruled out"),
        (70.0, 0.2, "inconclusive"),
        (68.0, 2.0, "reproduced"),
        (71.0, 2.0, "contradicted"),
    ],
)
def test_a_claim_without_an_effect_of_the_printed_size_is_ruled_out(c, difference, verdict):
    values = {"a": list(70 + NOISE), "b": list(68 + NOISE[::-1]), "c": list(c + NOISE[::-1])}
    assert decided(printed(beats("b", "c"), difference), values).verdict == verdict


def test_what_is_ruled_out_turns_on_the_mean_of_all_comparisons():
    """The mean may even be greater than zero; its p is that of the test against the printed one."""
    values = {"a": list(70 + NOISE), "b": list(68 + NOISE[::-1]), "c": list(70 + NOISE[::-1])}
    outcome = decided(printed(beats("b", "c"), 4.0), values)
    mean = outcome.deciding
    assert (outcome.verdict, mean.text) == ("ruled out", "mean of all 2 comparisons")
    assert (mean.comparison.effect, mean.statement.published) == (pytest.approx(1.0), 4.0)
    assert mean.verdict == "holds"
    assert outcome.p == mean.comparison.p_ruled_out < LEVEL
    alone = decided(printed(beats("c"), 4.0), values)
    assert (alone.verdict, alone.deciding.text) == ("ruled out", "a > c")


def test_a_share_that_is_reached_needs_no_more():
    """Three of four: the fourth may be anything, even missing."""
    values = {"a": list(70 + NOISE)} | {m: list(68 + NOISE[::-1]) for m in "bcd"}
    part = Part(beats("b", "c", "d", "e").statements, share=0.75)
    assert decided(part, values).verdict == "reproduced"
    assert Part(beats(*"bcdefghijk").statements, share=0.1 + 0.2).needed == 3


def test_parts_are_decided_together():
    values = {"a": list(70 + NOISE), "b": list(68 + NOISE[::-1]), "c": list(70 + NOISE[::-1])}
    verdicts = {}
    for names in itertools.product("bc", repeat=2):
        claim = Claim("C1", "Table 1", "A.", lambda grid, names=names: [beats(n) for n in names])
        results = results_of(values)
        verdicts["".join(names)] = decide_claim(claim, GRID, results).verdict
    assert verdicts == {
        "bb": "reproduced",
        "bc": "inconclusive",
        "cb": "inconclusive",
        "cc": "inconclusive",
    }


def test_chance_is_counted_over_what_could_be_decided():
    values = {"a": list(70 + NOISE), "b": list(68 + NOISE[::-1])}
    outcomes = [decided(beats("b"), values), decided(beats("z"), values)]
    assert by_chance(outcomes) == pytest.approx(LEVEL)


def at_p(p: float, noise: np.ndarray) -> np.ndarray:
    """Five differences whose p-value of "is less than zero", scaled, is p."""
    return noise - stats.t.isf(p * LEVELS[5] / LEVEL, 4) * stats.sem(noise)


def of_parts(*parts: Part) -> Claim:
    return Claim("C1", "Table 1", "A.", lambda grid: list(parts))


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.024 / OVERLAP, "contradicted"), (0.026 / OVERLAP, "inconclusive")]
)
def test_a_contradiction_is_corrected_for_the_number_of_parts(p, verdict):
    results = results_of({"a": list(50 + at_p(p, NOISE)), "b": [50.0] * 5, "c": [40.0] * 5})
    assert decide_claim(of_parts(beats("b")), GRID, results).verdict == "contradicted"
    assert decide_claim(of_parts(beats("b"), beats("c")), GRID, results).verdict == verdict


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.024 / OVERLAP, "ruled out"), (0.026 / OVERLAP, "inconclusive")]
)
def test_what_is_ruled_out_is_corrected_for_the_number_of_parts(p, verdict):
    noise = 10 * NOISE
    printed_gain = float((noise - at_p(p, noise)).mean())
    results = results_of({"a": list(50 + noise), "b": [50.0] * 5, "c": [40.0] * 5})
    part = printed(beats("b"), printed_gain)
    assert decide_claim(of_parts(part), GRID, results).verdict == "ruled out"
    assert decide_claim(of_parts(part, beats("c")), GRID, results).verdict == verdict


def test_p_over_all_claims_is_holms_corrected_for_the_looks():
    ps = {"c": 0.001, "d": 0.004, "e": 0.03}
    values = {name: list(50 + at_p(p, NOISE)) for name, p in ps.items()}
    results = results_of(values | {"a": [50.0] * 5})
    claims = [
        Claim(f"C{name}", "Table 1", "A.", lambda grid, name=name: [beats(name)]) for name in ps
    ]
    found = decide_claims(claims, GRID, results, GRID)
    assert {outcome.verdict for outcome in found} == {"reproduced"}
    expected = [3 * OVERLAP * 0.001, 2 * OVERLAP * 0.004, OVERLAP * 0.03]
    assert [outcome.p_holm for outcome in found] == pytest.approx(expected, rel=1e-6)
