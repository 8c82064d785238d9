"""The driver, the views, and the choice among them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from dicomover.events import BatchStarted, RequestEnded
from dicomover.outcome import Status
from dicomover.progress import NullView, Progress, State
from progress_kit import Recorder


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return what was set."""
        return self.now


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what our logger has logged so far."""
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "dicomover.progress"]


def test_draws_at_most_ten_times_a_second() -> None:
    """However often it is refreshed, a view is called at most once in a tenth of a second."""
    view, clock = Recorder(), Clock()
    progress = Progress(view, clock)
    for step in range(1000):
        clock.now = step / 1000
        progress.refresh()
    assert len(view.shown) == 10


def test_taking_does_not_draw() -> None:
    """Events are only counted; the next refresh shows them all."""
    view = Recorder()
    progress = Progress(view, Clock())
    progress.take(BatchStarted(0.0, 2))
    progress.take(RequestEnded(0.0, 0, Status.SUCCESS))
    assert not view.shown
    progress.refresh()
    assert view.shown == [(1, 0.0)]


def test_close_shows_the_last_state_once() -> None:
    """The end is shown even right after a refresh, once, and nothing is drawn after it."""
    view, clock = Recorder(), Clock()
    with Progress(view, clock) as progress:
        progress.take(BatchStarted(0.0, 2))
        progress.refresh()
        progress.take(RequestEnded(0.0, 0, Status.SUCCESS))
    progress.close()
    clock.now = 5.0
    progress.refresh()
    assert view.closed == [(1, 0.0)]
    assert len(view.shown) == 2


@pytest.mark.parametrize("last", ["refresh", "close"])
def test_a_broken_view_does_not_break_the_batch(last: str, lines: Callable[[], list[str]]) -> None:
    """A view that fails is named once in the log and not asked again; the state goes on."""
    view, clock = Recorder(), Clock()
    progress = Progress(view, clock)
    progress.refresh()
    view.broken = True
    for _ in range(3):
        clock.now += 1
        getattr(progress, last)()
    view.broken = False
    progress.close()
    progress.take(BatchStarted(0.0, 2))
    (line,) = lines()
    assert line.startswith("Progress cannot be shown any more; the batch goes on\n")
    assert line.endswith("RuntimeError")  # and not what it says, which may name a row
    assert not view.closed
    assert progress.state.requests == 2


def test_an_interrupt_gets_through() -> None:
    """Ctrl-C while drawing reaches the caller."""

    class Interrupted(NullView):
        def show(self, state: State, now: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Progress(Interrupted()).refresh()


@pytest.mark.parametrize("stage", ["fold", "keep"])
def test_an_event_that_cannot_be_taken_in_is_logged_and_costs_no_more(
    stage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What breaks while an event is folded or kept ends nothing; the next one is taken in."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    progress = Progress(NullView(), keep=fail if stage == "keep" else lambda *_: None)
    with monkeypatch.context() as broken:
        if stage == "fold":
            broken.setattr("dicomover.progress.fold", fail)
        progress.take(BatchStarted(0.0, requests=3))
    assert "the batch goes on" in caplog.text
    progress.take(BatchStarted(0.0, requests=4))
    assert progress.state.requests == 4


def test_a_drawing_that_stands_still_is_tried_once() -> None:
    """An interrupt of a drawing that took long ends all further ones; one of a quick drawing ends nothing."""
    drawn: list[float] = []

    class Interrupted(NullView):
        def show(self, state: State, now: float) -> None:
            drawn.append(now)
            time.sleep(0.25 if len(drawn) == 2 else 0)
            raise KeyboardInterrupt

    clock = Clock()
    progress = Progress(Interrupted(), clock)
    for _ in range(2):
        clock.now += 1
        with pytest.raises(KeyboardInterrupt):
            progress.refresh()
    clock.now += 1
    progress.refresh()
    assert len(drawn) == 2
