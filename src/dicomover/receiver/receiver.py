"""What the rest of dicomover sees of the Storage SCP."""

from __future__ import annotations

import atexit
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from dicomover.disk import Share
from dicomover.errors import ConfigurationError, ReceiverError
from dicomover.events import Admission, Arrival, Offer, Refusal
from dicomover.node import Node, Timeouts
from dicomover.processes import forks
from dicomover.processes.interpreter import NAME_ANOTHER, find_interpreter
from dicomover.query.classes import MOST_PAIRS, Pair
from dicomover.receiver.engine.process import ProcessEngine
from dicomover.receiver.engine.remote import RemoteRetriever
from dicomover.receiver.engine.threads import ThreadEngine
from dicomover.receiver.engine.workers import WorkersEngine
from dicomover.receiver.layout import DEFAULT_LAYOUT, Existing
from dicomover.receiver.scp.ports import STANDARD_PORT
from dicomover.receiver.scp.retriever import Retriever
from dicomover.receiver.scp.store import Fields
from dicomover.receiver.settings import Limits, ReceiverSettings
from dicomover.receiver.shared import can_share
from dicomover.security.tls import TLSLike, check_tls
from dicomover.text.face import setting
from dicomover.text.traces import tell_trace

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
    @property
    def last_call(self) -> float: ...
    def start(self) -> None: ...
    def retriever(
        self, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[Pair]
    ) -> Retriever | RemoteRetriever: ...
    def admit(self, admission: Admission) -> None: ...
    def dismiss(self, *moves: int) -> None: ...
    def ask_offers(self) -> Mapping[str, Offer]: ...
    def sync(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class Receiver:
    """A Storage SCP that files what it is sent, and lets in only what was asked for.

    Raises ConfigurationError if a setting cannot be meant.

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
    listens
        False to open no port: nothing comes then but what a `retriever` asks for.
    layout
        Folders and file name below `folder`, from keywords of the data set.
    existing
        What happens if other bytes lie under an instance's UID already: `keep` both (the new one under a name with
        `.conflict-1`), `replace` the old, or `error`: refuse the new. The same bytes are a success in any case.
    accept
        In which transfer syntaxes: `as-stored` takes the first that the sender offers and that can be filed,
        `uncompressed` none that compresses pixels, and a list (of UIDs or keywords) the first of it that is offered.
        Explicit VR Big Endian and Deflated are taken where nothing else is offered.
    restrict
        True to let in only what an `Admission` names.
    calling_ae_titles
        Who may associate; empty is anybody.
    addresses
        Who may connect, as addresses and networks: `10.1.2.3`, `10.1.2.0/24`, `::1`; empty is anybody. Others are cut
        off before anything is read of them; the first is told of at once, further ones as a number, at most once a
        minute (from each process) and at the end.
    tls
        Makes every connection a TLS connection: a `TLS`, or an `ssl.SSLContext`, with which the receiver runs in this
        process, since a context cannot be given to another one.
    max_associations
        How many at a time, over all processes; further ones are rejected for now. Each association takes one of so
        many places that the processes have in common, so never one more, and never one fewer. One that has brought
        nothing that was asked for is ended where its place is needed: strangers cannot fill the port.
    free_space_floor
        Bytes that must stay free on the disk; below, instances are refused with 0xA700.
    own_process
        True to receive in a process of its own, so that neither side slows the other.
    checksums
        True to put a SHA-256 of each data set into its `Arrival`.
    max_pdu
        The largest P-DATA-TF PDU that peers may send, in bytes.
    workers
        How many processes share the port, for archives that open several associations at once; an association stays
        with one of them. More than one need a platform whose processes can inherit a socket (not Windows). If
        one of them dies, the others finish what is in flight and end too, since `sync` could no longer keep its word.
    share
        Who may read what is written: its `owner` alone, its `group` (which may write too), or `all`. A folder that is
        there keeps its permissions; where it has a default ACL that one decides, and where its group is handed on
        (set-group-id) the umask.
    limits
        How long peers may keep us waiting, and how many connections without an association there may be (in each
        process).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        ae_title: str,
        on_event: Callable[[Arrival | Refusal], None],
        port: int | None = None,
        bind: str | None = None,
        listens: bool = True,
        layout: str = DEFAULT_LAYOUT,
        existing: Existing = "keep",
        accept: str | Collection[str] = "as-stored",
        restrict: bool = True,
        calling_ae_titles: Collection[str] = (),
        addresses: Collection[str] = (),
        tls: TLSLike | None = None,
        max_associations: int = 32,
        free_space_floor: int = 1 << 28,
        own_process: bool = True,
        checksums: bool = False,
        max_pdu: int = 1 << 17,
        workers: int = 1,
        share: Share = "owner",
        limits: Limits | None = None,
    ) -> None:
        self._settings = ReceiverSettings.of(
            folder,
            calling_ae_titles,
            addresses,
            ae_title=ae_title,
            port=port,
            bind=bind,
            listens=listens,
            layout=layout,
            existing=existing,
            accept=accept if isinstance(accept, str) else tuple(accept),
            restrict=restrict,
            max_associations=max_associations,
            free_space_floor=free_space_floor,
            checksums=checksums,
            max_pdu=max_pdu,
            workers=workers,
            share=share,
            limits=limits or Limits(),
            tls=None if isinstance(tls, ssl.SSLContext) else check_tls(tls),
        )
        self._on_event = on_event
        self._context = tls if isinstance(tls, ssl.SSLContext) else None
        self._own_process = own_process and self._context is None
        if workers > 1:
            _check_workers(workers, self._own_process)
        self._engine: _Engine | None = None
        self._lock = threading.Lock()  # of starting and stopping
        self._last_activity = self._last_call = time.monotonic()
        self._is_parents = False
        forks.inherit(self)

    def begin_anew(self) -> None:
        """In a forked child: if it ran, it is the parent's that runs, and none of this process."""
        self._lock = threading.Lock()
        self._is_parents |= self._engine is not None
        self._engine = None

    def __repr__(self) -> str:
        state = f"on port {self._engine.port}" if self._engine else "not running"
        return f"Receiver({self._settings.folder!r}, ae_title={self._settings.ae_title!r}, {state})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wants_place_of(self, other: Receiver) -> bool:
        """Tell whether it cannot listen, or would not where it should, while another one of this process does.

        Without a port of its own any other would do; but where both are the same, it is the earlier one made again.
        """
        ours, theirs = self._settings, other._settings
        if not (ours.listens and theirs.listens):
            return False
        if ours.bind != theirs.bind and ours.bind and theirs.bind:
            return False
        if ours.port is not None:
            return ours.port == other.port
        is_same = (ours.folder, ours.ae_title) == (theirs.folder, theirs.ae_title)
        return is_same and (theirs.port is None or other.port == STANDARD_PORT)

    def start(self, *, listens: bool = True) -> None:
        """Listen, unless it is not to; when this returns, peers can connect.

        Raises ReceiverError if the port cannot be had, or the folder cannot be written.
        """
        if self._is_parents:
            raise ReceiverError(
                f"{self._settings.ae_title} receives in the process that this one is a fork of, and not here",
                "move there and hand on the files, or make a Mover in this process, with a port of its own",
            )
        with self._lock:
            if self._engine is not None:
                raise ReceiverError(f"the receiver on port {self._engine.port} runs already", "stop it first")
            engine = self._new_engine(replace(self._settings, listens=self._settings.listens and listens))
            try:
                engine.start()
            except ReceiverError:
                raise
            except BaseException:  # an interrupt must not leave a process behind that holds the port
                _kill(engine)
                raise
            self._engine = engine
            self._last_activity = self._last_call = time.monotonic()
        atexit.register(self.stop)

    def _new_engine(self, settings: ReceiverSettings) -> _Engine:
        if settings.workers > 1:
            return WorkersEngine(settings, self._tell)
        if self._own_process and find_interpreter():
            return ProcessEngine(settings, self._tell)
        if self._own_process:
            logger.info("this program embeds Python: we receive on threads of it; for a process, %s", NAME_ANOTHER)
        return ThreadEngine(settings, self._tell, self._context)

    @property
    def port(self) -> int:
        """The TCP port that it listens on; what was asked for (or 0) while it does not run."""
        return self._engine.port if self._engine else self._settings.port or 0

    @property
    def last_activity(self) -> float:
        """`time.monotonic()`, to about half a second, of the last bytes of an instance that was asked for."""
        if self._engine is not None:
            self._last_activity = max(self._last_activity, self._engine.last_activity)
        return self._last_activity

    @property
    def last_call(self) -> float:
        """The same of anything in an association, or of its beginning: C-ECHOs and strangers count too."""
        if self._engine is not None:
            self._last_call = max(self._last_call, self._engine.last_call)
        return self._last_call

    @property
    def failed(self) -> ReceiverError | None:
        """Why the receiver has ended without being asked to; None while all is well."""
        return self._engine.failure if self._engine else None

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names; in force when this returns.

        Raises ReceiverError if the receiver does not run.
        """
        self._running().admit(admission)

    def retriever(
        self, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[Pair]
    ) -> Retriever | RemoteRetriever:
        """Return an association for C-GET that is still to be opened; what comes on it is filed like all else.

        Each of `contexts`, pairs of the UIDs of a SOP Class and a transfer syntax, is proposed in a presentation
        context of its own; `MOST_PAIRS` go into one association. Raises ReceiverError if the receiver does not run.
        """
        if len(contexts) > MOST_PAIRS:
            raise ValueError(f"{len(contexts)} pairs do not go into one association: {MOST_PAIRS} do")
        return self._running().retriever(node, ae_title, timeouts, contexts)

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs; what is in flight goes on."""
        if self._engine is not None and self._engine.failure is None:
            self._engine.dismiss(*moves)

    def ask_offers(self) -> Mapping[str, Offer]:
        """Return how the archive has offered each SOP Class when it last called; raises ReceiverError."""
        return self._running().ask_offers()

    def sync(self) -> None:
        """Make durable what was filed since the last time: afterwards a power cut takes nothing of it.

        Raises ReceiverError if the disk does not take it, or the receiver does not run.
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
            try:
                self._last_activity = max(self._last_activity, engine.last_activity)
                self._last_call = max(self._last_call, engine.last_call)
                engine.stop()
            except BaseException:  # an interrupt: nobody knows of it any more
                _kill(engine)
                raise
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """End at once, whatever is in flight: an instance that is not whole is gone. Returns at once."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            _kill(engine)

    def _running(self) -> _Engine:
        if self._engine is None:
            raise ReceiverError("the receiver does not run", "call start() first")
        if self._engine.failure is not None:
            raise self._engine.failure
        return self._engine

    def _tell(self, item: Fields | Refusal) -> None:
        event = item if isinstance(item, Refusal) else Arrival(**{**item, "path": Path(item["path"])})
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - told without what it says
            logger.error("the listener of the receiver's events raised; the receiver goes on\n%s", tell_trace(error))


def _kill(engine: _Engine) -> None:
    """Kill, and give back on another thread what that takes: whoever is in such a hurry waits for nothing."""
    engine.kill()
    threading.Thread(target=engine.stop, name="dicomover-receiver-end", daemon=True).start()


def _check_workers(workers: int, own_process: bool) -> None:
    if not can_share():
        raise ConfigurationError(
            f"{setting('workers', workers)}: processes cannot share a port on this platform", "leave workers at 1"
        )
    if own_process and not find_interpreter():
        raise ConfigurationError(
            f"{setting('workers', workers)} are processes of their own, and this program embeds Python",
            f"leave workers at 1, or {NAME_ANOTHER}",
        )
    if not own_process:
        raise ConfigurationError(
            f"{setting('workers', workers)} are processes of their own: no own_process=False, and no SSLContext",
            "leave workers at 1, or leave those out; a TLS(...) can be told to a process",
        )
