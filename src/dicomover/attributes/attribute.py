"""An attribute by its name: a keyword, a tag with its VR, or a path through sequences; and how its value is put."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from functools import lru_cache

from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_dict, keyword_for_tag
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import VR

__all__ = ["FLOATS", "INTEGERS", "TEXTS", "Attribute", "NoKey", "attribute_of", "put_value"]

TEXTS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
"""The VRs whose values are written as text."""

INTEGERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q"}
FLOATS = {"FL": "f", "FD": "d"}

_VRS = frozenset(vr.value for vr in VR if len(vr.value) == 2)
_TAG = re.compile(r"\(?\s*(?:0x)?([0-9a-f]{4})\s*,?\s*([0-9a-f]{4})\s*\)?(?::([a-z]{2}))?", re.IGNORECASE)
_MEND = "write it as in the Standard's dictionary (PS3.6), such as 'AccessionNumber'"
_HOW = "name its VR, such as '0009,1001:LO'"


class NoKey(KeyError):
    """A name that no attribute has, or none to ask by; `near` is the keyword that was probably meant, if any."""

    def __init__(self, why: str, mend: str, near: str = "") -> None:
        super().__init__(f"{why}; {mend}")
        self.why, self.mend, self.near = why, mend, near


@dataclass(frozen=True, slots=True)
class Attribute:
    """Where an attribute stands, and how its value is written."""

    # its one name: the keyword where DICOM's dictionary has one, else `gggg,eeee:VR`, without a VR that is UN; of what
    # is in a sequence, the names of all on the way to it, joined by dots
    name: str
    path: tuple[BaseTag, ...]  # the tags on the way to it, its own the last
    vr: str  # its VR; the first where the dictionary leaves a choice

    @property
    def is_creator(self) -> bool:
        """True if it reserves private elements (PS3.5 section 7.8.1), by which no archive matches."""
        return bool(self.path[-1] >> 16 & 1) and 0x10 <= self.path[-1] & 0xFFFF <= 0xFF


@lru_cache(maxsize=4096)
def attribute_of(name: str) -> Attribute:
    """Return the attribute of a name; raises NoKey if it cannot be one.

    It is a keyword, or a tag such as `0009,1001` or `(0009,1001)`, whose VR may follow after a colon; or several of
    them on the way through sequences, joined by dots.

    Examples
    --------
    >>> attribute_of("(0008,0050)").name, attribute_of("0009,1001").name, attribute_of("0009,1001:LO").vr
    ('AccessionNumber', '0009,1001', 'LO')
    >>> attribute_of("RequestAttributesSequence.0040,0009").name
    'RequestAttributesSequence.ScheduledProcedureStepID'
    """
    steps = [_read_step(step.strip()) for step in name.split(".")]
    for _, _, vr in steps[:-1]:
        if vr != "SQ":
            raise NoKey("leads through what is no sequence", "name a sequence before the dot")
    return Attribute(".".join(step for step, _, _ in steps), tuple(BaseTag(tag) for _, tag, _ in steps), steps[-1][2])


def _read_step(text: str) -> tuple[str, int, str]:
    """Return the name, the tag and the VR of one step."""
    match = _TAG.fullmatch(text)
    if text and text in keyword_dict:  # the dictionary has elements without a keyword
        tag, said = keyword_dict[text], ""
    elif match is not None:
        tag, said = int(match[1] + match[2], 16), (match[3] or "").upper()
    else:
        raise NoKey("is no DICOM keyword", _MEND)
    known = dictionary_has_tag(tag) and not tag >> 16 & 1 and keyword_for_tag(tag)
    if known:
        choices = dictionary_VR(tag).split(" or ")
        if choices[0] not in _VRS:
            raise NoKey("is no attribute to ask by", "leave it out")
        if said and said not in choices:
            raise NoKey(f"has VR {' or '.join(choices)} in DICOM's dictionary, not {said}", "leave the VR out")
        return known, tag, said or choices[0]
    if said and said not in _VRS:
        raise NoKey(f"has a VR that DICOM does not know, {said!r}", _HOW)
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0 or group in (0x0001, 0x0003, 0x0005, 0x0007, 0xFFFE, 0xFFFF) or (group & 1 and element < 0x10):
        raise NoKey("is no tag of DICOM's dictionary", "name it by its keyword")  # nor can it be a private one
    creator = group & 1 and element <= 0xFF
    vr = said or ("LO" if creator else "UN")
    name = f"{group:04X},{element:04X}"
    return name if vr == "UN" else f"{name}:{vr}", tag, vr


def put_value(dataset: Dataset, attribute: Attribute, value: str) -> None:
    r"""Put a value into a data set, and what is on the way to it; several are joined by a backslash, "" is none.

    Raises ValueError if its VR cannot hold it: a text where a number is due, or any where a sequence is.

    Examples
    --------
    >>> identifier = Dataset()
    >>> put_value(identifier, attribute_of("RequestAttributesSequence.ScheduledProcedureStepID"), "7")
    >>> identifier.RequestAttributesSequence[0].ScheduledProcedureStepID
    '7'
    """
    for tag in attribute.path[:-1]:
        if tag not in dataset or not dataset[tag].value:
            dataset[tag] = DataElement(tag, "SQ", Sequence([Dataset()]))
        dataset = dataset[tag].value[0]
    tag, vr = attribute.path[-1], attribute.vr
    if vr == "SQ":
        if value:
            raise ValueError("a sequence has no value of its own")
        if tag not in dataset:
            dataset[tag] = DataElement(tag, "SQ", Sequence())
        return
    # pydicom would put a value that it does not like, which may be a birth date, into a warning.
    if (vr == "IS" and not _are(int, value)) or (vr == "DS" and not _are(float, value)):
        raise ValueError(f"no {vr}")
    if vr in TEXTS:
        parts = value.split("\\") if "\\" in value else value
        dataset[tag] = DataElement(tag, vr, parts, validation_mode=IGNORE, already_converted=vr in ("DS", "IS"))
    else:
        try:
            converted = _convert(vr, value)
        except (OverflowError, ValueError, struct.error):
            raise ValueError(f"no {vr}") from None  # the other says what the value is
        dataset[tag] = DataElement(tag, vr, converted, validation_mode=IGNORE)


def _are(kind: type[int | float], value: str) -> bool:
    """Tell whether all values are numbers of a kind, and written in ASCII."""
    if "_" in value or not value.isascii():
        return False
    try:
        read = [kind(part) for part in value.split("\\") if part]
        return all(math.isfinite(number) and (kind is float or abs(number) < 2**31) for number in read)
    except ValueError:
        return False


def _convert(vr: str, value: str) -> object:
    if vr in INTEGERS or vr in FLOATS or vr == "AT":
        read = float if vr in FLOATS else int if vr in INTEGERS else Tag
        if "_" in value or not value.isascii():
            raise ValueError(f"no {vr}")
        values = [read(part) for part in value.split("\\") if part]
        code = "<" + ({**INTEGERS, **FLOATS}.get(vr) or "L")
        if any(not math.isfinite(number) or not struct.pack(code, number) for number in values):
            raise ValueError(f"no {vr}")
        return values[0] if len(values) == 1 else values or None
    raw = value.encode()
    return raw + b" " * (len(raw) % 2)
