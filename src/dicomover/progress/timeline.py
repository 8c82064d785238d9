"""How a batch went over time: what had moved by the end of each second, in a bounded number of bins."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from dicomover.events import BatchEnded, BatchStarted, Event, InstanceReceived, MoveProgressed
from dicomover.progress import State

__all__ = ["Timeline", "Totals"]

MOST_BINS = 3600
_WIDTHS = (1, 5, 15, 60, 300, 900, 3600)  # seconds; each holds the ones before it a whole number of times


class Totals(NamedTuple):
    """What a batch has come to at one moment: sub-operations as the archive counted them, and what arrived here."""

    moved: int = 0
    failed: int = 0
    received: int = 0
    bytes: int = 0


class Timeline:
    """Keeps the totals by time. A batch of an hour has bins of a second, one of a night bins of a quarter minute.

    Every method may be called from any thread.

    Examples
    --------
    >>> timeline = Timeline()
    >>> timeline.take(BatchStarted(100.0, requests=1), State())
    >>> timeline.take(InstanceReceived(100.5, move=1, size=10), State(received=3, bytes=30))
    >>> timeline.take(InstanceReceived(102.1, move=1, size=10), State(received=8, bytes=80))
    >>> timeline.table()["received"].tolist()
    [3, 0, 5]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: tuple[float, datetime] | None = None
        self._ended: float | None = None
        self._width = _WIDTHS[0]
        self._bins: dict[int, Totals] = {}

    @property
    def began(self) -> datetime | None:
        """When the batch began, UTC."""
        return None if self._began is None else self._began[1]

    @property
    def seconds(self) -> float | None:
        """How long the batch has taken by now, or took."""
        if self._began is None:
            return None
        return max(0.0, (time.monotonic() if self._ended is None else self._ended) - self._began[0])

    def take(self, event: Event, state: State) -> None:
        """Take in an event and what the batch has come to with it."""
        if isinstance(event, BatchStarted):
            ago = timedelta(seconds=max(0.0, time.monotonic() - event.at))
            self._began = (event.at, datetime.now(UTC) - ago)
        elif isinstance(event, BatchEnded):
            self._ended = event.at
        elif isinstance(event, MoveProgressed | InstanceReceived):
            self._note(event.at, Totals(state.moved or 0, state.failed or 0, state.received or 0, state.bytes))

    def _note(self, at: float, totals: Totals) -> None:
        if self._began is None:
            return
        with self._lock:
            elapsed = max(0.0, at - self._began[0])
            while elapsed >= self._width * MOST_BINS and self._width < _WIDTHS[-1]:
                self._widen()
            self._bins[int(elapsed // self._width)] = totals

    def _widen(self) -> None:
        wider = _WIDTHS[_WIDTHS.index(self._width) + 1]
        factor = wider // self._width
        self._bins = {number // factor: totals for number, totals in sorted(self._bins.items())}
        self._width = wider

    def table(self) -> pd.DataFrame:
        """Return what moved in each bin, from the beginning to the last one in which anything did.

        It has `start` (UTC), `seconds` (the width of the bin), and what `Totals` counts, each within the bin.
        """
        with self._lock:
            bins, width = dict(sorted(self._bins.items())), self._width
        count = max(bins, default=-1) + 1
        totals = pd.DataFrame(list(bins.values()), index=list(bins), columns=list(Totals._fields))
        gains = totals.reindex(range(count)).ffill().fillna(0).astype("int64")
        gains = gains.diff().fillna(gains).clip(lower=0).astype("Int64")
        began = pd.Timestamp(self.began or datetime.now(UTC))
        starts = began + pd.to_timedelta([number * width for number in range(count)], unit="s")
        gains.insert(0, "start", pd.Series(starts, dtype="datetime64[us, UTC]"))
        gains.insert(1, "seconds", pd.Series(float(width), index=gains.index, dtype="Float64"))
        return gains
