"""`dicomover files`: what is here of what was moved, without a word to the archive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import Process, Shell, free_port, peer
from dicomover.testing import DemoPacs, made_study

STUDIES = (
    made_study("A-17", series=2, instances=2, patient="P-SECRET"),
    made_study("B-17", instances=1, patient="Q-1"),
)
HIDDEN = ("P-SECRET", "Q-1", "A-17", "B-17")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive of two studies."""
    with DemoPacs(STUDIES) as running:
        yield running


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Write a batch with an accession number that nobody has."""
    path = tmp_path / "cohort.csv"
    path.write_text("AccessionNumber,split\nA-17,train\nB-17,test\n4711,test\n")
    return path


@pytest.fixture
def folder(run: Shell, pacs: DemoPacs, csv: Path, tmp_path: Path) -> Path:
    """Move the batch, and end the archive."""
    port = pacs.destinations["MOVESCU"] = free_port()
    ran = run("move", "--csv", csv, "-od", tmp_path / "in", "--port", port, "-q", *peer(pacs))
    assert ran.code == 1, ran.err
    pacs.close()
    return tmp_path / "in"


def test_all_that_is_here_needs_no_archive(run: Shell, folder: Path) -> None:
    """A line for each series and its UID below, 80 columns at most, and nothing of a patient."""
    ran = run("files", "-od", folder)
    assert ran.code == 0, ran.err
    head, *lines = ran.out.splitlines()
    assert head.split() == ["images", "size", "arrived", "intact"]
    uids = {series.series_instance_uid for study in STUDIES for series in study.series}
    assert {line.strip() for line in lines[1::2]} == uids
    assert sorted((line.split()[0], line.split()[-1]) for line in lines[::2]) == [
        ("1", "yes"),
        ("2", "yes"),
        ("2", "yes"),
    ]
    assert max(map(len, [head, *lines])) <= 80
    assert Process("files", "-od", folder).wait() == ran, "after a restart too"
    assert ran.err.startswith(f"{folder}: 5 images in 3 series (")
    assert "from every archive" in ran.err
    assert not [text for text in HIDDEN if text in ran.out + ran.err.replace(str(folder), "")]


def test_what_is_here_of_each_row_of_a_batch(
    run: Shell, pacs: DemoPacs, csv: Path, folder: Path, tmp_path: Path
) -> None:
    """The file has a row for each image with what rides along, and its checksum; the row is named on the screen."""
    output = tmp_path / "files.csv"
    ran = run("files", "-od", folder, "--csv", csv, "--checksums", "--output", output, *peer(pacs))
    assert ran.code == 0, ran.err
    assert "5 images in 3 series" in ran.err
    assert "of 2 of 3 requests" in ran.err
    head, *lines = ran.out.splitlines()
    assert head.split()[:2] == ["row", "images"]
    assert [line.split()[0] for line in lines[::2]] == ["0", "0", "1"]
    assert not [text for text in HIDDEN if text in ran.out + ran.err]
    files = pd.read_csv(output, dtype=str)
    assert files.groupby("request")["split"].agg(list).to_dict() == {"0": ["train"] * 4, "1": ["test"]}
    assert all(Path(path).exists() for path in files["path"])
    assert files["sha256"].str.len().eq(64).all()
    ran = run("files", "-od", folder, "--csv", csv, "--show-keys", *peer(pacs))
    assert "P-SECRET" in ran.out, "--show-keys shows the folders"


def test_series_and_keys(run: Shell, pacs: DemoPacs, folder: Path) -> None:
    """At level SERIES a record is a series; keys make one request, and -q leaves the table alone."""
    ran = run("files", "-od", folder, "--level", "series", "--json", "-q", "-k", "AccessionNumber=A-17", *peer(pacs))
    assert (ran.code, ran.err) == (0, "")
    assert [(row["images"], row["intact"]) for row in json.loads(ran.out)] == [(2, True), (2, True)]
    ran = run("files", "-od", folder, "-L", "PATIENT", "-k", "PatientID=Q-1", *peer(pacs))
    assert f"{folder}: 1 image in 1 series" in ran.err
    odd = run("files", "-od", folder, "--level", "SERIES", "-k", "StudyInstanceUID=1.02.3", *peer(pacs))
    assert (odd.code, odd.err.count("Warning")) == (1, 1)
    elsewhere = run("files", "-od", folder, "-k", "AccessionNumber=A-17", "OTHER@127.0.0.1:104")
    assert (elsewhere.code, elsewhere.out) == (1, "")


def test_a_lockfile_names_its_archive(run: Shell, tmp_path: Path) -> None:
    """What was locked is listed without naming the archive once more."""
    lockfile, port = tmp_path / "c.lock.json", free_port()
    with DemoPacs(STUDIES) as pacs:
        pacs.destinations["MOVESCU"] = port
        assert run("lock", "-k", "AccessionNumber=A-17", "-o", lockfile, *peer(pacs)).code == 0
        move = ["move", "--lock", lockfile, "-od", tmp_path / "in", "--port", port, "-q"]
        assert run(*move, *peer(pacs)).code == 0
    ran = run("files", "--lock", lockfile, "-od", tmp_path / "in")
    assert ran.code == 0, ran.err
    assert "4 images in 2 series" in ran.err


def test_a_changed_file_is_told(run: Shell, folder: Path) -> None:
    """What is gone is not listed, what has changed is not as it came."""
    gone, changed, *_ = sorted(folder.rglob("*.dcm"))
    gone.unlink()
    changed.write_bytes(b"DICM")
    ran = run("files", "-od", folder, "--json")
    assert sorted(row["intact"] for row in json.loads(ran.out)) == [False, True, True, True]
    assert "with 1 not as it came" in ran.err
    assert sum(line.endswith("no") for line in run("files", "-od", folder).out.splitlines()) == 1


def test_a_journal_elsewhere(run: Shell, folder: Path, tmp_path: Path) -> None:
    """--journal names it; without one nothing is known, which is said."""
    (folder / "journal.db").rename(tmp_path / "kept.db")
    assert run("files", "-od", folder, "--journal", tmp_path / "kept.db").code == 0
    ran = run("files", "-od", folder)
    assert (ran.code, ran.out) == (1, "")
    assert "journal.db, which a move fills, is not there" in ran.err
    assert not (folder / "journal.db").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-od", "nowhere"], "nowhere is not there"),
        (["-od", ".", "--journal", "none.db"], "none.db"),
        (["-od", ".", "-k", "AccessionNumber=A-17"], "PEER is missing"),
        (["-od", ".", "-k", "StudyInstanceUID=1.2.x", "A@h:104"], "no valid UID"),
        (["-od", ".", "--csv", "missing.csv", "A@h:104"], "missing.csv cannot be read"),
        (["-od", ".", "--level", "SERIES", "--checksums"], "leave out --level SERIES"),
        (["-od", ".", "--output", "files.xlsx"], "name a .csv, .json or .parquet file"),
        ([], "downloads is not there"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(
    run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str
) -> None:
    """It is a sentence, without the value of a key, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    ran = run("files", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.split())
    assert "A-17" not in ran.err
    assert not list(tmp_path.iterdir())
