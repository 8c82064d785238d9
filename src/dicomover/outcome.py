"""What became of a C-MOVE: its counters, how it ended, and the one function that judges it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

__all__ = [
    "CANCELLED",
    "CODES",
    "MOST_COUNTED",
    "SUCCESS",
    "Counters",
    "Ended",
    "Status",
    "Verify",
    "describe",
    "is_warning",
    "judge",
    "judge_all",
    "settle",
    "weigh",
]

SUCCESS = 0x0000
CANCELLED = 0xFE00

MOST_COUNTED = 0xFFFF
"""What a counter of sub-operations can say at most."""

_ROUND = MOST_COUNTED + 1

Verify = Literal["counts", "instances", "destination", "none"]
"""What shows that all has arrived: how many instances, which ones, what the destination has of them, or nothing."""


class Status(StrEnum):
    """The verdict on one request, from best to worst; the order is that of the summary's category."""

    SUCCESS = "success"
    WARNING = "warning"
    PARTIAL = "partial"
    FAILURE = "failure"
    EMPTY = "empty"
    NOT_FOUND = "not-found"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    INVALID = "invalid"

    @property
    def complete(self) -> bool:
        """True if everything that was asked for was moved, now or earlier."""
        return self in (Status.SUCCESS, Status.WARNING, Status.SKIPPED)


class Ended(StrEnum):
    """How the exchange of one C-MOVE came to its end."""

    ANSWERED = "answered"  # a final response came
    LOST = "lost"  # the association died, or nothing came for too long
    CANCELLED = "cancelled"  # we asked to cancel and had no final response
    UNSENT = "unsent"  # the request never left


@dataclass(frozen=True, slots=True)
class Counters:
    """Sub-operations as the PACS counted them; None where it never said.

    Completed, failed and warning keep the largest number seen, since some archives end with
    zeros after files have moved. `remaining` is what the last response said that counted at all; where it left that
    out, as a final one does, what had been counted before and is accounted for by nothing since.

    On the wire they have 16 bits (PS3.7 section E.1): of more than 65,535 an archive stops counting there, or begins
    anew at 0. Where it begins anew between two responses the count goes on here.
    """

    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    remaining: int | None = None

    @property
    def moved(self) -> int | None:
        """Instances that the PACS says have moved, with or without a warning."""
        return _total(self.completed, self.warning)

    @property
    def due(self) -> int | None:
        """The same, and those that it called remaining when it last counted: nothing shows that they have moved."""
        return _total(self.moved, self.remaining)

    def merge(self, later: Counters) -> Counters:
        """Take in the counters of a later response to the same request."""
        merged = Counters(
            _count_on(self.completed, later.completed),
            _count_on(self.failed, later.failed),
            _count_on(self.warning, later.warning),
            self.remaining if later == Counters() else later.remaining,
        )
        return merged._leaving_open(self)

    def carry(self, earlier: Counters) -> Counters:
        """Return these, of a later attempt, but never less moved or due than an earlier one at the same had shown."""
        moved = self
        if (self.moved or 0) < (earlier.moved or 0):
            moved = replace(self, completed=earlier.completed, warning=earlier.warning)
        return moved._leaving_open(earlier)

    def _leaving_open(self, earlier: Counters) -> Counters:
        """Call remaining what was counted earlier, as whatever, and is accounted for by nothing now."""
        left = earlier._counted - self._counted
        can_tell = self.remaining is None and (self.completed or 0) != MOST_COUNTED
        return replace(self, remaining=left) if can_tell and left > 0 else self

    @property
    def _counted(self) -> int:
        return _total(self.completed, self.failed, self.warning, self.remaining) or 0

    def __add__(self, other: Counters) -> Counters:
        """Sum the counters of two different C-MOVEs."""
        return Counters(
            _total(self.completed, other.completed),
            _total(self.failed, other.failed),
            _total(self.warning, other.warning),
            _total(self.remaining, other.remaining),
        )


def _total(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _count_on(known: int | None, said: int | None) -> int | None:
    """Return the larger one, or where 16 bits began anew at 0 in between, what is meant."""
    if known is None or said is None:
        return known if said is None else said
    if 0 < said <= MOST_COUNTED:
        rounds = known // _ROUND + (known % _ROUND - said > _ROUND // 2)
        said += rounds * _ROUND
    return max(known, said)


_WORDS = {
    0x0000: "success",
    0x0110: "processing failure",
    0x0119: "class and instance do not agree",
    0x0120: "missing attribute",
    0x0122: "SOP Class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0xA700: "out of resources",
    0xA701: "out of resources: cannot count the matches",
    0xA702: "out of resources: cannot send the images",
    0xA801: "Move Destination unknown",
    0xA900: "identifier does not match the SOP Class",
    0xB000: "some sub-operations failed or had warnings",
    0xFE00: "cancelled",
}

CODES = tuple(_WORDS)
"""The statuses that have a meaning of their own."""


def describe(status_code: int) -> str:
    """Say a DIMSE status in words (PS3.4 Tables C.4-1 and C.4-2, PS3.7 Annex C).

    Examples
    --------
    >>> describe(0xA801)
    '0xA801 (Move Destination unknown)'
    """
    words = _WORDS.get(status_code)
    if words is None:
        words = "unable to process" if status_code >> 12 == 0xC else "a status that the Standard does not define here"
    return f"0x{status_code:04X} ({words})"


def is_warning(status_code: int) -> bool:
    """Tell whether a DIMSE status is of the class Warning (PS3.7 Annex C)."""
    return status_code >> 12 == 0xB or status_code in (0x0001, 0x0107, 0x0116)


def judge(
    status_code: int | None,  # the final one; None if none came
    counters: Counters,
    *,
    expected: int | None = None,  # instances that should arrive, from C-FIND; None if unknown
    # Distinct instances of this request that are there: on our disk, or at a destination that was asked. None if nobody
    # has looked.
    received: int | None = None,
    repeated: int = 0,  # sub-operations that brought what had come already: the same image, or other bytes of its UID
    missing: int = 0,  # instances that are not there of those that the archive listed by their UIDs
    listed: bool = False,  # whether it listed them all, so that `missing` says it all
    # Instances that came under what was asked for as another patient's. They count for nothing, but where all else is
    # well somebody should look: that is a warning.
    strange: int = 0,
    ended: Ended = Ended.ANSWERED,
    cancelled: bool = False,  # whether we asked to cancel
) -> Status:
    """Say what became of one C-MOVE. Pure: the same facts give the same verdict.

    What arrived counts more than what the PACS claims, and the PACS counts more than its final status. Complete is when
    all that was listed is there: then a sub-operation that the PACS counts as failed is one with a warning, as some
    count those of a destination that warned. A final 0x0000 is believed only as far as something shows what moved: an
    archive that says success and gives no number, while a third party receives, is `empty`; one that last counted some
    as remaining is `partial`; and one that was asked to cancel is `cancelled`, unless all that C-FIND promised has
    moved.

    Examples
    --------
    >>> judge(0x0000, Counters(completed=3, failed=1))
    <Status.PARTIAL: 'partial'>
    """
    if ended is Ended.LOST:
        return Status.LOST
    if ended is Ended.CANCELLED or status_code == CANCELLED:
        return Status.CANCELLED
    if ended is Ended.UNSENT or status_code is None:
        return Status.CANCELLED if cancelled else Status.FAILURE

    moved, wanted = weigh(counters, expected=expected, received=received, repeated=repeated)
    incomplete = missing > 0 or (bool(counters.failed) and not listed)
    incomplete = incomplete or (wanted is not None and moved is not None and moved < wanted)

    if cancelled and (incomplete or not moved or expected is None or status_code != SUCCESS):
        return Status.CANCELLED  # it may end with 0x0000 all the same; only C-FIND's count shows that it was whole
    if status_code == SUCCESS:
        if not moved:
            return Status.FAILURE if counters.failed else Status.EMPTY
        if incomplete:
            return Status.PARTIAL
        return Status.WARNING if counters.warning or counters.failed or strange else Status.SUCCESS
    if not moved:
        return Status.FAILURE
    if incomplete:
        return Status.PARTIAL
    if is_warning(status_code):
        # 0xB000 means that some failed, unless the PACS counted none.
        return Status.WARNING if counters.failed == 0 or expected is not None else Status.PARTIAL
    # A failure status after everything arrived: only a look at what is there can show that.
    return Status.WARNING if received is not None and expected is not None else Status.PARTIAL


def weigh(
    counters: Counters, *, expected: int | None = None, received: int | None = None, repeated: int = 0
) -> tuple[int | None, int | None]:
    """Return how many instances have moved, and how many should have, as far as anything says; facts as for `judge`.

    Where counters of 16 bits cannot say what C-FIND counted, and say what they would say then, that is it.
    Where as many are completed as C-FIND counted, those with a warning are among them: some archives count them twice.

    Examples
    --------
    >>> weigh(Counters(completed=3, remaining=1), expected=3), weigh(Counters(completed=65535), expected=70_000)
    ((3, 4), (70000, 70000))
    """
    claimed, due = counters.moved, counters.due
    if claimed is not None and expected is not None and expected > MOST_COUNTED and not counters.failed:
        stopped = counters.completed == MOST_COUNTED
        if stopped or (claimed < expected and (expected - claimed) % _ROUND == 0):
            claimed = due = expected
    if expected is not None and counters.completed == expected >= (counters.warning or 0) and not counters.failed:
        claimed, due = expected, _total(expected, counters.remaining)
    moved = claimed if received is None else received
    if due is not None and received is not None:
        due = max(due - repeated, 0)
    return moved, max((number for number in (expected, due) if number is not None), default=None)


def settle(counters: Counters, moved: int) -> Counters:
    """Return the counters of what is complete as they are meant: each instance once, none failed, none left over.

    The journal keeps these, and so believes what `judge` calls complete.

    Examples
    --------
    >>> settle(Counters(completed=4, failed=0), moved=3)
    Counters(completed=3, failed=0, warning=0, remaining=None)
    """
    warning = min(counters.warning or 0, moved)
    return Counters(moved - warning, 0, warning)


def judge_all(verdicts: list[Status]) -> Status:
    """Say what became of a request that took several C-MOVEs, from the verdict on each; `failure` if there was none.

    Examples
    --------
    >>> judge_all([Status.SUCCESS, Status.FAILURE])
    <Status.PARTIAL: 'partial'>
    >>> judge_all([Status.SUCCESS, Status.WARNING])
    <Status.WARNING: 'warning'>
    """
    kinds = set(verdicts)
    if len(kinds) == 1:
        return verdicts[0]
    for decisive in (Status.CANCELLED, Status.LOST):
        if decisive in kinds:
            return decisive
    if kinds and all(verdict.complete for verdict in kinds):
        return Status.WARNING if Status.WARNING in kinds else Status.SUCCESS
    if any(verdict.complete or verdict is Status.PARTIAL for verdict in kinds):
        return Status.PARTIAL
    return Status.FAILURE
