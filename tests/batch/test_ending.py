"""How a batch ends where something of it stands still."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicomover import Interrupted, Mover
from dicomover.batch.ending import Ending
from dicomover.batch.run import BatchRun
from dicomover.batch.settings import BatchSettings
from dicomover.errors import ReceiverError
from dicomover.events import Admission
from dicomover.node import Node, Timeouts
from dicomover.outcome import Status
from dicomover.policy.pace import Pace
from dicomover.query.targets import Resolution
from dicomover.requests.parse import parse_requests
from dicomover.testing import DemoPacs, made_study
from dicomover.wire.lines import Pool
from peers import receiver_pid, wait_until
from standing_kit import BOUNDS, STATES

KIT = Path(__file__).parents[1] / "standing_kit.py"
REQUESTS = [{"AccessionNumber": f"A{number}"} for number in range(4)]
needs_signals = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class StandsStill:
    """A receiver that answers nothing until it is let go."""

    port = 104
    failed: ReceiverError | None = None
    last_activity = last_call = 0.0

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def admit(self, _: Admission) -> None:
        """Never answer."""
        self.go_on.wait(60)

    def dismiss(self, *_: int) -> None:
        """Never answer."""
        self.go_on.wait(60)

    def sync(self) -> None:
        """Never answer."""
        self.go_on.wait(60)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with a few studies."""
    with DemoPacs([made_study(request["AccessionNumber"]) for request in REQUESTS]) as archive:
        yield archive


def run_of(scp: StandsStill | None = None) -> BatchRun:
    """Return the run of one request."""
    settings = BatchSettings(destination="ME", timeouts=Timeouts(), resolve=lambda *_: Resolution(()))
    pool = Pool(Node("127.0.0.1", 1, ae_title="ARCHIVE"), "ME")
    return BatchRun.of(parse_requests({"AccessionNumber": "1"}), settings, pool=pool, pace=Pace(), scp=scp)


def test_a_batch_ends_once() -> None:
    """What the batch used is given back by the first one who ends it, and by nobody else."""
    given: list[int] = []
    ending = Ending(run_of(), lambda: given.append(1))
    ending.hold_time(30)
    ending.tidy_up()
    ending.tidy_up()
    assert ending.over.wait(1)
    assert given == [1]


def test_the_time_is_held_from_outside() -> None:
    """Where the last worker stands still the batch is over all the same, every row with its verdict."""
    scp = StandsStill()
    run = run_of(scp)
    given = threading.Event()
    ending = Ending(run, given.set)
    worker = threading.Thread(target=ending.tidy_up, daemon=True)
    worker.start()
    begun = time.monotonic()
    ending.hold_time(0.1)
    assert ending.over.wait(5)
    assert time.monotonic() - begun < 4
    assert run.ledger.results()[0].status is not None
    assert not given.is_set()
    scp.go_on.set()
    assert given.wait(5), "what was used is given back as soon as that is possible"
    worker.join(5)


def test_a_worker_that_wakes_up_late_has_no_say() -> None:
    """After its end a batch's results stay as they were told."""
    run = run_of()
    row = run.ledger.next_work(0.0)
    ending = Ending(run, lambda: None)
    ending.hold_time(0)
    assert ending.over.wait(5)
    (told,) = run.ledger.results()
    assert (told.status, "did not answer in time" in str(told.error)) == (Status.CANCELLED, True)
    run.ledger.end(row, replace(told, status=Status.SUCCESS))  # type: ignore[arg-type]
    assert run.ledger.results() == [told]


@needs_signals
@pytest.mark.parametrize("way", ["cancel", "close"])
def test_a_receiver_that_stands_still_holds_nobody_up(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A cancel and a close take ten seconds at most, though the receiver's process is stopped."""
    if way == "cancel":  # once as it is, once quickly
        monkeypatch.setattr("dicomover.batch.job.CANCEL_PATIENCE", 1.0)
    mover = Mover(pacs.node, receive=tmp_path, port=0, progress="none").open()
    pacs.destinations["MOVESCU"] = mover.port
    pid = receiver_pid(mover)
    os.kill(pid, signal.SIGSTOP)
    try:
        job = mover.start(REQUESTS)
        time.sleep(0.3)
        begun = time.monotonic()
        if way == "cancel":
            job.cancel()
            assert job.wait(10)
        else:
            mover.close()
        assert time.monotonic() - begun < 10.5
        assert job.done
        assert job.summary().status.tolist() == ["cancelled"] * len(REQUESTS)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was ended, since it gave no sign of life
            os.kill(pid, signal.SIGCONT)
        mover.close()


@needs_signals
def test_an_interrupt_while_the_receiver_stands_still(pacs: DemoPacs, tmp_path: Path) -> None:
    """A second interrupt ends the batch within two seconds, with every row."""
    mover = Mover(pacs.node, receive=tmp_path, port=0, progress="none").open()
    pacs.destinations["MOVESCU"] = mover.port
    pid = receiver_pid(mover)
    os.kill(pid, signal.SIGSTOP)
    at: list[float] = []

    def interrupt() -> None:
        for pause in (0.5, 0.5):
            time.sleep(pause)
            at.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    try:
        job = mover.job(REQUESTS)
        thread.start()
        with pytest.raises(Interrupted) as stopped:
            job.run()
        assert time.monotonic() - at[-1] < 2
        assert stopped.value.summary.status.tolist() == ["cancelled"] * len(REQUESTS)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it was ended, since it gave no sign of life
            os.kill(pid, signal.SIGCONT)
        thread.join()
        mover.close()
    wait_until(lambda: pacs.open_associations == 0)


Told = dict[tuple[str, str], dict[str, object]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Put every end to every state, all states at once, and once for all workers of this run; return what was told."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    result = shared / "standing.json"
    try:
        (shared / "standing.lock").touch(exist_ok=False)
    except FileExistsError:
        wait_until(result.exists, 110)
    else:
        with subprocess.Popen(
            [sys.executable, str(KIT)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(KIT.parent), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        ) as process:
            cut = threading.Timer(100, os.killpg, (process.pid, signal.SIGKILL))
            cut.start()
            assert process.stdout is not None
            lines = process.stdout.read().decode().splitlines()
            cut.cancel()
        whole = shared / "standing.part"
        whole.write_text(json.dumps([json.loads(line) for line in lines]))
        whole.rename(result)
    return {(state, how): said for state, how, said in json.loads(result.read_text())}


@needs_signals
@pytest.mark.parametrize("how", BOUNDS)
@pytest.mark.parametrize("state", STATES)
def test_every_end_has_its_bound_whatever_stands_still(told: Told, state: str, how: str) -> None:
    """A cancel, a close, an interrupt and a second one end a batch in their time, and no row says success."""
    said = told[state, how]
    assert said["over"], said
    assert float(str(said["seconds"])) <= BOUNDS[how], said
    assert said["status"] in ("cancelled", "lost", "not-found", "nan"), said
