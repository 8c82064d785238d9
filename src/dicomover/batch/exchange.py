"""The exchange of one C-MOVE or C-GET, at its pace: with all of its UIDs, or one by one where lists are not taken.

On the worker's own thread, over its line.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from dicomover.batch.arrivals import COUNTING_SECONDS
from dicomover.batch.carriers import Carrier, Opened
from dicomover.batch.ends import Parts
from dicomover.batch.run import BatchRun
from dicomover.batch.verdict import judge_exchange
from dicomover.batch.work import SharedMove
from dicomover.events import MoveProgressed, MoveStarted
from dicomover.identifier import Identifier
from dicomover.outcome import SUCCESS, Counters, Ended
from dicomover.policy.pace import Wait
from dicomover.policy.retry import Tried
from dicomover.wire.lines import GONE
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Stop

__all__ = ["Exchange"]

_PROBES = 3  # UIDs of a list that came to nothing that are asked for alone, if all of these come to nothing too
_PROBES_FOUND = 1  # the same where C-FIND has found the first of them, and it is refused


class Exchange:
    """Sends requests in one way for one worker."""

    def __init__(
        self,
        run: BatchRun,  # what the batch's workers share
        carrier: Carrier,  # the worker's own
        wait: Callable[[Callable[[], Wait | None]], None],  # waits until the pace allows it; raises Stop
        note: Callable[[str | None], None],  # takes what a person should know
    ) -> None:
        self._pool = run.pool
        self._pace = run.pace
        self._controls = run.controls
        self._tally = run.tally
        self._lists = run.lists
        self._destinations = run.destinations
        self._carrier, self._wait, self._note = carrier, wait, note

    def run(self, move: SharedMove, part: Identifier, before: Counters | None = None) -> tuple[int, MoveEnd]:
        """Ask for what a C-MOVE is to bring, or a part of it; `before` is what the parts before it have come to.

        Return how many requests were sent, and how it ended; raises Stop if nothing was.
        """
        if len(part.uids(part.level)) <= 1:
            return self._send_surely(move, part, before)
        attempts, whole, here = 0, None, move.running.received
        if self._lists.are_taken is not False:
            attempts, whole = self._send_surely(move, part, before)
            if (whole.counters.moved or 0) > 1:
                self._lists.are_taken = True
            is_for_nothing = self._came_to_nothing(move, part, whole) or _is_gone(move, whole, here)
            if self._lists.are_taken or not (is_for_nothing or self._came_to_one(move, whole)):
                return attempts, whole
        return self._send_each(move, part, attempts, whole, before)

    def _came_to_one(self, move: SharedMove, end: MoveEnd) -> bool:
        """Tell whether a list has moved one thing and failed in none, as where only its first UID was looked at."""
        if end.ended is not Ended.ANSWERED or end.counters.moved != 1 or end.counters.failed:
            return False
        if self._tally is not None:  # which one it was is about to be counted
            self._tally.wait(move.running, 1, COUNTING_SECONDS)
        return True

    def _came_to_nothing(self, move: SharedMove, part: Identifier, end: MoveEnd) -> bool:
        """Tell whether a C-MOVE was answered as if what it names were not there, or not be had."""
        code, counters = end.status_code, end.counters
        if end.ended is not Ended.ANSWERED or code is None or counters.moved or counters.failed:
            return False
        if not (code in (0xA801, 0xA900) or code >> 12 == 0xC or (code == SUCCESS and counters.moved == 0)):
            return False
        wanted = len(part.uids(part.level))
        if self._tally is not None:  # all may have come: what has is about to be counted
            self._tally.wait(move.running, wanted, COUNTING_SECONDS)
        return move.running.received < wanted  # some may be of another row that asks for them too

    def _send_each(
        self, move: SharedMove, named: Identifier, attempts: int, whole: MoveEnd | None, before: Counters | None
    ) -> tuple[int, MoveEnd]:
        """Send a request for each UID that has not been brought; no further one if the first ones bring nothing either.

        `whole` is how a list has ended of which it is not known whether that was because it is a list.
        """
        level, model, keys = named.level, named.model, named.keys()
        uids = keys[level.unique_key].split("\\")
        is_anew = move.latest is None and (whole is None or not whole.counters.moved)
        left = [uid for uid in uids if is_anew or uid not in move.running.sop_uids] or uids
        here = Counters(completed=len(uids) - len(left)) if len(left) < len(uids) else Counters()
        parts = Parts(before, attempts, here)
        for number, uid in enumerate(left):
            part = Identifier.of(level, model, {**keys, level.unique_key: uid})
            try:
                sent, end = self._send_surely(move, part, parts.so_far)
            except Stop:
                if parts.end is None and whole is None:
                    raise
                break  # what came of those that were sent is known
            parts.add(sent, end)
            if end.ended is not Ended.ANSWERED:
                whole = None
                break
            if whole is None:
                continue
            is_alike = end.status_code == whole.status_code and self._came_to_nothing(move, named, end)
            if not is_alike and (end.status_code == SUCCESS or end.counters.moved):
                whole, self._lists.are_taken = None, False
                self._note("the archive takes no lists of UIDs: it is asked for one at a time")
            elif number + 1 >= (_PROBES_FOUND if move.target.found and end.status_code != SUCCESS else _PROBES):
                break
        if parts.end is not None and (whole is None or whole.ended is not Ended.ANSWERED):
            whole = parts.end
        assert whole is not None
        return parts.attempts, whole

    def _send_surely(self, move: SharedMove, part: Identifier, before: Counters | None = None) -> tuple[int, MoveEnd]:
        """Send a request; once more if an association that had been idle turns out to be gone."""
        attempts, here = 0, move.running.received
        end: MoveEnd | None = None
        while True:
            try:
                end, was_idle = self._send_once(move, part, before)
            except Stop:
                if end is None:
                    raise
                return attempts, end  # it was sent: what came of it is known
            attempts += end.ended is not Ended.UNSENT
            if not (was_idle and _is_gone(move, end, here)) or self._controls.cancelled:
                return attempts, end

    def _send_once(self, move: SharedMove, part: Identifier, before: Counters | None) -> tuple[MoveEnd, bool]:
        """Send a request at its pace; tell also whether its association had been idle."""
        self._wait(self._destinations.find_wait)
        self._wait(partial(self._pace.may_start, move.running if move.running.is_alone else None))
        begun = time.monotonic()
        try:
            association = self._carrier.connect()
            was_idle = association.served > 0
            end = self._send(association, move, part, before)
        except BaseException:
            self._pace.withdraw()
            raise
        tried = Tried(judge_exchange(end), end.status_code, end.counters, end.ended)
        self._note(self._pace.ended(tried, time.monotonic() - begun))
        return end, was_idle

    def _send(self, association: Opened, move: SharedMove, part: Identifier, before: Counters | None) -> MoveEnd:
        """Send it; `before` is what others of the same C-MOVE have come to."""
        emit, running = self._controls.emit, move.running
        if before is None:
            emit(MoveStarted(time.monotonic(), move.number, move.row.request.position, move.target.expected))
        running.message_id = self._pool.next_message_id()
        if self._tally is not None:
            self._tally.admit(running, association.peer_address, move.target.expected)
        return self._carrier.ask(
            association,
            part,
            running,
            on_progress=lambda counters: emit(
                MoveProgressed(time.monotonic(), move.number, counters if before is None else before + counters)
            ),
            last_arrival=None if self._tally is None else partial(self._tally.last_sign, running),
        )


def _is_gone(move: SharedMove, end: MoveEnd, here: int) -> bool:
    """Tell whether the archive hung up on a C-MOVE before anything came of it; `here` is what had come before."""
    return end.lost_by in GONE and end.counters == Counters() and move.running.received == here
