"""The journal itself: records and claims in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal, Self, get_args

from dicomover.disk import Share, check_share
from dicomover.errors import ConfigurationError, JournalError
from dicomover.identifier import Identifier, Request
from dicomover.journal import database
from dicomover.journal.costs import Cost, Costs, read_costs, write_costs
from dicomover.journal.decision import is_verified
from dicomover.journal.holdings import Holding, Holdings
from dicomover.journal.leases import LONGEST, NOBODY, Leases, Owner, read_steady_clock
from dicomover.journal.manifest import File
from dicomover.journal.rows import COLUMNS, Entry, pack_row, unpack_row
from dicomover.journal.scopes import Place, Scope
from dicomover.journal.takeover import begin
from dicomover.node import Node, name_node
from dicomover.outcome import Status
from dicomover.privacy import Asked, DamagedRecord, Keeper, Plain, Privacy, check_privacy
from dicomover.summary import Result

__all__ = ["Journal", "Sync"]

Sync = Literal["record", "renew"]

_ENTRIES = f"SELECT {COLUMNS} FROM requests"  # noqa: S608 - constants
_RECORD = f"INSERT OR REPLACE INTO requests ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(',')))})"  # noqa: S608
_UNRECORDED = (None, Status.SKIPPED, Status.INVALID)


class Journal:
    """Keeps what became of every request in one SQLite file. Every method may be called from any thread.

    Parameters
    ----------
    path
        The file, created if it is not there; SQLite keeps `cohort.db-wal` beside `cohort.db` until it is closed.
    privacy
        `plain` keeps the keys of requests as they are; `hashed` keeps a keyed hash of all that are not UIDs, so that no
        patient can be read from the file. It cannot be changed later.
    secret
        For `hashed`: at least 16 characters, the same on every run.
    lease
        Seconds after which a claim that was not renewed may be taken over by another; 4 hours at most.
    sync
        `record`: what was recorded outlives a power cut. `renew`: it outlives a kill at once, and a power cut from the
        next `renew` or `flush` on; for batches of thousands of small requests on a slow disk.
    share
        Who may read a file that is created: its `owner` alone, its `group`, or `all`; those beside it get the same.
    version
        Of dicomover, which stands beside each record; the installed one by default.

    Raises
    ------
    ConfigurationError
        From the constructor if a setting cannot be meant; from `open` if the file is foreign, newer, damaged or
        read-only, or was begun with another privacy or secret.
    JournalError
        From every other method, if the file cannot be read or written any more.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from dicomover.requests.parse import parse_requests
    >>> (request,) = parse_requests([{"AccessionNumber": "00123"}]).requests
    >>> with TemporaryDirectory() as folder:
    ...     with Journal(Path(folder, "cohort.db")) as journal:
    ...         asked = journal.asked(request, archive="ARCHIVE")
    ...         mine = journal.claim([asked.key])
    ...         recorded = journal.record(asked, Result(Status.SUCCESS, expected=7, received=7))
    ...     with Journal(Path(folder, "cohort.db")) as journal:
    ...         print(journal.entries([asked.key])[asked.key].result.status)
    success
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        privacy: Privacy = "plain",
        secret: str | bytes | None = None,
        lease: float = 120.0,
        sync: Sync = "record",
        share: Share = "owner",
        version: str | None = None,
    ) -> None:
        check_privacy(privacy, secret)
        if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 < lease <= LONGEST:
            said = f"lease={lease!r} is no number of seconds above 0, up to 4 hours"
            raise ConfigurationError(said, "give one such as 120")
        if sync not in get_args(Sync):
            raise ConfigurationError(f"sync={sync!r} is neither 'record' nor 'renew'", "choose one")
        self.path = Path(path).absolute()
        self._privacy, self._secret, self._share = privacy, secret, check_share(share)
        self._lease, self._sync, self._version = lease, sync, version or metadata.version("dicomover")
        # Guards all below, in this process; SQLite's own lock, taken inside it, stands between processes. Every method
        # that reads or writes holds it throughout, so that the connection is used by one thread at a time.
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._keeper: Keeper = Plain()
        self._leases = Leases(NOBODY, lease)
        self._held: set[str] = set()  # what the file says is ours; changes after the commit, never before
        self._renewed = 0.0  # by the steady clock; 0 if never
        self._is_wal = self._is_unsynced = self._has_former = False

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r}, privacy={self._privacy!r})"

    def again(self) -> Journal:
        """Return another one of the same file, not open yet, whose claims are its own."""
        how = {"lease": self._lease, "sync": self._sync, "share": self._share, "version": self._version}
        return Journal(self.path, privacy=self._privacy, secret=self._secret, **how)  # type: ignore[arg-type]

    # --- its life

    def open(self) -> Self:
        """Open the file, and create it if it is not there."""
        with self._lock:
            if self._connection is not None:
                return self
            connection, is_fresh = database.connect(self.path, self._share)
            try:
                settings = (self._privacy, self._secret)
                self._keeper, self._has_former = begin(connection, self.path, *settings, Holdings, is_fresh=is_fresh)
                self._is_wal = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
                self._leases = Leases(Owner.current(), self._lease)
                self._held, self._renewed, self._is_unsynced = set(), 0.0, False
            except database.BROKEN as error:
                connection.close()
                raise database.unusable(self.path, error) from database.cause_of(error)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self

    def close(self) -> None:
        """Give back every claim and close the file; what was recorded stays."""
        with self._lock:
            connection = self._connection
            if connection is None:
                return
            try:
                # Claims that cannot be given back are free at once here, and elsewhere when this process is gone.
                with contextlib.suppress(JournalError):
                    if self._renewed or self._is_unsynced:
                        with self._writing(durable=self._is_unsynced):
                            self._leases.sign_off(connection)
            finally:
                self._connection = None
                self._leases = Leases(NOBODY, self._lease)  # the claims of the one before are nobody's now
                self._held.clear()
                connection.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- records

    def asked(self, request: Request, *, archive: Node | str, destination: Node | str | None = None) -> Asked:
        """Name a request, so that the same one is known again.

        Parameters
        ----------
        request
            Its keys and its level count; its place, its label and its model do not.
        archive
            The node that is asked: two that call themselves alike have nothing in common. A text is an AE title.
        destination
            The third party that receives, likewise, or its AE title as this archive knows it; None if we do.
        """
        self._check_open()
        return self._keeper.asked(request, (name_node(archive), name_node(destination)))

    def places(self, archive: Node | str, destination: Node | str | None = None) -> tuple[Place, ...]:
        """Name where images come from and go to; if the file has that, also as an earlier version did: less surely."""
        now = Place.of(name_node(archive), name_node(destination))
        former = Place.of(*(each.ae_title if isinstance(each, Node) else each for each in (archive, destination)))
        return (now, former) if self._has_former and now != former else (now,)

    def scope(self, identifier: Identifier, patients: Iterable[str]) -> Scope:
        """Name what an identifier asks for, of these patients; of anybody's if none are named."""
        return Scope.of(identifier, self.keep_patients(patients))

    def keep_patients(self, patients: Iterable[str]) -> str:
        """Return what is kept of some PatientIDs; empty if there are none."""
        named = sorted({patient for patient in patients if patient})
        return self._keeper.value("PatientID", "\\".join(named)) if named else ""

    def record(
        self,
        asked: Asked,
        result: Result | None,
        scopes: Sequence[Scope] = (),
        *,
        place: Place | None = None,
        brought: Mapping[str, Sequence[File]] | None = None,
        whole: Iterable[tuple[Scope, int | None]] = (),
        claims: Iterable[str] = (),
        spent: Iterable[tuple[str, Cost]] = (),
    ) -> bool:
        """Write down what became of a request, and give back the claim on it. It is durable on return.

        Parameters
        ----------
        asked
            The request.
        result
            Replaces what was recorded before; None keeps that.
        scopes
            What it came to.
        place
            Where the files came from.
        brought
            The files that have come, by whose they are.
        whole
            What is complete now, with how many instances; None counts what is here.
        claims
            Further ones that are given back.
        spent
            What its C-MOVEs have cost, by modalities.

        Returns
        -------
        bool
            False if it was not written: our claim had expired, another one has taken the request over, and its record
            is verified while this one is not. What has come is written all the same.

        Raises
        ------
        ValueError
            If the request is not over, or was skipped or invalid: then there is nothing to record.
        """
        if result is not None and result.status in _UNRECORDED:
            said = "no status" if result.status is None else f"status {str(result.status)!r}"
            raise ValueError(f"a result with {said} says nothing to record; record what a C-MOVE or C-FIND came to")
        with self._lock:
            claimed = [key for key in (asked.key, *claims) if key in self._held]
            # One transaction: had somebody recorded between look and write, the better record would be lost; were the
            # claim given back in another one, a kill between them would leave it to expire.
            with self._writing(durable=self._sync == "record") as connection:
                is_outdone = asked.key in claimed and self._is_outdone(connection, asked.key, result)
                if is_written := result is not None and not is_outdone:
                    connection.execute(_RECORD, pack_row(asked, result, scopes, self._version, self._keeper))
                if place is not None:
                    holdings = Holdings(connection, self._keeper)
                    for whose, files in (brought or {}).items():
                        holdings.put(place, whose, files)
                    for scope, count in whole:
                        holdings.call_whole(place, scope, count)
                    write_costs(connection, place.number, spent)
                self._leases.give_back(connection, claimed)
            self._held.difference_update(claimed)
        return is_written

    def _is_outdone(self, connection: sqlite3.Connection, key: str, result: Result | None) -> bool:
        if result is None or is_verified(result) or self._leases.find_mine(connection, [key]):
            return False
        rows = database.select(connection, f"{_ENTRIES} WHERE key", [key])
        return any(is_verified(unpack_row(row, self._keeper).result) for row in rows)

    def entries(self, keys: Iterable[str] | None = None) -> dict[str, Entry]:
        """Return what is recorded of these requests, by key, of all if none are named; what never was has no entry."""
        with self._reading() as connection:
            everything = connection.execute(_ENTRIES) if keys is None else None
            rows = everything or database.select(connection, f"{_ENTRIES} WHERE key", keys or ())
            return {row[0]: unpack_row(row, self._keeper) for row in rows}

    def holding(self, place: Place, scope: Scope) -> Holding:
        """Return what is known to be here of a scope."""
        with self._reading() as connection:
            return Holdings(connection, self._keeper).find(place, scope)

    def costs(self, place: Place) -> Costs:
        """Return what C-MOVEs have cost from there."""
        with self._reading() as connection:
            return read_costs(connection, place.number)

    def files(self) -> list[tuple[str, tuple[File, ...]]]:
        """Return all that is known to be here, series by series, each with the name of the place that it came from."""
        with self._reading() as connection:
            return list(Holdings(connection, self._keeper).list())

    def __len__(self) -> int:
        """Return how many requests are recorded."""
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])

    # --- claims

    def claim(self, keys: Iterable[str]) -> frozenset[str]:
        """Claim requests, and return those that are ours now; the others are being worked on elsewhere.

        To hold something is to hold all that stands below it, as `BELOW` divides a key: a study and its series, say. A
        claim lasts until the request is recorded or given back, or until `lease` seconds have passed without
        `renew`. Claims of an owner that is provably dead, or that have expired, are taken over. Read the entry of a
        request after it was claimed: the one who had it before may have completed it.
        """
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            with self._writing(durable=False) as connection:
                begun = read_steady_clock()
                mine = self._leases.claim(connection, wanted)
            self._held |= mine
            self._renewed = begun
        return mine

    def renew(self) -> frozenset[str]:
        """Say that we are alive; call it at least every `lease` / 2 seconds. Returns the claims that were lost.

        It costs nothing before a third of the lease has passed. A claim is lost if it had expired, since the machine
        slept for example, and another one has taken it.
        """
        with self._lock:
            now = read_steady_clock()
            is_due = bool(self._held) and now - self._renewed >= self._lease / 3
            if not (is_due or self._is_unsynced):
                return frozenset()
            with self._writing(durable=True) as connection:
                # Signed on, nobody may take what is ours from here on; so only now is what was lost known for certain.
                self._leases.sign_on(connection)
                lost = self._held - self._leases.find_mine(connection, self._held)
            self._held -= lost
            self._renewed = now
            return frozenset(lost)

    def flush(self) -> None:
        """See that all that was recorded outlives a power cut; needed only with `sync="renew"`."""
        with self._lock:
            if self._is_unsynced:
                begun = read_steady_clock()
                with self._writing(durable=True) as connection:
                    self._leases.sign_on(connection)
                self._renewed = begun

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Give back claims on requests that were not recorded; all of ours if none are named."""
        with self._lock:
            given = list(self._held if keys is None else self._held.intersection(keys))
            if given:
                with self._writing(durable=False) as connection:
                    self._leases.give_back(connection, given)
                self._held.difference_update(given)

    def holders(self, keys: Iterable[str]) -> dict[str, str]:
        """Return who else holds some of these requests, for a message: `process 4711 on workstation`."""
        with self._reading() as connection:
            return {key: str(owner) for key, owner in self._leases.find_others(connection, keys).items()}

    # --- behind them

    def _check_open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"journal {str(self.path)!r} is not open", "use it in a `with` block")
        return self._connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection, and say what is wrong with the file if something is."""
        with self._lock:
            connection = self._check_open()
            try:
                yield connection
            except database.BROKEN as error:
                found = database.unusable(self.path, error)
                raise JournalError(found.what, found.mend) from database.cause_of(error)
            except (DamagedRecord, TypeError) as error:  # a column may hold whatever somebody has put into it
                why = error if isinstance(error, DamagedRecord) else type(error).__name__
                raise JournalError(
                    f"journal {str(self.path)!r} has a record that cannot be read ({why})",
                    "restore a copy of it, or keep it aside and name another file",
                ) from error

    @contextlib.contextmanager
    def _writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Do all of it or nothing. What need not outlive a power cut is not synced, where a log keeps it whole."""
        with self._reading() as connection:
            if self._is_wal:  # before BEGIN: inside a transaction SQLite does not change it
                connection.execute(f"PRAGMA synchronous = {'EXTRA' if durable else 'NORMAL'}")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._is_unsynced = self._is_wal and not durable and (self._is_unsynced or self._sync == "renew")
