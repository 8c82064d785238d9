"""Small charts as inline SVG: their bars are the numbers, in proportion, and whatever they name is escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from dicomover.progress import markup
from dicomover.reporting import report
from dicomover.reporting.charts import COLOURS, by_row_svg, over_time_svg, verdict_bar
from reporting_kit import NIGHT, table

EVIL = "<script>&\"'"
STARTS = pd.date_range("2024-02-29 19:00", periods=3, freq="min", tz="UTC")


def drawn(svg: str) -> tuple[list[ET.Element], list[str], list[str]]:
    """Return the bars of a chart that have a title, those titles, and the texts."""
    tree = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in tree.iter(f"{space}rect") if bar.find(f"{space}title") is not None]
    titles = [str(bar.find(f"{space}title").text) for bar in bars]  # type: ignore[union-attr]
    return bars, titles, [str(text.text) for text in tree.iter(f"{space}text")]


def sizes(bars: list[ET.Element], side: str) -> list[float]:
    """Return how large the bars are."""
    return [float(bar.attrib[side]) for bar in bars]


def test_bars_over_time_are_in_proportion() -> None:
    """Each bar has the height of its value, and the axes have the largest value and the first and last moment."""
    bars, titles, texts = drawn(over_time_svg(list(STARTS), [1.0, 4.0, 2.0], "/s", "Instances"))
    assert sizes(bars, "height") == [30.0, 120.0, 60.0]
    assert titles[1] == "2024-02-29 19:01:00 UTC: 4.0/s"
    assert texts == ["4.0/s", "0", "19:00:00", "19:01:00", "19:02:00"]


@pytest.mark.parametrize(("starts", "values"), [([], []), (list(STARTS[:1]), [0.0])], ids=["nothing", "zero"])
def test_a_time_without_movement_is_drawn_too(starts: list[pd.Timestamp], values: list[float]) -> None:
    """Nothing to show is an empty chart, not an error."""
    bars, _, texts = drawn(over_time_svg(starts, values, "/s", "Instances"))
    assert sizes(bars, "height") == values
    assert texts[1] == "0"


def test_a_failure_among_thousands_is_to_be_seen() -> None:
    """Parts of a row are in proportion, but one that is there at all has a width that can be seen."""
    rows = pd.DataFrame({"completed": [100_000, 50_000], "failed": [1, 0]})
    bars, titles, texts = drawn(by_row_svg(rows, ["a", "b"], "Rows"))
    whole, failed, half = sizes(bars, "width")
    assert whole == pytest.approx(2 * half, rel=0.01)
    assert failed == 3.0
    assert titles == ["a: 100,000 completed", "a: 1 failed", "b: 50,000 completed"]
    assert {"100,001, 1 failed", "50,000"} <= set(texts)


def test_failures_are_told_without_colour() -> None:
    """What failed has a pattern too, with its colour behind where the pattern cannot be found."""
    svg = by_row_svg(pd.DataFrame({"completed": [1], "failed": [1]}), ["a"], "Rows")
    assert re.findall(r'fill="(url\(#[^"]+)"', svg) == [f"url(#dicomover-hatch) {COLOURS['failed']}"] * 2
    assert 'id="dicomover-hatch"' in svg


def test_the_bar_of_verdicts_is_all_rows() -> None:
    """Its parts are the verdicts, in their order, and fill it."""
    bars, titles, _ = drawn(verdict_bar([("success", 3, True), ("lost", 1, False)]))
    assert titles == ["3 success", "1 lost"]
    assert sizes(bars, "width") == [539.0, 179.0]
    assert drawn(verdict_bar([]))[0] == []


def test_names_are_shortened_and_escaped() -> None:
    """A name cannot become markup, and a long one does not push the bars out of the picture."""
    rows = pd.DataFrame({"completed": [1, 1], "failed": [0, 0]})
    _, titles, texts = drawn(by_row_svg(rows, [EVIL, "x" * 100], EVIL))
    assert texts[0] == EVIL
    assert f"{EVIL}: 1 completed" in titles
    assert f"{'x' * 27}…" in texts
    assert drawn(verdict_bar([(EVIL, 1, True)]))[1] == [f"1 {EVIL}"]


def test_a_report_has_the_colours_and_the_words_of_the_panel() -> None:
    """What is complete and what is not looks the same in both, and a rate is told alike."""
    assert (COLOURS["completed"], COLOURS["failed"]) == (markup.COMPLETE, markup.INCOMPLETE)
    told = str(report(table(NIGHT)))
    (line,) = [line for line in told.splitlines() if "Throughput" in line]
    assert re.fullmatch(r" +Throughput +[\d.,]+/(s|min), [\d.]+ .?B/s", line)
