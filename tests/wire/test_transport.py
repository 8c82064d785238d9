"""How a TCP connection comes about, or why it does not."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import AssociationLost, LostBy, NodeUnreachable
from dicomover.node import Node, Timeouts
from dicomover.security import TLS
from dicomover.wire.association import Association
from dicomover.wire.transport import connect
from security_kit import Authority, ExtendedKeyUsageOID, Files, listening
from wire_kit import NEVER, in_a_thread


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


def test_a_host_that_cannot_be_a_name() -> None:
    """A host that no resolver can even ask for is an unreachable node."""
    association = Association(Node("a" * 70, 104, ae_title="ARCHIVE"), "US", Timeouts())
    with pytest.raises(NodeUnreachable, match="cannot be resolved"):
        association.open()
    association.release()


# --- a name with several addresses


@pytest.fixture
def there() -> Iterator[socket.socket]:
    """Listen on loopback; connections are taken by the system."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """Return an address where a connection is never answered, on the loopback too."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()


NO_FAMILY = ("127.0.0.2", 99)


def closed_port() -> tuple[str, int]:
    """Return an address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name stand for these addresses; one with port 99 is of a family that this system does not know."""

    def getaddrinfo(host: str, port: int, *_: object, flags: int = 0, **__: object) -> list[object]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = [99 if address[1] == 99 else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 0, "", address) for family, address in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("kind", ["refused", "no-such-family", "silent", "several"])
def test_one_address_does_not_end_the_list(
    monkeypatch: pytest.MonkeyPatch, there: socket.socket, silent: tuple[str, int], kind: str
) -> None:
    """An address that refuses, does not answer, or cannot even be tried is passed over, however many there are."""
    troubles = {
        "refused": [closed_port()],
        "no-such-family": [NO_FAMILY],
        "silent": [silent],
        "several": [closed_port(), NO_FAMILY, silent, closed_port(), silent, NO_FAMILY],
    }[kind]
    resolve_to(monkeypatch, *troubles, there.getsockname())
    with connect(Node("archive.example", 104), 20) as sock:
        assert sock.getpeername() == there.getsockname()


def test_an_address_that_does_not_answer_costs_a_moment(
    monkeypatch: pytest.MonkeyPatch, there: socket.socket, silent: tuple[str, int]
) -> None:
    """The next address is tried beside one that does not answer, whatever time there is; and the first one may win."""
    begun = time.monotonic()
    resolve_to(monkeypatch, silent, there.getsockname())
    with connect(Node("archive.example", 104), 60) as sock:
        assert sock.getpeername() == there.getsockname()
    assert time.monotonic() - begun < 10
    resolve_to(monkeypatch, there.getsockname(), silent)
    with connect(Node("archive.example", 104), None) as sock:
        assert sock.getpeername() == there.getsockname()


def test_every_address_has_its_reason(monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int]) -> None:
    """Where none answers, each address is told with its own reason; one reason for all is told once."""
    resolve_to(monkeypatch, silent, NO_FAMILY)
    with pytest.raises(NodeUnreachable) as caught:
        connect(Node("archive.example", 104), 0.5)
    assert "127.0.0.1: no answer within 0.5 s" in caught.value.what
    assert "127.0.0.2: Address family not supported" in caught.value.what
    assert caught.value.code is None
    resolve_to(monkeypatch, closed_port(), closed_port())
    with pytest.raises(NodeUnreachable, match=r"no TCP connection \(Connection refused\)") as caught:
        connect(Node("archive.example", 104), 5)
    assert caught.value.code == errno.ECONNREFUSED


def test_nothing_is_left_of_a_race(monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int]) -> None:
    """No descriptor stays behind, whoever wins."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("descriptors cannot be counted here")
    resolve_to(monkeypatch, silent, silent, closed_port())
    with contextlib.suppress(NodeUnreachable):
        connect(Node("archive.example", 104), 0.1)  # what is opened once is open now
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NodeUnreachable):
        connect(Node("archive.example", 104), 0.6)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_node_on_ipv6(host: str) -> None:
    """An address of IPv6 is reached, with its brackets and without."""
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listener, connect(Node(host, listener.getsockname()[1]), 10) as sock:
        assert sock.getpeername()[0] == "::1"


def test_a_connection_is_kept_alive(there: socket.socket) -> None:
    """The system looks after an idle connection, so that one that a firewall has forgotten is known to be gone."""
    with connect(Node("127.0.0.1", there.getsockname()[1]), 10) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


# --- what nothing can interrupt is waited for on another thread


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let a name server answer only at the end of the test."""
    over = threading.Event()

    def getaddrinfo(*_: object, flags: int = 0, **__: object) -> list[object]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield over
    over.set()


def test_a_name_server_that_does_not_answer(slow_names: threading.Event) -> None:
    """The look-up of a name has the time of the connection, and no more."""
    begun = time.monotonic()
    with pytest.raises(NodeUnreachable, match=r"'archive.example' cannot be resolved \(no answer within 0.2 s\)"):
        connect(Node("archive.example", 104), 0.2)
    assert time.monotonic() - begun < 10


def stop_while(work: Callable[[Association], object], node: Node, how: str) -> AssociationLost:
    """Cancel or kill an association while it opens, and return what that raises."""
    association = Association(node, "TESTER", NEVER)

    def run() -> object:
        try:
            return work(association)
        except AssociationLost as error:
            return error

    with in_a_thread(run) as results:
        time.sleep(0.1)
        getattr(association, how)()
    association.release()
    (error,) = results
    assert isinstance(error, AssociationLost)
    return error


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_cancel_while_a_name_is_looked_up(slow_names: threading.Event, how: str) -> None:
    """Nobody waits for a name server when the batch is over."""
    assert stop_while(Association.open, Node("archive.example", 104), how).by is LostBy.STOPPED


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_cancel_while_nobody_answers(silent: tuple[str, int], how: str) -> None:
    """Nobody waits for a connection when the batch is over."""
    assert stop_while(Association.open, Node(*silent), how).by is LostBy.STOPPED


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_cancel_while_tls_begins(there: socket.socket, how: str) -> None:
    """Nobody waits for a handshake when the batch is over."""
    node = Node("127.0.0.1", there.getsockname()[1], tls=ssl.create_default_context())
    assert stop_while(Association.open, node, how).by is LostBy.STOPPED


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that we trust."""
    return Authority(tmp_path_factory.mktemp("ca"))


def serving(files: Files, *, trusts: Path | None = None, **others: Any) -> ssl.SSLContext:
    """Return the context of an archive; with `trusts` it wants a certificate of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if trusts is not None:
        context.load_verify_locations(trusts)
        context.verify_mode = ssl.CERT_REQUIRED
    if "ciphers" in others:
        context.set_ciphers(others.pop("ciphers"))
    for name, value in others.items():
        setattr(context, name, value)
    return context


def refuse(node: Node, seconds: float = 10) -> NodeUnreachable:
    """Ask for an association that does not come about, and return why."""
    association = Association(node, "TESTER", Timeouts(connect=seconds, acse=seconds))
    with pytest.raises(NodeUnreachable) as caught:
        association.open()
    association.release()
    assert caught.value.what.startswith(f"ARCHIVE@{node.host}:{node.port}: no TLS connection (")
    return caught.value


def read_all(sock: socket.socket) -> None:
    """Read what comes, and answer nothing."""
    while sock.recv(1000):
        pass


def test_a_handshake_that_succeeds(authority: Authority) -> None:
    """A peer with the right certificate is spoken to in TLS 1.3, one that has only 1.2 in that; each shows its own."""
    for most in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = serving(authority.issue("archive"), trusts=authority.cert, maximum_version=most)
        with (
            listening(read_all, context) as port,
            connect(Node("127.0.0.1", port, tls=authority.tls("ours")), 10) as sock,
        ):
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.version() == most.name.replace("v1_", "v1.")


def test_whom_we_trust(authority: Authority, tmp_path: Path) -> None:
    """An authority, the very certificate of the archive, a name that is not the host, and a context of one's own."""
    elsewhere = Authority(tmp_path).issue("archive", ("archive.example",))
    own = ssl.create_default_context(cafile=str(elsewhere.cert))
    own.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    own.check_hostname = False
    for tls in (TLS(ca=elsewhere.cert, name="archive.example"), own):
        with listening(read_all, serving(elsewhere)) as port:
            connect(Node("127.0.0.1", port, tls=tls), 10).close()
    common_name = authority.issue("localhost", ())  # and no other, as old ones have it
    with listening(read_all, serving(common_name)) as port:
        connect(Node("localhost", port, tls=TLS(ca=authority.cert)), 10).close()
    by_itself = authority.issue("archive", by_itself=True)
    with listening(read_all, serving(by_itself)) as port:
        connect(Node("127.0.0.1", port, tls=TLS(ca=by_itself.cert)), 10).close()


DAYS = r"\d{4}-\d\d-\d\d"


@pytest.mark.parametrize(
    ("how", "why", "mend"),
    [
        ("expired", rf"has expired \(it ended on {DAYS}\)", rf"administrator renew it; by our clock today is {DAYS}"),
        ("too early", rf"is not valid yet \(it begins on {DAYS}\)", "see whether the clocks are right on both sides"),
        ("expired above", "the certificate of an authority above its own has expired", "administrator renew it"),
        ("made for callers", "is not made for who is called", "one made for both, serverAuth and clientAuth"),
        ("wrong name", "is for 'pacs.example', '10.9.8.7', 'archive', and not for '127.0.0.1'", r"say name='pacs"),
        ("itself", "certificate .*'archive'.* is signed by itself, and not among those in '.*ca", "and trust it: ca="),
        ("stranger", "is signed by 'Another CA', which is not among those in '.*ca.pem'", "certificate of its auth"),
        ("nobody trusted", "signed by 'Made-up .* CA', which is not among the authorities", "trust that: ca="),
        ("wants ours", "it wants a certificate of ours, and has got none: certificate required", "cert= and key="),
        ("wants ours, 1.2", "it refuses us: handshake failure", "it may want a certificate of ours"),
        ("distrusts ours", "it does not accept our certificate: unknown ca", "ask its administrator to trust"),
        ("distrusts ours, 1.2", "it does not accept our certificate: unknown ca", "ask its administrator to trust"),
        ("finds ours expired", "it does not accept our certificate: certificate expired", "made for both sides"),
        ("other ciphers", "it refuses us: handshake failure", "PS3.15 section B.12; .* give an ssl.SSLContext of"),
        ("speaks plain DICOM", "it does not answer in TLS: ", "a peer that speaks plain DICOM needs none"),
        ("speaks HTTP", "it does not answer in TLS: ", "a peer that speaks plain DICOM needs none"),
    ],
)  # fmt: skip
def test_why_tls_does_not_come_about(authority: Authority, tmp_path: Path, how: str, why: str, mend: str) -> None:
    """Each way in which TLS can fail names the node, the cause and what to do; to try again would be in vain."""
    days = {"expired": (-3, -2), "too early": (2, 3)}.get(how, (-1, 1))
    names = ("pacs.example", "10.9.8.7") if how == "wrong name" else ("127.0.0.1",)
    signer = Authority(tmp_path / "another", "Another CA") if how == "stranger" else authority
    if how == "expired above":
        signer = authority = Authority(tmp_path / "old", days=(-10, -5))
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if how == "made for callers" else None
    files = signer.issue("archive", names, days=days, by_itself=how == "itself", purpose=purpose)
    settings: dict[str, Any] = {}
    tls = TLS(ca=authority.cert)
    if how.endswith("1.2") or how == "other ciphers":
        settings["maximum_version"] = ssl.TLSVersion.TLSv1_2
    if how == "other ciphers":
        settings["ciphers"] = "ECDHE-ECDSA-AES128-SHA256"
    if how == "nobody trusted":
        tls = TLS()
    if "ours" in how:
        settings["trusts"] = authority.cert
        ours = authority if "expired" in how else Authority(tmp_path / "unknown", "Unknown CA")
        shown = ours.issue("ours", days=(-3, -2) if "expired" in how else (-1, 1))
        tls = tls if "wants" in how else TLS(ca=authority.cert, cert=shown.cert, key=shown.key)
    plain = {"speaks plain DICOM": bytes.fromhex("07000000000400000000"), "speaks HTTP": b"HTTP/1.1 400 \r\n\r\n"}

    def answer(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(plain[how])
        read_all(sock)

    with listening(*((answer,) if how in plain else (read_all, serving(files, **settings)))) as port:
        error = refuse(Node("127.0.0.1", port, ae_title="ARCHIVE", tls=tls))
    assert re.search(why, error.what), error.what
    assert re.search(mend, error.mend), error.mend
    assert not error.retriable


@pytest.mark.parametrize("how", ["silent", "ends", "resets"])
def test_a_handshake_that_does_not_end(authority: Authority, how: str) -> None:
    """A peer that says nothing has so many seconds, and one that leaves without a word may be there again later."""

    def serve(sock: socket.socket) -> None:
        if how == "silent":
            read_all(sock)
            return
        sock.recv(1000)  # all of it, so that the end is no reset unless it is to be one
        if how == "resets":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(serve) as port:
        error = refuse(Node("127.0.0.1", port, ae_title="ARCHIVE", tls=TLS(ca=authority.cert)), 0.5)
    assert ("no handshake within 0.5 s" if how == "silent" else "ends the connection: ") in error.what
    assert "its port for TLS" in error.mend or "this port speaks TLS" in error.mend
    assert error.retriable


def test_a_name_that_no_certificate_can_have(authority: Authority) -> None:
    """It is an error of the node's, told as such."""
    with listening(read_all) as port:
        node = Node("127.0.0.1", port, ae_title="ARCHIVE", tls=TLS(ca=authority.cert, name="." + "x" * 300))
        assert "check how the host is written" in refuse(node).mend


def test_a_peer_that_leaves_after_the_handshake(authority: Authority) -> None:
    """One that ends the connection upon our request, without a word, may not accept us: that is told."""
    with listening(lambda sock: sock.recv(1000), serving(authority.issue("archive"))) as port:
        association = Association(Node("127.0.0.1", port, tls=TLS(ca=authority.cert)), "TESTER", NEVER)
        with pytest.raises(
            AssociationLost, match=r"ended the TLS connection .* may not accept our certificate"
        ) as caught:
            association.open()
        association.release()
    assert caught.value.by is LostBy.CLOSED
