"""An archive that tells one match in the place of others, and those that repeat without hiding any."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date

import pytest
from pydicom import Dataset

from dicomover import AnswerWarning, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.repeats import hides_others
from dicomover.query.resolve import resolve
from dicomover.query.splitting import find_all
from dicomover.requests.parse import parse_requests

Tell = Callable[[list[Dataset]], list[Dataset]]


def study(number: int, images: int = 3) -> Dataset:
    """Return the answer for one study of a day of its own."""
    answer = Dataset()
    answer.PatientID, answer.AccessionNumber = "P", "A"
    answer.StudyInstanceUID, answer.StudyDate = f"1.2.{number}", f"202401{number:02d}"
    answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances = images - 1, images
    return answer


def one_for_all(answers: list[Dataset]) -> list[Dataset]:
    """Tell the first in the place of each."""
    return answers[:1] * len(answers)


def one_with_sums(answers: list[Dataset]) -> list[Dataset]:
    """Tell the first, with the images of all as its series and images, as a count of joined rows does."""
    for answer in answers[:1]:
        total = sum(each.NumberOfStudyRelatedInstances for each in answers)
        answer.NumberOfStudyRelatedSeries = answer.NumberOfStudyRelatedInstances = total
    return answers[:1]


def one_per_image(answers: list[Dataset]) -> list[Dataset]:
    """Tell each as often as it has images, without counts."""
    return [answer for answer in answers for _ in range(int(answer.NumberOfStudyRelatedInstances))]


def each_twice(answers: list[Dataset]) -> list[Dataset]:
    """Tell each twice."""
    return [*answers, *answers]


class Archive:
    """Holds studies of January 2024, and tells what matches in its own way."""

    def __init__(self, tell: Tell, count: int) -> None:
        self.tell, self.count, self.asked = tell, count, 0

    def ask(self, keys: Mapping[str, str], limit: int | None) -> list[Dataset]:
        """Answer at level STUDY."""
        self.asked += 1
        first, _, last = keys.get("StudyDate", "0-9").partition("-")
        uid = keys.get("StudyInstanceUID", "")
        found = [study(number) for number in range(1, self.count + 1)]
        found = [each for each in found if uid in ("", each.StudyInstanceUID)]
        found = [each for each in found if first <= each.StudyDate <= (last or first)]
        return self.tell(found)[:limit]

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer at any level, one series and image to a study."""
        if level is Level.STUDY:
            return self.ask(keys, limit)
        answer = Dataset()
        answer.StudyInstanceUID, answer.SeriesInstanceUID = keys["StudyInstanceUID"], keys["StudyInstanceUID"] + ".1"
        answer.Modality, answer.NumberOfSeriesRelatedInstances = "CT", 1
        return [answer]


@pytest.mark.parametrize(
    ("tell", "count", "hides"),
    [
        (one_for_all, 3, True), (one_with_sums, 3, True), (one_for_all, 1, False), (one_with_sums, 1, False),
        (one_per_image, 1, False), (one_per_image, 3, False), (each_twice, 1, False), (each_twice, 3, False),
    ],
)  # fmt: skip
def test_repeats(tell: Tell, count: int, hides: bool) -> None:
    """Repeats hide others if the one that repeats is told less often, or counts less, when it is asked for alone."""
    archive = Archive(tell, count)
    answers = archive.ask({}, None)
    assert hides_others(answers, Level.STUDY, {}, lambda keys: archive.ask(keys, None)) is hides
    assert archive.asked <= 2


def test_nothing_is_asked_where_nothing_hints() -> None:
    """Answers of different studies, and repeats of what was asked for by its UID, cost no C-FIND."""
    archive = Archive(list, 3)
    answers = archive.ask({}, None)
    assert not hides_others(answers, Level.STUDY, {}, lambda keys: archive.ask(keys, None))
    assert not hides_others(answers[:1] * 2, Level.STUDY, {"StudyInstanceUID": "1.2.1"}, lambda _: [])
    assert archive.asked == 1


def test_a_question_that_is_refused_shows_nothing() -> None:
    """Where the archive refuses to be asked for the one alone, others may be hidden."""

    def refuse(keys: Mapping[str, str]) -> list[Dataset]:
        raise QueryRefused("no")

    assert hides_others(one_for_all([study(1), study(2)]), Level.STUDY, {}, refuse)


@pytest.mark.parametrize("tell", [one_for_all, one_with_sums])
def test_a_find_says_that_others_are_hidden(tell: Tell) -> None:
    """A find that cannot be asked in parts warns, whatever `split` says; one by dates has all, without a word."""
    for split in ("auto", "none"):
        with pytest.warns(AnswerWarning, match="in the place of others"):
            assert len(find_all(Archive(tell, 9).ask, {"PatientID": "P"}, Level.STUDY, split=split)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnswerWarning)
        span = {"StudyDate": "20240101-20240131"}
        assert len(find_all(Archive(tell, 9).ask, span, Level.STUDY, today=date(2024, 2, 1))) == 9


@pytest.mark.parametrize("tell", [one_per_image, each_twice, list])
def test_a_find_is_quiet_about_repeats_that_hide_nothing(tell: Tell) -> None:
    """One answer for each image is no doubt, and uses up no limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnswerWarning)
        assert len(find_all(Archive(tell, 9).ask, {"PatientID": "P"}, Level.STUDY)) == 9
        assert len(find_all(Archive(tell, 9).ask, {"PatientID": "P"}, Level.STUDY, limit=4)) == 4


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize("tell", [one_for_all, one_with_sums])
def test_a_row_does_not_move_one_for_all(tell: Tell, level: str) -> None:
    """A row that several studies match is not resolved to the one that is told; one study alone is."""
    (request,) = parse_requests({"AccessionNumber": "A"}, level=level).requests
    with pytest.raises(QueryRefused, match="in the place of others"):
        resolve(request, Archive(tell, 2).find, archive="ARCHIVE", count=True, max_matches=100)
    for quiet, count in ((tell, 1), (one_per_image, 2), (each_twice, 1)):
        found = resolve(request, Archive(quiet, count).find, archive="ARCHIVE", count=True, max_matches=100)
        assert len(found.targets) == count
