"""TLS as a plain value: whom we trust, who we are, and the contexts that are made of it (PS3.15 section B.12)."""

from __future__ import annotations

import os
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dicomover.errors import ConfigurationError
from dicomover.security.secret import Secret, check_secret, open_kept
from dicomover.text.face import setting

__all__ = ["TLS", "TLSLike", "check_tls", "client_context", "server_context"]

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!eNULL:!aDSS"
"""For TLS 1.2, what RFC 9325 recommends and PS3.15 section B.13 permits; those of TLS 1.3 are all allowed."""
_MOST = 1 << 24  # bytes of a file of certificates
_NO_PEM = "give a file in PEM: `openssl x509 -inform der`, or `openssl pkcs12`, makes one of other kinds"


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """TLS on one leg: by which authority the other side is known, and what we show it. Files are read when used.

    TLS 1.2 and 1.3 with the ciphers of BCP 195, as in the profiles of PS3.15 sections B.12 and B.13. Whom we call
    always has to show a certificate that we trust, with the name that we call it by: nothing switches that off. For
    anything else give an `ssl.SSLContext` of your own in the place of this.

    Parameters
    ----------
    ca
        The certificates of the authorities that we trust (PEM), or the other side's own one. None takes the system's
        to call somebody; to receive, None lets in whoever calls, with and without a certificate.
    cert
        Our certificate (PEM), those that lead to the authority after it. Needed to receive, and to call where the
        other side wants to know us by it.
    key
        The key that belongs to it (PEM); in the certificate's file by default.
    password
        The key's, if it is encrypted: a `Secret`.
    name
        The name in the certificate of whom we call, if it is not the host by which we call it.
    peers
        When we receive: names (common name, DNS name or address) of which a caller's certificate has to have one.

    Raises
    ------
    ConfigurationError
        If one of them cannot be meant.

    Examples
    --------
    >>> TLS(ca="hospital-ca.pem", cert="research.pem", key="research.key")
    TLS(ca='hospital-ca.pem', cert='research.pem', key='research.key')
    """

    ca: str | os.PathLike[str] | None = None
    cert: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    password: Secret | None = None
    name: str | None = None
    peers: Collection[str] = ()

    def __post_init__(self) -> None:
        for file in ("ca", "cert", "key"):
            value = getattr(self, file)
            if value is not None and (not isinstance(value, str | os.PathLike) or not os.fspath(value)):
                raise ConfigurationError(f"TLS({file}={value!r}) names no file", "give its path")
            object.__setattr__(self, file, None if value is None else os.fspath(value))
        if isinstance(self.peers, str) or not all(isinstance(each, str) and each for each in self.peers):
            raise ConfigurationError(f"TLS(peers={self.peers!r}) is no list of names", "give, say, peers=['ARCHIVE']")
        object.__setattr__(self, "peers", tuple(self.peers))
        if self.cert is None and (self.key is not None or self.password is not None):
            raise ConfigurationError("TLS has a key without its certificate", f"name that too: {setting('cert')}")
        if self.password is not None:
            check_secret(self.password, "TLS(password=)")
        if self.name is not None and (not isinstance(self.name, str) or not self.name.strip()):
            raise ConfigurationError(f"TLS(name={self.name!r}) is no name", "give the one in the peer's certificate")
        if self.peers and self.ca is None:
            raise ConfigurationError(
                f"{setting('peers')} can be told only by certificates", f"name their authority too: {setting('ca')}"
            )

    def __repr__(self) -> str:
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return f"TLS({', '.join(f'{name}={value!r}' for name, value in given if value not in (None, ()))})"

    def to_plain(self) -> dict[str, Any]:
        """Return values that JSON can carry, for the pipe to a process of our own and for nothing else."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        # Where they are now: that process may have another working directory than this one by then.
        paths = {name: given[name] and os.path.abspath(_path(given[name])) for name in ("ca", "cert", "key")}  # noqa: PTH100
        return {**given, **paths, "password": self.password and self.password.to_plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TLS:
        """Take back what `to_plain` gave."""
        password = plain["password"] and Secret(*plain["password"])
        return cls(**{**plain, "password": password})


TLSLike = TLS | ssl.SSLContext


def check_tls(value: object) -> TLSLike | None:
    """Return what is to be TLS, or say that it cannot be."""
    if value is None or isinstance(value, TLS | ssl.SSLContext):
        return value
    raise ConfigurationError(f"tls={value!r} is no TLS", "write TLS(ca='ca.pem', cert='ours.pem', key='ours.key')")


def client_context(tls: TLSLike) -> ssl.SSLContext:
    """Return what we call somebody with; raises ConfigurationError if a file is not what it should be."""
    if isinstance(tls, ssl.SSLContext):
        return tls
    context = _new_context(ssl.PROTOCOL_TLS_CLIENT)  # which demands a certificate, and the name in it
    if tls.ca is None:
        context.load_default_certs()
    else:
        _trust(context, _path(tls.ca))
    if tls.cert is not None:
        _show(context, tls)
    return context


def server_context(tls: TLSLike) -> ssl.SSLContext:
    """Return what we are called with; raises ConfigurationError if a file is not what it should be."""
    if isinstance(tls, ssl.SSLContext):
        return tls
    if tls.cert is None:
        raise ConfigurationError(
            "to receive by TLS needs a certificate of ours", f"name it and its key: {setting('cert')}, {setting('key')}"
        )
    context = _new_context(ssl.PROTOCOL_TLS_SERVER)
    _show(context, tls)
    if tls.ca is not None:
        _trust(context, _path(tls.ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _new_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    # What we are given is trusted as it is, be it an authority, one below it, or the very certificate of the archive.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _path(path: str | os.PathLike[str]) -> str:
    return str(Path(path).expanduser())


def _trust(context: ssl.SSLContext, path: str) -> None:
    _see(path, b"CERTIFICATE-----", "certificate")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{path!r} holds no certificate that can be read ({_reason(error)})", _NO_PEM
        ) from error


def _show(context: ssl.SSLContext, tls: TLS) -> None:
    """Load our certificate and its key."""
    cert = _path(tls.cert or "")
    key = _path(tls.key or cert)
    _see(cert, b"CERTIFICATE-----", "certificate")
    _see(key, b"PRIVATE KEY-----", "private key")
    asked = []

    def unlock() -> bytes:  # called only for a key that is encrypted; without it OpenSSL would ask at the terminal
        asked.append(True)
        if tls.password is None:
            raise ConfigurationError(
                f"the key in {key!r} is encrypted", f"say where its password is kept: {setting('password')}"
            )
        return tls.password.read()

    try:
        context.load_cert_chain(cert, key, unlock)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what, mend = (
                f"the key in {key!r} is not that of the certificate in {cert!r}",
                "name the two that belong together",
            )
        elif asked:
            what, mend = f"the password of the key in {key!r} is another one", f"see what {tls.password!r} holds"
        elif error.reason and "TOO_" in error.reason:
            what, mend = f"the certificate in {cert!r} is too weak ({_reason(error)})", "have a new one made"
        else:
            what, mend = (
                f"{cert!r} and {key!r} hold no certificate and key that can be read ({_reason(error)})",
                _NO_PEM,
            )
        raise ConfigurationError(what, mend) from error
    except ConfigurationError:  # of the password, said already
        raise
    except ValueError as error:  # a password longer than OpenSSL takes
        raise ConfigurationError(f"the password of the key in {key!r} is none ({error})") from error


def _see(path: str, mark: bytes, what: str) -> None:
    """See that a file can be read and holds what it should; OpenSSL does not say which file it means."""
    with open_kept(path, what) as file:
        holds = mark in file.read(_MOST)  # what it holds is left in no frame that a traceback shows
    if not holds:
        raise ConfigurationError(f"there is no {what} in {path!r}", _NO_PEM)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no reason given").replace("_", " ").lower()
