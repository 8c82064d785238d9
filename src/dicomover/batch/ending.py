"""How a batch ends: tidily by its last worker, or cut off from outside where something of it stands still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dicomover.batch.resume import Resumption
from dicomover.batch.run import BatchRun
from dicomover.events import BatchEnded
from dicomover.journal import JournalError
from dicomover.outcome import Status

__all__ = ["CANCEL_PATIENCE", "KILL_PATIENCE", "Ending"]

CANCEL_PATIENCE = 5.8
"""Seconds after a cancel in which every worker has to end; afterwards its association is cut off."""

KILL_PATIENCE = 0.7
"""Seconds after that in which the batch has to be over; afterwards it is, whatever still stands still."""

_RENEW_EVERY = 1.0  # seconds between two looks whether the claims on the journal have to be renewed

_HELD_UP = "cancelled; what held it up did not answer in time: the receiver's process, the disk, or the network"

logger = logging.getLogger("dicomover.mover")


class Ending:
    """Ends a batch once, whoever comes first.

    `tidy_up` runs on the last worker's thread. A worker may stand still in what no cancel reaches: a receiver's process
    or a disk that hangs. So once a cancel is out, a thread outside of the workers holds the time: it cuts the
    associations off, and if even that does not help, it gives every row that is not over its verdict and lets the
    batch be over. What the batch used is then given back on a thread that nobody waits for. A worker that wakes up
    later finds its rows over, and the ledger closed. What draws may stand still too, and holds up nobody either.

    The claims on the journal are renewed from here, since they have to last whatever draws and whatever waits.
    """

    def __init__(
        self,
        run: BatchRun,  # what the batch's parts share
        give_back: Callable[[], None],  # gives back what the batch used beyond that; called once
        shown: threading.Event | None = None,  # set by whoever draws once it has drawn the end
    ) -> None:
        self.over = threading.Event()
        self._shown = shown or self.over
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

    def keep_claims(self) -> None:
        """Keep what is claimed on the journal until the batch is over; returns at once."""
        if self._run.resumption is not None:
            threading.Thread(
                target=self._renew, args=(self._run.resumption,), name="dicomover claims", daemon=True
            ).start()

    def _renew(self, resumption: Resumption) -> None:
        controls = self._run.controls
        while True:
            try:
                if not controls.stopping:
                    resumption.renew()
            except JournalError as error:  # what comes from now on could not be written down
                controls.give_up(str(error))
            if self.over.wait(_RENEW_EVERY):
                return

    def _watch(self, patience: float) -> None:
        if not self.over.wait(patience):
            self._run.controls.kill()
            if not self.over.wait(KILL_PATIENCE):
                self._give_up()
        if not self._shown.wait(KILL_PATIENCE):
            logger.error("what shows the progress stands still; the batch is over all the same")
            self._shown.set()

    def _give_up(self) -> None:
        logger.error("the batch does not end by itself and is given up; something that it waits for stands still")
        self._run.ledger.finish(Status.CANCELLED, _HELD_UP)  # before it is over: who waits reads the results
        self._be_over()
        # On another thread: what is given back may be what stands still.
        threading.Thread(target=self._return_all, name="dicomover closing", daemon=True).start()

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
