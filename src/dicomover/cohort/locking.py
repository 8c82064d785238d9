"""How a cohort is locked, and held against an archive later; over an association that somebody else has opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomover.cohort.cohort import Cohort
from dicomover.cohort.content import LockedRequest, State, hide
from dicomover.cohort.document import Document, software
from dicomover.cohort.drift import Change, Kind, compare
from dicomover.cohort.frame import rows_of
from dicomover.cohort.lookup import Contents, held_of, look_up
from dicomover.errors import CohortError, ContextRejected, ProtocolError, QueryRefused
from dicomover.node import Node
from dicomover.privacy import Hashed, Privacy, check_privacy
from dicomover.requests.check import Request
from dicomover.requests.parse import Batch
from dicomover.summary import SUMMARY_COLUMNS
from dicomover.wire.lines import Lines

__all__ = ["drift_of", "lock", "written"]

_SALT = b"dicomover cohort"
"""The same for every lockfile: with a salt of its own, no two locks of the same requests would have the same hash."""


def lock(
    batch: Batch, lines: Lines, *, archive: Node, query: Mapping[str, Any], privacy: Privacy, secret: str | bytes | None
) -> Cohort:
    """Look up every request of a batch down to the instances.

    Parameters
    ----------
    batch
        Without rows that could not be sent.
    lines
        Asks the archive.
    archive
        Who that is.
    query
        `level`, `model` and `max_matches`, as they were given.
    privacy, secret
        `hashed` keeps keyed hashes instead of keys that may name a patient.

    Raises
    ------
    NodeError
        If the archive cannot be reached any more.
    """
    check_privacy(privacy, secret)
    table = batch.given.loc[:, [name not in SUMMARY_COLUMNS for name in batch.given.columns]]
    frame, labels, rows = rows_of(table)
    contents = Contents(lines.find, archive)

    def locked(item: tuple[Request, Any, Mapping[str, Any]]) -> LockedRequest:
        request, label, row = item
        return replace(look_up(request, contents, max_matches=query["max_matches"], given=row), label=label)

    known = list(lines.map(locked, zip(batch.requests, labels, rows, strict=True)))
    kept: dict[str, str] = {"privacy": privacy}
    requests = tuple(known)
    if privacy == "hashed" and secret is not None:
        keeper = Hashed(secret, _SALT)
        kept |= {"salt": _SALT.hex(), "check": keeper.check}
        requests = tuple(hide(request, position, keeper) for position, request in enumerate(known))
    node = Node(archive.host, archive.port, ae_title=archive.ae_title)
    now = datetime.now(UTC).replace(microsecond=0)
    return Cohort(Document(requests, frame, node, query, now, software(), kept), tuple(known))


def written(cohort: Cohort, path: str | os.PathLike[str], earlier: Cohort | None) -> Cohort:
    """Write a lockfile, unless an earlier one says the same.

    Returns
    -------
    Cohort
        The earlier one if it says the same, with its time and its digests.

    Raises
    ------
    CohortError
        If the earlier one says otherwise; it stays as it is.
    """
    if earlier is None:
        cohort.save(path)
        return cohort
    if earlier.hash == cohort.hash:
        return Cohort(earlier.document, cohort.locked)
    raise CohortError(
        f"{Path(path).name} was locked on {earlier.created:%Y-%m-%d} and says otherwise than the requests and the "
        "archive do now; verify it to see what has changed in the archive, or lock anew under another name or with "
        "overwrite=True"
    )


def drift_of(cohort: Cohort, lines: Lines, *, archive: object, look_again: bool = True) -> list[Change]:
    """Say what has changed in the archive since a cohort was locked.

    Parameters
    ----------
    cohort
        What was locked.
    lines
        Asks the archive.
    archive
        What to call it in messages.
    look_again
        Whether to look the requests up again, or to look only at what they came to.

    Raises
    ------
    NodeError
        If the archive cannot be reached any more.
    """
    contents = Contents(lines.find, archive)

    def changes(item: tuple[int, LockedRequest]) -> list[Change]:
        position, locked = item
        if not look_again and not locked.studies:
            return []
        found = locked
        if look_again:
            found = look_up(locked.request(position), contents, max_matches=cohort.query["max_matches"])
        try:
            return _of_request(locked, found, contents, look_again)
        except (QueryRefused, ContextRejected, ProtocolError) as error:
            return [Change(locked.label, locked.level, Kind.UNKNOWN, note=str(error))]

    return [change for found in lines.map(changes, enumerate(cohort.locked)) for change in found]


def _of_request(locked: LockedRequest, found: LockedRequest, contents: Contents, look_again: bool) -> list[Change]:
    now = {study.uid for study in found.studies}
    if found.state is State.REFUSED:
        return compare(locked, found, {})
    strayed = [study for study in locked.studies if not look_again or study.uid not in now]
    held = {study.uid: held_of(locked, study, contents) for study in strayed}
    there = {uid: study for uid, study in held.items() if study is not None}
    if look_again:
        return compare(locked, found, there)
    return compare(locked, replace(locked, studies=tuple(there.values())), {})
