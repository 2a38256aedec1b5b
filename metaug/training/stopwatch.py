"""How long a training takes, with what it took before it was broken off."""

import time
from typing import NamedTuple


class Seconds(NamedTuple):
    """Seconds of the clock on the wall, and of the CPU time of this process."""

    wall: float
    cpu: float

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


class Stopwatch:
    """Runs from the moment in which it is made."""

    def __init__(self) -> None:
        self._zero = _now()

    def read(self) -> Seconds:
        """The time so far, with that of an earlier run that is gone on with."""
        return _now() - self._zero

    def go_on_from(self, earlier: Seconds) -> None:
        """Add what an earlier run had taken when it wrote its checkpoint."""
        self._zero -= earlier


def _now() -> Seconds:
    return Seconds(time.perf_counter(), time.process_time())
