"""The hygiene of one request: every problem with its names, its values and its level, and the mend. No network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dicomover.attributes.attribute import attribute_of
from dicomover.errors import Problem, RequestWarning
from dicomover.identifier import Level, Model, Request
from dicomover.requests.levels import choose_level, choose_model, find_lacks, find_query_lacks, find_widening
from dicomover.requests.names import NoKey, key_of, keyword_of
from dicomover.requests.values import find_faults, find_query_faults, write_value
from dicomover.text.cells import is_missing

__all__ = ["Entries", "RowCheck"]


@dataclass(slots=True)
class Entries:
    """The entries of one row that are keys, with their column's name, and whether missing ones may widen it."""

    entries: list[tuple[str, object]]
    mapped: dict[str, str] = field(default_factory=dict)  # column -> keyword, where known already
    may_be_short: bool = True


def _may_name_patient(column: str) -> bool:
    try:
        path = attribute_of(column).path
    except NoKey:  # the name of a column
        return False
    return any(tag >> 16 == 0x0010 or tag >> 16 & 1 for tag in path)


class RowCheck:
    """Checks one row and collects what is wrong with it."""

    def __init__(self, position: int, label: object) -> None:
        self.position, self.label = position, label
        self.problems: list[Problem] = []

    def note(self, column: str, value: object, why: str, mend: str) -> None:
        """Note what is wrong; values of group 0010 are patient data and are not shown, nor are private ones."""
        private = _may_name_patient(column)
        self.problems.append(Problem(self.label, column, value, why, mend, self.position, private))

    def read_key(self, name: object, *, of_dictionary: bool = False) -> str | None:
        """Return the name of a key, or note why it is none to ask by, or none that DICOM's dictionary has."""
        try:
            return key_of(keyword_of(name) if of_dictionary else name)
        except NoKey as error:
            self.note("key", name if isinstance(name, str | int) else repr(name), error.why, error.mend)
            return None

    def check_request(self, row: Entries, level: Level | None, model: Model | None) -> Request | None:
        """Return the checked request; None if there are problems."""
        keys: dict[str, str] = {}
        missing: list[str] = []
        for name, value in row.entries:
            keyword = row.mapped.get(name) or self.read_key(name)
            if keyword is None:
                continue
            if keyword in keys:
                self.note(keyword, value, "is given twice in one request", "keep one")
            elif row.mapped and is_missing(value):
                missing.append(keyword)
            else:
                faults = list(find_faults(keyword, value, of_table=bool(row.mapped) and not row.may_be_short))
                for fault in faults:
                    self.note(keyword, *fault)
                if not faults:
                    keys[keyword] = write_value(value)
        if self.problems:
            return None
        if not keys:
            column = missing[0] if missing else ""
            self.note(column, None, "is blank" if missing else "names no key", "fill it in, or drop the row")
            return None
        wider = None if row.may_be_short else find_widening(missing, keys, level)
        if wider is not None:
            keyword, above = wider
            whole = f"the whole {above.singular}"
            mend = f"fill it in, drop the row, or leave the column out to move {whole}"
            self.note(keyword, None, f"is missing, which would ask for {whole}", mend)
            return None
        level = level or choose_level(keys)
        model = model or choose_model(keys, level)
        for lack in find_lacks(keys, level, model):
            self.note(*lack)
        if len(keys.get("AccessionNumber", "")) > 16:
            warnings.warn(
                f"row {self.label!r}: AccessionNumber has {len(keys['AccessionNumber'])} characters, DICOM allows 16; "
                "sent as it is",
                RequestWarning,
                stacklevel=2,
            )
        return None if self.problems else Request(self.position, self.label, keys, level, model)

    def check_query(
        self, keys: Mapping[Any, Any], level: Level | None, model: Model | None
    ) -> tuple[dict[str, str], Level, Model]:
        """Return the keys of a find as text, its level and its model; wildcards, ranges and no value are welcome."""
        texts: dict[str, str] = {}
        for name, value in keys.items():
            keyword = self.read_key(name)
            if keyword is None:
                continue
            if keyword in texts:
                self.note(keyword, value, "is given twice", "keep one")
                continue
            faults = [] if value is None else list(find_query_faults(keyword, value))
            for fault in faults:
                self.note(keyword, *fault)
            if not faults or isinstance(value, str):
                texts[keyword] = "" if value is None else write_value(value).strip()
        level = level or choose_level(texts)
        model = model or (Model.PATIENT if level is Level.PATIENT else Model.STUDY)
        for lack in find_query_lacks(texts, level, model):
            self.note(*lack)
        return texts, level, model
