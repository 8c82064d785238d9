"""Places: strangers take none that the archive needs, and nobody who has brought something loses one."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicomover.errors import AssociationLost, AssociationRejected
from dicomover.events import Admission, Refused
from dicomover.receiver import Limits
from dicomover.receiver.scp.places import Places, choose_to_go
from dicomover.receiver.scp.store import Caller
from dicomover.receiver.shared import Shared
from receiver_kit import STUDY, Peer, Run, Start, data_set, raw_connection, read_to_end, wait_for

ASKED = Admission(1, study_uids=frozenset({STUDY}))


class Guest(SimpleNamespace):
    """An association that only has a place."""

    def __hash__(self) -> int:
        return id(self)

    def end(self, hard: bool = False) -> None:
        """Be cut."""
        assert not hard
        self.cut = True


def guest(host: str, begun: float = 0.0, proven: bool = False) -> Any:
    """Make a guest."""
    return Guest(caller=Caller("A", host), begun=begun, proven=proven, cut=False, displaced=False)


def test_the_longest_of_the_largest_crowd_goes() -> None:
    """A flood from one address takes places from itself; alone, the one that has brought nothing for longest goes."""
    lone, first, second = guest("10.0.0.1", 0.0), guest("10.0.0.2", 1.0), guest("10.0.0.2", 2.0)
    assert choose_to_go([lone, second, first], {}, "10.0.0.3") is first
    assert choose_to_go([lone, second], {}, "10.0.0.3") is lone
    assert choose_to_go([], {}, "10.0.0.3") is None


def test_who_has_brought_something_stays() -> None:
    """Neither one that has brought something goes, nor one that has been told to, nor for strangers one of its kind."""
    known = {"10.0.0.1": None}
    archive, idle, stranger = guest("10.0.0.1", proven=True), guest("10.0.0.1", 1.0), guest("10.0.0.9", 2.0)
    assert choose_to_go([archive], known, "10.0.0.1") is None
    assert choose_to_go([archive, idle, stranger], known, "10.0.0.1") is stranger
    assert choose_to_go([archive, idle], known, "10.0.0.1") is idle
    assert choose_to_go([archive, idle], known, "10.0.0.8") is None
    stranger.cut = True
    assert choose_to_go([stranger], known, "10.0.0.8") is None


def test_there_are_so_many_places_and_no_more() -> None:
    """However many come, so many have places; who has to go is told to, and what it leaves is nobody's twice."""
    places = Places(3)
    guests = [guest(f"10.0.0.{number}", float(number)) for number in range(10)]
    assert all(places.take(one) for one in guests)
    assert [one.cut for one in guests] == [True] * 7 + [False] * 3
    assert [one.displaced for one in guests] == [one.cut for one in guests]
    for one in guests[7:]:
        places.keep(one)
    assert not places.take(guest("10.0.0.99", 99.0))
    for one in guests[:8]:
        places.leave(one)
    assert places.take(guest("10.0.0.99", 99.0))


def test_the_archive_is_known_before_its_first_image() -> None:
    """Where it answers, it has a place: strangers from anywhere come and go, and never in its stead."""
    places, archive = Places(3), guest("10.0.0.1")
    places.know("10.0.0.1")
    assert places.take(archive)
    assert all(places.take(guest(f"10.9.{number}.1", float(number))) for number in range(200))
    assert not archive.cut


@pytest.mark.skipif(sys.platform != "linux", reason="addresses to spare")
def test_strangers_from_everywhere_leave_the_archive_its_place(start: Start) -> None:
    """Two hundred associations, each from elsewhere, opened before its first image, and it is filed."""
    with start(restrict=True, max_associations=4) as run, ExitStack() as held:
        run.receiver.admit(replace(ASKED, archive="127.0.0.2"))
        archive = held.enter_context(run.peer(calling="ARCHIVE", source="127.0.0.2"))
        for number in range(200):
            with contextlib.suppress(AssociationRejected, AssociationLost):
                held.enter_context(run.peer(calling="STRANGER", source=f"127.0.9.{number + 1}"))
        assert archive.store("1.2") == 0
        archive.release()


def test_many_addresses_are_not_remembered_for_ever() -> None:
    """Of those that something came from the latest stay known."""
    places = Places(1)
    for number in range(1000):
        one = guest(f"10.0.{number // 250}.{number % 250}")
        places.keep(one)
    assert len(places.known) == 256
    assert "10.0.3.249" in places.known


@pytest.mark.skipif(os.name != "posix", reason="processes that inherit a socket")
def test_another_process_makes_room_when_asked(tmp_path: Path) -> None:
    """A guest that finds all places with other processes waits until one of them sends a stranger away."""
    with (tmp_path / "locks").open("w+b") as file, socket.socket() as listener:
        theirs, ours = Shared(listener, file.fileno(), 2), Shared(listener, file.fileno(), 2)
        assert not ours.is_asked_for_room()
        asked = theirs.ask_for_room()
        assert asked <= time.monotonic()
        assert not theirs.is_asked_for_room(), "its own wish is not for itself"
        assert ours.is_asked_for_room()
        assert not ours.is_asked_for_room(), "once"
        places, stranger, archive = Places(2, ours), guest("10.0.0.9"), guest("10.0.0.1")
        assert places.take(stranger)
        assert places.take(archive)
        places.keep(archive)
        places.make_room()
        assert not stranger.cut
        theirs.ask_for_room()
        places.make_room()
        assert (stranger.cut, archive.cut) == (True, False)


def fill(run: Run, held: ExitStack, count: int) -> list[Peer]:
    """Associate so many times, and say nothing."""
    return [held.enter_context(run.peer(calling=f"STRANGER{number}")) for number in range(count)]


def test_strangers_do_not_keep_the_archive_out(start: Start) -> None:
    """Where strangers have filled the port, an association is let in, its images are filed, and no stranger ends it."""
    with start(restrict=True, max_associations=4) as run, ExitStack() as held:
        run.receiver.admit(ASKED)
        strangers = fill(run, held, 4)
        assert [stranger.echo() for stranger in strangers] == [0] * 4
        archive = held.enter_context(run.peer(calling="ARCHIVE"))
        assert archive.store("1.2") == 0
        fill(run, held, 12)
        assert archive.store("1.3") == 0
        with pytest.raises(AssociationLost):
            strangers[0].echo()
        assert next(event.what for event in run.refusals if "brought nothing" in event.why) is Refused.ASSOCIATION
        archive.release()


def test_echo_and_refused_store_loops_hold_no_place(start_one: Start) -> None:
    """A stranger that is never idle has brought nothing either: it goes when its place is needed."""

    @contextlib.contextmanager
    def looping(peer: Peer) -> Iterator[None]:
        with contextlib.suppress(AssociationLost):
            yield
            while True:
                assert peer.echo() == 0
                assert peer.store("1.9", data_set("1.9", study="1.9")) == 0x0124

    with start_one(restrict=True, max_associations=2) as run, ExitStack() as held:
        run.receiver.admit(ASKED)
        for stranger in fill(run, held, 2):
            assert stranger.store("1.9", data_set("1.9", study="1.9")) == 0x0124
            held.enter_context(looping(stranger))
        archives = [held.enter_context(run.peer(calling="ARCHIVE")) for _ in range(2)]
        for number in range(20):
            assert [archive.store(f"1.2.{number}.{at}") for at, archive in enumerate(archives)] == [0, 0]
        for archive in archives:
            archive.release()


def test_connections_without_end_let_the_archive_in(start_one: Start) -> None:
    """Beside hundreds of connections that say nothing, or half of something, an archive is served at once."""
    with start_one(restrict=True, limits=Limits(waiting_connections=16)) as run, ExitStack() as held:
        run.receiver.admit(ASKED)
        flood = []
        for number in range(200):
            sock = held.enter_context(raw_connection(run.port))
            with contextlib.suppress(OSError):
                sock.sendall((b"", b"\1\0", b"\1\0\0\0\1\0\0\1")[number % 3])
            flood.append(sock)
            if number % 20 == 0:
                begun = time.monotonic()
                with run.peer(calling="ARCHIVE") as archive:
                    assert archive.store(f"1.2.{number}") == 0
                    archive.release()
                assert time.monotonic() - begun < 3
        assert read_to_end(flood[0]) == b""
        wait_for(lambda: len(run.arrivals) == 10)
