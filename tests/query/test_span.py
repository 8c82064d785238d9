"""Stretches of dates and times: read, asked for and halved, and nothing lost on the way."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicomover.query.matching import agrees
from dicomover.query.span import Span

TODAY = date(2024, 6, 30)


@pytest.mark.parametrize("text", ["20240101-20240103", "20240101-", "-20240103", "20240101"])
def test_a_span_asks_for_what_it_was_read_from(text: str) -> None:
    """A date or a range of dates is a span, and the keys that ask for it say the same."""
    span = Span.parse(text)
    assert span is not None
    assert span.keys() == {"StudyDate": text}


@pytest.mark.parametrize(
    "text",
    ["", "-", "*", "2024", "202401-202402", "20240101\\20240102", "20240132", "20240103-20240101", "2024.01.01",
     "20240101-20240102-20240103", "2024010120240102"],
)  # fmt: skip
def test_what_is_no_span(text: str) -> None:
    """Anything but a date or a range of dates is left as it is."""
    assert Span.parse(text) is None


DAYS = st.dates(date(1890, 1, 1), date(2030, 12, 31))


@given(st.one_of(st.none(), DAYS), st.one_of(st.none(), DAYS), DAYS, st.integers(0, 24 * 60 - 1), DAYS)
def test_halves_hold_everything(first: date | None, last: date | None, day: date, minute: int, today: date) -> None:
    """Halved to the end, a span holds what it held: each day and minute in one part, or in two where they meet."""
    if first is not None and last is not None and last < first:
        first, last = last, first
    span = Span(first, last) if first or last else Span(day, day)
    inside = (span.first or date.min) <= day <= (span.last or date.max)
    at = f"{day:%Y%m%d}", f"{minute // 60:02d}{minute % 60:02d}30.5"
    steps = 0
    while (halves := span.halves(today)) is not None:
        holding = [half for half in halves if holds(half, *at)]
        assert bool(holding) == inside
        span = holding[0] if holding else halves[0]
        steps += 1
        assert steps < 40
    assert holds(span, *at) == inside


def holds(span: Span, day: str, time: str) -> bool:
    """Tell whether an archive would return a study of this date and time."""
    answer = Dataset()
    answer.StudyDate, answer.StudyTime = day, time
    return all(agrees(answer, keyword, value) for keyword, value in span.keys().items())


def test_a_day_is_halved_by_time_only_where_it_may_be() -> None:
    """A day is the smallest part where a StudyTime is asked for already, and a minute is in any case."""
    day = Span.parse("20240101")
    assert day is not None
    assert day.halves(TODAY, times=False) is None
    assert Span(date(2024, 1, 1), date(2024, 1, 1), 600, 601).halves(TODAY) is None
