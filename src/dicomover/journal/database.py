"""The file: whether it is ours, how it is opened, and its schema."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dicomover.disk import Share, create_file
from dicomover.errors import ConfigurationError
from dicomover.journal.costs import COSTS

__all__ = [
    "APPLICATION_ID",
    "BROKEN",
    "BUSY_SECONDS",
    "HOLDINGS",
    "SCHEMA_VERSION",
    "allows_wal",
    "cause_of",
    "check_schema",
    "connect",
    "create",
    "select",
    "unusable",
]

APPLICATION_ID = 0x64634D76  # "dcMv"
SCHEMA_VERSION = 3
"""3 knows what is here by series, 2 an archive by more than its AE title; see `takeover`."""
BUSY_SECONDS = 30.0

logger = logging.getLogger("dicomover.journal")

_NO_LOCKS = frozenset(getattr(errno, name, -1) for name in ("ENOLCK", "ENOSYS", "EINVAL", "ENOTSUP", "EOPNOTSUPP"))
_AT_ONCE = 500  # keys in one query; older SQLites allow 999
_MAGIC = b"SQLite format 3\0"
_LOCAL = frozenset(
    "apfs bcachefs btrfs exfat ext2 ext3 ext4 f2fs hfs jfs ntfs ntfs3 overlay reiserfs tmpfs ufs vfat xfs zfs".split()  # noqa: SIM905
)


def _named(statement: str) -> tuple[str, str]:
    """Return what a statement creates."""
    words = statement.removeprefix("CREATE ").removeprefix("UNIQUE ").replace("IF NOT EXISTS ", "").split()
    return words[0], words[1]


HOLDINGS = (
    "CREATE TABLE places (number INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    """CREATE TABLE studies (
        id INTEGER PRIMARY KEY, study TEXT NOT NULL, place INTEGER NOT NULL, whose TEXT NOT NULL, whole INTEGER
    )""",
    "CREATE UNIQUE INDEX studies_by_uid ON studies (study, place, whose)",
    "CREATE INDEX studies_by_patient ON studies (whose, place)",
    """CREATE TABLE series (
        of INTEGER NOT NULL, series TEXT NOT NULL, whole INTEGER, count INTEGER NOT NULL, files BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX series_of_study ON series (of, series)",
)
_TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE requests (
        key TEXT PRIMARY KEY, asked TEXT NOT NULL, recorded INTEGER NOT NULL, version TEXT NOT NULL,
        status TEXT NOT NULL, status_code INTEGER, matches INTEGER, expected INTEGER,
        completed INTEGER, failed INTEGER, warning INTEGER, remaining INTEGER,
        received INTEGER, bytes INTEGER, attempts INTEGER NOT NULL, started INTEGER, seconds REAL,
        error BLOB, failed_uids TEXT NOT NULL, scopes BLOB NOT NULL
    ) WITHOUT ROWID""",
    *HOLDINGS,
    """CREATE TABLE owners (
        token TEXT PRIMARY KEY, host TEXT NOT NULL, place TEXT NOT NULL, pid INTEGER NOT NULL, began TEXT NOT NULL,
        expires REAL NOT NULL, steady REAL
    ) WITHOUT ROWID""",
    "CREATE TABLE leases (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX leases_by_owner ON leases (owner)",
    COSTS,
)
_OURS = {(kind.lower(), name) for each in (*_TABLES, "CREATE TABLE details (") for kind, name in [_named(each)]}


def connect(path: Path, share: Share = "owner") -> tuple[sqlite3.Connection, bool]:
    """Open a journal's file, and say whether it is still without a schema.

    Nothing is written into a file that is not ours. Raises ConfigurationError if it cannot be one: no folder, foreign,
    of a newer version, damaged, read-only.
    """
    # In this order: SQLite, once it has opened a file, takes a log beside it for a part of it; and the journal's mode
    # is written into the file, so it has to be known to be ours first.
    _look(path)
    try:
        with contextlib.suppress(FileExistsError):
            os.close(create_file(path, share))  # SQLite keeps the permissions that a file has, also beside it
    except OSError as error:
        raise ConfigurationError(
            f"journal {str(path)!r} cannot be created ({error.strerror})",
            "allow writing to its folder, or name another file",
        ) from error
    _tighten(path)
    try:
        # Without locks, by a folder beside the file that only one can make: slower, and told once.
        name = path.as_uri() + ("" if allows_wal(path) or _has_locks(path) else "?vfs=unix-dotfile")
        connection = sqlite3.connect(
            name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
        )
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    try:
        is_fresh = check_schema(connection, path)
        _set_up(connection, path)
        connection.execute("BEGIN IMMEDIATE")  # is it writable at all?
        if not is_fresh and "steady" not in [row[1] for row in connection.execute("PRAGMA table_info(owners)")]:
            connection.execute("ALTER TABLE owners ADD COLUMN steady REAL")  # older versions go on without it
        if not is_fresh:
            connection.execute(COSTS)
        connection.execute("COMMIT")
    except BROKEN as error:
        connection.close()
        raise unusable(path, error) from cause_of(error)
    except BaseException:
        connection.close()
        raise
    return connection, is_fresh


def _tighten(path: Path) -> None:
    """See that not everybody can write into a journal, or into what SQLite keeps beside it: it would be believed."""
    if os.name != "posix":
        return
    for each in (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm", "journal"))):
        try:
            mode = stat.S_IMODE(each.stat().st_mode)
            if mode & stat.S_IWOTH:
                each.chmod(mode & 0o770)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(
                f"anybody can write into journal {str(each)!r}", "let its owner run chmod o-w, or name another file"
            ) from error


def _has_locks(path: Path) -> bool:
    """Tell whether files can be locked where a journal lies; many a network file system has no such thing."""
    if sys.platform == "win32":
        return True
    import fcntl

    # Another file: to close one of the journal's own would let go of every lock that this process has on it.
    probe = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        fd = create_file(probe, "owner")
    except OSError:
        return True  # what is the matter is told by whoever opens the journal
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return True
        logger.warning(
            "the file system of journal %r has no locks; a folder %r stands in their place: if a killed process leaves "
            "it behind, remove it",
            str(path),
            f"{path.name}.lock",
        )
        return False
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
    return True


def _look(path: Path) -> None:
    """Look at the file alone, before SQLite takes what lies beside it for a part of it."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"journal {str(path)!r} has no folder to lie in", f"create {str(path.parent)!r}")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"journal {str(path)!r} is no file", "name a file such as 'cohort.db'")
    if path.is_symlink() and not (path.exists() and path.stat().st_size):
        # What does not begin as a journal of ours would be made one, wherever it lies.
        raise ConfigurationError(f"journal {str(path)!r} is a link to no journal", "take the link away")
    for name in (f"{path.name}-journal", f"{path.name}-wal", f"{path.name}-shm"):
        beside = path.with_name(name)
        if beside.exists() and not beside.is_file():  # SQLite would open a pipe, and wait for who writes into it
            raise ConfigurationError(f"{name!r} beside the journal is no file", "take it away")
    log = path.with_name(path.name + "-wal")
    if not path.exists() or not path.stat().st_size:
        if log.exists() and log.stat().st_size:
            raise ConfigurationError(
                f"journal {str(path)!r} is gone, but {log.name!r} with its last records is there",
                "put the journal back beside it, or move that file away to begin anew",
            )
        return
    # Not by opening it ourselves: to close a file lets go of every lock that this process has on it, and another one
    # that closes it would then take the log of a journal that is open here for nobody's. SQLite knows what it has open.
    looker = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        owner = looker.execute("PRAGMA application_id").fetchone()[0]
    except BROKEN as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB:
            return  # somebody is writing it, or it is damaged: whoever opens it for good is told
        with path.open("rb") as file:  # nobody has locks on what is no database
            if file.read(len(_MAGIC)) == _MAGIC:
                return
        raise ConfigurationError(
            f"journal {str(path)!r} is no SQLite file, or a damaged one", "name another file"
        ) from error
    finally:
        looker.close()
    if owner not in (0, APPLICATION_ID):
        raise _foreign(path)


def check_schema(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether a file has no schema yet; refuse one that is not ours or newer than we are."""
    with _one_look(connection):
        application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        tables = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
    if (application, version, tables) == (0, 0, []):
        return True
    if application != APPLICATION_ID:
        raise _foreign(path)
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            f"journal {str(path)!r} has schema {version}, this dicomover knows up to {SCHEMA_VERSION}",
            "upgrade dicomover, or name another file",
        )
    if version < 1 or not tables:
        raise ConfigurationError(f"journal {str(path)!r} has no schema of a journal", "name another file")
    if any((kind, name) not in _OURS and not name.startswith("sqlite_") for kind, name in tables):
        # A trigger or a view would have a say in what is read and written, an index could hold everything up.
        raise ConfigurationError(
            f"journal {str(path)!r} has tables, views or triggers that are not ours", "name another file"
        )
    return False


@contextlib.contextmanager
def _one_look(connection: sqlite3.Connection) -> Iterator[None]:
    """Read in one transaction: another run may be writing at this moment."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def create(connection: sqlite3.Connection, about: Mapping[str, str]) -> None:
    """Write the schema, in the transaction that is open: whoever looks sees all of it, or an empty file."""
    for statement in _TABLES:
        connection.execute(statement)
    connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    wanted = "wal" if allows_wal(path) else "delete"
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
            break
        except sqlite3.OperationalError as error:  # SQLite does not wait here when another one is at it
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # FULL, and in a rollback journal's mode its folder is synced as well: what was committed outlives a power cut.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA trusted_schema = OFF")  # a file from elsewhere may bring views and triggers of its own
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")


def allows_wal(path: Path) -> bool:
    """Tell whether a path lies on a local file system: a write-ahead log needs memory that all users share."""
    where = str(path.parent.resolve())
    if sys.platform == "win32":
        return not where.startswith("\\\\")
    if sys.platform != "linux":
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    found, kind = "", ""
    for line in lines:
        mount, _, source = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount.split(" ")[4])
        inside = point == "/" or where == point or where.startswith(point + "/")
        if inside and len(point) >= len(found):
            found, kind = point, source.split(" ", 1)[0]
    return kind in _LOCAL


def select(connection: sqlite3.Connection, query: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Return the rows of a query that ends with the column in which the keys are."""
    wanted = list(keys)
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        # Fetched, so that a reader who stops halfway leaves no cursor behind that outlives the connection.
        yield from connection.execute(f"{query} IN ({','.join('?' * len(part))})", part).fetchall()


def _foreign(path: Path) -> ConfigurationError:
    return ConfigurationError(f"journal {str(path)!r} is the database of another program", "name another file")


BROKEN = (sqlite3.Error, UnicodeDecodeError)
"""What a file raises that is damaged, or cannot be used: SQLite's own errors, and text that is none."""


def cause_of(error: Exception) -> Exception | None:
    """Return an error as the cause of ours; None if it quotes what stands in the file, which may be a patient's."""
    return None if "decode" in str(error) else error


def unusable(path: Path, error: Exception) -> ConfigurationError:
    """Say why a journal cannot be used, and what to do."""
    if cause_of(error) is None:
        why = "is damaged (a text in it is none)"
        return ConfigurationError(
            f"journal {str(path)!r} {why}", "restore a copy of it, or keep it aside and name another file"
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        why, mend = "is damaged", "restore a copy of it, or keep it aside and name another file"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        why, mend = f"is locked by another program for more than {BUSY_SECONDS:.0f} s", "close that one"
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        why, mend = "cannot be written", "allow writing to it and to its folder, or name another file"
    elif code == sqlite3.SQLITE_FULL:
        why, mend = "cannot grow, the disk is full", "make room, then run it again"
    else:
        why, mend = "cannot be used", "mend that, or name another file"
    return ConfigurationError(f"journal {str(path)!r} {why} ({error})", mend)
