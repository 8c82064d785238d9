"""An association with the archive: C-ECHO, C-FIND, C-MOVE, C-CANCEL, and failures that have names.

One thread owns an `Association`; another may `cancel()` it or `kill()` it. Every wait has a deadline or can be ended.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomover.errors import AssociationLost, ContextRejected, LostBy, ProtocolError, QueryRefused
from dicomover.identifier import Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import CANCELLED, SUCCESS, Counters, Ended, describe
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection, Context, Message, Waker, connect
from dicomover.wire.negotiation import request_association

__all__ = ["CANCEL_GRACE", "Association", "MoveEnd"]

logger = logging.getLogger("dicomover.dimse")

CANCEL_GRACE = 5.0
"""Seconds that a C-CANCEL has to take effect before the association is aborted."""

_MEDIUM = 0x0000
_PENDING = (0xFF00, 0xFF01)
_VERIFICATION = "1.2.840.10008.1.1"
_ONE_TEXT = ("LT", "ST", "UR", "UT")
_LOCAL_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")  # by the data set's SpecificCharacterSet
_TEXTS = (*_LOCAL_TEXTS, "AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR")
_UID = re.compile(r"[0-9.]{1,64}")
_TRANSFER_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


_CONTEXTS = tuple(
    Context(number, uid, _TRANSFER_SYNTAXES)
    for number, uid in zip(
        itertools.count(1, 2),
        (
            _VERIFICATION,
            Model.STUDY.find_sop_class,
            Model.STUDY.move_sop_class,
            Model.PATIENT.find_sop_class,
            Model.PATIENT.move_sop_class,
        ),
        strict=False,
    )
)


@dataclass(slots=True)
class MoveEnd:
    """How one C-MOVE came to its end.

    Attributes
    ----------
    ended
        Whether a final response came.
    status_code
        That of the final response.
    counters
        The largest seen in any response.
    failed_uids
        From the Failed SOP Instance UID List (0008,0058), which may be missing or incomplete.
    offending
        OffendingElement (0000,0901) of the final response, such as `(0010,0020)`; empty if it named none.
    lost_by
        How the association ended, if it did.
    why
        The same in words.
    """

    ended: Ended
    status_code: int | None = None
    counters: Counters = field(default_factory=Counters)
    failed_uids: tuple[str, ...] = ()
    offending: str = ""
    lost_by: LostBy | None = None
    why: str = ""


class Association:
    """An association with a node. Constructing it does no I/O; `open` does.

    Parameters
    ----------
    node
        The peer.
    ae_title
        What we call ourselves.
    timeouts
        How long to wait for what.
    """

    def __init__(self, node: Node, ae_title: str, timeouts: Timeouts) -> None:
        self.node = node
        self.ae_title = ae_title
        self.timeouts = timeouts
        self.served = 0
        self._answered: deque[int] = deque(maxlen=64)
        self._waker = Waker()
        self._connection: Connection | None = None
        self._by_sop_class: dict[str, Context] = {}
        self._cancelled_at: float | None = None
        self._killed = False

    # --- life

    def open(self) -> None:
        """Connect and negotiate.

        Raises
        ------
        NodeUnreachable, AssociationRejected, AssociationLost, ProtocolError
            If the association does not come about.
        """
        begun = time.monotonic()
        sock = connect(self.node, self.timeouts.connect, self._waker, self._unless_stopped)
        connection = Connection(sock, self._waker)
        limit = None if self.timeouts.acse is None else time.monotonic() + self.timeouts.acse
        try:
            request_association(
                connection, self.node, self.ae_title, _CONTEXTS, lambda: _earliest(limit, self._unless_stopped())
            )
        except BaseException as error:
            connection.close()
            if isinstance(error, AssociationLost) and error.by is LostBy.TIMEOUT and not self.is_stopping:
                message = f"{self.node} did not answer the association request within {self.timeouts.acse:g} s"
                raise AssociationLost(message, LostBy.TIMEOUT) from error
            if isinstance(error, ProtocolError):
                said = f"what listens at {self.node} does not answer in DICOM ({error})"
                raise ProtocolError(f"{said}; check host and port") from error
            raise
        self._connection = connection
        self._by_sop_class = {context.abstract_syntax: context for context in connection.contexts.values()}
        logger.info(
            "association %s -> %s accepted in %.3f s, %d of %d presentation contexts, maximum PDU %d",
            self.ae_title,
            self.node,
            time.monotonic() - begun,
            len(self._by_sop_class),
            len(_CONTEXTS),
            connection.peer_max_pdu,
        )

    @property
    def is_open(self) -> bool:
        """False once the association has ended."""
        return self._connection is not None and self._connection.open

    @property
    def local_address(self) -> str:
        """The address of this machine as the peer sees it, empty while there is no connection."""
        try:
            return str(self._wire.sock.getsockname()[0]) if self.is_open else ""
        except OSError:
            return ""

    @property
    def is_stopping(self) -> bool:
        """True once somebody has asked to cancel or to kill it; it is not used again."""
        return self._killed or self._cancelled_at is not None

    def is_usable(self) -> bool:
        """Tell, without waiting, whether the next request may go out on it."""
        if self._connection is not None and self._connection.open and self._connection.is_stale():
            logger.info("association with %s was ended by the peer while idle", self.node)
            self._connection.close()
        return self.is_open and not self.is_stopping

    def cancel(self) -> None:
        """Cancel what is going on, from any thread: C-CANCEL, and abort if that has no effect."""
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
        self._waker.wake()

    def kill(self) -> None:
        """End what is going on at once, from any thread."""
        self._killed = True
        self._waker.wake()

    def release(self) -> None:
        """Release the association, or abort it if the peer does not answer; by its owner, never raises."""
        if self._connection is not None and self._connection.open:
            # A peer that does not answer a release is no reason to keep anybody waiting.
            self._connection.release(min(self.timeouts.acse or 5.0, 5.0))
            logger.info("association with %s released", self.node)
        self._waker.close()

    def _unless_stopped(self) -> float | None:
        return 0.0 if self.is_stopping else None

    @property
    def _wire(self) -> Connection:
        assert self._connection is not None, "open() comes first"
        return self._connection

    # --- services

    def echo(self, message_id: int) -> None:
        """Verify that the peer answers (C-ECHO, PS3.4 Annex A).

        Raises
        ------
        QueryRefused, ContextRejected, AssociationLost, ProtocolError
        """
        context = self._context(_VERIFICATION)
        self._send(context, {"CommandField": cs.C_ECHO_RQ, "MessageID": message_id})
        answer = self._answer(context, cs.C_ECHO_RQ, message_id, _Wait(self, fallback=self.timeouts.acse))
        status = _status(answer)
        if status != SUCCESS:
            raise QueryRefused(f"{self.node} answered C-ECHO with {describe(status)}", status)

    def find(
        self, identifier: Dataset, model: Model, message_id: int, *, limit: int | None = None
    ) -> Iterator[Dataset]:
        """Yield the matches of a C-FIND as they come (PS3.4 section C.4.1).

        After `limit` matches the archive is asked to stop (C-CANCEL); what it sends all the same is passed over.
        Leaving the iterator early aborts the association.

        Raises
        ------
        QueryRefused
            If the final status is not Success: an empty answer is never a refused one.
        ContextRejected, AssociationLost, ProtocolError
        """
        context = self._context(model.find_sop_class)
        done = False
        try:
            self._send(
                context,
                {"CommandField": cs.C_FIND_RQ, "MessageID": message_id, "Priority": _MEDIUM},
                _encode(identifier, context),
            )
            wait = _Wait(self, context, message_id)
            for seen in itertools.count(1):
                try:
                    answer = self._answer(context, cs.C_FIND_RQ, message_id, wait)
                except AssociationLost as error:
                    raise AssociationLost(wait.explain(error), error.by) from error
                status = _status(answer)
                if status not in _PENDING:
                    done = True
                    break
                if limit is None or seen <= limit:
                    yield _decode(answer.data, context)
                if seen == limit:
                    self._send_cancel(context, message_id)
        finally:
            if not done:
                self._wire.abort()
        if status == CANCELLED and limit is not None and seen > limit and not self.is_stopping:
            return
        if status == CANCELLED and self.is_stopping:
            raise QueryRefused(f"{self.node}: the C-FIND was cancelled", status)
        if status == CANCELLED:
            why = "as if somebody had cancelled it: more matches than it answers at once, with some archives"
            raise QueryRefused(f"{self.node} ended the C-FIND {why}", status)
        if status != SUCCESS:
            raise QueryRefused(f"{self.node} refused the C-FIND with {describe(status)}", status)

    def move(
        self,
        identifier: Dataset,
        model: Model,
        destination: str,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None] = lambda _: None,
        last_arrival: Callable[[], float] | None = None,
    ) -> MoveEnd:
        """Send a C-MOVE and read to its end (PS3.4 section C.4.2); what the peer does never raises.

        Parameters
        ----------
        identifier
            Unique keys only.
        destination
            AE title of the Move Destination.
        on_progress
            Called with the largest counters seen, after each response.
        last_arrival
            The `time.monotonic()` of the last sign of life on our own receiver, if we receive; holds off the deadlines.

        Raises
        ------
        ContextRejected
            If the peer does not offer C-MOVE in this model; nothing was sent.
        """
        context = self._context(model.move_sop_class)
        counters = Counters()
        wait = _Wait(self, context, message_id, last_arrival=last_arrival, is_move=True)
        try:
            self._send(
                context,
                {
                    "CommandField": cs.C_MOVE_RQ,
                    "MessageID": message_id,
                    "Priority": _MEDIUM,
                    "MoveDestination": destination,
                },
                _encode(identifier, context),
            )
            while True:
                answer = self._answer(context, cs.C_MOVE_RQ, message_id, wait)
                earlier, counters = counters, counters.merge(_counters(answer))
                if counters != earlier:
                    wait.has_moved()
                on_progress(counters)
                status = _status(answer)
                if status not in _PENDING:
                    return MoveEnd(Ended.ANSWERED, status, counters, _failed_uids(answer, context), _offending(answer))
        except (AssociationLost, ProtocolError) as error:
            if isinstance(error, AssociationLost) and self.is_stopping:
                return MoveEnd(Ended.CANCELLED, None, counters, why="cancelled; the archive did not confirm it")
            by = error.by if isinstance(error, AssociationLost) else None
            return MoveEnd(Ended.LOST, None, counters, lost_by=by, why=wait.explain(error))

    # --- messages

    def offers(self, sop_class: str) -> None:
        """See that the peer offers a service; raises ContextRejected."""
        self._context(sop_class)

    def _context(self, sop_class: str) -> Context:
        context = self._by_sop_class.get(sop_class)
        if context is None:
            name = _SERVICE_NAMES[sop_class]
            raise ContextRejected(
                f"{self.node} accepted the association, but does not offer {name} to {self.ae_title!r}; "
                "try the other model, or ask its administrator to allow it"
            )
        return context

    def _send(self, context: Context, command: cs.Command, data: bytes = b"") -> None:
        full: cs.Command = {
            "AffectedSOPClassUID": context.abstract_syntax,
            "CommandDataSetType": cs.WITH_DATA_SET if data else cs.NO_DATA_SET,
            **command,
        }
        logger.debug("send %s, %d bytes of identifier", full, len(data))
        self._wire.send_message(context.id, full, data)

    def _send_cancel(self, context: Context, message_id: int) -> None:
        logger.info("C-CANCEL to %s", self.node)
        command: cs.Command = {
            "CommandField": cs.C_CANCEL_RQ,
            "MessageIDBeingRespondedTo": message_id,
            "CommandDataSetType": cs.NO_DATA_SET,
        }
        self._wire.send_message(context.id, command)

    def _answer(self, context: Context, request: int, message_id: int, wait: _Wait) -> Message:
        wait.begin()
        self.served += 1
        while True:
            message = self._wire.read_message(wait)
            command = message.command
            logger.debug("received %s, %d bytes of identifier", _loggable(command), len(message.data))
            if command.get("MessageIDBeingRespondedTo") not in self._answered or message_id in self._answered:
                break  # else it belongs to a request that had its final response already
        if command.get("CommandField") != request | cs.RESPONSE or "Status" not in command:
            raise self._wire.broken("a message that is no answer to our request", reason=2)
        if command.get("MessageIDBeingRespondedTo") != message_id:
            raise self._wire.broken("the answer to another message than ours", reason=2)
        if message.context_id != context.id:
            raise self._wire.broken("an answer in another presentation context", reason=2)
        if _status(message) not in _PENDING:
            self._answered.append(message_id)
        return message


_SERVICE_NAMES = {
    _VERIFICATION: "C-ECHO",
    **{model.find_sop_class: f"C-FIND ({model.title})" for model in Model},
    **{model.move_sop_class: f"C-MOVE ({model.title})" for model in Model},
}


class _Wait:
    """How long to wait for the next response; also the place where a cancel goes out, on the owner's thread."""

    def __init__(
        self,
        association: Association,
        context: Context | None = None,
        message_id: int = 0,
        *,
        last_arrival: Callable[[], float] | None = None,
        fallback: float | None = None,
        is_move: bool = False,
    ) -> None:
        timeouts = association.timeouts
        self._association = association
        self._context = context
        self._message_id = message_id
        self._stall = timeouts.stall
        self._progress, self._total = (timeouts.progress, timeouts.total) if is_move else (None, None)
        self._last_arrival = last_arrival
        self._can_tell = last_arrival is not None  # whether anything moves
        self._dimse = timeouts.dimse or fallback
        self._started = self._moved = self._begun = time.monotonic()
        self._cancel_sent = False

    def begin(self) -> None:
        self._begun = time.monotonic()

    def has_moved(self) -> None:
        self._can_tell = True
        self._moved = time.monotonic()

    def __call__(self) -> float | None:
        if self._association._killed:
            return 0.0
        cancelled_at = self._association._cancelled_at
        if cancelled_at is not None:
            if self._context is None:
                return 0.0
            if not self._cancel_sent:
                self._cancel_sent = True
                self._association._send_cancel(self._context, self._message_id)
            return cancelled_at + CANCEL_GRACE
        return min((moment for moment, _ in self._limits()), default=None)

    def _limits(self) -> Iterator[tuple[float, str]]:
        """Yield until when it is waited, and what has not happened by then."""
        arrived = 0.0 if self._last_arrival is None else self._last_arrival()
        if self._dimse is not None:
            yield self._begun + self._dimse, f"no response for {self._dimse:g} s (the dimse timeout)"
        if self._stall is not None:
            said = f"no response and no arrival for {self._stall:g} s (the stall timeout)"
            yield max(self._begun, arrived) + self._stall, said
        if self._progress is not None and self._can_tell:
            said = f"the archive answers, but nothing has moved for {self._progress:g} s (the progress timeout)"
            yield max(self._moved, arrived) + self._progress, said
        if self._total is not None:
            yield self._started + self._total, f"not at its end after {self._total:g} s (the total timeout)"

    def explain(self, error: AssociationLost | ProtocolError) -> str:
        if isinstance(error, AssociationLost) and error.by is LostBy.TIMEOUT:
            return min(self._limits(), default=(0.0, str(error)))[1]
        return str(error)


def _earliest(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _status(message: Message) -> int:
    return int(message.command["Status"])


def _offending(message: Message) -> str:
    tag = message.command.get("OffendingElement")
    return "" if tag is None else f"({int(tag) >> 16:04X},{int(tag) & 0xFFFF:04X})"


def _loggable(command: cs.Command) -> cs.Command:
    """Leave out what the peer writes in its own words: it may name a patient."""
    return {keyword: value for keyword, value in command.items() if keyword != "ErrorComment"}


def _counters(message: Message) -> Counters:
    def number(kind: str) -> int | None:
        value = message.command.get(f"NumberOf{kind}Suboperations")
        return None if value is None else int(value)

    return Counters(number("Completed"), number("Failed"), number("Warning"), number("Remaining"))


def _failed_uids(message: Message, context: Context) -> tuple[str, ...]:
    if not message.data:
        return ()
    try:
        value = _decode(message.data, context).get("FailedSOPInstanceUIDList")
    except ProtocolError:
        return ()
    values = [value] if isinstance(value, str) else value or ()
    return tuple(uid for uid in values if _UID.fullmatch(uid))


def _encode(identifier: Dataset, context: Context) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = context.transfer_syntaxes[0] == ImplicitVRLittleEndian
    write_dataset(buffer, identifier)
    return buffer.getvalue()


def _decode(data: bytes, context: Context) -> Dataset:
    """Read an identifier; its texts become `str`, several values a list of them.

    pydicom would check each value when somebody looks at it, and put what it does not like, which may be a
    patient's birth date, into warnings and logs; or raise.
    """
    implicit = context.transfer_syntaxes[0] == ImplicitVRLittleEndian
    try:
        dataset = read_dataset(BytesIO(data), implicit, True, bytelength=len(data))
        encodings = _encodings(dataset)
        for tag in list(dataset.keys()):
            element = dataset.get_item(tag)
            if not isinstance(element, RawDataElement):
                continue
            vr = element.VR or (dictionary_VR(tag) if dictionary_has_tag(tag) else "UN")
            if vr in _TEXTS:
                text = decode_bytes(element.value or b"", encodings if vr in _LOCAL_TEXTS else ["iso8859"], set())
                values = [part.strip(" \0") for part in (text.split("\\") if vr not in _ONE_TEXT else [text])]
                value = values[0] if len(values) == 1 else values
                dataset[tag] = DataElement(tag, vr, value, already_converted=True)
        return dataset
    except Exception as error:
        raise ProtocolError("the peer sent an identifier that cannot be read") from error


def _encodings(dataset: Dataset) -> list[str]:
    element = dataset.get_item("SpecificCharacterSet") if "SpecificCharacterSet" in dataset else None
    names = bytes(element.value or b"").decode("ascii", "replace").split("\\") if element is not None else [""]
    with contextlib.suppress(Exception):  # a character set that nobody knows
        return convert_encodings([name.strip(" \0") for name in names])
    return ["iso8859"]
