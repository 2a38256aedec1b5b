"""All records of a scale in one file, so that laboratories and strangers can pool trials.

A bundle is a ZIP file of two members: `records.jsonl`, one record a line, and a description as an
RO-Crate (https://w3id.org/ro/crate) that has its SHA-256 sum. Equal records give equal bytes.
"""

import hashlib
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from metaug.errors import UserError
from metaug.files import atomic_path, atomic_write_text
from metaug.method import find_method
from metaug.reporting.names import counted
from metaug.spec import PROTOCOL_VERSION, TrialSpec
from metaug.suite.record import FORMAT, fault_of, read_record, record_path

RECORDS, DESCRIPTION = "records.jsonl", "ro-crate-metadata.json"
LARGEST = 2**30
"""Bytes that a member may have when it is unpacked."""

DATE = (2022, 7, 17, 0, 0, 0)
"""The date of the members: that of the conference, so that equal records give equal bytes."""

DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, lzma.LZMAError, zlib.error),
    *(ValueError, KeyError, TypeError, RecursionError),
    *(NotImplementedError, RuntimeError),  # another compression, a password
)
"""What reading a file raises that is no bundle, or has been damaged."""

Record = dict[str, Any]


class Imported(NamedTuple):
    """How many records were written, were there already, and are of superseded versions."""

    new: int
    known: int
    superseded: int


def write_bundle(scale: str, path: Path, results: Path = Path("results")) -> int:
    """Write the valid records of a scale, atomically; records of superseded versions stay out.

    Args:
        scale: whose records.
        path: the bundle.
        results: folder of the results.

    Returns:
        The number of records.

    Raises:
        UserError: there is none; the file cannot be written, is there and is no bundle, or is one
            that has records which are not here, or which have other numbers.
    """
    records = [record for record in _records_in(results / scale / "trials") if _current(record)]
    if not records:
        raise UserError(f"no records of scale {scale!r} in {results / scale / 'trials'}")
    _require_kept(path, records)
    lines = "".join(json.dumps(r, sort_keys=True, ensure_ascii=False) + "\n" for r in records)
    data = lines.encode()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        for name, content in ((DESCRIPTION, _description(scale, records, data)), (RECORDS, data)):
            member = zipfile.ZipInfo(name, DATE)
            member.compress_type = zipfile.ZIP_LZMA
            bundle.writestr(member, content)
    return len(records)


def import_bundle(path: Path, results: Path = Path("results")) -> Imported:
    """Bring the records of a bundle into a folder of results; all of them or none.

    Args:
        path: the bundle.
        results: folder of the results.

    Raises:
        UserError: it is no bundle, was tampered with, holds a record that is not what it says it
            is, or some that contradict ours; names our files. Times do not contradict each other.
    """
    fresh: dict[Path, Record] = {}
    contradicted: dict[Path, str] = {}
    known = superseded = 0
    for record in _read_bundle(path):
        spec = _spec_of(record, path)
        if not _current(record):
            superseded += 1
            continue
        if fault := fault_of(record, spec, record["trial"]):
            raise UserError(f"{path}: record {spec.hash} trial {record['trial']} {fault}")
        target = record_path(results / spec.scale / "trials" / spec.hash, record["trial"])
        ours = read_record(target, spec, record["trial"])
        if ours is None:
            fresh[target] = record
        elif _numbers(ours) == _numbers(record):
            known += 1
        else:
            trial = f"trial {record['trial']} of {spec.method} on {spec.dataset}"
            contradicted[target] = f"{trial} (spec {spec.hash})"
    if contradicted:
        first, *others = contradicted.values()
        more = f", and so have {len(others)} more" if others else ""
        files = " ".join(map(str, contradicted))
        raise UserError(
            f"{path}: {first} has other numbers than ours{more}; to take the bundle's, "
            f"remove {files}"
        )
    for target, record in fresh.items():
        atomic_write_text(target, json.dumps(record, indent=1) + "\n")
    return Imported(len(fresh), known, superseded)


def _numbers(record: Record) -> list[dict[str, Any]]:
    """The rows of a record without the times: two runs of one trial never take equally long."""
    return [row for row in record["rows"] if not row["metric"].endswith("_seconds")]


def _require_kept(path: Path, records: Iterable[Record]) -> None:
    """Refuse to write over a file that is no bundle, or over records that would be lost."""
    if not path.exists():
        return
    try:
        there = {(r["hash"], r["trial"]): r for r in _read_bundle(path) if _current(r)}
    except UserError as error:
        raise UserError(f"{error}; name another file, or remove this one") from error
    ours = {(r["hash"], r["trial"]): r for r in records}
    if lost := there.keys() - ours.keys():
        raise UserError(
            f"{path} has {len(lost)} records that are not here and would be lost: bring them in "
            f"first by metaug bundle import {path}, or remove the file"
        )
    if other := [key for key, r in there.items() if _numbers(r) != _numbers(ours[key])]:
        spec, trial = other[0]
        raise UserError(
            f"{path} has other numbers than ours in {counted(len(other), 'record')} (the first is "
            f"trial {trial} of spec {spec}); name another file, or remove this one"
        )


def _records_in(folder: Path) -> Iterator[Record]:
    """The valid records, by hash and trial."""
    for path in sorted(folder.glob("*/trial_[0-9][0-9][0-9].json")):
        try:
            spec = TrialSpec.model_validate(json.loads(path.read_text())["spec"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        trial = int(path.stem.removeprefix("trial_"))
        record = read_record(path, spec, trial)
        if record is not None and path.parent.name == spec.hash:
            yield record


def _current(record: Record) -> bool:
    """Whether a record is of the present versions of the protocol and of its method."""
    spec = record["spec"]
    try:
        version = find_method(spec["method"]).version
    except UserError:
        return False
    return (spec["protocol_version"], spec["method_version"]) == (PROTOCOL_VERSION, version)


def _description(scale: str, records: Iterable[Record], data: bytes) -> str:
    """The RO-Crate metadata of a bundle."""
    records = list(records)
    crate = ROCrate()
    crate.name = f"MetAug reproduction suite: {len(records)} trials of scale {scale}"
    crate.description = (
        "Records of trainings and probes: spec, seed, commit, digest of the data, learning curve "
        "and every number. Import with: metaug bundle import FILE"
    )
    crate.datePublished = datetime.fromisoformat(max(record["started"] for record in records))
    crate.license = "https://spdx.org/licenses/MIT"
    commits = sorted({str(record["provenance"]["commit"]) for record in records})
    file = crate.add(
        ContextEntity(
            crate,
            RECORDS,
            properties={
                "@type": "File",
                "name": "records, one JSON object a line",
                "encodingFormat": "application/jsonl",
                "contentSize": str(len(data)),
                "sha256": hashlib.sha256(data).hexdigest(),
                "version": f"format {FORMAT}",
                "softwareVersion": commits,
            },
        )
    )
    crate.root_dataset["hasPart"] = [file]
    return json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False)


def _read_bundle(path: Path) -> list[Record]:
    """The records of a bundle, whose sum has been checked."""
    try:
        with zipfile.ZipFile(path) as bundle:
            sizes = {member.filename: member.file_size for member in bundle.infolist()}
            if set(sizes) != {RECORDS, DESCRIPTION} or len(bundle.infolist()) != len(sizes):
                raise UserError(f"{path} is no bundle: it holds {', '.join(sorted(sizes))}")
            if max(sizes.values()) > LARGEST:
                raise UserError(f"{path} is no bundle: a member is larger than {LARGEST} bytes")
            description, data = bundle.read(DESCRIPTION), bundle.read(RECORDS)
        (sum_,) = {e["sha256"] for e in json.loads(description)["@graph"] if e["@id"] == RECORDS}
        if hashlib.sha256(data).hexdigest() != sum_:
            raise UserError(f"{path}: {RECORDS} does not have its SHA-256 sum: it was changed")
        return [json.loads(line) for line in data.decode().splitlines()]
    except FileNotFoundError as error:
        raise UserError(f"no file {path}") from error
    except DAMAGED as error:
        raise UserError(f"{path} is no bundle: {' '.join(str(error).split())}") from error


def _spec_of(record: Record, path: Path) -> TrialSpec:
    """The spec of a record of the bundle at `path`.

    Raises:
        UserError: its hash, trial or scale are not what they can be.
    """
    try:
        name = f"{record['hash']} trial {record['trial']}"
        spec = TrialSpec.model_validate(record["spec"])
        trial = record["trial"]
        sound = (
            record["format"] == FORMAT
            and record["hash"] == spec.hash
            and type(trial) is int
            and 0 <= trial < 1000
            and re.fullmatch("[a-z0-9_-]+", spec.scale)
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise UserError(f"{path}: a record is not one: {' '.join(str(error).split())}") from error
    if not sound:
        raise UserError(f"{path}: record {name} is not what it says it is")
    return spec
