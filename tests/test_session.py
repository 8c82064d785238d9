"""A session: who listens, which associations are kept, which jobs run."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover import Mover, Node, NodeError, NodeUnreachable, ReceiverError
from dicomover.events import Refusal
from dicomover.node import Timeouts
from dicomover.outcome import Status
from dicomover.receiver import Receiver
from dicomover.session import Session
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.wire.connection import Connection
from dicomover.wire.stop import Stop
from peers import free_port, wait_until
from wire_kit import listening

NOTHING = Refusal(0.0, "nothing")


class Ear:
    """A receiver that only counts."""

    port = 104

    def __init__(self, *, fails: bool = False) -> None:
        self.log: list[str] = []
        self.fails = fails

    def wants_place_of(self, other: object) -> bool:
        """Not at all."""
        return False

    def start(self) -> None:
        """Note it, or fail."""
        if self.fails:
            raise ReceiverError("no port")
        self.log.append("start")

    def stop(self) -> None:
        """Note it."""
        self.log.append("stop")


class Errand:
    """A job that does nothing."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.log: list[str] = []

    def arrived(self, event: object) -> None:
        """Keep it."""
        self.events.append(event)

    def cancel(self) -> None:
        """Note it."""
        self.log.append("cancel")

    def wait(self, timeout: float | None = None) -> bool:
        """Note it."""
        self.log.append("wait")
        return True


def session_of(ear: Ear | None) -> Session:
    """Return a session with this receiver; nothing listens at its node."""
    session = Session(Node("127.0.0.1", 1, ae_title="ARCHIVE"), "ME")
    session.receiver = ear
    return session


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with two studies."""
    with DemoPacs([made_study("00123"), made_study("00124")]) as archive:
        yield archive


def test_the_receiver_listens_from_the_first_user_to_the_last() -> None:
    """Jobs, verbs and `open` share one receiver; it starts once, and stops with the last of them."""
    ear, job = Ear(), Errand()
    session = session_of(ear)
    session.open()
    session.open()
    session.begin_job(job)
    session.close()
    assert (ear.log, session.port) == (["start"], 104)
    with session.use(listening=True):
        session.end_job(job)
        assert ear.log == ["start"]
    assert (ear.log, session.port) == (["start", "stop"], None)
    session.close()
    assert ear.log == ["start", "stop"]


def test_what_does_not_listen_starts_no_receiver() -> None:
    """A C-ECHO or C-FIND needs no port; nor does a session without a receiver."""
    ear = Ear()
    with session_of(ear).use():
        assert ear.log == []
    with session_of(None).use(listening=True):
        pass


def test_a_job_hears_what_arrives_while_it_runs() -> None:
    """Every job that runs is told, and none that has ended."""
    session, one, two = session_of(Ear()), Errand(), Errand()
    session.begin_job(one)
    session.begin_job(two)
    session.deliver(NOTHING)
    session.end_job(one)
    session.deliver(NOTHING)
    assert (len(one.events), len(two.events)) == (1, 2)
    session.end_job(two)


def test_a_receiver_that_cannot_listen() -> None:
    """The job that needed it is not kept, and the next start tries again."""
    ear, job = Ear(fails=True), Errand()
    session = session_of(ear)
    with pytest.raises(ReceiverError):
        session.begin_job(job)
    session.deliver(NOTHING)
    assert job.events == []
    ear.fails = False
    with session.use(listening=True):
        assert ear.log == ["start"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_that_is_given_up_while_we_begin_to_listen_leaves_nothing(fails: bool) -> None:
    """Whether the receiver then listens or fails, it is stopped, and the next one who needs it starts it."""
    job = Errand()

    class Slow(Ear):
        def start(self) -> None:
            session.end_job(job)
            super().start()

    ear = Slow(fails=fails)
    session = session_of(ear)
    with contextlib.suppress(ReceiverError):
        session.begin_job(job)
    session.end_job(job)
    assert ear.log == ([] if fails else ["start", "stop"])
    with contextlib.suppress(ReceiverError), session.use(listening=True):
        pass
    assert ear.log == ([] if fails else ["start", "stop"] * 2)


def test_closing_cancels_and_waits() -> None:
    """What runs when the session is closed is cancelled first, all of it, and then waited for."""
    session, one, two = session_of(None), Errand(), Errand()
    session.begin_job(one)
    session.begin_job(two)
    session.close()
    assert one.log == two.log == ["cancel", "wait"]


def test_associations_are_kept_for_as_long_as_somebody_needs_them(pacs: DemoPacs) -> None:
    """Two verbs in a `with` use one association; after it none is open."""
    with Mover(pacs.node) as mover:
        mover.echo()
        mover.echo()
        assert len(pacs.associations) == 1
        assert pacs.open_associations == 1
    wait_until(lambda: pacs.open_associations == 0)


def test_events_are_delivered_while_another_starts(pacs: DemoPacs, tmp_path: Path) -> None:
    """What arrives for one job is not held up by a second one that begins, nor by one that ends."""
    pacs.misbehave["00123"] = Misbehaviour("slow", seconds=0.05)
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        job = mover.start({"AccessionNumber": "00123"})
        begun = time.monotonic()
        others = [threading.Thread(target=mover.move, args=({"AccessionNumber": "00124"},)) for _ in range(3)]
        for other in others:
            other.start()
        for other in others:
            other.join(30)
        assert job.wait(30)
    assert job.summary().status.tolist() == ["success"]
    assert time.monotonic() - begun < 30


def test_what_stops_a_batch_is_an_error_of_the_node_to_a_verb() -> None:
    """A verb that loses the archive for good raises a NodeError with the reason, never the batch's own word for it."""
    session = Session(Node("127.0.0.1", 1), "ME")
    with pytest.raises(NodeUnreachable, match="gone for good"), session.lend_line(Timeouts()):
        raise Stop(Status.FAILURE, "gone for good")


@pytest.mark.parametrize(
    "answer", [b"\x04\0\0\0\0\2\0\0", b"\x02\0\0\0\0\4\0\1\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_find_at_what_answers_otherwise(answer: bytes) -> None:
    """Whatever answers an association request, `find` raises a NodeError that names where it asked."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(answer)

    with listening(serve) as node, pytest.raises(NodeError, match=str(node.port)):
        Mover(node).find({"PatientID": "4711"})


# --- a cell that is run again


def receiving(pacs: DemoPacs, folder: Path, port: int | None, **more: object) -> Mover:
    """Return a Mover that receives; the archive knows where."""
    pacs.destinations["MOVESCU"] = port or 11112
    return Mover(pacs.node, receive=folder, port=port, progress="none", **more)  # type: ignore[arg-type]


def moved(mover: Mover, accession: str = "00123") -> str:
    """Move a study, and return its status."""
    return str(mover.move({"AccessionNumber": accession}).status[0])


@pytest.mark.parametrize("named", [True, False], ids=["a name", "no name left"])
def test_a_cell_that_is_run_again_takes_the_port_over(
    pacs: DemoPacs, tmp_path: Path, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    """The Mover made again has the port of the earlier one, whether that has a name left or not; nothing is said."""
    port = free_port()
    earlier = receiving(pacs, tmp_path, port).open()
    session = earlier._session
    assert moved(earlier) == "success"
    if not named:
        del earlier
        gc.collect()
    with receiving(pacs, tmp_path, port) as mover:
        assert (mover.port, session.port) == (port, None)
        assert moved(mover) == "skipped"
        assert moved(mover, "00124") == "success"
    assert not caplog.records


def test_another_folder_on_the_same_port(pacs: DemoPacs, tmp_path: Path) -> None:
    """Who has the port gives it to whoever needs it, and takes it back: two Movers work in turn."""
    port = free_port()
    with receiving(pacs, tmp_path / "a", port) as one, receiving(pacs, tmp_path / "b", port) as other:
        turns = [(one, "00123"), (other, "00123"), (one, "00124")]
        assert [moved(mover, number) for mover, number in turns] == ["success"] * 3
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_batch_that_runs_keeps_its_port(pacs: DemoPacs, tmp_path: Path) -> None:
    """The later Mover says that a batch runs and what to do, the batch goes on, and after it the port is had."""
    port = free_port()
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.1)
    earlier = receiving(pacs, tmp_path, port).open()
    job = earlier.start([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
    with pytest.raises(ReceiverError, match=rf"port {port} belongs to an earlier Mover of this kernel.*last\.wait\(\)"):
        receiving(pacs, tmp_path, port).open()
    assert job.wait(30)
    assert job.summary().status.tolist() == ["success"] * 2
    with receiving(pacs, tmp_path, port) as mover:
        assert mover.port == port


def test_who_is_content_with_any_port_takes_none_from_another(pacs: DemoPacs, tmp_path: Path) -> None:
    """With port 0, or None and another folder, two Movers listen side by side."""
    with receiving(pacs, tmp_path / "a", 0) as one, receiving(pacs, tmp_path / "a", 0) as two:
        assert one.port != two.port
        assert None not in (one.port, two.port)


def test_whose_place_a_receiver_wants(tmp_path: Path) -> None:
    """The same port, unless at another address; or no port, and the same folder and title."""

    def place(port: int | None, folder: str = "a", *, bind: str | None = None, title: str = "ME") -> Receiver:
        return Receiver(tmp_path / folder, ae_title=title, on_event=print, port=port, bind=bind)

    assert place(104).wants_place_of(place(104, "b", title="YOU"))
    assert place(104).wants_place_of(place(104, bind="127.0.0.1"))
    assert not place(104, bind="127.0.0.2").wants_place_of(place(104, bind="127.0.0.1"))
    assert not place(104).wants_place_of(place(105))
    assert place(None).wants_place_of(place(None))
    assert place(None).wants_place_of(place(11112))
    assert not place(None).wants_place_of(place(105))
    assert not place(None).wants_place_of(place(None, "b"))
    assert not place(None).wants_place_of(place(None, title="YOU"))


def test_movers_of_two_threads(pacs: DemoPacs, tmp_path: Path) -> None:
    """Two threads that make Movers on one port over and over end, one of them with it or each with an error of ours."""
    port = free_port()
    pacs.destinations["MOVESCU"] = port
    failed: list[ReceiverError] = []

    def make(name: str) -> None:
        for _ in range(2):
            try:
                receiving(pacs, tmp_path / name, port).open()
            except ReceiverError as error:
                failed.append(error)

    threads = [threading.Thread(target=make, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    with receiving(pacs, tmp_path, port) as mover:
        assert moved(mover) == "success"
