"""A scripted archive that serves C-GET on loopback, and a retriever of ours with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dicomover.events import Admission
from dicomover.identifier import Level, Model, query_dataset
from dicomover.node import Node, Timeouts
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.responses import MoveEnd
from receiver_kit import CT, EXPLICIT, IMPLICIT, STUDY, Run, command, data_set, pdu, pdv
from wire_kit import answer, counts

PAIRS = ((CT, EXPLICIT), (CT, IMPLICIT))
STORING, IN_IMPLICIT = 5, 7
"""The contexts of the pairs: those of the two models come before."""

FINAL, PENDING, WARNING = 0x0000, 0xFF00, 0xB000
HASTY = Timeouts(connect=5, acse=5, stall=5)

Script = Callable[[Connection, Message], None]


def store(
    connection: Connection, sop: str, data: bytes | None = None, *, context_id: int = STORING, chunk: int = 1 << 14
) -> int:
    """Store an instance on the association of the one who asks; return the status that it answers."""
    pour(connection, sop, data_set(sop) if data is None else data, context_id=context_id, chunk=chunk)
    return read_status(connection)


def pour(
    connection: Connection,
    sop: str,
    data: bytes,
    *,
    context_id: int = STORING,
    chunk: int = 1 << 14,
    to_the_end: bool = True,
) -> None:
    """Send a C-STORE-RQ and its data set, or the beginning of one, in PDUs of so many bytes."""
    connection.send(pdu(pdv(context_id, 3, command(sop))))
    for start in range(0, max(len(data), 1), chunk):
        is_last = to_the_end and start + chunk >= len(data)
        connection.send(pdu(pdv(context_id, 2 if is_last else 0, data[start : start + chunk])))


def read_status(connection: Connection) -> int:
    """Return the status of the next C-STORE-RSP."""
    message = connection.read_message()
    assert message.command["CommandField"] == 0x8001, message.command
    return int(message.command["Status"])


def give(count: int) -> Script:
    """Return a script that stores so many instances, each followed by a pending response, and ends with success."""

    def script(connection: Connection, request: Message) -> None:
        for number in range(1, count + 1):
            assert store(connection, f"1.2.3.{number}") == 0
            answer(connection, request, PENDING, **counts(number, remaining=count - number))
        answer(connection, request, FINAL, **counts(count))

    return script


@contextmanager
def retriever(
    run: Run, node: Node, timeouts: Timeouts = HASTY, pairs: Sequence[tuple[str, str]] = PAIRS, admits: bool = True
) -> Iterator[Any]:
    """Open a retriever of a receiver that lets in what the study has, and release it in the end."""
    if admits:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
    one = run.receiver.retriever(node, "TESTER", timeouts, pairs)
    try:
        one.open()
        yield one
    finally:
        one.release()


def get(one: Any, message_id: int = 7, model: Model = Model.STUDY, **how: Any) -> MoveEnd:
    """Get the study."""
    end = one.get(query_dataset(Level.STUDY, {"StudyInstanceUID": STUDY}), model, message_id, **how)
    assert isinstance(end, MoveEnd)
    return end
