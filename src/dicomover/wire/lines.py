"""Lines to one archive: associations that are kept while idle, lent out, replaced when they have ended, and shared."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Self, TypeVar

from pydicom import Dataset

from dicomover.errors import AssociationLost, ConfigurationError, LostBy, NodeError, NodeUnreachable
from dicomover.events import Noted
from dicomover.identifier import Level, Model, find_dataset
from dicomover.node import Node, Timeouts
from dicomover.processes import forks
from dicomover.wire.association import RELEASING, Association
from dicomover.wire.services import FIND
from dicomover.wire.stop import Controls, Stop

__all__ = ["GONE", "Line", "Lines", "Pool", "open_lines"]

GONE = (LostBy.CLOSED, LostBy.ABORT, LostBy.RELEASE)
"""How an association ends that the peer had left while it was idle."""

_MESSAGE_IDS = 65535
_RECONNECT_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
_SOON = 5.0  # seconds for a further association: an archive that serves one at a time answers when the first one ends
_ANSWER_SECONDS = 1.0  # for an answer to an association request, when there is an idle association to be had instead
_ATTEMPTS = 3  # of a C-FIND whose association is lost

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool:
    """Keeps associations with one node while they are idle, and gives out the Message IDs of all that goes over them.

    Every method may be called from any thread.
    """

    # The lock guards the list and the counters alone: an association is taken out before it is looked at or released,
    # since both may wait for the peer.

    def __init__(self, node: Node, ae_title: str) -> None:
        self.node = node
        self.ae_title = ae_title
        self.begin_anew()
        forks.inherit(self)

    def begin_anew(self) -> None:
        """Have no associations, and Message IDs of our own; after a fork the others are the parent's."""
        # Beside what it is taken for, every new association is opened for these: it will be used again.
        self.kept_for: frozenset[Any] = frozenset()
        self._idle: list[Association] = []
        self._opening: list[Association] = []
        self._lock = threading.Lock()
        # Not all from 1: what another program moves under the same AE title must not look like ours.
        start = secrets.randbelow(_MESSAGE_IDS)
        self._message_ids = (1 + (start + number) % _MESSAGE_IDS for number in itertools.count())
        self._numbers = itertools.count()

    def next_message_id(self) -> int:
        """Return a Message ID that no other running request of ours has."""
        with self._lock:
            return next(self._message_ids)

    def next_number(self) -> int:
        """Return a number that no other C-MOVE of ours has; unlike a Message ID it never comes again."""
        with self._lock:
            return next(self._numbers)

    def _make(self, timeouts: Timeouts, services: frozenset[Any]) -> Association:
        return Association(self.node, self.ae_title, timeouts, services)

    def _serves(self, kept: frozenset[Any], services: frozenset[Any], *, alone: bool) -> bool:
        """Tell whether what an association was opened for will do."""
        return services == kept if alone else services <= kept

    def take(self, timeouts: Timeouts, services: frozenset[Any], *, alone: bool = False) -> Association:
        """Return an open association that was idle, or a new one that is still to be opened.

        An idle one that was not opened for these services, or `alone` for others too, is released: it may stand in the
        way of the new one.
        """
        while True:
            with self._lock:
                association = self._idle.pop() if self._idle else None
            if association is None:
                return self._make(timeouts, services | self.kept_for)
            kept = association.services
            if association.is_usable() and self._serves(kept, services, alone=alone):
                association.timeouts = timeouts
                return association
            association.release()

    def open(self, association: Association) -> bool:
        """Open an association; False if that failed while another one became idle, which is to be taken instead.

        Some archives let each of us have one at a time: the second request is answered when the first association ends.
        Raises NodeError if it does not come about.
        """
        with self._lock:
            self._opening.append(association)
        try:
            association.open()
        except NodeError:
            with self._lock:
                if association not in self._opening:
                    return False
            raise
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._opening.remove(association)
        return True

    def give(self, association: Association) -> None:
        """Take an association back; one that has ended or was cancelled is not kept."""
        if not association.is_usable():
            association.release()
            return
        with self._lock:
            self._idle.append(association)
            waiting = self._opening.pop(0) if self._opening else None
        if waiting is not None:  # perhaps for this one to end
            waiting.hurry(_ANSWER_SECONDS)

    def close(self) -> None:
        """Release what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        limit = time.monotonic() + RELEASING  # for all of them: an archive that answers none may have eight
        for association in idle:
            association.release(max(limit - time.monotonic(), 0.1))


class Line:
    """Lends one thread an open association, replaced when it has ended. As a context manager it gives it back."""

    # One thread uses a Line. Its association is registered with the controls for as long as it is lent out, and only
    # then: a cancel must neither miss it nor reach it after another thread has taken it from the pool.

    def __init__(
        self,
        pool: Pool,
        timeouts: Timeouts,
        controls: Controls,  # of whoever asks: a cancel reaches the association that is lent out
        pauses: Sequence[float] = (),  # before further attempts at an association, after the first short ones
        services: frozenset[Any] = FIND,  # that its associations are opened for, as the pool has them
    ) -> None:
        self._pauses = (*_RECONNECT_AFTER, *pauses)
        self._pool = pool
        self._timeouts = timeouts
        self._services = services
        self._alone = False  # whether an association will do that was opened for these alone
        self._controls = controls
        self._association: Association | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._association is not None and kind is not None and not issubclass(kind, Exception):
            self._association.kill()  # an interrupt may have left an answer under way: it would answer the next request
        self.close()

    def close(self) -> None:
        """Give the association back."""
        association, self._association = self._association, None
        if association is not None:
            self._controls.unregister(association)  # first: once in the pool it may be another thread's
            self._pool.give(association)

    def hang_up(self) -> None:
        """Have no association with the peer, and let nobody else keep an idle one: it may be in the way of another."""
        self.close()
        self._pool.close()

    def abandon(self) -> None:
        """End what it waits for, and let it wait for nothing more; from any thread."""
        self._abandoned = True  # first: an association that is taken later is ended by whoever takes it
        association = self._association
        if association is not None:
            association.kill()

    @property
    def association(self) -> Association | None:
        """The present one, if it is open; none is opened for it."""
        return self._association if self._association is not None and self._association.is_open else None

    @property
    def local_address(self) -> str:
        """The address of this machine as the archive sees it, empty while there is no connection."""
        return "" if self._association is None else self._association.local_address

    def connect(self) -> Association:
        """Return an open association: the present one, an idle one, or a new one.

        Raises NodeError if there is none to be had.
        """
        if self._association is not None and self._association.is_usable():
            return self._association
        self.close()
        try:
            while True:
                self._association = self._pool.take(self._timeouts, self._services, alone=self._alone)
                self._controls.register(self._association)  # before it opens: a cancel ends that too
                if self._abandoned:
                    self._association.kill()
                if self._association.is_open or self._pool.open(self._association):
                    break
                self.close()
        except OSError as error:  # no descriptor is left, or no memory
            self.close()
            why = f"this machine cannot open another connection ({error.strerror or error})"
            raise NodeUnreachable(
                f"{self._pool.node}: {why}", "close what is not needed, or raise its limits"
            ) from error
        except BaseException:
            self.close()
            raise
        return self._association

    def connect_soon(self, seconds: float) -> None:
        """Open an association if the archive answers within so many seconds; raise NodeError otherwise."""
        patient = self._timeouts
        self._timeouts = replace(patient, acse=min(patient.acse or seconds, seconds))
        try:
            self.connect().timeouts = patient
        finally:
            self._timeouts = patient

    def connect_patiently(self) -> Association:
        """Return an open association, trying again for a while; raise Stop if there is none to be had."""
        self._controls.check()
        try:
            return self.connect()
        except (NodeError, ConfigurationError) as error:
            return self.reconnect(error)

    def reconnect(self, error: NodeError | ConfigurationError) -> Association:
        """Try again after `error`; raise Stop, for every worker, if that does not help.

        A secret or a certificate that is not there any more does not come back by trying again.
        """
        for delay in self._pauses:
            self._controls.check()
            if isinstance(error, ConfigurationError) or not error.retriable:
                break
            self._controls.emit(Noted(time.monotonic(), f"no association ({type(error).__name__}), trying again"))
            self._controls.pause(delay)
            try:
                return self.connect()
            except (NodeError, ConfigurationError) as again:
                error = again
        self._controls.check()
        raise self._controls.give_up(str(error))

    def echo(self) -> None:
        """Send a C-ECHO; once more if an idle association turns out to be gone."""
        while True:
            association = self.connect()
            was_idle = association.served > 0
            try:
                return association.echo(self._pool.next_message_id())
            except AssociationLost as error:
                if not was_idle or error.by not in GONE:
                    raise

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Send a C-FIND and return all answers; once more if an idle association turns out to be gone."""
        dataset = find_dataset(level, {**dict.fromkeys([level.unique_key, *returned], ""), **keys})
        while True:
            association = self.connect_patiently()
            was_idle = association.served > 0
            try:
                return list(association.find(dataset, model, self._pool.next_message_id(), limit=limit))
            except AssociationLost as error:
                self._controls.check()
                if not was_idle or error.by not in GONE:
                    raise


class Lines:
    """Asks over whichever of some connected lines is free, again if an association is lost: a lock is one piece.

    Each line is used by one thread at a time; the controls are those of all of them.
    """

    def __init__(self, lines: Sequence[Line], controls: Controls) -> None:
        self._size = len(lines)
        self._controls = controls
        self._free: queue.SimpleQueue[Line] = queue.SimpleQueue()
        for line in lines:
            self._free.put(line)

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Ask; see `dicomover.query.resolve.Find`."""
        line = self._free.get()
        try:
            for _ in range(_ATTEMPTS - 1):
                with contextlib.suppress(AssociationLost):
                    return line.find(level, model, keys, returned, limit)
            return line.find(level, model, keys, returned, limit)
        except Stop as stop:
            raise NodeUnreachable(str(stop.result.error)) from stop
        finally:
            self._free.put(line)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return what `work` makes of each item, in their order; what stops one of them stops all at once."""
        with ThreadPoolExecutor(self._size, "dicomover lookup") as pool:
            try:
                futures = [pool.submit(contextvars.copy_context().run, work, item) for item in items]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._controls.cancel()
                self._controls.kill()
                raise
        return [future.result() for future in futures]


@contextlib.contextmanager
def open_lines(lend: Callable[[Controls], contextlib.AbstractContextManager[Line]], size: int) -> Iterator[Lines]:
    """Open at most `size` lines, fewer where the archive does not take as many associations.

    Raises NodeError if there is not even one to be had.
    """
    controls = Controls(lambda _: None)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(lend(controls))]
        lines[0].connect()
        with contextlib.suppress(NodeError):
            for _ in range(size - 1):
                line = stack.enter_context(lend(controls))
                line.connect_soon(_SOON)
                lines.append(line)
        yield Lines(lines, controls)
