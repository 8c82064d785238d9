"""The Storage SCP on threads of this process."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dicomover.errors import ReceiverError
from dicomover.events import Admission, Offer, Refusal
from dicomover.node import Node, Timeouts
from dicomover.query.classes import Pair
from dicomover.receiver.engine.outbox import SETTLING, Outbox
from dicomover.receiver.scp.retriever import Retriever
from dicomover.receiver.scp.service import Service
from dicomover.receiver.scp.store import Fields
from dicomover.receiver.settings import ReceiverSettings

__all__ = ["ThreadEngine"]


class ThreadEngine:
    """Runs a `Service` here; `tell` takes its events, one at a time, on one thread."""

    failure: ReceiverError | None = None

    def __init__(
        self, settings: ReceiverSettings, tell: Callable[[Fields | Refusal], None], tls: ssl.SSLContext | None = None
    ) -> None:
        def deliver(batch: list[Fields | Refusal]) -> None:
            for item in batch:
                tell(item)

        self._outbox = Outbox(deliver, "dicomover-arrivals")
        self._service = Service(settings, self._outbox.put, tls, settle=partial(self._outbox.settle, SETTLING))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._service.port

    @property
    def last_activity(self) -> float:
        """When something last came that was asked for."""
        return self._service.last_activity

    @property
    def last_call(self) -> float:
        """When anything last came in an association, or one began."""
        return self._service.last_call

    def start(self) -> None:
        """Listen from now on."""
        self._service.start()
        self._outbox.start()

    def retriever(self, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[Pair]) -> Retriever:
        """Return an association for C-GET that is still to be opened."""
        return Retriever(self._service, node, ae_title, timeouts, contexts)

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names."""
        self._service.admit(admission)

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""
        self._service.dismiss(*moves)

    def ask_offers(self) -> Mapping[str, Offer]:
        """Return how the archive offers each SOP Class."""
        return self._service.offers

    def sync(self) -> None:
        """Make durable what was filed."""
        self._service.sync()

    def kill(self) -> None:
        """Let nothing finish; `stop` gives back what is left."""
        self._service.kill()

    def stop(self) -> None:
        """Finish, and tell what is left to tell."""
        self._service.stop()
        self._outbox.close(5.0)
