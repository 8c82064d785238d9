"""When nothing in a batch can work, and what its reader is to give to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dicomover.errors import AssociationRejected, NodeError, NodeUnreachable
from dicomover.node import Node
from dicomover.outcome import Counters, Ended, Status
from dicomover.policy.hopeless import Parties, find_hopeless_cause
from dicomover.policy.retry import Tried
from dicomover.security import Identity

F, E, L = Status.FAILURE, Status.EMPTY, Status.LOST
NONE_OF_IT = Counters(0, 0, 0)
PARTIES = Parties(Node("10.1.2.3", 104, ae_title="ARCHIVE"), "MOVESCU", "MOVESCU", "10.9.9.9", 11112)
THIRD = Parties(Node("10.1.2.3", 104, ae_title="ARCHIVE"), "MOVESCU", "WORKSTATION")


def rejected(result: int, source: int, reason: int) -> Tried:
    """Return an attempt that ended with A-ASSOCIATE-RJ."""
    return Tried(F, ended=Ended.UNSENT, error=AssociationRejected("rejected", result, source, reason))


def stopped_by(error: NodeError, status: Status = F) -> Tried:
    """Return an attempt that an error ended."""
    return Tried(status, ended=Ended.UNSENT, error=error)


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
        ([GOOD, UNKNOWN, UNKNOWN, UNKNOWN], True),  # it has sent there, so it knows the way
        ([replace(UNKNOWN, refused={0xC000: 1}), *[UNKNOWN] * 3], True),
        ([replace(UNKNOWN, turned_away=1)] * 50, True),
        ([replace(ORTHANC, turned_away=1)] * 50, True),
        ([replace(ORTHANC, refused={0x0124: 40})] * 50, True),
        ([*[ORTHANC] * 5, replace(ORTHANC, turned_away=2), ORTHANC], True),
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
    assert (find_hopeless_cause(tries, PARTIES) is None) is hope


@pytest.mark.parametrize("tried", [UNKNOWN, ORTHANC, ELSEWHERE], ids=["unknown", "unable", "elsewhere"])
def test_what_came_long_ago_counts(tried: Tried) -> None:
    """A destination that the archive has reached in this batch is not unknown to it, whatever came since."""
    assert find_hopeless_cause([tried] * 100, PARTIES, reached=True) is None
    assert find_hopeless_cause([tried] * 100, PARTIES) is not None


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
    sentence = find_hopeless_cause(tries, parties)
    assert sentence is not None
    assert sentence.startswith("ARCHIVE@10.1.2.3:104 ")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("rejection", [(1, 1, 3), (1, 1, 7)])
def test_a_rejection_may_be_the_users(rejection: tuple[int, int, int]) -> None:
    """Where a user is named, the AE title alone is not blamed."""
    node = Node("10.1.2.3", 104, ae_title="ARCHIVE", identity=Identity.user("alice", in_plain=True))
    tried = rejected(*rejection)
    said = find_hopeless_cause([tried], Parties(node, "MOVESCU", "MOVESCU"))
    assert said is not None
    assert said.endswith("; or it does not accept user 'alice', whom we have named")


@pytest.mark.parametrize("tried", [UNKNOWN, ORTHANC, ELSEWHERE])
def test_by_c_get_no_destination_is_to_blame(tried: Tried) -> None:
    """There is none to be registered; that the archive does not know us is told all the same."""
    by_get = replace(PARTIES, by_get=True, port=None)
    assert find_hopeless_cause([tried] * 20, by_get) is None
    assert find_hopeless_cause([rejected(1, 1, 3)], by_get) is not None
