"""What is held of data sets before it is known what they are: bounded for one, and together for all."""

from __future__ import annotations

import random
import struct
import threading
import time
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import pytest

from dicomover.dicomfile import DEFLATED, EXPLICIT_LITTLE_ENDIAN, Head, HeadError
from dicomover.events import Admission
from dicomover.receiver.scp.heads import HeadRoom, HeldHead, NoRoom
from receiver_kit import STUDY, Peer, Start, command, data_set, deflate, element, pdu, pdv, wait_for

WANTED = frozenset({0x00080018, 0x0020000D, 0x0020000E})
WHOLE = data_set("1.2")


def filler(size: int) -> bytes:
    """Return an element of so many bytes, before all UIDs."""
    return struct.pack("<HH2sHL", 0x0008, 0x0001, b"UN", 0, size) + bytes(size)


def held(room: HeadRoom, syntax: str = EXPLICIT_LITTLE_ENDIAN) -> HeldHead:
    """Return a head that waits for its first byte."""
    return HeldHead(syntax, WANTED, room)


def take(head: HeldHead, raw: bytes) -> bytes | None:
    """Let some bytes come."""
    data = head.take(memoryview(raw), False)
    return None if data is None else bytes(data)


@pytest.mark.parametrize("cut", [1, 7, 60, 105])
def test_all_that_came_is_given_back(cut: int) -> None:
    """In one piece or in several: what was held is there once the head is known, and the room is free again."""
    room = HeadRoom(2000)
    head = held(room)
    assert take(head, WHOLE[:cut]) is None
    assert take(head, WHOLE[cut:]) == WHOLE
    head.let_go()
    assert room._sum == 0
    assert not room._sizes


def test_the_largest_gives_way() -> None:
    """Where there is too much, a head that holds little goes on and the one that holds the most is lost."""
    room = HeadRoom(900)
    small, large, late = held(room), held(room), held(room)
    assert take(small, WHOLE[:100]) is None
    assert take(large, filler(5000)[:800]) is None
    assert take(late, WHOLE[:105]) is None
    with pytest.raises(NoRoom):
        take(large, b"more")
    assert take(small, WHOLE[100:]) == WHOLE
    assert take(late, WHOLE[105:]) == WHOLE
    for head in (small, large, late):
        head.let_go()
    assert (room._sum, room._sizes) == (0, {})


def test_who_asks_for_too_much_is_refused_itself() -> None:
    """Nobody else loses anything to a head that alone is too large."""
    room = HeadRoom(900)
    small, greedy = held(room), held(room)
    assert take(small, WHOLE[:100]) is None
    with pytest.raises(NoRoom):
        take(greedy, filler(5000)[:2000])
    assert take(small, WHOLE[100:]) == WHOLE


def test_what_a_head_inflates_to_counts() -> None:
    """A deflated head holds what it came to as well."""
    raw = deflate(filler(1 << 20)[:12] + random.Random(1).randbytes(1 << 14) * 32)
    room = HeadRoom(1 << 18)
    with pytest.raises(NoRoom):
        take(held(room, DEFLATED), raw)


def test_one_head_is_bounded_too() -> None:
    """However much room there is, no head has more than 4 MiB, and none takes more than it was sent."""
    head = held(HeadRoom(1 << 40))
    opening = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0" + b"\xff" * 4
    nested = (opening + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 50_000
    tracemalloc.start()
    for _ in range(4 * (1 << 20) // len(nested)):
        assert take(head, nested) is None
    with pytest.raises(HeadError, match="not within the first 4 MiB"):
        take(head, nested)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * (4 << 20)


def test_many_threads_leave_the_room_as_it_was() -> None:
    """Whatever is lost to whom, in the end nothing is held, and at no time more than there may be."""
    room, raw = HeadRoom(4000), filler(5000)

    def hold() -> None:
        for _ in range(200):
            head = held(room)
            try:
                for at in range(0, 1600, 400):
                    take(head, raw[at : at + 400])
                    assert room._sum <= 4000
            except NoRoom:
                pass
            head.let_go()

    threads = [threading.Thread(target=hold) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (room._sum, room._sizes) == (0, {})


def test_what_is_lost_meanwhile_is_not_given_back() -> None:
    """A head that others take the room from while its own thread reads it is refused for that, and no other reason."""
    head = held(HeadRoom(1 << 20))
    assert take(head, WHOLE[:60]) is None

    class Slow(Head):
        def feed(self, *_: object) -> bool:
            head.squeeze()
            return True

    head.head = Slow(False, WANTED, 0)
    with pytest.raises(NoRoom):
        take(head, WHOLE[60:])


def test_file_meta_information_is_read_once_and_not_for_long() -> None:
    """In pieces of a few bytes it takes no longer than in one, and more of it than any file has is refused."""
    meta = element(0x00020102, "OB", b"") * 5000
    head, begun = held(HeadRoom()), time.monotonic()
    for at in range(0, len(meta), 4):
        assert take(head, meta[at : at + 4]) is None
    assert take(head, WHOLE) == WHOLE
    assert time.monotonic() - begun < 3
    for more in (meta[:120] * 6000, element(0x00020102, "OB", bytes(1 << 17))):
        with pytest.raises(HeadError, match="more than 64 KiB of file meta information"):
            take(held(HeadRoom()), more)


def memory_of(pid: int) -> int:
    """Return the resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process")
def test_strangers_hoard_no_memory(start_one: Start) -> None:
    """Beside strangers that send heads without an end, in all associations at once, an archive's image is filed."""
    with start_one(restrict=True, max_associations=24) as run, ExitStack() as peers:
        engine = run.receiver._engine
        if not hasattr(engine, "_process"):
            pytest.skip("the process that receives is not this one")
        pid = engine._process.pid
        before = memory_of(pid)
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        opening, more = filler(1 << 24)[: 1 << 16], pdu(pdv(1, 0, bytes(1 << 16)))
        hoarders = [peers.enter_context(run.peer(calling="HOARDER")) for _ in range(22)]

        def hoard(peer: Peer) -> None:
            peer.send(pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 0, opening)) + more * 59)

        threads = [threading.Thread(target=hoard, args=(peer,)) for peer in hoarders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        archive = peers.enter_context(run.peer(calling="ARCHIVE"))
        assert archive.store("1.2", data_set("1.2", before=filler(300_000))) == 0
        assert memory_of(pid) - before < 60 << 20, "each may hold 4 MiB, but not all of them"
        wait_for(lambda: run.arrivals)
        archive.release()
