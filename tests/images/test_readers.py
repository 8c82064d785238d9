"""The headers of many files, by one process or several."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from dicomover.images import readers
from dicomover.images.readers import NO_DICOM, read_headers
from images_kit import make_slice, save


def columns_of(root: Path, paths: list[str], names: list[str]) -> list[list[str | None]]:
    """Return what is read of files as whole columns."""
    parts = list(read_headers(str(root), paths, names))
    return [[text for part in parts for text in part[column]] for column in range(len(names) + 3)]


@pytest.mark.parametrize("worth", [1, 10_000])
def test_several_processes_read_what_one_reads(worth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns have the files' order, however many read them; names that are no UTF-8 come through."""
    save(tmp_path, (make_slice(n, (0, 0, n)) for n in range(8)))
    (tmp_path / "note").write_text("no image")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "007.dcm").rename(tmp_path / "na\udce9me.dcm")
    paths = [*(f"{n:03d}.dcm" for n in range(7)), "note", "gone", "na\udce9me.dcm"]
    monkeypatch.setattr(readers, "_CHUNK", 3)
    monkeypatch.setattr(readers, "_WORTH", worth)
    syntaxes, errors, lacking, numbers = columns_of(tmp_path, paths, ["InstanceNumber"])
    assert numbers == [*map(str, range(7)), None, None, "7"]
    assert errors[:7] == [None] * 7
    assert errors[7] == NO_DICOM
    assert lacking == [None] * 10
    assert "cannot be opened" in str(errors[8])
    assert syntaxes[0] == "1.2.840.10008.1.2.1"


def test_nothing_to_read(tmp_path: Path) -> None:
    """No files make empty columns."""
    assert columns_of(tmp_path, [], ["Rows", "Columns"]) == [[], [], [], [], []]


def test_what_a_child_does_not_answer_is_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does not start, or dies, costs nothing but its help; and none is started in a host program."""
    save(tmp_path, (make_slice(n, (0, 0, n)) for n in range(8)))
    paths = [f"{n:03d}.dcm" for n in range(8)]
    monkeypatch.setattr(readers, "_CHUNK", 3)
    monkeypatch.setattr(readers, "_WORTH", 1)
    for command in ([sys.executable, "-c", "raise SystemExit"], ["/no/such/python"]):
        monkeypatch.setattr(readers, "python_command", lambda _, command=command: command)
        assert columns_of(tmp_path, paths, ["InstanceNumber"])[3] == [*map(str, range(8))]
    monkeypatch.setattr(readers, "find_interpreter", lambda: None)
    monkeypatch.setattr(readers, "python_command", lambda _: pytest.fail("it is a host program"))
    assert columns_of(tmp_path, paths, ["InstanceNumber"])[3] == [*map(str, range(8))]


def test_who_stops_early_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that is given up, by an interrupt say, ends its children soon, and no more is read ahead than fits."""
    save(tmp_path, (make_slice(n, (0, 0, n)) for n in range(2)))
    monkeypatch.setattr(readers, "_CHUNK", 1)
    monkeypatch.setattr(readers, "_WORTH", 1)
    monkeypatch.setattr(readers, "_AHEAD", 2)
    found = read_headers(str(tmp_path), ["000.dcm", "001.dcm"] * 500, ["InstanceNumber"])
    assert next(found)[3] == ["0"]
    begun = time.monotonic()
    found.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 20
    assert not [thread for thread in threading.enumerate() if "dicomover headers" in thread.name]
