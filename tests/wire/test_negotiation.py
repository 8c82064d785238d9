"""How an association begins: against pynetdicom on loopback, as requestor and as acceptor, and against noise."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom import AE, build_role
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.sop_class import CTImageStorage, MRImageStorage, Verification

from dicomover import Node
from dicomover.errors import AssociationLost, AssociationRejected, ConfigurationError, LostBy, NodeError, ProtocolError
from dicomover.security import Identity, Secret
from dicomover.wire.association import Association
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    AssociationRequest,
    encode_accept,
    encode_reject,
    parse_request,
    request_association,
)
from dicomover.wire.pdus import ABORT, ASSOCIATE_RQ, PDU_HEAD
from dicomover.wire.transport import connect
from wire_kit import SHORT, listening

EXPLICIT, IMPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"
CONTEXTS = (
    Context(1, str(Verification), (EXPLICIT, IMPLICIT)),
    Context(3, str(CTImageStorage), (EXPLICIT,)),
    Context(5, str(MRImageStorage), (JPEG,)),
)


@contextmanager
def acceptor(*contexts: tuple[str, list[str]], **how: object) -> Iterator[Node]:
    """Run a pynetdicom acceptor on loopback."""
    entity = AE(ae_title="ARCHIVE")
    for name, value in how.items():
        setattr(entity, name, value)
    for abstract, transfer in contexts:
        entity.add_supported_context(abstract, transfer)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        yield Node("127.0.0.1", server.socket.getsockname()[1], ae_title="ARCHIVE")
    finally:
        server.shutdown()


@contextmanager
def connection_to(node: Node, **how: int) -> Iterator[Connection]:
    """Connect, and close whatever happens."""
    connection = Connection(connect(node, 10), **how)
    try:
        yield connection
    finally:
        connection.release(5)


@contextmanager
def serving(serve: Callable[[Connection], None]) -> Iterator[Node]:
    """Answer one connection on loopback by a function of ours."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def run() -> None:
            try:
                sock, _ = listener.accept()
                connection = Connection(sock)
                try:
                    serve(connection)
                finally:
                    connection.close()
            except BaseException as error:  # noqa: BLE001  it is raised below, in the test's thread
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Node("127.0.0.1", listener.getsockname()[1], ae_title="ARCHIVE")
        finally:
            thread.join(20)
    assert not failures, failures


def taken(connection: Connection) -> AssociationRequest:
    """Return the association request that comes first."""
    kind, body = connection.read_pdu()
    assert kind == ASSOCIATE_RQ
    return parse_request(body)


# --- we ask pynetdicom


def test_what_pynetdicom_accepts() -> None:
    """Afterwards the connection knows the accepted contexts with their transfer syntax, and the peer's PDU size."""
    with (
        acceptor((Verification, [IMPLICIT]), (CTImageStorage, [EXPLICIT]), maximum_pdu_size=32768) as node,
        connection_to(node) as connection,
    ):
        request_association(connection, node, "MOVESCU", CONTEXTS)
        assert connection.contexts == {
            1: Context(1, str(Verification), (IMPLICIT,)),
            3: Context(3, str(CTImageStorage), (EXPLICIT,)),
        }
        assert connection.peer_max_pdu == 32768


def test_a_pdu_size_without_limit() -> None:
    """A peer whose PDUs have no limit (0) is sent PDUs of a finite size."""
    with acceptor((Verification, [IMPLICIT]), maximum_pdu_size=0) as node, connection_to(node) as connection:
        request_association(connection, node, "MOVESCU", CONTEXTS)
        assert connection.peer_max_pdu > 16384


def test_nothing_accepted() -> None:
    """An association without any context is an association without contexts, not an error here."""
    with acceptor((MRImageStorage, [EXPLICIT])) as node, connection_to(node) as connection:
        request_association(connection, node, "MOVESCU", CONTEXTS[:1])
        assert connection.contexts == {}


@pytest.mark.parametrize(
    ("how", "numbers", "says"),
    [
        ({"require_called_aet": True}, (1, 1, 7), "; either it does not call itself 'OTHER'"),
        ({"require_calling_aet": ["SOMEONE"]}, (1, 1, 3), "add our AE title 'MOVESCU'"),
    ],
)
def test_rejections_by_pynetdicom(how: dict, numbers: tuple[int, int, int], says: str) -> None:
    """A rejection has its numbers, its reason in words, and what to do."""
    with acceptor((Verification, [IMPLICIT]), **how) as node, connection_to(node) as connection:
        called = Node(node.host, node.port, ae_title="OTHER" if "require_called_aet" in how else "ARCHIVE")
        with pytest.raises(AssociationRejected) as caught:
            request_association(connection, called, "MOVESCU", CONTEXTS)
    error = caught.value
    assert (error.result, error.source, error.reason) == numbers
    assert error.retriable is (numbers[0] == 2)
    assert says in str(error)


ROLES = {str(CTImageStorage): (False, True), str(MRImageStorage): (False, True)}


def test_pynetdicom_agrees_to_our_roles() -> None:
    """Of the storage classes that we propose to be SCP of, those stay that pynetdicom agrees to, and no other."""
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(CTImageStorage, [EXPLICIT], scu_role=False, scp_role=True)
    entity.add_supported_context(MRImageStorage, [JPEG], scu_role=False, scp_role=False)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    node = Node("127.0.0.1", server.socket.getsockname()[1], ae_title="ARCHIVE")
    try:
        with connection_to(node) as connection:
            request_association(connection, node, "MOVESCU", CONTEXTS, roles=ROLES)
            assert list(connection.contexts) == [3]
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    "identity",
    [
        None,
        Identity.user("älice", in_plain=True),
        Identity.password("alice", Secret.text("made-up-secret"), confirm=True, in_plain=True),
        Identity.jwt(Secret.text("made-up" * 500), in_plain=True),
    ],
    ids=["nobody", "user", "password", "jwt"],
)
def test_pynetdicom_would_send_the_same(identity: Identity | None) -> None:
    """Every octet of our request is as pynetdicom encodes what it has read of it."""
    sent = bytearray()

    def serve(connection: Connection) -> None:
        sent.extend(connection.read_pdu()[1])
        connection.send(encode_reject(1, 1, 1))

    with serving(serve) as node, connection_to(node) as connection, pytest.raises(AssociationRejected):
        request_association(connection, replace(node, identity=identity), "MOVESCU", CONTEXTS, roles=ROLES)
    raw = PDU_HEAD.pack(ASSOCIATE_RQ, len(sent)) + bytes(sent)
    read = A_ASSOCIATE_RQ()
    read.decode(raw)
    assert (read.called_ae_title, read.calling_ae_title) == ("ARCHIVE", "MOVESCU")
    assert [item.context_id for item in read.presentation_context] == [1, 3, 5]
    assert A_ASSOCIATE_RQ(read.to_primitive()).encode() == raw


# --- we ask ourselves, and worse


@pytest.mark.parametrize(
    ("answered", "stay"),
    [
        ({str(CTImageStorage): (False, True)}, [1, 3, 5]),
        ({str(CTImageStorage): (True, True), str(MRImageStorage): (False, False)}, [1, 3]),
        ({str(CTImageStorage): (True, False), str(MRImageStorage): (True, False)}, [1]),
        ({}, [1, 3, 5]),
        ({str(Verification): (False, False), "1.2.3": (False, False)}, [1, 3, 5]),
    ],
)
def test_a_role_that_is_denied_denies_the_context(answered: dict[str, tuple[bool, bool]], stay: list[int]) -> None:
    """What the peer does not let us be SCP of is not accepted; one that says nothing of roles may send all the same."""
    seen: list[AssociationRequest] = []

    def serve(connection: Connection) -> None:
        request = taken(connection)
        seen.append(request)
        accepted = {each.id: each.transfer_syntaxes[0] for each in request.contexts}
        connection.send(encode_accept(request, accepted, 65536, answered))
        connection.read_pdu()

    with serving(serve) as node, connection_to(node) as connection:
        request_association(connection, node, "MOVESCU", CONTEXTS, roles=ROLES)
        assert list(connection.contexts) == stay
        assert connection.peer_max_pdu == 65536
    assert seen[0].roles == ROLES


def test_our_request_is_read_as_it_was_meant() -> None:
    """Request, acceptance and refusals make the round trip between our two sides."""
    seen: list[AssociationRequest] = []

    def serve(connection: Connection) -> None:
        request = taken(connection)
        seen.append(request)
        connection.send(encode_accept(request, {1: IMPLICIT, 3: ""}, 65536))
        assert connection.read_pdu()[0] == 5, "a release request"
        connection.answer_release()

    with serving(serve) as node, connection_to(node, max_pdu=131072) as connection:
        request_association(connection, node, "MOVESCU", CONTEXTS)
        assert connection.contexts == {1: Context(1, str(Verification), (IMPLICIT,))}
        assert connection.peer_max_pdu == 65536
    assert seen == [AssociationRequest("ARCHIVE", "MOVESCU", CONTEXTS, 131072, IMPLEMENTATION_VERSION_NAME)]


@pytest.mark.parametrize(
    ("numbers", "retriable"),
    [
        ((1, 1, 1), False),
        ((1, 1, 2), False),
        ((1, 2, 2), False),
        ((2, 3, 1), True),
        ((1, 1, 99), False),
        ((9, 9, 9), False),
    ],
)
def test_our_rejections(numbers: tuple[int, int, int], retriable: bool) -> None:
    """Every rejection is read as it was encoded, also one that the Standard does not know."""

    def serve(connection: Connection) -> None:
        taken(connection)
        connection.send(encode_reject(*numbers))

    with serving(serve) as node, connection_to(node) as connection:
        with pytest.raises(AssociationRejected) as caught:
            request_association(connection, node, "MOVESCU", CONTEXTS)
        assert not connection.open
    assert (caught.value.result, caught.value.source, caught.value.reason) == numbers
    assert caught.value.retriable is retriable


@pytest.mark.parametrize(
    ("answer", "error", "by"),
    [
        (bytes.fromhex("07000000000400000000"), AssociationLost, LostBy.ABORT),
        (b"", AssociationLost, LostBy.CLOSED),
        (bytes.fromhex("02000000000400000000"), ProtocolError, None),
        (bytes.fromhex("0200000000ff") + b"\xff" * 255, ProtocolError, None),
        (bytes.fromhex("050000000004") + b"\0" * 4, ProtocolError, None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError, None),
    ],
    ids=["abort", "close", "empty acceptance", "garbled acceptance", "release", "HTTP"],
)
def test_answers_that_are_none(answer: bytes, error: type[Exception], by: LostBy | None) -> None:
    """Whatever else answers an association request is a named error, and the connection is closed."""

    def serve(connection: Connection) -> None:
        taken(connection)
        connection.send(answer)

    with serving(serve) as node, connection_to(node) as connection:
        with pytest.raises(error) as caught:
            request_association(connection, node, "MOVESCU", CONTEXTS)
        assert not connection.open
    assert getattr(caught.value, "by", None) == by


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


# --- pynetdicom asks us


def test_pynetdicom_reads_our_acceptance() -> None:
    """Pynetdicom takes what we accept, sees what we refuse and why, and our names."""
    seen: list[AssociationRequest] = []

    def serve(connection: Connection) -> None:
        request = taken(connection)
        seen.append(request)
        connection.send(encode_accept(request, {1: EXPLICIT, 3: ""}, 40000, request.roles))
        assert connection.read_pdu()[0] == 5, "a release request"
        connection.answer_release()

    entity = AE(ae_title="SENDER")
    for abstract, transfer in ((Verification, [EXPLICIT]), (CTImageStorage, [JPEG]), (MRImageStorage, [IMPLICIT])):
        entity.add_requested_context(abstract, transfer)
    with serving(serve) as node:
        role = build_role(Verification, scp_role=True)
        association = entity.associate(node.host, node.port, ae_title="ARCHIVE", ext_neg=[role])
        assert association.is_established
        accepted = [(item.abstract_syntax, list(item.transfer_syntax)) for item in association.accepted_contexts]
        assert [(item.as_scu, item.as_scp) for item in association.accepted_contexts] == [(False, True)]
        rejected = {item.abstract_syntax: item.result for item in association.rejected_contexts}
        acceptor_side = association.acceptor
        association.release()
    assert accepted == [(Verification, [EXPLICIT])]
    assert rejected == {CTImageStorage: 4, MRImageStorage: 3}
    assert acceptor_side.maximum_length == 40000
    assert acceptor_side.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert acceptor_side.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    (request,) = seen
    assert (request.called_ae_title, request.calling_ae_title) == ("ARCHIVE", "SENDER")
    assert request.contexts[1] == Context(3, str(CTImageStorage), (JPEG,))
    assert request.implementation.startswith("PYNETDICOM")


def test_pynetdicom_reads_our_rejection() -> None:
    """Pynetdicom sees the reason that we give."""

    def serve(connection: Connection) -> None:
        taken(connection)
        connection.send(encode_reject(1, 1, 7))

    entity = AE(ae_title="SENDER")
    entity.add_requested_context(Verification)
    with serving(serve) as node:
        association = entity.associate(node.host, node.port)
        assert association.is_rejected
        assert association.acceptor.primitive.reason_str == "Called AE title not recognised"


# --- noise


def body_of_a_request() -> bytes:
    """Return the body of a request that is well formed."""
    bodies: list[bytes] = []

    def serve(connection: Connection) -> None:
        bodies.append(bytes(connection.read_pdu()[1]))
        connection.send(encode_reject(1, 1, 1))

    with (
        serving(serve) as node,
        connection_to(node) as connection,
        pytest.raises(AssociationRejected),
    ):
        request_association(connection, node, "MOVESCU", CONTEXTS)
    return bodies[0]


@given(st.binary(max_size=400))
def test_random_bytes_are_a_value_error(body: bytes) -> None:
    """Bytes that are no association request are a ValueError and nothing else."""
    try:
        request = parse_request(body)
    except ValueError:
        return
    assert isinstance(request, AssociationRequest)


@pytest.fixture(scope="module")
def body() -> bytes:
    """Return the body of a request that is well formed."""
    return body_of_a_request()


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_request_is_a_value_error(body: bytes, data: st.DataObject) -> None:
    """A request that was cut or has wrong bytes is a ValueError or another request; what is read can be answered."""
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    try:
        request = parse_request(damaged)
    except ValueError:
        return
    assert all(isinstance(context, Context) for context in request.contexts)
    accepted = {context.id: next(iter(context.transfer_syntaxes), "") for context in request.contexts}
    assert encode_accept(request, accepted, 16384)[0] == 2


# --- user identity

SAID = "made-up-secret"


def sent_with(identity: Identity, answer: Callable[[bytes], bytes]) -> tuple[bytes, Association, NodeError | None]:
    """Ask for an association as somebody; return what was sent, the association, and why it did not come about."""
    sent = []

    def serve(connection: Connection) -> None:
        _, body = connection.read_pdu()
        sent.append(bytes(body))
        connection.send(answer(sent[0]))
        connection.read_pdu()

    with listening(serve) as node:
        association, trouble = Association(replace(node, identity=identity), "TESTER", SHORT), None
        try:
            association.open()
        except NodeError as error:
            trouble = error
        association.release()
    return sent[0], association, trouble


def accept_all(more: bytes = b"") -> Callable[[bytes], bytes]:
    """Accept every context; with further sub-items of the user information."""

    def answer(body: bytes) -> bytes:
        request = parse_request(body)
        raw = encode_accept(request, {context.id: IMPLICIT for context in request.contexts}, 1 << 14)
        at = raw.index(b"\x50\x00", 74)
        user = raw[at + 4 :] + more
        items = raw[6:at] + struct.pack(">BxH", 0x50, len(user)) + user
        return struct.pack(">BxL", 2, len(items)) + items

    return answer


@pytest.mark.parametrize(
    ("identity", "item"),
    [
        (Identity.user("alice", in_plain=True), b"\x01\x00\x00\x05alice\x00\x00"),
        (Identity.password("alice", Secret.text(SAID), confirm=True, in_plain=True), b"\x02\x01\x00\x05alice\x00\x0e"),
        (Identity.saml(Secret.text(SAID), in_plain=True), b"\x04\x00\x00\x0emade-up-secret\x00\x00"),
        (Identity.jwt(Secret.text(SAID), in_plain=True), b"\x05\x00\x00\x0emade-up-secret\x00\x00"),
    ],
    ids=["user", "password", "saml", "jwt"],
)
def test_the_identity_on_the_wire(identity: Identity, item: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is one sub-item 0x58 (PS3.7 section D.3.3.7.1), and no log says what is secret in it."""
    caplog.set_level("DEBUG")
    answered = accept_all(b"\x59\x00\x00\x02\x00\x00") if identity.confirm else accept_all()
    sent, _, trouble = sent_with(identity, answered)
    assert trouble is None
    assert sent.count(b"\x58\x00") == 1
    at = sent.index(b"\x58\x00") + 4
    assert sent[at:].startswith(item)
    assert SAID not in caplog.text
    assert ("confirms our identity" in caplog.text) is identity.confirm


def test_an_archive_that_says_nothing_of_the_identity(caplog: pytest.LogCaptureFixture) -> None:
    """A word that was asked for and does not come ends nothing; the log says so."""
    caplog.set_level("INFO", "dicomover")
    identity = Identity.user("alice", confirm=True, in_plain=True)
    assert sent_with(identity, accept_all())[2] is None
    assert "does not confirm, and may not look at, our identity" in caplog.text


@pytest.mark.parametrize(("rejection", "mentions"), [((1, 1, 1), True), ((1, 1, 7), True), ((2, 3, 2), False)])
def test_a_rejection_mentions_the_identity(rejection: tuple[int, int, int], mentions: bool) -> None:
    """Archives reject a user under any reason; what is for now has another cause."""
    identity = Identity.password("alice", Secret.text(SAID), in_plain=True)
    _, _, trouble = sent_with(identity, lambda _: encode_reject(*rejection))
    assert isinstance(trouble, AssociationRejected)
    assert ("does not accept user 'alice' with a password, whom we have named" in trouble.mend) is mentions


def test_no_traceback_shows_the_secret() -> None:
    """Whatever goes wrong after the request was encoded: no frame has the secret in what it shows of its locals."""
    node = Node("127.0.0.1", 104, identity=Identity.password("alice", Secret.text(SAID), in_plain=True))
    ours, theirs = socket.socketpair()
    theirs.close()
    connection = Connection(ours)
    with pytest.raises(AssociationLost) as caught:
        request_association(connection, node, "TESTER", CONTEXTS)
    connection.close()
    frame = caught.tb.tb_next
    while frame is not None:
        assert SAID not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


def test_an_identity_without_room() -> None:
    """What an association request cannot hold is an error that shows nothing of it; nothing was sent."""
    token = SAID * 4_000
    node = Node("127.0.0.1", 104, identity=Identity.jwt(Secret.text(token), in_plain=True))
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    with pytest.raises(ConfigurationError, match=r"a JSON Web Token has 56,000 bytes") as caught:
        request_association(connection, node, "TESTER", CONTEXTS)
    connection.close()
    assert theirs.recv(1) == b""
    theirs.close()
    frame = caught.tb.tb_next
    while frame is not None:
        assert SAID not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


def test_a_secret_that_is_not_there() -> None:
    """It is an error of the settings; nothing was sent."""
    with listening(lambda _: None) as node:
        asked = replace(node, identity=Identity.jwt(Secret.env("MADE_UP_MISSING"), in_plain=True))
        association = Association(asked, "TESTER", SHORT)
        with pytest.raises(ConfigurationError, match="MADE_UP_MISSING"):
            association.open()
        association.release()
