"""A retriever that runs in the receiver's process, seen from its parent: an association, to all who hold it."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from pydicom import Dataset

from dicomover.errors import DicomoverError, ReceiverError
from dicomover.identifier import Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.processes import forks
from dicomover.query.classes import Pair
from dicomover.receiver.engine.frames import Reply, pack_node, unpack_end, unpack_error
from dicomover.receiver.engine.outbox import SETTLING, Delivery
from dicomover.wire.association import RELEASING
from dicomover.wire.responses import CANCEL_GRACE, MoveEnd
from dicomover.wire.services import GET

__all__ = ["Engine", "RemoteRetriever"]

_ANSWERING = 2.0  # seconds for what takes no time in the process, beyond the time that the archive has

_numbers = itertools.count(1)


class Engine(Protocol):
    """The line to the receiver's process."""

    def order(self, what: str, **more: Any) -> Reply:
        """Send an order that is answered."""

    def tell(self, what: str, **more: Any) -> None:
        """Send an order that is not."""

    def answer(self, reply: Reply | None, seconds: float, hear: Callable[[Any], None]) -> dict[str, Any]:
        """Wait for the answer to an order."""


class RemoteRetriever:
    """What `Retriever` is, as far as it is asked from here.

    The owner's thread waits here for what another one does in the process. A wish to end goes there at once, and brings
    forward the end of the owner's wait: a process that hangs keeps nobody.
    """

    def __init__(
        self,
        engine: Engine,
        delivery: Delivery,  # of the process's events
        node: Node,
        ae_title: str,
        timeouts: Timeouts,
        contexts: Sequence[Pair],
    ) -> None:
        self.node = node
        self.ae_title = ae_title
        self.timeouts = timeouts
        self.services = GET
        self.served = 0
        self.accepted: frozenset[Pair] = frozenset()
        self.is_open = self.is_stopping = False
        self.local_address = self.peer_address = ""
        self._engine = engine
        self._delivery = delivery
        self._contexts = tuple(contexts)
        self._number = next(_numbers)
        self._lock = threading.Lock()  # of what is said of the end
        self._is_known = False  # in the process
        self._end_at = math.inf  # until when the owner waits
        self._hurried_until: float | None = None
        self._reply: Reply | None = None
        forks.inherit(self)

    def begin_anew(self) -> None:
        """In a forked child: it is the parent's."""
        self._lock = threading.Lock()
        self.is_open = self._is_known = False
        self.is_stopping = True

    def open(self) -> None:
        """Connect and negotiate; raises a NodeError if the association does not come about."""
        with self._lock:
            reply = self._order("open", node=pack_node(self.node), ae_title=self.ae_title, contexts=self._contexts)
            self._is_known = True
            if self.is_stopping:
                self._engine.tell("retriever kill", retriever=self._number)
            elif self._hurried_until is not None:
                self._tell_hurry(self._hurried_until)
        answer = self._answer(reply)
        self.accepted = frozenset((sop_class, syntax) for sop_class, syntax in answer["accepted"])
        self.local_address, self.peer_address = answer["addresses"]

    def is_usable(self) -> bool:
        """Tell whether the next request may go out on it."""
        if self.is_open and not self.is_stopping:
            with contextlib.suppress(ReceiverError):
                reply = self._order("look")
                reply.limit = time.monotonic() + _ANSWERING
                self._answer(reply)
                return self.is_open
            self._drop()
        return False

    def get(
        self,
        identifier: Dataset,
        model: Model,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None] = lambda _: None,
        last_arrival: Callable[[], float] | None = None,  # noqa: ARG002 - what comes is seen where it comes
    ) -> MoveEnd:
        """Send a C-GET and read to its end, as `Retriever.get` does."""
        counters = Counters()

        def hear(said: list[int | None]) -> None:
            nonlocal counters
            counters = Counters(*said)
            on_progress(counters)

        try:
            plain = identifier.to_json_dict()
            reply = self._order("get", identifier=plain, model=model.value, message_id=message_id)
            end = unpack_end(self._answer(reply, hear)["end"])
        except ReceiverError as error:
            self._drop()
            if self.is_stopping:
                return MoveEnd(Ended.CANCELLED, None, counters, why="cancelled; the archive did not confirm it")
            return MoveEnd(Ended.LOST, None, counters, why=str(error))
        except DicomoverError:
            raise
        except BaseException:
            self.kill()
            raise
        if end.counters != counters:
            on_progress(end.counters)
        self._delivery.settle(SETTLING)
        return end

    def cancel(self) -> None:
        """Cancel what is going on, from any thread: C-CANCEL, and abort if that has no effect."""
        self._stop("cancel", CANCEL_GRACE)

    def kill(self) -> None:
        """End what is going on at once, from any thread."""
        self._stop("kill", 0.0)

    def hurry(self, seconds: float) -> None:
        """Let it open within so many seconds from now or not at all, from any thread."""
        with self._lock:
            self._hurried_until = time.monotonic() + seconds
            if self._is_known:
                self._tell_hurry(self._hurried_until)

    def _tell_hurry(self, until: float) -> None:
        seconds = max(until - time.monotonic(), 0.0)
        self._engine.tell("retriever hurry", retriever=self._number, seconds=seconds)

    def release(self, seconds: float = RELEASING) -> None:
        """Release the association, or abort it if the peer does not answer; by its owner, never raises."""
        if self._is_known:
            with contextlib.suppress(ReceiverError):
                reply = self._order("release", seconds=seconds)
                reply.limit = time.monotonic() + seconds + _ANSWERING
                self._answer(reply)
        self.is_open = self._is_known = False

    def _stop(self, how: str, seconds: float) -> None:
        with self._lock:
            self.is_stopping = True
            self._end_at = min(self._end_at, time.monotonic() + seconds + _ANSWERING)
            if self._reply is not None:
                self._reply.limit = min(self._reply.limit, self._end_at)
            if self._is_known:
                self._engine.tell(f"retriever {how}", retriever=self._number)

    def _drop(self) -> None:
        """Have no more to do with it, whatever the process does."""
        self.is_open = False
        self._engine.tell("retriever kill", retriever=self._number)

    def _order(self, what: str, **more: Any) -> Reply:
        timeouts = asdict(self.timeouts)
        return self._engine.order(f"retriever {what}", retriever=self._number, timeouts=timeouts, **more)

    def _answer(self, reply: Reply, hear: Callable[[Any], None] = lambda _: None) -> dict[str, Any]:
        """Wait for an answer, and take note of what it says; raises what was raised in the process."""
        with self._lock:
            self._reply = reply
            reply.limit = min(reply.limit, self._end_at)
        try:
            answer = self._engine.answer(reply, math.inf, hear)
        finally:
            self._reply = None
        self.is_open, self.served = answer["is_open"], answer["served"]
        if "trouble" in answer:
            raise unpack_error(answer["trouble"])
        return answer
