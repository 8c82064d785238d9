"""A state in words, and the words as HTML."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomover.events import BatchEnded, BatchStarted, RequestEnded
from dicomover.outcome import Status
from dicomover.progress import Rate, State
from dicomover.progress.state import Deferred, Later
from dicomover.progress.text import (
    brief,
    closing,
    duration,
    facts,
    heading,
    headline,
    new_notes,
    size,
    speed,
    verdicts,
    waiting,
)
from progress_kit import ENDED, ONE_LATER, RUNNING, folded


@pytest.mark.parametrize(
    ("changes", "now", "expected"),
    [
        pytest.param(
            {},
            100.0,
            "10 of 20 requests, 2 not complete · 1,234 instances moved (4 with a warning), 3 failed · 49/s"
            " · 1 min 21 s left",
            id="running",
        ),
        pytest.param(
            {},
            141.0,
            "10 of 20 requests, 2 not complete · nothing has moved for 41 s"
            " · 1,234 instances moved (4 with a warning), 3 failed",
            id="stalled",
        ),
        pytest.param(
            {"received": 1, "bytes": 500, "failed": 0, "warnings": None, "requests": 11},
            120.0,
            "10 of 11 requests, 2 not complete · nothing has moved for 20 s · 1 of 1,300 instances received",
            id="received",
        ),
        pytest.param(
            {"ended_at": 130.0, "completed": None, "warnings": None, "failed": None, "counts": {Status.EMPTY: 1}},
            999.0,
            "1 of 20 requests, 1 not complete · in 2 min 10 s",
            id="ended",
        ),
        pytest.param(
            {"completed": None, "warnings": None, "counts": {}, "moves": {}, "moves_of": {}},
            101.0,
            "0 of 20 requests · 0 instances moved, 3 failed",
            id="only-failed",
        ),
        pytest.param({"started_at": None}, 100.0, "starting", id="not-begun"),
        pytest.param(
            {"pause": "waiting for the window, resumes 19:00", "paused_until": 900.0},
            400.0,
            "10 of 20 requests, 2 not complete · waiting for the window, resumes 19:00"
            " · 1,234 instances moved (4 with a warning), 3 failed",
            id="paused",
        ),
        pytest.param(
            {"deferred": ONE_LATER},
            100.0,
            "10 of 20 requests, 2 not complete · 1,234 instances moved (4 with a warning), 3 failed · 49/s"
            " · 1 min 21 s left",
            id="one-deferred",
        ),
        pytest.param(
            {"deferred": ONE_LATER, "running": {}},
            100.0,
            "10 of 20 requests, 2 not complete · 1 request is tried again in 12 s"
            " · 1,234 instances moved (4 with a warning), 3 failed",
            id="only-deferred",
        ),
    ],
)
def test_headline(changes: dict[str, object], now: float, expected: str) -> None:
    """The headline tells what is known, leaves out what is not, and says so when nothing moves."""
    assert headline(replace(RUNNING, **changes), now) == expected


def test_brief() -> None:
    """The words for a terminal tell the same, what matters first."""
    assert (
        brief(RUNNING, 100.0)
        == "10/20 requests · 1 min 21 s left · 2 not complete · 1,234 moved · 3 failed · 4 with a warning · 49/s"
    )
    assert (
        brief(replace(RUNNING, received=7), 141.0)
        == "10/20 requests · nothing has moved for 41 s · 2 not complete · 7 received · 3 failed · 4 with a warning"
    )
    assert brief(State(), 0.0) == "starting"
    paused = replace(RUNNING, pause="waiting for the window", paused_until=900.0, failed=0, warnings=None)
    assert brief(paused, 400.0) == "10/20 requests · waiting for the window · 2 not complete · 1,230 moved"


def test_waiting() -> None:
    """What the batch waits for is told until then, and how many requests are tried again, and when."""
    later = Later().adding(1, Deferred(30.0, {})).adding(2, Deferred(12.0, {})).adding(3, Deferred(None, {}))
    assert waiting(State(deferred=later), 2.0) == "2 requests are tried again, the next in 10 s"
    assert waiting(State(deferred=later), 12.0) == "2 requests are tried again"
    assert waiting(State(deferred=Later().adding(3, Deferred(None, {}))), 2.0) == ""
    assert waiting(State(pause="resting", paused_until=5.0, deferred=later), 2.0) == "resting"
    assert waiting(State(pause="resting", paused_until=5.0), 5.0) == ""
    assert waiting(State(pause="resting", paused_until=5.0, ended_at=1.0, deferred=later), 2.0) == ""


def test_expected_of_a_batch_that_was_cut_short() -> None:
    """Where requests ended before they were sent, what was expected of the others is not called the total."""
    state = replace(RUNNING, unasked=10)
    assert (
        dict(facts(state, 200.0))["Expected"] == "1,300 instances in what was asked for; some requests were never sent"
    )
    assert "of 1,300" not in headline(replace(state, requests=11), 100.0)
    assert "Expected" not in dict(facts(replace(state, unpromised=1), 200.0))


@pytest.mark.parametrize(("count", "words"), [(1, "1 request"), (12, "12 requests")])
def test_what_an_earlier_run_brought_is_told(count: int, words: str) -> None:
    """Counts leave out what an earlier run brought, and it is said that they do."""
    state = State(requests=20, counts={Status.SUCCESS: 8, Status.SKIPPED: count}, received=40, expected=40)
    told = dict(facts(state, 9.0))
    assert told["Received"] == "40 instances, 0 B"
    assert told["Skipped"] == f"{words}, complete by an earlier run and in none of these counts"
    nothing_else = State(requests=count, counts={Status.SKIPPED: count})
    assert dict(facts(nothing_else, 9.0))["Skipped"] == f"{words}, complete by an earlier run"
    assert "Skipped" not in dict(facts(RUNNING, 9.0))


def test_closing_names_the_rows_that_are_not_complete() -> None:
    """The closing text has a line for each reason, and says how many rows have others."""
    assert closing(ENDED, 9.0, lambda position: f"a{position}").splitlines()[-5:] == [
        "Not complete:",
        "  row a3                                not-found  C-FIND has no match",
        "  rows a5, a6, a7, a8, a9 and 407 more  cancelled  not sent: the batch was cancelled",
        "  rows a1, a2                           lost",
        "  and 9,584 more rows for other reasons; dicomover.short(summary) shows each row",
    ]


def test_closing_says_how_much_of_each_row_has_moved() -> None:
    """The closing text has key, verdict, what moved of what was expected and the whole sentence, as the short view."""
    why = "0xB000, some moved; " + "ask the administrator of the archive why " * 12
    ends = [
        RequestEnded(1.0, 0, Status.PARTIAL, why.strip(), 7, 8),
        RequestEnded(1.0, 1, Status.NOT_FOUND, "no match"),
        BatchEnded(2.0),
    ]
    state = folded([BatchStarted(0.0, 2), *ends])
    assert closing(state, 2.0).splitlines()[-2:] == [
        f"  row 0  partial    7 of 8  {why.strip()}",
        "  row 1  not-found          no match",
    ]


@pytest.mark.parametrize(
    ("counts", "requests", "expected"),
    [
        ({}, 0, "no requests"),
        ({Status.SUCCESS: 1}, 1, "1 request, complete"),
        ({Status.SUCCESS: 1500, Status.SKIPPED: 500}, 2000, "2,000 requests, all complete"),
        ({Status.SUCCESS: 1, Status.LOST: 1}, 2, "2 requests, 1 not complete"),
        ({Status.SUCCESS: 1}, 2, "stopped after 1 of 2 requests"),
        ({Status.LOST: 1}, 2, "stopped after 1 of 2 requests, 1 of them not complete"),
    ],
)
def test_heading(counts: dict[Status, int], requests: int, expected: str) -> None:
    """The heading calls complete only what is complete, and a batch that broke off stopped."""
    assert heading(State(requests=requests, counts=counts)) == expected


def test_every_verdict_has_its_word() -> None:
    """All verdicts are told, the best first."""
    told = verdicts(State(counts=dict.fromkeys(reversed(Status), 1)))
    assert told == ", ".join(f"1 {status}" for status in Status)


def test_unknown_is_left_out() -> None:
    """What the PACS never said is not told as zero."""
    labels = [label for label, _ in facts(State(started_at=0.0, requests=1, counts={Status.EMPTY: 1}), 1.0)]
    assert labels == ["Requests", "Time"]
    told = dict(facts(State(started_at=0.0, completed=0), 1.0))
    assert told["PACS counted"] == "0 completed"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (90061, "25 h 01 min")],
)
def test_duration(seconds: float, expected: str) -> None:
    """Times roll over where they should."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999.6, "1.0 kB"), (1_500, "1.5 kB"), (2.5e9, "2.5 GB"), (999.96e9, "1.0 TB"), (4.2e15, "4,200.0 TB")],
)
def test_size(count: float, expected: str) -> None:
    """Sizes take the unit that keeps them short."""
    assert size(count) == expected


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Rate(), ""),
        (Rate(0.0), "0/s"),
        (Rate(0.02), "1.2/min"),
        (Rate(1.25), "1.2/s"),
        (Rate(9.96), "10/s"),
        (Rate(1234.0, 5e6), "1,234/s, 5.0 MB/s"),
    ],
)
def test_speed(rate: Rate, expected: str) -> None:
    """Slow rates are told by the minute."""
    assert speed(rate) == expected


@pytest.mark.parametrize(
    ("seen", "expected"), [(0, ("f", "g", "h", "i", "j")), (8, ("i", "j")), (10, ()), (11, ())], ids=str
)
def test_new_notes(seen: int, expected: tuple[str, ...]) -> None:
    """Notes are new once, as far as they are kept."""
    assert new_notes(State(notes=("f", "g", "h", "i", "j"), noted=10), seen) == expected
