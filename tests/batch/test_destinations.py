"""To which Move Destination a C-MOVE goes, and that what a destination is to blame for is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from batch_kit import running
from dicomover.batch.destinations import OneDestination, send_surely
from dicomover.batch.work import OpenRow, SharedMove, Verdict
from dicomover.outcome import Ended, Status
from dicomover.query.targets import Target
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Controls, Stop


class Two(OneDestination):
    """Destinations that want so many to be sent again."""

    def __init__(self, again: int) -> None:
        super().__init__("MOVER1")
        object.__setattr__(self, "said", [])
        object.__setattr__(self, "again", again)

    said: list[tuple[bool, bool]]
    again: int

    def conclude(self, move: int, *, brought: bool, is_unknown: bool) -> bool:
        """Keep what is said."""
        self.said.append((brought, is_unknown))
        return len(self.said) <= self.again


def move(earlier: int = 0) -> SharedMove:
    """Return a C-MOVE, after an attempt that took so many."""
    one = running()
    shared = SharedMove(0, Target(one.identifier), OpenRow(None), one)  # type: ignore[arg-type]
    if earlier:
        shared.latest = Verdict(Status.LOST, MoveEnd(Ended.LOST), earlier)
    return shared


def send(shared: SharedMove, statuses: list[Status], again: int, *, earlier: int = 0) -> tuple[Verdict, Two, list[Any]]:
    """Send it, with these outcomes one after the other; each counts what an attempt before took, as workers do."""
    left, controls = list(statuses), Controls(lambda _: None)

    def once(_: SharedMove) -> Verdict:
        status = left.pop(0)
        if status is Status.CANCELLED:
            raise Stop(status, "cancelled")
        return Verdict(status, MoveEnd(Ended.ANSWERED, 0xA801), 1 + earlier)

    two = Two(again)
    verdict, _ = send_surely(shared, once, two, controls)
    return verdict, two, left


def test_the_only_one_is_never_lost() -> None:
    """A third party, or this machine, is waited for by nobody and blamed by nobody."""
    one = OneDestination("WORKSTATION")
    assert one.find_wait() is None
    with one.lend(1, lambda: None) as title:
        assert title == "WORKSTATION"
    one.hear_out(1, lambda: False)
    assert not one.is_lost(1)
    assert not one.conclude(1, brought=False, is_unknown=True)
    assert one.find(1) is one
    assert one.port is None


def test_what_a_destination_is_to_blame_for_is_sent_again() -> None:
    """All that were sent are counted, once each; what came of the last one stands."""
    verdict, two, left = send(move(3), [Status.LOST, Status.FAILURE, Status.SUCCESS], 2, earlier=3)
    assert (verdict.status, verdict.attempts, left) == (Status.SUCCESS, 6, [])
    assert two.said == [(False, True)] * 3


@pytest.mark.parametrize(
    ("statuses", "attempts"),
    [([Status.SUCCESS, Status.LOST], 1), ([Status.LOST, Status.CANCELLED], 1), ([Status.LOST] * 12, 10)],
    ids=["complete", "stopped", "too often"],
)
def test_it_is_not_sent_again_for_ever(statuses: list[Status], attempts: int) -> None:
    """What is complete is over, what is stopped stands as it was, and what takes each one along is an attempt."""
    verdict, _, _ = send(move(), statuses, 99)
    assert (verdict.status, verdict.attempts) == (statuses[0], attempts)


def test_what_was_never_sent_raises() -> None:
    """A stop before anything is the worker's to tell."""
    with pytest.raises(Stop):
        send(move(), [Status.CANCELLED], 1)
