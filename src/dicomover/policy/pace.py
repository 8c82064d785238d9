"""How fast an archive may be asked: in its window, at a rate, for a share of the time, with a few associations.

Nothing here sleeps, and every clock is given from outside. Moments of the day are aware datetimes; all other times are
seconds of a clock that never goes back, such as `time.monotonic`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from dicomover.errors import AssociationRejected, ConfigurationError, NodeError
from dicomover.outcome import Status
from dicomover.policy.retry import DISK_FULL, Tried, is_out_of_resources
from dicomover.policy.window import Window, name_weekday
from dicomover.text.face import setting
from dicomover.text.sentences import count_of

__all__ = ["AdaptiveAssociations", "Pace", "Sign", "Wait", "read_sign"]

_EMPTIES = 3  # empty successes in a row that mean a busy archive rather than empty requests
_RECHECK = 0.05  # seconds until an association may have become free
_LONGEST_NAP = 30.0  # seconds


def _number(name: str, value: float, most: float, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most or value == float("inf"):
        limit = "" if most == float("inf") else f" and at most {most:g}"
        raise ConfigurationError(f"{setting(name, value)} is not a number above 0{limit}", f"give, say, {example}")
    return value


class Sign(StrEnum):
    """What the end of one C-MOVE says about how busy the archive is."""

    GOOD = "good"  # it moved everything
    BUSY = "busy"  # it says that it has too much to do
    EMPTY = "empty"  # success, and nothing moved: a busy archive, if it goes on like that
    NEUTRAL = "neutral"  # nothing: the reason lies in the request, in the settings or with us


def read_sign(tried: Tried) -> Sign:
    """Read the sign: congestion is a transient A-ASSOCIATE-RJ (2/3/1, 2/3/2; PS3.8 section 9.3.4) or 0xA7xx.

    Examples
    --------
    >>> str(read_sign(Tried(Status.FAILURE, 0xA702))), str(read_sign(Tried(Status.FAILURE, 0xA801)))
    ('busy', 'neutral')
    """
    if tried.status in (Status.SUCCESS, Status.WARNING):
        return Sign.GOOD
    if DISK_FULL in tried.refused:
        return Sign.NEUTRAL
    if is_out_of_resources(tried.status_code):
        return Sign.BUSY
    if isinstance(tried.error, AssociationRejected) and tried.error.result == 2:
        return Sign.BUSY
    if tried.status is Status.EMPTY and not tried.counters.moved:
        return Sign.EMPTY
    return Sign.NEUTRAL


@dataclass(frozen=True, slots=True)
class AdaptiveAssociations:
    """How many associations may work at once: what TCP does with its window (RFC 5681), for C-MOVEs.

    It begins with 2 and allows one more after each success, so that a small batch is not held up. A busy archive halves
    the number, once for all that was under way together; from there each further association takes as many successes as
    there are associations.

    Examples
    --------
    >>> eight = AdaptiveAssociations(8)
    >>> for second in range(3):
    ...     eight = eight.after(Sign.GOOD, begun=second, now=second + 1, working=2)
    >>> eight.limit, eight.after(Sign.BUSY, begun=3, now=4, working=5).limit
    (5, 2)
    """

    most: int  # never more than these; never less than 1 either
    limit: int = 2  # how many may work now
    slow_from: float = float("inf")  # from here on it grows slowly
    # in a row, since the limit last changed
    successes: int = 0
    empties: int = 0
    cut_at: float = -float("inf")  # when it was last halved; what began earlier has no say any more

    def __post_init__(self) -> None:
        if isinstance(self.most, bool) or not isinstance(self.most, int) or self.most < 1:
            raise ConfigurationError(f"{setting('associations', self.most)} is not a whole number above 0", "give one")
        object.__setattr__(self, "limit", max(1, min(self.limit, self.most)))

    def after(self, sign: Sign, *, begun: float, now: float, working: int) -> AdaptiveAssociations:
        """Return the state after a C-MOVE, or an A-ASSOCIATE, that began at `begun` with so many at work."""
        if sign is Sign.NEUTRAL or begun < self.cut_at:
            return self
        if sign is Sign.GOOD:
            successes = self.successes + 1
            if self.limit == self.most or successes < (1 if self.limit < self.slow_from else self.limit):
                return replace(self, successes=successes, empties=0)
            return replace(self, limit=self.limit + 1, successes=0, empties=0)
        if sign is Sign.EMPTY and self.empties + 1 < _EMPTIES:
            return replace(self, empties=self.empties + 1)
        half = max(1, min(self.limit, working) // 2)
        return replace(self, limit=half, slow_from=half, successes=0, empties=0, cut_at=now)


@dataclass(frozen=True, slots=True)
class Wait:
    """How many seconds until it is worth asking again, and why, in words for the progress view."""

    seconds: float
    why: str

    @property
    def nap(self) -> float:
        """How long to sleep at most before asking again: clocks are set, and machines sleep."""
        return min(self.seconds, _LONGEST_NAP)


class Pace:
    """Joins all of this for the workers of a batch. Every method may be called from any thread; none of them sleeps.

    None is no limit.

    Examples
    --------
    >>> pace = Pace(max_per_minute=20, monotonic=lambda: 0.0)
    >>> pace.may_start()
    >>> pace.may_start()
    Wait(seconds=3.0, why='not more than 20 a minute')
    """

    # `may_start` counts a worker in, and either `ended` or `withdraw` counts it out: each exactly once. One lock holds
    # the counts, the rest and the window together, so that two workers never take the last place at the same moment;
    # nobody sleeps under it.

    def __init__(
        self,
        *,
        associations: int = 2,
        window: Window | str | None = None,
        max_per_minute: float | None = None,  # C-MOVEs, evenly spaced, so that no minute sees more
        utilization: float | None = None,  # the share of the time in which we keep an association busy, at most 1
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._adaptive = AdaptiveAssociations(associations)
        self._window = None if window is None else Window.parse(window)
        rate = None if max_per_minute is None else _number("max_per_minute", max_per_minute, float("inf"), "20")
        self._spacing = 0.0 if rate is None else 60 / rate  # seconds from one C-MOVE to the next
        self._next_at = -float("inf")
        self._utilization = 1.0 if utilization is None else _number("utilization", utilization, 1, "0.5")
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()
        self._stretch: tuple[datetime, datetime | None] | None = None
        self._working = 0
        self._alone: object = None  # what is to run without another one beside it
        self._resting: list[float] = []  # when each of them has rested, the earliest first

    @property
    def associations(self) -> int:
        """How many associations may work now; an idle one above that had better be released."""
        return self._adaptive.limit

    def may_ask(self) -> Wait | None:
        """Return what a C-FIND has to wait for: the window alone; None if it may go."""
        with self._lock:
            return self._until_open()

    def may_start(self, alone: object = None) -> Wait | None:
        """Return what the next C-MOVE has to wait for; None lets the caller send it, and `ended` must follow.

        One that is to be `alone` waits for all that are under way, and no other one begins from its first question
        on until `let_others` is called with what it has named itself by.
        """
        with self._lock:
            now = self._monotonic()
            if self._alone is None:
                self._alone = alone
            if self._alone is not alone or (alone is not None and self._working):
                return Wait(_RECHECK, "one at a time for now")
            while self._resting and self._resting[0] <= now:
                heapq.heappop(self._resting)
            wait = self._until_open() or self._until_free(now)
            if wait is None and now < self._next_at:
                wait = Wait(self._next_at - now, f"not more than {60 / self._spacing:g} a minute")
            if wait is None:
                self._working += 1
                self._next_at = now + self._spacing
            return wait

    def let_others(self, alone: object) -> None:
        """Let others begin again, if it was this one that was to be alone."""
        with self._lock:
            if self._alone is alone:
                self._alone = None

    def ended(self, tried: Tried, seconds: float) -> str | None:
        """Take in what a C-MOVE came to and how long it took; return a sentence if its archive turns out to be busy."""
        with self._lock:
            now = self._monotonic()
            busy = self._learn(read_sign(tried), now - seconds, now)
            self._working -= 1
            rest = seconds * (1 / self._utilization - 1)
            if rest > 0:
                heapq.heappush(self._resting, now + rest)
            return busy

    def withdraw(self) -> None:
        """Give back what `may_start` gave, unused."""
        with self._lock:
            self._working -= 1

    def rejected(self, error: NodeError, seconds: float) -> str | None:
        """Take in that there was no association, after so many seconds; return a sentence as `ended` does."""
        with self._lock:
            now = self._monotonic()
            return self._learn(read_sign(Tried(Status.FAILURE, error=error)), now - seconds, now)

    def _learn(self, sign: Sign, begun: float, now: float) -> str | None:
        before, working = self._adaptive, self._working + len(self._resting)
        self._adaptive = before.after(sign, begun=begun, now=now, working=working)
        limit = self._adaptive.limit
        if limit >= before.limit:
            return None
        return f"the archive refuses some of the work, going on with {count_of(limit, 'association')}"

    def _until_free(self, now: float) -> Wait | None:
        limit = self._adaptive.limit
        if self._working + len(self._resting) < limit:
            return None
        if self._working >= limit or not self._resting:
            return Wait(_RECHECK, f"{limit} at a time")
        return Wait(self._resting[0] - now, f"resting, at work for {self._utilization:.0%} of the time")

    def _until_open(self) -> Wait | None:
        if self._window is None:
            return None
        moment = self._wall().astimezone(UTC)
        begin, end = self._stretch or (moment, moment)
        if moment < begin or (end is not None and moment >= end):
            begin, end = self._stretch = self._window.stretch(moment)
        if begin <= moment:
            return None
        wait, begin = (begin - moment).total_seconds(), begin.astimezone(self._window.zone)
        day = "" if wait < 24 * 3600 else f"{name_weekday(begin)} "
        zone = "" if self._window.zone is None else f" {self._window.zone.key}"
        return Wait(wait, f"waiting for the window, resumes {day}{begin:%H:%M}{zone}")
