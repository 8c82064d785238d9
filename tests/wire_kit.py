"""A peer on loopback that follows a script, and an association of ours with it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dicomover.errors import (
    AssociationLost,
    ProtocolError,
)
from dicomover.identifier import Level, Model, query_dataset
from dicomover.node import Node, Timeouts
from dicomover.testing._server import LoopbackServer
from dicomover.wire import command_set as cs
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import AssociationRequest, encode_accept, parse_request
from dicomover.wire.pdus import P_DATA, PDU_HEAD
from dicomover.wire.responses import MoveEnd

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SHORT = Timeouts(connect=5, acse=5, dimse=None, stall=0.4)
NEVER = Timeouts(connect=None, acse=None, dimse=None, stall=None)
STUDY = query_dataset(Level.STUDY, {"StudyInstanceUID": "1.2.3"})

Script = Callable[[Connection, Message], None]


def accept(
    connection: Connection, request: AssociationRequest, syntax: str = EXPLICIT, max_pdu: int = 1 << 16
) -> bytes:
    """Return an acceptance of everything that offers the transfer syntax."""
    accepted = {item.id: syntax for item in request.contexts}
    connection.contexts = {item.id: Context(item.id, item.abstract_syntax, (syntax,)) for item in request.contexts}
    return encode_accept(request, accepted, max_pdu)


@contextmanager
def listening(serve: Callable[[Connection], None]) -> Iterator[Node]:
    """Run a server that does what it is told with each connection, and keep what it raises."""
    errors: list[BaseException] = []

    def guarded(connection: Connection) -> None:
        try:
            serve(connection)
        except (AssociationLost, ProtocolError):
            pass
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    server = LoopbackServer(guarded, "scripted")
    try:
        yield Node("127.0.0.1", server.port, ae_title="SCRIPTED")
    finally:
        server.close()
    assert not errors, errors


@contextmanager
def peer(script: Script, syntax: str = EXPLICIT, max_pdu: int = 1 << 16) -> Iterator[Node]:
    """Run a peer that accepts an association and follows the script for each message."""

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        connection.send(accept(connection, request, syntax, max_pdu))
        while True:
            script(connection, connection.read_message())

    with listening(serve) as node:
        yield node


@contextmanager
def associated(node: Node, timeouts: Timeouts = SHORT) -> Iterator[Association]:
    """Open an association, and release it in the end."""
    association = Association(node, "TESTER", timeouts)
    try:
        association.open()
        yield association
    finally:
        association.release()


def response(message: Message, status: int, data: bytes = b"", **extra: int | str) -> cs.Command:
    """Return the command set of a response."""
    return {
        "AffectedSOPClassUID": str(message.command.get("AffectedSOPClassUID", "")),
        "CommandField": int(message.command["CommandField"]) | cs.RESPONSE,
        "MessageIDBeingRespondedTo": int(message.command.get("MessageID", 0)),
        "CommandDataSetType": cs.WITH_DATA_SET if data else cs.NO_DATA_SET,
        "Status": status,
        **extra,
    }


def answer(connection: Connection, message: Message, status: int, data: bytes = b"", **extra: int | str) -> None:
    """Send a response."""
    connection.send_message(message.context_id, response(message, status, data, **extra), data)


def pdu(message: Message, status: int, **extra: int | str) -> bytes:
    """Return a response as one P-DATA-TF PDU."""
    body = cs.encode(response(message, status, **extra))
    item = struct.pack(">LBB", len(body) + 2, message.context_id, 3) + body
    return PDU_HEAD.pack(P_DATA, len(item)) + item


def pour(connection: Connection, raw: bytes) -> None:
    """Send the same bytes for ever, faster than anybody reads them."""
    block = raw * max((1 << 18) // len(raw), 1)
    while True:
        connection.send(block)


def move(association: Association, message_id: int = 7, **how: object) -> MoveEnd:
    """Move a study."""
    return association.move(STUDY, Model.STUDY, "DEST", message_id, **how)  # type: ignore[arg-type]


def counts(completed: int, failed: int = 0, warning: int = 0, remaining: int | None = None) -> dict[str, int]:
    """Return the counters of a response."""
    numbers = {"Completed": completed, "Failed": failed, "Warning": warning, "Remaining": remaining}
    return {f"NumberOf{kind}Suboperations": value for kind, value in numbers.items() if value is not None}


@contextmanager
def in_a_thread(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run something beside; in the end it must have ended by itself."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    yield results
    thread.join(10)
    assert not thread.is_alive(), "it did not end"
