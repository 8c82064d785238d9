"""The responses to one request: how long to wait for the next one, and what it says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dicomover.errors import AssociationLost, LostBy, ProtocolError
from dicomover.node import Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.wire.command_set import Command
from dicomover.wire.messages import Due, expect_announced

__all__ = [
    "CANCEL_GRACE",
    "PENDING",
    "Deadlines",
    "MoveEnd",
    "StopSign",
    "expect_data_set",
    "read_counters",
    "read_offending_element",
    "read_status",
]

CANCEL_GRACE = 5.0
"""Seconds that a C-CANCEL has to take effect before the association is aborted."""

_MOST_COUNTED = 1 << 18  # sub-operations whose counting is progress: who counts for ever does not move for ever

_IGNORED_GRACE = 0.5  # the same where the archive is known to ignore it: what is about to end may still do so

PENDING = (0xFF00, 0xFF01)


@dataclass(slots=True)
class MoveEnd:
    """How one C-MOVE came to its end."""

    ended: Ended  # whether a final response came
    status_code: int | None = None  # that of the final response
    counters: Counters = field(default_factory=Counters)  # the largest seen in any response
    # from the Failed SOP Instance UID List (0008,0058), which may be missing or incomplete
    failed_uids: tuple[str, ...] = ()
    # OffendingElement (0000,0901) of the final response, such as `(0010,0020)`; empty if it named none
    offending: str = ""
    lost_by: LostBy | None = None  # how the association ended, if it did
    why: str = ""  # the same in words


class StopSign:
    """Whether somebody wants what goes on to end: set from any thread, looked at by the association's own."""

    # Each attribute changes once and in one direction, so neither side needs a lock. Whoever sets one wakes the owner
    # afterwards, never before: the owner looks at it when it wakes.

    def __init__(self, *, is_ignored: bool = False) -> None:
        self.cancelled_at: float | None = None
        self.killed = False
        self._is_ignored = is_ignored  # by the archive, which is told by a C-CANCEL

    @property
    def grace(self) -> float:
        """How long to wait for what a C-CANCEL takes."""
        return _IGNORED_GRACE if self._is_ignored else CANCEL_GRACE

    @property
    def is_up(self) -> bool:
        """True once it is to end, politely or not."""
        return self.killed or self.cancelled_at is not None

    def give_up_at(self) -> float | None:
        """Return until when what must not be left half done, such as a write, may go on; None without limit."""
        if self.killed:
            return 0.0
        return None if self.cancelled_at is None else self.cancelled_at + self.grace


class Deadlines:
    """How long to wait for the next response; called whenever a wait begins or is woken, on the owner's thread."""

    # A C-CANCEL goes out from here, between two waits for a response: there is no request half written then, and only
    # the owner's thread writes.

    def __init__(
        self,
        timeouts: Timeouts,
        stop: StopSign,
        send_cancel: Callable[[], None] | None = None,  # None where there is none, and a cancel ends the wait
        *,
        last_arrival: Callable[[], float] | None = None,  # the last sign of life on our own receiver, if we receive
        last_move: Callable[[], float] | None = None,  # the last of them that moves something, if that is another one
        between: bool = False,  # whether what arrives comes between the responses, as for C-GET: then it is one
    ) -> None:
        self._stop = stop
        self._between = between
        self._send_cancel = send_cancel
        self._stall = timeouts.stall
        self._progress, self._total = timeouts.progress, timeouts.total
        self._last_arrival, self._last_move = last_arrival, last_move
        self._can_tell = last_arrival is not None  # whether anything moves
        self._dimse = timeouts.dimse or (timeouts.acse if send_cancel is None else None)
        self._started = self._moved = self._begun = time.monotonic()
        self._done, self._left = -1, math.inf  # the largest and the smallest number that was ever counted
        self._cancel_sent = False
        self._enough_at: float | None = None

    def begin(self) -> None:
        """Note that the next response is due from now on."""
        self._begun = time.monotonic()

    def note_progress(self) -> None:
        """Note that something has moved."""
        self._can_tell = True
        self._moved = time.monotonic()

    def note_counters(self, counters: Counters) -> None:
        """Note what the archive has counted: that more is done than before, or less remaining, is progress."""
        known = [n for n in (counters.completed, counters.failed, counters.warning) if n is not None]
        done, left = sum(known) if known else -1, math.inf if counters.remaining is None else counters.remaining
        if self._done < done <= _MOST_COUNTED or left < self._left:
            self.note_progress()
        self._done, self._left = max(self._done, done), min(self._left, left)

    def note_enough(self) -> None:
        """Note that the archive was asked to come to an end, since what is wanted has come."""
        self._enough_at = time.monotonic()

    @property
    def since_enough(self) -> float:
        """Seconds since the archive was asked to come to an end; 0 before that."""
        return 0.0 if self._enough_at is None else time.monotonic() - self._enough_at

    def __call__(self) -> float | None:
        """Return until when to wait, and send what a cancel takes."""
        if self._stop.killed:
            return 0.0
        cancelled_at = self._stop.cancelled_at
        if cancelled_at is not None:
            if self._send_cancel is None:
                return 0.0
            if not self._cancel_sent:
                self._cancel_sent = True
                self._send_cancel()
            return cancelled_at + self._stop.grace
        return min((moment for moment, _ in self._limits()), default=None)

    def _limits(self) -> Iterator[tuple[float, str]]:
        """Yield until when it is waited, and what has not happened by then."""
        if self._enough_at is not None:
            yield self._enough_at + self._stop.grace, "it goes on although it was asked to stop"
        arrived = 0.0 if self._last_arrival is None else self._last_arrival()
        if self._dimse is not None:
            begun = max(self._begun, arrived) if self._between else self._begun
            yield begun + self._dimse, f"no response for {self._dimse:g} s (the dimse timeout)"
        if self._stall is not None:
            said = f"no response and no arrival for {self._stall:g} s (the stall timeout)"
            yield max(self._begun, arrived) + self._stall, said
        if self._progress is not None and self._can_tell:
            said = f"the archive answers, but nothing has moved for {self._progress:g} s (the progress timeout)"
            yield max(self._moved, arrived if self._last_move is None else self._last_move()) + self._progress, said
        if self._total is not None:
            yield self._started + self._total, f"not at its end after {self._total:g} s (the total timeout)"

    def explain(self, error: AssociationLost | ProtocolError) -> str:
        """Say which of the limits an association that timed out has met; else what the error says."""
        if isinstance(error, AssociationLost) and error.by is LostBy.TIMEOUT:
            limit, said = min(self._limits(), default=(math.inf, ""))
            if limit <= time.monotonic():  # else it is a PDU that has not come to its end
                return said
        return str(error)


def expect_data_set(command: Command, *, is_find: bool) -> Due:
    """Say whether to wait for the data set of a response, whatever it announces.

    A pending response to C-FIND is nothing without one; none of C-MOVE's has a use for one (PS3.4 section C.4.2.1.4).
    A final response counts without one: what it announces and never sends is not waited for.
    """
    if command.get("Status") in PENDING:
        return Due.NEXT if is_find else Due.NEVER
    return Due.AT_HAND if expect_announced(command) is Due.NEVER else Due.SOON


def read_status(command: Command) -> int:
    """Return the status of a response."""
    return int(command["Status"])


def read_counters(command: Command) -> Counters:
    """Return the sub-operations of a response; what it leaves out is unknown."""

    def number(kind: str) -> int | None:
        value = command.get(f"NumberOf{kind}Suboperations")
        return None if value is None else int(value)

    return Counters(number("Completed"), number("Failed"), number("Warning"), number("Remaining"))


def read_offending_element(command: Command) -> str:
    """Return the tags that a response names as offending, such as `(0010,0020)`; empty if it names none."""
    tags = command.get("OffendingElement", "")
    digits = [f"{tags:08X}"] if isinstance(tags, int) else tags.split("\\") if tags else []
    return ", ".join(f"({each[:4]},{each[4:]})" for each in digits)
