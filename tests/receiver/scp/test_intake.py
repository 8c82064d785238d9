"""PDUs are looked at where they were received, however they are cut."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dicomover.receiver.scp.intake import Broken, Intake
from dicomover.receiver.settings import Limits
from dicomover.wire.pdus import RELEASE_RQ, encode_abort, encode_release
from receiver_kit import pdu, pdv

LIMITS = Limits(pdu=60, message=900)


class Listener:
    """Takes what comes, and keeps all of it."""

    def __init__(self) -> None:
        self.busy = self.holds = False
        self.admitted = True
        self.begun = 0.0
        self.pieces: list[tuple[bytes, int, bool]] = []
        self.turns: list[tuple[int, int]] = []
        self.flushed = 0

    def is_endless(self, now: float, limit: float) -> bool:
        """Tell whether it is busy at all."""
        return self.busy

    def check_turn(self, context_id: int, flags: int) -> None:
        """Keep it."""
        self.turns.append((context_id, flags))

    def take(self, piece: memoryview, flags: int, whole: bool) -> None:
        """Keep it."""
        self.pieces.append((bytes(piece), flags, whole))

    def flush(self) -> None:
        """Count it."""
        self.flushed += 1

    @property
    def told(self) -> bytes:
        """All that has come."""
        return b"".join(piece for piece, _, _ in self.pieces)


def new(listener: Listener, now: float = 0.0) -> Intake:
    """Return an intake whose PDUs have 16 KiB at most."""
    dialogue: Any = listener
    return Intake(dialogue, 1 << 14, LIMITS, now)


def feed(intake: Intake, raw: bytes, now: float = 1.0) -> int:
    """Let so many bytes come at once."""
    intake.room(len(raw))[:] = raw
    return intake.take(len(raw), now)


@pytest.mark.parametrize("step", [1, 3, 7, 4096])
def test_however_they_are_cut(step: int) -> None:
    """The fragments are the same, whatever comes at a time, and it is known when nothing has begun."""
    listener = Listener()
    intake = new(listener)
    raw = pdu(pdv(5, 3, b"command")) + pdu(pdv(5, 0, b"da"), pdv(5, 2, b"ta")) + pdu(pdv(7, 3, b""))
    for start in range(0, len(raw), step):
        assert feed(intake, raw[start : start + step]) == 0
        assert intake.is_between is (intake.due(1.0) == math.inf)
    assert listener.told == b"commanddata"
    assert listener.turns == [(5, 3), (5, 0), (5, 2), (7, 3)]
    assert [flags for _, flags, whole in listener.pieces if whole] == [3, 0, 2, 3]
    assert intake.is_between
    assert not listener.admitted, "to be asked again after the next read"


def test_the_buffer_does_not_run_full() -> None:
    """Much more than it holds goes through; what a listener keeps is let go of before its bytes are used again."""
    listener = Listener()
    listener.holds = True
    intake = new(listener)
    block = pdu(pdv(1, 2, bytes(10_000)))
    for _ in range(200):
        assert len(intake.room()) >= 1 << 17
        feed(intake, block)
    assert len(listener.told) == 2_000_000
    assert 0 < listener.flushed < 200


def test_until_when_more_has_to_come() -> None:
    """A PDU that has begun has its time from its first byte on; between two PDUs of a message it begins anew."""
    listener = Listener()
    intake = new(listener)
    feed(intake, pdu(pdv(1, 3, b"x"))[:5], now=10.0)
    assert intake.due(30.0) == 70.0
    feed(intake, pdu(pdv(1, 3, b"x"))[5:9], now=20.0)
    assert intake.due(30.0) == 80.0, "from when its header was whole"
    feed(intake, pdu(pdv(1, 3, b"x"))[9:], now=30.0)
    assert intake.due(30.0) == math.inf
    listener.busy = True
    assert intake.due(30.0) == 90.0


def test_what_ends_an_association() -> None:
    """A release and an abort are told once they are whole; P-DATA before them has been taken."""
    for raw, kind in ((encode_release(RELEASE_RQ), RELEASE_RQ), (encode_abort(0, 0), 7)):
        listener = Listener()
        intake = new(listener)
        assert feed(intake, pdu(pdv(1, 3, b"x")) + raw[:-1]) == 0
        assert not intake.is_between
        assert feed(intake, raw[-1:]) == kind
        assert listener.told == b"x"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (pdu(pdv(1, 3, bytes(1 << 14))), "16,384 at most were agreed on"),
        (b"\4\0\0\0\0\5", "a P-DATA-TF PDU of 5 bytes"),
        (b"\4\0\0\0\0\x08\0\0\0\x01\1\3", "a PDV of 1 bytes"),
        (b"\4\0\0\0\0\x08\0\0\0\x09\1\3", "a PDV of 9 bytes with 8 left"),
        (b"\1\0\0\0\0\x08", "a PDU of type 1 in an association"),
        (b"\x16\3\1\0\0\0", "a PDU of type 22"),
        (b"\7\0\0\0\x08\0", "a PDU of type 7 and 2048 bytes"),
    ],
)
def test_what_may_not_come(raw: bytes, why: str) -> None:
    """What holds together in no way is an error that says why."""
    with pytest.raises(Broken, match=why):
        feed(new(Listener()), raw)


def test_a_message_without_end() -> None:
    """A message that takes longer than it may, by what the dialogue says of it, is an error."""
    listener = Listener()
    intake = new(listener)
    feed(intake, pdu(pdv(1, 1, b"x")), now=899.0)
    listener.busy = True
    with pytest.raises(Broken, match="not ended after 900 s"):
        feed(intake, pdu(pdv(1, 1, b"x")), now=901.0)
