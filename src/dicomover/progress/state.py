"""What a batch has come to, as one immutable value: a pure fold over the events.

Nothing here draws and nothing here reads a clock. The size of a state follows what is running,
never the size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dicomover.events import (
    BatchEnded,
    BatchStarted,
    Event,
    InstanceReceived,
    MoveProgressed,
    MoveStarted,
    Noted,
    RequestEnded,
    RequestStarted,
)
from dicomover.outcome import Counters, Status

__all__ = ["STALL_AFTER", "Move", "Rate", "Sample", "State", "fold"]

STALL_AFTER = 20.0  # seconds without movement that are worth a word
WINDOW = 15.0  # seconds that the recent rate looks back
STEP = 1.0  # seconds between two samples of it
NOTES = 5  # how many notes are kept
NOTE_LENGTH = 300  # characters of a note that are kept


@dataclass(frozen=True, slots=True)
class Move:
    """One C-MOVE that is running.

    Attributes
    ----------
    counters
        The largest seen so far.
    expected
        Instances that C-FIND promised; None if unknown.
    received
        Instances of it that reached our disk.
    users
        Running requests that share it.
    """

    counters: Counters = field(default_factory=Counters)
    expected: int | None = None
    received: int = 0
    users: int = 1

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1; 0 while nothing tells."""
        settled = max(self.counters.moved or 0, self.received) + (self.counters.failed or 0)
        if self.expected is not None:
            total = self.expected
        elif self.counters.remaining is not None:
            total = settled + self.counters.remaining
        else:
            return 0.0
        return min(1.0, settled / total) if total else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment."""

    at: float
    moved: int = 0
    received: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast it goes, per second; None where nothing tells."""

    instances: float | None = None
    bytes: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a batch. Made by `fold`, read by the texts and the views.

    Attributes
    ----------
    started_at, ended_at
        When the batch began and ended, on the clock of the events; None if it has not.
    requests
        Requests in the batch.
    counts
        Requests that have ended, by their verdict; verdicts that nobody got are missing.
    completed, warnings, failed
        Sub-operations as the PACS counted them, over all C-MOVEs; None while it has not said. They are
        sub-operations, not distinct instances: an instance that failed and moved at the next attempt is in both.
    received, bytes
        Instances that reached our disk, and their size; `received` is None until the first one.
    expected
        Instances that C-FIND promised for the C-MOVEs so far. Promises add up, so a further C-MOVE for
        the same instances has to promise only what is missing.
    unpromised
        C-MOVEs that nothing was promised for.
    moves
        The C-MOVEs that are running, by their number.
    moves_of
        The numbers of the C-MOVEs of every request that is running.
    moving_at
        When the first C-MOVE was sent.
    moved_at
        When an instance last moved, failed or arrived.
    active_at
        The same, or when a request last began or ended.
    samples
        The totals of the last seconds, oldest first, for the rate.
    notes, noted
        The latest notes, oldest first, and how many there were in all.
    """

    started_at: float | None = None
    ended_at: float | None = None
    requests: int = 0
    counts: Mapping[Status, int] = field(default_factory=dict)
    completed: int | None = None
    warnings: int | None = None
    failed: int | None = None
    received: int | None = None
    bytes: int = 0
    expected: int = 0
    unpromised: int = 0
    moves: Mapping[int, Move] = field(default_factory=dict)
    moves_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    moving_at: float | None = None
    moved_at: float | None = None
    active_at: float | None = None
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    noted: int = 0

    @property
    def done(self) -> int:
        """Requests that have their verdict."""
        return sum(self.counts.values())

    @property
    def incomplete(self) -> int:
        """Requests that have ended without everything they asked for."""
        return sum(count for status, count in self.counts.items() if not status.complete)

    @property
    def moved(self) -> int | None:
        """Instances that the PACS says have moved, with or without a warning."""
        if self.completed is None and self.warnings is None:
            return None
        return (self.completed or 0) + (self.warnings or 0)

    @property
    def instances(self) -> int | None:
        """Instances on our disk where we receive, else those that the PACS says have moved."""
        return self.moved if self.received is None else self.received

    @property
    def expected_total(self) -> int | None:
        """Instances that the whole batch should move; None until every open request has been promised some."""
        all_begun = self.done + len(self.moves_of) >= self.requests
        return self.expected if all_begun and self.expected and not self.unpromised else None

    @property
    def fraction(self) -> float:
        """How much of the batch is done, from 0 to 1; running requests count in parts."""
        if not self.requests:
            return 1.0 if self.ended_at is not None else 0.0
        return min(1.0, (self.done + self._parts()) / self.requests)

    @property
    def percent(self) -> int:
        """The fraction in whole per cent; 100 only when every request has its verdict."""
        whole = int(self.fraction * 100 + 1e-9)
        return whole if self.done >= self.requests else min(99, whole)

    def elapsed(self, now: float) -> float:
        """Return the seconds since the batch began, up to its end."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.started_at)

    def stalled_for(self, now: float) -> float | None:
        """Return for how many seconds nothing has moved; None if that is not worth a word."""
        if self.active_at is None or self.ended_at is not None or self.done >= self.requests:
            return None
        idle = now - self.active_at
        return idle if idle >= STALL_AFTER else None

    def rate(self, now: float) -> Rate:
        """Return how fast instances have come over the last seconds."""
        if not self.samples or self.instances is None:
            return Rate()
        since = now - WINDOW
        base = self.samples[0]
        for sample in self.samples:
            if sample.at > since:
                break
            base = sample
        # Samples are taken only when something moves: after a silence the base may be long ago.
        seconds = now - max(base.at, since - STEP)
        if seconds < STEP:
            return Rate()
        if self.moved_at is None or self.moved_at <= since:
            return Rate(0.0, None if self.received is None else 0.0)
        if self.received is None:
            return Rate(((self.moved or 0) - base.moved) / seconds)
        return Rate((self.received - base.received) / seconds, (self.bytes - base.bytes) / seconds)

    def mean_rate(self, now: float) -> Rate:
        """Return how fast instances have come over the whole batch."""
        seconds = self.elapsed(now)
        if self.instances is None or seconds <= 0:
            return Rate()
        return Rate(self.instances / seconds, None if self.received is None else self.bytes / seconds)

    def seconds_left(self, now: float) -> float | None:
        """Return a guess at the seconds to the end; None while nothing tells.

        It counts requests, and running ones in parts where the number of their instances is known. Requests
        that took no work (`skipped`, `invalid`) do not speed it up.
        """
        if self.moving_at is None or self.ended_at is not None or self.stalled_for(now) is not None:
            return None
        parts = self._parts()
        idle = self.counts.get(Status.SKIPPED, 0) + self.counts.get(Status.INVALID, 0)
        worked = self.done - idle + parts
        spent = now - self.moving_at
        if worked <= 0 or spent < 2:
            return None
        return max(0.0, spent * (self.requests - self.done - parts) / worked)

    def _parts(self) -> float:
        return sum(
            sum(self.moves[number].part for number in numbers) / len(numbers) for numbers in self.moves_of.values()
        )


def fold(state: State, event: Event) -> State:
    """Take in one event. Pure; the cost follows what is running, not the size of the batch.

    Parameters
    ----------
    state : State
        What was known; `State()` before the first event.
    event : Event
        What happened. Events that make no sense (a response to a C-MOVE whose requests have all
        ended) change no count.

    Returns
    -------
    State
        What is known now.

    Examples
    --------
    >>> from dicomover.events import BatchStarted, RequestEnded
    >>> from dicomover.outcome import Status
    >>> state = fold(State(), BatchStarted(at=0.0, requests=2))
    >>> state = fold(state, RequestEnded(at=1.0, request=0, status=Status.SUCCESS))
    >>> state.done, state.percent
    (1, 50)
    """
    match event:
        case BatchStarted():
            return State(started_at=event.at, requests=event.requests, active_at=event.at, samples=(Sample(event.at),))
        case RequestStarted():
            return replace(state, active_at=_later(state.active_at, event.at))
        case MoveStarted():
            return _move_started(state, event)
        case MoveProgressed():
            return _move_progressed(state, event)
        case InstanceReceived():
            return _instance_received(state, event)
        case RequestEnded():
            return _request_ended(state, event)
        case Noted():
            text = _plain(event.text)
            return replace(state, notes=(*state.notes, text)[-NOTES:], noted=state.noted + 1)
        case BatchEnded():
            return replace(state, ended_at=event.at, moves={}, moves_of={})


def _move_started(state: State, event: MoveStarted) -> State:
    numbers = state.moves_of.get(event.request, ())
    if event.move in numbers:
        return state
    known = state.moves.get(event.move)
    promised = event.expected if known is None else None
    return replace(
        state,
        expected=state.expected + (promised or 0),
        unpromised=state.unpromised + (known is None and promised is None),
        moves={
            **state.moves,
            event.move: Move(expected=promised) if known is None else replace(known, users=known.users + 1),
        },
        moves_of={**state.moves_of, event.request: (*numbers, event.move)},
        moving_at=event.at if state.moving_at is None else state.moving_at,
    )


def _move_progressed(state: State, event: MoveProgressed) -> State:
    move = state.moves.get(event.move)
    if move is None:
        return state
    was, now = move.counters, move.counters.merge(event.counters)
    if was == now:
        return state
    return _moved(
        state,
        event.at,
        moves={**state.moves, event.move: replace(move, counters=now)},
        completed=_risen(state.completed, was.completed, now.completed),
        warnings=_risen(state.warnings, was.warning, now.warning),
        failed=_risen(state.failed, was.failed, now.failed),
    )


def _instance_received(state: State, event: InstanceReceived) -> State:
    moves = state.moves
    move = None if event.move is None else moves.get(event.move)
    if event.move is not None and move is not None:
        moves = {**moves, event.move: replace(move, received=move.received + 1)}
    return _moved(
        state, event.at, moves=moves, received=(state.received or 0) + 1, bytes=state.bytes + max(0, event.size)
    )


def _request_ended(state: State, event: RequestEnded) -> State:
    moves, moves_of = dict(state.moves), dict(state.moves_of)
    for number in moves_of.pop(event.request, ()):
        users = moves[number].users - 1
        if users:
            moves[number] = replace(moves[number], users=users)
        else:
            del moves[number]
    return replace(
        state,
        counts={**state.counts, event.status: state.counts.get(event.status, 0) + 1},
        moves=moves,
        moves_of=moves_of,
        active_at=_later(state.active_at, event.at),
    )


def _moved(state: State, at: float, **changes: Any) -> State:
    samples = state.samples
    if not samples or at >= samples[-1].at + STEP:
        # Of the samples older than the window the newest stays: it is where the window begins.
        old = [sample for sample in samples if sample.at <= at - WINDOW]
        young = [sample for sample in samples if sample.at > at - WINDOW]
        counts = (state.moved or 0, state.received or 0, state.bytes)
        if state.moved_at is not None and at >= state.moved_at + STEP:
            young.append(Sample(state.moved_at, *counts))  # the silence began with these counts
            old, young = ([*old, *young], []) if state.moved_at <= at - WINDOW else (old, young)
        samples = (*old[-1:], *young, Sample(at, *counts))
    return replace(
        state,
        samples=samples,
        moved_at=_later(state.moved_at, at),
        active_at=_later(state.active_at, at),
        **changes,
    )


def _later(one: float | None, other: float) -> float:
    return other if one is None or other > one else one


def _risen(total: int | None, was: int | None, now: int | None) -> int | None:
    return total if now is None else (total or 0) + now - (was or 0)


def _plain(text: str) -> str:
    """Make one line of it, without characters that a terminal would obey."""
    line = "".join(character if character.isprintable() else " " for character in text[: 2 * NOTE_LENGTH])
    line = " ".join(line.split())
    return line if len(line) <= NOTE_LENGTH else f"{line[: NOTE_LENGTH - 1]}…"
