"""Why TLS does not come about, whoever called: in words, with what to do, and whether it may be otherwise next time."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dicomover.security.tls import TLS, TLSLike
from dicomover.text.face import in_python, setting

__all__ = ["Certificate", "Failure", "Peer", "explain_failure", "is_refusal", "names_in", "read_certificate"]

Certificate = Mapping[str, Any]
"""As `ssl.SSLSocket.getpeercert` has it; empty if it could not be had."""

_EXPIRED, _NOT_YET, _SELF_SIGNED, _OTHER_PURPOSE, _WRONG_NAMES = 10, 9, 18, 26, (62, 64)
_UNKNOWN_AUTHORITY, _TOO_WEAK = (2, 19, 20, 21), (66, 67, 68)
"""What OpenSSL finds wrong with a certificate (X509_V_ERR_...)."""
_PLAIN = ("wrong version number", "record layer failure", "http request", "packet length too long", "unknown protocol")
_NOTHING_SHARED = (
    "unsupported protocol", "no shared cipher", "no ciphers available", "version too low", "wrong ssl version",
    "dh key too small", "no protocols available", "bad ecpoint", "no suitable signature algorithm",
    "no suitable key share", "wrong cipher returned", "unsafe legacy renegotiation disabled",
)  # fmt: skip
_OF_CERTIFICATES = ("certificate", "unknown ca", "access denied", "decrypt error")
_OF_VERSIONS = ("protocol version", "insufficient security", "handshake failure")
_MOST_NAMES = 5


class Failure(NamedTuple):
    """Why TLS did not come about."""

    why: str
    mend: str
    hopeless: bool = True  # whether it ends so until somebody mends it


class Peer(NamedTuple):
    """Whom we shake hands with."""

    tls: TLSLike  # what we do it with
    certificate: Certificate = MappingProxyType({})  # what it has shown
    host: str = ""  # by which we call it; empty if it calls us


def read_certificate(secured: ssl.SSLSocket) -> Certificate:
    """Return what the peer has shown, even if it is not trusted; empty where that cannot be told."""
    with contextlib.suppress(Exception):  # an inner one of the ssl module, without which less is said
        return secured._sslobj.get_unverified_chain()[0].get_info()  # type: ignore[attr-defined,no-any-return]
    return {}


def names_in(certificate: Certificate) -> list[str]:
    """Return the names that a certificate has: DNS names, addresses, and its common name.

    Examples
    --------
    >>> names_in({"subject": ((("commonName", "ARCHIVE"),),), "subjectAltName": (("DNS", "pacs.example.org"),)})
    ['pacs.example.org', 'ARCHIVE']
    """
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    return list(dict.fromkeys(filter(None, [*names, _common_name(certificate, "subject")])))


def is_refusal(error: BaseException | None) -> bool:
    """Tell whether the peer has refused us by an alert; with TLS 1.3 it may come after the handshake."""
    return isinstance(error, ssl.SSLError) and " alert " in f" {_reason(error)} "


def explain_failure(error: OSError, peer: Peer) -> Failure:
    """Say why a handshake has failed.

    Examples
    --------
    >>> error = ssl.SSLError(1, "")
    >>> error.reason = "TLSV1_ALERT_UNKNOWN_CA"
    >>> print(explain_failure(error, Peer(TLS(cert="ours.pem"), host="pacs.example.org")).why)
    it does not accept our certificate: unknown ca
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, peer)
    reason = _reason(error)
    _, is_alert, alert = reason.partition("alert ")
    if is_alert:
        return _explain_alert(alert, peer)
    if "did not return a certificate" in reason:
        mend = "let its administrator give it one of an authority that we trust"
        return Failure("it shows no certificate, and we let in only who has one", mend)
    if any(word in reason for word in _PLAIN):
        mend = "see whether this is its port for TLS; a peer that speaks plain DICOM needs none"
        if not peer.host:
            mend = "let it send by TLS, or listen without"
        return Failure(f"it does not answer in TLS: {reason}", mend)
    if any(word in reason for word in _NOTHING_SHARED):
        return Failure(f"we have no version or cipher of TLS in common: {reason}", _older())
    if isinstance(error, ssl.SSLEOFError | ConnectionError) or "unexpected eof" in reason:
        mend = "see whether this is its port for TLS, and in its log whether it refuses us"
        if not peer.host:
            mend = "see in its log whether it trusts our certificate, and the name in that"
            return Failure(f"it ended the connection in the middle of the handshake: {reason}", mend, hopeless=False)
        return Failure(f"it does not answer in TLS, but ends the connection: {reason}", mend, hopeless=False)
    return Failure(reason, "check the certificates and the versions of TLS on both sides", hopeless=False)


def _older() -> str:
    """Say what we speak; in Python anything else can be had."""
    ours = "we speak TLS 1.2 and 1.3 with the ciphers of PS3.15 section B.12; let it be set up so"
    return ours + in_python(", or give an ssl.SSLContext of your own as tls= for an older peer")


def _explain_certificate(error: ssl.SSLCertVerificationError, peer: Peer) -> Failure:
    code, certificate = error.verify_code, peer.certificate
    who = "the archive's" if not peer.host else "its"
    if code in (_EXPIRED, _NOT_YET):
        return _explain_days(certificate, who, has_ended=code == _EXPIRED)
    if code in _WRONG_NAMES:
        expected = peer.tls.name if isinstance(peer.tls, TLS) and peer.tls.name else peer.host
        names = names_in(certificate)
        why = f"its certificate is for {_list(names)}, and not for {expected!r}"
        mend = f"if that is whom you mean, call it by that name, or say {setting('name', (names or ['…'])[0])}"
        return Failure(why, mend)
    trusted = "the authorities that this system trusts"
    if isinstance(peer.tls, TLS) and peer.tls.ca is not None:
        trusted = f"those in {peer.tls.ca!r}"
    if code == _SELF_SIGNED:
        names = names_in(certificate)
        shown = f" ({_list(names)})" if names else ""
        why = f"its certificate{shown} is signed by itself, and not among {trusted}"
        return Failure(why, f"ask {who} administrator for that certificate, and trust it: {setting('ca')}")
    if code in _UNKNOWN_AUTHORITY:
        issuer = _common_name(certificate, "issuer")
        signer = f"{issuer[:100]!r}, which" if issuer else "an authority that"
        why = f"its certificate is signed by {signer} is not among {trusted}"
        mend = f"ask {who} administrator for the certificate of its authority, and trust that: {setting('ca')}"
        return Failure(why, f"{mend}; or it does not send those in between")
    if code == _OTHER_PURPOSE:
        what = "who is called" if peer.host else "who calls"
        why = f"its certificate is not made for {what}: {error.verify_message}"
        return Failure(why, f"let {who} administrator have one made for both, serverAuth and clientAuth")
    if code in _TOO_WEAK:
        return Failure(f"its certificate is too weak: {error.verify_message}", f"let {who} administrator renew it")
    return Failure(
        f"we do not trust its certificate: {error.verify_message}", f"ask {who} administrator for another one"
    )


def _explain_days(certificate: Certificate, who: str, *, has_ended: bool) -> Failure:
    """Say which certificate is not valid today; a caller's cannot be had once it is refused."""
    mend = f"let {who} administrator renew it" if has_ended else "see whether the clocks are right on both sides"
    mend += f"; by our clock today is {_day(time.time())}"
    said = "has expired" if has_ended else "is not valid yet"
    limit = certificate.get("notAfter" if has_ended else "notBefore")
    if limit is None:
        return Failure(f"its certificate, or one above it, {said}", mend)
    moment = ssl.cert_time_to_seconds(limit)
    if (moment < time.time()) is not has_ended:  # it is valid itself
        return Failure(f"the certificate of an authority above its own {said}", mend)
    return Failure(f"its certificate {said} ({'it ended' if has_ended else 'it begins'} on {_day(moment)})", mend)


def _shown() -> str:
    return f"{setting('cert')} and {setting('key')}"


def _explain_alert(alert: str, peer: Peer) -> Failure:
    """Say what a peer means that refuses us."""
    shows = peer.tls.cert is not None if isinstance(peer.tls, TLS) else None  # None: only its maker knows
    if "required" in alert or (shows is False and any(word in alert for word in _OF_CERTIFICATES)):
        why = f"it wants a certificate of ours, and has got none: {alert}"
        return Failure(why, f"name one that it trusts: {_shown()}")
    if any(word in alert for word in _OF_CERTIFICATES):
        mend = "ask its administrator to trust our certificate, or its authority; is it valid, and made for both sides?"
        return Failure(f"it does not accept our certificate: {alert}", mend)
    if any(word in alert for word in _OF_VERSIONS):
        mend = _older() if shows else f"it may want a certificate of ours, {_shown()}; else {_older()}"
        return Failure(f"it refuses us: {alert}", mend)
    if "unrecognized name" in alert:
        return Failure(f"it refuses us: {alert}", f"say {setting('name')} as its certificate has it")
    return Failure(f"it refuses us: {alert}", "see in its log why", hopeless=False)


def _reason(error: OSError) -> str:
    said = getattr(error, "reason", None) or error.strerror or str(error) or type(error).__name__
    return str(said).replace("_", " ").lower()


def _common_name(certificate: Certificate, whose: str) -> str:
    parts = dict(pair for group in certificate.get(whose, ()) for pair in group)
    return str(parts.get("commonName") or parts.get("organizationName") or "")


def _list(names: Iterable[str]) -> str:
    names = [name[:100] for name in names]
    shown = ", ".join(map(repr, names[:_MOST_NAMES])) or "no name at all"
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
