"""A process that records is killed at random moments; every record that it had reported is there, whole."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import IO

import pytest

from dicomover.identifier import Level, Model, Request
from dicomover.journal import File, Journal, Place, Scope
from dicomover.outcome import Counters, Status
from dicomover.summary import Result

SECRET = "0123456789abcdef0123456789abcdef"
PLACE = Place.of("A", None)
KILLS = 32
LONGEST = 0.1  # seconds that a child may live
PER_CHILD = 10_000  # more than it can record in that time


def request(number: int) -> Request:
    """Return the request number so and so."""
    return Request(number, number, {"AccessionNumber": str(number)}, Level.STUDY, Model.STUDY)


@cache
def content(number: int) -> tuple[Result, Scope, tuple[File, ...]]:
    """Return what is recorded of it: small or large, so that a record may span many pages."""
    rng = random.Random(number)
    count = rng.choice([0, 1, 50, 400])
    result = Result(
        status=rng.choice([Status.SUCCESS, Status.PARTIAL, Status.LOST]),
        status_code=rng.randrange(1 << 16),
        expected=count,
        received=count,
        counters=Counters(count, 0, 0, None),
        started=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**15)),
        seconds=rng.random(),
        error=rng.choice([None, "lost; run it again"]),
        failed_uids=tuple(f"1.2.{rng.getrandbits(60)}" for _ in range(rng.randrange(3))),
    )
    files = tuple(
        File(f"P{number}/{n}.dcm", f"1.{rng.getrandbits(90)}", f"1.{n % 3}", f"1.{number}", n, n * 10**18)
        for n in range(count)
    )
    return result, Scope(Level.STUDY, f"1.{number}", "", (), "P"), files


def opened(path: str | Path, privacy: str) -> Journal:
    """Return the journal that is tortured."""
    return Journal(path, privacy=privacy, secret=SECRET if privacy == "hashed" else None)  # type: ignore[arg-type]


def record(path: str, privacy: str, first: int) -> None:
    """Record one after the other, and report each when it is recorded."""
    with opened(path, privacy) as journal:
        for number in range(first, first + PER_CHILD):
            asked = journal.asked(request(number), archive="A")
            assert journal.claim([asked.key]) == {asked.key}
            result, scope, files = content(number)
            journal.record(asked, result, [scope], place=PLACE, brought={"P": files})
            os.write(1, f"{number}\n".encode())


def serve() -> None:
    """Fork a child that records, for each line that says where and from which number on.

    A child that had to import everything first would live too long to be killed at any moment of its work.
    """
    for line in sys.stdin:
        path, privacy, first = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            os.write(1, f"child {os.getpid()}\n".encode())
            record(path, privacy, int(first))
            os._exit(0)
        os.waitpid(pid, 0)
        os.write(1, b"dead\n")


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process with everything imported, which forks the children."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


def lines(stream: IO[bytes], until: bytes, deadline: float) -> list[bytes]:
    """Read until a line comes that begins so."""
    read = b""
    while not (read.endswith(b"\n") and read.rstrip(b"\n").rpartition(b"\n")[2].startswith(until)):
        ready, _, _ = select.select([stream], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"nothing that begins with {until!r} came in time"
        chunk = os.read(stream.fileno(), 1 << 16)
        assert chunk, "the server of children ended"
        read += chunk
    return read.split(b"\n")[:-1]


def kill_one(
    server: subprocess.Popen[bytes], path: Path, privacy: str, first: int, after: float, *, is_at_work: bool = False
) -> list[int]:
    """Let a child record, kill it so many seconds later, and return what it had reported.

    The seconds run from its beginning, or from its first record if it is to be killed at work.
    """
    assert server.stdin is not None
    assert server.stdout is not None
    deadline = time.monotonic() + 30
    server.stdin.write(f"{path}\t{privacy}\t{first}\n".encode())
    head, *early = lines(server.stdout, b"", deadline)
    if is_at_work and not early:
        early = lines(server.stdout, b"", deadline)
    time.sleep(after)
    os.kill(int(head.split()[1]), signal.SIGKILL)
    *rest, last = lines(server.stdout, b"dead", deadline)
    assert last == b"dead"
    return [int(line) for line in early + rest]


def check(path: Path, privacy: str, reported: set[int], highest: int) -> int:
    """Hold the journal against what was reported; return how many records it has."""
    with opened(path, privacy) as journal:
        assert journal._connection is not None
        assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = {journal.asked(request(number), archive="A").key: number for number in range(highest)}
        entries = journal.entries()
        assert {numbers[key] for key in entries} >= reported
        for key, entry in entries.items():
            result, scope, files = content(numbers[key])
            assert (entry.result, entry.scopes) == (result, (scope,))
            assert set(journal.holding(PLACE, scope).manifest.files) == set(files)
        assert journal.claim(numbers) == set(numbers), "a killed owner still blocks a request"
    return len(entries)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
@pytest.mark.parametrize(("privacy", "seed"), [("plain", 20240101), ("plain", 4711), ("hashed", 815)])
def test_a_kill_at_any_moment_loses_no_record(
    server: subprocess.Popen[bytes], tmp_path: Path, privacy: str, seed: int
) -> None:
    """However often it is killed, a journal opens, and what was reported is there, whole, and free to claim."""
    rng = random.Random(seed)
    path = tmp_path / "cohort.db"
    reported: set[int] = set()
    first = 0
    begun = time.monotonic()
    for kill in range(KILLS):
        # Every other one at work: a busy machine may need longer than it lives to open the journal.
        said = kill_one(server, path, privacy, first, rng.uniform(0, LONGEST), is_at_work=kill % 2 == 0)
        assert said == list(range(first, first + len(said)))
        reported.update(said)
        first += len(said) + 1  # the one that was cut off may be there, or not
        assert check(path, privacy, reported, first) - len(reported) <= kill + 1
        if time.monotonic() - begun > 60 and kill >= 29:
            break
    assert len(reported) > kill // 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")
def test_a_kill_while_it_is_created_leaves_a_usable_file(server: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Killed within the first hundredths of a second, a new journal is either not there yet, or whole."""
    rng = random.Random(23)
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.db"
        said = kill_one(server, path, "plain", 0, rng.uniform(0, 0.02))
        check(path, "plain", set(said), len(said) + 1)


if __name__ == "__main__":
    serve()
