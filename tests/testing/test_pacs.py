"""What DemoPacs holds, what it answers, what it records, and how it ends."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import tracemalloc
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian
from tests.testing.test_misbehaviour import EXPLICIT, Client, client_of, move_keys

import dicomover.testing
from dicomover import Mover
from dicomover.errors import AssociationRejected
from dicomover.node import Node
from dicomover.testing import (
    DemoPacs,
    Misbehaviour,
    Workstation,
    data_set_of_file,
    made_studies,
    made_study,
    sample_studies,
)
from dicomover.testing._elements import IMPLICIT, decode, encode
from dicomover.testing._search import matches
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ


def test_exported_names() -> None:
    """The public names are a sorted list, and all of them are there."""
    names = dicomover.testing.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(dicomover.testing, name) for name in names)


def test_what_stands_in_a_cell() -> None:
    """An archive and a workstation say what they are, where they listen and what they hold."""
    with DemoPacs(made_studies(24), ae_title="ARCHIVE") as pacs:
        assert repr(pacs) == f"<DemoPacs ARCHIVE@127.0.0.1:{pacs.node.port}, 24 studies>"
        assert repr(pacs.workstation) == f"<Workstation WORKSTATION@127.0.0.1:{pacs.workstation.port}, 0 received>"
    with DemoPacs([made_study("1")]) as pacs:
        assert repr(pacs).endswith(", 1 study>")


# --- samples


def test_samples_can_be_asked_for_by_accession_number() -> None:
    """Every sample study has an accession number, a patient, an artificial name and a date; every UID is valid."""
    studies = sample_studies()
    assert {"CT", "MR", "CR", "SR", "US", "NM", "RTPLAN", "RTDOSE"} <= {m for s in studies for m in s.modalities}
    for study in studies:
        assert all((study.accession_number, study.patient_id, study.study_date))
        assert study.patient_name.startswith("Artificial^Patient ")
        assert UID(study.study_instance_uid).is_valid
    uids = [instance.sop_instance_uid for study in studies for instance in study.instances()]
    assert len(uids) == len(set(uids)) > 100
    syntaxes = {UID(i.transfer_syntax_uid) for s in studies for i in s.instances()}
    assert sum(syntax.is_compressed for syntax in syntaxes) >= 4
    assert not any(syntax.is_deflated or not syntax.is_little_endian for syntax in syntaxes)


def test_samples_are_whole_data_sets() -> None:
    """Each data set reads back with the UIDs and names under which the archive knows it."""
    for study in sample_studies():
        for instance in study.instances():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = dcmread(BytesIO(instance.file_bytes()))
                assert dataset.SOPInstanceUID == instance.sop_instance_uid
                assert dataset.StudyInstanceUID == study.study_instance_uid
                assert dataset.AccessionNumber == study.accession_number
                assert dataset.PatientID == study.patient_id
                assert str(dataset.PatientName) == study.patient_name


# --- made studies


def test_made_studies_are_the_same_again() -> None:
    """The same arguments give the same bytes; another number gives another study."""
    one, same = made_study("00123", series=2, instances=3), made_study("00123", series=2, instances=3)
    other = made_study("00123", series=2, instances=3, number=2)
    assert one == same
    assert [i.data_set_bytes() for i in one.instances()] == [i.data_set_bytes() for i in same.instances()]
    assert one.study_instance_uid != other.study_instance_uid
    assert UID(one.instances()[0].sop_instance_uid).is_valid


@pytest.mark.parametrize("size", [64, 2048, 524288])
def test_made_instances_are_images(size: int) -> None:
    """A made instance is a readable image of about the size that was asked for."""
    instance = made_study("A", size=size, modality="MR", date="20230405").instances()[0]
    dataset = dcmread(BytesIO(instance.file_bytes()))
    assert dataset.pixel_array.nbytes == pytest.approx(size, rel=0.05)
    assert (dataset.Modality, dataset.StudyDate) == ("MR", "20230405")
    assert size <= 64 or dataset.pixel_array.max() > 1000


def test_ten_thousand_studies_cost_little() -> None:
    """Ten thousand made studies are there in seconds, for less than 2 KB each, and one of them is found at once."""
    tracemalloc.start()
    begun = time.monotonic()
    with DemoPacs(made_studies(10_000)) as pacs:
        seconds, size = time.monotonic() - begun, tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert seconds < 10
        assert size < 20e6
        with client_of(pacs) as client:
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}
            seen = client.ask(C_FIND_RQ, {**keys, "AccessionNumber": "M007777"})
            assert [answer["StudyInstanceUID"] for answer in seen.answers] == [pacs.study("M007777").study_instance_uid]
            assert client.ask(C_MOVE_RQ, move_keys(pacs, "M007777")).counters == (3, 0, 0)


def test_impossible_studies_are_refused() -> None:
    """Negative numbers, and a study that is there already, are errors."""
    with pytest.raises(ValueError, match="cannot be made"):
        made_study("A", instances=-1)
    with DemoPacs([made_study("A")]) as pacs, pytest.raises(ValueError, match="number="):
        pacs.add(made_study("A"))


# --- files and data sets


def test_add_files_folders_and_data_sets(tmp_path: Path) -> None:
    """Files stay as they are, byte for byte; data sets are encoded; what has no UIDs is an error."""
    for instance in made_study("F-1", series=2, instances=2).instances():
        (tmp_path / f"{instance.sop_instance_uid}.dcm").write_bytes(instance.file_bytes())
    (tmp_path / "notes.txt").write_text("no DICOM")
    dataset = dcmread(BytesIO(made_study("D-1", instances=1).instances()[0].file_bytes()))
    bare = Dataset()
    bare.update(made := dataset)
    bare.SOPInstanceUID, bare.StudyInstanceUID = "1.2.3.4", "1.2.3"
    with DemoPacs([tmp_path]) as pacs:
        pacs.add(made, [bare])
        assert [(s.accession_number, s.number_of_instances) for s in pacs.studies] == [
            ("F-1", 4),
            ("D-1", 1),
            ("D-1", 1),
        ]
        instance = pacs.study("F-1").instances()[0]
        assert instance.path is not None
        assert instance.data_set_bytes() == data_set_of_file(instance.path.read_bytes())
        assert b"1.2.3.4\0" in pacs.data_set_bytes("1.2.3.4")
        with pytest.raises(ValueError, match="no DICOM file"):
            pacs.add(tmp_path / "notes.txt")
        del bare.SOPInstanceUID
        with pytest.raises(ValueError, match="SOPInstanceUID"):
            pacs.add(bare)
        with pytest.raises(KeyError, match="2 studies"):
            pacs.study("D-1")
        with pytest.raises(KeyError):
            pacs.data_set_bytes("1.2.3.5")


def test_every_made_instance_is_found_by_its_uid() -> None:
    """`data_set_bytes` gives what arrives."""
    with DemoPacs([made_study("A", series=3, instances=4)]) as pacs:
        pacs.workstation.keep = True
        with client_of(pacs) as client:
            client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
        assert len(pacs.workstation.received) == 12
        for item in pacs.workstation.received:
            assert item.data == pacs.data_set_bytes(item.sop_instance_uid)


# --- elements and matching


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_elements_there_and_back(syntax: str) -> None:
    """Text, lists, numbers and other scripts survive; a nested data set reads as pydicom reads it."""
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDate": "",
        "ModalitiesInStudy": "CT\\MR",
        "PatientName": "Müller^Jörg",
        "Rows": "512",
    }
    assert decode(encode(values, syntax), syntax) == values
    nested = Dataset()
    nested.QueryRetrieveLevel, nested.StudyDate = "STUDY", "20240101"
    nested.RequestAttributesSequence = [Dataset()]
    nested.RequestAttributesSequence[0].RequestedProcedureID = "1"
    for undefined in (False, True):
        nested["RequestAttributesSequence"].is_undefined_length = undefined
        buffer = BytesIO()
        nested.save_as(buffer, implicit_vr=syntax == IMPLICIT, little_endian=True)
        expected = {"QueryRetrieveLevel": "STUDY", "StudyDate": "20240101", "RequestAttributesSequence": ""}
        assert decode(buffer.getvalue(), syntax) == expected
    for broken in (b"\x08", b"\x08\x00\x52\x00CS\xff\x7fSTUDY"):
        with pytest.raises(ValueError, match=r"element|claims"):
            decode(broken, syntax)


@pytest.mark.parametrize(
    ("keyword", "wanted", "value", "result"),
    [
        ("AccessionNumber", "A1", "A1", True),
        ("AccessionNumber", "a1", "A1", False),
        ("AccessionNumber", "A*", "A1", True),
        ("AccessionNumber", "A?", "A12", False),
        ("AccessionNumber", "A.", "A1", False),
        ("AccessionNumber", "*", "", True),
        ("StudyInstanceUID", "1.2*", "1.2.3", False),
        ("StudyInstanceUID", "1.2\\1.2.3", "1.2.3", True),
        ("PatientName", "mueller^*", "Mueller^A", True),
        ("PatientName", "Mueller", "Mueller^^", True),
        ("StudyDate", "20240101-20240131", "20240131", True),
        ("StudyDate", "-20240131", "20240201", False),
        ("StudyDate", "-20240131", "", False),
        ("StudyDate", "20240131", "20240131", True),
        ("StudyTime", "10-11", "115959", True),
        ("StudyTime", "10-11", "120000", False),
        ("ModalitiesInStudy", "MR", "CT\\MR", True),
        ("SeriesNumber", "1", "01", True),
        ("SeriesNumber", "x", "01", False),
    ],
)
def test_matching(keyword: str, wanted: str, value: str, result: bool) -> None:
    """Single value, wildcard, list of UID, range and universal matching."""
    assert matches(keyword, wanted, value) is result


def test_queries_of_a_strict_archive() -> None:
    """A missing level, a level that the model lacks, and a missing unique key above are 0xA900."""
    with DemoPacs([made_study("A")]) as pacs, client_of(pacs) as client:
        refused: list[dict[str, str]] = [
            {"AccessionNumber": "A"},
            {"QueryRetrieveLevel": "PATIENT", "PatientID": ""},
            {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": ""},
            {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2\\1.3", "SeriesInstanceUID": ""},
            {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": "1.2", "SOPInstanceUID": ""},
        ]
        assert [client.ask(C_FIND_RQ, keys).status for keys in refused] == [0xA900] * 5
        pacs.strict = False
        assert len(client.ask(C_FIND_RQ, refused[2]).answers) == 1


def test_moves_of_a_strict_archive() -> None:
    """Anything but unique keys, wildcards, and missing keys are 0xA900; an archive that is not strict moves more."""
    with DemoPacs([made_study("A"), made_study("B", instances=2)]) as pacs, client_of(pacs) as client:
        by_accession = {"QueryRetrieveLevel": "STUDY", "AccessionNumber": "A"}
        refused: list[dict[str, str]] = [
            by_accession,
            {**move_keys(pacs, "A"), "AccessionNumber": "A"},
            {**move_keys(pacs, "A"), "PatientID": "DEMO-A"},
            {**move_keys(pacs, "A"), "SeriesInstanceUID": "1.2"},
            {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "*"},
            {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""},
            {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2"},
        ]
        assert [client.ask(C_MOVE_RQ, keys).status for keys in refused] == [0xA900] * 7
        assert pacs.workstation.received == []
        pacs.strict = False
        assert client.ask(C_MOVE_RQ, by_accession).counters == (3, 0, 0)
        assert client.ask(C_MOVE_RQ, {"QueryRetrieveLevel": "STUDY"}).status == 0xA900
        nothing = client.ask(C_MOVE_RQ, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"})
        assert (nothing.status, nothing.counters) == (0, (0, 0, 0))


def test_a_query_can_be_cancelled() -> None:
    """A C-CANCEL ends a query with 0xFE00 before the last answer."""
    with (
        DemoPacs(made_studies(5), misbehave={"*": Misbehaviour("find-slow", seconds=0.4)}) as pacs,
        client_of(pacs) as client,
    ):
        keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "AccessionNumber": "M*"}
        seen = client.ask(C_FIND_RQ, keys, cancel_after=1)
        assert (seen.status, len(seen.answers)) == (0xFE00, 1)


# --- who may associate, and what is recorded


def test_ae_titles() -> None:
    """An unknown calling AE title is rejected for good, and so is a wrong called one."""
    with DemoPacs([], known_ae_titles=["SOMEBODY"]) as pacs:
        with pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 3)
        pacs.known_ae_titles = ["TESTER"]
        Client(pacs).close()
        pacs.node = Node("127.0.0.1", pacs.node.port, ae_title="ELSE")
        with pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
        assert [item.rejected for item in pacs.associations] == [(1, 1, 3), None, (1, 1, 7)]
        assert pacs.associations[1].calling_ae_title == "TESTER"


def test_one_model_only() -> None:
    """An archive without Study Root refuses its presentation contexts."""
    with DemoPacs([], models=["PATIENT"]) as pacs, client_of(pacs) as client:
        assert client.connection.contexts == {}


def test_what_was_asked_is_recorded() -> None:
    """Requests, moves of a study and sends of an instance are counted."""
    with DemoPacs([made_study("A", instances=2), made_study("B")]) as pacs, client_of(pacs) as client:
        client.ask(C_FIND_RQ, {"QueryRetrieveLevel": "STUDY", "AccessionNumber": "A", "StudyInstanceUID": ""})
        client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
        find, move = pacs.requests
        study = pacs.study("A")
        assert (find.kind, find.level, find.model, find.keys["AccessionNumber"]) == ("C-FIND", "STUDY", "STUDY", "A")
        assert (move.kind, move.destination, move.priority, move.message_id) == ("C-MOVE", "WORKSTATION", 0, 8)
        assert (move.calling_ae_title, move.association) == ("TESTER", 1)
        assert move.values("StudyInstanceUID") == (study.study_instance_uid,)
        assert move.values("SeriesInstanceUID") == ()
        assert pacs.moves_of(study.study_instance_uid) == [move]
        assert pacs.moves_of(pacs.study("B").study_instance_uid) == []
        assert [pacs.sends_of(instance.sop_instance_uid) for instance in study.instances()] == [1, 1]
        assert {store.study_instance_uid for store in pacs.stores} == {study.study_instance_uid}
        assert pacs.open_associations == 1
        pacs.forget()
        assert (pacs.requests, pacs.stores, pacs.moves_of(study.study_instance_uid)) == ([], [], [])


def test_what_no_request_is() -> None:
    """An operation that is not offered is 0x0211, a late C-CANCEL is recorded, an odd context ends the association."""
    with DemoPacs([]) as pacs, client_of(pacs) as client:
        assert client.ask(0x0001, {"PatientID": "4711"}).status == 0x0211
        client.cancel()
        assert client.ask(C_FIND_RQ, {"QueryRetrieveLevel": "STUDY", "AccessionNumber": "A"}).status == 0
        assert [request.kind for request in pacs.requests] == ["C-CANCEL", "C-FIND"]
        client.connection.send_message(9, {"CommandField": C_FIND_RQ, "MessageID": 1, "CommandDataSetType": 0x0101})
        assert client.read().ended == "abort"


def test_one_request_at_a_time() -> None:
    """A second request before the first has its final response ends the association."""
    with DemoPacs([made_study("A")], misbehave={"A": "slow"}) as pacs:
        client = Client(pacs)
        command = {"CommandField": C_MOVE_RQ, "MessageID": 1, "CommandDataSetType": 1, "MoveDestination": "WORKSTATION"}
        for _ in range(2):
            client.connection.send_message(3, command, encode(move_keys(pacs, "A"), EXPLICIT))
        assert client.read().ended == "abort"


def test_a_limit_counts_what_is_open() -> None:
    """Whoever releases may associate again at once, even at the limit."""
    with DemoPacs([], max_associations=1) as pacs:
        for _ in range(50):
            Client(pacs).close()
        assert pacs.most_associations == 1


# --- destinations


def test_nothing_is_sent_beyond_loopback() -> None:
    """A destination on another machine is refused when it is named."""
    with DemoPacs([]) as pacs:
        with pytest.raises(ValueError, match="not on this machine"):
            pacs.destinations["FAR"] = ("192.0.2.1", 104)
        pacs.destinations["NEAR"] = ("127.0.0.1", 104)
        assert pacs.destinations.node("NEAR") == Node("127.0.0.1", 104, ae_title="NEAR")


@pytest.mark.parametrize("associations", [1, 3])
def test_a_destination_that_refuses_and_warns(associations: int) -> None:
    """What the destination answers goes into the counters and the list, over one association or several."""
    study = made_study("A", instances=6)
    uids = [instance.sop_instance_uid for instance in study.instances()]
    answers = {uids[1]: 0xA700, uids[2]: 0xB000, uids[4]: 0x0124}
    with (
        DemoPacs([study], store_associations=associations) as pacs,
        Workstation("FULL", answer=lambda item: answers.get(item.sop_instance_uid, 0)) as full,
        client_of(pacs) as client,
    ):
        pacs.destinations["WORKSTATION"] = full.port
        seen = client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
        assert (seen.status, seen.counters) == (0xB000, (3, 2, 1))
        assert set(seen.identifier["FailedSOPInstanceUIDList"].split("\\")) == {uids[1], uids[4]}
        assert full.associations == associations
        assert sorted(full.sop_instance_uids) == sorted({uids[0], uids[3], uids[5]})


def test_a_destination_that_rejects_or_accepts_no_context() -> None:
    """Every instance fails: 0xA702 with the whole list, or 0xC000 and zeros from an archive that says no more."""
    with DemoPacs([made_study("A")]) as pacs, client_of(pacs) as client:
        for destination in (Workstation(reject=(1, 1, 7)), Workstation(accepts=frozenset({"1.2.840.10008.1.2"}))):
            with destination:
                pacs.destinations["WORKSTATION"] = destination.port
                seen = client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
                assert (seen.status, seen.counters, seen.listed) == (0xA702, (0, 3, 0), 3)
                assert destination.received == []
                pacs.always_unable = True
                assert client.ask(C_MOVE_RQ, move_keys(pacs, "A")).status == 0xC000
                pacs.always_unable = False


def test_an_archive_that_says_no_more_than_unable() -> None:
    """An unknown destination, an unknown study and a missing key alike end with 0xC000 and zero counters."""
    with DemoPacs([made_study("A")], always_unable=True) as pacs, client_of(pacs) as client:
        unknown = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}
        asked = [unknown, {"QueryRetrieveLevel": "STUDY"}]
        assert client.ask(C_MOVE_RQ, move_keys(pacs, "A")).status == 0
        seen = [client.ask(C_MOVE_RQ, keys) for keys in asked]
        del pacs.destinations["WORKSTATION"]
        seen.append(client.ask(C_MOVE_RQ, move_keys(pacs, "A")))
        assert [(item.status, item.counters) for item in seen] == [(0xC000, (0, 0, 0))] * 3


def test_store_associations_can_be_kept() -> None:
    """With reuse, many moves on one association need one association to the destination."""
    with DemoPacs(made_studies(5), reuse_store_associations=True, originator=False) as pacs:
        with client_of(pacs) as client:
            for study in pacs.studies:
                assert client.ask(C_MOVE_RQ, move_keys(pacs, study.accession_number)).counters == (3, 0, 0)
        assert pacs.workstation.associations == 1
        assert {item.originator_message_id for item in pacs.workstation.received} == {None}


def test_a_workstation_writes_files(tmp_path: Path) -> None:
    """With a folder, what arrives lies there as DICOM files with the bytes that were sent."""
    with DemoPacs(workstation_folder=tmp_path) as pacs, client_of(pacs) as client:
        client.ask(C_MOVE_RQ, move_keys(pacs, "DEMO0007"))
        (path,) = tmp_path.iterdir()
        assert data_set_of_file(path.read_bytes()) == pacs.data_set_bytes(path.stem)
        assert dcmread(path).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


# --- speed and the end


def test_thousands_of_requests_a_second() -> None:
    """A thousand queries and a thousand moves that send nothing take a few seconds even on a busy machine."""
    with DemoPacs(made_studies(100), misbehave={"*": "claims-without-sending"}) as pacs, client_of(pacs) as client:
        begun = time.monotonic()
        for n in range(1000):
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "AccessionNumber": f"M{n % 100 + 1:06d}"}
            assert len(client.ask(C_FIND_RQ, keys).answers) == 1
        study = move_keys(pacs, "M000001")
        assert all(client.ask(C_MOVE_RQ, study).counters == (3, 0, 0) for _ in range(1000))
        assert time.monotonic() - begun < 10


def test_many_archives_leave_nothing_behind() -> None:
    """Archives that come and go leave neither threads nor descriptors."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc to count descriptors in")
    with DemoPacs([]):
        pass
    before, threads = len(os.listdir(folder)), threading.active_count()  # noqa: PTH208
    for _ in range(20):
        with DemoPacs([made_study("A")]) as pacs, client_of(pacs) as client:
            client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
    assert (len(os.listdir(folder)), threading.active_count()) == (before, threads)  # noqa: PTH208


def test_digests_of_the_samples_differ() -> None:
    """No two sample instances share their bytes, so that a mix-up shows."""
    digests = [hashlib.sha256(i.data_set_bytes()).digest() for s in sample_studies() for i in s.instances()]
    assert len(set(digests)) == len(digests)


def test_a_study_can_be_deleted_by_its_accession_number() -> None:
    """An accession number names the study to delete; one that nobody has is a KeyError."""
    with DemoPacs([made_study("A"), made_study("B")]) as pacs:
        pacs.remove("A")
        assert [study.accession_number for study in pacs.studies] == ["B"]
        with pytest.raises(KeyError, match="0 studies have the accession number 'A'"):
            pacs.remove("A")


def test_a_destination_needs_a_port() -> None:
    """The port of a Mover that does not listen is None, which is said where it is used."""
    with DemoPacs([made_study("A")]) as pacs, pytest.raises(ValueError, match=r"MOVESCU has no port.*open it first"):
        pacs.destinations["MOVESCU"] = Mover(pacs.node, receive="x").port  # type: ignore[assignment]


def test_a_study_can_be_deleted_and_come_back_smaller() -> None:
    """What is removed is found by no key any more; what is left of it has the bytes that it had."""
    whole = made_study("A", series=2, instances=3)
    small = whole.only(lambda instance: instance.sop_instance_uid.endswith(".2.1"))
    assert (small.number_of_series, small.number_of_instances, len(small.instances())) == (1, 1, 1)
    assert small.study_instance_uid == whole.study_instance_uid
    with DemoPacs([whole, *sample_studies()[:1]]) as pacs:
        kept = {item.sop_instance_uid: pacs.data_set_bytes(item.sop_instance_uid) for item in whole.instances()}
        pacs.remove(whole)
        with pytest.raises(KeyError):
            pacs.study("A")
        with pytest.raises(KeyError):
            pacs.remove(whole)
        (uid,) = (item.sop_instance_uid for item in small.instances())
        with pytest.raises(KeyError):
            pacs.data_set_bytes(uid)
        pacs.add(small)
        assert pacs.data_set_bytes(uid) == kept[uid]
        found = Mover(pacs.node).find({"AccessionNumber": "A"})
        assert found["NumberOfStudyRelatedInstances"].tolist() == [1]
        for study in pacs.studies:
            pacs.remove(study)
        assert pacs.studies == []
        assert Mover(pacs.node).find({"StudyDate": None}).empty
