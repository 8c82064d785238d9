"""TLS as a plain value: what it holds, the contexts made of it, and files that are not what they should be."""

from __future__ import annotations

import copy
import json
import pickle
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomover import TLS, ConfigurationError, Node, Secret
from dicomover.security.tls import client_context, server_context
from security_kit import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority."""
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_plain_value(tmp_path: Path) -> None:
    """It is equal, hashable, copied, pickled, and goes through JSON with absolute paths; its repr names files."""
    tls = TLS(ca=tmp_path / "ca.pem", cert="c.pem", key="c.key", password=Secret.text("made-up"), peers=["ARCHIVE"])
    assert repr(tls).startswith(f"TLS(ca='{tmp_path}/ca.pem', cert='c.pem', key='c.key', password=Secret.text(...)")
    there = replace(tls, **{name: str(Path(getattr(tls, name)).absolute()) for name in ("ca", "cert", "key")})
    assert TLS.from_plain(json.loads(json.dumps(tls.to_plain()))) == there
    assert hash(copy.deepcopy(tls)) == hash(tls)
    kept = TLS(ca="ca.pem", cert="c.pem", password=Secret.file("p"), name="archive")
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert pickle.loads(pickle.dumps(Node("h", 104, tls=kept))).tls == kept


def test_contexts_of_the_profile(authority: Authority) -> None:
    """TLS 1.2 and newer, no cipher without forward secrecy and authentication, and nobody is trusted unseen."""
    tls = authority.tls("ours")
    client, server = client_context(tls), server_context(tls)
    for context in (client, server):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert all(each["aead"] and each["strength_bits"] >= 128 for each in context.get_ciphers())
        assert not [each["name"] for each in context.get_ciphers() if each["kea"] == "kx-rsa"]
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert client.check_hostname
    assert server_context(TLS(cert=tls.cert, key=tls.key)).verify_mode is ssl.CERT_NONE  # whoever calls
    assert client_context(TLS()).verify_mode is ssl.CERT_REQUIRED  # with the system's authorities
    own = ssl.create_default_context()
    assert client_context(own) is server_context(own) is own


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"key": "k.pem"}, "has a key without its certificate"),
        ({"password": Secret.env("P")}, "has a key without its certificate"),
        ({"cert": "c.pem", "password": "made-up"}, r"TLS\(password=\) is no Secret"),
        ({"ca": 7}, r"TLS\(ca=7\) names no file"),
        ({"ca": ""}, "names no file"),
        ({"name": " "}, "is no name"),
        ({"peers": "ARCHIVE", "ca": "ca.pem"}, r"is no list of names; give, say, peers=\['ARCHIVE'\]"),
        ({"peers": ["ARCHIVE"]}, "name their authority too: ca="),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], says: str) -> None:
    """It is refused when it is made, before any file is read."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        TLS(**given)
    assert "made-up" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="is no TLS"):
        Node("h", 104, tls=True)  # type: ignore[arg-type]


def test_files_that_are_not_what_they_should_be(authority: Authority, tmp_path: Path) -> None:
    """The file is named, what is wrong with it, and what to do."""
    ours, other = authority.issue("ours"), authority.issue("other")
    der, broken = tmp_path / "ours.der", tmp_path / "broken.pem"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(ours.cert.read_text()))
    broken.write_text("-----BEGIN CERTIFICATE-----\nMADE+UP=\n-----END CERTIFICATE-----\n")
    for tls, says in (
        (TLS(ca=tmp_path / "none.pem"), "the certificate in '.*none.pem' cannot be read .*; check its path"),
        (TLS(ca=tmp_path), "cannot be read"),
        (TLS(ca=der), "there is no certificate in '.*ours.der'; give a file in PEM"),
        (TLS(ca=broken), "'.*broken.pem' holds no certificate that can be read"),
        (TLS(cert=der, key=ours.key), "there is no certificate in"),
        (TLS(cert=ours.cert), "there is no private key in '.*pem'"),
        (TLS(cert=ours.cert, key=tmp_path / "none.key"), "the private key in '.*none.key' cannot be read"),
        (TLS(cert=ours.cert, key=other.key), "is not that of the certificate in"),
        (TLS(cert=broken, key=ours.key), "hold no certificate and key that can be read"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            client_context(tls)
    with pytest.raises(ConfigurationError, match="needs a certificate of ours"):
        server_context(TLS(ca=authority.cert))


def test_a_home_is_found_when_it_is_needed(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that begins with ~ is one of whoever uses it, on whichever machine."""
    files = authority.issue("ours")
    monkeypatch.setenv("HOME", str(files.cert.parent))
    monkeypatch.setenv("USERPROFILE", str(files.cert.parent))
    tls = TLS(ca="~/ca.pem", cert=f"~/{files.cert.name}", key=f"~/{files.key.name}")
    assert client_context(tls).get_ca_certs()
    assert repr(tls).startswith("TLS(ca='~/ca.pem'")


def test_a_key_with_a_password(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened by its password; without it, or by another one, nobody is asked at a terminal."""
    files = authority.issue("locked", password="made-up-secret")
    monkeypatch.setenv("MADE_UP_PASSWORD", "made-up-secret")

    def tls(password: Secret | None) -> TLS:
        return TLS(cert=files.cert, key=files.key, password=password)

    server_context(tls(Secret.env("MADE_UP_PASSWORD")))
    with pytest.raises(
        ConfigurationError, match=r"^the key in .*is encrypted; say where its password is kept: password="
    ):
        client_context(tls(None))
    with pytest.raises(ConfigurationError, match=r"is another one; see what Secret.text\(...\) holds"):
        client_context(tls(Secret.text("another")))
    with pytest.raises(ConfigurationError, match=r"^Secret.env.*: there is nothing there"):
        client_context(tls(Secret.env("MADE_UP_MISSING")))
    with pytest.raises(ConfigurationError, match="is none"):
        client_context(tls(Secret.text("long" * 1000)))
