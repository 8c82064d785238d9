"""How a worker asks for parts of what one C-MOVE of the batch stands for, and again for what has not come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dicomover.batch.arrivals import COUNTING_SECONDS, Tally, bound_wait
from dicomover.batch.ends import Parts, join_ends
from dicomover.batch.work import SharedMove
from dicomover.errors import AssociationLost, ContextRejected, ProtocolError
from dicomover.identifier import Level
from dicomover.outcome import SUCCESS, Counters, Ended
from dicomover.query.instances import Find
from dicomover.query.parts import Part, divide_missing
from dicomover.query.targets import Target
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Stop

__all__ = ["Ask", "Asking"]

Ask = Callable[[SharedMove, Part, Counters | None], tuple[int, MoveEnd]]
"""Asks for a part, after others that have come to something, with what is to be proposed for it."""


class Asking:
    """Asks for parts, for one worker; what has come is told by the tally."""

    def __init__(
        self,
        tally: Tally | None,  # None if a third party receives: then nothing is asked for again
        find: Find,
        make_room: Callable[[], None],  # before each C-FIND
    ) -> None:
        self._tally, self._find, self._make_room = tally, find, make_room

    def send(
        self, move: SharedMove, parts: list[Part], before: Counters | None, ask: Ask
    ) -> tuple[int, MoveEnd | None]:
        """Ask for each part, until one is broken off; `before` is what came before them."""
        sent = Parts(before)
        for part in parts:
            try:
                attempts, end = ask(move, part, sent.so_far)
            except Stop:
                if sent.end is None and before is None:
                    raise
                break  # what came of those that were sent is known
            sent.add(attempts, end)
            if end.ended is not Ended.ANSWERED:
                break
        return sent.attempts, sent.end

    def ask_again(
        self, move: SharedMove, parts: list[Part], end: MoveEnd, ask: Ask, *, is_extra: bool = False
    ) -> tuple[int, MoveEnd]:
        """Ask for images that have not come; return how often, and how it has ended with them.

        One that `is_extra` and is lost is no better than what it was for.
        """
        here = move.running.received
        attempts, more = self.send(move, parts, end.counters, ask)
        is_lost = more is not None and more.ended not in (Ended.ANSWERED, Ended.CANCELLED)
        if not (is_extra and is_lost and move.running.received == here):
            asked = sum(len(part.identifier.uids(Level.IMAGE)) or (end.counters.failed or 0) for part in parts)
            end = self._join(move, end, more, asked)
        return attempts, end

    def lacks(self, move: SharedMove, end: MoveEnd) -> bool:
        """Tell whether something may be missing, once what is on its way has been counted."""
        target, running, moved = move.target, move.running, end.counters.moved or 0
        if end.status_code == SUCCESS and not end.counters.failed and moved and moved >= (target.expected or 0):
            return False
        assert self._tally is not None
        self._tally.wait(running, bound_wait(end, target)[0], COUNTING_SECONDS, target.expected)
        return target.expected is None or running.received < target.expected

    def count_refused(self, move: SharedMove, end: MoveEnd) -> int:
        """Count what we refused, once what our receiver may be about to tell has been told."""
        assert self._tally is not None
        running, counters = move.running, end.counters
        self._tally.wait(running, (counters.moved or 0) + (counters.failed or 0), COUNTING_SECONDS)
        return running.refused.total()

    def list_missing(self, move: SharedMove, target: Target) -> list[Part]:
        """Return what the archive lists and is not here, by class; nothing where it cannot be asked."""
        self._make_room()
        try:
            return divide_missing(target, move.running.sop_uids, self._find)
        except (AssociationLost, ContextRejected, ProtocolError, Stop):
            return []

    def _join(self, move: SharedMove, end: MoveEnd, more: MoveEnd | None, asked: int) -> MoveEnd:
        """Return how it ended, after so many images that had not come were asked for again with other classes."""
        if more is None:
            return end
        failed = max((end.counters.failed or 0) - asked, 0)
        counters = replace(end.counters, failed=failed, remaining=None) + more.counters
        joint = replace(join_ends(end, more), counters=counters)
        is_over = more.ended is Ended.ANSWERED and not counters.failed and not self.lacks(move, joint)
        still = [uid for uid in (*end.failed_uids, *more.failed_uids) if uid not in move.running.sop_uids]
        joint = replace(joint, failed_uids=tuple(dict.fromkeys(still)))
        if is_over:
            status = more.status_code if counters.warning else SUCCESS
            return replace(joint, ended=Ended.ANSWERED, status_code=status, lost_by=None, why="")
        return joint
