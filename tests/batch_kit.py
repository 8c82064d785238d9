"""What the tests of Movers and batches share: an archive's studies, a quiet Mover, and what was asked."""

from __future__ import annotations

from pathlib import Path

from dicomover import Mover
from dicomover.batch.running import RunningMove
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level, Model
from dicomover.testing import DemoPacs, Request, made_study
from peers import ONCE

STUDIES = (
    made_study("00123", instances=4, patient="P-1"),
    made_study("00007", series=2, instances=2, patient="P-7", modality=("CT", "MR")),
    made_study("TWO", patient="P-2", instances=2, number=1),
    made_study("TWO", patient="P-2", instances=3, number=2, date="20230405"),
    made_study("ONE", patient="P-1", instances=3),
)


def quiet(pacs: DemoPacs, **options: object) -> Mover:
    """Return a Mover that lets WORKSTATION receive and shows nothing."""
    options = {**ONCE, **options}
    return Mover(pacs.node, destination="WORKSTATION", progress="none", **options)  # type: ignore[arg-type]


def seen(pacs: DemoPacs, kind: str) -> list[Request]:
    """Return the requests of a kind that the archive has seen."""
    return [request for request in list(pacs.requests) if request.kind == kind]


def arrival(instance: str = "1.1.1", **how: object) -> Arrival:
    """Return an arrival of patient P, study 1, series 1.1."""
    values: dict = {
        "path": Path("x"), "sop_class_uid": "1.2", "sop_instance_uid": instance, "study_instance_uid": "1",
        "series_instance_uid": "1.1", "patient_id": "P", "transfer_syntax_uid": "1.2.840.10008.1.2.1", "size": 100,
        "calling_ae_title": "ARCHIVE", "at": 5.0,
    }  # fmt: skip
    return Arrival(**values | how)


def running(number: int = 0, message_id: int = 7, level: str = "STUDY", **keys: str) -> RunningMove:
    """Return a running move of study 1."""
    move = RunningMove(number, Identifier(Level(level), Model.PATIENT, **{"study": "1", **keys}))
    move.message_id = message_id
    return move
