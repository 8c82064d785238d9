"""A Dask cluster on this machine, and an archive in a process of its own, for the tests of places."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomover import Node
from dicomover.cluster import hosting
from dicomover.cluster.messages import host
from dicomover.cluster.workers import Silent, read

_ARCHIVE = """
import json, sys
from dicomover.testing import DemoPacs, made_study
ports, studies, options = json.loads(sys.argv[1])
with DemoPacs([made_study(f"{n:05}", instances=3 + n % 4) for n in range(studies)], **options) as pacs:
    pacs.destinations.update(ports)
    print(pacs.node.port, flush=True)
    sys.stdin.read()
"""

try:
    import distributed
except ImportError:
    if os.environ.get("CI"):
        raise
    distributed = None

needs_dask = pytest.mark.skipif(distributed is None, reason="Dask is not installed: pip install distributed")


@contextlib.contextmanager
def archive(ports: dict[str, int], studies: int = 12, **options: Any) -> Iterator[Node]:
    """Run an archive that knows these destinations, with studies 00000, 00001, ... of 3 to 6 images."""
    told = json.dumps([ports, studies, options])
    command = [sys.executable, "-c", _ARCHIVE, told]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Node("127.0.0.1", int(process.stdout.readline()), ae_title="DEMO")
        finally:
            process.stdin.close()
            process.wait(20)


@contextlib.contextmanager
def cluster(workers: int = 2, **options: Any) -> Iterator[Any]:
    """Run workers in processes of their own, and lend a client of them."""
    usual = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "protocol": "tcp"}
    options = {**usual, **options}
    with distributed.LocalCluster(n_workers=workers, **options) as local, distributed.Client(local) as client:
        yield client


def kill_worker(client: Any, turn: int, least: int = 2) -> bool:
    """Kill a worker by SIGKILL, if there are so many."""
    pids = sorted(client.run(os.getpid, on_error="ignore").values())
    if len(pids) < least:
        return False
    os.kill(pids[turn % len(pids)], signal.SIGKILL)
    return True


def files_of(folder: Path) -> list[str]:
    """Return the names of the images in a folder."""
    return sorted(path.name for path in folder.rglob("*.dcm"))


class WorkersHere:
    """Workers of this process, without Dask; each of them can be killed, or be silent for a while."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses or ("w1", "w2"))
        self.silent: set[str] = set()
        self.is_closed = False
        self.asked: list[tuple[str, str]] = []
        self._tokens: dict[str, str] = {}
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def list_all(self) -> list[str]:
        """Return those that were not killed."""
        return list(self.addresses)

    def list_at(self, place_host: str | None) -> list[str]:
        """Return those whose address begins so."""
        return [each for each in self.addresses if each.startswith(place_host or "")]

    def has(self, address: str) -> bool:
        """Tell whether one was not killed."""
        return address in self.addresses

    def ask(self, address: str, what: str, *arguments: Any, seconds: float = 15.0) -> Any:
        """Ask as `Workers` does."""
        answer = self.ask_all([address], what, *arguments, seconds=seconds)[address]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask_all(self, addresses: list[str], what: str, *arguments: Any, seconds: float = 15.0) -> dict[str, Any]:
        """Ask several."""
        return {address: self._ask(address, what, arguments, seconds) for address in addresses}

    def _ask(self, address: str, what: str, arguments: tuple[Any, ...], seconds: float) -> Any:
        self.asked.append((address, what))
        if address in self.silent or address not in self.addresses:
            time.sleep(0.05)
            return Silent("no answer")
        if what == "lease":
            self._tokens[arguments[0]] = address
        answer = asyncio.run_coroutine_threadsafe(host(what, *arguments), self.loop).result(seconds)
        return read(answer)

    def submit(self, function: Any, series: Any, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Run it at once, and return also what was said of where."""
        return function(series), how

    def kill(self, address: str) -> None:
        """Kill one, as SIGKILL does: its receivers end, and what they have told and nobody has heard is gone."""
        self.addresses.remove(address)
        for token, at in self._tokens.items():
            if at == address and (leased := hosting._hosts.pop(token, None)) is not None:
                leased._over = True
                if leased.receiver is not None:
                    leased.receiver.kill()

    def close(self) -> None:
        """Give all back."""
        for token in self._tokens:
            asyncio.run_coroutine_threadsafe(host("release", token), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
