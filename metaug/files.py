"""Atomic writes: a file is either the old one or the whole new one, never half of it."""

import fcntl
import glob
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metaug.errors import UserError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it takes the place of `path` if the block succeeds.

    The temporary file is flushed to disk before the rename and removed if the block fails; those
    of processes of this host that were killed are removed, too. Missing parent folders are made.

    Raises:
        UserError: the file system refused (disk full, no permission, ...); names the path.
    """
    path = Path(path)
    host = socket.gethostname()
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(f'{path.name}.{host}')}.*.tmp"):
            if not _runs(leftover.suffixes[-2].removeprefix(".")):
                leftover.unlink(missing_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _runs(number: str) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def atomic_write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` by way of `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path` by way of `atomic_path`."""
    atomic_write_bytes(path, text.encode())


@contextmanager
def exclusive(path: Path | str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file; it is released when the process ends, however it ends.

    The file stays where it is: if it were removed, one process could lock the removed file and
    another a new one of the same name. It holds the number and host of the process that has it.
    On a file system without locks the block runs all the same, after one line that says so (choice:
    such file systems are common on clusters, and two runs at once only do work twice there).

    Args:
        path: the lock file; made if it is missing.
        wait: wait for another holder, after one line that names it, instead of raising an error.

    Raises:
        UserError: another process holds it, or the file cannot be made.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    try:
        _lock(descriptor, path, wait)
        with suppress(OSError):  # a full disk; the lock holds without the name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        if not wait:
            raise UserError(
                f"{holder} is working in {path.parent}; wait for it or stop it"
            ) from None
        print(f"waiting for {holder}, which is working in {path.parent}", flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        print(
            f"warning: cannot lock {path} ({error.strerror}): do not start a second run beside "
            "this one",
            file=sys.stderr,
        )


def _holder(descriptor: int) -> str:
    number, _, host = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip().partition(" ")
    if not number.isdecimal():  # it has just got the lock
        return "another process"
    return f"process {number}" + (f" on {host}" if host != socket.gethostname() else "")
