"""A cohort held against the files of a folder: their heads by SOP Instance UID, and digests of their data sets."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dicomover.cohort.content import Digest, LockedRequest, LockState
from dicomover.cohort.drift import Kind
from dicomover.cohort.frame import make_table
from dicomover.dicomfile import HeadError
from dicomover.disk import list_files, open_file
from dicomover.errors import NoSuchFileError
from dicomover.images.headers import Wanted, read_header

__all__ = [
    "DicomFile",
    "FileChange",
    "Folder",
    "check_table",
    "compare_files",
    "digest_file",
    "digest_files",
    "index_folder",
    "read_file",
]

_UIDS = Wanted(("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
_BLOCK = 1 << 20
_THREADS = 4


class DicomFile(NamedTuple):
    """One DICOM file: its UIDs, its transfer syntax, and where its data set begins."""

    path: str
    sop: str
    series: str
    study: str
    transfer_syntax: str
    start: int
    headers_only: bool = False

    def __repr__(self) -> str:
        return f"DicomFile(sop={self.sop!r})"  # a path may name a patient


@dataclass(slots=True)
class Folder:
    """What lies in a folder: the DICOM files by SOP Instance UID, and those that should be DICOM and cannot be read."""

    files: dict[str, list[DicomFile]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def index_folder(folder: str | os.PathLike[str]) -> Folder:
    """Read the heads of all DICOM files in a folder and below it.

    A file is taken for DICOM if it says so (PS3.10 section 7.1), or if its name ends in `.dcm`; others are passed over,
    and so is what a receiver has not finished (`.part`) and what a rerun has set aside (`.changed-1`). Raises OSError
    if the folder cannot be read.
    """
    if not Path(folder).exists():
        raise NoSuchFileError(folder)
    found = Folder()
    for path in (entry.path for entry in list_files(folder)):
        try:
            file = read_file(path)
        except FileNotFoundError:
            continue  # gone since it was listed
        except (HeadError, OSError):
            found.unreadable.append(path)
            continue
        if file is not None:
            found.files.setdefault(file.sop, []).append(file)
        elif path.endswith(".dcm"):
            found.unreadable.append(path)
    return found


def read_file(path: str) -> DicomFile | None:
    """Read the head of a file; None if it is no DICOM file.

    Raises HeadError if it is one and cannot be read, and OSError.
    """
    header = read_header(path, _UIDS, strict=True)
    if header is None:
        return None
    sop, series, study = (value or "" for value in header.values)
    if not sop:
        raise HeadError("it has no SOP Instance UID")
    return DicomFile(path, sop, series, study, header.transfer_syntax, header.start, header.headers_only)


def digest_file(file: DicomFile) -> Digest:
    """Return the size and the SHA-256 of a data set, without the file meta information where that can be told apart."""
    sha, size = hashlib.sha256(), 0
    stream = open_file(file.path)
    if stream is None:
        raise OSError(errno.EINVAL, "it is no file any more")
    with stream:
        stream.seek(file.start)
        while block := stream.read(_BLOCK):
            sha.update(block)
            size += len(block)
    return Digest(size, sha.hexdigest(), file.transfer_syntax)


def digest_files(files: Iterable[DicomFile]) -> Iterator[tuple[DicomFile, Digest | None]]:
    """Yield each file with its digest, None if it cannot be read; several are read at a time."""

    def read(file: DicomFile) -> tuple[DicomFile, Digest | None]:
        try:
            return file, digest_file(file)
        except OSError:
            return file, None

    with ThreadPoolExecutor(_THREADS, "dicomover digest") as pool:
        yield from pool.map(read, files)


# --- against what was locked


@dataclass(frozen=True, slots=True)
class FileChange:
    """One row of the drift against the disk: an instance, or a file."""

    request: Any
    kind: Kind
    study: str
    series: str
    sop: str
    path: str
    note: str


def check_table(changes: Iterable[FileChange]) -> pd.DataFrame:
    """Put changes into a table; without a row if there are none."""
    rows = []
    for each in changes:
        texts = (each.study, each.series, each.sop, each.path)
        rows.append((each.request, str(each.kind), *(text or None for text in texts), each.note))
    columns = ("kind", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "path", "note")
    return make_table(rows, request="object", **dict.fromkeys(columns, "string"))


def compare_files(
    requests: Iterable[LockedRequest],
    folder: str | os.PathLike[str],
    digests: Mapping[str, Digest],
    *,
    read_all: bool = False,
) -> tuple[list[FileChange], dict[str, Digest]]:
    """Compare what was locked with what lies in a folder, in any layout; return the changes and what digests were read.

    The content of a file is read where there is something to compare it with: what was recorded (`digests`, by SOP
    Instance UID), or another file with the same UID; with `read_all`, that of all that was locked.
    """
    found, requests = index_folder(folder), list(requests)
    locked: dict[str, list[tuple[Any, str, str]]] = {}
    for request in requests:
        for study, series, sop in request.instances():
            locked.setdefault(sop, []).append((request.label, study, series))
    wanted = [
        file
        for sop, files in found.files.items()
        for file in files
        if sop in locked and (read_all or len(files) > 1 or sop in digests)
    ]
    taken: dict[str, Digest | None] = {file.path: digest for file, digest in digest_files(wanted)}
    root = os.fspath(folder)
    changes = [
        *_compare_locked(locked, found, root, taken, digests),
        *_name_others(locked, found, root),
        *_name_unknown(requests),
    ]
    whole = (file for files in found.files.values() for file in files if not file.headers_only)
    read = {file.sop: taken[file.path] for file in whole if file.path in taken}
    return changes, {sop: digest for sop, digest in read.items() if digest is not None}


def _compare_locked(
    locked: Mapping[str, list[tuple[Any, str, str]]],
    found: Folder,
    root: str,
    taken: Mapping[str, Digest | None],
    digests: Mapping[str, Digest],
) -> Iterator[FileChange]:
    for sop, owners in locked.items():
        files = found.files.get(sop, [])
        for label, study, series in owners:
            if not files:
                yield FileChange(label, Kind.MISSING, study, series, sop, "", "no file has this instance")
            for file in files:
                kind, note = _judge_file(
                    file, study, series, taken.get(file.path), digests.get(sop), file.path in taken
                )
                if kind is not None:
                    yield FileChange(label, kind, study, series, sop, os.path.relpath(file.path, root), note)
        if len({digest and digest.sha256 for digest in (taken.get(file.path) for file in files)}) > 1:
            for label, study, series in owners:
                names = f"{len(files)} files have this instance, with different content"
                yield FileChange(label, Kind.CONFLICT, study, series, sop, os.path.relpath(files[0].path, root), names)


def _judge_file(
    file: DicomFile, study: str, series: str, digest: Digest | None, recorded: Digest | None, was_read: bool
) -> tuple[Kind | None, str]:
    """Say what is wrong with one file of an instance."""
    if (file.study, file.series) != (study, series):
        where = "study" if file.study != study else "series"
        return Kind.CHANGED, f"the file says that it belongs to another {where}"
    if file.headers_only:
        return Kind.MISSING, "the file is headers only: it was moved without its pixels"
    if was_read and digest is None:
        return Kind.CORRUPT, "the file cannot be read to its end"
    if recorded is None or digest is None:
        return None, ""
    if digest.transfer_syntax != recorded.transfer_syntax:
        return (
            Kind.CHANGED,
            "the file is in another transfer syntax than was recorded, so its content cannot be compared",
        )
    if digest.size != recorded.size:
        return Kind.CORRUPT, f"the data set has {digest.size} bytes, {recorded.size} were recorded"
    if digest.sha256 != recorded.sha256:
        return Kind.CORRUPT, "the bytes of the data set are not those that were recorded (SHA-256)"
    return None, ""


def _name_unknown(requests: Iterable[LockedRequest]) -> Iterator[FileChange]:
    """Name the requests of which nobody knows what the folder should have."""
    for request in requests:
        if request.state in (LockState.REFUSED, LockState.CUT_SHORT):
            yield FileChange(request.label, Kind.UNKNOWN, "", "", "", "", f"when it was locked: {request.note}")


def _name_others(locked: Mapping[str, object], found: Folder, root: str) -> Iterator[FileChange]:
    """Name the files that nobody locked, and those that cannot be read."""
    for sop, files in found.files.items():
        for file in files if sop not in locked else ():
            path = os.path.relpath(file.path, root)
            yield FileChange(
                None, Kind.GAINED, file.study, file.series, sop, path, "this instance is not in the cohort"
            )
    for broken in found.unreadable:
        note = "this file should be DICOM and cannot be read"
        yield FileChange(None, Kind.CORRUPT, "", "", "", os.path.relpath(broken, root), note)
