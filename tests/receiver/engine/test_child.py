"""The receiver's process, from inside: it ends with its parent, is bounded in what it tells, and is light."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from dicomover.events import Refusal
from dicomover.receiver.engine.child import _Child
from dicomover.receiver.engine.frames import Writer, read_frame, unpack_event
from receiver_kit import (
    Peer,
    body_of,
    command,
    data_set,
    half_files,
    is_alive,
    pdu,
    pdv,
    wait_for,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


PARENT = """
import sys, time
from dicomover.receiver import Limits, Receiver

if __name__ != "never":  # no guard is needed
    receiver = Receiver(sys.argv[1], ae_title="ME", on_event=print, port=0, bind="127.0.0.1", restrict=False,
                        limits=Limits(closing=0.3, finishing=0.5))
    receiver.start()
    print(receiver.port, receiver._engine._process.pid, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill", "terminate", "exit"])
def test_the_process_ends_with_its_parent(tmp_path: Path, how: signal.Signals | None) -> None:
    """If the parent is killed, or just ends, the receiver ends too, and no half file is left."""
    folder = tmp_path / "cohort"
    line = [sys.executable, "-c", PARENT, str(folder), "60" if how else "1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port, pid = map(int, parent.stdout.readline().split())
        with Peer(port) as peer:
            assert peer.store("1.2") == 0
            peer.send(pdu(pdv(1, 3, command("1.3"))) + pdu(pdv(1, 0, data_set("1.3")[:900])))
            wait_for(lambda: half_files(folder))
            if how is not None:
                parent.send_signal(how)
            wait_for(lambda: not is_alive(pid))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["1.2.dcm"]
    assert body_of(files[0]) == data_set("1.2")


def test_events_are_bounded_by_what_was_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process says no more than the parent can keep, and goes on when the parent has caught up."""
    monkeypatch.setattr("dicomover.receiver.engine.child.UNDELIVERED", 1500)
    written = io.BytesIO()
    child = _Child(io.BytesIO(), Writer(written))
    child._service = Namespace(last_activity=1.0, last_call=1.0)  # type: ignore[assignment]
    batch: list[Any] = [Refusal(0.0, "no", number) for number in range(10_000)]
    thread = threading.Thread(target=child._deliver, args=(batch,))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive(), "nobody has acknowledged anything"
    assert child._undelivered == 2000
    for _ in range(9):
        child._obey({"do": "acknowledge", "count": 1000})
    thread.join(5)
    assert not thread.is_alive()
    written.seek(0)
    frames = iter(lambda: read_frame(written), None)
    told = [unpack_event(event) for frame in frames for event in frame["events"]]
    assert told == batch


def test_the_process_imports_nothing_heavy(tmp_path: Path) -> None:
    """Neither pandas nor IPython nor a widget is loaded to receive."""
    heavy = "[name for name in ('pandas', 'IPython', 'ipywidgets') if name in sys.modules]"
    code = f"import sys, dicomover.receiver.engine.child; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_process_starts_without_what_it_seldom_needs() -> None:
    """Most of the time and memory of a start is pydicom and numpy: they come with the first thing that needs them."""
    code = "import dicomover.receiver.engine.child, sys; print({'pydicom', 'numpy', 'pandas'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
