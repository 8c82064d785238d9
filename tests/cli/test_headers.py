"""`dicomover index`: the headers of files as a table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import Shell
from images_kit import make_slice, save


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


def test_series_are_printed_and_images_written(run: Shell, tmp_path: Path) -> None:
    """Each series has a line that names no patient; the file has a row for each image, with what was asked for."""
    save(tmp_path / "here", (make_slice(n, (0, 0, 2.5 * n)) for n in range(4)))
    file = tmp_path / "images.csv"
    ran = run("index", tmp_path / "here", "--level", "image", "--keep", "HighBit", "--output", file)
    assert ran.code == 0, ran.err
    head, line = ran.out.splitlines()
    assert head.split() == ["Modality", "files", "slices", "spacing", "is_volume", "irregular"]
    assert line.split() == ["CT", "4", "4", "2.5", "True", "-"]
    assert "4 images in 1 series" in ran.err
    assert "P-0042" not in ran.out + ran.err
    written = pd.read_csv(file)
    assert (written["HighBit"].tolist(), written["PatientID"].unique().tolist()) == ([11] * 4, ["P-0042"])


def test_what_cannot_be_read_is_counted(run: Shell, tmp_path: Path) -> None:
    """A broken file is told as a number, and the records say why; no cache is left where none is wanted."""
    save(tmp_path, [make_slice(1, (0, 0, 0))])
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 400)
    ran = run("index", tmp_path, "--level", "IMAGE", "--no-cache", "--json")
    assert "1 file cannot be read" in ran.err
    assert [row["error"] is None for row in json.loads(ran.out)] == [True, False]
    assert len(list(tmp_path.iterdir())) == 2


def test_no_images_and_no_folder(run: Shell, tmp_path: Path) -> None:
    """An empty folder ends with 1, one that is not there and a key that is none with 2 and a sentence."""
    assert run("index", tmp_path, "--no-cache").code == 1
    missing = run("index", tmp_path / "nowhere")
    assert missing.code == 2
    assert "nowhere" in missing.err
    assert run("index", tmp_path, "--keep", "Rosw").code == 2
