"""Moved from Orthanc to ourselves and to DCMTK's storescp.

Orthanc 1.10.1 sends made studies as they were stored. It re-encodes some of pydicom's sample files (sequences get
explicit lengths, trailing padding goes), so those are held against what it hands to DCMTK's own movescu and storescp.
Compressed instances are sent compressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dicomover import AssociationRejected, Mover, Node, NodeUnreachable, Timeouts, read_requests
from peers import (
    DOWN,
    HERE,
    LARGER,
    MADE,
    ONCE,
    THERE,
    UNKNOWN,
    Archive,
    check_cohort,
    data_sets_in,
    files_in,
    limit_file_size,
    movescu,
    need,
    orthanc,
    samples,
    storescp,
    transfer_syntax_uid,
    wait_until,
    write_cohort,
)

TIMEOUTS = Timeouts(connect=10, acse=10, stall=30)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Run Orthanc with the made studies and pydicom's samples; a C-MOVE is answered as it goes on."""
    need("Orthanc", "storescp", "movescu")
    running = orthanc(tmp_path_factory.mktemp("orthanc"), [*MADE, *samples()])
    yield running
    running.stop()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Run an Orthanc that answers a C-MOVE at once and sends afterwards (SynchronousCMove false)."""
    need("Orthanc", "storescp")
    running = orthanc(tmp_path_factory.mktemp("hasty"), MADE[:4], synchronous=False)
    yield running
    running.stop()


def receiving(archive: Archive, folder: Path, **options: object) -> Mover:
    """Return a Mover that receives where the archive expects us."""
    return Mover(
        archive.node,
        ae_title=HERE,
        receive=folder,
        port=archive.ports[HERE],
        progress="none",
        timeouts=TIMEOUTS,
        **{**ONCE, **options},  # type: ignore[arg-type]
    )


def sending(archive: Archive, destination: str = THERE, **options: object) -> Mover:
    """Return a Mover that lets a third party receive."""
    return Mover(
        archive.node,
        ae_title=HERE,
        destination=destination,
        progress="none",
        timeouts=TIMEOUTS,
        **{**ONCE, **options},  # type: ignore[arg-type]
    )


def only(summary: pd.DataFrame) -> pd.Series:
    """Return the one row."""
    assert len(summary) == 1
    return summary.iloc[0]


# --- what arrives


def test_a_cohort_from_csv_to_us(archive: Archive, tmp_path: Path) -> None:
    """A CSV of accession numbers moves to our receiver, leading zeros and all, byte for byte."""
    with receiving(archive, tmp_path / "in") as mover:
        summary = mover.move(read_requests(write_cohort(tmp_path / "cohort.csv")))
    check_cohort(summary, received=True)
    assert data_sets_in(tmp_path / "in") == archive.holding.of("00123", "00007", "TWO")


def test_a_cohort_from_csv_to_storescp(archive: Archive, tmp_path: Path) -> None:
    """The same CSV moves to DCMTK's storescp, byte for byte."""
    with storescp(tmp_path, archive.ports[THERE]) as incoming:
        summary = sending(archive).move(read_requests(write_cohort(tmp_path / "cohort.csv")))
    check_cohort(summary, received=False)
    assert data_sets_in(incoming) == archive.holding.of("00123", "00007", "TWO")


def test_samples_as_the_archive_hands_them_over(archive: Archive, tmp_path: Path) -> None:
    """Pydicom's samples, compressed ones too, reach our disk with the bytes that movescu gets to storescp."""
    studies = samples()
    with storescp(tmp_path, archive.ports[THERE]) as incoming:
        for study in studies:
            keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study.study_instance_uid}")
            assert movescu(archive, THERE, *keys).returncode == 0
    summary = receiving(archive, tmp_path / "in").move(
        [{"StudyInstanceUID": study.study_instance_uid} for study in studies]
    )
    assert (summary["status"] == "success").all(), summary["error"].tolist()
    handed_over = data_sets_in(incoming)
    assert set(handed_over) == {item.sop_instance_uid for study in studies for item in study.instances()}
    assert data_sets_in(tmp_path / "in") == handed_over
    assert sum(archive.holding.data_sets[uid] == data for uid, data in handed_over.items()) > 90
    syntaxes = {item.transfer_syntax_uid for study in studies for item in study.instances()}
    assert {transfer_syntax_uid(path) for path in files_in(tmp_path / "in")} == syntaxes


# --- find


@pytest.mark.parametrize("model", ["study", "patient"])
def test_find_at_every_level(archive: Archive, model: str) -> None:
    """C-FIND answers at every level of both models, with the counts that Orthanc keeps."""
    mover = sending(archive)
    study = archive.holding.study("00007")
    patient = {"PatientID": study.patient_id}
    if model == "patient":
        patients = mover.find(patient, level="PATIENT")
        assert patients["PatientID"].tolist() == ["P-0007"]
        assert patients["NumberOfPatientRelatedStudies"].tolist() == [1]
    studies = mover.find({**patient, "AccessionNumber": "00007"}, model=model)
    assert studies["StudyInstanceUID"].tolist() == [study.study_instance_uid]
    assert studies["NumberOfStudyRelatedInstances"].tolist() == [4]
    assert set(studies["ModalitiesInStudy"][0].split("\\")) == {"CT", "MR"}
    above = {**(patient if model == "patient" else {}), "StudyInstanceUID": study.study_instance_uid}
    series = mover.find(above, level="SERIES", model=model)
    assert sorted(series["Modality"]) == ["CT", "MR"]
    assert series["NumberOfSeriesRelatedInstances"].tolist() == [2, 2]
    above["SeriesInstanceUID"] = study.series[0].series_instance_uid
    images = mover.find(above, level="IMAGE", model=model)
    assert set(images["SOPInstanceUID"]) == {item.sop_instance_uid for item in study.series[0].instances}


def test_find_what_nobody_has(archive: Archive) -> None:
    """An empty table with all its columns means that nothing matches."""
    found = sending(archive).find({"AccessionNumber": "00124"})
    assert len(found) == 0
    assert {"StudyInstanceUID", "AccessionNumber"} <= set(found.columns)


def test_find_with_wildcard_range_and_modality(archive: Archive) -> None:
    """Wildcards, date ranges and ModalitiesInStudy reach the archive."""
    mover = sending(archive)
    assert set(mover.find({"AccessionNumber": "00*"})["AccessionNumber"]) == {"00123", "00007"}
    two = mover.find({"AccessionNumber": "TWO", "StudyDate": "20230101-20231231"})
    assert two["StudyDate"].tolist() == ["20230405"]
    found = mover.find({"ModalitiesInStudy": "MR", "PatientID": "P-0007"})
    assert found["AccessionNumber"].tolist() == ["00007"]


def test_a_plan_moved_as_it_is(archive: Archive, tmp_path: Path) -> None:
    """A plan names the studies, and moved as it is it brings them without asking again for accession numbers."""
    mover = receiving(archive, tmp_path)
    plan = mover.plan([{"AccessionNumber": "00007"}, {"AccessionNumber": "TWO"}])
    assert plan["decision"].tolist() == ["move", "several"]
    assert plan["expected"].tolist() == [4, 5]
    summary = mover.move(plan)
    assert summary["status"].tolist() == ["success"] * 2, summary["error"].tolist()
    assert data_sets_in(tmp_path) == archive.holding.of("00007", "TWO")


# --- models and levels


@pytest.mark.parametrize(
    ("level", "model", "wanted"),
    [
        ("PATIENT", "auto", 4),
        ("STUDY", "study", 4),
        ("STUDY", "patient", 4),
        ("SERIES", "study", 2),
        ("SERIES", "patient", 2),
        ("IMAGE", "study", 1),
        ("IMAGE", "patient", 1),
    ],
)
def test_every_level_in_both_models(archive: Archive, tmp_path: Path, level: str, model: str, wanted: int) -> None:
    """A move brings exactly what was asked for, at every level of both models."""
    study = archive.holding.study("00007")
    keys = {"PatientID": study.patient_id} if model != "study" else {}
    if level != "PATIENT":
        keys["StudyInstanceUID"] = study.study_instance_uid
    if level in ("SERIES", "IMAGE"):
        keys["SeriesInstanceUID"] = study.series[1].series_instance_uid
    if level == "IMAGE":
        keys["SOPInstanceUID"] = study.series[1].instances[0].sop_instance_uid
    row = only(receiving(archive, tmp_path).move(keys, level=level, model=model))
    assert (row.status, row.expected, row.received) == ("success", wanted, wanted), row.error
    assert len(files_in(tmp_path)) == wanted


def test_lists_of_uids(archive: Archive, tmp_path: Path) -> None:
    """A list of images goes in one C-MOVE, a list of series in one for each."""
    study = archive.holding.study("00007")
    series = [item.series_instance_uid for item in study.series]
    mover = receiving(archive, tmp_path)
    row = only(mover.move({"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series}))
    assert (row.status, row.received, row.attempts) == ("success", 4, 2), row.error
    images = [item.sop_instance_uid for item in study.series[0].instances]
    keys = {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series[0], "SOPInstanceUID": images}
    row = only(mover.move(keys))
    assert (row.status, row.received, row.attempts) == ("skipped", 2, 0), row.error  # they came with their series
    row = only(receiving(archive, tmp_path, journal=None).move(keys))
    assert (row.status, row.received, row.attempts) == ("success", 2, 1), row.error


# --- what goes wrong


@pytest.mark.parametrize(
    ("destination", "keys"),
    [
        pytest.param(UNKNOWN, {"AccessionNumber": "00123"}, id="destination-unknown"),
        pytest.param(DOWN, {"AccessionNumber": "00123"}, id="destination-down"),
    ],
)
def test_unable_for_whatever_reason(archive: Archive, destination: str, keys: dict[str, str]) -> None:
    """0xC000 without numbers: a failure whose sentence names what to check."""
    row = only(sending(archive, destination).move(keys))
    assert (row.status, row.status_code) == ("failure", "0xC000")
    assert f"the AE title '{destination}' is unknown to them or does not answer" in row.error


def test_nothing_matches(archive: Archive) -> None:
    """A study that the archive does not have is not found, though the C-MOVE alone looks like any other failure."""
    assert only(sending(archive).move({"StudyInstanceUID": "1.2.3.4"})).status == "not-found"
    row = only(sending(archive).move({"StudyInstanceUID": "1.2.3.4"}, verify="none"))
    assert (row.status, row.status_code) == ("failure", "0xC000")


@pytest.mark.parametrize("options", [("--refuse",), ("--abort-during",), ("--abort-after",)], ids=lambda o: o[0][2:])
def test_a_destination_at_fault(archive: Archive, tmp_path: Path, options: tuple[str, ...]) -> None:
    """A destination that refuses or aborts ends in a failure, and nothing is called moved."""
    with storescp(tmp_path, archive.ports[THERE], *options):
        row = only(sending(archive).move({"AccessionNumber": "00123"}))
    assert row.status == "failure", row.error
    assert pd.isna(row.completed) or row.completed == 0


def test_our_disk_is_full_for_some(archive: Archive, tmp_path: Path) -> None:
    """Orthanc stops at the first instance that finds no room: partial, with what arrived and that it was our disk."""
    with receiving(archive, tmp_path) as mover:
        limit_file_size(mover, 2048 * LARGER // 2)
        row = only(mover.move({"AccessionNumber": "MIXED"}))
    arrived = len(files_in(tmp_path))
    assert row.received == arrived
    assert row.status == ("partial" if arrived else "failure"), row.error
    assert row.status_code == "0xC000"
    assert "our disk is full" in row.error


def test_our_disk_is_full_for_all(archive: Archive, tmp_path: Path) -> None:
    """A failure that names our disk, and not the archive, where nothing finds room here."""
    with receiving(archive, tmp_path) as mover:
        limit_file_size(mover, 512)
        row = only(mover.move({"AccessionNumber": "00123"}))
    assert (row.status, row.received) == ("failure", 0)
    assert "our disk is full" in row.error
    assert not files_in(tmp_path)


def test_cancel_in_the_middle(archive: Archive, tmp_path: Path) -> None:
    """A cancelled job reads the final 0xFE00 and says what had moved until then; the rest is not sent."""
    with storescp(tmp_path, archive.ports[THERE], "--sleep-after", "1") as incoming:
        job = sending(archive, associations=1).start([{"AccessionNumber": "MANY"}, {"AccessionNumber": "00123"}])
        wait_until(lambda: files_in(incoming))
        job.cancel()
        assert job.wait(15)
    first, second = job.summary().itertuples()
    assert (first.status, first.status_code) == ("cancelled", "0xFE00"), first.error
    assert 1 <= first.completed < 150
    assert (second.status, second.attempts) == ("cancelled", 0)


def test_the_archive_is_killed_and_comes_back(tmp_path: Path) -> None:
    """A killed Orthanc is a lost row, then an unreachable node; the same Mover goes on once it is back."""
    archive = orthanc(tmp_path / "orthanc", MADE[:5])
    try:
        with storescp(tmp_path, archive.ports[THERE], "--sleep-after", "1") as incoming, sending(archive) as mover:
            job = mover.start({"AccessionNumber": "MANY"})
            wait_until(lambda: len(files_in(incoming)) > 1)  # so a response has come
            archive.program.process.kill()
            archive.program.process.wait(10)
            assert job.wait(30)
            row = only(job.summary())
            assert row.status == "lost"
            assert "run it again" in row.error
            with pytest.raises(NodeUnreachable):
                mover.echo()
            archive.restart()
            assert mover.find({"AccessionNumber": "00123"}).shape[0] == 1
    finally:
        archive.stop()


def test_the_archive_is_restarted_between_two_moves(tmp_path: Path) -> None:
    """One Mover goes on after a restart of the archive: its idle association is replaced."""
    archive = orthanc(tmp_path / "orthanc", MADE[:2])
    try:
        with receiving(archive, tmp_path / "in") as mover:
            assert only(mover.move({"AccessionNumber": "00123"})).status == "success"
            archive.restart()
            row = only(mover.move({"AccessionNumber": "00007"}))
            assert (row.status, row.received) == ("success", 4), row.error
    finally:
        archive.stop()


def test_a_wrong_ae_title(archive: Archive) -> None:
    """An archive that is not called so rejects the association, and the error says what to ask for."""
    mover = Mover(Node(archive.node.host, archive.node.port, ae_title="OTHER"), destination=THERE)
    with pytest.raises(AssociationRejected, match="it does not call itself 'OTHER'; ask for its AE title") as caught:
        mover.move({"AccessionNumber": "00123"})
    assert not caught.value.retriable


def test_several_associations_side_by_side(archive: Archive, tmp_path: Path) -> None:
    """Four associations bring the whole cohort once, all in the right rows."""
    names = ("00123", "00007", "TWO", "MANY", "MIXED", "123")
    with receiving(archive, tmp_path, associations=4) as mover:
        summary = mover.move([{"AccessionNumber": name} for name in names])
    assert (summary["status"] == "success").all(), summary["error"].tolist()
    assert summary["received"].tolist() == [4, 4, 5, 150, 5, 1]
    assert data_sets_in(tmp_path) == archive.holding.of(*names)


# --- answered before it is sent


def test_a_cohort_answered_before_it_is_sent(hasty: Archive, tmp_path: Path) -> None:
    """An archive that answers success at once and sends afterwards: what is late is waited for."""
    with receiving(hasty, tmp_path / "in") as mover:
        summary = mover.move(read_requests(write_cohort(tmp_path / "cohort.csv")))
    check_cohort(summary, received=True)
    assert data_sets_in(tmp_path / "in") == hasty.holding.of("00123", "00007", "TWO")


def test_a_promise_that_is_not_kept(hasty: Archive, tmp_path: Path) -> None:
    """An archive that answers success, 4 completed, while our disk takes nothing: the row says what arrived."""
    with receiving(hasty, tmp_path) as mover:
        limit_file_size(mover, 512)
        row = only(mover.move({"AccessionNumber": "00123"}))
    assert row.received == 0
    assert row.status not in ("success", "warning", "partial")
    assert "our disk is full" in row.error


def test_a_third_party_that_is_down_is_believed(hasty: Archive) -> None:
    """Success, 4 completed, nothing sent: where a third party receives only it could tell."""
    row = only(sending(hasty, DOWN).move({"AccessionNumber": "00123"}))
    assert (row.status, row.status_code, row.completed) == ("success", "0x0000", 4)
