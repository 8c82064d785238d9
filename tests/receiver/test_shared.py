"""What the processes of one receiver have in common: places, a turn, and a way to give."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover.receiver.layout import Layout
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.shared import Shared, way_to_give

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes that inherit a socket")


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[int]:
    """Return the descriptor of an empty file."""
    with (tmp_path / "locks").open("w+b") as file:
        yield file.fileno()


def test_places_of_a_process_that_dies_are_free_again(locks: int) -> None:
    """What a killed process had taken need not be given back by anybody."""
    with socket.socket() as listener:
        shared = Shared(listener, locks, 2)
        code = (
            "import socket, sys; from dicomover.receiver.shared import Shared; "
            f"print(Shared(socket.socket(), {locks}, 2).take_place(), flush=True); sys.stdin.read()"
        )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([sys.executable, "-c", code], pass_fds=(locks,), **pipes) as other:  # type: ignore[call-overload]
            assert other.stdout.readline() == b"0\n"
            assert (shared.take_place(), shared.take_place()) == (1, None)
            other.kill()
        assert (shared.take_place(), shared.take_place()) == (0, None)
        shared.give_back(1)
        assert shared.take_place() == 1


def test_without_hard_links_the_turn_is_taken(tmp_path: Path, locks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links names are given one process at a time: nothing is overwritten."""

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    root = tmp_path / "root"
    root.mkdir()
    with socket.socket() as listener:
        turn = Shared(listener, locks, 1).filing
        filing = Filing(str(root), Layout("{SOPInstanceUID}.dcm"), turn=turn)
        for text in (b"one", b"two"):
            part, final = filing.begin({"SOPInstanceUID": "1.2"})
            part.write([text])
            filing.publish(part, final)
    assert sorted(path.name for path in root.iterdir()) == ["1.2.conflict-1.dcm", "1.2.dcm"]


def test_who_has_more_to_do_gives_way_longer() -> None:
    """A process without connections takes a new one at once; nobody waits for long."""
    ways = [way_to_give(count) for count in range(100)]
    assert ways[0] == 0
    assert ways == sorted(ways)
    assert ways[1] > 0
    assert ways[-1] <= 0.005
