"""Stretches of study dates, and of the times of a day, that can be asked for and halved. No network."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

__all__ = ["Span"]

_RANGE = re.compile(r"(\d{8})?(-)?(\d{8})?")
_DAY = timedelta(days=1)
_OLDEST = date(1970, 1, 1)
_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included, None if open; or of one day the minutes from `begin` to `end`.

    Times of two neighbours meet in one minute's beginning, which both ask for: how an archive compares `115959.5` with
    `1159` is its own matter.

    Examples
    --------
    >>> span = Span.parse("20240101-20240103")
    >>> span.keys()
    {'StudyDate': '20240101-20240103'}
    >>> [str(half) for half in span.halves(date(2024, 6, 1))]
    ['StudyDate 20240101-20240102', 'StudyDate 20240103']
    >>> [str(half) for half in Span.parse("20240103").halves(date(2024, 6, 1))]
    ['StudyDate 20240103, StudyTime -120000', 'StudyDate 20240103, StudyTime 120000-']
    """

    first: date | None
    last: date | None
    begin: int = 0
    end: int = _MINUTES

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a StudyDate key: a date or a range of dates; None if it is anything else."""
        match = _RANGE.fullmatch(text)
        if match is None or not (match[1] or match[3]) or (match[1] and match[3] and not match[2]):
            return None
        try:
            first, last = (None if part is None else _date(part) for part in (match[1], match[3]))
        except ValueError:
            return None
        if match[2] is None:
            last = first
        return None if first is not None and last is not None and last < first else cls(first, last)

    @property
    def is_within_a_day(self) -> bool:
        """True if it asks for a StudyTime too."""
        return (self.begin, self.end) != (0, _MINUTES)

    def keys(self) -> dict[str, str]:
        """Return the query keys that ask for it."""
        first, last = ("" if day is None else _text(day) for day in (self.first, self.last))
        keys = {"StudyDate": first if first == last else f"{first}-{last}"}
        if self.is_within_a_day:
            begin = _time(self.begin) if self.begin > 0 else ""
            end = _time(self.end) if self.end < _MINUTES else ""
            keys["StudyTime"] = f"{begin}-{end}"
        return keys

    def __str__(self) -> str:
        return ", ".join(f"{keyword} {value}" for keyword, value in self.keys().items())

    def halves(self, today: date, *, times: bool = True) -> tuple[Self, Self] | None:
        """Return its two halves, None if it is as small as it gets: a minute, or a day without `times`.

        Where a span is open at its end, that is thought to be today when its middle is looked for.
        """
        if self.first is not None and self.first == self.last:
            if not times or self.end - self.begin < 2:
                return None
            noon = (self.begin + self.end) // 2
            return replace(self, end=noon), replace(self, begin=noon)
        low = self.first or _OLDEST
        high = self.last or today
        if low > high or (self.first is None and low == high):
            return None
        middle = low + (high - low) // 2
        return replace(self, last=middle), replace(self, first=middle + _DAY)


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _text(day: date) -> str:
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


def _time(minute: int) -> str:
    return f"{minute // 60:02d}{minute % 60:02d}00"
