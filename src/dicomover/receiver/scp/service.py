"""The Storage SCP itself: listens, gives every connection its thread, and cuts those that keep us waiting.

What comes on associations that we request ourselves is filed by it too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from dicomover.disk import Share, create_file, make_folders
from dicomover.errors import ConfigurationError, ReceiverError
from dicomover.events import Admission, Offer, Refusal, Refused
from dicomover.processes import forks
from dicomover.receiver.addresses import Doorkeeper
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp.association import IncomingAssociation
from dicomover.receiver.scp.contexts import find_offers
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.scp.folders import sweep_parts
from dicomover.receiver.scp.places import Places, choose_to_go
from dicomover.receiver.scp.ports import listen
from dicomover.receiver.scp.ration import Ration
from dicomover.receiver.scp.store import Caller, Fields, Storage
from dicomover.receiver.settings import ReceiverSettings
from dicomover.receiver.shared import Shared, way_to_give
from dicomover.security.door import SecureDoor
from dicomover.security.tls import TLSLike
from dicomover.wire.connection import Waker
from dicomover.wire.messages import Context

__all__ = ["Service"]

_FREE_OF_CHARGE = 0.05  # seconds of the processor before an association from a known address gives way
_LOOK = 0.01  # seconds between two looks whether those have ended who were told to
_TICK = 0.5  # between two looks at the deadlines, while there are connections

logger = logging.getLogger("dicomover.receiver")


class Requested(Protocol):
    """An association that we have requested ourselves; its thread is somebody else's."""

    is_busy: bool  # while it asks, and something may be on its way to a file

    def kill(self) -> None:
        """End what is going on at once."""


class Service:
    """A Storage SCP on threads of this process.

    One thread, the listener, accepts connections and enforces deadlines; each association has a thread of its own that
    sleeps in the kernel. `_associations` is shared between them under `_lock`; an association enters it before its
    thread starts and leaves it as the last thing that its thread does, so that whoever is in it can be cut and joined.
    What an association asks of us (`may_begin`, `charge`, `tell_refusal`) runs on its thread.

    `last_activity` is the `time.monotonic()` at which something last came of an instance that was asked for; no other
    call moves it. `last_call` is the same of anything in an association, or of its beginning: maybe a stranger's.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        tell: Callable[[Fields | Refusal], None],  # from whatever thread it happened on
        tls: ssl.SSLContext | None = None,  # in the place of what the settings say
        beat: Callable[[float, float], None] | None = None,  # both of them, as one begins, and twice a second
        shared: Shared | None = None,  # with other processes, the listening socket above all
        settle: Callable[[], None] = lambda: None,  # waits until what was told has been heard
    ) -> None:
        self.settings = settings
        self.admissions = Admissions()
        self.last_activity = self.last_call = time.monotonic()
        self.offers: dict[str, Offer] = {}  # by SOP Class, of the archive when it last called
        self.port = 0
        self._tell = tell
        self._tls: TLSLike | None = tls or settings.tls
        self._secure_door: SecureDoor | None = None
        self._beat = beat
        self._shared = shared
        self.settle = settle
        self._places = Places(settings.max_associations, shared)
        self._ration = Ration(settings.workers)
        self._door = Doorkeeper(settings.addresses, tell)
        self._lock = threading.Lock()
        self._associations: dict[IncomingAssociation, threading.Thread] = {}
        self._retrievers: set[Requested] = set()  # that have a connection
        self._stopping = False
        self._listener: socket.socket | None = None
        self._waker: Waker | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen from now on, if it is to.

        Raises ReceiverError if the folder cannot be used, the port cannot be had, or a file for TLS is not there.
        """
        settings = self.settings
        try:
            self._secure_door = None if self._tls is None else SecureDoor(self._tls)
        except ConfigurationError as error:
            raise ReceiverError(error.what, error.mend) from error
        filing = Filing(
            _usable(settings.folder, settings.share),
            Layout(settings.layout),
            settings.existing,
            settings.free_space_floor,
            settings.token or None,
            self._shared.filing if self._shared is not None else None,
            settings.share,
        )
        try:
            filing.check_space()
        except OSError as error:
            raise ReceiverError(
                f"folder {settings.folder!r}: {error.strerror}", "free some space, or choose another folder"
            ) from error
        self.storage = Storage(settings, filing, self.admissions, self._tell, self._places.known)
        if settings.listens:
            shared = self._shared.listener if self._shared is not None else None
            self._listener = shared or listen(settings.bind, settings.port)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
        forks.inherit(self)
        self._waker = Waker()
        self._thread = threading.Thread(target=self._accept_all, name="dicomover-listener", daemon=True)
        self._thread.start()
        if settings.listens:
            logger.info("listening as %s on port %d", settings.ae_title, self.port)

    def sync(self) -> None:
        """Make durable what was filed since the last time."""
        try:
            self.storage.filing.sync()
            return
        except OSError as error:
            why = error.strerror
        # Only here: the error's own text and frames name files, and so may name patients.
        raise ReceiverError(
            f"folder {self.settings.folder!r}: what was received could not be made durable ({why})", "check the disk"
        )

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names."""
        self.admissions.admit(admission)
        if admission.archive:
            self._places.know(admission.archive.removeprefix("::ffff:"))

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""
        for move in moves:
            self.admissions.dismiss(move)

    def _asking(self) -> list[Requested]:
        with self._lock:
            return [retriever for retriever in self._retrievers if retriever.is_busy]

    def begin_anew(self) -> None:
        """In a forked child: let go of the port, which is the parent's."""
        if self._listener is not None:
            self._listener.close()

    def kill(self) -> None:
        """Let nothing in flight finish."""
        if self._thread is not None:
            self.storage.cut.set()
        self._end_retrievers()
        for association in self._current():
            association.end(hard=True)

    def _end_retrievers(self) -> None:
        with self._lock:
            for retriever in self._retrievers:
                retriever.kill()

    def stop(self) -> None:
        """Close the port, let what is in flight finish, and leave no thread behind."""
        if self._thread is None or self._waker is None:
            return
        # In this order: nobody new comes in, what is idle goes, what is in the middle of a message may finish, and only
        # then is it cut, in two steps: its read first, then its write too.
        self._stopping = True
        self._waker.wake()
        self._thread.join()
        self._thread = None
        if self._listener is not None:
            self._listener.close()
        self._waker.close()
        self._end_retrievers()
        for association in self._current():
            association.ending = True
            if not association.busy:
                association.wake()
        limits = self.settings.limits
        self._join(0 if self.storage.cut.is_set() else limits.finishing)
        self.storage.cut.set()
        for association in self._current():
            association.end()
        self._join(limits.closing)
        for association in self._current():
            association.end(hard=True)
        self._join(limits.closing)
        left = time.monotonic() + limits.closing
        while self._asking() and time.monotonic() < left:
            time.sleep(_LOOK)
        self._door.report()
        self.storage.notices.flush(ending=True)
        self.storage.filing.close()
        if count := len(self._current()) + len(self._asking()):
            logger.warning("%d connections did not end in time", count)
            sweep_parts(self.storage.filing.root, self.storage.filing.token)

    def _join(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        for association in self._current():
            thread = self._associations.get(association)
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(limit - time.monotonic(), 0))

    # --- what associations ask

    def may_begin(self, association: IncomingAssociation) -> bool:
        """Count the association, or say that there are too many."""
        if not self._places.take(association):
            return False
        association.established = True
        # Told before the peer is answered: whatever it reports of us afterwards is judged knowing that it was here.
        self.last_call = time.monotonic()
        if self._beat is not None:
            self._beat(self.last_activity, self.last_call)
        return True

    def keep(self, association: IncomingAssociation) -> None:
        """Let the association keep its place."""
        self._places.keep(association)

    def charge(self, association: IncomingAssociation, seconds: float) -> float:
        """Put so many seconds to the account of all strangers; who comes from a known address need not wait at once."""
        until = self._ration.charge(seconds)
        is_known = association.caller.host in self._places.known and association.used < _FREE_OF_CHARGE
        return 0.0 if is_known else until

    def note_offers(self, caller: Caller, contexts: Iterable[Context]) -> None:
        """Take note in which transfer syntaxes the archive offers its images."""
        if caller.host in self._places.known:
            self.offers |= find_offers(contexts, self.storage.accept)

    def tell_refusal(self, what: Refused, caller: Caller, why: str, mend: str) -> None:
        """Tell that something was refused which is no instance."""
        refusal = Refusal(time.monotonic(), why, None, caller.ae_title, what=what, mend=mend, peer=caller.host)
        self.storage.notices.tell(refusal)

    def enter(self, retriever: Requested) -> None:
        """Take note that a retriever has a connection."""
        with self._lock:
            self._retrievers.add(retriever)
            if self._stopping:
                retriever.kill()
        if self._waker is not None:
            self._waker.wake()

    def leave(self, retriever: Requested) -> None:
        """Take note that it has none any more."""
        with self._lock:
            self._retrievers.discard(retriever)

    # --- connections

    def _current(self) -> list[IncomingAssociation]:
        with self._lock:
            return list(self._associations)

    def _accept_all(self) -> None:
        assert self._waker is not None
        notices, reported = self.storage.notices, (self.last_activity, self.last_call)
        with selectors.DefaultSelector() as selector:
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._waker.receiving, selectors.EVENT_READ)
            while not self._stopping:
                for key, _ in selector.select(
                    _TICK if self._associations or self._retrievers or notices.owes else None
                ):
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._waker.drain()
                self._enforce(time.monotonic())
                notices.flush()
                signs = self.last_activity, self.last_call
                if self._beat is not None and signs != reported:
                    reported = signs
                    self._beat(*signs)

    def _accept(self) -> None:
        assert self._listener is not None
        if self._shared is not None:
            time.sleep(way_to_give(len(self._associations)))
        try:
            sock, address = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self.storage.notices.log(logging.WARNING, "no connection can be accepted (%s)", error.strerror)
                self._drop_one(1)
                time.sleep(0.05)
            return
        host = address[0].removeprefix("::ffff:")
        if not self._door.lets_in(host):
            sock.close()
            return
        sock.setblocking(True)
        self._drop_one(self.settings.limits.waiting_connections)
        peer = f"{host}:{address[1]}"
        association = IncomingAssociation(sock, peer, self, self._secure_door)
        thread = threading.Thread(target=self._run, args=(association,), name=f"dicomover-{peer}", daemon=True)
        with self._lock:
            self._associations[association] = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self.storage.notices.log(logging.WARNING, "no thread can be started for %s", peer)
            sock.close()
            with self._lock:
                del self._associations[association]

    def _run(self, association: IncomingAssociation) -> None:
        try:
            association.run()
        finally:
            with self._lock:
                del self._associations[association]
            self._places.leave(association)

    def _drop_one(self, bound: int) -> None:
        """Cut a connection if so many have no association yet."""
        waiting = [one for one in self._current() if not one.established and not one.cut]
        if len(waiting) >= bound and (going := choose_to_go(waiting, self._places.known)):
            going.end(hard=True)

    def _enforce(self, now: float) -> None:
        self._places.make_room()
        for association in self._current():
            if now > association.deadline:
                association.end(hard=association.cut)


# --- the folder


def _usable(folder: str, share: Share) -> str:
    """Create the folder if need be, and see whether a file can be made in it."""
    probe = os.path.join(folder, f".{secrets.token_hex(8)}.part")  # noqa: PTH118
    try:
        make_folders(folder, share)
        os.close(create_file(probe, share))
    except OSError as error:
        raise ReceiverError(
            f"folder {folder!r} cannot be written ({error.strerror})",
            "give a folder of yours, or mend its permissions",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(probe)  # noqa: PTH108
    return folder
