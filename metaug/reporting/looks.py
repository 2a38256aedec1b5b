"""When trials are looked at, and how strict each look is.

Trials may be added and the claims decided again at 5, 10 and 20 trials. Without a correction, a
verdict that is wrong with a chance of 5 % at each look would be wrong more often at one of them. So
the level is spent over the looks (Lan and DeMets 1983) by 0.05 · ∛(n / 20), of the power family of
Kim and DeMets (1987) with ρ = 1/3: 63 % of it at the first look, because most users stop there.
`python -m benchmarks.looks` prints the power of this and of other spending functions.
"""

LOOKS = (5, 10, 20)
"""Trials at which a comparison is decided. Those between two looks wait for the next; what holds or
is reversed at one stays so."""

LEVEL = 0.05
"""Chance of a wrong verdict in either direction, over all looks together. Each of the two one-sided
tests has half of it."""

LEVELS = {5: 0.0157, 10: 0.0061, 20: 0.0069}
"""Nominal level of the one-sided t-test at each look, by simulation of nested t statistics: with so
few degrees of freedom the normal ones of the tables do not serve. Each is rounded down, so that all
three together stay below half of `LEVEL`. The benchmark repeats the simulation, and says how far
below."""

OVERLAP = sum(LEVELS.values()) / (LEVEL / 2)
"""How much more often a one-sided test would be wrong if looks did not overlap. Tests that are
corrected for their number are so strict that looks overlap less: this corrects them too."""

TAIL = LEVELS[LOOKS[0]]
"""Chance that the true difference lies beyond one end of the interval of a comparison, at a number
of trials that was chosen beforehand. With the level of the first look at every look, the interval
leaves out zero wherever "greater" holds or is reversed, and holds the true difference in 96.9 %;
where trials stop at a decision, in 93 to 97 % (`python -m benchmarks.verdicts`)."""


def looks_of(trials: int) -> tuple[int, ...]:
    """The looks that so many trials have reached."""
    return tuple(look for look in LOOKS if look <= trials)


def scaled(p: float, look: int) -> float:
    """A p-value on the scale on which `LEVEL` is the limit at every look."""
    return min(1.0, p * LEVEL / LEVELS[look])


def corrected(p: float, count: int) -> float:
    """A p-value that was picked out of so many, over all looks."""
    return p if count == 1 else min(1.0, p * count * OVERLAP)


def tail_of(count: int = 1) -> float:
    """`TAIL`, corrected as p-values are where the end was picked out of so many."""
    return TAIL if count == 1 else TAIL / (count * OVERLAP)
