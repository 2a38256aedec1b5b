"""Ways to spend the level over the looks: `python -m benchmarks.looks`.

The table is in docs/verdicts.md; the level that the looks have together is printed below it.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy import stats

from benchmarks.verdicts import markdown
from metaug.reporting.looks import LEVEL, LEVELS, LOOKS
from metaug.reporting.statistics import p_above

SPENDING: dict[str, Callable[[float], float]] = {
    "0.05 t": lambda t: LEVEL * t,
    "Pocock, 0.05 ln(1 + (e - 1) t)": lambda t: LEVEL * float(np.log(1 + (np.e - 1) * t)),
    "0.05 √t": lambda t: LEVEL * t ** (1 / 2),
    "0.05 ∛t (chosen)": lambda t: LEVEL * t ** (1 / 3),
    "0.05 ∜t": lambda t: LEVEL * t ** (1 / 4),
}
"""How much of `LEVEL` is spent by the share t of the trials; each one-sided test has half of it."""


def levels_of(spending: Callable[[float], float], p: Sequence[np.ndarray]) -> list[float]:
    """The nominal level of each look that spends half of the level so: that of the first is what is
    spent there, the others are found from one-sided p-values without any effect."""
    spent = [spending(look / LOOKS[-1]) / 2 for look in LOOKS]
    levels, alive = [spent[0]], p[0] > spent[0]
    for values, (before, after) in zip(p[1:], pairwise(spent), strict=True):
        count = int((after - before) * len(values))
        levels.append(float(np.sort(values[alive])[count - 1]))
        alive &= values > levels[-1]
    return levels


def looks_table(draws: int) -> str:
    """Markdown: for each way to spend the level, its levels and its power by look."""

    def p_values(effect: float, seed: int) -> list[np.ndarray]:
        drawn = np.random.default_rng(seed).normal(effect, size=(draws, LOOKS[-1]))
        return [p_above(drawn[:, :look], 0.0) for look in LOOKS]

    nothing, effect = p_values(0.0, 0), p_values(1.0, 1)
    head = ["spending", *(f"level at {n}" for n in LOOKS), *(f"power by {n}" for n in LOOKS)]
    lines = [head]
    for name, spending in SPENDING.items():
        levels = levels_of(spending, nothing)
        found, power = np.zeros(draws, dtype=bool), []
        for p, level in zip(effect, levels, strict=True):
            found |= p <= level
            power.append(f"{found.mean():.2f}")
        lines.append([name, *(f"{level:.4f}" for level in levels), *power])
    return markdown(lines, 1)


def level_of_the_looks(draws: int, seed: int = 0) -> tuple[float, float]:
    """Chance that `LEVELS` find an effect at any look in one of the two directions where there is
    none, and its standard error.

    Both in per cent. Draws are made in parts that fit into memory; `draws` is rounded up to whole
    parts.
    """
    part, generator, shares = 200_000, np.random.default_rng(seed), []
    for _ in range(math.ceil(draws / part)):
        values = generator.normal(size=(part, LOOKS[-1]))
        p = [stats.ttest_1samp(values[:, :look], 0.0, axis=1).pvalue for look in LOOKS]
        found = [of_look <= 2 * LEVELS[look] for of_look, look in zip(p, LOOKS, strict=True)]
        shares.append(np.any(found, axis=0).mean())
    share = float(np.mean(shares))
    return 100 * share, 100 * math.sqrt(share * (1 - share) / (part * len(shares)))


def main() -> None:
    """Print the table and the level."""
    print(looks_table(400_000))
    level, error = level_of_the_looks(8_000_000)
    print(f"\nLevel of all looks together: {level:.3f} %, standard error {error:.3f}.")


if __name__ == "__main__":
    main()
