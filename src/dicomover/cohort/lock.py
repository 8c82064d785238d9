"""How a cohort is locked, over associations that somebody else has opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomover.cohort.cohort import Cohort
from dicomover.cohort.content import LockedRequest, LockState, hide
from dicomover.cohort.document import Document, list_versions
from dicomover.cohort.frame import split_table
from dicomover.cohort.lookup import Contents, look_up
from dicomover.disk import Share
from dicomover.errors import CohortError
from dicomover.identifier import Level, Model, Request
from dicomover.node import Node
from dicomover.privacy import Hashed, Privacy
from dicomover.query.lists import UidLists
from dicomover.requests.parse import Batch
from dicomover.summary import SUMMARY_COLUMNS
from dicomover.text.face import setting
from dicomover.wire.lines import Lines

__all__ = ["lock_requests", "write_lockfile"]

_SALT = b"dicomover cohort"
"""The same for every lockfile: with a salt of its own, no two locks of the same requests would have the same hash."""


def lock_requests(
    batch: Batch, lines: Lines, *, archive: Node, query: Mapping[str, Any], privacy: Privacy, secret: str | bytes | None
) -> Cohort:
    """Look up every request of a batch, down to the instances; a row that cannot be asked for is locked as that.

    `query` has `level`, `model` and `max_matches`, as they were given. Raises NodeError if the archive cannot be
    reached any more.
    """
    table = batch.given.loc[:, [name not in SUMMARY_COLUMNS for name in batch.given.columns]]
    frame, labels, rows = split_table(table)
    contents = Contents(UidLists(archive.quirks.lists).wrap(lines.find), archive)

    def locked(request: Request) -> LockedRequest:
        at = request.position
        return replace(look_up(request, contents, max_matches=query["max_matches"], given=rows[at]), label=labels[at])

    found = iter(lines.map(locked, batch.requests))
    known = [
        LockedRequest(label, Level.STUDY, Model.STUDY, {}, row, LockState.INVALID, note=batch.tell_problems(position))
        if position in batch.problems
        else next(found)
        for position, (label, row) in enumerate(zip(labels, rows, strict=True))
    ]
    kept: dict[str, str] = {"privacy": privacy}
    keeper = None
    requests = tuple(known)
    if privacy == "hashed" and secret is not None:
        keeper = Hashed(secret, _SALT)
        kept = keeper.kept
        requests = tuple(hide(request, position, keeper) for position, request in enumerate(known))
    node = Node(archive.host, archive.port, ae_title=archive.ae_title)
    now = datetime.now(UTC).replace(microsecond=0)
    document = Document(requests, frame, node, query, now, list_versions(), kept)
    if keeper is not None:
        document = replace(document, mac=document.sign(keeper))
    return Cohort(document, tuple(known), keeper)


def read_earlier(path: str | os.PathLike[str]) -> Cohort | None:
    """Return what is locked at a path already, None if nothing is there; raises CohortError if it is another file."""
    try:
        return Cohort.load(path) if Path(path).exists() else None
    except CohortError as error:
        mend = f"name another file for the lockfile, or replace that one with {setting('overwrite', True)}"
        raise CohortError(f"there is a file already, and {error.what}", mend) from None


def write_lockfile(
    cohort: Cohort, path: str | os.PathLike[str], earlier: Cohort | None, share: Share = "owner"
) -> Cohort:
    """Write a lockfile; if an earlier one says the same, that is returned, with its time and its digests.

    Raises CohortError if the earlier one says otherwise; it stays as it is.
    """
    if earlier is None:
        cohort.save(path, share)
        return cohort
    if earlier.hash == cohort.hash:
        if cohort.keeper is not None:
            earlier.document.check_mac(cohort.keeper, Path(path).name)
        return Cohort(earlier.document, cohort.locked, cohort.keeper)
    raise CohortError(
        f"{Path(path).name} was locked on {earlier.created:%Y-%m-%d} and says otherwise than the requests and the "
        "archive do now",
        "verify it to see what has changed in the archive, or lock anew under another name or with "
        f"{setting('overwrite', True)}",
    )
