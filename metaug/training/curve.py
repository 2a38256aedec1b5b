"""The learning curve of a training: for each epoch the mean of what was logged."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

CURVE = "curve.csv"
"""The learning curve so far, to watch a training by; in the folder of its checkpoint."""


class LearningCurve:
    """Takes what each step logs, and makes the means of an epoch of it.

    Attributes:
        rows: a row for each epoch that is done, with its number as `epoch`.
    """

    def __init__(
        self,
        curve: Sequence[Mapping[str, float]] = (),
        sums: Mapping[str, float] | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Empty, or as `state` gave it."""
        self.rows = [dict(row) for row in curve]
        self._sums = defaultdict(float, sums or {})
        self._counts = defaultdict(int, counts or {})

    def add(self, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step. Not every step has to log the same quantities."""
        for key, value in numbers.items():
            self._sums[key] += value
            self._counts[key] += 1

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Add the row of an epoch, and return its means."""
        means = {key: self._sums[key] / self._counts[key] for key in self._sums}
        self.rows.append({"epoch": epoch, **means})
        self._sums.clear()
        self._counts.clear()
        return means

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint must keep: the arguments of another one like this."""
        return {"curve": self.rows, "sums": self._sums, "counts": self._counts}


def curve_csv(curve: list[dict[str, float]]) -> str:
    """A learning curve as CSV: one row an epoch, a column for each quantity that was logged."""
    columns = list(dict.fromkeys(key for epoch in curve for key in epoch))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()
