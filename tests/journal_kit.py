"""What the tests of the journal share."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from dicomover.identifier import Level, Request
from dicomover.journal import Asked, File, Journal, Place, Scope
from dicomover.outcome import Counters, Status
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result

SECRET = "0123456789abcdef0123456789abcdef"
FULL = Result(
    status=Status.PARTIAL,
    status_code=0xB000,
    matches=1,
    expected=9,
    counters=Counters(7, 1, 1, 0),
    received=8,
    bytes=5_000_000_000,
    attempts=3,
    started=datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    seconds=12.25,
    error="1 of 9 was refused – try again",
    failed_uids=("1.2.3", "1.2.4"),
)
DONE = Result(Status.SUCCESS, 0, expected=3, received=3, counters=Counters(3, 0, 0))


def one(keys: object, **options: str) -> Request:
    """Return the one request of an input."""
    (request,) = parse_requests(keys, **options).requests  # type: ignore[arg-type]
    return request


def asked(journal: Journal, number: int = 0) -> Asked:
    """Name the request number so and so."""
    return journal.asked(one({"AccessionNumber": f"A{number}"}), archive="ARCHIVE")


def files(*names: str, size: int = 3) -> tuple[File, ...]:
    """Return files of one series; each name is the end of its SOP Instance UID."""
    return tuple(File(f"P/1/{name}.dcm", f"1.2.{name}", "1.2", "1", size, 1_700_000_000_123_456_789) for name in names)


PLACE = Place.of("ARCHIVE", None)
STUDY = Scope(Level.STUDY, "1", "", (), "P")
"""The study that `files` are of."""


def keep(journal: Journal, kept: tuple[File, ...], number: int = 0, result: Result = DONE) -> Asked:
    """Record a request that has brought these files of patient P."""
    key = asked(journal, number)
    journal.record(key, result, (STUDY,), place=PLACE, brought={"P": kept})
    return key


class Other:
    """A connection that is closed in the end."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *error: object) -> None:
        self._connection.commit()
        self._connection.close()
