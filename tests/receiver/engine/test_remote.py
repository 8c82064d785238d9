"""A retriever in the receiver's process, from its parent: nobody waits for a process that does not answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import ReceiverError
from dicomover.node import Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from receiver_kit import Run, children, data_set, running, wait_for
from retrieving_kit import HASTY, PAIRS, PENDING, get, give, pour, retriever, store
from wire_kit import answer, counts, peer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def stays_silent(connection: Connection, request: Message) -> None:
    """Store one instance, begin another one, and say nothing more."""
    store(connection, "1.2.3.1")
    answer(connection, request, PENDING, **counts(1, remaining=1))
    pour(connection, "1.2.3.2", data_set("1.2.3.2", pixels=bytes(500_000)), to_the_end=False)
    connection.read_message()


def process_of(run: Run, before: set[int]) -> int:
    """Return the number of the receiver's process."""
    (number,) = children() - before
    assert run.receiver.failed is None
    return number


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_stands_still(
    how: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The C-GET ends as lost with what became of the process, and what was whole was told before."""
    monkeypatch.setattr("dicomover.receiver.engine.process._KEPT", 0.5)
    before = children()
    with running(tmp_path, True, ends_broken=True) as run, peer(stays_silent) as node:
        number = process_of(run, before)
        with retriever(run, node, Timeouts()) as one:
            threading.Thread(target=lambda: wait_for(lambda: run.arrivals) or os.kill(number, how)).start()
            end = get(one)
            assert end.ended is Ended.LOST
            assert "the receiver's process" in end.why
            assert not one.is_open
            assert not one.is_usable()
            assert run.receiver.failed is not None
        with pytest.raises(ReceiverError):
            run.receiver.retriever(node, "TESTER", HASTY, PAIRS)
        assert len(run.arrivals) == 1


def test_a_kill_needs_no_answer(tmp_path: Path) -> None:
    """A process that stands still keeps nobody who has killed what it does."""
    before = children()
    with running(tmp_path, True, ends_broken=True) as run, peer(stays_silent) as node:
        number = process_of(run, before)
        seen: list[Counters] = []
        with retriever(run, node, Timeouts()) as one:

            def stop() -> None:
                wait_for(lambda: seen)
                os.kill(number, signal.SIGSTOP)
                one.kill()

            threading.Thread(target=stop).start()
            begun = time.monotonic()
            end = get(one, on_progress=seen.append)
            assert (end.ended, end.counters.completed) == (Ended.CANCELLED, 1)
            assert time.monotonic() - begun < 6
        os.kill(number, signal.SIGCONT)


def test_what_a_listener_of_progress_raises(tmp_path: Path) -> None:
    """It comes out of `get`, and the association is not used any more: the rest of the answer is under way."""

    def hear(_: Any) -> None:
        raise ZeroDivisionError

    with running(tmp_path, True) as run, peer(stays_silent) as node, retriever(run, node) as one:
        with pytest.raises(ZeroDivisionError):
            get(one, on_progress=hear)
        assert one.is_stopping
        assert not one.is_usable()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later, where threads run
def test_a_fork_lets_go_of_it(tmp_path: Path) -> None:
    """In a forked child the association is none, and nobody waits for it; in the parent it goes on."""
    with running(tmp_path, True) as run, peer(give(1)) as node, retriever(run, node) as one:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                begun = time.monotonic()
                one.kill()
                one.release()
                os.write(writing, b"%d%d%d" % (one.is_open, one.is_usable(), time.monotonic() > begun + 2))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reading, 9) == b"000"
        os.close(reading)
        os.close(writing)
        assert get(one).counters.completed == 1


def test_several_at_once(tmp_path: Path) -> None:
    """Retrievers of one process do not wait for one another."""
    together = threading.Barrier(3)

    def script(connection: Connection, request: Message) -> None:
        together.wait(10)
        give(3)(connection, request)

    ends = []
    with running(tmp_path, True) as run, peer(script) as node:

        def work() -> None:
            with retriever(run, node) as one:
                ends.append(get(one))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [end.counters.completed for end in ends] == [3, 3, 3]
        assert len(run.arrivals) == 9
