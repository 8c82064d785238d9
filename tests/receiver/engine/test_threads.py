"""The Storage SCP on threads of this process does what the one in a process does."""

from __future__ import annotations

import threading
from pathlib import Path

from dicomover.events import Admission
from dicomover.receiver.engine.threads import ThreadEngine
from dicomover.receiver.settings import ReceiverSettings
from receiver_kit import Peer


def test_it_admits_files_and_ends_without_a_thread(tmp_path: Path) -> None:
    """What is admitted is let in and told before `stop` returns, and no thread is left."""
    before = set(threading.enumerate())
    told: list[object] = []
    settings = ReceiverSettings(folder=str(tmp_path / "in"), ae_title="ME", port=0, bind="127.0.0.1")
    engine = ThreadEngine(settings, told.append)
    engine.start()
    assert engine.failure is None
    with Peer(engine.port) as peer:
        assert peer.store("1.2.3") == 0x0124
        engine.admit(Admission(1, sop_uids=frozenset({"1.2.3"})))
        assert peer.store("1.2.3") == 0
        engine.dismiss(1)
        assert peer.store("1.2.3") == 0x0124
        peer.release()
    engine.sync()
    engine.stop()
    assert len(told) == 3
    assert engine.last_activity > 0
    assert set(threading.enumerate()) <= before
