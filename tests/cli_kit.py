"""What the tests of the command line share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from dicomover.cli import main
from dicomover.testing import DemoPacs


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Shell:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: object) -> Ran:
        """Run `dicomover args` and return its exit code and its two outputs."""
        self._capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Ran(code, *self._capsys.readouterr())


class Process:
    """A `dicomover` of its own, to send signals to."""

    def __init__(self, *args: object, cwd: Path | None = None, stdout: IO[str] | int = subprocess.PIPE) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dicomover", *map(str, args)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 30) -> Ran:
        """Wait for its end."""
        try:
            out, err = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
            pytest.fail(f"the command did not end: {out}{err}")
        return Ran(self._process.returncode, out, err)


def wait_until(condition: object, seconds: float = 20) -> None:
    """Wait until a callable returns something true."""
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass in time"
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peer(pacs: DemoPacs) -> list[object]:
    """Return what names an archive on the command line."""
    return ["-aec", pacs.node.ae_title, pacs.node.host, pacs.node.port]


def to_workstation(run: Shell, pacs: DemoPacs, *more: object) -> Ran:
    """Move study 00123 to the workstation."""
    return run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", *more, *peer(pacs))


MINIMAL = ["-k", "PatientID=1", "host", "104"]
