"""Which worker has which place: each is leased to one that can take it, and to no second batch."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dicomover import __version__
from dicomover.cluster.messages import LEASE, LONG_POLL, Held
from dicomover.cluster.place import Place
from dicomover.cluster.workers import Busy, Nobody, Silent, Workers
from dicomover.errors import ReceiverError
from dicomover.events import Admission

__all__ = ["Lease", "Leasing", "Seat"]

_OPENING = 60.0  # seconds until a receiver listens
_COMING = 30.0  # seconds until there is a worker
_PORT_PATIENCE = 8.0  # seconds until a port is free whose receiver has died: it finishes what is in flight

Admissions = Callable[[], Sequence[Admission]]


class Lease:
    """A place at a worker. The thread of its seat alone talks to it of events."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self.token = address, token
        self.acknowledged = 0
        self.heard = time.monotonic()
        self.unsynced: dict[Path, int] = {}  # what came and is perhaps not durable, with its number
        self.is_bad = False  # whether it answers, and does not do what it is asked to


class Seat:
    """A place, and who has it now."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lease: Lease | None = None
        self.wanted = ""  # the worker that is being asked to take it
        self.moves: set[int] = set()  # C-MOVEs that bring to it
        self.barren = self.turn = 0
        self.misses: dict[str, int] = {}  # how often a worker could not take it


class Leasing:
    """Leases the places of one batch. What it changes of a seat it changes with the lock that all of them share."""

    def __init__(
        self,
        workers: Workers,
        seats: Sequence[Seat],
        folder: Path,
        settings: Mapping[str, Any],  # of the receivers
        lock: threading.Lock,
        over: threading.Event,  # that the batch has ended
    ) -> None:
        self.batch = secrets.token_hex(6)
        self._workers, self._seats, self._folder, self._settings = workers, seats, folder, settings
        self._lock, self._over = lock, over
        self._numbers = itertools.count(1)

    def take_first(self, seat: Seat, admissions: Admissions) -> None:
        """Lease a place for the first time; raises ReceiverError if it cannot be had."""
        begun, before = time.monotonic(), None
        while not self._over.is_set():
            try:
                held = self._find_holder(seat.place) or self.lease(seat, admissions)
                if held is None:
                    return
                if before is not None and held.token == before.token and held.asked > before.asked:
                    why = f"{seat.place} belongs to another batch, which runs"
                    raise ReceiverError(why, "wait for its end, or give this one places of its own")
                before, trouble, most = held, ReceiverError(f"{seat.place} belongs to another batch"), 2 * LEASE
            except Busy as error:
                trouble, most = error, _PORT_PATIENCE
            except Silent as error:
                trouble = ReceiverError(error.what, error.mend)
                most = _COMING if isinstance(error, Nobody) else _OPENING
            if time.monotonic() - begun > most:
                raise trouble
            self._over.wait(1.5 * LONG_POLL)

    def _find_holder(self, place: Place) -> Held | None:
        """Ask all workers whether another batch has a place: on two machines both could listen at its port."""
        if not (addresses := self._workers.list_all()):
            raise Nobody("the cluster has no worker", "scale it up, and client.wait_for_workers(1)")
        answers = self._workers.ask_all(addresses, "look", (place.ae_title, place.port))
        held = [each for each in answers.values() if isinstance(each, Held)]
        return next((each for each in held if not each.token.startswith(f"{self.batch}-")), None)

    def lease(self, seat: Seat, admissions: Admissions) -> Held | None:
        """Lease a place to the worker that has fewest; raises Silent, Busy and ReceiverError."""
        place = seat.place
        if not (addresses := self._workers.list_at(place.host)):
            where = f"runs on {place.host!r}" if place.host else "is in the cluster"
            raise Nobody(f"no worker {where}, to take {place}", "start one there")
        with self._lock:
            taken = [each.lease.address if each.lease else each.wanted for each in self._seats if each is not seat]
            address: str = min(addresses, key=lambda each: (taken.count(each) + seat.misses.get(each, 0), each))
            seat.wanted = address
        token = f"{self.batch}-{next(self._numbers)}"
        with self._probe() as probe:
            told = token, __version__, probe, (place.ae_title, place.port), str(self._folder), self._settings
            try:
                held = self._workers.ask(address, "lease", *told, admissions(), seconds=_OPENING)
            except (Silent, ReceiverError) as error:
                seat.misses[address] = seat.misses.get(address, 0) + 1
                raise type(error)(f"{place} at the worker {address}: {error.what}", error.mend) from error
        if held is None:
            seat.misses.clear()
            with self._lock:
                seat.lease = Lease(address, token)
        return held  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _probe(self) -> Iterator[str]:
        """Lend a file that a worker sees if it sees our folder."""
        probe = self._folder / f".dicomover-{secrets.token_hex(6)}.probe"
        try:
            probe.touch()
        except OSError as error:
            why = f"{str(self._folder)!r} cannot be written here ({error.strerror or error})"
            raise ReceiverError(why, "the journal lies in it: mend that, or receive elsewhere") from error
        try:
            yield str(probe)
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
