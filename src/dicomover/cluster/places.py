"""Places: Storage SCPs on the workers of a cluster, which a batch sees as the one where its images arrive."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dicomover.cluster.leasing import Lease, Leasing, Seat
from dicomover.cluster.messages import LEASE, LONG_POLL, Event
from dicomover.cluster.place import Place
from dicomover.cluster.workers import Gone, Silent, Workers
from dicomover.disk import make_folders
from dicomover.errors import ReceiverError
from dicomover.events import Admission, Arrival, Offer
from dicomover.policy.pace import Wait
from dicomover.text.sentences import count_of
from dicomover.text.traces import tell_trace

__all__ = ["Places"]

logger = logging.getLogger("dicomover.mover")

_WITHOUT = 600.0  # seconds without any place after which a batch is given up
_CLOSING = 6.0
_BARREN = 8  # C-MOVEs in a row that brought nothing to a place, as far as that is counted


@dataclass(slots=True)
class _Sent:
    """A C-MOVE under way: to which place, and whether that was lost since."""

    admission: Admission
    seat: Seat | None
    is_lost: bool = False
    end: Callable[[], None] | None = None


class Places:
    """The places of a batch, as its `StorageSCP` and as its `Destinations`.

    Each place has a thread here, which alone leases it, hears what has come there, and finds out that it is lost: what
    was told and not heard by then is lost with it, so its C-MOVEs are ended and sent again, and what is on the disk
    already turns out to be a duplicate. One lock holds what the threads share; nobody asks a worker with it.
    """

    def __init__(
        self,
        workers: Workers,
        places: Sequence[Place],
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],  # of the receivers, but for folder, AE title and port
        *,
        keeps_journal: bool = True,  # whether `sync` is going to be called
    ) -> None:
        self.on_event: Callable[[Event], None] = lambda _: None
        self.tell: Callable[[str], None] = lambda _: None  # takes what a person should know
        self._workers, self._folder, self._settings = workers, Path(os.path.abspath(folder)), settings  # noqa: PTH100
        self._root = self._folder  # as its files are named, whatever links lead to it
        self._keeps_journal, self.count = keeps_journal, len(places)
        self._lock, self._delivering = threading.Lock(), threading.Lock()
        self._over = threading.Event()
        self._seats = [Seat(place) for place in places]
        self._leasing = Leasing(workers, self._seats, self._folder, settings, self._lock, self._over)
        self._turns = itertools.count(1)
        self._sent: dict[int, _Sent] = {}
        self._came_to: dict[str, str] = {}  # series, to the worker that has had the latest of it
        self._orphans: list[Path] = []  # what came to places that were lost before it was made durable
        self._threads: list[threading.Thread] = []
        self._had_one = time.monotonic()
        self._failed: ReceiverError | None = None
        self.last_activity = self.last_call = time.monotonic()

    # --- life

    def start(self) -> None:
        """Lease every place; raises ReceiverError if one cannot be had."""
        make_folders(self._folder, self._settings.get("share", "owner"))
        self._root = self._folder.resolve()
        troubles: list[ReceiverError] = []

        def keep(seat: Seat) -> None:
            try:
                self._leasing.take_first(seat, self._admissions)
            except ReceiverError as error:
                troubles.append(error)
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.error("a place cannot be leased\n%s", tell_trace(error))
                troubles.append(ReceiverError(f"{seat.place} cannot be leased ({type(error).__name__})"))
            finally:
                begun.release()
            self._keep(seat)

        begun = threading.Semaphore(0)
        for seat in self._seats:
            thread = threading.Thread(target=keep, args=(seat,), name=f"dicomover {seat.place.ae_title}", daemon=True)
            self._threads.append(thread)
            thread.start()
        try:
            for _ in self._seats:
                begun.acquire()
                if troubles:
                    raise troubles[0]
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Give all places back, within seconds."""
        self._over.set()
        with self._lock:
            addresses = {seat.lease.address if seat.lease else seat.wanted for seat in self._seats} - {""}
        if addresses and not self._workers.is_closed:
            self._workers.ask_all(sorted(addresses), "release", self._leasing.batch, seconds=_CLOSING)
        limit = time.monotonic() + _CLOSING
        for thread in self._threads:
            thread.join(max(limit - time.monotonic(), 0))

    # --- what a batch knows of where images arrive

    @property
    def port(self) -> int:
        """That of the first place."""
        return self._seats[0].place.port

    @property
    def failed(self) -> ReceiverError | None:
        """Why no image can come any more."""
        if self._failed is None and not self._over.is_set():
            again = "run it again: what is here is not moved again"
            if self._workers.is_closed:
                self._failed = ReceiverError("the Dask client has been closed", f"make another one, and {again}")
            elif not self._count() and time.monotonic() - self._had_one > _WITHOUT:
                why = f"no worker of the cluster has taken a place for {_WITHOUT / 60:.0f} minutes"
                self._failed = ReceiverError(why, f"see why, and {again}")
        return self._failed

    def admit(self, admission: Admission) -> None:
        """Choose a place for a C-MOVE, unless it has one, and let in there what it may bring; see `lend`."""
        move = admission.move
        with self._lock:
            sent = self._sent.get(move)
            if sent is None:
                seat = self._choose()
                sent = self._sent[move] = _Sent(admission, seat, is_lost=seat is None)
                if seat is not None:
                    seat.moves.add(move)
            sent.admission = admission
            lease = None if sent.seat is None else sent.seat.lease
        while not sent.is_lost and lease is not None and not self._over.is_set():
            try:
                self._workers.ask(lease.address, "admit", lease.token, admission)
                return
            except Silent:  # whether it is lost, the thread of its seat finds out
                self._over.wait(0.2)
            except ReceiverError:
                lease.is_bad = True
                self._over.wait(0.2)

    def ask_offers(self) -> dict[str, Offer]:
        """Return how the archive has offered each SOP Class when it last called, as far as that is known."""
        with self._lock:
            addresses = {seat.lease.address for seat in self._seats if seat.lease is not None}
        answers = self._workers.ask_all(sorted(addresses), "offers", self._leasing.batch).values()
        return {uid: offer for each in answers if isinstance(each, dict) for uid, offer in each.items()}

    def dismiss(self, *moves: int) -> None:
        """Do nothing: what was admitted is let in until the place is given back, which is when the batch ends."""

    def sync(self) -> None:
        """Make durable what has come, to places that were lost since too; raises ReceiverError if it cannot be."""
        while not self._over.is_set():
            with self._lock:
                leases = {
                    seat.lease: seat.lease.acknowledged for seat in self._seats if seat.lease and seat.lease.unsynced
                }
            if not (tokens := {lease.token: lease for lease in leases}):
                break
            addresses = {lease.address for lease in tokens.values()}
            answers = self._workers.ask_all(sorted(addresses), "sync", list(tokens), seconds=300)
            for answer in answers.values():
                if isinstance(answer, ReceiverError):
                    raise answer
            synced = {token for answer in answers.values() if isinstance(answer, list) for token in answer}
            with self._lock:
                for lease in map(tokens.__getitem__, synced):
                    lease.unsynced = {path: number for path, number in lease.unsynced.items() if number > leases[lease]}
            if len(synced) == len(tokens):
                break
            self._over.wait(0.2)  # whether one is lost, the thread of its seat finds out
        self._sync_orphans()

    def _sync_orphans(self) -> None:
        with self._lock:
            orphans, self._orphans = self._orphans, []
        try:
            gone = _make_durable(orphans, self._root)
        except OSError as error:
            with self._lock:
                self._orphans += orphans
            why = f"what came to a place that was lost is not safe on disk ({error.strerror or error})"
            raise ReceiverError(why, "run it again: what is missing is moved again") from error
        if gone:
            files = count_of(gone, "file that came to a place that was lost is", "files that came to lost places are")
            self._say(f"{files} not there any more; run it again to move them, if nobody has taken them away")

    # --- to which place a C-MOVE goes

    def find_wait(self) -> Wait | None:
        """Return how long to wait until there is a place; raises ReceiverError if there is going to be none."""
        if (failed := self.failed) is not None:
            raise failed
        return None if self._count() else Wait(1.0, "no place is left: waiting for a worker of the cluster")

    def find(self, move: int) -> Place:
        """Say to which place a C-MOVE goes, or would have gone."""
        with self._lock:
            sent = self._sent.get(move)
            return self._seats[0].place if sent is None or sent.seat is None else sent.seat.place

    @contextlib.contextmanager
    def lend(self, move: int, end: Callable[[], None]) -> Iterator[str | None]:
        """Lend the AE title to which a C-MOVE that was admitted goes; None if its place is lost. `end` ends it."""
        with self._lock:
            sent = self._sent[move]
            sent.end = end
            title = None if sent.is_lost or sent.seat is None else sent.seat.place.ae_title
        try:
            yield title
        finally:
            with self._lock:
                sent.end = None

    def hear_out(self, move: int, is_stopping: Callable[[], bool]) -> None:
        """Wait until all that has come to the place of a C-MOVE by now is told here, or the place is lost."""
        with self._lock:
            sent = self._sent.get(move)
            lease = None if sent is None or sent.seat is None else sent.seat.lease
        count: int | None = None
        while sent is not None and lease is not None and not (sent.is_lost or is_stopping() or self._over.is_set()):
            if count is None:
                with contextlib.suppress(Silent):
                    count = self._workers.ask(lease.address, "count", lease.token, seconds=3)
            elif lease.acknowledged >= count:
                return
            self._over.wait(0.02)

    def is_lost(self, move: int) -> bool:
        """Tell whether the place of a C-MOVE was lost since it was chosen."""
        with self._lock:
            sent = self._sent.get(move)
            return sent is not None and sent.is_lost

    def conclude(self, move: int, *, brought: bool, is_unknown: bool) -> bool:
        """Take in what a C-MOVE came to; tell whether it is to be sent again, since its place was to blame.

        It was if it is lost, or if the archive does not know it and another one may do. A place to which nothing comes
        is chosen less: else it would be free at once, and take all.
        """
        with self._lock:
            sent = self._sent.pop(move, None)
            if sent is None or sent.seat is None or sent.is_lost:
                return sent is not None
            seat = sent.seat
            seat.moves.discard(move)
            seat.barren = 0 if brought else min(seat.barren + 1, _BARREN)
            return is_unknown and any(each.lease and each.barren < seat.barren for each in self._seats)

    def find_worker(self, series: str) -> str | None:
        """Return the address of the worker to which a series came, if it has a place still."""
        address = self._came_to.get(series)
        return address if any(seat.lease and seat.lease.address == address for seat in self._seats) else None

    def _admissions(self) -> list[Admission]:
        """Return what runs, wherever: what is late for a place comes to whoever has it next."""
        with self._lock:
            return [sent.admission for sent in self._sent.values()]

    def _count(self) -> int:
        count = sum(seat.lease is not None for seat in self._seats)
        if count:
            self._had_one = time.monotonic()
        return count

    def _choose(self) -> Seat | None:
        """Return the place with least to do, the one that has rested longest of these; called with the lock."""
        here = [seat for seat in self._seats if seat.lease is not None]
        if not here:
            return None
        chosen = min(here, key=lambda seat: (len(seat.moves) + seat.barren, seat.turn))
        chosen.turn = next(self._turns)
        return chosen

    # --- leases, each on the thread of its place

    def _keep(self, seat: Seat) -> None:
        while not self._over.is_set():
            lease = seat.lease
            try:
                if lease is not None:
                    self._listen(seat, lease)
                elif self._leasing.lease(seat, self._admissions) is None:
                    self._say(f"{seat.place} is at a worker again")
            except (Silent, ReceiverError) as error:  # no worker yet, or its port is still taken
                logger.debug("%s", error)
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.error("the place %s could not be kept\n%s", seat.place, tell_trace(error))
            if seat.lease is None:
                self._over.wait(0.5)

    def _listen(self, seat: Seat, lease: Lease) -> None:
        """Hear what has come to a place, or find out that it is lost."""
        try:
            if lease.is_bad:
                self._workers.ask(lease.address, "release", lease.token)
                raise Gone("its receiver fails")
            taken = self._workers.ask(lease.address, "take", lease.token, lease.acknowledged, LONG_POLL, seconds=3)
        except Silent as error:
            if isinstance(error, Gone) or self._is_over(lease):
                self._lose(seat, lease, error)
            else:
                self._over.wait(0.2)
            return
        here = lease.heard = time.monotonic()
        self.last_activity = max(self.last_activity, here - taken.quiet)
        self.last_call = max(self.last_call, here - taken.uncalled)
        for number, age, event in taken.events:
            if number > lease.acknowledged:
                self._deliver(lease, number, replace(event, at=here - age))

    def _deliver(self, lease: Lease, number: int, event: Event) -> None:
        """Tell what was heard: one at a time, whichever place it is of."""
        with self._lock:
            if isinstance(event, Arrival):
                event = replace(event, path=self._root / event.path)
                self._came_to[event.series_instance_uid] = lease.address
                if self._keeps_journal:
                    lease.unsynced[event.path] = number
        with self._delivering:
            try:
                self.on_event(event)
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.error("the listener of the places' events raised\n%s", tell_trace(error))
        lease.acknowledged = number

    def _is_over(self, lease: Lease) -> bool:
        """Tell whether a worker that does not answer is gone, or its lease has ended meanwhile."""
        if time.monotonic() - lease.heard > LEASE:
            return True
        try:
            return not self._workers.has(lease.address)
        except Silent:  # the scheduler is away: nobody knows, until the lease ends
            return False

    def _lose(self, seat: Seat, lease: Lease, why: Exception) -> None:
        """Give a place up, and end what was on its way there."""
        with self._lock:
            seat.lease, seat.wanted = None, ""
            seat.misses[lease.address] = seat.misses.get(lease.address, 0) + 1
            self._orphans += lease.unsynced
            lost = [self._sent[move] for move in seat.moves if move in self._sent]
            seat.moves.clear()
            for sent in lost:
                sent.is_lost = True
                if sent.end is not None:  # with the lock: afterwards its association may carry another one
                    sent.end()
        if not self._over.is_set():
            self._say(f"{seat.place} is lost with its worker ({why}); what was on its way there is moved again")

    def _say(self, text: str) -> None:
        logger.info("%s", text)
        self.tell(text)


def _make_durable(paths: Sequence[Path], root: Path) -> int:
    """Make files durable that another machine has written below a folder; return how many are gone. Raises OSError."""
    folders: set[Path] = set()
    gone = 0
    for path in paths:
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        except FileNotFoundError:
            gone += 1
            continue
        folders.update(each for each in path.parents if each.is_relative_to(root))
    for folder in folders if os.name != "nt" else ():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return gone
