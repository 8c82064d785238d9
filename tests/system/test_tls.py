"""TLS on both legs and a user's identity, from the first association to the row: at a demo archive, and at Orthanc."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import peers
from dicomover import TLS, AssociationLost, AssociationRejected, Identity, Mover, Node, NodeUnreachable, Secret
from dicomover.testing import DemoPacs, made_study
from security_kit import Authority

ONE = {"AccessionNumber": "00123"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the hospital's authority."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pacs(authority: Authority) -> Iterator[DemoPacs]:
    """Run a demo archive that speaks TLS, and wants a certificate of whoever calls."""
    with DemoPacs([made_study("00123", instances=3)], tls=authority.tls("DEMO")) as pacs:
        yield pacs


def by_tls(pacs: DemoPacs, tls: TLS, **more: Identity) -> Node:
    """Return the archive as it is to be spoken to."""
    return replace(pacs.node, tls=tls, **more)


def move(pacs: DemoPacs, node: Node, folder: Path, **how: object) -> tuple[str, str]:
    """Move one study here; return its status and what is said of it."""
    with Mover(node, receive=folder, port=0, progress="none", retry="none", **how) as mover:  # type: ignore[arg-type]
        pacs.destinations["MOVESCU"] = mover.port  # type: ignore[assignment]
        row = mover.move(ONE).iloc[0]
    return str(row["status"]), str(row["error"])


def test_both_legs(pacs: DemoPacs, authority: Authority, tmp_path: Path) -> None:
    """A study comes by TLS to a receiver in a process of its own; each side knows the other by its certificate."""
    ours = authority.tls("MOVESCU")
    assert move(pacs, by_tls(pacs, ours), tmp_path, tls=replace(ours, peers=["DEMO"])) == ("success", "<NA>")
    assert len(list(tmp_path.rglob("*.dcm"))) == 3


def test_by_c_get_no_way_back_is_needed(authority: Authority, tmp_path: Path) -> None:
    """The images come on our own association, from the receiver's process: by TLS, with the user whom we name."""
    alice = Identity.password("alice", Secret.text("made-up-secret"))
    study = made_study("00123", instances=3)
    with DemoPacs([study], tls=authority.tls("DEMO"), identity={"alice": "made-up-secret"}) as pacs:
        node = by_tls(pacs, authority.tls("MOVESCU"), identity=alice)
        with Mover(node, receive=tmp_path, via="get", progress="none", retry="none") as mover:
            row = mover.move(ONE).iloc[0]
    assert (row["status"], row["received"]) == ("success", 3), row["error"]


def test_a_c_get_by_a_context_of_ones_own(pacs: DemoPacs, authority: Authority, tmp_path: Path) -> None:
    """A context cannot be told to the receiver's process: the row says that, and what to write."""
    tls = ssl.create_default_context(cafile=str(authority.cert))
    tls.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    tls.load_cert_chain(*authority.issue("MOVESCU"))
    with Mover(replace(pacs.node, tls=tls), receive=tmp_path, via="get", progress="none", retry="none") as mover:
        row = mover.move(ONE).iloc[0]
    assert row["status"] == "failure"
    assert "ssl.SSLContext cannot be given to the receiver's process" in row["error"]
    assert "write tls=TLS(" in row["error"]


def test_why_nothing_comes_back_is_in_the_row(pacs: DemoPacs, authority: Authority, tmp_path: Path) -> None:
    """What our receiver turned away is told in its words, whichever side could not trust the other."""
    ours = authority.tls("MOVESCU")
    stranger = Authority(tmp_path / "ca", "Another CA").tls("MOVESCU")
    for number, (tls, said) in enumerate(
        (
            (None, "it speaks TLS, and we listen without"),
            (
                replace(ours, peers=["OTHER"]),
                "its certificate names '127.0.0.1', 'localhost', 'DEMO', and none of",
            ),
            (replace(stranger, ca=None), "it does not accept our certificate: unknown ca"),
            (replace(ours, ca=stranger.ca), "its certificate is signed by an authority that is not among those"),
        )
    ):
        status, error = move(pacs, by_tls(pacs, ours), tmp_path / str(number), tls=tls)
        assert status == "failure"
        assert said in error, error
        assert "firewall" not in error


def test_the_doctor_sees_each_leg(pacs: DemoPacs, authority: Authority, tmp_path: Path) -> None:
    """TLS spoken to in plain, a certificate of ours that is missing or old, and what our receiver refused."""
    ours, old = authority.tls("MOVESCU"), authority.issue("MOVESCU", days=(-3, -2))
    findings = Mover(pacs.node).diagnose().set_index("check")
    assert "speaks TLS, and we speak to it in plain" in findings.found["association"]
    assert findings.advice["association"] == "speak to it by TLS: tls="
    findings = Mover(by_tls(pacs, TLS(ca=authority.cert))).diagnose().set_index("check")
    assert "it wants a certificate of ours" in findings.found["association"]
    findings = Mover(by_tls(pacs, replace(ours, cert=tmp_path / "missing.pem"))).diagnose().set_index("check")
    assert "missing.pem' cannot be read" in findings.found["association"]

    for tls, found in (
        (TLS(cert=old.cert, key=old.key), "is not accepted by anybody: certificate has expired"),
        (TLS(cert=tmp_path / "missing.pem"), "missing.pem' cannot be read"),
    ):
        mover = Mover(by_tls(pacs, ours), receive=tmp_path / "in", port=0, tls=tls)
        findings = mover.diagnose().set_index("check")
        assert findings.result["our port"] == "failed"
        assert found in findings.found["our port"]

    with Mover(by_tls(pacs, ours), receive=tmp_path / "in", port=0, tls=ours, retry="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port  # type: ignore[assignment]
        findings = mover.diagnose(one_image=True).set_index("check")
    assert set(findings.result) <= {"ok", "unclear"}, findings.to_string()
    assert "by a name in our certificate: 127.0.0.1, localhost, MOVESCU" in findings.advice["our port"]
    other = replace(ours, peers=["OTHER"])
    with Mover(by_tls(pacs, ours), receive=tmp_path / "other", port=0, tls=other, retry="none", journal=None) as mover:
        pacs.destinations["MOVESCU"] = mover.port  # type: ignore[assignment]
        findings = mover.diagnose(one_image=True).set_index("check")
    assert "its certificate names" in findings.advice["one image"]


def test_a_third_party_by_tls(authority: Authority) -> None:
    """Whom we examine as a destination is spoken to as its node says; what is in the way of that is told."""
    with DemoPacs([], tls=authority.tls("WS7", ("localhost",)), ae_title="WS7") as there, DemoPacs() as archive:
        destination = replace(there.node, tls=authority.tls("MOVESCU"))
        findings = Mover(archive.node, destination=destination).diagnose().set_index("check")
        assert "is for 'localhost', 'WS7', and not for '127.0.0.1'" in findings.found["destination"]
        named = replace(there.node, tls=authority.tls("MOVESCU", name="localhost"))
        assert Mover(archive.node, destination=named).diagnose().set_index("check").result["destination"] == "ok"


def test_an_archive_that_ends_a_plain_connection_may_want_tls(pacs: DemoPacs) -> None:
    """To speak to it in plain fails at once, and it is said what may be meant."""
    with pytest.raises(AssociationLost, match=r"it may not know us, or want to be spoken to by TLS, tls="):
        Mover(pacs.node).echo()


def test_who_asks(authority: Authority) -> None:
    """Only the user with the right password is let in; the doctor mentions the user after any rejection."""
    alice = Identity.password("alice", Secret.text("made-up-secret"))
    with DemoPacs(tls=authority.tls("DEMO"), identity={"alice": "made-up-secret"}) as pacs:
        ours = authority.tls("MOVESCU")
        assert Mover(by_tls(pacs, ours, identity=alice)).echo() < 60
        for identity in (Identity.user("alice"), Identity.password("alice", Secret.text("another"))):
            node = by_tls(pacs, ours, identity=identity)
            with pytest.raises(AssociationRejected, match="does not accept user 'alice'") as caught:
                Mover(node).echo()
            assert "made-up" not in str(caught.value)
            assert "whom we name" in Mover(node).diagnose().advice[0]
        assert "some want a user too, identity=" in Mover(by_tls(pacs, ours)).diagnose().advice[0]


@pytest.mark.parametrize("versions", ["TLSv1_2", "TLSv1_3"])
def test_a_context_of_ones_own(pacs: DemoPacs, authority: Authority, tmp_path: Path, versions: str) -> None:
    """An SSLContext is taken on both legs, as before; the receiver then runs in this process."""
    ours = authority.issue("MOVESCU")
    client = ssl.create_default_context(cafile=str(authority.cert))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.cert))
    client.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    for context in (client, server):
        context.load_cert_chain(*ours)
        context.maximum_version = ssl.TLSVersion[versions]
    assert move(pacs, replace(pacs.node, tls=client), tmp_path, tls=server)[0] == "success"


def test_orthanc_on_both_legs(authority: Authority, tmp_path: Path) -> None:
    """Orthanc wants our certificate and shows its own, both ways; without one it is said what is missing."""
    files = authority.issue("ORTHANC")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(files.cert),
        "DicomTlsPrivateKey": str(files.key),
        "DicomTlsTrustedCertificates": str(authority.cert),
        "DicomTlsRemoteCertificateRequired": True,
    }
    ours = authority.tls(peers.HERE)
    archive = peers.orthanc(tmp_path / "archive", [made_study("00123", instances=3)], tls=True, **settings)
    try:
        node = replace(archive.node, tls=ours)
        here = {"ae_title": peers.HERE, "port": archive.ports[peers.HERE], "tls": ours}
        with Mover(node, receive=tmp_path / "in", progress="none", **here) as mover:
            row = mover.move(ONE).iloc[0]
        assert (row["status"], row["received"]) == ("success", 3)
        with pytest.raises(NodeUnreachable, match="it wants a certificate of ours") as caught:
            Mover(replace(archive.node, tls=TLS(ca=authority.cert))).echo()
        assert not caught.value.retriable
    finally:
        archive.stop()
