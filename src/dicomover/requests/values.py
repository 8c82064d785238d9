"""What is wrong with the value of a key, and how it goes onto the wire. No network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from typing import NamedTuple

from pydicom import Dataset
from pydicom.valuerep import MAX_VALUE_LEN

from dicomover.attributes.attribute import TEXTS, attribute_of, put_value
from dicomover.attributes.moments import MOMENTS
from dicomover.attributes.uid import is_uid, may_be_named, was_named
from dicomover.identifier import UNIQUE_KEYS, Level, level_of
from dicomover.requests.damage import Finding, find_bad_moment, find_leftover, find_rewriting, write_example
from dicomover.requests.letters import find_bad_letter, find_look_alike, fits_vr, name_letter
from dicomover.text.cells import is_missing
from dicomover.text.face import advise, setting

__all__ = [
    "FROM_NUMBERS",
    "NOT_TEXT",
    "Fault",
    "Numeric",
    "find_faults",
    "find_oddity",
    "find_query_faults",
    "write_value",
]

_WITH_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})
"""The VRs of which a text may be a pattern (PS3.4 section C.2.2.2.4); what is unknown may be of one of them."""

_ANY = frozenset({"AS", *MOMENTS})
"""The VRs that know no patterns, but of which a single * is understood as anything."""

_ONE_VALUE = frozenset({"LT", "ST", "UR", "UT"})
_VALUES = {
    "AE": ("is no AE title", "an AE title has at most 16 plain characters"),
    "AS": ("is not how DICOM writes an age", "write 031Y, or D, W or M in place of Y"),
    "CS": ("has characters that a CS cannot have", "write capital letters, digits, spaces and underscores only"),
    "PN": ("is longer than a name can be", "check the column"),
    "UR": ("is no URI", "write it as in a browser's address line"),
}
"""What is said where pydicom's validator of a VR says that a value is none."""

_TYPED = ("PatientID", "AccessionNumber")
"""What people type, and programs damage."""


class Fault(NamedTuple):
    """A value that cannot be meant: which one, why, and the mend."""

    value: object
    why: str
    mend: str


FROM_NUMBERS, NOT_TEXT = "comes from a numeric column, where leading zeros are lost", "is not text but"
"""Why a number is refused; a summary that is read again is known by these words."""


@dataclass(frozen=True, slots=True)
class Numeric:
    """A value of a numeric column: whatever it was, its leading zeros are gone."""

    value: object


def write_value(value: object) -> str:
    """Return a value without faults as it goes onto the wire."""
    return "\\".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)


def find_faults(
    keyword: str,
    value: object,
    *,
    in_cell: bool = False,  # it stands in a cell of a table, which has one value
    by_looks: bool = False,  # it may be what a program or a keyboard left there; what a dict has was written by hand
    wildcards: bool = True,  # * and ? are meant
) -> Iterator[Fault]:
    """Yield what is wrong with the value of a key of a request.

    Examples
    --------
    >>> [fault.why for fault in find_faults("AccessionNumber", "123.0")]
    ['looks like a number that a program has rewritten']
    >>> [fault.why for fault in find_faults("AccessionNumber", "*12345*", wildcards=False)]
    ['has a wildcard, which asks for others too']
    """
    vr = attribute_of(keyword).vr
    if vr == "SQ":
        mend = advise("leave it out and filter what find() returns")
        yield Fault(None, "is a sequence, which cannot be a key of a request", mend)
    elif isinstance(value, Numeric):
        mend = advise("restore it from its source as text, with read_requests(path) or read_csv(path, dtype=str)")
        yield Fault(value.value, FROM_NUMBERS, mend)
    elif isinstance(value, list | tuple | set | frozenset):
        if in_cell:
            yield Fault(value, "is a list in one cell", "give each value a row of its own: table.explode(column)")
        elif level_of(keyword) in (None, Level.PATIENT) or keyword not in UNIQUE_KEYS:
            yield Fault(value, "is a list, which only UIDs may be", "give one request for each value")
        elif not value:
            yield Fault(value, "is an empty list", "give at least one UID")
        else:
            for item in value:
                yield from find_faults(keyword, item)
    elif isinstance(value, str):
        yield from _find_faults_of_text(keyword, value, by_looks, wildcards)
    elif is_missing(value):
        yield Fault(value, "is missing", "give a value, or leave the key out")
    else:
        yield _not_text(vr, value, "give the text that the archive knows, with its leading zeros")


def find_query_faults(keyword: str, value: object) -> Iterator[Fault]:
    """Yield what is wrong with the value of a key of a find, where wildcards, ranges and several values are meant."""
    vr = attribute_of(keyword).vr
    if isinstance(value, list | tuple | set | frozenset) and vr == "UI" and value:
        for item in value:
            yield from find_query_faults(keyword, item)
    elif is_missing(value):  # of a table, where nobody has asked for every value
        yield Fault(None, "is missing", "give a value, or None to ask for it without matching it")
    elif not isinstance(value, str):
        yield _not_text(vr, value, "give the text that the archive knows")
    elif vr == "SQ" and value.strip():
        mend = "ask for what is in it, such as 'RequestAttributesSequence.ScheduledProcedureStepID'"
        yield Fault(value, "is the value of a sequence, which has none of its own", mend)
    elif found := find_bad_letter(vr, value.strip()):
        yield Fault(value, *found)
    elif vr == "UI" and re.search(r"[*?]", value):
        pass
    elif value.strip():
        yield from _find_faults_of_vr(keyword, value.strip())


def find_oddity(keyword: str, text: str) -> str:
    """Return what is odd of a value without faults, as archives do have it; empty if nothing is."""
    if keyword == "AccessionNumber" and len(text) > 16:
        return f"has {len(text)} characters, DICOM allows 16"
    if attribute_of(keyword).vr != "UI" or all(map(is_uid, text.split("\\"))):
        return ""
    if len(text) > 64 and "\\" not in text:
        return f"has {len(text)} characters, a UID at most 64"
    return "is no UID by the Standard, which has digits and dots without leading zeros"


def _not_text(vr: str, value: object, mend: str) -> Fault:
    if vr in MOMENTS and isinstance(value, date | time):
        mend = f"write it as text, such as {write_example(vr)}"
    return Fault(value, f"{NOT_TEXT} {type(value).__name__}", mend)


def _find_faults_of_text(keyword: str, text: str, by_looks: bool, wildcards: bool) -> Iterator[Fault]:
    vr = attribute_of(keyword).vr
    if not text.strip():
        yield Fault(text, "is blank", "give a value, or leave the key out")
    elif text != text.strip():
        outside = next(letter for letter in (text[-1], text[0]) if letter.isspace())
        what = "" if outside == " " else f", {name_letter(outside)}"
        yield Fault(text, f"begins or ends with a space{what}", "take the space away")
    elif found := find_bad_letter(vr, text) or _find_damage(keyword, text, by_looks):
        yield Fault(text, *found)
    elif keyword in UNIQUE_KEYS and re.search(r"[*?]", text):
        yield Fault(text, "has a wildcard, which a C-MOVE must not have", advise("use find() and move what it returns"))
    elif not wildcards and vr in _WITH_WILDCARDS | _ANY and re.search(r"[*?]", text):
        mend = f"take it away; if it is meant, say {setting('wildcards', True)}"
        yield Fault(text, "has a wildcard, which asks for others too", mend)
    elif "\\" in text and vr != "UI":
        yield Fault(text, "has a backslash, which separates values in DICOM", "give one request for each value")
    else:
        yield from _find_faults_of_vr(keyword, text)


def _find_damage(keyword: str, text: str, by_looks: bool) -> Finding | None:
    if keyword not in _TYPED:
        return None
    return find_rewriting(text) or ((find_leftover(keyword, text) or find_look_alike(text)) if by_looks else None)


def _find_faults_of_vr(keyword: str, text: str) -> Iterator[Fault]:
    """Yield what a text has that its VR cannot hold (PS3.5 section 6.2, and PS3.4 section C.2.2.2 for patterns)."""
    attribute = attribute_of(keyword)
    vr = attribute.vr
    if vr == "UI":
        yield from _find_bad_uids(text)
        return
    for part in [text] if vr in _ONE_VALUE else text.split("\\"):
        if not part or (part == "*" and vr in _ANY):
            continue
        longest = MAX_VALUE_LEN.get(vr, 0)
        if vr in MOMENTS and (found := find_bad_moment(vr, part)):
            yield Fault(part, *found)
        elif longest and len(part) > longest and keyword != "AccessionNumber":  # longer ones exist
            yield Fault(part, f"has {len(part)} characters, DICOM allows {longest}", "check the column")
        elif vr in _VALUES and not fits_vr(vr, _plain(vr, part)):
            yield Fault(part, *_VALUES[vr])
    if vr in TEXTS and vr not in ("DS", "IS"):
        return
    try:
        put_value(Dataset(), attribute, text)
    except ValueError:
        yield Fault(text, f"cannot be written as {vr}, which is its VR", "give a number")


def _plain(vr: str, text: str) -> str:
    """Take away what a pattern has beside what its VR can hold."""
    return re.sub(r"[*?]", "", text) if vr in _WITH_WILDCARDS else text


def _find_bad_uids(text: str) -> Iterator[Fault]:
    for uid in text.split("\\"):
        if is_uid(uid) or was_named(uid):
            continue
        if not may_be_named(uid) or find_rewriting(uid):
            yield Fault(uid, "is no valid UID", "a UID has digits and dots, no leading zeros, at most 64 characters")
