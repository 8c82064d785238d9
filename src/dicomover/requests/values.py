"""What is wrong with the value of a key, and how it goes onto the wire. No network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydicom import Dataset

from dicomover.attributes.attribute import attribute_of, put_value
from dicomover.attributes.uid import is_uid, was_named
from dicomover.identifier import UNIQUE_KEYS, Level, level_of
from dicomover.requests.damage import find_bad_date, find_leftover, find_rewriting
from dicomover.text.cells import is_missing
from dicomover.text.face import advise

__all__ = ["Fault", "Numeric", "find_faults", "find_query_faults", "write_value"]

_MAX_LENGTH = {"AE": 16, "AS": 4, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "SH": 16, "UI": 64}
_TYPED = ("PatientID", "AccessionNumber")
"""What people type, and programs damage."""


class Fault(NamedTuple):
    """A value that cannot be meant: which one, why, and the mend."""

    value: object
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Numeric:
    """A value of a numeric column: whatever it was, its leading zeros are gone."""

    value: object


def write_value(value: object) -> str:
    """Return a value without faults as it goes onto the wire."""
    return "\\".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)


def find_faults(keyword: str, value: object, *, of_table: bool) -> Iterator[Fault]:
    """Yield what is wrong with the value of a key of a request; a cell of a table may hold what programs left there.

    Examples
    --------
    >>> [fault.why for fault in find_faults("AccessionNumber", "123.0", of_table=False)]
    ['looks like a number that a program has rewritten']
    """
    if attribute_of(keyword).vr == "SQ":
        yield Fault("a sequence", "cannot be a key of a request", advise("leave it out and filter what find() returns"))
    elif isinstance(value, Numeric):
        mend = advise("restore it from its source as text, with read_requests(path) or read_csv(path, dtype=str)")
        yield Fault(value.value, "comes from a numeric column, where leading zeros are lost", mend)
    elif isinstance(value, list | tuple | set | frozenset):
        if level_of(keyword) in (None, Level.PATIENT) or keyword not in UNIQUE_KEYS:
            yield Fault(value, "is a list, which only UIDs may be", "give one request for each value")
        elif not value:
            yield Fault(value, "is an empty list", "give at least one UID")
        else:
            for item in value:
                yield from find_faults(keyword, item, of_table=of_table)
    elif isinstance(value, str):
        yield from _find_faults_of_text(keyword, value, of_table)
    elif is_missing(value):
        yield Fault(value, "is missing", "give a value, or leave the key out")
    else:
        yield _not_text(value, "give the text that the archive knows, with its leading zeros")


def find_query_faults(keyword: str, value: object) -> Iterator[Fault]:
    """Yield what is wrong with the value of a key of a find, where wildcards and ranges are meant."""
    vr = attribute_of(keyword).vr
    if isinstance(value, list | tuple) and vr == "UI" and value:
        for item in value:
            yield from find_query_faults(keyword, item)
    elif is_missing(value):  # of a table, where nobody has asked for every value
        yield Fault(None, "is missing", "give a value, or None to ask for it without matching it")
    elif not isinstance(value, str):
        yield _not_text(value, "give the text that the archive knows")
    elif vr == "DA" and (found := find_bad_date(value.strip())):
        yield Fault(value, *found)
    elif vr == "UI" and value.strip() and not re.search(r"[*?]", value):
        yield from _find_bad_uids(value.strip())
    elif vr == "SQ" and value.strip():
        mend = "ask for what is in it, such as 'RequestAttributesSequence.ScheduledProcedureStepID'"
        yield Fault(value, "is the value of a sequence, which has none of its own", mend)
    else:
        yield from _find_unwritable(keyword, value.strip())


def _not_text(value: object, mend: str) -> Fault:
    return Fault(value, f"is not text but {type(value).__name__}", mend)


def _find_unwritable(keyword: str, text: str) -> Iterator[Fault]:
    attribute = attribute_of(keyword)
    try:
        put_value(Dataset(), attribute, text)
    except ValueError:
        yield Fault(text, f"cannot be written as {attribute.vr}, which is its VR", "give a number")


def _find_faults_of_text(keyword: str, text: str, of_table: bool) -> Iterator[Fault]:
    vr = attribute_of(keyword).vr
    if not text.strip():
        yield Fault(text, "is blank", "give a value, or leave the key out")
    elif text != text.strip():
        yield Fault(text, "begins or ends with a space", "take the space away")
    elif any(ord(character) < 32 or ord(character) == 127 for character in text):
        yield Fault(text, "has a control character or a line break", "take it away")
    elif "\ufffd" in text:
        yield Fault(text, "has U+FFFD, which stands for a character that was lost", "restore it from its source")
    elif keyword in _TYPED and not text.isprintable():
        yield Fault(text, "has an invisible character", "take it away, or type the value anew")
    elif keyword in _TYPED and (found := find_rewriting(text) or (find_leftover(keyword, text) if of_table else None)):
        yield Fault(text, *found)
    elif keyword in UNIQUE_KEYS and ("*" in text or "?" in text):
        yield Fault(text, "has a wildcard, which a C-MOVE must not have", advise("use find() and move what it returns"))
    elif vr == "DA" and (found := find_bad_date(text)):
        yield Fault(text, *found)
    elif vr == "UI":
        yield from _find_bad_uids(text)
    elif "\\" in text:
        yield Fault(text, "has a backslash, which separates values in DICOM", "give one request for each value")
    elif len(text) > _MAX_LENGTH.get(vr, 1 << 16) and keyword != "AccessionNumber":  # longer ones exist
        yield Fault(text, f"has {len(text)} characters, DICOM allows {_MAX_LENGTH[vr]}", "check the column")
    else:
        yield from _find_unwritable(keyword, text)


def _find_bad_uids(text: str) -> Iterator[Fault]:
    for uid in text.split("\\"):
        if not is_uid(uid) and not was_named(uid):
            yield Fault(uid, "is no valid UID", "a UID has digits and dots, no leading zeros, at most 64 characters")
