"""The guards guard."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import guards
import peers
from dicomover.profiles import files


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("pacs.invalid", 104), ("2001:db8::1", 9)])
def test_nobody_is_spoken_to_beyond_this_machine(address: tuple[str, int]) -> None:
    """A connection beyond loopback is an error before a packet is sent, and is remembered."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        for connect in (sock.connect, sock.connect_ex):
            with pytest.raises(AssertionError, match="beyond this machine"):
                connect(address)
    assert guards._beyond == [address, address]
    guards._beyond.clear()


def test_what_is_left_behind_is_seen() -> None:
    """A child process and a thread that is no daemon are seen while they go on, and not afterwards."""
    threads, children = guards._threads(), guards._children()
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        peers.wait_until(lambda: sys.platform != "linux" or guards._children() - children == {process.pid})
        assert guards._threads() - threads == {thread}
    finally:
        ended.set()
        thread.join()
        process.communicate(b"\n", timeout=10)
    assert guards._threads() == threads
    assert guards._children() == children


def test_nobody_reads_the_profiles_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Here and in a program that a test starts, they are looked for where no test has written any."""
    code = "from dicomover.profiles.files import list_files; print(list_files()[0])"
    ours = Path(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    assert files.list_files()[0].is_relative_to(tmp_path_factory.getbasetemp())
    assert sys.platform != "linux" or ours == files.list_files()[0]


def test_a_missing_peer_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not installed skips a test, but where CI is set it fails it."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed: no-such-program"):
        peers.need("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed: no-such-program"):
        peers.need("no-such-program")


def test_programs_are_found_before_scripts_of_their_names(tmp_path: Path) -> None:
    """A folder in which pynetdicom has left its `movescu` comes last in PATH; the others keep their order."""
    folders = [tmp_path / name for name in ("scripts", "programs", "nothing")]
    for folder, content in zip(folders, (b"#!/usr/bin/python\n", b"\x7fELF", None), strict=True):
        folder.mkdir()
        if content:
            (folder / "movescu").write_bytes(content)
    path = guards.programs_before_scripts(os.pathsep.join(map(str, folders)))
    assert [Path(folder).name for folder in path.split(os.pathsep)] == ["programs", "nothing", "scripts"]
