"""What the rest of dicomover sees of the Storage SCP."""

from __future__ import annotations

import atexit
import logging
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dicomover.errors import ReceiverError
from dicomover.events import Arrival, Refusal
from dicomover.receiver.admission import Admission
from dicomover.receiver.filing import Existing
from dicomover.receiver.layout import DEFAULT_LAYOUT
from dicomover.receiver.process import ProcessEngine
from dicomover.receiver.reception import Fields
from dicomover.receiver.settings import Limits, Settings
from dicomover.receiver.threads import ThreadEngine

__all__ = ["Receiver"]

logger = logging.getLogger("dicomover.receiver")


class _Engine(Protocol):
    """Where the Storage SCP runs."""

    @property
    def failure(self) -> ReceiverError | None: ...
    @property
    def port(self) -> int: ...
    @property
    def last_activity(self) -> float: ...
    def start(self) -> None: ...
    def admit(self, admission: Admission) -> None: ...
    def dismiss(self, move: int) -> None: ...
    def sync(self) -> None: ...
    def stop(self) -> None: ...


class Receiver:
    """A Storage SCP that files what it is sent, and lets in only what was asked for.

    Parameters
    ----------
    folder
        Where instances are filed; created if need be.
    ae_title
        Ours. An association that calls another one is rejected.
    on_event
        Takes every `Arrival` and `Refusal`, on one thread of the receiver and never two at a time. While it is
        slow, events are kept; while it is far too slow, the senders wait. What it raises is logged.
    port
        The TCP port; None is 11112 if that is free and any other one, with a warning, if not; 0 is any free one.
    bind
        The address to listen on; None is every one.
    layout
        Folders and file name below `folder`, from keywords of the data set.
    existing
        What happens if other bytes lie under an instance's UID already: `keep` both (the new one under a name with
        `.conflict-1`), `replace` the old, or `error`: refuse the new. The same bytes are a success in any case.
    restrict
        True to let in only what an `Admission` names.
    calling_ae_titles
        Who may associate; empty is anybody.
    tls
        Makes every connection a TLS connection. The receiver then runs in this process: a context cannot be
        given to another one.
    max_associations
        How many at a time; further ones are rejected for now.
    free_space_floor
        Bytes that must stay free on the disk; below, instances are refused with 0xA700.
    own_process
        True to receive in a process of its own, so that neither side slows the other.
    checksums
        True to put a SHA-256 of each data set into its `Arrival`.
    max_pdu
        The largest P-DATA-TF PDU that peers may send, in bytes.
    limits
        How long peers may keep us waiting.

    Raises
    ------
    ConfigurationError
        If a setting cannot be meant.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        ae_title: str,
        on_event: Callable[[Arrival | Refusal], None],
        port: int | None = None,
        bind: str | None = None,
        layout: str = DEFAULT_LAYOUT,
        existing: Existing = "keep",
        restrict: bool = True,
        calling_ae_titles: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        max_associations: int = 32,
        free_space_floor: int = 1 << 28,
        own_process: bool = True,
        checksums: bool = False,
        max_pdu: int = 1 << 17,
        limits: Limits | None = None,
    ) -> None:
        self._settings = Settings.of(
            folder,
            calling_ae_titles,
            ae_title=ae_title,
            port=port,
            bind=bind,
            layout=layout,
            existing=existing,
            restrict=restrict,
            max_associations=max_associations,
            free_space_floor=free_space_floor,
            checksums=checksums,
            max_pdu=max_pdu,
            limits=limits or Limits(),
        )
        self._on_event = on_event
        self._tls = tls
        self._own_process = own_process
        self._engine: _Engine | None = None
        self._lock = threading.Lock()  # of starting and stopping
        self._last_activity = time.monotonic()

    def __repr__(self) -> str:
        state = f"on port {self._engine.port}" if self._engine else "not running"
        return f"Receiver({self._settings.folder!r}, ae_title={self._settings.ae_title!r}, {state})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; when this returns, peers can connect.

        Raises
        ------
        ReceiverError
            If the port cannot be had, or the folder cannot be written.
        """
        with self._lock:
            if self._engine is not None:
                raise ReceiverError(f"the receiver on port {self._engine.port} runs already; stop it first")
            engine: _Engine = (
                ProcessEngine(self._settings, self._tell)
                if self._own_process and self._tls is None and sys.executable
                else ThreadEngine(self._settings, self._tell, self._tls)
            )
            engine.start()
            self._engine = engine
            self._last_activity = time.monotonic()
        atexit.register(self.stop)

    @property
    def port(self) -> int:
        """The TCP port that it listens on; what was asked for (or 0) while it does not run."""
        return self._engine.port if self._engine else self._settings.port or 0

    @property
    def last_activity(self) -> float:
        """`time.monotonic()` of the last P-DATA taken, also in the middle of an instance, to about half a second."""
        if self._engine is not None:
            self._last_activity = max(self._last_activity, self._engine.last_activity)
        return self._last_activity

    @property
    def failed(self) -> ReceiverError | None:
        """Why the receiver has ended without being asked to; None while all is well."""
        return self._engine.failure if self._engine else None

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names; in force when this returns.

        Raises
        ------
        ReceiverError
            If the receiver does not run.
        """
        self._running().admit(admission)

    def dismiss(self, move: int) -> None:
        """Let in no more of this C-MOVE; what is in flight goes on."""
        if self._engine is not None and self._engine.failure is None:
            self._engine.dismiss(move)

    def sync(self) -> None:
        """Make durable what was filed since the last time: afterwards a power cut takes nothing of it.

        Raises
        ------
        ReceiverError
            If the disk does not take it, or the receiver does not run.
        """
        self._running().sync()

    def stop(self) -> None:
        """End: instances in flight may finish for a few seconds; afterwards nothing of the receiver is left.

        Every event has been handed over when this returns, unless it is called by `on_event` itself. May be
        called any number of times.
        """
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            self._last_activity = max(self._last_activity, engine.last_activity)
            engine.stop()
        atexit.unregister(self.stop)

    def _running(self) -> _Engine:
        if self._engine is None:
            raise ReceiverError("the receiver does not run; call start() first")
        if self._engine.failure is not None:
            raise self._engine.failure
        return self._engine

    def _tell(self, item: Fields | Refusal) -> None:
        event = item if isinstance(item, Refusal) else Arrival(**{**item, "path": Path(item["path"])})
        try:
            self._on_event(event)
        except Exception:
            logger.exception("the listener of the receiver's events raised; the receiver goes on")
