"""One request at a time, and what is none."""

from __future__ import annotations

from dicomover.testing import (
    DemoPacs,
    made_study,
)
from dicomover.testing._elements import encode
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ
from testing_kit import EXPLICIT, Client, client_of, move_keys


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
