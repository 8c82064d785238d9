"""Who is turned away, with which answer and in which words."""

from __future__ import annotations

import pytest

from dicomover.receiver.scp.opening import explain_beginning, judge_request, reject_for_now
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.negotiation import AssociationRequest


@pytest.mark.parametrize(
    ("called", "calling", "answer"),
    [
        ("ME", "ARCHIVE", None),
        ("me", "ARCHIVE", (1, 1, 7)),
        ("", "ARCHIVE", (1, 1, 7)),
        ("ME2", "ARCHIVE", (1, 1, 7)),
        ("ME", "archive", (1, 1, 3)),
        ("ME", "", (1, 1, 3)),
    ],
)
def test_titles_are_compared_letter_by_letter(called: str, calling: str, answer: tuple[int, int, int] | None) -> None:
    """Both AE titles have to be right where both are named, and the words say which one was not."""
    settings = ReceiverSettings(folder="x", ae_title="ME", calling_ae_titles=("ARCHIVE",))
    rejection = judge_request(AssociationRequest(called, calling, (), 0), settings)
    assert (rejection and rejection[:3]) == answer
    if rejection is not None:
        assert repr(called) in rejection.why or repr(calling) in rejection.why
        assert rejection.mend


def test_another_protocol_is_rejected_as_such() -> None:
    """What the request itself rules out goes before all names."""
    settings = ReceiverSettings(folder="x", ae_title="ME")
    rejection = judge_request(AssociationRequest("OTHER", "X", (), 0, rejection=(1, 2, 2)), settings)
    assert rejection is not None
    assert rejection[:3] == (1, 2, 2)
    assert "protocol version" in rejection.why


def test_one_too_many_may_come_again() -> None:
    """The answer is transient, and says how many there are."""
    rejection = reject_for_now(ReceiverSettings(folder="x", ae_title="ME", max_associations=3))
    assert rejection[:3] == (2, 3, 2)
    assert "there are 3 associations" in rejection.why


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x16\x03\x01", "TLS"),
        (b"GET /", "HTTP"),
        (b"SSH-2.0", "not DICOM"),
        (b"\0\0", "beginning"),
        (b"hi", "beginning"),
    ],
)
def test_other_protocols_are_named(raw: bytes, said: str) -> None:
    """What a connection begins with tells TLS and text from noise."""
    assert said in explain_beginning(raw)[0]
