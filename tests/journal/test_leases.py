"""Claims: two kernels on one journal never both move a request, and a dead one blocks nobody."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dicomover.identifier import Level, Model, Request
from dicomover.journal import BELOW, Journal
from dicomover.journal.leases import NOBODY, Owner
from dicomover.outcome import Status
from dicomover.summary import Result

DONE = Result(Status.SUCCESS, 0, expected=1, received=1)
COUNT = 500


def request(number: int) -> Request:
    """Return the request number so and so."""
    return Request(number, number, {"AccessionNumber": str(number)}, Level.STUDY, Model.STUDY)


def say(word: object) -> None:
    """Tell the parent."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def race(path: str, seed: str) -> None:
    """Claim, read again, move (say so), record: what a kernel does, until everything is done."""
    rng = random.Random(int(seed))
    with Journal(path) as journal:
        todo = {(asked := journal.asked(request(n), archive="A")).key: (n, asked) for n in range(COUNT)}
        say("ready")
        sys.stdin.readline()
        while todo:
            near = list(todo)[:20]  # both want the same ones
            some = rng.sample(near, min(len(near), rng.randint(1, 7)))
            mine = journal.claim(some)
            done = journal.entries(some)
            for key in some:
                if key in done:
                    todo.pop(key)
                elif key in mine:
                    number, asked = todo.pop(key)
                    say(number)
                    time.sleep(0.001)  # it moves
                    journal.record(asked, DONE)
            journal.release(mine)


def hold(path: str, count: str) -> None:
    """Claim the first so many requests, say so, and do no more."""
    with Journal(path) as journal:
        journal.claim(journal.asked(request(n), archive="A").key for n in range(int(count)))
        say("held")
        sys.stdin.readline()


def child(verb: str, *arguments: object) -> subprocess.Popen[str]:
    """Run one of the above in a process of its own."""
    command = [sys.executable, __file__, verb, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the journal lies."""
    return tmp_path / "cohort.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the first 50 requests."""
    with child("hold", path, 50) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_processes_move_each_request_exactly_once(path: Path) -> None:
    """Racing over 500 requests, two kernels share them: none is moved twice, none is left."""
    processes = [child("race", path, seed) for seed in (1, 2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        moved = [[int(line) for line in process.communicate(timeout=100)[0].split()] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(moved[0] + moved[1]) == list(range(COUNT))
    assert all(moved), "one of them did everything: that was no race"
    with Journal(path) as journal:
        assert len(journal) == COUNT


def test_a_living_owner_keeps_its_claims(path: Path, holder: subprocess.Popen[str]) -> None:
    """What another process works on is not given away; it is named, and free when that one ends."""
    with Journal(path) as journal:
        keys = [journal.asked(request(number), archive="A").key for number in range(60)]
        assert journal.claim(keys) == set(keys[50:])
        holders = journal.holders(keys)
        assert set(holders) == set(keys[:50])
        assert set(holders.values()) == {f"process {holder.pid} on {socket.gethostname()}"}
        holder.communicate("end\n")
        assert journal.claim(keys) == set(keys)
        assert journal.holders(keys) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child that nobody waited for looks alive")
def test_a_killed_owner_blocks_nobody(path: Path, holder: subprocess.Popen[str]) -> None:
    """The claims of a process killed by SIGKILL are free at once, even while it is a zombie."""
    with Journal(path, lease=10_000) as journal:
        keys = [journal.asked(request(number), archive="A").key for number in range(50)]
        assert journal.claim(keys) == set()
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert journal.claim(keys[:25]) == set(keys[:25])
        holder.wait()
        assert journal.claim(keys) == set(keys)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds by which claims end, to be turned."""
    now = [1_000_000.0]
    monkeypatch.setattr("dicomover.journal.leases.read_steady_clock", lambda: now[0])
    monkeypatch.setattr("dicomover.journal.journal.read_steady_clock", lambda: now[0])
    if sys.platform != "linux":  # where nothing tells that two processes count by the same clock
        monkeypatch.setattr("dicomover.journal.leases.time.time", lambda: now[0])
    return now


def test_a_claim_that_is_not_renewed_expires(path: Path, clock: list[float]) -> None:
    """After the lease has passed in silence another one may take over, and the first one learns of it."""
    with Journal(path, lease=60) as first, Journal(path, lease=60) as second:
        assert first.claim(["a", "b"]) == {"a", "b"}
        clock[0] += 59
        assert second.claim(["a"]) == set()
        clock[0] += 2
        assert second.claim(["a"]) == {"a"}
        assert first.renew() == {"a", "b"}
        assert first.claim(["a", "b"]) == {"b"}
        assert first.renew() == set()


def test_a_renewed_claim_lasts(path: Path, clock: list[float]) -> None:
    """A heartbeat keeps what is held; it writes nothing while there is time."""
    with Journal(path, lease=60) as first, Journal(path, lease=60) as second:
        first.claim(["a"])
        assert first._connection is not None
        before = first._connection.total_changes
        clock[0] += 19
        assert first.renew() == set()
        assert first._connection.total_changes == before
        for _ in range(10):
            clock[0] += 25
            assert first.renew() == set()
            assert second.claim(["a"]) == set()
        assert first._connection.total_changes > before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells that both count by the same clock")
@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_time_of_day_that_jumps_takes_no_claim_and_keeps_none(
    path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A clock that is set by an hour, either way, neither ends a claim that is renewed nor prolongs one that is not."""
    with Journal(path, lease=60) as first, Journal(path, lease=60) as second:
        first.claim(["a"])
        now = time.time() + jump
        monkeypatch.setattr("dicomover.journal.leases.time.time", lambda: now)
        assert second.claim(["a"]) == set()
        for _ in range(5):
            clock[0] += 25
            assert first.renew() == set()
            assert second.claim(["a"]) == set()
        clock[0] += 61
        assert second.claim(["a"]) == {"a"}


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_who_counts_by_another_clock_goes_by_the_time_of_day(
    path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, is_elsewhere: bool
) -> None:
    """Another machine's claim, and one that an older dicomover made, end by the time of day: not before, not later."""
    now = [time.time()]
    monkeypatch.setattr("dicomover.journal.leases.time.time", lambda: now[0])
    with Journal(path, lease=60) as first, Journal(path, lease=60) as second:
        first.claim(["a"])
        assert first._connection is not None
        first._connection.execute(
            "UPDATE owners SET place = 'another another-boot pid:[1] time'"
            if is_elsewhere
            else "UPDATE owners SET steady = NULL"
        )
        clock[0] += 1_000_000
        assert second.claim(["a"]) == set()
        now[0] += 61
        assert second.claim(["a"]) == {"a"}


@pytest.mark.parametrize("way", ["closed", "forgotten"])
def test_what_a_journal_of_this_kernel_held_is_free_when_it_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A journal that could not sign off, or was dropped without a close, holds nothing up in the same process."""
    gone = Journal(path).open()
    gone.claim(["a", "b"])
    with Journal(path) as journal:
        assert journal.claim(["a"]) == set()
        if way == "closed":
            with monkeypatch.context() as broken:
                broken.setattr("dicomover.journal.leases.Leases.sign_off", lambda *_: _fail())
                gone.close()
        else:
            assert gone._connection is not None
            gone._connection.close()
            del gone
        assert journal.claim(["a", "b"]) == {"a", "b"}


def _fail() -> None:
    raise sqlite3.OperationalError("database is locked")


def test_a_journal_without_the_steady_clock_is_taken_over(path: Path) -> None:
    """A file of the version before gets what it lacks, and its claims are kept."""
    with Journal(path) as journal:
        journal.claim(["a"])
        assert journal._connection is not None
        journal._connection.execute("ALTER TABLE owners DROP COLUMN steady")
        with Journal(path) as later:
            assert later.claim(["a", "b"]) == {"b"}


def test_to_claim_a_whole_is_to_claim_its_parts(path: Path) -> None:
    """A study is held against its series and images and they against it; two of its series hold up nobody."""
    study, series, image, beside = (BELOW.join(parts) for parts in (["1"], ["1", "2"], ["1", "2", "3"], ["1", "22"]))
    with Journal(path) as first, Journal(path) as second:
        assert first.claim([series]) == {series}
        assert second.claim([study, series, image, beside, "11"]) == {beside, "11"}
        assert set(second.holders([study, series, image, beside, "11"])) == {study, series, image}
        assert first.claim([study]) == set()
        first.release()
        assert second.claim([study, image]) == {study, image}
        assert first.claim([series]) == set()


def test_recording_and_releasing_give_a_claim_back(path: Path) -> None:
    """A request that has ended, or was given up, is free; closing frees the rest."""
    with Journal(path) as first, Journal(path) as second:
        asked = [first.asked(request(number), archive="A") for number in range(4)]
        keys = [each.key for each in asked]
        assert first.claim(keys) == set(keys)
        assert first.claim(keys) == set(keys), "to claim again what is ours is no mistake"
        assert first.record(asked[0], DONE)
        first.release(keys[1:2])
        first.release(["never claimed"])
        assert second.claim(keys) == set(keys[:2])
        first.close()
        assert second.claim(keys) == set(keys)
        second.release()
        second.release()
        with first:
            assert first.claim(keys) == set(keys)


@pytest.mark.parametrize("theirs", [DONE, Result(Status.PARTIAL, expected=2, received=1)])
@pytest.mark.parametrize("ours", [DONE, Result(Status.LOST)])
def test_a_late_record_never_hides_a_verified_one(path: Path, clock: list[float], theirs: Result, ours: Result) -> None:
    """Who slept over its lease may still record, but not over the better record of who took over."""
    with Journal(path, lease=60) as first, Journal(path, lease=60) as second:
        asked = first.asked(request(1), archive="A")
        first.claim([asked.key])
        clock[0] += 100
        second.claim([asked.key])
        second.record(asked, theirs)
        is_worse = theirs is DONE and ours is not DONE
        assert first.record(asked, ours) is not is_worse
        assert first.entries()[asked.key].result == (theirs if is_worse else ours)


def test_who_holds_a_request_may_record_that_it_is_no_longer_complete(path: Path) -> None:
    """A verified record gives way to a failure of who has claimed the request."""
    with Journal(path) as journal:
        asked = journal.asked(request(1), archive="A")
        journal.record(asked, DONE)
        journal.claim([asked.key])
        assert journal.record(asked, Result(Status.LOST))
        assert journal.entries()[asked.key].result.status is Status.LOST


def test_only_what_can_be_proved_is_called_dead() -> None:
    """Another machine is never dead from here; a reused process id is, and so is one that is gone."""
    me = Owner.current()
    assert not me.is_dead()
    assert not NOBODY.is_dead()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert Owner("t", me.host, me.place, gone.pid, "").is_dead()
    assert not Owner("t", me.host, "elsewhere", gone.pid, "").is_dead()
    if me.began:
        assert Owner("t", me.host, me.place, me.pid, "1").is_dead()


def test_an_owner_is_named_so_that_it_can_be_found() -> None:
    """A process is named by its id and machine; what this process itself holds is another job of it."""
    me = Owner.current()
    assert str(Owner("t", "vm", "elsewhere", os.getpid(), "")) == f"process {os.getpid()} on vm"
    assert str(Owner("t", me.host, me.place, me.pid + 1, "")) == f"process {me.pid + 1} on {me.host}"
    if me.place == Owner.current().place:  # else nobody can tell
        assert str(Owner.current()) == "another job of this process"


if __name__ == "__main__":
    {"race": race, "hold": hold}[sys.argv[1]](*sys.argv[2:])


@pytest.mark.parametrize("column", ["expires", "steady"])
def test_nobody_claims_anything_for_ever(path: Path, column: str) -> None:
    """A lease that ends later than any can is over: whoever wrote it, it holds no request up."""
    with Journal(path) as journal:
        assert journal.claim(["k"])
        journal.release()
        owner = journal._leases._owner
        with closing(sqlite3.connect(path)) as other:
            values = (owner.place if column == "steady" else "elsewhere", 1e300, 1e300 if column == "steady" else None)
            other.execute("INSERT INTO owners VALUES ('forged', 'host', ?, 1, '', ?, ?)", values)
            other.execute("INSERT INTO leases VALUES ('k', 'forged')")
            other.commit()
        assert journal.claim(["k"]) == {"k"}
