"""Interrupts and SIGTERM while a batch runs, in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from dicomover.batch.signals import interrupting

WARNINGS = "error,default::DeprecationWarning:pydicom.pixels.utils"  # its import of what Python 3.15 deprecates
PROGRAM = """
import os, signal, sys, threading, time
from dicomover import Interrupted, Mover
from dicomover.testing import DemoPacs, Misbehaviour, made_study

def main():
    pacs = DemoPacs([made_study(f"S{n:02d}", instances=40) for n in range(4)],
                    misbehave={"*": Misbehaviour(%(misbehaviour)r, seconds=0.05)})
    mover = Mover(pacs.node, destination="WORKSTATION", progress="none", associations=1)

    def interrupt():
        while len(pacs.stores) < 2:
            time.sleep(0.01)
        for _ in range(%(interrupts)d):
            os.kill(os.getpid(), signal.%(signal)s)
            time.sleep(0.3)

    threading.Thread(target=interrupt, daemon=True).start()
    begun = time.monotonic()
    job = mover.job([{"AccessionNumber": f"S{n:02d}"} for n in range(4)])
    try:
        job.run()
    except Interrupted as interrupted:
        print("carries", *interrupted.summary.status)
    finally:
        tell(pacs, job.summary(), time.monotonic() - begun)

def tell(pacs, summary, seconds):
    print("seconds", seconds)
    print("status", *summary.status)
    print("code", *summary.status_code.fillna("-"))
    print("cancels", sum(request.kind == "C-CANCEL" for request in pacs.requests))
    limit = time.monotonic() + 5
    ours = lambda: [t.name for t in threading.enumerate() if t.name.startswith("dicomover ")]
    while ours() and time.monotonic() < limit:  # one that has been told to end needs a moment of a busy processor
        time.sleep(0.01)
    print("threads", len(ours()))
    while pacs.open_associations and time.monotonic() < limit:
        time.sleep(0.01)
    print("associations", pacs.open_associations)
    pacs.close()

main()
"""


def run(misbehaviour: str, interrupts: int, name: str = "SIGINT", code: int = 0) -> dict[str, list[str]]:
    """Run a batch in a process of its own, interrupt it, and return what it printed by the end."""
    values = {"misbehaviour": misbehaviour, "interrupts": interrupts, "signal": name}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM) % values],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": WARNINGS},
    )
    assert done.returncode == code, done.stderr
    return {name: rest for name, *rest in (line.split() for line in done.stdout.splitlines())}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a single process")
def test_an_interrupt_cancels() -> None:
    """Ctrl-C in `move` sends C-CANCEL, reads the final response and raises what carries it; nothing lives on."""
    told = run("slow", 1)
    assert told["carries"] == told["status"]
    assert told["status"] == ["cancelled"] * 4
    assert told["code"] == ["0xFE00", "-", "-", "-"]
    assert told["cancels"] == ["1"]
    assert told["threads"] == ["0"]
    assert told["associations"] == ["0"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a single process")
def test_a_second_interrupt_stops_at_once() -> None:
    """A second Ctrl-C does not wait for an archive that ignores the C-CANCEL."""
    told = run("ignores-cancel", 2)
    assert told["status"] == ["cancelled"] * 4
    assert told["code"] == ["-"] * 4
    assert told["threads"] == ["0"]
    assert told["associations"] == ["0"]
    assert float(told["seconds"][0]) < 2.0 + 0.3, "40 instances would take 2 s, the grace after a C-CANCEL 5 s"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a process at once")
def test_a_termination_cancels_and_ends_the_process() -> None:
    """A SIGTERM is told to the archive as a cancel; the process ends once that is over, with the usual code."""
    told = run("slow", 1, "SIGTERM", 143)
    assert told["status"] == ["cancelled"] * 4
    assert told["cancels"] == ["1"]
    assert told["threads"] == ["0"]
    assert told["associations"] == ["0"]


def test_it_takes_the_signal_only_for_as_long_as_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGTERM is an interrupt inside, and ends the process after it with the usual code; nothing stays behind."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # a kernel would get the signal itself
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, interrupting(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    with interrupting():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_who_has_said_what_a_signal_does_is_left_alone() -> None:
    """A handler of the program's own stays, and on another thread, where Python allows none, nothing is changed."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with interrupting():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]

    def elsewhere() -> None:
        with interrupting():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[object] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(10)
    assert seen == [before]
