"""Which C-MOVE is worth another try, and when. Pure; it waits for nothing itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Self, TypeAlias

from dicomover.errors import AssociationLost, ConfigurationError, LostBy, NodeError, ProtocolError, QueryRefused
from dicomover.outcome import CANCELLED, SUCCESS, Counters, Ended, Status, is_warning
from dicomover.text.face import advise, setting

__all__ = [
    "DISK_FULL",
    "RETRIABLE",
    "Kind",
    "Retry",
    "RetryLike",
    "Tried",
    "classify",
    "is_out_of_resources",
    "schedule_retry",
]

Kind = Literal["never", "transient", "once"]
"""Whether to try again: never; with growing pauses, up to the last attempt; or once more, and then believe it."""

DISK_FULL = 0xA700
"""What our own receiver answers when the disk is full or the quota is reached (PS3.4 section B.2.3)."""

RetryLike: TypeAlias = "Retry | int | str | None"

RETRIABLE = (Status.LOST, Status.PARTIAL, Status.FAILURE, Status.EMPTY)
"""The verdicts that another attempt may change."""

# Missing attribute, SOP Class not supported, not authorised, unrecognised operation, mistyped argument (PS3.7 Annex C);
# Move Destination unknown (PS3.4 Table C.4-2).
_PERMANENT = frozenset({0x0120, 0x0122, 0x0124, 0x0211, 0x0212, 0xA801})
_DUPLICATE_INVOCATION = 0x0210  # of the Message ID; the next attempt has another one
_RANDOM = Random()  # noqa: S311 - spreads retries, keeps no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a request is tried, how long to pause in between, and after which verdicts.

    Parameters
    ----------
    attempts
        C-MOVEs for one request at most, the first one included.
    first_wait
        Seconds before the second attempt. The pause doubles with each further one, and its second half is random, so
        that what failed together does not come back together.
    longest_wait
        Seconds that a pause never exceeds.
    on
        The verdicts to try again after, of `lost`, `partial`, `failure` and `empty`. Even then only what may work
        the next time is tried again.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Notes
    -----
    The defaults are for somebody who waits in front of a notebook: a dropped association and a moment of congestion
    are ridden out, and a request costs at most 6 s more. `Retry.overnight()` is for a batch that nobody waits for: its
    nine pauses add up to 55 minutes, which outlasts the restart of an archive.

    Examples
    --------
    >>> Retry(attempts=2, on=["lost"])
    Retry(attempts=2, first_wait=2, longest_wait=30, on=('lost',))
    >>> Retry.none().attempts
    1
    """

    attempts: int = 3
    first_wait: float = 2
    longest_wait: float = 30
    on: Collection[str] = tuple(str(status) for status in RETRIABLE)

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError(
                f"{setting('retry attempts', self.attempts)} is not a whole number above 0",
                "1 is the first attempt and no retry",
            )
        for name in ("first_wait", "longest_wait"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"retry {name}={value!r} is not a number of seconds above 0", "give, say, 30")
        if self.first_wait > self.longest_wait:
            raise ConfigurationError(
                f"retry first_wait={self.first_wait!r} is longer than longest_wait={self.longest_wait!r}",
                "raise longest_wait",
            )
        known = [str(status) for status in RETRIABLE]
        given = self.on if isinstance(self.on, Collection) and not isinstance(self.on, str) else (self.on,)
        for status in given:
            if status not in known:
                raise ConfigurationError(
                    f"retry on={status!r} is no verdict that a retry can change", f"choose from {', '.join(known)}"
                )
        object.__setattr__(self, "on", tuple(status for status in known if status in given))

    def pauses(self) -> tuple[float, ...]:
        """Return how long to pause between attempts at an association, beyond the first seconds.

        An archive that is restarted in the night is worth as long a wait as a request that failed.

        Examples
        --------
        >>> Retry().pauses(), Retry(attempts=6, first_wait=30, longest_wait=100).pauses()
        ((), (30.0, 60.0, 100))
        """
        return tuple(self._pause(step) for step in range(self.attempts - 3))

    def _pause(self, step: int) -> float:
        return min(self.first_wait * 2.0 ** min(step, 64), self.longest_wait)

    @classmethod
    def none(cls) -> Self:
        """Return: one attempt, whatever comes of it."""
        return cls(attempts=1)

    @classmethod
    def overnight(cls) -> Self:
        """Return: ten attempts, after 30 s, doubling up to 10 minutes, as archives do among themselves."""
        return cls(attempts=10, first_wait=30, longest_wait=600)

    @classmethod
    def parse(cls, value: RetryLike) -> Retry:
        """Read what a user may write: a Retry, a number of attempts, `none`, `interactive` or `overnight`.

        Examples
        --------
        >>> Retry.parse("overnight").longest_wait
        600
        """
        if isinstance(value, Retry):
            return value
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and len(value) < 10):
            return cls(attempts=int(value) if isinstance(value, str) else value)
        named = {"None": cls.none(), "none": cls.none(), "interactive": cls(), "overnight": cls.overnight()}
        if str(value) in named:
            return named[str(value)]
        raise ConfigurationError(
            f"{setting('retry', value)} cannot be read",
            advise("give a Retry, a number of attempts, 'none', 'interactive' or 'overnight'"),
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt at a request, as it ended: what a decision about the next one needs to know."""

    # the verdict on it, and the final DIMSE status; None if none came
    status: Status
    status_code: int | None = None
    # the sub-operations as the archive counted them
    counters: Counters = Counters()  # noqa: RUF009 - frozen
    ended: Ended = Ended.ANSWERED  # how the exchange came to its end
    # instances as in the summary, and those that our own receiver refused, by C-STORE status
    expected: int | None = None
    received: int | None = None
    refused: Mapping[int, int] = field(default_factory=dict)
    error: NodeError | None = None  # what stood in the way, if it was not a C-MOVE response
    # how many associations our own receiver turned away meanwhile, and instances that belong to nobody
    turned_away: int = 0

    @property
    def has_reached_us(self) -> bool:
        """True if our own receiver has refused something meanwhile: the archive knows the way."""
        return bool(self.refused or self.turned_away)

    @property
    def moved(self) -> bool:
        """True if at least one instance is known to have moved."""
        return bool(self.counters.moved) if self.received is None else self.received > 0


def is_out_of_resources(status_code: int | None) -> bool:
    """Tell whether a status says that the archive is short of resources (0xA7xx, PS3.4 Table C.4-2)."""
    return status_code is not None and status_code >> 8 == 0xA7


def classify(tried: Tried) -> Kind:
    """Say whether another attempt may end otherwise. Pure: the same facts give the same answer.

    Notes
    -----
    - `never`: what is complete, cancelled or not found; a status that will not change (unknown destination 0xA801,
      unsuitable identifier 0xA9xx, 0x0122, 0x0124 and their like; PS3.4 Table C.4-2, PS3.7 Annex C); a permanent
      A-ASSOCIATE-RJ (PS3.8 section 9.3.4); and what our own receiver refused and would refuse again.
    - `transient`: congestion, a lost association, no TCP connection, 0xA7xx, and sub-operations that failed.
    - `once`: what may be a busy moment or simply true: success without any instance, "unable to process" (0xCxxx)
      without a count, fewer instances than C-FIND promised although the archive counts no failure.

    Examples
    --------
    >>> classify(Tried(Status.FAILURE, 0xA702)), classify(Tried(Status.FAILURE, 0xA801)), classify(Tried(Status.EMPTY))
    ('transient', 'never', 'once')
    """
    code = tried.status_code
    if tried.status not in RETRIABLE or tried.ended is Ended.CANCELLED or code == CANCELLED:
        return "never"
    if _is_ours(tried):
        return "never"
    if isinstance(tried.error, QueryRefused):
        code = tried.error.status if code is None else code
    elif tried.error is not None:
        return _classify_error(tried.error)
    if tried.status is Status.LOST:
        return "transient"
    if tried.status is Status.EMPTY:
        return "once"
    if code is None or code in _PERMANENT or code >> 8 == 0xA9:  # without a status, nothing was sent
        return "never"
    if is_out_of_resources(code) or code == _DUPLICATE_INVOCATION:
        return "transient"
    if tried.counters.failed or is_warning(code) or (tried.status is Status.PARTIAL and code != SUCCESS):
        return "transient"
    return "once"


def _is_ours(tried: Tried) -> bool:
    """Tell whether the reason lies with our own receiver: a full disk, or all that is missing was refused for good."""
    if DISK_FULL in tried.refused:
        return True
    missing = (tried.expected or 0) - (tried.received or 0)
    missing = max(missing, tried.counters.failed or 0)
    return 0 < missing <= sum(tried.refused.values())


def _classify_error(error: NodeError) -> Kind:
    if isinstance(error, ProtocolError):
        return "once"  # a peer that garbles one answer may have had a bad moment
    if isinstance(error, AssociationLost) and error.by is LostBy.STOPPED:
        return "never"
    return "transient" if error.retriable else "never"


def schedule_retry(retry: Retry, tries: Sequence[Tried], now: float, random: Random = _RANDOM) -> float | None:
    """Return when a request is tried again, on the clock of `now`; None if what the last attempt said stands.

    `tries` are the attempts at it so far, oldest first, at least one; a seeded `random` makes the moments repeatable.

    Examples
    --------
    >>> busy = Tried(Status.FAILURE, 0xA702)
    >>> moment = schedule_retry(Retry(first_wait=30), [busy], now=1000.0)
    >>> 1015 <= moment <= 1030
    True
    >>> schedule_retry(Retry(attempts=2), [busy, busy], now=1000.0) is None
    True
    """
    last = tries[-1]
    kind = classify(last)
    if kind == "never" or last.status not in retry.on:
        return None
    if kind == "once" and any(classify(earlier) == "once" for earlier in tries[:-1]):
        return None
    if len(tries) >= retry.attempts:
        return None
    longest = retry._pause(len(tries) - 1)
    return now + random.uniform(longest / 2, longest)
