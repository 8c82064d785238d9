"""A batch that runs: stopped from outside or inside, side by side with others, and what it tells meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from batch_kit import quiet, seen
from dicomover import ConfigurationError, Interrupted, Mover, NodeUnreachable, Quirks, Timeouts
from dicomover.batch.crew import Crew
from dicomover.batch.ending import Ending
from dicomover.batch.job import Job
from dicomover.batch.worker import Worker
from dicomover.events import BatchEnded, Event, RequestEnded
from dicomover.progress import Progress
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.wire.stop import Controls
from peers import ONCE, free_port, wait_until
from standing_kit import BOUNDS

SLOW = {"*": Misbehaviour("slow", seconds=0.05)}


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with twenty studies of ten instances, slow enough to be interrupted."""
    studies = [made_study(f"S{number:02d}", instances=10) for number in range(20)]
    with DemoPacs(studies, misbehave=SLOW) as archive:
        yield archive


def batch(count: int) -> list[dict[str, str]]:
    """Return so many requests."""
    return [{"AccessionNumber": f"S{number:02d}"} for number in range(count)]


def ours() -> list[threading.Thread]:
    """Return the threads of batches that go on."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("dicomover ")]


# --- in the background


def test_start_wait_summary(pacs: DemoPacs) -> None:
    """A job runs beside: `wait` waits, `summary` tells what is over, `done` says when all is."""
    with quiet(pacs, associations=1) as mover:
        job = mover.start(batch(3))
        assert not job.done
        assert job.wait(0) is False
        so_far = job.summary()
        assert list(so_far.columns) == list(job.summary().columns)
        assert so_far["status"].isna().any()
        wait_until(lambda: job.summary()["status"].notna().any())
        assert job.wait(30)
        assert job.done
    assert job.summary()["status"].tolist() == ["success"] * 3


def test_failures(pacs: DemoPacs) -> None:
    """`failures` has one row for each instance that the archive named, with the label of its request."""
    pacs.misbehave["S01"] = Misbehaviour("some-failed", count=2)
    table = pd.DataFrame(batch(2), index=["a", "b"])
    job = quiet(pacs).job(table).run()
    failures = job.failures()
    assert failures["request"].tolist() == ["b", "b"]
    uids = [item.sop_instance_uid for item in pacs.study("S01").instances()]
    assert failures["SOPInstanceUID"].tolist() == uids[-2:]
    assert set(failures["StudyInstanceUID"]) == {pacs.study("S01").study_instance_uid}, "the row came to this one only"
    assert set(failures["status_code"]) == {"0xB000"}
    assert quiet(pacs).job(batch(1)).run().failures().columns.tolist() == failures.columns.tolist()


def test_two_jobs_on_one_mover(pacs: DemoPacs, tmp_path: Path) -> None:
    """Two jobs of one receiving Mover run at the same time and count only what is theirs."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as mover:
        assert mover.port is not None
        pacs.destinations["MOVESCU"] = mover.port
        first, second = mover.start(batch(4)[:2]), mover.start(batch(4)[2:])
        assert first.wait(30)
        assert second.wait(30)
    for job in (first, second):
        assert job.summary()["received"].tolist() == [10, 10], job.summary()["error"].tolist()
    assert pacs.most_moves >= 2


def test_two_threads_on_one_mover(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A batch that begins while another one's receiver stops waits for it, and listens again."""
    stop = Receiver.stop

    def slowly(self: Receiver) -> None:
        time.sleep(0.3)
        stop(self)

    monkeypatch.setattr(Receiver, "stop", slowly)
    with DemoPacs([made_study("A", instances=1)]) as archive:
        archive.destinations["MOVESCU"] = port = free_port()
        mover = Mover(archive.node, receive=tmp_path, port=port, progress="none", journal=None)
        with ThreadPoolExecutor(2) as pool:
            moves = [pool.submit(mover.move, {"AccessionNumber": "A"}) for _ in range(6)]
            assert [move.result()["status"][0] for move in moves] == ["success"] * 6


def test_leaving_the_mover_cancels(pacs: DemoPacs) -> None:
    """Leaving `with` ends what still runs, and nothing of it lives on."""
    with quiet(pacs) as mover:
        job = mover.start(batch(10))
        wait_until(lambda: pacs.stores)
    assert job.done
    assert "cancelled" in set(job.summary()["status"])
    wait_until(lambda: not ours(), 5)
    wait_until(lambda: pacs.open_associations == 0, 5)


# --- cancel


def test_cancel_from_another_thread(pacs: DemoPacs) -> None:
    """What runs is cancelled by C-CANCEL and its final response is read; what has not begun is not sent."""
    job = quiet(pacs, associations=2).start(batch(8))
    wait_until(lambda: len(pacs.stores) >= 4)
    threading.Thread(target=job.cancel).start()
    assert job.wait(10)
    summary = job.summary()
    assert job.cancelled
    running = summary[summary["attempts"] > 0]
    assert running["status"].tolist() == ["cancelled", "cancelled"]
    assert running["status_code"].tolist() == ["0xFE00", "0xFE00"]
    assert (running["completed"] > 0).all()
    assert (running["completed"] + running["remaining"] == 10).all()
    rest = summary[summary["attempts"] == 0]
    assert rest["status"].tolist() == ["cancelled"] * 6
    assert (rest["error"] == "not sent: the batch was cancelled").all()
    cancels, moves = seen(pacs, "C-CANCEL"), seen(pacs, "C-MOVE")
    assert {item.message_id for item in cancels} == {item.message_id for item in moves}
    assert len(moves) == 2
    job.cancel()  # once more changes nothing


def test_cancel_twice_and_late(pacs: DemoPacs) -> None:
    """Cancelling again, or after the end, changes nothing."""
    job = quiet(pacs).start(batch(2))
    assert job.wait(30)
    job.cancel()
    assert not job.cancelled
    assert job.summary()["status"].tolist() == ["success", "success"]


def test_cancel_where_the_archive_ignores_it(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that ignores C-CANCEL is left after a few seconds; what it had counted is kept."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)
    pacs.misbehave["*"] = Misbehaviour("ignores-cancel", seconds=0.2)
    job = quiet(pacs).start(batch(1))
    wait_until(lambda: len(pacs.stores) >= 2)
    job.cancel()
    assert job.wait(10)
    (row,) = job.summary().to_dict("records")
    assert row["status"] == "cancelled"
    assert pd.isna(row["status_code"])
    assert 1 <= row["completed"] < 10
    assert "did not confirm" in row["error"]


def test_cancel_where_it_is_known_that_the_archive_ignores_it(pacs: DemoPacs) -> None:
    """Nobody waits in vain: the association is left at once, in a C-MOVE as in a C-FIND with a limit."""
    pacs.misbehave["*"] = Misbehaviour("ignores-cancel", seconds=0.2)
    mover = Mover(replace(pacs.node, quirks=Quirks(cancels=False)), destination="WORKSTATION", progress="none")
    job = mover.start(batch(1))
    wait_until(lambda: len(pacs.stores) >= 2)
    begun = time.monotonic()
    job.cancel()
    assert job.wait(10)
    assert time.monotonic() - begun < 3
    assert "did not confirm" in job.summary()["error"][0]


def test_cancel_in_a_silent_find(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that waits for a C-FIND can be cancelled too, and the row says that nothing was sent."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 0.3)
    pacs.misbehave["*"] = "find-hangs"
    job = quiet(pacs).start(batch(1))
    wait_until(lambda: seen(pacs, "C-FIND"))
    job.cancel()
    assert job.wait(10)
    (row,) = job.summary().to_dict("records")
    assert (row["status"], row["attempts"]) == ("cancelled", 0)


def test_the_last_resort(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a cancel that never comes to its own end is cut off."""
    monkeypatch.setattr("dicomover.wire.responses.CANCEL_GRACE", 60.0)
    monkeypatch.setattr("dicomover.batch.job.CANCEL_PATIENCE", 0.5)
    pacs.misbehave["*"] = "silence-at-once"
    job = quiet(pacs, timeouts=Timeouts(stall=None)).start(batch(3))
    wait_until(lambda: seen(pacs, "C-MOVE"))
    job.cancel()
    assert job.wait(10)
    assert set(job.summary()["status"]) == {"cancelled"}


def test_a_raised_interrupt_leaves_no_thread(pacs: DemoPacs) -> None:
    """An interrupt that Python raises in the waiting thread itself ends the same way."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")

    def interrupt() -> None:
        wait_until(lambda: pacs.stores)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted) as stopped:
        quiet(pacs).move(batch(4))
    thread.join()
    assert set(stopped.value.summary["status"]) == {"cancelled"}
    wait_until(lambda: not ours())  # the watchdog sees a moment later that all is over


# --- what dies meanwhile


def interrupt_once(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, when: Callable[..., bool] = lambda *_: True
) -> None:
    """Let the next call of a method, or the next of these, be interrupted, after it was made."""
    called = getattr(owner, method)

    def interrupted(*args: object) -> None:
        called(*args)
        if when(*args):
            monkeypatch.setattr(owner, method, called)
            raise KeyboardInterrupt

    monkeypatch.setattr(owner, method, interrupted)


def test_an_interrupt_says_how_far_it_was(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It names no patient and says what to do, the Mover knows the same, and a rerun skips what was over."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", associations=1) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        assert mover.last is None
        first = mover.move(batch(1))
        assert first.status.tolist() == ["success"]
        interrupt_once(monkeypatch, Progress, "take", lambda _, event: isinstance(event, RequestEnded))
        with pytest.raises(Interrupted, match=r"^stopped after 1 of 2 requests; .* run the cell again") as stopped:
            mover.move(batch(2))
        known = stopped.value.summary
        assert known.status.tolist() == ["skipped", "cancelled"]
        assert mover.last is not None
        assert mover.last.summary().equals(known)
        assert "S00" not in repr(stopped.value) + "".join(stopped.value._render_traceback_())
        assert mover.move(batch(2)).status.tolist() == ["skipped", "success"]


@pytest.mark.parametrize("where", [(Crew, "gather"), (Crew, "start"), (Receiver, "start")], ids=lambda x: x[1])
def test_an_interrupt_of_the_beginning(
    pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: tuple[type, str]
) -> None:
    """Wherever it hits, no row is without a status, nothing was sent or goes on, and the next call works."""
    port = free_port()
    mover = Mover(pacs.node, receive=tmp_path, port=port, progress="none")
    pacs.destinations["MOVESCU"] = port
    interrupt_once(monkeypatch, *where)
    with pytest.raises(Interrupted, match="stopped after 0 of 2 requests") as stopped:
        mover.move(batch(2))
    assert stopped.value.summary.status.tolist() == ["cancelled"] * 2
    wait_until(lambda: not ours())
    assert mover.move(batch(1)).status.tolist() == ["success"]


@pytest.mark.parametrize(
    "where", [(Controls, "cancel"), (Job, "cancel"), (Ending, "hold_time"), None], ids=lambda x: x and x[0].__name__
)
def test_a_second_interrupt_while_the_first_is_seen_to(
    pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str] | None
) -> None:
    """It stops at once as a later one does, wherever it hits, even before anything was done about the first."""
    pacs.misbehave["*"] = "silence-at-once"
    interrupt_once(monkeypatch, Progress, "refresh", lambda *_: bool(seen(pacs, "C-MOVE")))
    if where is not None:
        interrupt_once(monkeypatch, *where)
    else:
        cancel = Job.cancel

        def interrupted(self: Job) -> None:
            monkeypatch.setattr(Job, "cancel", cancel)
            raise KeyboardInterrupt

        monkeypatch.setattr(Job, "cancel", interrupted)
    begun = time.monotonic()
    with pytest.raises(Interrupted) as stopped:
        quiet(pacs).move(batch(4))
    assert time.monotonic() - begun < BOUNDS["twice"] + 0.5, "a connection and a C-FIND come before"
    assert set(stopped.value.summary["status"]) == {"cancelled"}
    wait_until(lambda: not ours())


def test_an_interrupt_may_return(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for it has the summary instead; anything else than the two is an error before anything is sent."""
    interrupt_once(monkeypatch, Crew, "start")
    assert set(quiet(pacs).move(batch(2), interrupt="return").status) == {"cancelled"}
    with pytest.raises(ConfigurationError, match="interrupt='ignore' is neither"):
        quiet(pacs).move(batch(2), interrupt="ignore")  # type: ignore[arg-type]


def test_an_interrupt_at_the_very_end(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the last event away leaves nobody waiting; all is over, and what follows is stopped anyway."""
    take = Progress.take

    def interrupted(self: Progress, event: Event) -> None:
        if isinstance(event, BatchEnded) and not interrupts:
            interrupts.append(1)
            raise KeyboardInterrupt
        take(self, event)

    interrupts: list[int] = []
    monkeypatch.setattr(Progress, "take", interrupted)
    with ThreadPoolExecutor(1) as pool, pytest.raises(Interrupted, match="stopped after 1 of 1 request;") as stopped:
        pool.submit(quiet(pacs).move, batch(1)).result(30)
    assert stopped.value.summary["status"].tolist() == ["success"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_dies(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kills the last worker, each row has a status in the end."""

    def no_descriptors(self: Worker) -> bool:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Worker, "_is_useful", no_descriptors)
    summary = quiet(pacs).move(batch(3))
    for thread in [one for one in threading.enumerate() if one.name.startswith("dicomover worker")]:
        thread.join(10)  # so that what it died of is told here, not in the next test
    assert summary["status"].tolist() == ["failure"] * 3
    assert summary["error"].str.startswith("not sent").all()


def test_the_last_row_is_lost(pacs: DemoPacs) -> None:
    """A batch whose last row is lost asks for no further association, for which it might wait long."""
    pacs.misbehave["*"] = "close"
    summary = quiet(pacs, associations=1).move(batch(1))
    assert summary["status"].tolist() == ["lost"]
    assert len(pacs.associations) == 1


def test_the_archive_dies_for_good(pacs: DemoPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is no association to be had, every row that is left says so, and why."""
    monkeypatch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.05, 0.05))
    pacs.misbehave["S01"] = Misbehaviour("restart", seconds=60)
    summary = quiet(pacs, associations=1).move(batch(4))
    assert summary["status"].tolist() == ["success", "lost", "failure", "failure"]
    assert summary["error"][1].startswith("lost: ")
    assert summary["error"][2].startswith("not sent: ")
    assert "no TCP connection" in summary["error"][3]
    with pytest.raises(NodeUnreachable):
        quiet(pacs).move(batch(1))


def test_the_archive_comes_back(pacs: DemoPacs) -> None:
    """A restart in the middle of a batch costs the row that was running, and no other."""
    pacs.misbehave["S01"] = Misbehaviour("restart", seconds=0.3, times=1)
    summary = quiet(pacs, associations=1).move(batch(4))
    assert summary["status"].tolist() == ["success", "lost", "success", "success"]


def test_our_receiver_dies(pacs: DemoPacs, tmp_path: Path) -> None:
    """When the process that receives is killed, the rows say that it was ours and what to do."""
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", associations=1, **ONCE) as mover:
        assert mover.port is not None
        pacs.destinations["MOVESCU"] = mover.port
        job = mover.start(batch(3))
        wait_until(lambda: len(pacs.stores) >= 2)
        assert mover._receiver is not None
        os.kill(mover._receiver._engine._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        assert job.wait(30)
    summary = job.summary()
    assert not summary["status"].isin(["success", "warning"]).any()
    assert summary["error"].str.contains("the receiver's process ended unexpectedly").all(), summary["error"].tolist()
    assert summary["attempts"].tolist() == [1, 0, 0]


def test_time_is_bounded_where_nobody_answers() -> None:
    """A batch against a host that refuses is an error at once, and nothing lives on."""
    begun = time.monotonic()
    with pytest.raises(NodeUnreachable, match="check host and port"):
        Mover("ARCHIVE@127.0.0.1:1", destination="WORKSTATION", progress="none").start(batch(2))
    assert time.monotonic() - begun < 30
    assert not ours()
