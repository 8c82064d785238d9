"""How a TCP connection comes about, or why it does not."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicomover.errors import AssociationLost, LostBy, NodeUnreachable
from dicomover.node import Node, Timeouts
from dicomover.wire.association import Association
from dicomover.wire.transport import connect
from peers import need
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
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return certificate and key of somebody called `archive.example`, signed by nobody else."""
    openssl = need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=archive.example", "-addext", "subjectAltName=DNS:archive.example"]
    kind = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(files[1]), "-out", str(files[0])]
    subprocess.run([openssl, "req", "-x509", *kind, *names], check=True, capture_output=True, timeout=60)
    return files


@contextlib.contextmanager
def tls_server(certificate: tuple[Path, Path], *, wants_ours: bool = False) -> Iterator[int]:
    """Serve handshakes one after the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a refusal of ours comes within the handshake
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate[0])
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sock.settimeout(10)
                with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
                    secured.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(15)


def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return a context that trusts the certificate."""
    return ssl.create_default_context(cafile=str(certificate[0]))


def test_a_handshake_that_succeeds(certificate: tuple[Path, Path]) -> None:
    """A peer with the right certificate is spoken to in TLS."""
    context = trusting(certificate)
    context.check_hostname = False
    with tls_server(certificate) as port, connect(Node("127.0.0.1", port, tls=context), 10) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.version() == "TLSv1.2"


@pytest.mark.parametrize(
    ("how", "why", "mend"),
    [
        ("untrusted", "we do not trust it: self.signed certificate", "signed by an authority that we are given"),
        ("wrong-name", "we do not trust it: (IP address|Hostname) mismatch", "for '127.0.0.1'"),
        ("wants-ours", "it refuses us: ", "ask its administrator which certificate"),
        ("plain", "it does not answer in TLS: ", "a peer that speaks plain DICOM needs no tls"),
        ("closes", "it does not answer in TLS: |connection reset", "check the port"),
        ("silent", "no handshake within 0.5 s", "check that this port speaks TLS"),
    ],
)
def test_why_tls_does_not_come_about(certificate: tuple[Path, Path], how: str, why: str, mend: str) -> None:
    """Each way in which TLS can fail names the node, the cause and what to do."""
    context = ssl.create_default_context() if how == "untrusted" else trusting(certificate)
    context.check_hostname = how == "wrong-name"
    with contextlib.ExitStack() as stack:
        if how in ("untrusted", "wrong-name", "wants-ours"):
            port = stack.enter_context(tls_server(certificate, wants_ours=how == "wants-ours"))
        else:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            if how != "silent":

                def serve() -> None:
                    sock, _ = listener.accept()
                    with sock:
                        sock.recv(1)
                        if how == "plain":
                            sock.sendall(bytes.fromhex("07000000000400000000"))

                thread = threading.Thread(target=serve, daemon=True)
                thread.start()
                stack.callback(thread.join, 10)
        with pytest.raises(NodeUnreachable, match=why) as caught:
            connect(Node("127.0.0.1", port, ae_title="ARCHIVE", tls=context), 0.5 if how == "silent" else 10).close()
    assert caught.value.what.startswith(f"ARCHIVE@127.0.0.1:{port}: no TLS connection (")
    assert mend in caught.value.mend
