"""The receiver's own process: it outlives interrupts, ends with its parent, and its death is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dicomover.errors import ReceiverError
from dicomover.events import Admission, Arrival, Refusal, Refused
from dicomover.receiver import Limits, Receiver
from dicomover.receiver.engine.process import ProcessEngine
from receiver_kit import (
    HASTY,
    Peer,
    children,
    command,
    data_set,
    half_files,
    is_alive,
    pdu,
    pdv,
    running,
    stopped_at_birth,
    wait_for,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def pid_of(receiver: Receiver) -> int:
    """Return the process of a receiver."""
    process = receiver._engine._process  # type: ignore[union-attr]
    assert process is not None
    return int(process.pid)


def test_a_killed_receiver_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    """After kill -9 comes one notice, the next call raises, the half file goes, and it can be started again."""
    with running(tmp_path, True) as run:
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            run.wait(1)  # told by a thread of the process, which a kill may overtake
            peer.send(pdu(pdv(1, 3, command("1.3"))) + pdu(pdv(1, 0, data_set("1.3")[:900])))
            wait_for(lambda: half_files(run.folder))
            os.kill(pid_of(run.receiver), signal.SIGKILL)
            wait_for(lambda: run.receiver.failed)
        run.wait(2)
        assert isinstance(run.events[0], Arrival)
        notice = run.events[1]
        assert isinstance(notice, Refusal)
        assert notice.status is None
        assert "signal 9" in notice.why
        assert not half_files(run.folder)
        with pytest.raises(ReceiverError, match="signal 9"):
            run.receiver.admit(Admission(1))
        with pytest.raises(ReceiverError, match="signal 9"):
            run.receiver.sync()
        run.receiver.dismiss(1)
        run.receiver.stop()
        run.threads_of_events.clear()  # a new receiver has a new one
        run.receiver.start()
        with run.peer() as peer:
            assert peer.store("1.3") == 0
            peer.release()


def test_an_interrupt_does_not_reach_the_process(tmp_path: Path) -> None:
    """SIGINT to the receiver's process, as from a notebook's stop button, changes nothing."""
    with running(tmp_path, True) as run:
        os.kill(pid_of(run.receiver), signal.SIGINT)
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            peer.release()


def test_a_terminated_process_ends_cleanly(tmp_path: Path) -> None:
    """SIGTERM lets what is in flight finish and leaves no half file; the parent is told that it has ended."""
    with running(tmp_path, True, limits=HASTY) as run, run.peer() as peer:
        data = data_set("1.2")
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:900])))
        wait_for(lambda: half_files(run.folder))
        os.kill(pid_of(run.receiver), signal.SIGTERM)
        peer.send(pdu(pdv(1, 2, data[900:])))
        assert peer.answer()["Status"] == 0
        wait_for(lambda: run.receiver.failed)
        assert [type(event) for event in run.wait(2)] == [Arrival, Refusal]


def test_modules_in_the_working_directory_do_not_disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook's own `socket.py` or `json.py` is not what the process imports."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("socket.py", "json.py", "struct.py", "signal.py"):
        (work / name).write_text("raise RuntimeError('the notebook, not the library')\n")
    monkeypatch.chdir(work)
    monkeypatch.syspath_prepend(str(work))
    with running(tmp_path, True) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        peer.release()
    assert not list(work.glob("__pycache__"))


def test_a_slow_listener_loses_nothing(tmp_path: Path) -> None:
    """With a listener that hangs, orders are still obeyed; later everything is told, in order."""
    go = threading.Event()
    told: list[str] = []

    def listen(event: Arrival | Refusal) -> None:
        go.wait(20)
        told.append(event.sop_instance_uid)

    receiver = Receiver(tmp_path, ae_title="ME", on_event=listen, port=0, bind="127.0.0.1", restrict=False)
    with receiver:
        with Peer(receiver.port) as peer:
            for number in range(200):
                assert peer.store(f"1.2.{number}") == 0
            peer.release()
        receiver.admit(Admission(1))
        receiver.sync()
        assert told == []
        go.set()
    assert told == [f"1.2.{number}" for number in range(200)]


@pytest.mark.parametrize("own_process", [False, True], ids=["threads", "process"])
def test_a_listener_may_call_the_receiver(tmp_path: Path, own_process: bool) -> None:
    """`on_event` may admit, sync and even stop."""
    done = threading.Event()

    def listen(_: object) -> None:
        receiver.admit(Admission(5, study_uids=frozenset({"1.2"})))
        receiver.sync()
        receiver.stop()
        done.set()

    settings = {"port": 0, "bind": "127.0.0.1", "restrict": False, "own_process": own_process}
    receiver = Receiver(tmp_path, ae_title="ME", on_event=listen, **settings)  # type: ignore[arg-type]
    receiver.start()
    with Peer(receiver.port) as peer:
        assert peer.store("1.2") == 0
        peer.connection.close()
    assert done.wait(10)
    receiver.stop()


@pytest.mark.parametrize("what", ["admit", "large admit", "dismiss", "sync", "stop"])
def test_a_process_that_stands_still_holds_nobody(tmp_path: Path, what: str) -> None:
    """A stopped process holds no call for 10 s, each says what stands still, and the half file goes with it."""
    events: list[object] = []
    # With the limits as they are, a stop finds out too that nothing comes any more.
    how = {"port": 0, "bind": "127.0.0.1", "restrict": False, "limits": Limits() if what == "stop" else HASTY}
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=events.append, **how)  # type: ignore[arg-type]
    receiver.start()
    pid = pid_of(receiver)
    peer = Peer(receiver.port)
    peer.send(pdu(pdv(1, 3, command("1.3"))) + pdu(pdv(1, 0, data_set("1.3")[:900])))
    wait_for(lambda: half_files(tmp_path))
    calls = {
        "admit": lambda: receiver.admit(Admission(1)),
        "large admit": lambda: receiver.admit(Admission(1, sop_uids=frozenset(f"1.2.{n}" for n in range(20_000)))),
        "sync": receiver.sync,
        "dismiss": lambda: receiver.dismiss(1),
    }
    try:
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        if what in ("admit", "large admit", "sync"):
            with pytest.raises(ReceiverError, match=r"the receiver's process stands still: no sign of life for 6 s"):
                calls[what]()
            assert receiver.failed is not None
        elif what == "dismiss":
            calls[what]()
        assert time.monotonic() - begun < 10
        begun = time.monotonic()
        receiver.stop()
        assert time.monotonic() - begun < 10
        wait_for(lambda: not is_alive(pid))
        assert not half_files(tmp_path)
    finally:
        peer.connection.close()
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
        receiver.stop()


def test_several_calls_at_once_wait_for_the_same_time(tmp_path: Path) -> None:
    """Callers of a stopped process are let go together, not one after the other, and the end is told once."""
    events: list[object] = []
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=events.append, port=0, bind="127.0.0.1", limits=HASTY)
    receiver.start()
    errors: list[str] = []

    def ask(number: int) -> None:
        try:
            receiver.admit(Admission(number))
        except ReceiverError as error:
            errors.append(error.what)

    try:
        os.kill(pid_of(receiver), signal.SIGSTOP)
        begun = time.monotonic()
        callers = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(12)
        assert time.monotonic() - begun < 10
        assert len(errors) == 5
        wait_for(lambda: events)
        assert [event.what for event in events if isinstance(event, Refusal)] == [Refused.EVERYTHING]
    finally:
        receiver.stop()


def test_no_answer_is_waited_for_without_a_bound(tmp_path: Path) -> None:
    """A process that lives and does not answer, as one that waits for a disk, is named, and the receiver goes on."""
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=print, port=0, bind="127.0.0.1", limits=HASTY)
    with receiver:
        engine = receiver._engine
        assert isinstance(engine, ProcessEngine)
        begun = time.monotonic()
        with pytest.raises(ReceiverError, match="lives, but has not answered"):
            engine.answer(engine.order("nothing that it knows"), 1)
        assert time.monotonic() - begun < 5
        receiver.admit(Admission(1))  # it was the wait that ended, not the receiver


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("os.write(1, b'\\xff' * 4)", "what it says cannot be read (a frame of 4,294,967,295 bytes)"),
        ("os.write(1, b'\\0\\0\\0\\2[]')", "what it says cannot be read (a list is no frame)"),
        ("os.write(1, b'\\0\\0\\0\\x0e{\"events\": [7]}'[:18])", "what it says cannot be read"),
        (
            "raw = b'{\"events\": [[0, 0, 0, 0, 0, 0, \"DOE^J\"]]}'; os.write(1, len(raw).to_bytes(4, 'big') + raw)",
            "what it says cannot be read (ValueError)",
        ),
        ("os.close(1)", "it has closed its pipe"),
    ],
)
def test_a_process_that_cannot_be_understood_is_told_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, told: str
) -> None:
    """What is no frame, and a pipe that ends though the process lives, end the process and are named; nobody waits."""
    code = f"import os, time; os.write(1, b''); {says}; time.sleep(60)"
    monkeypatch.setattr("dicomover.receiver.engine.process._CODE", code)
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=print, port=0, bind="127.0.0.1", limits=HASTY)
    begun = time.monotonic()
    with pytest.raises(ReceiverError) as caught:
        receiver.start()
    assert told in caught.value.what
    assert time.monotonic() - begun < 10


def interrupt_soon() -> list[float]:
    """Interrupt this process in a moment; return when that was, once it was."""
    at: list[float] = []

    def interrupt() -> None:
        time.sleep(0.5)
        at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    return at


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("when", ["starting", "stopping"])
def test_an_interrupt_leaves_no_stopped_process_behind(tmp_path: Path, when: str, workers: int) -> None:
    """Where the process is stopped while it starts or ends, one interrupt ends the call, and the process, at once."""
    how = {"port": 0, "bind": "127.0.0.1", "workers": workers}
    receiver, before = Receiver(tmp_path / "in", ae_title="ME", on_event=print, **how), children()  # type: ignore[arg-type]
    at: list[list[float]] = []
    if when == "starting":
        with (
            stopped_at_birth(lambda: at.append(interrupt_soon()) if len(pids) == workers else None) as pids,
            pytest.raises(KeyboardInterrupt),
        ):
            receiver.start()
    else:
        receiver.start()
        pids = sorted(children() - before)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        at.append(interrupt_soon())
        with pytest.raises(KeyboardInterrupt):
            receiver.stop()
    assert time.monotonic() - at[0][0] < 2
    assert len(pids) == workers
    wait_for(lambda: not any(map(is_alive, pids)), 2)
    with receiver, Peer(receiver.port) as peer:
        assert peer.echo() == 0
        peer.release()


def test_the_end_of_the_program_ends_a_stopped_process(tmp_path: Path) -> None:
    """A process that is stopped does not see that its parent has gone; nothing of it is left all the same."""
    code = """if True:
        import os, signal, sys, threading
        from dicomover import Mover
        mover = Mover("NONE@127.0.0.1:1", receive=sys.argv[1], port=0).open()
        pid = mover._receiver._engine._process.pid
        print(pid, flush=True)
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        mover.close()
    """
    program = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.wait(15) != 0
    wait_for(lambda: not is_alive(pid), 2)


def test_a_process_that_stood_still_keeps_its_number_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has stopped it lets it go on a little later, when it was killed already: that hits nobody."""
    monkeypatch.setattr("dicomover.receiver.engine.process._KEPT", 2.0)
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=print, port=0, bind="127.0.0.1", limits=HASTY)
    receiver.start()
    pid = pid_of(receiver)
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("dicomover.receiver.engine.process._SILENT", 1.0)
    with pytest.raises(ReceiverError, match="stands still"):
        receiver.sync()
    receiver.stop()
    assert not is_alive(pid)
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: pid not in children(), 5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
