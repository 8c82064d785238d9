"""A line to the archive when this machine, or the person at it, gets in the way."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from dicomover import Mover, NodeUnreachable, QueryRefused, Timeouts
from dicomover.controls import Controls
from dicomover.crew import thread
from dicomover.line import Line
from dicomover.pool import Pool
from dicomover.testing import DemoPacs, Misbehaviour, made_study


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive."""
    with DemoPacs([made_study("00123"), made_study("00124")]) as archive:
        yield archive


def test_no_descriptor_is_left(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that this machine cannot open is a NodeError that says so, not an OSError."""

    def exhausted(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("dicomover.dimse.connect", exhausted)
    with pytest.raises(NodeUnreachable, match=r"cannot open another connection \(Too many open files\)"):
        Mover(pacs.node).echo()


def test_an_interrupted_answer_is_nobody_elses(pacs: DemoPacs) -> None:
    """An association that an interrupt leaves in the middle of an exchange is not used again."""
    pool = Pool(pacs.node, "MOVESCU")
    line = Line(pool, Timeouts(), Controls(lambda _: None))
    with line:
        line.echo()
        first = line.connect()
    with line:
        assert line.connect() is first, "it is used again"
    try:
        with line:
            line.connect()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not first.is_open
    with line:
        assert line.connect() is not first
    pool.close()


def test_an_error_leaves_the_association_in_order(pacs: DemoPacs) -> None:
    """What the archive refuses is no reason to open another association."""
    pacs.misbehave["00123"] = Misbehaviour("find-refused", times=1)
    with Mover(pacs.node) as mover:
        with pytest.raises(QueryRefused):
            mover.find({"AccessionNumber": "00123"})
        assert len(mover.find({"AccessionNumber": "00123"})) == 1
    assert len(pacs.associations) == 1


@pytest.mark.parametrize("started", [0, 1])
def test_a_thread_that_cannot_be_started(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """The batch ends all the same: every row has its verdict, and the Mover closes."""
    threads = iter(range(10))

    def limited(*args: object) -> object:
        if next(threads) >= started:
            raise RuntimeError("can't start new thread")
        return thread(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("dicomover.crew.thread", limited)
    with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        job = mover.job([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
        with pytest.raises(RuntimeError, match="thread"):
            job.run()
    assert job.summary().status.notna().all()
    assert pacs.open_associations == 0
