"""One association, from its request to its end: the broken, the slow and the hostile end alone."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from dicomover.errors import AssociationLost, AssociationRejected, LostBy
from dicomover.events import Admission, Arrival, Refusal, Refused
from dicomover.receiver import Limits, Receiver
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp.association import IncomingAssociation
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.scp.store import Storage
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.messages import Context
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, P_DATA, PDU_HEAD, RELEASE_RQ
from receiver_kit import (
    CT,
    EXPLICIT,
    HASTY,
    Peer,
    Start,
    body_of,
    certificate,
    command,
    data_set,
    element,
    half_files,
    is_abort,
    pdu,
    pdv,
    raw_connection,
    read_to_end,
    running,
    wait_for,
)


@pytest.mark.parametrize(
    "first",
    [
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 64,
        PDU_HEAD.pack(ASSOCIATE_RQ, 0xFFFFFFFF),
        PDU_HEAD.pack(ASSOCIATE_RQ, (1 << 16) + 1),
        PDU_HEAD.pack(P_DATA, 100),
        PDU_HEAD.pack(ASSOCIATE_RQ, 68) + bytes(68),
        PDU_HEAD.pack(ASSOCIATE_RQ, 200) + os.urandom(200),
        PDU_HEAD.pack(ASSOCIATE_RQ, 0),
        PDU_HEAD.pack(RELEASE_RQ, 4) + bytes(4),
    ],
    ids=["ssh", "http", "tls", "zeros", "4GB", "64KiB", "p-data", "empty-request", "noise", "no-body", "release"],
)
def test_other_protocols_are_shown_out_at_once(start_one: Start, first: bytes) -> None:
    """What is no association request ends the connection, without waiting for a time-out."""
    with start_one() as run:
        begun = time.monotonic()
        with raw_connection(run.port) as sock:
            sock.sendall(first)
            answer = read_to_end(sock)
        assert time.monotonic() - begun < 4
        assert not answer or is_abort(answer) or answer[0] == 3


@pytest.mark.parametrize("sent", [3, 6, 9, 200, 900], ids=str)
def test_half_a_pdu_ends_with_an_abort(start_one: Start, sent: int) -> None:
    """A peer that stops in the middle of a PDU is aborted after the PDU time, and its half file goes."""
    data = data_set("1.2")
    with start_one(limits=HASTY) as run, run.peer() as peer:
        raw = pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:600])) + pdu(pdv(1, 2, data[600:]))
        peer.send(raw[:sent])
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer()
        assert run.files() == []


def test_an_object_without_its_last_fragment_is_given_up(start_one: Start) -> None:
    """Between two PDUs of a message the peer may not rest for longer than the PDU time either."""
    with start_one(limits=HASTY) as run, run.peer() as peer:
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2"))))
        begun = time.monotonic()
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer()
        assert 0.4 < time.monotonic() - begun < 4
        assert run.files() == []


def test_one_byte_at_a_time_is_slow_but_right(start_one: Start) -> None:
    """Bytes that come one by one make the same file."""
    data = data_set("1.2", pixels=bytes(20))
    with start_one() as run:
        with run.peer() as peer:
            for byte in pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:99])) + pdu(pdv(1, 2, data[99:])):
                peer.send(bytes((byte,)))
            assert peer.answer()["Status"] == 0
            peer.release()
        assert body_of(run.files()[0]) == data


def test_any_cut_of_the_stream_makes_the_same_file(start_one: Start) -> None:
    """Several PDVs in a PDU, several PDUs in a segment, empty fragments: the data set is the same."""
    data = data_set("1.2", pixels=os.urandom(300_000))
    pieces = [data[:1], b"", data[1:5], data[5:70_000], data[70_000:200_000], data[200_000:], b""]
    flags = [0] * (len(pieces) - 1) + [2]
    order = command("1.2")
    with start_one() as run:
        with run.peer() as peer:
            values = [pdv(1, 1, order[:7]), pdv(1, 1, b""), pdv(1, 3, order[7:])]
            values += [pdv(1, flag, piece) for flag, piece in zip(flags[:3], pieces[:3], strict=True)]
            raw = pdu(*values) + b"".join(pdu(pdv(1, f, p)) for f, p in zip(flags[3:], pieces[3:], strict=True))
            for start_ in range(0, len(raw), 77_777):
                peer.send(raw[start_ : start_ + 77_777])
            assert peer.answer()["Status"] == 0
            # two messages at once, in different contexts
            other = data_set("1.3", explicit=False)
            peer.send(
                pdu(pdv(1, 3, command("1.2", message_id=8)), pdv(1, 0, b""))
                + pdu(pdv(1, 0, data[:100_000]))
                + pdu(pdv(1, 0, data[100_000:200_000]))
                + pdu(pdv(1, 2, data[200_000:]))
                + pdu(pdv(3, 3, command("1.3", message_id=9)), pdv(3, 2, other))
            )
            assert [(a["MessageIDBeingRespondedTo"], a["Status"]) for a in (peer.answer(), peer.answer())] == [
                (8, 0),
                (9, 0),
            ]
            peer.release()
        assert [body_of(path) for path in run.files()] == [data, other]
        run.wait(3)
        assert [arrival.duplicate for arrival in run.arrivals] == [False, True, False]


@pytest.mark.parametrize(
    "raw",
    [
        PDU_HEAD.pack(P_DATA, 0xFFFFFFFF) + bytes(100),
        PDU_HEAD.pack(P_DATA, (1 << 17) + 1) + bytes(100),
        PDU_HEAD.pack(P_DATA, 3) + bytes(3),
        PDU_HEAD.pack(9, 4) + bytes(4),
        PDU_HEAD.pack(ASSOCIATE_RQ, 68) + bytes(68),
        PDU_HEAD.pack(RELEASE_RQ, 1 << 20) + bytes(100),
        pdu(struct.pack(">LBB", 0xFFFFFFFF, 1, 3) + bytes(10)),
        pdu(struct.pack(">LBB", 1, 1, 3) + bytes(10)),
        pdu(struct.pack(">LBB", 500, 1, 3) + bytes(10)),
        pdu(pdv(7, 3, command("1.2"))),
        pdu(pdv(0, 3, command("1.2"))),
        pdu(pdv(1, 2, b"a data set without a command")),
        pdu(pdv(1, 3, command("1.2")), pdv(3, 2, data_set("1.2"))),
        pdu(pdv(1, 3, command("1.2")), pdv(1, 3, command("1.2"))),
        pdu(pdv(1, 3, b"this is no command set at all")),
        pdu(*[pdv(1, 1, bytes(60_000))] * 2),
    ],
    ids=[
        "4GB",
        "too-long",
        "too-short",
        "unknown-type",
        "second-request",
        "long-release",
        "4GB-value",
        "value-of-1",
        "value-beyond-pdu",
        "context-not-offered",
        "context-0",
        "no-command",
        "context-changes",
        "two-commands",
        "no-command-set",
        "endless-command",
    ],
)
def test_what_the_standard_does_not_allow_is_aborted(start_one: Start, raw: bytes) -> None:
    """The association is aborted at once, and nothing is filed."""
    with start_one() as run, run.peer() as peer:
        peer.send(raw)
        with pytest.raises(AssociationLost, match="aborted"):
            peer.answer(4)
        assert run.files() == []


@pytest.mark.parametrize("how", ["abort", "close", "reset", "release"])
def test_an_end_in_the_middle_of_a_data_set_leaves_no_file(start_one: Start, how: str) -> None:
    """Abort, close, reset or release in the middle: no file, no event, no half file."""
    with start_one() as run:
        peer = run.peer()
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2")[:900])))
        time.sleep(0.1)
        sock = peer.connection.sock
        if how == "abort":
            peer.send(struct.pack(">BxLxxBB", ABORT, 4, 0, 0))
        elif how == "release":
            peer.send(struct.pack(">BxLxxxx", RELEASE_RQ, 4))
        elif how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.connection.close()
        limit = time.monotonic() + 3
        while half_files(run.folder):
            assert time.monotonic() < limit
            time.sleep(0.01)
        assert run.files() == []
        assert run.events == []


def test_a_store_without_a_data_set_or_another_service_is_answered(start_one: Start) -> None:
    """A C-STORE that announces no data set, and an operation that we do not offer, get a failure status."""
    with start_one() as run, run.peer() as peer:
        peer.send(pdu(pdv(1, 3, command("1.2", CommandDataSetType=0x0101))))
        assert peer.answer()["Status"] == 0xC000
        peer.send(pdu(pdv(1, 3, command("1.2", CommandField=0x0020)), pdv(1, 2, b"an identifier")))
        answer = peer.answer()
        assert (answer["Status"], answer["CommandField"]) == (0x0211, 0x8020)
        assert peer.store("1.2") == 0
        peer.release()
        assert len(run.files()) == 1


def test_tls_with_silent_clients_beside_it(tmp_path: Path) -> None:
    """Over TLS an instance arrives unchanged, while others hang in the handshake or speak plainly."""
    server, client = certificate(tmp_path)
    folder = tmp_path / "cohort"
    events: list[object] = []

    receiver = Receiver(
        folder,
        ae_title="ME",
        on_event=events.append,
        port=0,
        bind="127.0.0.1",
        restrict=False,
        tls=server,
        limits=HASTY,
    )
    data = data_set("1.2", pixels=os.urandom(700_000))
    with receiver:
        silent = [raw_connection(receiver.port) for _ in range(12)]
        silent[0].sendall(b"\x16\x03\x01")
        silent[1].sendall(PDU_HEAD.pack(ASSOCIATE_RQ, 200) + bytes(200))
        with Peer(receiver.port, tls=client) as peer:
            assert peer.store("1.2", data) == 0
            peer.release()
        read_to_end(silent[5])  # ends by itself, with a TLS alert at most
        for sock in silent:
            sock.close()
    assert len([event for event in events if isinstance(event, Arrival)]) == 1
    refusals = [event for event in events if isinstance(event, Refusal)]
    assert {(refusal.what, refusal.peer) for refusal in refusals} == {(Refused.CONNECTION, "127.0.0.1")}
    assert {refusal.why for refusal in refusals} == {
        "no TLS connection (it speaks DICOM without TLS, and we listen with TLS)",
        "no TLS connection (the handshake has not ended within 0.5 s)",
    }
    assert body_of(next(folder.rglob("*.dcm"))) == data
    assert not half_files(folder)


def test_activity_is_seen_in_the_middle_of_an_instance(start: Start) -> None:
    """`last_activity` moves while a data set is only half there, once it is known to be one that was asked for."""
    with start() as run, run.peer() as peer:
        time.sleep(0.05)
        before = run.receiver.last_activity
        data = data_set("1.2")
        peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data[:1000])))
        limit = time.monotonic() + 3
        while run.receiver.last_activity <= before:
            assert time.monotonic() < limit
            time.sleep(0.01)
        peer.send(pdu(pdv(1, 2, data[1000:])))
        assert peer.answer()["Status"] == 0
        peer.release()


def refuse_a_store(peer: Peer) -> None:
    """Store something that nobody has asked for."""
    assert peer.store("1.9", data_set("1.9", study="1.9")) == 0x0124


def send_half_a_stranger(peer: Peer) -> None:
    """Send a part of something that nobody has asked for, and then the rest."""
    data = data_set("1.9", study="1.9")
    peer.send(pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 0, data[:900])))
    time.sleep(0.1)
    peer.send(pdu(pdv(1, 2, data[900:])))
    assert peer.answer()["Status"] == 0x0124


@pytest.mark.parametrize("what", [Peer.echo, refuse_a_store, send_half_a_stranger])
def test_strangers_are_no_activity(start: Start, what: Callable[[Peer], object]) -> None:
    """What nobody has asked for is a call, and moves no clock that a request is given up by."""
    with start(restrict=True) as run:
        run.receiver.admit(Admission(1, study_uids=frozenset({"1.2.3.1"})))
        with run.peer() as peer:
            before, begun = run.receiver.last_activity, time.monotonic()
            what(peer)
            wait_for(lambda: run.receiver.last_call > begun)
            assert run.receiver.last_activity == before
            assert peer.store("1.2") == 0
            wait_for(lambda: run.receiver.last_activity > before)
            peer.release()


def test_an_association_that_brings_nothing_is_a_call(start: Start) -> None:
    """It is told as the peer is answered, so that whoever judges what the peer then says of us knows of it."""
    with start() as run:
        with pytest.raises(AssociationRejected):
            run.peer(called="ANOTHER")
        before = time.monotonic()
        assert run.receiver.last_call < before, "only who calls us by our name"
        with run.peer():
            pass
        limit = time.monotonic() + 3
        while run.receiver.last_call <= before:
            assert time.monotonic() < limit
            time.sleep(0.01)


def test_who_may_associate(start: Start) -> None:
    """Another called AE title is rejected 1/1/7, another calling one 1/1/3, and one too many 2/3/2."""
    with start(calling_ae_titles=["YOU"], max_associations=2) as run:
        with pytest.raises(AssociationRejected) as rejected:
            run.peer(called="ANY")
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 7)
        with pytest.raises(AssociationRejected) as rejected:
            run.peer(calling="WHO")
        assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (1, 1, 3)
        with run.peer() as one, run.peer() as two:
            assert [one.store("1.2"), two.store("1.3")] == [0, 0]
            with pytest.raises(AssociationRejected) as rejected:
                run.peer()
            assert (rejected.value.result, rejected.value.source, rejected.value.reason) == (2, 3, 2)
            assert [one.echo(), two.echo()] == [0, 0]
            one.release()
            two.release()
        refused = [(event.status, event.calling_ae_title) for event in run.wait(5) if isinstance(event, Refusal)]
        assert sorted(refused, key=str) == [(None, "WHO"), (None, "YOU"), (None, "YOU")]  # in any order of processes
        limit = time.monotonic() + 3  # the two must have been counted off
        while True:
            try:
                run.peer().release()
                break
            except AssociationRejected:
                assert time.monotonic() < limit
                time.sleep(0.01)


def test_a_request_with_too_many_contexts_is_aborted(start: Start) -> None:
    """More contexts than there are ids make no association."""
    contexts = tuple(Context(1, CT, (EXPLICIT,)) for _ in range(129))
    with start() as run, pytest.raises(AssociationLost):
        request_association_of(run.port, contexts)


def request_association_of(port: int, contexts: tuple[Context, ...]) -> None:
    """Send a request with contexts that pynetdicom itself would not send: the same one many times."""
    item = struct.pack(">BxHBxxx", 0x20, 0, 1)
    body = struct.pack(">HH", 1, 0) + b"ME".ljust(16) + b"YOU".ljust(16) + bytes(32)
    body += struct.pack(">BxH", 0x10, 21) + b"1.2.840.10008.3.1.1.1"
    for context in contexts:
        inner = struct.pack(">BxH", 0x30, len(context.abstract_syntax)) + context.abstract_syntax.encode()
        for syntax in context.transfer_syntaxes:
            inner += struct.pack(">BxH", 0x40, len(syntax)) + syntax.encode()
        body += item[:2] + struct.pack(">HBxxx", len(inner) + 4, context.id) + inner
    body += struct.pack(">BxHBxHL", 0x50, 8, 0x51, 4, 16384)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, len(body)) + body)
        answer = sock.recv(100)
    if answer[:1] == bytes((ABORT,)):
        raise AssociationLost("aborted", LostBy.ABORT)


@pytest.mark.parametrize(
    ("first", "what", "why"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refused.CONNECTION, "it speaks TLS, and we listen without"),
        (b"GET / HTTP/1.1\r\n\r\n", Refused.CONNECTION, "it speaks HTTP or the like, not DICOM"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", Refused.CONNECTION, "it speaks HTTP or the like, not DICOM"),
        (b"\0" * 64, Refused.CONNECTION, "not the beginning of a DICOM association"),
        (PDU_HEAD.pack(P_DATA, 100), Refused.CONNECTION, "not the beginning of a DICOM association"),
        (PDU_HEAD.pack(ASSOCIATE_RQ, 20) + bytes(20), Refused.ASSOCIATION, "association request"),
        (PDU_HEAD.pack(ASSOCIATE_RQ, 1 << 30), Refused.ASSOCIATION, "an association request of"),
    ],
    ids=["tls", "http", "ssh", "zeros", "p-data", "short-request", "long-request"],
)
def test_what_is_no_association_is_told(start_one: Start, first: bytes, what: Refused, why: str) -> None:
    """Whoever speaks another protocol to us, or a request that cannot be read, is told of, with the address."""
    with start_one() as run:
        with raw_connection(run.port) as sock:
            sock.sendall(first)
            read_to_end(sock)
        run.wait(1)
        (refusal,) = run.refusals
        assert (refusal.what, refusal.peer, refusal.status) == (what, "127.0.0.1", None)
        assert why in refusal.why


@pytest.mark.parametrize("called", ["me", "ME2", "Me", "OTHER"])
def test_a_wrong_called_title_is_told(start_one: Start, called: str) -> None:
    """How it called and who we are is told, and how to mend it."""
    with start_one() as run:
        with pytest.raises(AssociationRejected):
            run.peer(called=called)
        run.wait(1)
        (refusal,) = run.refusals
        assert (refusal.what, refusal.calling_ae_title) == (Refused.ASSOCIATION, "YOU")
        assert refusal.why == f"it calls {called!r}, we are 'ME'"
        assert "letter by letter" in refusal.mend


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (pdu(pdv(1, 0, bytes((1 << 17) + 1))), "a P-DATA-TF PDU of 131,079 bytes, where 131,072 at most"),
        (pdu(pdv(7, 3, command("1.2"))), "presentation context 7, which was not accepted"),
        (pdu(pdv(1, 2, b"a data set")), "a command or a data set where the other one was due"),
        (PDU_HEAD.pack(9, 4) + bytes(4), "a PDU of type 9"),
    ],
    ids=["long-pdu", "context", "no-command", "type"],
)
def test_an_abort_of_ours_is_told(start_one: Start, raw: bytes, why: str) -> None:
    """What the Standard does not allow ends the association, and who sent it and what it was is told."""
    with start_one() as run:
        with run.peer() as peer:
            peer.send(raw)
            with pytest.raises(AssociationLost):
                peer.answer(4)
        run.wait(1)
        (refusal,) = run.refusals
        assert (refusal.what, refusal.calling_ae_title, refusal.peer) == (Refused.ASSOCIATION, "YOU", "127.0.0.1")
        assert why in refusal.why


def test_who_keeps_us_waiting_in_a_message_is_told(start_one: Start) -> None:
    """A sender that stops in the middle of a data set is cut off and told of; one that rests between two is not."""
    with start_one(limits=HASTY) as run:
        with run.peer() as peer:
            peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2")[:900])))
            with pytest.raises(AssociationLost):
                peer.answer()
        with run.peer() as peer, pytest.raises(AssociationLost):
            peer.answer()
        (refusal,) = run.wait(1)
        assert isinstance(refusal, Refusal)
        assert refusal.why == "nothing came for 0.5 s in the middle of a message"


@pytest.mark.parametrize("what", ["command", "stranger", "refused"])
def test_a_message_without_end_is_ended(start_one: Start, what: str) -> None:
    """However steadily it comes: a command, what nobody asked for, and what was refused have their time and no more."""
    limits = Limits(message=0.5, closing=0.3)
    with start_one(limits=limits, restrict=True) as run, run.peer() as peer:
        run.receiver.admit(Admission(1, study_uids=frozenset({"1.2.3.1"})))
        if what == "command":
            more = pdu(pdv(1, 1, element(0x00000600, "AE", "X", explicit=False)))
        else:
            study = "1.2.3.1" if what == "refused" else "1.9"
            peer.send(pdu(pdv(1, 3, command("1.2"))) + pdu(pdv(1, 0, data_set("1.2", study=study)[:-1000])))
            # An element that cannot be, in the middle of one that was asked for.
            more = pdu(pdv(1, 0, bytes(1000)))
            if what == "refused":
                peer.send(more)
                more = pdu(pdv(1, 0, struct.pack("<HH", 0xFFFE, 0xE000) + b"UN\0\0" + b"\xff" * 4))
        begun = time.monotonic()

        def go_on() -> None:
            while time.monotonic() < begun + 8:
                peer.send(more)
                time.sleep(0.02)

        with pytest.raises((AssociationLost, OSError)):
            go_on()
        assert 0.3 < time.monotonic() - begun < 6
        wait_for(lambda: any("has not ended after 0.5 s" in refusal.why for refusal in run.refusals))


def test_an_instance_that_was_asked_for_may_take_its_time(start_one: Start) -> None:
    """A large one on a slow line is filed, however long it takes."""
    data = data_set("1.2", pixels=bytes(40_000))
    with start_one(limits=Limits(message=0.2)) as run, run.peer() as peer:
        peer.send(pdu(pdv(1, 3, command("1.2"))))
        for start in range(0, len(data), 4000):
            peer.send(pdu(pdv(1, 2 if start + 4000 >= len(data) else 0, data[start : start + 4000])))
            time.sleep(0.06)
        assert peer.answer()["Status"] == 0
        assert body_of(run.files()[0]) == data
        peer.release()


def test_a_peer_that_is_gone_is_seen(tmp_path: Path) -> None:
    """The system itself asks whether an idle peer is still there."""
    with running(tmp_path, False) as run, run.peer() as peer:
        (association,) = run.receiver._engine._service._current()  # type: ignore[union-attr]
        assert association._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        peer.release()


def test_who_is_sent_away_while_it_waits_gets_no_handshake(tmp_path: Path) -> None:
    """A ClientHello that has come already is read even after the connection was cut; it costs no signature then."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"\x16\x03\x01")
    host, door = MagicMock(), MagicMock()
    host.storage = Storage(
        ReceiverSettings(folder=str(tmp_path), ae_title="ME"),
        Filing(str(tmp_path), Layout()),
        Admissions(),
        lambda _: None,
    )
    host.charge.return_value = time.monotonic() + 60
    door.cost = 0.005
    association = IncomingAssociation(ours, "192.0.2.1:104", host, door)
    thread = threading.Thread(target=association.run)
    thread.start()
    wait_for(lambda: host.charge.called)
    association.end()
    thread.join(5)
    theirs.close()
    assert not thread.is_alive()
    assert not door.look_at.called
    assert not door.wrap.called
