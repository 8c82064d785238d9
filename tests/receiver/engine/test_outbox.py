"""Events come to their one listener in order, in batches, and bounded."""

from __future__ import annotations

import threading
import time

from dicomover.receiver.engine.outbox import Delivery, Outbox


def test_everything_comes_in_order_and_the_rest_at_the_end() -> None:
    """What was put in comes out in order, also what nobody had asked for when it was closed."""
    taken: list[int] = []
    outbox: Outbox[int] = Outbox(taken.extend, "test")
    outbox.start()
    for number in range(1000):
        outbox.put(number)
    assert outbox.close(5)
    assert taken == list(range(1000))


def test_put_waits_while_too_many_are_kept_and_close_ends_the_wait() -> None:
    """A listener that stands still holds up whoever tells, until the outbox is closed."""
    gate = threading.Event()
    outbox: Outbox[int] = Outbox(lambda _: gate.wait(10) and None, "test", bound=5)
    outbox.start()
    outbox.put(0)
    time.sleep(0.1)  # it is being delivered
    for number in range(5):
        outbox.put(number)
    held = threading.Thread(target=outbox.put, args=(9,))
    held.start()
    held.join(0.2)
    assert held.is_alive()
    assert not outbox.close(0.1)
    held.join(5)
    assert not held.is_alive()
    gate.set()
    assert outbox.close(5)


def test_what_a_listener_raises_ends_nothing() -> None:
    """The next batch is delivered all the same."""
    taken: list[int] = []

    def deliver(batch: list[int]) -> None:
        taken.extend(batch)
        raise ValueError

    outbox: Outbox[int] = Outbox(deliver, "test")
    outbox.start()
    for number in range(3):
        outbox.put(number)
        time.sleep(0.05)
    assert outbox.close(5)
    assert taken == [0, 1, 2]


def test_a_source_is_acknowledged_after_its_events_were_worked_off() -> None:
    """Each source hears how many of its own events are done, and not before they are."""
    done: list[object] = []

    class Source:
        def __init__(self) -> None:
            self.acknowledged = 0

        def acknowledge(self, count: int) -> None:
            self.acknowledged += count
            assert self.acknowledged <= len(done)

    one, other = Source(), Source()
    delivery = Delivery(done.append)
    delivery.start()
    for number in range(100):
        delivery.put(one, {"path": str(number)})
    delivery.put(other, {"path": "x"})
    delivery.close(5)
    assert (one.acknowledged, other.acknowledged, len(done)) == (100, 1, 101)


def test_to_settle_is_to_wait_for_what_was_put() -> None:
    """Whoever settles waits until all that was put before has been handed over, without the pause, and in any state."""
    taken: list[int] = []

    def deliver(batch: list[int]) -> None:
        time.sleep(0.1)
        taken.extend(batch)

    outbox: Outbox[int] = Outbox(deliver, "test", pause=60.0)
    outbox.start()
    outbox.settle(5)
    for number in range(3):
        outbox.put(number)
        if number != 1:
            outbox.settle(5)
            assert taken == list(range(number + 1))
    assert outbox.close(5)
    outbox.settle(5)


def test_to_settle_ends() -> None:
    """Nobody settles for longer than he wants with a listener that stands still, which does not wait for itself."""
    gate = threading.Event()

    def deliver(_: list[int]) -> None:
        outbox.settle(60)
        gate.wait(10)

    outbox: Outbox[int] = Outbox(deliver, "test")
    outbox.start()
    outbox.put(1)
    begun = time.monotonic()
    outbox.settle(0.2)
    assert 0.1 < time.monotonic() - begun < 5
    gate.set()
    assert outbox.close(5)
