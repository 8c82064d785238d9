"""Pace: the rate, the share of the time, the number of associations, and all of it with the window."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.errors import AssociationRejected, ConfigurationError, NodeUnreachable
from dicomover.outcome import Counters, Ended, Status
from dicomover.policy.pace import AdaptiveAssociations, Pace, Sign, Wait, read_sign
from dicomover.policy.retry import DISK_FULL, Tried

BERLIN = ZoneInfo("Europe/Berlin")
GOOD = Tried(Status.SUCCESS, 0x0000, Counters(3, 0, 0))
BUSY = Tried(Status.FAILURE, 0xA702)
EMPTY = Tried(Status.EMPTY, 0x0000, Counters(0, 0, 0))
REJECTED = AssociationRejected("too many", 2, 3, 2)


def berlin(text: str, fold: int = 0) -> datetime:
    """Return a moment by the clocks of Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


# --- the rate and the share of the time


@given(st.floats(0.5, 600), st.lists(st.floats(0, 20), min_size=1, max_size=60))
def test_no_minute_sees_more_than_so_many(per_minute: float, gaps: list[float]) -> None:
    """However the questions come, what goes keeps its distance; and the wait that was named is enough."""
    now, went = 1000.0, []
    pace = Pace(max_per_minute=per_minute, monotonic=lambda: now)
    for gap in gaps:
        now += gap
        while (wait := pace.may_start()) is not None:
            now += wait.seconds + 1e-7
        pace.withdraw()
        went.append(now)
    spacing = 60 / per_minute
    assert all(later - earlier >= spacing - 1e-6 for earlier, later in itertools.pairwise(went))


def test_one_place_is_given_once() -> None:
    """Of many threads that ask at the same moment one may go."""
    pace, waits = Pace(max_per_minute=60, monotonic=lambda: 5.0), []
    threads = [threading.Thread(target=lambda: waits.append(pace.may_start())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(0.0 if wait is None else wait.seconds for wait in waits) == [0.0] + [1.0] * 19


@pytest.mark.parametrize(("fraction", "rest"), [(1, 0.0), (0.5, 8.0), (0.25, 24.0), (0.8, 2.0)])
def test_rest(fraction: float, rest: float) -> None:
    """After a C-MOVE of 8 s an association rests so that the work is the wanted share of the time."""
    pace = Pace(associations=1, utilization=fraction, monotonic=lambda: 100.0)
    assert pace.may_start() is None
    pace.ended(GOOD, 8.0)
    wait = pace.may_start()
    assert (0.0 if wait is None else wait.seconds) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_per_minute", value) for value in (0, -1, True, "20", float("inf"), float("nan"))],
        *[("utilization", value) for value in (0, -0.5, 1.01, True, "50 %", float("nan"))],
        *[("associations", value) for value in (0, -1, 1.5, True, "2")],
    ],
)
def test_numbers_that_cannot_be_meant(name: str, value: Any) -> None:
    """A bad number is named with its value and the mend."""
    with pytest.raises(ConfigurationError, match=r"=.* is not a .*number above 0.*; give") as caught:
        Pace(**{name: value})
    assert repr(value) in str(caught.value)


# --- how many associations


@pytest.mark.parametrize(
    ("expected", "tried"),
    [
        (Sign.GOOD, GOOD),
        (Sign.GOOD, Tried(Status.WARNING, 0xB000, Counters(2, 0, 1))),
        (Sign.BUSY, Tried(Status.FAILURE, 0xA700)),
        (Sign.BUSY, Tried(Status.FAILURE, 0xA701)),
        (Sign.BUSY, BUSY),
        (Sign.BUSY, Tried(Status.PARTIAL, 0xA702, Counters(345, 679, 0))),
        (Sign.BUSY, Tried(Status.FAILURE, error=AssociationRejected("", 2, 3, 1))),
        (Sign.BUSY, Tried(Status.FAILURE, error=REJECTED)),
        (Sign.EMPTY, EMPTY),
        (Sign.EMPTY, Tried(Status.EMPTY, 0x0000)),
        (Sign.NEUTRAL, Tried(Status.EMPTY, 0x0000, Counters(40, 0, 0), received=0)),
        (Sign.NEUTRAL, Tried(Status.FAILURE, 0xA801)),
        (Sign.NEUTRAL, Tried(Status.FAILURE, 0xA900)),
        (Sign.NEUTRAL, Tried(Status.FAILURE, 0xC000, Counters(0, 0, 0))),
        (Sign.NEUTRAL, Tried(Status.FAILURE, 0xA702, Counters(0, 3, 0), refused={DISK_FULL: 3})),
        (Sign.NEUTRAL, Tried(Status.FAILURE, error=AssociationRejected("", 1, 1, 3))),
        (Sign.NEUTRAL, Tried(Status.FAILURE, error=NodeUnreachable("refused"))),
        (Sign.NEUTRAL, Tried(Status.NOT_FOUND)),
        (Sign.NEUTRAL, Tried(Status.CANCELLED)),
        (Sign.NEUTRAL, Tried(Status.SKIPPED)),
        (Sign.NEUTRAL, Tried(Status.LOST, ended=Ended.LOST)),
        (Sign.NEUTRAL, Tried(Status.PARTIAL, 0xB000, Counters(3, 1, 0))),
    ],
)
def test_signs(expected: Sign, tried: Tried) -> None:
    """Only what has to do with the archive's load counts for or against it."""
    assert read_sign(tried) is expected


SIGNS = {"g": Sign.GOOD, "b": Sign.BUSY, "e": Sign.EMPTY, "n": Sign.NEUTRAL}


def limits(most: int, signs: str, working: int = 99) -> list[int]:
    """Return the limit at first and after each C-MOVE, one after the other."""
    state = AdaptiveAssociations(most)
    found = [state.limit]
    for second, letter in enumerate(signs):
        state = state.after(SIGNS[letter], begun=second, now=second + 1, working=working)
        found.append(state.limit)
    return found


@pytest.mark.parametrize(
    ("most", "signs", "expected"),
    [
        (1, "gggb", [1, 1, 1, 1, 1]),
        (2, "ggg", [2, 2, 2, 2]),
        (4, "ggg", [2, 3, 4, 4]),
        (8, "gggggg", [2, 3, 4, 5, 6, 7, 8]),  # nothing goes wrong: all of them after a few successes
        (8, "b", [2, 1]),
        (8, "bbbb", [2, 1, 1, 1, 1]),  # never below one
        (8, "ggggbb", [2, 3, 4, 5, 6, 3, 1]),
        (8, "ggggbgggg", [2, 3, 4, 5, 6, 3, 3, 3, 4, 4]),  # it grows again, but slowly
        (8, "bgggggg", [2, 1, 2, 2, 3, 3, 3, 4]),
        (4, "ggnnnn", [2, 3, 4, 4, 4, 4, 4]),  # what is not about the load changes nothing
        (4, "ggee", [2, 3, 4, 4, 4]),
        (4, "ggeee", [2, 3, 4, 4, 4, 2]),  # three empty ones in a row do not happen by chance
        (4, "ggeeee", [2, 3, 4, 4, 4, 2, 2]),  # and are counted from the start again
        (4, "ggenene", [2, 3, 4, 4, 4, 4, 4, 2]),
        (4, "ggeegee", [2, 3, 4, 4, 4, 4, 4, 4]),
    ],
)
def test_table_of_limits(most: int, signs: str, expected: list[int]) -> None:
    """The number of associations follows the signs as the table says."""
    assert limits(most, signs) == expected


def test_one_congestion_is_punished_once() -> None:
    """What began before the number was halved has no say: eight refusals at once halve it once."""
    state = AdaptiveAssociations(8, limit=8)
    for now in range(10, 18):
        state = state.after(Sign.BUSY, begun=9, now=now, working=8)
    assert state.limit == 4
    assert state.after(Sign.GOOD, begun=9, now=20, working=4).successes == 0
    assert state.after(Sign.BUSY, begun=18, now=20, working=4).limit == 2


def test_what_is_at_work_is_halved() -> None:
    """A busy archive that only two have asked gets one from then on, whatever would have been allowed."""
    assert AdaptiveAssociations(8, limit=8).after(Sign.BUSY, begun=0, now=1, working=2).limit == 1


@given(st.integers(1, 64), st.text("gben", max_size=200), st.integers(0, 64))
def test_the_limit_stays_in_its_bounds_and_recovers(most: int, signs: str, working: int) -> None:
    """It is never below one nor above the most, and after enough successes it is the most again."""
    assert all(1 <= limit <= most for limit in limits(most, signs, working))
    assert limits(most, signs + "g" * (most * most + 1), working)[-1] == most


# --- all of it


class Clocks:
    """Two clocks that stand still until told to go on."""

    def __init__(self, wall: datetime = datetime(2024, 5, 15, 10, 0, tzinfo=UTC)) -> None:
        self.now = 1000.0
        self.wall = wall

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.wall += timedelta(seconds=seconds)

    def pace(self, **settings: Any) -> Pace:
        """Return a pace by these clocks."""
        return Pace(monotonic=lambda: self.now, wall=lambda: self.wall, **settings)


def test_nothing_configured_holds_nobody_up() -> None:
    """By default both associations work at once and nothing else is waited for."""
    clocks = Clocks()
    pace = clocks.pace()
    for _ in range(100):
        assert pace.may_ask() is None
        assert pace.may_start() is None
        assert pace.may_start() is None
        clocks.go_on(1)
        assert pace.ended(GOOD, 1.0) is None
        assert pace.ended(GOOD, 1.0) is None


@pytest.mark.parametrize(
    ("window", "zone", "sentence"),
    [
        ("19:00-07:00", "Europe/Berlin", "resumes 19:00 Europe/Berlin"),
        ("sat 08:00-09:00", "UTC", "resumes Sat 08:00 UTC"),
        ("11:00-12:00", "Asia/Kathmandu", "resumes 11:00 Asia/Kathmandu"),
    ],
)
def test_waiting_for_the_window(window: str, zone: str, sentence: str) -> None:
    """Outside the window neither a C-FIND nor a C-MOVE goes, and the view can say when it resumes."""
    clocks = Clocks()
    pace = clocks.pace(window=f"{window} {zone}", max_per_minute=60)
    wait = pace.may_start()
    assert wait is not None
    assert wait == pace.may_ask()
    assert wait.why == f"waiting for the window, {sentence}"
    assert wait.nap <= 30 < wait.seconds
    clocks.go_on(wait.seconds - 1)
    assert pace.may_start() is not None
    clocks.go_on(1)
    assert pace.may_ask() is None
    assert pace.may_start() is None


def test_the_window_closes_again() -> None:
    """What runs at the end of the window runs to its own end; nothing new begins."""
    clocks = Clocks()
    pace = clocks.pace(associations=1, window="10:00-11:00 UTC")
    assert pace.may_start() is None
    clocks.go_on(3600)
    closed = Wait(23 * 3600, "waiting for the window, resumes 10:00 UTC")
    assert pace.may_start() == closed
    assert pace.ended(GOOD, 3600.0) is None
    assert pace.may_start() == closed


def test_a_clock_that_is_set_back() -> None:
    """A wall clock that is set back is believed."""
    clocks = Clocks()
    pace = clocks.pace(window="07:00-08:00; 10:00-11:00 UTC")
    assert pace.may_ask() is None
    clocks.wall -= timedelta(hours=1)
    assert pace.may_ask() == Wait(3600, "waiting for the window, resumes 10:00 UTC")
    clocks.wall -= timedelta(hours=1.5)
    assert pace.may_ask() is None


def test_a_window_by_a_wall_clock_in_its_own_zone() -> None:
    """Seconds are counted right across a change of summer time, whatever zone the wall clock is in."""
    clocks = Clocks(berlin("2024-03-31T01:00"))
    wait = clocks.pace(window="04:00-05:00 Europe/Berlin").may_ask()
    assert wait == Wait(2 * 3600, "waiting for the window, resumes 04:00 Europe/Berlin")


def test_not_more_than_so_many_a_minute() -> None:
    """The rate is kept over all workers; who had to wait has taken no place."""
    clocks = Clocks()
    pace = clocks.pace(associations=8, max_per_minute=20)
    assert pace.may_start() is None
    assert pace.may_start() == pace.may_start() == Wait(3.0, "not more than 20 a minute")
    clocks.go_on(3.0)
    assert pace.may_start() is None


def test_a_place_is_taken_and_given_back() -> None:
    """No more than the allowed number work at once; a place that is not used can be given back."""
    pace = Clocks().pace(associations=1)
    assert pace.may_start() is None
    wait = pace.may_start()
    assert wait is not None
    assert 0 < wait.nap == wait.seconds < 1
    pace.withdraw()
    assert pace.may_start() is None
    pace.ended(GOOD, 0.0)
    assert pace.may_start() is None


def test_each_place_rests_after_its_work() -> None:
    """After its work a place rests, and the other one is not held up."""
    clocks = Clocks()
    pace = clocks.pace(utilization=0.25)
    assert pace.may_start() is None
    clocks.go_on(10)
    pace.ended(GOOD, 10.0)
    assert pace.may_start() is None
    assert pace.may_start() == Wait(30.0, "resting, at work for 25% of the time")
    clocks.go_on(30)
    assert pace.may_start() is None


def test_a_busy_archive_gets_fewer() -> None:
    """Congestion is told once, in a sentence, and then fewer go at a time until it is over."""
    clocks = Clocks()
    pace = clocks.pace(associations=4)
    for _ in range(2):
        assert pace.may_start() is None
        clocks.go_on(1)
        pace.ended(GOOD, 1.0)
    assert pace.associations == 4
    assert [pace.may_start() for _ in range(4)] == [None] * 4
    clocks.go_on(1)
    assert pace.ended(BUSY, 1.0) == "the archive refuses some of the work, going on with 2 associations"
    assert [pace.ended(BUSY, 1.0) for _ in range(3)] == [None] * 3
    assert pace.may_start() is None
    assert pace.may_start() is None
    assert pace.may_start() is not None
    clocks.go_on(1)
    assert pace.ended(BUSY, 1.0) == "the archive refuses some of the work, going on with 1 association"


def test_a_rejected_association_counts() -> None:
    """Congestion can show before any C-MOVE is sent; an archive that is down is not congestion."""
    pace = Clocks().pace(associations=4)
    assert pace.rejected(NodeUnreachable("refused"), 0.1) is None
    assert pace.associations == 2
    assert pace.rejected(REJECTED, 0.1) == "the archive refuses some of the work, going on with 1 association"
    assert pace.rejected(REJECTED, 0.1) is None


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_many_threads_keep_the_limit() -> None:
    """However many threads ask, no more are at work than are allowed."""
    pace = Pace(associations=3)
    lock, at_work, most, done = threading.Lock(), 0, 0, 0

    def work() -> None:
        nonlocal at_work, most, done
        while True:
            with lock:
                if done >= 300:
                    return
            if pace.may_start() is not None:
                continue
            with lock:
                at_work += 1
                most = max(most, at_work)
            with lock:
                at_work -= 1
                done += 1
            pace.ended(GOOD, 0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert pace.associations == 3


@pytest.mark.parametrize(
    "settings",
    [{"associations": 0}, {"window": "at night"}, {"max_per_minute": 0}, {"utilization": 50}],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any]) -> None:
    """A bad setting is refused when the pace is made, before anything is sent."""
    with pytest.raises(ConfigurationError):
        Pace(**settings)


def test_one_that_is_to_be_alone_has_nobody_beside_it() -> None:
    """It waits for those under way, nobody begins from its first question on, and all go on when it says so."""
    pace, one, another = Pace(associations=4), object(), object()
    assert pace.may_start() is None
    assert pace.may_start(one) is not None
    assert pace.may_start() is not None
    pace.withdraw()
    assert pace.may_start() is not None
    assert pace.may_start(another) is not None
    assert pace.may_start(one) is None
    assert pace.may_start(one) is not None
    pace.withdraw()
    pace.let_others(another)
    assert pace.may_start() is not None
    pace.let_others(one)
    assert pace.may_start() is None
