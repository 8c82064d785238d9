"""A report as plain text, and the words that its page uses too."""

from __future__ import annotations

import cProfile
import re

import pandas as pd

from dicomover import Status, report
from dicomover.summary import SUMMARY_COLUMNS, Result
from reporting_kit import NIGHT, Page, moved, table


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


def test_a_hundred_thousand_reasons_are_no_slower() -> None:
    """Even if each row has a reason of its own, the text is short, and the work grows no faster than the rows."""

    def write(rows: int) -> tuple[str, int]:
        made = report(table([Result(Status.FAILURE, error=f"study {n}a is unknown") for n in range(rows)]))
        profile = cProfile.Profile()
        text = profile.runcall(str, made)
        return text, sum(call.callcount for call in profile.getstats())

    (_, few), (text, many) = write(5_000), write(100_000)
    assert "… and 99,980 more reasons, of 99,980 rows" in text
    assert many < 20 * few


def test_a_batch_of_several_days_tells_the_day() -> None:
    """Moments on several days come with their day, in text and in HTML."""
    made = report(table([moved(1, at=n * 20_000) for n in range(10)]))
    assert re.search(r"^ +02-29 1\d:\d\d +", str(made), re.MULTILINE)
    assert "03-02" in Page(made._repr_html_()).text
    assert max(map(len, str(made).splitlines())) <= 100


def test_a_throughput_is_over_the_time_that_is_told() -> None:
    """Who divides what came by the time beside it gets the rate; a longer wait between rows is told and left out."""

    def told(*starts: float) -> tuple[str, str]:
        text = str(report(table([moved(100, at=at) for at in starts])))
        said = dict(re.findall(r"(?m)^ +(Time|Throughput) +(.*)$", text))
        return said["Time"], said["Throughput"].split(",")[0]

    assert told(0, 2.9) == ("4.9 s, from 2024-02-29 19:00:00 to 19:00:04 UTC", "41/s")
    waited, rate = told(0, 100)
    assert waited.startswith("1 min 42 s, in 4.0 s of which rows were worked on")
    assert rate == "50/s"
