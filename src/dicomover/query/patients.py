"""Whose a study is, as the archive names it: what its images are held against."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from pydicom import Dataset

from dicomover.attributes.reading import read_text, read_texts
from dicomover.errors import ContextRejected, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.instances import Find, read_unique_key
from dicomover.query.matching import agrees, is_of_patient, select
from dicomover.text.face import setting

__all__ = [
    "StudyPatients",
    "find_whose",
    "names_another",
    "patient_of",
    "patients_of",
    "refuse_namesakes",
    "select_of_patient",
]

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


def refuse_namesakes(patients: Iterable[str], keys: Mapping[str, str], find: Find, archive: object) -> None:
    """Raise QueryRefused if the archive has somebody else under a PatientID that other keys have led to.

    Below, and in a C-MOVE, nothing but the PatientID says who is meant: that of two issuers, say, brings both. Their
    studies tell, since an archive may have one patient of a number and the studies of two; where they do not say, what
    it says of the patients has to do.
    """
    others = {key: value for key, value in keys.items() if key != Level.PATIENT.unique_key}
    if others and any(_has_namesake(patient, others, find) for patient in patients):
        raise QueryRefused(
            f"{archive} has images of somebody else, too, under a PatientID that a C-MOVE would name",
            mend=f"ask for the studies: {setting('level', 'study')} and {setting('model', 'study')}",
        )


def _has_namesake(patient: str, others: Mapping[str, str], find: Find) -> bool:
    for level, model in ((Level.STUDY, Model.STUDY), (Level.PATIENT, Model.PATIENT)):
        try:
            known = find(level, model, {Level.PATIENT.unique_key: patient}, list(others), None)
        except (ContextRejected, QueryRefused) as error:
            if isinstance(error, QueryRefused) and error.retriable:
                raise
            continue
        his = [each for each in known if not names_another(each, patient)]
        said = [agrees(each, key, wanted) for each in his for key, wanted in others.items() if read_text(each, key)]
        if said:
            return not all(said)
    return False


def find_whose(find: Find) -> Find:
    """Return what finds in an archive that needs the PatientID, where that is not known too.

    Study Root can be asked without; an archive that has Patient Root alone and answers nothing then has not said that
    there is nothing, and a QueryRefused is raised.
    """

    def find_anyhow(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        if model is Model.STUDY or level is Level.PATIENT or keys.get("PatientID"):
            return find(level, model, keys, returned, limit)
        with contextlib.suppress(ContextRejected):
            return find(level, Model.STUDY, keys, returned, limit)
        if answers := find(level, model, keys, returned, limit):
            return answers
        raise QueryRefused("the archive answers nothing without the PatientID")

    return find_anyhow


class StudyPatients:
    """Asks whose a study is, once for each: PatientID is no key of the levels below. From any thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    def ask(self, study: str, find: Find, patient: str = "") -> tuple[str, ...]:
        """Return its PatientIDs, none where the archive does not say.

        `patient` is whose it is thought to be: without that, who offers Patient Root alone cannot be asked. Raises
        NodeError if it cannot be told now. That it never can be is no error, and remembered.
        """
        known = self._known.get((study, patient))
        if known is None:
            try:
                answers = self._answers(study, find, patient)
            except QueryRefused as error:
                if error.retriable:
                    raise
                answers = []
            if len(self._known) >= _MOST_STUDIES:
                self._known.clear()
            known = self._known[study, patient] = patients_of(answers, Level.STUDY).get(study, ())
        return known

    def _answers(self, study: str, find: Find, patient: str) -> list[Dataset]:
        """Ask without the patient, whose key an archive may take no notice of; with him where it has to be."""
        keys = {Level.STUDY.unique_key: study}
        try:
            return find(Level.STUDY, Model.STUDY, keys, ["PatientID"], None)
        except ContextRejected:
            if not patient:
                raise
            return find(Level.STUDY, Model.PATIENT, {"PatientID": patient, **keys}, ["PatientID"], None)
