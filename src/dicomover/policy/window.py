"""The times of the week at which an archive may be asked. Nothing here reads a clock; every moment is given."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

from dicomover.errors import ConfigurationError

__all__ = ["Window", "name_weekday"]

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MINUTES = 24 * 60
_PART = re.compile(r"(?:([a-z,-]+) )?(\d{1,2}(?::\d\d)?)-(\d{1,2}(?::\d\d)?)(?: (\S+))?", re.IGNORECASE)
_HORIZON = 17  # days: more than two weeks, since a change to summer time can swallow a weekly hour


@dataclass(frozen=True, slots=True)
class _Span:
    """Minutes of the day (above 1440: of the next one) on some weekdays, Monday being 0."""

    begin: int
    end: int
    days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """The times of the week at which an archive may be asked. Made by `Window.parse`.

    Notes
    -----
    The text is one or more of `[days] begin-end`, separated by `;`, and at the end the time zone, if it is not that of
    this machine. Days are English names or their first three letters, joined by `,` or as a range that includes both
    ends (`mon-wed,sat`); without days it is every day. Times are `19:00` or `19`, up to `24:00`. An end that is not
    after the begin lies on the next day: `fri 19:00-07:00` ends on Saturday morning. The begin belongs to the window,
    the end does not. Where the clock is put forward, a time that does not exist is the moment of the change; where it
    is put back, a time that comes twice is the first one.

    Examples
    --------
    >>> window = Window.parse("mon-fri 19:00-07:00; sat,sun 00:00-24:00 Europe/Berlin")
    >>> wednesday_noon = datetime(2024, 5, 15, 10, 0, tzinfo=UTC)
    >>> window.is_open(wednesday_noon)
    False
    >>> print(window.opens_at(wednesday_noon))
    2024-05-15 19:00:00+02:00
    """

    text: str
    spans: tuple[_Span, ...] = field(repr=False)
    zone: zoneinfo.ZoneInfo | None = field(repr=False)

    @classmethod
    def parse(cls, text: str | Window) -> Window:
        """Read a text; a Window is returned as it is.

        Raises
        ------
        ConfigurationError
            If it cannot be meant.
        """
        if isinstance(text, Window):
            return text
        if not isinstance(text, str):
            raise _unreadable(text, "it is not a text")
        tidy = re.sub(r"\s*([-,;])\s*", r"\1", " ".join(text.replace("–", "-").split()))
        spans: list[_Span] = []
        zone = None
        parts = tidy.split(";")
        for number, part in enumerate(parts, 1):
            match = _PART.fullmatch(part)
            if match is None:
                raise _unreadable(text, f"{part!r} is no time of the week")
            begin, end = (_minute(text, group) for group in match.group(2, 3))
            if begin in (end, _MINUTES):
                raise _unreadable(text, f"{part!r} has no length; a whole day is 00:00-24:00")
            spans.append(_Span(begin, end if end > begin else end + _MINUTES, _days(text, match[1])))
            if match[4] is not None:
                if number < len(parts):
                    raise _unreadable(text, f"{match[4]!r} does not stand at the end; there is one time zone for all")
                zone = _zone(text, match[4])
        return cls(text, tuple(sorted(spans, key=lambda span: span.begin)), zone)

    def is_open(self, moment: datetime) -> bool:
        """Tell whether a C-MOVE may begin at this moment."""
        return self.stretch(moment)[0] <= moment.astimezone(UTC)

    def opens_at(self, moment: datetime) -> datetime:
        """Return when it opens next, in its own time zone; the moment itself if it is open then."""
        return self.stretch(moment)[0].astimezone(self.zone)

    def closes_at(self, moment: datetime) -> datetime | None:
        """Return when it closes next, in its own time zone; the moment itself if it is closed then, None if never."""
        moment = moment.astimezone(UTC)
        begin, end = self.stretch(moment)
        closes = end if begin <= moment else moment
        return None if closes is None else closes.astimezone(self.zone)

    def stretch(self, moment: datetime) -> tuple[datetime, datetime | None]:
        """Return, in UTC, from when (the moment itself or later) until when it is open; None if it never closes."""
        # All comparisons are made in UTC: within one zone, Python compares the wall clocks and not the moments.
        moment = moment.astimezone(UTC)
        begin, end = next(self._stretches(moment))
        return max(begin, moment), None if end - moment > timedelta(days=_HORIZON - 3) else end

    def _stretches(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield begin and end, in UTC, of what is open after a moment; stretches that touch are one."""
        today = moment.astimezone(self.zone).date()
        begin = end = datetime.min.replace(tzinfo=UTC)
        for day in (today + timedelta(days) for days in range(-2, _HORIZON)):
            midnight = datetime.combine(day, time_of_day())
            for span in (span for span in self.spans if day.weekday() in span.days):
                first, last = (self._instant(midnight + timedelta(minutes=m)) for m in (span.begin, span.end))
                if first >= last:
                    continue  # the clock was put forward over it
                if first > end:
                    if end > moment:
                        yield begin, end
                    begin = first
                end = max(end, last)
        yield begin, end

    def _instant(self, wall: datetime) -> datetime:
        """Return the moment at which the clocks of the zone show this (the first one; the next if they never do)."""
        # timestamp() rather than astimezone(), which goes the wrong way over a gap when the zone is this machine's.
        late, early = (int(wall.replace(tzinfo=self.zone, fold=fold).timestamp()) for fold in (0, 1))

        def shown(second: int) -> datetime:
            return datetime.fromtimestamp(second, UTC).astimezone(self.zone)

        if shown(late).replace(tzinfo=None) != wall:
            after = shown(late).utcoffset()
            late = early + bisect_left(range(early, late), True, key=lambda second: shown(second).utcoffset() == after)
        return datetime.fromtimestamp(late, UTC)


def _unreadable(text: object, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"window {text!r} cannot be read: {why}",
        "write, for example, '19:00-07:00' or 'mon-fri 19:00-07:00; sat,sun 00:00-24:00 Europe/Berlin'",
    )


def _minute(text: str, shown: str) -> int:
    hours, _, minutes = shown.partition(":")
    minute = int(hours) * 60 + int(minutes or 0)
    if int(minutes or 0) > 59 or minute > _MINUTES:
        raise _unreadable(text, f"{shown!r} is no time of the day, 00:00 to 24:00")
    return minute


def _days(text: str, shown: str | None) -> tuple[int, ...]:
    if shown is None:
        return tuple(range(7))
    days: set[int] = set()
    for item in shown.lower().split(","):
        ends = [
            [number for number, day in enumerate(_DAYS) if len(name) > 2 and day.startswith(name)]
            for name in item.split("-")
        ]
        if len(ends) > 2 or not all(ends):
            raise _unreadable(text, f"{item!r} is no day of the week and no range of days, such as 'fri' or 'mon-fri'")
        (first,), (last,) = ends[0], ends[-1]
        days.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    return tuple(sorted(days))


def _zone(text: str, name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder, such as "Europe"
        near = difflib.get_close_matches(name, sorted(zoneinfo.available_timezones()), 1, 0.5)
        raise _unreadable(text, f"{name!r} is no time zone" + "".join(f", {n!r} is one" for n in near)) from error


def name_weekday(moment: datetime) -> str:
    """Return the day of the week, such as `Sat`."""
    return _DAYS[moment.weekday()][:3].capitalize()
