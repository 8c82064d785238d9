"""The report of a job: it knows who was asked and when each instance came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomover import Mover
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import wait_until
from reporting_kit import Page

STUDIES = [made_study("A", instances=6), made_study("B", instances=4)]
BATCH = [{"AccessionNumber": name} for name in ("A", "B", "A", "none")]


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive that fails one instance of B."""
    with DemoPacs(STUDIES, misbehave={"B": "success-with-failures"}) as archive:
        yield archive


def test_when_we_receive(pacs: DemoPacs, tmp_path: Path) -> None:
    """Arrivals over time are those of this run, once each, although two rows share a study."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", retry="none") as mover:
        pacs.destinations["MOVESCU"] = port = mover.port
        job = mover.start(BATCH)
        assert job.wait(30)
        again = mover.start(BATCH[:1])
        assert again.wait(30)
    made = job.report()
    assert made.timeline["instances"].sum() == 9
    assert made.timeline["bytes"].sum() > 0
    text = str(made)
    assert f"MOVESCU, port {port}" in text
    assert str(pacs.node) in text
    assert "when the row ended" not in text
    assert str(tmp_path) not in made._repr_html_()
    assert again.report().timeline["instances"].sum() == 0
    assert "6 of them by an earlier run" in str(again.report())


def test_when_a_third_party_receives(pacs: DemoPacs) -> None:
    """Then the archive's counters are what there is over time, and bytes are unknown."""
    with Mover(pacs.node, destination="WORKSTATION", progress="none", retry="none") as mover:
        job = mover.start(BATCH)
        assert job.wait(30)
    made = job.report()
    assert made.timeline["instances"].sum() == 9
    assert made.timeline["failed"].sum() == 1
    assert made.timeline["bytes"].isna().all()
    assert "A third party received" in str(made)


def test_while_it_runs() -> None:
    """A report of a running job says what is not over yet."""
    slow = {"*": Misbehaviour("slow", seconds=0.1)}
    with (
        DemoPacs(STUDIES, misbehave=slow) as pacs,
        Mover(pacs.node, destination="WORKSTATION", progress="none", associations=1) as mover,
    ):
        job = mover.start(BATCH[:2])
        wait_until(lambda: job.report().timeline["instances"].sum() > 0)
        made = job.report()
        assert "not over yet" in repr(made)
        job.cancel()
        assert job.wait(30)


def test_rows_by_accession_number_name_their_studies() -> None:
    """The page has the studies that each row came to, without its number; of many the first."""
    many = [made_study("MANY", number=number) for number in range(4, 9)]
    batch = [*BATCH, {"AccessionNumber": "MANY"}]
    with DemoPacs([*STUDIES, *many], misbehave={"B": "success-with-failures"}) as pacs:
        job = Mover(pacs.node, destination="WORKSTATION", progress="none", retry="none").job(batch).run()
    page = Page(job.report()._repr_html_()).text
    uids = [study.study_instance_uid for study in STUDIES]
    assert [page.count(uid) for uid in uids] == [2, 1]
    assert page.index("Rows that are not complete") < page.index(uids[1]) < page.index("Rows that are complete")
    assert "… and 2 more" in page
    assert "MANY" not in page
    running = Mover(pacs.node, destination="WORKSTATION", progress="none").job(batch).report()
    assert uids[0] not in running._repr_html_()
