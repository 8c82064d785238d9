"""How a TCP connection comes about, or why it does not."""

from __future__ import annotations

import contextlib
import socket

import pytest

from dicomover.errors import (
    NodeUnreachable,
)
from dicomover.node import Node, Timeouts
from dicomover.wire.association import Association
from wire_kit import (
    NEVER,
)


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
