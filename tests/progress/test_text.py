"""A state in words, and the words as HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from dicomover.outcome import Counters, Status
from dicomover.progress import Rate, State
from dicomover.progress.labels import row_labels
from dicomover.progress.lines import latest_note, lines, unseen
from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.state import Deferred, Later, Move, Reason, Sample
from dicomover.progress.text import (
    brief,
    closing,
    duration,
    facts,
    heading,
    headline,
    new_notes,
    rows,
    size,
    speed,
    unlisted,
    verdicts,
    waiting,
)

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


def test_rows_are_named_by_their_labels() -> None:
    """Rows are called by what the table calls them, few of many."""
    assert rows(3, (0, 1, 2), lambda position: f"a{position}") == "rows a0, a1, a2"
    assert rows(1_000, (0, 1), str) == "rows 0, 1 and 998 more"
    assert unlisted(State(unlisted=1)) == "and 1 more row for other reasons"


@dataclass
class Asked:
    """Stands for a request."""

    position: int
    keys: dict[str, str]


def test_labels_name_no_patient_unless_asked() -> None:
    """Only numbers without a name are labels; texts and named columns are not, and keys come only where asked for."""
    asked = [Asked(0, {"PatientID": "P-1", "StudyDate": ""}), Asked(2, {"PatientID": "P-3", "StudyDate": "20240101"})]
    numbers, names = pd.Index([7, 8, 9]), pd.Index(["Doe", "Roe", "Poe"])
    column = pd.Index([4711, 4712, 4713], name="PatientID")
    assert [row_labels(index, asked)(2) for index in (numbers, names, column)] == ["9", "2", "2"]
    assert row_labels(pd.Index([7, 7, 7]), asked)(2) == "2"  # a label that is there twice names no row
    label = row_labels(numbers, asked, show_keys=True)
    assert [label(0), label(1), label(2)] == ["7 (PatientID P-1)", "8", "9 (PatientID P-3, StudyDate 20240101)"]


def test_closing_names_the_rows_that_are_not_complete() -> None:
    """The closing text has a line for each reason, and says how many rows have others."""
    assert closing(ENDED, 9.0, lambda position: f"a{position}").splitlines()[-5:] == [
        "Not complete:",
        "  row a3                                not-found  C-FIND has no match",
        "  rows a5, a6, a7, a8, a9 and 407 more  cancelled  not sent: the batch was cancelled",
        "  rows a1, a2                           lost",
        "  and 9,584 more rows for other reasons",
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


@pytest.mark.parametrize("state", [RUNNING, ENDED, State(), State(requests=3, received=2, bytes=10, notes=("a", "b"))])
def test_text_and_html_agree(state: State) -> None:
    """The closing HTML tells the same words as the closing text, in the same order."""
    told = "".join(" ".join(Words(closing_html(state, 200.0)).words).split())
    assert told == "".join(closing(state, 200.0).split())
    assert headline(state, 200.0) in Words(running_html(state, 200.0)).words


def test_html_escapes() -> None:
    """Nothing from outside becomes a tag or an entity."""
    note = "<script>alert('1')</script> & \"<img src=x>\""
    reasons = {(Status.LOST, note): Reason(Status.LOST, note, note, 1, (0,))}
    state = State(started_at=0.0, requests=1, notes=(note,), noted=1, reasons=reasons, running={1: 0.0})
    for html in (closing_html(state, 1.0, lambda _: note), running_html(state, 1.0, lambda _: note)):
        assert {note, f"row {note}"} <= set(Words(html).words)
        assert not {"script", "img"} & set(Words(html).tags)


def test_html_stands_alone() -> None:
    """The HTML loads nothing, runs nothing, and every colour variable has a fallback."""
    for html in (closing_html(ENDED, 100.0), running_html(RUNNING, 100.0)):
        assert not re.search(r"https?:|url\(|@import|src=|href=|<script|<link|<style", html)
        assert re.search(r"var\(--jp-", html)
        assert not re.search(r"var\([^,)]*\)", html)


def test_stall_and_pause_have_their_colours() -> None:
    """A batch that stalls is drawn in the colour of what went wrong, one that was told to wait is not."""
    bad = "var(--jp-warn-color1"
    move = Move(Counters(10), expected=20, begun_at=90.0)
    state = replace(RUNNING, counts={Status.SUCCESS: 8}, requests=18, moves={10: move})
    assert bad not in running_html(state, 105.0)
    assert bad in running_html(state, 141.0)
    assert bad not in running_html(replace(state, paused_until=900.0), 141.0)


def test_reasons_are_folded_when_there_are_many() -> None:
    """A few reasons are shown unfolded at the end, more are one click away; while it runs they stay folded."""
    many = {(Status.LOST, str(i)): Reason(Status.LOST, str(i), str(i), 1, (i,)) for i in range(6)}
    assert "<details open>" in closing_html(ENDED, 9.0)
    assert "<details>" in closing_html(replace(ENDED, reasons=many), 9.0)
    assert "<details>" in running_html(replace(ENDED, ended_at=None), 9.0)
    assert "<details" not in closing_html(State(counts={Status.SUCCESS: 1}), 9.0)


@pytest.mark.parametrize(
    ("counts", "requests", "widths"),
    [
        ({Status.SUCCESS: 3, Status.LOST: 1}, 8, ["37.50", "12.50"]),
        ({Status.SUCCESS: 1}, 1, ["100.00"]),
        ({}, 5, []),
        ({}, 0, []),
    ],
)
def test_bar(counts: dict[Status, int], requests: int, widths: list[str]) -> None:
    """The bar shows complete and not complete requests as parts of all."""
    html = closing_html(State(requests=requests, counts=counts), 0.0)
    assert re.findall(r"width: ([\d.]+)%", html) == widths
