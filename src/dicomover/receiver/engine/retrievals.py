"""The retrievers of the receiver's process, each with a thread that does what its owner in the parent asks for."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from pydicom import Dataset

from dicomover.errors import DicomoverError
from dicomover.identifier import Model
from dicomover.node import Timeouts
from dicomover.outcome import Counters
from dicomover.receiver.engine.frames import pack_end, pack_error, unpack_node
from dicomover.receiver.scp.retriever import Retriever
from dicomover.receiver.scp.service import Service
from dicomover.text.traces import tell_trace

__all__ = ["Retrievals"]

_NEWS_EVERY = 0.1  # seconds between two that are told of counters: nobody reads them faster

logger = logging.getLogger("dicomover.receiver")

Answer = Callable[..., None]
"""Answers an order by its number, with plain values by name."""


class Retrievals:
    """Takes the orders that concern retrievers, on the thread that reads orders, which never waits here."""

    def __init__(self, service: Service, answer: Answer) -> None:
        self._service = service
        self._answer = answer
        self._running: dict[int, _Retrieval] = {}

    def obey(self, frame: dict[str, Any]) -> None:
        """Take one order; what takes time is done by the retriever's own thread."""
        what, number = frame["do"].removeprefix("retriever "), frame["retriever"]
        if what == "open":
            try:
                retriever = Retriever(
                    self._service,
                    unpack_node(frame["node"]),
                    frame["ae_title"],
                    Timeouts(**frame["timeouts"]),
                    [(sop_class, syntax) for sop_class, syntax in frame["contexts"]],
                )
            except Exception as error:  # noqa: BLE001 - told to whoever has asked
                self._answer(frame["id"], trouble=pack_error(error), is_open=False, served=0)
                return
            self._running[number] = _Retrieval(retriever, self._answer, lambda: self._running.pop(number, None))
        retrieval = self._running.get(number)
        if retrieval is not None:
            retrieval.obey(what, frame)
        elif "id" in frame:
            self._answer(frame["id"], is_open=False, served=0)


class _Retrieval:
    """One retriever and its thread.

    Between two orders the thread sleeps, and nobody but the thread that reads orders touches the retriever then.
    """

    def __init__(self, retriever: Retriever, answer: Answer, ended: Callable[[], object]) -> None:
        self._retriever = retriever
        self._answer = answer
        self._ended = ended
        self._orders: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="dicomover-retriever", daemon=True).start()

    def obey(self, what: str, frame: dict[str, Any]) -> None:
        """Do at once what any thread may do, and let the other one do the rest."""
        retriever = self._retriever
        if what == "cancel":
            retriever.cancel()
        elif what == "kill":
            retriever.kill()
        elif what == "hurry":
            retriever.hurry(frame["seconds"])
        else:
            self._orders.put((what, frame))

    def _run(self) -> None:
        retriever, is_over = self._retriever, False
        while not is_over:
            what, frame = self._orders.get()
            more: dict[str, Any] = {}
            try:
                more = self._do(what, frame)
            except Exception as error:  # noqa: BLE001 - told to whoever has asked
                more = {"trouble": pack_error(error)}
                if not isinstance(error, DicomoverError | OSError):
                    logger.error("a retriever has ended with an error of ours\n%s", tell_trace(error))
                    retriever.kill()
            is_over = what == "release" or (what == "open" and not retriever.is_open)
            if is_over:
                self._ended()
            self._answer(frame["id"], is_open=retriever.is_open, served=retriever.served, **more)

    def _do(self, what: str, frame: dict[str, Any]) -> dict[str, Any]:
        retriever = self._retriever
        retriever.timeouts = Timeouts(**frame["timeouts"])
        if what == "open":
            retriever.open()
            return {
                "accepted": list(retriever.accepted),
                "addresses": [retriever.local_address, retriever.peer_address],
            }
        if what == "get":
            told_at = 0.0

            def tell(counters: Counters) -> None:
                nonlocal told_at
                if (now := time.monotonic()) >= told_at + _NEWS_EVERY:
                    told_at = now
                    self._answer(frame["id"], meanwhile=astuple(counters))

            identifier = Dataset.from_json(frame["identifier"])
            end = retriever.get(identifier, Model(frame["model"]), frame["message_id"], on_progress=tell)
            return {"end": pack_end(end)}
        if what == "look":
            retriever.is_usable()
        else:
            retriever.release(frame["seconds"])
        return {}
