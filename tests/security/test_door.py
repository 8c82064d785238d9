"""The handshake with those who call us: who is let in, and why somebody is not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from dicomover import TLS, ConfigurationError
from dicomover.security.door import SecureDoor, Unsecured
from dicomover.security.tls import client_context
from security_kit import Authority, ExtendedKeyUsageOID


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that both sides trust."""
    return Authority(tmp_path_factory.mktemp("ca"))


def call(door: SecureDoor, tls: TLS | None, **settings: Any) -> Unsecured | None:
    """Call at a door; return why we are not let in."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)

    def shake() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            closing.enter_context(theirs)
            if tls is not None:
                context = client_context(tls)
                for name, value in settings.items():
                    setattr(context, name, value)
                secured = context.wrap_socket(theirs, server_hostname="localhost", do_handshake_on_connect=False)
                closing.enter_context(secured)
                secured.do_handshake()
                secured.recv(1)
            else:
                theirs.sendall(bytes.fromhex("1603010200010001fc0303"))

    caller = threading.Thread(target=shake, daemon=True)
    caller.start()
    secured = door.wrap(ours)
    try:
        door.shake_hands(secured)
    except Unsecured as error:
        return error
    finally:
        secured.close()
        caller.join(10)
    return None


def test_who_is_let_in(authority: Authority) -> None:
    """Anybody by default, who has a certificate of the authority with ca=, and who has one of the names with peers=."""
    ours = authority.issue("ours")
    archive = authority.tls("ARCHIVE", ("localhost", "pacs.example"))
    assert call(SecureDoor(TLS(cert=ours.cert, key=ours.key)), TLS(ca=authority.cert)) is None
    for peers in ((), ("archive",), ("OTHER", "PACS.example")):
        assert call(SecureDoor(TLS(ca=authority.cert, cert=ours.cert, key=ours.key, peers=peers)), archive) is None


def test_why_somebody_is_not_let_in(authority: Authority, tmp_path: Path) -> None:
    """Each cause has its words and its mend, for a row of the summary and for the doctor."""
    ours = authority.issue("ours")
    stranger = Authority(tmp_path, "Another CA").issue("ARCHIVE")
    old = authority.issue("ARCHIVE", days=(-3, -2))
    server = authority.issue("ARCHIVE", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    door = SecureDoor(TLS(ca=authority.cert, cert=ours.cert, key=ours.key, peers=["OTHER"]))

    def shows(files: Any) -> TLS:
        return TLS(ca=authority.cert, cert=files.cert, key=files.key)

    old_only = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    none, names = (
        "it shows no certificate, and we let in only",
        "its certificate names '127.0.0.1', 'localhost', 'ARCHIVE'",
    )
    for tls, settings, why, mend in (
        (TLS(ca=authority.cert), {}, none, "give it one of an authority"),
        (shows(stranger), {}, "its certificate is signed by an authority that is not among", "trust that: ca="),
        (shows(server), {}, "its certificate is not made for who calls", "for both, serverAuth and clientAuth"),
        (shows(old), {}, "its certificate, or one above it, has expired)", "the archive's administrator renew it"),
        (authority.tls("ARCHIVE"), {}, f"{names}, and none of those that may send", "add a name of it to peers="),
        (TLS(ca=stranger.cert), old_only, "it does not accept our certificate: unknown ca", "trust our certificate"),
        (None, {}, "it ended the connection in the middle of the handshake", "whether it trusts our certificate"),
    ):
        error = call(door, tls, **settings)
        assert error is not None
        assert error.why.startswith(f"no TLS connection ({why}"), error.why
        assert mend in error.mend


@pytest.mark.parametrize(
    ("first", "why"),
    [(b"\x01", "it speaks DICOM without TLS, and we listen with TLS"), (b"G", "it speaks neither TLS nor DICOM")],
)
def test_the_first_byte_tells_who_is_wrong_here(authority: Authority, first: bytes, why: str) -> None:
    """Plain DICOM is told apart before anything is answered; the beginning of a handshake passes."""
    door = SecureDoor(authority.tls("ours"))
    door.look_at(b"\x16")
    with pytest.raises(Unsecured) as caught:
        door.look_at(first)
    assert why in caught.value.why
    assert caught.value.mend


def test_without_a_certificate_nobody_can_be_received() -> None:
    """That is said when it is made."""
    with pytest.raises(ConfigurationError, match="needs a certificate of ours"):
        SecureDoor(TLS())


def test_what_a_handshake_costs_is_known(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the latest ones, whether they came to their end or not; it falls again, and has a bound."""
    ours = authority.issue("ours")
    door = SecureDoor(TLS(cert=ours.cert, key=ours.key))
    monkeypatch.setattr("dicomover.security.door.time.thread_time", iter([0.0, 0.02, 0.0, 0.0, 0.0, 9.0]).__next__)
    costs = []
    for _ in range(3):
        assert call(door, None) is not None
        costs.append(door.cost)
    assert costs == pytest.approx([0.02, 0.0196, 0.05])
