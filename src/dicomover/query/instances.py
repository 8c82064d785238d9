"""Which instances stand behind an identifier, by C-FIND."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydicom import Dataset

from dicomover.attributes.reading import read_texts, read_uid
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.matching import is_of_patient

__all__ = ["Find", "instances_of", "read_unique_key", "says_all", "studies_of"]


class Find(Protocol):
    """Asks the archive: returns at most `limit` answers to a C-FIND; raises NodeError if it refuses."""

    def __call__(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Ask."""


def instances_of(identifier: Identifier, find: Find) -> dict[str, list[str]]:
    """Return the SOP Instance UIDs that an identifier stands for, by Series Instance UID; named ones are not asked for.

    Each comes once, and what some archives send along from other studies is left out. Raises NodeError if the archive
    refuses.
    """
    if identifier.level is Level.IMAGE:
        return {identifier.series: identifier.instance.split("\\")}
    if identifier.level is Level.PATIENT:
        parts = (instances_of(part, find) for part in studies_of(identifier, find))
        return {series: uids for part in parts for series, uids in part.items()}
    keys = identifier.keys()
    if identifier.level is Level.SERIES:
        series = [keys["SeriesInstanceUID"]]
    else:
        series = _uids_below(Level.SERIES, identifier, keys, find)
    found: dict[str, list[str]] = {}
    placed: set[str] = set()
    for uid in series:
        uids = _uids_below(Level.IMAGE, identifier, {**keys, "SeriesInstanceUID": uid}, find)
        found[uid] = [instance for instance in uids if instance not in placed]
        placed.update(uids)
    return found


def studies_of(identifier: Identifier, find: Find, *, certain: bool = False) -> list[Identifier]:
    """Return the studies behind a patient; raises NodeError if the archive refuses.

    An answer that names another patient is left out, since some archives ignore a key; if it has to be `certain`, so is
    one that names none.
    """
    keys = identifier.keys()

    def find_his(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        answers = ((read_texts(answer, "PatientID"), answer) for answer in find(level, model, keys, returned, limit))
        return [
            answer
            for patients, answer in answers
            if (any(is_of_patient(name, [identifier.patient]) for name in patients) if patients else not certain)
        ]

    studies = _uids_below(Level.STUDY, identifier, keys, find_his)
    return [Identifier.of(Level.STUDY, identifier.model, {**keys, "StudyInstanceUID": study}) for study in studies]


def _uids_below(level: Level, identifier: Identifier, keys: Mapping[str, str], find: Find) -> list[str]:
    """Return the unique keys of what lies at a level below these keys, each once."""
    answers = find(level, identifier.model, keys, (), None)
    above = {key: value for key, value in keys.items() if key.endswith("UID")}
    found: dict[str, None] = {}
    for answer in answers:
        uid = read_uid(answer, level.unique_key)
        if uid and all(wanted in (read_texts(answer, key) or [wanted]) for key, wanted in above.items()):
            found[uid] = None
    return list(found)


def read_unique_key(answer: Dataset, level: Level) -> str:
    r"""Return what an answer names at its level, "" if that can be no unique key: several values, or a pattern."""
    if level is not Level.PATIENT:
        return read_uid(answer, level.unique_key)
    values = read_texts(answer, level.unique_key) or ()
    return values[0] if len(values) == 1 and not set("*?\\") & set(values[0]) else ""


def says_all(found: Mapping[str, Sequence[str]], expected: int | None) -> bool:
    """Tell whether a list of instances can be all: some archives cut it short, or answer nothing where they cannot."""
    return bool(found) and all(found.values()) and sum(map(len, found.values())) >= (expected or 0)
