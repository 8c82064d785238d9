"""The file of a journal: which are refused, and how one is opened."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dicomover.errors import ConfigurationError
from dicomover.journal import Journal, JournalError, database
from dicomover.journal.database import allows_wal
from journal_kit import DONE, FULL, PLACE, Other, asked, files


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


def _filled(path: Path) -> None:
    with Journal(path, sync="renew") as journal:
        for number in range(300):
            kept = [file._replace(study=f"1.{number}") for file in files(*map(str, range(20)))]
            journal.record(asked(journal, number), FULL, place=PLACE, brought={"P": kept})


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_foreign, "is the database of another program; name another file"),
        (_foreign_by_id, "is the database of another program; name another file"),
        (_newer, "has schema 99, this dicomover knows up to 3; upgrade"),
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


@pytest.mark.skipif(sys.platform == "win32", reason="there a lock belongs to a handle")
def test_a_second_look_lets_go_of_no_lock(path: Path) -> None:
    """With a journal open twice in one process, another process takes its log for no leftover."""
    log = Path(f"{path}-wal")
    with Journal(path) as journal:
        journal.record(asked(journal, 1), DONE)
        with Journal(path):
            look = "import sqlite3, sys; other = sqlite3.connect(sys.argv[1]); other.execute('SELECT 1 FROM about')"
            subprocess.run([sys.executable, "-c", f"{look}.fetchall(); other.close()", path], check=True, timeout=60)
            assert log.stat().st_size
            journal.record(asked(journal, 2), DONE)
    with Journal(path) as journal:
        assert len(journal) == 2


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
        assert not (journal.entries() and journal.files())


def test_text_that_is_none_is_damage_and_not_quoted(path: Path) -> None:
    """SQLite's own error quotes what stands there, a patient's number: ours does not."""
    with Journal(path) as journal:
        journal.record(asked(journal, 1), DONE)
    content = path.read_bytes()
    assert b'"keys"' in content
    path.write_bytes(content.replace(b'"keys"', b'"k\xffys"'))
    errors = (JournalError, ConfigurationError)
    with pytest.raises(errors) as caught, Journal(path) as journal, journal._reading() as connection:
        connection.execute("SELECT * FROM requests").fetchall()
    assert "is damaged (a text in it is none); restore a copy" in str(caught.value)
    assert caught.value.__cause__ is None


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


def test_a_file_system_without_locks_works(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a file cannot be locked a folder stands in its place, one warning says so, and two runs still exclude."""
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    monkeypatch.setattr("dicomover.journal.database.allows_wal", lambda path: False)
    monkeypatch.setattr("dicomover.journal.database.BUSY_SECONDS", 0.1)
    odd = path.with_name("a b?c#d%41.db")
    with Journal(odd) as journal:
        assert journal.claim(["k"])
        journal.record(asked(journal), DONE)
        assert len(caplog.records) == 1
        assert "has no locks" in caplog.text
        assert journal._connection is not None
        with Journal(odd) as other:
            journal._connection.execute("BEGIN EXCLUSIVE")
            assert Path(f"{odd}.lock").exists()
            with pytest.raises(JournalError, match="locked"):
                other.claim(["k"])
            journal._connection.execute("ROLLBACK")
    assert [each.name for each in path.parent.iterdir()] == [odd.name]
    with Journal(odd) as journal:
        assert len(journal) == 1


@pytest.mark.parametrize("name", ["journal.db-journal", "journal.db-wal", "journal.db-shm"])
def test_a_pipe_beside_a_journal_is_refused(name: str, tmp_path: Path) -> None:
    """SQLite would open it and wait for ever, where no interrupt reaches it."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes with names")
    os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigurationError, match="is no file"):
        Journal(tmp_path / "journal.db").open()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_link_to_no_journal_is_refused(is_there: bool, tmp_path: Path) -> None:
    """No journal is begun through a link: not where nothing is, and not in somebody's empty file."""
    target = tmp_path / "elsewhere.txt"
    if is_there:
        target.touch()
    (tmp_path / "journal.db").symlink_to(target)
    with pytest.raises(ConfigurationError, match="is a link to no journal"):
        Journal(tmp_path / "journal.db").open()
    assert target.exists() is is_there
    assert not is_there or target.stat().st_size == 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON requests BEGIN DELETE FROM requests; END",
        "CREATE VIEW v AS SELECT * FROM requests",
        "CREATE TABLE theirs (x)",
        "CREATE INDEX i ON requests (status)",
    ],
)
def test_what_is_not_ours_in_a_journal_is_refused(path: Path, statement: str) -> None:
    """A trigger or a view would have a say in what is read and written: one sentence, and nothing is changed."""
    with Journal(path) as journal:
        journal.record(asked(journal), DONE)
    with Other(path) as other:
        other.execute(statement)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="that are not ours"):
        Journal(path).open()
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="permissions are posix here")
def test_a_journal_that_anybody_may_write_is_tightened(path: Path) -> None:
    """Prepared with 0666, empty or not, it is for its owner and group before anything is written into it."""
    path.touch()
    for _ in range(2):
        path.chmod(0o666)
        with Journal(path) as journal:
            assert path.stat().st_mode & 0o777 == 0o660
            journal.record(asked(journal), DONE)
            assert not any(each.stat().st_mode & 0o002 for each in path.parent.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions are posix here")
def test_a_journal_that_cannot_be_tightened_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is somebody else's and open to anybody is named with the mend."""

    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path.touch()
    path.chmod(0o666)
    monkeypatch.setattr(Path, "chmod", denied)
    with pytest.raises(ConfigurationError, match=r"anybody can write into journal .*chmod o-w"):
        Journal(path).open()
