"""The port is had, or it is said at once why it cannot be."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from dicomover.errors import ReceiverError
from dicomover.receiver import Receiver
from dicomover.receiver.scp.ports import STANDARD_PORT, listen
from receiver_kit import (
    Start,
)


def test_a_port_that_is_taken_is_said_at_once(start: Start, tmp_path: Path) -> None:
    """start() raises with the port, the reason and the mend."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ReceiverError, match=rf"{taken}.*give another port"), start(port=taken):
            pass


def test_without_a_port_it_takes_the_standard_one_or_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where 11112 is taken another port is chosen, and the log says which."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as other:
        patch.setattr("dicomover.receiver.scp.ports.STANDARD_PORT", other.getsockname()[1])
        with listen("127.0.0.1", None) as listener:
            port = listener.getsockname()[1]
    assert any(record.levelno == logging.WARNING and str(port) in record.getMessage() for record in caplog.records)
    assert STANDARD_PORT == 11112


def test_without_an_address_it_listens_on_every_one(start: Start) -> None:
    """With bind=None peers reach it by IPv4, and by IPv6 where there is one."""
    with start(bind=None) as run:
        addresses = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
        for address in addresses:
            socket.create_connection((address, run.port), timeout=5).close()


@pytest.mark.parametrize("bind", ["127.0.0.1", None], ids=["address", "every-address"])
def test_a_taken_port_is_named_once(tmp_path: Path, bind: str | None) -> None:
    """The message has the address and the port once each; the system's own text would repeat them."""
    with socket.create_server(("127.0.0.1" if bind else "", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ReceiverError) as caught:
            Receiver(tmp_path, ae_title="ME", on_event=print, port=port, bind=bind, own_process=False).start()
    assert str(caught.value).count(str(port)) == 1
    assert str(caught.value).count("127.0.0.1") == (1 if bind else 0)
    assert "(Address already in use); another program listens there" in str(caught.value)


def test_a_name_that_is_not_known_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the resolver says stands in the message, not the number of its error."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("dicomover.receiver.scp.ports.socket.getaddrinfo", unknown)
    receiver = Receiver(tmp_path, ae_title="ME", on_event=print, port=0, bind="no.such.name", own_process=False)
    with pytest.raises(ReceiverError, match="Name or service not known"):
        receiver.start()
