"""Which arrivals belong to which running C-MOVE, and how many are here; fed by the receiver, read by the workers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from dicomover.batch.running import RunningMove
from dicomover.errors import ReceiverError
from dicomover.events import MOST_SIGNS, Admission, Arrival, Noted, Offer, Refusal, Refused
from dicomover.outcome import SUCCESS, Ended, weigh
from dicomover.query.targets import Target
from dicomover.text.face import setting
from dicomover.wire.responses import MoveEnd

__all__ = ["COUNTING_SECONDS", "STRAGGLER_SECONDS", "StorageSCP", "Tally", "bound_wait"]

STRAGGLER_SECONDS = 3.0
"""How long it must be quiet after a final response before we stop waiting for what the archive says it has sent."""

_NOBODY_KNOWS = 1 << 62  # how many instances are due: only silence tells that all are here
_MOST_KINDS = 20  # of refusals that are kept for a C-MOVE: strangers may think of any number
_MORE, _BEYOND = 10, 10_000  # by how much an archive may have miscounted what it sends, and be at work still
_NOT_AUTHORISED = 0x0124  # our answer to what nobody has asked for

COUNTING_SECONDS = 0.1
"""The same where the archive says that it has sent nothing."""

logger = logging.getLogger("dicomover.mover")


class StorageSCP(Protocol):
    """Where the images arrive: as much of our receiver as a batch may know. Every method may be called from any thread.

    It reports each `Arrival` and `Refusal` on a thread of its own, never two at a time.
    """

    @property
    def port(self) -> int:
        """Where it listens; 0 if nowhere, and images come by C-GET alone."""

    @property
    def failed(self) -> ReceiverError | None:
        """Why it has ended without being asked to; None while all is well."""

    @property
    def last_activity(self) -> float:
        """`time.monotonic()` of the last bytes of an instance that was asked for."""

    @property
    def last_call(self) -> float:
        """The same of anything that came in an association, or of its beginning; it may be a stranger's."""

    def admit(self, admission: Admission) -> None:
        """Let in what a C-MOVE may bring; in force when this returns. Raises ReceiverError."""

    def ask_offers(self) -> Mapping[str, Offer]:
        """Return how the archive has offered each SOP Class when it last called. Raises ReceiverError."""

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""

    def sync(self) -> None:
        """Make durable what has come. Raises ReceiverError."""


class Tally:
    """The running moves and their arrivals.

    `add` and `add_refusal` run on the receiver's thread, `begin`, `wait` and `end` on the worker that sends the C-MOVE,
    `hurry` on whichever thread cancels. One lock holds all that they share, the sets of a `RunningMove` included:
    from `begin` to `end` nobody touches those without it. `begin` has to come before the C-MOVE is sent, and `end`
    after the last `wait`, or arrivals are counted for nobody.
    """

    def __init__(
        self,
        ae_title: str,  # the Move Destination's, which is ours
        scp: StorageSCP,  # where they arrive
        archive: str = "",  # the AE title of the archive, which shows that a refused call was its own
        *,
        # whether nobody but named addresses can send to us, so that a Move Originator is a proof
        trusts_originators: bool = False,
        headers_only: bool = False,  # whether what comes without its pixels counts
        tell: Callable[[Noted], None] = lambda _: None,  # takes what a person should know
    ) -> None:
        self.scp = scp
        # Whether anything of a C-MOVE has come, taken or refused: the archive knows the way. Once True it stays so.
        self.is_reached = False
        # takes each arrival that was not here before, and the numbers of the moves that have it
        self.on_counted: Callable[[Arrival, list[int]], None] = lambda *_: None
        self._ae_title = ae_title
        self._archive = archive
        self._trusts_originators = trusts_originators
        self._headers_only = headers_only
        self._tell = tell
        self._addresses: set[str] = set()
        self._advice = f"{setting('addresses')} names who may send"  # in the words of the thread that makes the batch
        self._running: dict[int, RunningMove] = {}
        self._changed = threading.Condition(threading.RLock())
        self._longest_quiet = STRAGGLER_SECONDS

    def begin(self, move: RunningMove) -> None:
        """Count arrivals for a move from now on."""
        move.begin()
        with self._changed:
            self._running[move.number] = move

    def admit(self, move: RunningMove, archive: str, expected: int | None = None) -> None:
        """Let in what a move may bring, from an archive that answers at this address; raises ReceiverError."""
        self.know(archive)
        move.most = MOST_SIGNS if expected is None else _MORE * expected + _BEYOND
        self.scp.admit(replace(move.admission(archive), headers_only=self._headers_only, most=move.most))

    def end(self, move: RunningMove) -> None:
        """Count no more for it."""
        with self._changed:
            self._running.pop(move.number, None)
        move.end()

    def add(self, arrival: Arrival) -> list[int]:
        """Count an arrival and return the numbers of the moves that have it now and had it not before.

        UIDs decide, and the patient whom the archive names. What disagrees with that patient counts if the Move
        Originator of a sender who was named vouches for it; else it waits for `settle`. What came without its pixels
        for another batch is nothing here.
        """
        if arrival.headers_only and not self._headers_only:
            return []
        with self._changed:
            moves = [move for move in self._running.values() if move.covers(arrival)]
            certain = [move for move in moves if self._is_certain(move, arrival)]
            for move in moves if len(certain) < len(moves) else ():
                if move not in certain:
                    move.doubt(arrival)
            new = [move.number for move in certain if move.take(arrival, is_shared=len(certain) > 1)]
            self.is_reached = self.is_reached or bool(certain)
            self._changed.notify_all()
        if certain:
            self._meet(arrival.peer)
        if new:
            self.on_counted(arrival, new)
        return new

    def settle(self, move: RunningMove, listed: Mapping[str, Collection[str]] | None) -> None:
        """Count what names another patient if the archive lists it, by series; None if it could not be asked."""
        with self._changed:
            new = move.settle(listed)
            self.is_reached = self.is_reached or bool(new)
        for arrival in new:
            self._meet(arrival.peer)
            self.on_counted(arrival, [move.number])

    def know(self, address: str) -> None:
        """Know where the archive answers."""
        with self._changed:
            self._addresses.add(address)

    def _meet(self, address: str) -> None:
        """Tell once of each further address from which images come."""
        if address in self._addresses or not address:
            return
        with self._changed:
            is_first = not self._addresses or address in self._addresses
            self._addresses.add(address)
        if not is_first:
            text = f"images come from {address}, where the archive does not answer; {self._advice}"
            logger.info("%s", text)
            self._tell(Noted(time.monotonic(), text))

    def _is_certain(self, move: RunningMove, arrival: Arrival) -> bool:
        return move.is_certain(arrival) or (self._trusts_originators and self._originates(move, arrival))

    def add_refusal(self, refusal: Refusal) -> None:
        """Note what our receiver refused; what is no instance of ours may be anybody's."""
        with self._changed:
            if refusal.status is None:
                for move in self._running.values():
                    self._note(move, refusal)
            else:
                self._count_refused(refusal, refusal.status)
            self._changed.notify_all()

    def _count_refused(self, refusal: Refusal, status: int) -> None:
        """Count an instance that we refused for the C-MOVEs that it is of; for each, if it is of none of them."""
        moves = self._running.values()
        by_uid = [move.covers_refused(refusal) for move in moves]
        covered = [self._originates(move, refusal) or is_his for move, is_his in zip(moves, by_uid, strict=True)]
        is_stray = not any(is_covered is not False for is_covered in covered)
        self.is_reached = self.is_reached or any(by_uid)
        for move, is_covered, is_certain in zip(moves, covered, by_uid, strict=True):
            if is_covered is False and not is_stray:
                continue
            move.is_called |= self._is_archives(refusal)
            if is_covered and not is_certain and status == _NOT_AUTHORISED:
                move.foreign += refusal.count
                continue
            is_first_of_it = is_covered and not move.refused[status]
            if is_covered:
                move.refuse(status, refusal.count, is_certain=bool(is_certain))
                if refusal.transfer_syntax_uid:
                    move.mislabelled[refusal.sop_instance_uid] = refusal.transfer_syntax_uid
            else:
                (move.stray if is_stray else move.unclear)[status] += refusal.count
            if is_first_of_it or status not in move.reasons:  # that of a stranger gives way
                move.reasons[status] = refusal.why

    def _is_archives(self, refusal: Refusal) -> bool:
        """Tell whether the archive itself called, by its AE title, or by its address where it has said none."""
        if refusal.calling_ae_title:
            return refusal.calling_ae_title == self._archive
        return refusal.peer in self._addresses

    def _originates(self, move: RunningMove, event: Arrival | Refusal) -> bool:
        """Tell whether the archive says that something is of a C-MOVE."""
        return event.originator_ae_title == self._ae_title and event.originator_message_id == move.message_id

    def _note(self, move: RunningMove, refusal: Refusal) -> None:
        if refusal.what is Refused.EVERYTHING:
            return
        is_archives = self._is_archives(refusal)
        # An address is shared: a scan or a browser on the archive's machine is not its call, but may be told first.
        move.is_called |= is_archives and refusal.what is not Refused.CONNECTION
        kind = (is_archives, refusal.what, refusal.why, refusal.mend)
        if kind in move.turned_away or len(move.turned_away) < _MOST_KINDS * (1 + is_archives):
            move.turned_away[kind] += refusal.count

    def last_sign(self, move: RunningMove) -> float:
        """Return the `time.monotonic()` at which something last came for a move.

        The bytes of an instance that is still under way count only if they cannot be another move's.
        """
        with self._changed:
            alone = len(self._running) == 1
        return max(move.last_arrival, self.scp.last_activity) if alone else move.last_arrival

    def was_called(self, move: RunningMove) -> bool:
        """Tell whether an association with us has begun, or sent, since a move began; it may have been anybody's."""
        return self.scp.last_call > move.begun

    def wait(self, move: RunningMove, wanted: int, quiet: float, listed: int | None = None) -> None:
        """Wait until so many instances have arrived, or until nothing has come for so many seconds.

        What came twice counts as two only if all of the `listed` ones are here: an archive may have counted it once.
        """
        begun = time.monotonic()
        with self._changed:
            while not move.has_enough(wanted, listed):
                left = max(begun, self.last_sign(move)) + min(quiet, self._longest_quiet) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def hurry(self) -> None:
        """Wait no longer than it takes to count what is here already."""
        with self._changed:
            self._longest_quiet = COUNTING_SECONDS
            self._changed.notify_all()


def bound_wait(end: MoveEnd, target: Target) -> tuple[int, float]:
    """Return how many instances may be here in the end, and how long a silence tells that no more will come."""
    claimed, _ = weigh(end.counters, expected=target.expected)
    if end.ended is Ended.LOST:
        return target.expected or 0, STRAGGLER_SECONDS
    if claimed is None and end.status_code == SUCCESS:
        return target.expected or _NOBODY_KNOWS, STRAGGLER_SECONDS
    if claimed:
        return claimed + (end.counters.remaining or 0), STRAGGLER_SECONDS
    # The archive says that nothing has moved: give what is already here the time to be counted.
    return target.expected or 1, COUNTING_SECONDS
