"""Which C-MOVEs the archive takes, and what it says of the others."""

from __future__ import annotations

from dicomover.testing import (
    DemoPacs,
    made_study,
)
from dicomover.wire.command_set import C_MOVE_RQ
from testing_kit import client_of, move_keys


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
