"""All answers of an archive that caps them: asked for in parts, with a word where some may be missing."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dicomover import AnswerWarning, AssociationLost, ConfigurationError, Mover, QueryRefused, Quirks
from dicomover.errors import LostBy, NodeError
from dicomover.identifier import Level
from dicomover.query.splitting import MOST_QUERIES, Split, check_split, find_all
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study
from peers import orthanc

TODAY = date(2024, 6, 30)
YEAR = {"StudyDate": "20230101-20231231"}


# --- an archive that is a function


def study(number: int, day: date, minute: int | None) -> Dataset:
    """Return the answer for one study."""
    answer = Dataset()
    answer.PatientID, answer.StudyInstanceUID = f"P{number}", f"1.2.{number}"
    answer.StudyDate = f"{day:%Y%m%d}"
    answer.StudyTime = "" if minute is None else f"{minute // 60:02d}{minute % 60:02d}00"
    return answer


def year_of(count: int, *, days: int = 365, seed: int = 1) -> list[Dataset]:
    """Return studies spread over 2023, in no order."""
    chance = random.Random(seed)
    start = date(2023, 1, 1)
    return [
        study(number, start + timedelta(days=chance.randrange(days)), chance.randrange(1440)) for number in range(count)
    ]


def within(value: str, wanted: str) -> bool:
    """Tell whether a date or a time lies in a range, as an archive compares them."""
    first, dash, last = wanted.partition("-")
    return not wanted or (bool(value) and value >= first and (value <= last if last else bool(dash) or value == first))


class Archive:
    """Answers from a list, at most `cap` of what matches; what comes of more is up to `over`."""

    show_keys = True

    def __init__(
        self, studies: list[Dataset], cap: int | None = None, over: Callable[[], NodeError] | None = None
    ) -> None:
        self.studies, self.cap, self.over = studies, cap, over
        self.studies_at = [(answer, str(answer.StudyDate), str(answer.StudyTime)) for answer in studies]
        self.asked: list[Mapping[str, str]] = []
        self.ignores: set[str] = set()

    def __call__(self, keys: Mapping[str, str], limit: int | None) -> list[Dataset]:
        """Answer one query."""
        self.asked.append(dict(keys))
        days, times = ("" if name in self.ignores else keys.get(name, "") for name in ("StudyDate", "StudyTime"))
        found = [answer for answer, day, time in self.studies_at if within(day, days) and within(time, times)]
        if self.cap is not None and len(found) > self.cap and (limit is None or limit > self.cap):
            if self.over is not None:
                raise self.over()
            found = found[: self.cap]
        return found[:limit]

    def find(self, keys: Mapping[str, str], split: Split = "auto", limit: int | None = None) -> list[str]:
        """Return the Study Instance UIDs that are found."""
        answers = find_all(
            self, keys, Level.STUDY, split=split, limit=limit, archive="DEMO", today=TODAY, show_keys=self.show_keys
        )
        return [str(answer.StudyInstanceUID) for answer in answers]


OVER: dict[str, Callable[[], NodeError] | None] = {
    "silence": None,
    "cancel": lambda: QueryRefused("ended", 0xFE00),
    "out of resources": lambda: QueryRefused("refused", 0xA700),
    "warning": lambda: QueryRefused("refused", 0xB000),
    "unable": lambda: QueryRefused("refused", 0xC001),
    "abort": lambda: AssociationLost("lost", LostBy.ABORT),
    "close": lambda: AssociationLost("lost", LostBy.CLOSED),
}


@pytest.mark.parametrize("how", OVER)
@pytest.mark.parametrize("keys", [YEAR, {"StudyDate": "20230101-"}, {"StudyDate": "-20231231", "PatientID": "*"}])
def test_a_cap_is_found_and_got_around(how: str, keys: dict[str, str]) -> None:
    """However an archive caps, all that it has is found, each once, with a bounded number of queries."""
    archive = Archive(year_of(1_200), 100, OVER[how])
    found = archive.find(keys)
    assert sorted(found) == sorted(str(answer.StudyInstanceUID) for answer in archive.studies)
    assert len(archive.asked) < 60, "about two for each hundred studies"


@pytest.mark.parametrize("how", OVER)
@pytest.mark.parametrize("keys", [YEAR, {"StudyDate": "20230101"}])
def test_a_day_above_the_cap_is_asked_by_time(how: str, keys: dict[str, str]) -> None:
    """One day with more than the cap is asked by StudyTime; that it cannot find studies without one is told."""
    archive = Archive(year_of(450, days=1), 100, OVER[how])
    with pytest.warns(AnswerWarning, match="for StudyDate 20230101 it had to be asked by StudyTime") as caught:
        found = archive.find(keys)
    assert len(set(found)) == len(found) == 450
    assert len(caught) == 1
    assert any("StudyTime" in keys for keys in archive.asked)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1439)), max_size=300),
    st.sampled_from([100, 128, 150]),
    st.sampled_from(list(OVER)),
)
def test_any_archive_is_emptied_or_doubted(studies: list[tuple[int, int]], cap: int, how: str) -> None:
    """Whatever lies where: all of it is found, or a warning or an error says that it is not."""
    start = date(2023, 1, 1)
    archive = Archive(
        [study(n, start + timedelta(days=day), minute) for n, (day, minute) in enumerate(studies)], cap, OVER[how]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = archive.find({"StudyDate": "20230101-20240630"})
        except NodeError:
            return
    assert len(set(found)) == len(found)
    assert caught or len(found) == len(studies)


@pytest.mark.parametrize("count", [100, 128, 500, 1000])
def test_a_count_that_is_round_by_chance(count: int) -> None:
    """A round count costs a few more queries, and no warning."""
    archive = Archive(year_of(count))
    assert len(archive.find(YEAR)) == count
    assert 1 < len(archive.asked) < 25


@pytest.mark.parametrize("count", [0, 1, 50, 99, 101, 777])
def test_a_count_that_is_not_round_is_believed(count: int) -> None:
    """One query is enough where nothing hints at a cap."""
    archive = Archive(year_of(count))
    assert len(archive.find(YEAR)) == count
    assert len(archive.asked) == 1


def test_a_cap_that_is_known() -> None:
    """A cap that is no round number can be said; without that nobody can see it."""
    archive = Archive(year_of(1_000), 333)
    assert len(archive.find(YEAR)) == 333
    assert len(archive.find(YEAR, split=333)) == 1_000


def test_no_split() -> None:
    """With `none` an archive is asked once, and what comes is taken."""
    archive = Archive(year_of(1_000), 500)
    assert len(archive.find(YEAR, split="none")) == 500
    archive.over = OVER["cancel"]
    with pytest.raises(QueryRefused, match=r"^ended$"):
        archive.find(YEAR, split="none")
    assert len(archive.asked) == 2


@pytest.mark.parametrize("limit", [1, 99, 100, 150, 449, 450, 1000])
@pytest.mark.parametrize("how", OVER)
def test_a_limit_bounds_a_split_query(limit: int, how: str) -> None:
    """No more than the limit is returned, and no less where there is as much."""
    archive = Archive(year_of(450), 100, OVER[how])
    found = archive.find(YEAR, limit=limit)
    assert len(found) == len(set(found)) == min(limit, 450)


# --- what cannot be asked in parts


@pytest.mark.parametrize("keys", [{"PatientID": "*"}, {"StudyDate": "", "PatientID": "*"}])
def test_without_a_range_a_silent_cap_is_told(keys: dict[str, str]) -> None:
    """Where the keys have no range of dates, a count that looks like a cap is a warning that says what to do."""
    archive = Archive(year_of(700), 500)
    archive.ignores = {"StudyDate"}
    with pytest.warns(AnswerWarning, match=r"exactly 500 studies came, .* give a StudyDate range, .* split='none'"):
        assert len(archive.find(keys)) == 500
    assert len(archive.asked) == 1


@pytest.mark.parametrize("how", ["cancel", "out of resources", "warning"])
def test_without_a_range_a_refusal_says_what_to_do(how: str) -> None:
    """Where the keys have no range of dates, a refusal stays one, with what to do and its status."""
    archive = Archive(year_of(700), 500, OVER[how])
    with pytest.raises(QueryRefused, match="if too much matches, give a StudyDate range") as caught:
        archive.find({"PatientID": "*"})
    assert caught.value.status == OVER[how]().status  # type: ignore[misc, union-attr]


def test_the_smallest_part_above_a_silent_cap_is_told() -> None:
    """A minute with more studies than the cap is named in a warning, and all others are found."""
    crowd = [study(10_000 + n, date(2023, 5, 5), 720) for n in range(150)]
    archive = Archive(year_of(500, days=100) + crowd, 100)
    with pytest.warns(AnswerWarning) as caught:
        found = archive.find(YEAR)
    (warning,) = caught
    message = str(warning.message)
    assert "exactly 100 studies came" in message
    assert "for StudyDate 20230505, StudyTime 1" in message
    assert "smaller parts cannot be asked for" in message
    assert len(found) >= 600


@pytest.mark.parametrize("how", ["cancel", "out of resources", "unable", "close"])
def test_the_smallest_part_that_is_refused_is_an_error(how: str) -> None:
    """A part that is refused and cannot be halved ends the query, with its name."""
    archive = Archive([study(n, date(2023, 5, 5), 720) for n in range(150)], 100, OVER[how])
    with pytest.raises((QueryRefused, AssociationLost), match="asked for StudyDate 20230505, StudyTime 115900-120000"):
        archive.find(YEAR)
    assert len(archive.asked) < 45


@pytest.mark.parametrize("how", OVER)
def test_a_date_is_told_by_its_shape(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Unless somebody asks to see keys, no part says of which day it is: not in a log, nor a warning, nor an error."""
    archive = Archive([study(n, date(2023, 5, 5), 720) for n in range(150)], 100, OVER[how])
    archive.show_keys = False
    said = ""
    with caplog.at_level("INFO", "dicomover"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            archive.find({"PatientID": "*", "StudyDate": "20230505"})
        except (QueryRefused, AssociationLost) as error:
            said = str(error)
    said += caplog.text + "".join(str(warning.message) for warning in caught)
    assert "StudyDate '99999999'" in said
    assert "2023" not in said.replace(__file__, "")


def test_a_time_that_is_asked_for_stays() -> None:
    """With a StudyTime among the keys, a day is the smallest part."""
    archive = Archive([study(n, date(2023, 5, 5), 720) for n in range(150)], 100)
    with pytest.warns(AnswerWarning, match="for StudyDate 20230505 exactly 100"):
        archive.find({**YEAR, "StudyTime": "1200-1300"})
    assert {keys["StudyTime"] for keys in archive.asked} == {"1200-1300"}


@pytest.mark.parametrize("how", OVER)
def test_studies_without_a_time_are_told(how: str) -> None:
    """A day that is asked by time lacks studies without one: one warning says so, of how many days."""
    days = [study(n, date(2023, 5, 5 + n % 2), None if n % 50 == 0 else n) for n in range(300)]
    with pytest.warns(AnswerWarning) as caught:
        found = Archive(days, 100, OVER[how]).find(YEAR)
    (warning,) = caught
    assert str(warning.message).endswith(
        "for 2 days from StudyDate 20230505 on it had to be asked by StudyTime, and studies without one may be missing"
    )
    assert 290 <= len(found) <= 300


@pytest.mark.parametrize("ignored", ["StudyDate", "StudyTime"])
def test_an_archive_that_does_not_keep_to_the_part_is_told(ignored: str) -> None:
    """An archive that ignores dates or times is not asked a thousand times, and a warning says so."""
    archive = Archive(year_of(300, days=1 if ignored == "StudyTime" else 365), 100)
    archive.ignores = {ignored}
    with pytest.warns(AnswerWarning, match="it does not keep to what is asked for"):
        archive.find({"StudyDate": "20230101-20230601"})
    assert len(archive.asked) < 30


def test_other_failures_are_not_split() -> None:
    """A refusal for another reason, or an archive that does not answer, ends the query at once."""
    for over in (lambda: QueryRefused("no", 0xA900), lambda: AssociationLost("late", LostBy.TIMEOUT)):
        archive = Archive(year_of(300), 100, over)
        with pytest.raises(NodeError):
            archive.find(YEAR)
        assert len(archive.asked) == 1


def test_the_number_of_queries_is_bounded() -> None:
    """More parts than the bound are not asked for; the warning names what was not."""
    archive = Archive(year_of(1_500), 1)
    with pytest.warns(AnswerWarning, match=f"after {MOST_QUERIES:,} queries nothing was asked for from StudyDate 2023"):
        archive.find(YEAR, split=1)
    assert len(archive.asked) == MOST_QUERIES


@pytest.mark.parametrize("level", [Level.SERIES, Level.IMAGE])
def test_a_round_number_of_images_is_no_hint(level: Level) -> None:
    """A series has a hundred images as often as not."""
    answers = [study(n, date(2023, 5, 5), 720) for n in range(100)]
    assert len(find_all(lambda keys, limit: answers, {"StudyInstanceUID": ""}, level)) == 100


@pytest.mark.parametrize("split", [0, -1, True, 1.5, None, "always"])
def test_splits_that_cannot_be_meant(split: object) -> None:
    """A setting that is none is named."""
    with pytest.raises(ConfigurationError, match="split="):
        check_split(split)  # type: ignore[arg-type]


# --- archives that listen


@contextmanager
def demo(name: str) -> Iterator[DemoPacs]:
    """Run a demo archive of 130 studies that answers at most 50."""
    chance = random.Random(2)
    studies: list[Study] = []
    for number in range(130):
        day = date(2023, 1, 1) + timedelta(days=chance.randrange(365))
        studies.append(made_study(f"A{number:03d}", instances=1, date=f"{day:%Y%m%d}"))
    with DemoPacs(studies, misbehave={"*": Misbehaviour(name, count=50)}) as pacs:
        yield pacs


@pytest.mark.parametrize("name", ["find-capped", "find-capped-cancelled", "find-capped-closes", "find-too-many"])
def test_a_mover_finds_all_of_an_archive_that_caps(name: str) -> None:
    """`find` returns all that an archive has, whichever way it caps its answers."""
    with demo(name) as pacs, Mover(pacs.node) as mover:
        found = mover.find(YEAR, split=50)
        assert sorted(found.AccessionNumber) == sorted(study.accession_number for study in pacs.studies)
        assert len(mover.find(YEAR, split=50, limit=70)) == 70
        assert len([request for request in pacs.requests if request.kind == "C-FIND"]) < 60


def test_a_cap_that_is_known_of_a_node_is_none_to_find_out() -> None:
    """A quirk of the node stands for `split="auto"`; what a call says otherwise is done."""
    with demo("find-capped") as pacs:
        mover = Mover(replace(pacs.node, quirks=Quirks(find_cap=50)))
        assert len(mover.find(YEAR)) == 130
        assert len(mover.find(YEAR, split="none")) == 50


def test_a_warning_points_at_the_call(tmp_path: Path) -> None:
    """The warning of a `find` names the line that called it."""
    with demo("find-capped") as pacs, pytest.warns(AnswerWarning, match="answers may be missing") as caught:
        Mover(pacs.node).find({"PatientID": "*"}, split=50)
    assert caught[0].filename == __file__


def test_orthanc_with_a_limit(tmp_path: Path) -> None:
    """All is found in parts where Orthanc ends a C-FIND at LimitFindResults, by 0xFE00 (1.10) or by success (1.13)."""
    studies = [made_study(f"A{n:03d}", instances=1, date=f"202401{n % 28 + 1:02d}") for n in range(23)]
    archive = orthanc(tmp_path / "orthanc", studies, LimitFindResults=5)
    try:
        with Mover(archive.node) as mover:
            split: Split = "auto"
            with suppress(QueryRefused):
                assert len(mover.find({"PatientID": "*"}, split="none")) == 5
                split = 5  # which nothing but its administrator tells
            found = mover.find({"StudyDate": "20240101-20240131"}, split=split)
            assert sorted(found.AccessionNumber) == [study.accession_number for study in studies]
            said = r"(more matches than it answers at once|answers may be missing).* give a StudyDate range"
            with pytest.raises((QueryRefused, AnswerWarning), match=said):
                mover.find({"PatientID": "*"}, split=split)
    finally:
        archive.stop()
