"""The hygiene of one request: its names, its values, its level; every problem with its mend. No network."""

from __future__ import annotations

import difflib
import numbers
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword

from dicomover.errors import Problem, RequestWarning
from dicomover.identifier import UNIQUE_KEYS, Level, Model, Request, is_uid, level_of, levels
from dicomover.requests.damage import left_over, no_date, rewritten
from dicomover.text.cells import is_missing
from dicomover.text.face import advise

__all__ = ["Numeric", "Row", "RowCheck", "keyword_of", "nearest"]

_TAG = re.compile(r"\(?\s*(?:0x)?([0-9a-f]{4})\s*,?\s*([0-9a-f]{4})\s*\)?", re.IGNORECASE)
_MAX_LENGTH = {"AE": 16, "AS": 4, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "SH": 16, "UI": 64}
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


@dataclass(slots=True)
class Row:
    """The entries of one row that are keys, with their column's name, and whether missing ones may widen it."""

    entries: list[tuple[str, object]]
    mapped: dict[str, str] = field(default_factory=dict)  # column -> keyword, where known already
    may_be_short: bool = True


@dataclass(frozen=True, slots=True)
class Numeric:
    """A value of a numeric column: whatever it was, its leading zeros are gone."""

    value: object


def keyword_of(key: object) -> str:
    """Return the DICOM keyword of a key given as keyword or as tag.

    Parameters
    ----------
    key
        `StudyInstanceUID`, `"0020,000D"`, `"(0020,000D)"`, `"0020000D"` or `0x0020000D`.

    Raises
    ------
    KeyError
        If DICOM's dictionary has none; its argument suggests the nearest one.

    Examples
    --------
    >>> keyword_of("(0020,000D)"), keyword_of(0x00080050)
    ('StudyInstanceUID', 'AccessionNumber')
    """
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        tag = int(key)
        if dictionary_has_tag(tag) and keyword_for_tag(tag):
            return keyword_for_tag(tag)
        raise KeyError("is no tag of DICOM's dictionary; name it by its keyword")
    text = str(key).strip()
    if text and text in keyword_dict:  # the dictionary has elements without a keyword
        return text
    match = _TAG.fullmatch(text)
    if match:
        return keyword_of(int(match[1] + match[2], 16))
    raise KeyError(f"is no DICOM keyword; {_suggestion(text)}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=1024)  # a search of 5,000 keywords, the same for every row
def _suggestion(name: str) -> str:
    near = nearest(name, keyword_dict)
    return (
        f"did you mean {near!r}?"
        if near
        else "write it as in the Standard's dictionary (PS3.6), such as 'AccessionNumber'"
    )


def nearest(name: str, keywords: Iterable[str], cutoff: float = 0.8) -> str | None:
    """Return the keyword that a name was probably meant to be."""
    plain = _plain(name)
    if plain in _ALIASES:
        return _ALIASES[plain]
    by_plain = {_plain(keyword): keyword for keyword in keywords}
    found = difflib.get_close_matches(plain, by_plain, n=1, cutoff=cutoff)
    return by_plain[found[0]] if found else None


class RowCheck:
    """Checks one row and collects what is wrong with it."""

    def __init__(self, position: int, label: object) -> None:
        self.position, self.label = position, label
        self.problems: list[Problem] = []

    def problem(self, column: str, value: object, why: str, mend: str) -> None:
        """Note what is wrong; values of group 0010 are patient data and are not shown."""
        tag = tag_for_keyword(column) if column in keyword_dict else None
        private = tag is not None and tag >> 16 == 0x0010
        self.problems.append(Problem(self.label, column, value, why, mend, self.position, private))

    def request(self, row: Row, level: Level | None, model: Model | None) -> Request | None:
        """Return the checked request; None if there are problems."""
        keys: dict[str, str] = {}
        missing: list[str] = []
        for name, value in row.entries:
            keyword = row.mapped.get(name) or self.keyword(name)
            if keyword is None:
                continue
            if keyword in keys:
                self.problem(keyword, value, "is given twice in one request", "keep one")
            elif row.mapped and is_missing(value):
                missing.append(keyword)
            else:
                text = self._text(keyword, value, of_table=bool(row.mapped) and not row.may_be_short)
                if text is not None:
                    keys[keyword] = text
        if self.problems:
            return None
        if not keys:
            column = missing[0] if missing else ""
            self.problem(column, None, "is blank" if missing else "names no key", "fill it in, or drop the row")
            return None
        wider = None if row.may_be_short else _widened_by(missing, keys, level)
        if wider is not None:
            keyword, above = wider
            mend = f"fill it in, drop the row, or leave the column out to move the whole {str(above).lower()}"
            self.problem(keyword, None, f"is missing, which would ask for the whole {str(above).lower()}", mend)
            return None
        return self._request(keys, level, model)

    def keyword(self, name: object) -> str | None:
        """Return the keyword of a key, or note why it is none to ask by."""
        shown = name if isinstance(name, str | int) else repr(name)
        try:
            keyword = keyword_of(name)
        except KeyError as error:
            why, _, mend = str(error.args[0]).partition("; ")
            self.problem("key", shown, why, mend)
            return None
        if keyword in _OURS or tag_for_keyword(keyword) < 0x00080000:  # type: ignore[operator]
            mend = advise(_OURS.get(keyword, "") or "leave it out; in a list of dicts each dict is a request")
            self.problem("key", shown, "is no attribute to ask by", mend)
            return None
        return keyword

    def _text(self, keyword: str, value: object, *, of_table: bool) -> str | None:
        """Return the value as it goes onto the wire, or note what is wrong with it."""
        if dictionary_VR(keyword) == "SQ":
            self.problem(
                keyword,
                "a sequence",
                "cannot be a key of a request",
                advise("leave it out and filter what find() returns"),
            )
            return None
        if isinstance(value, Numeric):
            mend = advise("read it as text, with read_requests(path) or read_csv(path, dtype=str)")
            self.problem(keyword, value.value, "comes from a numeric column, where leading zeros are lost", mend)
            return None
        if isinstance(value, list | tuple | set | frozenset):
            if level_of(keyword) in (None, Level.PATIENT) or keyword not in UNIQUE_KEYS:
                self.problem(keyword, value, "is a list, which only UIDs may be", "give one request for each value")
                return None
            texts = [self._text(keyword, item, of_table=of_table) for item in value]
            if not texts:
                self.problem(keyword, value, "is an empty list", "give at least one UID")
                return None
            return None if None in texts else "\\".join(text for text in texts if text is not None)
        if not isinstance(value, str):
            if is_missing(value):
                self.problem(keyword, value, "is missing", "give a value, or leave the key out")
            else:
                self.problem(
                    keyword,
                    value,
                    f"is not text but {type(value).__name__}",
                    "give the text that the archive knows, with its leading zeros",
                )
            return None
        return self._checked(keyword, str(value), of_table)

    @staticmethod
    def _damage(keyword: str, text: str, of_table: bool) -> tuple[str, str] | None:
        return rewritten(text) or (left_over(keyword, text) if of_table else None)

    def _checked(self, keyword: str, text: str, of_table: bool) -> str | None:
        vr = dictionary_VR(keyword)
        before = len(self.problems)
        if not text.strip():
            self.problem(keyword, text, "is blank", "give a value, or leave the key out")
        elif text != text.strip():
            self.problem(keyword, text, "begins or ends with a space", "take the space away")
        elif any(ord(character) < 32 or ord(character) == 127 for character in text):
            self.problem(keyword, text, "has a control character or a line break", "take it away")
        elif keyword in ("PatientID", "AccessionNumber") and not text.isprintable():
            self.problem(keyword, text, "has an invisible character", "take it away, or type the value anew")
        elif keyword in ("PatientID", "AccessionNumber") and (found := self._damage(keyword, text, of_table)):
            self.problem(keyword, text, *found)
        elif keyword in UNIQUE_KEYS and ("*" in text or "?" in text):
            self.problem(
                keyword,
                text,
                "has a wildcard, which a C-MOVE must not have",
                advise("use find() and move what it returns"),
            )
        elif vr == "DA" and (found := no_date(text)):
            self.problem(keyword, text, *found)
        elif vr == "UI":
            self._check_uids(keyword, text)
        elif "\\" in text:
            self.problem(
                keyword, text, "has a backslash, which separates values in DICOM", "give one request for each value"
            )
        elif len(text) > _MAX_LENGTH.get(vr, 1 << 16):
            if keyword == "AccessionNumber":
                warnings.warn(
                    f"row {self.label!r}: AccessionNumber has {len(text)} characters, DICOM allows 16; sent as it is",
                    RequestWarning,
                    stacklevel=2,
                )
            else:
                longest = _MAX_LENGTH[vr]
                self.problem(keyword, text, f"has {len(text)} characters, DICOM allows {longest}", "check the column")
        return text if len(self.problems) == before else None

    def _check_uids(self, keyword: str, text: str) -> None:
        for uid in text.split("\\"):
            if not is_uid(uid):
                mend = "a UID has digits and dots, no leading zeros, at most 64 characters"
                self.problem(keyword, uid, "is no valid UID", mend)

    def _request(self, keys: dict[str, str], level: Level | None, model: Model | None) -> Request | None:
        if level is None:
            deepest = [item for item in Level if item is not Level.PATIENT and item.unique_key in keys]
            level = deepest[-1] if deepest else Level.STUDY
        if model is None:
            model = Model.PATIENT if "PatientID" in keys or level is Level.PATIENT else Model.STUDY
            others = [key for key in keys if level_of(key) is Level.PATIENT and key != "PatientID"]
            if others and level is not Level.PATIENT:
                model = Model.STUDY
        self._check_levels(keys, level, model)
        return None if self.problems else Request(self.position, self.label, keys, level, model)

    def _check_levels(self, keys: Mapping[str, str], level: Level, model: Model) -> None:
        order = levels(model)
        if level not in order:
            self.problem(
                "level", str(level), "does not exist in Study Root", advise("use the Patient Root model or level STUDY")
            )
            return
        self._check_depth(keys, level)
        for above in order[: order.index(level)]:
            here = [
                key
                for key in keys
                if level_of(key) is above or (model is Model.STUDY and level_of(key) is Level.PATIENT)
            ]
            if above.unique_key not in keys and not here and not (above is Level.STUDY and "PatientID" in keys):
                why = f"is missing; a request at level {level} in {model.title} needs it"
                self.problem(above.unique_key, None, why, "add it")
            elif "\\" in keys.get(above.unique_key, ""):
                self.problem(
                    above.unique_key,
                    keys[above.unique_key],
                    f"is a list above level {level}",
                    "give one request for each",
                )

    def _check_depth(self, keys: Mapping[str, str], level: Level) -> None:
        """Note the keys with a value that belong below the level that is asked at."""
        for keyword, value in keys.items():
            own = level_of(keyword)
            if value and own is not None and list(Level).index(own) > list(Level).index(level):
                if keyword in UNIQUE_KEYS:
                    mend = f"leave it out, or ask at level {own}"
                else:
                    mend = f"ask at level {own}" + (", or use ModalitiesInStudy" if keyword == "Modality" else "")
                self.problem(keyword, value, f"belongs to level {own}, below level {level}", mend)

    def query(self, keys: Mapping[Any, Any]) -> dict[str, str]:
        """Return the keys of a find as text; wildcards, ranges and empty values are welcome there."""
        texts: dict[str, str] = {}
        for name, value in keys.items():
            keyword = self.keyword(name)
            if keyword is None:
                continue
            if keyword in texts:
                self.problem(keyword, value, "is given twice", "keep one")
            elif value is None:
                texts[keyword] = ""
            elif is_missing(value):  # of a table, where nobody has asked for every value
                self.problem(keyword, None, "is missing", "give a value, or None to ask for it without matching it")
            elif isinstance(value, str):
                texts[keyword] = text = value.strip()
                if dictionary_VR(keyword) == "DA" and (found := no_date(text)):
                    self.problem(keyword, value, *found)
                elif dictionary_VR(keyword) == "UI" and text and not re.search(r"[*?]", text):
                    self._check_uids(keyword, text)
            elif isinstance(value, list | tuple) and dictionary_VR(keyword) == "UI":
                texts[keyword] = "\\".join(map(str, value))
            else:
                kind = type(value).__name__
                self.problem(keyword, value, f"is not text but {kind}", "give the text that the archive knows")
        return texts

    def leveled_query(self, keys: Mapping[str, str], level: Level | None, model: Model | None) -> tuple[Level, Model]:
        """Return the level and the model of a find, and note what is missing above that level."""
        if level is None:
            deepest = [item for item in Level if item is not Level.PATIENT and item.unique_key in keys]
            level = deepest[-1] if deepest else Level.STUDY
        if model is None:
            model = Model.PATIENT if level is Level.PATIENT else Model.STUDY
        order = levels(model)
        if level not in order:
            self.problem("level", str(level), "does not exist in Study Root", advise("use model='patient'"))
            return level, model
        self._check_depth(keys, level)
        for above in order[: order.index(level)]:
            value = keys.get(above.unique_key, "")
            if not value or re.search(r"[*?\\\\]", value):
                mend = f"find at level {above} first and ask for each"
                self.problem(above.unique_key, None, f"needs one value for a find at level {level}", mend)
        return level, model


def _widened_by(missing: Iterable[str], keys: Iterable[str], level: Level | None) -> tuple[str, Level] | None:
    """Return the missing key without which a row asks for more than it should, and the level of what that would be."""
    order = list(Level)
    deepest = max((order.index(level_of(keyword) or Level.IMAGE) for keyword in keys), default=0)
    for keyword in missing:
        own = level_of(keyword)
        asked = level is None or (own is not None and order.index(own) <= order.index(level))
        if own is not None and asked and order.index(own) > deepest:
            return keyword, order[deepest]
    return None
