"""What becomes of the sub-operations, as the destination has it."""

from __future__ import annotations

import pytest

from dicomover.testing import (
    DemoPacs,
    Workstation,
    made_studies,
    made_study,
)
from dicomover.wire.command_set import C_MOVE_RQ
from testing_kit import client_of, move_keys


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


def test_store_associations_can_be_kept() -> None:
    """With reuse, many moves on one association need one association to the destination."""
    with DemoPacs(made_studies(5), reuse_store_associations=True, originator=False) as pacs:
        with client_of(pacs) as client:
            for study in pacs.studies:
                assert client.ask(C_MOVE_RQ, move_keys(pacs, study.accession_number)).counters == (3, 0, 0)
        assert pacs.workstation.associations == 1
        assert {item.originator_message_id for item in pacs.workstation.received} == {None}
