"""Answers of C-FIND, and the plan of a batch, as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue

from dicomover.identifier import Level
from dicomover.requests import Batch
from dicomover.resolve import Resolution

__all__ = ["PLAN_COLUMNS", "Planned", "answers_table", "plan_table", "returned_keys"]

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
_INTEGERS, _DECIMALS = ("IS", "US", "SS", "UL", "SL"), ("DS", "FL", "FD")


def returned_keys(level: Level, keys: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """Return the keywords of a find's columns: the usual ones of the level, those asked by, those asked for."""
    return list(dict.fromkeys([*_RETURNED[level].split(), *keys, *wanted]))


def answers_table(answers: Iterable[Dataset], columns: Sequence[str]) -> pd.DataFrame:
    r"""Make a table of C-FIND answers.

    Parameters
    ----------
    answers
        n identifiers.
    columns
        Keywords.

    Returns
    -------
    DataFrame of n rows
        One column for each keyword, text (dtype string) or numbers (Int64, Float64) by its VR; several values are
        joined by a backslash; sequences are left out; `<NA>` where the archive did not say.

    Examples
    --------
    >>> answer = Dataset()
    >>> answer.ModalitiesInStudy = ["CT", "SR"]
    >>> answers_table([answer], ["ModalitiesInStudy", "NumberOfStudyRelatedSeries"])
      ModalitiesInStudy  NumberOfStudyRelatedSeries
    0            CT\SR                        <NA>
    """
    shown = [keyword for keyword in columns if dictionary_VR(keyword) != "SQ"]
    rows = [[_value(answer, keyword) for keyword in shown] for answer in answers]
    table = pd.DataFrame(rows, columns=pd.Index(shown), index=pd.RangeIndex(len(rows)), dtype=object)
    for keyword in shown:
        vr = dictionary_VR(keyword)
        if vr in _INTEGERS:
            numbers = pd.to_numeric(table[keyword], errors="coerce").astype("Float64")
            table[keyword] = numbers.where(numbers % 1 == 0).astype("Int64")
        elif vr in _DECIMALS:
            table[keyword] = pd.to_numeric(table[keyword], errors="coerce").astype("Float64")
        else:
            table[keyword] = table[keyword].astype("string")
    return table


def _value(answer: Dataset, keyword: str) -> str | None:
    value = answer.get(keyword)
    if value is None or value == "":
        return None
    if isinstance(value, MultiValue | list):
        return "\\".join(str(item) for item in value) or None
    return str(value)


PLAN_COLUMNS = ("decision", "level", "matches", "series", "expected", "modalities", "error")


@dataclass(slots=True)
class Planned:
    """What one row of a plan says.

    `decision` is `move`, `several` (it moves them all), `not-found`, `too-many`, `refused` or `invalid`.
    """

    decision: str
    level: Level | None = None
    resolution: Resolution | None = None
    matches: int | None = None
    error: str | None = None


def plan_table(batch: Batch, planned: Sequence[Planned]) -> pd.DataFrame:
    """Put the plan beside what was given; the UIDs that were found are filled in, so that the plan can be moved."""
    rows = []
    for item in planned:
        targets = item.resolution.targets if item.resolution else ()
        series = [target.series for target in targets]
        known = item.matches if item.resolution is None else item.resolution.matches
        rows.append(
            {
                "decision": item.decision,
                "level": None if item.level is None else str(item.level),
                "matches": known,
                "series": None if None in series or not series else sum(count or 0 for count in series),
                "expected": item.resolution.expected if item.resolution else None,
                "modalities": "\\".join(sorted({name for target in targets for name in target.modalities})) or None,
                "error": item.error,
            }
        )
    dtypes = {name: "Int64" if name in ("matches", "series", "expected") else "string" for name in PLAN_COLUMNS}
    ours = {
        name: pd.Series([row[name] for row in rows], index=batch.given.index, dtype=dtype)
        for name, dtype in dtypes.items()
    }
    kept = batch.given.loc[:, [name not in PLAN_COLUMNS for name in batch.given.columns]].copy()
    table = pd.DataFrame(ours, index=batch.given.index)
    return pd.concat([_filled(kept, planned), table], axis="columns", sort=False)


def _filled(given: pd.DataFrame, planned: Sequence[Planned]) -> pd.DataFrame:
    """Fill in the UIDs of what was found."""
    for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
        key = level.unique_key
        found = []
        for item in planned:
            targets = item.resolution.targets if item.resolution else ()
            uids = [uid for target in targets for uid in sorted(target.identifier.uids(level))]
            found.append("\\".join(dict.fromkeys(uids)) or None)
        if any(found):
            column = pd.Series(found, index=given.index, dtype="string")
            given[key] = column.where(column.notna(), given[key]) if key in given.columns else column
    return given
