"""Floods: whatever strangers pour into the port, an archive is answered within a bound, and success means files.

A few seconds with every test run. For an hour or so::

    DICOMOVER_FUZZ=100000 python -m pytest --timeout 0 tests/fuzz/test_floods.py

What a round does follows from its number and DICOMOVER_FUZZ_SEED.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomover import Mover
from dicomover.errors import DicomoverError
from dicomover.events import Admission
from dicomover.receiver import Limits
from dicomover.testing import DemoPacs, made_studies
from dicomover.wire.command_set import C_ECHO_RQ, NO_DATA_SET, encode
from dicomover.wire.pdus import ASSOCIATE_RQ, PDU_HEAD
from receiver_kit import STUDY, VERIFICATION, Peer, body_of, command, data_set, pdu, pdv, running, wait_for

ROUNDS = max(1, int(os.environ.get("DICOMOVER_FUZZ", "150")) // 150)
SEED = int(os.environ.get("DICOMOVER_FUZZ_SEED", "0"))
STRANGERS = 8
ARCHIVE = "127.0.0.2" if sys.platform == "linux" else ""  # an address of its own, where that costs nothing
ANSWER = 15.0  # seconds within which an archive is answered, on a busy machine

Way = Callable[[int, random.Random, threading.Event], None]


def connect(port: int) -> socket.socket:
    """Connect, for a while."""
    return socket.create_connection(("127.0.0.1", port), timeout=2)


def say_nothing(port: int, chance: random.Random, over: threading.Event) -> None:
    """Connect many times, and say nothing."""
    held = [connect(port) for _ in range(chance.randrange(10, 60))]
    over.wait(chance.random())
    for sock in held:
        sock.close()


def say_half(port: int, chance: random.Random, over: threading.Event) -> None:
    """Begin a request, byte by byte."""
    with connect(port) as sock:
        sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, chance.choice([200, 1 << 16, 1 << 20])))
        while not over.wait(0.02):
            sock.sendall(chance.randbytes(3))


def say_noise(port: int, chance: random.Random, over: threading.Event) -> None:
    """Say what is nothing, and leave at once."""
    for _ in range(20):
        with connect(port) as sock:
            sock.sendall(chance.choice([chance.randbytes(chance.randrange(200)), b"GET / HTTP/1.1\r\n\r\n", b"\1\0"]))
            if chance.random() < 0.5:  # a reset, in the place of an end
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if over.is_set():
            return


def ask_for_much(port: int, chance: random.Random, over: threading.Event) -> None:
    """Ask for an association with all that 64 KiB hold."""
    body = struct.pack(">HH", 1, 0) + b"ME".ljust(16) + b"X".ljust(16) + bytes(32)
    body += chance.choice([struct.pack(">BxH", 0x99, 0), struct.pack(">BxHBxH", 0x50, 4, 0x51, 0)]) * 8000
    for _ in range(5):
        with connect(port) as sock:
            sock.sendall(PDU_HEAD.pack(ASSOCIATE_RQ, len(body)) + body)
            sock.recv(100)
        if over.is_set():
            return


def call_another(port: int, chance: random.Random, over: threading.Event) -> None:
    """Ask for somebody else."""
    while not over.wait(0.01):
        Peer(port, called=chance.choice(["YOU", "ANY-SCP", "me"])).connection.close()


def associate_only(port: int, chance: random.Random, over: threading.Event) -> None:
    """Hold associations, and bring nothing."""
    held = [Peer(port, calling=f"IDLE{chance.randrange(99)}") for _ in range(12)]
    over.wait(chance.random())
    for peer in held:
        peer.connection.close()


def echo_for_ever(port: int, chance: random.Random, over: threading.Event) -> None:
    """Send C-ECHOs, as a monitoring system may."""
    sent = {"AffectedSOPClassUID": VERIFICATION, "CommandField": C_ECHO_RQ, "MessageID": 7}
    many = pdu(pdv(5, 3, encode({**sent, "CommandDataSetType": NO_DATA_SET}))) * chance.randrange(1, 50)
    with Peer(port, calling="NAGIOS") as peer:
        while not over.is_set():
            peer.send(many)
            peer.answer(2)


def store_for_ever(port: int, chance: random.Random, over: threading.Event) -> None:
    """Store what nobody has asked for."""
    data = data_set("1.9", study="1.9", pixels=bytes(chance.randrange(5000)))
    with Peer(port, calling="STRAY") as peer:
        while not over.is_set():
            assert peer.store("1.9", data) == 0x0124


def end_no_head(port: int, chance: random.Random, over: threading.Event) -> None:
    """Send a head that does not end, as fast as it goes."""
    with Peer(port, calling="HOARDER") as peer:
        begin = struct.pack("<HH2sHL", 0x0008, 0x0001, b"UN", 0, 1 << 26)
        peer.send(pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 0, begin)))
        while not over.is_set():
            peer.send(pdu(pdv(1, 0, bytes(chance.randrange(1, 60_000)))))


def send_crumbs(port: int, chance: random.Random, over: threading.Event) -> None:
    """Send an image in fragments of a byte, or of none."""
    crumbs = pdu(*[pdv(1, 0, chance.choice([b"", b"x"]))] * 5000)
    with Peer(port, calling="CRUMBS") as peer:
        peer.send(pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 0, data_set("1.9", study="1.9")[:-5])))
        while not over.is_set():
            peer.send(crumbs)


def command_for_ever(port: int, chance: random.Random, over: threading.Event) -> None:
    """Send a command that does not end, or whose texts are 60 KB long."""
    with Peer(port, calling="LONG") as peer:
        text = "X" * chance.randrange(1000, 60_000)
        raw = command("1.9", MoveOriginatorApplicationEntityTitle=text, MoveOriginatorMessageID=1)
        peer.send(pdu(pdv(1, 1, raw[: len(raw) // 2])))
        peer.send(pdu(pdv(1, chance.choice([1, 3]), raw[len(raw) // 2 :])))
        peer.send(pdu(pdv(1, 2, data_set("1.9", study="1.9"))))
        over.wait(chance.random())


WAYS: tuple[Way, ...] = (
    say_nothing,
    say_half,
    say_noise,
    ask_for_much,
    call_another,
    associate_only,
    echo_for_ever,
    store_for_ever,
    end_no_head,
    send_crumbs,
    command_for_ever,
)


@contextmanager
def flood(port: int, seed: str) -> Iterator[None]:
    """Let strangers do what they like, one thing after the other, until the block ends."""
    over = threading.Event()

    def pour(number: int) -> None:
        chance = random.Random(f"{seed}-{number}")
        ways = list(WAYS)
        while not over.is_set():
            chance.shuffle(ways)
            # Being refused, aborted and cut off is what they are here for.
            with contextlib.suppress(OSError, DicomoverError):
                ways[0](port, chance, over)
            over.wait(0.005)

    strangers = [threading.Thread(target=pour, args=(number,), daemon=True) for number in range(STRANGERS)]
    for stranger in strangers:
        stranger.start()
    try:
        yield
    finally:
        over.set()
        for stranger in strangers:
            stranger.join(20)
        assert not any(stranger.is_alive() for stranger in strangers), "a stranger is neither answered nor cut off"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_archive_is_served_in_a_flood(tmp_path: Path, number: int) -> None:
    """Each of its images is answered within a bound, each success is a file byte for byte, and there are no others."""
    chance = random.Random(f"{SEED}-{number}")
    limits = Limits(opening=2.0, pdu=3.0, message=3.0, waiting_connections=chance.choice([8, 64]), closing=0.5)
    settings = {"restrict": True, "limits": limits, "max_associations": chance.choice([4, 12, 32] if ARCHIVE else [32])}
    if os.name == "posix" and chance.random() < 0.3:
        settings["workers"] = 2
    filed: dict[str, bytes] = {}
    with running(tmp_path, True, **settings) as run:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        with flood(run.port, f"{SEED}-{number}"):
            for association in range(4):
                begun = time.monotonic()
                with run.peer(calling="ARCHIVE", source=ARCHIVE) as archive:
                    for image in range(10):
                        uid = f"1.2.{association}.{image}"
                        data = data_set(uid, pixels=chance.randbytes(chance.randrange(1, 60_000) * 2))
                        assert archive.store(uid, data) == 0
                        assert time.monotonic() - begun < ANSWER
                        filed[uid] = data
                        begun = time.monotonic()
                    archive.release()
        wait_for(lambda: len(run.arrivals) >= len(filed), ANSWER)
        assert {arrival.sop_instance_uid: body_of(arrival.path) for arrival in run.arrivals} == filed
        assert len(run.files()) == len(filed)
        assert all(len(event.originator_ae_title) <= 16 for event in run.events)


def test_a_row_is_told_right_in_a_flood(tmp_path: Path) -> None:
    """A batch under a flood ends within a bound, and its success is as many files as the archive has."""
    studies = list(made_studies(2, instances=8))
    with (
        DemoPacs(studies) as pacs,
        Mover(pacs.node, ae_title="ME", receive=tmp_path / "in", port=0, progress="none") as mover,
    ):
        mover.open()
        pacs.destinations["ME"] = mover.port
        begun = time.monotonic()
        with flood(mover.port, f"{SEED}-row"):
            summary = mover.move([{"StudyInstanceUID": study.study_instance_uid} for study in studies])
        assert time.monotonic() - begun < 60
        assert summary.status.tolist() == ["success"] * 2
        assert summary.received.tolist() == [8, 8]
        assert len(list((tmp_path / "in").rglob("*.dcm"))) == 16
