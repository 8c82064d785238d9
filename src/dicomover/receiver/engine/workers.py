"""The Storage SCP in several processes that share one port."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dicomover.errors import ReceiverError
from dicomover.events import Admission, Offer, Refusal, Refused
from dicomover.node import Node, Timeouts
from dicomover.query.classes import Pair
from dicomover.receiver.engine.frames import pack_admission
from dicomover.receiver.engine.outbox import Delivery, Together
from dicomover.receiver.engine.process import ANSWERING, SYNCING, ProcessEngine
from dicomover.receiver.engine.remote import RemoteRetriever
from dicomover.receiver.scp.ports import listen
from dicomover.receiver.scp.store import Fields
from dicomover.receiver.settings import ReceiverSettings

__all__ = ["WorkersEngine"]

_ENDING = 5.0


class WorkersEngine:
    """Runs `settings.workers` processes, and asks all of them what it is asked.

    The port is opened here, once, and inherited; so it can be anything that it can be for one process, and it is
    taken for everybody else. If one process ends without being asked to, the others finish what is in flight and end
    too: nobody could make durable any more what the dead one had filed.
    """

    def __init__(self, settings: ReceiverSettings, tell: Callable[[Fields | Refusal], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._lock = threading.Lock()
        self._stopping = False
        self._delivery = Delivery(tell)
        self._engines: list[ProcessEngine] = []
        self._turns: Iterator[ProcessEngine] = iter(())
        self.failure: ReceiverError | None = None
        self.port = 0

    @property
    def last_activity(self) -> float:
        """When something last came that was asked for, to any of them."""
        return max(engine.last_activity for engine in self._engines)

    @property
    def last_call(self) -> float:
        """When anything last came in an association, or one began, at any of them."""
        return max(engine.last_call for engine in self._engines)

    def start(self) -> None:
        """Listen, and start the processes."""
        with contextlib.ExitStack() as held:
            number, port = None, 0
            if self._settings.listens:
                listener = held.enter_context(listen(self._settings.bind, self._settings.port))
                listener.setblocking(False)
                number, port = listener.fileno(), listener.getsockname()[1]
            locks = held.enter_context(tempfile.TemporaryFile(buffering=0))
            together = Together(self._settings.workers, self._delivery, number, locks.fileno(), self._one_has_ended)
            self._engines = [ProcessEngine(self._settings, self._tell, together) for _ in range(together.count)]
            self._turns = itertools.cycle(self._engines)
            self._delivery.start()
            try:
                for engine in self._engines:
                    engine.launch()
                for engine in self._engines:
                    engine.await_start()
            except ReceiverError:
                self.stop()
                raise
            self.port = port

    def retriever(self, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[Pair]) -> RemoteRetriever:
        """Return an association for C-GET that is still to be opened, in the next one of the processes."""
        return next(self._turns).retriever(node, ae_title, timeouts, contexts)

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names; in force in all of them when this returns."""
        self._ask("admit", ANSWERING, admission=pack_admission(admission))

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""
        with contextlib.suppress(ReceiverError):
            self._ask("dismiss", ANSWERING, moves=moves)

    def ask_offers(self) -> Mapping[str, Offer]:
        """Return how the archive offers each SOP Class; it may have called any of them."""
        return {uid: offer for engine in self._engines for uid, offer in engine.ask_offers().items()}

    def sync(self) -> None:
        """Make durable what was filed."""
        self._ask("sync", SYNCING)

    def kill(self) -> None:
        """End all of them at once; `stop` gives back what is left."""
        for engine in self._engines:
            engine.kill()

    def stop(self) -> None:
        """End all of them at the same time, and tell what is left to tell."""
        with self._lock:
            self._stopping = True
            for engine in self._engines:
                engine.order_stop()
        for engine in self._engines:
            engine.await_stop()
        self._delivery.close(_ENDING)

    def _ask(self, what: str, seconds: float, **more: Any) -> None:
        """Ask all of them before waiting for the first answer; raise what went wrong first."""
        replies = []
        errors: list[ReceiverError] = []
        for engine in self._engines:
            try:
                replies.append((engine, engine.order(what, **more)))
            except ReceiverError as error:
                errors.append(error)
        for engine, reply in replies:
            try:
                engine.answer(reply, seconds)
            except ReceiverError as error:
                errors.append(error)
        if errors:
            raise self.failure or errors[0]

    def _one_has_ended(self, ended: ProcessEngine) -> None:
        """End the others too; called on the thread that has listened to it."""
        with self._lock:
            if self._stopping or self.failure is not None:
                return
            self.failure = ended.failure
            self._delivery.put(ended, Refusal(time.monotonic(), str(ended.failure), what=Refused.EVERYTHING))
            for engine in self._engines:
                if engine is not ended:
                    engine.order_stop()
