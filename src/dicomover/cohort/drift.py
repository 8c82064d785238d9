"""What has changed between what was locked and what is there now. Pure: no network and no disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd

from dicomover.cohort.content import LockedRequest, LockedStudy, LockState
from dicomover.cohort.frame import make_table
from dicomover.identifier import Level
from dicomover.text.sentences import count_of

__all__ = ["Change", "Kind", "compare", "drift_table"]


class Kind(StrEnum):
    """What kind of change a row of drift is."""

    GAINED = "gained"  # there now, and not when it was locked
    LOST = "lost"  # locked, and not there any more
    CHANGED = "changed"  # still there, but in another series, or no longer what the request leads to
    AMBIGUOUS = "ambiguous"  # the request now stands for more than it did
    NOT_FOUND = "not-found"  # the request has no match any more, though what was locked is still there
    UNKNOWN = "unknown"  # the archive would not say
    MISSING = "missing"  # locked, and not on the disk
    CONFLICT = "conflict"  # several files with different content under one SOP Instance UID
    CORRUPT = "corrupt"  # on the disk, but not with the bytes that were recorded, or not readable


@dataclass(frozen=True, slots=True)
class Change:
    """One row of drift; `expected` and `found` are numbers of instances."""

    request: Any
    level: Level
    kind: Kind
    study: str = ""
    series: str = ""
    instances: Sequence[str] = ()
    expected: int | None = None
    found: int | None = None
    note: str = ""


def drift_table(changes: Iterable[Change]) -> pd.DataFrame:
    """Put changes into a table; without a row if there are none."""
    rows = [
        (
            change.request,
            str(change.level),
            str(change.kind),
            change.study or None,
            change.series or None,
            "\\".join(change.instances) or None,
            change.expected,
            change.found,
            change.note,
        )
        for change in changes
    ]
    uids = dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), "string")
    said = {"level": "string", "kind": "string", **uids}
    return make_table(rows, request="object", **said, expected="Int64", found="Int64", note="string")


def compare(locked: LockedRequest, found: LockedRequest, elsewhere: Mapping[str, LockedStudy]) -> list[Change]:
    """Say what has changed for one request between what it came to and what it comes to now.

    `elsewhere` has, by Study Instance UID, what the archive has of those locked studies to which the request no longer
    leads.
    """
    if found.state is LockState.REFUSED:
        return [Change(locked.label, locked.level, Kind.UNKNOWN, note=found.note)]
    if LockState.TOO_MANY in (locked.state, found.state) or locked.state is LockState.REFUSED:
        changes = _compare_states(locked, found)
    else:
        changes = [*_compare_matches(locked, found, elsewhere)]
    now = {study.uid: study for study in found.studies}
    inside: list[Change] = []
    for study in locked.studies:
        there = now.get(study.uid) or elsewhere.get(study.uid)
        if there is not None:
            inside += _compare_study(locked, study, there)
        elif not any(study.uid == change.study for change in changes):
            changes.append(_tell_lost(locked, study))
    if found.state is LockState.CUT_SHORT:  # of what it does not name nobody knows whether it is as it was
        inside = [change for change in inside if change.kind is not Kind.LOST]
        inside.append(Change(locked.label, locked.level, Kind.UNKNOWN, note=found.note))
    return changes + inside


def _compare_states(locked: LockedRequest, found: LockedRequest) -> list[Change]:
    """Compare where one of the two does not say what matches."""
    if locked.state is found.state:
        return []
    kind, was = Kind.CHANGED, "the archive would not say what it comes to when it was locked"
    if found.state is LockState.TOO_MANY:
        kind, was = Kind.AMBIGUOUS, f"it came to {locked.count} instances when it was locked"
    elif locked.state is LockState.TOO_MANY:
        was = f"more than {locked.more_than} {locked.level.plural} matched when it was locked"
    now = found.note if found.state is LockState.TOO_MANY else f"now {found.matches} {found.level.plural} match"
    expected = locked.count if locked.studies else None
    number = None if found.state is LockState.TOO_MANY else found.count
    return [Change(locked.label, locked.level, kind, expected=expected, found=number, note=f"{was}; {now}")]


def _compare_matches(
    locked: LockedRequest, found: LockedRequest, elsewhere: Mapping[str, LockedStudy]
) -> Iterator[Change]:
    """Compare which studies the request leads to."""
    before, now = {study.uid for study in locked.studies}, {study.uid for study in found.studies}
    strayed = [study for study in locked.studies if study.uid not in now and study.uid in elsewhere]
    if strayed and not now:
        note = "the request has no match any more, though what was locked is still there; was its key changed?"
        yield Change(locked.label, locked.level, Kind.NOT_FOUND, expected=locked.count, found=0, note=note)
    elif strayed:
        for study in strayed:
            note = "the request no longer leads to this study, which is still there; was a key of it changed?"
            yield Change(locked.label, Level.STUDY, Kind.CHANGED, study.uid, note=note)
    for study in found.studies:
        if study.uid in before:
            continue
        kind, note = Kind.GAINED, "the request now leads to this study too"
        if not before:
            note = "the request had no match when it was locked"
        elif "AccessionNumber" in locked.keys and before & now:
            kind, note = Kind.AMBIGUOUS, f"the accession number now stands for {len(now)} studies, this one among them"
        elif "AccessionNumber" in locked.keys:
            kind, note = Kind.CHANGED, "the accession number now stands for this study, and for none that was locked"
        yield Change(locked.label, Level.STUDY, kind, study.uid, expected=0, found=study.count, note=note)


def _tell_lost(locked: LockedRequest, study: LockedStudy) -> Change:
    note = "the archive no longer has this study"
    if locked.level in (Level.SERIES, Level.IMAGE):
        note = f"the archive no longer has what was locked of this study at level {locked.level}"
    return Change(locked.label, Level.STUDY, Kind.LOST, study.uid, expected=study.count, found=0, note=note)


def _compare_study(locked: LockedRequest, before: LockedStudy, now: LockedStudy) -> Iterator[Change]:
    """Compare one study, series by series."""
    was, there = before.by_series, now.by_series
    home = {uid: series for series, uids in was.items() for uid in uids}
    place = {uid: series for series, uids in there.items() for uid in uids}

    def change(level: Level, kind: Kind, series: str, uids: Sequence[str], note: str) -> Change:
        named = uids if level is Level.IMAGE else ()
        expected, found = len(was.get(series, ())), len(there.get(series, ()))
        return Change(locked.label, level, kind, before.uid, series, named, expected, found, note)

    moved: dict[tuple[str, str], list[str]] = {}
    for uid, series in home.items():
        if uid in place and uid not in there.get(series, ()):
            moved.setdefault((series, place[uid]), []).append(uid)
    for (series, other), uids in sorted(moved.items()):
        note = f"{count_of(len(uids), 'instance')} of this series now in series {other}"
        yield change(Level.IMAGE, Kind.CHANGED, series, uids, note)
    for series, wanted in was.items():
        gone = [uid for uid in wanted if uid not in place]
        if series not in there and len(gone) == len(wanted):
            yield change(Level.SERIES, Kind.LOST, series, gone, "the archive no longer has this series")
        elif gone:
            note = f"the archive no longer has {count_of(len(gone), 'instance')} of this series"
            yield change(Level.IMAGE, Kind.LOST, series, gone, note)
    for series, present in there.items():
        new = [uid for uid in present if uid not in home]
        if series not in was and (new or not present):
            yield change(Level.SERIES, Kind.GAINED, series, new, "the archive has a further series in this study")
        elif new:
            yield change(
                Level.IMAGE,
                Kind.GAINED,
                series,
                new,
                f"the archive has {count_of(len(new), 'instance')} more in this series",
            )
