"""What moves have cost: kept by archive and modalities, added up, and believed only where it can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomover.journal import Cost, Costs, Journal, Place
from dicomover.outcome import Status
from dicomover.summary import Result
from journal_kit import Other, one

HERE, ELSEWHERE = Place(1, "A"), Place(2, "B")


def spend(path: Path, place: Place, *spent: tuple[str, Cost]) -> None:
    """Record a request whose C-MOVEs have cost something."""
    with Journal(path) as journal:
        asked = journal.asked(one({"StudyInstanceUID": "1"}), archive="A")
        journal.record(asked, Result(Status.SUCCESS), place=place, spent=spent)


def test_what_moves_have_cost_is_added_up_for_each_archive(tmp_path: Path) -> None:
    """Run after run, by modalities; another archive is another matter."""
    path = tmp_path / "journal.db"
    spend(path, HERE, ("CT", Cost(10, 1000, 2.0)), ("MR", Cost(1, 50, 1.0)))
    spend(path, HERE, ("CT", Cost(30, 3000, 6.0)))
    with Journal(path) as journal:
        assert journal.costs(HERE) == Costs({"CT": Cost(40, 4000, 8.0, 2), "MR": Cost(1, 50, 1.0, 1)})
        assert journal.costs(ELSEWHERE) == Costs()
        assert journal.costs(HERE).bytes_of_move == 1350


def test_a_journal_that_was_begun_before_learns_from_now_on(tmp_path: Path) -> None:
    """A file without the table gets it when it is opened."""
    path = tmp_path / "journal.db"
    spend(path, HERE)
    with Other(path) as file:
        file.execute("DROP TABLE costs")
    spend(path, HERE, ("CT", Cost(10, 1000, 2.0)))
    with Journal(path) as journal:
        assert journal.costs(HERE).estimate("CT", 5) == (500, 1.0)


@pytest.mark.parametrize("number", ["-1", "'many'", "9e99", "NULL"])
def test_a_number_that_can_be_none_is_no_knowledge(tmp_path: Path, number: str) -> None:
    """What somebody has put into the file neither ends a batch nor is believed."""
    path = tmp_path / "journal.db"
    spend(path, HERE, ("CT", Cost(10, 1000, 2.0)))
    with Other(path) as file:
        try:
            file.execute(f"UPDATE costs SET seconds = {number}")
        except Exception:  # noqa: BLE001 - SQLite refuses it itself
            return
    with Journal(path) as journal:
        assert journal.costs(HERE) == Costs()


def test_a_third_party_takes_time_and_no_bytes() -> None:
    """Where nobody sees files, their size stays unknown."""
    assert Costs({"CT": Cost(10, 0, 5.0)}).estimate("CT", 20) == (None, 10.0)


def test_modalities_without_end_are_not_kept_apart(tmp_path: Path) -> None:
    """An archive may say anything: what is too long goes to what has no name."""
    path = tmp_path / "journal.db"
    spend(path, HERE, ("CT" * 1000, Cost(10, 1000, 2.0)))
    with Journal(path) as journal:
        assert list(journal.costs(HERE).known) == [""]
