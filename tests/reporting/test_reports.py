"""The report: what it says of a batch in tables, text and HTML, and what it keeps to itself."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import dicomover
from dicomover import ConfigurationError, Status, report
from dicomover.events import BatchEnded, BatchStarted, InstanceReceived, MoveProgressed
from dicomover.outcome import Counters
from dicomover.progress import State
from dicomover.progress.timeline import MOST_BINS, Timeline
from dicomover.reporting import Report, Run
from dicomover.reporting.figures import spans, time_steps, times
from dicomover.summary import SUMMARY_COLUMNS, Result, build
from dicomover.testing import DemoPacs, made_study

BEGAN = datetime(2024, 2, 29, 19, 0, 0, tzinfo=UTC)
UNKNOWN = "0xA801 (Move Destination unknown): ask the archive's administrator to add the AE title 'ME'"


def moved(count: int, *, failed: int = 0, at: float = 0.0, seconds: float = 2.0, **more: object) -> Result:
    """Return the result of a row of which so many instances are here."""
    error = f"0xB000, {count} of {count + failed} moved, {failed} failed" if failed else None
    status = Status.PARTIAL if failed else Status.SUCCESS
    known = {"received": count, "bytes": count * 1_000_000, "error": error, **more}
    return Result(
        status, 0xB000 if failed else 0, 1, count + failed, Counters(count, failed, 0), attempts=1,
        started=BEGAN + timedelta(seconds=at), seconds=seconds, **known,  # type: ignore[arg-type]
    )  # fmt: skip


def table(results: list[Result], index: pd.Index | None = None) -> pd.DataFrame:
    """Return a summary of these results whose keys are canaries."""
    given = pd.DataFrame(
        {
            "PatientID": [f"CANARY-{n}" for n in range(len(results))],
            "AccessionNumber": [f"CANARY-ACC{n}" for n in range(len(results))],
            "note": ["CANARY^NAME"] * len(results),
        },
        index=index,
        dtype="string",
    )
    return build(results, given)


NIGHT = [
    moved(10),
    moved(7, failed=1, at=10),
    moved(3, failed=4, at=20),
    Result(Status.NOT_FOUND, matches=0, error="C-FIND has no match"),
    *[Result(Status.CANCELLED, error="not sent: the batch was cancelled")] * 4,
    Result(Status.FAILURE, 0xA801, expected=5, attempts=3, started=BEGAN, seconds=1.0, error=UNKNOWN),
    Result(Status.SKIPPED, received=20, bytes=20_000_000),
]


class Page(HTMLParser):
    """Checks that tags match, and gathers text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        self.tags.append(tag)
        self.values += [f"{name}={value}" for name, value in attrs]
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.tags.append(tag)
        self.values += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


# --- the figures


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


def test_a_move_counts_once_what_was_asked_for_twice(tmp_path: Path) -> None:
    """The report of a batch with repeated rows says what lies on the disk, in the first run and in the next."""
    with (
        DemoPacs([made_study("A", instances=5)]) as pacs,
        dicomover.Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover,
    ):
        pacs.destinations["MOVESCU"] = mover.port
        for _ in range(2):
            totals = report(mover.move([{"AccessionNumber": "A"}] * 3)).totals.loc["all"]
            assert totals[["rows", "received"]].tolist() == [3, len(list(tmp_path.rglob("*.dcm")))]


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


# --- text and page


def test_text_and_page_say_the_same() -> None:
    """Every fact and every reason of the text is in the HTML too."""
    made = report(table(NIGHT))
    text, page = str(made), Page(made._repr_html_()).text
    assert "10 requests, 8 not complete" in text
    assert "10 requests, 8 not complete" in page
    for fact in (
        "1 success, 2 partial",
        "20 completed, 5 failed",
        "40 instances, 40.0 MB; 20 of them by an earlier run",
    ):
        assert fact in text
        assert fact in page
    for said in (
        "4 rows",
        "4-7",
        "not sent: the batch was cancelled",
        "3 to 7 of 7 to 8 moved",
        "Move Destination unknown",
    ):
        assert said in page
        assert said in " ".join(text.split())


def test_rows_that_failed_come_with_their_sentence() -> None:
    """In the page each row that is not complete has its sentence, the most urgent first."""
    page = Page(report(table(NIGHT))._repr_html_()).text
    rows = page[page.index("Rows that are not complete") :]
    assert rows.index("Move Destination unknown") < rows.index("3 of 7 moved, 4 failed") < rows.index("no match")


def test_a_frequent_reason_leaves_room_for_the_others() -> None:
    """However many rows fail alike, the page names some rows of every reason."""
    refused = [Result(Status.FAILURE, error=UNKNOWN)] * 500
    page = Page(report(table([*refused, *NIGHT]))._repr_html_()).text
    rows = page[page.index("Rows that are not complete") : page.index("All rows")]
    for sentence in ("Move Destination unknown", "3 of 7 moved, 4 failed", "no match", "the batch was cancelled"):
        assert sentence in rows


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """It is well-formed, has no script, no link and no address, and forbids the browser to fetch anything."""
    path = report(table(NIGHT)).write_html(tmp_path / "report.html")
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [value for value in page.values if re.match(r"(href|src|on\w+)=", value)]
    assert re.findall(r"(?:https?:)?//[^\s\"'<]+", html) == ["http://www.w3.org/2000/svg"] * html.count("<svg")
    assert "default-src 'none'" in html
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "index",
    [
        None,
        pd.Index([f"CANARY-{n}" for n in range(10)]),
        pd.Index(range(4711000, 4711010), name="PatientID"),
        pd.MultiIndex.from_product([["CANARY"], range(4711000, 4711010)]),
    ],
    ids=["numbers", "texts", "named", "several"],
)
def test_nothing_of_a_patient_unless_asked_for(index: pd.Index | None, tmp_path: Path) -> None:
    """Keys, other columns and an index that may name patients stay out of all that a report shows."""
    made = report(table(NIGHT, index))
    shown = [str(made), repr(made), made._repr_html_(), made.write_html(tmp_path / "page.html").read_text()]
    for text in shown:
        assert "CANARY" not in text
        assert "4711" not in text
    asked = report(table(NIGHT, index), show_keys=True)
    for text in (str(asked), asked._repr_html_(), made.write_html(tmp_path / "page.html", show_keys=True).read_text()):
        assert "CANARY-ACC3" in text
        assert "CANARY^NAME" not in text


def test_keys_name_rows_by_the_most_telling() -> None:
    """Where keys are shown, a reason names its rows by their accession numbers; a page has a column for each key."""
    asked = report(table(NIGHT)[["AccessionNumber", "PatientID", *SUMMARY_COLUMNS]], show_keys=True)
    assert "4 (CANARY-ACC4), 5 (CANARY-ACC5), 6 (CANARY-ACC6), …" in str(asked)
    assert "PatientID" in Page(asked._repr_html_()).text


def test_labels_that_are_numbers_name_the_rows() -> None:
    """Rows of a part of a summary keep their numbers."""
    summary = table(NIGHT)
    part = summary[summary["status"] == "not-found"]
    assert re.search(r"1 row +3 +not-found", str(report(part)))


def test_labels_that_are_there_twice_name_no_row() -> None:
    """Where a table was put together with its labels repeated, rows are called by their positions, and it says so."""
    summary = table(NIGHT, pd.Index([0, 1, 2, 3, 4] * 2))
    said = " ".join(str(report(summary)).split())
    assert "1 row 8 failure" in said
    assert "called by their position in the summary, from 0: labels of its index are there twice" in said
    asked = " ".join(str(report(summary, show_keys=True)).split())
    assert "8 (CANARY-ACC8)" in asked
    assert "labels of its index are there twice" in asked


def test_failed_instances_are_named_where_keys_are(tmp_path: Path) -> None:
    """The UIDs of what failed are there for the archive's administrator, if keys are shown at all; a page says when."""
    made = report(table([moved(1, failed=60, failed_uids=tuple(f"1.2.{n}" for n in range(60)))]))
    page = Page(made.write_html(tmp_path / "page.html", show_keys=True).read_text())
    assert "1.2.49" in page.text
    assert "… and 10 more UIDs" in page.text
    assert f"dicomover {dicomover.__version__}, {datetime.now(UTC):%Y-}" in page.text
    assert "1.2.4" not in made._repr_html_()


def test_everything_is_escaped() -> None:
    """What an archive says cannot become markup."""
    evil = "<script>alert(1)</script> & <b>"
    summary = table([Result(Status.FAILURE, error=evil)], pd.Index([evil]))
    summary["AccessionNumber"] = evil
    page = Page(report(summary, show_keys=True)._repr_html_())
    assert "script" not in page.tags
    assert page.text.count(evil) >= 3


def test_an_unfinished_and_an_empty_batch() -> None:
    """Rows that are not over say so, and no rows at all are no error."""
    running = Report(table([moved(2), Result()]), run=Run(over=False))
    assert "2 requests, 1 of them not over yet" in str(running)
    assert re.search(r"1 row +1 +not over", str(running))
    assert "nan" not in (str(running) + running._repr_html_()).lower()
    nothing = report(table([]))
    assert str(nothing).startswith("Report: no requests")
    Page(nothing._repr_html_())
    assert nothing.timeline.empty
    assert nothing.reasons.empty


def test_a_hundred_thousand_rows_are_a_small_page(tmp_path: Path) -> None:
    """The page stays below 200 kB, says how many more there are, and takes seconds at most."""
    results = [moved(n % 50 + 1, failed=n % 7 == 0, at=n * 1.0) for n in range(1000)] * 100
    made = report(table(results))
    begun = time.perf_counter()
    page = made.write_html(tmp_path / "page.html")
    assert time.perf_counter() - begun < 10
    assert page.stat().st_size < 200_000
    assert "… and 99,950 more rows" in page.read_text()
    assert len(str(made)) < 10_000


def test_a_hundred_thousand_reasons_are_no_slower() -> None:
    """Even if each row has a reason of its own, the text is short and soon there."""
    failed = [Result(Status.FAILURE, error=f"study {n}a is unknown") for n in range(100_000)]
    made = report(table(failed))
    begun = time.perf_counter()
    text = str(made)
    assert time.perf_counter() - begun < 5
    assert "… and 99,980 more reasons, of 99,980 rows" in text


def test_a_batch_of_several_days_tells_the_day() -> None:
    """Moments on several days come with their day, in text and in HTML."""
    made = report(table([moved(1, at=n * 20_000) for n in range(10)]))
    assert re.search(r"^ +02-29 1\d:\d\d +", str(made), re.MULTILINE)
    assert "03-02" in Page(made._repr_html_()).text
    assert max(map(len, str(made).splitlines())) <= 100


# --- what a job knows


def test_a_timeline_is_bounded_and_loses_nothing() -> None:
    """Days of arrivals fit into the same number of bins, and their sums stay."""
    timeline = Timeline()
    timeline.take(BatchStarted(0.0, requests=1), State())
    for number in range(1, 20_000):
        event = InstanceReceived(number * 30.0, move=1, size=10)
        timeline.take(event, State(received=number, bytes=number * 10))
    timeline.take(
        MoveProgressed(600_000.0, 1, Counters()), State(completed=5, failed=2, received=19_999, bytes=199_990)
    )
    timeline.take(BatchEnded(600_001.0), State())
    bins = timeline.table()
    assert len(bins) <= MOST_BINS
    assert bins[["moved", "failed", "received", "bytes"]].sum().tolist() == [5, 2, 19_999, 199_990]
    assert timeline.seconds == 600_001.0
    assert bins["seconds"].unique().tolist() == [300.0]


def test_a_timeline_of_nothing() -> None:
    """A batch that has not begun has no bins."""
    timeline = Timeline()
    timeline.take(InstanceReceived(1.0, move=1, size=1), State(received=1))
    assert timeline.table().empty
    assert timeline.began is None
    assert timeline.seconds is None
