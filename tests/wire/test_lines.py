"""A line to the archive when this machine, or the person at it, gets in the way."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover import Mover, NodeUnreachable, QueryRefused, ReceiverError, Timeouts
from dicomover.batch.crew import make_thread
from dicomover.errors import AssociationLost, LostBy
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.testing._server import silence
from dicomover.wire.connection import Connection
from dicomover.wire.lines import Line, Pool, open_lines
from dicomover.wire.negotiation import read_request
from dicomover.wire.services import ECHO
from dicomover.wire.stop import Controls
from wire_kit import accept, answer, in_a_thread, listening


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive."""
    with DemoPacs([made_study("00123"), made_study("00124")]) as archive:
        yield archive


def test_no_descriptor_is_left(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that this machine cannot open is a NodeError that says so, not an OSError."""

    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("dicomover.wire.association.connect", exhausted)
    with pytest.raises(NodeUnreachable, match=r"cannot open another connection \(Too many open files\)"):
        Mover(pacs.node).echo()


def test_an_interrupted_answer_is_nobody_elses(pacs: DemoPacs) -> None:
    """An association that an interrupt leaves in the middle of an exchange is not used again."""
    pool = Pool(pacs.node, "MOVESCU")
    line = Line(pool, Timeouts(), Controls(lambda _: None), services=ECHO)
    with line:
        line.echo()
        first = line.connect()
    with line:
        assert line.connect() is first, "it is used again"
    try:
        with line:
            line.connect()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not first.is_open
    with line:
        assert line.connect() is not first
    pool.close()


def test_an_error_leaves_the_association_in_order(pacs: DemoPacs) -> None:
    """What the archive refuses is no reason to open another association."""
    pacs.misbehave["00123"] = Misbehaviour("find-refused", times=1)
    with Mover(pacs.node) as mover:
        with pytest.raises(QueryRefused):
            mover.find({"AccessionNumber": "00123"})
        assert len(mover.find({"AccessionNumber": "00123"})) == 1
    assert len(pacs.associations) == 1


@pytest.mark.parametrize("started", [0, 1])
def test_a_thread_that_cannot_be_started(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """The batch ends all the same: every row has its verdict, and the Mover closes."""
    threads = iter(range(10))

    def limited(*args: object) -> object:
        if next(threads) >= started:
            raise RuntimeError("can't start new thread")
        return make_thread(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("dicomover.batch.crew.make_thread", limited)
    with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        job = mover.job([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
        with pytest.raises(RuntimeError, match="thread"):
            job.run()
    assert job.summary().status.notna().all()
    assert pacs.open_associations == 0


def test_an_interrupt_while_a_thread_starts(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose thread runs already does its work once, and the batch ends when that has ended."""

    class Interrupted(threading.Thread):
        def start(self) -> None:
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr("dicomover.batch.crew.make_thread", lambda work, name: Interrupted(target=work, name=name))
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.2)
    with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        job = mover.job([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
        with pytest.raises(KeyboardInterrupt):
            job.run()
        assert job.done
        assert set(job.summary().status) == {"cancelled"}
    assert not [each for each in threading.enumerate() if each.name.startswith("dicomover worker")]


def test_a_start_that_fails_is_over(pacs: DemoPacs, tmp_path: Path) -> None:
    """A job whose receiver cannot listen does not say that it runs, and nobody waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        job = Mover(pacs.node, receive=tmp_path, port=taken.getsockname()[1]).job({"AccessionNumber": "00123"})
        with pytest.raises(ReceiverError):
            job.run()
    assert job.wait(0)


# --- an archive that serves one association at a time


def test_an_idle_association_goes_to_whoever_waits() -> None:
    """A line that waits for an archive to answer takes over the association that another line gives back."""
    taken = threading.Lock()

    def serve(connection: Connection) -> None:
        request = read_request(connection)
        if taken.acquire(blocking=False):
            connection.send(accept(connection, request))
        while True:
            message = connection.read_message()
            answer(connection, message, 0x0000)

    with listening(serve) as node:
        pool = Pool(node, "TESTER")
        first, second = (Line(pool, Timeouts(acse=60), Controls(lambda _: None), services=ECHO) for _ in range(2))
        association = first.connect()
        with in_a_thread(second.connect) as results:
            limit = time.monotonic() + 10
            while not pool._opening and time.monotonic() < limit:
                time.sleep(0.01)
            first.close()
        assert results == [association]
        second.echo()
        second.close()
        pool.close()


def test_a_line_that_is_abandoned_waits_for_nothing() -> None:
    """What a line waits for ends at once, and so does what it would wait for later."""
    with listening(lambda connection: silence(connection)) as node:
        line = Line(Pool(node, "TESTER"), Timeouts(acse=60), Controls(lambda _: None))

        def work() -> object:
            with pytest.raises(AssociationLost) as caught:
                line.connect()
            return caught.value.by

        with in_a_thread(work) as results:
            time.sleep(0.1)
            line.abandon()
        assert results == [LostBy.TIMEOUT]
        with pytest.raises(AssociationLost):
            line.connect()


def test_few_lines_are_better_than_a_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several lines to an archive that answers one association request at a time, one works, after a moment."""
    monkeypatch.setattr("dicomover.wire.lines._SOON", 0.2)
    taken = threading.Lock()

    def serve(connection: Connection) -> None:
        request = read_request(connection)
        if taken.acquire(blocking=False):
            connection.send(accept(connection, request))
        silence(connection)

    with listening(serve) as node:
        pool, begun = Pool(node, "TESTER"), time.monotonic()
        with open_lines(lambda controls: Line(pool, Timeouts(acse=60), controls), 4) as lines:
            assert lines._size == 1
        pool.close()
        assert time.monotonic() - begun < 30
