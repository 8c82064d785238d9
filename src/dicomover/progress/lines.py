"""One line for each request that runs, and the latest note: what a person looks at while a batch runs."""

from __future__ import annotations

from dataclasses import dataclass

from dicomover.progress.labels import Label
from dicomover.progress.state import STALL_AFTER, Move, State
from dicomover.progress.text import duration, speed
from dicomover.text.sentences import count_of

__all__ = ["LINES", "Line", "latest_note", "lines", "unseen"]

LINES = 8  # how many requests have a line
NOTE_AGE = 60.0  # seconds from which on the age of a note is told


@dataclass(frozen=True, slots=True)
class Line:
    """A request that runs."""

    what: str  # which one
    part: float | None  # how much of it is done, from 0 to 1; None while nothing tells
    words: str  # how far it is and how fast it goes
    stalled: bool = False  # whether nothing has moved for long


def lines(state: State, now: float, label: Label = str) -> tuple[Line, ...]:
    """Return a line for each request that runs: first those that have sent a C-MOVE; `unseen` are left out.

    Examples
    --------
    >>> state = State(requests=2, running={1: 0.0}, moves={5: Move(received=3, expected=8)}, moves_of={1: (5,)})
    >>> (line,) = lines(state, now=6.0)
    >>> line.what, line.words
    ('row 1', '3 of 8 instances · 30/min, 0 B/s · 6 s')
    """
    shown = sorted(state.running, key=lambda request: request not in state.moves_of)[:LINES]
    return tuple(_line(state, now, request, f"row {label(request)}") for request in shown)


def unseen(state: State) -> str:
    """Return how many requests run that have no line; empty if none."""
    more = len(state.running) - LINES
    return f"and {more:,} more running" if more > 0 else ""


def latest_note(state: State, now: float) -> str:
    """Return the latest note, with its age if it is old; empty if there is none, or it is a reason to wait."""
    if not state.notes or state.notes[-1] == state.pause:
        return ""
    age = 0.0 if state.noted_at is None else now - state.noted_at
    return f"{state.notes[-1]} · {duration(age)} ago" if age >= NOTE_AGE else state.notes[-1]


def _line(state: State, now: float, request: int, what: str) -> Line:
    moves = [state.moves[number] for number in state.moves_of.get(request, ())]
    spent = duration(now - state.running[request])
    if not moves:
        return Line(what, None, f"not sent yet · {spent}")  # it is looked up, or waits for its turn
    latest = moves[-1]
    idle = now - max(latest.begun_at, latest.moved_at or latest.begun_at)
    stalled = idle >= STALL_AFTER and not state.is_paused(now)
    pace = f"nothing for {duration(idle)}" if stalled else speed(latest.rate(now))
    part = None if any(move.total is None for move in moves) else sum(move.part for move in moves) / len(moves)
    return Line(what, part, " · ".join(word for word in (_how_far(moves), pace, spent) if word), stalled)


def _how_far(moves: list[Move]) -> str:
    moved, failed = sum(move.moved for move in moves), sum(move.counters.failed or 0 for move in moves)
    totals = [move.total for move in moves if move.total is not None]
    if not moved and not failed:
        words = f"none of {count_of(sum(totals), 'instance')} yet" if len(totals) == len(moves) else "nothing yet"
    elif len(totals) == len(moves):
        words = f"{moved:,} of {count_of(sum(totals), 'instance')}"
    else:
        words = count_of(moved, "instance")
    return f"{words}, {failed:,} failed" if failed else words
