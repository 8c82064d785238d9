"""What stops the workers of a batch, from whichever thread it comes."""

from __future__ import annotations

import threading
import time

import pytest

from dicomover.events import Noted
from dicomover.node import Node, Timeouts
from dicomover.outcome import Status
from dicomover.wire.association import Association
from dicomover.wire.stop import Controls, Stop


def controls() -> Controls:
    """Return the controls of a batch that nobody looks at."""
    return Controls(lambda _: None)


def association() -> Association:
    """Return an association that is never opened."""
    return Association(Node("127.0.0.1", 104), "TESTER", Timeouts())


def test_nothing_stops_a_batch_by_itself() -> None:
    """A batch that nobody has stopped goes on, and a pause ends when it is over."""
    batch = controls()
    batch.check()
    batch.pause(0.01)
    assert not batch.stopping


def test_a_cancel_reaches_every_association() -> None:
    """It reaches those that are lent out, and those that are lent out later; not those that have been given back."""
    batch, early, late, back = controls(), association(), association(), association()
    batch.register(early)
    batch.register(back)
    batch.unregister(back)
    assert batch.cancel()
    batch.register(late)
    assert (early.is_stopping, late.is_stopping, back.is_stopping) == (True, True, False)
    assert not batch.cancel(), "it was asked for already"
    for each in (early, late, back):
        each.release()


def test_what_a_stop_makes_of_a_row() -> None:
    """A row that was not sent is cancelled, or failed with the reason why nothing can work; a cancel comes first."""
    batch = controls()
    assert batch.give_up("no such host").result.status is Status.FAILURE
    with pytest.raises(Stop, match="not sent: no such host"):
        batch.check()
    batch.cancel()
    with pytest.raises(Stop) as caught:
        batch.check()
    assert caught.value.result.status is Status.CANCELLED


@pytest.mark.parametrize("how", ["cancel", "give_up"])
def test_a_pause_ends_at_once(how: str) -> None:
    """Nobody sleeps on when the batch is stopped."""
    batch, begun = controls(), time.monotonic()
    timer = threading.Timer(0.05, batch.cancel if how == "cancel" else lambda: batch.give_up("no such host"))
    timer.start()
    with pytest.raises(Stop):
        batch.pause(60)
    assert time.monotonic() - begun < 30
    timer.join()


def test_the_last_worker_is_known() -> None:
    """The last one to leave is told so, and cannot leave its work to others."""
    batch = controls()
    batch.enter()
    batch.enter()
    assert batch.leave_to_others()
    assert not batch.leave_to_others()
    assert batch.leave()


def test_events_go_to_whoever_listens() -> None:
    """What is emitted comes as it is."""
    seen: list[object] = []
    Controls(seen.append).emit(Noted(1.0, "no association"))
    assert seen == [Noted(1.0, "no association")]


def test_who_comes_back_too_late_stays_away() -> None:
    """A worker is counted in again while others are at work, and not after the last one has left."""
    batch = controls()
    batch.enter()
    assert batch.come_back()
    assert batch.workers == 2
    assert not batch.leave()
    assert batch.leave()
    assert not batch.come_back()
    assert batch.workers == 0
