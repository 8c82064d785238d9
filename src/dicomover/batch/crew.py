"""The workers of a batch, each on a thread of its own, from the first association to the end of the last one."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Protocol

from dicomover.batch.run import BatchRun
from dicomover.errors import NodeError

__all__ = ["Crew", "make_thread"]

_COME_BACK_AFTER = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between attempts at an association that an archive, perhaps restarting, did not give; the last one again."""


class Member(Protocol):
    """Works off requests, on one thread; see `Worker`."""

    def connect(self) -> None:
        """Open its association; raises NodeError."""

    def work(self) -> bool:
        """Work until no request is left; False if there was no association to be had and others go on."""

    def close(self) -> None:
        """Give its association back."""

    def abandon(self) -> None:
        """End what it waits for; from any thread."""


class Crew:
    """Sets workers going and knows when the last one has ended.

    `gather`, `send_home` and `start` run on the thread that begins the batch, `_work` on a worker's. `Controls` counts
    the workers: all of them are counted before the first thread starts, or the first one could find itself the last and
    end the batch; and whoever brings the count to 0 calls `on_end`, once. A worker leaves the count before it looks
    whether work is left: in the other order two of them could each leave a retry to the other.
    """

    def __init__(
        self,
        run: BatchRun,  # what they share
        new_member: Callable[[], Member],
        on_end: Callable[[], None],  # called once, on the last worker's thread, when nothing is left to do
    ) -> None:
        self._ledger = run.ledger
        self._controls = run.controls
        self._pace = run.pace
        self._new_member = new_member
        self._on_end = on_end
        self._waiting: list[Member] = []
        self._away: list[Member] = []
        self._over = threading.Event()
        self._lock = threading.Lock()

    def gather(self, count: int) -> None:
        """Make so many workers, and open the first association, so that a node that cannot be reached is an error."""
        self._waiting = [self._new_member() for _ in range(count)]
        if self._pace.may_ask() is None:  # else the window is closed, and nobody is to be bothered yet
            self._waiting[0].connect()

    def send_home(self) -> None:
        """Let go of those that have not begun."""
        for worker in self._waiting:
            worker.close()

    def start(self) -> None:
        """Set them going."""
        workers = list(self._waiting)
        for _ in workers:
            self._controls.enter()
        try:
            for number, worker in enumerate(workers, 1):
                make_thread(partial(self._work, worker), f"dicomover worker {number}").start()
        except BaseException:  # an interrupt, or no thread to be had: nobody else would end what these have to end
            self._controls.cancel()
            for worker in workers:
                self._work(worker)
            raise

    def _work(self, worker: Member) -> None:
        with self._lock:
            if worker not in self._waiting:  # its thread was under way all the same
                return
            self._waiting.remove(worker)
        pauses = chain(_COME_BACK_AFTER, repeat(_COME_BACK_AFTER[-1]))
        while True:
            try:
                is_done = worker.work()
            except BaseException:
                if self._controls.leave():
                    self._end()
                raise
            if not is_done:  # and it is not counted any more
                if not self._come_back(worker, pauses):
                    return
            elif not self._controls.leave():
                return
            elif self._ledger.is_used_up():
                break
            else:
                self._controls.enter()  # another one has left a retry behind since this one last looked
        self._end()

    def _come_back(self, worker: Member, pauses: Iterator[float]) -> bool:
        """Try now and then for the association that a worker did not get, until the batch ends; True if it has it.

        The worker is not counted meanwhile: the others may end the batch, and `_end` then ends what it waits for.
        """
        with self._lock:
            self._away.append(worker)
        try:
            while not self._over.wait(next(pauses)) and not self._controls.stopping:
                if self._pace.may_ask() is not None or self._pace.associations <= self._controls.workers:
                    continue
                try:
                    worker.connect()
                except NodeError:
                    continue
                if self._controls.come_back():
                    return True
                break
        finally:
            with self._lock:
                self._away.remove(worker)
        worker.close()
        return False

    def _end(self) -> None:
        self._over.set()
        with self._lock:
            for worker in self._away:
                worker.abandon()
        self._on_end()


def make_thread(function: Callable[[], None], name: str) -> threading.Thread:
    """Make a thread that keeps this thread's context, so that what it draws lands in this cell."""
    return threading.Thread(target=contextvars.copy_context().run, args=(function,), name=name, daemon=True)
