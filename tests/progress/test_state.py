"""The fold: what a batch has come to, from its events alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from dicomover.outcome import Counters, Status
from dicomover.progress import Rate, fold
from progress_kit import begun, folded


def test_rate_of_a_move() -> None:
    """A C-MOVE is as fast as its latest attempt, from its first second on."""
    arrivals = [InstanceReceived(1.0 + i / 10, 0, 1000) for i in range(20)]
    state = folded(arrivals, begun())
    assert state.moves[0].rate(0.5) == Rate()
    assert state.moves[0].rate(4.0) == Rate(5.0, 5000.0)
    state = folded([MoveStarted(10.0, 0, 0), InstanceReceived(11.0, 0, 1000)], state)
    assert state.moves[0].rate(12.0) == Rate(0.5, 500.0)
    assert begun().moves[0].rate(100.0) == Rate()


@pytest.mark.parametrize(
    ("events", "total"),
    [
        ([], None),
        ([RequestEnded(1.0, 1, Status.SKIPPED)], 10),
        ([MoveStarted(1.0, 1, 1, 5)], 15),
        ([MoveStarted(1.0, 1, 1)], None),
        ([MoveStarted(1.0, 1, 1, 5), RequestDeferred(2.0, 1, 9.0)], 15),
        ([RequestEnded(1.0, 1, Status.NOT_FOUND)], 10),
        ([RequestEnded(1.0, 1, Status.CANCELLED)], None),
    ],
    ids=[
        "one-request-open",
        "the-other-skipped",
        "both-promised",
        "one-not-promised",
        "one-deferred",
        "one-not-found",
        "one-not-looked-up",
    ],
)
def test_expected_total(events: list[Event], total: int | None) -> None:
    """The expected total is known only once every request is promised or over, and none was left out."""
    assert folded(events, begun(2, expected=10)).expected_total == total


@pytest.mark.parametrize(
    ("expected", "counters", "percent"),
    [
        (10, Counters(4, 1, 0), 25),
        (None, Counters(5, 0, 0, 15), 12),
        (None, Counters(5), 0),
        (10, Counters(40), 50),
    ],
    ids=["promised", "remaining", "nothing-tells", "more-than-promised"],
)
def test_running_request_counts_in_parts(expected: int | None, counters: Counters, percent: int) -> None:
    """The bar moves within a request as far as C-FIND or the PACS tell how large it is, never past it."""
    assert folded([MoveProgressed(1.0, 0, counters)], begun(2, expected=expected)).percent == percent


def test_percent_is_exact_and_never_early() -> None:
    """29 of 100 is 29 %, and 100 % waits for the last verdict."""
    endings = [RequestEnded(1.0, i, Status.SUCCESS) for i in range(1000)]
    assert folded([BatchStarted(0.0, 100), *endings[:29]]).percent == 29
    assert folded([BatchStarted(0.0, 1000), *endings[:999]]).percent == 99
    assert folded([BatchStarted(0.0, 1000), *endings]).percent == 100
    assert folded([MoveProgressed(1.0, 0, Counters(10))], begun(expected=10)).percent == 99


def test_rate_is_recent() -> None:
    """The rate looks at the last seconds, not at the whole batch, and is zero after a silence."""
    state, count, at = begun(), 0, 0.0
    for per_second, seconds in ((100, 60), (10, 60)):
        for _ in range(per_second * seconds):
            at, count = at + 1 / per_second, count + 1
            state = fold(state, MoveProgressed(at, 0, Counters(count)))
        assert state.rate(at).instances == pytest.approx(per_second, rel=0.02)
    assert state.mean_rate(at).instances == pytest.approx(55, rel=0.02)
    assert state.rate(at + 16).instances == 0


def test_rate_after_a_silence() -> None:
    """What moves after a long silence is not spread over the silence."""
    state = folded([InstanceReceived(1.0 + i / 100, 0, 1000) for i in range(100)], begun())
    state = folded([InstanceReceived(1000.0 + i / 100, 0, 1000) for i in range(1000)], state)
    rate = state.rate(1010.0)
    assert rate.instances == pytest.approx(1000 / 16, rel=0.01)
    assert rate.bytes == pytest.approx(1000 * 1000 / 16, rel=0.01)


def test_rate_unknown() -> None:
    """There is no rate before a second has passed, nor while nothing is counted."""
    assert begun().rate(10.0).instances is None
    state = folded([MoveProgressed(0.1, 0, Counters(50))], begun())
    assert state.rate(0.2).instances is None
    assert state.rate(10.0).instances == 5
    assert state.rate(10.0).bytes is None


@pytest.mark.parametrize(
    "event",
    [
        InstanceReceived(30.0, None, 1),
        MoveProgressed(30.0, 0, Counters(2)),
        MoveProgressed(30.0, 0, Counters(remaining=7)),
        RequestEnded(30.0, 0, Status.LOST),
        RequestStarted(30.0, 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_movement_ends_a_stall(event: Event) -> None:
    """Whatever moves sets the clock of the stall back."""
    state = folded([MoveProgressed(0.0, 0, Counters(1, remaining=8))], begun(2))
    assert state.stalled_for(19.9) is None
    assert state.stalled_for(30.0) == 30.0
    state = fold(state, event)
    assert state.stalled_for(49.9) is None
    assert state.stalled_for(50.0) == 20.0


@pytest.mark.parametrize(
    "event",
    [MoveProgressed(30.0, 0, Counters(1)), MoveStarted(30.0, 1, 0), Noted(30.0, "retrying")],
    ids=lambda event: type(event).__name__,
)
def test_no_movement_no_end_of_a_stall(event: Event) -> None:
    """A repeated response, another attempt or a note is no movement."""
    state = fold(folded([MoveProgressed(0.0, 0, Counters(1))], begun()), event)
    assert state.stalled_for(31.0) == 31.0


def test_no_stall_when_over() -> None:
    """A batch that is over does not stall."""
    assert fold(begun(), BatchEnded(5.0)).stalled_for(100.0) is None
    assert fold(begun(), RequestEnded(5.0, 0, Status.SUCCESS)).stalled_for(100.0) is None


def test_no_stall_in_a_pause() -> None:
    """Nothing has to move while the batch waits as it was told to; afterwards the clock begins anew."""
    state = folded([Noted(1.0, "waiting for the window", until=3600.0)], begun(2))
    assert (state.is_paused(100.0), state.stalled_for(100.0), state.pause) == (True, None, "waiting for the window")
    assert (state.is_paused(3600.0), state.stalled_for(3619.0), state.stalled_for(3620.0)) == (False, None, 20.0)
    early = fold(state, RequestStarted(600.0, 1))  # the machine slept, and its clock with it
    assert (early.is_paused(600.0), early.stalled_for(619.0), early.stalled_for(621.0)) == (False, None, 21.0)
    assert not fold(state, BatchEnded(2.0)).is_paused(2.0)


def test_no_stall_between_attempts() -> None:
    """Nothing has to move while all that is left waits for its next attempt."""
    state = folded([RequestDeferred(2.0, 0, 602.0)], begun(1))
    assert (state.is_paused(500.0), state.stalled_for(500.0)) == (True, None)
    again = fold(state, MoveStarted(602.0, 0, 0))
    assert (again.stalled_for(603.0), again.stalled_for(700.0)) == (None, 98.0)
    busy = folded([RequestDeferred(2.0, 0, 602.0), RequestStarted(3.0, 1)], begun(2))
    assert (busy.is_paused(500.0), busy.stalled_for(500.0)) == (False, 497.0)


def test_time_left() -> None:
    """The time left comes from the requests done, the running ones in parts."""
    state = begun(10, expected=100)
    assert state.seconds_left(10.0) is None
    state = fold(state, MoveProgressed(1.0, 0, Counters(50)))
    assert state.seconds_left(1.0) is None
    assert state.seconds_left(10.0) == pytest.approx(190)
    state = folded([RequestEnded(19.0, 0, Status.SUCCESS)], state)
    assert state.seconds_left(20.0) == pytest.approx(180)


def test_skipped_requests_do_not_promise_speed() -> None:
    """Requests that took no work leave the time left to those that did."""
    state = folded([RequestEnded(0.0, i, Status.SKIPPED) for i in range(1, 9)], begun(10))
    assert state.seconds_left(10.0) is None
    state = fold(state, RequestEnded(10.0, 0, Status.SUCCESS))
    assert state.seconds_left(10.0) == pytest.approx(10)


def test_clock_stops_at_the_end() -> None:
    """After the end the elapsed time stands still."""
    assert begun().elapsed(7.0) == 7.0
    assert fold(begun(), BatchEnded(5.0)).elapsed(100.0) == 5.0


def test_a_state_changes_only_in_the_fields_that_it_has() -> None:
    """The copy has the changes, the original has none of them, and a field that there is not is refused by name."""
    state = begun()
    later = state.but(requests=7, pause="resting")
    assert later == replace(state, requests=7, pause="resting")
    assert state == begun()
    with pytest.raises(TypeError, match="request_s"):
        state.but(request_s=7)
