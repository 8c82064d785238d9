"""What the tests of cohorts share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dicomover import Cohort, Mover, Node
from dicomover.cohort.content import Digest, LockedRequest, LockedSeries, LockedStudy, LockState
from dicomover.cohort.document import Document
from dicomover.cohort.frame import split_table
from dicomover.identifier import Level, Model
from dicomover.testing import DemoPacs

SECRET = "a long and good secret"


def study(uid: str, series: Mapping[str, Sequence[str]]) -> LockedStudy:
    """Make a locked study of series with their instances."""
    return LockedStudy(uid, tuple(LockedSeries(name, "CT", tuple(uids)) for name, uids in series.items()))


def locked(*studies: LockedStudy, label: Any = 0, state: LockState | None = None, **rest: Any) -> LockedRequest:
    """Make a locked request by accession number."""
    keys = {"AccessionNumber": "1"}
    was = state or (LockState.FOUND if studies else LockState.NOT_FOUND)
    values = {"level": Level.STUDY, "model": Model.STUDY, "keys": keys, "given": keys, **rest}
    return LockedRequest(label, state=was, studies=studies, **values)


def cohort_of(*requests: LockedRequest, digests: Mapping[str, Digest] | None = None) -> Cohort:
    """Make a cohort that was never at an archive."""
    table = pd.DataFrame([request.given for request in requests], index=[request.label for request in requests])
    frame, _, _ = split_table(table)
    node = Node("pacs.example.org", 104, ae_title="ARCHIVE")
    query = {"level": "auto", "model": "auto", "max_matches": 100}
    moment, versions = datetime(2026, 1, 2, tzinfo=UTC), {"dicomover": "0.1.0"}
    document = Document(requests, frame, node, query, moment, versions, {"privacy": "plain"}, digests or {})
    return Cohort(document, requests)


def receiving(pacs: DemoPacs, folder: Path, **options: Any) -> Mover:
    """Return a Mover that receives, open, and known to the demo archive."""
    mover = Mover(pacs.node, receive=folder, port=0, progress="none", retry="none", **options).open()
    pacs.destinations["MOVESCU"] = mover.port
    return mover


def kinds(drift: pd.DataFrame) -> list[tuple[object, str, str]]:
    """Return what a table of drift says, in short."""
    return [(row.request, row.level, row.kind) for row in drift.itertuples()]


def content_of(path: Path) -> dict[str, Any]:
    """Return a lockfile as JSON."""
    return dict(json.loads(path.read_text(encoding="utf-8")))
