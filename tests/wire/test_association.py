"""The wire against scripted sockets: whatever the peer does, an answer or a named end comes, and comes in time."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pydicom import Dataset

from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ContextRejected,
    LostBy,
    NodeUnreachable,
    ProtocolError,
    QueryRefused,
)
from dicomover.identifier import Level, Model, query_dataset
from dicomover.node import Node, Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.testing._elements import encode
from dicomover.testing._server import LoopbackServer, silence
from dicomover.wire import command_set as cs
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import AssociationRequest, encode_accept, encode_reject, parse_request
from dicomover.wire.pdus import ABORT, P_DATA, PDU_HEAD, RELEASE_RP, RELEASE_RQ
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


def move(association: Association, message_id: int = 7, **how: object) -> MoveEnd:
    """Move a study."""
    return association.move(STUDY, Model.STUDY, "DEST", message_id, **how)  # type: ignore[arg-type]


def counts(completed: int, failed: int = 0, warning: int = 0, remaining: int | None = None) -> dict[str, int]:
    """Return the counters of a response."""
    numbers = {"Completed": completed, "Failed": failed, "Warning": warning, "Remaining": remaining}
    return {f"NumberOf{kind}Suboperations": value for kind, value in numbers.items() if value is not None}


# --- what goes out


def test_what_a_move_sends() -> None:
    """A C-MOVE-RQ carries its own Message ID, priority MEDIUM, the destination, and the unique keys only."""
    seen: list[Message] = []

    def script(connection: Connection, message: Message) -> None:
        seen.append(message)
        answer(connection, message, 0x0000, **counts(1))

    with peer(script) as node, associated(node) as association:
        assert move(association, 4711).status_code == 0
    (message,) = seen
    assert message.command["MessageID"] == 4711
    assert message.command["Priority"] == 0x0000
    assert message.command["MoveDestination"] == "DEST"
    assert message.data == encode({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}, EXPLICIT)


def test_implicit_vr_if_the_peer_wants_it() -> None:
    """An identifier goes out in the transfer syntax that the peer chose."""
    seen: list[bytes] = []

    def script(connection: Connection, message: Message) -> None:
        seen.append(message.data)
        answer(connection, message, 0x0000, **counts(1))

    with peer(script, IMPLICIT) as node, associated(node) as association:
        move(association)
    assert seen == [encode({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}, IMPLICIT)]


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


def test_tcp_nodelay_is_set() -> None:
    """Nagle is off, or every request would cost 40 ms."""
    with peer(lambda connection, message: answer(connection, message, 0)) as node, associated(node) as association:
        sock = association._wire.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_constructing_does_no_io() -> None:
    """An Association that is only constructed connects to nobody, and can be released."""
    connections: list[object] = []
    with listening(connections.append) as node:
        Association(node, "TESTER", SHORT).release()
    assert not connections


# --- what comes in


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


def test_a_response_in_many_pieces() -> None:
    """A command set and an identifier that are spread over many values and PDUs are put together."""

    def script(connection: Connection, message: Message) -> None:
        data = encode({"FailedSOPInstanceUIDList": "1.2.3.4\\1.2.3.5"}, EXPLICIT)
        parts = [(1, cs.encode(response(message, 0xB000, data, **counts(1, failed=2)))), (0, data)]
        for is_command, part in parts:
            for at in range(0, len(part), 7):
                last = 2 if at + 7 >= len(part) else 0
                piece = part[at : at + 7]
                item = struct.pack(">LBB", len(piece) + 2, message.context_id, is_command | last) + piece
                connection.send(PDU_HEAD.pack(P_DATA, len(item)) + item)

    with peer(script) as node, associated(node) as association:
        end = move(association)
    assert end.status_code == 0xB000
    assert end.failed_uids == ("1.2.3.4", "1.2.3.5")


def test_the_largest_counters_stand() -> None:
    """Counters keep the largest number seen, and are unknown, not zero, where none came."""
    progress: list[Counters] = []

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00)
        answer(connection, message, 0xFF00, **counts(3, failed=1, remaining=2))
        answer(connection, message, 0xC000, **counts(0))

    with peer(script) as node, associated(node) as association:
        end = move(association, on_progress=progress.append)
    assert progress[0] == Counters()
    assert end.counters == Counters(3, 1, 0, 2), "what was announced is accounted for by nothing since"


@pytest.mark.parametrize(
    ("data", "uids"),
    [
        pytest.param(b"", (), id="none"),
        pytest.param(encode({"FailedSOPInstanceUIDList": "1.2.3"}, EXPLICIT), ("1.2.3",), id="one"),
        pytest.param(encode({"FailedSOPInstanceUIDList": ""}, EXPLICIT), (), id="empty"),
        pytest.param(encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT), (), id="another-attribute"),
        pytest.param(b"\x08\x00\x58\x00UI\xff\xff no such length", (), id="broken"),
    ],
)
def test_the_failed_list_may_be_anything(data: bytes, uids: tuple[str, ...]) -> None:
    """A Failed SOP Instance UID List that is missing, empty or broken does not hide the status."""
    with (
        peer(lambda connection, message: answer(connection, message, 0xB000, data, **counts(1, 1))) as node,
        associated(node) as association,
    ):
        end = move(association)
    assert (end.status_code, end.failed_uids) == (0xB000, uids)


def test_a_comment_stays_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """OffendingElement is told, ErrorComment is not even logged: it may name a patient."""
    caplog.set_level(logging.DEBUG)

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xA900, OffendingElement=0x00080050, ErrorComment="Mueller^Canary")

    with peer(script) as node, associated(node) as association:
        end = move(association)
    assert end.offending == "(0008,0050)"
    assert "Canary" not in caplog.text + end.why


def test_a_late_duplicate_is_passed_over() -> None:
    """A final response that comes twice does not answer the next request."""

    def script(connection: Connection, message: Message) -> None:
        if message.command["CommandField"] == cs.C_MOVE_RQ and message.command["MessageID"] == 1:
            answer(connection, message, 0xB000, **counts(1, failed=1))
            answer(connection, message, 0xB000, **counts(1, failed=1))
        else:
            answer(connection, message, 0x0000, **counts(2))

    with peer(script) as node, associated(node) as association:
        assert move(association, 1).status_code == 0xB000
        end = move(association, 2)
        assert (end.status_code, end.counters.completed) == (0, 2)
        association.echo(3)


# --- what must end


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


@pytest.mark.parametrize(
    ("changes", "context_id", "sentence"),
    [
        pytest.param({"MessageIDBeingRespondedTo": 99}, 0, "the answer to another message than ours", id="message-id"),
        pytest.param({}, 2, "an answer in another presentation context", id="context"),
        pytest.param({"CommandField": cs.C_ECHO_RQ | cs.RESPONSE}, 0, "that is no answer to our request", id="command"),
        pytest.param({"CommandField": cs.C_MOVE_RQ}, 0, "that is no answer to our request", id="request"),
    ],
)
def test_an_answer_to_something_else(changes: dict[str, int], context_id: int, sentence: str) -> None:
    """A response to another request, or in another context, is never taken for ours."""

    def script(connection: Connection, message: Message) -> None:
        command = {**response(message, 0x0000, **counts(9)), **changes}
        connection.send_message(message.context_id + context_id, command)
        connection.read_message()

    with peer(script) as node, associated(node, NEVER) as association:
        end = move(association)
    assert end.ended is Ended.LOST
    assert sentence in end.why
    assert end.counters == Counters()


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


# --- deadlines


def test_connect_deadline() -> None:
    """A host that does not answer the TCP connection is given up after `connect` seconds."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):  # fill the queue of what nobody accepts; further ones are not answered
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        node = Node("127.0.0.1", listener.getsockname()[1])
        association = Association(node, "TESTER", Timeouts(connect=0.3))
        with pytest.raises(NodeUnreachable, match=r"no answer within 0.3 s.*firewall"):
            association.open()
        association.release()


def test_nobody_listens() -> None:
    """A refused connection is told at once, with what to check, and may be tried again."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        association = Association(Node("127.0.0.1", sock.getsockname()[1]), "TESTER", NEVER)
        with pytest.raises(NodeUnreachable, match=r"no TCP connection \(.*refused\); check host and port") as caught:
            association.open()
        association.release()
    assert caught.value.retriable


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved is named."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    association = Association(Node("pacs.invalid", 104), "TESTER", NEVER)
    with pytest.raises(
        NodeUnreachable, match=r"the name 'pacs.invalid' cannot be resolved .*; check how it is written"
    ):
        association.open()
    association.release()


def test_acse_deadline() -> None:
    """An association request that is never answered is given up after `acse` seconds."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", Timeouts(acse=0.3))
        with pytest.raises(AssociationLost, match=r"did not answer the association request within 0.3 s") as caught:
            association.open()
        association.release()
    assert caught.value.by is LostBy.TIMEOUT


def test_dimse_deadline() -> None:
    """`dimse` counts from response to response, and arrivals do not hold it off."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(4):
            time.sleep(0.15)
            answer(connection, message, 0xFF00, **counts(number, remaining=9))
        silence(connection)

    with peer(script) as node, associated(node, Timeouts(dimse=0.4, stall=30)) as association:
        end = move(association, last_arrival=time.monotonic)
    assert (end.lost_by, end.counters.completed) == (LostBy.TIMEOUT, 3)
    assert end.why == "no response for 0.4 s (the dimse timeout)"


def test_stall_deadline_counts_arrivals() -> None:
    """An arrival holds the stall deadline off; once they cease too, it passes."""
    begun = time.monotonic()

    def arrival() -> float:
        return min(time.monotonic(), begun + 0.8)

    with (
        peer(lambda connection, message: silence(connection)) as node,
        associated(node, Timeouts(stall=0.3)) as association,
    ):
        end = move(association, last_arrival=arrival)
    assert end.why == "no response and no arrival for 0.3 s (the stall timeout)"
    assert time.monotonic() - begun >= 1.0


def test_progress_deadline() -> None:
    """Pending responses for ever are no progress; a counter that moves and an arrival are."""
    begun = time.monotonic()

    def pending(connection: Connection, message: Message) -> None:
        for number in itertools.count():
            time.sleep(0.02)
            completed = min(number, 20)
            answer(connection, message, 0xFF00, NumberOfCompletedSuboperations=completed)

    with peer(pending) as node, associated(node, Timeouts(stall=5, progress=0.3)) as association:
        end = move(association, last_arrival=lambda: min(time.monotonic(), begun + 0.6))
    assert end.why == "the archive answers, but nothing has moved for 0.3 s (the progress timeout)"
    assert (end.ended, end.counters.completed) == (Ended.LOST, 20)
    assert 0.7 <= time.monotonic() - begun < 5


def test_total_deadline() -> None:
    """A C-MOVE that goes on and on ends at its total, whatever moves."""

    def progressing(connection: Connection, message: Message) -> None:
        for number in itertools.count():
            time.sleep(0.02)
            answer(connection, message, 0xFF00, NumberOfCompletedSuboperations=number)

    with peer(progressing) as node, associated(node, Timeouts(total=0.3)) as association:
        end = move(association)
    assert end.why == "not at its end after 0.3 s (the total timeout)"


def test_echo_without_an_answer() -> None:
    """A C-ECHO that is not answered ends at `acse`, since nothing else would end it."""
    with (
        peer(lambda connection, message: silence(connection)) as node,
        associated(node, Timeouts(acse=0.3)) as association,
        pytest.raises(AssociationLost),
    ):
        association.echo(1)


def test_a_release_that_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that does not answer a release keeps nobody waiting longer than `acse`."""

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", Timeouts(acse=0.3))
        association.open()
        association.release()
        assert not association.is_open


# --- rejections


@pytest.mark.parametrize(
    ("reason", "words", "mend", "retriable"),
    [
        ((1, 1, 1), "No reason given", "ask its administrator what it allows", False),
        ((1, 1, 3), "Calling AE title not recognised", "add our AE title 'TESTER' with this machine's address", False),
        ((1, 1, 7), "Called AE title not recognised", "it does not call itself 'SCRIPTED'", False),
        ((2, 3, 1), "Temporary congestion", "try again later", True),
        ((2, 3, 2), "Local limit exceeded", "try again later", True),
        ((1, 9, 9), "source 9, reason 9", "ask its administrator what it allows", False),
    ],
)
def test_rejections(reason: tuple[int, int, int], words: str, mend: str, retriable: bool) -> None:
    """A rejection says why, what to do, and whether to try again."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(encode_reject(*reason))
        connection.read_pdu()

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        with pytest.raises(AssociationRejected) as caught:
            association.open()
        association.release()
    error = caught.value
    assert (error.result, error.source, error.reason) == reason
    assert words in str(error)
    assert mend in str(error)
    assert error.retriable is retriable


def test_an_acceptance_that_cannot_be_read() -> None:
    """A broken A-ASSOCIATE-AC is a protocol error, and is aborted."""
    told: list[int] = []

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(PDU_HEAD.pack(2, 80) + b"\xff" * 80)
        told.append(connection.read_pdu()[0])

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        with pytest.raises(ProtocolError, match="an association acceptance that cannot be read"):
            association.open()
        association.release()
    assert told == [ABORT]


def test_a_service_that_is_not_offered() -> None:
    """A presentation context that was not accepted is named, with its model, and nothing is sent."""

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        kept = {item.id: EXPLICIT for item in request.contexts if item.abstract_syntax == "1.2.840.10008.5.1.4.1.2.2.2"}
        connection.send(encode_accept(request, kept, 1 << 16))
        connection.read_pdu()

    with listening(serve) as node, associated(node) as association:
        with pytest.raises(ContextRejected, match=r"does not offer C-MOVE \(Patient Root\) to 'TESTER'"):
            association.move(STUDY, Model.PATIENT, "DEST", 1)
        with pytest.raises(ContextRejected, match=r"C-FIND \(Study Root\)"):
            list(association.find(STUDY, Model.STUDY, 2))


# --- C-FIND


def test_find_yields_what_comes() -> None:
    """Every pending answer is yielded, and Success ends it."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(3):
            answer(connection, message, 0xFF00, encode({"StudyInstanceUID": f"1.2.{number}"}, EXPLICIT))
        answer(connection, message, 0x0000)

    with peer(script) as node, associated(node) as association:
        found = [item.StudyInstanceUID for item in association.find(STUDY, Model.STUDY, 1)]
        assert found == ["1.2.0", "1.2.1", "1.2.2"]
        assert association.is_usable()


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0xFE00, 0x0122, 0x0001])
def test_find_refused(status: int) -> None:
    """A final status other than Success is an error, also after some answers: never a short or an empty list."""

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT))
        answer(connection, message, status)

    with peer(script) as node, associated(node) as association:
        with pytest.raises(QueryRefused) as caught:
            list(association.find(STUDY, Model.STUDY, 1))
        assert caught.value.status == status
        assert association.is_usable()


def test_find_limit_cancels() -> None:
    """After `limit` answers a C-CANCEL goes out, and what comes all the same is passed over."""
    cancelled: list[object] = []

    def script(connection: Connection, message: Message) -> None:
        for number in range(5):
            answer(connection, message, 0xFF00, encode({"StudyInstanceUID": f"1.2.{number}"}, EXPLICIT))
        cancel = connection.read_message()
        cancelled.append((cancel.command["CommandField"], cancel.command["MessageIDBeingRespondedTo"]))
        answer(connection, message, 0xFE00)

    with peer(script) as node, associated(node) as association:
        assert len(list(association.find(STUDY, Model.STUDY, 11, limit=2))) == 2
        assert association.is_usable()
    assert cancelled == [(cs.C_CANCEL_RQ, 11)]


def test_find_left_early_aborts() -> None:
    """Leaving the answers unread ends the association: it would be out of step."""
    with (
        peer(lambda connection, message: _endless(connection, message)) as node,
        associated(node) as association,
    ):
        for _ in association.find(STUDY, Model.STUDY, 1):
            break
        assert not association.is_open


def _endless(connection: Connection, message: Message) -> None:
    while True:
        answer(connection, message, 0xFF00, encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff", id="sequence-without-end"),
        pytest.param(b"\x08\x00\x52\x00ZZ\0\0\1\0\0\0a", id="unknown-vr"),
    ],
)
def test_find_answer_that_cannot_be_read(data: bytes) -> None:
    """An identifier that is no data set is a protocol error, not an empty answer."""
    with (
        peer(lambda connection, message: answer(connection, message, 0xFF00, data)) as node,
        associated(node) as association,
        pytest.raises(ProtocolError),
    ):
        list(association.find(STUDY, Model.STUDY, 1))


def test_find_answers_are_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    """Values that the Standard does not allow come through as they are: no warning, no exception, nothing logged."""
    caplog.set_level(logging.DEBUG)
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientBirthDate": "Canary 1950",
        "PatientName": "M\u00fcller^Canary",
        "AccessionNumber": "a text of more than sixteen characters",
        "ModalitiesInStudy": "ct\\sr",
        "NumberOfStudyRelatedInstances": "many",
        "StudyInstanceUID": "canary",
    }

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, encode(values, EXPLICIT))
        answer(connection, message, 0x0000)

    with peer(script) as node, associated(node) as association:
        (found,) = association.find(STUDY, Model.STUDY, 1)
    got = {keyword: found.get(keyword) for keyword in values}
    assert got == {**values, "ModalitiesInStudy": ["ct", "sr"]}
    assert "canary" not in caplog.text.lower()


def test_echo_refused() -> None:
    """A C-ECHO with a failure status is an error that names it."""
    with (
        peer(lambda connection, message: answer(connection, message, 0x0122)) as node,
        associated(node) as association,
        pytest.raises(QueryRefused, match="0x0122"),
    ):
        association.echo(1)


# --- from another thread


@contextmanager
def in_a_thread(work: Callable[[], object]) -> Iterator[list[object]]:
    """Run something beside; in the end it must have ended by itself."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    yield results
    thread.join(10)
    assert not thread.is_alive(), "it did not end"


def test_cancel_from_another_thread() -> None:
    """`cancel` sends C-CANCEL with our Message ID and the final response is read, without any time-out."""
    begun = threading.Event()
    seen: list[object] = []

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, **counts(1, remaining=4))
        begun.set()
        cancel = connection.read_message()
        seen.append((cancel.command["CommandField"], cancel.command["MessageIDBeingRespondedTo"]))
        answer(connection, message, 0xFE00, **counts(2, remaining=3))

    with peer(script) as node, associated(node, NEVER) as association:
        with in_a_thread(lambda: move(association, 23)) as results:
            assert begun.wait(5)
            association.cancel()
        (end,) = results
        assert not association.is_usable(), "an association that was cancelled is not used again"
    assert isinstance(end, MoveEnd)
    assert (end.status_code, end.counters) == (0xFE00, Counters(2, 0, 0, 3))
    assert seen == [(cs.C_CANCEL_RQ, 23)]


def test_a_cancel_that_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that ignores C-CANCEL has a few seconds, whatever else it sends; then the association is aborted."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)
    begun = threading.Event()

    def script(connection: Connection, message: Message) -> None:
        begun.set()
        while True:
            answer(connection, message, 0xFF00, **counts(1, remaining=4))
            time.sleep(0.02)

    with peer(script) as node, associated(node, NEVER) as association:
        with in_a_thread(lambda: move(association)) as results:
            assert begun.wait(5)
            association.cancel()
        (end,) = results
        assert not association.is_open
    assert isinstance(end, MoveEnd)
    assert (end.ended, end.status_code, end.counters.completed) == (Ended.CANCELLED, None, 1)


@pytest.mark.parametrize("moment", ["move", "find", "associate"])
def test_kill_from_another_thread(moment: str) -> None:
    """`kill` ends a wait at once, wherever it is, without any time-out."""
    begun = threading.Event()

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        if moment != "associate":
            connection.send(accept(connection, request))
            connection.read_message()
        begun.set()
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", NEVER)

        def work() -> object:
            try:
                association.open()
                if moment == "find":
                    return list(association.find(STUDY, Model.STUDY, 1))
                return move(association)
            except AssociationLost as error:
                return error

        with in_a_thread(work) as results:
            assert begun.wait(5)
            association.kill()
        association.release()
    (end,) = results
    if moment == "move":
        assert isinstance(end, MoveEnd)
        assert end.ended is Ended.CANCELLED
    else:
        assert isinstance(end, AssociationLost)


def test_cancel_before_the_association_is_there() -> None:
    """A cancel while the association is requested ends that too."""
    begun = threading.Event()

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        begun.set()
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", NEVER)

        def work() -> object:
            try:
                return association.open()
            except AssociationLost as error:
                return error

        with in_a_thread(work) as results:
            assert begun.wait(5)
            association.cancel()
        association.release()
    assert isinstance(results[0], AssociationLost)


def test_an_identifier_is_not_changed() -> None:
    """A data set that is sent stays as it is."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ["1.2.3", "1.2.4"]
    before = identifier.to_json()
    with (
        peer(lambda connection, message: answer(connection, message, 0x0000, **counts(1))) as node,
        associated(node) as association,
    ):
        association.move(identifier, Model.STUDY, "DEST", 1)
    assert identifier.to_json() == before


def test_a_host_that_cannot_be_a_name() -> None:
    """A host that no resolver can even ask for is an unreachable node."""
    association = Association(Node("a" * 70, 104, ae_title="ARCHIVE"), "US", Timeouts())
    with pytest.raises(NodeUnreachable, match="cannot be resolved"):
        association.open()
    association.release()
