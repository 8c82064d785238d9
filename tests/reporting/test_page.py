"""A report as a page: it says what the text says, needs nothing else, and stays small."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

import dicomover
from dicomover import Status, report
from dicomover.summary import Result
from reporting_kit import NIGHT, UNKNOWN, Page, moved, table


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
        "not sent: the batch was cancelled",
        "3 to 7 of 7 to 8 moved",
        "Move Destination unknown",
    ):
        assert said in page
        assert said in " ".join(text.split())
    assert re.search(r"4 rows +4-7 ", text)


def test_rows_that_failed_come_with_their_sentence() -> None:
    """In the page each row that is not complete stands beside its reason, the most urgent first."""
    page = Page(report(table(NIGHT))._repr_html_()).text
    rows = page[page.index("Rows that are not complete") :]
    assert rows.index("Move Destination unknown") < rows.index("3 to 7 of 7 to 8 moved") < rows.index("no match")


def test_nothing_is_told_twice() -> None:
    """A sentence is there once, however many rows have it, and a row once."""
    page = Page(report(table(NIGHT), show_keys=True)._repr_html_()).text
    for n, result in enumerate(NIGHT):
        assert page.count(f"CANARY-ACC{n}") == 1
        assert page.count(str(result.error)) <= 1


def test_an_administrator_can_look_rows_up() -> None:
    """Each row that is not complete has its UIDs and when it began; other keys, and what is no UID, if asked for."""
    summary = table([moved(3, failed=1, at=75, seconds=12.0), moved(2, failed=2), moved(1, failed=3)])
    summary["StudyInstanceUID"] = ["1.2.840.99.1", "4711", "1.2.MILLER"]
    page, asked = (Page(report(summary, show_keys=keys)._repr_html_()).text for keys in (False, True))
    for told in ("1.2.840.99.1", "2024-02-29 19:01:15", "12.0"):
        assert told in page
        assert told in asked
    for kept in ("CANARY-ACC0", "4711", "MILLER"):
        assert kept not in page
        assert kept in asked


def test_a_frequent_reason_leaves_room_for_the_others() -> None:
    """However many rows fail alike, the page names some rows of every reason."""
    refused = [Result(Status.FAILURE, error=UNKNOWN)] * 500
    page = Page(report(table([*refused, *NIGHT]))._repr_html_()).text
    rows = page[page.index("Rows that are not complete") : page.index("Rows that are complete")]
    for sentence in (
        "501 rows: 0xA801 (Move Destination unknown)",
        "3 to 7 of 7 to 8 moved",
        "no match",
        "the batch was cancelled",
    ):
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


def test_failed_instances_are_named(tmp_path: Path) -> None:
    """The UIDs of what failed are there for the archive's administrator; a page says when it was made."""
    made = report(table([moved(1, failed=61, failed_uids=("MILLER", *(f"1.2.{n}" for n in range(60))))]))
    page = Page(made.write_html(tmp_path / "page.html").read_text())
    assert "1.2.49" in page.text
    assert "… and 10 more UIDs" in page.text
    assert f"dicomover {dicomover.__version__}, {datetime.now(UTC):%Y-}" in page.text
    assert "MILLER" not in page.text
    assert "MILLER" in Page(made.write_html(tmp_path / "page.html", show_keys=True).read_text()).text


def test_everything_is_escaped() -> None:
    """What an archive says cannot become markup."""
    evil = "<script>alert(1)</script> & <b>"
    summary = table([Result(Status.FAILURE, error=evil)], pd.Index([evil]))
    summary["AccessionNumber"] = evil
    page = Page(report(summary, show_keys=True)._repr_html_())
    assert "script" not in page.tags
    assert page.text.count(evil) >= 3


def test_a_hundred_thousand_rows_are_a_small_page(tmp_path: Path) -> None:
    """The page stays below 200 kB, says how many more there are, and takes seconds at most."""
    results = [moved(n % 50 + 1, failed=n % 7 == 0, at=n * 1.0) for n in range(1000)] * 100
    made = report(table(results))
    begun = time.perf_counter()
    page = made.write_html(tmp_path / "page.html")
    assert time.perf_counter() - begun < 10
    assert page.stat().st_size < 200_000
    assert "… and 85,650 more rows" in page.read_text()
    assert len(str(made)) < 10_000
