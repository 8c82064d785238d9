"""At which level and in which model keys ask, and what they lack for it."""

from __future__ import annotations

import pytest

from requests_kit import parsed, refused

CODED = {"Modality": "CT", "StudyDate": "20240101"}


@pytest.mark.parametrize(
    ("keys", "how", "level", "model", "resolved"),
    [
        ("StudyInstanceUID", {}, "STUDY", "study", True),
        ("PatientID StudyInstanceUID", {}, "STUDY", "patient", True),
        ("PatientID", {}, "STUDY", "patient", False),
        ("PatientID", {"level": "patient"}, "PATIENT", "patient", True),
        ("PatientID", {"level": "study"}, "STUDY", "patient", False),
        ("PatientID", {"model": "study"}, "STUDY", "study", False),
        ("AccessionNumber", {}, "STUDY", "study", False),
        ("AccessionNumber PatientID", {}, "STUDY", "patient", False),
        ("AccessionNumber StudyInstanceUID", {}, "STUDY", "study", False),
        ("AccessionNumber", {"level": "series"}, "SERIES", "study", False),
        ("AccessionNumber SeriesInstanceUID", {}, "SERIES", "study", False),
        ("StudyInstanceUID SeriesInstanceUID", {}, "SERIES", "study", True),
        ("PatientID StudyInstanceUID SeriesInstanceUID", {}, "SERIES", "patient", True),
        ("PatientID SeriesInstanceUID", {}, "SERIES", "patient", False),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {"level": "instance"}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID SOPInstanceUID", {"level": "Image"}, "IMAGE", "study", True),
        ("StudyInstanceUID SeriesInstanceUID", {"level": "image"}, "IMAGE", "study", False),
        ("StudyInstanceUID Modality", {"level": "series"}, "SERIES", "study", False),
        ("PatientID StudyInstanceUID", {"model": "study"}, "STUDY", "study", False),
        ("StudyInstanceUID", {"model": "Patient Root"}, "STUDY", "patient", False),  # the patient is looked up
        ("StudyDate", {"model": "Patient Root"}, None, None, None),
        ("PatientName", {}, "STUDY", "study", False),
        ("PatientName PatientID", {}, "STUDY", "study", False),
        ("PatientName", {"level": "patient"}, "PATIENT", "patient", False),
    ],
)
def test_levels_and_models(keys: str, how: dict, level: str | None, model: str | None, resolved: bool | None) -> None:
    """The deepest UID gives the level, a PatientID the Patient Root; what is complete needs no look-up."""
    given_keys = dict.fromkeys(keys.split(), "1.2") | {k: v for k, v in CODED.items() if k in keys.split()}
    if level is None:
        assert "PatientID: is missing" in str(refused(given_keys, **how))
        return
    request = parsed(given_keys, **how)
    assert (str(request.level), request.model.value, request.is_resolved) == (level, model, resolved)


@pytest.mark.parametrize(
    ("keys", "how", "says"),
    [
        ({"SeriesInstanceUID": "1"}, {}, "StudyInstanceUID: is missing"),
        ({"SOPInstanceUID": "1", "StudyInstanceUID": "1"}, {}, "SeriesInstanceUID: is missing"),
        ({"SOPInstanceUID": "1", "SeriesInstanceUID": "1"}, {}, "StudyInstanceUID: is missing"),
        ({"StudyDate": "20240101"}, {"model": "patient"}, "PatientID: is missing"),
        ({"PatientID": "1"}, {"level": "patient", "model": "study"}, "does not exist in Study Root"),
        ({"AccessionNumber": "1"}, {"level": "patient"}, "belongs to level STUDY"),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": "1"}, {"level": "study"}, "belongs to level SERIES"),
        ({"Modality": "CT"}, {}, "or use ModalitiesInStudy"),
        ({"StudyInstanceUID": "1", "InstanceNumber": "1"}, {}, "belongs to level IMAGE"),
        ({"StudyInstanceUID": ["1", "2"], "SeriesInstanceUID": "1"}, {}, "is a list above level SERIES"),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": ["1", "2"], "SOPInstanceUID": "3"}, {}, "is a list above"),
    ],
)
def test_levels_that_do_not_fit(keys: dict, how: dict, says: str) -> None:
    """One value for the unique key of every level above, and nothing from below (PS3.4 section C.4.2.2.1)."""
    assert says in str(refused(keys, **how))
