"""Which arrivals belong to which running C-MOVE, and how many are here; fed by the receiver, read by the workers."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from dicomover.errors import DicomoverError, ReceiverError
from dicomover.events import Admission, Arrival, Refusal, Refused
from dicomover.identifier import NOTHING, Identifier, Level

__all__ = ["COUNTING_SECONDS", "STRAGGLER_SECONDS", "Arrivals", "RunningMove", "StorageSCP", "Tally"]

STRAGGLER_SECONDS = 3.0
"""How long it must be quiet after a final response before we stop waiting for what the archive says it has sent."""

_MOST_KINDS = 20  # of refusals that are kept for a C-MOVE: strangers may think of any number

COUNTING_SECONDS = 0.1
"""The same where the archive says that it has sent nothing."""


class StorageSCP(Protocol):
    """Where the images arrive: as much of our receiver as a batch may know. Every method may be called from any thread.

    It reports each `Arrival` and `Refusal` on a thread of its own, never two at a time.
    """

    @property
    def port(self) -> int:
        """Where it listens."""

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

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""

    def sync(self) -> None:
        """Make durable what has come. Raises ReceiverError."""


# One for all that are over. Nothing writes to them: what comes is counted for what runs.
_NO_STATUSES: Counter[int] = Counter()
_NO_REASONS: dict[int, str] = {}
_NO_KINDS: Counter[tuple[Refused, str, str]] = Counter()


class RunningMove:
    """One C-MOVE under way and the distinct instances that have arrived for it.

    Attributes
    ----------
    begun
        The `time.monotonic()` at which the latest attempt began.
    of_patient
        The Study Instance UIDs of the patient who was asked for, as the archive has them; None until it was asked.
    sop_uids
        The SOP Instance UIDs that are here.
    twins
        Series and SOP Instance UID of each further instance under the UID of one in another series.
    repeated
        How many came again in the latest attempt: the same image, or other bytes under its UID.
    conflicts, foreign
        How many came with other bytes than a file that was here; and how many under UIDs that were not asked for.
    refused
        Instances that we refused, by the C-STORE status that we answered.
    unclear
        The same of instances that could not be tied to a C-MOVE: they may be anybody's.
    stray
        The same of instances of something that no running C-MOVE has asked for: another study, say.
    reasons
        Why we refused the first of them, by the C-STORE status.
    turned_away
        What else we refused meanwhile, why, and how to mend it, as often as it happened; it may be anybody's too.
    """

    __slots__ = (
        "_again",
        "_instances",
        "_patients",
        "_series",
        "_studies",
        "arrivals",
        "begun",
        "bytes",
        "conflicts",
        "foreign",
        "identifier",
        "last_arrival",
        "message_id",
        "number",
        "of_patient",
        "reasons",
        "refused",
        "repeated",
        "sop_uids",
        "stray",
        "turned_away",
        "twins",
        "unclear",
    )

    def __init__(self, number: int, identifier: Identifier) -> None:
        self.number = number
        self.identifier = identifier
        self.message_id = 0
        self.sop_uids: dict[str, str] = {}  # with the series; a set that is empty takes three times as much
        self.of_patient: frozenset[str] | None = None
        self.twins: set[tuple[str, str]] | None = None
        self.repeated = 0
        self._again: set[tuple[str, str]] | None = None  # what this attempt has brought, if it is not the first
        self.arrivals: list[Arrival] = []
        self.bytes = 0
        self.conflicts = 0
        self.foreign = 0
        self.last_arrival = self.begun = 0.0
        self.refused: Counter[int] = Counter()
        self.unclear: Counter[int] = Counter()
        self.stray: Counter[int] = Counter()
        self.reasons: dict[int, str] = {}
        self.turned_away: Counter[tuple[Refused, str, str]] = Counter()
        self._patients = self._studies = self._series = self._instances = NOTHING

    def begin(self) -> None:
        """Know what was asked for, while it runs."""
        identifier = self.identifier
        self.begun = time.monotonic()
        self._patients = identifier.uids(Level.PATIENT) if identifier.level is Level.PATIENT else NOTHING
        self._studies = identifier.uids(Level.STUDY)
        self._series = identifier.uids(Level.SERIES)
        self._instances = identifier.uids(Level.IMAGE)
        self._again = set() if self.sop_uids else None
        self.repeated = 0
        for noted in (self.refused, self.unclear, self.stray, self.reasons, self.turned_away):
            noted.clear()

    @property
    def received(self) -> int:
        """How many distinct instances are here."""
        return len(self.sop_uids) + len(self.twins or ())

    def has_enough(self, wanted: int, listed: int | None) -> bool:
        """Tell whether as many have come, or been refused, as are wanted."""
        came = self.received + self.refused.total()
        return came >= wanted or (listed is not None and came >= listed and came + self.repeated >= wanted)

    def take(self, arrival: Arrival) -> bool:
        """Count an arrival; True if it was not here before."""
        series, sop = arrival.series_instance_uid, arrival.sop_instance_uid
        is_new = sop not in self.sop_uids
        if is_new:
            self.sop_uids[sop] = series
        elif self.sop_uids[sop] != series and (series, sop) not in (self.twins or ()):
            self.twins = set() if self.twins is None else self.twins
            self.twins.add((series, sop))
            is_new = True
        if self._again is None:
            self.repeated += not is_new
        elif (series, sop) in self._again:
            self.repeated += 1
        else:
            self._again.add((series, sop))
        if is_new:
            self.arrivals.append(arrival)
            self.bytes += _size_of(arrival)
        self.conflicts += arrival.conflict
        self.last_arrival = arrival.at
        return is_new

    def end(self) -> None:
        """Let go of that: a set takes 216 bytes, and a batch may have 100,000 C-MOVEs."""
        self._again = None
        self._patients = self._studies = self._series = self._instances = NOTHING

    def covers(self, arrival: Arrival) -> bool:
        """Tell whether an arrival is part of what was asked for."""
        return (
            (
                not self._patients
                or arrival.patient_id in self._patients
                or self._is_of_patient(arrival.study_instance_uid)
            )
            and (not self._studies or arrival.study_instance_uid in self._studies)
            and (not self._series or arrival.series_instance_uid in self._series)
            and (not self._instances or arrival.sop_instance_uid in self._instances)
        )

    def forget(self) -> None:
        """Let go of what has arrived, and of what was refused: every C-MOVE of a batch is kept until its end."""
        self.arrivals.clear()
        self.sop_uids.clear()
        self.twins = None
        self.refused = self.unclear = self.stray = _NO_STATUSES
        self.reasons, self.turned_away = _NO_REASONS, _NO_KINDS

    def covers_refused(self, refusal: Refusal) -> bool | None:
        """Tell whether what we refused was part of what was asked for; None if nothing tells."""
        if refusal.sop_instance_uid and self._instances:
            return refusal.sop_instance_uid in self._instances
        study = refusal.study_instance_uid
        if not study or (self._patients and self.of_patient is None):
            return None
        return study in self._studies or self._is_of_patient(study)

    def _is_of_patient(self, study: str) -> bool:
        """Tell whether a study is one that the archive has of the patient, whatever ID its images carry."""
        return self.of_patient is not None and study in self.of_patient


def _size_of(arrival: Arrival) -> int:
    """Return the bytes of the file, which are a few more than those of its data set."""
    try:
        return os.stat(arrival.path).st_size  # noqa: PTH116 - a Path method costs more than the call
    except OSError:  # moved on already
        return arrival.size


class Arrivals:
    """What has landed, in order, for one reader that may come a little later."""

    MOST_KEPT = 100_000

    def __init__(self) -> None:
        self.wanted = False
        self._queue: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
        self._overflowed = False

    def put(self, arrival: Arrival) -> None:
        """Keep one; when nobody asks for very many, none are kept."""
        if not self.wanted and self._queue.qsize() >= self.MOST_KEPT:
            self._overflowed = True
            self._queue = queue.SimpleQueue()
        if not self._overflowed:
            self._queue.put(arrival)

    def end(self) -> None:
        """Let the reader come to its end."""
        self._queue.put(None)

    def __iter__(self) -> Iterator[Arrival]:
        if self._overflowed:
            raise DicomoverError(f"more than {self.MOST_KEPT} instances landed before arrivals() was called")
        while (arrival := self._queue.get()) is not None:
            yield arrival


class Tally:
    """The running moves and their arrivals.

    `add` and `add_refusal` run on the receiver's thread, `begin`, `wait` and `end` on the worker that sends the C-MOVE,
    `hurry` on whichever thread cancels. One lock holds all that they share, the sets of a `RunningMove` included:
    from `begin` to `end` nobody touches those without it. `begin` has to come before the C-MOVE is sent, and `end`
    after the last `wait`, or arrivals are counted for nobody.

    Parameters
    ----------
    ae_title
        The Move Destination's, which is ours.
    scp
        Where they arrive.

    Attributes
    ----------
    is_reached
        Whether anything of a C-MOVE has come, taken or refused: the archive knows the way. Once True it stays so.
    """

    def __init__(self, ae_title: str, scp: StorageSCP) -> None:
        self.scp = scp
        self.is_reached = False
        self._ae_title = ae_title
        self._running: dict[int, RunningMove] = {}
        self._changed = threading.Condition(threading.RLock())
        self._longest_quiet = STRAGGLER_SECONDS

    def begin(self, move: RunningMove) -> None:
        """Count arrivals for a move from now on."""
        move.begin()
        with self._changed:
            self._running[move.number] = move

    def end(self, move: RunningMove) -> None:
        """Count no more for it."""
        with self._changed:
            self._running.pop(move.number, None)
        move.end()

    def add(self, arrival: Arrival) -> list[int]:
        """Count an arrival and return the numbers of the moves that have it now and had it not before.

        UIDs decide. What the archive sends for our C-MOVE (by its Message ID) under other UIDs than we asked for is
        noted, but does not count as received.
        """
        with self._changed:
            moves = [move for move in self._running.values() if move.covers(arrival)]
            if not moves:
                for move in self._running.values():
                    move.foreign += self._originates(move, arrival)
            self.is_reached = self.is_reached or bool(moves)
            new = [move.number for move in moves if move.take(arrival)]
            self._changed.notify_all()
            return new

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
        covered = [self._originates(move, refusal) or move.covers_refused(refusal) for move in moves]
        is_stray = not any(is_covered is not False for is_covered in covered)
        self.is_reached = self.is_reached or any(covered)
        for move, is_covered in zip(moves, covered, strict=True):
            if is_covered is not False or is_stray:
                kind = move.refused if is_covered else move.stray if is_stray else move.unclear
                kind[status] += 1
                move.reasons.setdefault(status, refusal.why)

    def _originates(self, move: RunningMove, event: Arrival | Refusal) -> bool:
        """Tell whether the archive says that something is of a C-MOVE."""
        return event.originator_ae_title == self._ae_title and event.originator_message_id == move.message_id

    @staticmethod
    def _note(move: RunningMove, refusal: Refusal) -> None:
        kind = (refusal.what, refusal.why, refusal.mend)
        if refusal.what is not Refused.EVERYTHING and (kind in move.turned_away or len(move.turned_away) < _MOST_KINDS):
            move.turned_away[kind] += 1

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
