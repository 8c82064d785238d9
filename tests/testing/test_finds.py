"""C-FIND as the archive answers it."""

from __future__ import annotations

from dicomover.testing import (
    DemoPacs,
    Misbehaviour,
    made_studies,
    made_study,
)
from dicomover.wire.command_set import C_FIND_RQ
from testing_kit import client_of


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


def test_a_query_can_be_cancelled() -> None:
    """A C-CANCEL ends a query with 0xFE00 before the last answer."""
    with (
        DemoPacs(made_studies(5), misbehave={"*": Misbehaviour("find-slow", seconds=0.4)}) as pacs,
        client_of(pacs) as client,
    ):
        keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "AccessionNumber": "M*"}
        seen = client.ask(C_FIND_RQ, keys, cancel_after=1)
        assert (seen.status, len(seen.answers)) == (0xFE00, 1)
