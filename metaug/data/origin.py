"""What prepared arrays were made from, in a form that is cheap to compare."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DECODER = 2
"""Raise it when an image is decoded to other pixels than before: all data are prepared again."""

Stamp = tuple[str, int, int]
"""Name, size and time of change (ns) of a file."""


@dataclass(frozen=True)
class Origin:
    """What prepared arrays are made from.

    Attributes:
        source: name of the source: `parquet`, `folder`, `torchvision` or `digits_m`.
        place: its folder, absolute.
        fingerprint: digest of names, sizes and times of its files and of the decoder's version.
    """

    source: str
    place: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.source} {self.place}"

    @property
    def key(self) -> str:
        """Two origins with equal keys give equal arrays."""
        return f"{self} {self.fingerprint}"


def origin_of(source: str, place: Path, stamps: Iterable[Stamp]) -> Origin:
    """The origin of files in `place`, which are named relative to it."""
    digest = hashlib.sha256(f"{DECODER}\n".encode())
    for name, size, time in stamps:
        digest.update(os.fsencode(name) + f"\0{size}\0{time}\n".encode())
    return Origin(source, shown(place.resolve()), digest.hexdigest()[:16])


def stamp_of(path: Path, place: Path) -> Stamp:
    """The stamp of a file, named relative to `place`."""
    status = path.stat()
    return (os.path.relpath(path, place), status.st_size, status.st_mtime_ns)


def shown(path: Path | str) -> str:
    """A path as text for messages and JSON, with what is not UTF-8 or cannot be printed escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
