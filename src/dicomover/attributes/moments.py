"""Dates, times and moments (DA, TM, DT), single or as ranges, as stretches of time that can be compared."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MOMENTS", "Stretch", "read_stretch"]

MOMENTS = frozenset({"DA", "DT", "TM"})
"""The VRs that say when."""

_DATE = r"(?P<year>\d{4})(?:(?P<dash>[.-]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d))"
_CLOCK = r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<part>\d+))?)?)?"
_FORMS = {
    "DA": re.compile(_DATE, re.ASCII),
    "TM": re.compile(_CLOCK, re.ASCII),
    "DT": re.compile(
        r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
        r"(?:(?P<second>\d\d)(?:\.(?P<part>\d+))?)?)?)?)?)?(?P<zone>[+-](?:0\d|1[0-4])[0-5]\d)?",
        re.ASCII,
    ),
}
_BEGIN, _END = datetime.min, datetime.max


class Stretch(NamedTuple):
    """From its first to its last microsecond, and how far its clock is ahead of UTC, None if it does not say.

    What is not written of a moment is open: the time 10 is all from 10:00:00 to 10:59:59.999999.
    """

    first: datetime
    last: datetime
    ahead: timedelta | None = None

    def meets(self, other: Stretch) -> bool:
        """Tell whether the two have a moment in common; clocks that both say how far they are ahead are set alike."""
        by = _difference(self, other)
        return self.first <= _later(other.last, by) and _later(other.first, by) <= self.last


@lru_cache(maxsize=4096)
def read_stretch(vr: str, text: str) -> Stretch | None:
    """Return what a value or a range of values stands for; None if it is none, or ends before it begins.

    Old ways of writing are understood as well: 2024.01.31, 2024-01-31, 10:15:30.

    Examples
    --------
    >>> day = read_stretch("DA", "20240229")
    >>> day.meets(read_stretch("DA", "20240101-")), day.meets(read_stretch("DA", "-20240131"))
    (True, False)
    >>> read_stretch("DA", "20240231"), read_stretch("TM", "1200-1100"), read_stretch("DA", "-")
    (None, None, None)
    """
    single = _read(vr, text)
    if single is not None:
        return single
    for before, after in _sides(text):
        begin, end = _read(vr, before), _read(vr, after)
        if (begin is None) == bool(before) or (end is None) == bool(after) or (begin is None and end is None):
            continue
        either = begin or end
        assert either is not None
        last = _END if end is None else _later(end.last, _difference(either, end))
        stretch = Stretch(_BEGIN if begin is None else begin.first, last, either.ahead)
        return stretch if stretch.first <= stretch.last else None
    return None


def _difference(one: Stretch, other: Stretch) -> timedelta:
    """Return what the clock of the first is ahead of the other's, nothing if one does not say."""
    return timedelta() if one.ahead is None or other.ahead is None else one.ahead - other.ahead


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment if moment in (_BEGIN, _END) else moment + by
    except OverflowError:
        return moment


def _sides(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before and after each dash: of a moment with a zone there may be three."""
    for place, character in enumerate(text):
        if character == "-":
            yield text[:place], text[place + 1 :]


def _read(vr: str, text: str) -> Stretch | None:
    match = _FORMS[vr].fullmatch(text)
    if match is None:
        return None
    said = match.groupdict()
    parts = (said.get(name) for name in ("year", "month", "day", "hour", "minute", "second"))
    year, month, day, hour, minute, second = (None if part is None else int(part) for part in parts)
    if vr == "TM":
        year, month, day = 2000, 1, 1
    second = 59 if second == 60 else second  # a leap second is no moment of its own
    zone, part = said.get("zone"), (said.get("part") or "")[:6]
    begun, ended = int(part.ljust(6, "0")), int(part.ljust(6, "9"))
    try:
        first = datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0, begun)
        month = month or 12
        day = day or monthrange(first.year, month)[1]
        hour, minute, second = (
            most if part is None else part for part, most in ((hour, 23), (minute, 59), (second, 59))
        )
        last = datetime(first.year, month, day, hour, minute, second, ended)
    except ValueError:
        return None
    ahead = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:])) if zone else None
    return Stretch(first, last, ahead)
