"""What shows that all has arrived: counts, SOP Instance UIDs, and what a destination says it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dicomover import ConfigurationError, ContextRejected, Mover, Node, NodeUnreachable
from dicomover.batch.evidence import Evidence
from dicomover.batch.job import Job
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.targets import Target
from dicomover.summary import Instance
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study
from peers import HERE, ONCE, dcmqrscp, free_port, need, orthanc, storescp, wait_until

UID = "2.25.123"
WHOLE = made_study("00123", series=2, instances=3, study_instance_uid=UID)
REQUEST = {"AccessionNumber": "00123"}


def uids(study: Study) -> list[str]:
    """Return the SOP Instance UIDs of a study."""
    return [instance.sop_instance_uid for instance in study.instances()]


def received(pacs: DemoPacs, folder: Path, **options: object) -> tuple[Job, pd.Series]:
    """Let us receive what is asked for, and return the job and its row."""
    options = {"verify": "instances", **ONCE, **options}
    with Mover(pacs.node, receive=folder, port=0, progress="none", **options) as mover:  # type: ignore[arg-type]
        pacs.destinations["MOVESCU"] = mover.port
        job = mover.job(REQUEST).run()
    return job, job.summary().loc[0]


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with a study of two series."""
    with DemoPacs([WHOLE, made_study("OTHER")]) as archive:
        yield archive


# --- instances


@pytest.mark.parametrize(
    "key", ["AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
)
def test_instances_at_every_level(pacs: DemoPacs, tmp_path: Path, key: str) -> None:
    """Whatever level is asked at, each SOP Instance UID is expected and here."""
    series = WHOLE.series[1]
    above = {"StudyInstanceUID": WHOLE.study_instance_uid}
    requests = {
        "AccessionNumber": (REQUEST, 6),
        "PatientID": ({"PatientID": WHOLE.patient_id}, 6),
        "StudyInstanceUID": (above, 6),
        "SeriesInstanceUID": ({**above, "SeriesInstanceUID": series.series_instance_uid}, 3),
        "SOPInstanceUID": (
            {
                **above,
                "SeriesInstanceUID": series.series_instance_uid,
                "SOPInstanceUID": series.instances[0].sop_instance_uid,
            },
            1,
        ),
    }
    request, count = requests[key]
    options = {"level": "PATIENT"} if key == "PatientID" else {}
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", verify="instances") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        summary = mover.move(request, **options)  # type: ignore[arg-type]
    assert (summary.status[0], summary.expected[0], summary.received[0]) == ("success", count, count)


def test_counts_that_are_right_with_instances_that_are_not() -> None:
    """As many as were promised is not enough: each of those that were listed has to be there."""
    target = Target(
        Identifier(Level.STUDY, Model.STUDY, study="1"), True, 2, instances={"1.1": ["1.1.1"], "1.2": ["1.2.1"]}
    )
    assert Evidence({"1.1.1", "1.1.9"}).missing(target) == (Instance("1", "1.2", "1.2.1"),)
    assert Evidence({"1.1.1", "1.2.1"}).missing(target) == ()
    assert Evidence().missing(target) == (), "nobody has looked"


@pytest.mark.parametrize("verify", ["instances", "counts"])
def test_what_is_missing_is_named(pacs: DemoPacs, tmp_path: Path, verify: str) -> None:
    """A row of failures() for each instance that the archive has and that is not here, with what is above it."""
    pacs.misbehave["00123"] = Misbehaviour("claims-some-without-sending", count=2)
    job, row = received(pacs, tmp_path, verify=verify)
    assert (row.status, row.expected, row.received) == ("partial", 6, 4)
    gone = job.failures()
    last = WHOLE.series[1]
    assert gone.columns.tolist()[:5] == [
        *("request", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "problem"),
    ]
    assert gone.StudyInstanceUID.tolist() == [WHOLE.study_instance_uid] * 2
    assert gone.SeriesInstanceUID.tolist() == [last.series_instance_uid] * 2
    assert sorted(gone.SOPInstanceUID) == sorted(item.sop_instance_uid for item in last.instances[1:])
    assert set(gone.problem) == {"missing"}
    assert gone.why.str.contains("4 of 6 moved").all()


def test_what_failed_is_not_named_twice(pacs: DemoPacs, tmp_path: Path) -> None:
    """An instance that the archive lists as failed is missing too, but stands once, as failed."""
    pacs.misbehave["00123"] = "some-failed"
    job, row = received(pacs, tmp_path)
    assert row.status == "partial"
    assert job.failures().problem.tolist() == ["failed"]
    assert job.failures().SeriesInstanceUID.tolist() == [WHOLE.series[1].series_instance_uid]


def test_an_archive_that_does_not_list_instances(pacs: DemoPacs, tmp_path: Path) -> None:
    """Where the archive promises more than it lists, counts have to do, and the row is not worse for it."""
    pacs.misbehave["*"] = "find-counts-more"
    job, row = received(pacs, tmp_path)
    assert (row.status, row.expected, row.received) == ("partial", 7, 6)
    assert "not compared by instance" in row.error
    assert job.failures().empty


def test_a_success_that_was_not_compared_says_so(pacs: DemoPacs, tmp_path: Path) -> None:
    """Where the archive lists fewer instances than it counts, as many as it counts are a success with a caution."""
    pacs.misbehave["*"] = Misbehaviour("find-capped", count=2)
    _, row = received(pacs, tmp_path)
    assert (row.status, row.expected, row.received) == ("success", 6, 6)
    assert "not compared by instance: the archive does not list all that it counts" in row.error


def test_an_archive_that_lists_other_studies_too(pacs: DemoPacs, tmp_path: Path) -> None:
    """What does not belong to what was asked for is not missed, at the first attempt or the second."""
    pacs.misbehave["*"] = ["find-ignores-keys", Misbehaviour("some-failed", times=1)]
    for verify in ("instances", "counts"):
        job, row = received(pacs, tmp_path / verify, verify=verify, retry=2)
        assert (row.status, row.expected, row.received) == ("success", 6, 6)
        assert job.failures().empty


def test_verify_none_asks_nothing(pacs: DemoPacs, tmp_path: Path) -> None:
    """An archive that is not to be asked is not asked, whatever is missing."""
    pacs.misbehave[WHOLE.accession_number] = "some-failed"
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", verify="none", **ONCE) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        assert mover.move({"StudyInstanceUID": UID}).status.tolist() == ["partial"]
    assert not [request for request in pacs.requests if request.kind == "C-FIND"]


def test_a_retry_that_brings_the_rest(pacs: DemoPacs, tmp_path: Path) -> None:
    """What was missing at first and came with the second attempt is not missing."""
    pacs.misbehave["00123"] = Misbehaviour("some-failed", times=1)
    job, row = received(pacs, tmp_path, retry=2)
    assert (row.status, row.received, row.attempts) == ("success", 6, 2)
    assert job.failures().empty


# --- destination


class Destination(DemoPacs):
    """A destination that has what it is given, whatever is sent to it."""

    def asked_by(self, pacs: DemoPacs, **options: object) -> Mover:
        """Return a Mover that lets the archive send to it and asks it."""
        pacs.destinations[self.ae_title] = pacs.workstation.port
        options = {"verify": "destination", "progress": "none", **ONCE, **options}
        return Mover(pacs.node, destination=self.node, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a destination that will never have more."""
    monkeypatch.setattr("dicomover.batch.evidence._QUIET", 0.3)
    monkeypatch.setattr("dicomover.batch.arrivals.STRAGGLER_SECONDS", 0.3)


def test_a_destination_that_has_it_all(pacs: DemoPacs) -> None:
    """What it has is what was expected; nothing is received here."""
    with Destination([WHOLE], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        row = mover.move(REQUEST).loc[0]
    assert (row.status, row.expected, row.completed) == ("success", 6, 6)
    assert pd.isna(row.received)


@pytest.mark.parametrize(("has", "status"), [(2, "partial"), (0, "empty")])
def test_a_destination_that_lacks_something(pacs: DemoPacs, has: int, status: str) -> None:
    """What the archive counts as completed and the destination has not is missing, and named."""
    held = [made_study("00123", series=2, instances=has, study_instance_uid=UID)] if has else []
    with Destination(held, ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        job = mover.job(REQUEST).run()
    row = job.summary().loc[0]
    assert (row.status, row.completed) == (status, 6)
    assert ("4 of 6 moved" if has else "'ELSEWHERE' has none of it") in row.error
    present = {uid for study in held for uid in uids(study)}
    assert sorted(job.failures().SOPInstanceUID) == sorted(set(uids(WHOLE)) - present)


def test_a_destination_whose_instances_are_others(pacs: DemoPacs) -> None:
    """As many instances of the study as were asked for do not do if they are others."""
    others = made_study("00123", series=3, instances=2, study_instance_uid=UID)
    with Destination([others], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        job = mover.job(REQUEST).run()
    assert job.summary().status[0] == "partial"
    assert "2 of those that the archive lists are missing" in job.summary().error[0]
    assert len(job.failures()) == 2


def test_a_destination_that_refuses_to_be_asked(pacs: DemoPacs) -> None:
    """What nobody can confirm is no success; it is not moved again for that."""
    refusing = Destination([WHOLE], ae_title="ELSEWHERE", misbehave={"*": "find-unable"})
    with refusing as there, there.asked_by(pacs, retry=3) as mover:
        row = mover.move(REQUEST).loc[0]
    assert (row.status, row.attempts) == ("lost", 1)
    assert "could not be asked what has arrived" in row.error


def test_a_list_that_cannot_be_compared(pacs: DemoPacs) -> None:
    """Without the archive's list nothing shows that the destination has what was sent, and not something older."""
    pacs.misbehave["*"] = [Misbehaviour("find-capped", count=2), "claims-some-without-sending"]
    with Destination([WHOLE], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        row = mover.move(REQUEST).loc[0]
    assert row.status == "lost"
    assert "does not list the instances" in row.error


def test_a_destination_that_takes_one_association(pacs: DemoPacs) -> None:
    """All workers ask over one association at a time."""
    many = [made_study(f"S{n}", instances=2) for n in range(8)]
    pacs.add(many)
    with Destination(many, ae_title="ELSEWHERE", max_associations=1) as there, there.asked_by(pacs) as mover:
        summary = mover.move([{"AccessionNumber": study.accession_number} for study in many], associations=3)
    assert set(summary.status) == {"success"}
    assert there.most_associations == 1


def test_what_the_journal_calls_complete_is_asked_for_at_the_destination(pacs: DemoPacs, tmp_path: Path) -> None:
    """A rerun believes the destination more than an earlier run: it moves what is not there, and skips what is."""
    pacs.destinations["ELSEWHERE"] = pacs.workstation.port
    journal = tmp_path / "journal.db"
    earlier = Mover(pacs.node, destination="ELSEWHERE", journal=journal, progress="none")
    assert earlier.move(REQUEST).status.tolist() == ["success"]
    with Destination([made_study("1")], ae_title="ELSEWHERE") as there, there.asked_by(pacs, journal=journal) as mover:
        row = mover.move(REQUEST).loc[0]
        assert (row.status, row.attempts) == ("empty", 1), "it never arrived"
        there.add([WHOLE])
        assert mover.move(REQUEST).status.tolist() == ["skipped"]
        there.remove(WHOLE)
        assert mover.move(REQUEST).attempts.tolist() == [1]


def test_an_archive_that_refuses_what_is_there_already(pacs: DemoPacs) -> None:
    """What the destination has had before does not make a refusal a success, and nobody waits for more of it."""
    pacs.misbehave["00123"] = "destination-unknown"
    with Destination([WHOLE], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        row = mover.move(REQUEST).loc[0]
    assert (row.status, row.status_code) == ("failure", "0xA801")
    assert row.seconds < 5


def test_a_cancel_while_the_destination_is_asked(pacs: DemoPacs) -> None:
    """What has moved and could not be confirmed any more is cancelled, and says so."""
    slow = {"*": Misbehaviour("find-slow", seconds=0.3)}
    with Destination([WHOLE], ae_title="ELSEWHERE", misbehave=slow) as there, there.asked_by(pacs) as mover:
        job = mover.start(REQUEST)
        wait_until(lambda: any(request.kind == "C-FIND" for request in list(there.requests)))
        job.cancel()
        assert job.wait(20)
    row = job.summary().loc[0]
    assert (row.status, row.completed) == ("cancelled", 6)
    assert "could not be asked what has arrived" in row.error
    assert "cancelled" in row.error


def test_a_patient_at_a_destination_under_another_id(pacs: DemoPacs) -> None:
    """A patient's studies are asked for by their UIDs, and named if they are missing."""
    other = made_study("00123", series=2, instances=3, study_instance_uid=UID, patient="SOMEONE-ELSE")
    request = {"PatientID": WHOLE.patient_id}
    with Destination([other], ae_title="ELSEWHERE") as there, there.asked_by(pacs, level="PATIENT") as mover:
        assert mover.move(request).status.tolist() == ["success"]
        there.remove(other)
        job = mover.job(request).run()
    assert set(job.failures().StudyInstanceUID) == {UID}


def test_a_destination_that_goes_away(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch ends: what has moved and cannot be confirmed is lost, the rest is not sent."""
    monkeypatch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.01,))
    there = Destination([WHOLE], ae_title="ELSEWHERE")
    pacs.misbehave["00123"] = Misbehaviour("slow", seconds=0.05)
    with there.asked_by(pacs, associations=1) as mover:
        job = mover.start([REQUEST, {"AccessionNumber": "OTHER"}])
        there.close()
        assert job.wait(20)
    summary = job.summary()
    assert summary.status.tolist() == ["lost", "failure"]
    assert summary.error[1].startswith("not sent")


def test_a_destination_that_cannot_be_reached_at_all(pacs: DemoPacs) -> None:
    """Nothing moves before it is known that the destination can be asked."""
    nobody = Node("127.0.0.1", free_port(), ae_title="WORKSTATION")
    with pytest.raises(NodeUnreachable, match="WORKSTATION"):
        Mover(pacs.node, destination=nobody, verify="destination", progress="none").move(REQUEST)
    assert not pacs.moves_of(WHOLE.study_instance_uid)


def test_a_destination_under_other_patient_ids(pacs: DemoPacs) -> None:
    """UIDs decide, since a destination may have coerced the patient's ID."""
    other = made_study("00123", series=2, instances=3, study_instance_uid=UID, patient="SOMEONE-ELSE")
    assert uids(other) == uids(WHOLE)
    with Destination([other], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        request = {"PatientID": WHOLE.patient_id, "StudyInstanceUID": WHOLE.study_instance_uid}
        assert mover.move(request).status.tolist() == ["success"]


def test_who_cannot_be_asked(pacs: DemoPacs, tmp_path: Path) -> None:
    """A destination without an address, or ourselves, cannot be asked; the error says what to do."""
    for options in ({"destination": "WORKSTATION"}, {"receive": tmp_path}):
        with pytest.raises(ConfigurationError, match="give destination= as a Node"):
            Mover(pacs.node, verify="destination", **options)  # type: ignore[arg-type]
    mover = Mover(pacs.node, destination=Node("127.0.0.1", 1, ae_title="A"), verify="destination")
    with pytest.raises(ConfigurationError, match="give destination= as a Node"):
        mover.move(REQUEST, destination="B")


# --- real destinations


@pytest.mark.parametrize("kind", ["dcmqrscp", "orthanc"])
def test_a_real_destination(tmp_path: Path, kind: str) -> None:
    """DCMTK's archive and Orthanc take what is sent and say that they have it; what was not sent is missed."""
    there = {"dcmqrscp": dcmqrscp, "orthanc": orthanc}[kind](tmp_path, [made_study("99")])
    options = {"ae_title": HERE, "destination": there.node, "verify": "destination", "progress": "none", **ONCE}
    lies = {"OTHER": Misbehaviour("claims-some-without-sending", count=3)}
    studies = [WHOLE, made_study("OTHER", instances=5)]
    try:
        with DemoPacs(studies, store_ae_title=HERE, misbehave=lies) as pacs, Mover(pacs.node, **options) as mover:
            pacs.destinations[there.node.ae_title] = there.node.port
            row = mover.move(REQUEST).loc[0]
            assert (row.status, row.expected, row.completed) == ("success", 6, 6)
            job = mover.job({"AccessionNumber": "OTHER"}).run()
    finally:
        there.stop()
    assert job.summary().status[0] == "partial"
    assert len(job.failures()) == 3


def test_a_destination_that_only_stores(pacs: DemoPacs, tmp_path: Path) -> None:
    """A Storage SCP that answers no C-FIND is told of before anything moves."""
    need("storescp")
    port = free_port()
    there = Node("127.0.0.1", port, ae_title="STORESCP")
    mover = Mover(pacs.node, destination=there, verify="destination", progress="none")
    with storescp(tmp_path, port), pytest.raises(ContextRejected, match="does not offer C-FIND"):
        mover.move(REQUEST)
    assert not pacs.moves_of(UID)


def test_nothing_is_held_open_at_the_destination(pacs: DemoPacs) -> None:
    """While the archive sends, no association of ours keeps a destination busy that takes one at a time."""
    pacs.misbehave["00123"] = Misbehaviour("slow", seconds=0.1)
    with Destination([WHOLE], ae_title="ELSEWHERE") as there, there.asked_by(pacs) as mover:
        job = mover.start(REQUEST)
        wait_until(lambda: len(pacs.stores) >= 2)
        assert there.open_associations == 0
        assert job.wait(20)
