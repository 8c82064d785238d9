"""Finding, adding and removing what an archive holds."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from dicomover import Mover
from dicomover.testing import (
    DemoPacs,
    made_studies,
    made_study,
    sample_studies,
)
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ
from testing_kit import client_of, move_keys


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


def test_every_made_instance_is_found_by_its_uid() -> None:
    """`data_set_bytes` gives what arrives."""
    with DemoPacs([made_study("A", series=3, instances=4)]) as pacs:
        pacs.workstation.keep = True
        with client_of(pacs) as client:
            client.ask(C_MOVE_RQ, move_keys(pacs, "A"))
        assert len(pacs.workstation.received) == 12
        for item in pacs.workstation.received:
            assert item.data == pacs.data_set_bytes(item.sop_instance_uid)


def test_a_study_can_be_deleted_by_its_accession_number() -> None:
    """An accession number names the study to delete; one that nobody has is a KeyError."""
    with DemoPacs([made_study("A"), made_study("B")]) as pacs:
        pacs.remove("A")
        assert [study.accession_number for study in pacs.studies] == ["B"]
        with pytest.raises(KeyError, match="0 studies have the accession number 'A'"):
            pacs.remove("A")


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
