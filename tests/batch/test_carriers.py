"""Associations for C-GET: kept and lent with the contexts that are wanted, beside those for look-ups or in turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dicomover.batch.carriers import ByGet, RetrieverPool, RetrievingLine
from dicomover.batch.ways import Ways
from dicomover.errors import AssociationRejected
from dicomover.node import Node, Timeouts
from dicomover.wire.stop import Controls

CT, MR = ("1.2", "1.2.840.10008.1.2.1"), ("1.4", "1.2.840.10008.1.2.1")


class Fake:
    """An association that is open at once, or refused."""

    def __init__(self, pairs: Sequence[Any], refuses: bool) -> None:
        self.pairs, self.refuses = pairs, refuses
        self.accepted = frozenset(pairs)
        self.is_open = self.is_released = False
        self.is_stopping = False
        self.served = 0
        self.timeouts = Timeouts()

    def open(self) -> None:
        """Open, or raise."""
        if self.refuses:
            raise AssociationRejected("one at a time", 2, 3, 2)
        self.is_open = True

    def is_usable(self) -> bool:
        """Tell whether it is open."""
        return self.is_open

    def release(self, seconds: float = 5.0) -> None:
        """Release it."""
        self.is_open, self.is_released = False, True

    def cancel(self) -> None:
        """Do nothing."""

    kill = hurry = cancel


class Finds:
    """The line for look-ups, as far as it is hung up."""

    def __init__(self) -> None:
        self.hung_up = 0

    def hang_up(self) -> None:
        """Count it."""
        self.hung_up += 1


@pytest.fixture
def made() -> list[Fake]:
    """Return what is made in a test."""
    return []


def carrier(made: list[Fake], finds: Finds, ways: Ways, accept: Sequence[str] = ()) -> ByGet:
    """Return a carrier whose associations are refused while the line for look-ups was not hung up."""

    def make(node: Node, ae_title: str, timeouts: Timeouts, pairs: Sequence[Any]) -> Fake:
        made.append(Fake(pairs, refuses=ways.takes_turns is None and not finds.hung_up and bool(accept)))
        return made[-1]

    pool = RetrieverPool(Node("127.0.0.1", 104), "MOVESCU", make, accept)
    line = RetrievingLine(pool, Timeouts(), Controls(lambda _: None), services=frozenset())
    return ByGet(line, finds, ways)  # type: ignore[arg-type]


def test_an_association_serves_as_long_as_it_has_what_is_wanted(made: list[Fake]) -> None:
    """Another pair takes another association, which has those of before too."""
    get = carrier(made, Finds(), Ways("get"))
    for pairs in ([CT], [CT], [MR], [CT]):
        get.want(pairs)
        get.connect()
    assert [fake.pairs for fake in made] == [[CT], [CT, MR]]
    assert made[0].is_released
    assert get.accepted == {CT, MR}


def test_what_does_not_fit_beside_what_was_is_alone(made: list[Fake], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where both are too many, only what is wanted is proposed."""
    monkeypatch.setattr("dicomover.batch.carriers.MOST_PAIRS", 1)
    get = carrier(made, Finds(), Ways("get"))
    for pairs in ([CT], [MR]):
        get.want(pairs)
        get.connect()
    assert [fake.pairs for fake in made] == [[CT], [MR]]


def test_what_is_wanted_alone_has_nothing_beside_it(made: list[Fake]) -> None:
    """Neither what was wanted before nor what lies idle will do, and afterwards it is one of others."""
    get = carrier(made, Finds(), Ways("get"))
    for pairs, alone in (([CT, MR], False), ([MR], True), ([MR], True), ([MR], False), ([CT], False)):
        get.want(pairs, alone=alone)
        get.connect()
    assert [fake.pairs for fake in made] == [[CT, MR], [MR], [CT, MR]]


def test_the_preferred_transfer_syntax_is_proposed_first(made: list[Fake]) -> None:
    """Some archives take the first one: Explicit before Implicit VR."""
    get = carrier(made, Finds(), Ways("get"))
    implicit = ("1.2", "1.2.840.10008.1.2")
    get.want([implicit, CT])
    get.connect()
    assert made[0].pairs == [CT, implicit]


def test_one_association_at_a_time_is_learnt_and_kept_to(made: list[Fake]) -> None:
    """Where a second one is refused, the one for look-ups is hung up first, from then on each time."""
    finds, ways = Finds(), Ways("get")
    get = carrier(made, finds, ways, accept=["1.2.840.10008.1.2.1"])
    get.want([CT])
    get.connect()
    assert (finds.hung_up, ways.takes_turns) == (1, True)
    get.make_room()
    assert made[-1].is_released
    get.connect()
    assert finds.hung_up == 2


def test_two_are_side_by_side_where_they_may_be(made: list[Fake]) -> None:
    """Nothing is hung up."""
    finds, ways = Finds(), Ways("get")
    get = carrier(made, finds, ways)
    get.want([CT])
    get.connect()
    get.make_room()
    assert (finds.hung_up, ways.takes_turns, made[0].is_open) == (0, False, True)
