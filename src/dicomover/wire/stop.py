"""What stops the workers of a batch, from whichever thread it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from dicomover.events import Event
from dicomover.outcome import Status
from dicomover.summary import Result

__all__ = ["Controls", "Stop"]


class Stop(Exception):
    """The batch is being cancelled, or cannot go on; `result` is what that makes of a row."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(why)
        self.result = Result(status, error=why, unsent=True)


class _Ending(Protocol):
    """As much of an association as a stop has to do with; both may be called from any thread."""

    def cancel(self) -> None: ...
    def kill(self) -> None: ...


class Controls:
    """Stops a batch, and knows its workers and their associations. Every method may be called from any thread."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self.emit = emit
        self.cancelled = False
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._impossible: str | None = None
        self._associations: set[_Ending] = set()
        self._workers = 0

    # --- workers

    def enter(self) -> None:
        """Count one more worker."""
        with self._lock:
            self._workers += 1

    def leave(self) -> bool:
        """Count one less; True if that was the last."""
        with self._lock:
            self._workers -= 1
            return self._workers == 0

    def leave_to_others(self) -> bool:
        """Count one less if another one stays; False if there is none."""
        with self._lock:
            if self._workers < 2:
                return False
            self._workers -= 1
            return True

    def come_back(self) -> bool:
        """Count one more worker if there are others; False if the last one has left."""
        with self._lock:
            self._workers += self._workers > 0
            return self._workers > 0

    @property
    def workers(self) -> int:
        """How many are at work."""
        return self._workers

    # --- associations

    def register(self, association: _Ending) -> None:
        """Let a cancel reach this association."""
        with self._lock:
            self._associations.add(association)
            if self.cancelled:
                association.cancel()

    def unregister(self, association: _Ending) -> None:
        """Its worker has no more use for it."""
        with self._lock:
            self._associations.discard(association)

    # --- stopping

    def cancel(self) -> bool:
        """Send C-CANCEL for what runs and begin nothing more; False if that was asked for already."""
        with self._lock:
            first, self.cancelled = not self.cancelled, True
            for association in self._associations:
                association.cancel()
        self._halt.set()
        return first

    def kill(self) -> None:
        """End every association at once."""
        with self._lock:
            for association in self._associations:
                association.kill()

    def give_up(self, why: str) -> Stop:
        """Let nothing more be sent; return what to raise."""
        self._impossible = why
        self._halt.set()
        return self._stop() or Stop(Status.FAILURE, why)

    def check(self) -> None:
        """Raise Stop if nothing more is to be sent."""
        stop = self._stop()
        if stop is not None:
            raise stop

    @property
    def stopping(self) -> bool:
        """True once nothing more is to be sent."""
        return self._stop() is not None

    def pause(self, seconds: float) -> None:
        """Sleep, unless something stops the batch."""
        self._halt.wait(seconds)
        self.check()

    def _stop(self) -> Stop | None:
        if self.cancelled:
            return Stop(Status.CANCELLED, "not sent: the batch was cancelled")
        if self._impossible is not None:
            return Stop(Status.FAILURE, f"not sent: {self._impossible}")
        return None
