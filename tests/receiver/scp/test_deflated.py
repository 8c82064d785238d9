"""A deflated data set is read as it comes, and can take neither memory nor minutes."""

from __future__ import annotations

import random
import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from dicomover.dicomfile import HeadError
from dicomover.receiver.scp import deflated
from dicomover.receiver.scp.deflated import DeflatedHead, DeflatedWalk, HeadTooLong
from dicomover.receiver.scp.service import Service
from receiver_kit import (
    CT,
    DEFLATED_ONLY,
    HASTY,
    Peer,
    Start,
    command,
    data_set,
    deflate,
    element,
    half_files,
    pdu,
    pdv,
    running,
    wait_for,
)

SERIES = 0x0020000E
WANTED = frozenset({0x00100020, SERIES})


def read(raw: bytes, size: int) -> DeflatedHead:
    """Read a data set in pieces of this size to its end."""
    head, walk = DeflatedHead(WANTED, SERIES), None
    for begin in range(0, len(raw), size):
        last = begin + size >= len(raw)
        if walk is None:
            if head.feed(raw[: begin + size], min(begin + size, len(raw)), last):
                walk = DeflatedWalk(head, threading.Event())
                walk.take(b"", last)
        else:
            walk.take(raw[begin : begin + size], last)
    assert walk is not None
    return head


@pytest.mark.parametrize("size", [1, 7, 500, 1 << 20])
def test_it_is_read_in_pieces_of_any_size(size: int) -> None:
    """The head is read and the rest is walked, however it is cut; a NUL that makes it even is no harm."""
    raw = deflate(data_set("1.2", pixels=bytes(range(256)) * 20))
    assert read(raw, size).text(0x00100020) == "4711"
    assert read(raw + b"\0", size).text(SERIES) == "1.2.3.1.1"


def test_an_early_end_is_found_wherever_it_is() -> None:
    """Each cut of the deflated bytes, and each cut of the plain ones, is told."""
    plain = data_set("1.2", pixels=bytes(100))
    raw = deflate(plain)
    for end in range(1, len(raw)):
        with pytest.raises((HeadError, AssertionError)):
            read(raw[:end], 1 << 20)
    for end in range(len(plain) - 100, len(plain)):
        with pytest.raises(HeadError, match="ends inside an element"):
            read(deflate(plain[:end]), 64)


@pytest.mark.parametrize(
    "raw", [zlib.compress(data_set("1.2")), data_set("1.2"), b"\xff" * 100], ids=["zlib", "plain", "?"]
)
def test_what_is_not_deflated_is_said(raw: bytes) -> None:
    """A zlib header, plain bytes and noise are no deflated data set."""
    with pytest.raises(HeadError):
        read(raw, 1 << 20)


def test_a_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What inflates to far more than it should is given up, in bounded memory and time."""
    monkeypatch.setattr(deflated, "_MOST", 1 << 26)
    raw = deflate(data_set("1.2") + element(0x7FE00020, "OW", bytes(1 << 27)))
    assert len(raw) < 1 << 18
    tracemalloc.start()
    begun = time.monotonic()
    try:
        with pytest.raises(HeadError, match="inflates to more than 64 MiB"):
            read(raw, 1 << 14)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < 10


def test_a_bomb_in_the_head_is_bounded() -> None:
    """Before the head is known no more than a few MiB are held of what inflates."""
    opening = element(0x00091010, "UN", bytes(1 << 24))
    noise = random.Random(1).randbytes(1 << 17)
    for raw, why in (
        (deflate(opening + data_set("1.2")), "inflates to more than 64 times"),
        (deflate(opening[:12] + noise + bytes(1 << 23)), "not within the first 4 MiB"),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(HeadTooLong, match=why):
                read(raw, 1 << 20)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


def test_a_long_head_is_read_as_it_would_be_plain(tmp_path: Path) -> None:
    """A segmentation names thousands of slices before its UIDs: 4 MiB of that are read, deflated or not."""
    references = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE000, 72 + 16)
        + element(0x00081150, "UI", CT.ljust(26, "\0"))
        + element(0x00081155, "UI", f"1.2.826.0.1.{number:028}".ljust(46, "0"))
        for number in range(30_000)
    )
    data = data_set("1.2", before=element(0x00081140, "SQ", references))
    assert 2 << 20 < len(references) < 4 << 20
    with running(tmp_path, False) as run, Peer(run.port, contexts=DEFLATED_ONLY) as peer:
        assert peer.store("1.2", deflate(data)) == 0
        assert peer.store("1.3", deflate(element(0x00091010, "UN", bytes(1 << 23)) + data_set("1.3"))) == 0xC000
        run.wait(2)
        assert "it may be right all the same" in run.refusals[0].mend
        peer.release()


def test_a_stranger_gives_way_between_its_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many heads that inflate, sent in one piece, are not worked off in one: others have their turn in between."""
    ways: list[float] = []

    def charge(_: Service, __: object, seconds: float) -> float:
        ways.append(seconds)
        return 0.0

    monkeypatch.setattr(Service, "charge", charge)
    raw = deflate(element(0x00080050, "SH", b"") * 100_000)
    with running(tmp_path, False) as run, Peer(run.port, contexts=DEFLATED_ONLY) as peer:
        peer.send((pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 2, raw))) * 400)
        wait_for(lambda: sum(ways) > 0.15)
    assert max(ways) < 0.5 * sum(ways)


def test_a_stop_reaches_into_an_image_that_inflates_for_long(start: Start) -> None:
    """A few kilobytes that inflate to a gibibyte of elements hold up no stop, and leave no half file."""
    raw = deflate(data_set("1.2"), element(0x00290010, "SH", b"") * (1 << 17), 1 << 10)
    with start(limits=HASTY) as run, Peer(run.port, contexts=DEFLATED_ONLY) as peer:
        pieces = [pdu(pdv(1, 0, raw[at : at + (1 << 16)])) for at in range(0, len(raw), 1 << 16)]
        peer.send(pdu(pdv(1, 3, command("1.2"))) + b"".join(pieces))
        wait_for(lambda: half_files(run.folder))
        begun = time.monotonic()
        run.receiver.stop()
        assert time.monotonic() - begun < 3
        assert not run.files()
        run.receiver.start()
