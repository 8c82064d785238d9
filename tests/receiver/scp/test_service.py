"""The Storage SCP listens, gives everybody a turn, and ends when it is told to."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dicomover.errors import ReceiverError
from dicomover.events import Admission
from dicomover.receiver import Limits
from dicomover.wire.pdus import ASSOCIATE_RQ, PDU_HEAD
from receiver_kit import (
    HASTY,
    Start,
    command,
    data_set,
    pdu,
    pdv,
    raw_connection,
    read_to_end,
)


def test_half_open_connections_do_not_block_a_good_one(start_one: Start) -> None:
    """Beside ten silent connections and ten half requests an association takes no time."""
    with start_one() as run:
        silent = [raw_connection(run.port) for _ in range(20)]
        for sock in silent[10:]:
            sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200) + b"\0\1")
        begun = time.monotonic()
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            peer.release()
        assert time.monotonic() - begun < 4
        for sock in silent:
            sock.close()


def test_silent_connections_are_closed_in_time(start_one: Start) -> None:
    """A connection that makes no request is closed after the opening time, byte by byte or not."""
    with start_one(limits=HASTY) as run, raw_connection(run.port) as silent, raw_connection(run.port) as slow:
        begun = time.monotonic()

        def drip() -> None:
            try:
                slow.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200))
                while True:
                    slow.sendall(b"\0")
                    time.sleep(0.1)
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert read_to_end(silent) == b""
        assert read_to_end(slow) == b""
        assert 0.4 < time.monotonic() - begun < 4
        dripping.join()


def test_a_flood_of_silent_connections_drops_the_oldest(start_one: Start) -> None:
    """Beyond the cap of connections without an association the oldest goes, and a good one comes in."""
    with start_one(limits=Limits(waiting_connections=8)) as run:
        flood = [raw_connection(run.port) for _ in range(30)]
        with run.peer() as peer:
            assert peer.echo() == 0
            peer.release()
        assert read_to_end(flood[0]) == b""
        for sock in flood:
            sock.close()


def test_an_instance_in_flight_may_finish(start: Start) -> None:
    """While the receiver stops, an instance that has begun is taken to its end and told."""
    with start() as run:
        peer = run.peer()
        data = data_set("1.2")
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:500])))
        time.sleep(0.2)
        with run.peer() as other:  # while it still listens
            assert other.echo() == 0
            other.release()
        stopper = threading.Thread(target=run.receiver.stop)
        stopper.start()
        time.sleep(0.2)
        peer.send(pdu(pdv(1, 2, data[500:])))
        assert peer.answer()["Status"] == 0
        stopper.join(8)
        assert not stopper.is_alive()
        peer.connection.close()
        assert [arrival.sop_instance_uid for arrival in run.arrivals] == ["1.2"]
        run.receiver.start()


def test_a_folder_that_cannot_be_used_is_said_at_once(start: Start, tmp_path: Path) -> None:
    """start() raises if the folder is a file."""
    (tmp_path / "cohort").write_text("")
    with pytest.raises(ReceiverError, match="cannot be written"), start():
        pass


def test_stop_may_be_called_at_any_time(start: Start) -> None:
    """Stopping twice, or before starting, does nothing; calls that need a running receiver say so."""
    with start() as run:
        run.receiver.stop()
        run.receiver.stop()
        with pytest.raises(ReceiverError, match="start"):
            run.receiver.admit(Admission(1))
        with pytest.raises(ReceiverError, match="start"):
            run.receiver.sync()
        run.receiver.dismiss(1)
        run.receiver.start()
        with pytest.raises(ReceiverError, match="already"):
            run.receiver.start()


def test_too_little_space_is_said_at_once(start: Start) -> None:
    """start() raises if less than the floor is free already."""
    with pytest.raises(ReceiverError, match="free some space"), start(free_space_floor=1 << 60):
        pass
