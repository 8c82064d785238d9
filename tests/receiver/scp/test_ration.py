"""Strangers have a fifth of the processor, all together, however they come."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicomover.errors import DicomoverError
from dicomover.events import Admission
from dicomover.receiver.scp.association import IncomingAssociation
from dicomover.receiver.scp.ration import Ration
from dicomover.receiver.settings import Limits
from receiver_kit import DEFLATED_ONLY, STUDY, Peer, command, deflate, element, pdu, pdv, running


@pytest.mark.parametrize("guests", [1, 3, 50])
@pytest.mark.parametrize("processes", [1, 2])
def test_all_of_them_together_have_their_share(guests: int, processes: int) -> None:
    """Whoever works as soon as it may, one or many, has a fifth in the long run, and all of it."""
    chance, now, used = random.Random(guests), 0.0, 0.0
    ration = Ration(processes, lambda: now)
    due = [0.0] * guests
    while now < 100:
        at = min(range(guests), key=due.__getitem__)
        work = chance.random() * 0.02
        now = max(now, due[at]) + work
        used += work
        due[at] = ration.charge(work)
    assert used == pytest.approx(now * 0.2 / processes, rel=0.1)


def test_a_little_is_free_after_a_time_without() -> None:
    """What takes a moment waits for nothing; what is left unused does not add up."""
    now = 0.0
    ration = Ration(clock=lambda: now)
    now = 1000.0
    assert ration.charge(0.04) <= now
    assert ration.charge(0.02) > now
    assert ration.charge(1.0) == pytest.approx(now + 5, abs=0.3)


def processor_of(pid: int) -> float:
    """Return the seconds that a process has had of the processor."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the time of a process, and addresses to spare")
@pytest.mark.parametrize("again", [False, True], ids=["stays", "calls-again"])
def test_no_stranger_has_more_by_how_it_comes(tmp_path: Path, again: bool) -> None:
    """Neither who stays nor who calls again and again takes more than a part of it, and an archive goes on beside."""
    bomb = deflate(element(0x00080050, "SH", b"") * 100_000)
    much = (pdu(pdv(1, 3, command("1.9"))) + pdu(pdv(1, 2, bomb))) * (20 if again else 5000)
    over = threading.Event()

    def stray(port: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, DicomoverError), Peer(port, contexts=DEFLATED_ONLY) as peer:
                peer.connection.sock.settimeout(2)
                peer.send(much)
                peer.answer(1)
                peer.answer(1)

    with running(tmp_path, True, restrict=True) as run:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        pid = run.receiver._engine._process.pid  # type: ignore[union-attr]
        strangers = [threading.Thread(target=stray, args=(run.port,)) for _ in range(4)]
        for stranger in strangers:
            stranger.start()
        used, begun = processor_of(pid), time.monotonic()
        with run.peer(calling="ARCHIVE", source="127.0.0.2") as archive:
            assert [archive.store(f"1.2.{number}") for number in range(20)] == [0] * 20
            archive.release()
        assert time.monotonic() - begun < 10
        time.sleep(3)
        used, wall = processor_of(pid) - used, time.monotonic() - begun
        over.set()
        for stranger in strangers:
            stranger.join(15)
        assert used < 0.35 * wall


@pytest.mark.parametrize("proven", [False, True])
def test_what_was_put_on_the_account_ahead_is_settled(proven: bool) -> None:
    """Who is about to shake hands pays before, so that not all who wait begin at once; the rest comes back."""
    paid: list[float] = []
    host = SimpleNamespace(
        storage=SimpleNamespace(settings=SimpleNamespace(limits=Limits()), notices=SimpleNamespace(log=None)),
        charge=lambda _, seconds: paid.append(seconds) or 0.0,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        association = IncomingAssociation(ours, "127.0.0.1:1", host)  # type: ignore[arg-type]
        association._began_at = time.thread_time()
        association._give_way(0.05)
        assert sum(paid) >= 0.05
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        association._give_way()
        assert 0.05 <= sum(paid) < 0.06, "it was paid"
        association.proven = proven
        association._settle()
    assert (0.02 if not proven else 0) <= sum(paid) < 0.04
