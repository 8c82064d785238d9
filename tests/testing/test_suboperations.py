"""What becomes of the sub-operations, as the destination has it."""

from __future__ import annotations

import time

import pytest

from dicomover.testing import (
    DemoPacs,
    Misbehaviour,
    Study,
    Workstation,
    made_studies,
    made_study,
)
from dicomover.wire.command_set import C_FIND_RQ, C_GET_RQ, C_MOVE_RQ
from dicomover.wire.messages import Message
from peers import wait_until
from testing_kit import ACCESSION, CT, EXPLICIT, MR, NEITHER, Client, archive, client_of, move_keys


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


# --- C-GET


def uids_of(pacs: DemoPacs, accession: str) -> list[str]:
    """Return the SOP Instance UIDs of a study, in order."""
    return [item.sop_instance_uid for item in pacs.study(accession).instances()]


def test_a_get_stores_on_the_association_that_asks() -> None:
    """The images come between the responses, byte for byte, each in the context of its pair; all is counted."""
    study = made_study("A", series=2, instances=2, modality=("CT", "MR"))
    with DemoPacs([study]) as pacs, client_of(pacs, stored=((CT, EXPLICIT), (MR, EXPLICIT))) as client:
        seen = client.ask(C_GET_RQ, move_keys(pacs, "A"))
        assert (seen.status, seen.counters, len(seen.pending)) == (0, (4, 0, 0), 3)
        assert [item.command["AffectedSOPInstanceUID"] for item in seen.stored] == uids_of(pacs, "A")
        assert [item.data for item in seen.stored] == [item.data_set_bytes() for item in study.instances()]
        assert [item.context_id for item in seen.stored] == [7, 7, 9, 9]
        assert not any("MoveOriginatorMessageID" in item.command for item in seen.stored)
        assert {store.destination for store in pacs.stores} == {"TESTER"}
        (request,) = pacs.moves_of(study.study_instance_uid)
        assert (request.kind, request.model, request.destination) == ("C-GET", "STUDY", "")
        assert pacs.workstation.associations == 0


def test_what_was_not_negotiated_fails_and_is_listed() -> None:
    """An image whose SOP Class has no context, or no role, is counted and listed as failed, as archives do."""
    study = made_study("A", series=2, instances=2, modality=("CT", "MR"))
    with DemoPacs([study]) as pacs:
        with client_of(pacs) as client:
            seen = client.ask(C_GET_RQ, move_keys(pacs, "A"))
            assert (seen.status, seen.counters, seen.listed) == (0xB000, (2, 2, 0), 2)
        with client_of(pacs, stored=((CT, EXPLICIT), (MR, EXPLICIT)), roles=NEITHER) as client:
            seen = client.ask(C_GET_RQ, move_keys(pacs, "A"))
            assert (seen.status, seen.counters, seen.listed, seen.stored) == (0xA702, (0, 4, 0), 4, [])


def test_a_get_for_one_who_refuses_and_warns() -> None:
    """What the one who asks answers to each C-STORE goes into the counters and the list."""
    answers: dict[int | str, int] = {}
    with (
        DemoPacs([made_study("A", instances=6)]) as pacs,
        client_of(pacs, answer=lambda item: answers.get(item.command["AffectedSOPInstanceUID"], 0)) as client,
    ):
        uids = uids_of(pacs, "A")
        answers |= {uids[1]: 0xA700, uids[2]: 0xB000, uids[4]: 0x0124}
        seen = client.ask(C_GET_RQ, move_keys(pacs, "A"))
        assert (seen.status, seen.counters) == (0xB000, (3, 2, 1))
        assert set(seen.identifier["FailedSOPInstanceUIDList"].split("\\")) == {uids[1], uids[4]}
        assert [pacs.sends_of(uid) for uid in uids] == [1, 0, 0, 1, 0, 1]


def test_a_get_is_cancelled_while_an_image_is_under_way() -> None:
    """A C-CANCEL that comes before the answer to a C-STORE ends the C-GET after that image: 0xFE00."""
    with DemoPacs([made_study("A", instances=9)]) as pacs, client_of(pacs) as client:

        def cancel_second(message: Message) -> int:
            if message.command["MessageID"] == 2:
                client.cancel()
            return 0

        client.answer = cancel_second
        seen = client.ask(C_GET_RQ, move_keys(pacs, "A"))
        assert (seen.status, len(seen.stored), seen.counters) == (0xFE00, 2, (2, 0, 0))
        assert [item.kind for item in pacs.requests] == ["C-GET", "C-CANCEL"]
        client.answer = lambda _: 0
        assert client.ask(C_GET_RQ, move_keys(pacs, "A")).counters == (9, 0, 0)


def test_an_image_that_comes_after_the_final_response() -> None:
    """It comes on the association that asked; a request that was sent meanwhile is answered after it."""
    with archive("stragglers") as pacs, client_of(pacs) as client:
        seen = client.ask(C_GET_RQ, move_keys(pacs))
        assert (seen.status, seen.counters, len(seen.stored)) == (0, (4, 0, 0), 3)
        client.send(C_FIND_RQ, move_keys(pacs))
        assert client.read_store().command["AffectedSOPInstanceUID"] == uids_of(pacs, ACCESSION)[3]
        assert client.read().status == 0


def test_a_get_for_one_who_has_left() -> None:
    """Whoever leaves in the middle of a C-GET is sent nothing more, whatever the archive is like."""
    with archive("sends-after-abort") as pacs:
        client = Client(pacs)
        client.send(C_GET_RQ, move_keys(pacs))
        client.read_store()
        client.connection.abort()
        wait_until(lambda: not pacs.open_associations)
        assert len([store for store in pacs.stores if store.status is not None]) == 1


def test_a_response_between_the_fragments_of_an_image() -> None:
    """A pending response stands in the middle of each data set, which is whole all the same."""
    with archive("response-in-store") as pacs, client_of(pacs) as client:
        client.send(C_GET_RQ, move_keys(pacs))
        flags = [bytes(client.connection.read_pdu(lambda: time.monotonic() + 5)[1])[4:6] for _ in range(4)]
        assert flags == [b"\x07\x03", b"\x07\x00", b"\x05\x03", b"\x07\x02"]


def test_an_image_in_a_context_that_is_not_its_own() -> None:
    """A compressed image goes out in an uncompressed context of its SOP Class, or in one that was not accepted."""
    with DemoPacs() as pacs:
        study = next(item for item in pacs.studies if item.number_of_instances == 1 and _is_compressed(item))
        (image,) = study.instances()
        pacs.misbehave[study.accession_number] = Misbehaviour("stores-in-any-context", times=1)
        with client_of(pacs, stored=((image.sop_class_uid, EXPLICIT),)) as client:
            keys = move_keys(pacs, study.accession_number)
            (stored,) = client.ask(C_GET_RQ, keys).stored
            assert (stored.context_id, stored.data) == (7, image.data_set_bytes())
            assert client.ask(C_GET_RQ, keys).counters == (0, 1, 0)
            pacs.misbehave[study.accession_number] = "stores-in-no-context"
            (stored,) = client.ask(C_GET_RQ, keys).stored
            assert stored.context_id not in client.connection.contexts


def _is_compressed(study: Study) -> bool:
    return all(item.transfer_syntax_uid.startswith("1.2.840.10008.1.2.4") for item in study.instances())
