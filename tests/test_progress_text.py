"""A state in words, and the words as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dicomover.outcome import Counters, Status
from dicomover.progress import Rate, State
from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.state import Move, Sample
from dicomover.progress.text import brief, closing, duration, facts, heading, headline, new_notes, size, speed, verdicts

RUNNING = State(
    started_at=0.0,
    requests=20,
    counts={Status.SUCCESS: 8, Status.PARTIAL: 2},
    completed=1230,
    warnings=4,
    failed=3,
    expected=1300,
    moves={10: Move(Counters(10), expected=20)},
    moves_of={10: (10,)},
    moving_at=10.0,
    moved_at=100.0,
    active_at=100.0,
    samples=(Sample(84.0, 444),),
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


@pytest.mark.parametrize("state", [RUNNING, State(), State(requests=3, received=2, bytes=10, notes=("a", "b"))])
def test_text_and_html_agree(state: State) -> None:
    """The closing HTML tells the same words as the closing text, in the same order."""
    told = " ".join(" ".join(Words(closing_html(state, 200.0)).words).split())
    assert told == " ".join(closing(state, 200.0).split())
    assert headline(state, 200.0) in Words(running_html(state, 200.0)).words


def test_html_escapes() -> None:
    """Nothing from outside becomes a tag or an entity."""
    note = "<script>alert('1')</script> & \"<img src=x>\""
    state = State(started_at=0.0, requests=1, notes=(note,), noted=1)
    for html in (closing_html(state, 1.0), running_html(state, 1.0)):
        assert note in Words(html).words
        assert not {"script", "img"} & set(Words(html).tags)


def test_html_stands_alone() -> None:
    """The HTML loads nothing, runs nothing, and every colour variable has a fallback."""
    for html in (closing_html(RUNNING, 100.0), running_html(RUNNING, 100.0)):
        assert not re.search(r"https?:|url\(|@import|src=|href=|<script|<link|<style", html)
        assert re.search(r"var\(--jp-", html)
        assert not re.search(r"var\([^,)]*\)", html)


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
