"""What a batch has come to, as one immutable value.

Nothing here draws and nothing here reads a clock. The size of a state follows what is running or waits for another
attempt, never the size of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from dicomover.outcome import Counters, Status
from dicomover.text.sentences import merge

__all__ = ["STALL_AFTER", "STEP", "WINDOW", "Deferred", "Later", "Move", "Rate", "Reason", "Sample", "State"]

STALL_AFTER = 20.0  # seconds without movement that are worth a word
WINDOW = 15.0  # seconds that the recent rate looks back
STEP = 1.0  # seconds between two samples of it


@dataclass(frozen=True, slots=True)
class Move:
    """One C-MOVE that is running, or waits for another attempt."""

    counters: Counters = field(default_factory=Counters)  # the largest seen so far
    expected: int | None = None  # instances that C-FIND promised; None if unknown
    # instances of it that reached our disk, and their size
    received: int = 0
    bytes: int = 0
    begun_at: float = 0.0  # when its latest attempt began
    # what had moved, and its size, when it began
    begun_with: int = 0
    begun_bytes: int = 0
    moved_at: float | None = None  # when an instance of it last moved, failed or arrived; None before the first one

    @property
    def moved(self) -> int:
        """Instances that have moved or arrived."""
        return max(self.counters.moved or 0, self.received)

    @property
    def total(self) -> int | None:
        """How many instances it should be; None while nothing tells."""
        if self.expected is not None:
            return self.expected
        remaining = self.counters.remaining
        return None if remaining is None else self.moved + (self.counters.failed or 0) + remaining

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1; 0 while nothing tells."""
        return min(1.0, (self.moved + (self.counters.failed or 0)) / self.total) if self.total else 0.0

    def rate(self, now: float) -> Rate:
        """Return how fast instances have come since its latest attempt began."""
        seconds = now - self.begun_at
        if seconds < STEP or not self.moved:
            return Rate()
        return Rate(
            (self.moved - self.begun_with) / seconds,
            (self.bytes - self.begun_bytes) / seconds if self.received else None,
        )


@dataclass(frozen=True, slots=True)
class Deferred:
    """A request that nobody works on for now."""

    until: float | None  # when it is tried again; None if it waits for a C-MOVE that another request sends
    moves: Mapping[int, Move]  # the C-MOVEs that it has sent so far

    @property
    def part(self) -> float:
        """How much of it is done, from 0 to 1."""
        return sum(move.part for move in self.moves.values()) / max(1, len(self.moves))


@dataclass(frozen=True, eq=False)
class Later(Mapping[int, Deferred]):
    """The requests that nobody works on for now, and what each drawing reads of them, however many they are."""

    requests: Mapping[int, Deferred] = field(default_factory=dict)  # the requests
    parts: float = 0.0  # how much of them is done, in requests
    attempts: int = 0  # how many of them are tried again

    @cached_property
    def next_attempt(self) -> float | None:
        """When the next of those is; None if none is. Looked for by who reads it, as many come and go between two."""
        return min((each.until for each in self.requests.values() if each.until is not None), default=None)

    def __getitem__(self, request: int) -> Deferred:
        return self.requests[request]

    def __iter__(self) -> Iterator[int]:
        return iter(self.requests)

    def __len__(self) -> int:
        return len(self.requests)

    def adding(self, request: int, deferred: Deferred) -> Later:
        """Return these and one more."""
        return Later(
            {**self.requests, request: deferred},
            self.parts + deferred.part,
            self.attempts + (deferred.until is not None),
        )

    def without(self, request: int) -> Later:
        """Return these without one of them."""
        rest = dict(self.requests)
        gone = rest.pop(request)
        parts = max(0.0, self.parts - gone.part) if rest else 0.0
        return Later(rest, parts, self.attempts - (gone.until is not None))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why requests ended without everything they asked for: those with the same verdict and the same words."""

    status: Status  # the verdict
    # the sentence, which may be empty, with the smallest and with the largest numbers that came up in it; before it, up
    # to a tab, how many instances have moved
    least: str
    most: str
    count: int  # how many there are
    requests: tuple[int, ...]  # the first of them

    @property
    def error(self) -> str:
        """The sentence, with ranges of numbers where they differ."""
        return merge([self.least, self.most]).rpartition("\t")[2]

    @property
    def moved(self) -> str:
        """How many instances of each have moved, of how many; empty where nothing tells."""
        return merge([self.least, self.most]).rpartition("\t")[0]


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals at one moment."""

    at: float
    moved: int = 0
    received: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast it goes, per second; None where nothing tells."""

    instances: float | None = None
    bytes: float | None = None


@dataclass(frozen=True)  # without slots, for `but`
class State:
    """What is known of a batch. Made by `fold`, read by the texts and the views."""

    # when the batch began and ended, on the clock of the events; None if it has not
    started_at: float | None = None
    ended_at: float | None = None
    requests: int = 0  # requests in the batch
    # requests that have ended, by their verdict; verdicts that nobody got are missing
    counts: Mapping[Status, int] = field(default_factory=dict)
    # Sub-operations as the PACS counted them, over all C-MOVEs; None while it has not said. They are sub-operations,
    # not distinct instances: an instance that failed and moved at the next attempt is in both.
    completed: int | None = None
    warnings: int | None = None
    failed: int | None = None
    # instances that reached our disk, and their size; `received` is None until the first one
    received: int | None = None
    bytes: int = 0
    # Instances that C-FIND promised for the C-MOVEs so far. Promises add up, so a further C-MOVE for the same instances
    # has to promise only what is missing.
    expected: int = 0
    unpromised: int = 0  # C-MOVEs that nothing was promised for
    # requests that ended badly before a C-MOVE of their own was sent: what they would have moved is in no total
    unasked: int = 0
    running: Mapping[int, float] = field(default_factory=dict)  # the requests that are worked on, and since when
    moves: Mapping[int, Move] = field(default_factory=dict)  # the C-MOVEs of those, by their number
    # the numbers of the C-MOVEs of each of them that has sent one
    moves_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    # the requests that are tried again later, or have sent a part of what they need and wait for the rest
    deferred: Later = field(default_factory=Later)
    # why requests ended without everything they asked for, in the order in which that came up; a few
    reasons: Mapping[tuple[Status, str], Reason] = field(default_factory=dict)
    unlisted: int = 0  # how many requests ended so for a reason that is not among these
    moving_at: float | None = None  # when the first C-MOVE was sent
    moved_at: float | None = None  # when an instance last moved, failed or arrived
    active_at: float | None = None  # the same, or when a request last began or ended
    samples: tuple[Sample, ...] = ()  # the totals of the last seconds, oldest first, for the rate
    # the latest notes, oldest first, and how many there were in all
    notes: tuple[str, ...] = ()
    noted: int = 0
    noted_at: float | None = None  # when the latest one came
    # why the batch waits, or waited last, because it was told to; and until when, while it does: until then nothing has
    # to move
    pause: str = ""
    paused_until: float | None = None
    # the largest part of the batch that was shown as done: no bar goes back when more turns out to be asked for
    reached: float = 0.0

    def but(self, **changes: Any) -> Self:
        """Return it with some changes: what `dataclasses.replace` does, for a tenth of the time with so many fields."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        if len(new.__dict__) != len(self.__dict__):
            raise TypeError(f"a state has no such fields: {', '.join(changes.keys() - self.__dict__.keys())}")
        return new

    @property
    def done(self) -> int:
        """Requests that have their verdict."""
        return sum(self.counts.values())

    @property
    def incomplete(self) -> int:
        """Requests that have ended without everything they asked for."""
        return sum(count for status, count in self.counts.items() if not status.complete)

    @property
    def moved(self) -> int | None:
        """Instances that the PACS says have moved, with or without a warning."""
        if self.completed is None and self.warnings is None:
            return None
        return (self.completed or 0) + (self.warnings or 0)

    @property
    def instances(self) -> int | None:
        """Instances on our disk where we receive, else those that the PACS says have moved."""
        return self.moved if self.received is None else self.received

    @property
    def expected_total(self) -> int | None:
        """Instances that the whole batch should move; None unless each request has ended or was promised some."""
        all_begun = self.done + len(self.moves_of) + len(self.deferred) >= self.requests
        return self.expected if all_begun and self.expected and not self.unpromised and not self.unasked else None

    @property
    def fraction(self) -> float:
        """How much of the batch is done, from 0 to 1; running requests count in parts."""
        if not self.requests:
            return 1.0 if self.ended_at is not None else 0.0
        return min(1.0, max(self.reached, (self.done + self._parts()) / self.requests))

    @property
    def percent(self) -> int:
        """The fraction in whole per cent; 100 only when every request has its verdict."""
        whole = int(self.fraction * 100 + 1e-9)
        return whole if self.done >= self.requests else min(99, whole)

    def elapsed(self, now: float) -> float:
        """Return the seconds since the batch began, up to its end."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.started_at)

    def is_paused(self, now: float) -> bool:
        """Tell whether the batch waits because it was told to: for its window, its pace, or the next attempt."""
        if self.ended_at is not None:
            return False
        if self.paused_until is not None and now < self.paused_until:
            return True
        again = None if self.running else self.deferred.next_attempt
        return again is not None and now < again

    def stalled_for(self, now: float) -> float | None:
        """Return for how many seconds nothing has moved; None if that is not worth a word, or as it should be."""
        if self.active_at is None or self.ended_at is not None or self.done >= self.requests or self.is_paused(now):
            return None
        idle = now - max(self.active_at, self.paused_until or self.active_at)
        return idle if idle >= STALL_AFTER else None

    def rate(self, now: float) -> Rate:
        """Return how fast instances have come over the last seconds."""
        if not self.samples or self.instances is None:
            return Rate()
        since = now - WINDOW
        base = self.samples[0]
        for sample in self.samples:
            if sample.at > since:
                break
            base = sample
        # Samples are taken only when something moves: after a silence the base may be long ago.
        seconds = now - max(base.at, since - STEP)
        if seconds < STEP:
            return Rate()
        if self.moved_at is None or self.moved_at <= since:
            return Rate(0.0, None if self.received is None else 0.0)
        if self.received is None:
            return Rate(((self.moved or 0) - base.moved) / seconds)
        return Rate((self.received - base.received) / seconds, (self.bytes - base.bytes) / seconds)

    def mean_rate(self, now: float) -> Rate:
        """Return how fast instances have come over the whole batch."""
        seconds = self.elapsed(now)
        if self.instances is None or seconds <= 0:
            return Rate()
        return Rate(self.instances / seconds, None if self.received is None else self.bytes / seconds)

    def seconds_left(self, now: float) -> float | None:
        """Return a guess at the seconds to the end; None while nothing tells.

        It counts requests, and running ones in parts where the number of their instances is known. Requests
        that took no work (`skipped`, `invalid`) do not speed it up.
        """
        if self.moving_at is None or self.ended_at is not None or self.stalled_for(now) is not None:
            return None
        parts = self._parts()
        idle = self.counts.get(Status.SKIPPED, 0) + self.counts.get(Status.INVALID, 0)
        worked = self.done - idle + parts
        spent = now - self.moving_at
        if worked <= 0 or spent < 2:
            return None
        return max(0.0, spent * (self.requests - self.done - parts) / worked)

    def _parts(self) -> float:
        open_parts = sum(
            sum(self.moves[number].part for number in numbers) / len(numbers) for numbers in self.moves_of.values()
        )
        return open_parts + self.deferred.parts
