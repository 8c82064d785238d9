"""DemoPacs held against independent peers: DCMTK's command-line tools, and pynetdicom as the SCU."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicomover.testing import DemoPacs, Study, data_set_of_file, made_study

TOOLS = ("echoscu", "findscu", "movescu", "storescp")
absent = [tool for tool in TOOLS if shutil.which(tool) is None]
needs_dcmtk = pytest.mark.skipif(
    bool(absent) and "CI" not in os.environ, reason=f"DCMTK is not installed: no {', '.join(absent)}"
)


@pytest.fixture(scope="module")
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with the sample files, well behaved."""
    with DemoPacs() as archive:
        yield archive


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool, bounded."""
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60, check=False)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run DCMTK's storescp, writing what comes bit by bit as it comes, and yield its port."""
    port = free_port()
    command = ["storescp", "--bit-preserving", "--accept-all", *options, "-od", str(folder), str(port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(100):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def digests(study: Study) -> set[str]:
    """Return the digests of a study's data sets as the archive has them."""
    return {hashlib.sha256(instance.data_set_bytes()).hexdigest() for instance in study.instances()}


def digests_in(folder: Path) -> set[str]:
    """Return the digests of the data sets in a folder."""
    return {hashlib.sha256(data_set_of_file(path.read_bytes())).hexdigest() for path in folder.iterdir()}


@needs_dcmtk
def test_echoscu(pacs: DemoPacs) -> None:
    """DCMTK's echoscu has its answer."""
    assert run("echoscu", "127.0.0.1", str(pacs.node.port)).returncode == 0
    assert pacs.requests[-1].kind == "C-ECHO"


@needs_dcmtk
@pytest.mark.parametrize("options", [(), ("-xi",)], ids=["explicit", "implicit"])
def test_findscu(pacs: DemoPacs, tmp_path: Path, options: tuple[str, ...]) -> None:
    """DCMTK's findscu reads the answers, in Explicit and in Implicit VR."""
    keys = ["QueryRetrieveLevel=STUDY", "AccessionNumber=DEMO*", "StudyDate=20040101-20041231", "StudyInstanceUID"]
    keys += ["NumberOfStudyRelatedInstances", "ModalitiesInStudy"]
    arguments = [part for key in keys for part in ("-k", key)]
    done = run("findscu", "-S", *options, "-X", "-od", str(tmp_path), "127.0.0.1", str(pacs.node.port), *arguments)
    assert done.returncode == 0, done.stderr
    found = {}
    for path in tmp_path.iterdir():
        answer = dcmread(path)
        found[answer.AccessionNumber] = int(answer.NumberOfStudyRelatedInstances)
    assert found == {
        study.accession_number: study.number_of_instances
        for study in pacs.studies
        if study.study_date.startswith("2004") and study.accession_number.startswith("DEMO")
    }


@needs_dcmtk
def test_movescu_to_storescp(pacs: DemoPacs, tmp_path: Path) -> None:
    """Every sample study moved by DCMTK's movescu into DCMTK's storescp arrives byte for byte."""
    with storescp(tmp_path) as port:
        pacs.destinations["STORESCP"] = port
        uids = "\\".join(study.study_instance_uid for study in pacs.studies)
        done = run(
            *("movescu", "-S", "-aem", "STORESCP", "127.0.0.1", str(pacs.node.port)),
            *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uids}"),
        )
        assert done.returncode == 0, done.stderr
    assert digests_in(tmp_path) == set().union(*(digests(study) for study in pacs.studies))


@needs_dcmtk
def test_a_destination_that_refuses_some(tmp_path: Path) -> None:
    """A destination that aborts in the middle of the stores leaves failed sub-operations and their list."""
    with DemoPacs([made_study("A", instances=5)]) as pacs, storescp(tmp_path, "--abort-during") as port:
        pacs.destinations["STORESCP"] = port
        status, identifier = move(pacs, {"StudyInstanceUID": pacs.studies[0].study_instance_uid}, "STORESCP")[-1]
        assert status.Status == 0xA702
        assert status.NumberOfFailedSuboperations == 5
        assert identifier is not None
        assert len(identifier.FailedSOPInstanceUIDList) == 5


def request(level: str, keys: dict[str, object]) -> Dataset:
    """Return an identifier."""
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def move(
    pacs: DemoPacs, keys: dict[str, object], destination: str = "WORKSTATION", level: str = "STUDY", root: str = "STUDY"
) -> list[tuple[Dataset, Dataset | None]]:
    """Move with pynetdicom and return all responses."""
    patient = root == "PATIENT"
    sop_class = PatientRootQueryRetrieveInformationModelMove if patient else StudyRootQueryRetrieveInformationModelMove
    entity = AE("PEER")
    entity.dimse_timeout = entity.acse_timeout = 10
    entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", pacs.node.port, ae_title="DEMO")
    assert association.is_established
    try:
        return list(association.send_c_move(request(level, keys), destination, sop_class, priority=0))
    finally:
        association.release()


def find(pacs: DemoPacs, level: str, keys: dict[str, object], root: str = "STUDY") -> tuple[int, list[Dataset]]:
    """Query with pynetdicom and return the final status and the answers."""
    patient = root == "PATIENT"
    sop_class = PatientRootQueryRetrieveInformationModelFind if patient else StudyRootQueryRetrieveInformationModelFind
    entity = AE("PEER")
    entity.dimse_timeout = entity.acse_timeout = 10
    entity.add_requested_context(sop_class)
    association = entity.associate("127.0.0.1", pacs.node.port, ae_title="DEMO")
    assert association.is_established
    try:
        responses = list(association.send_c_find(request(level, keys), sop_class))
    finally:
        association.release()
    answers = [identifier for _, identifier in responses[:-1]]
    assert None not in answers
    return responses[-1][0].Status, [answer for answer in answers if answer is not None]


def test_pynetdicom_echo(pacs: DemoPacs) -> None:
    """Pynetdicom's C-ECHO has its answer."""
    entity = AE()
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", pacs.node.port)
    assert association.send_c_echo().Status == 0
    association.release()


def test_pynetdicom_finds_on_every_level(pacs: DemoPacs) -> None:
    """From a patient down to the images, in Patient Root, every answer leads to the next level."""
    status, patients = find(pacs, "PATIENT", {"PatientID": "98890234", "NumberOfPatientRelatedStudies": ""}, "PATIENT")
    assert (status, [int(answer.NumberOfPatientRelatedStudies) for answer in patients]) == (0, [4])
    keys: dict[str, object] = {"PatientID": "98890234"}
    _, studies = find(pacs, "STUDY", {**keys, "StudyInstanceUID": "", "NumberOfStudyRelatedInstances": ""}, "PATIENT")
    assert sorted(int(answer.NumberOfStudyRelatedInstances) for answer in studies) == [2, 4, 7, 11]
    images = 0
    for study in studies:
        keys["StudyInstanceUID"] = study.StudyInstanceUID
        wanted = {**keys, "SeriesInstanceUID": "", "NumberOfSeriesRelatedInstances": "", "Modality": ""}
        for series in find(pacs, "SERIES", wanted, "PATIENT")[1]:
            assert series.Modality in ("CT", "MR")
            inner = {**keys, "SeriesInstanceUID": series.SeriesInstanceUID, "SOPInstanceUID": "", "SOPClassUID": ""}
            found = find(pacs, "IMAGE", inner, "PATIENT")[1]
            assert len(found) == int(series.NumberOfSeriesRelatedInstances)
            images += len(found)
    assert images == 24


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_pynetdicom_moves_on_every_level(pacs: DemoPacs, level: str) -> None:
    """A move at each level brings what it names, and only that, with a pending response between any two."""
    study = next(item for item in pacs.studies if item.number_of_instances == 11)
    series = study.series[1]
    keys: dict[str, object] = {"PatientID": study.patient_id}
    expected = {instance.sop_instance_uid for instance in series.instances[:2]}
    if level == "PATIENT":
        expected = {
            instance.sop_instance_uid
            for item in pacs.studies
            if item.patient_id == study.patient_id
            for instance in item.instances()
        }
    else:
        keys["StudyInstanceUID"] = study.study_instance_uid
    if level == "STUDY":
        expected = {instance.sop_instance_uid for instance in study.instances()}
    if level == "SERIES":
        keys["SeriesInstanceUID"] = [item.series_instance_uid for item in study.series[:2]]
        expected = {instance.sop_instance_uid for item in study.series[:2] for instance in item.instances}
    if level == "IMAGE":
        keys |= {"SeriesInstanceUID": series.series_instance_uid, "SOPInstanceUID": sorted(expected)}
    pacs.workstation.clear()
    responses = move(pacs, keys, level=level, root="PATIENT")
    assert responses[-1][0].Status == 0
    assert responses[-1][0].NumberOfCompletedSuboperations == len(expected)
    assert len(responses) == len(expected)
    assert sorted(pacs.workstation.sop_instance_uids) == sorted(expected)
    assert {item.originator_ae_title for item in pacs.workstation.received} == {"PEER"}


def test_destinations_that_cannot_take_it(pacs: DemoPacs) -> None:
    """An unknown destination is 0xA801; one that is down is 0xA702, with every instance in the list."""
    study = next(item for item in pacs.studies if item.number_of_instances == 7)
    keys: dict[str, object] = {"StudyInstanceUID": study.study_instance_uid}
    assert [status.Status for status, _ in move(pacs, keys, "NOBODY")] == [0xA801]
    pacs.destinations["DOWN"] = free_port()
    (status, identifier) = move(pacs, keys, "DOWN")[-1]
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 7)
    assert identifier is not None
    assert set(identifier.FailedSOPInstanceUIDList) == {item.sop_instance_uid for item in study.instances()}


def test_text_that_is_not_ascii() -> None:
    """A name in another script comes back, and can be asked by."""
    with DemoPacs([made_study("A", name="Müller^Jörg", patient="P-ß")]) as pacs:
        keys: dict[str, object] = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "müller*", "PatientID": ""}
        status, answers = find(pacs, "STUDY", {**keys, "StudyInstanceUID": ""})
        assert (status, [str(answer.PatientName) for answer in answers]) == (0, ["Müller^Jörg"])
        assert answers[0].PatientID == "P-ß"
        keys = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": "P-ß"}
        assert move(pacs, keys, level="PATIENT", root="PATIENT")[-1][0].NumberOfCompletedSuboperations == 3
