"""A cohort held against the files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dicomover.cohort.content import Digest, LockedRequest
from dicomover.cohort.drift import Kind
from dicomover.cohort.files import DicomFile, Folder, digests_of, index_folder

__all__ = ["CHECK_COLUMNS", "FileChange", "check_files", "check_table"]

CHECK_COLUMNS = ("request", "kind", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "path", "note")
"""The columns of the drift against the disk."""


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
    """Put changes into a table with the columns of `CHECK_COLUMNS`; without a row if there are none."""
    rows = []
    for each in changes:
        texts = (each.study, each.series, each.sop, each.path)
        rows.append((each.request, str(each.kind), *(text or None for text in texts), each.note))
    table = pd.DataFrame(rows, columns=list(CHECK_COLUMNS), dtype=object)
    return table.astype({name: "string" for name in CHECK_COLUMNS if name != "request"})


def check_files(
    requests: Iterable[LockedRequest],
    folder: str | os.PathLike[str],
    digests: Mapping[str, Digest],
    *,
    read_all: bool = False,
) -> tuple[list[FileChange], dict[str, Digest]]:
    """Compare what was locked with what lies in a folder.

    Parameters
    ----------
    requests
        What was locked.
    folder
        Where it should lie, in any layout.
    digests
        What was recorded, by SOP Instance UID. The content of a file is read where there is something to compare it
        with: that, or another file with the same UID.
    read_all
        Read the content of all that was locked.

    Returns
    -------
    changes : list of FileChange
        Empty if everything is as it was.
    taken : dict
        The digests of the instances that were read.
    """
    found = index_folder(folder)
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
    taken: dict[str, Digest | None] = {file.path: digest for file, digest in digests_of(wanted)}
    root = os.fspath(folder)
    changes = [*_locked(locked, found, root, taken, digests), *_others(locked, found, root)]
    read = {file.sop: taken[file.path] for files in found.files.values() for file in files if file.path in taken}
    return changes, {sop: digest for sop, digest in read.items() if digest is not None}


def _locked(
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
                kind, note = _verdict(file, study, series, taken.get(file.path), digests.get(sop), file.path in taken)
                if kind is not None:
                    yield FileChange(label, kind, study, series, sop, os.path.relpath(file.path, root), note)
        if len({digest and digest.sha256 for digest in (taken.get(file.path) for file in files)}) > 1:
            for label, study, series in owners:
                names = f"{len(files)} files have this instance, with different content"
                yield FileChange(label, Kind.CONFLICT, study, series, sop, os.path.relpath(files[0].path, root), names)


def _verdict(
    file: DicomFile, study: str, series: str, digest: Digest | None, recorded: Digest | None, was_read: bool
) -> tuple[Kind | None, str]:
    """Say what is wrong with one file of an instance."""
    if (file.study, file.series) != (study, series):
        where = "study" if file.study != study else "series"
        return Kind.CHANGED, f"the file says that it belongs to another {where}"
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


def _others(locked: Mapping[str, object], found: Folder, root: str) -> Iterator[FileChange]:
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
