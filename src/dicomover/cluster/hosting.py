"""What a worker of a cluster does for a batch elsewhere: it has a place, and receives there while somebody asks.

Dask runs these functions on the worker's event loop, so what may wait runs on another thread. None of them raises: Dask
would write what they were given into the worker's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from dicomover import __version__
from dicomover.cluster.messages import LEASE, Event, Held, Taken, Trouble
from dicomover.errors import DicomoverError, ReceiverError
from dicomover.events import Admission, Arrival, Offer
from dicomover.receiver import Receiver

__all__ = ["admit", "count", "lease", "look", "offers", "release", "sync", "take"]

_MOST = 1000  # events in one answer
_MOST_KEPT = 50_000  # events that nobody has taken: whoever sends more waits
_TOGETHER = 0.005  # seconds in which what comes right after is handed over with it


class _Host:
    """A receiver, and what it has told; `put` runs on its thread, `take` on the worker's event loop."""

    def __init__(self, token: str, place: tuple[str, int]) -> None:
        self.token, self.place = token, place
        self.asked, self.asked_at = 0, time.monotonic()
        self.receiver: Receiver | None = None
        self._folder = ""
        self._events: deque[tuple[int, Event]] = deque()
        self.last = 0
        self._over = False
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def open(self, folder: str, settings: Mapping[str, Any], admissions: Sequence[Admission]) -> None:
        """Listen; raises DicomoverError."""
        name, port = self.place
        receiver = Receiver(folder, ae_title=name, port=port, on_event=self.put, **settings)
        receiver.start()
        self._folder, self.receiver, self.asked_at = os.path.realpath(folder), receiver, time.monotonic()
        if self._over:  # given back meanwhile
            receiver.stop()
        for admission in admissions:
            receiver.admit(admission)
        threading.Thread(target=self._hold_lease, name="dicomover lease", daemon=True).start()

    def _hold_lease(self) -> None:
        while not self._over and time.monotonic() - self.asked_at < LEASE:
            time.sleep(0.25)
        _drop(self)

    def put(self, event: Event) -> None:
        """Give an event its number, and keep it until somebody says that he has it."""
        while len(self._events) >= _MOST_KEPT and not self._over:
            time.sleep(0.05)
        with self._lock:
            self.last += 1
            self._events.append((self.last, event))
            is_first = len(self._events) == 1
        if is_first:
            self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the worker is closing
            self._over = True

    async def take(self, acknowledged: int, patience: float) -> Taken | Trouble:
        """Hand over what has a higher number than that, or wait a little for it."""
        self.asked += 1
        self.asked_at = time.monotonic()
        with self._lock:
            while self._events and self._events[0][0] <= acknowledged:
                self._events.popleft()
            if not self._events:
                self._news.clear()
        if not self._events and not self._over:
            try:
                await asyncio.wait_for(self._news.wait(), patience)
                await asyncio.sleep(_TOGETHER)
            except TimeoutError:
                pass
        if self._over or self.receiver is None:
            return _GONE
        if (failed := self.receiver.failed) is not None:
            return Trouble(failed.what, failed.mend, is_gone=True)
        with self._lock:
            events = list(islice(self._events, _MOST))
        now = time.monotonic()
        told = [(number, now - event.at, self._below(event)) for number, event in events]
        return Taken(now - self.receiver.last_activity, now - self.receiver.last_call, told)

    def _below(self, event: Event) -> Event:
        """Name a file from the folder on: others may reach it by another way."""
        return replace(event, path=event.path.relative_to(self._folder)) if isinstance(event, Arrival) else event

    def stop(self) -> None:
        """Give the place back."""
        self._over = True
        self._wake()
        if self.receiver is not None:
            self.receiver.stop()


_GONE = Trouble("the worker has no such lease", is_gone=True)
_hosts: dict[str, _Host] = {}  # by token; changed on any thread, each time at once


def _drop(host: _Host) -> None:
    host.stop()
    if _hosts.get(host.token) is host:
        del _hosts[host.token]


async def lease(
    token: str,  # the batch, and behind a dash the number of the lease in it
    version: str,  # of dicomover at the client
    probe: str,  # a file that the client has just made below the folder
    place: tuple[str, int],
    folder: str,
    settings: Mapping[str, Any],  # of the receiver
    admissions: Sequence[Admission],
) -> Held | Trouble | None:
    """Receive at a place from now on."""
    if version != __version__:
        what = f"the worker has dicomover {__version__}, and the client {version}"
        return Trouble(what, "install the same version on both")
    for other in list(_hosts.values()):
        if other.place == place:
            if other.token.partition("-")[0] != token.partition("-")[0]:
                return Held(other.token, other.asked)
            await asyncio.to_thread(_drop, other)  # the batch's own, whose answer it did not hear
    if not await asyncio.to_thread(os.path.isfile, probe):
        what = f"the worker does not see what this machine writes into {folder!r}"
        return Trouble(what, "receive into a folder on a file system that all of them share, by the same path")
    _hosts[token] = leased = _Host(token, place)
    try:
        await asyncio.to_thread(leased.open, folder, settings, admissions)
    except Exception as error:  # noqa: BLE001 - whoever asked has to know
        await asyncio.to_thread(_drop, leased)
        if isinstance(error, DicomoverError):
            return Trouble(error.what, error.mend, is_passing=True)
        return Trouble(f"the receiver does not start ({type(error).__name__})")
    return None


async def take(token: str, acknowledged: int, patience: float) -> Taken | Trouble:
    """Hand over the events of a lease with a higher number than that."""
    leased = _hosts.get(token)
    return _GONE if leased is None else await leased.take(acknowledged, patience)


async def admit(token: str, admission: Admission) -> Trouble | None:
    """Let in what a C-MOVE may bring."""
    return await _ask(token, "admit", admission)


async def count(token: str) -> int | Trouble:
    """Say how many events a lease has told."""
    leased = _hosts.get(token)
    return _GONE if leased is None else leased.last


async def offers(batch: str) -> dict[str, Offer]:
    """Say how the archive has offered each SOP Class to the places of a batch here."""
    mine = [each.receiver for each in list(_hosts.values()) if each.token.partition("-")[0] == batch and each.receiver]
    found: dict[str, Offer] = {}
    for receiver in mine:
        with contextlib.suppress(ReceiverError):
            found |= await asyncio.to_thread(receiver.ask_offers)
    return found


async def sync(tokens: Sequence[str]) -> list[str] | Trouble:
    """Make durable what has come by those of these leases that are here; return them."""
    mine = [token for token in tokens if token in _hosts]
    answers = await asyncio.gather(*(_ask(token, "sync") for token in mine))
    return next((each for each in answers if each is not None and not each.is_gone), None) or [
        token for token, answer in zip(mine, answers, strict=True) if answer is None
    ]


async def release(batch: str) -> None:
    """Give back all places of a batch, or of one lease."""
    mine = [each for each in list(_hosts.values()) if batch in (each.token, each.token.partition("-")[0])]
    await asyncio.gather(*(asyncio.to_thread(_drop, each) for each in mine))


async def look(place: tuple[str, int]) -> Held | None:
    """Say who has a place on this worker."""
    return next((Held(each.token, each.asked) for each in list(_hosts.values()) if each.place == place), None)


async def _ask(token: str, what: str, *arguments: Any) -> Trouble | None:
    leased = _hosts.get(token)
    if leased is None or leased.receiver is None:
        return _GONE
    try:
        await asyncio.to_thread(getattr(leased.receiver, what), *arguments)
    except Exception as error:  # noqa: BLE001 - whoever asked has to know
        if isinstance(error, DicomoverError):
            return Trouble(error.what, error.mend, is_gone=leased.receiver.failed is not None)
        return Trouble(f"the receiver fails ({type(error).__name__})")
    return None
