"""The receiver's own process, seen from inside: a Storage SCP that does what its parent says, and ends with it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
import warnings
from typing import IO, TYPE_CHECKING, Any, NoReturn

from dicomover.errors import ReceiverError
from dicomover.events import Refusal
from dicomover.receiver.engine.frames import Writer, pack_event, read_frame, unpack_admission
from dicomover.receiver.engine.outbox import SETTLING, Outbox
from dicomover.receiver.scp.service import Service
from dicomover.receiver.scp.store import Fields
from dicomover.receiver.settings import ReceiverSettings
from dicomover.receiver.shared import Shared

if TYPE_CHECKING:
    from dicomover.receiver.engine.retrievals import Retrievals

__all__ = ["UNDELIVERED", "main"]

UNDELIVERED = 8_000  # events that the parent may have taken and not yet worked off
_BEAT_EVERY = 1.0  # seconds between two signs of life to the parent, and two looks whether it lives

logger = logging.getLogger("dicomover.receiver")


class _Ended(BaseException):
    """The process was told to end by a signal."""


class _ToParent(logging.Handler):
    """Passes log records on; of an exception only its kind, since its text may name files."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            text += f" ({record.exc_info[0].__name__})"
        with contextlib.suppress(OSError, ValueError):
            self._writer.write({"log": [record.levelno, text]})


class _Child:
    """One receiver and its line to the parent.

    The main thread reads orders, and may not wait for a disk, or the next order waits too: so `sync` has a thread of
    its own. What has happened goes out on the outbox's thread, and waits there once the parent has UNDELIVERED events
    that it has not worked off; associations then wait in `put`, and with them the senders. On the way out that wait is
    ended first, or the outbox could not be closed.
    """

    def __init__(self, orders: IO[bytes], writer: Writer) -> None:
        self._orders = orders
        self._writer = writer
        self._credit = threading.Condition()
        self._undelivered = 0
        self._closing = False
        self._outbox = Outbox(self._deliver, "dicomover-events")
        self._service: Service | None = None
        self._retrievals: Retrievals | None = None

    def run(self) -> None:
        """Obey until the parent says stop, or is gone."""
        stopped: int | None = None
        try:
            while (frame := read_frame(self._orders)) is not None:
                if frame["do"] == "stop":
                    stopped = frame["id"]
                    break
                self._obey(frame)
        except _Ended:
            pass
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.SIG_IGN)
        if self._service is not None:
            self._service.stop()
        with self._credit:
            self._closing = True
            self._credit.notify_all()
        if self._service is not None:
            self._outbox.close(10.0)
        if stopped is not None:
            self._answer(stopped)

    def _obey(self, frame: dict[str, Any]) -> None:
        kind = frame["do"]
        if kind == "acknowledge":
            with self._credit:
                self._undelivered -= frame["count"]
                self._credit.notify_all()
        elif kind == "start":
            self._start(frame)
        elif kind == "sync":
            threading.Thread(target=self._sync, args=(frame["id"],), daemon=True).start()
        elif kind == "admit":
            assert self._service is not None
            self._service.admit(unpack_admission(frame["admission"]))
            self._answer(frame["id"])
        elif kind.startswith("retriever "):
            self._retrieve(frame)
        elif kind == "dismiss":
            assert self._service is not None
            self._service.dismiss(*frame["moves"])
            self._answer(frame["id"])
        elif kind == "offers":
            assert self._service is not None
            self._answer(frame["id"], offers=self._service.offers)

    def _start(self, frame: dict[str, Any]) -> None:
        logging.getLogger("dicomover").setLevel(frame["log_level"])
        settings, inherited = ReceiverSettings.from_plain(frame["settings"]), frame["inherited"]
        shared = None
        if inherited:
            number = inherited["listener"]
            listener = None if number is None else socket.socket(fileno=number)
            shared = Shared(listener, inherited["locks"], settings.max_associations)
        service = Service(settings, self._outbox.put, beat=self._beat, shared=shared, settle=self._settle)
        try:
            service.start()
        except ReceiverError as error:
            self._answer(frame["id"], error=[error.what, error.mend])
            return
        self._service = service
        self._outbox.start()
        gc.collect()
        gc.freeze()
        self._answer(frame["id"], port=service.port)

    def _retrieve(self, frame: dict[str, Any]) -> None:
        if self._retrievals is None:
            # Here and not above: what requests an association is a third of all imports, and C-MOVE needs none of it.
            from dicomover.receiver.engine.retrievals import Retrievals

            assert self._service is not None
            self._retrievals = Retrievals(self._service, self._answer)
        self._retrievals.obey(frame)

    def _settle(self) -> None:
        self._outbox.settle(SETTLING)

    def _sync(self, number: int) -> None:
        assert self._service is not None
        try:
            self._service.sync()
        except ReceiverError as error:
            self._answer(number, error=[error.what, error.mend])
        else:
            self._answer(number)

    def _answer(self, number: int, **more: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._writer.write({"reply": number, **more})

    def _beat(self, last_activity: float, last_call: float) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._writer.write({"activity": last_activity, "call": last_call})

    def _deliver(self, batch: list[Fields | Refusal]) -> None:
        for start in range(0, len(batch), 1000):
            part = batch[start : start + 1000]
            with self._credit:
                while self._undelivered > UNDELIVERED and not self._closing:
                    self._credit.wait()
                self._undelivered += len(part)
            with contextlib.suppress(OSError, ValueError):  # a parent that is gone needs no news
                service = self._service
                assert service is not None
                events = [pack_event(event) for event in part]
                signs = {"activity": service.last_activity, "call": service.last_call}
                self._writer.write({**signs, "events": events})


def _end(*_: object) -> NoReturn:
    raise _Ended


def _beat(writer: Writer, parent: int | None) -> None:
    """Give signs of life, and end when the parent has gone although somebody keeps the pipe open, as a fork may.

    A thread of its own: it goes on while others wait for a disk, so that silence means that the process stands still.
    """
    while parent is None or os.getppid() == parent:
        try:
            writer.write({"alive": True})
        except (OSError, ValueError):
            return  # the orders end too
        time.sleep(_BEAT_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Run as the receiver's process: orders on the standard input, answers on the standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted notebook goes on receiving
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _end)
    # Nothing else may read or write there.
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    writer = Writer(answers)
    warnings.simplefilter("ignore")  # nobody sees them here
    root = logging.getLogger("dicomover")
    root.addHandler(_ToParent(writer))
    root.propagate = False
    parent = os.getppid() if os.name == "posix" else None
    threading.Thread(target=_beat, args=(writer, parent), daemon=True).start()
    _Child(orders, writer).run()
    return 0
