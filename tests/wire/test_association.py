"""An association against scripted sockets: whatever the peer does, an answer or a named end comes, and in time."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from dicomover.errors import (
    AssociationLost,
    ContextRejected,
    LostBy,
    QueryRefused,
)
from dicomover.identifier import Model
from dicomover.node import Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.testing._elements import encode
from dicomover.testing._server import silence
from dicomover.wire import command_set as cs
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.negotiation import encode_accept, parse_request
from dicomover.wire.pdus import P_DATA, PDU_HEAD, RELEASE_RQ, encode_release
from dicomover.wire.responses import MoveEnd
from receiver_kit import element
from wire_kit import (
    EXPLICIT,
    NEVER,
    SHORT,
    STUDY,
    accept,
    answer,
    associated,
    counts,
    in_a_thread,
    listening,
    move,
    peer,
    pour,
    response,
)

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


def test_constructing_does_no_io() -> None:
    """An Association that is only constructed connects to nobody, and can be released."""
    connections: list[object] = []
    with listening(connections.append) as node:
        Association(node, "TESTER", SHORT).release()
    assert not connections


# --- what comes in


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


# --- deadlines


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


def test_echo_without_an_answer() -> None:
    """A C-ECHO that is not answered ends at `acse`, since nothing else would end it."""
    with (
        peer(lambda connection, message: silence(connection)) as node,
        associated(node, Timeouts(acse=0.3)) as association,
        pytest.raises(AssociationLost),
    ):
        association.echo(1)


def test_a_release_that_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that does not answer a release keeps nobody waiting longer than `acse`, and is named."""

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", Timeouts(acse=0.3))
        association.open()
        association.release()
        assert not association.is_open
    assert f"{node} did not answer the release of the association (nothing came in time)" in caplog.text


def test_data_after_a_release_keep_nobody_waiting() -> None:
    """A peer that goes on sending instead of answering a release is left in time."""

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        connection.read_pdu()
        pour(connection, PDU_HEAD.pack(P_DATA, 6) + b"\0\0\0\2\1\0")

    with listening(serve) as node:
        association = Association(node, "TESTER", Timeouts(acse=0.3))
        association.open()
        begun = time.monotonic()
        association.release()
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("way", ["cancel", "kill"])
def test_a_release_ends_with_what_is_to_end(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is waited for no longer than a cancel or a kill allows."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        silence(connection)

    with listening(serve) as node:
        association = Association(node, "TESTER", Timeouts())
        association.open()
        getattr(association, way)()
        begun = time.monotonic()
        association.release()
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("abort", "(it aborted)"),
        ("close", "(the connection was closed)"),
        ("another", "(it sent a PDU of type 2)"),
    ],
)
def test_a_release_that_is_answered_by_something_else(how: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """An abort, a closed connection or another PDU is no answer to a release, and is told for what it is."""

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        connection.send(accept(connection, request))
        connection.read_pdu()
        if how == "abort":
            connection.abort()
        elif how == "another":
            connection.send(accept(connection, request))
        connection.close()

    with caplog.at_level(logging.INFO, logger="dicomover"), listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        association.open()
        association.release()
    assert f"{node} did not answer the release of the association {said}" in caplog.text


def test_a_release_that_is_answered_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """So is one that crosses the peer's own request."""

    def serve(connection: Connection) -> None:
        connection.send(accept(connection, parse_request(connection.read_pdu()[1])))
        connection.read_pdu()
        connection.send(encode_release(RELEASE_RQ))
        silence(connection)

    with caplog.at_level(logging.INFO, logger="dicomover"), listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        association.open()
        association.release()
    assert f"association with {node} released" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# --- rejections


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


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(element(0x00080005, "CS", b"\xd2T-\xcf\xbd"), id="unknown-character-set"),
        pytest.param(element(0x00080005, "OB", b"\xff\xfe"), id="character-set-of-bytes"),
        pytest.param(element(0x00080005, "CS", b"ISO 2022 IR 6\\\\\\"), id="empty-character-sets"),
        pytest.param(element(0x00080052, "IS", b"\xff\xff"), id="level-as-a-number"),
    ],
)
def test_whatever_stands_beside_a_match_of_the_final_response(head: bytes) -> None:
    """A match that comes with the final status counts by its unique key alone, whatever else is in it."""

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0x0000, head + element(0x0020000D, "UI", "1.2.3"))

    with peer(script) as node, associated(node) as association:
        assert len(list(association.find(STUDY, Model.STUDY, 1))) == 1


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


def test_echo_refused() -> None:
    """A C-ECHO with a failure status is an error that names it."""
    with (
        peer(lambda connection, message: answer(connection, message, 0x0122)) as node,
        associated(node) as association,
        pytest.raises(QueryRefused, match="0x0122"),
    ):
        association.echo(1)


# --- from another thread


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
