"""What is here, by series: from which archive, whose, where and since when; whichever request brought it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from dicomover.identifier import Level
from dicomover.journal.manifest import File, Manifest, pack_files, unpack_files
from dicomover.journal.scopes import Place, Scope, bind
from dicomover.privacy import DamagedRecord, Keeper

__all__ = ["Holding", "Holdings"]

_FIND = """SELECT studies.id, study, whose, studies.whole, series, series.whole, count, files
    FROM studies LEFT JOIN series ON of = studies.id WHERE"""
_STUDY = "SELECT id FROM studies WHERE study = ? AND place = ? AND whose = ?"


@dataclass(frozen=True, slots=True)
class Holding:
    """What is known of a scope."""

    # its files, as they came
    manifest: Manifest = Manifest()  # noqa: RUF009 - frozen
    count: int = 0  # how many instances there are of it: here, or at a third party by what the archive has counted
    whole: int | None = None  # how many there were when it was last known to be complete; None if it never was


class Holdings:
    """The tables of what is here. Every method works in the transaction that is open, under the journal's lock."""

    def __init__(self, connection: sqlite3.Connection, keeper: Keeper) -> None:
        self._connection = connection
        self._keeper = keeper

    def find(self, place: Place, scope: Scope) -> Holding:
        """Return what is known of a scope; nothing where it is known of several patients and nobody says of whom."""
        if scope.level is Level.PATIENT:
            where, values = "whose = ? AND place = ?", [scope.whose, place.number]
        else:
            where, values = "study = ? AND place = ?", [scope.study, place.number]
            if scope.whose:
                where, values = f"{where} AND whose = ?", [*values, scope.whose]
        rows = self._connection.execute(f"{_FIND} {where}", values).fetchall()
        if len({row[2] for row in rows}) > 1 or not rows:
            return Holding()
        if scope.series:
            rows = [row for row in rows if row[4] == scope.series]
        wholes = {row[1]: row[5 if scope.series else 3] for row in rows}
        rows = [row for row in rows if row[4] is not None]
        parts = [self._unpack(row[7], bind(place.number, row[2], row[1], row[4]), row[1], row[4]) for row in rows]
        files = tuple(file for part in parts for file in part if not scope.sops or file.sop in scope.sops)
        count = sum(_number(row[6]) for row in rows)
        whole = wholes.get("" if scope.level is Level.PATIENT else scope.study)
        if scope.sops:
            count, whole = len({file.sop for file in files}), None
        return Holding(Manifest(files), count, None if whole is None else _number(whole))

    def put(self, place: Place, whose: str, files: Iterable[File]) -> None:
        """Take in what came."""
        ordered = sorted(files, key=_series_of)
        for (study, series), came in groupby(ordered, _series_of):
            of = self._study(place, study, whose)
            query = "SELECT rowid, files FROM series WHERE of = ? AND series = ?"
            known = self._connection.execute(query, (of, series)).fetchone()
            bond = bind(place.number, whose, study, series)
            merged = Manifest(self._unpack(known[1], bond, study, series) if known else ()).merge(_last_of_each(came))
            packed = self._keeper.seal(pack_files(merged.files, bond))
            if known:
                update = "UPDATE series SET count = ?, files = ? WHERE rowid = ?"
                self._connection.execute(update, (merged.count, packed, known[0]))
            else:
                insert = "INSERT INTO series (of, series, count, files) VALUES (?, ?, ?, ?)"
                self._connection.execute(insert, (of, series, merged.count, packed))

    def call_whole(self, place: Place, scope: Scope, count: int | None = None) -> None:
        """Write down that a scope is complete, with so many instances; None counts what is here."""
        if scope.level is Level.IMAGE:
            return
        known = self._connection.execute(
            "SELECT DISTINCT whose FROM studies WHERE study = ? AND place = ?", (scope.study, place.number)
        ).fetchall()
        # Where nobody says whose it is, those who are known are the only ones: see `find`.
        whose = known[0][0] if not scope.whose and len(known) == 1 else scope.whose
        if count is None and scope.level is Level.PATIENT:
            count = self.find(place, scope).count
        elif count is None:
            query = "SELECT sum(count) FROM series JOIN studies ON of = id WHERE study = ? AND place = ? AND whose = ?"
            query, values = f"{query} AND (? IN ('', series))", (scope.study, place.number, whose, scope.series)
            count = self._connection.execute(query, values).fetchone()[0]
        if not count:
            return
        of = self._study(place, scope.study if scope.level is not Level.PATIENT else "", whose)
        if scope.level is Level.SERIES:
            insert = "INSERT OR IGNORE INTO series (of, series, count, files) VALUES (?, ?, ?, ?)"
            if not self._has_series(of, scope.series):
                empty = pack_files((), bind(place.number, whose, scope.study, scope.series))
                self._connection.execute(insert, (of, scope.series, count, self._keeper.seal(empty)))
            update = "UPDATE series SET whole = ?, count = max(count, ?) WHERE of = ? AND series = ?"
            self._connection.execute(update, (count, count, of, scope.series))
            return
        self._connection.execute("UPDATE studies SET whole = ? WHERE id = ?", (count, of))
        if scope.level is Level.STUDY:
            self._connection.execute("UPDATE series SET whole = count WHERE of = ?", (of,))

    def list(self) -> Iterator[tuple[str, tuple[File, ...]]]:
        """Yield all that is here, series by series, with the name of the place that it came from."""
        query = """SELECT name, place, whose, study, series, files FROM series JOIN studies ON of = studies.id
            JOIN places ON place = places.number ORDER BY series.rowid"""
        for name, place, whose, study, series, packed in self._connection.execute(query):
            yield name, self._unpack(packed, bind(place, whose, study, series), study, series)

    def _study(self, place: Place, study: str, whose: str) -> int:
        """Return the number of a study of somebody at a place; a new one if it has none."""
        values = (study, place.number, whose)
        found = self._connection.execute(_STUDY, values).fetchone()
        if found:
            return int(found[0])
        self._connection.execute("INSERT OR IGNORE INTO places (number, name) VALUES (?, ?)", place)
        cursor = self._connection.execute("INSERT INTO studies (study, place, whose) VALUES (?, ?, ?)", values)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _has_series(self, of: int, series: str) -> bool:
        query = "SELECT 1 FROM series WHERE of = ? AND series = ?"
        return self._connection.execute(query, (of, series)).fetchone() is not None

    def _unpack(self, packed: object, bond: str, study: str, series: str) -> tuple[File, ...]:
        if type(packed) is not bytes:
            raise DamagedRecord("files that are no bytes")
        return unpack_files(self._keeper.open(packed), bond, study, series)


def _series_of(file: File) -> tuple[str, str]:
    return file.study, file.series


def _last_of_each(files: Iterable[File]) -> Collection[File]:
    """Return the file of each instance that came last."""
    return {file.sop: file for file in files}.values()


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise DamagedRecord("a count that is none")
    return value
