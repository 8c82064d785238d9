"""What the parts of one batch share: made before anything is sent, and the same for each of them."""

from __future__ import annotations

import socket

import pytest

from dicomover.batch.evidence import Witness
from dicomover.batch.run import BatchRun
from dicomover.batch.settings import BatchSettings
from dicomover.errors import ReceiverError
from dicomover.events import Admission, Noted, RequestEnded
from dicomover.node import Node, Timeouts
from dicomover.outcome import Status
from dicomover.policy.pace import Pace
from dicomover.query.resolve import Resolver
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from dicomover.wire.lines import Pool

NODE = Node("pacs.example.org", 104, ae_title="ARCHIVE")


class Listening:
    """Stands for our Storage SCP."""

    port = 11112
    failed: ReceiverError | None = None
    last_activity = last_call = 0.0

    def admit(self, admission: Admission) -> None:
        """Let in."""

    def dismiss(self, *moves: int) -> None:
        """Let in no more."""

    def sync(self) -> None:
        """Make durable."""


def run_of(**more: object) -> BatchRun:
    """Make a run of two requests."""
    settings = BatchSettings(destination="ME", timeouts=Timeouts(), resolve=Resolver(NODE, "counts", None))
    batch = parse_requests([{"AccessionNumber": "1"}, {"AccessionNumber": "2"}])
    return BatchRun.of(batch, settings, pool=Pool(NODE, "ME"), pace=Pace(), **more)  # type: ignore[arg-type]


def test_making_one_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked up or connected before a worker begins."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("I/O in a constructor")

    for name in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    run_of(scp=Listening(), destination_pool=Pool(NODE, "ME"))


def test_what_is_not_wanted_is_none() -> None:
    """Where a third party receives nothing is tallied; a destination is asked only where that is wanted."""
    plain = run_of()
    assert (plain.tally, plain.witness, plain.resumption) == (None, None, None)
    full = run_of(scp=Listening(), destination_pool=Pool(NODE, "ME"))
    assert full.tally is not None
    assert isinstance(full.tally.scp, Listening)
    assert isinstance(full.witness, Witness)


def test_all_tell_the_one_who_draws() -> None:
    """What the ledger and the controls tell comes by one queue, in the order in which it happened."""
    run = run_of()
    row = run.ledger.next_work(0.0)
    assert row is not None
    assert not isinstance(row, float)
    run.controls.emit(Noted(1.0, "first"))
    run.ledger.end(row, Result(Status.NOT_FOUND))  # type: ignore[arg-type]
    first, second = run.events.get_nowait(), run.events.get_nowait()
    assert isinstance(first, Noted)
    assert isinstance(second, RequestEnded)
    assert second.status is Status.NOT_FOUND
    assert run.events.empty()
