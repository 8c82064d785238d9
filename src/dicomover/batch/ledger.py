"""The book of a batch: which request is next, which C-MOVEs it shares with others, and the result of every row.

No network and no drawing. Every method may be called from any thread: workers take and conclude work, the thread that
draws reads results, the receiver's thread asks for labels.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from dicomover.batch.running import RunningMove
from dicomover.batch.work import NOTHING_KEPT, Kept, OpenRow, SharedMove, Verdict
from dicomover.errors import ReceiverError
from dicomover.events import Event, RequestEnded
from dicomover.identifier import Identifier, Request
from dicomover.outcome import SUCCESS, Counters, Ended, Status, judge_all
from dicomover.policy.hopeless import Parties, find_hopeless_cause
from dicomover.policy.retry import Retry, Tried, schedule_retry
from dicomover.query.targets import Resolution
from dicomover.requests.parse import Batch
from dicomover.summary import Result
from dicomover.text.sentences import distinct
from dicomover.text.traces import tell_trace
from dicomover.wire.responses import MoveEnd

__all__ = ["Ledger", "add_kept", "internal_error"]

logger = logging.getLogger("dicomover.mover")


class Ledger:
    """Keeps a batch's rows and C-MOVEs.

    What holds at any moment outside of its lock:

    - A row is in one place only: not begun (`_todo`), with the worker that took it, waiting for C-MOVEs
      (`SharedMove.waiting`), for its time (`_later`) or for another row (`_behind`, then `_free`), or over; a C-MOVE is
      with the worker that claimed it, in `_later`, or has its verdict.
    - `OpenRow.over` is set under the lock, by the one who then ends the row without it: each row ends exactly once.
    - A row waits for a C-MOVE only while that has no verdict. `_settle` gives the verdict and takes the waiting rows
      away in one step; in two, a row that `claim` ties to the C-MOVE in between would wait for ever.
    - The journal is written without the lock, and before anybody hears of the result: it may wait for a disk, and who
      reads a result may rely on it.
    """

    def __init__(
        self,
        batch: Batch,
        next_number: Callable[[], int],  # numbers the C-MOVEs
        emit: Callable[[Event], None],  # takes the events
        retry: Retry | None = None,  # what is tried again, and when; nothing by default
        # writes down the result of a row before anybody hears of it
        record: Callable[[OpenRow, Result], object] = lambda *_: None,
    ) -> None:
        self._next_number = next_number
        self._emit = emit
        self._retry = retry or Retry.none()
        self._lock = threading.Lock()
        self._record = record
        self._later: list[tuple[float, int, OpenRow | SharedMove]] = []
        self._last: list[tuple[int, int, OpenRow]] = []
        self._behind: dict[int, list[OpenRow]] = {}
        self._free: deque[OpenRow] = deque()
        self._order = itertools.count()
        self._recent: deque[Tried] = deque(maxlen=100)
        self._moved_once = False
        self._is_closed = False
        self._todo: Iterator[Request] = iter(batch.requests)
        self._left = len(batch.requests)
        self._moves: dict[Identifier, SharedMove] = {}
        self._by_number: dict[int, SharedMove] = {}
        self._results = [Result() for _ in range(len(batch))]
        for position in batch.problems:
            self._results[position] = Result(Status.INVALID, error=batch.tell_problems(position))

    def next_work(self, now: float) -> OpenRow | SharedMove | float | None:
        """Return what to do next: a retry that is due, a new row, or how many seconds to wait for a retry.

        None if there is nothing left. What others have under way may still come back: they will see to it.
        """
        with self._lock:
            if self._free:
                return self._free.popleft()
            if self._later and self._later[0][0] <= now:
                return heapq.heappop(self._later)[2]
            request = next(self._todo, None)
            if request is not None:
                self._left -= 1
                return OpenRow(request)
            if self._last:
                return heapq.heappop(self._last)[2]
            return self._later[0][0] - now if self._later else None

    def is_used_up(self) -> bool:
        """Tell whether there is nothing left to begin, now or later."""
        with self._lock:
            return self._left == 0 and not self._later and not self._last and not self._free

    def abandon_retries(self) -> None:
        """Let what waits for another attempt end as the last attempt left it."""
        with self._lock:
            waiting, self._later = self._later, []
        with contextlib.ExitStack() as stack:  # each of them ends, even if one cannot be written down
            for _, _, work in reversed(waiting):
                if isinstance(work, SharedMove):
                    assert work.latest is not None
                    stack.callback(self._settle, work, work.latest)
                else:
                    why = "not sent: another run holds it"
                    held = Result(Status.CANCELLED, error=why, unsent=True)
                    stack.callback(self.end, work, work.latest or held)

    def claim(self, row: OpenRow, resolution: Resolution) -> list[SharedMove]:
        """Tie a row to the C-MOVEs that it needs, and return those that nobody has begun: they are the caller's."""
        mine = []
        with self._lock:
            row.resolution = resolution
            for target in resolution.targets:
                key = target.shared
                move = self._moves.get(key)
                if move is None:
                    number = self._next_number()
                    move = SharedMove(number, target, row, RunningMove(number, target.identifier))
                    self._moves[key] = move
                    self._by_number[move.number] = move
                    mine.append(move)
                if not any(move is other for other in row.moves):
                    move.waiting.append(row)
                    move.open_rows += 1
                    move.labels.append(row.request.label)
                    row.moves.append(move)
            over = self._mark_over([row])
        self._end(over)
        return mine

    def conclude(
        self,
        move: SharedMove,
        verdict: Verdict,
        at_last: Callable[[SharedMove, Verdict], object] = lambda *_: None,
    ) -> None:
        """Record what an attempt at a C-MOVE came to: it is tried again later, or ends the rows that wait for it.

        `at_last` may add to a verdict that stands.
        """
        move.latest = verdict
        try:
            if verdict.tried is not None and self._put_off(move, verdict.tried):
                return
            at_last(move, verdict)
        except Exception as error:  # noqa: BLE001 - the verdict stands all the same, and rows wait for it
            logger.error("retrieval %d ends as it stands\n%s", move.number, tell_trace(error))
        self._settle(move, verdict)

    def conclude_row(self, row: OpenRow, result: Result, tried: Tried) -> None:
        """Record what an attempt at looking up a request came to, as `conclude` does."""
        row.latest = result
        if not self._put_off(row, tried):
            self.end(row, result)

    def put_last(self, row: OpenRow, delay: int) -> bool:
        """Come back to a row after all that is not begun yet, the longest delay last; False if nothing is left.

        What the archive has to fetch from slower storage holds up nothing else, and is asked for once.
        """
        with self._lock:
            if self._left == 0 or row.is_put_last:
                return False
            row.is_put_last = True
            heapq.heappush(self._last, (delay, next(self._order), row))
        return True

    def postpone(self, row: OpenRow, seconds: float) -> None:
        """Come back to a row that another run holds."""
        with self._lock:
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), row))

    def put_behind(self, row: OpenRow, other: int) -> None:
        """Come back to a row when another one, which is moving some of it, is over; at once if it is.

        Nobody waits meanwhile: whoever ends the other one finds this one free.
        """
        with self._lock:
            is_over = self._results[other].status is not None
            (self._free if is_over else self._behind.setdefault(other, [])).append(row)

    @property
    def has_moved(self) -> bool:
        """Whether something of this batch has moved: the archive does send there."""
        with self._lock:
            return self._moved_once

    def hopeless(self, parties: Parties) -> str | None:
        """Say why nothing in this batch can work; None while there is hope."""
        with self._lock:
            recent = list(self._recent)
            moved_once = self._moved_once
        return find_hopeless_cause(recent, parties, reached=moved_once)

    def _put_off(self, work: OpenRow | SharedMove, tried: Tried) -> bool:
        work.tries.append(tried)
        with self._lock:
            self._recent.append(tried)
            self._moved_once |= tried.moved
        when = schedule_retry(self._retry, work.tries, time.monotonic())
        if when is None:
            return False
        (work.row if isinstance(work, SharedMove) else work).due = when
        with self._lock:
            heapq.heappush(self._later, (when, next(self._order), work))
        return True

    def _settle(self, move: SharedMove, verdict: Verdict) -> None:
        """End the rows that now wait for nothing more."""
        with self._lock:
            move.verdict = verdict
            waiting, move.waiting = move.waiting, []
            over = self._mark_over(waiting)
        self._end(over)

    def give_up(self, row: OpenRow, result: Result, again: SharedMove | None = None) -> None:
        """End a row that did not come to all of its C-MOVEs, and what it should have sent for others.

        What an earlier attempt came to stands: of the row itself, and of the C-MOVE that was to be tried `again`.
        """
        assert result.status is not None
        if not row.moves and not row.over:
            self.end(row, row.latest or result)
        with contextlib.ExitStack() as stack:  # each of them ends, even if one cannot be written down
            for move in reversed(row.moves):
                if move.verdict is not None or move.row is not row:
                    continue
                if move.latest is None:
                    end = MoveEnd(Ended.UNSENT)
                    never = Verdict(result.status, end, error=result.error, unsent=result.unsent)
                    stack.callback(self._settle, move, never)
                elif move is again:
                    stack.callback(self._settle, move, move.latest)

    def end(self, row: OpenRow, result: Result) -> None:
        """Record the result of a row."""
        assert result.status is not None
        row.over = True
        result.started = row.started
        result.seconds = time.monotonic() - row.begun
        result.studies = () if row.resolution is None else row.resolution.studies
        if self._is_closed:  # its verdict is out, and the journal is closed
            return
        try:
            self._record(row, result)
        except ReceiverError as error:  # its images came: that nobody can say whether they are safe stands beside it
            result.error = "; ".join(filter(None, (result.error, f"perhaps not yet safe on disk: {error.what}")))
            raise
        finally:  # a journal that fails stops the batch, but hides no result
            with self._lock:
                for move in row.moves:
                    move.open_rows -= 1
                    if move.open_rows == 0:
                        move.forget()
                row.resolution, row.taken, row.kept = None, None, NOTHING_KEPT
                self._free += self._behind.pop(row.request.position, ())
                is_late = self._is_closed  # it stood still for too long: it has no say any more
                if not is_late:
                    self._results[row.request.position] = result
            if not is_late:
                end = RequestEnded(time.monotonic(), row.request.position, result.status, result.error)
                self._emit(replace(end, moved=result.moved, expected=result.expected) if result.attempts else end)

    def finish(
        self,
        status: Status = Status.FAILURE,
        why: str = "not sent: dicomover failed here, see the log and report it; run it again",
    ) -> None:
        """End what nobody is left to work on; from now on nothing changes any more.

        By default because the last worker has died of something that nobody thought of.
        """
        with self._lock:
            self._is_closed = True
            left = [position for position, result in enumerate(self._results) if result.status is None]
            for position in left:
                self._results[position] = Result(status, error=why)
        for position in left:
            self._emit(RequestEnded(time.monotonic(), position, status, why))

    def results(self) -> list[Result]:
        """Return what is known by now, a result for each row; one that is not over has no status."""
        with self._lock:
            return list(self._results)

    def numbers(self) -> list[int]:
        """Return the numbers of all C-MOVEs so far."""
        with self._lock:
            return list(self._by_number)

    def labels(self, numbers: Iterable[int]) -> tuple[object, ...]:
        """Return the labels of the rows that these C-MOVEs are for."""
        with self._lock:
            return tuple(dict.fromkeys(label for number in numbers for label in self._by_number[number].labels))

    def _mark_over(self, rows: Iterable[OpenRow]) -> list[OpenRow]:
        over = [row for row in rows if not row.over and all(move.verdict is not None for move in row.moves)]
        for row in over:
            row.over = True
        return over

    def _end(self, rows: Iterable[OpenRow]) -> None:
        with contextlib.ExitStack() as stack:  # each of them ends, even if one cannot be written down
            for row in reversed(list(rows)):
                stack.callback(self._end_of_moves, row)

    def _end_of_moves(self, row: OpenRow) -> None:
        try:
            result = add_kept(_sum_up(row), row.kept)
        except Exception as error:  # noqa: BLE001 - it costs this row, and none that waits beside it
            logger.error("request %d could not be summed up\n%s", row.request.position, tell_trace(error))
            result = internal_error(error)
        self.end(row, result)


def internal_error(error: Exception) -> Result:
    """Return what a fault of ours makes of a row."""
    return Result(Status.FAILURE, error=f"internal error {type(error).__name__}, see the log")


def _sum_up(row: OpenRow) -> Result:
    """Put the verdicts of a row's C-MOVEs together."""
    assert row.resolution is not None
    verdicts = [move.verdict for move in row.moves if move.verdict is not None]
    counters = verdicts[0].end.counters
    for verdict in verdicts[1:]:
        counters += verdict.end.counters
    received = [verdict.received for verdict in verdicts if verdict.received is not None]
    sizes = [verdict.bytes for verdict in verdicts if verdict.bytes is not None]
    codes = [verdict.end.status_code for verdict in verdicts if verdict.end.status_code is not None]
    status = judge_all([verdict.status for verdict in verdicts])
    return Result(
        status=status,
        status_code=next((code for code in reversed(codes) if code != SUCCESS), codes[-1] if codes else None),
        matches=row.resolution.matches,
        expected=row.resolution.expected,
        counters=counters,
        received=sum(received) if received else None,
        bytes=sum(sizes) if sizes else None,
        attempts=sum(verdict.attempts for verdict in verdicts),
        error=_say(verdicts, "" if status.complete else row.resolution.note, row.resolution.caution),
        failed_uids=tuple(uid for verdict in verdicts for uid in verdict.end.failed_uids),
        missing=tuple(instance for verdict in verdicts for instance in verdict.missing),
        unsent=all(verdict.unsent for verdict in verdicts),
        settled=_settled(verdicts),
    )


def _settled(verdicts: list[Verdict]) -> Counters | None:
    """Sum the counters of what is complete; None if some is not."""
    total = Counters()
    for verdict in verdicts:
        if verdict.settled is None:
            return None
        total += verdict.settled
    return total


def add_kept(result: Result, kept: Kept) -> Result:
    """Add what was here before to the result of what was missing."""
    count = kept.count
    if not count:
        return result
    nothing_new = result.status in (Status.FAILURE, Status.EMPTY, Status.NOT_FOUND)
    if not kept.bytes:  # at a third party, where nobody looks
        before = Counters(count, 0, 0)
        settled = None if result.settled is None else result.settled + before
        expected = None if result.expected is None else result.expected + count
        return replace(result, expected=expected, counters=result.counters + before, settled=settled)
    return replace(
        result,
        status=Status.PARTIAL if nothing_new else result.status,
        expected=None if result.expected is None else result.expected + count,
        received=(result.received or 0) + count,
        bytes=(result.bytes or 0) + kept.bytes,
    )


def _say(verdicts: list[Verdict], *notes: str) -> str | None:
    said = distinct([verdict.error for verdict in verdicts if verdict.error])[:3]
    sent = [verdict for verdict in verdicts if verdict.attempts]  # what is absent is never sent
    if said and len(sent) > 1:
        by_get = {verdict.by_get for verdict in sent}
        what = "retrievals" if len(by_get) > 1 else "C-GETs" if True in by_get else "C-MOVEs"
        said.insert(0, f"{sum(verdict.status.complete for verdict in sent)} of {len(sent)} {what} complete")
    return "; ".join([*said, *filter(None, notes)]) or None
