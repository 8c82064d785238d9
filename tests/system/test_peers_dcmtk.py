"""Moved from DCMTK's archive (dcmqrscp) to ourselves and to DCMTK's storescp.

dcmqrscp 3.6.7 sends made studies as they lie on its disk. It re-encodes some of pydicom's sample files on the way
(sequences get explicit lengths, trailing padding goes), so those are held against what it hands to DCMTK's own
movescu and storescp. It sends one kind of compression only, chosen by an option.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dicomover import Mover, NodeUnreachable, Timeouts, read_requests
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
    dcmqrscp,
    files_in,
    limit_file_size,
    movescu,
    need,
    samples,
    storescp,
    transfer_syntax_uid,
    wait_until,
    write_cohort,
)

TIMEOUTS = Timeouts(connect=10, acse=10, stall=20)
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Run dcmqrscp with the made studies and pydicom's uncompressed samples."""
    need("dcmqrscp", "dcmqridx", "storescp", "movescu")
    running = dcmqrscp(tmp_path_factory.mktemp("dcmqrscp"), [*MADE, *samples(*UNCOMPRESSED)])
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
    """Pydicom's uncompressed samples reach our disk with the bytes that DCMTK's movescu gets to storescp."""
    studies = samples(*UNCOMPRESSED)
    with storescp(tmp_path, archive.ports[THERE]) as incoming:
        uids = "\\".join(study.study_instance_uid for study in studies)
        done = movescu(archive, THERE, "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uids}")
        assert done.returncode == 0, done.stderr
    summary = receiving(archive, tmp_path / "in").move(
        {"StudyInstanceUID": [study.study_instance_uid for study in studies]}
    )
    assert only(summary).status == "success", only(summary).error
    handed_over = data_sets_in(incoming)
    assert data_sets_in(tmp_path / "in") == handed_over
    assert set(handed_over) == {item.sop_instance_uid for study in studies for item in study.instances()}
    assert sum(archive.holding.data_sets[uid] == data for uid, data in handed_over.items()) > 60


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        pytest.param("-xr", "1.2.840.10008.1.2.5", id="rle"),
        pytest.param("-xy", "1.2.840.10008.1.2.4.50", id="jpeg"),
        pytest.param("-xv", "1.2.840.10008.1.2.4.90", id="j2k-lossless"),
        pytest.param("-xw", "1.2.840.10008.1.2.4.91", id="j2k"),
    ],
)
def test_compressed_samples(tmp_path: Path, option: str, syntax: str) -> None:
    """Compressed samples reach our disk compressed, with the bytes that DCMTK's movescu gets to storescp."""
    studies = samples(syntax)
    archive = dcmqrscp(tmp_path, studies, option)
    try:
        with storescp(tmp_path, archive.ports[THERE]) as incoming:
            uids = "\\".join(study.study_instance_uid for study in studies)
            assert movescu(archive, THERE, "QueryRetrieveLevel=STUDY", f"StudyInstanceUID={uids}").returncode == 0
        summary = receiving(archive, tmp_path / "in").move(
            [{"StudyInstanceUID": study.study_instance_uid} for study in studies]
        )
    finally:
        archive.stop()
    assert (summary["status"] == "success").all(), summary["error"].tolist()
    found = data_sets_in(tmp_path / "in")
    assert found == data_sets_in(incoming)
    assert set(found) == set(archive.holding.data_sets)
    assert {transfer_syntax_uid(path) for path in files_in(tmp_path / "in")} == {syntax}


def test_compressed_samples_that_the_archive_does_not_send(tmp_path: Path) -> None:
    """An archive that offers no compressed transfer syntax fails the instance, and the row says so."""
    studies = samples("1.2.840.10008.1.2.5")
    archive = dcmqrscp(tmp_path, studies)
    try:
        row = only(receiving(archive, tmp_path / "in").move({"StudyInstanceUID": studies[0].study_instance_uid}))
    finally:
        archive.stop()
    assert (row.status, row.status_code, row.failed, row.received) == ("failure", "0xA702", 1, 0)


# --- find


@pytest.mark.parametrize("model", ["study", "patient"])
def test_find_at_every_level(archive: Archive, model: str) -> None:
    """C-FIND answers at every level of both models; dcmqrscp keeps no counts, and the table says so by <NA>."""
    mover = sending(archive)
    study = archive.holding.study("00007")
    patient = {"PatientID": study.patient_id}
    if model == "patient":
        assert mover.find(patient, level="PATIENT")["PatientID"].tolist() == ["P-0007"]
    above = patient if model == "patient" else {}
    studies = mover.find({**patient, "AccessionNumber": "00007"}, model=model)
    assert studies["StudyInstanceUID"].tolist() == [study.study_instance_uid]
    assert studies["NumberOfStudyRelatedInstances"].isna().all()
    above = {**above, "StudyInstanceUID": study.study_instance_uid}
    series = mover.find(above, level="SERIES", model=model)
    assert sorted(series["Modality"]) == ["CT", "MR"]
    above["SeriesInstanceUID"] = study.series[0].series_instance_uid
    images = mover.find(above, level="IMAGE", model=model)
    assert set(images["SOPInstanceUID"]) == {item.sop_instance_uid for item in study.series[0].instances}


def test_find_what_nobody_has(archive: Archive) -> None:
    """An empty table with all its columns means that nothing matches."""
    found = sending(archive).find({"AccessionNumber": "00124"})
    assert len(found) == 0
    assert {"StudyInstanceUID", "AccessionNumber"} <= set(found.columns)


def test_find_with_wildcard_range_and_list(archive: Archive) -> None:
    """Wildcards, date ranges and lists of UIDs reach the archive."""
    mover = sending(archive)
    assert set(mover.find({"AccessionNumber": "00*"})["AccessionNumber"]) == {"00123", "00007"}
    two = mover.find({"AccessionNumber": "TWO", "StudyDate": "20230101-20231231"})
    assert two["StudyDate"].tolist() == ["20230405"]
    uids = [study.study_instance_uid for study in MADE[:2]]
    assert sorted(mover.find({"StudyInstanceUID": uids})["StudyInstanceUID"]) == sorted(uids)


def test_plan_counts_without_the_archives_counts(archive: Archive) -> None:
    """The plan counts what lies below where the archive keeps no counts, and can be moved as it is."""
    mover = sending(archive)
    plan = mover.plan([{"AccessionNumber": "00007"}, {"AccessionNumber": "TWO"}, {"AccessionNumber": "000"}])
    assert plan["decision"].tolist() == ["move", "several", "not-found"]
    assert plan["expected"].tolist()[:2] == [4, 5]


# --- models and levels


def test_patient_root_without_patient_id_moves_nothing(archive: Archive, tmp_path: Path) -> None:
    """A Patient Root C-MOVE without PatientID is success, 0 moved, at dcmqrscp; we never send one, but look it up."""
    study = archive.holding.study("00123")
    with storescp(tmp_path, archive.ports[THERE]) as incoming:
        keys = ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={study.study_instance_uid}")
        assert movescu(archive, THERE, *keys, model="-P").returncode == 0
        assert not files_in(incoming)
        assert only(sending(archive).move({"StudyInstanceUID": study.study_instance_uid})).status == "success"
        assert len(files_in(incoming)) == 4
        row = only(sending(archive, model="patient").move({"StudyInstanceUID": study.study_instance_uid}))
        assert (row.status, row.completed) == ("success", 4), row.error


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


def test_a_list_of_uids(archive: Archive, tmp_path: Path) -> None:
    """A list of series and a list of images in one request move all of them and nothing else."""
    study = archive.holding.study("00007")
    series = [item.series_instance_uid for item in study.series]
    row = only(
        receiving(archive, tmp_path / "a").move(
            {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series}
        )
    )
    assert (row.status, row.received, row.attempts) == ("success", 4, 2), row.error
    images = [item.sop_instance_uid for item in study.series[0].instances]
    row = only(
        receiving(archive, tmp_path / "b").move(
            {
                "StudyInstanceUID": study.study_instance_uid,
                "SeriesInstanceUID": series[0],
                "SOPInstanceUID": images,
            }
        )
    )
    assert (row.status, row.received, row.attempts) == ("success", 2, 1), row.error
    assert set(data_sets_in(tmp_path / "b")) == set(images)


# --- what goes wrong


def test_destination_unknown(archive: Archive) -> None:
    """0xA801 for an AE title that the archive does not know, with what to tell its administrator."""
    row = only(sending(archive, UNKNOWN).move({"AccessionNumber": "00123"}))
    assert (row.status, row.status_code) == ("failure", "0xA801")
    assert "add the AE title 'NOWHERE'" in row.error


def test_destination_down(archive: Archive) -> None:
    """0xA702 and every instance in the list where the destination does not answer."""
    job = sending(archive, DOWN).job({"AccessionNumber": "00123"}).run()
    row = only(job.summary())
    assert (row.status, row.status_code, row.completed, row.failed) == ("failure", "0xA702", 0, 4)
    assert len(row.failed_uids.split("\\")) == 4
    assert "could not send to 'DOWN'" in row.error
    assert set(job.failures()["SOPInstanceUID"]) == set(archive.holding.of("00123"))


def test_nothing_matches(archive: Archive) -> None:
    """A study that the archive does not have is not found, also where it answers success with 0 moved."""
    row = only(sending(archive).move({"StudyInstanceUID": "1.2.3.4"}))
    assert (row.status, row.status_code, row.expected) == ("not-found", "0x0000", None) or row.status == "not-found"
    row = only(sending(archive).move({"StudyInstanceUID": "1.2.3.4"}, verify="none"))
    assert (row.status, row.status_code, row.completed) == ("empty", "0x0000", 0)


@pytest.mark.parametrize(
    ("options", "status", "code", "completed"),
    [
        pytest.param(("--refuse",), "failure", "0xA702", 0, id="refuse"),
        pytest.param(("--abort-during",), "failure", None, 0, id="abort-during"),
        pytest.param(("--abort-after",), "failure", None, 0, id="abort-after"),
    ],
)
def test_a_destination_at_fault(
    archive: Archive, tmp_path: Path, options: tuple[str, ...], status: str, code: str | None, completed: int
) -> None:
    """A destination that refuses or aborts takes nothing, and the row says how many failed."""
    with storescp(tmp_path, archive.ports[THERE], *options):
        row = only(sending(archive).move({"AccessionNumber": "00123"}))
    assert (row.status, row.completed, row.failed) == (status, completed, 4), row.error
    assert code is None or row.status_code == code


def test_a_destination_that_throws_away(archive: Archive, tmp_path: Path) -> None:
    """A third party that answers success and keeps nothing (--ignore) is believed: only it could tell."""
    with storescp(tmp_path, archive.ports[THERE], "--ignore") as incoming:
        row = only(sending(archive).move({"AccessionNumber": "00123"}))
    assert (row.status, row.completed) == ("success", 4)
    assert not files_in(incoming)


def test_our_disk_is_full_for_some(archive: Archive, tmp_path: Path) -> None:
    """0xB000 with the numbers, the list, and that it was our disk, where some instances find no room here."""
    with receiving(archive, tmp_path) as mover:
        limit_file_size(mover, 2048 * LARGER // 2)
        row = only(mover.move({"AccessionNumber": "MIXED"}))
    assert (row.status, row.status_code, row.completed, row.failed, row.received) == ("partial", "0xB000", 3, 2, 3)
    assert "we refused 2: our disk is full" in row.error
    large = [item.sop_instance_uid for item in archive.holding.study("MIXED").instances()[3:]]
    assert row.failed_uids.split("\\") == large
    assert len(files_in(tmp_path)) == 3


def test_our_disk_is_full_for_all(archive: Archive, tmp_path: Path) -> None:
    """A failure that names our disk, and not the archive, where nothing finds room here."""
    with receiving(archive, tmp_path) as mover:
        limit_file_size(mover, 512)
        row = only(mover.move({"AccessionNumber": "00123"}))
    assert (row.status, row.completed, row.failed, row.received) == ("failure", 0, 4, 0)
    assert "we refused 4: our disk is full" in row.error
    assert not files_in(tmp_path)


def test_cancel_in_the_middle(archive: Archive, tmp_path: Path) -> None:
    """A cancelled job reads the final 0xFE00 and says what had moved until then; the rest is not sent."""
    with storescp(tmp_path, archive.ports[THERE], "--sleep-after", "1") as incoming:
        job = sending(archive, associations=1).start([{"AccessionNumber": "MANY"}, {"AccessionNumber": "00123"}])
        wait_until(lambda: files_in(incoming))
        job.cancel()
        assert job.wait(15)
    first, second = job.summary().itertuples()
    assert (first.status, first.status_code) == ("cancelled", "0xFE00")
    assert 1 <= first.completed < 150
    assert first.remaining == 150 - first.completed
    assert (second.status, second.attempts) == ("cancelled", 0)


def test_the_archive_is_killed_in_the_middle(archive: Archive, tmp_path: Path) -> None:
    """SIGKILL for the process that serves us: the row is lost, and the next move works."""
    with storescp(tmp_path, archive.ports[THERE], "--sleep-after", "1") as incoming, sending(archive) as mover:
        job = mover.start({"AccessionNumber": "MANY"})
        wait_until(lambda: len(files_in(incoming)) > 1)  # so a response has come; without one it would be tried again
        archive.program.kill_children()
        assert job.wait(15)
        row = only(job.summary())
        assert row.status == "lost"
        assert row.completed < 150
        assert "run it again" in row.error
        assert mover.find({"AccessionNumber": "00123"}).shape[0] == 1


def test_the_archive_is_killed_while_we_receive(archive: Archive, tmp_path: Path) -> None:
    """The same while we receive: what had come until then is counted, and it is whole."""
    with receiving(archive, tmp_path) as mover:
        job = mover.start({"AccessionNumber": "MANY"})
        wait_until(lambda: files_in(tmp_path))
        archive.program.kill_children()
        assert job.wait(15)
    row = only(job.summary())
    found = data_sets_in(tmp_path)
    assert row.status == "lost" or len(found) == 150
    assert row.received == len(found)
    whole = archive.holding.of("MANY")
    assert all(whole[uid] == data for uid, data in found.items())


def test_the_archive_is_restarted_between_two_moves(tmp_path: Path) -> None:
    """One Mover goes on after a restart of the archive: its idle association is replaced."""
    archive = dcmqrscp(tmp_path, MADE[:2])
    try:
        with receiving(archive, tmp_path / "in") as mover:
            assert only(mover.move({"AccessionNumber": "00123"})).status == "success"
            archive.restart()
            row = only(mover.move({"AccessionNumber": "00007"}))
            assert (row.status, row.attempts) == ("success", 1), row.error
            assert mover.echo() >= 0
            archive.stop()
            with pytest.raises(NodeUnreachable, match="no TCP connection"):
                mover.move({"AccessionNumber": "00007"})
    finally:
        archive.stop()


def test_the_models_that_an_archive_does_not_offer(tmp_path: Path) -> None:
    """An archive without Study Root is asked in Patient Root; if Study Root is wanted, the row says what it lacks."""
    archive = dcmqrscp(tmp_path, MADE[:2], "-QS")
    try:
        mover = receiving(archive, tmp_path / "in")
        row = only(mover.move({"AccessionNumber": "00123"}, model="study"))
        assert row.status == "failure"
        assert "does not offer C-FIND (Study Root)" in row.error
        row = only(mover.move({"AccessionNumber": "00123"}))
        assert (row.status, row.received) == ("success", 4), row.error
        row = only(mover.move({"PatientID": "P-0042", "AccessionNumber": "00007"}))
        assert row.status == "not-found", row.error
    finally:
        archive.stop()


def test_several_associations_side_by_side(archive: Archive, tmp_path: Path) -> None:
    """Four associations bring the whole cohort once, all in the right rows."""
    with receiving(archive, tmp_path, associations=4) as mover:
        summary = mover.move([{"AccessionNumber": name} for name in ("00123", "00007", "TWO", "MANY", "MIXED", "123")])
    assert (summary["status"] == "success").all(), summary["error"].tolist()
    assert summary["received"].tolist() == [4, 4, 5, 150, 5, 1]
    assert data_sets_in(tmp_path) == archive.holding.of("00123", "00007", "TWO", "MANY", "MIXED", "123")
