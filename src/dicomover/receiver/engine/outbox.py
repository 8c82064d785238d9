"""Events on their way to their one listener: in order, in batches, bounded, and never holding up the wire for long."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from dicomover.events import Refusal
from dicomover.receiver.scp.store import Fields
from dicomover.text.traces import tell_trace

__all__ = ["SETTLING", "Delivery", "Outbox", "Source", "Together"]

_BOUND = 10_000
_PAUSE = 0.01

SETTLING = 30.0
"""Seconds for the listener to take what is here; while it is slower, nobody waits for it any longer."""

logger = logging.getLogger("dicomover.receiver")

T = TypeVar("T")


class Outbox(Generic[T]):
    """A queue with a thread that hands over what is in it, one batch after the other."""

    def __init__(
        self,
        deliver: Callable[[list[T]], None],  # Takes a batch. What it raises is logged.
        name: str,  # of the thread
        # how many events may wait here before `put` waits itself; None if the caller sees to that
        bound: int | None = _BOUND,
        pause: float = _PAUSE,  # seconds between two batches: what comes meanwhile goes together
    ) -> None:
        self._bound = bound
        self._pause = pause
        self._deliver = deliver
        self._lock = threading.Lock()
        self._something = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._closing = False
        self._hasty = threading.Event()  # set while nobody is to wait for more to come together
        self._settled: list[threading.Event] = []  # of those who wait for what is here to be handed over
        self._items: list[T] = []
        self._waiting = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to hand over."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Add an event; waits while far too many are undelivered."""
        with self._lock:
            while self._bound and len(self._items) >= self._bound and not self._closing:
                self._room.wait()
            self._items.append(item)
            if self._waiting:
                self._something.notify()

    def close(self, seconds: float | None = None) -> bool:
        """Hand over what is left and end the thread; False if that did not happen in time."""
        with self._lock:
            self._closing = True
            self._hasty.set()
            self._something.notify()
            self._room.notify_all()
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def settle(self, seconds: float) -> None:
        """Wait until all that was put has been handed over; not longer than so many seconds."""
        settled = threading.Event()
        with self._lock:
            if self._closing or threading.current_thread() is self._thread:
                return
            self._settled.append(settled)
            self._hasty.set()
            self._something.notify()
        settled.wait(seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._items and not self._settled:
                    if self._closing:
                        return
                    self._waiting = True
                    self._something.wait()
                    self._waiting = False
                batch, self._items = self._items, []
                settled, self._settled = self._settled, []
                if not self._closing:
                    self._hasty.clear()
                self._room.notify_all()
            # Without the lock: `deliver` may call whatever it likes, `put` and `close` too.
            try:
                if batch:
                    self._deliver(batch)
            except Exception as error:  # noqa: BLE001 - told without what it says
                logger.error(
                    "the listener of the receiver's events raised; the receiver goes on\n%s", tell_trace(error)
                )
            for each in settled:
                each.set()
            self._hasty.wait(self._pause)


class Source(Protocol):
    """Who tells."""

    def acknowledge(self, count: int) -> None:
        """Take note that so many events have been worked off."""


class Delivery:
    """Hands the events of all processes of a receiver to `tell`, one at a time and on one thread."""

    def __init__(self, tell: Callable[[Fields | Refusal], None]) -> None:
        self._tell = tell
        # No bound: this thread reads the pipe, and a wait here would hold up the answers that come by it too. The
        # sources see to the bound; each stops telling until what it has told is acknowledged.
        self._outbox: Outbox[tuple[Source, Fields | Refusal]] = Outbox(self._deliver, "dicomover-arrivals", bound=None)

    def start(self) -> None:
        """Begin to hand over."""
        self._outbox.start()

    def put(self, source: Source, event: Fields | Refusal) -> None:
        """Add an event."""
        self._outbox.put((source, event))

    def settle(self, seconds: float) -> None:
        """Wait until all that was put has been handed over; not longer than so many seconds."""
        self._outbox.settle(seconds)

    def close(self, seconds: float) -> None:
        """Hand over what is left and end the thread."""
        self._outbox.close(seconds)

    def _deliver(self, batch: list[tuple[Source, Fields | Refusal]]) -> None:
        for _, event in batch:
            self._tell(event)
        # After all of them: what is acknowledged has been worked off, not only taken.
        for source, count in Counter(source for source, _ in batch).items():
            source.acknowledge(count)


@dataclass(frozen=True, slots=True)
class Together:
    """What a process gets that is one of several."""

    count: int  # how many they are
    delivery: Delivery  # takes the events of all of them; whoever made it starts and closes it
    listener: int | None  # descriptors to inherit, see `Shared`; None if they do not listen
    locks: int
    ended: Callable[[Any], None]  # called with the engine that has ended without being asked to, its half files gone
