"""Certificates that are made when a test needs them, and peers that shake hands with them."""

# ruff: noqa: TID253 - only tests that need certificates import this

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dicomover import TLS

__all__ = ["Authority", "ExtendedKeyUsageOID", "Files", "listening"]


class Files(NamedTuple):
    """A certificate and its key, in PEM."""

    cert: Path
    key: Path


class Authority:
    """An authority that signs certificates; its own one is at `cert`."""

    def __init__(self, folder: Path, name: str = "Made-up Hospital CA", days: tuple[int, int] = (-10, 10)) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._numbers = itertools.count()
        self.cert, _ = self._write("ca", self._sign(self._name, self._key, (), days, is_ca=True), self._key, None)

    def issue(
        self,
        name: str,
        names: Sequence[str] = ("127.0.0.1", "localhost"),
        *,
        days: tuple[int, int] = (-1, 1),
        password: str | None = None,
        by_itself: bool = False,
        purpose: x509.ObjectIdentifier | None = None,
    ) -> Files:
        """Sign a certificate for somebody, valid from so many days from now to so many."""
        key = ec.generate_private_key(ec.SECP256R1())
        by = (key, _name(name)) if by_itself else None
        signed = self._sign(_name(name), key, names, days, by=by, purpose=purpose)
        return self._write(f"{name}-{next(self._numbers)}", signed, key, password)

    def tls(self, whose: str, names: Sequence[str] = ("127.0.0.1", "localhost"), **others: Any) -> TLS:
        """Return TLS with a certificate for somebody, which trusts whom this authority has signed."""
        files = self.issue(whose, names)
        return TLS(ca=self.cert, cert=files.cert, key=files.key, **others)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[str],
        days: tuple[int, int],
        *,
        is_ca: bool = False,
        by: tuple[ec.EllipticCurvePrivateKey, x509.Name] | None = None,
        purpose: x509.ObjectIdentifier | None = None,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        signer, issuer = by or (self._key, self._name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), False)
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        return builder.sign(signer, hashes.SHA256())

    def _write(self, stem: str, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey, password: str | None) -> Files:
        files = Files(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        files.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        locked = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
        return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Listen on a port, and serve one connection after the other, by TLS if there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sock.settimeout(10)
                with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
                    closing.enter_context(sock)
                    serve(sock if tls is None else closing.enter_context(tls.wrap_socket(sock, server_side=True)))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(15)
