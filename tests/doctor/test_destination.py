"""Where the images should come: our own port, a third party, or nobody; and on which addresses we listen."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from cli_kit import free_port
from dicomover.doctor.destination import check_destination, find_own_address
from dicomover.doctor.findings import Check, Setup
from dicomover.errors import ReceiverError
from dicomover.node import Node, Timeouts
from dicomover.testing import DemoPacs

ARCHIVE = Node("127.0.0.1", 104, ae_title="ARCHIVE")
SOON = Timeouts(connect=5, acse=1, dimse=1)


@pytest.fixture
def port() -> Iterator[int]:
    """Listen on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("bind", "every"), [(None, True), ("", True), ("0.0.0.0", True), ("127.0.0.1", False)])
def test_it_is_said_on_which_addresses_we_listen(port: int, bind: str | None, every: bool) -> None:
    """All of them unless one is named."""
    check = check_destination(Setup(ARCHIVE, "ME", SOON, "ME", port=port, bind=bind))
    assert (check.result, check.found) == ("ok", f"we listen on 127.0.0.1 port {port}")
    assert ("we listen on every address" in check.advice) is every


def test_why_we_cannot_listen_is_the_finding() -> None:
    """What the receiver found and its mend are told apart."""
    trouble = ReceiverError("port 104 cannot be listened on (no; really)", "give a higher one")
    check = check_destination(Setup(ARCHIVE, "ME", SOON, "ME", port=104, trouble=trouble))
    assert check == Check("our port", "failed", "port 104 cannot be listened on (no; really)", "give a higher one")


def test_a_third_party_is_asked_where_it_listens() -> None:
    """It answers, or nothing listens there, which is told by the system's error and not by its words."""
    with DemoPacs([]) as pacs:
        there = Node("127.0.0.1", pacs.workstation.port, ae_title="WORKSTATION")
        assert check_destination(Setup(ARCHIVE, "ME", SOON, "WORKSTATION", there)).result == "ok"
    closed = check_destination(Setup(ARCHIVE, "ME", SOON, "CLOSED", Node("127.0.0.1", free_port(), ae_title="CLOSED")))
    assert (closed.result, closed.advice) == ("failed", "is it running, and is this its port?")


def test_nobody_need_be_named() -> None:
    """Then there is nothing to examine."""
    assert check_destination(Setup(ARCHIVE, "ME", SOON)).result == "skipped"
    assert "AET@host:port" in check_destination(Setup(ARCHIVE, "ME", SOON, "WORKSTATION")).advice


def test_our_address_as_the_archive_sees_it() -> None:
    """The route says so, without a packet; a name that there is not has none."""
    assert find_own_address(ARCHIVE) == "127.0.0.1"
    assert find_own_address(Node("no.such.host.invalid", 104)) is None
