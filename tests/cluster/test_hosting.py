"""What a worker does for a batch: each event is told until it is acknowledged, and a place is kept while one asks."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from dicomover import __version__
from dicomover.cluster import hosting
from dicomover.cluster.messages import Held, Taken, Trouble
from dicomover.events import Admission, Refusal
from dicomover.receiver import Receiver
from peers import free_ports

NOTHING = Refusal(0.0, "nothing")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run it, and give back all that is leased afterwards."""

    async def safely() -> None:
        try:
            await work
        finally:
            for each in list(hosting._hosts.values()):
                await asyncio.to_thread(hosting._drop, each)

    asyncio.run(safely())


def terms(folder: Path, port: int, token: str = "a-1", *, name: str = "MOVER1", version: str = __version__) -> Any:
    """Return what `lease` takes; the worker sees the folder."""
    folder.mkdir(exist_ok=True)
    probe = folder / "seen.probe"
    probe.touch()
    return token, version, str(probe), (name, port), str(folder), {}, [Admission(1, study_uids=frozenset({"1.2"}))]


async def take(token: str = "a-1", acknowledged: int = 0, patience: float = 0.05) -> Taken:
    """Take what is there."""
    taken = await hosting.take(token, acknowledged, patience)
    assert isinstance(taken, Taken), taken
    return taken


def test_each_event_is_told_until_it_is_acknowledged(tmp_path: Path) -> None:
    """An answer that nobody heard is given again, with its numbers; what was acknowledged is not."""

    async def work() -> None:
        assert await hosting.lease(*terms(tmp_path, *free_ports(1))) is None
        host = hosting._hosts["a-1"]
        for number in range(3):
            host.put(dataclasses.replace(NOTHING, at=time.monotonic(), why=str(number)))
        first, again = await take(), await take()
        assert [(number, event.why) for number, _, event in first.events] == [(1, "0"), (2, "1"), (3, "2")]
        assert [number for number, _, _ in again.events] == [1, 2, 3]
        assert all(0 <= age < 5 for _, age, _ in first.events)
        assert [number for number, _, _ in (await take(acknowledged=2)).events] == [3]
        assert (await take(acknowledged=3)).events == []
        assert await hosting.count("a-1") == 3

    run(work())


def test_news_end_the_wait(tmp_path: Path) -> None:
    """Who waits for news has them at once."""

    async def work() -> None:
        await hosting.lease(*terms(tmp_path, *free_ports(1)))
        waiting = asyncio.create_task(take(patience=30))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(hosting._hosts["a-1"].put, NOTHING)
        assert len((await asyncio.wait_for(waiting, 10)).events) == 1

    run(work())


def test_a_place_has_one_batch(tmp_path: Path) -> None:
    """Another batch is told who has it; the same one takes it anew, as if its first answer had not been heard."""

    async def work() -> None:
        (port,) = free_ports(1)
        await hosting.lease(*terms(tmp_path, port))
        await take()
        assert await hosting.lease(*terms(tmp_path, port, "b-1")) == Held("a-1", 1)
        assert await hosting.look(("MOVER1", port)) == Held("a-1", 1)
        assert await hosting.look(("MOVER2", port)) is None
        assert await hosting.lease(*terms(tmp_path, port, "a-2")) is None
        assert list(hosting._hosts) == ["a-2"]
        await hosting.release("a")
        assert not hosting._hosts

    run(work())


def test_what_makes_a_worker_refuse(tmp_path: Path) -> None:
    """Another version, a folder that it does not see, and a port that is taken, each in words that say what to do."""

    async def work() -> None:
        (port,) = free_ports(1)
        other = await hosting.lease(*terms(tmp_path, port, version="0.0"))
        assert isinstance(other, Trouble)
        assert f"the worker has dicomover {__version__}, and the client 0.0" in other.what
        told = list(terms(tmp_path, port))
        told[2] = str(tmp_path / "elsewhere.probe")
        unseen = await hosting.lease(*told)
        assert isinstance(unseen, Trouble)
        assert "does not see" in unseen.what
        assert "share" in unseen.mend
        with Receiver(tmp_path / "other", ae_title="OTHER", port=port, on_event=print):
            taken = await hosting.lease(*terms(tmp_path, port))
        assert isinstance(taken, Trouble)
        assert taken.is_passing
        assert str(port) in taken.what
        assert not hosting._hosts

    run(work())


def test_a_place_is_given_back_when_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that died asks no more: after the lease its port is free, and whoever asks then is told so."""
    monkeypatch.setattr(hosting, "LEASE", 0.4)

    async def work() -> None:
        (port,) = free_ports(1)
        await hosting.lease(*terms(tmp_path, port))
        for _ in range(20):
            if not hosting._hosts:
                break
            await asyncio.sleep(0.25)
        assert await hosting.take("a-1", 0, 0.1) == hosting._GONE
        assert await hosting.admit("a-1", Admission(2)) == hosting._GONE
        assert await hosting.sync(["a-1"]) == []
        assert await hosting.lease(*terms(tmp_path, port, "b-1")) is None
        assert await hosting.sync(["a-1", "b-1"]) == ["b-1"]

    run(work())
