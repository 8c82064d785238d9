"""The fold: what each event makes of a state, in any order in which they may come."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest

from dicomover.events import (
    BatchEnded,
    BatchStarted,
    InstanceReceived,
    MoveProgressed,
    MoveStarted,
    Noted,
    RequestDeferred,
    RequestEnded,
    RequestStarted,
)
from dicomover.outcome import Counters, Status
from dicomover.progress import State, fold
from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.state import Deferred, Later, Move
from dicomover.progress.text import headline, unlisted
from progress_kit import begun, folded


@pytest.mark.parametrize(
    ("responses", "moved", "failed"),
    [
        pytest.param([], None, None, id="nothing-said"),
        pytest.param([Counters()], None, None, id="no-counters"),
        pytest.param([Counters(completed=0)], 0, None, id="zero-is-known"),
        pytest.param([Counters(completed=1), Counters(completed=5)], 5, None, id="later-replaces"),
        pytest.param([Counters(completed=5, failed=1), Counters(completed=0, failed=0)], 5, 1, id="largest-stays"),
        pytest.param([Counters(completed=5), Counters()], 5, None, id="silence-takes-nothing-away"),
        pytest.param([Counters(completed=5, warning=2), Counters(warning=3)], 8, None, id="warnings-have-moved"),
        pytest.param([Counters(failed=4)], None, 4, id="only-failed"),
    ],
)
def test_counters_of_one_move(responses: list[Counters], moved: int | None, failed: int | None) -> None:
    """The counters of one C-MOVE replace each other, the largest stays, and absent means unknown."""
    state = folded((MoveProgressed(1.0 + i, 0, c) for i, c in enumerate(responses)), begun())
    assert (state.moved, state.failed) == (moved, failed)


def test_moves_add_up() -> None:
    """The counters of different C-MOVEs are summed, also after the request of one has ended."""
    state = begun(2)
    state = folded(
        [
            MoveProgressed(1.0, 0, Counters(3, 1, 0, 0)),
            RequestEnded(2.0, 0, Status.PARTIAL),
            RequestStarted(2.0, 1),
            MoveStarted(2.0, 1, 1),
            MoveProgressed(3.0, 1, Counters(4, 0, 2, 0)),
        ],
        state,
    )
    assert (state.completed, state.failed, state.warnings) == (7, 1, 2)


def test_response_after_the_verdict() -> None:
    """A response to a C-MOVE that is over is not counted a second time."""
    state = folded([MoveProgressed(1.0, 0, Counters(3)), RequestEnded(2.0, 0, Status.SUCCESS)], begun())
    assert folded([MoveProgressed(3.0, 0, Counters(3))], state).completed == 3


def test_requests_that_run() -> None:
    """A request runs from its start to its verdict, with the C-MOVEs that it has sent."""
    state = folded([RequestStarted(1.0, 1)], begun(3))
    assert (dict(state.running), dict(state.moves_of)) == ({0: 0.0, 1: 1.0}, {0: (0,)})
    state = folded([RequestEnded(2.0, 0, Status.SUCCESS), RequestEnded(2.0, 1, Status.NOT_FOUND)], state)
    assert not any((state.running, state.moves, state.moves_of))


def test_deferred_and_taken_up_again() -> None:
    """A request that is tried again later does not run meanwhile, and keeps what its C-MOVEs have come to."""
    state = folded([MoveProgressed(1.0, 0, Counters(4, 1, 0, 5)), RequestDeferred(2.0, 0, 32.0)], begun(2, expected=10))
    assert not any((state.running, state.moves, state.moves_of))
    assert (state.deferred.next_attempt, state.percent) == (32.0, 25)
    state = folded([MoveStarted(32.0, 0, 0, 10), MoveProgressed(33.0, 0, Counters(6, 0, 0, 4))], state)
    assert (state.completed, state.failed, state.expected, state.percent) == (6, 1, 10, 35)
    assert (state.deferred.next_attempt, dict(state.running), state.moves_of[0]) == (None, {0: 32.0}, (0,))
    state = fold(state, RequestDeferred(34.0, 0, 90.0))
    assert not fold(state, RequestEnded(35.0, 0, Status.PARTIAL)).deferred


def test_deferred_to_another_request() -> None:
    """A request that waits for the C-MOVE of another is not kept until it ends, however many there are."""
    state = folded([RequestStarted(1.0, 1), RequestDeferred(1.0, 1)], begun(2))
    assert (set(state.running), dict(state.deferred), state.deferred.next_attempt) == ({0}, {}, None)
    state = folded([MoveStarted(1.0, 1, 0), RequestDeferred(1.0, 0), RequestDeferred(1.0, 7, 9.0)], state)
    assert (set(state.deferred), state.deferred.next_attempt) == ({0}, None)


def test_what_is_kept_of_those_deferred_is_what_they_come_to() -> None:
    """Whatever comes and goes, the sums that are kept are those of the requests that are left."""
    later, chance = Later(), random.Random(1)
    for step in range(500):
        if later and chance.random() < 0.45:
            later = later.without(chance.choice(list(later)))
        else:
            move = Move(Counters(chance.randrange(9)), expected=8)
            later = later.adding(step, Deferred(chance.choice([None, chance.randrange(30)]), {step: move}))
        untils = [deferred.until for deferred in later.values() if deferred.until is not None]
        assert (later.attempts, later.next_attempt) == (len(untils), min(untils, default=None))
        assert later.parts == pytest.approx(sum(deferred.part for deferred in later.values()))


def test_a_move_announced_twice() -> None:
    """A C-MOVE that is announced twice for one request is one C-MOVE."""
    state = folded([MoveStarted(0.0, 0, 0, 10)], begun(expected=10))
    assert (state.expected, state.moves_of[0]) == (10, (0,))
    assert not fold(state, RequestEnded(1.0, 0, Status.SUCCESS)).moves


def test_one_request_several_moves() -> None:
    """A request that takes several C-MOVEs takes all of them with it when it ends."""
    state = folded([MoveStarted(1.0, 1, 0), MoveStarted(2.0, 2, 0)], begun())
    assert set(state.moves) == {0, 1, 2}
    assert not folded([RequestEnded(3.0, 0, Status.SUCCESS)], state).moves


def test_received() -> None:
    """Arrivals and their bytes are counted, tied to a C-MOVE or not; none yet is unknown, not zero."""
    state = begun()
    assert state.received is None
    state = folded(
        [InstanceReceived(1.0, 0, 500), InstanceReceived(1.0, None, 70), InstanceReceived(1.0, 99, 5)], state
    )
    assert (state.received, state.bytes, state.moves[0].received) == (3, 575, 1)


def test_equal_reasons_are_one() -> None:
    """Requests with the same verdict and the same words are counted together, and the first are named."""
    ends = [RequestEnded(1.0, i, Status.CANCELLED, "not sent: the batch was cancelled") for i in range(412)]
    ends += [
        RequestEnded(1.0, 500, Status.FAILURE, "not sent: the batch was cancelled"),
        RequestEnded(1.0, 501, Status.LOST),
    ]
    state = folded([BatchStarted(0.0, 1000), RequestEnded(1.0, 900, Status.SUCCESS), *ends])
    assert [(r.status, r.error, r.count, r.requests) for r in state.reasons.values()] == [
        (Status.CANCELLED, "not sent: the batch was cancelled", 412, (0, 1, 2, 3)),
        (Status.FAILURE, "not sent: the batch was cancelled", 1, (500,)),
        (Status.LOST, "", 1, (501,)),
    ]


def test_reasons_that_differ_in_numbers_are_one() -> None:
    """Sentences that differ in their numbers only are one reason, with the range of each number."""
    whys = ["0xB000, 7 of 8 moved", "0xB000, 3 of 8 moved", "0xB000, 5 of 8 moved", "0xA702, 3 of 8 moved"]
    ends = [RequestEnded(1.0, i, Status.PARTIAL, why) for i, why in enumerate(whys)]
    state = folded([BatchStarted(0.0, 4), *ends])
    assert [(r.error, r.count) for r in state.reasons.values()] == [
        ("0xB000, 3 to 7 of 8 moved", 3),
        ("0xA702, 3 of 8 moved", 1),
    ]


def test_a_reason_says_how_much_has_moved() -> None:
    """A reason has how many instances of each of its requests have moved, of how many, as far as that is known."""
    counts = [(3, 8), (7, 8), (None, 12), (None, None), (2000, None)]
    ends = [RequestEnded(1.0, i, Status.LOST, "no 5 left", *count) for i, count in enumerate(counts)]
    state = folded([BatchStarted(0.0, 5), *ends])
    told = [(reason.moved, reason.error, reason.count) for reason in state.reasons.values()]
    assert told == [
        ("3 to 7 of 8", "no 5 left", 2),
        ("? of 12", "no 5 left", 1),
        ("", "no 5 left", 1),
        ("2,000 of ?", "no 5 left", 1),
    ]


def test_a_reason_with_the_sign_for_a_number() -> None:
    """What an archive writes into its comment confuses nobody."""
    whys = ["no # left", "no 5 left", "##", "5#5"]
    state = folded([BatchStarted(0.0, 4), *(RequestEnded(1.0, i, Status.LOST, why) for i, why in enumerate(whys))])
    assert [reason.error for reason in state.reasons.values()] == whys


def test_reasons_are_few_and_harmless() -> None:
    """However many different reasons there are, a few are kept and the others counted, on one line each."""
    ends = [RequestEnded(1.0, i, Status.FAILURE, f"\x1b[2Jno r{i}\n" + "x" * 9999) for i in range(10_000)]
    state = folded([BatchStarted(0.0, 10_000), *ends])
    assert (len(state.reasons), state.unlisted) == (20, 9_980)
    assert {len(reason.error) for reason in state.reasons.values()} == {1000}
    assert all(reason.error.isprintable() for reason in state.reasons.values())
    assert sum(reason.count for reason in state.reasons.values()) + state.unlisted == state.incomplete


def test_counts_by_verdict() -> None:
    """Every verdict is counted under its own word, and those short of complete together."""
    state = folded([BatchStarted(0.0, 20), *(RequestEnded(1.0, i, status) for i, status in enumerate(Status))])
    assert dict(state.counts) == dict.fromkeys(Status, 1)
    assert (state.done, state.incomplete) == (10, 7)


def test_notes_are_few_and_harmless() -> None:
    """The latest notes stay, on one line each, bounded, without what a terminal would obey."""
    state = folded([Noted(0.0, f"note {i}") for i in range(10)], begun())
    assert (state.notes[-1], len(state.notes), state.noted) == ("note 9", 5, 10)
    state = fold(state, Noted(0.0, "\x1b[2Jtwo\n lines\t\u202e" + "x" * 10_000))
    assert state.notes[-1].startswith(r"\x1b[2Jtwo lines \u202exx")
    assert len(state.notes[-1]) == 300


def test_fold_leaves_its_state_alone() -> None:
    """A state that someone holds does not change under them."""
    before = folded([MoveProgressed(1.0, 0, Counters(1)), RequestEnded(1.0, 5, Status.EMPTY)], begun(9))
    before = folded([RequestStarted(1.0, 6), RequestDeferred(1.0, 6, 9.0), RequestStarted(1.0, 7)], before)
    copy = deepcopy(before)
    events = [
        MoveProgressed(2.0, 0, Counters(9)),
        InstanceReceived(2.0, 0, 1),
        RequestStarted(2.0, 6),
        RequestDeferred(2.0, 7, 9.0),
        RequestEnded(3.0, 0, Status.EMPTY, "why"),
    ]
    for event in [*events, BatchEnded(4.0)]:
        fold(before, event)
    folded(events, before)
    assert before == copy


def test_a_large_batch_stays_light() -> None:
    """After 100,000 requests a state holds only what runs, the samples of a few seconds and a few reasons."""
    requests, largest, words = 100_000, 0, 0
    state = fold(State(), BatchStarted(0.0, requests))
    for request in range(requests):
        at = request / 10
        state = fold(state, RequestStarted(at, request))
        state = fold(state, MoveStarted(at, request, request, 1))
        state = fold(state, MoveProgressed(at, request, Counters(1, 0, 0, 0)))
        if request >= 3:
            status = Status.SUCCESS if request % 3 else Status.FAILURE
            state = fold(state, RequestEnded(at, request - 3, status, f"reason r{request}"))
        largest = max(largest, len(state.moves) + len(state.moves_of) + len(state.running) + len(state.samples))
        if request % 1000 == 0:
            drawn = (running_html(state, at), closing_html(state, at), headline(state, at))
            words = max(words, *map(len, drawn))
    assert (state.completed, state.done) == (requests, requests - 3)
    assert largest <= 4 + 4 + 4 + 18
    assert words < 20_000
    assert unlisted(state) == f"and {state.incomplete - 20:,} more rows for other reasons"
    ended = fold(state, BatchEnded(requests / 10))
    assert not any((ended.moves, ended.moves_of, ended.running, ended.deferred))
