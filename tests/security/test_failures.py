"""Why TLS does not come about, in words; the handshakes themselves are in `wire/test_transport.py`."""

from __future__ import annotations

import ssl

import pytest

from dicomover import TLS
from dicomover.security.failures import Peer, explain_failure, is_refusal, names_in

OURS = TLS(ca="ca.pem", cert="ours.pem")


def failed(reason: str) -> ssl.SSLError:
    """Return what OpenSSL says so."""
    error = ssl.SSLError(1, "")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("reason", "tls", "why", "hopeless"),
    [
        ("SSLV3_ALERT_BAD_CERTIFICATE", OURS, "does not accept our certificate: bad certificate", True),
        ("SSL/TLS_ALERT_CERTIFICATE_EXPIRED", OURS, "does not accept our certificate: certificate expired", True),
        ("TLSV1_ALERT_ACCESS_DENIED", OURS, "does not accept our certificate: access denied", True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", TLS(), "wants a certificate of ours, and has got none", True),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", ssl.create_default_context(), "has got none", True),
        ("TLSV1_ALERT_PROTOCOL_VERSION", OURS, "refuses us: protocol version", True),
        ("TLSV1_UNRECOGNIZED_NAME", OURS, "unrecognized name", False),
        ("TLSV1_ALERT_UNRECOGNIZED_NAME", OURS, "refuses us: unrecognized name", True),
        ("TLSV1_ALERT_INTERNAL_ERROR", OURS, "refuses us: internal error", False),
        ("UNSUPPORTED_PROTOCOL", OURS, "no version or cipher of TLS in common", True),
        ("NO_SHARED_CIPHER", OURS, "no version or cipher of TLS in common", True),
        ("WRONG_VERSION_NUMBER", OURS, "does not answer in TLS", True),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", OURS, "shows no certificate", True),
        ("MADE_UP", OURS, "made up", False),
    ],
)
def test_the_words_of_a_failure(reason: str, tls: TLS, why: str, hopeless: bool) -> None:
    """Each has a cause and a mend, in whichever words OpenSSL's versions say it."""
    failure = explain_failure(failed(reason), Peer(tls, host="pacs.example"))
    assert why in failure.why
    assert failure.mend
    assert failure.hopeless is hopeless
    assert is_refusal(failed(reason)) is ("ALERT" in reason)


def test_names_are_bounded() -> None:
    """A certificate with a thousand names fills no message."""
    names = tuple(("DNS", f"host{number}." + "x" * 300) for number in range(1000))
    certificate = {"subjectAltName": names, "subject": ((("commonName", "archive"),),)}
    assert len(names_in(certificate)) == 1001
    error = ssl.SSLCertVerificationError(1, "")
    error.verify_code = 62
    failure = explain_failure(error, Peer(OURS, certificate, "pacs.example"))
    assert "and 996 more, and not for 'pacs.example'" in failure.why
    assert len(failure.why) < 800


def test_a_certificate_that_could_not_be_read() -> None:
    """Without it there is still a cause."""
    for code, why in (
        (10, "or one above it, has expired"),
        (9, "not valid yet"),
        (62, "no name at all"),
        (20, "by an authority that is"),
    ):
        error = ssl.SSLCertVerificationError(1, "")
        error.verify_code = code
        assert why in explain_failure(error, Peer(OURS, host="pacs.example")).why
