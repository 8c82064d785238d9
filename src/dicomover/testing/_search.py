"""C-FIND: which keys match what (PS3.4 section C.2.2.2), and what an archive answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from dicomover.testing._elements import vr_of
from dicomover.testing._studies import Study

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
UNIQUE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle"})
_NO_WILDCARDS = frozenset(
    {"AS", "AT", "DA", "DS", "DT", "FD", "FL", "IS", "OB", "OW", "SL", "SS", "TM", "UI", "UL", "US", "UN"}
)
_RANGES = frozenset({"DA", "TM", "DT"})


class Refused(Exception):
    """An identifier that a strict archive refuses; `status`, `why` and the element go into the response."""

    def __init__(self, why: str, offending: int = 0, status: int = 0xA900) -> None:
        super().__init__(why)
        self.why, self.offending, self.status = why, offending, status


def check_identifier(keys: Mapping[str, str], model: str, *, strict: bool) -> str:
    """Return the level of an identifier, after holding its unique keys against the Standard.

    Every level above the Query/Retrieve Level needs its unique key with one value (PS3.4 sections C.4.1.2.2.1 and
    C.4.2.2.1); an archive that is not strict goes without. Raises Refused if the level is none of the model's, or such
    a key is missing, a list or a wildcard.
    """
    level = keys.get("QueryRetrieveLevel", "")
    allowed = LEVELS if model == "PATIENT" else LEVELS[1:]
    if level not in allowed:
        raise Refused(f"no level {level[:10] or 'given'!r} here", 0x00080052)
    if strict:
        for above in allowed[: allowed.index(level)]:
            keyword = UNIQUE[LEVELS.index(above)]
            value = keys.get(keyword, "")
            if not value or any(mark in value for mark in "\\*?"):
                tag = (0x00100020, 0x0020000D, 0x0020000E)[LEVELS.index(above)]
                raise Refused(f"one {keyword} needed at {level}", tag)
    return level


def names_list(keys: Mapping[str, str]) -> bool:
    """Tell whether a unique key is a list of UIDs."""
    return any("\\" in keys.get(unique, "") for unique in UNIQUE)


@lru_cache(maxsize=4096)
def _pattern(text: str, folded: bool) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if folded else 0))


def matches(keyword: str, wanted: str, value: str) -> bool:
    r"""Tell whether a stored value (several ones joined by a backslash) matches a key.

    Examples
    --------
    >>> matches("PatientName", "art*", "Artificial^Anna"), matches("StudyDate", "20240101-", "20231231")
    (True, False)
    >>> matches("StudyInstanceUID", "1.2\\1.3", "1.3"), matches("AccessionNumber", "", "")
    (True, True)
    """
    if not wanted or wanted == "*":
        return True
    vr = vr_of(keyword)
    return any(_matches_one(vr, choice, item) for choice in wanted.split("\\") for item in value.split("\\"))


def _matches_one(vr: str, wanted: str, value: str) -> bool:
    if vr in _RANGES:
        if "-" in wanted and value:
            low, _, high = wanted.partition("-")
            # An upper bound such as 2024 or 10 covers all that begins with it.
            return (not low or value >= low) and (not high or value[: len(high)] <= high)
        return value == wanted
    if vr == "PN":
        return _pattern(wanted.rstrip("^"), True).fullmatch(value.rstrip("^")) is not None
    if vr in ("IS", "DS") and value:
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    if vr in _NO_WILDCARDS or not ("*" in wanted or "?" in wanted):
        return value == wanted
    return _pattern(wanted, False).fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Found:
    """One match of a query: the study it lies in and what can be said about it, by keyword."""

    study: Study
    values: Mapping[str, str]


def _keys(keys: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(keyword, value) for keyword, value in keys.items() if value and keyword not in _NOT_KEYS]


def _agree(wanted: list[tuple[str, str]], values: Mapping[str, str]) -> bool:
    """Tell whether all keys match; a key that is not supported here plays no part (PS3.4 section C.2.2.1.3)."""
    return all(matches(keyword, value, values[keyword]) for keyword, value in wanted if keyword in values)


def search(
    studies: list[Study], patients: Mapping[str, list[Study]], level: str, keys: Mapping[str, str]
) -> Iterator[Found]:
    """Yield the matches among some studies at a level; `patients` has all of each, for what is counted by patient."""
    wanted = _keys(keys)
    seen: set[str] = set()
    for study in studies:
        values = dict(study.attributes())
        if level == "PATIENT":
            if study.patient_id in seen:
                continue
            values = _patient(values, patients.get(study.patient_id, [study]))
            if _agree(wanted, values):
                seen.add(study.patient_id)
                yield Found(study, values)
        elif _agree(wanted, values):
            if level == "STUDY":
                if any(keyword.startswith("NumberOfPatient") for keyword in keys):
                    values |= _counts(patients.get(study.patient_id, [study]))
                yield Found(study, values)
            else:
                yield from _below(study, values, level, wanted)


def _below(study: Study, values: dict[str, str], level: str, wanted: list[tuple[str, str]]) -> Iterator[Found]:
    for series in study.series:
        inside = {**values, **series.attributes()}
        if not _agree(wanted, inside):
            continue
        if level == "SERIES":
            yield Found(study, inside)
            continue
        for instance in series.instances:
            found = {**inside, **instance.attributes()}
            if _agree(wanted, found):
                yield Found(study, found)


_OF_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "OtherPatientIDs")


def _patient(values: Mapping[str, str], studies: list[Study]) -> dict[str, str]:
    return {keyword: values.get(keyword, "") for keyword in _OF_PATIENT} | _counts(studies)


def _counts(studies: list[Study]) -> dict[str, str]:
    return {
        "NumberOfPatientRelatedStudies": str(len(studies)),
        "NumberOfPatientRelatedSeries": str(sum(study.number_of_series for study in studies)),
        "NumberOfPatientRelatedInstances": str(sum(study.number_of_instances for study in studies)),
    }
