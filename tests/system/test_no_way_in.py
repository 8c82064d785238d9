"""From a network that nothing can connect into, such as a container's: C-MOVE says so, and C-GET needs no way in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover.testing import DemoPacs, made_study

PORT = 11112
INSIDE = """
import json, socket, sys, threading
sys.path.insert(0, sys.argv[1])
from system.test_no_way_in import PORT, join
threading.Thread(target=join, args=(socket.create_server(("127.0.0.1", 104)), sys.argv[2]), daemon=True).start()

from dicomover import Mover

ends = {}
for via in ("move", "auto", "get"):
    with Mover("DEMOPACS@127.0.0.1:104", ae_title="LAPTOP", receive=via, port=PORT, via=via, progress="none",
               retry="none") as mover:
        row = mover.move([{"AccessionNumber": "00123"}]).iloc[0]
        ends[via] = [str(row["status"]), str(row["error"])]
print(json.dumps(ends))
"""


def join(listener: socket.socket, path: str) -> None:
    """Let each caller talk with what listens below a path, which is the same in every network namespace."""
    while True:
        here = listener.accept()[0]
        there = socket.socket(socket.AF_UNIX)
        there.connect(path)
        pump(here, there)


def pump(one: socket.socket, other: socket.socket) -> None:
    """Hand on what either says, until both have ended."""

    def hand_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def hand_on_both() -> None:
        with one, other:
            back = threading.Thread(target=hand_on, args=(other, one), daemon=True)
            back.start()
            hand_on(one, other)
            back.join()

    threading.Thread(target=hand_on_both, daemon=True).start()


@contextlib.contextmanager
def reachable_below(path: Path, port: int) -> Iterator[None]:
    """Let an archive of this network be reached by a path."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):  # it is shut
                while True:
                    pump(listener.accept()[0], socket.create_connection(("127.0.0.1", port)))

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        serving.join(5)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a network of its own is for root, on Linux")
@pytest.mark.skipif(not (shutil.which("unshare") and shutil.which("ip")), reason="needs unshare and ip")
def test_from_where_nothing_can_connect_back(tmp_path: Path) -> None:
    """C-MOVE ends in a row that says what to do; by C-GET, which `auto` turns to, the files come."""
    with DemoPacs([made_study("00123")]) as pacs, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there: what the archive calls is its own network
        pacs.destinations["LAPTOP"] = taken.getsockname()[1]
        with reachable_below(tmp_path / "archive", pacs.node.port):
            done = subprocess.run(
                ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$0" -c "$@"', sys.executable, INSIDE,
                 str(Path(__file__).parent.parent), str(tmp_path / "archive")],
                cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert {via: status for via, (status, _) in ends.items()} == {
        "move": "failure",
        "auto": "success",
        "get": "success",
    }
    assert "the archive could not send to 'LAPTOP'" in ends["move"][1]
    assert "C-GET" in ends["auto"][1]
    assert [len(list((tmp_path / via).rglob("*.dcm"))) for via in ends] == [0, 3, 3]
