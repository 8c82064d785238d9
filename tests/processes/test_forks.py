"""A forked child: it has its own associations and numbers, no receiver, and says nothing on its parent's lines."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from dicomover import ConfigurationError, DicomoverError, Mover
from dicomover.processes import forks
from dicomover.testing import DemoPacs, Misbehaviour, made_studies
from dicomover.wire.lines import Pool

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks of POSIX"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # that is what is tried here
]

REQUESTS = [{"AccessionNumber": f"M{number:06d}"} for number in range(1, 5)]


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with a few studies."""
    with DemoPacs(made_studies(4, instances=3)) as archive:
        yield archive


def in_child(work: Callable[[], object]) -> str:
    """Return what a forked child says of it: its result, or the error; at most 30 s."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                said = str(work())
            except (DicomoverError, OSError) as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writing, said.encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    watchdog = threading.Timer(30, os.kill, (pid, 9))
    watchdog.start()
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    watchdog.cancel()
    return said


def found(mover: Mover, number: int = 1) -> list[str]:
    """Return the accession numbers that the archive answers."""
    return list(mover.find({"AccessionNumber": f"M{number:06d}"}).AccessionNumber)


def test_a_child_asks_over_an_association_of_its_own(pacs: DemoPacs) -> None:
    """The parent's idle association is neither used nor ended by a child, nor by the end of it."""
    with Mover(pacs.node) as mover:
        assert found(mover) == ["M000001"]
        assert in_child(lambda: found(mover, 2)) == "['M000002']"
        assert in_child(lambda: mover.close() or mover.port) == "None"
        assert found(mover, 3) == ["M000003"]
    finds = [request.association for request in pacs.requests if request.kind == "C-FIND"]
    assert finds[0] == finds[2] != finds[1]
    assert len(pacs.associations) == 2


def test_a_child_has_numbers_of_its_own(pacs: DemoPacs) -> None:
    """Two children do not count on with the parent's Message IDs."""
    pool = Pool(pacs.node, "ME")
    following = pool.next_message_id() + 1
    assert len({str(following), *(in_child(pool.next_message_id) for _ in range(3))}) > 2


def test_a_child_of_a_parent_that_holds_every_lock(pacs: DemoPacs) -> None:
    """A lock that another thread held at the moment of the fork holds nobody up in the child."""
    with Mover(pacs.node, destination="WORKSTATION", progress="none") as mover:
        session = mover._session
        with session.pool._lock, session._jobs_lock, session._life:
            assert in_child(lambda: mover.move(REQUESTS[:1]).status.tolist()) == "['success']"


def test_a_batch_that_runs_goes_on_in_the_parent(pacs: DemoPacs, tmp_path: Path) -> None:
    """A child forked in the middle of a batch, from a thread, can close the Mover; the batch does not notice."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.1)
    said: list[str] = []
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", retry="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        job = mover.start(REQUESTS)
        time.sleep(0.3)
        thread = threading.Thread(target=lambda: said.append(in_child(lambda: mover.close() or "closed")))
        thread.start()
        thread.join(40)
        assert job.wait(60)
        assert job.summary().status.tolist() == ["success"] * 4
        assert job.summary().attempts.tolist() == [1] * 4
    assert said == ["closed"]


def test_an_inherited_receiver_is_refused_with_the_mend(pacs: DemoPacs, tmp_path: Path) -> None:
    """A child cannot receive with the parent's port; it says what to do, and can with a Mover of its own."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port
        said = in_child(lambda: mover.move(REQUESTS))
        assert said.startswith("ReceiverError: MOVESCU receives in the process that this one is a fork of")
        assert "make a Mover in this process" in said
        assert in_child(lambda: (found(mover), mover.port)) == "(['M000001'], None)"

        def move_with_ones_own() -> object:
            own = Mover(pacs.node, ae_title="OTHER", receive=tmp_path / "own", port=0, progress="none")
            with own:
                pacs.destinations["OTHER"] = own.port  # to no avail: the archive is the parent's
                return own.move(REQUESTS[:1]).status.tolist()

        assert in_child(move_with_ones_own) == "['failure']"
        assert mover.move(REQUESTS).status.tolist() == ["success"] * 4


def test_a_mover_that_did_not_listen_yet_receives_in_a_child(pacs: DemoPacs, tmp_path: Path) -> None:
    """What was only constructed before the fork is as good as made after it."""
    mover = Mover(pacs.node, receive=tmp_path, progress="none", port=0)
    assert "ReceiverError" not in in_child(lambda: mover.open().port)


def test_the_end_of_a_child_does_not_end_the_parents_receiver(pacs: DemoPacs, tmp_path: Path) -> None:
    """A child that ends as programs do, with its exit handlers, leaves the receiver's process as it is."""
    code = f"""
import os, sys
from dicomover import Mover
mover = Mover("{pacs.node}", receive={str(tmp_path)!r}, port=0, progress="none").open()
process = mover._receiver._engine._process
pid = os.fork()
if not pid:
    del process
    sys.exit(0)
print(os.waitpid(pid, 0)[1])
mover._receiver.sync()
print(process.poll())
mover.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.returncode) == (["0", "None"], 0), done.stderr
    assert "Traceback" not in done.stderr


_mover: list[Mover] = []


def _find_one(number: int) -> list[str]:
    return found(_mover[0], number)


def test_a_pool_of_forked_workers(pacs: DemoPacs) -> None:
    """Each worker of a pool has its own answers, whoever makes the pool."""
    with Mover(pacs.node) as mover:
        mover.echo()
        _mover[:] = [mover]
        expected = [[f"M{number:06d}"] for number in range(1, 5)]
        fork = multiprocessing.get_context("fork")
        with fork.Pool(4) as pool:
            assert pool.map_async(_find_one, range(1, 5), chunksize=1).get(60) == expected
        with ProcessPoolExecutor(2, mp_context=fork) as executor:
            assert list(executor.map(_find_one, range(1, 5), timeout=60)) == expected


def test_a_mover_is_not_sent_to_another_process(pacs: DemoPacs) -> None:
    """Who pickles a Mover, as spawn, forkserver and joblib do, is told what can be sent."""
    mover = Mover(pacs.node)
    with pytest.raises(ConfigurationError, match=r"cannot be copied, or sent to another process.*make one there"):
        pickle.dumps(mover)
    with pytest.raises(ConfigurationError, match="make one there"):
        pickle.dumps(mover.find)
    assert pickle.loads(pickle.dumps(mover.node)) == mover.node


def test_what_cannot_begin_anew_is_no_exception_of_a_fork() -> None:
    """Nothing comes out of somebody's `os.fork()`, and the others begin anew all the same."""

    class Thing:
        def __init__(self, *, fails: bool) -> None:
            self.fails = fails
            self.is_new = False
            forks.inherit(self)

        def begin_anew(self) -> None:
            self.is_new = True
            if self.fails:
                raise OSError("gone")

    things = [Thing(fails=True), Thing(fails=False)]
    assert in_child(lambda: [thing.is_new for thing in things]) == "[True, True]"
    assert [thing.is_new for thing in things] == [False, False]
