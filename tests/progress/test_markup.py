"""A state as static HTML: it says what the text says, stands alone, and escapes everything."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dicomover.outcome import Counters, Status
from dicomover.progress import State
from dicomover.progress.markup import INCOMPLETE, closing_html, running_html
from dicomover.progress.state import Move, Reason
from dicomover.progress.text import (
    closing,
    headline,
)
from progress_kit import ENDED, RUNNING, Words


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
    bad = INCOMPLETE
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
