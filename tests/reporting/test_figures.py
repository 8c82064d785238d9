"""What a report says, as tables: totals, reasons, rows and time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dicomover import ConfigurationError, Status, report
from dicomover.reporting.figures import spans, time_steps, times
from dicomover.summary import SCHEMA, Result, build
from reporting_kit import BEGAN, NIGHT, Page, moved, table


def test_totals_by_status() -> None:
    """Rows and counts are summed for each status and for all; what nobody said stays unknown."""
    totals = report(table(NIGHT)).totals
    assert list(totals.index) == ["success", "partial", "failure", "not-found", "cancelled", "skipped", "all"]
    assert totals.loc["partial", ["rows", "expected", "completed", "failed", "received"]].tolist() == [2, 15, 10, 5, 10]
    assert totals.loc["all", "rows"] == 10
    assert totals.loc["all", "received"] == 40
    assert pd.isna(totals.loc["not-found", "completed"])
    assert set(map(str, totals.dtypes)) == {"Int64"}


def test_rows_that_ask_for_the_same_are_counted_once() -> None:
    """What several rows ask for is here once: instances, bytes and C-MOVEs are no sums over its repetitions."""
    keys = pd.DataFrame({"AccessionNumber": ["A", "B", "A", " B", "A", "C", "C"], "note": list("1234567")})
    lost = Result(Status.LOST, expected=5, received=0, bytes=0, attempts=3, error="no answer")
    skipped = Result(Status.SKIPPED, received=5, bytes=5_000_000, attempts=0)
    made = report(build([moved(5), moved(5), moved(5), moved(5), moved(5), lost, skipped], keys))
    assert made.totals.loc["all", ["rows", "expected", "received", "bytes", "attempts"]].tolist() == [
        7, 10, 15, 15_000_000, 2,
    ]  # fmt: skip
    assert made.totals.loc["lost", "rows"] == 1
    assert made.timeline["instances"].sum() == 10
    assert made.reasons["expected"].isna().all()
    assert "4 rows repeat another one and are counted once" in " ".join(str(made).split())
    assert "4 rows repeat another one and are counted once" in Page(made._repr_html_()).text


@pytest.mark.parametrize(
    "keys",
    [
        {"AccessionNumber": ["A", "A"], "SeriesInstanceUID": ["1.2", None]},
        {"PatientID": ["A", "A"], "key:StudyDate": ["20240101", "20240102"]},
        {"PatientID": ["A", "A"], "StudyDate": ["20240101", "20240102"]},
        {"AccessionNumber": ["", None]},
        {"note": ["A", "A"]},
    ],
    ids=["uid", "key", "keyword", "blank", "no-key"],
)
def test_rows_that_ask_for_something_else_are_counted(keys: dict[str, list[str]]) -> None:
    """Rows that differ in any key are two, and so are rows of which no key is known."""
    made = report(build([moved(5), moved(5)], pd.DataFrame(keys)))
    assert made.totals.loc["all", ["received", "attempts"]].tolist() == [10, 2]
    assert "repeat" not in str(made)


def test_equal_reasons_are_one() -> None:
    """Rows with the same sentence, or one that differs in its numbers only, are one reason; the worst come first."""
    reasons = report(table(NIGHT)).reasons
    assert reasons[["rows", "status"]].values.tolist() == [
        [1, "failure"],
        [2, "partial"],
        [1, "not-found"],
        [4, "cancelled"],
    ]
    assert reasons["error"][1] == "0xB000, 3 to 7 of 7 to 8 moved, 1 to 4 failed"
    assert reasons["error"][3] == "not sent: the batch was cancelled"
    assert reasons["positions"][3] == [4, 5, 6, 7]
    assert reasons.loc[1, ["expected", "moved"]].tolist() == [15, 10]


def test_other_statuses_and_addresses_are_other_reasons() -> None:
    """Sentences about two status codes, two addresses or two rejections are two reasons."""
    errors = ["0xA700 (no room)", "0xA702 (no room)", "at 10.1.2.3:104", "at 10.1.2.4:104", "(1/1/3)", "(1/1/7)"]
    summary = table([Result(Status.FAILURE, error=error) for error in errors])
    assert sorted(report(summary).reasons["error"]) == sorted(errors)


def test_spans_of_rows() -> None:
    """Runs of rows are ranges, and many of them are cut off."""
    assert spans([]) == ""
    assert spans([5]) == "5"
    assert spans([1, 2, 3, 7]) == "1-3, 7"
    assert spans(range(100_000)) == "0-99999"
    assert spans(range(0, 100, 2), most=2) == "0, 2, …"


def test_the_time_in_which_rows_were_worked_on() -> None:
    """Overlapping rows count once, and pauses do not count."""
    known = times(report(table([moved(1, at=0, seconds=10), moved(1, at=5, seconds=2), moved(1, at=100)])).summary)
    assert known is not None
    assert known[2] == 12.0
    assert (known[1] - known[0]).total_seconds() == 102.0
    assert times(table([Result(Status.INVALID)])) is None


def test_steps_of_time_keep_every_instance() -> None:
    """Whatever the length of a batch, at most sixty steps hold all of its instances."""
    for length in (0.5, 59, 61, 3600, 86_400, 40 * 86_400):
        starts = [pd.Timestamp(BEGAN) + pd.Timedelta(seconds=length * n / 9) for n in range(10)]
        frame = pd.DataFrame({"start": starts, "instances": range(10), "failed": 0, "bytes": pd.NA})
        steps = time_steps(frame, None, None)
        assert 1 <= len(steps) <= 61
        assert steps["instances"].sum() == 45
        assert steps["bytes"].isna().all()
        assert steps["start"].is_monotonic_increasing


def test_a_bare_summary_counts_when_rows_ended() -> None:
    """Without a job, what a row came to counts when it ended; rows that needed no C-MOVE are left out."""
    made = report(table(NIGHT))
    assert made.timeline["instances"].sum() == 20
    assert made.timeline["bytes"].sum() == 20_000_000
    assert made.per_minute["seconds"].tolist() == [60.0]
    assert "over time" not in str(made).lower()  # four rows are no picture of it
    more = report(table(NIGHT * 2))
    assert "Instances over time" in str(more)
    assert "counted when the row ended" in " ".join(str(more).split())


def test_it_reads_a_summary_from_a_file(tmp_path: Path) -> None:
    """A summary that has been through a CSV, as text or guessed, gives the same report."""
    summary = table(NIGHT)
    summary.to_csv(tmp_path / "done.csv", index=False)
    for read in (pd.read_csv(tmp_path / "done.csv"), pd.read_csv(tmp_path / "done.csv", dtype=str)):
        assert str(report(read)) == str(report(summary))
        pd.testing.assert_frame_equal(report(read).totals, report(summary).totals)


def test_what_is_no_summary_is_refused() -> None:
    """A table without our columns is an error that names them."""
    with pytest.raises(ConfigurationError, match=r"no column 'status'.*job.summary\(\)"):
        report(pd.DataFrame({"AccessionNumber": ["1"]}))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [column.name for column in SCHEMA])
def test_whatever_somebody_has_written_into_a_summary_is_read(name: str) -> None:
    """A summary that was edited or damaged gives a report: what can be no status, count or time is unknown there."""
    night = table([moved(3)])
    for value in ("x", 1e300, -1, 1.5, True, [1], "9" * 400, b"x", {}, None):
        assert str(report(night.assign(**{name: pd.Series([value], dtype=object, index=night.index)})))
