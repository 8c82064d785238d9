"""The commands lock and verify, and move and plan with a lockfile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread

from cli_kit import Shell, free_port, peer
from cohort_kit import SECRET
from dicomover import Cohort
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive of two studies."""
    with DemoPacs([made_study("00123", instances=4, patient="P-1"), made_study("B", patient="P-2")]) as running:
        yield running


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Write a batch with an accession number that nobody has."""
    path = tmp_path / "cohort.csv"
    path.write_text("AccessionNumber,split\n00123,train\nB,test\n4711,test\n")
    return path


@pytest.fixture
def lockfile(run: Shell, pacs: DemoPacs, tmp_path: Path) -> Path:
    """Lock the two studies."""
    path = tmp_path / "cohort.lock.json"
    (tmp_path / "two.csv").write_text("AccessionNumber\n00123\nB\n")
    ran = run("lock", "--csv", tmp_path / "two.csv", "-o", path, *peer(pacs))
    assert (ran.code, ran.err) == (0, "")
    return path


def test_lock_writes_what_requests_come_to(run: Shell, pacs: DemoPacs, csv: Path, tmp_path: Path) -> None:
    """The lockfile is that of the library; what was not found makes the exit code 1."""
    path = tmp_path / "c.json"
    ran = run("lock", "--csv", csv, "-o", path, *peer(pacs))
    assert ran.code == 1
    cohort = Cohort.load(path)
    assert cohort.requests["state"].tolist() == ["found", "found", "not-found"]
    assert cohort.requests["split"].tolist() == ["train", "test", "test"]
    assert cohort.hash in ran.out
    assert "3: 2 found, 1 not-found" in ran.out
    assert "no study has these keys; check them" in ran.out
    assert run("lock", "-k", "AccessionNumber=00123", "-o", tmp_path / "d.json", *peer(pacs)).code == 0
    assert run("lock", "-k", "AccessionNumber=4711", "-o", tmp_path / "e.json", *peer(pacs)).code == 2


def test_lock_tells_machines(run: Shell, pacs: DemoPacs, csv: Path, tmp_path: Path) -> None:
    """With --json the requests go to stdout, and all else to stderr."""
    ran = run("lock", "--csv", csv, "-o", tmp_path / "c.json", "--json", *peer(pacs))
    assert [row["state"] for row in json.loads(ran.out)] == ["found", "found", "not-found"]
    assert "Lockfile" in ran.err
    ran = run("lock", "--csv", csv, "-o", tmp_path / "c.json", "-q", *peer(pacs))
    assert (ran.out, ran.err) == ("", "")


def test_a_lockfile_is_not_replaced(run: Shell, pacs: DemoPacs, lockfile: Path, tmp_path: Path) -> None:
    """One that says otherwise is an error unless --overwrite is given; one that says the same stays."""
    before = lockfile.read_bytes()
    again = ["lock", "--csv", tmp_path / "two.csv", "-o", lockfile, *peer(pacs)]
    assert run(*again).code == 0
    assert lockfile.read_bytes() == before
    pacs.remove(pacs.study("B"))
    ran = run(*again)
    assert ran.code == 2
    assert "says otherwise" in ran.err
    assert "--overwrite" in ran.err
    assert lockfile.read_bytes() == before
    assert run(*again, "--overwrite").code == 1
    assert lockfile.read_bytes() != before


def test_verify_tells_what_has_changed(run: Shell, pacs: DemoPacs, lockfile: Path, tmp_path: Path) -> None:
    """0 unchanged, 1 changed, 2 if that could not be told."""
    ran = run("verify", lockfile, *peer(pacs))
    assert (ran.code, ran.err) == (0, "")
    assert "nothing has changed" in ran.out
    pacs.misbehave["B"] = "find-refused"
    assert run("verify", lockfile, *peer(pacs)).code == 2
    pacs.misbehave.clear()
    pacs.remove(pacs.study("B"))
    pacs.add(made_study("00123", number=2))
    ran = run("verify", lockfile, "--output", tmp_path / "drift.csv", *peer(pacs))
    assert ran.code == 1
    assert "2 changes since" in ran.out
    assert "1 ambiguous, 1 lost" in ran.out
    assert pd.read_csv(tmp_path / "drift.csv")["kind"].tolist() == ["ambiguous", "lost"]
    ran = run("verify", lockfile, "--json", "-q", *peer(pacs)[2:], "-aec", "DEMO")
    assert [row["kind"] for row in json.loads(ran.out)] == ["ambiguous", "lost"]
    pacs.close()
    ran = run("verify", lockfile, *peer(pacs))
    assert ran.code == 2
    assert "no TCP connection" in ran.err


def test_the_host_of_a_lockfile_is_asked_only_if_nobody_can_have_changed_it(
    run: Shell, pacs: DemoPacs, lockfile: Path
) -> None:
    """Without a secret the archive has to be named; nothing goes to whatever host stands in a file."""
    asked = len(pacs.requests)
    ran = run("verify", lockfile)
    assert ran.code == 2
    assert "name the archive yourself" in " ".join(ran.err.split())
    assert len(pacs.requests) == asked


def test_verify_looks_at_a_folder(run: Shell, pacs: DemoPacs, lockfile: Path, tmp_path: Path) -> None:
    """Move what was locked, check it, seal it, and find a file that is gone and one with other bytes."""
    folder, port = tmp_path / "in", free_port()
    pacs.destinations["MOVESCU"] = port
    assert run("verify", lockfile, "--folder", folder).code == 2, "a folder that is not there"
    ran = run("move", "--lock", lockfile, "-od", folder, "--port", port, "--no-progress", *peer(pacs))
    assert ran.code == 0, ran.err
    assert "2: 2 success" in ran.out
    asked = len(pacs.requests)
    ran = run("verify", lockfile, "--folder", folder)
    assert ran.code == 0
    assert "was not compared" in ran.out
    ran = run("verify", lockfile, "--folder", folder, "--seal")
    assert ran.code == 0
    assert "was not compared" not in ran.out
    assert len(pacs.requests) == asked, "without PEER the archive is not asked"
    gone, cut, *_ = sorted(folder.rglob("*.dcm"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-2])
    ran = run("verify", lockfile, "--folder", folder, "--json", *peer(pacs)[2:], "-aec", "DEMO")
    assert ran.code == 1
    assert sorted((row["where"], row["kind"]) for row in json.loads(ran.out)) == [
        ("folder", "corrupt"),
        ("folder", "missing"),
    ]
    assert len(pacs.requests) > asked
    assert "P-1" not in ran.err
    ran = run("verify", lockfile, "--folder", folder, "--seal")
    assert ran.code == 2
    assert "1 missing" in ran.err


def test_rows_are_whole_numbers_beside_a_change_of_no_row(
    run: Shell, pacs: DemoPacs, lockfile: Path, tmp_path: Path
) -> None:
    """A file that belongs to no request does not make the other rows fractions."""
    folder, port = tmp_path / "in", free_port()
    pacs.destinations["MOVESCU"] = port
    assert run("move", "--lock", lockfile, "-od", folder, "--port", port, "-q", *peer(pacs)).code == 0
    gone, other, *_ = sorted(folder.rglob("*.dcm"))
    data = dcmread(other)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data.save_as(folder / "stray.dcm")
    gone.unlink()
    ran = run("verify", lockfile, "--folder", folder)
    assert "1 missing, 1 gained" in ran.out
    assert re.search(r"^ +\d  folder  missing", ran.out, re.MULTILINE)


def test_a_plan_counts_what_is_still_there_of_what_was_locked(run: Shell, pacs: DemoPacs, lockfile: Path) -> None:
    """A row that is gone has no matches, and the total is what would move."""
    pacs.remove(pacs.study("B"))
    ran = run("plan", "--lock", lockfile, "--json", *peer(pacs))
    assert ran.code == 1
    gone = next(row for row in json.loads(ran.out) if row["decision"] == "not-found")
    assert (gone["matches"], gone["series"], gone["expected"]) == (0, None, None)
    before = pacs.study("00123")
    pacs.remove(before)
    pacs.add(made_study("00123", instances=3, patient="P-1", study_instance_uid=before.study_instance_uid))
    ran = run("plan", "--lock", lockfile, *peer(pacs))
    assert "1 of 2 requests would move 3 instances" in ran.out
    assert "no longer has 1 of the locked instances" in " ".join(ran.out.split())


def test_a_plan_of_what_was_locked(run: Shell, pacs: DemoPacs, lockfile: Path) -> None:
    """--lock takes the place of keys and a batch."""
    ran = run("plan", "--lock", lockfile, *peer(pacs))
    assert ran.code == 0
    assert "2 of 2 requests would move 7 instances" in ran.out
    ran = run("plan", "--lock", lockfile, "-k", "PatientID=1", *peer(pacs))
    assert ran.code == 2
    assert "leave -k, -f and --csv out" in ran.err


def test_hashed_keys(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """The secret is in a file and never shown; without it only what was locked can be compared."""
    path, secret = tmp_path / "c.json", tmp_path / "secret.txt"
    secret.write_text(SECRET + "\n")
    ran = run("lock", "-k", "PatientID=P-1", "-o", path, "--secret-file", secret, *peer(pacs))
    assert ran.code == 0
    assert SECRET not in ran.out + ran.err + path.read_text()
    assert "P-1" not in path.read_text()
    ran = run("verify", path)
    assert ran.code == 2
    assert "--secret-file" in ran.err
    assert run("verify", path, "--locked-only", *peer(pacs)).code == 0
    assert run("verify", path, "--secret-file", secret).code == 0
    assert run("verify", path, "--secret-file", tmp_path / "nope.txt").code == 2
    assert run("plan", "--lock", path, "--secret-file", secret, *peer(pacs)).code == 0
    secret.write_text("short")
    assert run("lock", "-k", "PatientID=P-1", "-o", tmp_path / "d", "--secret-file", secret, *peer(pacs)).code == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["verify", "nope.json"], "nope.json: No such file"),
        (["verify", "{csv}"], "is no lockfile"),
        (["verify", "{lock}", "--seal"], "name it with --folder DIR"),
        (["verify", "{lock}", "--output", "x.xyz"], "name a .csv, .json or .parquet file"),
        (["verify", "{lock}", "host.example.org"], "PORT is missing"),
        (["lock", "host", "104"], "nothing is asked for"),
        (["move", "--lock", "nope.json", "-aem", "X", "host", "104"], "nope.json: No such file"),
    ],
)
def test_what_cannot_be_meant(run: Shell, lockfile: Path, csv: Path, args: list[str], says: str) -> None:
    """One sentence, exit code 2."""
    ran = run(*(arg.format(lock=lockfile, csv=csv) for arg in args))
    assert ran.code == 2
    assert says in ran.err


def test_lock_takes_patterns_where_they_are_meant(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """A cell with a wildcard is refused with the option that takes it, and locked with it."""
    file = tmp_path / "some.csv"
    file.write_text("AccessionNumber\n0012*\n")
    given = ("lock", "--csv", file, "-o", tmp_path / "some.lock.json", *peer(pacs))
    assert "--wildcards" in run(*given).err
    assert run(*given, "--wildcards").code == 0


def test_a_bad_row_of_a_batch_is_locked_as_that(run: Shell, pacs: DemoPacs, tmp_path: Path) -> None:
    """With --invalid record the others are looked up; it is named, and the exit code is that of a move."""
    path, csv = tmp_path / "c.json", tmp_path / "c.csv"
    csv.write_text("AccessionNumber\n00123\n12*\n")
    ran = run("lock", "--csv", csv, "-o", path, *peer(pacs))
    assert (ran.code, path.exists()) == (2, False)
    ran = run("lock", "--invalid", "record", "--csv", csv, "-o", path, *peer(pacs))
    assert (ran.code, ran.err) == (1, "")
    assert "1 found, 1 invalid" in ran.out
    assert "AccessionNumber has a wildcard" in ran.out
    csv.write_text("AccessionNumber\n12*\n")
    assert run("lock", "--invalid", "record", "--csv", csv, "-o", tmp_path / "d.json", *peer(pacs)).code == 2
