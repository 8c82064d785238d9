"""A bare SCU for the tests of the demo archive, and an archive with two studies for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dicomover.errors import AssociationLost, ProtocolError
from dicomover.node import Node
from dicomover.testing import DemoPacs, made_study
from dicomover.testing._elements import decode, encode
from dicomover.wire.command_set import (
    C_CANCEL_RQ,
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    NO_DATA_SET,
    RESPONSE,
    WITH_DATA_SET,
    Command,
)
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import encode_accept, parse_request, request_association
from dicomover.wire.transport import connect

EXPLICIT = "1.2.840.10008.1.2.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
SCP, BOTH, NEITHER = (False, True), (True, True), (False, False)
"""Roles, as a requester proposes them for itself."""
ACCESSION = "A-17"


@dataclass
class Seen:
    """What came back for one request, and how the association ended, if it did."""

    pending: list[Command] = field(default_factory=list)
    answers: list[dict[str, str]] = field(default_factory=list)
    stored: list[Message] = field(default_factory=list)
    final: Command | None = None
    identifier: dict[str, str] = field(default_factory=dict)
    ended: str = ""
    seconds: float = 0.0

    @property
    def status(self) -> int | None:
        """The final status."""
        return None if self.final is None else int(self.final["Status"])

    @property
    def counters(self) -> tuple[int | str | None, ...]:
        """Completed, failed and warning, as in the final response."""
        assert self.final is not None
        return tuple(self.final.get(f"NumberOf{name}Suboperations") for name in ("Completed", "Failed", "Warning"))

    @property
    def listed(self) -> int:
        """The length of the Failed SOP Instance UID List."""
        value = self.identifier.get("FailedSOPInstanceUIDList", "")
        return len(value.split("\\")) if value else 0


class Client:
    """A bare SCU over one association, which takes images too: `stored` is the pairs that it proposes for them."""

    def __init__(
        self,
        pacs: DemoPacs,
        seconds: float = 10.0,
        stored: Sequence[tuple[str, str]] = ((CT, EXPLICIT),),
        roles: tuple[bool, bool] = SCP,
        answer: Callable[[Message], int] = lambda _: 0,
    ) -> None:
        self.connection = Connection(connect(pacs.node, 5))
        pairs = ((FIND, EXPLICIT), (MOVE, EXPLICIT), (GET, EXPLICIT), *stored)
        contexts = [Context(2 * n + 1, sop_class, (syntax,)) for n, (sop_class, syntax) in enumerate(pairs)]
        limit = time.monotonic() + seconds
        proposed = {sop_class: roles for sop_class, _ in stored if roles != NEITHER}
        request_association(self.connection, pacs.node, "TESTER", contexts, lambda: limit, proposed)
        self.answer = answer
        self.message_id = 6

    def cancel(self) -> None:
        """Cancel the request that was sent last."""
        self.connection.send_message(
            3,
            {
                "CommandField": C_CANCEL_RQ,
                "MessageIDBeingRespondedTo": self.message_id,
                "CommandDataSetType": NO_DATA_SET,
            },
        )

    def ask(
        self, kind: int, keys: Mapping[str, str], *, cancel_after: int | None = None, seconds: float = 10.0
    ) -> Seen:
        """Send a request and read to its final response or to the end of the association."""
        self.send(kind, keys)
        return self.read(cancel_after=cancel_after, seconds=seconds)

    def send(self, kind: int, keys: Mapping[str, str]) -> None:
        """Send a request."""
        self.message_id += 1
        context_id, sop_class = {C_FIND_RQ: (1, FIND), C_GET_RQ: (5, GET)}.get(kind, (3, MOVE))
        command: dict[str, int | str] = {
            "AffectedSOPClassUID": sop_class,
            "CommandField": kind,
            "MessageID": self.message_id,
            "Priority": 0,
            "CommandDataSetType": WITH_DATA_SET,
        }
        if kind == C_MOVE_RQ:
            command["MoveDestination"] = "WORKSTATION"
        self.connection.send_message(context_id, command, encode(keys, EXPLICIT))

    def read(self, *, cancel_after: int | None = None, seconds: float = 10.0) -> Seen:
        """Read responses to the final one."""
        seen, begun = Seen(), time.monotonic()
        if cancel_after == 0:
            self.cancel()
        try:
            while seen.final is None:
                message = self.connection.read_message(lambda: begun + seconds)
                if message.command["CommandField"] == C_STORE_RQ:
                    self._take(message)
                    seen.stored.append(message)
                    continue
                seen.identifier = decode(message.data, EXPLICIT)
                if message.command["Status"] in (0xFF00, 0xFF01):
                    seen.pending.append(message.command)
                    seen.answers.append(seen.identifier)
                    if len(seen.pending) == cancel_after:
                        self.cancel()
                else:
                    seen.final = message.command
        except AssociationLost as lost:
            seen.ended = str(lost.by)
        except ProtocolError:
            seen.ended = "protocol"
        seen.seconds = time.monotonic() - begun
        return seen

    def read_store(self) -> Message:
        """Take an image that comes when no request is open."""
        message = self.connection.read_message()
        self._take(message)
        return message

    def _take(self, message: Message) -> None:
        answer: Command = {
            "AffectedSOPClassUID": message.command["AffectedSOPClassUID"],
            "CommandField": C_STORE_RQ | RESPONSE,
            "MessageIDBeingRespondedTo": message.command["MessageID"],
            "CommandDataSetType": NO_DATA_SET,
            "Status": self.answer(message),
            "AffectedSOPInstanceUID": message.command["AffectedSOPInstanceUID"],
        }
        self.connection.send_message(message.context_id, answer)

    def close(self) -> None:
        """Release, without much patience."""
        self.connection.release(1.0)


@contextmanager
def archive(misbehave: object = None, **settings: object) -> Iterator[DemoPacs]:
    """Run an archive with one study of four instances and another one, and hold that nothing is left of it."""
    studies = [made_study(ACCESSION, series=2, instances=2), made_study("B-1", instances=2)]
    before = set(threading.enumerate())
    with DemoPacs(studies, misbehave={ACCESSION: misbehave} if misbehave else {}, **settings) as pacs:  # type: ignore[arg-type, dict-item]
        yield pacs
        begun = time.monotonic()
    assert time.monotonic() - begun < 2, "close is prompt"
    assert set(threading.enumerate()) <= before, "no thread is left"


@contextmanager
def client_of(pacs: DemoPacs, **how: Any) -> Iterator[Client]:
    """Associate, and release in the end."""
    client = Client(pacs, **how)
    try:
        yield client
    finally:
        client.close()


def move_keys(pacs: DemoPacs, accession: str = ACCESSION) -> dict[str, str]:
    """Return the identifier of a study."""
    return {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": pacs.study(accession).study_instance_uid}


def make_request() -> bytes:
    """Return an A-ASSOCIATE-RQ with one context, as it should be."""
    sent: list[bytes] = []

    class Silent(Connection):
        def send(self, raw: bytes | bytearray | memoryview, seconds: float = 0.0) -> None:
            sent.append(bytes(raw))

    ours, theirs = socket.socketpair()
    theirs.close()
    with suppress(AssociationLost):
        request_association(
            Silent(ours), Node("127.0.0.1", 104, ae_title="WORKSTATION"), "TESTER", [Context(1, MOVE, (EXPLICIT,))]
        )
    return sent[0]


def make_acceptance(*, accepted: bool = True) -> bytes:
    """Return an A-ASSOCIATE-AC with one context, as it should be."""
    return encode_accept(parse_request(make_request()[6:]), {1: EXPLICIT} if accepted else {}, 1 << 16)
