"""Atomic writes: a file is either the old one or the whole new one, never half of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metaug.errors import UserError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it takes the place of `path` if the block succeeds.

    The temporary file is flushed to disk before the rename and removed if the block fails.
    Missing parent folders are made.

    Raises:
        UserError: the file system refused (disk full, no permission, ...); names the path.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` by way of `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path` by way of `atomic_path`."""
    atomic_write_bytes(path, text.encode())


@contextmanager
def exclusive(path: Path | str) -> Iterator[None]:
    """Hold a lock file; it is released when the process ends, however it ends.

    Raises:
        UserError: another process holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is working in {path.parent}; wait for it or stop it"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
