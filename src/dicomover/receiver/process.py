"""The Storage SCP in a process of its own, seen from its parent."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

from dicomover.errors import ReceiverError
from dicomover.events import Refusal
from dicomover.receiver.admission import Admission
from dicomover.receiver.filing import Filing
from dicomover.receiver.frames import Writer, read_frame, unpack_event
from dicomover.receiver.layout import Layout
from dicomover.receiver.outbox import Outbox
from dicomover.receiver.reception import Fields
from dicomover.receiver.settings import Settings

__all__ = ["ProcessEngine"]

# What the parent can import the child can too; but nothing in the working directory comes before the
# standard library, as it would with `python -m`.
_CODE = (
    "import sys; sys.path.extend(path for path in sys.argv[1:] if path not in sys.path); "
    "from dicomover.receiver.child import main; sys.exit(main())"
)
_STARTING = 60.0
_ENDING = 5.0

logger = logging.getLogger("dicomover.receiver")


class _Reply:
    """What a caller waits for."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.frame: dict[str, Any] = {}


class ProcessEngine:
    """Starts the process, passes on what is asked of it, and tells what it tells, on one thread."""

    def __init__(self, settings: Settings, tell: Callable[[Fields | Refusal], None]) -> None:
        self._settings = replace(settings, token=secrets.token_hex(6))
        self._tell = tell
        self._outbox: Outbox[Fields | Refusal] = Outbox(self._deliver, "dicomover-arrivals", bound=None)
        self._lock = threading.Lock()
        self._replies: dict[int, _Reply] = {}
        self._last_number = 0
        self._stopping = False
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: Writer | None = None
        self._errors: IO[bytes] | None = None
        self._reader: threading.Thread | None = None
        self.failure: ReceiverError | None = None
        self.port = 0
        self.last_activity = time.monotonic()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _clear_away
        options: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            options = {"creationflags": 0x08000200}  # CREATE_NO_WINDOW and CREATE_NEW_PROCESS_GROUP
        paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100
        try:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _CODE, *paths],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                **options,
            )
        except OSError as error:
            self._errors.close()
            raise ReceiverError(
                f"no process can be started for the receiver ({error.strerror}); own_process=False does without"
            ) from error
        assert process.stdin is not None
        self._process = process
        self._writer = Writer(process.stdin)
        self._outbox.start()
        self._reader = threading.Thread(target=self._read, name="dicomover-receiver-process", daemon=True)
        self._reader.start()
        level = logging.getLogger("dicomover.receiver").getEffectiveLevel()
        try:
            answer = self._ask("start", _STARTING, settings=self._settings.to_plain(), log_level=level)
        except ReceiverError:
            self._stopping = True
            self._clear_away()
            raise
        self.port = answer["port"]

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names; in force when this returns."""
        self._ask(
            "admit",
            move=admission.move,
            message_id=admission.message_id,
            patient_ids=list(admission.patient_ids),
            study_uids=list(admission.study_uids),
            series_uids=list(admission.series_uids),
            sop_uids=list(admission.sop_uids),
        )

    def dismiss(self, move: int) -> None:
        """Let in no more of this C-MOVE."""
        with contextlib.suppress(ReceiverError):
            self._ask("dismiss", move=move)

    def sync(self) -> None:
        """Make durable what was filed."""
        self._ask("sync")

    def stop(self) -> None:
        """End the process, and tell what is left to tell."""
        self._stopping = True
        if self.failure is None:
            limits = self._settings.limits
            with contextlib.suppress(ReceiverError):
                self._ask("stop", limits.finishing + 2 * limits.closing + _ENDING)
        self._clear_away()

    # --- the line to the process

    def _send(self, frame: dict[str, Any]) -> None:
        assert self._writer is not None
        try:
            self._writer.write(frame)
        except (OSError, ValueError) as error:
            raise self.failure or ReceiverError("the receiver's process has ended; start the receiver again") from error

    def _ask(self, what: str, seconds: float | None = None, **more: Any) -> dict[str, Any]:
        """Send an order and return the answer to it."""
        reply = _Reply()
        with self._lock:
            if self._ended:
                raise self.failure or ReceiverError("the receiver has been stopped; start it again")
            self._last_number += 1
            number = self._last_number
            self._replies[number] = reply
        try:
            self._send({"do": what, "id": number, **more})
            if not reply.came.wait(seconds):
                raise ReceiverError(f"the receiver's process does not answer ({what}); start the receiver again")
        finally:
            with self._lock:
                self._replies.pop(number, None)
        if not reply.frame:
            raise self.failure or ReceiverError("the receiver's process has ended; start the receiver again")
        if "error" in reply.frame:
            raise ReceiverError(reply.frame["error"])
        return reply.frame

    def _read(self) -> None:
        """Take what the process says until it ends."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            while (frame := read_frame(self._process.stdout)) is not None:
                self._take(frame)
        except (OSError, ValueError):
            logger.warning("what the receiver's process says cannot be read; it will be ended")
            self._process.kill()
        code = self._process.wait()
        unexpected = not self._stopping
        if unexpected:
            self._fail(code)
        with self._lock:
            self._ended = True
            waiting = list(self._replies.values())
        for reply in waiting:
            reply.came.set()
        if unexpected:
            self._sweep()
            self._outbox.put(Refusal(time.monotonic(), str(self.failure)))

    def _take(self, frame: dict[str, Any]) -> None:
        if "activity" in frame:
            self.last_activity = frame["activity"]
        if "events" in frame:
            for event in frame["events"]:
                self._outbox.put(unpack_event(event))
        if "log" in frame:
            level, text = frame["log"]
            logger.log(level, "%s", text)
        if "reply" in frame:
            with self._lock:
                reply = self._replies.get(frame["reply"])
            if reply is not None:
                reply.frame = frame
                reply.came.set()

    def _deliver(self, batch: list[Fields | Refusal]) -> None:
        for event in batch:
            self._tell(event)
        with contextlib.suppress(ReceiverError):
            self._send({"do": "acknowledge", "count": len(batch)})

    # --- its end

    def _fail(self, code: int) -> None:
        """Say that the process has ended without being asked to."""
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        why = f"the receiver's process ended unexpectedly, {how}{self._last_words()}"
        self.failure = ReceiverError(f"{why}; nothing can arrive until the receiver is started again")
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

    def _sweep(self) -> None:
        """Remove the half files of a process that could not do so itself."""
        with contextlib.suppress(OSError):
            Filing(self._settings.folder, Layout(self._settings.layout), token=self._settings.token).sweep()

    def _clear_away(self) -> None:
        assert self._process is not None
        assert self._writer is not None
        with contextlib.suppress(OSError, ValueError):
            self._writer.close()
        try:
            self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            logger.warning("the receiver's process did not end in time and was killed")
            self._process.kill()
            self._process.wait()
            self._sweep()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join()
        self._outbox.close(_ENDING)
        for stream in (self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
