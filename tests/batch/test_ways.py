"""When a batch that may turns from C-MOVE to C-GET: at a dead end, and nowhere else."""

from __future__ import annotations

import pytest

from dicomover.batch.ways import Ways, find_dead_end
from dicomover.outcome import Counters, Ended
from dicomover.wire.responses import MoveEnd

NOTHING, ALL_FAILED, CLAIMED = Counters(), Counters(0, 4, 0), Counters(4, 0, 0)


@pytest.mark.parametrize(
    ("status", "counters", "reached", "called", "is_dead"),
    [
        (0xA801, NOTHING, False, False, True),
        (0xA801, NOTHING, False, True, True),  # whoever called us: the archive says that it does not know us
        (0xA801, NOTHING, True, False, False),
        (0xA702, ALL_FAILED, False, False, True),
        (0xA702, NOTHING, False, False, True),
        (0xA702, ALL_FAILED, False, True, False),
        (0xA702, ALL_FAILED, True, False, False),
        (0xC000, NOTHING, False, False, True),
        (0xB000, ALL_FAILED, False, False, True),
        (0x0000, CLAIMED, False, False, True),
        (0x0000, CLAIMED, False, True, False),
        (0x0000, NOTHING, False, False, False),
        (0xA900, NOTHING, False, False, False),
        (0x0122, NOTHING, False, False, False),
        (0xA701, NOTHING, False, False, False),
        (0xFE00, NOTHING, False, False, False),
    ],
)
def test_a_dead_end_is_known_by_how_a_move_ends_and_who_has_called(
    status: int, counters: Counters, reached: bool, called: bool, is_dead: bool
) -> None:
    """What the archive tried to send, and nobody who has called us, make it certain; other troubles are none of it."""
    end = MoveEnd(Ended.ANSWERED, status, counters)
    assert bool(find_dead_end(end, "MOVESCU", reached=reached, called=called)) is is_dead


def test_an_association_that_is_lost_is_no_dead_end() -> None:
    """What is on its way then is unknown."""
    assert not find_dead_end(MoveEnd(Ended.LOST, None, ALL_FAILED), "MOVESCU", reached=False, called=False)


def test_a_batch_turns_once_and_says_why() -> None:
    """The first reason stands, and there is no way back."""
    ways = Ways("auto")
    assert ways.may_turn
    assert not ways.gets
    assert ways.turn("one")
    assert not ways.turn("two")
    assert (ways.gets, ways.may_turn, ways.why) == (True, False, "one")


@pytest.mark.parametrize(("via", "gets"), [("move", False), ("get", True)])
def test_who_says_the_way_keeps_it(via: str, gets: bool) -> None:
    """Only `auto` may turn."""
    ways = Ways(via)  # type: ignore[arg-type]
    assert (ways.gets, ways.may_turn, ways.why) == (gets, False, "")
