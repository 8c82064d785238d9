"""What is recorded of a result comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.identifier import Level
from dicomover.journal import File, Holding, Journal, JournalError, Manifest, Scope
from dicomover.outcome import Counters, Status
from dicomover.summary import Result
from journal_kit import DONE, FULL, PLACE, SECRET, STUDY, Other, asked, files, one


@pytest.mark.parametrize("privacy", ["plain", "hashed"])
def test_everything_comes_back_as_it_was_recorded(path: Path, privacy: str) -> None:
    """A result, its identifiers and its files are the same after the journal was closed and opened."""
    secret = SECRET if privacy == "hashed" else None
    scopes = (Scope(Level.IMAGE, "1", "1.2", ("1.2.1", "1.2.2"), "P"),)
    with Journal(path, privacy=privacy, secret=secret, version="9.9") as journal:  # type: ignore[arg-type]
        first, second, third = (asked(journal, number) for number in range(3))
        before = datetime.now(UTC)
        journal.record(first, FULL, scopes, place=PLACE, brought={"P": files("1", "2")})
        journal.record(second, Result(Status.NOT_FOUND))
    with Journal(path, privacy=privacy, secret=secret) as journal:  # type: ignore[arg-type]
        entries = journal.entries([first.key, second.key, third.key])
        assert len(journal) == 2
        assert entries[first.key].scopes == scopes
        assert journal.holding(PLACE, scopes[0]).manifest.files == files("1", "2")
        assert journal.entries() == entries
    assert set(entries) == {first.key, second.key}
    assert entries[first.key].result == FULL
    assert entries[second.key].result == Result(Status.NOT_FOUND)
    assert entries[first.key].version == "9.9"
    assert before <= entries[first.key].recorded <= datetime.now(UTC)


UIDS = st.from_regex(r"\A[1-9](\.[1-9][0-9]{0,5}){1,5}\Z")
NUMBERS = st.none() | st.integers(0, 2**40)


@settings(max_examples=30)
@given(
    result=st.builds(
        Result,
        status=st.sampled_from([s for s in Status if s not in (Status.SKIPPED, Status.INVALID)]),
        status_code=st.none() | st.integers(0, 0xFFFF),
        matches=NUMBERS,
        expected=NUMBERS,
        counters=st.builds(Counters, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        received=NUMBERS,
        bytes=NUMBERS,
        attempts=st.integers(0, 99),
        started=st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        seconds=st.none() | st.floats(0, 1e9),
        error=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        failed_uids=st.lists(UIDS, max_size=3).map(tuple),
    ),
    kept=st.lists(
        st.builds(
            File,
            st.text(min_size=1),
            UIDS,
            st.just("1.2"),
            st.just("1"),
            st.integers(0, 2**50),
            st.integers(-(2**60), 2**63),
            st.text(),
            st.text(),
        ),
        max_size=4,
        unique_by=(lambda file: file.path, lambda file: file.sop),
    ),
    privacy=st.sampled_from(["plain", "hashed"]),
)
def test_any_result_survives(tmp_path_factory: pytest.TempPathFactory, result: Result, kept, privacy) -> None:
    """Whatever a result and a manifest hold comes back as it was."""
    path = tmp_path_factory.mktemp("any") / "cohort.db"
    with Journal(path, privacy=privacy, secret=SECRET if privacy == "hashed" else None) as journal:
        key = asked(journal)
        assert journal.record(key, result, (STUDY,), place=PLACE, brought={"P": kept})
        assert journal.entries([key.key])[key.key].result == result
        assert journal.entries()[key.key].scopes == (STUDY,)
        assert journal.holding(PLACE, STUDY) == Holding(Manifest(tuple(kept)), len(kept))


@pytest.mark.parametrize("column", ["status", "error", "files"])
def test_a_record_that_was_changed_is_an_error(path: Path, column: str) -> None:
    """A value that we never wrote is named as damage, not taken for something."""
    with Journal(path, privacy="hashed", secret=SECRET) as journal:
        key = asked(journal)
        journal.record(key, FULL, (STUDY,), place=PLACE, brought={"P": files("1")})
    table = "series" if column == "files" else "requests"
    with Other(path) as other:
        other.execute(f"UPDATE {table} SET {column} = ?", ("?" if column == "status" else bytes(64),))
    with Journal(path, privacy="hashed", secret=SECRET) as journal:
        with pytest.raises(JournalError, match="has a record that cannot be read"):
            journal.holding(PLACE, STUDY) if column == "files" else journal.entries()
        assert len(journal) == 1


def test_an_entry_is_of_its_request_alone(path: Path) -> None:
    """Moved to another key, of other UIDs than are asked for, or with numbers below 0: it is not known."""
    with Journal(path) as journal:
        request, another = one({"StudyInstanceUID": "1"}), one({"StudyInstanceUID": "2"})
        mine, other = (journal.asked(each, archive="A") for each in (request, another))
        done = replace(DONE, expected=2)
        journal.record(mine, done, (STUDY,))
        assert journal.entries()[mine.key].scopes_of(mine, request)
        with Other(path) as file:
            file.execute("UPDATE requests SET key = ?, asked = ?", (other.key, other.text))
        assert not journal.entries()[other.key].scopes_of(other, another), "what it came to is bound to its key"
        journal.record(other, done, (STUDY,))
        assert not journal.entries()[other.key].scopes_of(other, another), "another study"
        journal.record(mine, replace(DONE, expected=-2), (STUDY,))
        assert not journal.entries()[mine.key].scopes_of(mine, request), "a number that is none"
