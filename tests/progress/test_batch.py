"""What a view is told of a batch that really runs: that its state is the truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pandas as pd
import pytest

from dicomover import Mover
from dicomover.policy.retry import Retry
from dicomover.progress import State
from dicomover.progress.lines import lines
from dicomover.progress.text import facts, waiting
from dicomover.testing import DemoPacs, Misbehaviour, made_studies


class Watcher:
    """A view that keeps the latest state, and each that it was asked to look out for."""

    def __init__(self) -> None:
        self.state = State()
        self.seen: list[State] = []
        self.wanted: Callable[[State], bool] = lambda _: False

    def show(self, state: State, now: float) -> None:
        """Keep the state."""
        self.state = state
        if self.wanted(state):
            self.seen.append(state)

    def close(self, state: State, now: float) -> None:
        """Keep the last state."""
        self.state = state


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with twelve studies of three instances."""
    with DemoPacs(made_studies(12, instances=3)) as running:
        yield running


@pytest.fixture
def watcher() -> Watcher:
    """Return somebody who looks on."""
    return Watcher()


def batch(*numbers: int) -> pd.DataFrame:
    """Return requests for studies of the archive."""
    return pd.DataFrame({"AccessionNumber": [f"M{number:06d}" for number in numbers]})


def until(happens: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something, bounded."""
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit, f"did not happen within {seconds} s"
        time.sleep(0.005)


def test_reasons_are_those_of_the_summary(pacs: DemoPacs, watcher: Watcher) -> None:
    """What a view says of the rows that are not complete is what the summary says, row by row."""
    pacs.misbehave["M000002"] = "success-with-failures"
    requests = batch(1, 2, 999, 3, 998)
    summary = Mover(pacs.node, destination="WORKSTATION", retry="none", progress=watcher).move(requests)
    told = {
        (position, reason.status, reason.moved, reason.error)
        for reason in watcher.state.reasons.values()
        for position in reason.requests
    }
    incomplete = summary[~summary.status.isin(["success"])]
    moved = ["" if row.attempts == 0 else f"{row.completed} of {row.expected}" for row in incomplete.itertuples()]
    assert told == set(zip(incomplete.index, incomplete.status, moved, incomplete.error, strict=True))
    assert "" in moved
    assert "2 of 3" in moved
    assert len(told) == 3


def test_each_request_has_its_line(pacs: DemoPacs, watcher: Watcher) -> None:
    """While two requests run there are two lines, with what C-FIND has promised for each."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.1)
    watcher.wanted = lambda state: len(state.moves) == 2
    Mover(pacs.node, destination="WORKSTATION", progress=watcher).move(batch(1, 2, 3, 4))
    assert watcher.seen
    shown = lines(watcher.seen[0], time.monotonic())
    assert [line.what for line in shown] == ["row 0", "row 1"]
    assert all("of 3 instances" in line.words for line in shown)
    assert (watcher.state.running, watcher.state.moves, watcher.state.deferred) == ({}, {}, {})


def test_a_closed_window_is_no_stall(pacs: DemoPacs, watcher: Watcher) -> None:
    """While the window is closed the state says until when, and does not call it a stall."""
    hour = time.gmtime().tm_hour
    window = f"{(hour + 2) % 24:02d}:00-{(hour + 3) % 24:02d}:00 UTC"
    job = Mover(pacs.node, destination="WORKSTATION", window=window, progress=watcher).start(batch(1, 2))
    until(lambda: watcher.state.pause)
    later = time.monotonic() + 600
    assert waiting(watcher.state, later).startswith("waiting for the window, resumes ")
    assert watcher.state.stalled_for(later) is None
    job.cancel()
    assert job.wait(20)
    assert watcher.state.unasked == 2


def test_what_waits_for_its_next_attempt(pacs: DemoPacs, watcher: Watcher) -> None:
    """A request that is tried again later is told as such, not as running, and as running once it is."""
    pacs.misbehave["M000001"] = Misbehaviour("busy", times=1)
    watcher.wanted = lambda state: bool(state.deferred)
    retry = Retry(attempts=3, first_wait=0.5, longest_wait=0.5)
    summary = Mover(pacs.node, destination="WORKSTATION", retry=retry, progress=watcher).move(batch(1))
    assert summary.status.tolist() == ["success"]
    state = watcher.seen[0]
    assert (set(state.deferred), state.running) == ({0}, {})
    assert state.deferred.next_attempt is not None
    assert waiting(state, state.deferred.next_attempt - 10) == "1 request is tried again in 10 s"
    assert watcher.state.deferred == {}


def test_requests_that_share_a_move(pacs: DemoPacs, watcher: Watcher) -> None:
    """A request that waits for the C-MOVE of another has no line of its own, and ends with it."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.1)
    watcher.wanted = lambda state: bool(state.moves)
    summary = Mover(pacs.node, destination="WORKSTATION", progress=watcher).move(batch(1, 1, 1))
    assert summary.status.tolist() == ["success"] * 3
    assert any(len(state.running) == 1 for state in watcher.seen)
    assert (watcher.state.done, watcher.state.expected_total) == (3, 3)


def test_expected_after_a_cancel(pacs: DemoPacs, watcher: Watcher) -> None:
    """After a cancel, what C-FIND has promised for some requests is not told as what was expected of all."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.2)
    job = Mover(pacs.node, destination="WORKSTATION", progress=watcher).start(batch(*range(1, 13)))
    until(lambda: watcher.state.moves)
    job.cancel()
    assert job.wait(20)
    told = dict(facts(watcher.state, time.monotonic()))["Expected"]
    assert told == f"{watcher.state.expected} instances in what was asked for; some requests were never sent"
    assert watcher.state.expected < 12 * 3


def test_who_waits_for_his_turn_has_not_been_sent(pacs: DemoPacs, watcher: Watcher) -> None:
    """A request whose C-MOVE waits for its turn is not told as one for which nothing comes."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.2)
    watcher.wanted = lambda state: bool(state.moves) and len(state.running) == 2
    job = Mover(pacs.node, destination="WORKSTATION", max_per_minute=1, progress=watcher).start(batch(1, 2))
    until(lambda: watcher.seen)
    first, second = lines(watcher.seen[-1], time.monotonic() + 40)
    assert "of 3 instances" in first.words
    assert second.words.startswith("not sent yet")
    job.cancel()
    assert job.wait(20)
