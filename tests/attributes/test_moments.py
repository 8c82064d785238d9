"""Dates, times and moments as stretches of time."""

from __future__ import annotations

import pytest

from dicomover.attributes.moments import read_stretch


@pytest.mark.parametrize(
    ("vr", "text", "first", "last"),
    [
        ("DA", "20240229", "2024-02-29T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "2024.02.29", "2024-02-29T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "2024-02-29", "2024-02-29T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "20240101-20240229", "2024-01-01T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "2024-01-01-2024-02-29", "2024-01-01T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "-20240229", "0001-01-01T00:00:00", "2024-02-29T23:59:59.999999"),
        ("DA", "20240229-", "2024-02-29T00:00:00", "9999-12-31T23:59:59.999999"),
        ("TM", "10", "2000-01-01T10:00:00", "2000-01-01T10:59:59.999999"),
        ("TM", "10:15:30", "2000-01-01T10:15:30", "2000-01-01T10:15:30.999999"),
        ("TM", "101530.25-11", "2000-01-01T10:15:30.250000", "2000-01-01T11:59:59.999999"),
        ("TM", "235960", "2000-01-01T23:59:59", "2000-01-01T23:59:59.999999"),
        ("DT", "2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59.999999"),
        ("DT", "999902", "9999-02-01T00:00:00", "9999-02-28T23:59:59.999999"),
        ("DT", "2024-2025", "2024-01-01T00:00:00", "2025-12-31T23:59:59.999999"),
        ("DT", "2024-0500-2025-0500", "2024-01-01T00:00:00", "2025-12-31T23:59:59.999999"),
        ("DT", "2024010112+0100-2024010112+0200", "2024-01-01T12:00:00", "2024-01-01T11:59:59.999999"),
    ],
)
def test_what_a_text_stands_for(vr: str, text: str, first: str, last: str) -> None:
    """What is not written is open, and a range takes its last value in whole."""
    stretch = read_stretch(vr, text)
    if last < first:
        assert stretch is None
    else:
        assert stretch is not None
        assert (stretch.first.isoformat(), stretch.last.isoformat()) == (first, last)


@pytest.mark.parametrize(
    ("vr", "text"),
    [
        ("DA", ""), ("DA", "-"), ("DA", "2024"), ("DA", "20240231"), ("DA", "00000000"), ("DA", "12-31-2023"),
        ("DA", "20240229-20240101"), ("DA", "20240229-x"), ("DA", "\uff12\uff10240101"), ("DA", "2024-01.01"),
        ("TM", "25"), ("TM", "1060"), ("TM", "1"), ("TM", "11-10"), ("DT", "202413"), ("DT", "2024-2023"), ("DT", "x"),
    ],
)  # fmt: skip
def test_what_is_no_moment(vr: str, text: str) -> None:
    """What cannot be, or ends before it begins, is none."""
    assert read_stretch(vr, text) is None


@pytest.mark.parametrize(
    ("vr", "one", "other", "meets"),
    [
        ("DA", "20240229", "20240101-20240229", True),
        ("DA", "20240301", "20240101-20240229", False),
        ("TM", "10", "101530", True),
        ("TM", "115959.5", "-1159", True),
        ("DT", "20240101120000+0100", "20240101110000+0000", True),
        ("DT", "20240101120000+0100", "20240101120000+0000", False),
        ("DT", "20240101120000", "20240101120000+0500", True),
        ("DT", "0001+0100", "-2024-0500", True),
        ("DT", "9999+0100", "2024-0500-", True),
    ],
)
def test_two_that_meet(vr: str, one: str, other: str, meets: bool) -> None:
    """Two stretches meet where they have a moment in common, whichever is asked, at the ends of the calendar too."""
    first, second = read_stretch(vr, one), read_stretch(vr, other)
    assert first is not None
    assert second is not None
    assert first.meets(second) is second.meets(first) is meets
