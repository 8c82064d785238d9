"""Whose a study is: all that the archive names for it, and each study asked about once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom import Dataset

from dicomover import Mover, Node, Quirks
from dicomover.errors import ContextRejected, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.patients import StudyPatients, patient_of, patients_of, select_of_patient
from dicomover.query.resolve import Resolver
from dicomover.requests.parse import parse_requests
from dicomover.testing import DemoPacs, made_study


def answer(**values: object) -> Dataset:
    """Return one answer."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_two_patients_under_one_uid_are_both_named() -> None:
    """An archive that has two studies under one UID is heard on both; a blank patient is nobody."""
    answers = [
        answer(StudyInstanceUID="1", PatientID="B"),
        answer(StudyInstanceUID="2", PatientID=""),
        answer(StudyInstanceUID="1", PatientID="A"),
        answer(StudyInstanceUID="3"),
    ]
    assert patients_of(answers, Level.STUDY) == {"1": ("A", "B"), "2": (), "3": ()}
    assert [patient_of(item) for item in answers] == [{"PatientID": "B"}, {}, {"PatientID": "A"}, {}]


@pytest.mark.parametrize("refuses", [False, True])
def test_a_study_is_asked_about_once(refuses: bool) -> None:
    """However many series of it are moved; an archive that cannot say is not asked again."""
    asked: list[tuple[str, list[str]]] = []

    def find(level: Level, model: Model, keys: dict, returned: list, limit: int | None) -> list[Dataset]:
        asked.append((str(level), list(returned)))
        if level is not Level.STUDY:
            return [answer(**{level.unique_key: keys[level.unique_key], "NumberOfSeriesRelatedInstances": 3})]
        if refuses:
            raise QueryRefused("no")
        return [answer(StudyInstanceUID="1", PatientID="P")]

    resolver = Resolver("ARCHIVE")
    rows = [{"StudyInstanceUID": "1", "SeriesInstanceUID": f"1.{number}"} for number in range(3)]
    rows[2]["SOPInstanceUID"] = "1.2.1"
    targets = [resolver(request, find).targets for request in parse_requests(rows).requests]  # type: ignore[arg-type]
    assert [target.patients for (target,) in targets] == [() if refuses else ("P",)] * 3
    assert [level for level, _ in asked].count("STUDY") == 1
    assert StudyPatients().ask("1", find) == (() if refuses else ("P",))  # type: ignore[arg-type]


def test_a_busy_archive_is_asked_again() -> None:
    """That it is short of resources now says nothing for later; a row that names a patient waits for the answer."""
    refusals: list[QueryRefused] = []

    def find(level: Level, model: Model, keys: dict, returned: list, limit: int | None) -> list[Dataset]:
        if level is Level.SERIES:
            return [answer(SeriesInstanceUID="1.1", NumberOfSeriesRelatedInstances=3)]
        if refusals:
            raise refusals.pop()
        return [answer(StudyInstanceUID="1", PatientID="P")]

    for patient, found in (("P", 1), ("Q", 0)):
        keys = {"PatientID": patient, "StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}
        (request,) = parse_requests(keys).requests
        resolver = Resolver("ARCHIVE")
        refusals.append(QueryRefused("busy", 0xA700))
        with pytest.raises(QueryRefused):
            resolver(request, find)  # type: ignore[arg-type]
        assert len(resolver(request, find).targets) == found  # type: ignore[arg-type]
    (request,) = parse_requests({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}).requests
    refusals.append(QueryRefused("busy", 0xA700))
    targets = [resolver(request, find).targets[0] for _ in range(2)]  # type: ignore[arg-type]
    assert [target.patients for target in targets] == [(), ("P",)]


@pytest.mark.parametrize(("verify", "named"), [("counts", ("P",)), ("none", ())])
def test_what_is_not_verified_asks_for_nobody(verify: str, named: tuple[str, ...]) -> None:
    """A request by UID costs a C-FIND only where something is to be verified by it."""
    (request,) = parse_requests({"StudyInstanceUID": "1"}).requests
    found = answer(StudyInstanceUID="1", PatientID="P", NumberOfStudyRelatedInstances=3)
    (target,) = Resolver("ARCHIVE", verify)(request, lambda *_: [found]).targets  # type: ignore[arg-type]
    assert target.patients == named
    assert "P" not in repr(target).replace("PATIENT", "")


def test_one_uid_of_two_patients_is_two_moves() -> None:
    """Who asks for a study of one patient does not share the C-MOVE of who asks for all that has its UID."""
    of_both = [answer(StudyInstanceUID="1", PatientID=patient, NumberOfStudyRelatedInstances=3) for patient in "AB"]

    def find(level: Level, model: Model, keys: dict, returned: list, limit: int | None) -> list[Dataset]:
        return [item for item in of_both if keys.get("PatientID") in (None, item.PatientID)]

    rows = [{"StudyInstanceUID": "1"}, {"StudyInstanceUID": "1", "PatientID": "A"}, {"StudyInstanceUID": "1"}]
    requests = [parse_requests(row).requests[0] for row in rows]
    one, his, again = [Resolver("ARCHIVE")(request, find).targets[0] for request in requests]  # type: ignore[arg-type]
    assert (one.patients, his.patients) == (("A", "B"), ("A",))
    assert one.shared == again.shared != his.shared


def test_answers_that_name_another_patient_are_left_out() -> None:
    """Who ignores the PatientID that was asked for is not believed; an answer that names nobody is."""
    answers = [answer(StudyInstanceUID=uid, PatientID=name) for uid, name in (("1", "P"), ("2", "Q"), ("3", ""))]
    found, dropped = select_of_patient(answers, {}, "ARCHIVE", "P")
    assert ([item.StudyInstanceUID for item in found], dropped) == (["1", "3"], 1)
    assert select_of_patient(answers, {}, "ARCHIVE", "")[1] == 0


@pytest.mark.parametrize("models", [["PATIENT"], ["STUDY"], ["PATIENT", "STUDY"]])
def test_an_archive_that_needs_the_patient_id(models: list[str]) -> None:
    """It is asked in Patient Root where that is offered, with the PatientID, which is looked up first."""
    study = made_study("00123", instances=2)
    with DemoPacs([study], models=models) as pacs:
        mover = Mover(replace(pacs.node, quirks=Quirks(patient_id=True)), destination="WORKSTATION", progress="none")
        summary = mover.move({"StudyInstanceUID": study.study_instance_uid})
        assert summary.status[0] == "success"
        (move,) = [seen for seen in pacs.requests if seen.kind == "C-MOVE"]
        assert (move.keys.get("PatientID") == study.patient_id) is ("PATIENT" in models)
        assert len(mover.find({"PatientID": study.patient_id})) == 1
        assert mover.plan({"StudyInstanceUID": "1.2.3"}).decision[0] == "not-found"


def test_nothing_without_the_patient_id_is_no_answer() -> None:
    """Who offers Patient Root alone and answers nothing without a PatientID has not said that a study is not there."""

    def find(level: Level, model: Model, keys: dict, returned: list, limit: int | None) -> list[Dataset]:
        if model is Model.STUDY:
            raise ContextRejected("no Study Root")
        if level is Level.PATIENT:
            return [answer(PatientID="A"), answer(PatientID="B")]
        return [answer(StudyInstanceUID="1", PatientID="B")] if keys.get("PatientID") == "B" else []

    (request,) = parse_requests({"StudyInstanceUID": "1"}, model="patient").requests
    assert not Resolver("ARCHIVE", "none")(request, find).matches  # type: ignore[arg-type]
    node = Node("h", 104, quirks=Quirks(patient_id=True))
    targets = Resolver(node)(request, find).targets  # type: ignore[arg-type]
    (target,) = [each for each in targets if each.found is not False]
    assert target.identifier.keys() == {"PatientID": "B", "StudyInstanceUID": "1"}


@pytest.mark.parametrize("offers_study_root", [True, False])
@pytest.mark.parametrize("namesake", ["HOSPB", "HOSPA", ""])
@pytest.mark.parametrize(
    "keys",
    [
        {"PatientID": "4711", "IssuerOfPatientID": "HOSPA"},
        {"IssuerOfPatientID": "HOSPA"},
        {"PatientID": "4711", "IssuerOfPatientID": "HOSPA", "StudyDate": "20240101"},
    ],
)
def test_a_patient_of_another_issuer_is_not_moved_too(keys: dict, namesake: str, offers_study_root: bool) -> None:
    """Where a number is that of two patients, and other keys have led to one, nothing is asked for by the number."""
    records = [("1", "HOSPA"), *([("2", namesake)] if namesake else [])]

    def find(level: Level, model: Model, keys: dict, returned: list, limit: int | None) -> list[Dataset]:
        if model is Model.STUDY and not offers_study_root:
            raise ContextRejected("no")
        wanted = keys.get("IssuerOfPatientID") or ""
        return [
            answer(
                PatientID="4711",
                IssuerOfPatientID=issuer,
                StudyInstanceUID=study,
                StudyDate="20240101",
                NumberOfPatientRelatedInstances=3,
                NumberOfStudyRelatedInstances=3,
            )
            for study, issuer in records
            if wanted in ("", issuer)
        ]

    level = "study" if "StudyDate" in keys else "patient"
    (request,) = parse_requests(keys, level=level, model="patient").requests
    if namesake == "HOSPB":
        with pytest.raises(QueryRefused, match="somebody else, too, under a PatientID") as caught:
            Resolver("ARCHIVE")(request, find)  # type: ignore[arg-type]
        assert "4711" not in str(caught.value)
    else:
        assert Resolver("ARCHIVE")(request, find).targets  # type: ignore[arg-type]
