"""What the processes of a receiver tell, on its way to their one listener."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from dicomover.events import Refusal
from dicomover.receiver.engine.outbox import Outbox
from dicomover.receiver.scp.store import Fields

__all__ = ["Delivery", "Source"]


class Source(Protocol):
    """Who tells."""

    def acknowledge(self, count: int) -> None:
        """Take note that so many events have been worked off."""


class Delivery:
    """Hands events to `tell`, one at a time and on one thread, however many sources there are."""

    def __init__(self, tell: Callable[[Fields | Refusal], None]) -> None:
        self._tell = tell
        # The sources see to the bound: they wait for acknowledgements.
        self._outbox: Outbox[tuple[Source, Fields | Refusal]] = Outbox(self._deliver, "dicomover-arrivals", bound=None)

    def start(self) -> None:
        """Begin to hand over."""
        self._outbox.start()

    def put(self, source: Source, event: Fields | Refusal) -> None:
        """Add an event."""
        self._outbox.put((source, event))

    def close(self, seconds: float) -> None:
        """Hand over what is left and end the thread."""
        self._outbox.close(seconds)

    def _deliver(self, batch: list[tuple[Source, Fields | Refusal]]) -> None:
        for _, event in batch:
            self._tell(event)
        for source, count in Counter(source for source, _ in batch).items():
            source.acknowledge(count)
