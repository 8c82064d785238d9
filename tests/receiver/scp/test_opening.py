"""Who is turned away, with which answer and in which words."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from dicomover.receiver.scp.contexts import accept_contexts, explain_refused
from dicomover.receiver.scp.opening import explain_beginning, judge_request, reject_for_now
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.negotiation import AssociationRequest, encode_accept, parse_request


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


def item(kind: int, value: bytes = b"") -> bytes:
    """Encode an item."""
    return struct.pack(">BxH", kind, len(value)) + value


def filled(make: Callable[[int], bytes], room: int = 65_000) -> bytes:
    """Return as many different items as there is room for."""
    return b"".join(make(number) for number in range(room // len(make(0))))[:room]


def context(number: int, syntaxes: bytes, abstract: bytes = b"1.2.840.10008.5.1.4.1.1.2") -> bytes:
    """Encode a presentation context."""
    return item(0x20, bytes((number, 0, 0, 0)) + item(0x30, abstract) + syntaxes)


WORST = {
    "items": filled(lambda _: item(0x99)),
    "contexts": filled(lambda number: item(0x20, bytes((number & 255,)))),
    "contexts-without-end": filled(lambda number: context(number & 255, item(0x40, b"1"))),
    "transfer-syntaxes": context(1, filled(lambda _: item(0x40, b"1"), 60_000)),
    "storage-classes": b"".join(
        context(number, filled(lambda at: item(0x40, b"1.2.%d" % at), 440), b"1.2.%d" % number) for number in range(128)
    ),
    "user-items": filled(lambda _: item(0x50, item(0x51))),
    "user-sub-items": item(0x50, filled(lambda number: item(number & 255), 60_000)),
    "names": filled(lambda _: item(0x10, b"1")),
    "spaces": context(1, item(0x40, b" " * 60_000)),
    "digits": context(1, item(0x40, b"1." * 15_000) + item(0x30, b"1" * 30_000)),
}


@pytest.mark.parametrize("kind", WORST)
def test_no_request_takes_long_to_read(kind: str) -> None:
    """Whatever 64 KiB may hold, they are read, answered and explained within 20 ms of a processor."""
    body = struct.pack(">HH", 1, 0) + b"ME".ljust(16) + b"YOU".ljust(16) + bytes(32) + WORST[kind]
    best = 1.0
    for _ in range(5):
        begun = time.thread_time()
        with suppress(ValueError):
            request = parse_request(body)
            accepted = accept_contexts(request.contexts)
            explain_refused(request.contexts, accepted)
            encode_accept(request, accepted, 1 << 17)
        best = min(best, time.thread_time() - begun)
    assert len(body) <= 1 << 16
    assert best < 0.02
