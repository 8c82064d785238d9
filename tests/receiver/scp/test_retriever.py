"""C-GET: what we propose, what comes on our own association, and how it ends, in each kind of engine."""

from __future__ import annotations

import os
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import (
    AssociationLost,
    AssociationRejected,
    ConfigurationError,
    ContextRejected,
    LostBy,
    NodeUnreachable,
)
from dicomover.events import Admission
from dicomover.identifier import Level, Model, query_dataset
from dicomover.node import Node, Quirks, Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.query.classes import MOST_PAIRS
from dicomover.receiver.scp.statuses import CANNOT_UNDERSTAND, DOES_NOT_MATCH, NOT_AUTHORISED
from dicomover.security.identity import Identity
from dicomover.security.secret import Secret
from dicomover.testing import DemoPacs, made_study
from dicomover.wire import command_set as cs
from dicomover.wire.connection import Connection
from dicomover.wire.identifiers import encode_identifier
from dicomover.wire.messages import Message
from dicomover.wire.negotiation import AssociationRequest, encode_accept, encode_reject, parse_request
from peers import free_port
from receiver_kit import (
    CT,
    EXPLICIT,
    IMPLICIT,
    STUDY,
    Start,
    body_of,
    command,
    data_set,
    half_files,
    pdu,
    pdv,
    running,
    wait_for,
)
from retrieving_kit import (
    FINAL,
    IN_IMPLICIT,
    PAIRS,
    PENDING,
    STORING,
    WARNING,
    get,
    give,
    pour,
    read_status,
    retriever,
    store,
)
from security_kit import Authority
from wire_kit import answer, counts, listening, peer

MR, J2K = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.4.90"


# --- what comes


def test_what_is_asked_for_is_filed(start: Start) -> None:
    """The instances come on our association, lie on the disk as they were sent, and are told before `get` returns."""
    with start(restrict=True) as run, peer(give(3)) as node, retriever(run, node) as one:
        seen: list[Counters] = []
        assert one.accepted == {(CT, EXPLICIT)} | ({(CT, IMPLICIT)} & one.accepted)
        assert one.peer_address == one.local_address == "127.0.0.1"
        end = get(one, on_progress=seen.append)
        assert (end.ended, end.status_code, end.counters.completed) == (Ended.ANSWERED, FINAL, 3)
        assert seen[-1] == end.counters
        assert [arrival.sop_instance_uid for arrival in run.arrivals] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
        for arrival in run.arrivals:
            assert body_of(arrival.path) == data_set(arrival.sop_instance_uid)
            assert (arrival.calling_ae_title, arrival.peer) == ("SCRIPTED", "127.0.0.1")
            assert arrival.transfer_syntax_uid == EXPLICIT
            assert arrival.originator_message_id is None
        assert run.receiver.last_activity >= run.arrivals[-1].at - 1
        assert one.is_usable()
        assert get(one, 8).counters.completed == 3, "again, on the same association"
        assert one.served > 1


def test_it_needs_no_port(start: Start) -> None:
    """A receiver that does not listen receives by C-GET, and opens no port."""
    with start(listens=False, ends_broken=True) as run, peer(give(2)) as node, retriever(run, node) as one:
        assert run.port == 0
        assert get(one).counters.completed == 2
        assert len(run.arrivals) == 2


def test_only_what_was_asked_for(start: Start) -> None:
    """What no running request asks for is refused on our own association too, and told; the rest comes."""
    statuses = []

    def script(connection: Connection, request: Message) -> None:
        statuses.append(store(connection, "1.2.3.1"))
        statuses.append(store(connection, "1.2.9.1", data_set("1.2.9.1", study="1.2.9")))
        statuses.append(store(connection, "1.2.3.2", data_set("1.2.3.3")))
        statuses.append(store(connection, "1.2.3.4", b"nothing that can be read"))
        answer(connection, request, WARNING, **counts(1, failed=3))

    with start(restrict=True) as run, peer(script) as node, retriever(run, node) as one:
        end = get(one)
        assert (end.status_code, end.counters) == (WARNING, Counters(1, 3, 0))
        assert statuses == [0, NOT_AUTHORISED, DOES_NOT_MATCH, CANNOT_UNDERSTAND]
        assert [refusal.status for refusal in run.refusals] == statuses[1:]
        assert {refusal.peer for refusal in run.refusals} == {"127.0.0.1"}
        assert len(run.files()) == 1


@pytest.mark.parametrize("agreed", [EXPLICIT, J2K])
def test_pixels_that_are_not_what_their_context_says(agreed: str, start_one: Start) -> None:
    """Compressed pixels that come as uncompressed ones, or the other way round, are refused and told: no file lies."""
    items = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0\xff\x4f\xff\x51\xfe\xff\xdd\xe0\0\0\0\0"
    compressed = data_set("1.2.3.1", pixels=b"")[:-12] + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + items
    plain = data_set("1.2.3.1")
    statuses = []

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        connection.contexts = {each.id: each for each in request.contexts}
        connection.send(encode_accept(request, {1: EXPLICIT, STORING: agreed}, 1 << 16))
        message = connection.read_message()
        statuses.extend([store(connection, "1.2.3.1", data) for data in (compressed, plain)])
        answer(connection, message, FINAL, **counts(2))
        connection.read_message()

    with start_one() as run, listening(serve) as node, retriever(run, node, pairs=[(CT, agreed)]) as one:
        get(one)
        assert statuses == ([CANNOT_UNDERSTAND, 0] if agreed == EXPLICIT else [0, CANNOT_UNDERSTAND])
        (refusal,) = run.refusals
        assert f"its pixel data are {'' if agreed == EXPLICIT else 'not '}compressed" in refusal.why
        assert "C-MOVE" in refusal.mend
        (arrival,) = run.arrivals
        assert arrival.transfer_syntax_uid == agreed
        assert body_of(arrival.path) == (plain if agreed == EXPLICIT else compressed)


def test_the_context_says_how_it_is_encoded(start_one: Start) -> None:
    """The file says the transfer syntax of the context in which an instance came."""

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        connection.contexts = {each.id: each for each in request.contexts}
        connection.send(
            encode_accept(request, {each.id: each.transfer_syntaxes[0] for each in request.contexts}, 1 << 16)
        )
        message = connection.read_message()
        assert store(connection, "1.2.3.1", data_set("1.2.3.1", explicit=False), context_id=IN_IMPLICIT) == 0
        answer(connection, message, FINAL, **counts(1))
        connection.read_message()

    with start_one() as run, listening(serve) as node, retriever(run, node) as one:
        assert one.accepted == set(PAIRS)
        get(one)
        assert run.arrivals[0].transfer_syntax_uid == IMPLICIT


def test_very_large_ones_go_through(start_one: Start) -> None:
    """An instance of many buffers is filed as it comes, in pieces of any size."""
    data = data_set("1.2.3.1", pixels=bytes(range(256)) * 16384)

    def script(connection: Connection, request: Message) -> None:
        for chunk in (1 << 16, 999):
            assert store(connection, "1.2.3.1", data, chunk=chunk) == 0
        answer(connection, request, FINAL, **counts(2))

    with start_one() as run, peer(script) as node, retriever(run, node, Timeouts(stall=20)) as one:
        assert get(one).status_code == FINAL
        assert [arrival.duplicate for arrival in run.arrivals] == [False, True]
        assert body_of(run.arrivals[0].path) == data


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_large_one_is_never_whole_in_memory(tmp_path: Path) -> None:
    """The process that receives has it go from the connection to its file; DICOMOVER_LARGE says how many MB it has."""
    size = int(os.environ.get("DICOMOVER_LARGE", "96")) << 20
    head, zeros = data_set("1.2.3.1", pixels=b"\0\0"), bytes(1 << 16)
    head = head[:-6] + struct.pack("<L", size)

    def script(connection: Connection, request: Message) -> None:
        connection.send(pdu(pdv(STORING, 3, command("1.2.3.1"))))
        connection.send(pdu(pdv(STORING, 0, head)))
        for left in range(size, 0, -len(zeros)):
            connection.send(pdu(pdv(STORING, 2 if left <= len(zeros) else 0, zeros)))
        assert read_status(connection) == 0
        answer(connection, request, FINAL, **counts(1))

    def peak() -> int:
        status = Path(f"/proc/{run.receiver._engine._process.pid}/status").read_text()  # type: ignore[union-attr]
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    with (
        running(tmp_path, own_process=True) as run,
        peer(script) as node,
        retriever(run, node, Timeouts(stall=60)) as one,
    ):
        before = peak()
        assert get(one).status_code == FINAL
        assert run.arrivals[0].size == len(head) + size
        assert peak() - before < 24 << 20
        assert peak() < 200 << 20


# --- what we say


@pytest.mark.parametrize("roles", ["scp", "both"])
def test_what_is_proposed(roles: Any, start_one: Start) -> None:
    """Both models, each pair in a context of its own, and a role for each SOP Class; the identifier as it is meant."""
    seen: list[AssociationRequest] = []
    asked: list[Message] = []

    def serve(connection: Connection) -> None:
        seen.append(request := parse_request(connection.read_pdu()[1]))
        connection.send(encode_accept(request, {each.id: EXPLICIT for each in request.contexts}, 1 << 16))
        asked.append(message := connection.read_message())
        answer(connection, message, FINAL, **counts(0))
        connection.read_message()

    identifier = query_dataset(
        Level.SERIES, {"PatientID": "Größe", "StudyInstanceUID": STUDY, "SeriesInstanceUID": "1.2\\1.3"}
    )
    pairs = (*PAIRS, (MR, J2K), (CT, EXPLICIT))
    with start_one() as run, listening(serve) as plain:
        node = Node(plain.host, plain.port, ae_title="SCRIPTED", quirks=Quirks(roles=roles))
        with retriever(run, node, pairs=pairs) as one:
            one.get(identifier, Model.PATIENT, 77)
    contexts = seen[0].contexts
    assert [(each.id, each.abstract_syntax) for each in contexts[:2]] == [
        (1, Model.STUDY.get_sop_class),
        (3, Model.PATIENT.get_sop_class),
    ]
    assert [(each.id, each.abstract_syntax, each.transfer_syntaxes) for each in contexts[2:]] == [
        (5, CT, (EXPLICIT,)),
        (7, CT, (IMPLICIT,)),
        (9, MR, (J2K,)),
    ]
    assert seen[0].roles == dict.fromkeys((CT, MR), (roles == "both", True))
    assert (seen[0].calling_ae_title, seen[0].called_ae_title) == ("TESTER", "SCRIPTED")
    command = asked[0].command
    assert (command["CommandField"], command["MessageID"]) == (cs.C_GET_RQ, 77)
    assert (asked[0].context_id, command["AffectedSOPClassUID"]) == (3, Model.PATIENT.get_sop_class)
    assert "MoveDestination" not in command
    assert asked[0].data == encode_identifier(identifier, EXPLICIT)


def test_no_more_than_go_into_an_association(start_one: Start) -> None:
    """One pair more than there are contexts is a mistake of the caller's."""
    pairs = [(f"1.2.840.10008.5.1.4.1.1.{number}", EXPLICIT) for number in range(MOST_PAIRS + 1)]
    with start_one() as run, peer(give(1)) as node:
        with retriever(run, node, pairs=pairs[1:]) as one:
            assert len(one.accepted) == MOST_PAIRS
        with pytest.raises(ValueError, match=f"{MOST_PAIRS} do"), retriever(run, node, pairs=pairs):
            pass


def test_an_archive_without_c_get(start_one: Start) -> None:
    """Where the archive does not offer C-GET in a model, that is said as of any other service, and nothing is sent."""

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        connection.send(encode_accept(request, {3: EXPLICIT, 5: EXPLICIT}, 1 << 16, {CT: (False, False)}))
        connection.read_message()

    with start_one() as run, listening(serve) as node, retriever(run, node) as one:
        assert one.accepted == frozenset(), "CT was accepted in another role"
        with pytest.raises(ContextRejected, match=r"does not offer C-GET \(Study Root\)"):
            get(one)
        assert one.is_usable()


# --- how it begins and ends


def test_what_cannot_be_opened(start_one: Start) -> None:
    """Whatever is in the way of the association is the error that every association raises, with its fields."""

    def reject(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(encode_reject(2, 3, 2))

    nobody = Node("127.0.0.1", free_port(), ae_title="NOBODY")
    with start_one() as run:
        with pytest.raises(NodeUnreachable, match="no TCP connection") as unreachable, retriever(run, nobody):
            pass
        assert unreachable.value.code
        with listening(reject) as node:
            with pytest.raises(AssociationRejected) as rejected, retriever(run, node):
                pass
            assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)
            assert rejected.value.retriable
        with listening(lambda connection: connection.read_pdu() and time.sleep(2)) as silent:
            with pytest.raises(AssociationLost) as lost, retriever(run, silent, Timeouts(acse=0.2)):
                pass
            assert lost.value.by is LostBy.TIMEOUT


def test_the_end_says_which_failed(start: Start) -> None:
    """A final response with a list of those that failed, and an offending element, is told as it is."""
    failed = query_dataset(Level.STUDY, {})
    failed.FailedSOPInstanceUIDList = ["1.2.3.2", "1.2.3.3"]

    def script(connection: Connection, request: Message) -> None:
        store(connection, "1.2.3.1")
        raw = encode_identifier(failed, EXPLICIT)
        answer(connection, request, 0xA702, raw, OffendingElement=0x00100020, **counts(1, failed=2))

    with start() as run, peer(script) as node, retriever(run, node) as one:
        end = get(one)
        assert (end.status_code, end.failed_uids) == (0xA702, ("1.2.3.2", "1.2.3.3"))
        assert end.offending == "(0010,0020)"
        assert one.is_usable()


@pytest.mark.parametrize("cuts", ["close", "abort", "release"])
def test_an_association_that_ends_in_the_middle(cuts: str, start_one: Start) -> None:
    """What was whole by then stays, of the rest nothing is left, and it is told how the association ended."""

    def script(connection: Connection, request: Message) -> None:
        store(connection, "1.2.3.1")
        answer(connection, request, PENDING, **counts(1, remaining=1))
        if cuts != "release":
            pour(connection, "1.2.3.2", data_set("1.2.3.2", pixels=bytes(500_000)), to_the_end=False)
        {"close": connection.close, "abort": connection.abort, "release": lambda: connection.release(5)}[cuts]()

    by = {"close": LostBy.CLOSED, "abort": LostBy.ABORT, "release": LostBy.RELEASE}[cuts]
    with start_one() as run, peer(script) as node, retriever(run, node) as one:
        end = get(one)
        assert (end.ended, end.lost_by, end.counters.completed) == (Ended.LOST, by, 1)
        assert len(run.arrivals) == 1
        assert not one.is_usable()
        assert not half_files(run.folder)


def test_a_peer_that_says_nothing_more(start_one: Start) -> None:
    """Silence ends by the stall timeout, between two instances and in the middle of one, and it is said which limit."""
    for begins in (False, True):

        def script(connection: Connection, _: Message, begins: bool = begins) -> None:
            store(connection, "1.2.3.1")
            if begins:
                pour(connection, "1.2.3.2", data_set("1.2.3.2", pixels=bytes(500_000)), to_the_end=False)
            connection.read_message()

        with start_one() as run, peer(script) as node, retriever(run, node, Timeouts(stall=0.5)) as one:
            begun = time.monotonic()
            end = get(one)
            assert (end.ended, end.lost_by) == (Ended.LOST, LostBy.TIMEOUT)
            assert "the stall timeout" in end.why
            assert 0.4 < time.monotonic() - begun < 5
            assert not half_files(run.folder)
            run.receiver.dismiss(1)


def test_what_comes_is_a_sign_of_life(start_one: Start) -> None:
    """An archive that sends no pending response is not given up while instances come that were asked for."""

    def script(connection: Connection, request: Message) -> None:
        for number in range(8):
            time.sleep(0.15)
            store(connection, f"1.2.3.{number}")
        answer(connection, request, FINAL, **counts(8))

    timeouts = Timeouts(stall=0.6, dimse=0.6, progress=0.6)
    with start_one() as run, peer(script) as node, retriever(run, node, timeouts) as one:
        assert get(one).status_code == FINAL
        assert len(run.arrivals) == 8


def test_what_nobody_asked_for_is_none(start_one: Start) -> None:
    """An archive that goes on and on with what nobody asked for is given up."""

    def script(connection: Connection, _: Message) -> None:
        while True:
            store(connection, "1.2.9.1", data_set("1.2.9.1", study="1.2.9"))

    with start_one(restrict=True) as run, peer(script) as node, retriever(run, node, Timeouts(stall=0.5)) as one:
        end = get(one)
        assert (end.ended, end.lost_by) == (Ended.LOST, LostBy.TIMEOUT)
        assert not run.files()


# --- to be ended by others


@pytest.mark.parametrize("course", ["confirmed", "while data come", "ignored"])
def test_a_cancel(course: str, start_one: Start) -> None:
    """A C-CANCEL goes out between two PDUs of ours, also while data come; what it has no effect on is aborted."""
    got: list[Message] = []
    begun = threading.Event()

    def script(connection: Connection, request: Message) -> None:
        store(connection, "1.2.3.1")
        answer(connection, request, PENDING, **counts(1, remaining=9))
        begun.set()
        if course == "while data come":
            number = 1
            while not got:
                number += 1
                pour(connection, f"1.2.3.{number}", data_set(f"1.2.3.{number}"))
                message = connection.read_message()
                if message.command["CommandField"] == cs.C_CANCEL_RQ:
                    got.append(message)
                    message = connection.read_message()
                assert message.command["Status"] == 0
        else:
            got.append(connection.read_message())
        if course != "ignored":
            answer(connection, request, 0xFE00, **counts(1, remaining=9))
        connection.read_message()

    with start_one() as run, peer(script) as node, retriever(run, node) as one:
        waiter = threading.Thread(target=lambda: begun.wait(10) and one.cancel())
        waiter.start()
        at = time.monotonic()
        end = get(one, 7)
        waiter.join()
        assert got[0].command["CommandField"] == cs.C_CANCEL_RQ
        assert got[0].command["MessageIDBeingRespondedTo"] == 7
        assert got[0].context_id == 1
        assert time.monotonic() - at < 9
        assert end.counters.completed == 1
        if course == "ignored":
            assert (end.ended, end.status_code) == (Ended.CANCELLED, None)
        else:
            assert (end.ended, end.status_code) == (Ended.ANSWERED, 0xFE00)
        assert one.is_stopping
        assert not one.is_usable()


def test_a_hurry_that_comes_first(start_one: Start) -> None:
    """Whoever is in a hurry before the association is being opened is heard."""
    with start_one() as run, listening(lambda connection: connection.read_pdu() and time.sleep(3)) as node:
        one = run.receiver.retriever(node, "TESTER", Timeouts(acse=30), PAIRS)
        one.hurry(0.3)
        begun = time.monotonic()
        with pytest.raises(AssociationLost):
            one.open()
        assert time.monotonic() - begun < 3
        one.release()


@pytest.mark.parametrize("when", ["before it is opened", "while it opens", "while it gets", "while it waits"])
def test_a_kill(when: str, start_one: Start) -> None:
    """A kill from another thread ends whatever goes on, at once."""
    reached = threading.Event()

    def serve(connection: Connection) -> None:
        request = parse_request(connection.read_pdu()[1])
        if when != "while it opens":
            connection.send(encode_accept(request, {each.id: EXPLICIT for each in request.contexts}, 1 << 16))
            connection.read_message()
            pour(connection, "1.2.3.2", data_set("1.2.3.2", pixels=bytes(500_000)), to_the_end=False)
        reached.set()
        connection.read_message()

    with start_one() as run, listening(serve) as node:
        one = run.receiver.retriever(node, "TESTER", Timeouts(), PAIRS)
        threading.Thread(target=lambda: reached.wait(10) and one.kill()).start()
        begun = time.monotonic()
        if when == "before it is opened":
            one.kill()
        if when in ("before it is opened", "while it opens"):
            with pytest.raises(AssociationLost) as lost:
                one.open()
            assert lost.value.by in (LostBy.STOPPED, LostBy.TIMEOUT)
        else:
            one.open()
            if when == "while it waits":
                one.kill()
                assert not one.is_usable()
            else:
                end = get(one)
                assert (end.ended, end.why) == (Ended.CANCELLED, "cancelled; the archive did not confirm it")
        one.release()
        reached.set()
        assert time.monotonic() - begun < 4
        assert not half_files(run.folder)


def test_a_hurry(start_one: Start) -> None:
    """An association that is not answered in time after a hurry is given up."""
    with start_one() as run, listening(lambda connection: connection.read_pdu() and time.sleep(3)) as node:
        one = run.receiver.retriever(node, "TESTER", Timeouts(acse=30), PAIRS)
        threading.Timer(0.3, one.hurry, [0.2]).start()
        begun = time.monotonic()
        with pytest.raises(AssociationLost):
            one.open()
        assert time.monotonic() - begun < 3
        one.release()


def test_the_receiver_stops_meanwhile(start: Start) -> None:
    """A receiver that is stopped while a C-GET goes on ends it and leaves nothing behind."""
    begun = threading.Event()

    def script(connection: Connection, _: Message) -> None:
        store(connection, "1.2.3.1")
        pour(connection, "1.2.3.2", data_set("1.2.3.2", pixels=bytes(500_000)), to_the_end=False)
        begun.set()
        connection.read_message()

    with start(ends_broken=True) as run, peer(script) as node, retriever(run, node) as one:
        stopper = threading.Thread(target=lambda: begun.wait(10) and run.receiver.stop())
        stopper.start()
        end = get(one)
        stopper.join()
        assert end.ended in (Ended.CANCELLED, Ended.LOST)
        assert not one.is_usable()
        assert len(run.files()) == 1


def test_a_peer_that_leaves_while_idle(start_one: Start) -> None:
    """An association that the archive has left between two requests is not usable, and that is seen without waiting."""
    left = threading.Event()

    def script(connection: Connection, request: Message) -> None:
        answer(connection, request, FINAL, **counts(0))
        connection.abort()
        left.set()

    with start_one() as run, peer(script) as node, retriever(run, node) as one:
        get(one)
        assert left.wait(5)
        wait_for(lambda: not one.is_usable())
        assert not one.is_open


def test_a_receiver_stops_at_once_while_nothing_is_asked(start_one: Start) -> None:
    """An association that is kept for later holds up no receiver that ends, and is none afterwards."""
    with start_one(ends_broken=True) as run, peer(give(1)) as node, retriever(run, node) as one:
        get(one)
        begun = time.monotonic()
        run.receiver.stop()
        assert time.monotonic() - begun < 1.9
        assert not one.is_usable()


# --- by TLS, and in somebody's name


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the hospital's authority."""
    return Authority(tmp_path_factory.mktemp("ca"))


def test_by_tls_in_a_users_name(
    start: Start, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The receiver's process speaks TLS with our certificate and names the user, by secrets kept where they are."""
    monkeypatch.setenv("MADE_UP", "made-up-secret")
    identity = Identity.password("alice", Secret.env("MADE_UP"))
    study = made_study("00123", instances=3)
    users = {"alice": "made-up-secret"}
    with start(restrict=True) as run, DemoPacs([study], tls=authority.tls("DEMO"), identity=users) as pacs:
        run.receiver.admit(Admission(1, study_uids=frozenset({study.study_instance_uid})))
        node = replace(pacs.node, tls=authority.tls("TESTER"), identity=identity)
        with retriever(run, node, pairs=[(CT, EXPLICIT), (MR, EXPLICIT)]) as one:
            keys = {"StudyInstanceUID": study.study_instance_uid}
            end = one.get(query_dataset(Level.STUDY, keys), Model.STUDY, 9)
            assert (end.status_code, len(run.arrivals)) == (FINAL, 3)
            assert one.is_usable()
        stranger = Authority(tmp_path_factory.mktemp("another"), "Another CA").tls("TESTER")
        for spoilt, kind in (
            (replace(node, tls=stranger), NodeUnreachable),
            (replace(node, identity=Identity.password("alice", Secret.env("NOT_THERE"))), ConfigurationError),
            (replace(node, identity=None), AssociationRejected),
        ):
            with pytest.raises(kind), retriever(run, spoilt):
                pass


def test_a_context_of_ones_own(start_one: Start) -> None:
    """An `ssl.SSLContext` cannot be given to the receiver's process, and that is said; on threads it is used."""
    node = Node("127.0.0.1", free_port(), ae_title="NOBODY", tls=ssl.create_default_context())
    with start_one() as run, pytest.raises((ConfigurationError, NodeUnreachable)), retriever(run, node):
        pass


def _again(connection: Connection) -> None:
    store(connection, "1.2.3.1")


def _anew(connection: Connection) -> None:
    store(connection, "1.2.3.1", data_set("1.2.3.1", pixels=os.urandom(8)))


def _unasked(connection: Connection) -> None:
    store(connection, "1.2.9.1", data_set("1.2.9.1", study="1.2.9"))


def _without_end(connection: Connection) -> None:
    pour(connection, "1.2.3.1", data_set("1.2.3.1"), to_the_end=False)
    while True:
        connection.send(pdu(pdv(STORING, 0, bytes(200))))
        time.sleep(0.01)


@pytest.mark.parametrize("send", [_again, _anew, _unasked, _without_end])
def test_an_archive_that_sends_for_ever(start_one: Start, send: Callable[[Connection], None]) -> None:
    """The same image again and again, ever new versions of it, and one without end are no progress: it is ended."""

    def script(connection: Connection, request: Message) -> None:
        while True:
            send(connection)

    limits = Timeouts(connect=5, acse=5, stall=1, progress=1.5)
    begun = time.monotonic()
    with start_one(restrict=True) as run, peer(script) as node, retriever(run, node, limits) as one:
        end = get(one)
    assert (end.ended, end.lost_by) == (Ended.LOST, LostBy.TIMEOUT)
    assert "stall" in end.why or "progress" in end.why
    assert time.monotonic() - begun < 8
