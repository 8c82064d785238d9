"""One connection: PDUs in pieces, PDUs that are none, and how a peer leaves."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from dicomover.errors import (
    LostBy,
    ProtocolError,
)
from dicomover.identifier import Level, Model, query_dataset
from dicomover.outcome import Ended
from dicomover.testing._server import silence
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.negotiation import parse_request
from dicomover.wire.pdus import ABORT, P_DATA, PDU_HEAD, RELEASE_RP, RELEASE_RQ
from wire_kit import (
    NEVER,
    SHORT,
    accept,
    answer,
    associated,
    counts,
    listening,
    move,
    pdu,
    peer,
)


def test_tcp_nodelay_is_set() -> None:
    """Nagle is off, or every request would cost 40 ms."""
    with peer(lambda connection, message: answer(connection, message, 0)) as node, associated(node) as association:
        sock = association._wire.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_pdu_is_longer_than_the_peer_allows() -> None:
    """A long identifier is cut into PDUs of the size that the peer named, and arrives whole."""
    uids = [f"1.2.3.{number}" for number in range(3000)]
    identifier = query_dataset(Level.STUDY, {"StudyInstanceUID": "\\".join(uids)})
    sizes: list[int] = []
    seen: list[bytes] = []

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1]), max_pdu=4096))
        read = connection.read_pdu

        def noted(*until: object) -> tuple[int, memoryview]:
            kind, body = read(*until)  # type: ignore[arg-type]
            sizes.append(len(body))
            return kind, body

        connection.read_pdu = noted  # type: ignore[method-assign]
        message = connection.read_message()
        seen.append(message.data)
        answer(connection, message, 0x0000, **counts(1))
        connection.read_message()

    with listening(serve) as node, associated(node) as association:
        end = association.move(identifier, Model.STUDY, "DEST", 1)
    assert end.status_code == 0
    assert max(sizes) <= 4096
    assert seen[0].count(b"1.2.3.") == 3000


def test_byte_at_a_time() -> None:
    """An acceptance and responses that come byte by byte are read like any other."""

    def serve(connection: Connection) -> None:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        acceptance = accept(connection, parse_request(connection.read_pdu()[1]))
        for number in range(len(acceptance)):
            connection.send(acceptance[number : number + 1])
        message = connection.read_message()
        raw = pdu(message, 0xFF00, **counts(1, remaining=1)) + pdu(message, 0x0000, **counts(2))
        for number in range(len(raw)):
            connection.send(raw[number : number + 1])
        connection.read_message()

    with listening(serve) as node, associated(node) as association:
        end = move(association)
    assert (end.ended, end.status_code, end.counters.completed) == (Ended.ANSWERED, 0, 2)


def test_half_a_pdu_then_silence() -> None:
    """Half a response and then nothing ends at the stall deadline."""

    def script(connection: Connection, message: Message) -> None:
        connection.send(pdu(message, 0x0000)[:20])
        silence(connection)

    with peer(script) as node, associated(node) as association:
        end = move(association)
        assert (end.ended, end.lost_by) == (Ended.LOST, LostBy.TIMEOUT)
        assert end.why == "no response and no arrival for 0.4 s (the stall timeout)"
        assert not association.is_open


def test_half_a_pdu_is_bounded_without_any_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PDU that has begun must end, even where no time-out was asked for."""
    monkeypatch.setattr("dicomover.wire.connection._PDU_SECONDS", 0.3)

    def script(connection: Connection, message: Message) -> None:
        connection.send(pdu(message, 0x0000)[:20])
        silence(connection)

    with peer(script) as node, associated(node, NEVER) as association:
        assert move(association).ended is Ended.LOST


NONSENSE = {
    "oversize": (PDU_HEAD.pack(P_DATA, 0x7FFFFFFF), "a PDU of type 4 and 2147483647 bytes"),
    "unknown-type": (PDU_HEAD.pack(9, 4) + b"\0\0\0\0", "a PDU of type 9"),
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a PDU of type 72"),
    "association-again": (PDU_HEAD.pack(2, 4) + b"\0\0\0\0", "a PDU of type 2 where a message was due"),
    "empty-value": (PDU_HEAD.pack(P_DATA, 6) + struct.pack(">LBB", 0, 1, 3), "a presentation data value of 0 bytes"),
    "long-value": (PDU_HEAD.pack(P_DATA, 6) + struct.pack(">LBB", 99, 1, 3), "a presentation data value of 99 bytes"),
    "short-value": (PDU_HEAD.pack(P_DATA, 3) + b"\0\0\0", "a presentation data value that ends early"),
    "data-first": (PDU_HEAD.pack(P_DATA, 7) + struct.pack(">LBBB", 3, 1, 2, 0), "parts of a message out of order"),
    "no-command": (PDU_HEAD.pack(P_DATA, 9) + struct.pack(">LBBBH", 5, 1, 3, 8, 0), "a command set that cannot be"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_answered_by_abort(name: str) -> None:
    """What the Standard does not allow ends the association at once, with A-ABORT and a sentence."""
    raw, sentence = NONSENSE[name]
    told: list[int] = []

    def script(connection: Connection, message: Message) -> None:
        connection.send(raw)
        told.append(connection.read_pdu()[0])

    with peer(script) as node, associated(node, NEVER) as association:
        end = move(association)
    assert (end.ended, end.lost_by) == (Ended.LOST, None)
    assert sentence in end.why
    assert told == [ABORT]


@pytest.mark.parametrize("how", ["abort", "close", "release"])
def test_the_peer_leaves_in_the_middle(how: str) -> None:
    """A-ABORT, a closed connection and A-RELEASE in the middle are told apart; what was counted stays."""
    answered: list[int] = []

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, **counts(1, remaining=2))
        if how == "abort":
            connection.abort(source=2)
        elif how == "close":
            connection.close()
        else:
            connection.send(PDU_HEAD.pack(RELEASE_RQ, 4) + bytes(4))
            answered.append(connection.read_pdu()[0])

    by = {"abort": LostBy.ABORT, "close": LostBy.CLOSED, "release": LostBy.RELEASE}[how]
    with peer(script) as node, associated(node, NEVER) as association:
        end = move(association)
        assert not association.is_usable()
    assert (end.ended, end.lost_by, end.counters.completed) == (Ended.LOST, by, 1)
    assert answered == ([RELEASE_RP] if how == "release" else [])


def test_an_idle_association_that_the_peer_has_left() -> None:
    """An idle association that has ended is noticed before the next request goes out."""
    gone = threading.Event()

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0)
        connection.abort(source=2)
        gone.set()

    with peer(script) as node, associated(node) as association:
        association.echo(1)
        assert gone.wait(5)
        limit = time.monotonic() + 5
        while association.is_usable() and time.monotonic() < limit:
            time.sleep(0.01)
        assert not association.is_usable()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (bytes.fromhex("15030300020246"), "this is TLS"),
        (bytes.fromhex("16030100050100000100"), "this is TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "this is SSH"),
    ],
)
def test_what_else_listens_is_named(raw: bytes, name: str) -> None:
    """A peer that speaks another protocol is told by its name, with the node and what to check."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(raw)
        connection.read_pdu()

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        with pytest.raises(ProtocolError, match=name) as caught:
            association.open()
        association.release()
    assert str(node) in str(caught.value)
    assert "check host and port" in str(caught.value)
