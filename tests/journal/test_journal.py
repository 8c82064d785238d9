"""The journal of a batch: what is kept, what a rerun decides, and which files are refused."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import sys
import threading
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomover.errors import ConfigurationError
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level, Model, Request
from dicomover.journal import (
    Asked,
    Decision,
    Details,
    File,
    FileCheck,
    Journal,
    JournalError,
    Manifest,
    Missing,
    check_files,
    database,
    decide,
    is_verified,
    missing,
)
from dicomover.journal.database import allows_wal
from dicomover.outcome import Counters, Status
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result

SECRET = "0123456789abcdef0123456789abcdef"
FULL = Result(
    status=Status.PARTIAL,
    status_code=0xB000,
    matches=1,
    expected=9,
    counters=Counters(7, 1, 1, 0),
    received=8,
    bytes=5_000_000_000,
    attempts=3,
    started=datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    seconds=12.25,
    error="1 of 9 was refused – try again",
    failed_uids=("1.2.3", "1.2.4"),
)
DONE = Result(Status.SUCCESS, 0, expected=3, received=3, counters=Counters(3, 0, 0))


def one(keys: object, **options: str) -> Request:
    """Return the one request of an input."""
    (request,) = parse_requests(keys, **options).requests  # type: ignore[arg-type]
    return request


def asked(journal: Journal, number: int = 0) -> Asked:
    """Name the request number so and so."""
    return journal.asked(one({"AccessionNumber": f"A{number}"}), archive="ARCHIVE")


def files(*names: str, size: int = 3) -> tuple[File, ...]:
    """Return files of one series; each name is the end of its SOP Instance UID."""
    return tuple(File(f"P/1/{name}.dcm", f"1.2.{name}", "1.2", "1", size, 1_700_000_000_123_456_789) for name in names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the journal lies."""
    return tmp_path / "cohort.db"


# --- what is asked


def test_the_same_request_has_the_same_key_however_it_is_written(path: Path) -> None:
    """Tags or keywords, row order, labels, riding columns and the model do not change the key."""
    table = pd.DataFrame({"split": ["a", "b"], "PatientID": ["p", "q"], "StudyInstanceUID": ["1.2", "1.3"]}, [7, 8])
    same = [
        one({"StudyInstanceUID": "1.3", "PatientID": "q"}),
        one({"0010,0020": "q", "(0020,000D)": "1.3"}),
        one({0x00100020: "q", 0x0020000D: "1.3"}),
        one({"PatientID": "q", "StudyInstanceUID": "1.3"}, model="study"),
        parse_requests(table).requests[1],
        parse_requests(table.iloc[::-1]).requests[0],
    ]
    with Journal(path) as journal:
        assert len({journal.asked(request, archive="A") for request in same}) == 1


def test_lists_of_uids_are_sets(path: Path) -> None:
    """The order and the repetition of UIDs in a list do not change the key."""
    with Journal(path) as journal:
        first, second = (
            journal.asked(one({"StudyInstanceUID": uids}), archive="A")
            for uids in (["1.2", "1.3"], ["1.3", "1.2", "1.2"])
        )
    assert first == second


@pytest.mark.parametrize("privacy", ["plain", "hashed"])
def test_different_requests_have_different_keys(path: Path, privacy: str) -> None:
    """The archive, the receiver, the level, the keyword and the value all count."""
    secret = SECRET if privacy == "hashed" else None
    with Journal(path, privacy=privacy, secret=secret) as journal:  # type: ignore[arg-type]
        keys = [
            journal.asked(one(request, **options), archive=archive, destination=destination).key
            for request, options, archive, destination in [
                ({"AccessionNumber": "1"}, {}, "A", None),
                ({"AccessionNumber": "1"}, {}, "B", None),
                ({"AccessionNumber": "1"}, {}, "A", "B"),
                ({"AccessionNumber": "01"}, {}, "A", None),
                ({"PatientID": "1"}, {}, "A", None),
                ({"PatientID": "1"}, {"level": "PATIENT"}, "A", None),
            ]
        ]
    assert len(set(keys)) == len(keys)


# --- what is kept


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


def test_a_record_replaces_the_one_before_and_keeps_its_files_unless_told(path: Path) -> None:
    """A request has one row; its files are replaced only by other files."""
    with Journal(path) as journal:
        key = asked(journal)
        journal.record(key, DONE, Details((), Manifest(files("1"))))
        journal.record(key, Result(Status.LOST))
        assert len(journal) == 1
        assert journal.entries()[key.key].result.status is Status.LOST
        assert journal.details([key.key])[key.key].manifest.files == files("1")
        journal.record(key, Result(Status.LOST), Details())
        assert journal.details([key.key])[key.key] == Details()


@pytest.mark.parametrize("status", [None, Status.SKIPPED, Status.INVALID])
def test_what_says_nothing_is_not_recorded(path: Path, status: Status | None) -> None:
    """A skipped, an invalid or an unfinished request would hide what is known of it."""
    with Journal(path) as journal:
        with pytest.raises(ValueError, match="says nothing to record"):
            journal.record(asked(journal), Result(status))
        assert len(journal) == 0


def test_many_keys_are_read_at_once(path: Path) -> None:
    """More keys than one query can name are read in parts."""
    with Journal(path, sync="renew") as journal:
        keys = [asked(journal, number) for number in range(1_201)]
        for key in keys[::2]:
            journal.record(key, DONE)
        assert list(journal.entries(key.key for key in keys)) != []
        assert set(journal.entries(key.key for key in keys)) == {key.key for key in keys[::2]}
        assert journal.entries([]) == {}


def test_threads_record_side_by_side(path: Path) -> None:
    """Four threads write into one journal, and nothing is lost."""
    failed: list[BaseException] = []
    with Journal(path, sync="renew") as journal:
        keys = [asked(journal, number) for number in range(200)]

        def work(mine: list[Asked]) -> None:
            try:
                for key in mine:
                    assert journal.claim([key.key])
                    assert journal.record(key, DONE, Details((), Manifest(files("1"))))
                    assert journal.entries([key.key])
                    journal.renew()
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        threads = [threading.Thread(target=work, args=(keys[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(journal) == 200


def test_two_journals_read_what_the_other_wrote(path: Path) -> None:
    """What one kernel recorded, the other one sees at once."""
    with Journal(path) as first, Journal(path) as second:
        first.record(asked(first), DONE)
        assert second.entries()[asked(second).key].result == DONE


def test_a_closed_journal_says_so(path: Path) -> None:
    """Every method of a journal that is not open names the mend; opening and closing twice is harmless."""
    journal = Journal(path)
    for use in (journal.entries, journal.__len__, lambda: journal.claim(["k"]), lambda: asked(journal)):
        with pytest.raises(JournalError, match="use it in a `with` block"):
            use()
    assert journal.open().open() is journal
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="not open"):
        journal.entries()
    with journal:
        assert journal.entries() == {}


def test_nothing_stays_beside_a_closed_journal(path: Path) -> None:
    """The log and its index are folded into the one file."""
    with Journal(path) as journal:
        journal.record(asked(journal), DONE)
    assert [each.name for each in path.parent.iterdir()] == ["cohort.db"]


def test_constructing_a_journal_does_no_io(tmp_path: Path) -> None:
    """A journal in a folder that is not there is an error only when it is opened."""
    journal = Journal(tmp_path / "nowhere" / "cohort.db")
    with pytest.raises(ConfigurationError, match="has no folder to lie in; create"):
        journal.open()


# --- privacy


def _raw(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def _inflated(raw: bytes) -> bytes:
    """Return what any compressed part of some bytes holds."""
    found = []
    for start in range(len(raw)):
        if raw[start] == 0x78:
            try:
                found.append(zlib.decompressobj().decompress(raw[start:]))
            except zlib.error:
                continue
    return b"".join(found)


@pytest.mark.parametrize("privacy", ["plain", "hashed"])
def test_no_patient_can_be_read_from_a_hashed_journal(path: Path, privacy: str) -> None:
    """Neither identifier, name nor accession number is in the bytes of the file, its log or its index."""
    secret = SECRET if privacy == "hashed" else None
    details = Details(
        (Identifier(Level.PATIENT, Model.PATIENT, "PAT4711"),),
        Manifest((File("PAT4711/Doe^Jane/1.dcm", "1.2.3", "1.2", "1", 1, 1),)),
    )
    request = one({"PatientID": "PAT4711", "PatientName": "Doe^Jane", "AccessionNumber": "ACC0815"})
    journal = Journal(path, privacy=privacy, secret=secret)  # type: ignore[arg-type]
    with journal:
        key = journal.asked(request, archive="ARCHIVE")
        journal.claim([key.key])
        journal.record(key, Result(Status.FAILURE, error="no study for PAT4711, Doe^Jane, ACC0815"), details)
        assert len(list(path.parent.iterdir())) == 3
        raw = _raw(path)
        kept = journal.entries()[key.key]
    raw += _raw(path)
    raw += _inflated(raw)
    words = [b"PAT4711", b"4711", b"Doe^Jane", b"Jane", b"ACC0815", SECRET.encode()]
    found = [word for word in words if word in raw]
    assert found == ([] if privacy == "hashed" else words[:-1])
    assert set(kept.keys) == set(request.keys)
    assert (kept.keys == dict(request.keys)) == (privacy == "plain")
    assert "ACC0815" not in repr(key) + repr(kept.key)
    assert "PAT4711" not in repr(details.manifest) + repr(key)
    assert SECRET not in repr(journal)


def test_hashed_keys_cannot_be_guessed_without_the_secret(tmp_path: Path) -> None:
    """The same request has another key in a journal with another secret, or another salt, or in a plain one."""
    keys = []
    for name, options in {"a": SECRET, "b": SECRET[::-1], "c": SECRET, "d": None}.items():
        privacy = "plain" if options is None else "hashed"
        with Journal(tmp_path / name, privacy=privacy, secret=options) as journal:  # type: ignore[arg-type]
            keys.append(asked(journal).key)
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        ({}, {"privacy": "hashed", "secret": SECRET}, "was begun with privacy='plain', not 'hashed'; say privacy="),
        ({"privacy": "hashed", "secret": SECRET}, {}, "was begun with privacy='hashed', not 'plain'; say privacy="),
        (
            {"privacy": "hashed", "secret": SECRET},
            {"privacy": "hashed", "secret": "another secret of mine"},
            r"another secret \(value not shown\); give that one",
        ),
    ],
)
def test_another_choice_of_privacy_is_refused(path: Path, first: dict, then: dict, why: str) -> None:
    """A rerun with another privacy or another secret is an error, and the journal stays as it is."""
    with Journal(path, **first) as journal:
        journal.record(asked(journal), DONE)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=why) as caught:
        Journal(path, **then).open()
    assert "another secret of mine" not in str(caught.value)
    assert path.read_bytes() == before
    with Journal(path, **first) as journal:
        assert len(journal) == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"privacy": "secret"}, "privacy='secret' is neither"),
        ({"privacy": "hashed"}, "needs secret="),
        ({"privacy": "hashed", "secret": 1234567890123456}, "secret= is int, not text"),
        ({"secret": SECRET}, "keeps keys as they are"),
        ({"privacy": "hashed", "secret": "hunter2"}, "a secret of 7 characters can be guessed"),
        ({"lease": 0}, "lease=0 is no number of seconds above 0"),
        ({"lease": True}, "lease=True is no number"),
        ({"lease": float("nan")}, "lease=nan is no number"),
        ({"sync": "never"}, "sync='never' is neither"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(path: Path, options: dict, why: str) -> None:
    """Each setting is checked at once, with the mend, and never shows the secret."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        Journal(path, **options)
    assert "hunter2" not in str(caught.value)


# --- files that are no journal of ours


def _foreign(path: Path) -> None:
    with Other(path) as other:
        other.execute("CREATE TABLE patients (name)")


def _foreign_by_id(path: Path) -> None:
    with Other(path) as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("CREATE TABLE patients (name)")


def _newer(path: Path) -> None:
    Journal(path).open().close()
    with Other(path) as other:
        other.execute("PRAGMA user_version = 99")


def _torn(path: Path) -> None:
    _filled(path)
    os.truncate(path, path.stat().st_size // 2)


def _without_tables(path: Path) -> None:
    with Other(path) as other:
        other.execute("PRAGMA application_id = 0x64634D76")


class Other:
    """A connection that is closed in the end."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *error: object) -> None:
        self._connection.commit()
        self._connection.close()


def _filled(path: Path) -> None:
    with Journal(path, sync="renew") as journal:
        for number in range(300):
            journal.record(asked(journal, number), FULL, Details((), Manifest(files(*map(str, range(20))))))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_foreign, "is the database of another program; name another file"),
        (_foreign_by_id, "is the database of another program; name another file"),
        (_newer, "has schema 99, this dicomover knows up to 1; upgrade"),
        (_without_tables, "has no schema of a journal"),
        (lambda path: path.write_bytes(b"AccessionNumber\n00123\n"), "is no SQLite file, or a damaged one"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 16), "another program|is damaged"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "is damaged|cannot be used"),
        (_torn, "is damaged .*; restore a copy of it, or keep it aside"),
        (lambda path: path.mkdir(), "is no file; name a file"),
        (
            lambda path: Path(f"{path}-wal").write_bytes(b"records"),
            "is gone, but 'cohort.db-wal' .*put the journal back",
        ),
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_alone(path: Path, make, why: str) -> None:
    """Foreign, newer, damaged: one clear error with the file, why and the mend; not a byte is changed."""
    make(path)
    before = {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}
    with pytest.raises(ConfigurationError, match=why) as caught:
        Journal(path).open()
    assert "cohort.db" in str(caught.value)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()} == before


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    """A process killed before it wrote anything leaves an empty file, which is nobody's."""
    path.touch()
    with Journal(path) as journal:
        assert len(journal) == 0


def test_damage_in_the_middle_is_an_error_when_it_is_read(path: Path) -> None:
    """A journal whose pages were overwritten never answers with half of what it knew."""
    _filled(path)
    with path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * 4096 * 12)
    with (
        pytest.raises((JournalError, ConfigurationError), match=r"is damaged|cannot be read"),
        Journal(path) as journal,
    ):
        journal.details(journal.entries())


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


def test_a_full_disk_is_an_error_and_leaves_every_earlier_record(path: Path) -> None:
    """What cannot be written is said, not swallowed; what was written stays, and writing goes on afterwards."""
    with Journal(path) as journal:
        journal.record(asked(journal, 0), DONE)
        assert journal._connection is not None
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        many = Details((), Manifest(tuple(File(os.urandom(99).hex(), "1", "1", "1", 1, 1) for _ in range(999))))
        with pytest.raises(JournalError, match=r"the disk is full.*; make room"):
            journal.record(asked(journal, 1), DONE, many)
        assert len(journal) == 1
        journal._connection.execute("PRAGMA max_page_count = 1000000")
        journal.record(asked(journal, 1), DONE, many)
        assert len(journal) == 2


def test_the_log_is_used_on_local_disks_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network file system the journal does without shared memory, and works all the same."""
    if sys.platform == "linux":
        assert allows_wal(path) in (True, False)
    monkeypatch.setattr("dicomover.journal.database.allows_wal", lambda path: False)
    with Journal(path) as journal:
        assert journal._connection is not None
        assert journal._connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert journal.claim(["k"])
        journal.record(asked(journal), DONE)
        assert not Path(f"{path}-wal").exists()
    monkeypatch.setattr("dicomover.journal.database.allows_wal", lambda path: True)
    with Journal(path) as journal:
        assert len(journal) == 1


def test_a_record_is_synced_and_a_claim_need_not_be(path: Path) -> None:
    """With `sync="record"` every record is synced; with `renew` the next renewal does it."""
    with Journal(path) as journal:
        assert journal._connection is not None
        journal.claim(["k"])
        assert journal._connection.execute("PRAGMA synchronous").fetchone()[0] == 1
        journal.record(asked(journal), DONE)
        assert journal._connection.execute("PRAGMA synchronous").fetchone()[0] == 3
        assert not journal._is_unsynced
    with Journal(path, sync="renew") as journal:
        for settle in (journal.renew, journal.flush):
            journal.record(asked(journal), DONE)
            assert journal._is_unsynced
            settle()
            assert not journal._is_unsynced
        assert journal._connection is not None
        assert journal._connection.execute("PRAGMA synchronous").fetchone()[0] == 3


# --- what a rerun decides


@pytest.mark.parametrize(
    ("verified", "result"),
    [
        # we receive
        (True, Result(Status.SUCCESS, expected=3, received=3)),
        (True, Result(Status.WARNING, expected=3, received=3)),
        (True, Result(Status.SUCCESS, expected=3, received=4)),
        (True, Result(Status.SUCCESS, counters=Counters(2, 0, 1), received=3)),
        (False, Result(Status.SUCCESS, expected=3, received=2)),
        (False, Result(Status.SUCCESS, counters=Counters(3), received=2)),
        (False, Result(Status.SUCCESS, expected=3, counters=Counters(4), received=3)),
        (False, Result(Status.SUCCESS, received=3)),  # nobody counted
        (False, Result(Status.SUCCESS, expected=0, received=0)),
        (False, Result(Status.SUCCESS, expected=3, received=3, counters=Counters(3, 1))),
        # a third party receives
        (True, Result(Status.SUCCESS, 0, expected=3, counters=Counters(3, 0, 0))),
        (True, Result(Status.WARNING, 0, expected=3, counters=Counters(2, 0, 1))),
        (True, Result(Status.SUCCESS, 0, expected=3, counters=Counters(2, 0, 0, 1))),  # its last word did not count
        (True, Result(Status.SUCCESS, 0, counters=Counters(3, 0, 0))),
        (True, Result(Status.SUCCESS, 0, counters=Counters(3))),
        (False, Result(Status.SUCCESS, 0, expected=3, counters=Counters(2))),
        (False, Result(Status.SUCCESS, 0, counters=Counters(2, 0, 0, 1))),
        (False, Result(Status.SUCCESS, 0, counters=Counters(0, 0, 0))),
        (False, Result(Status.SUCCESS, 0, expected=3)),
        (False, Result(Status.SUCCESS, 0)),
        (False, Result(Status.SUCCESS, 0, counters=Counters(3, 1))),
        *((False, Result(status, 0, expected=3, received=3)) for status in Status if not status.complete),
        (False, Result(None, 0, expected=3, received=3)),
        (False, Result(Status.SKIPPED, 0, expected=3, received=3)),
    ],
)
def test_verified_means_that_a_number_shows_it(verified: bool, result: Result) -> None:
    """A status alone is not believed: what should have come must be known, and met."""
    assert is_verified(result) is verified


HERE = FileCheck(Manifest(files("1", "2", "3")))
SOME_GONE = FileCheck(Manifest(files("1", "2")), files("3"))
SOME_CHANGED = FileCheck(Manifest(files("1", "2")), (), files("3"))
FEWER = FileCheck(Manifest(files("1", "2")))
TWICE = FileCheck(Manifest((*files("1", "2"), files("2")[0]._replace(path="P/1/2~1.dcm"))))
ALL_GONE = FileCheck(Manifest(), files("1", "2", "3"))
ALL_CHANGED = FileCheck(Manifest(), (), files("1", "2", "3"))
NONE = FileCheck()
PART = Result(Status.PARTIAL, expected=3, received=2)
UNKNOWN = Result(Status.NOT_FOUND)
THIRD = Result(Status.SUCCESS, 0, expected=3, counters=Counters(3, 0, 0))


@pytest.mark.parametrize(
    ("decision", "result", "check", "expected"),
    [
        # never seen
        ("move", None, None, None),
        ("move", None, HERE, 3),
        # a third party receives
        ("skip", THIRD, None, None),
        ("skip", THIRD, None, 3),
        ("skip", THIRD, None, 2),
        ("retry", THIRD, None, 4),
        ("retry", Result(Status.SUCCESS, 0), None, None),
        *(("retry", Result(status), None, None) for status in Status if not status.complete),
        # we receive, and it was complete
        ("skip", DONE, HERE, None),
        ("skip", DONE, HERE, 3),
        ("retry", DONE, HERE, 4),
        ("retry", DONE, SOME_GONE, None),
        ("retry", DONE, SOME_CHANGED, None),
        ("retry", DONE, FEWER, None),
        ("retry", DONE, TWICE, None),
        ("move", DONE, ALL_GONE, None),
        ("move", DONE, ALL_CHANGED, None),
        ("move", DONE, NONE, None),
        # we receive, and it was not
        ("retry", PART, FEWER, None),
        ("retry", PART, SOME_GONE, None),
        ("retry", PART, HERE, None),
        ("move", PART, ALL_GONE, None),
        ("retry", PART, NONE, None),
        ("retry", UNKNOWN, NONE, None),
    ],
)
def test_the_decision_follows_the_table(
    decision: str, result: Result | None, check: FileCheck | None, expected: int | None
) -> None:
    """Never seen or nothing left: move; not complete: retry; complete, verified and untouched: skip."""
    assert decide(result, check, expected=expected) is Decision(decision)


def test_nothing_is_skipped_that_is_not_verified_and_untouched() -> None:
    """Over every combination of statuses, numbers and files, skip means verified with every file intact."""
    numbers = (None, 0, 2, 3)
    checks = (None, HERE, SOME_GONE, SOME_CHANGED, FEWER, TWICE, ALL_GONE, ALL_CHANGED, NONE)
    seen = set()
    for status, expected, received, moved, check in itertools.product(Status, numbers, numbers, numbers, checks):
        result = Result(status, 0, expected=expected, received=received, counters=Counters(moved))
        decision = decide(result, check)
        seen.add(decision)
        if decision is Decision.SKIP:
            assert status in (Status.SUCCESS, Status.WARNING)
            assert expected is not None or moved
            if check is not None:
                assert not check.missing
                assert not check.changed
                assert len(check.intact.instances) >= max(expected or 0, received or 0)
    assert seen == set(Decision)


# --- the files


def _lay(folder: Path, names: str) -> Manifest:
    """Put files into a folder, and take them down as arrivals."""
    kept = []
    for name in names:
        path = folder / "P" / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"DICM" + name.encode())
        arrival = Arrival(path, "1.2.840.10008.5.1.4.1.1.2", f"1.2.{name}", "1", "1.2", "P", "1.2", 1, "A")
        kept.append(File.of(arrival, folder))
    return Manifest(tuple(kept))


def test_files_that_are_untouched_are_intact(tmp_path: Path) -> None:
    """An arrival is taken down relative to the folder, with the size of the file, and found again."""
    manifest = _lay(tmp_path, "abc")
    assert manifest.files[0][:5] == ("P/a.dcm", "1.2.a", "1.2", "1", 5)
    assert manifest.bytes == 15
    assert check_files(manifest, tmp_path) == FileCheck(manifest)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert check_files(manifest, moved) == FileCheck(manifest)


def test_deleted_and_changed_files_are_noticed(tmp_path: Path) -> None:
    """Gone, another size, another time, or a folder in its place: each is seen."""
    manifest = _lay(tmp_path, "abcde")
    (tmp_path / "P" / "a.dcm").unlink()
    (tmp_path / "P" / "b.dcm").write_bytes(b"longer than before")
    os.utime(tmp_path / "P" / "c.dcm", ns=(0, manifest.files[2].mtime_ns + 1))
    (tmp_path / "P" / "d.dcm").unlink()
    (tmp_path / "P" / "d.dcm").mkdir()
    check = check_files(manifest, tmp_path)
    assert [file.sop for file in check.missing] == ["1.2.a"]
    assert [file.sop for file in check.changed] == ["1.2.b", "1.2.c", "1.2.d"]
    assert check.intact.instances == {"1.2.e"}


def test_a_folder_that_is_a_file_now_has_lost_its_files(tmp_path: Path) -> None:
    """A path through something that is no folder is missing, not an error."""
    manifest = _lay(tmp_path, "a")
    (tmp_path / "P" / "a.dcm").unlink()
    (tmp_path / "P").rmdir()
    (tmp_path / "P").touch()
    assert check_files(manifest, tmp_path).missing == manifest.files


def test_a_file_outside_of_the_folder_is_not_taken_down(tmp_path: Path) -> None:
    """A path that is not below the folder could not be found again."""
    (tmp_path / "a.dcm").touch()
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="is not in the subpath"):
        File.of(Arrival(tmp_path / "a.dcm", "", "", "", "", "", "", 1, "A"), tmp_path / "in")


def test_later_files_replace_those_with_their_path_or_instance() -> None:
    """A manifest that takes in a retry has each instance where it lies now."""
    first = Manifest(files("1", "2", "3"))
    moved = files("2")[0]._replace(path="elsewhere/2.dcm")
    overwritten = files("4")[0]._replace(path="P/1/3.dcm")
    merged = first.merge([moved, overwritten])
    assert merged.files == (*files("1"), moved, overwritten)
    assert first.merge([]) == first


# --- what is missing


@pytest.mark.parametrize(
    ("here", "archive", "asks"),
    [
        ("", {}, []),
        ("", {"s": ""}, []),
        ("", {"s": "ab"}, [("s", "", 2)]),
        ("ab", {"s": "ab"}, []),
        ("abc", {"s": "abcd"}, [("s", "d", 1)]),
        ("ab", {"s": "abcd"}, [("s", "cd", 2)]),
        ("a", {"s": "abcd"}, [("s", "", 3)]),
        ("ab", {"s": "ab", "t": "c"}, [("t", "", 1)]),
        ("abx", {"s": "abc", "t": "de"}, [("s", "c", 1), ("t", "", 2)]),
        ("abcdef", {"s": "abcdefghij"}, [("s", "gh", 2), ("s", "ij", 2)]),
        ("ab", {"s": "abcc"}, [("s", "c", 1)]),
    ],
)
def test_what_is_missing_is_asked_for_by_series_or_by_instance(here: str, archive: dict[str, str], asks: list) -> None:
    """A series of which most is missing is asked for as a whole, another by its instances, not too many at once."""
    assert missing(set(here), archive, at_once=2) == tuple(Missing(s, tuple(uids), n) for s, uids, n in asks)


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 30).map(str)),
    st.dictionaries(st.sampled_from("stuv"), st.lists(st.integers(0, 30).map(str))),
    st.floats(0, 1),
    st.integers(1, 7),
)
def test_what_is_asked_for_covers_what_is_missing(here: set[str], archive: dict, most: float, at_once: int) -> None:
    """Everything that is missing is asked for, and by instance nothing that is here."""
    asks = missing(here, archive, most=most, at_once=at_once)
    brought = set()
    for ask in asks:
        assert ask.count > 0
        assert len(ask.instances) <= at_once
        assert not here.intersection(ask.instances)
        brought |= set(ask.instances or archive[ask.series])
    assert set().union(*archive.values()) <= here | brought


def test_the_key_is_stable(path: Path) -> None:
    """A journal of last year is understood: the canonical form of a request does not change."""
    with Journal(path) as journal:
        key = journal.asked(one({"PatientID": "ä", "StudyInstanceUID": "1.2"}), archive="A", destination="B")
    assert key.key == "1834b302872bdc2bbb17906cd7b26730"
    assert json.loads(key.text) == {
        "archive": "A",
        "destination": "B",
        "level": "STUDY",
        "keys": {"PatientID": "ä", "StudyInstanceUID": "1.2"},
    }


@pytest.mark.parametrize("moment", range(4))
def test_a_schema_that_another_run_writes_meanwhile(tmp_path: Path, moment: int) -> None:
    """Whoever looks while another run begins the journal sees it without a schema or with all of it, never half."""
    path = tmp_path / "journal.db"
    looking, writing = (sqlite3.connect(path, timeout=0, isolation_level=None) for _ in range(2))
    seen: list[str] = []

    def write(statement: str) -> None:
        seen.append(statement)
        if len(seen) == moment + 1:
            with contextlib.suppress(sqlite3.OperationalError):  # it has to wait for the one who looks
                writing.execute("BEGIN IMMEDIATE")
                database.create(writing, {"privacy": "plain"})
                writing.execute("COMMIT")

    with contextlib.closing(looking), contextlib.closing(writing):
        looking.set_trace_callback(write)
        assert database.check_schema(looking, path) in (True, False)
    assert len(seen) > moment
