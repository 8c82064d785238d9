"""One record as a row of the table of requests, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from dicomover.identifier import Request
from dicomover.journal.scopes import Scope, pack_scopes, unpack_scopes
from dicomover.outcome import Counters, Status
from dicomover.privacy import Asked, DamagedRecord, Keeper
from dicomover.summary import Result

__all__ = ["COLUMNS", "Entry", "pack_row", "unpack_row"]

COLUMNS = (
    "key, asked, recorded, version, status, status_code, matches, expected, completed, failed, warning, remaining, "
    "received, bytes, attempts, started, seconds, error, failed_uids, scopes"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UIDS: dict[str, Callable[[Scope], Sequence[str]]] = {
    "StudyInstanceUID": lambda scope: (scope.study,),
    "SeriesInstanceUID": lambda scope: (scope.series,),
    "SOPInstanceUID": lambda scope: scope.sops,
}
_STATUSES = {str(status): status for status in Status}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says of one request."""

    key: str  # of the request
    result: Result  # what became of it
    recorded: datetime  # when that was written
    version: str  # the version of dicomover that wrote it
    asked: str = field(repr=False)  # what it asked for, as JSON: `archive`, `destination`, `level`, `keys`
    packed: object = field(default=b"", repr=False)

    @property
    def scopes(self) -> tuple[Scope, ...] | None:
        """What it came to; None if what stands there is of another request, or cannot be read."""
        try:
            return unpack_scopes(self.packed, self.key)
        except DamagedRecord:
            return None

    def scopes_of(self, asked: Asked, request: Request) -> tuple[Scope, ...] | None:
        """Return what a request came to; None if something here contradicts what was asked for, or itself."""
        result, scopes = self.result, self.scopes
        counters = result.counters
        numbers = (result.expected, result.received, result.bytes, result.matches, result.attempts,
                   counters.completed, counters.failed, counters.warning, counters.remaining)  # fmt: skip
        if self.asked != asked.text or scopes is None or min(filter(None, numbers), default=0) < 0:
            return None
        for key, read in _UIDS.items():
            if key in request.keys and {uid for each in scopes for uid in read(each)} != set(
                request.keys[key].split("\\")
            ):
                return None
        return scopes

    @property
    def keys(self) -> dict[str, str]:
        """What it asked for by keyword; with hashed keys only UIDs can be read."""
        try:
            return {str(key): str(value) for key, value in json.loads(self.asked)["keys"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedRecord(f"a request that cannot be read, {type(error).__name__}") from error


def pack_row(asked: Asked, result: Result, scopes: Sequence[Scope], version: str, keeper: Keeper) -> tuple[object, ...]:
    """Return the values of `COLUMNS`, recorded now."""
    counters = result.counters
    return (
        asked.key,
        asked.text,
        (datetime.now(UTC) - _EPOCH) // _MICROSECOND,
        version,
        str(result.status),
        result.status_code,
        result.matches,
        result.expected,
        counters.completed,
        counters.failed,
        counters.warning,
        counters.remaining,
        result.received,
        result.bytes,
        result.attempts,
        None if result.started is None else (result.started - _EPOCH) // _MICROSECOND,
        result.seconds,
        None if result.error is None else keeper.seal(result.error.encode(errors="backslashreplace")),
        "\\".join(result.failed_uids),
        pack_scopes(scopes, asked.key),
    )


_counters = lru_cache(10_000)(Counters)  # most of a batch are the same few


def unpack_row(row: tuple[Any, ...], keeper: Keeper) -> Entry:
    """Read the values of `COLUMNS`; raises DamagedRecord if they are not what was written."""
    try:
        # SQLite keeps whatever somebody has put into a column.
        if not all(number is None or type(number) is int for number in (row[2], *row[5:16])) or type(row[3]) is not str:
            raise TypeError("a text where a number is due")
        result = Result(
            status=_STATUSES[row[4]],
            status_code=row[5],
            matches=row[6],
            expected=row[7],
            counters=_counters(*row[8:12]),
            received=row[12],
            bytes=row[13],
            attempts=row[14],
            started=None if row[15] is None else _EPOCH + timedelta(microseconds=row[15]),
            seconds=None if row[16] is None else float(row[16]),
            error=None if row[17] is None else keeper.open(row[17]).decode(),
            failed_uids=tuple(row[18].split("\\")) if row[18] else (),
        )
        return Entry(row[0], result, _EPOCH + timedelta(microseconds=row[2]), row[3], row[1], row[19])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedRecord(f"a result that cannot be read, {type(error).__name__}") from error
