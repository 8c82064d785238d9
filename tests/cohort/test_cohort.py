"""A cohort as a value: nothing of a patient shows in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cohort_kit import SECRET
from dicomover import Mover
from dicomover.testing import DemoPacs, made_study


def test_no_patient_in_logs_reprs_and_notes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Locked, verified after a change, checked and refused: nothing says who the patient is, unless a row does."""
    caplog.set_level("DEBUG")
    canaries = ("CANARY-1", "Canary^One", "ACC-CANARY")
    one = made_study("ACC-CANARY", patient="CANARY-1", name="Canary^One")
    rows = [{"PatientID": "CANARY-1", "AccessionNumber": "ACC-CANARY"}, {"PatientName": "Canary^One"}]
    with DemoPacs([one]) as pacs:
        mover = Mover(pacs.node)
        cohort = mover.lock(rows, path=None, privacy="hashed", secret=SECRET)
        pacs.remove(one)
        drift = mover.verify(cohort)
        pacs.misbehave["*"] = "find-refused"
        unknown = mover.verify(cohort)
    check = cohort.check(tmp_path)
    assert [len(table) for table in (drift, unknown, check)] == [2, 2, 6]
    shown = [caplog.text, repr(cohort), repr(cohort.locked), repr(cohort.document)]
    shown += [table.to_string() for table in (drift, unknown, check, cohort.studies, cohort.series, cohort.instances)]
    for canary in canaries:
        assert not [text for text in shown if canary in text]
