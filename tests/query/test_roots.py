"""Which information model is asked in: what the archive offers, and the PatientID where that needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import pytest
from pydicom import Dataset

from dicomover import Mover
from dicomover.errors import QueryRefused
from dicomover.identifier import Level, Model, Request
from dicomover.query.resolve import Resolver
from dicomover.query.roots import fit_model
from dicomover.requests.parse import parse_requests
from dicomover.testing import DemoPacs, made_study
from peers import ONCE

ONE, TWO = made_study("00123", patient="4711"), made_study("00124", patient="4711")
OTHER = made_study("00125", patient="0815")
SERIES = ONE.series[0].series_instance_uid
UID = ONE.study_instance_uid


@pytest.fixture(params=["STUDY", "PATIENT"])
def pacs(request: pytest.FixtureRequest) -> Iterator[DemoPacs]:
    """Run an archive that offers one model only."""
    with DemoPacs([ONE, TWO, OTHER], models=(request.param,)) as archive:
        yield archive


@pytest.mark.parametrize(
    ("keys", "options", "matches"),
    [
        ({"AccessionNumber": "00123"}, {}, 1),
        ({"PatientID": "4711"}, {}, 2),
        ({"PatientID": "4711"}, {"level": "PATIENT"}, 2),
        ({"StudyInstanceUID": UID}, {}, 1),
        ({"PatientID": "4711", "StudyInstanceUID": UID}, {}, 1),
        ({"PatientID": "4711", "AccessionNumber": "00124"}, {}, 1),
        ({"StudyInstanceUID": UID, "SeriesInstanceUID": SERIES}, {}, 1),
    ],
    ids=["accession", "patient", "level patient", "study", "patient's study", "patient's accession", "series"],
)
def test_auto_takes_the_model_that_the_archive_offers(
    pacs: DemoPacs, keys: dict[str, str], options: dict[str, str], matches: int
) -> None:
    """Whatever is asked for moves at an archive of Study Root alone, and of Patient Root alone; so says the plan."""
    mover = Mover(pacs.node, destination="WORKSTATION", progress="none", **ONCE)  # type: ignore[arg-type]
    assert mover.plan(keys, **options).decision[0] in ("move", "several")  # type: ignore[arg-type]
    row = mover.move(keys, **options).loc[0]  # type: ignore[arg-type]
    assert (row.status, row.completed) == ("success", 3 * matches), row.error
    assert {request.model for request in pacs.requests if request.model} == {next(iter(pacs.models))}


def test_a_model_that_was_asked_for_is_not_exchanged(pacs: DemoPacs) -> None:
    """Who says the model gets that one, or the reason why not."""
    other = "study" if "PATIENT" in pacs.models else "patient"
    row = (
        Mover(pacs.node, destination="WORKSTATION", progress="none", **ONCE)
        .move(  # type: ignore[arg-type]
            {"PatientID": "4711", "StudyInstanceUID": UID}, model=other
        )
        .loc[0]
    )
    assert row.status == "failure"
    assert "try the other model" in row.error


def test_find_takes_the_model_that_the_archive_offers(pacs: DemoPacs) -> None:
    """A patient's studies are found in either model; in Patient Root the patient's attributes are not asked there."""
    found = Mover(pacs.node).find({"PatientID": "4711"})
    assert found.StudyInstanceUID.nunique() == 2
    if "PATIENT" in pacs.models:
        assert found.PatientName.isna().all()
        with pytest.raises(QueryRefused):
            Mover(pacs.node).find({"AccessionNumber": "00123"})
    else:
        assert found.PatientName.notna().all()


@pytest.mark.parametrize("offered", [{Model.PATIENT, Model.STUDY}, set()], ids=["both", "none"])
def test_a_request_stays_as_it_is(offered: set[Model]) -> None:
    """Where both models are offered, or none, the one that suits the keys is taken."""
    for model in Model:
        request = Request(0, 0, {"PatientID": "1", "StudyInstanceUID": "2"}, Level.STUDY, model)
        assert fit_model(request, offered) is request


# --- Patient Root without a PatientID


class Lenient:
    """Answers about a study without being told whose it is; maybe without saying so."""

    def __init__(self, *patients: str) -> None:
        self.patients = patients
        self.asked: list[tuple[Level, dict[str, str], tuple[str, ...]]] = []

    def __call__(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer."""
        self.asked.append((level, dict(keys), tuple(returned)))
        answers = []
        for number, patient in enumerate(self.patients):
            answer = Dataset()
            answer.PatientID = patient
            answer.StudyInstanceUID = keys.get("StudyInstanceUID", f"1.{number}")
            answer.AccessionNumber = keys.get("AccessionNumber", "")
            answer.PatientName = keys.get("PatientName", "")
            answers.append(answer)
        return answers


class Strict(Lenient):
    """Refuses to say anything below a patient who is not named."""

    def __call__(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer, or refuse."""
        if level is not Level.PATIENT and "PatientID" not in keys:
            raise QueryRefused("refused with 0xA900", 0xA900)
        return super().__call__(level, model, keys, returned, limit)


def resolved(archive: Lenient, keys: dict[str, str]) -> list[dict[str, str]]:
    """Return the identifiers that a request in Patient Root comes to."""
    request = fit_model(parse_requests(keys).requests[0], {Model.PATIENT})
    return [target.identifier.keys() for target in Resolver("ARCHIVE", "none")(request, archive).targets]


def test_the_patient_is_looked_up() -> None:
    """A study by its UID alone moves with the PatientID that the archive says, asked for at level STUDY."""
    archive = Lenient("4711")
    assert resolved(archive, {"StudyInstanceUID": "1.2"}) == [{"PatientID": "4711", "StudyInstanceUID": "1.2"}]
    ((level, keys, returned),) = archive.asked
    assert (level, keys) == (Level.STUDY, {"StudyInstanceUID": "1.2"})
    assert "PatientID" in returned


def test_an_archive_that_does_not_say_whose_it_is() -> None:
    """It is asked for as it was given, with a caution."""
    archive = Lenient("")
    (request,) = parse_requests({"StudyInstanceUID": "1.2"}, model="patient").requests
    resolution = Resolver("ARCHIVE", "none")(request, archive)
    assert [target.identifier.keys() for target in resolution.targets] == [{"StudyInstanceUID": "1.2"}]
    assert "without the PatientID" in resolution.caution


def test_a_strict_archive_with_few_patients() -> None:
    """They are asked for one after the other."""
    archive = Strict("4711")
    assert resolved(archive, {"AccessionNumber": "1"}) == [{"PatientID": "4711", "StudyInstanceUID": "1.0"}]
    assert archive.asked[0][0] is Level.PATIENT


def test_a_strict_archive_with_many_patients() -> None:
    """Nobody asks for each of thousands: UIDs go out as they were given, with a caution, anything else is refused."""
    archive = Strict(*map(str, range(1000)))
    (request,) = parse_requests({"StudyInstanceUID": "1.2"}, model="patient").requests
    resolution = Resolver("ARCHIVE", "none")(request, archive)
    assert [target.identifier.keys() for target in resolution.targets] == [{"StudyInstanceUID": "1.2"}]
    assert "without the PatientID" in resolution.caution
    with pytest.raises(QueryRefused, match="PatientID"):
        resolved(archive, {"AccessionNumber": "1"})


def test_a_patients_attributes_are_asked_at_level_patient() -> None:
    """In Patient Root no other attribute of the patient is sent below that level."""
    archive = Lenient("4711")
    resolved(archive, {"PatientName": "MADE^UP", "AccessionNumber": "1"})
    below = [keys for level, keys, returned in archive.asked if level is not Level.PATIENT]
    assert below
    assert all("PatientName" not in keys for keys in below)


def test_an_empty_table_of_find_is_still_one(pacs: DemoPacs) -> None:
    """The columns are those of the level in either model."""
    found = Mover(pacs.node).find({"PatientID": "nobody"})
    assert isinstance(found, pd.DataFrame)
    assert {"PatientName", "StudyInstanceUID"} <= set(found.columns)
