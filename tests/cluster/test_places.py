"""A batch whose images land at places on a cluster: what is lost with a worker is moved again, and costs no attempt."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster_kit import WorkersHere, archive, cluster, files_of, kill_worker, needs_dask
from dicomover import ConfigurationError, Mover, Place, ReceiverError
from dicomover.batch.job import Job
from dicomover.cluster import place, places, workers
from dicomover.cluster.places import Places
from dicomover.events import Noted
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import free_ports

TIMES = ["started", "seconds"]
ROWS = [{"AccessionNumber": f"{n:05}"} for n in range(6)]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkersHere]:
    """Run two workers in this process; they stand for a Dask client."""
    monkeypatch.setattr(place, "_check_client", lambda client: client)
    monkeypatch.setattr(workers, "Workers", lambda client: client)
    found = WorkersHere("w1", "w2")
    yield found
    found.close()


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive that knows MOVER1 and MOVER2, and sends an image every 50 ms."""
    with DemoPacs([made_study(f"{n:05}", instances=5) for n in range(6)]) as found:
        found.misbehave["*"] = Misbehaviour("slow", seconds=0.05)
        found.destinations.update(zip(["MOVER1", "MOVER2"], free_ports(2), strict=True))
        yield found


def start(pacs: DemoPacs, here: WorkersHere, folder: Path, count: int = 2, **options: Any) -> Job:
    """Begin a batch at so many places."""
    options = {"retry": "none", **options}
    found = [Place(name, pacs.destinations[name]) for name in ("MOVER1", "MOVER2")[:count]]
    return Mover(pacs.node, receive=folder, progress="none").start(ROWS, on=here, places=found, **options)


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def summary_of(job: Job) -> pd.DataFrame:
    """Return the summary at the end."""
    assert job.wait(60)
    return job.summary()


def places_of(job: Job) -> Places:
    """Return the places of a batch."""
    assert job._tally is not None
    assert isinstance(job._tally.scp, Places)
    return job._tally.scp


def test_what_a_lost_place_had_is_moved_to_another(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """The C-MOVEs that run there are ended and sent elsewhere, which is no attempt; the place is leased again."""
    job = start(pacs, here, tmp_path)
    wait_for(lambda: len(pacs.stores) > 3)
    here.kill("w1")
    summary = summary_of(job)
    assert set(summary["status"]) == {"success"}, summary["error"].tolist()
    assert summary["attempts"].sum() > len(ROWS)
    assert len(files_of(tmp_path)) == summary["received"].sum() == 30
    assert not list(tmp_path.rglob("*.part"))
    assert [address for address, what in here.asked if what == "lease"][2:] == ["w2"]


def test_no_c_move_goes_to_a_lost_place(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """While no worker is left the rows wait for one, and the panel says so; then they go on."""
    job = start(pacs, here, tmp_path)
    told: list[str] = []
    places_of(job).tell = told.append
    wait_for(lambda: len(pacs.stores) > 3)
    here.kill("w1")
    here.kill("w2")
    wait_for(lambda: len(told) == 2)
    time.sleep(0.3)
    sent = len([request for request in pacs.requests if request.kind == "C-MOVE"])
    time.sleep(0.7)
    assert len([request for request in pacs.requests if request.kind == "C-MOVE"]) == sent
    here.addresses.append("w3")
    summary = summary_of(job)
    assert set(summary["status"]) == {"success"}, summary["error"].tolist()
    assert len(files_of(tmp_path)) == 30
    assert any("is lost with its worker" in text for text in told)
    assert any("is at a worker again" in text for text in told)


def test_a_silence_is_no_evidence(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """While a worker cannot be heard, as while a connection is cut, nothing that it may have is called missing."""
    job = start(pacs, here, tmp_path, count=1)
    wait_for(lambda: len(pacs.stores) > 3)
    here.silent.add("w1")
    wait_for(lambda: len(pacs.stores) >= 10)
    time.sleep(4)  # longer than any straggler is waited for
    here.silent.clear()
    summary = summary_of(job)
    assert set(summary["status"]) == {"success"}, summary["error"].tolist()
    assert summary["attempts"].tolist() == [1] * 6


def test_a_place_that_the_archive_does_not_know(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """What it answers so is moved to another place, and that place draws no rows that others would bring."""
    port = free_ports(1)[0]
    mover = Mover(pacs.node, receive=tmp_path, progress="none", retry="none")
    found = [Place("STRANGER", port), Place("MOVER1", pacs.destinations["MOVER1"])]
    summary = mover.move(ROWS, on=here, places=found)
    assert set(summary["status"]) == {"success"}, summary["error"].tolist()
    alone = Mover(pacs.node, receive=tmp_path / "none", progress="none", retry="none")
    failed = alone.move(ROWS, on=here, places=found[:1])
    assert set(failed["status"]) == {"failure"}
    assert failed["error"].str.contains("STRANGER").all()
    assert failed["error"].str.contains(str(port)).any()


def test_a_client_that_was_closed_ends_the_batch(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """What was not sent is told as that; a batch that waits for a place that cannot come ends too."""
    job = start(pacs, here, tmp_path)
    wait_for(lambda: len(pacs.stores) > 3)
    here.is_closed = True
    summary = summary_of(job)
    assert summary["error"].str.contains("the Dask client has been closed").any()
    here.is_closed = False


def test_a_cancel_reaches_what_waits_for_a_place(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """A batch without a place ends when it is cancelled."""
    job = start(pacs, here, tmp_path)
    wait_for(lambda: len(pacs.stores) > 3)
    here.kill("w1")
    here.kill("w2")
    wait_for(lambda: not places_of(job)._count())
    job.cancel()
    assert job.wait(15)
    assert {"cancelled", "lost", "partial"} >= set(job.summary()["status"]) - {"success"}


def test_a_batch_that_cannot_have_its_places(
    tmp_path: Path, pacs: DemoPacs, here: WorkersHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises, and gives back those that it had; the next one can have them."""
    here.addresses.remove("w2")
    found = [Place("MOVER1", pacs.destinations["MOVER1"], "w1"), Place("MOVER2", pacs.destinations["MOVER2"], "w2")]
    mover = Mover(pacs.node, receive=tmp_path, progress="none")
    monkeypatch.setattr("dicomover.cluster.leasing._COMING", 0.1)
    with pytest.raises(ReceiverError, match="no worker runs on 'w2'"):
        mover.move(ROWS, on=here, places=found)
    assert set(mover.move(ROWS, on=here, places=found[:1])["status"]) == {"success"}


def test_what_a_lost_place_has_brought_is_made_durable(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """Its files are synced by who is left; that one is gone is told, and what the disk refuses raises."""
    job = start(pacs, here, tmp_path / "batch")
    summary_of(job)
    found = places_of(job)
    told: list[str] = []
    found.tell = told.append
    there = next((tmp_path / "batch").rglob("*.dcm"))
    found._orphans = [there]
    found.sync()
    assert not told
    found._orphans = [tmp_path / "gone.dcm"]
    found.sync()
    assert told[0].startswith("1 file that came to a place that was lost is not there any more")
    found._orphans = [tmp_path]
    with pytest.raises(ReceiverError, match="not safe on disk"):
        found.sync()
    assert found._orphans == [tmp_path]


def test_options_are_handed_on(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """Layout, share, senders and syntaxes are those of the Mover, at each place."""
    mover = Mover(
        pacs.node, receive=tmp_path, progress="none", retry="none", layout="{SOPInstanceUID}.dcm", share="group",
        calling_ae_titles=["SOMEBODY"], addresses=["127.0.0.1"], accept="uncompressed", workers=1,
    )  # fmt: skip
    found = [Place("MOVER1", pacs.destinations["MOVER1"])]
    refused = mover.move(ROWS[:1], on=here, places=found)
    assert refused["status"].tolist() == ["failure"]
    assert "SOMEBODY" in refused["error"][0] or "calling" in refused["error"][0]
    again = Mover(pacs.node, receive=tmp_path, progress="none", layout="{SOPInstanceUID}.dcm", share="group")
    assert again.move(ROWS[:1], on=here, places=found, headers_only=True)["status"].tolist() == ["success"]
    files = list(tmp_path.glob("*.dcm"))
    assert len(files) == 5
    assert os.name != "posix" or {file.stat().st_mode & 0o777 for file in files} == {0o660}


def test_series_are_handed_to_the_workers_that_have_them(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """Each is a future near where it came to, and nowhere in particular once that worker is gone."""
    job = start(pacs, here, tmp_path, associations=2)
    near = [(len(series), told.get("workers")) for series, told in job.series(on=here)]
    assert [length for length, _ in near] == [5] * 6
    assert {workers[0] for _, workers in near if workers} <= {"w1", "w2"}
    assert any(workers for _, workers in near)
    found = places_of(job)
    assert found.find_worker("1.2.3") is None
    with pytest.raises(ConfigurationError, match=r"no distributed\.Client"):
        job.series(on="scheduler:8786")
    job.wait(30)


def test_places_without_an_association_are_told(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """Whoever names more places than associations is told how many do nothing, and what to say."""
    found = [Place(name, pacs.destinations[name]) for name in ("MOVER1", "MOVER2")]
    mover = Mover(pacs.node, receive=tmp_path, progress="none")
    for count, said in ((1, ["1 place has nothing to do: say associations=2"]), (2, [])):
        job = mover.job(ROWS[:1], on=here, places=found, associations=count)
        told = [job._events.get_nowait() for _ in range(job._events.qsize())]
        assert [event.text for event in told if isinstance(event, Noted)] == said


def test_events_are_told_one_at_a_time(tmp_path: Path, pacs: DemoPacs, here: WorkersHere) -> None:
    """Whichever place they are of: who counts them need not be ready for two."""
    job = start(pacs, here, tmp_path)
    found = places_of(job)
    tell, inside, most = found.on_event, threading.Lock(), []

    def check(event: places.Event) -> None:
        most.append(inside.acquire(blocking=False))
        time.sleep(0.002)
        tell(event)
        inside.release()

    found.on_event = check
    assert set(summary_of(job)["status"]) == {"success"}
    assert all(most)


@needs_dask
def test_the_summary_is_that_of_one_machine(tmp_path: Path) -> None:
    """The same table gives the same summary and the same files on one machine and at two places; a rerun moves none."""
    one, *two = free_ports(3)
    requests = pd.DataFrame({"AccessionNumber": [f"{n:05}" for n in (*range(12), 99, 3)], "label": range(14)})
    requests.index = pd.Index([f"r{n}" for n in range(14)])
    found = [Place("MOVER1", two[0]), Place("MOVER2", two[1])]
    with archive({"MOVESCU": one, "MOVER1": two[0], "MOVER2": two[1]}) as node:
        with Mover(node, receive=tmp_path / "one", port=one, progress="none") as mover:
            alone = mover.move(requests)
        with cluster() as client:
            mover = Mover(node, receive=tmp_path / "two", progress="none")
            together = mover.move(requests, on=client, places=found)
            again = mover.move(requests, on=client, places=found)
            listed = mover.files(requests)
    pd.testing.assert_frame_equal(alone.drop(columns=TIMES), together.drop(columns=TIMES))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two") != []
    assert len(listed) >= len(files_of(tmp_path / "two"))
    assert not list(tmp_path.rglob("*.part"))
    assert set(again["status"]) == {"skipped", "not-found"}


@needs_dask
@pytest.mark.timeout(240)
def test_a_killed_worker_costs_no_row_and_no_place(tmp_path: Path) -> None:
    """While workers are killed one after the other every row ends in success without a retry, with each file once."""
    ports = free_ports(2)
    found = [Place("MOVER1", ports[0]), Place("MOVER2", ports[1])]
    requests = [{"AccessionNumber": f"{n:05}"} for n in range(150)]
    with archive({"MOVER1": ports[0], "MOVER2": ports[1]}, 150) as node, cluster() as client:
        mover = Mover(node, receive=tmp_path, progress="none", retry="none")
        job = mover.start(requests, on=client, places=found)
        killed = 0
        while not job.wait(1.0) and killed < 3:
            killed += kill_worker(client, killed)
        ended = job.wait(150)
        summary = job.summary()
    assert ended
    assert killed
    assert set(summary["status"]) == {"success"}, summary["error"].dropna().tolist()
    assert len(files_of(tmp_path)) == summary["expected"].sum()
    assert not list(tmp_path.rglob("*.part"))
