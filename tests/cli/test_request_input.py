"""What a command is given to ask for: a batch from a CSV, what was written before, and what is wrong with either."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import Shell, peer
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from requests_kit import needs


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


def test_a_batch_without_rows_moved_nothing(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A CSV of a header only is not a success."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert (ran.code, "Requests     0" in ran.out) == (2, True)


def test_bad_rows_stop_a_batch_unless_they_are_to_be_recorded(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--invalid record moves the other rows and names the bad one."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\n1e5\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert (ran.code, ran.out) == (2, "")
    assert "row 1 (line 3 of cohort.csv), AccessionNumber: '9a9' looks like a number" in ran.err
    assert not pacs.requests
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--invalid", "record", *peer(pacs))
    assert ran.code == 1
    assert "1 success, 1 invalid" in ran.out


def test_a_summary_can_be_moved_again(run: Shell, tmp_path: Path) -> None:
    """The file that --summary wrote is a batch for --csv: the night can be gone on with."""
    first, second = tmp_path / "cohort.csv", tmp_path / "done.csv"
    first.write_text("AccessionNumber,split\n00123,train\n")
    lost = Misbehaviour("abort", after=1, times=1)
    with DemoPacs([made_study("00123")], misbehave={"00123": lost}) as pacs:
        once = ("--retry", "none")
        assert run("move", "-aem", "WORKSTATION", "--csv", first, "--summary", second, *once, *peer(pacs)).code == 1
        assert run("move", "-aem", "WORKSTATION", "--csv", second, *peer(pacs)).code == 0


def test_what_was_written_can_be_moved_though_it_has_gaps(run: Shell, tmp_path: Path) -> None:
    """A plan with a row that was not found, and studies without an accession number, are batches for --csv."""
    cohort, plan, found = tmp_path / "cohort.csv", tmp_path / "plan.csv", tmp_path / "found.csv"
    cohort.write_text("AccessionNumber\n00123\nabsent\n")
    with DemoPacs([made_study("00123"), made_study("", patient="P1")]) as pacs:
        run("plan", "--csv", cohort, "--output", plan, *peer(pacs))
        run("find", "-k", "PatientID", "--output", found, *peer(pacs))
        assert "1 success, 1 not-found" in run("move", "-aem", "WORKSTATION", "--csv", plan, *peer(pacs)).out
        assert "2 success" in run("move", "-aem", "WORKSTATION", "--csv", found, *peer(pacs)).out


def test_a_workbook_is_a_batch(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """--csv takes an Excel workbook as it takes a CSV: a gap beside another key, a number refused with its row."""
    book = needs("openpyxl").Workbook()
    for row in (["AccessionNumber", "StudyInstanceUID", "age"], ["00123", None, 67], [None, "", None]):
        book.active.append(row)
    book.active["B3"] = pacs.study("00124").study_instance_uid
    book.save(tmp_path / "cohort.xlsx")
    ran = run("move", "-aem", "WORKSTATION", "--csv", tmp_path / "cohort.xlsx", *peer(pacs))
    assert "2 success" in ran.out
    book.active["A2"] = 123
    book.save(tmp_path / "cohort.xlsx")
    ran = run("move", "-aem", "WORKSTATION", "--csv", tmp_path / "cohort.xlsx", *peer(pacs))
    assert ran.code == 2
    assert "row 2 of cohort.xlsx" in ran.err
    assert "leading zeros" in ran.err


@pytest.mark.parametrize("row", ["P1,", ",", '"",""'])
def test_an_empty_cell_does_not_widen_a_request(run: Shell, pacs: DemoPacs, tmp_path: Path, row: str) -> None:
    """A patient without the accession number that was meant is an error, not all studies of the patient."""
    table = tmp_path / "cohort.csv"
    table.write_text(f"PatientID,AccessionNumber\n{row}\n")
    ran = run("move", "-aem", "WORKSTATION", "--csv", table, *peer(pacs))
    assert ran.code == 2
    assert not pacs.requests


def test_a_batch_of_patients_and_dates(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A column that is a key by its name asks for a range of dates; an empty UID beside it is a gap."""
    table, plan = tmp_path / "cohort.csv", tmp_path / "plan.csv"
    patient = pacs.study("00123").patient_id
    table.write_text(f"PatientID,key:StudyDate\n{patient},20230101-20241231\n{patient},19990101-19991231\n")
    run("plan", "--csv", table, "--output", plan, *peer(pacs))
    assert pd.read_csv(plan, dtype=str)["decision"].tolist() == ["move", "not-found"]
    again = run("plan", "--json", "--csv", plan, *peer(pacs))
    assert [row["decision"] for row in json.loads(again.out)] == ["move", "not-found"], again.err


def test_a_long_accession_number_is_a_warning(run: Shell) -> None:
    """What will be sent although it looks odd is said in one line; -q takes it away."""
    args = ["plan", "-k", f"AccessionNumber={'1' * 20}"]
    with DemoPacs([]) as pacs:
        ran = run(*args, *peer(pacs))
        assert ran.err.startswith("Warning: ")
        assert "16" in ran.err
        assert run(*args, "-q", *peer(pacs)).err == ""


def test_a_batch_without_rows_says_so(run: Shell, tmp_path: Path) -> None:
    """A CSV of a header only has no requests, whatever is done with it."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n")
    with DemoPacs([]) as pacs:
        for command in (["move", "-aem", "X"], ["plan"], ["lock", "-o", tmp_path / "c.json"]):
            ran = run(*command, "--csv", table, *peer(pacs))
            assert ran.code == 2
            assert "the batch has no requests" in ran.out


def test_columns_that_ours_replace_are_named_once(run: Shell, tmp_path: Path) -> None:
    """A column of the same name is a warning, unless the table is one of ours."""
    table, done, plan = tmp_path / "cohort.csv", tmp_path / "done.csv", tmp_path / "plan.csv"
    table.write_text("AccessionNumber,status,error,site\n1,todo,,A\n")
    with DemoPacs([made_study("1")]) as pacs:
        ran = run("move", "-aem", "WORKSTATION", "--csv", table, "--summary", done, *peer(pacs))
        assert ran.code == 0
        assert ran.err.count("has columns status, error; in the table that comes out ours takes its place") == 1
        assert run("move", "-aem", "WORKSTATION", "--csv", done, *peer(pacs)).err == ""
        assert "has a column error" in run("plan", "--csv", table, "--output", plan, *peer(pacs)).err
        assert run("plan", "--csv", plan, *peer(pacs)).err == ""
        assert run("move", "-aem", "WORKSTATION", "--csv", plan, *peer(pacs)).err == ""
