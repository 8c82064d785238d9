"""The hygiene of one request: every problem with its names, its values and its level, and the mend. No network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dicomover.errors import Problem, RequestWarning, list_problems, warn_caller
from dicomover.identifier import UNIQUE_KEYS, Level, Model, Request
from dicomover.requests.levels import choose_level, choose_model, find_lacks, find_query_lacks, find_widening
from dicomover.requests.names import NoKey, is_public, key_of, keyword_of
from dicomover.requests.values import find_faults, find_oddity, find_query_faults, write_value
from dicomover.text.cells import is_missing
from dicomover.text.face import in_python

__all__ = ["Entries", "RowCheck", "warn_of"]

_MOST_TOLD = 10
_RIDES = "; in pandas.DataFrame(dicts), a table, it would ride along"


@dataclass(slots=True)
class Entries:
    """The entries of one row that are keys, by the name of their column."""

    entries: list[tuple[str, object]]
    mapped: dict[str, str] = field(default_factory=dict)  # the keyword of each column of a table; empty of a dict
    # whether it was asked for before, or written as a dict: then missing keys may widen it, and what looks like a
    # program's leftover or a pattern is meant
    is_settled: bool = True
    patterns: frozenset[str] = frozenset()  # the keywords in whose cells * and ? are meant

    def names_study(self) -> bool:
        """Tell whether a UID says which study is meant: then no other value can ask for one more."""
        return any(
            keyword in UNIQUE_KEYS[1:] and isinstance(value, str) and value.strip()
            for name, value in self.entries
            if (keyword := self.mapped.get(name))
        )


class RowCheck:
    """Checks one row and collects what is wrong with it."""

    def __init__(self, position: int, label: object, *, shows_label: bool = True) -> None:
        self.position, self.label, self._shows_label = position, label, shows_label
        self.problems: list[Problem] = []
        self.remarks: list[Problem] = []
        """What looks odd and is sent all the same."""

    def note(self, column: str, value: object, why: str, mend: str, *, private: bool = True) -> None:
        """Note what is wrong; a value of a key may be a patient's."""
        self.problems.append(self._problem(column, value, why, mend, private=private))

    def _problem(self, column: str, value: object, why: str, mend: str, *, private: bool = True) -> Problem:
        shows = self._shows_label
        return Problem(self.label, column, value, why, mend, self.position, private, shows_label=shows)

    def read_key(
        self, name: object, *, of_dictionary: bool = False, is_data: bool = True, rides: str = ""
    ) -> str | None:
        """Return the name of a key, or note why it is none to ask by, or none that DICOM's dictionary has.

        `rides` is said beside the mend where no key was probably meant.
        """
        try:
            return key_of(keyword_of(name) if of_dictionary else name)
        except NoKey as error:
            mend = error.mend if error.near else error.mend + rides
            self.note("key", name, error.why, mend, private=is_data and not is_public(name))
            return None

    def check_request(self, row: Entries, level: Level | None, model: Model | None) -> Request | None:
        """Return the checked request; None if there are problems."""
        keys: dict[str, str] = {}
        missing: list[str] = []
        is_cell = bool(row.mapped) and not row.is_settled
        is_open = is_cell and not row.names_study()
        for name, value in row.entries:
            keyword = row.mapped.get(name) or self.read_key(name, rides=in_python(_RIDES) if not row.mapped else "")
            if keyword is None:
                continue
            if keyword in keys:
                self.note(keyword, value, "is given twice in one request", "keep one")
            elif row.mapped and is_missing(value):
                missing.append(keyword)
            else:
                wildcards = not is_open or keyword in row.patterns
                faults = list(find_faults(keyword, value, in_cell=is_cell, by_looks=is_open, wildcards=wildcards))
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
        wider = None if row.is_settled else find_widening(missing, keys, level)
        if wider is not None:
            keyword, above = wider
            whole = f"the whole {above.singular}"
            mend = f"fill it in, drop the row, or leave the column out to move {whole}"
            self.note(keyword, None, f"is missing, which would ask for {whole}", mend)
            return None
        level = level or choose_level(keys)
        model = model or choose_model(keys, level)
        for lack in find_lacks(keys, level, model):
            self.note(*lack, private=lack.keyword != "level")
        for keyword, text in keys.items():
            if odd := find_oddity(keyword, text):
                self.remarks.append(self._problem(keyword, None, odd, "sent as it is"))
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
            self.note(*lack, private=lack.keyword != "level")
        return texts, level, model


def warn_of(remarks: Sequence[Problem], *, show_keys: bool) -> None:
    """Say of all rows at once what is odd."""
    told = [sentence for sentence, _ in list_problems(remarks, show_keys=show_keys)]
    more = f"\n… and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    warn_caller("\n".join(told[:_MOST_TOLD]) + more, RequestWarning)
