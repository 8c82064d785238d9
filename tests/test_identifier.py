"""Levels, models, and the identifier of a C-MOVE."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomover.errors import ConfigurationError, Problem
from dicomover.events import Admission
from dicomover.identifier import UNIQUE_KEYS, Identifier, Level, Model, level_of, levels, query_dataset

KEYS = dict(zip(UNIQUE_KEYS, ("P", "1", "1.1", "1.1.1"), strict=True)) | {"AccessionNumber": "A", "Modality": "CT"}


@pytest.mark.parametrize(
    ("text", "level"),
    [("patient", "PATIENT"), (" Study ", "STUDY"), ("SERIES", "SERIES"), ("Image", "IMAGE"), ("instance", "IMAGE")],
)
def test_levels_are_read_in_any_case(text: str, level: str) -> None:
    """A level in any case, and INSTANCE, are read."""
    assert Level.parse(text) == level


@pytest.mark.parametrize("text", ["", "body", "auto", "frame"])
def test_no_level(text: str) -> None:
    """What is no level says which there are."""
    with pytest.raises(ConfigurationError, match="PATIENT, STUDY, SERIES, IMAGE"):
        Level.parse(text)


@pytest.mark.parametrize(
    ("text", "model"),
    [("patient", Model.PATIENT), ("STUDY", Model.STUDY), ("Patient Root", Model.PATIENT), ("study-root", Model.STUDY)],
)
def test_models_are_read(text: str, model: Model) -> None:
    """A model is read in any case, with or without Root."""
    assert Model.parse(text) is model


def test_no_model() -> None:
    """What is no model says which there are."""
    with pytest.raises(ConfigurationError, match="neither 'patient' nor 'study'"):
        Model.parse("third")


@pytest.mark.parametrize(
    ("model", "find", "move"),
    [
        (Model.PATIENT, "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.1.2"),
        (Model.STUDY, "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"),
    ],
)
def test_sop_classes(model: Model, find: str, move: str) -> None:
    """The SOP Classes are those of PS3.4 section C.6."""
    assert (model.find_sop_class, model.move_sop_class) == (find, move)


@pytest.mark.parametrize(
    ("level", "model", "keys"),
    [
        ("PATIENT", "patient", "PatientID"),
        ("STUDY", "patient", "PatientID StudyInstanceUID"),
        ("SERIES", "patient", "PatientID StudyInstanceUID SeriesInstanceUID"),
        ("IMAGE", "patient", "PatientID StudyInstanceUID SeriesInstanceUID SOPInstanceUID"),
        ("STUDY", "study", "StudyInstanceUID"),
        ("SERIES", "study", "StudyInstanceUID SeriesInstanceUID"),
        ("IMAGE", "study", "StudyInstanceUID SeriesInstanceUID SOPInstanceUID"),
    ],
)
def test_only_unique_keys_down_to_the_level(level: str, model: str, keys: str) -> None:
    """The identifier of a C-MOVE has the unique keys of its level and above, and nothing else (C.4.2.2.1)."""
    identifier = Identifier.of(Level(level), Model(model), KEYS)
    assert list(identifier.keys()) == keys.split()
    dataset = identifier.dataset()
    assert {element.keyword for element in dataset} == {"QueryRetrieveLevel", *keys.split()}
    assert dataset.QueryRetrieveLevel == level


def test_the_same_asked_for_in_two_ways_is_the_same() -> None:
    """A study is the same study with and without its patient; a patient is not left out where it is what is asked."""
    in_patient, in_study = (Identifier.of(Level.STUDY, model, KEYS) for model in (Model.PATIENT, Model.STUDY))
    assert in_patient != in_study
    assert in_patient.without_model() == in_study.without_model()
    one, other = (Identifier.of(Level.PATIENT, Model.PATIENT, {"PatientID": text}) for text in "PQ")
    assert one.without_model() != other.without_model()


def test_values_by_level() -> None:
    """A list of UIDs is a set of values; a PatientID is one value even with a backslash."""
    identifier = Identifier(Level.STUDY, Model.PATIENT, patient="P\\Q", study="1\\2\\1")
    assert identifier.uids(Level.STUDY) == {"1", "2"}
    assert identifier.uids(Level.PATIENT) == {"P\\Q"}
    assert identifier.uids(Level.SERIES) == frozenset()


@pytest.mark.parametrize(("patient", "charset"), [("P", None), ("Jörg", "ISO_IR 192"), ("山田", "ISO_IR 192")])
def test_character_set_where_it_is_needed(patient: str, charset: str | None) -> None:
    """Specific Character Set comes along only if plain ASCII does not do, and the value survives the wire."""
    dataset = query_dataset(Level.STUDY, {"PatientID": patient, "StudyInstanceUID": "1\\2"})
    assert dataset.get("SpecificCharacterSet") == charset
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
    buffer.seek(0)
    again = dcmread(buffer, force=True)
    assert (again.PatientID, list(again.StudyInstanceUID)) == (patient, ["1", "2"])


def test_a_sequence_is_asked_for_empty() -> None:
    """A sequence in a find is a return key without items."""
    assert list(query_dataset(Level.STUDY, {"ProcedureCodeSequence": ""}).ProcedureCodeSequence) == []


@pytest.mark.parametrize(
    ("keyword", "level"),
    [
        ("PatientName", "PATIENT"), ("AccessionNumber", "STUDY"), ("ModalitiesInStudy", "STUDY"),
        ("Modality", "SERIES"), ("InstanceNumber", "IMAGE"), ("StudyInstanceUID", "STUDY"), ("ImageComments", None),
    ],
)  # fmt: skip
def test_levels_of_attributes(keyword: str, level: str | None) -> None:
    """Attributes belong to the level that PS3.4 section C.6 gives them."""
    assert level_of(keyword) == level


def test_levels_of_models() -> None:
    """Study Root has no PATIENT level."""
    assert [str(level) for level in levels(Model.PATIENT)] == ["PATIENT", "STUDY", "SERIES", "IMAGE"]
    assert [str(level) for level in levels(Model.STUDY)] == ["STUDY", "SERIES", "IMAGE"]
    assert [level.unique_key for level in Level] == list(UNIQUE_KEYS)


@pytest.mark.parametrize(
    "keys",
    [
        {"PatientBirthDate": "1970*"},
        {"PatientBirthDate": "19700101-19701231"},
        {"PatientSex": "m?le*"},
        {"PatientName": f"Doe^{'X' * 70}"},
        {"PatientAge": "49 years"},
        {"PatientID": "X" * 70},
        {"SOPInstanceUID": "1.2\\1.3"},
        {"ProcedureCodeSequence": ""},
    ],
)
def test_odd_values_go_out_without_a_word(keys: dict[str, str]) -> None:
    """No value of a query is put into a warning, since it may be a patient's; it is sent as it is."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, query_dataset(Level.STUDY, keys))
    assert all(value.encode() in buffer.getvalue() for value in keys.values())


def test_no_patient_in_a_repr() -> None:
    """What is logged by accident names no patient."""
    patient = Identifier(Level.PATIENT, Model.PATIENT, patient="4711")
    problem = Problem(0, "PatientID", "4711", "is odd", "mend it", 0, private=True)
    admission = Admission(1, patient_ids=frozenset({"4711"}))
    assert "4711" not in f"{patient!r}{problem!r}{admission!r}"
