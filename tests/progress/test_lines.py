"""One line for each request that runs, few of many, and the latest note."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomover.outcome import Counters
from dicomover.progress import State
from dicomover.progress.lines import latest_note, lines, unseen
from dicomover.progress.markup import running_html
from dicomover.progress.state import Move
from dicomover.progress.text import (
    facts,
)
from progress_kit import ONE_LATER, RUNNING, Words


@pytest.mark.parametrize(
    ("changes", "words", "part"),
    [
        ({"moves": {}, "moves_of": {}}, "not sent yet · 10 s", None),
        ({}, "10 of 20 instances · 1.0/s · 10 s", 0.5),
        ({"moves": {10: Move()}}, "nothing yet · 10 s", None),
        ({"moves": {10: Move(expected=1)}}, "none of 1 instance yet · 10 s", 0.0),
        ({"moves": {10: Move(received=1, bytes=5000)}}, "1 instance · 6/min, 500 B/s · 10 s", None),
        ({"moves": {10: Move(Counters(3, 1, 0, 4))}}, "3 of 8 instances, 1 failed · 18/min · 10 s", 0.5),
        (
            {"moves": {10: Move(Counters(3), expected=3), 11: Move(expected=3)}, "moves_of": {10: (10, 11)}},
            "3 of 6 instances · 10 s",
            0.5,
        ),
    ],
    ids=["no-move-yet", "promised", "nothing-said", "none-yet", "received", "failed", "two-moves"],
)
def test_line_of_a_request(changes: dict[str, object], words: str, part: float | None) -> None:
    """The line of a request that runs tells how far it is, as far as that is known, and how fast it goes."""
    state = replace(RUNNING, **changes)
    moves = {number: replace(move, begun_at=90.0) for number, move in state.moves.items()}
    (line,) = lines(replace(state, moves=moves), 100.0, label=lambda position: f"#{position}")
    assert (line.what, line.words, line.part, line.stalled) == ("row #10", words, part, False)


def test_line_of_a_request_that_stalls() -> None:
    """A request for which nothing has come for long says so, unless the batch was told to wait."""
    move = Move(Counters(4), expected=8, begun_at=90.0, moved_at=100.0)
    state = replace(RUNNING, moves={10: move})
    assert [line.stalled for line in lines(state, 119.9)] == [False]
    (line,) = lines(state, 140.0)
    assert (line.words, line.stalled) == ("4 of 8 instances · nothing for 40 s · 50 s", True)
    assert [line.stalled for line in lines(replace(state, paused_until=200.0), 140.0)] == [False]


def test_what_is_tried_again_while_others_run() -> None:
    """While requests run, those that are tried again later are told below them."""
    told = Words(running_html(replace(RUNNING, deferred=ONE_LATER), 100.0)).words
    assert told.count("1 request is tried again in 12 s") == 1
    paused = replace(RUNNING, running={}, moves={}, moves_of={}, deferred=ONE_LATER)
    told = Words(running_html(paused, 100.0)).words
    assert sum("1 request is tried again in 12 s" in words for words in told) == 1


def test_what_was_sent_has_the_first_lines() -> None:
    """Requests that wait for their turn come below those whose C-MOVE was sent."""
    state = replace(RUNNING, running={7: 1.0, 10: 90.0, 8: 2.0})
    assert [line.what for line in lines(state, 100.0)] == ["row 10", "row 7", "row 8"]


def test_only_a_few_lines() -> None:
    """However many requests run, a few have a line and the others are counted."""
    state = State(requests=2000, running=dict.fromkeys(range(1200), 0.0))
    assert [line.what for line in lines(state, 1.0)] == [f"row {position}" for position in range(8)]
    assert unseen(state) == "and 1,192 more running"
    assert "and 1,192 more running" in Words(running_html(state, 1.0)).words
    assert unseen(State(running={1: 0.0})) == ""


def test_latest_note() -> None:
    """The latest note has its age once it is old, and is left out where it is told as what the batch waits for."""
    state = State(started_at=0.0, notes=("old", "resting"), noted=2, noted_at=10.0)
    assert latest_note(state, 69.0) == "resting"
    assert latest_note(state, 130.0) == "resting · 2 min 00 s ago"
    waited = replace(state, pause="resting", paused_until=500.0)
    assert latest_note(waited, 130.0) == latest_note(replace(waited, paused_until=None), 130.0) == ""
    assert "resting" not in str(facts(waited, 600.0))
    assert latest_note(State(), 1.0) == ""


def test_a_note_is_past_when_the_batch_is_over() -> None:
    """What is kept of a batch gives its last note as what was said while it ran, not as something to act on."""
    state = State(started_at=0.0, ended_at=9.0, notes=("the archive is busy",), noted=1, noted_at=3.0)
    assert dict(facts(state, 600.0))["Last note"] == "while it ran: “the archive is busy”"
