"""Signals that end a process in good order: with a checkpoint, in one line, without an orphan."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1
_postponed = 0
_received: signal.Signals | None = None


class Stopped(BaseException):
    """SIGTERM or SIGINT (Ctrl-C) asked this process to end."""

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(received.name)
        self.status = 128 + received


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGINT raise `Stopped`, and on Linux the parent's death does, too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _handle)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def postponed() -> Iterator[Callable[[], bool]]:
    """Within the block a signal waits for the block's end; what is yielded says whether one does.

    Who asks may then leave the block at a moment that suits.
    """
    global _postponed
    _postponed += 1
    try:
        yield lambda: _received is not None
    finally:
        _postponed -= 1
    if _received is not None and not _postponed:
        raise Stopped(_received)


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is None:  # a second one would break off what the first has begun to put in order
        _received = signal.Signals(number)
        if not _postponed:
            raise Stopped(_received)
