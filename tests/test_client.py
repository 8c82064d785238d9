"""The contract of a client: how a Mover is set up, and what it asks without a batch."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_kit import STUDIES, quiet
from dicomover import AnswerWarning, ConfigurationError, Mover, Node, QueryRefused
from dicomover.testing import DemoPacs
from receiver_kit import certificate


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


def test_the_constructor_has_words_for_each_parameter() -> None:
    """Where a notebook looks, with `Mover?`, every parameter is described, in the order of the signature."""
    listed = str(inspect.getdoc(Mover.__init__)).partition("Raises")[0].partition("Parameters")[2]
    named = ", ".join(re.findall(r"^(\w[\w, ]*)", listed, re.MULTILINE))
    assert re.findall(r"\w+", named) == list(inspect.signature(Mover).parameters)


def test_constructing_does_no_io(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a Node nor a Mover opens a socket, starts a process, or makes a folder."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("I/O in a constructor")

    for name in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    monkeypatch.setattr("subprocess.Popen", forbidden)
    Mover(Node("pacs.example.org", 104, ae_title="ARCHIVE"), receive=tmp_path / "in")
    Mover("ARCHIVE@pacs.example.org:104", destination="WORKSTATION")
    assert not (tmp_path / "in").exists()


def test_accept_is_for_receiving_and_is_checked_at_once(tmp_path: Path) -> None:
    """A transfer syntax that is unknown, or that nobody receives in, is an error before anything runs."""
    with pytest.raises(ConfigurationError, match="is for receiving"):
        Mover(Node("127.0.0.1", 104), destination="OTHER", accept="uncompressed")
    with pytest.raises(ConfigurationError, match="did you mean 'uncompressed'"):
        Mover(Node("127.0.0.1", 104), receive=tmp_path, accept="uncompresed")
    Mover(Node("127.0.0.1", 104), receive=tmp_path, accept=["JPEG2000Lossless", "1.2.840.10008.1.2.1"])


def test_who_may_send_is_for_receiving_and_is_checked_at_once(tmp_path: Path) -> None:
    """A sender whom nobody needs, or who cannot be meant, is an error before anything runs."""
    node = Node("127.0.0.1", 104)
    for senders in ({"addresses": ["10.1.2.3"]}, {"calling_ae_titles": ["A"]}, {"tls": certificate(tmp_path)[0]}):
        with pytest.raises(ConfigurationError, match="is for receiving"):
            Mover(node, destination="OTHER", **senders)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="names are not looked up"):
        Mover(node, receive=tmp_path, addresses=["archive.example.org"])
    with pytest.raises(ConfigurationError, match="calling AE title"):
        Mover(node, receive=tmp_path, calling_ae_titles=["much too long for one"])
    with pytest.raises(ConfigurationError, match="leave workers at 1"):
        Mover(node, receive=tmp_path, workers=2, tls=certificate(tmp_path)[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("archive", ["127.0.0.1", "::1", "localhost"])
def test_an_archive_may_send_from_another_address_than_it_answers_on(tmp_path: Path, archive: str, host: str) -> None:
    """A Mover listens on every address, IPv4 and IPv6, also where the archive is on this machine."""
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with Mover(Node(archive, 104), receive=tmp_path / "in", port=0, journal=None, progress="none") as mover:
        assert mover.port is not None
        socket.create_connection((host, mover.port), timeout=5).close()


def test_echo(pacs: DemoPacs) -> None:
    """`echo` returns the seconds it took, and the archive saw a C-ECHO."""
    assert quiet(pacs).echo() > 0
    assert [item.kind for item in pacs.requests] == ["C-ECHO"]


@pytest.mark.parametrize("name", ["find-refused", "find-mismatch", "find-unable", "find-breaks"])
def test_a_refused_find_is_an_error(pacs: DemoPacs, name: str) -> None:
    """A refusal is an exception with the status, never an empty table."""
    pacs.misbehave["*"] = name
    with pytest.raises(QueryRefused, match="refused the C-FIND with 0x") as caught:
        quiet(pacs).find({"AccessionNumber": "00123"})
    assert caught.value.status is not None


def test_find_filters_what_the_archive_did_not(pacs: DemoPacs) -> None:
    """An archive that ignores keys returns everything; the table holds only what matches."""
    pacs.misbehave["*"] = "find-ignores-keys"
    with pytest.warns(AnswerWarning, match=r"\d answers left out that do not match what was asked$"):
        found = quiet(pacs).find({"AccessionNumber": "00123"})
    assert found["AccessionNumber"].tolist() == ["00123"]
    pacs.misbehave["*"] = "find-omits-key"
    with pytest.raises(QueryRefused, match="cannot be trusted"):
        quiet(pacs).find({"AccessionNumber": "00123"})


def test_find_with_a_limit(pacs: DemoPacs) -> None:
    """`limit` bounds the answers, and the association goes on to be used."""
    with quiet(pacs) as mover:
        assert len(mover.find({"AccessionNumber": "*"}, limit=2)) == 2
        assert len(mover.find({"AccessionNumber": "*"})) == len(STUDIES)
    assert len(pacs.associations) == 1


def test_find_with_a_limit_where_keys_are_ignored(pacs: DemoPacs) -> None:
    """An empty table means that nothing matches, also where the first answers do not."""
    pacs.misbehave["*"] = "find-ignores-keys"
    with pytest.warns(AnswerWarning, match="left out"):
        found = quiet(pacs).find({"AccessionNumber": "ONE"}, limit=1)
    assert found["AccessionNumber"].tolist() == ["ONE"]


def test_find_has_its_columns_always(pacs: DemoPacs) -> None:
    """The columns and dtypes are the same whether something matches or not; wanted ones come along."""
    some = quiet(pacs).find({"AccessionNumber": "00123"}, returned=["ReferringPhysicianName", "SOPClassesInStudy"])
    none = quiet(pacs).find({"AccessionNumber": "nobody"}, returned=["ReferringPhysicianName", "SOPClassesInStudy"])
    assert some.columns.tolist() == none.columns.tolist()
    assert some.dtypes.equals(none.dtypes)
    assert {"ReferringPhysicianName", "SOPClassesInStudy"} <= set(some.columns)
    assert len(none) == 0
