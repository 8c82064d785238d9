"""The life behind the verbs: who listens, which associations are kept, which jobs run; and how all of that ends."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Protocol, Self

from dicomover.batch.ways import Via
from dicomover.errors import NodeUnreachable, ReceiverError
from dicomover.events import Arrival, Refusal
from dicomover.node import Node, Timeouts
from dicomover.processes import forks
from dicomover.wire.lines import Line, Lines, Pool, open_lines
from dicomover.wire.services import ECHO, FIND, RETRIEVE
from dicomover.wire.stop import Controls, Stop

__all__ = ["Session"]

CLOSING = 9.5
"""Seconds in which a session closes, whatever stands still."""

logger = logging.getLogger("dicomover.mover")


class _Listener(Protocol):
    """As much of our receiver as has to do with its life; see `Receiver`."""

    @property
    def port(self) -> int: ...
    def wants_place_of(self, other: Self) -> bool: ...
    def start(self, *, listens: bool = True) -> None: ...
    def stop(self) -> None: ...


class _RunningJob(Protocol):
    """A batch under way; see `Job`."""

    def arrived(self, event: Arrival | Refusal) -> None: ...
    def cancel(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool: ...


class _Listeners:
    """The sessions of this process that listen, and the lock that is held while one takes another's port over."""

    def __init__(self) -> None:
        self.begin_anew()
        forks.inherit(self)

    def begin_anew(self) -> None:
        """Know of none."""
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.lock = threading.Lock()


_listeners = _Listeners()


class Session:
    """Keeps what a Mover's verbs share for as long as one of them, or a `with`, needs it.

    Every verb uses the session while it works. With the last user the idle associations are released; with the last one
    that listens the receiver stops. Two locks: `_life` is held while the receiver starts and stops, which takes seconds
    and ends with the receiver's last events; `_jobs_lock` is taken to deliver those events. So nothing may wait for
    `_life` while it holds `_jobs_lock`, and `deliver` never needs `_life`. A third, that of `_listeners`, is for all
    sessions of this process, and taken before any `_life`.

    A cell that is run again makes another Mover while the earlier one still listens. So who begins to listen takes the
    port over from an earlier session that only has it open; from one whose jobs run it does not.
    """

    def __init__(self, node: Node, ae_title: str, destination: Node | None = None, via: Via = "move") -> None:
        self.pool = Pool(node, ae_title)
        self.destination_pool = None if destination is None else Pool(destination, ae_title)  # if it can be asked
        self.get_pool: Pool | None = None  # of associations for C-GET, if we receive
        self.via = via  # how images come, unless a job says otherwise
        self.receiver: _Listener | None = None  # ours, set before the first use; None if a third party receives
        self.begin_anew()
        forks.inherit(self)

    def begin_anew(self) -> None:
        """Be closed, with nothing under way; after a fork all of that goes on in the parent."""
        self._jobs: dict[_RunningJob, bool] = {}  # whether we listen for it already
        self._jobs_lock = threading.Lock()
        self._life = threading.Lock()
        self._users = 0
        self._listening = 0
        self._is_open = False
        self.has_received = False  # whether an image has come here

    @property
    def port(self) -> int | None:
        """Where we listen, while we do; None when a third party receives."""
        return (self.receiver.port or None) if self.receiver is not None and self._listening else None

    # --- as long as somebody has it open

    def open(self) -> None:
        """Listen, if we receive, and keep associations until `close`; raises ReceiverError."""
        if not self._is_open:
            self._enter(listening=self.via)
            self._is_open = True
            self.pool.kept_for = ECHO | RETRIEVE

    def close(self) -> None:
        """Cancel what still runs, release the associations and stop listening; nothing holds that up for long."""
        limit = time.monotonic() + CLOSING
        with self._jobs_lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        for job in jobs:
            job.wait(max(limit - time.monotonic(), 0.1))
        if not self._is_open:
            return
        self._is_open = False
        self.pool.kept_for = frozenset()
        # Not on this thread: a receiver that stands still takes its time, and may be stopped by somebody else already.
        leave = partial(self._leave, listening=True)
        leaving = threading.Thread(target=leave, name="dicomover closing", daemon=True)
        leaving.start()
        leaving.join(max(limit - time.monotonic(), 0.5))
        if leaving.is_alive():
            logger.error("what listened does not end in time; it is left to end by itself")

    # --- as long as a verb needs it

    @contextlib.contextmanager
    def use(self, *, listening: bool = False, job: _RunningJob | None = None) -> Iterator[None]:
        """Keep associations, and listen if asked to, for as long as this lasts; raises ReceiverError.

        A `job` that receives elsewhere is cancelled by `close`.
        """
        self._enter(listening="move" if listening else None)
        if job is not None:
            with self._jobs_lock:
                self._jobs[job] = False
        try:
            yield
        finally:
            if job is not None:
                self._forget(job)
            self._leave(listening=listening)

    @contextlib.contextmanager
    def lend_line(
        self, timeouts: Timeouts, controls: Controls | None = None, services: frozenset[str] = FIND
    ) -> Iterator[Line]:
        """Lend a line to the archive for as long as this lasts; raises NodeError if it is lost for good."""
        with self.use(), Line(self.pool, timeouts, controls or Controls(lambda _: None), services=services) as line:
            try:
                yield line
            except Stop as stop:  # there is no batch to be stopped
                raise NodeUnreachable(str(stop.result.error)) from stop

    def lend_lines(self, timeouts: Timeouts, most: int) -> contextlib.AbstractContextManager[Lines]:
        """Lend as many lines as may work side by side, `most` at most; raises NodeError if there is none."""
        return open_lines(partial(self.lend_line, timeouts), most)

    # --- as long as a job runs

    def begin_job(self, job: _RunningJob, via: Via | None = None) -> None:
        """Receive for a job and deliver to it, until `end_job`; raises ReceiverError.

        A port is opened for C-MOVE, and where one can be had with `auto`.
        """
        with self._jobs_lock:
            self._jobs[job] = False  # before it listens: nothing that arrives may find no job
        try:
            self._enter(listening=via or self.via)
        except BaseException:
            self._forget(job)
            raise
        with self._jobs_lock:
            if is_under_way := job in self._jobs:
                self._jobs[job] = True
        if not is_under_way:  # it was given up meanwhile
            self._leave(listening=True)

    def end_job(self, job: _RunningJob) -> None:
        """Let go of what a job needed; on its last worker's thread."""
        if self._forget(job):
            self._leave(listening=True)

    def deliver(self, event: Arrival | Refusal) -> None:
        """Give to every job what the receiver reports; on the receiver's thread."""
        with self._jobs_lock:
            jobs = list(self._jobs)
            self.has_received |= isinstance(event, Arrival)
        for job in jobs:
            job.arrived(event)

    # --- behind them

    def _forget(self, job: _RunningJob) -> bool:
        """Deliver to a job no more; tell whether we listened for it."""
        with self._jobs_lock:
            return self._jobs.pop(job, False)

    def _take_over(self) -> None:
        """Close those that listen where we are to, unless they are at work; raises ReceiverError then."""
        with _listeners.lock:
            for other in list(_listeners.sessions):
                ours, theirs = self.receiver, other.receiver
                if other is self or ours is None or theirs is None or not ours.wants_place_of(theirs):
                    continue
                if other._jobs:
                    raise ReceiverError(
                        f"port {theirs.port} belongs to an earlier Mover of this kernel, and a batch of it runs",
                        "wait for its end (its last.wait()) or end it (its close()), then run this again",
                    )
                other.close()

    def _enter(self, *, listening: Via | None = None) -> None:
        trouble = None
        if listening in ("move", "auto") and not self._listening:
            try:
                self._take_over()
            except ReceiverError as error:
                if listening == "move":
                    raise
                trouble = error
        with self._life:
            if listening and self.receiver is not None:
                if self._listening == 0:
                    try:
                        self._start(self.receiver, "get" if trouble else listening)
                    except KeyboardInterrupt:  # maybe behind its start
                        self.receiver.stop()
                        raise
                elif listening == "move" and not self.receiver.port:
                    why = "this Mover listens on no port while a batch runs by C-GET"
                    raise ReceiverError(why, "wait for the end of that one, or make another Mover")
                self._listening += 1
                _listeners.sessions.add(self)
            self._users += 1

    @staticmethod
    def _start(receiver: _Listener, via: Via) -> None:
        if via != "get":
            try:
                return receiver.start()
            except ReceiverError as error:
                if via == "move":
                    raise
                logger.warning("%s; so no port is opened, and images come by C-GET", error)
        return receiver.start(listens=False)

    def _leave(self, *, listening: bool) -> None:
        with self._life:
            self._users -= 1
            if self._users == 0:
                for pool in filter(None, (self.pool, self.destination_pool, self.get_pool)):
                    pool.close()
            if listening and self.receiver is not None:
                self._listening -= 1
                if self._listening == 0:
                    _listeners.sessions.discard(self)
                    self.receiver.stop()
