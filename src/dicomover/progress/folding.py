"""The fold: from one state of a batch to the next, by an event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dicomover.events import (
    BatchEnded,
    BatchStarted,
    Event,
    InstanceReceived,
    MoveProgressed,
    MoveStarted,
    Noted,
    RequestDeferred,
    RequestEnded,
    RequestStarted,
)
from dicomover.outcome import Status
from dicomover.progress.state import STEP, WINDOW, Deferred, Later, Move, Reason, Sample, State
from dicomover.text.sentences import extremes, kind_of, part_of
from dicomover.text.visible import make_visible

__all__ = ["EXAMPLES", "NOTES", "REASONS", "fold"]

NOTES = 5  # how many notes are kept
REASONS = 20  # how many reasons are kept
EXAMPLES = 4  # how many requests are kept of each
LENGTH = 300  # characters that are kept of a note
SENTENCE = 1000  # characters that are kept of a reason

_CUT_SHORT = (Status.FAILURE, Status.LOST, Status.CANCELLED)


def fold(state: State, event: Event) -> State:
    """Take in one event. Pure; the cost follows what is running, not the size of the batch.

    Events that make no sense (a response to a C-MOVE whose requests have all ended) change no count.
    """
    match event:
        case BatchStarted():
            return State(started_at=event.at, requests=event.requests, active_at=event.at, samples=(Sample(event.at),))
        case RequestStarted():
            return _taken_up(state, event).but(active_at=_later(state.active_at, event.at))
        case MoveStarted():
            return _move_started(state, event)
        case MoveProgressed():
            return _move_progressed(state, event)
        case InstanceReceived():
            return _instance_received(state, event)
        case RequestDeferred():
            return _request_deferred(state, event)
        case RequestEnded():
            return _request_ended(state, event)
        case Noted():
            return _noted(state, event)
        case BatchEnded():
            return state.but(ended_at=event.at, running={}, moves={}, moves_of={}, deferred=Later())


def _taken_up(state: State, event: RequestStarted | MoveStarted) -> State:
    """Note that a request is worked on, now or again; whatever the batch was told to wait for is over."""
    deferred = state.deferred.requests.get(event.request)
    if deferred is not None:
        state = state.but(
            deferred=state.deferred.without(event.request),
            moves={**state.moves, **deferred.moves},
            moves_of={**state.moves_of, event.request: tuple(deferred.moves)} if deferred.moves else state.moves_of,
            active_at=_later(state.active_at, event.at),
        )
    if state.paused_until is not None:
        state = state.but(paused_until=None, active_at=_later(state.active_at, event.at))
    if event.request not in state.running:
        state = state.but(running={**state.running, event.request: event.at})
    return state


def _move_started(state: State, event: MoveStarted) -> State:
    state = _taken_up(state, event)
    numbers = state.moves_of.get(event.request, ())
    move = state.moves.get(event.move)
    if move is not None:  # another attempt
        again = replace(move, begun_at=event.at, begun_with=move.moved, begun_bytes=move.bytes)
        return state.but(moves={**state.moves, event.move: again})
    return state.but(
        expected=state.expected + (event.expected or 0),
        unpromised=state.unpromised + (event.expected is None),
        moves={**state.moves, event.move: Move(expected=event.expected, begun_at=event.at)},
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
        moves={**state.moves, event.move: replace(move, counters=now, moved_at=event.at)},
        completed=_risen(state.completed, was.completed, now.completed),
        warnings=_risen(state.warnings, was.warning, now.warning),
        failed=_risen(state.failed, was.failed, now.failed),
    )


def _instance_received(state: State, event: InstanceReceived) -> State:
    moves = state.moves
    move = None if event.move is None else moves.get(event.move)
    size = max(0, event.size)
    if event.move is not None and move is not None:
        now = replace(move, received=move.received + 1, bytes=move.bytes + size, moved_at=event.at)
        moves = {**moves, event.move: now}
    return _moved(state, event.at, moves=moves, received=(state.received or 0) + 1, bytes=state.bytes + size)


def _request_deferred(state: State, event: RequestDeferred) -> State:
    if event.request not in state.running:
        return state
    state, moves = _let_go(state, event.request)
    if event.until is None and not moves:
        return state  # another request's C-MOVE is its own: nothing is to be known of it until it ends
    return state.but(deferred=state.deferred.adding(event.request, Deferred(event.until, moves)))


def _request_ended(state: State, event: RequestEnded) -> State:
    is_later = event.request in state.deferred.requests
    asked = is_later or bool(state.moves_of.get(event.request))
    if is_later:
        state = state.but(deferred=state.deferred.without(event.request))
    if event.request in state.running:
        state, _ = _let_go(state, event.request)
    changes: dict[str, Any] = {} if event.status.complete else _with_reason(state, event)
    return state.but(
        counts={**state.counts, event.status: state.counts.get(event.status, 0) + 1},
        unasked=state.unasked + (event.status in _CUT_SHORT and not asked),
        active_at=_later(state.active_at, event.at),
        **changes,
    )


def _let_go(state: State, request: int) -> tuple[State, dict[int, Move]]:
    """Take a request and its C-MOVEs out of what is running; return the C-MOVEs too."""
    running, moves, moves_of = dict(state.running), dict(state.moves), dict(state.moves_of)
    del running[request]
    own = {number: moves.pop(number) for number in moves_of.pop(request, ())}
    return state.but(running=running, moves=moves, moves_of=moves_of), own


def _with_reason(state: State, event: RequestEnded) -> dict[str, Any]:
    """Return what changes when a request has ended without everything it asked for."""
    sentence = f"{part_of(event.moved, event.expected)}\t{_plain(event.error or '', SENTENCE)}"
    key = event.status, kind_of(sentence.replace("#", "\0"))  # which stands for a number there
    known = state.reasons.get(key)
    if known is None and len(state.reasons) >= REASONS:
        return {"unlisted": state.unlisted + 1}
    known = known or Reason(event.status, sentence, sentence, 0, ())
    least, most = extremes([known.least, known.most, sentence])
    more = Reason(event.status, least, most, known.count + 1, (*known.requests, event.request)[:EXAMPLES])
    return {"reasons": {**state.reasons, key: more}}


def _noted(state: State, event: Noted) -> State:
    text = _plain(event.text)
    state = state.but(notes=(*state.notes, text)[-NOTES:], noted=state.noted + 1, noted_at=event.at)
    return state if event.until is None else state.but(pause=text, paused_until=event.until)


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
    return state.but(
        samples=samples, moved_at=_later(state.moved_at, at), active_at=_later(state.active_at, at), **changes
    )


def _later(one: float | None, other: float) -> float:
    return other if one is None or other > one else one


def _risen(total: int | None, was: int | None, now: int | None) -> int | None:
    return total if now is None else (total or 0) + now - (was or 0)


def _plain(text: str, most: int = LENGTH) -> str:
    """Make one line of it, without characters that a terminal would obey."""
    line = make_visible(" ".join(text[: 2 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
