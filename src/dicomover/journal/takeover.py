"""How a journal begins: fresh, or of an earlier schema that is made ours, all of it or nothing, and once.

Schema 2 kept the files of each request by itself, schema 1 an archive by its AE title alone. What 1 has recorded is
marked in the table `about`: it may be of another archive of that title.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from dicomover.disk import DamagedRecord, inflate
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal.database import HOLDINGS, SCHEMA_VERSION, check_schema, create
from dicomover.journal.manifest import File
from dicomover.journal.scopes import Place, Scope, pack_scopes
from dicomover.privacy import Keeper, Privacy, make_keeper, open_keeper

__all__ = ["FORMER", "begin", "take_over"]

FORMER = "former"

logger = logging.getLogger("dicomover.journal")

_COLUMNS = ("path", "sop", "in_series", "in_study", "size", "after")


class Shelves(Protocol):
    """Where what is here is kept by series; see `Holdings`."""

    def put(self, place: Place, whose: str, files: Iterable[File]) -> None:
        """Take in what came."""

    def call_whole(self, place: Place, scope: Scope) -> None:
        """Write down that a scope is complete."""


OpenShelves = Callable[[sqlite3.Connection, Keeper], Shelves]


def begin(
    connection: sqlite3.Connection,
    path: Path,
    privacy: Privacy,
    secret: str | bytes | None,
    shelves: OpenShelves,
    *,
    is_fresh: bool,
) -> tuple[Keeper, bool]:
    """Write the schema into a fresh file, or bring one up to it.

    Returns
    -------
    Keeper
        With which it was begun.
    bool
        Whether it has something of schema 1.
    """
    if is_fresh:
        keeper, about = make_keeper(privacy, secret)
        connection.execute("BEGIN IMMEDIATE")
        try:
            if check_schema(connection, path):  # nobody else was quicker
                create(connection, about)
                connection.execute("COMMIT")
                return keeper, False
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    about = dict(connection.execute("SELECT name, value FROM about"))
    opened = open_keeper(privacy, secret, about, f"journal {str(path)!r}")
    take_over(connection, path, opened, shelves)
    return opened, connection.execute("SELECT 1 FROM about WHERE name = ?", (FORMER,)).fetchone() is not None


def take_over(connection: sqlite3.Connection, path: Path, keeper: Keeper, shelves: OpenShelves) -> None:
    """Bring a file up to our schema, if it is not there yet."""
    if _version(connection) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        check_schema(connection, path)
        version = _version(connection)
        if version < SCHEMA_VERSION:  # nobody else was quicker
            logger.info("journal %r is taken over from schema %d", str(path), version)
            if version == 1:
                connection.execute("INSERT OR IGNORE INTO about VALUES (?, 'by AE title')", (FORMER,))
            for statement in (*HOLDINGS, "ALTER TABLE requests ADD COLUMN scopes BLOB NOT NULL DEFAULT x''"):
                connection.execute(statement)
            _move_details(connection, keeper, shelves(connection, keeper))
            connection.execute("DROP TABLE details")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _move_details(connection: sqlite3.Connection, keeper: Keeper, holdings: Shelves) -> None:
    """Move the files of each request to their series.

    Where the archive had named a patient, the same was recorded once more under UIDs and PatientID: those come first,
    and what they have is nobody else's too.
    """
    named: set[tuple[int, str]] = set()
    query = """SELECT key FROM requests JOIN details USING (key) ORDER BY asked NOT LIKE '%"PatientID"%'"""
    for (key,) in connection.execute(query).fetchall():
        row = "SELECT asked, status, content FROM requests JOIN details USING (key) WHERE key = ?"
        asked, status, content = connection.execute(row, (key,)).fetchone()
        try:
            place, whose = _read_asked(asked)
            identifiers, files = _unpack(keeper.open(content))
        except (DamagedRecord, TypeError):
            continue  # not known any more: it moves again
        if whose:
            named.update((place.number, file.study) for file in files)
        else:
            files = [file for file in files if (place.number, file.study) not in named]
        holdings.put(place, whose, (file._replace(request=key) for file in files))
        scopes = [Scope.of(each, whose) for each in identifiers]
        connection.execute("UPDATE requests SET scopes = ? WHERE key = ?", (pack_scopes(scopes, key), key))
        for scope in scopes if files and whose and status in ("success", "warning") else ():
            holdings.call_whole(place, scope)


def _read_asked(asked: str) -> tuple[Place, str]:
    try:
        content = json.loads(asked)
        return Place.of(content["archive"], content["destination"]), str(content["keys"].get("PatientID", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedRecord("a request that cannot be read") from error


def _unpack(packed: bytes) -> tuple[list[Identifier], list[File]]:
    """Read what was resolved, and the files, as schema 2 had them."""
    try:
        content: dict[str, Any] = json.loads(inflate(packed))
        series, studies, first = content["series"], content["studies"], content["first"]
        if not {type(part) for each in content["identifiers"] for part in each} <= {str}:
            raise TypeError("an identifier of something else than texts")
        identifiers = [Identifier(Level(level), Model(model), *uids) for level, model, *uids in content["identifiers"]]
        files = []
        for path, sop, in_series, in_study, size, after in zip(*(content[name] for name in _COLUMNS), strict=True):
            texts = (path, sop, series[in_series], studies[in_study])
            if {type(text) for text in texts} != {str} or type(size) is not int:
                raise TypeError("a file whose fields are of other types")
            files.append(File(*texts, size, int(first + after)))
    except (zlib.error, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DamagedRecord(f"details that cannot be read, {type(error).__name__}") from error
    return identifiers, files
