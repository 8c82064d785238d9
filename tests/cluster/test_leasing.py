"""Which worker has which place: the one with fewest, at the machine that is named, and no second batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_kit import WorkersHere
from dicomover import Place, ReceiverError
from dicomover.cluster import leasing
from dicomover.cluster.leasing import Leasing, Seat
from dicomover.cluster.messages import Held
from dicomover.cluster.workers import Silent
from dicomover.receiver import Receiver
from peers import free_ports


class Batch:
    """One batch, with its places."""

    def __init__(self, workers: WorkersHere, folder: Path, *places: Place) -> None:
        self.workers = workers
        self.over = threading.Event()
        self.seats = [Seat(place) for place in places]
        self.leasing = Leasing(workers, self.seats, folder, {}, threading.Lock(), self.over)  # type: ignore[arg-type]

    def take_first(self) -> None:
        """Lease all of them."""
        for seat in self.seats:
            self.leasing.take_first(seat, list)

    @property
    def addresses(self) -> list[str]:
        """Where they are."""
        return [seat.lease.address for seat in self.seats if seat.lease]


@pytest.fixture
def workers() -> Iterator[WorkersHere]:
    """Run two workers."""
    here = WorkersHere("w1", "w2")
    yield here
    here.close()


def places(*hosts: str | None) -> list[Place]:
    """Return places at free ports."""
    return [Place(f"MOVER{port}", port, host) for port, host in zip(free_ports(len(hosts)), hosts, strict=True)]


def test_each_worker_has_as_few_as_it_can(tmp_path: Path, workers: WorkersHere) -> None:
    """Places are spread over the workers, but for those that name a machine; nothing is left in the folder."""
    batch = Batch(workers, tmp_path, *places(None, None, "w1", None))
    batch.take_first()
    assert batch.addresses == ["w1", "w2", "w1", "w2"]
    assert not list(tmp_path.glob(".dicomover*"))


def test_another_batch_is_refused_while_the_first_runs(
    tmp_path: Path, workers: WorkersHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two clients is told at once that the place is taken, if somebody asks there."""
    monkeypatch.setattr(leasing, "LONG_POLL", 0.1)
    (place,) = places(None)
    first, second = Batch(workers, tmp_path, place), Batch(workers, tmp_path, place)
    first.take_first()
    lease = first.seats[0].lease
    assert lease is not None

    def ask_on() -> None:
        while not first.over.wait(0.02):
            workers.ask("w1", "take", lease.token, 0, 0.01)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        with pytest.raises(ReceiverError, match=r"belongs to another batch, which runs; wait for its end"):
            second.take_first()
    finally:
        first.over.set()
        thread.join()
    workers.ask("w1", "release", first.leasing.batch)
    second.take_first()
    assert second.addresses == ["w1"]


def test_a_place_that_cannot_be_had(tmp_path: Path, workers: WorkersHere, monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker, none at that machine, and a port that stays taken are told with the place and what to do."""
    monkeypatch.setattr(leasing, "_COMING", 0.2)
    monkeypatch.setattr(leasing, "_PORT_PATIENCE", 0.2)
    monkeypatch.setattr(leasing, "LONG_POLL", 0.1)
    with pytest.raises(ReceiverError, match=r"no worker runs on 'node07', to take MOVER\d+@node07"):
        Batch(workers, tmp_path, *places("node07")).take_first()
    (place,) = places(None)
    taken = pytest.raises(ReceiverError, match=rf"{place.ae_title}@.*at the worker w.*{place.port}")
    with Receiver(tmp_path, ae_title="OTHER", port=place.port, on_event=print), taken:
        Batch(workers, tmp_path, place).take_first()
    workers.addresses.clear()
    with pytest.raises(ReceiverError, match="the cluster has no worker; scale it up"):
        Batch(workers, tmp_path, place).take_first()


def test_what_a_worker_cannot_mend_is_told_at_once(tmp_path: Path, workers: WorkersHere) -> None:
    """A folder that cannot be written here, or is none of theirs, needs no second look."""
    (place,) = places(None)
    with pytest.raises(ReceiverError, match="cannot be written here"):
        Batch(workers, tmp_path / "nowhere", place).take_first()
    batch = Batch(workers, tmp_path, place)
    probe = batch.leasing._probe

    def unseen() -> object:
        made = probe()
        made.gen = (f"{path}-elsewhere" for path in made.gen)  # type: ignore[attr-defined]
        return made

    batch.leasing._probe = unseen  # type: ignore[method-assign, assignment]
    with pytest.raises(ReceiverError, match=r"does not see what this machine writes.*a file system that all of them"):
        batch.take_first()


def test_a_worker_that_could_not_take_it_comes_last(tmp_path: Path, workers: WorkersHere) -> None:
    """Whoever is silent is not asked again before the others."""
    batch = Batch(workers, tmp_path, *places(None))
    workers.silent.add("w1")
    with pytest.raises(Silent):
        batch.leasing.lease(batch.seats[0], list)
    assert batch.leasing.lease(batch.seats[0], list) is None
    assert batch.addresses == ["w2"]
    other = Batch(workers, tmp_path, batch.seats[0].place)
    workers.silent.clear()
    assert isinstance(other.leasing._find_holder(batch.seats[0].place), Held)
