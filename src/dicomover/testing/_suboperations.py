"""The sub-operations of one C-MOVE or C-GET: instances on their way, in the way of the script."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Generator, Iterable, Sequence

from dicomover.errors import NodeError
from dicomover.testing._exchange import Exchange
from dicomover.testing._records import Request, Store
from dicomover.testing._script import Script, Storing
from dicomover.testing._storing import DestinationAssociation, StoreAssociation
from dicomover.testing._studies import Instance, Study
from dicomover.wire.messages import Message

Step = tuple[int, Study, Instance]
"""The place of an instance among all that are to be sent, its study and itself; -1 for one that nobody asked for."""

Outcome = tuple[int, Study, Instance, str]
"""A step, and the counter that it goes into."""


class RequesterAssociation(StoreAssociation):
    """The association of a C-GET, over which the instances go to the one who asks, between the responses."""

    def __init__(self, exchange: Exchange, how: Storing) -> None:
        super().__init__(exchange.connection, how, exchange.link.stored_classes)
        self._exchange = exchange

    def _send(self, fragments: list[bytes]) -> None:
        super()._send(fragments[:-1])
        if self._how.interrupted:
            self._exchange.answer(0xFF00)
        super()._send(fragments[-1:])

    def _hear(self, message: Message) -> None:
        self._exchange.hear(message)


class Suboperations:
    """What is sent for one C-MOVE or C-GET of so many instances, in the way of its script."""

    def __init__(self, exchange: Exchange, request: Request, script: Script, total: int) -> None:
        self.exchange = exchange
        self.pacs = exchange.pacs
        self.request = request
        self.script = script
        self.total = total
        self._is_get = request.kind == "C-GET"
        self._node = self.pacs._find_destination(request.destination)

    @property
    def has_way(self) -> bool:
        """True unless the Move Destination is unknown."""
        return self._is_get or self._node is not None

    def open(self, instances: list[Instance], wanted: int) -> list[StoreAssociation]:
        """Return as many associations to the destination as it allows, none if it cannot be reached.

        The destination of a C-GET is the one who asks, on the association that it asks on.
        """
        if self._is_get:
            return [RequesterAssociation(self.exchange, self.script.storing)]
        stores: list[StoreAssociation] = []
        with contextlib.suppress(NodeError):
            while len(stores) < min(wanted, len(instances)):
                stores.append(self._store_association(instances))
        return stores

    def _store_association(self, instances: list[Instance]) -> DestinationAssociation:
        node = self._node
        assert node is not None
        kept = self.exchange.link.stores
        while kept:
            store = kept.pop()
            if store.fits(node, instances, self.script.storing):
                return store
            store.close()
        return DestinationAssociation(self.pacs._server, node, self.pacs.store_ae_title, instances, self.script.storing)

    def give_back(self, stores: list[StoreAssociation]) -> None:
        """Release the associations, or keep them for the next C-MOVE, if the archive does."""
        keeps = self.pacs.reuse_store_associations and self.exchange.connection.open
        for store in stores:
            if keeps and store.connection.open and isinstance(store, DestinationAssociation):
                self.exchange.link.stores.append(store)
            else:
                store.close()

    def run(self, stores: Sequence[StoreAssociation], steps: Iterable[Step]) -> Generator[Outcome, None, None]:
        """Yield each step with what became of it; several store associations share the steps."""
        if len(stores) <= 1:
            for step in steps:
                yield (*step, self._perform(stores[0] if stores else None, step))
            return
        results: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        left = iter(steps)
        lock, stop = threading.Lock(), threading.Event()

        def work(store: StoreAssociation) -> None:
            try:
                while not stop.is_set():
                    with lock:
                        step = next(left, None)
                    if step is None:
                        return
                    results.put((*step, self._perform(store, step)))
            finally:
                results.put(None)

        threads = [self.pacs._server.spawn(functools.partial(work, store)) for store in stores]
        try:
            working = len(threads)
            while working:
                done = results.get()
                if done is None:
                    working -= 1
                else:
                    yield done
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _perform(self, store: StoreAssociation | None, step: Step) -> str:
        """Do one sub-operation, or not, and return the counter that it goes into."""
        n, study, instance = step
        script, total = self.script, self.total
        if total - script.fail <= n < total:
            return "failed"
        if total - script.skip <= n < total or total - script.late <= n < total:
            return "completed"
        assert store is not None
        status = None
        for _ in range(script.each):
            status = self._store(store, study, instance, is_repeated=n >= total)
        if status == 0 and total - script.miscounted <= n < total:
            return "failed"
        if status == 0:
            return "warning" if n < script.warn else "completed"
        return "warning" if status is not None and status >> 12 == 0xB else "failed"

    def _store(
        self, store: StoreAssociation, study: Study, instance: Instance, *, is_repeated: bool = False
    ) -> int | None:
        if not store.connection.open:
            return None
        request = self.request
        names_originator = self.pacs.originator and not self._is_get
        originator = (request.calling_ae_title, request.message_id) if names_originator else None
        status = None
        try:
            status = store.store(instance, originator, is_repeated=is_repeated)
        except NodeError:
            store.connection.close()
        self.pacs._records.note_store(
            Store(
                instance.sop_instance_uid,
                study.study_instance_uid,
                request.calling_ae_title if self._is_get else request.destination,
                status,
                request.association,
                request.message_id,
                time.monotonic(),
            )
        )
        return status

    def straggle(self, stores: list[StoreAssociation], late: list[Step]) -> None:
        """Send the last ones after the final response; on another thread, unless it is over the association of this."""
        if not self._is_get:
            self.pacs._server.spawn(lambda: self._straggle(stores, late))
        else:
            self._straggle(stores, late)

    def _straggle(self, stores: list[StoreAssociation], late: list[Step]) -> None:
        self.pacs._server.stopping.wait(self.script.seconds)
        for _, study, instance in late:
            if not self.pacs._server.stopping.is_set():
                self._store(stores[0], study, instance)
        for store in stores:
            store.close()
