"""Which Python the receiver's own process runs in, where Python is part of another program."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover import ConfigurationError, Mover, ReceiverError
from dicomover.processes.interpreter import find_interpreter
from dicomover.receiver.engine.threads import ThreadEngine
from dicomover.testing import DemoPacs, made_study


@pytest.fixture(autouse=True)
def nothing_named() -> Iterator[None]:
    """Leave to multiprocessing what it starts."""
    before = multiprocessing.spawn.get_executable()
    yield
    multiprocessing.set_executable(before)


@pytest.mark.parametrize(
    ("executable", "found"),
    [
        ("/usr/bin/python3.13", True),
        ("/opt/pypy/bin/pypy3", True),
        ("/opt/Slicer/bin/PythonSlicer", True),
        ("/opt/Slicer/bin/SlicerApp-real", False),
        ("/usr/bin/qgis-bin.exe", False),
        ("/opt/xeus/bin/xpython", False),
        ("", False),
        (None, False),
    ],
)
def test_a_host_program_is_not_started(monkeypatch: pytest.MonkeyPatch, executable: str | None, found: bool) -> None:
    """A Python is known by its name; the program that embeds one is none, nor is a frozen one."""
    multiprocessing.set_executable(sys.executable)
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "_base_executable", sys.executable, raising=False)
    monkeypatch.delitem(sys.modules, "multiprocessing.spawn")
    assert find_interpreter() == (executable if found else None)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert find_interpreter() is None


def test_what_multiprocessing_was_told_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a Python to multiprocessing has named it to us, whatever its name is."""
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/opt/viewer/viewer")
    multiprocessing.set_executable(python)
    assert find_interpreter() == python


def test_in_a_host_program_we_receive_on_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is started there, and everything arrives; several processes are an error that names the setting."""
    multiprocessing.set_executable("/opt/viewer/viewer")
    monkeypatch.setattr(sys, "executable", "/opt/viewer/viewer")
    monkeypatch.setattr(sys, "_base_executable", "/opt/viewer/viewer", raising=False)
    caplog.set_level("INFO", "dicomover.receiver")
    with (
        DemoPacs([made_study("00123")]) as pacs,
        Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover,
    ):
        pacs.destinations["MOVESCU"] = mover.port
        assert isinstance(mover._receiver._engine, ThreadEngine)  # type: ignore[union-attr]
        assert mover.move({"AccessionNumber": "00123"}).status.tolist() == ["success"]
        assert "multiprocessing.set_executable(path)" in caplog.text
        with pytest.raises(ConfigurationError, match=r"workers=2.*multiprocessing\.set_executable\(path\)"):
            Mover(pacs.node, receive=tmp_path, port=0, workers=2)


@pytest.mark.parametrize("named", ["/no/such/python", "/bin/false"])
def test_a_python_that_does_not_start(tmp_path: Path, named: str) -> None:
    """What was named and is no Python is an error that says which setting names another one."""
    multiprocessing.set_executable(named)
    with (
        DemoPacs([made_study("00123")]) as pacs,
        pytest.raises(ReceiverError, match=r"multiprocessing\.set_executable\(path\)"),
    ):
        Mover(pacs.node, receive=tmp_path, port=0, progress="none").open()
