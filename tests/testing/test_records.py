"""What the archive writes down."""

from __future__ import annotations

from dicomover.testing import (
    DemoPacs,
    made_study,
)
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ
from testing_kit import client_of, move_keys


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
