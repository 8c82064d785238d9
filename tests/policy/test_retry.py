"""Retry: which attempt is worth another, when, and when the whole batch is not."""

from __future__ import annotations

from collections.abc import Sequence
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
from dicomover.node import Node
from dicomover.outcome import Counters, Ended, Status
from dicomover.policy.retry import DISK_FULL, Parties, Retry, Tried, classify, hopeless, next_attempt

F, P, E, L = Status.FAILURE, Status.PARTIAL, Status.EMPTY, Status.LOST
NONE_OF_IT = Counters(0, 0, 0)
PARTIES = Parties(Node("10.1.2.3", 104, ae_title="ARCHIVE"), "MOVESCU", "MOVESCU", "10.9.9.9", 11112)
THIRD = Parties(Node("10.1.2.3", 104, ae_title="ARCHIVE"), "MOVESCU", "WORKSTATION")


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
        moment = next_attempt(retry, [tried] * attempts, 1000.0, random)
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
    assert next_attempt(Retry.overnight(), [busy, busy, empty], 0.0) is not None
    assert next_attempt(Retry.overnight(), [empty, busy, empty], 0.0) is None
    assert next_attempt(Retry.overnight(), [empty, busy], 0.0) is not None


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


UNKNOWN = Tried(F, 0xA801)
GOOD = Tried(Status.SUCCESS, 0x0000, Counters(3, 0, 0))
GONE = Tried(Status.NOT_FOUND)
ORTHANC = Tried(F, 0xC000, NONE_OF_IT, expected=40, received=0)
ELSEWHERE = Tried(E, 0x0000, Counters(40, 0, 0), expected=40, received=0)


@pytest.mark.parametrize(
    ("tries", "hope"),
    [
        ([], True),
        ([rejected(1, 1, 3)], False),
        ([rejected(1, 1, 7)], False),
        ([rejected(2, 3, 1)] * 50, True),
        ([rejected(1, 2, 2)] * 50, True),
        ([GOOD, rejected(1, 1, 3)], True),
        ([GOOD, *[rejected(1, 1, 3)] * 3], False),
        ([UNKNOWN] * 2, True),
        ([UNKNOWN] * 3, False),
        ([GONE, UNKNOWN, GONE, UNKNOWN, GONE, UNKNOWN], False),
        ([UNKNOWN, GONE, UNKNOWN, UNKNOWN, GONE], True),  # only asked after what may be the proof
        ([UNKNOWN, UNKNOWN, GOOD, UNKNOWN], True),
        ([GOOD, UNKNOWN, UNKNOWN, UNKNOWN], False),
        ([UNKNOWN, UNKNOWN, Tried(F, 0xA702), UNKNOWN], True),
        ([ORTHANC] * 5, True),
        ([ORTHANC] * 6, False),
        ([GOOD, *[ORTHANC] * 50], True),
        ([Tried(F, 0xC000, NONE_OF_IT)] * 50, True),  # perhaps there are no such studies
        ([Tried(F, 0xC000, Counters(0, 4, 0), expected=4)] * 50, True),
        ([ELSEWHERE] * 5, True),
        ([ELSEWHERE] * 6, False),
        ([GOOD, *[ELSEWHERE] * 50], True),
        ([Tried(E, 0x0000, NONE_OF_IT)] * 50, True),
        ([Tried(L, ended=Ended.LOST)] * 50, True),
        ([stopped_by(NodeUnreachable("refused"))] * 50, True),
    ],
)
def test_when_there_is_no_hope(tries: Sequence[Tried], hope: bool) -> None:
    """The batch stops for what no request can escape, and for nothing else."""
    assert (hopeless(tries, PARTIES) is None) is hope


@pytest.mark.parametrize(
    ("tries", "parties", "words"),
    [
        ([rejected(1, 1, 3)], PARTIES, ["1/1/3", "AE title 'MOVESCU'", "address 10.9.9.9", "port 11112"]),
        ([rejected(1, 1, 3)], THIRD, ["1/1/3", "AE title 'MOVESCU'", "this machine's address"]),
        ([rejected(1, 1, 7)], THIRD, ["1/1/7", "'ARCHIVE'", "address 10.1.2.3", "port 104"]),
        ([UNKNOWN] * 3, PARTIES, ["0xA801", "3 times", "AE title 'MOVESCU'", "address 10.9.9.9", "port 11112"]),
        ([UNKNOWN] * 3, THIRD, ["0xA801", "AE title 'WORKSTATION'", "the machine that receives"]),
        ([ORTHANC] * 6, PARTIES, ["sends none", "6 times", "'MOVESCU'", "address 10.9.9.9", "port 11112"]),
        ([ELSEWHERE] * 6, PARTIES, ["elsewhere", "AE title 'MOVESCU'", "address 10.9.9.9", "port 11112"]),
    ],
)
def test_what_to_give_to_the_administrator(tries: list[Tried], parties: Parties, words: list[str]) -> None:
    """The sentence names the archive, the reason, and the AE title, address and port that somebody has to enter."""
    sentence = hopeless(tries, parties)
    assert sentence is not None
    assert sentence.startswith("ARCHIVE@10.1.2.3:104 ")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
