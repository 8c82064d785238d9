"""A job in a notebook's cell: awaited, shown by its repr, drawn first on the thread that starts it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from dicomover import Mover
from dicomover.errors import DicomoverError
from dicomover.progress import NullView, State
from dicomover.testing import DemoPacs, Misbehaviour, made_studies


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive that takes its time."""
    with DemoPacs(made_studies(4, instances=5), misbehave={"*": Misbehaviour("slow", seconds=0.05)}) as running:
        yield running


@pytest.fixture
def mover(pacs: DemoPacs) -> Mover:
    """Return a Mover on one association that shows nothing."""
    return Mover(pacs.node, destination="WORKSTATION", associations=1, progress="none")


REQUESTS = [{"AccessionNumber": f"M{number:06d}"} for number in range(1, 5)]


def test_await_returns_the_summary(mover: Mover) -> None:
    """What is awaited is the summary, and meanwhile the event loop does other things."""

    async def cell() -> None:
        job, ticks = mover.start(REQUESTS), 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        other = asyncio.create_task(tick())
        summary = await job
        other.cancel()
        assert job.done
        assert summary.equals(job.summary())
        assert summary.status.tolist() == ["success"] * 4
        assert ticks >= 20
        assert (await job).equals(summary)

    asyncio.run(asyncio.wait_for(cell(), 30))


def test_the_job_outlives_what_awaits_it(mover: Mover) -> None:
    """A task that is cancelled, as by a notebook's stop button, leaves the job running; it can be awaited again."""

    async def cell() -> None:
        job = mover.start(REQUESTS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job, 0.2)
        assert not job.done
        assert not job.cancelled
        assert (await job).status.tolist() == ["success"] * 4

    asyncio.run(asyncio.wait_for(cell(), 30))


def test_await_and_cancel(mover: Mover) -> None:
    """A cancel ends what is awaited, with the summary of what is known."""

    async def cell() -> None:
        job = mover.start(REQUESTS)
        asyncio.get_running_loop().call_later(0.2, job.cancel)
        assert "cancelled" in set((await job).status)

    asyncio.run(asyncio.wait_for(cell(), 30))


def test_await_what_was_not_started(mover: Mover) -> None:
    """A job that nobody has started is not waited for: that would take for ever."""

    async def cell() -> None:
        await mover.job(REQUESTS)

    with pytest.raises(DicomoverError, match=r"was not started; take the one that Mover\.start returns"):
        asyncio.run(cell())


def test_repr(mover: Mover) -> None:
    """The repr says how far it is, and nothing of what was asked."""
    go_on = threading.Event()

    class View(NullView):
        def close(self, state: State, now: float) -> None:
            go_on.wait(20)

    assert repr(mover.job(REQUESTS[:1])) == "<Job: not started, 0 of 1 request over>"
    job = mover.start(REQUESTS, progress=View())
    assert repr(job) == "<Job: running, 0 of 4 requests over>"
    job.cancel()
    assert repr(job).startswith("<Job: cancelling, ")
    go_on.set()
    assert job.wait(20)
    assert repr(job) == "<Job: over, 4 of 4 requests over>"


def test_the_first_drawing_is_on_the_thread_that_starts(pacs: DemoPacs) -> None:
    """What is shown first is shown by the caller, since a notebook puts it below the cell that runs."""
    threads: list[threading.Thread] = []

    class View:
        def show(self, state: State, now: float) -> None:
            threads.append(threading.current_thread())

        def close(self, state: State, now: float) -> None:
            threads.append(threading.current_thread())

    job = Mover(pacs.node, destination="WORKSTATION", progress=View()).start(REQUESTS)
    assert threads[0] is threading.current_thread()
    assert job.wait(20)
    assert threads[-1] is not threading.current_thread()
