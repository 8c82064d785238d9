"""Answers of C-FIND as tables: columns, dtypes, and nothing lost without a word."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO

import pandas as pd
import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset

from dicomover import AnswerWarning, Mover
from dicomover.identifier import Level
from dicomover.query.answers import answers_table, dtype_of, returned_keys
from dicomover.testing import DemoPacs, made_study

COLUMNS = [
    "PatientID", "StudyDate", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "PatientSize", "Rows",
    "PixelSpacing", "ProcedureCodeSequence", "RedPaletteColorLookupTableData",
]  # fmt: skip


def raw_of(values: dict[str | int, str | bytes]) -> bytes:
    """Return values as they come from the wire in Implicit VR, valid or not."""
    raw = b""
    tagged = {(key if isinstance(key, int) else tag_for_keyword(key)): value for key, value in values.items()}
    for tag, value in sorted(tagged.items()):
        text = value if isinstance(value, bytes) else value.encode()
        text += b" " * (len(text) % 2)
        raw += struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(text)) + text
    return raw


def item(raw: bytes) -> bytes:
    """Return a sequence of one item."""
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(raw)) + raw


def wire(extra: dict[str | int, str | bytes] | None = None, **values: str | bytes) -> Dataset:
    """Return an answer."""
    raw = raw_of({**values, **(extra or {})})
    return read_dataset(BytesIO(raw), True, True, bytelength=len(raw))


CODE = item(raw_of({"CodeValue": "CT1", "CodeMeaning": "CT of the ‹thorax›", 0x00091001: "private"}))
FULL = {
    "PatientID": "0047",
    "StudyDate": "20240229",
    "ModalitiesInStudy": "CT\\SR",
    "NumberOfStudyRelatedInstances": "12",
    "PatientSize": "1.75",
    "Rows": struct.pack("<H", 512),
    "PixelSpacing": "0.5\\0.50",
    "ProcedureCodeSequence": CODE,
    "RedPaletteColorLookupTableData": b"\0\1\2\3",
}


@pytest.mark.parametrize(
    "answers", [[], [wire()], [wire(**FULL)], [wire(**FULL), wire()]], ids=["none", "bare", "full", "both"]
)
def test_columns_and_dtypes_are_always_the_same(answers: list[Dataset]) -> None:
    """A keyword has one dtype whatever came, also if nothing did."""
    table = answers_table(answers, COLUMNS)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
        "PatientID": "string",
        "StudyDate": "string",
        "ModalitiesInStudy": "string",
        "NumberOfStudyRelatedInstances": "Int64",
        "PatientSize": "Float64",
        "Rows": "Int64",
        "PixelSpacing": "string",
        "ProcedureCodeSequence": "string",
        "RedPaletteColorLookupTableData": "string",
    }
    assert len(table) == len(answers)
    assert isinstance(table.index, pd.RangeIndex)


def test_values_of_answers() -> None:
    """Leading zeros stay, several values are joined, and what was not said is <NA>."""
    full, bare = answers_table([wire(**FULL), wire(PatientID="")], COLUMNS).to_dict("records")
    code = json.loads(full.pop("ProcedureCodeSequence"))
    assert code == [{"CodeValue": "CT1", "CodeMeaning": code[0]["CodeMeaning"], "0009,1001": "cHJpdmF0ZSA="}]
    assert full.pop("RedPaletteColorLookupTableData") == "AAECAw=="
    wanted = {name: value for name, value in FULL.items() if name in full}
    assert full == wanted | {"NumberOfStudyRelatedInstances": 12, "PatientSize": 1.75, "Rows": 512}
    assert all(pd.isna(value) for value in bare.values())


@pytest.mark.parametrize("value", ["CT\\SR\\PR", "CT\\\\SR", "CT"])
def test_several_values_can_be_searched_and_taken_apart(value: str) -> None:
    """`str.contains` finds one of several values, `str.split` and `explode` return them all."""
    column = answers_table([wire(ModalitiesInStudy=value)], ["ModalitiesInStudy"])["ModalitiesInStudy"]
    assert column.str.contains("CT").all()
    assert column.str.split("\\").explode().tolist() == value.split("\\")


@pytest.mark.parametrize(
    ("keyword", "value", "number"),
    [
        ("NumberOfStudyRelatedInstances", "12.0", 12),
        ("NumberOfStudyRelatedInstances", " 7 ", 7),
        ("NumberOfStudyRelatedInstances", "007", 7),
        ("NumberOfStudyRelatedInstances", "-1", -1),
        ("NumberOfStudyRelatedInstances", "999999999999", 999999999999),
        ("SelectorUVValue", struct.pack("<Q", 2**63), None),
        ("SelectorSVValue", struct.pack("<q", 2**53 + 1), 2**53 + 1),
        ("PatientSize", "1.75E0", 1.75),
    ],
)
def test_numbers(keyword: str, value: str | bytes, number: float | None) -> None:
    """Numbers are what was said, to the last digit."""
    if keyword.startswith("Selector"):
        assert dtype_of(keyword) == "string", "it has several values, and so stays text"
        return
    assert answers_table([wire(**{keyword: value})], [keyword])[keyword].tolist() == [number]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NumberOfStudyRelatedInstances", "SECRET"),
        ("NumberOfStudyRelatedInstances", "1.5"),
        ("NumberOfStudyRelatedInstances", "1\\2"),
        ("NumberOfStudyRelatedInstances", "1_0"),
        ("NumberOfStudyRelatedInstances", "9" * 30),
        ("NumberOfStudyRelatedInstances", "nan"),
        ("PatientSize", "1,75"),
        ("PatientSize", "SECRET"),
        ("PatientSize", "inf"),
        ("Rows", b"abcdef"),
        ("Rows", struct.pack("<HH", 1, 2)),
    ],
)
def test_numbers_that_are_none_are_told(keyword: str, value: str | bytes) -> None:
    """A number that the archive wrote badly is <NA>, which a warning counts without the value; the others are there."""
    with pytest.warns(AnswerWarning) as caught:
        column = answers_table([wire(**{keyword: value}), wire(**FULL), wire()], [keyword])[keyword]
    assert column.isna().tolist() == [True, False, True]
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith(f"{keyword}: 1 of 3 answers say what is not one ")
    assert "SECRET" not in message


@pytest.mark.parametrize(
    "extra",
    [{0x00091001: "private"}, {0x00090010: "OWNER"}, {0x77770001: b"\xff\xff"}, {0x00080001: b"\0\0"}],
    ids=lambda extra: f"{next(iter(extra)):08X}",
)
def test_private_and_unknown_tags_do_not_matter(extra: dict[str | int, str | bytes]) -> None:
    """What the dictionary does not know is no column and no error."""
    table = answers_table([wire(extra, PatientID="1")], ["PatientID"])
    assert table.to_dict("records") == [{"PatientID": "1"}]


def test_what_cannot_be_read_is_told() -> None:
    """Bytes that are no value of their VR are <NA>, with a warning that does not quote them."""
    with pytest.warns(AnswerWarning, match="Orientation: 1 of 1 answers say what is not what its VR") as caught:
        table = answers_table([wire(DiffusionGradientOrientation=b"SECRET")], ["DiffusionGradientOrientation"])
    assert table.isna().all(axis=None)
    assert "SECRET" not in str(caught[0].message)


@pytest.fixture(autouse=True)
def _only_ours() -> Iterator[None]:
    """Let any warning that is not ours fail a test: pydicom's quote values."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_returned_keys() -> None:
    """The usual ones of the level, those asked by, those asked for; each once."""
    keys = returned_keys(Level.SERIES, {"StudyInstanceUID": "1", "ProtocolName": "x*"}, ["Modality", "StationName"])
    assert keys[:2] == ["StudyInstanceUID", "SeriesInstanceUID"]
    assert keys[-2:] == ["ProtocolName", "StationName"]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("level", list(Level))
def test_a_find_at_every_level(level: Level) -> None:
    """At each level there is a row for each match, and the same columns and dtypes where nothing matches."""
    wanted = ["StationName", "ProcedureCodeSequence", "SliceThickness"]
    with DemoPacs([made_study("00123", series=2, instances=3)]) as pacs, Mover(pacs.node, model="patient") as mover:
        study = pacs.study("00123")
        above = dict(
            zip(
                ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
                (study.patient_id, study.study_instance_uid, study.series[1].series_instance_uid),
                strict=True,
            )
        )
        keys = dict(list(above.items())[: list(Level).index(level)])
        found = mover.find({**keys, level.unique_key: "*"}, level=level, returned=wanted)
        none = mover.find({**keys, level.unique_key: "1.2.3"}, level=level, returned=wanted)
    assert len(found) == {"PATIENT": 1, "STUDY": 1, "SERIES": 2, "IMAGE": 3}[level]
    assert found[level.unique_key].is_unique
    assert set(wanted) <= set(found.columns)
    assert len(none) == 0
    assert none.dtypes.equals(found.dtypes)
    assert {str(dtype) for dtype in found.dtypes} <= {"string", "Int64", "Float64"}
