"""What the tests of progress share: states of batches, by hand or folded from events, and what a reader sees."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser

from dicomover.events import (
    BatchEnded,
    BatchStarted,
    Event,
    MoveProgressed,
    MoveStarted,
    Noted,
    RequestEnded,
    RequestStarted,
)
from dicomover.outcome import Counters, Status
from dicomover.progress import State, fold
from dicomover.progress.state import Deferred, Later, Move, Reason, Sample

RUNNING = State(
    started_at=0.0,
    requests=20,
    counts={Status.SUCCESS: 8, Status.PARTIAL: 2},
    completed=1230,
    warnings=4,
    failed=3,
    expected=1300,
    moves={10: Move(Counters(10), expected=20)},
    running={10: 90.0},
    moves_of={10: (10,)},
    moving_at=10.0,
    moved_at=100.0,
    active_at=100.0,
    samples=(Sample(84.0, 444),),
)


ONE_LATER = Later().adding(3, Deferred(112.0, {}))


REASONS = {
    (status, why): Reason(status, why, why, count, first)
    for status, why, count, first in [
        (Status.NOT_FOUND, "C-FIND has no match", 1, (3,)),
        (Status.CANCELLED, "not sent: the batch was cancelled", 412, (5, 6, 7, 8, 9)),
        (Status.LOST, "", 2, (1, 2)),
    ]
}


ENDED = State(
    started_at=0.0,
    ended_at=9.0,
    requests=9_999,
    counts={Status.NOT_FOUND: 1, Status.LOST: 9586, Status.CANCELLED: 412},
    reasons=REASONS,
    unlisted=9_584,
)


class Words(HTMLParser):
    """Collects what a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the name of the tag."""
        self.tags.append(tag)


def folded(events: Iterable[Event], state: State | None = None) -> State:
    """Take in many events."""
    state = State() if state is None else state
    for event in events:
        state = fold(state, event)
    return state


def begun(requests: int = 1, **move: int | None) -> State:
    """Return a batch at 0 s whose first request has one C-MOVE."""
    expected = move.get("expected")
    return folded([BatchStarted(0.0, requests), RequestStarted(0.0, 0), MoveStarted(0.0, 0, 0, expected)])


def running(note: str = "") -> State:
    """Return a batch of two, one done and one running, 10 s after its start."""
    state = State()
    for event in (
        BatchStarted(0.0, 2),
        RequestStarted(0.0, 0),
        MoveStarted(0.0, 0, 0, 8),
        MoveProgressed(5.0, 0, Counters(7, 1, 0, 0)),
        RequestEnded(5.0, 0, Status.PARTIAL),
        *([Noted(6.0, note)] if note else []),
        RequestStarted(5.0, 1),
        MoveStarted(5.0, 1, 1, 8),
        MoveProgressed(10.0, 1, Counters(4, 0, 0, 4)),
    ):
        state = fold(state, event)
    return state


def over(state: State) -> State:
    """Return the batch when it has ended well."""
    return fold(fold(state, RequestEnded(20.0, 1, Status.SUCCESS)), BatchEnded(20.0))


class Recorder:
    """A view that keeps what it was asked to show, and fails when told."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, float]] = []
        self.closed: list[tuple[int, float]] = []
        self.broken = False

    def show(self, state: State, now: float) -> None:
        """Keep what is to be shown."""
        if self.broken:
            raise RuntimeError("comm is gone")
        self.shown.append((state.done, now))

    def close(self, state: State, now: float) -> None:
        """Keep what is to be shown for good."""
        self.show(state, now)
        self.closed.append((state.done, now))
