"""What an archive lists behind a C-MOVE, and for whom that vouches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydicom import Dataset

from dicomover.batch.listing import Listing
from dicomover.errors import ProtocolError, QueryRefused
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.targets import Target

SERIES = Identifier(Level.SERIES, Model.STUDY, study="1", series="1.1")


def archive(*patients: str, refuses: type[Exception] | None = None) -> Any:
    """Return the find of an archive that has one study, of these patients, with two images."""

    def find(
        level: Level, model: Model, keys: dict[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        if refuses is not None:
            raise refuses("no")
        answers = []
        for value in patients if level is Level.STUDY else ("1.1.1", "1.1.2"):
            answer = Dataset()
            answer.StudyInstanceUID = "1"
            setattr(answer, "PatientID" if level is Level.STUDY else "SOPInstanceUID", value)
            answers.append(answer)
        return answers

    return find


LISTED = {"1.1": ["1.1.1", "1.1.2"]}


@pytest.mark.parametrize(
    ("names", "listed"),
    [(["P"], LISTED), (["p ", "P^^^HOSP"], LISTED), (["Q"], None), (["P", "Q"], None), ([""], None), ([], None)],
)
def test_a_list_vouches_only_for_whose_the_study_is(names: list[str], listed: object) -> None:
    """Images count by it if the archive names nobody but the patient for their study; not if another, or none."""
    assert Listing(archive(*names)).list_his(Target(SERIES), ["P"]) == listed


def test_what_the_archive_does_not_find_it_vouches_for_in_nothing() -> None:
    """A C-MOVE that it says comes to nothing may bring what it likes."""
    assert Listing(archive("P")).list_his(Target(SERIES, found=False), ["P"]) is None


@pytest.mark.parametrize("error", [QueryRefused, ProtocolError])
def test_an_archive_that_cannot_be_asked(error: type[Exception]) -> None:
    """It lists nothing, vouches for nothing, and ends nothing; what is known already is not asked."""
    listing = Listing(archive(refuses=error))
    assert listing.list_all(Target(SERIES)) is None
    assert listing.list_his(Target(SERIES), ["P"]) is None
    assert listing.list_all(Target(SERIES, instances=LISTED)) == LISTED


def test_one_move_is_listed_once() -> None:
    """Whose images are and which are missing are asked of one list; another C-MOVE has another, a refusal none."""
    asked: list[str] = []
    refuses: list[type[Exception]] = []

    def find(level: Level, model: Model, keys: dict[str, str], *rest: Any) -> list[Dataset]:
        asked.append(str(level))
        return archive("P", refuses=refuses.pop() if refuses else None)(level, model, keys, *rest)  # type: ignore[no-any-return]

    listing = Listing(find)  # type: ignore[arg-type]
    for _ in range(2):
        assert listing.list_his(Target(SERIES), ["P"]) == listing.list_all(Target(SERIES)) == LISTED
    assert asked == ["STUDY", "IMAGE"]
    other = Target(Identifier(Level.SERIES, Model.STUDY, study="1", series="1.2"))
    refuses.append(QueryRefused)
    assert [listing.list_all(other) is None for _ in range(2)] == [True, False]


def counting(*counts: tuple[str, object]) -> Any:
    """Return the find of an archive that has these series, with so many images."""

    def find(level: Level, *_: object) -> list[Dataset]:
        answers = []
        if level is Level.IMAGE:
            for uid in ("1.9.1", "1.9.2"):
                answers.append(Dataset())
                answers[-1].SOPInstanceUID = uid
            return answers
        for uid, count in counts:
            answer = Dataset()
            answer.SeriesInstanceUID, answer.NumberOfSeriesRelatedInstances = uid, count
            answers.append(answer)
        return answers

    return find


STUDY = Identifier(Level.STUDY, Model.STUDY, study="1")
IMAGES = Identifier(Level.IMAGE, Model.STUDY, study="1", series="1.1", instance="1.1.1\\1.1.2")
NUMBERS = {
    "all are counted": (Target(STUDY, expected=5), [("1.1", 2), ("1.2", 3)], {"1.1": 2, "1.2": 3}),
    "one is not, and is asked for its images": (Target(STUDY), [("1.1", None)], {"1.1": 2}),
    "they are fewer than the study has": (Target(STUDY, expected=6), [("1.1", 2), ("1.2", 3)], {}),
    "nothing is said": (Target(STUDY), [], {}),
    "a series": (Target(SERIES, expected=7), [], {"1.1": 7}),
    "a series that is not counted": (Target(SERIES), [], {"1.1": 2}),
    "images": (Target(IMAGES), [], {"1.1": 2}),
    "a list": (Target(STUDY, instances={"1.1": ["a", "b", "b"]}), [], {"1.1": 2}),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_how_many_a_c_move_brings_of_each_series(name: str) -> None:
    """It is known of all series or taken for known of none."""
    target, counts, wanted = NUMBERS[name]
    assert Listing(counting(*counts)).count_by_series(target) == wanted
    assert Listing(archive(refuses=QueryRefused)).count_by_series(Target(STUDY)) == {}
