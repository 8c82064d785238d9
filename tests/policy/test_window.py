"""The window: the times of the week, changes of summer time, and text that cannot be meant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.errors import ConfigurationError
from dicomover.policy.pace import Pace, Wait
from dicomover.policy.window import Window, name_weekday

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(text: str, fold: int = 0) -> datetime:
    """Return a moment by the clocks of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


def same(one: datetime | None, other: datetime | None) -> bool:
    """Tell whether two moments are the same, whatever their zones."""
    return one is not None and other is not None and one.astimezone(UTC) == other.astimezone(UTC)


WEEK = [  # 2024-05-13 is a Monday
    ("19:00-07:00", "2024-05-13T18:59:59", False),
    ("19:00-07:00", "2024-05-13T19:00", True),
    ("19:00-07:00", "2024-05-14T00:00", True),
    ("19:00-07:00", "2024-05-14T06:59:59", True),
    ("19:00-07:00", "2024-05-14T07:00", False),
    ("19-7", "2024-05-14T06:59", True),
    ("18:30-24:00", "2024-05-13T23:59", True),
    ("18:30-24:00", "2024-05-14T00:00", False),
    ("18:30-00:00", "2024-05-13T23:59", True),
    ("18:30-00:00", "2024-05-14T00:00", False),
    ("12:00-13:00", "2024-05-14T12:30", True),
    ("12:00-13:00", "2024-05-14T00:30", False),
    ("fri 19:00-07:00", "2024-05-17T18:00", False),
    ("fri 19:00-07:00", "2024-05-17T22:00", True),
    ("fri 19:00-07:00", "2024-05-18T06:00", True),
    ("fri 19:00-07:00", "2024-05-18T20:00", False),
    ("fri 19:00-07:00", "2024-05-17T06:00", False),
    ("mon-fri 19:00-07:00", "2024-05-13T06:00", False),  # Monday morning belongs to Sunday
    ("mon-fri 19:00-07:00", "2024-05-17T20:00", True),
    ("mon-fri 19:00-07:00", "2024-05-19T20:00", False),
    ("sun 19:00-07:00", "2024-05-20T06:00", True),
    ("sat,sun 00:00-24:00", "2024-05-18T00:00", True),
    ("sat,sun 00:00-24:00", "2024-05-19T23:59", True),
    ("sat,sun 00:00-24:00", "2024-05-20T00:00", False),
    ("fri-mon 12:00-13:00", "2024-05-19T12:00", True),  # round the end of the week
    ("fri-mon 12:00-13:00", "2024-05-21T12:00", False),
    ("mon,wed-thu,Saturday 12-13", "2024-05-18T12:00", True),
    ("mon,wed-thu,Saturday 12-13", "2024-05-16T12:00", True),
    ("mon,wed-thu,Saturday 12-13", "2024-05-17T12:00", False),
    ("mon-fri 19:00-07:00; sat,sun 00:00-24:00", "2024-05-18T12:00", True),
    ("mon-fri 19:00-07:00; sat,sun 00:00-24:00", "2024-05-16T12:00", False),
    ("  Mon – Fri   19:00 – 07:00 ;sat , sun 00:00-24:00 ", "2024-05-18T12:00", True),
]


@pytest.mark.parametrize(("text", "moment", "expected"), WEEK)
def test_a_week(text: str, moment: str, expected: bool) -> None:
    """A window is open when the table says so."""
    assert Window.parse(f"{text} Europe/Berlin").is_open(berlin(moment)) is expected


SUMMER_TIME = [  # 2024-03-31: 02:00 -> 03:00; 2024-10-27: 03:00 -> 02:00; in UTC both at 01:00
    ("19:00-07:00", "2024-03-30T18:00", "2024-03-30T18:00", 11),
    ("19:00-07:00", "2024-10-26T17:00", "2024-10-26T17:00", 13),
    ("01:00-02:30", "2024-03-31T00:00", "2024-03-31T00:00", 1),  # ends where the clock jumps over it
    ("02:30-04:00", "2024-03-31T00:30", "2024-03-31T01:00", 1),  # begins there
    ("02:00-03:00", "2024-03-31T00:30", "2024-04-01T00:00", 1),  # that night has no such hour
    ("sun 02:00-03:00", "2024-03-31T00:30", "2024-04-07T00:00", 1),
    ("01:00-02:30", "2024-10-26T23:00", "2024-10-26T23:00", 1.5),  # ends when it is half past two for the first time
    ("02:30-04:00", "2024-10-27T00:00", "2024-10-27T00:30", 2.5),  # begins then
    ("02:15-02:45", "2024-10-27T00:00", "2024-10-27T00:15", 0.5),
    ("02:15-02:45", "2024-10-27T01:20", "2024-10-28T01:15", 0.5),  # and does not open again an hour later
]


@pytest.mark.parametrize(("text", "now", "opens", "hours"), SUMMER_TIME)
def test_changes_of_summer_time(text: str, now: str, opens: str, hours: float) -> None:
    """Around both changes of summer time a window opens and closes at the right moments (given in UTC)."""
    window = Window.parse(f"{text} Europe/Berlin")
    found = window.opens_at(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert same(found, datetime.fromisoformat(opens).replace(tzinfo=UTC))
    closes = window.closes_at(found)
    assert closes is not None
    assert closes.astimezone(UTC) - found.astimezone(UTC) == timedelta(hours=hours)


def test_the_repeated_hour_is_told_apart() -> None:
    """The first and the second half past two of an autumn night are different moments, in whatever zone they come."""
    window = Window.parse("02:15-02:45 Europe/Berlin")
    assert window.is_open(berlin("2024-10-27T02:30"))
    assert not window.is_open(berlin("2024-10-27T02:30", fold=1))
    assert window.is_open(datetime(2024, 10, 27, 0, 30, tzinfo=UTC))


def test_stretches_that_touch_are_one() -> None:
    """A window that goes on on the next day closes only at its real end."""
    window = Window.parse("mon-fri 19:00-07:00; sat,sun 00:00-24:00; sat 06:00-12:00 Europe/Berlin")
    assert same(window.closes_at(berlin("2024-05-17T20:00")), berlin("2024-05-20T00:00"))
    assert same(window.opens_at(berlin("2024-05-17T12:00")), berlin("2024-05-17T19:00"))
    moment = berlin("2024-05-17T12:00")
    assert same(window.closes_at(moment), moment)


@pytest.mark.parametrize("text", ["00:00-24:00", "mon-sun 12:00-12:01; 12:01-12:00", "00-12;12-24"])
def test_a_window_that_never_closes(text: str) -> None:
    """A window that is always open has no end."""
    window = Window.parse(f"{text} Europe/Berlin")
    moment = berlin("2024-03-31T03:00")
    assert window.is_open(moment)
    assert window.closes_at(moment) is None


def test_moments_come_in_the_zone_of_the_window() -> None:
    """What is returned is aware, in the zone that the text names."""
    opens = Window.parse("19:00-07:00 America/New_York").opens_at(datetime(2024, 5, 15, 12, 0, tzinfo=UTC))
    assert (opens.hour, opens.utcoffset()) == (19, timedelta(hours=-4))


def test_a_country_that_skipped_a_day() -> None:
    """Samoa had no 30 December 2011; a window of that Friday opens a week later."""
    window = Window.parse("fri 12:00-13:00 Pacific/Apia")
    opens = window.opens_at(datetime(2011, 12, 30, 9, 0, tzinfo=UTC))
    assert opens.isoformat() == "2012-01-06T12:00:00+14:00"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of this machine cannot be set here")
def test_the_zone_of_this_machine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a zone the clocks of this machine count, with their summer time."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        window = Window.parse("19:00-07:00")
        opens = window.opens_at(datetime(2024, 3, 9, 20, 0, tzinfo=UTC))
        assert same(opens, datetime(2024, 3, 10, 0, 0, tzinfo=UTC))
        assert same(window.closes_at(opens), datetime(2024, 3, 10, 11, 0, tzinfo=UTC))  # 11 hours
        assert same(Window.parse("02:30-04:00").opens_at(opens), datetime(2024, 3, 10, 7, 0, tzinfo=UTC))
        wait = Pace(window="19:00-07:00", wall=lambda: datetime(2024, 5, 15, 16, 0, tzinfo=UTC)).may_ask()
        assert wait == Wait(7 * 3600, "waiting for the window, resumes 19:00")
    finally:
        monkeypatch.undo()
        time.tzset()


clock = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
days = st.lists(st.sampled_from(["mon", "tue", "fri", "sat", "sun", "mon-fri", "sat-sun", "fri-tue"]), max_size=3)
parts = st.tuples(days, clock, clock).filter(lambda part: part[1] != part[2])
zones = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC"]
)
texts = st.builds(
    lambda parts, zone: "; ".join(f"{','.join(d)} {b}-{e}" for d, b, e in parts) + f" {zone}",
    st.lists(parts, min_size=1, max_size=3),
    zones,
)
near_a_change = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from([datetime(2024, 3, 31, 1), datetime(2024, 10, 27, 1), datetime(2024, 11, 3, 6)]),
    st.integers(-3000, 3000),
)
moments = (near_a_change | st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1))).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(texts, moments, st.floats(0, 0.999))
def test_it_is_closed_until_it_opens_and_open_until_it_closes(text: str, moment: datetime, part: float) -> None:
    """The moment of opening is open and nothing before it is; then it is open up to the moment of closing."""
    window = Window.parse(text)
    opens = window.opens_at(moment).astimezone(UTC)
    assert opens >= moment
    assert window.is_open(opens)
    assert window.is_open(moment) is (opens == moment)
    if opens > moment:
        assert not window.is_open(moment + (opens - moment) * part)
        assert not window.is_open(opens - timedelta(microseconds=1))
    closes = window.closes_at(opens)
    if closes is None:
        assert window.is_open(moment + timedelta(days=30) * part)
    else:
        closes = closes.astimezone(UTC)
        assert closes > opens
        assert not window.is_open(closes)
        assert window.is_open(opens + (closes - opens) * part)


@given(texts, moments)
def test_the_clock_on_the_wall_agrees(text: str, moment: datetime) -> None:
    """Away from changes of the clock, it is open exactly when the local time lies in one of the ranges."""
    window = Window.parse(text)
    local = moment.astimezone(window.zone)
    if len({(local + timedelta(hours=hours)).utcoffset() for hours in range(-30, 31)}) > 1:
        return
    minute = local.hour * 60 + local.minute
    expected = any(
        (local.weekday() in span.days and span.begin <= minute < span.end)
        or ((local.weekday() - 1) % 7 in span.days and span.begin <= minute + 1440 < span.end)
        for span in window.spans
    )
    assert window.is_open(moment) is expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "''"),
        ("at night", "'at night'"),
        ("19:00", "'19:00'"),
        ("19:00-07:00;", "''"),
        ("19:00-25:00", "'25:00'"),
        ("19:60-20:00", "'19:60'"),
        ("24:30-07:00", "'24:30'"),
        ("24:00-07:00", "no length"),
        ("19:00-19:00", "00:00-24:00"),
        ("00:00-00:00", "00:00-24:00"),
        ("mo 19:00-07:00", "'mo'"),
        ("monkey 19:00-07:00", "'monkey'"),
        ("mon-tue-wed 19:00-07:00", "'mon-tue-wed'"),
        ("mon- 19:00-07:00", "'mon-19:00-07:00'"),
        ("mon, 19:00-07:00", "no time of the week"),
        ("19:00-07:00 Europe/Berln", "'Europe/Berlin' is one"),
        ("19:00-07:00 Europe", "'Europe' is no time zone"),
        ("19:00-07:00 ../passwd", "is no time zone"),
        ("19:00-07:00 +01:00", "is no time zone"),
        ("19:00-07:00 mon-fri", "is no time zone"),
        ("19:00-07:00 UTC; sat 12:00-13:00", "one time zone for all"),
        (None, "not a text"),
        (19, "not a text"),
    ],
)
def test_text_that_cannot_be_meant(text: Any, word: str) -> None:
    """A bad text is an error with the value, the reason and an example that works."""
    with pytest.raises(ConfigurationError) as caught:
        Window.parse(text)
    message = str(caught.value)
    assert repr(text) in message
    assert word in message
    assert "'mon-fri 19:00-07:00; sat,sun 00:00-24:00 Europe/Berlin'" in message


def test_a_window_is_a_value() -> None:
    """Windows compare by value and are shown by their text."""
    window = Window.parse("19:00-07:00 UTC")
    assert window == Window.parse("19:00-07:00 UTC")
    assert hash(window) == hash(Window.parse("19:00-07:00 UTC"))
    assert Window.parse(window) is window
    assert repr(window) == "Window(text='19:00-07:00 UTC')"


def test_days_have_three_letters() -> None:
    """A day of the week is named as a window names it."""
    assert [name_weekday(datetime(2024, 5, day, tzinfo=UTC)) for day in (13, 18, 19)] == ["Mon", "Sat", "Sun"]
