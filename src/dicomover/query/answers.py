r"""Answers of C-FIND as a tidy table: one row for each answer, one column and one dtype for each keyword.

What a keyword's dtype is follows from DICOM's dictionary alone, never from what came:

=====================================  =======  =====================================================
VR, where the keyword has one value    dtype    meaning
=====================================  =======  =====================================================
IS, SL, SS, SV, UL, US, UV             Int64    a whole number
DS, FD, FL                             Float64  a number
SQ                                     string   JSON: a list of items, each by keyword
OB, OD, OF, OL, OV, OW, UN             string   base64
all others, and what has several       string   text as it came, several values joined by a backslash
=====================================  =======  =====================================================

Dates and times stay text. That is how they are asked for again, it sorts and compares as it should, and a date that
nobody can read (`20240231`, `2024.01.02`) is not lost; `pandas.to_datetime(column, format="%Y%m%d", errors="coerce")`
makes dates of the others. `column.str.contains("CT")` finds one value among several, and
`column.str.split("\\").explode()` takes them apart.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR, keyword_dict, keyword_for_tag

from dicomover.attributes.attribute import Attribute, attribute_of
from dicomover.attributes.reading import Element, Unreadable, convert, list_elements, list_items
from dicomover.attributes.uid import remember_uid
from dicomover.errors import AnswerWarning, warn_caller
from dicomover.identifier import Level

__all__ = ["answers_table", "dtype_of", "returned_keys"]

_RETURNED = {
    Level.PATIENT: "PatientID PatientName PatientBirthDate PatientSex NumberOfPatientRelatedStudies",
    Level.STUDY: (
        "PatientID PatientName PatientBirthDate PatientSex StudyInstanceUID AccessionNumber StudyDate StudyTime "
        "StudyID StudyDescription ModalitiesInStudy NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: (
        "StudyInstanceUID SeriesInstanceUID Modality SeriesNumber SeriesDescription BodyPartExamined "
        "NumberOfSeriesRelatedInstances"
    ),
    Level.IMAGE: "StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID InstanceNumber",
}
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FD", "FL"})
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_LARGEST = 2**63 - 1
_DEEPEST = 64  # sequences within sequences


def returned_keys(level: Level, keys: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """Return the keywords of a find's columns: the usual ones of the level, those asked by, those asked for."""
    return list(dict.fromkeys([*_RETURNED[level].split(), *keys, *wanted]))


def dtype_of(keyword: str) -> str:
    """Return the dtype of a keyword's column: `Int64`, `Float64` or `string`.

    Examples
    --------
    >>> dtype_of("NumberOfStudyRelatedInstances"), dtype_of("SliceThickness"), dtype_of("PixelSpacing")
    ('Int64', 'Float64', 'string')
    """
    if keyword not in keyword_dict or dictionary_VM(keyword) != "1":
        return "string"
    choices = set(dictionary_VR(keyword).split(" or "))
    return "Int64" if choices <= _INTEGERS else "Float64" if choices <= _DECIMALS else "string"


def answers_table(answers: Iterable[Dataset], columns: Sequence[str]) -> pd.DataFrame:
    r"""Make a table of C-FIND answers: one row for each, one column of its dtype for each keyword.

    `<NA>` stands where the archive did not say, or said what is no number; the latter with an `AnswerWarning`.
    Attributes that were not asked for, private ones among them, are left out.

    Examples
    --------
    >>> answer = Dataset()
    >>> answer.ModalitiesInStudy = ["CT", "SR"]
    >>> answers_table([answer], ["ModalitiesInStudy", "NumberOfStudyRelatedSeries"])
      ModalitiesInStudy  NumberOfStudyRelatedSeries
    0            CT\SR                        <NA>
    """
    answers = list(answers)
    texts = {keyword: _texts(answers, keyword) for keyword in columns}
    for keyword in columns:
        if attribute_of(keyword).vr == "UI":
            for text in texts[keyword]:
                remember_uid(text or "")
    found: dict[str, pd.Series[Any]] = {}
    for keyword in columns:
        dtype = dtype_of(keyword)
        values, lost = _read(texts[keyword], _READ[dtype])
        if lost:  # what they were is not said: it may be of a patient
            warn_caller(
                f"{keyword}: {lost} of {len(answers)} answers say what is not {_WORDS[dtype]}, "
                "which is <NA> in the table",
                AnswerWarning,
            )
        found[keyword] = pd.Series(values, index=pd.RangeIndex(len(answers)), dtype=dtype)
    return pd.DataFrame(found, index=pd.RangeIndex(len(answers)))


def _whole(text: str) -> int:
    number = Decimal(text)
    if number != number.to_integral_value() or abs(number) > _LARGEST or "_" in text:
        raise ValueError(text)
    return int(number)


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or "_" in text:
        raise ValueError(text)
    return number


def _as_it_is(text: str) -> str:
    if text == _UNREADABLE:
        raise ValueError(text)
    return text


_UNREADABLE = "\0"
_READ: dict[str, Callable[[str], Any]] = {"Int64": _whole, "Float64": _real, "string": _as_it_is}
_WORDS = {"Int64": "one whole number", "Float64": "one number", "string": "what its VR says"}


def _read(texts: Sequence[str | None], read: Callable[[str], Any]) -> tuple[list[Any], int]:
    """Return the values, and how many texts could not be read."""
    values: list[Any] = []
    lost = 0
    for text in texts:
        try:
            values.append(None if text is None else read(text))
        except (ArithmeticError, ValueError):
            values.append(None)
            lost += 1
    return values, lost


def _texts(answers: Iterable[Dataset], name: str) -> list[str | None]:
    attribute = attribute_of(name)
    return [_text_of(answer, attribute) for answer in answers]


def _text_of(dataset: Dataset, attribute: Attribute) -> str | None:
    """Return a value as text, None if there is none."""
    elements = list_elements(dataset, attribute) or ()
    texts: list[str] = []
    try:
        for around, element in elements:
            texts += _write(element, attribute.vr, around, 0)
    except Unreadable:
        return _UNREADABLE
    return "\\".join(texts) if any(texts) else None


def _write(element: Element, vr: str, around: Sequence[Dataset], depth: int) -> list[str]:
    if element.VR == "SQ" or (vr == "SQ" and element.VR in (None, "UN")):
        items = [_write_item(item, around, depth) for item in list_items(element)]
        if element.value and not items:
            raise Unreadable
        return [json.dumps(items, ensure_ascii=False)] if items else []
    if vr in _BINARY and isinstance(element.value, bytes):
        return [base64.b64encode(element.value).decode("ascii")] if element.value else []
    return convert(element, vr, around)


def _write_item(item: Dataset, around: Sequence[Dataset], depth: int) -> dict[str, Any]:
    """Return an item of a sequence by keyword, or by tag where the dictionary has none."""
    if depth > _DEEPEST:
        raise Unreadable
    content: dict[str, Any] = {}
    for tag in sorted(item.keys()):
        element = item.get_item(tag)
        assert element is not None
        vr = dictionary_VR(tag) if dictionary_has_tag(tag) else element.VR or "UN"
        name = keyword_for_tag(tag) or f"{tag.group:04X},{tag.element:04X}"
        if element.VR == "SQ" or (vr == "SQ" and element.VR in (None, "UN")):
            content[name] = [_write_item(inner, [item, *around], depth + 1) for inner in list_items(element)]
        else:
            content[name] = "\\".join(_write(element, vr, [item, *around], depth)) or None
    return content
