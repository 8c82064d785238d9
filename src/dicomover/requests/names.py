"""What keys are called: keywords, tags, paths through sequences, and what was probably meant. No network."""

from __future__ import annotations

import difflib
import numbers
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, keyword_dict, keyword_for_tag

from dicomover.attributes.attribute import NoKey, attribute_of
from dicomover.errors import Problem, RequestError
from dicomover.text.face import advise, in_python

__all__ = ["NoKey", "find_nearest", "is_public", "key_of", "keyword_of", "name_keys", "name_of"]

_TAG = re.compile(r"\(?\s*(?:0x)?([0-9a-f]{4})\s*,?\s*([0-9a-f]{4})\s*\)?", re.IGNORECASE)
_STEP = re.compile(_TAG.pattern + r"(?::[a-z]{2})?", re.IGNORECASE)
_NO_DATA = re.compile(
    r"[A-Za-z]\d{0,2}|(acc(ession)?|age|cohort|date|exam|id|label|mrn|n[ro]|num(ber)?|patient|pid|row|series|sex|split|study|uid)+",
    re.IGNORECASE,
)
_OURS = {
    "QueryRetrieveLevel": "say level= instead",
    "SpecificCharacterSet": "leave it out; it is set where it is needed",
}
_ALIASES = {
    "accession": "AccessionNumber",
    "accessionno": "AccessionNumber",
    "accessionnr": "AccessionNumber",
    "mrn": "PatientID",
    "patid": "PatientID",
    "studyuid": "StudyInstanceUID",
    "studyinstance": "StudyInstanceUID",
    "seriesuid": "SeriesInstanceUID",
    "instanceuid": "SOPInstanceUID",
    "sopuid": "SOPInstanceUID",
    "imageuid": "SOPInstanceUID",
}


def keyword_of(key: object) -> str:
    """Return the DICOM keyword of a key given as keyword or as tag, such as `"0020,000D"` or `0x0020000D`.

    Raises NoKey if DICOM's dictionary has none; the mend suggests the nearest one.

    Examples
    --------
    >>> keyword_of("(0020,000D)"), keyword_of(0x00080050)
    ('StudyInstanceUID', 'AccessionNumber')
    """
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        tag = int(key)
        if dictionary_has_tag(tag) and keyword_for_tag(tag):
            return keyword_for_tag(tag)
        raise NoKey("is no tag of DICOM's dictionary", "name it by its keyword")
    text = str(key).strip()
    if text and text in keyword_dict:  # the dictionary has elements without a keyword
        return text
    match = _TAG.fullmatch(text)
    if match:
        return keyword_of(int(match[1] + match[2], 16))
    raise _no_keyword(text)


def is_public(name: object) -> bool:
    """Tell whether a name may be shown: a keyword, a tag, nearly one, or a word that is nobody's name.

    Without a header a patient may stand where the names of a table's columns should be.

    Examples
    --------
    >>> is_public("PatientId"), is_public("0009,1001"), is_public("acc_no"), is_public("MILLER^ANNA")
    (True, True, True, False)
    """
    steps = [step.strip() for step in str(name).split(".")]
    if isinstance(name, numbers.Integral) or all(step in keyword_dict or _is_tag(step) for step in steps):
        return True
    return _NO_DATA.fullmatch(str(name).replace("_", "")) is not None or bool(_nearest_keyword(str(name).strip()))


def _is_tag(step: str) -> bool:
    """Tell whether it can be nothing but a tag: eight digits without a comma may be a patient's number."""
    match = _STEP.fullmatch(step)
    return match is not None and ("," in step or dictionary_has_tag(int(match[1] + match[2], 16)))


def _no_keyword(name: str) -> NoKey:
    near = _nearest_keyword(name)
    mend = "write it as in the Standard's dictionary (PS3.6), such as 'AccessionNumber'"
    return NoKey("is no DICOM keyword", f"did you mean {near!r}?" if near else mend, near)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=1024)  # a search of 5,000 keywords, the same for every row
def _nearest_keyword(name: str) -> str:
    return find_nearest(name, keyword_dict) or ""


def find_nearest(name: str, keywords: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the keyword that a name was probably meant to be."""
    plain = _plain(name)
    if plain in _ALIASES:
        return _ALIASES[plain]
    by_plain = {_plain(keyword): keyword for keyword in keywords}
    found = difflib.get_close_matches(plain, by_plain, n=1, cutoff=cutoff)
    return by_plain[found[0]] if found else None


def name_keys(keys: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return keys under the names by which we call them; one that has no name stays as it is, to be told of later."""
    named: dict[Any, Any] = {}
    if not isinstance(keys, Mapping):
        raise RequestError(
            [Problem("", "keys", type(keys).__name__, "is no dict", "write {'PatientID': '4711'}", private=False)]
        )
    for key, value in keys.items():
        try:
            name = name_of(key)
        except KeyError:
            name = key
        named[key if name in named else name] = value
    return named


def name_of(key: object) -> str:
    """Return the one name of an attribute, given in any way; also of a private or unknown one, and in a sequence.

    Raises NoKey if there can be none; the mend suggests the nearest one.

    Examples
    --------
    >>> name_of("(0008,0050)"), name_of("0009,1001:lo")
    ('AccessionNumber', '0009,1001:LO')
    >>> name_of("RequestAttributesSequence.ScheduledProcedureStepID")
    'RequestAttributesSequence.ScheduledProcedureStepID'
    """
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        if not 0 <= int(key) <= 0xFFFFFFFF:
            raise NoKey("is no tag of DICOM's dictionary", "name it by its keyword")
        return attribute_of(f"{int(key):08X}").name
    text = str(key).strip()
    for step in text.split("."):
        if step.strip() not in keyword_dict and not _STEP.match(step):
            raise _no_keyword(step.strip())
    return attribute_of(text).name


def key_of(name: object) -> str:
    """Return the name of a key, which has to be an attribute to ask by; raises NoKey if it is none."""
    key = name_of(name)
    if key in _OURS or attribute_of(key).path[0] < 0x00080000:
        otherwise = "leave it out" + in_python("; in a list of dicts each dict is a request")
        mend = advise(_OURS.get(key, otherwise))
        raise NoKey("is no attribute to ask by", mend)
    return key
