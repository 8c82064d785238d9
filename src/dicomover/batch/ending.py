"""How a batch ends: tidily by its last worker, or cut off from outside where something of it stands still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dicomover.batch.run import BatchRun
from dicomover.events import BatchEnded
from dicomover.outcome import Status

__all__ = ["CANCEL_PATIENCE", "KILL_PATIENCE", "Ending"]

CANCEL_PATIENCE = 7.0
"""Seconds after a cancel in which every worker has to end; afterwards its association is cut off."""

KILL_PATIENCE = 1.0
"""Seconds after that in which the batch has to be over; afterwards it is, whatever still stands still."""

_HELD_UP = "cancelled; what held it up did not answer in time: the receiver's process, the disk, or the network"

logger = logging.getLogger("dicomover.mover")


class Ending:
    """Ends a batch once, whoever comes first.

    `tidy_up` runs on the last worker's thread. A worker may stand still in what no cancel reaches: a receiver's process
    or a disk that hangs. So once a cancel is out, a thread outside of the workers holds the time: it cuts the
    associations off, and if even that does not help, it gives every row that is not over its verdict and lets the
    batch be over. What the batch used is then given back on a thread that nobody waits for. A worker that wakes up
    later finds its rows over, and the ledger closed.

    Parameters
    ----------
    run
        What the batch's parts share.
    give_back
        Gives back what the batch used beyond that; called once.
    """

    def __init__(self, run: BatchRun, give_back: Callable[[], None]) -> None:
        self.over = threading.Event()
        self._run = run
        self._give_back = give_back
        self._lock = threading.Lock()
        self._is_tidied = False

    def tidy_up(self) -> None:
        """End the batch; on its last worker's thread."""
        try:
            self._run.ledger.finish()
            self._return_all()
        finally:
            self._be_over()

    def hold_time(self, patience: float) -> None:
        """See that the batch is over in so many seconds, and one; returns at once."""
        threading.Thread(target=self._watch, args=(patience,), name="dicomover watchdog", daemon=True).start()

    def _watch(self, patience: float) -> None:
        if self.over.wait(patience):
            return
        self._run.controls.kill()
        if self.over.wait(KILL_PATIENCE):
            return
        logger.error("the batch does not end by itself and is given up; something that it waits for stands still")
        self._run.ledger.finish(Status.CANCELLED, _HELD_UP)  # before it is over: who waits reads the results
        self._be_over()
        self._return_all()

    def _be_over(self) -> None:
        with self._lock:
            if self.over.is_set():
                return
            self.over.set()
        self._run.events.put(BatchEnded(time.monotonic()))

    def _return_all(self) -> None:
        """Give back what the batch used; only the first caller does."""
        with self._lock:
            is_mine, self._is_tidied = not self._is_tidied, True
        if not is_mine:
            return
        run = self._run
        try:
            if run.witness is not None:
                run.witness.close()
            if run.tally is not None:
                run.tally.scp.dismiss(*run.ledger.numbers())
            if run.resumption is not None and run.batch.requests:
                run.resumption.close()
        finally:
            self._give_back()
