"""The guards of every test: nobody is spoken to beyond this machine, and nothing of ours is left behind."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def programs_before_scripts(path: str) -> str:
    """Return PATH with folders last whose `movescu` is a script: pynetdicom brings some by the names of DCMTK's."""
    return os.pathsep.join(sorted(path.split(os.pathsep), key=_has_scripts_for_programs))


def _has_scripts_for_programs(folder: str) -> bool:
    try:
        with (Path(folder) / "movescu").open("rb") as program:
            return program.read(2) == b"#!"
    except OSError:
        return False


os.environ["PATH"] = programs_before_scripts(os.environ.get("PATH", os.defpath))

LEAK_SECONDS = 5.0
"""How long what a test has begun may take to end after it."""

_beyond: list[object] = []


def _is_here(sock: socket.socket, address: Any) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = str(address[0])
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    return host == "localhost"


@pytest.fixture(scope="session", autouse=True)
def no_profiles_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no test, and no program that one starts, read or write the profiles of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("config")
        patch.delenv("DICOMOVER_CONFIG", raising=False)
        patch.setenv("XDG_CONFIG_HOME", str(home))
        if sys.platform in ("darwin", "win32"):  # which know no such variable
            patch.setattr("dicomover.profiles.files.user_file", lambda: home / "dicomover" / "nodes.toml")
        yield


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Let no test connect beyond loopback."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(sock: socket.socket, address: Any) -> None:
        _check(sock, address)
        return connect(sock, address)

    def guarded_ex(sock: socket.socket, address: Any) -> int:
        _check(sock, address)
        return connect_ex(sock, address)

    def _check(sock: socket.socket, address: Any) -> None:
        if not _is_here(sock, address):
            _beyond.append(address)
            raise AssertionError(f"a test connects to {address!r}, beyond this machine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        patch.setattr(socket.socket, "connect_ex", guarded_ex)
        yield


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.daemon}


def _children() -> set[int]:
    """Return the process ids of the children of this process that still run; none where the system does not tell."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in path.read_text().split())
    return {pid for pid in found if not _is_helper(pid)}


def _is_helper(pid: int) -> bool:
    """Tell whether a process is one that Python keeps for itself, or has ended and only waits to be asked."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
    return not command or b"resource_tracker" in command or b"forkserver" in command


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which a thread that is no daemon, or a child process, goes on; or that reached too far."""
    threads, children = _threads(), _children()
    _beyond.clear()
    yield
    limit = time.monotonic() + LEAK_SECONDS
    while (left := (_threads() - threads) | (_children() - children)) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not left, f"left behind in process {os.getpid()}: {left}"
    assert not _beyond, f"connections beyond this machine were tried: {_beyond}"
