"""The Storage SCP on threads of this process: it tells on one thread, and nothing of it is left when it has stopped."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dicomover.events import Admission, Refusal
from dicomover.receiver.engine.threads import ThreadEngine
from dicomover.receiver.settings import ReceiverSettings
from receiver_kit import Peer


def engine(folder: Path, told: list[tuple[str, Any]], **settings: Any) -> ThreadEngine:
    """Make an engine whose events are kept, each with the thread that told it."""
    known = {"folder": str(folder), "ae_title": "ME", "port": 0, "bind": "127.0.0.1", "restrict": False, **settings}

    def tell(event: Any) -> None:
        told.append((threading.current_thread().name, event))

    return ThreadEngine(ReceiverSettings(**known), tell)


def test_two_associations_are_told_on_one_thread(tmp_path: Path) -> None:
    """Whichever association brings an instance, it is told by the same thread, after its file is whole."""
    told: list[tuple[str, Any]] = []
    running = engine(tmp_path, told)
    running.start()
    begun = time.monotonic()
    try:
        with Peer(running.port) as one, Peer(running.port) as other:
            assert [one.store("1.2.1"), other.store("1.2.2")] == [0, 0]
            one.release()
            other.release()
        assert begun <= running.last_activity <= time.monotonic()
    finally:
        running.stop()
    assert {thread for thread, _ in told} == {"dicomover-arrivals"}
    assert sorted(event["sop_instance_uid"] for _, event in told) == ["1.2.1", "1.2.2"]
    assert all(Path(event["path"]).is_file() for _, event in told)


def test_what_is_admitted_is_let_in_and_no_more_once_dismissed(tmp_path: Path) -> None:
    """A restricted engine takes what an admission names, refuses the same later, and tells both."""
    told: list[tuple[str, Any]] = []
    running = engine(tmp_path, told, restrict=True)
    running.start()
    try:
        running.admit(Admission(7, sop_uids=frozenset({"1.2.1"})))
        with Peer(running.port) as peer:
            assert peer.store("1.2.1") == 0
            running.sync()
            running.dismiss(7)
            assert peer.store("1.2.1") == 0x0124
            peer.release()
    finally:
        running.stop()
    (_, arrival), (_, refusal) = told
    assert arrival["sop_instance_uid"] == "1.2.1"
    assert isinstance(refusal, Refusal)
    assert refusal.status == 0x0124


def test_nothing_is_left_when_it_has_stopped(tmp_path: Path) -> None:
    """Its port is free and its threads have ended, also with an association that never said goodbye."""
    before = set(threading.enumerate())
    running = engine(tmp_path, [])
    running.start()
    port = running.port
    with Peer(port):
        running.stop()
    limit = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < limit:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
