"""How much of the processor those may have, all together, who have brought nothing that was asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Ration"]

_SHARE = 0.2  # of one processor
_AT_ONCE = 0.05  # seconds of it that they may have at once, after a time without


class Ration:
    """The account of all strangers of a receiver. Methods may be called from any thread.

    It is one account: who leaves and calls again, or calls from elsewhere, finds it as it was.
    """

    def __init__(self, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = _SHARE / processes  # each has an account of its own
        self._clock = clock
        self._lock = threading.Lock()
        self._even = clock()  # when all that they have had is theirs by right

    def charge(self, seconds: float) -> float:
        """Take note of so many seconds, and return the time of the clock before which there are no more."""
        with self._lock:
            earliest = self._clock() - _AT_ONCE / self._share
            self._even = max(self._even, earliest) + seconds / self._share
            return self._even
