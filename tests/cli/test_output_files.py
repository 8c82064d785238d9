"""Tables and pages that go into files: what is in them, and what is said where they cannot be written."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import MINIMAL, Shell, peer, to_workstation
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


def test_json_has_the_records_on_stdout_and_all_else_on_stderr(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """What a program reads is not mixed with what a person reads."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber,split\n00123,train\nabsent,test\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--json", *peer(pacs))
    records = json.loads(ran.out)
    assert [(r["AccessionNumber"], r["split"], r["status"], r["completed"]) for r in records] == [
        ("00123", "train", "success", 4),
        ("absent", "test", "not-found", None),
    ]
    assert ran.code == 1
    assert ran.err.startswith("Move Summary")


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_summary_goes_into_a_file(run: Shell, pacs: DemoPacs, tmp_path: Path, suffix: str) -> None:
    """--summary writes all columns, and leaves no half file behind."""
    path = tmp_path / f"done.{suffix}"
    path.write_text("old")
    ran = to_workstation(run, pacs, "--summary", path)
    assert ran.code == 0
    table = pd.read_csv(path, dtype=str) if suffix == "csv" else pd.DataFrame(json.loads(path.read_text()))
    assert list(table["AccessionNumber"]) == ["00123"]
    assert list(table["status"]) == ["success"]
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_the_summary_goes_into_a_parquet_file(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--summary done.parquet keeps the dtypes, where pyarrow is installed."""
    pytest.importorskip("pyarrow")
    assert to_workstation(run, pacs, "--summary", tmp_path / "done.parquet").code == 0
    assert pd.read_parquet(tmp_path / "done.parquet")["completed"].dtype == "Int64"


def test_a_summary_that_cannot_be_written_is_not_a_success(
    run: Shell, pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the end is said, the summary is printed all the same, and the exit code is not 0."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    ran = to_workstation(run, pacs, "--summary", tmp_path / "done.csv")
    assert ran.code == 1
    assert "done.csv could not be written: No space left on device" in ran.err
    assert "Result       success" in ran.out


def test_find_gives_records_and_files(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--json prints records, --output writes all columns; bare keywords ask for more of them."""
    args = ["-k", "AccessionNumber=00123", "-k", "SOPClassesInStudy", "-k", "0008,0061=", *peer(pacs)]
    ran = run("find", "--json", "--output", tmp_path / "found.csv", *args)
    (record,) = json.loads(ran.out)
    assert record["SOPClassesInStudy"] == "1.2.840.10008.5.1.4.1.1.2"
    assert record["ModalitiesInStudy"] == "CT"
    assert pd.read_csv(tmp_path / "found.csv", dtype=str)["AccessionNumber"].tolist() == ["00123"]


def test_a_parquet_summary_needs_pyarrow_before_anything_is_sent(
    run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lack is said at the start, not after a night."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find_spec(name))
    ran = run("move", "-aem", "X", "--summary", tmp_path / "x.parquet", *MINIMAL)
    assert ran.code == 2
    assert "pip install 'dicomover[parquet]'" in ran.err


def test_the_summary_does_not_overwrite_the_batch(run: Shell, tmp_path: Path) -> None:
    """--csv and --summary cannot be the same file."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n1\n")
    ran = run("move", "-aem", "X", "--csv", table, "--summary", tmp_path / "." / "cohort.csv", "host", 104)
    assert ran.code == 2
    assert "the requests come from" in ran.err
    assert table.read_text() == "AccessionNumber\n1\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
@pytest.mark.parametrize(("option", "name"), [("--summary", "x.csv"), ("--report", "x.html")])
def test_a_pipe_is_no_place_for_a_file(run: Shell, tmp_path: Path, option: str, name: str) -> None:
    """It is said at the start, and the pipe is neither waited for nor replaced."""
    os.mkfifo(tmp_path / name)
    ran = run("move", "-aem", "X", option, tmp_path / name, *MINIMAL)
    assert ran.code == 2
    assert "is no file but a pipe or a device" in ran.err
    assert (tmp_path / name).is_fifo()


def test_a_report_is_written(run: Shell, tmp_path: Path) -> None:
    """--report writes the page to send on, without patient data, and leaves the exit code alone."""
    page = tmp_path / "page.html"
    with DemoPacs([made_study("00123")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=00123", "--report", page, *peer(pacs))
        assert ran.code == 0
        assert str(pacs.node) in page.read_text()
    assert "1 request, complete" in page.read_text()
    assert "00123" not in page.read_text()


@pytest.mark.parametrize(
    ("name", "why"),
    [("page.pdf", "name a .html file"), ("missing/page.html", "make it first"), ("folder.html", "is a folder")],
)
def test_a_report_that_cannot_be_written_is_said_first(run: Shell, tmp_path: Path, name: str, why: str) -> None:
    """What is in the way of the page is said before anything is sent."""
    (tmp_path / "folder.html").mkdir()
    with DemoPacs([made_study("1")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=1", "--report", tmp_path / name, *peer(pacs))
        assert not pacs.requests
    assert ran.code == 2
    assert "--report" in ran.err
    assert why in ran.err
