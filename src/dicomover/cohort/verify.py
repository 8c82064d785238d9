"""How a cohort is held against an archive later, over associations that somebody else has opened."""

from __future__ import annotations

from dataclasses import replace

from dicomover.cohort.cohort import Cohort
from dicomover.cohort.content import LockedRequest, LockState
from dicomover.cohort.drift import Change, Kind, compare
from dicomover.cohort.lookup import Contents, find_held, look_up
from dicomover.errors import ConfigurationError, ContextRejected, ProtocolError, QueryRefused
from dicomover.node import Node
from dicomover.query.lists import UidLists
from dicomover.text.face import setting
from dicomover.wire.lines import Lines

__all__ = ["check_readable", "find_drift"]


def check_readable(cohort: Cohort, look_again: bool) -> None:
    """Refuse what cannot be held against an archive.

    Raises ConfigurationError if it is no `Cohort`, or its requests are to be looked up again and cannot be read.
    """
    if not isinstance(cohort, Cohort):
        raise ConfigurationError(
            f"verify() takes a Cohort, not {type(cohort).__name__}", "read a lockfile with Cohort.load(path)"
        )
    if look_again and not cohort.is_readable:
        raise ConfigurationError(
            "the keys of this cohort are hashed, so its requests cannot be looked up again",
            f"load it with {setting('secret')}, or compare only what was locked with {setting('look_again', False)}",
        )


def find_drift(cohort: Cohort, lines: Lines, *, archive: Node, look_again: bool = True) -> list[Change]:
    """Say what has changed in the archive since a cohort was locked.

    `look_again` looks the requests up again, and not only what they came to. Raises NodeError if the archive cannot be
    reached any more.
    """
    contents = Contents(UidLists(archive.quirks.lists).wrap(lines.find), archive)

    def changes(item: tuple[int, LockedRequest]) -> list[Change]:
        position, locked = item
        if locked.state is LockState.INVALID or (not look_again and not locked.studies):
            return []
        found = locked
        if look_again:
            found = look_up(locked.request(position), contents, max_matches=cohort.query["max_matches"])
        try:
            return _compare_request(locked, found, contents, look_again)
        except (QueryRefused, ContextRejected, ProtocolError) as error:
            return [Change(locked.label, locked.level, Kind.UNKNOWN, note=str(error))]

    return [change for found in lines.map(changes, enumerate(cohort.locked)) for change in found]


def _compare_request(locked: LockedRequest, found: LockedRequest, contents: Contents, look_again: bool) -> list[Change]:
    now = {study.uid for study in found.studies}
    if found.state is LockState.REFUSED:
        return compare(locked, found, {})
    strayed = [study for study in locked.studies if not look_again or study.uid not in now]
    held = {study.uid: find_held(locked, study, contents) for study in strayed}
    there = {uid: study for uid, study in held.items() if study is not None}
    if look_again:
        return compare(locked, found, there)
    return compare(locked, replace(locked, studies=tuple(there.values())), {})
