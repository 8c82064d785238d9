"""What a batch hands out while it runs: each file as it lands, and each series once all of it is here.

That all of a series is here is known from what the archive says of it, never from a silence.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from dicomover.batch.work import OpenRow, SharedMove
from dicomover.errors import ConfigurationError, DicomoverError
from dicomover.events import Arrival
from dicomover.images.order import sort_files
from dicomover.outcome import Status
from dicomover.policy.pace import Wait
from dicomover.text.sentences import count_of

__all__ = ["Handing", "Series"]

Labels = Callable[[Iterable[int]], tuple[object, ...]]
_T = TypeVar("_T")
_Place = tuple[str, str]  # Study and Series Instance UID


@dataclass(frozen=True, slots=True)
class Series:
    """A series of which all that the archive has, or all that was asked for, is here; it is a sequence of its files.

    Attributes
    ----------
    study_instance_uid, series_instance_uid
        Its UIDs.
    files
        In the order of their slices along the normal where the headers have positions, else of their instance numbers.
    requests
        The labels of the rows that asked for it.
    """

    study_instance_uid: str
    series_instance_uid: str
    files: tuple[Path, ...]
    requests: tuple[object, ...] = ()

    @property
    def folder(self) -> Path:
        """Where they lie, if they lie together; else where the first does."""
        return self.files[0].parent

    def __iter__(self) -> Iterator[Path]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:  # no path: the folder may be named after the patient
        return f"<Series: {count_of(len(self.files), 'file')}>"


class _Handout(Generic[_T]):
    """One kind of what is handed out, in order, to one reader that may come a little later, and may leave."""

    MOST_KEPT = 100_000  # files

    def __init__(
        self,
        call: str,  # how the reader asks for it, for messages
    ) -> None:
        self.wanted = self.was_read = False
        self.taken = time.monotonic()
        self._call = call
        self._kept = 0
        self._overflowed = False
        self._queue: queue.SimpleQueue[_T | None] = queue.SimpleQueue()

    def put(self, item: _T, files: int = 1) -> None:
        """Keep one; when nobody asks for very many files, none are kept."""
        self._kept = 0 if self.wanted else self._kept + files
        if self._kept > self.MOST_KEPT:
            self._overflowed = True
            self._queue = queue.SimpleQueue()
        if not self._overflowed:
            self._queue.put(item)

    def end(self) -> None:
        """Let the reader come to its end."""
        self._queue.put(None)

    @property
    def waiting(self) -> int:
        """How many wait for the reader."""
        return self._queue.qsize()

    def read(self) -> Iterator[_T]:
        """Yield them until the end; who reads on later goes on where it was left."""
        self.wanted = self.was_read = True
        return self._read()

    def _read(self) -> Iterator[_T]:
        try:
            if self._overflowed:
                raise DicomoverError(f"more than {self.MOST_KEPT} instances landed before {self._call} was called")
            while (item := self._queue.get()) is not None:
                self.taken = time.monotonic()
                yield item
            self._queue.put(None)
        finally:
            self.wanted = False


@dataclass(frozen=True, slots=True)
class _Followed:
    """A C-MOVE under way: how many of each series it brings, what of it has come, and what was here before."""

    numbers: Mapping[str, int]
    before: Mapping[_Place, list[Path]]
    came: dict[_Place, list[Path]] = field(default_factory=dict)


class Handing:
    """Hands out what lands in a batch that runs in the background.

    `count` runs on the receiver's thread, or on a worker's that has asked whose something is, and never waits;
    `follow`, `conclude` and `find_room` run on workers. `follow` has to come before the tally counts for a C-MOVE, or
    the first arrivals are missed, and `conclude` before the C-MOVE forgets what has arrived.
    """

    MOST_WAITING = 100
    """Series that may wait for their reader before no further request is begun."""

    PATIENCE = 600.0
    """Seconds after which a reader that takes nothing holds nothing up any more."""

    def __init__(
        self,
        receives: bool = True,  # whether anything lands here
        # says where the files of earlier runs lie; None without a journal
        find_folder: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self.find_worker: Callable[[str], str | None] = lambda _: None  # where a series came to, on a cluster
        self.is_open = False  # whether anything is kept: only a job in the background has a reader
        self._receives = receives
        self._find_folder = find_folder
        self.arrivals: _Handout[Arrival] = _Handout("arrivals()")
        self.series: _Handout[Series] = _Handout("series()")
        self._followed: dict[int, _Followed] = {}
        self._done: set[int] = set()  # hashes: a series is handed out again only with other files
        self._lock = threading.Lock()

    @property
    def gives_away(self) -> bool:
        """Whether somebody has read what lands, and so may have taken it elsewhere."""
        return self.arrivals.was_read or self.series.was_read

    def open(self) -> None:
        """Keep what lands for a reader from now on."""
        self.is_open = self._receives

    def read_arrivals(self) -> Iterator[Arrival]:
        """Yield each file as it lands; raises DicomoverError if none is kept."""
        self._check("arrivals()")
        return self.arrivals.read()

    def read_series(self) -> Iterator[Series]:
        """Yield each series, sorted, once it is complete; raises DicomoverError if none is kept."""
        self._check("series()")
        return map(_sort, self.series.read())

    def submit_series(self, client: Any) -> Iterator[Any]:
        """Yield each as a future of a Dask client, at the worker to which it came, if that is still there."""
        if not callable(getattr(client, "submit", None)):
            raise ConfigurationError(f"on={client!r} is no distributed.Client", "write on=Client('scheduler:8786')")
        return (self._submit(client, series) for series in self.read_series())

    def _submit(self, client: Any, series: Series) -> Any:
        worker = self.find_worker(series.series_instance_uid)
        near = {"workers": [worker], "allow_other_workers": True} if worker else {}
        return client.submit(_give, series, pure=False, **near)  # a task: if its worker dies, another one has it

    def _check(self, call: str) -> None:
        if not self._receives:
            raise DicomoverError("nothing arrives here: a third party receives; give the Mover receive=")
        if not self.is_open:
            raise DicomoverError(f"{call} is for a batch that runs in the background; begin it with Mover.start")

    def find_room(self) -> Wait | None:
        """Return how long to wait before another request is begun, for the reader's sake."""
        series = self.series
        held = series.wanted and series.waiting >= self.MOST_WAITING
        if held and time.monotonic() - series.taken < self.PATIENCE:
            return Wait(1.0, f"{series.waiting} series wait to be taken from series()")
        return None

    def follow(self, move: SharedMove, numbers: Mapping[str, int]) -> None:
        """Hand out the series of a C-MOVE as they become complete: so many of each, and what was here before."""
        followed = _Followed(numbers, self._kept_files(move.row))
        for arrival in list(move.running.arrivals):
            followed.came.setdefault(_place(arrival), []).append(arrival.path)
        with self._lock:
            self._followed[move.number] = followed

    def count(self, arrival: Arrival, moves: Iterable[int], labels: Labels) -> None:
        """Take what counts for these C-MOVEs; `arrival` has the labels of their rows."""
        self.arrivals.put(arrival)
        if not self._followed:
            return
        place, complete = _place(arrival), {}
        with self._lock:
            for number in moves:
                if (followed := self._followed.get(number)) is not None:
                    came = followed.came.setdefault(place, [])
                    came.append(arrival.path)
                    if len(came) == followed.numbers.get(place[1]):
                        complete[number] = [*followed.before.get(place, ()), *came]
        if complete:
            self._hand_out(place, next(iter(complete.values())), labels(complete))

    def conclude(self, row: OpenRow, status: Status | None) -> None:
        """Hand out what a complete row has and was not handed out yet; forget what was followed for it."""
        if not self.is_open:
            return
        with self._lock:
            for move in row.moves:
                self._followed.pop(move.number, None)
        if status is None or not status.complete:
            return
        found = self._kept_files(row)
        labels = {row.request.label: None}
        for move in row.moves:
            labels |= dict.fromkeys(move.labels)
            for arrival in list(move.running.arrivals):
                found.setdefault(_place(arrival), []).append(arrival.path)
        for place, files in found.items():
            self._hand_out(place, files, tuple(labels))

    def _hand_out(self, place: _Place, files: list[Path], labels: tuple[object, ...]) -> None:
        known = hash((place, frozenset(files)))
        with self._lock:
            if known in self._done:
                return
            self._done.add(known)
        self.series.put(Series(*place, tuple(files), labels), len(files))

    def _kept_files(self, row: OpenRow) -> dict[_Place, list[Path]]:
        """Return what an earlier run has brought of a row."""
        found: dict[_Place, list[Path]] = {}
        folder = self._find_folder()
        if folder is not None:
            for file in row.kept.files:
                found.setdefault((file.study, file.series), []).append(folder / file.path)
        return found

    def end(self) -> None:
        """Let the readers come to their end."""
        self.arrivals.end()
        self.series.end()


def _sort(series: Series) -> Series:
    """Put the files of a series in the order of their slices; on the reader's thread, since it opens each of them."""
    return replace(series, files=tuple(sort_files(series.files)))


def _give(series: Series) -> Series:
    return series


def _place(arrival: Arrival) -> _Place:
    return arrival.study_instance_uid, arrival.series_instance_uid
