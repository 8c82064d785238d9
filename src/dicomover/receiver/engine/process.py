"""The Storage SCP in a process of its own, seen from its parent."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

from dicomover.errors import ReceiverError
from dicomover.events import Admission, Offer, Refusal, Refused
from dicomover.node import Node, Timeouts
from dicomover.processes import forks
from dicomover.processes.interpreter import NAME_ANOTHER, python_command
from dicomover.query.classes import Pair
from dicomover.receiver.engine.frames import NoFrame, Reply, Writer, pack_admission, read_frame, unpack_event
from dicomover.receiver.engine.outbox import Delivery, Outbox, Together
from dicomover.receiver.engine.remote import RemoteRetriever
from dicomover.receiver.scp.folders import sweep_parts
from dicomover.receiver.scp.store import Fields
from dicomover.receiver.settings import ReceiverSettings
from dicomover.text.face import advise

__all__ = ["ANSWERING", "SYNCING", "ProcessEngine"]

# What the parent can import the child can too; but nothing in the working directory comes before the
# standard library, as it would with `python -m`.
_CODE = "from dicomover.receiver.engine.child import main; sys.exit(main())"
_STARTING = 60.0  # seconds until it listens: an interpreter on a slow disk
_SILENT = 6.0  # seconds without a sign of life after which it stands still; it gives one each second
ANSWERING = 15.0  # seconds for an answer that takes no disk
SYNCING = 300.0  # seconds for one that does
_ENDING = 1.0  # seconds to be gone after it has said farewell, or was killed
_DELIVERING = 5.0  # seconds for the listener to take what is left to tell
_LOOK = 0.5  # seconds between two looks while waiting
_KEPT = 30.0  # seconds for which the number of a process that stood still is nobody else's

logger = logging.getLogger("dicomover.receiver")


class ProcessEngine:
    """Starts the process, passes on what is asked of it, and tells what it tells, on one thread.

    What is asked of it can be split into `order` and `answer`, to ask several at once.

    Nobody waits for the process without a bound. Orders are written by a thread of their own, since a pipe to a process
    that does not read is full at some time, and answers are waited for only while the process gives signs of life; one
    that gives none (stopped, or swapped out) is ended as if it had died. The reader is the only thread that sets
    `_ended`, and it does so after the process is gone and before it wakes whoever waits.

    Whoever has stopped a process may let it go on later by its number, and may not hit another one then: so one that
    stood still is waited for `_KEPT` seconds after it was killed, and `_stood_still` says that nobody does before.
    """

    def __init__(
        self, settings: ReceiverSettings, tell: Callable[[Fields | Refusal], None], together: Together | None = None
    ) -> None:
        self._settings = replace(settings, token=secrets.token_hex(6))
        self._together = together
        self._delivery = Delivery(tell) if together is None else together.delivery
        self._lock = threading.Lock()
        self._replies: dict[int, Reply] = {}
        self._last_number = 0
        self._stopping = False
        self._ended = False
        self._stood_still = False
        self._starting: Reply | None = None
        self._farewell: Reply | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: Outbox[dict[str, Any]] | None = None
        self._heard = time.monotonic()
        self._errors: IO[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.failure: ReceiverError | None = None
        self.port = 0
        self.last_activity = self.last_call = time.monotonic()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self.launch()
        self.await_start()

    def launch(self) -> None:
        """Start the process and tell it to listen."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _clear_away
        options: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            options = {"creationflags": 0x08000200}  # CREATE_NO_WINDOW and CREATE_NEW_PROCESS_GROUP
        inherited = {}
        if self._together is not None:
            inherited = {"listener": self._together.listener, "locks": self._together.locks}
            options["pass_fds"] = tuple(each for each in inherited.values() if each is not None)
        try:
            options |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
            self._process = process = subprocess.Popen(python_command(_CODE), **options)  # noqa: S603
        except OSError as error:
            self._errors.close()
            raise ReceiverError(
                f"no process can be started for the receiver ({error.strerror})", advise(NAME_ANOTHER)
            ) from error
        atexit.register(self.kill)  # a stopped one does not see that its parent has gone
        assert process.stdin is not None
        forks.inherit(self)
        self._orders = Outbox(Writer(process.stdin).write_all, "dicomover-receiver-orders", None, pause=0.0)
        self._orders.start()
        if self._together is None:
            self._delivery.start()
        self._reader = threading.Thread(target=self._read, name="dicomover-receiver-process", daemon=True)
        self._reader.start()
        level = logging.getLogger("dicomover.receiver").getEffectiveLevel()
        with contextlib.suppress(ReceiverError):  # await_start says so
            plain = self._settings.to_plain()
            self._starting = self.order("start", settings=plain, log_level=level, inherited=inherited)

    def begin_anew(self) -> None:
        """In a forked child: say nothing more to the parent's receiver, whatever lies in a buffer, and hear nothing."""
        assert self._process is not None
        atexit.unregister(self.kill)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in filter(None, (self._process.stdin, self._process.stdout)):
            if not stream.closed:
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

    def await_start(self) -> None:
        """Wait until it listens; a process that does not is gone afterwards."""
        try:
            self.port = self.answer(self._starting, _STARTING)["port"]
        except ReceiverError:
            self._stopping = True
            self._clear_away()
            raise

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names; in force when this returns."""
        self.answer(self.order("admit", admission=pack_admission(admission)))

    def dismiss(self, *moves: int) -> None:
        """Let in no more of these C-MOVEs."""
        with contextlib.suppress(ReceiverError):
            self.answer(self.order("dismiss", moves=moves))

    def ask_offers(self) -> Mapping[str, Offer]:
        """Return how the archive offers each SOP Class."""
        return {uid: Offer(offer) for uid, offer in self.answer(self.order("offers"))["offers"].items()}

    def retriever(self, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[Pair]) -> RemoteRetriever:
        """Return an association for C-GET that is still to be opened."""
        return RemoteRetriever(self, self._delivery, node, ae_title, timeouts, contexts)

    def sync(self) -> None:
        """Make durable what was filed."""
        self.answer(self.order("sync"), SYNCING)

    def stop(self) -> None:
        """End the process, and tell what is left to tell."""
        self.order_stop()
        self.await_stop()

    def kill(self) -> None:
        """End the process at once, and let its half files go; `stop` gives back what is left."""
        self._stopping = True
        if self._process is not None and not self._stood_still:
            self._process.kill()
        if self._reader is not None:
            self._reader.join(_ENDING)

    def order_stop(self) -> None:
        """Ask the process to end; it may have been asked before."""
        self._stopping = True
        if self.failure is None and self._farewell is None and self._orders is not None:
            with contextlib.suppress(ReceiverError):
                self._farewell = self.order("stop")

    def await_stop(self) -> None:
        """Wait until it has ended, and see that it has."""
        if self._process is None or self._process.stdout is None or self._process.stdout.closed:
            return  # it never began, or it is cleared away
        if self._farewell is not None:
            limits = self._settings.limits
            with contextlib.suppress(ReceiverError):
                self.answer(self._farewell, limits.finishing + 2 * limits.closing)
        self._clear_away()

    def acknowledge(self, count: int) -> None:
        """Tell the process that so many of its events have been worked off."""
        self.tell("acknowledge", count=count)

    # --- the line to the process

    def order(self, what: str, **more: Any) -> Reply:
        """Send an order; `answer` waits for the answer to it."""
        reply = Reply(what)
        with self._lock:
            if self._ended:
                raise self.failure or ReceiverError("the receiver has been stopped", "start it again")
            self._last_number += 1
            reply.number = self._last_number
            self._replies[reply.number] = reply
        assert self._orders is not None
        self._orders.put({"do": what, "id": reply.number, **more})
        return reply

    def tell(self, what: str, **more: Any) -> None:
        """Send an order that is not answered."""
        if self._orders is not None:
            self._orders.put({"do": what, **more})

    def answer(
        self, reply: Reply | None, seconds: float = ANSWERING, hear: Callable[[Any], None] = lambda _: None
    ) -> dict[str, Any]:
        """Wait for the answer to an order; `hear` takes what is said before it."""
        if reply is not None:
            try:
                reply.limit = min(reply.limit, reply.begun + seconds)
                self._wait(reply, hear)
            finally:
                self._forget(reply)
        if reply is None or not reply.frame:
            raise self.failure or ReceiverError("the receiver's process has ended", "start the receiver again")
        if "error" in reply.frame:
            raise ReceiverError(*reply.frame["error"])
        return reply.frame

    def _wait(self, reply: Reply, hear: Callable[[Any], None]) -> None:
        """Wait until the answer came or the process has ended; raise if neither is to be expected any more."""
        silent = 0
        while True:
            with contextlib.suppress(queue.Empty):
                said = reply.said.get(timeout=_LOOK)
                if said is None:
                    return
                hear(said)
            now = time.monotonic()
            # Two looks: after a sleep of this process what was said meanwhile has to be read first.
            silent = silent + 1 if now - max(self._heard, reply.begun) > _SILENT else 0
            if silent > 1:
                raise self._end_standstill(reply.what)
            if now > reply.limit:
                why = f"the receiver's process lives, but has not answered for {now - reply.begun:.0f} s ({reply.what})"
                raise ReceiverError(why, "look at the disk that we receive on")

    def _end_standstill(self, what: str) -> ReceiverError:
        """End a process that stands still, and return the error that says so."""
        why = f"the receiver's process stands still: no sign of life for {_SILENT:g} s ({what})"
        error = ReceiverError(why, "see whether it was stopped, or its disk hangs; then start the receiver again")
        with self._lock:
            first, self.failure = self.failure is None, self.failure or error
        if first and self._process is not None:
            logger.error("%s", why)
            self._stood_still = True
            self._process.kill()
            later = threading.Timer(_KEPT, self._process.wait)
            later.daemon = True
            later.start()
        return error

    def _forget(self, reply: Reply) -> None:
        with self._lock:
            self._replies.pop(reply.number, None)

    def _read(self) -> None:
        """Take what the process says until it ends."""
        process, trouble = self._process, "it has closed its pipe"
        assert process is not None and process.stdout is not None  # noqa: PT018
        try:
            while (frame := read_frame(process.stdout)) is not None:
                self._heard = time.monotonic()
                self._take(frame)
        except NoFrame as error:
            trouble = f"what it says cannot be read ({error})"
        except Exception as error:  # noqa: BLE001 - told without what it says
            trouble = f"what it says cannot be read ({type(error).__name__})"
        if self._stood_still or self._has_ended():
            trouble = ""  # it was cut off, and its end says more
        else:
            process.kill()
            self._has_ended()
        if unexpected := not self._stopping:
            self._fail(trouble)
        with self._lock:
            self._ended = True
            waiting = list(self._replies.values())
        for reply in waiting:
            reply.said.put(None)
        if unexpected or self._stood_still or process.returncode:  # killed, and so it could not tidy up
            with contextlib.suppress(OSError):
                sweep_parts(self._settings.folder, self._settings.token)
        if unexpected:
            if self._together is None:
                self._delivery.put(self, Refusal(time.monotonic(), str(self.failure), what=Refused.EVERYTHING))
            else:
                self._together.ended(self)

    def _take(self, frame: dict[str, Any]) -> None:
        if "activity" in frame:
            self.last_activity, self.last_call = frame["activity"], frame["call"]
        if "events" in frame:
            for event in frame["events"]:
                self._delivery.put(self, unpack_event(event))
        if "log" in frame:
            level, text = frame["log"]
            logger.log(level, "%s", text)
        if "reply" in frame:
            with self._lock:
                reply = self._replies.get(frame["reply"])
            if reply is not None and "meanwhile" in frame:
                reply.said.put(frame["meanwhile"])
            elif reply is not None:
                reply.frame = frame
                reply.said.put(None)

    # --- its end

    def _has_ended(self) -> bool:
        """Tell whether the process is gone, in a moment at the latest."""
        assert self._process is not None
        if self._stood_still and self._reader is not None:  # its end is seen by the end of what it says
            self._reader.join(_ENDING)
            return self._ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)
        return self._process.returncode is not None

    def _fail(self, trouble: str) -> None:
        """Say that the process has ended without being asked to, unless it was said already that it stands still."""
        if self.failure is not None:
            return
        code = (self._process and self._process.returncode) or 0
        how = trouble or (f"by signal {-code}" if code < 0 else f"with exit code {code}") + self._last_words()
        if self._together is None:
            why = f"the receiver's process ended unexpectedly, {how}"
        else:
            count = self._together.count
            why = f"one of the receiver's {count} processes ended unexpectedly, {how}, and the others end with it"
        mend = "nothing can arrive until the receiver is started again" if self.port else advise(NAME_ANOTHER)
        self.failure = ReceiverError(why, mend)
        logger.error("%s", why)

    def _last_words(self) -> str:
        """Return the kind of the exception that the process died of, if it left one; its text may name files."""
        if self._errors is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            kind = lines[-1].partition(":")[0] if lines else ""
            if kind.isidentifier():
                return f" ({kind})"
        return ""

    def _clear_away(self) -> None:
        """See that the process is gone and give everything back, within seconds.

        A process that waits for a disk cannot be killed before the disk answers. It is left behind then, with the
        daemon threads that wait for its pipes; whoever closes the receiver does not wait for that.
        """
        process = self._process
        assert process is not None and process.stdin is not None  # noqa: PT018
        if self.failure is None and (self._orders is None or self._orders.close(_ENDING)):
            with contextlib.suppress(OSError):
                process.stdin.close()  # the end of its orders is the end of it, if it has not ended yet
        if not (is_gone := self._has_ended()):
            if self.failure is None:
                logger.warning("the receiver's process did not end in time and was killed")
            self.kill()
            is_gone = self._has_ended()
        atexit.unregister(self.kill)
        # Behind its end, which ends the waits of the writer and the reader.
        if self._orders is not None:
            self._orders.close(_ENDING)
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(_ENDING)
        if self._together is None:
            self._delivery.close(_DELIVERING)
        if not is_gone:
            logger.warning("the receiver's process waits for the system and cannot be ended now; it is left behind")
            return
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
