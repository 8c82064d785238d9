"""What is recorded of a result comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Details, File, Journal, JournalError, Manifest
from dicomover.outcome import Counters, Status
from dicomover.summary import Result
from journal_kit import FULL, SECRET, Other, asked, files


@pytest.mark.parametrize("privacy", ["plain", "hashed"])
def test_everything_comes_back_as_it_was_recorded(path: Path, privacy: str) -> None:
    """A result, its identifiers and its files are the same after the journal was closed and opened."""
    secret = SECRET if privacy == "hashed" else None
    identifier = Identifier(Level.IMAGE, Model.PATIENT, "p", "1", "1.2", "1.2.1\\1.2.2")
    details = Details((identifier,), Manifest(files("1", "2")))
    with Journal(path, privacy=privacy, secret=secret, version="9.9") as journal:  # type: ignore[arg-type]
        first, second, third = (asked(journal, number) for number in range(3))
        before = datetime.now(UTC)
        journal.record(first, FULL, details)
        journal.record(second, Result(Status.NOT_FOUND))
    with Journal(path, privacy=privacy, secret=secret) as journal:  # type: ignore[arg-type]
        entries = journal.entries([first.key, second.key, third.key])
        assert len(journal) == 2
        assert journal.details([first.key, second.key, third.key]) == {first.key: details}
        assert journal.entries() == entries
    assert set(entries) == {first.key, second.key}
    assert entries[first.key].result == FULL
    assert entries[second.key].result == Result(Status.NOT_FOUND)
    assert entries[first.key].version == "9.9"
    assert before <= entries[first.key].recorded <= datetime.now(UTC)


UIDS = st.from_regex(r"\A[1-9](\.[1-9][0-9]{0,5}){1,5}\Z")
NUMBERS = st.none() | st.integers(0, 2**40)


@settings(deadline=None, max_examples=30)
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
        st.builds(File, st.text(), UIDS, UIDS, UIDS, st.integers(0, 2**50), st.integers(-(2**60), 2**63)), max_size=4
    ),
    privacy=st.sampled_from(["plain", "hashed"]),
)
def test_any_result_survives(tmp_path_factory: pytest.TempPathFactory, result: Result, kept, privacy) -> None:
    """Whatever a result and a manifest hold comes back as it was."""
    path = tmp_path_factory.mktemp("any") / "cohort.db"
    details = Details((), Manifest(tuple(kept)))
    with Journal(path, privacy=privacy, secret=SECRET if privacy == "hashed" else None) as journal:
        key = asked(journal)
        assert journal.record(key, result, details)
        assert journal.entries([key.key])[key.key].result == result
        assert journal.details([key.key])[key.key] == details


@pytest.mark.parametrize("column", ["status", "error", "content"])
def test_a_record_that_was_changed_is_an_error(path: Path, column: str) -> None:
    """A value that we never wrote is named as damage, not taken for something."""
    with Journal(path, privacy="hashed", secret=SECRET) as journal:
        key = asked(journal)
        journal.record(key, FULL, Details((), Manifest(files("1"))))
    table = "details" if column == "content" else "requests"
    with Other(path) as other:
        other.execute(f"UPDATE {table} SET {column} = ?", ("?" if column == "status" else bytes(64),))
    with Journal(path, privacy="hashed", secret=SECRET) as journal:
        with pytest.raises(JournalError, match="has a record that cannot be read"):
            journal.details([key.key]) if column == "content" else journal.entries()
        assert len(journal) == 1
