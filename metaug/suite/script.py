"""What every script of the workflow runs in: a log, errors of one line, an end in good order."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from metaug.errors import UserError
from metaug.training.stop import Stopped, stop_on_signals


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
def script(log: str) -> Iterator[None]:
    """Print to screen and `log`; turn a `UserError` into one line on stderr and exit status 2.

    SIGTERM, Ctrl-C and the end of Snakemake end it in one line, too, with status 128 + signal. Any
    other exception is raised, and written to the log with its traceback.
    """
    stop_on_signals()
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file, redirect_stdout(_Tee(sys.stdout, file)):
        try:
            yield
        except UserError as error:
            print(f"error: {error}", file=file)
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except Stopped as stop:
            line = f"stopped by {stop}; the same command goes on from here"
            print(line, file=file)
            print(line, file=sys.stderr)
            sys.exit(stop.status)
        except Exception as error:  # a fault of ours, or of the machine
            traceback.print_exc(file=file)
            print(f"error: {type(error).__name__}: {str(error).partition(chr(10))[0]}", file=file)
            raise
