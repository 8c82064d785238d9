"""`dicomover move --shard` and `dicomover merge`: a batch in the tasks of an array, and its one summary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from cli_kit import Process, Ran, Shell
from dicomover.testing import DemoPacs, made_study

TABLE = "AccessionNumber,PatientID,note\n" + "".join(
    f"{'A' if n != 7 else 'GONE'}{n},CANARY{n // 3},{'=1+1' if n == 3 else ''}\n" for n in range(12)
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Serve all but one of the table's studies."""
    with DemoPacs([made_study(f"A{n}", patient=f"CANARY{n // 3}", instances=1 + n % 3) for n in range(12)]) as pacs:
        yield pacs


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a table, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cohort.csv"
    path.write_text(TABLE)
    return path


def by_get(pacs: DemoPacs, where: object, *more: object) -> list[object]:
    """Return a command that moves the table into a folder by C-GET and writes its summary."""
    node = [pacs.node.host, pacs.node.port]
    told = ["--via", "get", "-od", f"images/{where}", "--summary", f"{where}.csv", "--no-progress"]
    return ["move", "--csv", "cohort.csv", *told, *more, *node]


def read_lasting(path: Path) -> pd.DataFrame:
    """Return a summary without its times."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=["started", "seconds"])


def test_four_processes_come_to_what_one_does(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """The files, the summary cell by cell and the exit code are those of one machine; each shard reports for itself."""
    whole = run(*by_get(pacs, "whole"))
    shards = [Process(*by_get(pacs, n, "--shard", f"{n}/4")) for n in range(1, 5)]
    ran = [shard.wait(60) for shard in shards]
    assert sorted(one.code for one in ran) == [0, 0, 0, 1], ran
    merged = run("merge", *[f"{n}.csv" for n in (3, 1, 4, 2)], "--summary", "all.csv", "--report", "all.html")
    assert (merged.code, whole.code) == (1, 1), merged.err
    pd.testing.assert_frame_equal(
        read_lasting(cohort.with_name("all.csv")), read_lasting(cohort.with_name("whole.csv"))
    )
    assert "Report: 12 requests, 1 not complete" in merged.out
    assert "CANARY" not in merged.out + cohort.with_name("all.html").read_text()
    images = cohort.with_name("images")
    names = [path.name for path in images.rglob("*.dcm") if "whole" not in path.parts]
    assert sorted(names) == sorted(path.name for path in (images / "whole").rglob("*.dcm"))


def merged_of(run: Shell, *names: str) -> Ran:
    """Merge what is no whole table into a file that then is not there."""
    ran = run("merge", *names, "--summary", "all.csv")
    assert (ran.code, Path("all.csv").exists(), ran.out) == (2, False, "")
    assert "CANARY" not in ran.err
    return ran


def test_what_is_no_whole_table_is_not_written(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """A missing shard, one that ran twice, and one of a table that was sorted meanwhile end in 2 and no file."""
    for n in (1, 2):
        assert run(*by_get(pacs, n, "--shard", f"{n}/2")).code in (0, 1)
    assert "no summary is here of --shard 2/2" in merged_of(run, "1.csv").err
    assert "1.csv and again.csv both have" in _again(run, pacs)
    head, *lines = cohort.read_text().splitlines(keepends=True)
    cohort.write_text("".join([head, *reversed(lines)]))
    assert run(*by_get(pacs, "late", "--shard", "2/2")).code in (0, 1)
    assert "shards of different tables: 1.csv of table" in merged_of(run, "1.csv", "late.csv").err
    ran = run("merge", "1.csv", "2.csv", "--summary", "1.csv")
    assert (ran.code, "choose another name" in ran.err) == (2, True)


def _again(run: Shell, pacs: DemoPacs) -> str:
    assert run(*by_get(pacs, "again", "--shard", "1/2")).code in (0, 1)
    return merged_of(run, "1.csv", "2.csv", "again.csv").err


def test_a_shard_without_rows_has_done_all(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """With more shards than studies some tasks have nothing to do: they exit with 0, in a plan too, and are no gap."""
    cohort.write_text("AccessionNumber\nA1\n")
    ran = [run(*by_get(pacs, n, "--shard", f"{n}/3")) for n in (1, 2, 3)]
    assert [one.code for one in ran] == [0, 0, 0]
    assert sum("No row of the batch falls to shard" in one.err for one in ran) == 2
    node = [pacs.node.host, pacs.node.port]
    assert {run("plan", "--csv", cohort, "--shard", f"{n}/3", *node).code for n in (1, 2, 3)} == {0}
    assert run("merge", "1.csv", "2.csv", "3.csv", "--json").code == 0


def test_a_lockfile_splits_by_the_studies_that_it_knows(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """Rows by accession number and by UID go together where the cohort was locked, and move what was locked."""
    uid = made_study("A1", patient="CANARY0", instances=2).study_instance_uid
    cohort.write_text(f"AccessionNumber,StudyInstanceUID\nA1,\n,{uid}\nA2,\n")
    node = [pacs.node.host, pacs.node.port]
    assert run("lock", "--csv", cohort, "-o", "cohort.lock.json", *node).code == 0
    for n in range(1, 6):
        told = ["--via", "get", "-od", f"images/{n}", "--summary", f"{n}.csv", "--shard", f"{n}/5"]
        assert run("move", "--lock", "cohort.lock.json", *told, *node).code == 0
    parts = [read_lasting(Path(f"{n}.csv")) for n in range(1, 6)]
    assert sorted(len(part) for part in parts if len(part)) == [1, 2]
    assert run("merge", *[f"{n}.csv" for n in range(1, 6)], "--summary", "all.csv").code == 0
    assert read_lasting(Path("all.csv"))["received"].tolist() == ["2", "2", "3"]


def test_a_lockfile_with_rows_that_cannot_be_sent_is_split_too(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """They are rows of the first shard, and the rows after them keep what was locked for them."""
    cohort.write_text("AccessionNumber\nA*\nA1\nA2\n")
    node = [pacs.node.host, pacs.node.port]
    assert run("lock", "--csv", cohort, "--invalid", "record", "-o", "cohort.lock.json", *node).code == 1
    told = ["move", "--lock", "cohort.lock.json", "--via", "get", "-od"]
    assert run(*told, "images/whole", "--summary", "whole.csv", *node).code == 1
    for n in (1, 2, 3):
        assert run(*told, f"images/{n}", "--shard", f"{n}/3", "--summary", f"{n}.csv", *node).code in (0, 1, 2)
    assert run("merge", "1.csv", "2.csv", "3.csv", "--summary", "all.csv").code == 1
    pd.testing.assert_frame_equal(read_lasting(Path("all.csv")), read_lasting(Path("whole.csv")))


def test_what_shards_cannot_share_is_said_before_anything_moves(run: Shell, pacs: DemoPacs, cohort: Path) -> None:
    """A port of anybody's choice, and a summary that cannot be merged, are refused."""
    node = [pacs.node.host, pacs.node.port]
    ran = run("move", "--csv", cohort, "-od", "images", "--shard", "1/2", *node)
    assert ran.code == 2
    assert "--port" in ran.err
    assert "--via get" in ran.err
    ran = run("move", "--csv", cohort, "-aem", "WORKSTATION", "--shard", "1/2", "--summary", "1.json", *node)
    assert ran.code == 2
    assert "cannot be merged" in ran.err
