"""What nobody sees, or a terminal obeys, is shown as an escape on every face."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.errors import DicomoverError, NodeUnreachable
from dicomover.events import BatchEnded, BatchStarted, Noted, RequestEnded
from dicomover.identifier import Level, Model, Request
from dicomover.outcome import Status
from dicomover.progress import row_labels
from dicomover.progress.markup import closing_html, running_html
from dicomover.progress.text import closing
from dicomover.reporting import report
from dicomover.summary import Result, build
from dicomover.text.visible import make_html, make_visible
from progress_kit import folded

ODD = {
    "ESC": "\x1b[31m",
    "NUL": "\0",
    "BEL": "\x07",
    "DEL": "\x7f",
    "CSI of C1": "\x9b2J",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "line separator": "\u2028",
    "byte order mark": "\ufeff",
    "carriage return": "\r",
}


@given(st.text())
def test_all_that_is_shown_can_be_seen(text: str) -> None:
    """Nothing that is made visible holds a character that is not, and a page has no tag of it."""
    assert make_visible(text).isprintable()
    assert make_visible(text, lines=True).replace("\n", "").isprintable()
    assert not set("<>\"'") & set(make_html(text))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_every_face_shows_it(odd: str) -> None:
    """A sentence, a note, a key that was asked for and an error show an escape, in the panel, the text and the page."""
    sentence, hidden = f"no{odd}pe", odd[0]
    request = Request(0, 0, {"PatientID": f"4{odd}7"}, Level.STUDY, Model.PATIENT)
    label = row_labels(pd.RangeIndex(1), [request], show_keys=True)
    state = folded([BatchStarted(0.0, 1), Noted(0.5, sentence), RequestEnded(1.0, 0, Status.LOST, sentence)])
    ended = folded([BatchEnded(2.0)], state)
    summary = build([Result(Status.LOST, error=sentence)], pd.DataFrame({"PatientID": [f"4{odd}7"]}, index=[odd]))
    shown = report(summary, show_keys=True)
    faces = [closing(ended, 3.0, label), closing_html(ended, 3.0, label), running_html(state, 3.0, label)]
    faces += [str(shown), shown._repr_html_(), str(DicomoverError(sentence)), str(NodeUnreachable("what", sentence))]
    for face in faces:
        assert hidden not in face
    if odd != "\r":
        assert all(ascii(hidden).strip("'") in face for face in faces)


def test_spaces_and_letters_stay() -> None:
    """A name in any script is shown as it is, and a space that does not break as a space."""
    assert make_visible("Müller 山田\u3000太郎\xa0x") == "Müller 山田 太郎 x"


def test_a_message_keeps_its_lines() -> None:
    """What lists many rows below one another still does."""
    assert str(DicomoverError("two rows", "mend:\n  a\n  b")) == "two rows; mend:\n  a\n  b"
