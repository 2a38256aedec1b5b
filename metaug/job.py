"""What every script of the workflow runs in: a log, and errors of one line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from metaug.errors import UserError


class _Tee:
    """Writes to the screen and to a log file."""

    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()


@contextmanager
def job(log: str) -> Iterator[None]:
    """Print to screen and `log`; turn a `UserError` into one line on stderr and exit status 2."""
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file, redirect_stdout(_Tee(sys.stdout, file)):  # type: ignore[type-var]
        try:
            yield
        except UserError as error:
            print(f"error: {error}", file=file)
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
