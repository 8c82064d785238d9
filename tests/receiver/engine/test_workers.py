"""A receiver of several processes: one port, one bound, one listener of events, and one end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import AssociationRejected, ConfigurationError, ReceiverError
from dicomover.events import Admission, Arrival, Refusal
from dicomover.receiver import Receiver
from dicomover.receiver.engine.process import ProcessEngine
from receiver_kit import (
    HASTY,
    Peer,
    Run,
    body_of,
    command,
    data_set,
    half_files,
    pdu,
    pdv,
    running,
    wait_for,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes that inherit a socket")


def several(tmp_path: Path, workers: int = 2, **settings: Any) -> AbstractContextManager[Run]:
    """Run a receiver of several processes."""
    return running(tmp_path, True, workers=workers, **settings)


def pids_of(run: Run) -> list[int]:
    """Return the processes of a receiver."""
    return [engine._process.pid for engine in run.receiver._engine._engines]  # type: ignore[union-attr]


def owner(pids: list[int], peer: Peer) -> int:
    """Return the process that has a peer's connection, or 0."""
    ours = f"{peer.connection.sock.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(f":{ours}"):
            for pid in pids:
                for fd in Path(f"/proc/{pid}/fd").iterdir():
                    try:
                        if str(fd.readlink()) == f"socket:[{fields[9]}]":
                            return pid
                    except FileNotFoundError:
                        pass
    return 0


def one_in_each(run: Run, held: ExitStack) -> dict[int, Peer]:
    """Associate until every process has an association; return one for each."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("whose connection it is cannot be told here")
    peers: dict[int, Peer] = {}
    for _ in range(24):
        peer = held.enter_context(run.peer())
        peers.setdefault(owner(pids_of(run), peer), peer)
        if len(peers) == len(pids_of(run)):
            return peers
    raise AssertionError(f"only {peers} have associations")


def test_each_takes_its_share_and_what_they_are_told_holds_in_all(tmp_path: Path) -> None:
    """Admissions and their end are in force in every process at once, and one thread tells of all."""
    with several(tmp_path, restrict=True) as run, ExitStack() as held:
        peers = one_in_each(run, held)
        assert 0 not in peers
        for number, peer in enumerate(peers.values()):
            assert peer.store(f"1.2.{number}") == 0x0124
        run.receiver.admit(Admission(1, study_uids=frozenset({"1.2.3.1"})))
        for number, peer in enumerate(peers.values()):
            before = time.monotonic()
            assert peer.store(f"1.2.{number}") == 0
            wait_for(lambda before=before: run.receiver.last_activity >= before)
        run.receiver.sync()
        run.receiver.dismiss(1)
        for number, peer in enumerate(peers.values()):
            assert peer.store(f"1.2.{number}") == 0x0124
        run.wait(3 * len(peers))
        assert len(run.arrivals) == len(run.files()) == len(peers)


def test_one_uid_from_two_processes_at_once(tmp_path: Path) -> None:
    """Duplicates and conflicts from two processes at the same time: one file for each data set, no more."""
    versions = [data_set("1.2", pixels=bytes([n]) * 200_000) for n in range(3)]
    with several(tmp_path) as run, ExitStack() as held:
        peers = list(one_in_each(run, held).values())
        statuses: list[int] = []

        def send(number: int) -> None:
            peer = peers[number]
            statuses.extend(peer.store("1.2", versions[(number + i) % 3], chunk=50_000) for i in range(12))

        senders = [threading.Thread(target=send, args=(number,)) for number in range(len(peers))]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert statuses == [0] * 24
        run.wait(24)
        assert sorted(body_of(path) for path in run.files()) == sorted(versions)
        assert sum(not arrival.duplicate for arrival in run.arrivals) == 3
        assert sum(arrival.conflict and not arrival.duplicate for arrival in run.arrivals) == 2


def test_the_bound_of_associations_is_exact(tmp_path: Path) -> None:
    """Whichever process they fall to, so many associations are let in and not one more; one that ends makes room."""
    with several(tmp_path, max_associations=3) as run:
        with ExitStack() as held:
            peers = [held.enter_context(run.peer()) for _ in range(3)]
            assert [peer.store("1.2") for peer in peers] == [0, 0, 0]
            for _ in range(4):
                with pytest.raises(AssociationRejected):
                    run.peer()
            peers[0].release()
            peers[0].connection.close()

            def room() -> bool:
                try:
                    held.enter_context(run.peer())
                except AssociationRejected:
                    return False
                return True

            wait_for(room)
        run.wait(7)
        assert "there are 3 associations already" in run.refusals[0].why
        time.sleep(0.1)


def test_the_death_of_one_is_the_end_of_all(tmp_path: Path) -> None:
    """After kill -9 of one, what the others have in flight still arrives, no half file stays, and it is told once."""
    with several(tmp_path, limits=HASTY) as run, ExitStack() as held:
        peers = one_in_each(run, held)
        (dying, cut_off), (living, in_flight) = peers.items()
        data = data_set("1.3")
        cut_off.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2")[:900])))
        in_flight.send(pdu(pdv(1, 3, command("1.3"))) + pdu(pdv(1, 0, data[:900])))
        wait_for(lambda: len(half_files(run.folder)) == 2)
        os.kill(dying, signal.SIGKILL)
        wait_for(lambda: run.receiver.failed)
        in_flight.send(pdu(pdv(1, 2, data[900:])))
        assert in_flight.answer()["Status"] == 0
        run.wait(2)
        assert [type(event) for event in sorted(run.events, key=lambda event: isinstance(event, Refusal))] == [
            Arrival,
            Refusal,
        ]
        assert "one of the receiver's 2 processes ended unexpectedly, by signal 9" in run.refusals[0].why
        with pytest.raises(ReceiverError, match="signal 9"):
            run.receiver.admit(Admission(1))
        with pytest.raises(ReceiverError, match="signal 9"):
            run.receiver.sync()
        run.receiver.dismiss(1)
        wait_for(lambda: not Path(f"/proc/{living}").exists())
        assert [path.name for path in run.files()] == ["1.3.dcm"]
        port = run.port
        run.receiver.stop()
        with socket.create_server(("127.0.0.1", port)):
            pass
        run.receiver.start()


def test_a_second_receiver_on_the_port_is_an_error(tmp_path: Path) -> None:
    """The port is opened once and inherited, so nobody else can join, and it is free again at the end."""
    with several(tmp_path) as run:
        settings: dict[str, Any] = {"ae_title": "ME", "on_event": print, "port": run.port, "bind": "127.0.0.1"}
        for workers in (1, 2):
            with pytest.raises(ReceiverError, match="Address already in use"):
                Receiver(tmp_path / "cohort", workers=workers, **settings).start()
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                stranger.bind(("127.0.0.1", run.port))


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_process_that_cannot_start_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """If one of them cannot be started, the others end and the port is free."""
    launch, launched = ProcessEngine.launch, []

    def fail(engine: ProcessEngine) -> None:
        launched.append(engine)
        if first or len(launched) == 2:
            raise ReceiverError("no process can be started for the receiver")
        launch(engine)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessEngine, "launch", fail)
        receiver = Receiver(tmp_path, ae_title="ME", on_event=print, port=0, bind="127.0.0.1", workers=2)
        with pytest.raises(ReceiverError, match="no process can be started"):
            receiver.start()
    assert not receiver._engine
    for engine in launched:
        assert engine._process is None or engine._process.poll() is not None


@pytest.mark.parametrize(
    "more", [{"own_process": False}, {"tls": ssl.create_default_context()}], ids=["threads", "context"]
)
def test_several_must_be_processes(tmp_path: Path, more: dict[str, Any]) -> None:
    """With a context of the caller's own, or in this process, there is only one, and the message says why."""
    with pytest.raises(ConfigurationError, match="workers=2"):
        Receiver(tmp_path, ae_title="ME", on_event=print, workers=2, **more)


def test_where_sockets_are_not_inherited_there_is_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a platform such as Windows it is said at once that there can be only one."""
    monkeypatch.setattr("dicomover.receiver.receiver.can_share", lambda: False)
    with pytest.raises(ConfigurationError, match="cannot share a port on this platform"):
        Receiver(tmp_path, ae_title="ME", on_event=print, workers=2)
    Receiver(tmp_path, ae_title="ME", on_event=print)
