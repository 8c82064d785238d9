"""What a rerun does with a request, from what the journal says of it and what lies on the disk. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dicomover.identifier import UIDS_AT_ONCE
from dicomover.journal.manifest import FileCheck
from dicomover.outcome import SUCCESS, Status
from dicomover.summary import Result

__all__ = ["Decision", "Missing", "decide", "is_complete", "is_verified", "list_missing"]


class Decision(StrEnum):
    """What to do with a request."""

    MOVE = "move"  # all of it: never seen, or none of its files is left
    RETRY = "retry"  # seen, but not complete: ask for what is missing
    SKIP = "skip"  # complete, verified, and its files are as they came


def is_verified(result: Result) -> bool:
    """Tell whether a result says `success` or `warning` and a number shows that it is true.

    Where C-FIND said how much should come, so much must be here, or have been counted by the archive if a third party
    receives. Where it did not, what is here must be all that the archive counted; and a third party's request must have
    been counted, with nothing failed and nothing left over. A success that nobody counted is not verified.

    Examples
    --------
    >>> is_verified(Result(Status.SUCCESS, expected=7, received=7))
    True
    >>> is_verified(Result(Status.SUCCESS, expected=7, received=6))
    False
    """
    if result.status not in (Status.SUCCESS, Status.WARNING):
        return False
    counters = result.counters
    if counters.failed:
        return False
    claimed = counters.moved
    if claimed is not None and result.status_code == SUCCESS and result.expected is not None:
        # A final success that does not count leaves nothing open of what was called remaining before.
        claimed += counters.remaining or 0
    wanted = [number for number in (result.expected, claimed) if number is not None]
    if result.received is not None:
        return bool(wanted) and 0 < max(wanted) <= result.received
    if not claimed:
        return False
    return claimed >= result.expected if result.expected is not None else not counters.remaining


def decide(result: Result | None, files: FileCheck | None = None, *, expected: int | None = None) -> Decision:
    """Decide what a rerun does with a request that the journal has a result of, or none.

    `files` is how its files were found, None if a third party receives; `expected` how many instances the archive has
    of it now, if it was asked again: a study may have grown.

    Examples
    --------
    >>> decide(None)
    <Decision.MOVE: 'move'>
    >>> decide(Result(Status.LOST))
    <Decision.RETRY: 'retry'>
    >>> from dicomover.outcome import Counters
    >>> decide(Result(Status.SUCCESS, expected=7, counters=Counters(completed=7)))
    <Decision.SKIP: 'skip'>
    """
    if result is None:
        return Decision.MOVE
    if files is not None:
        here = files.intact.count
        if not here and (files.missing or files.changed or is_verified(result)):
            return Decision.MOVE
        promised = max(result.expected or 0, result.received or 0)
        if files.missing or files.changed or here < promised:
            return Decision.RETRY
    if not is_verified(result):
        return Decision.RETRY
    known = max(number or 0 for number in (result.expected, result.received, result.counters.moved))
    return Decision.RETRY if expected is not None and expected > known else Decision.SKIP


def is_complete(
    here: int,  # distinct instances, as they came; of what has come nothing may be missing
    *,
    expected: int | None,  # instances that the archive counts
    whole: int | None,  # how many there were when it was last known to be complete
) -> bool:
    """Tell whether so many instances of one study, series or patient are all that there is of it.

    Examples
    --------
    >>> is_complete(5, expected=5, whole=None), is_complete(5, expected=6, whole=5), is_complete(5, expected=4, whole=5)
    (True, False, True)
    >>> is_complete(5, expected=4, whole=None), is_complete(5, expected=None, whole=5)
    (False, True)
    """
    if not here:
        return False
    return here == expected or (here == whole and (expected or 0) <= whole)


@dataclass(frozen=True, slots=True)
class Missing:
    """What one more C-MOVE should ask for."""

    series: str  # the Series Instance UID
    instances: tuple[str, ...]  # the SOP Instance UIDs to ask for at level IMAGE; empty asks for the whole series
    count: int  # how many instances are missing of what it asks for


def list_missing(
    here: Collection[str], archive: Mapping[str, Collection[str]], *, most: float = 0.5, at_once: int = UIDS_AT_ONCE
) -> tuple[Missing, ...]:
    """Return what to ask for, so that what the archive has of one study is here.

    `here` are the SOP Instance UIDs that are here and intact, `archive` what it has by Series Instance UID. A series of
    which more than the part `most` is missing is asked for as a whole.

    Examples
    --------
    >>> list_missing({"1.1", "1.2"}, {"1": ["1.1", "1.2", "1.3"], "2": ["2.1"]})
    (Missing(series='1', instances=('1.3',), count=1), Missing(series='2', instances=(), count=1))
    """
    have = frozenset(here)
    asks: list[Missing] = []
    for series, instances in archive.items():
        there = tuple(dict.fromkeys(instances))
        gone = tuple(uid for uid in there if uid not in have)
        if gone and (len(gone) == len(there) or len(gone) > max(most * len(there), at_once)):
            asks.append(Missing(series, (), len(gone)))
        else:
            parts = (gone[start : start + at_once] for start in range(0, len(gone), at_once))
            asks += [Missing(series, part, len(part)) for part in parts]
    return tuple(asks)
