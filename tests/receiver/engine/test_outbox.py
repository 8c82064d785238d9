"""Events on their way to their one listener: in order, bounded, and never lost by a listener that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from dicomover.events import Refusal
from dicomover.receiver.engine.outbox import Delivery, Outbox

PATIENCE = 10.0


def until(happens: Callable[[], object]) -> None:
    """Wait for something, at most for the patience of a test."""
    limit = time.monotonic() + PATIENCE
    while not happens() and time.monotonic() < limit:
        time.sleep(0.005)
    assert happens()


def test_everything_comes_once_and_in_order() -> None:
    """What several threads put in comes on one thread, each thread's own in its order; `close` hands over the rest."""
    taken: list[tuple[int, int]] = []
    threads: set[int] = set()

    def deliver(batch: list[tuple[int, int]]) -> None:
        threads.add(threading.get_ident())
        taken.extend(batch)

    outbox: Outbox[tuple[int, int]] = Outbox(deliver, "test outbox")
    outbox.start()
    putting = [threading.Thread(target=lambda n=n: [outbox.put((n, i)) for i in range(500)]) for n in range(4)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join(PATIENCE)
    assert outbox.close(PATIENCE)
    assert len(threads) == 1
    assert len(taken) == 2000
    for n in range(4):
        assert [i for m, i in taken if m == n] == list(range(500))


def test_a_listener_that_raises_loses_its_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged, and what comes after it is handed over all the same."""
    taken: list[str] = []

    def deliver(batch: list[str]) -> None:
        if "bad" in batch:
            raise ValueError("no")
        taken.extend(batch)

    outbox: Outbox[str] = Outbox(deliver, "test outbox")
    outbox.start()
    with caplog.at_level(logging.ERROR, "dicomover.receiver"):
        outbox.put("bad")
        until(lambda: caplog.records)
        outbox.put("good")
        assert outbox.close(PATIENCE)
    assert taken == ["good"]
    assert "the receiver goes on" in caplog.text


def test_who_puts_waits_while_far_too_many_are_undelivered() -> None:
    """The bound holds the sender up until the listener has taken what was there; closing lets it go."""
    go = threading.Event()
    taken: list[int] = []

    def deliver(batch: list[int]) -> None:
        assert go.wait(PATIENCE)
        taken.extend(batch)

    outbox: Outbox[int] = Outbox(deliver, "test outbox", bound=2)
    outbox.start()
    outbox.put(0)
    until(lambda: not outbox._items)  # the listener has it, and does not come back
    outbox.put(1)
    outbox.put(2)
    sender = threading.Thread(target=outbox.put, args=(3,))
    sender.start()
    sender.join(0.1)
    assert sender.is_alive()
    go.set()
    sender.join(PATIENCE)
    assert not sender.is_alive()
    assert outbox.close(PATIENCE)
    assert taken == [0, 1, 2, 3]


def test_a_listener_that_hangs_does_not_hold_up_the_end() -> None:
    """`close` says that it was not in time; one that was never started has nothing to end."""
    go = threading.Event()
    outbox: Outbox[int] = Outbox(lambda _: go.wait(PATIENCE), "test outbox")  # type: ignore[arg-type, return-value]
    assert outbox.close(0.01)
    outbox = Outbox(lambda _: go.wait(PATIENCE), "test outbox")  # type: ignore[arg-type, return-value]
    outbox.start()
    outbox.put(1)
    until(lambda: not outbox._items)
    assert not outbox.close(0.05)
    go.set()
    assert outbox.close(PATIENCE)


def test_a_listener_may_put_and_close_itself() -> None:
    """It is called without the lock: what it calls cannot stand still."""
    outbox: Outbox[int]
    taken: list[int] = []

    def deliver(batch: list[int]) -> None:
        taken.extend(batch)
        if len(taken) < 3:
            outbox.put(len(taken))
        else:
            assert outbox.close()

    outbox = Outbox(deliver, "test outbox", bound=1)
    outbox.start()
    outbox.put(0)
    until(lambda: len(taken) == 3)
    assert outbox.close(PATIENCE)


class Source:
    """A process of a receiver, as far as a delivery knows it."""

    def __init__(self, told: list[object]) -> None:
        self._told = told
        self.acknowledged: list[tuple[int, int]] = []

    def acknowledge(self, count: int) -> None:
        """Note how many events had been told by then, too."""
        self.acknowledged.append((count, len(self._told)))


def test_a_source_is_acknowledged_what_was_worked_off() -> None:
    """Each process hears how many of its own events were told, after they were."""
    told: list[object] = []
    one, other = Source(told), Source(told)
    delivery = Delivery(told.append)
    refusals = [Refusal(float(n), "nobody asked", 0x0124, "ARCHIVE") for n in range(5)]
    for number, refusal in enumerate(refusals):
        delivery.put(one if number < 3 else other, refusal)
    delivery.start()
    delivery.close(PATIENCE)
    assert told == refusals
    assert (one.acknowledged, other.acknowledged) == ([(3, 5)], [(2, 5)])
