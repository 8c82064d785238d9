"""Retry: which attempt is worth another, and when."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ConfigurationError,
    ContextRejected,
    LostBy,
    NodeError,
    NodeUnreachable,
    ProtocolError,
    QueryRefused,
)
from dicomover.outcome import Counters, Ended, Status
from dicomover.policy.retry import DISK_FULL, Retry, Tried, classify, schedule_retry

F, P, E, L = Status.FAILURE, Status.PARTIAL, Status.EMPTY, Status.LOST
NONE_OF_IT = Counters(0, 0, 0)


def rejected(result: int, source: int, reason: int) -> Tried:
    """Return an attempt that ended with A-ASSOCIATE-RJ."""
    return Tried(F, ended=Ended.UNSENT, error=AssociationRejected("rejected", result, source, reason))


def stopped_by(error: NodeError, status: Status = F) -> Tried:
    """Return an attempt that an error ended."""
    return Tried(status, ended=Ended.UNSENT, error=error)


TABLE = [
    # what is complete or was never there
    ("never", Tried(Status.SUCCESS, 0x0000, Counters(3, 0, 0))),
    ("never", Tried(Status.WARNING, 0xB000, Counters(2, 0, 1))),
    ("never", Tried(Status.SKIPPED)),
    ("never", Tried(Status.INVALID)),
    ("never", Tried(Status.NOT_FOUND)),
    ("never", Tried(Status.NOT_FOUND, 0xC000, NONE_OF_IT)),
    ("never", Tried(Status.CANCELLED, 0xFE00, Counters(1, 0, 0))),
    ("never", Tried(Status.CANCELLED, ended=Ended.CANCELLED)),
    ("never", Tried(P, 0xFE00, Counters(1, 0, 0))),
    ("never", Tried(L, ended=Ended.CANCELLED)),
    # statuses that stay
    ("never", Tried(F, 0xA801)),
    ("never", Tried(F, 0xA900)),
    ("never", Tried(F, 0xA901)),
    ("never", Tried(F, 0x0120)),
    ("never", Tried(F, 0x0122)),
    ("never", Tried(F, 0x0124)),
    ("never", Tried(F, 0x0211)),
    ("never", Tried(F, 0x0212)),
    ("never", Tried(F)),
    ("never", Tried(F, ended=Ended.UNSENT)),
    # rejections and associations
    ("never", rejected(1, 1, 3)),
    ("never", rejected(1, 1, 7)),
    ("never", rejected(1, 1, 1)),
    ("never", rejected(1, 2, 2)),
    ("transient", rejected(2, 3, 1)),
    ("transient", rejected(2, 3, 2)),
    ("transient", stopped_by(NodeUnreachable("refused"))),
    ("transient", stopped_by(AssociationLost("closed", LostBy.CLOSED), L)),
    ("never", stopped_by(AssociationLost("we stopped", LostBy.STOPPED), L)),
    ("never", stopped_by(ContextRejected("no C-MOVE"))),
    ("once", stopped_by(ProtocolError("garbled"), L)),
    ("transient", stopped_by(QueryRefused("busy", 0xA700))),
    ("never", stopped_by(QueryRefused("keys", 0xA900))),
    ("once", stopped_by(QueryRefused("unable", 0xC001))),
    ("never", stopped_by(QueryRefused("answers that cannot be trusted"))),
    # congestion and loss
    ("transient", Tried(F, 0xA700)),
    ("transient", Tried(F, 0xA701)),
    ("transient", Tried(F, 0xA702, Counters(0, 40, 0))),
    ("transient", Tried(P, 0xA702, Counters(345, 679, 0))),
    ("transient", Tried(F, 0x0210)),
    ("transient", Tried(L, ended=Ended.LOST)),
    ("transient", Tried(L, counters=Counters(7, 0, 0), ended=Ended.LOST, received=6)),
    # sub-operations that failed
    ("transient", Tried(P, 0xB000, Counters(37, 3, 0))),
    ("transient", Tried(P, 0xB000)),
    ("transient", Tried(F, 0xB000, Counters(0, 40, 0))),
    ("transient", Tried(P, 0x0000, Counters(3, 1, 0))),
    ("transient", Tried(F, 0x0000, Counters(0, 4, 0))),
    ("transient", Tried(P, 0xC000, NONE_OF_IT, expected=40, received=2)),
    # a busy moment, or simply true
    ("once", Tried(E, 0x0000)),
    ("once", Tried(E, 0x0000, NONE_OF_IT)),
    ("once", Tried(E, 0x0000, Counters(40, 0, 0), received=0)),
    ("once", Tried(F, 0xC000)),
    ("once", Tried(F, 0xC000, NONE_OF_IT)),
    ("once", Tried(F, 0x0110)),
    ("once", Tried(P, 0x0000, Counters(40, 0, 0), expected=41, received=40)),
    # what our own receiver refused
    ("never", Tried(P, 0xB000, Counters(37, 3, 0), refused={DISK_FULL: 3})),
    ("never", Tried(F, 0xA702, Counters(0, 40, 0), received=0, refused={DISK_FULL: 40})),
    ("never", Tried(P, 0xC000, NONE_OF_IT, expected=40, received=2, refused={DISK_FULL: 1})),
    ("never", Tried(L, ended=Ended.LOST, refused={DISK_FULL: 1})),
    ("never", Tried(P, 0xB000, Counters(37, 3, 0), received=37, refused={0xA900: 2, 0xC000: 1})),
    ("transient", Tried(P, 0xB000, Counters(30, 10, 0), received=30, refused={0xA900: 1})),
]


@pytest.mark.parametrize(("kind", "tried"), TABLE)
def test_truth_table(kind: str, tried: Tried) -> None:
    """Every end of an attempt is worth what the table says."""
    assert classify(tried) == kind


def pauses(retry: Retry, tried: Tried, seed: int = 1) -> list[float]:
    """Return the pauses between attempts that all end alike."""
    random, found = Random(seed), []
    for attempts in range(1, 100):
        moment = schedule_retry(retry, [tried] * attempts, 1000.0, random)
        if moment is None:
            break
        found.append(moment - 1000.0)
    return found


def test_pauses_double_up_to_the_longest() -> None:
    """The pause after each attempt lies in the second half of a time that doubles, up to the longest wait."""
    found = pauses(Retry.overnight(), Tried(F, 0xA702))
    for pause, whole in zip(found, [30, 60, 120, 240, 480, 600, 600, 600, 600], strict=True):
        assert whole / 2 <= pause <= whole


def test_the_same_seed_gives_the_same_moments() -> None:
    """The moments are repeatable with a seeded random, and differ with another seed."""
    busy = Tried(F, 0xA702)
    assert pauses(Retry(), busy, 7) == pauses(Retry(), busy, 7) != pauses(Retry(), busy, 8)


def test_empty_is_believed_the_second_time() -> None:
    """A success without any instance is tried once more, whatever else happened before."""
    assert len(pauses(Retry.overnight(), Tried(E, 0x0000))) == 1
    busy, empty = Tried(F, 0xA702), Tried(E, 0x0000)
    assert schedule_retry(Retry.overnight(), [busy, busy, empty], 0.0) is not None
    assert schedule_retry(Retry.overnight(), [empty, busy, empty], 0.0) is None
    assert schedule_retry(Retry.overnight(), [empty, busy], 0.0) is not None


def test_never_and_no_retry() -> None:
    """What can not change is not tried again, and nothing is without a retry."""
    assert pauses(Retry.overnight(), Tried(F, 0xA801)) == []
    assert pauses(Retry.none(), Tried(L, ended=Ended.LOST)) == []


def test_only_after_the_chosen_verdicts() -> None:
    """A verdict that is not among `on` stands."""
    retry = Retry(on=("lost",))
    assert pauses(retry, Tried(P, 0xB000, Counters(1, 1, 0))) == []
    assert len(pauses(retry, Tried(L, ended=Ended.LOST))) == 2


@given(st.integers(1, 12), st.floats(0.1, 100), st.floats(100, 1000), st.integers())
def test_attempts_and_longest_wait_hold(attempts: int, first: float, longest: float, seed: int) -> None:
    """There are never more attempts than configured, and no pause is longer than the longest."""
    retry = Retry(attempts=attempts, first_wait=first, longest_wait=longest)
    found = pauses(retry, Tried(L, ended=Ended.LOST), seed)
    assert len(found) == attempts - 1
    assert all(0 < pause <= longest + 1e-9 for pause in found)


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.5},
        {"first_wait": 0},
        {"first_wait": "30"},
        {"longest_wait": float("inf")},
        {"longest_wait": float("nan")},
        {"first_wait": 60, "longest_wait": 30},
        {"on": "success"},
        {"on": ["lost", "sometimes"]},
        {"on": 5},
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any]) -> None:
    """A bad setting is named with its value and the mend."""
    with pytest.raises(ConfigurationError, match="retry ") as caught:
        Retry(**settings)
    assert repr(next(iter(settings.values()))) in str(caught.value) or "sometimes" in str(caught.value)
    assert ";" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Retry(attempts=4), Retry(attempts=4)),
        (5, Retry(attempts=5)),
        ("5", Retry(attempts=5)),
        (None, Retry.none()),
        ("none", Retry.none()),
        ("interactive", Retry()),
        ("overnight", Retry.overnight()),
    ],
)
def test_parse(value: Any, expected: Retry) -> None:
    """A retry may be given as a number or by the name of its purpose."""
    assert Retry.parse(value) == expected


@pytest.mark.parametrize("value", ["always", True, 0, 2.5, [1]])
def test_parse_refuses(value: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError):
        Retry.parse(value)


def test_retry_and_tried_are_values() -> None:
    """Both compare by value, and the verdicts come in one order."""
    assert Retry(on=["empty", "lost"]) == Retry(on=("lost", "empty"))
    assert hash(Retry()) == hash(Retry())
    assert Tried(F, 0xA801) == Tried(F, 0xA801)


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (Retry.none(), ()),
        (Retry(), ()),
        (Retry(attempts=6, first_wait=1, longest_wait=3), (1, 2, 3)),
        (Retry.overnight(), (30, 60, 120, 240, 480, 600, 600)),
    ],
)
def test_pauses_for_an_association(retry: Retry, pauses: tuple[float, ...]) -> None:
    """An association is tried for as long as a request would be, beyond the first seconds."""
    assert retry.pauses() == pauses


def test_no_number_of_attempts_is_too_large() -> None:
    """A thousand attempts have a thousand pauses, and none overflows."""
    assert Retry(attempts=2003).pauses()[-1] == Retry().longest_wait
    assert schedule_retry(Retry(attempts=3000), [Tried(F, 0xA702)] * 2500, 0.0) is not None
