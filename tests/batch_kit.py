"""What the tests of Movers and batches share: an archive's studies, a quiet Mover, and what was asked."""

from __future__ import annotations

from dicomover import (
    Mover,
)
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
