"""Very many rows, while workers, the connection to the scheduler and the client itself are taken away.

DICOMOVER_CLUSTER=5000 python -m pytest -s -n 0 tests/cluster/test_taken_away.py
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster_kit import archive, cluster, files_of, kill_worker, needs_dask
from dicomover import Node
from dicomover.cluster.messages import LEASE
from peers import free_ports

ROWS = int(os.environ.get("DICOMOVER_CLUSTER", "0"))
EVERY = 3.0  # seconds from one killed worker to the next

_CLIENT = """
import json, sys
from distributed import Client
from dicomover import Mover, Node, Place

scheduler, port, count, folder, places, told = json.loads(sys.argv[1])
with Client(scheduler) as client:
    mover = Mover(Node("127.0.0.1", port, ae_title="DEMO"), receive=folder, progress="none", retry="none")
    rows = [{"AccessionNumber": f"{n:05}"} for n in range(count)]
    summary = mover.move(rows, on=client, places=[Place(*place) for place in places], associations=len(places))
    summary.to_json(told)
"""


class Wire:
    """A way to the scheduler that can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        self._to = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Cut all that goes over it; what is asked for later goes again."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(0.2)
        for end in ends:
            end.close()

    def close(self) -> None:
        """Cut it for good."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.cut()


def begin(wire: Wire, node: Node, folder: Path, places: list[tuple[str, int]], told: Path) -> subprocess.Popen[bytes]:
    """Begin the batch in a process of its own, which writes its summary at the end."""
    given = json.dumps([wire.address, node.port, ROWS, str(folder), places, str(told)])
    return subprocess.Popen([sys.executable, "-c", _CLIENT, given])


@needs_dask
@pytest.mark.skipif(not ROWS, reason="DICOMOVER_CLUSTER says how many rows")
@pytest.mark.timeout(0)
def test_everything_is_taken_away(tmp_path: Path) -> None:
    """Every row comes true, each file is there once, and no place and no half file is left behind."""
    places = [(f"MOVER{number}", port) for number, port in enumerate(free_ports(4), 1)]
    folder, told, killed = tmp_path / "images", tmp_path / "summary.json", 0
    with contextlib.ExitStack() as stack:
        node, client = stack.enter_context(archive(dict(places), ROWS)), stack.enter_context(cluster(4))
        wire = stack.enter_context(contextlib.closing(Wire(client.scheduler.address)))
        for run in range(2):
            process = begin(wire, node, folder, places, told)
            share, done = ROWS * 4 // 3, False
            while process.poll() is None:
                time.sleep(EVERY)
                if files_of(folder):
                    killed += kill_worker(client, killed, least=3)
                if not done and len(files_of(folder)) > share * (1 + 2 * run):
                    done = True
                    if run == 0:
                        process.send_signal(signal.SIGKILL)
                    else:
                        wire.cut()
            assert process.wait() == (-signal.SIGKILL if run == 0 else 0)
        left = LEASE
        while left > 0 and any(_is_open(port) for _, port in places):
            time.sleep(0.5)
            left -= 0.5
    summary: Any = pd.read_json(told, dtype={"status_code": "string"})
    print(f"{ROWS} rows, {killed} workers killed: {summary['status'].value_counts().to_dict()}")  # noqa: T201
    assert set(summary["status"]) == {"success", "skipped"}, summary["error"].dropna().tolist()
    files = files_of(folder)
    assert len(files) == sum(3 + number % 4 for number in range(ROWS))
    assert max(Counter(files).values()) == 1
    assert not list(tmp_path.rglob("*.part"))
    assert killed > 3
    assert left > 0, "a place is still held"


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
