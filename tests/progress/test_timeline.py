"""How a batch went over time: bounded, and nothing lost."""

from __future__ import annotations

from dicomover.events import BatchEnded, BatchStarted, InstanceReceived, MoveProgressed
from dicomover.outcome import Counters
from dicomover.progress import State
from dicomover.progress.timeline import MOST_BINS, Timeline


def test_a_timeline_is_bounded_and_loses_nothing() -> None:
    """Days of arrivals fit into the same number of bins, and their sums stay."""
    timeline = Timeline()
    timeline.take(BatchStarted(0.0, requests=1), State())
    for number in range(1, 20_000):
        event = InstanceReceived(number * 30.0, move=1, size=10)
        timeline.take(event, State(received=number, bytes=number * 10))
    timeline.take(
        MoveProgressed(600_000.0, 1, Counters()), State(completed=5, failed=2, received=19_999, bytes=199_990)
    )
    timeline.take(BatchEnded(600_001.0), State())
    bins = timeline.table()
    assert len(bins) <= MOST_BINS
    assert bins[["moved", "failed", "received", "bytes"]].sum().tolist() == [5, 2, 19_999, 199_990]
    assert timeline.seconds == 600_001.0
    assert bins["seconds"].unique().tolist() == [300.0]


def test_a_timeline_of_nothing() -> None:
    """A batch that has not begun has no bins."""
    timeline = Timeline()
    timeline.take(InstanceReceived(1.0, move=1, size=1), State(received=1))
    assert timeline.table().empty
    assert timeline.began is None
    assert timeline.seconds is None
