"""A journal of an earlier schema becomes one of ours: once, and all of it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from dicomover.errors import ConfigurationError
from dicomover.identifier import Level
from dicomover.journal import File, Journal, Place, Scope, takeover
from dicomover.node import Node
from journal_kit import DONE, SECRET, Other, files, one

NODE = Node("10.0.0.1", 104, ae_title="ARCHIVE")
PRIVACIES: list[dict] = [{}, {"privacy": "hashed", "secret": SECRET}]


def pack_before(level: str, study: str, kept: Iterable[File]) -> bytes:
    """Return what schema 2 kept of a request."""
    kept = list(kept)
    content = {
        "format": 1,
        "identifiers": [[level, "study", "", study, "", ""]],
        "series": ["1.2"],
        "studies": [study],
        "first": 5,
        "path": [file.path for file in kept],
        "sop": [file.sop for file in kept],
        "in_series": [0] * len(kept),
        "in_study": [0] * len(kept),
        "size": [file.size for file in kept],
        "after": [file.mtime_ns - 5 for file in kept],
    }
    return zlib.compress(json.dumps(content).encode())


def make_before(path: Path, version: int, privacy: dict) -> None:
    """Begin a journal as schema 1 or 2 did: a study by its accession number, and by its UID and its patient."""
    archive = NODE if version == 2 else NODE.ae_title
    with Journal(path, **privacy) as journal:
        own = journal.asked(one({"AccessionNumber": "00123"}), archive=archive)
        also = journal.asked(one({"StudyInstanceUID": "1", "PatientID": "P"}), archive=archive)
        for asked in (own, also):
            journal.record(asked, DONE)
        packed = journal._keeper.seal(pack_before("STUDY", "1", files("1", "2", "3")))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE details (key TEXT PRIMARY KEY, content BLOB NOT NULL)")
        for name in ("places", "studies", "series"):
            connection.execute(f"DROP TABLE {name}")
        connection.execute("ALTER TABLE requests DROP COLUMN scopes")
        connection.executemany("INSERT INTO details VALUES (?, ?)", [(own.key, packed), (also.key, packed)])
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


@pytest.mark.parametrize("privacy", PRIVACIES)
@pytest.mark.parametrize("version", [1, 2])
def test_what_was_here_is_here(path: Path, version: int, privacy: dict) -> None:
    """Each file is known once, as whose the archive had named, and the study is whole; eight at once do it once."""
    make_before(path, version, privacy)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Journal(path, **privacy).open(), range(8)))
    for journal in opened:
        places = journal.places(NODE)
        assert len(places) == 3 - version
        assert places[-1] == Place.of(NODE.known_as if version == 2 else "ARCHIVE", None)
        for whose in (journal.keep_patients(["P"]), ""):
            held = journal.holding(places[-1], Scope(Level.STUDY, "1", "", (), whose))
            assert [file[:6] for file in held.manifest.files] == [file[:6] for file in files("1", "2", "3")]
            assert (held.count, held.whole) == (3, 3)
        assert journal.holding(places[-1], Scope(Level.STUDY, "1", "", (), "another")).count == 0
        request = one({"AccessionNumber": "00123"})
        asked = journal.asked(request, archive=NODE if version == 2 else "ARCHIVE")
        (entry,) = journal.entries([asked.key]).values()
        assert entry.scopes_of(asked, request)
        assert entry.result == DONE
        journal.close()
    with Other(path) as other:
        assert other.execute("PRAGMA user_version").fetchone()[0] == 3
        assert not other.execute("SELECT 1 FROM sqlite_master WHERE name = 'details'").fetchall()


def test_what_fails_halfway_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it or nothing: another attempt finds what the first one found."""
    make_before(path, 2, {})

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(takeover, "pack_scopes", fail)
        with pytest.raises(ConfigurationError, match="cannot be used"):
            Journal(path).open()
    with Other(path) as other:
        assert other.execute("PRAGMA user_version").fetchone()[0] == 2
        assert other.execute("SELECT count(*) FROM details").fetchone()[0] == 2
    with Journal(path) as journal:
        assert sum(len(part) for _, part in journal.files()) == 3


@pytest.mark.parametrize(
    "value",
    ["text", b"", zlib.compress(b"{}"), zlib.compress(b"[" * 100_000), zlib.compress(bytes(1 << 26)), 7],
)
def test_what_cannot_be_read_is_not_known_any_more(path: Path, value: object) -> None:
    """One record that was damaged costs that record: it moves again."""
    make_before(path, 2, {})
    with Other(path) as other:
        key = other.execute("SELECT key FROM requests WHERE asked LIKE '%PatientID%'").fetchone()[0]
        other.execute("UPDATE details SET content = ? WHERE key = ?", (value, key))
    with Journal(path) as journal:
        assert [len(part) for _, part in journal.files()] == [3], "by the other one"
        assert len(journal) == 2


def test_another_secret_takes_nothing_over(path: Path) -> None:
    """Who cannot read a journal leaves it as it is."""
    make_before(path, 2, PRIVACIES[1])
    with pytest.raises(ConfigurationError, match="another secret"):
        Journal(path, privacy="hashed", secret=SECRET[::-1]).open()
    with Other(path) as other:
        assert other.execute("PRAGMA user_version").fetchone()[0] == 2
