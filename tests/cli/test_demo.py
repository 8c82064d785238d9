"""The demo: its table is right row by row, and it leaves alone what was there."""

from __future__ import annotations

import signal
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import Process, Shell, wait_until
from dicomover import read_requests
from dicomover.cli.demo import ROWS, free_folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


def test_the_demo_works_in_an_empty_folder(run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of its table has the verdict that it is to show, and the files are where it says."""
    monkeypatch.chdir(tmp_path)
    ran = run("demo")
    assert ran.code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dicomover-demo"]
    folder = tmp_path / "dicomover-demo"
    summary = pd.read_csv(folder / "summary.csv", dtype={"AccessionNumber": str})
    assert dict(zip(summary["AccessionNumber"], summary["status"], strict=True)) == {
        "DEMO0007": "success",
        "00123": "success",
        "B2077": "success",
        "99999": "not-found",
        "C0815": "partial",
        "E0042": "empty",
        "D4711": "success",
    }
    assert summary.set_index("AccessionNumber")["matches"]["B2077"] == 2
    assert summary.set_index("AccessionNumber")["attempts"]["D4711"] == 2
    assert len(list((folder / "images").rglob("*.dcm"))) == summary["received"].sum() > 100
    assert list(read_requests(folder / "requests.csv")["AccessionNumber"]) == [row.accession for row in ROWS]
    assert "7 requests, 3 not complete" in (folder / "report.html").read_text(encoding="utf-8")
    assert max(map(len, ran.out.splitlines())) <= 100
    assert "as meant" not in ran.out
    assert ran.err.splitlines()[-1].count("not complete") == 1
    for word in (
        "dicomover-demo/images",
        "dicomover-demo/summary.csv",
        "dicomover-demo/report.html",
        "dicomover move -aet MOVESCU -od images --port 11112",
        *(r.shows for r in ROWS),
    ):
        assert word in ran.out


def test_the_demo_goes_beside_what_is_there(tmp_path: Path) -> None:
    """An earlier demo, or anything else, is not touched; an empty folder is taken."""
    (tmp_path / "demo").mkdir()
    assert free_folder(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo" / "mine").write_text("")
    assert free_folder(tmp_path / "demo") == tmp_path / "demo-2"
    (tmp_path / "demo-2").write_text("a file of that name")
    assert free_folder(tmp_path / "demo") == tmp_path / "demo-3"


def test_the_demo_archive_can_be_kept_and_moved_from(run: Shell, tmp_path: Path) -> None:
    """--keep leaves the archive running for the commands that are printed, until an interrupt."""
    output = tmp_path / "output"
    with output.open("w") as stdout:
        process = Process("demo", "--keep", "--output-dir", tmp_path / "here", stdout=stdout)
        wait_until(lambda: "runs on as" in output.read_text(), 60)
        node = output.read_text().partition("runs on as ")[2].partition(";")[0]
        assert run("move", "-aem", "WORKSTATION", "-k", "AccessionNumber=D4711", node).code == 0
        process.send(signal.SIGINT)
        assert process.wait().code == 0
    assert "The demo archive has ended." in output.read_text()
    assert (tmp_path / "here" / "summary.csv").is_file()


def test_an_interrupted_demo_reports(tmp_path: Path) -> None:
    """Ctrl-C during the move prints the table as far as it is known, exit code 130."""
    process = Process("demo", cwd=tmp_path)
    wait_until(lambda: list(tmp_path.rglob("*.dcm")), 60)
    process.send(signal.SIGINT)
    ran = process.wait()
    assert ran.code == 130
    assert "cancelled" in ran.out
    assert "Traceback" not in ran.err
