"""A batch that runs: here with its progress shown, or in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from dicomover import summary
from dicomover.batch.crew import Crew, make_thread
from dicomover.batch.ending import CANCEL_PATIENCE, KILL_PATIENCE, Ending
from dicomover.batch.run import BatchRun
from dicomover.batch.running import size_of_file
from dicomover.batch.signals import interrupting, tell_interrupt
from dicomover.batch.worker import Worker
from dicomover.errors import ConfigurationError, DicomoverError
from dicomover.events import Arrival, BatchStarted, InstanceReceived, Noted, Refusal, RequestEnded
from dicomover.identifier import Level
from dicomover.outcome import Status
from dicomover.progress import Progress, View
from dicomover.progress.timeline import Timeline

if TYPE_CHECKING:
    from dicomover.reporting import Report

__all__ = ["CANCEL_PATIENCE", "Job", "OnInterrupt"]

OnInterrupt = Literal["raise", "return"]

AWAIT_EVERY = 0.05  # seconds between two looks whether the batch has ended


class Job:
    """A batch of requests that runs, or has run.

    Made by `Mover.start`; `Mover.move` uses one too.
    """

    def __init__(
        self, run: BatchRun, view: View, on_begin: Callable[[Job], None], on_end: Callable[[Job], None]
    ) -> None:
        self._batch = run.batch
        self._settings = run.settings
        self._pool = run.pool
        self._events = run.events
        self._controls = run.controls
        self._ledger = run.ledger
        self._tally = run.tally
        if run.tally is not None:
            run.tally.on_counted = self._counted
        self._resumption = run.resumption
        self._witness = run.witness
        self._view = view
        self._on_begin = on_begin
        self._on_end = on_end
        self._handing = run.handing
        self._timeline = Timeline()
        self._port: int | None = None
        self._begun = False
        self._ended = threading.Event()  # no worker is left, and that has been shown
        self._ending = Ending(run, self._give_back, self._ended)
        self._crew = Crew(run, partial(Worker, run), self._ending.tidy_up)

    # --- for users

    @property
    def cancelled(self) -> bool:
        """True once somebody has asked to cancel."""
        return self._controls.cancelled

    @property
    def done(self) -> bool:
        """True once the batch has ended and its last state has been shown."""
        return self._ended.is_set()

    @property
    def levels(self) -> tuple[Level, ...]:
        """The Query/Retrieve Levels of its requests, from the top."""
        return tuple(level for level in Level if any(request.level is level for request in self._batch.requests))

    def run(self, *, interrupt: OnInterrupt = "raise") -> Job:
        """Run to the end in this thread and show progress; an interrupt cancels.

        A first interrupt (Ctrl-C, the kernel's stop button) sends C-CANCEL and reads what the archive still says;
        a second one stops at once. A SIGTERM does the same, and ends the process afterwards.

        Parameters
        ----------
        interrupt
            After an interrupt, `raise` it, so that nothing goes on with a part of the batch, or `return` as always.

        Returns
        -------
        Job
            Itself, ended.

        Raises
        ------
        Interrupted
            After an interrupt, once all has ended. It carries the summary.
        NodeError
            If the node cannot be reached at all.
        """
        if interrupt not in get_args(OnInterrupt):
            raise ConfigurationError(f"interrupt={interrupt!r} is neither 'raise' nor 'return'", "choose one")
        try:
            with interrupting():
                self._run()
        except KeyboardInterrupt:
            self._ledger.finish(Status.CANCELLED, "not sent: the batch was interrupted")  # if it had not begun yet
            if interrupt == "raise":
                raise tell_interrupt(self.summary(), remembers=self._resumption is not None) from None
        return self

    def _run(self) -> None:
        self._begin()
        interrupts = 0
        try:
            with Progress(self._view, keep=self._timeline.take) as progress:
                while True:
                    try:
                        progress.watch(self._events, self._ending.over.is_set)
                        break
                    except KeyboardInterrupt:
                        interrupts += 1
                        if self.cancelled:
                            self._ending.hold_time(0)
                        else:
                            self.cancel()
        except BaseException:  # a further interrupt too, while the one before was seen to
            self._stop(0 if interrupts else CANCEL_PATIENCE)
            raise
        finally:
            self._ended.set()
        if interrupts:
            raise KeyboardInterrupt

    def start(self) -> Job:
        """Run in the background and show progress from there.

        Returns
        -------
        Job
            Itself, running.

        Raises
        ------
        NodeError
            If the node cannot be reached at all.
        """
        self._handing.open()
        self._begin()
        progress = Progress(self._view, keep=self._timeline.take)

        def watch() -> None:
            try:
                with progress:
                    progress.watch(self._events, self._ending.over.is_set)
            finally:
                self._ended.set()

        try:
            progress.refresh()  # on this thread, so that a notebook shows it below this cell
        finally:
            make_thread(watch, "dicomover progress").start()
        return self

    def cancel(self) -> None:
        """Send C-CANCEL for what runs and send nothing more. Returns at once; `wait` waits for the end."""
        if self.done or not self._controls.cancel():
            return
        now = time.monotonic()
        self._events.put(Noted(now, "cancelling", until=now + CANCEL_PATIENCE))
        if self._tally is not None:
            self._tally.hurry()
        self._ending.hold_time(CANCEL_PATIENCE)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end.

        Parameters
        ----------
        timeout
            Seconds; None is no limit.

        Returns
        -------
        bool
            True if the batch has ended.
        """
        return self._ended.wait(timeout)

    def __await__(self) -> Generator[object, None, pd.DataFrame]:
        """Wait for the end without holding up the event loop, and return the summary: `summary = await job`.

        The job goes on if what awaits it is cancelled.
        """
        return self._summary_at_the_end().__await__()

    async def _summary_at_the_end(self) -> pd.DataFrame:
        if not self._begun:
            raise DicomoverError("nothing to wait for: the job was not started; take the one that Mover.start returns")
        import asyncio  # who awaits has it loaded; a shell has no use for it

        while not self.done:
            await asyncio.sleep(AWAIT_EVERY)
        return self.summary()

    def __repr__(self) -> str:
        over = sum(result.status is not None for result in self._ledger.results())
        state = "over" if self.done else "cancelling" if self.cancelled else "running" if self._begun else "not started"
        return f"<Job: {state}, {over:,} of {len(self._batch):,} request{'s' * (len(self._batch) != 1)} over>"

    def _repr_html_(self) -> str | None:
        return self.report()._repr_html_() if self._begun else None

    def summary(self) -> pd.DataFrame:
        """Return what is known by now, one row per request; a request that is not over has no status.

        Returns
        -------
        DataFrame
            See `dicomover.summary.SCHEMA`.
        """
        return summary.build(self._ledger.results(), self._batch.given)

    def report(self, *, show_keys: bool | None = None) -> Report:
        """Return what is known by now as `dicomover.report` does, with who was asked and when each instance came.

        Parameters
        ----------
        show_keys
            Whether the index and the keys of rows are shown, which may be patient data; as for the job by default.

        Examples
        --------
        >>> from dicomover import Mover
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123", instances=4)]) as pacs:
        ...     mover = Mover(pacs.node, destination="WORKSTATION", progress="none")
        ...     print(repr(mover.job({"AccessionNumber": "00123"}).run().report()))
        <Report: 1 request, complete>
        """
        from dicomover.reporting import Report, Run

        destination, pool, results = self._settings.destination, self._pool, self._ledger.results()
        found = [result.studies for result in results]
        run = Run.of(self._timeline, pool.node, pool.ae_title, destination, self._port, over=self.done, studies=found)
        shown = self._settings.show_keys if show_keys is None else show_keys
        return Report(summary.build(results, self._batch.given), run=run, show_keys=shown)

    def failures(self) -> pd.DataFrame:
        """Return one row for each instance that failed or is missing.

        Returns
        -------
        DataFrame
            `request` (the label of the row), `StudyInstanceUID` and `SeriesInstanceUID` (`<NA>` where nobody has asked
            for them), `SOPInstanceUID`, `problem`, `status_code` and `why`. A `problem` is `failed` where the archive
            said so, `missing` where the archive has the instance and it is not there.
        """
        return summary.failures(self._ledger.results(), self._batch.given.index)

    def arrivals(self) -> Iterator[Arrival]:
        """Yield the instances that we receive as they land, so that work on them can begin before the batch ends.

        To be called once, right after `Mover.start`: what lands before is kept for it, but not for ever.

        Yields
        ------
        Arrival
            Its `path`, its UIDs, and in `requests` the labels of the rows that asked for it.

        Raises
        ------
        DicomoverError
            If a third party receives, if the job does not run in the background, or if it comes too late.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from dicomover import Mover
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123", instances=4)]) as pacs:
        ...     with Mover(pacs.node, receive=folder, port=0, progress="none") as mover:
        ...         pacs.destinations["MOVESCU"] = mover.port
        ...         job = mover.start({"AccessionNumber": "00123"})
        ...         print([arrival.requests for arrival in job.arrivals()])
        [(0,), (0,), (0,), (0,)]
        """
        return self._handing.read_arrivals()

    def series(self, *, on: Any = None) -> Iterator[Any]:
        """Yield each series once all that the archive has of it is here, to work on it while the batch goes on.

        That all is here is known from what the archive says of each series. Where it does not, a series is handed out
        when its row ends; so is one whose C-MOVE runs already, or that an earlier run has brought. One of which not all
        came is not handed out, and one that grows after that is once more. While 100 series wait to be taken no further
        request is begun, for up to ten minutes. What your code raises ends the loop and not the batch. `on` a Dask
        client each is a future instead, at the worker to which it came: what is submitted with it runs there.

        Yields
        ------
        Series
            A sequence of its files, in the order of their slices; its UIDs, `folder`, and in `requests` the labels of
            the rows that asked for it. `dicomover.volume` takes it as it is. Raises as `arrivals` does.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from dicomover import Mover, volume
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123", instances=4, series=2)]) as pacs:
        ...     with Mover(pacs.node, receive=folder, port=0, progress="none") as mover:
        ...         pacs.destinations["MOVESCU"] = mover.port
        ...         job = mover.start({"AccessionNumber": "00123"})
        ...         print([volume(series).array.shape for series in job.series()])
        [(4, 32, 32), (4, 32, 32)]
        """
        return self._handing.read_series() if on is None else self._handing.submit_series(on)

    # --- the batch

    def _begin(self) -> None:
        """Set the workers going, once it is known that there is an archive to be asked."""
        self._begun, rows = True, self._batch
        try:
            self._on_begin(self)
        except BaseException:
            self._ended.set()
            raise
        count = min(self._settings.associations, len(rows.requests))
        try:
            self._port = None if self._tally is None else self._tally.scp.port
            self._events.put(BatchStarted(time.monotonic(), len(rows)))
            for position in rows.problems:
                self._events.put(RequestEnded(time.monotonic(), position, Status.INVALID, rows.tell_problems(position)))
            if self._resumption is not None and count:
                self._resumption.open()
            if count:
                self._crew.gather(count)
                if self._witness is not None:
                    self._witness.connect()
        except BaseException:
            self._crew.send_home()
            if self._witness is not None:
                self._witness.close()
            if self._resumption is not None:
                self._resumption.close()
            self._on_end(self)
            self._ended.set()
            raise
        if not count:
            self._ending.tidy_up()
            return
        try:
            self._ending.keep_claims()
            self._crew.start()
        except BaseException:
            self._stop()
            raise

    def _give_back(self) -> None:
        """Let go of the session, and of who waits for arrivals, once nothing more can come."""
        try:
            self._on_end(self)
        finally:
            self._handing.end()

    def _stop(self, patience: float = CANCEL_PATIENCE) -> None:
        """Cancel, since nobody watches any more, and give what runs the time to end."""
        self.cancel()
        self._ending.hold_time(patience)  # a cancel that was interrupted half-way holds none
        self._ending.over.wait(patience + 2 * KILL_PATIENCE)
        self._ended.set()

    def arrived(self, event: Arrival | Refusal) -> None:
        """Take what the receiver reports; called on its thread."""
        assert self._tally is not None
        if isinstance(event, Refusal):
            self._tally.add_refusal(event)
        else:
            self._tally.add(event)

    def _counted(self, arrival: Arrival, moves: list[int]) -> None:
        """Show what counts, and hand it out; on the receiver's thread, or on a worker's that has asked whose it is."""
        self._events.put(InstanceReceived(arrival.at, moves[0], size_of_file(arrival)))
        if self._handing.is_open:
            labelled = replace(arrival, requests=self._ledger.labels(moves))
            self._handing.count(labelled, moves, self._ledger.labels)
