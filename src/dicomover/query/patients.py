"""Whose a study is, as the archive names it: what its images are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydicom import Dataset

from dicomover.attributes.reading import read_texts
from dicomover.errors import QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.instances import Find, read_unique_key
from dicomover.query.matching import is_of_patient, select

__all__ = ["StudyPatients", "names_another", "patient_of", "patients_of", "select_of_patient"]

_MOST_STUDIES = 10_000  # that are remembered


def patient_of(answer: Dataset) -> dict[str, str]:
    """Return the one PatientID of an answer as a key; none where it has none, or several."""
    patients = read_texts(answer, "PatientID") or ()
    return {"PatientID": patients[0]} if len(patients) == 1 and patients[0] else {}


def patients_of(answers: Iterable[Dataset], level: Level) -> dict[str, tuple[str, ...]]:
    """Return the PatientIDs of each thing at a level: several, if the archive has two studies under one UID."""
    found: dict[str, set[str]] = {}
    for answer in answers:
        found.setdefault(read_unique_key(answer, level), set()).update(read_texts(answer, "PatientID") or ())
    return {uid: tuple(sorted(filter(None, patients))) for uid, patients in found.items()}


def select_of_patient(
    answers: Sequence[Dataset], keys: Mapping[str, str], archive: object, patient: str
) -> tuple[list[Dataset], int]:
    """Return the answers that match, as `select` does, without those that name another patient; and how many are not.

    An answer at a level below need not repeat whose it is; one that does is believed.
    """
    found, dropped = select(answers, keys, archive)
    his = [answer for answer in found if not names_another(answer, patient)]
    return his, dropped + len(found) - len(his)


def names_another(answer: Dataset, patient: str) -> bool:
    """Tell whether an answer names a patient who is not this one; nobody is anybody."""
    return bool(patient) and not is_of_patient(patient_of(answer).get("PatientID", patient), [patient])


class StudyPatients:
    """Asks whose a study is, once for each, for a series: PatientID is no key of its level. From any thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}

    def ask(self, study: str, find: Find) -> tuple[str, ...]:
        """Return its PatientIDs, none where the archive does not say; raises NodeError, but for a refusal."""
        known = self._known.get(study)
        if known is None:
            try:
                answers = find(Level.STUDY, Model.STUDY, {Level.STUDY.unique_key: study}, ["PatientID"], None)
            except QueryRefused:
                answers = []
            if len(self._known) >= _MOST_STUDIES:
                self._known.clear()
            known = self._known[study] = patients_of(answers, Level.STUDY).get(study, ())
        return known
