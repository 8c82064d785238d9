"""Messages and their fragments: in many pieces, several in one PDU, with data sets that nobody announced."""

from __future__ import annotations

import struct

import pytest

from dicomover.errors import QueryRefused
from dicomover.identifier import Model
from dicomover.outcome import Counters, Ended
from dicomover.testing._elements import encode
from dicomover.wire import command_set as cs
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Assembly, Message, encode_message
from dicomover.wire.pdus import P_DATA, PDU_HEAD
from wire_kit import EXPLICIT, STUDY, answer, associated, counts, move, peer, response


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


# --- data sets that are announced and not sent, or the reverse


def fragments(*parts: tuple[bool, bytes], context_id: int) -> bytes:
    """Return whole command sets (True) and data sets as one P-DATA-TF PDU."""
    body = b"".join(
        struct.pack(">LBB", len(raw) + 2, context_id, 3 if is_command else 2) + raw for is_command, raw in parts
    )
    return PDU_HEAD.pack(P_DATA, len(body)) + body


def raw_response(message: Message, status: int, announces: int = cs.NO_DATA_SET, **extra: int | str) -> bytes:
    """Return the command set of a response that announces what it likes."""
    return cs.encode({**response(message, status), "CommandDataSetType": announces, **extra})


def match(number: int) -> bytes:
    """Return the identifier of a match."""
    return encode({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": f"1.2.{number}"}, EXPLICIT)


def found_by(association: Association) -> list[str]:
    """Return the studies that a C-FIND finds."""
    return [str(item.get("StudyInstanceUID", "")) for item in association.find(STUDY, Model.STUDY, 3)]


def send_apart(connection: Connection, message: Message, parts: list[tuple[bool, bytes]], together: bool) -> None:
    """Send command sets and data sets in one PDU, or in one each."""
    for pieces in [parts] if together else [[part] for part in parts]:
        connection.send(fragments(*pieces, context_id=message.context_id))


def check_next_request(association: Association) -> None:
    """See that the next request on it is answered."""
    assert association.is_usable()
    assert move(association, 99).ended is Ended.ANSWERED


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a data set that a final response announces begin within a moment."""
    monkeypatch.setattr("dicomover.wire.connection.SOON", 0.2)


@pytest.mark.parametrize("announces", [0x0000, 0x0001, 0x0102, 0xFFFF])
def test_pending_responses_that_announce_and_send_nothing(announces: int) -> None:
    """A pending response to C-MOVE needs no data set: the next response is read as the next one."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(3):
            command = raw_response(message, 0xFF00, announces, **counts(number, remaining=3 - number))
            connection.send(fragments((True, command), context_id=message.context_id))
        answer(connection, message, 0x0000, **counts(3))

    with peer(script) as node, associated(node) as association:
        end = move(association)
        assert (end.ended, end.status_code, end.counters.completed) == (Ended.ANSWERED, 0, 3)
        assert association.is_usable()


@pytest.mark.parametrize("announces", [cs.NO_DATA_SET, cs.WITH_DATA_SET])
@pytest.mark.parametrize("together", [True, False], ids=["one-pdu", "two-pdus"])
def test_pending_responses_that_send_a_data_set(announces: int, together: bool) -> None:
    """What a pending response to C-MOVE sends beside its counters is passed over, announced or not."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(3):
            command = raw_response(message, 0xFF00, announces, **counts(number, remaining=3 - number))
            send_apart(connection, message, [(True, command), (False, match(number))], together)
        answer(connection, message, 0x0000, **counts(3))

    with peer(script) as node, associated(node) as association:
        end = move(association)
        assert (end.ended, end.status_code, end.counters.completed) == (Ended.ANSWERED, 0, 3)
        check_next_request(association)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xA801])
@pytest.mark.parametrize("then", ["waits", "closes", "releases", "aborts"])
def test_a_final_response_that_announces_and_sends_nothing(status: int, then: str) -> None:
    """Its status and counters are told, whatever the peer does instead of sending what it announced."""

    def script(connection: Connection, message: Message) -> None:
        command = raw_response(message, status, cs.WITH_DATA_SET, **counts(2, 1))
        connection.send(fragments((True, command), context_id=message.context_id))
        if then == "closes":
            connection.close()
        elif then == "releases":
            connection.release(5)
        elif then == "aborts":
            connection.abort()

    with peer(script) as node, associated(node) as association:
        end = move(association)
        assert (end.ended, end.status_code, end.counters) == (Ended.ANSWERED, status, Counters(2, 1, 0))
        if then == "waits":
            check_next_request(association)
        else:
            assert not association.is_usable()


def test_a_final_response_whose_data_set_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that comes after all does not answer the next request."""
    monkeypatch.setattr("dicomover.wire.connection.SOON", 0.05)
    asked: list[int] = []

    def script(connection: Connection, message: Message) -> None:
        asked.append(1)
        if len(asked) == 1:
            command = raw_response(message, 0xB000, cs.WITH_DATA_SET, **counts(2, 1))
            connection.send(fragments((True, command), context_id=message.context_id))
        else:
            connection.send(fragments((False, match(1)), context_id=message.context_id))
            answer(connection, message, 0x0000, **counts(1))

    with peer(script) as node, associated(node) as association:
        assert move(association, 1).status_code == 0xB000
        assert move(association, 2).status_code == 0x0000


def test_a_failed_list_that_is_not_announced() -> None:
    """A Failed SOP Instance UID List that comes along unannounced is read."""

    def script(connection: Connection, message: Message) -> None:
        data = encode({"FailedSOPInstanceUIDList": "1.2.3.4"}, EXPLICIT)
        command = raw_response(message, 0xB000, cs.NO_DATA_SET, **counts(1, 1))
        connection.send(fragments((True, command), (False, data), context_id=message.context_id))

    with peer(script) as node, associated(node) as association:
        assert move(association).failed_uids == ("1.2.3.4",)
        check_next_request(association)


@pytest.mark.parametrize("together", [True, False], ids=["one-pdu", "two-pdus"])
def test_matches_that_are_not_announced(together: bool) -> None:
    """A match is read whatever its response announces."""

    def script(connection: Connection, message: Message) -> None:
        for number in range(3):
            send_apart(connection, message, [(True, raw_response(message, 0xFF00)), (False, match(number))], together)
        answer(connection, message, 0x0000)

    with peer(script) as node, associated(node) as association:
        assert found_by(association) == ["1.2.0", "1.2.1", "1.2.2"]
        assert association.is_usable()


def test_a_match_that_is_announced_and_not_sent() -> None:
    """It is an answer without anything in it, and neither the one before nor the one after is lost for it."""

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, match(0))
        command = raw_response(message, 0xFF00, cs.WITH_DATA_SET)
        connection.send(fragments((True, command), context_id=message.context_id))
        answer(connection, message, 0xFF01, match(2))
        answer(connection, message, 0x0000)

    with peer(script) as node, associated(node) as association:
        assert found_by(association) == ["1.2.0", "", "1.2.2"]


@pytest.mark.parametrize("announces", [cs.NO_DATA_SET, cs.WITH_DATA_SET])
def test_a_match_with_the_final_success(announces: int) -> None:
    """A last match that comes with the final 0x0000 is a match."""

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, match(0))
        parts = [(True, raw_response(message, 0x0000, announces)), (False, match(1))]
        connection.send(fragments(*parts, context_id=message.context_id))

    with peer(script) as node, associated(node) as association:
        assert found_by(association) == ["1.2.0", "1.2.1"]
        assert association.is_usable()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("data", [None, encode({"QueryRetrieveLevel": "STUDY"}, EXPLICIT)], ids=["nothing", "no-key"])
def test_a_final_success_that_announces_no_match(data: bytes | None) -> None:
    """A final 0x0000 that announces a data set and sends none, or one without the key asked for, ends the matches."""

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, match(0))
        parts = [(True, raw_response(message, 0x0000, cs.WITH_DATA_SET))]
        parts += [] if data is None else [(False, data)]
        connection.send(fragments(*parts, context_id=message.context_id))

    with peer(script) as node, associated(node) as association:
        assert found_by(association) == ["1.2.0"]
        assert association.is_usable()


def test_several_messages_in_one_pdu() -> None:
    """Pending and final responses, matches too, may share a PDU."""

    def script(connection: Connection, message: Message) -> None:
        pending = (True, raw_response(message, 0xFF00, cs.WITH_DATA_SET))
        if message.command["CommandField"] == cs.C_FIND_RQ:
            final = (True, raw_response(message, 0x0000))
            parts = [pending, (False, match(0)), pending, (False, match(1)), final]
        else:
            counted = (True, raw_response(message, 0xFF00, **counts(1, remaining=1)))
            parts = [counted, counted, (True, raw_response(message, 0x0000, **counts(2)))]
        connection.send(fragments(*parts, context_id=message.context_id))

    with peer(script) as node, associated(node) as association:
        assert found_by(association) == ["1.2.0", "1.2.1"]
        assert move(association).counters.completed == 2
        assert [str(each.StudyInstanceUID) for each in association.find(STUDY, Model.STUDY, 8)] == ["1.2.0", "1.2.1"]


def test_one_data_set_belongs_to_one_response() -> None:
    """A second data set in a row is none that anybody could have owed: the association is out of step."""

    def script(connection: Connection, message: Message) -> None:
        command = raw_response(message, 0xFF00, **counts(1))
        parts = [(True, command), (False, match(0)), (False, match(1))]
        connection.send(fragments(*parts, context_id=message.context_id))
        connection.read_message()

    with peer(script) as node, associated(node) as association:
        end = move(association)
    assert (end.ended, end.counters.completed) == (Ended.LOST, 1)
    assert "parts of a message out of order" in end.why


# --- what nobody needs in a command set


def element(number: int, value: bytes) -> bytes:
    """Encode an element of a command set."""
    return struct.pack("<HHL", 0, number, len(value)) + value


ODD = {
    "two offending elements": element(0x0901, bytes.fromhex("20000d0020000e00")),
    "an empty offending element": element(0x0901, b""),
    "half an offending element": element(0x0901, b"\x20\0"),
    "an ErrorID of four bytes": element(0x0903, bytes(4)),
    "an empty ErrorID": element(0x0903, b""),
    "an ErrorID of one byte": element(0x0903, b"7"),
    "an ErrorID in words": element(0x0903, b"no such thing "),
    "a comment that is not ASCII": element(0x0902, "Größe".encode("latin-1")),
    "a comment of 300 bytes": element(0x0902, b"x" * 300),
    "an element that nobody knows": element(0x5110, b"abcd"),
    "counters of four bytes": element(0x1021, struct.pack("<L", 2)) + element(0x1022, struct.pack("<L", 0)),
    "a counter of four values": element(0x1021, struct.pack("<4H", 2, 9, 9, 9)),
    "an empty class": element(0x0002, b""),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("status", [0x0000, 0xA900])
def test_no_optional_element_loses_a_request(name: str, status: int) -> None:
    """Whatever else a response says, and however it says it, its status is read: of a C-MOVE and of a C-FIND."""

    def script(connection: Connection, message: Message) -> None:
        command = cs.encode({key: value for key, value in response(message, status).items() if "Class" not in key})
        connection.send(fragments((True, command + ODD[name]), context_id=message.context_id))

    with peer(script) as node, associated(node) as association:
        end = move(association)
        assert (end.ended, end.status_code) == (Ended.ANSWERED, status)
        assert end.offending == ("(0020,000D), (0020,000E)" if name == "two offending elements" else "")
        assert end.counters.completed == (2 if "counter" in name else None)
        if status:
            with pytest.raises(QueryRefused) as caught:
                found_by(association)
            assert caught.value.status == status
        else:
            assert found_by(association) == []
        assert association.is_usable()


@pytest.mark.parametrize("max_pdu", [8, 17, 100, 4095, 4096, 65535])
def test_pdus_keep_to_what_the_peer_takes(max_pdu: int) -> None:
    """No PDU is longer than the peer allows, and every fragment has an even number of bytes."""
    data = bytes(20000 if max_pdu > 100 else 600)
    raw = b"".join(encode_message(1, {"CommandField": cs.C_MOVE_RQ, "MessageID": 1}, data, max_pdu))
    assembly, at = Assembly(), 0
    while at < len(raw):
        kind, length = PDU_HEAD.unpack_from(raw, at)
        assert kind == P_DATA
        assert length <= max_pdu
        assert length % 2 == 0
        assembly.add(memoryview(raw)[at + 6 : at + 6 + length])
        at += 6 + length
    command, data_set = assembly.parts
    assert cs.decode(command.data)["CommandField"] == cs.C_MOVE_RQ
    assert data_set.data == data
