"""Who may connect: addresses are looked at before anything is read."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from cli_kit import Process, free_port, wait_until
from dicomover.errors import ConfigurationError
from dicomover.events import Refusal
from dicomover.receiver import Receiver
from dicomover.receiver.addresses import Doorkeeper
from receiver_kit import Start


def test_a_stranger_is_cut_off_and_told_of_once(start: Start) -> None:
    """A connection from elsewhere is closed without a byte; however many there are, one is told of at once."""
    with start(addresses=["10.1.2.0/24", "::1"], ends_broken=True) as run:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", run.port), timeout=5) as sock:
                assert sock.recv(1) == b""
        run.wait(1)
        assert run.refusals[0].why == "connection refused: 127.0.0.1 is not among the addresses that may connect"
        assert run.refusals[0].status is None
        run.receiver.stop()
        assert 1 < len(run.refusals) <= 5
        assert not run.arrivals


@pytest.mark.parametrize("bind", ["127.0.0.1", None], ids=["IPv4", "every-address"])
def test_those_named_come_in(start: Start, bind: str | None) -> None:
    """An address among the networks may send, also where IPv4 comes by way of an IPv6 socket."""
    with start(addresses=("10.0.0.0/8", "127.0.0.0/8"), bind=bind) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(1)
        assert not run.refusals


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["archive.example.org"], "names are not looked up"),
        (["10.1.2.3/24"], "give '10.1.2.0/24' or '10.1.2.3'"),
        (["10.1.2.300"], "neither an IP address nor a network"),
        ([""], "neither"),
        ([10], "no text"),
        ("10.1.2.3", "give a list"),
    ],
)
def test_an_address_that_cannot_be_meant(tmp_path: Path, given: Any, said: str) -> None:
    """Names, host bits in a network and other texts are errors that say what to write."""
    with pytest.raises(ConfigurationError, match=said):
        Receiver(tmp_path, ae_title="ME", on_event=print, addresses=given)


def test_reports_come_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is told of at once, the next minute's with their number, and what is left at the end."""
    now = [100.0]
    monkeypatch.setattr("dicomover.receiver.addresses.time.monotonic", lambda: now[0])
    told: list[Refusal] = []
    door = Doorkeeper(["10.1.2.0/24", "fe80::/10"], told.append)
    assert door.lets_in("10.1.2.9")
    assert door.lets_in("fe80::1%2")
    assert not any(door.lets_in("10.1.3.1") for _ in range(1000))
    assert len(told) == 1
    now[0] += 61
    assert not door.lets_in("2001:db8::1")
    assert len(told) == 2
    assert told[1].why.startswith("1,000 connections refused, the last of 2001:db8::1")
    door.report()
    assert len(told) == 2
    assert not door.lets_in("10.1.3.1")
    door.report()
    assert told[2].why.startswith("connection refused: 10.1.3.1")


def test_each_address_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive's own call is not lost among a stranger's, nor the one that comes with its next request."""
    now = [100.0]
    monkeypatch.setattr("dicomover.receiver.addresses.time.monotonic", lambda: now[0])
    told: list[Refusal] = []
    door = Doorkeeper(["10.1.2.0/24"], told.append)
    for _ in range(100):
        door.lets_in("10.9.9.9")
    door.lets_in("10.1.3.1")
    assert [refusal.peer for refusal in told] == ["10.9.9.9", "10.1.3.1"]
    now[0] += 0.1
    door.lets_in("10.1.3.1")
    assert told[2].why == "connection refused: 10.1.3.1 is not among the addresses that may connect"
    for number in range(1000):
        door.lets_in(f"10.2.{number // 250}.{number % 250}")
    assert len(told) < 100
    door.report()
    assert sum(int(t.why.split()[0].replace(",", "")) if t.why[0].isdigit() else 1 for t in told) == 1102


def test_the_command_line_says_who_may_connect(tmp_path: Path) -> None:
    """`dicomover receive --address` names the networks, and who was cut off."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", port, "--address", "10.1.2.0/24", "--address", "10.9.9.9"]
    server = Process("receive", *options, "-od", tmp_path / "in")

    def is_cut_off() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                return sock.recv(1) == b""
        except ConnectionRefusedError:
            return False

    wait_until(is_cut_off)
    server.send(signal.SIGINT)
    ran = server.wait()
    assert "anybody at 10.1.2.0/24 and 10.9.9.9 may send" in ran.err
    assert ran.err.count("connection refused: 127.0.0.1 is not among the addresses that may connect") == 1
    assert ran.code == 0


def test_an_address_that_is_none_ends_with_2(tmp_path: Path) -> None:
    """A name is no address, and the command line says so in one line."""
    ran = Process("receive", "--port", 0, "--address", "archive", "-od", tmp_path / "in").wait()
    assert ran.code == 2
    assert "neither an IP address nor a network" in ran.err
    assert len(ran.err.splitlines()) == 1
