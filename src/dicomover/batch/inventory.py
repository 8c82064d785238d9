"""What is here of which request, as a table: from the journal, and looked at on the disk; the archive is not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from dicomover.identifier import Level, Request
from dicomover.journal import File, Journal, Manifest, Scope, check_files
from dicomover.node import Node
from dicomover.requests.parse import Batch
from dicomover.summary import PLAN_COLUMNS, SUMMARY_COLUMNS

__all__ = ["Held", "list_all_files", "list_files", "sum_up_series", "tabulate_files"]

Locked = Callable[[Request], Iterable[tuple[str, frozenset[str]]] | None]
"""Names the studies of a request that a lockfile pins down, each with its SOP Instance UIDs; None if none does."""

_TEXT = pd.StringDtype("python")  # a path need not be UTF-8, which PyArrow would refuse
_UIDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
_ALSO_OURS = ("request", "path", "size", "TransferSyntaxUID", "arrived", "intact", "headers_only", "images", "sha256")
_OURS = frozenset([*_UIDS, *PLAN_COLUMNS, *SUMMARY_COLUMNS, *_ALSO_OURS])


class Held(NamedTuple):
    """A file that is here: for the row at a position (-1 for none), and whether it is as it came."""

    position: int
    file: File
    intact: bool


def list_files(
    batch: Batch, journal: Journal, archive: Node, folder: Path, locked: Locked = lambda _: None
) -> Iterator[Held]:
    """Yield what is here of each row: of what it came to when it moved, else of the UIDs that it names."""
    place, *_ = journal.places(archive)
    for request in batch.requests:
        files: dict[str, File] = {}
        pinned = locked(request)
        if pinned is None:
            for scope in _list_scopes(request, journal, archive):
                files |= {file.path: file for file in journal.holding(place, scope).manifest.files}
        else:
            for study, sops in pinned:
                found = journal.holding(place, Scope(Level.STUDY, study, "", (), "")).manifest.files
                files |= {file.path: file for file in found if file.sop in sops}
        yield from _look(request.position, files.values(), folder)


def list_all_files(journal: Journal, folder: Path) -> Iterator[Held]:
    """Yield all that is here, whichever archive it came from."""
    for _, files in journal.files():
        yield from _look(-1, files, folder)


def _look(position: int, files: Iterable[File], folder: Path) -> Iterator[Held]:
    check = check_files(Manifest(tuple(file for file in files if file.path)), folder)
    intact = set(check.intact.files)
    for file in sorted((*check.intact.files, *check.changed), key=lambda file: file.path):
        yield Held(position, file, file in intact)


def _list_scopes(request: Request, journal: Journal, archive: Node) -> Iterable[Scope]:
    asked = journal.asked(request, archive=archive)
    entry = journal.entries([asked.key]).get(asked.key)
    if entry is not None and (scopes := entry.scopes_of(asked, request)):
        return scopes
    uids = {level: request.keys.get(level.unique_key, "") for level in (Level.STUDY, Level.SERIES, Level.IMAGE)}
    whose = journal.keep_patients([request.keys.get("PatientID", "")])
    if request.level is Level.PATIENT:
        return [Scope(Level.PATIENT, "", "", (), whose)] if whose and set(request.keys) == {"PatientID"} else []
    known = {level.unique_key for level in uids} | {"PatientID"}
    if not uids[Level.STUDY] or not uids[request.level] or not set(request.keys) <= known:
        return []  # keys that only the archive can look up
    sops = tuple(uids[Level.IMAGE].split("\\")) if uids[Level.IMAGE] else ()
    return [
        Scope(request.level, study, series, sops, whose)
        for study in uids[Level.STUDY].split("\\")
        for series in uids[Level.SERIES].split("\\")
    ]


def tabulate_files(
    held: Iterable[Held], folder: Path, batch: Batch | None, level: Literal["IMAGE", "SERIES"]
) -> pd.DataFrame:
    """Put files into a table: a row for each, or for each series, with the label and the columns of its request."""
    rows = list(held)
    files = [row.file for row in rows]
    table = pd.DataFrame(
        {
            "position": pd.Series([row.position for row in rows], dtype="int64"),
            "StudyInstanceUID": pd.Series([file.study for file in files], dtype="string"),
            "SeriesInstanceUID": pd.Series([file.series for file in files], dtype="string"),
            "SOPInstanceUID": pd.Series([file.sop for file in files], dtype="string"),
            "path": pd.Series([str(folder / file.path) for file in files], dtype=_TEXT),
            "size": pd.Series([file.size for file in files], dtype="int64"),
            "TransferSyntaxUID": pd.Series([file.syntax or None for file in files], dtype="string"),
            "arrived": pd.to_datetime(pd.Series([file.mtime_ns for file in files], dtype="int64"), unit="ns", utc=True),
            "intact": pd.Series([row.intact for row in rows], dtype="bool"),
            "headers_only": pd.Series([file.headers_only for file in files], dtype="bool"),
        }
    )
    if level == "SERIES":
        table = sum_up_series(table)
    position = table.pop("position")
    if batch is None:
        return table
    given = batch.given.loc[:, [name not in _OURS for name in batch.given.columns]]
    beside = given.iloc[position.to_numpy()]
    labels = pd.Series(beside.index, index=table.index, name="request")
    return pd.concat([labels, beside.set_axis(table.index), table], axis="columns")


def sum_up_series(images: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each series of each request: its folder, its images, their bytes.

    `images` has a row for each file; what stands before its UIDs says of which request it is.
    """
    of_request = list(images.columns[: images.columns.get_loc("StudyInstanceUID")])
    keys = [*of_request[:1], "StudyInstanceUID", "SeriesInstanceUID"]
    groups = images.groupby(keys, sort=False, dropna=False)
    found = groups.agg(
        images=("SOPInstanceUID", "nunique"), path=("path", "first"), size=("size", "sum"),
        TransferSyntaxUID=("TransferSyntaxUID", _join), arrived=("arrived", "max"), intact=("intact", "all"),
        headers_only=("headers_only", "any"),
    ).reset_index()  # fmt: skip
    found["path"] = pd.Series([str(Path(path).parent) for path in found["path"]], dtype=_TEXT)
    found = found.astype({"images": "int64", "TransferSyntaxUID": "string"})
    beside = [groups[name].first().array for name in of_request[1:]]
    for place, (name, column) in enumerate(zip(of_request[1:], beside, strict=True), 1):
        found.insert(place, name, column)
    return found


def _join(texts: pd.Series) -> str:
    return "\\".join(sorted(set(texts.dropna())))
