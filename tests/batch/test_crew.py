"""Workers side by side: as many as there is work and associations for, and each row ends whatever becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from batch_kit import STUDIES, quiet, seen
from dicomover import NodeUnreachable
from dicomover.batch.work import SharedMove
from dicomover.batch.worker import Worker
from dicomover.policy.retry import Retry
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.wire.lines import Line
from dicomover.wire.stop import Controls


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


def test_associations_side_by_side() -> None:
    """As many associations as asked for work at once, each on requests of its own."""
    studies = [made_study(f"S{number}", instances=5) for number in range(12)]
    with DemoPacs(studies, misbehave={"*": Misbehaviour("slow", seconds=0.02)}) as pacs:
        summary = quiet(pacs, associations=4).move([{"AccessionNumber": f"S{number}"} for number in range(12)])
        assert summary["status"].tolist() == ["success"] * 12
        assert pacs.most_associations == 4
        assert pacs.most_moves == 4
        assert len({item.association for item in seen(pacs, "C-MOVE")}) == 4
        assert all(pacs.sends_of(item.sop_instance_uid) == 1 for study in studies for item in study.instances())


def test_no_more_associations_than_requests(pacs: DemoPacs) -> None:
    """One request takes one association, however many are allowed."""
    quiet(pacs, associations=8).move({"AccessionNumber": "00123"})
    assert len(pacs.associations) == 1


def test_fewer_associations_than_asked_for() -> None:
    """An archive that allows one association is worked with over one, and nothing is lost."""
    studies = [made_study(f"S{number}", instances=3) for number in range(6)]
    with DemoPacs(studies, max_associations=1) as pacs:
        summary = quiet(pacs, associations=4).move([{"AccessionNumber": f"S{number}"} for number in range(6)])
        assert summary["status"].tolist() == ["success"] * 6, summary["error"].tolist()
        assert pacs.most_associations == 1
        assert any(item.rejected == (2, 3, 2) for item in pacs.associations)


def test_the_last_worker_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry that a worker without an association leaves behind is done by one that was about to go."""
    going, left = threading.Event(), threading.Event()
    attempt, work, leave_to_others = Worker._attempt, Worker.work, Controls.leave_to_others
    with DemoPacs([made_study("A", instances=1), made_study("B", instances=1)]) as archive:
        archive.misbehave["A"] = Misbehaviour("busy")
        uid = archive.study("A").study_instance_uid

        def gone(self: Line) -> None:
            raise NodeUnreachable("gone")

        def late(self: Worker, move: SharedMove) -> None:
            is_first = move.target.identifier.study == uid and not move.tries
            if is_first:
                assert going.wait(10)
            attempt(self, move)
            if is_first:
                monkeypatch.setattr(self._line, "connect", partial(gone, self._line), raising=False)

        def slowly(self: Worker) -> bool:
            stayed = work(self)
            if stayed and not going.is_set():
                going.set()
                assert left.wait(10)
            return stayed

        def told(self: Controls) -> bool:
            could = leave_to_others(self)
            if could:
                left.set()
            return could

        monkeypatch.setattr(Worker, "_attempt", late)
        monkeypatch.setattr(Worker, "work", slowly)
        monkeypatch.setattr(Controls, "leave_to_others", told)
        retry = Retry(attempts=2, first_wait=0.2, longest_wait=0.2)
        summary = quiet(archive, retry=retry, associations=2).move([{"AccessionNumber": name} for name in "AB"])
    assert left.is_set()
    assert summary["status"].notna().all()
