"""How several requests that are sent for one C-MOVE have ended: what they count together, and the worst of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dicomover.outcome import SUCCESS, Counters, Ended
from dicomover.wire.responses import MoveEnd

__all__ = ["Parts", "join_ends"]


@dataclass(slots=True)
class Parts:
    """What the requests that were sent one after the other have come to.

    Examples
    --------
    >>> parts = Parts()
    >>> parts.add(1, MoveEnd(Ended.ANSWERED, 0xB000, Counters(2, 1)))
    >>> parts.add(1, MoveEnd(Ended.ANSWERED, 0, Counters(3)))
    >>> parts.attempts, f"{parts.end.status_code:#x}", parts.end.counters.completed
    (2, '0xb000', 5)
    """

    before: Counters | None = None  # what others of the same C-MOVE had come to
    attempts: int = 0
    counters: Counters = field(default_factory=Counters)
    end: MoveEnd | None = None  # of all together

    @property
    def so_far(self) -> Counters | None:
        """What the next one's progress is added to; None before the first of all."""
        if self.before is not None:
            return self.before + self.counters
        return self.counters if self.attempts else None

    def add(self, attempts: int, end: MoveEnd) -> None:
        """Take one that has ended."""
        self.attempts += attempts
        self.counters += end.counters
        self.end = replace(end if self.end is None else join_ends(self.end, end), counters=self.counters)


def join_ends(before: MoveEnd, end: MoveEnd) -> MoveEnd:
    """Return how two of the same C-MOVE have ended, but for what they count: the worse, with the UIDs of both."""
    is_worse = end.ended is not Ended.ANSWERED or before.status_code == SUCCESS
    return replace(end if is_worse else before, failed_uids=(*before.failed_uids, *end.failed_uids))
