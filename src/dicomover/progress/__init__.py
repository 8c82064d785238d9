"""Progress of a batch: one state, folded from the events, and the views that show it.

`state` and `folding` compute and never draw; `views` and `notebook` draw and never compute. `Progress` joins them for
the thread that runs the batch.

Never here: anything that the batch waits for, or decides by; a view that fails is logged, and the batch goes on.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from dicomover.events import BatchEnded, Event
from dicomover.progress.folding import fold
from dicomover.progress.labels import row_labels
from dicomover.progress.notebook import NotebookView
from dicomover.progress.state import Rate, State
from dicomover.progress.views import LogView, NullView, TerminalView, View, choose
from dicomover.text.traces import tell_trace

__all__ = [
    "LogView",
    "NotebookView",
    "NullView",
    "Progress",
    "Rate",
    "State",
    "TerminalView",
    "View",
    "choose",
    "fold",
    "row_labels",
]

logger = logging.getLogger("dicomover.progress")

DRAW_EVERY = 0.1  # seconds
_STANDS_STILL = 0.2  # seconds of one drawing


class Progress:
    """Folds events into a state and shows it now and then.

    Everything is to be called from one thread, the one that may draw. Nothing here raises for a view that fails: that
    is logged once, and the batch goes on unseen.
    """

    def __init__(
        self,
        view: View,
        clock: Callable[[], float] = time.monotonic,  # that of the events
        keep: Callable[[Event, State], object] = lambda *_: None,  # told each event and the state that it made
    ) -> None:
        self.state = State()
        self._view = view
        self._keep = keep
        self._clock = clock
        self._drawn_at: float | None = None
        self._closed = False

    def take(self, event: Event, /) -> None:
        """Take in one event; nothing is drawn."""
        try:
            self.state = fold(self.state, event)
            self._keep(event, self.state)
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.warning("Progress lacks something that happened; the batch goes on\n%s", tell_trace(error))

    def refresh(self) -> None:
        """Show the state, unless that was done within the last tenth of a second. Cheap: call it often."""
        if self._closed:
            return
        now = self._clock()
        if self._drawn_at is None or now - self._drawn_at >= DRAW_EVERY:
            self._drawn_at = now
            self._draw(self._view.show, now)

    def watch(self, events: queue.SimpleQueue[Event], is_over: Callable[[], bool]) -> None:
        """Show what happens until the batch has ended; `is_over` tells if an interrupt took its last event away."""
        while True:
            try:
                event = events.get(timeout=DRAW_EVERY)
            except queue.Empty:
                if not is_over():
                    self.refresh()
                    continue
                event = BatchEnded(time.monotonic())
            self.take(event)
            if isinstance(event, BatchEnded):
                return
            self.refresh()

    def close(self) -> None:
        """Show for good what came of the batch. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._draw(self._view.close, self._clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self, how: Callable[[State, float], None], now: float) -> None:
        begun = time.monotonic()
        self.state = replace(self.state, reached=self.state.fraction)
        try:
            how(self.state, now)
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.warning("Progress cannot be shown any more; the batch goes on\n%s", tell_trace(error))
            self._view = NullView()
        except BaseException:  # an interrupt; of what stood still, it would have to end every further drawing
            if time.monotonic() - begun > _STANDS_STILL:
                self._view = NullView()
            raise
