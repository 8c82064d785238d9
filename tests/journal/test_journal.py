"""The journal of a batch: what is kept of whom, under which key, and what outlives what."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from pathlib import Path

import pandas as pd
import pytest

from dicomover.errors import ConfigurationError
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Asked, File, Journal, JournalError
from dicomover.node import Node
from dicomover.outcome import Status
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from journal_kit import DONE, PLACE, SECRET, STUDY, Other, asked, files, keep, one

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


def test_a_record_replaces_the_one_before_and_keeps_what_is_here(path: Path) -> None:
    """A request has one row; what it brought is here all the same, and None for a result keeps the one before."""
    with Journal(path) as journal:
        key = keep(journal, files("1"))
        journal.record(key, Result(Status.LOST))
        assert len(journal) == 1
        assert journal.entries()[key.key].result.status is Status.LOST
        assert journal.holding(PLACE, STUDY).manifest.files == files("1")
        assert not journal.record(key, None, place=PLACE, brought={"P": files("2")})
        assert journal.entries()[key.key].result.status is Status.LOST
        assert journal.holding(PLACE, STUDY).count == 2


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
                    assert journal.record(key, DONE, (STUDY,), place=PLACE, brought={"P": files(key.key)})
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
    came = [File("PAT4711/Doe^Jane/1.dcm", "1.2.3", "1.2", "1", 1, 1)]
    request = one({"PatientID": "PAT4711", "PatientName": "Doe^Jane", "AccessionNumber": "ACC0815"})
    journal = Journal(path, privacy=privacy, secret=secret)  # type: ignore[arg-type]
    with journal:
        key = journal.asked(request, archive="ARCHIVE")
        journal.claim([key.key])
        whose = journal.keep_patients(["PAT4711"])
        scope = journal.scope(Identifier(Level.PATIENT, Model.PATIENT, "PAT4711"), ["PAT4711"])
        failed = Result(Status.FAILURE, error="no study for PAT4711, Doe^Jane, ACC0815")
        journal.record(key, failed, [scope], place=PLACE, brought={whose: came}, whole=[(scope, 1)])
        assert journal.holding(PLACE, scope).manifest.files == tuple(came)
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
    assert "PAT4711" not in repr(came) + repr(key) + repr(scope)
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


def test_a_full_disk_is_an_error_and_leaves_every_earlier_record(path: Path) -> None:
    """What cannot be written is said, not swallowed; what was written stays, and writing goes on afterwards."""
    with Journal(path) as journal:
        journal.record(asked(journal, 0), DONE)
        assert journal._connection is not None
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages}")
        many = tuple(File(os.urandom(99).hex(), f"1.{n}", "1", "1", 1, 1) for n in range(999))
        with pytest.raises(JournalError, match=r"the disk is full.*; make room"):
            keep(journal, many, 1)
        assert len(journal) == 1
        journal._connection.execute("PRAGMA max_page_count = 1000000")
        keep(journal, many, 1)
        assert len(journal) == 2


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


def test_two_archives_with_one_ae_title_have_nothing_in_common(path: Path) -> None:
    """A node is known by host, port and AE title together, or by its name alone; a destination likewise."""
    request = one({"AccessionNumber": "00123"})
    here, there = Node("10.0.0.1", 104, ae_title="ORTHANC"), Node("10.0.0.2", 104, ae_title="ORTHANC")
    named = [Node(host, 104, ae_title=title, name="main") for host, title in (("10.0.0.1", "A"), ("10.0.0.2", "B"))]
    with Journal(path) as journal:
        keys = {
            journal.asked(request, archive=archive, destination=destination).key
            for archive in (here, there, named[0], "ORTHANC", "main", Node("10.0.0.1", 105, ae_title="ORTHANC"))
            for destination in (None, "WS", here, there, named[0])
        }
        assert len(keys) == 30
        assert len({journal.asked(request, archive=node, destination=node).key for node in named}) == 1
        upper = Node("PACS.example.org", 104)
        assert journal.asked(request, archive=upper) == journal.asked(request, archive=Node("pacs.example.org", 104))


@pytest.mark.parametrize("privacy", [{}, {"privacy": "hashed", "secret": SECRET}])
@pytest.mark.parametrize("column", ["recorded", "status", "received", "seconds", "error", "failed_uids", "version"])
@pytest.mark.parametrize("value", ["text", b"bytes", 1e300, 1 << 62])
def test_whatever_stands_in_a_column_is_read_or_is_our_error(
    path: Path, privacy: dict[str, str], column: str, value: object
) -> None:
    """SQLite keeps any type in any column; a tampered record is a sentence, never a TypeError."""
    with Journal(path, **privacy) as journal:
        keep(journal, files("1"))
        with Other(path) as other:
            other.execute(f"UPDATE requests SET {column} = ?", (value,))
            other.execute("UPDATE series SET files = ?", (value,))
        with contextlib.suppress(JournalError):
            (entry,) = journal.entries().values()
            assert isinstance(entry.result.received, int | None)
        with pytest.raises(JournalError, match="cannot be read"):
            journal.holding(PLACE, STUDY)


@pytest.mark.parametrize("name", ["privacy", "salt", "check", "cipher"])
@pytest.mark.parametrize("value", [None, "", "zz", "\u00e4\u00e4", b"\xff"])
def test_a_journal_that_does_not_say_how_it_was_begun_is_refused(path: Path, name: str, value: object) -> None:
    """What it says of its own secret is checked like all else."""
    Journal(path, privacy="hashed", secret=SECRET).open().close()
    with Other(path) as other:
        if value is None:
            other.execute("DELETE FROM about WHERE name = ?", (name,))
        else:
            other.execute("UPDATE about SET value = ? WHERE name = ?", (value, name))
    with pytest.raises(ConfigurationError, match=r"cohort\.db"):
        Journal(path, privacy="hashed", secret=SECRET).open()
