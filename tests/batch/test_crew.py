"""Workers side by side: as many as there is work and associations for, and each row ends whatever becomes of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from batch_kit import STUDIES, quiet, seen
from dicomover import Mover, NodeUnreachable, Retry, Timeouts
from dicomover.batch.work import SharedMove
from dicomover.batch.worker import Worker
from dicomover.errors import AssociationLost
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.wire.command_set import C_ECHO_RQ, C_MOVE_RQ
from dicomover.wire.connection import Connection
from dicomover.wire.lines import Line
from dicomover.wire.negotiation import read_request
from dicomover.wire.stop import Controls
from wire_kit import accept, answer, counts, listening


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


def test_associations_side_by_side() -> None:
    """As many associations as asked for work at once, each on requests of its own."""
    studies = [made_study(f"S{number}", instances=5) for number in range(12)]
    with DemoPacs(studies, misbehave={"*": Misbehaviour("slow", seconds=0.02)}) as pacs:
        summary = quiet(pacs, associations=4).move([{"AccessionNumber": f"S{number}"} for number in range(12)])
        assert summary["status"].tolist() == ["success"] * 12
        assert pacs.most_associations == 4
        assert pacs.most_moves == 4
        assert len({item.association for item in seen(pacs, "C-MOVE")}) == 4
        assert all(pacs.sends_of(item.sop_instance_uid) == 1 for study in studies for item in study.instances())


def test_no_more_associations_than_requests(pacs: DemoPacs) -> None:
    """One request takes one association, however many are allowed."""
    quiet(pacs, associations=8).move({"AccessionNumber": "00123"})
    assert len(pacs.associations) == 1


def test_fewer_associations_than_asked_for() -> None:
    """An archive that allows one association is worked with over one, and nothing is lost."""
    studies = [made_study(f"S{number}", instances=3) for number in range(6)]
    with DemoPacs(studies, max_associations=1) as pacs:
        summary = quiet(pacs, associations=4).move([{"AccessionNumber": f"S{number}"} for number in range(6)])
        assert summary["status"].tolist() == ["success"] * 6, summary["error"].tolist()
        assert pacs.most_associations == 1
        assert any(item.rejected == (2, 3, 2) for item in pacs.associations)


def test_the_last_worker_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry that a worker without an association leaves behind is done by one that was about to go."""
    going, left = threading.Event(), threading.Event()
    attempt, work, leave_to_others = Worker._attempt, Worker.work, Controls.leave_to_others
    with DemoPacs([made_study("A", instances=1), made_study("B", instances=1)]) as archive:
        archive.misbehave["A"] = Misbehaviour("busy")
        uid = archive.study("A").study_instance_uid

        def gone(self: Line) -> None:
            raise NodeUnreachable("gone")

        def late(self: Worker, move: SharedMove) -> None:
            is_first = move.target.identifier.study == uid and not move.tries
            if is_first:
                assert going.wait(10)
            attempt(self, move)
            if is_first:
                monkeypatch.setattr(self._line, "connect", partial(gone, self._line), raising=False)

        def slowly(self: Worker) -> bool:
            stayed = work(self)
            if stayed and not going.is_set():
                going.set()
                assert left.wait(10)
            return stayed

        def told(self: Controls) -> bool:
            could = leave_to_others(self)
            if could:
                left.set()
            return could

        monkeypatch.setattr(Worker, "_attempt", late)
        monkeypatch.setattr(Worker, "work", slowly)
        monkeypatch.setattr(Controls, "leave_to_others", told)
        retry = Retry(attempts=2, first_wait=0.2, longest_wait=0.2)
        summary = quiet(archive, retry=retry, associations=2).move([{"AccessionNumber": name} for name in "AB"])
    assert left.is_set()
    assert summary["status"].notna().all()


# --- those that lost their association come back, and nobody waits when no work is left

ACCESSIONS = [f"A{number}" for number in range(24)]


def wait_for(happens: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something, bounded."""
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_associations_come_back_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that restarts in the middle of a batch has as many associations afterwards as before."""
    monkeypatch.setattr("dicomover.batch.crew._COME_BACK_AFTER", (0.2,))
    monkeypatch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.1,) * 50)
    slow = {accession: Misbehaviour("slow", seconds=0.05) for accession in ACCESSIONS}
    studies = [made_study(accession, instances=4) for accession in ACCESSIONS]
    with DemoPacs(studies, misbehave=slow) as pacs:
        retry = Retry(attempts=20, first_wait=0.2, longest_wait=0.5)
        with Mover(
            pacs.node, destination=pacs.workstation.ae_title, associations=3, retry=retry, progress="none"
        ) as mover:
            job = mover.start([{"AccessionNumber": accession} for accession in ACCESSIONS])
            wait_for(lambda: pacs.open_associations == 3)
            pacs.restart(0.5)
            wait_for(lambda: pacs.open_associations < 3)
            wait_for(lambda: pacs.open_associations == 3)
            job.wait(60)
            assert set(job.summary().status) == {"success"}
    assert not [each for each in threading.enumerate() if each.name.startswith("dicomover worker")]


def one_at_a_time() -> Callable[[Connection], None]:
    """Return an archive that answers an association request when the association before has ended."""
    free = threading.Lock()

    def serve(connection: Connection) -> None:
        request = read_request(connection)
        while not free.acquire(timeout=0.02):
            if connection.is_stale():
                return
        try:
            connection.send(accept(connection, request))
            while True:
                message = connection.read_message()
                is_move = message.command["CommandField"] == C_MOVE_RQ
                assert is_move or message.command["CommandField"] == C_ECHO_RQ
                answer(connection, message, 0x0000, **(counts(1) if is_move else {}))
        except AssociationLost:
            pass
        finally:
            free.release()

    return serve


@pytest.mark.parametrize("is_idle", [False, True], ids=["fresh", "after-an-echo"])
def test_an_archive_that_serves_one_at_a_time(is_idle: bool) -> None:
    """A batch ends when its work is done, though a second worker still waits for the archive to answer it."""
    with listening(one_at_a_time()) as node:
        patient = Timeouts(acse=60, stall=60)
        with Mover(
            node, destination="THERE", associations=2, timeouts=patient, verify="none", progress="none"
        ) as mover:
            if is_idle:
                mover.echo()
            begun = time.monotonic()
            summary = mover.move([{"StudyInstanceUID": f"1.2.{number}"} for number in range(4)])
    assert set(summary.status) == {"success"}
    assert time.monotonic() - begun < 30


def test_who_waits_for_an_association_is_sent_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends although a worker is just trying to come back, and nothing stays behind."""
    monkeypatch.setattr("dicomover.batch.crew._COME_BACK_AFTER", (0.02,))
    served: list[socket.socket] = []

    def serve(connection: Connection) -> None:
        request = read_request(connection)
        served.append(connection.sock)
        if len(served) == 2:
            connection.close()  # the second worker leaves its work to the first one
            return
        if len(served) > 2:
            connection.read_pdu()  # and when it tries again nobody answers
            return
        connection.send(accept(connection, request))
        while True:
            message = connection.read_message()
            for _ in range(100):
                if len(served) > 2:
                    break
                time.sleep(0.05)
            answer(connection, message, 0x0000, **counts(1))

    with listening(serve) as node:
        with Mover(
            node, destination="THERE", associations=2, timeouts=Timeouts(acse=60), verify="none", progress="none"
        ) as mover:
            begun = time.monotonic()
            summary = mover.move([{"StudyInstanceUID": f"1.2.{number}"} for number in range(4)])
        assert set(summary.status) == {"success"}
        assert time.monotonic() - begun < 30
        wait_for(lambda: not [each for each in threading.enumerate() if each.name.startswith("dicomover worker")], 5)
