"""What is here, by series: of whom, from which archive, and nothing else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomover.identifier import Level
from dicomover.journal import Holding, Journal, JournalError, Place, Scope
from journal_kit import PLACE, STUDY, Other, files, keep

ELSEWHERE = Place.of("ARCHIVE", "WORKSTATION")
SERIES = Scope(Level.SERIES, "1", "1.2", (), "P")
IMAGES = Scope(Level.IMAGE, "1", "1.2", ("1.2.1", "1.2.9"), "P")
PATIENT = Scope(Level.PATIENT, "", "", (), "P")


def held(journal: Journal, scope: Scope, place: Place = PLACE) -> list[str]:
    """Return the ends of the SOP Instance UIDs that are here of a scope."""
    return sorted(file.sop.removeprefix("1.2.") for file in journal.holding(place, scope).manifest.files)


def test_what_came_is_found_by_whatever_it_is_a_part_of(path: Path) -> None:
    """A study, its series, some of its images and its patient find the same files."""
    with Journal(path) as journal:
        key = keep(journal, files("1", "2", "3"))
        for scope in (STUDY, SERIES, PATIENT, STUDY._replace(whose="")):
            assert held(journal, scope) == ["1", "2", "3"]
        assert held(journal, IMAGES) == ["1"]
        assert held(journal, SERIES._replace(series="1.3")) == []
        assert journal.holding(PLACE, STUDY).manifest.files[0].request == ""
        assert journal.entries()[key.key].scopes == (STUDY,)
        assert [(name, len(part)) for name, part in journal.files()] == [(PLACE.name, 3)]


@pytest.mark.parametrize("scope", [STUDY, SERIES, IMAGES, PATIENT])
def test_another_patient_or_place_has_nothing_of_it(path: Path, scope: Scope) -> None:
    """Neither what another archive sent, nor what came of somebody else under the same UIDs."""
    with Journal(path) as journal:
        keep(journal, files("1", "2"))
        assert held(journal, scope._replace(whose="Q")) == []
        assert held(journal, scope, ELSEWHERE) == []


def test_of_several_patients_nobody_is_meant(path: Path) -> None:
    """Where one study is here of two patients, and nobody says of whom it is asked for, none of it is."""
    with Journal(path) as journal:
        keep(journal, files("1"))
        journal.record(keep(journal, ()), None, place=PLACE, brought={"Q": files("2")})
        assert journal.holding(PLACE, STUDY._replace(whose="")) == Holding()
        assert held(journal, STUDY) == ["1"]


def test_what_comes_later_is_taken_in(path: Path) -> None:
    """Images of a series that is here are added to it; one that came anew is where it lies now."""
    with Journal(path) as journal:
        keep(journal, files("1", "2"))
        moved = files("2")[0]._replace(path="elsewhere/2.dcm")
        keep(journal, (moved, *files("3")), 1)
        assert journal.holding(PLACE, STUDY).manifest.files == (*files("1"), moved, *files("3"))


@pytest.mark.parametrize("scope", [STUDY, SERIES, PATIENT])
def test_complete_is_remembered_with_the_number(path: Path, scope: Scope) -> None:
    """With what is here, or at a third party with what the archive has counted."""
    with Journal(path) as journal:
        key = keep(journal, files("1", "2"))
        assert journal.holding(PLACE, scope).whole is None
        journal.record(key, None, place=PLACE, whole=[(scope, None)])
        assert journal.holding(PLACE, scope).whole == 2
        journal.record(key, None, place=ELSEWHERE, whole=[(scope, 7)])
        assert journal.holding(ELSEWHERE, scope).whole == 7
        assert journal.holding(PLACE, scope).whole == 2


def test_a_whole_study_has_whole_series(path: Path) -> None:
    """What is complete as a study is so as each series that is here, and not as one that never came."""
    with Journal(path) as journal:
        key = keep(journal, files("1", "2"))
        journal.record(key, None, place=PLACE, whole=[(STUDY, None)])
        assert journal.holding(PLACE, SERIES).whole == 2
        assert journal.holding(PLACE, SERIES._replace(series="1.3")) == Holding()


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE studies SET study = '2'",
        "UPDATE studies SET whose = 'Q'",
        "UPDATE series SET series = '1.3'",
        "UPDATE studies SET place = 7",
    ],
)
def test_files_that_were_moved_to_something_else_are_nothing(path: Path, forgery: str) -> None:
    """What stands under another study, series, patient or place than it came from is not known."""
    with Journal(path) as journal:
        keep(journal, files("1", "2"))
    with Other(path) as other:
        other.execute(forgery)
    with Journal(path) as journal:
        places = (PLACE, Place(7, ""))
        scopes = [Scope(Level.STUDY, study, "", (), whose) for study in "12" for whose in ("P", "Q", "")]
        assert not any(journal.holding(place, scope).manifest.files for place in places for scope in scopes)


@pytest.mark.parametrize("column", ["series.count", "series.whole", "studies.whole"])
@pytest.mark.parametrize("value", [-1, "text", 1.5, b""])
def test_a_count_that_is_none_is_an_error(path: Path, column: str, value: object) -> None:
    """A tampered number is a sentence, and is never counted with."""
    table, _, name = column.partition(".")
    with Journal(path) as journal:
        keep(journal, files("1"))
    with Other(path) as other:
        other.execute(f"UPDATE {table} SET {name} = ?", (value,))
    with Journal(path) as journal, pytest.raises(JournalError, match="cannot be read"):
        journal.holding(PLACE, SERIES if table == "series" else STUDY)
