"""Go on where an earlier run stopped: what of a request is here before it moves, and what is written after.

A request is decided by what it comes to. Its own record alone lets a row be skipped before the archive is asked; else
each of its targets is held against what is here of it, whichever row brought that: complete, in part, or not at all.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from dicomover.batch.claims import Claims
from dicomover.batch.stock import ALL, ALL_AGAIN, Lists, Part, Stock, swap_in
from dicomover.batch.work import NOTHING_KEPT, Kept, OpenRow, SharedMove, Taken
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level, Request
from dicomover.journal import (
    BELOW,
    HEADERS_ONLY,
    Asked,
    Cost,
    Costs,
    Decision,
    File,
    Journal,
    Place,
    Scope,
    decide,
    is_verified,
)
from dicomover.node import Node
from dicomover.outcome import Counters, Status
from dicomover.query.targets import Resolution, Target
from dicomover.summary import Result

__all__ = ["Resumption"]

_NO_MORE = "the archive has nothing with these keys any more: removed, or under other keys; it moved as a whole before"


class Resumption:
    """Asks the journal before, and tells it after. Every method may be called from any thread.

    Workers `take` before the archive is asked, `narrow` before they move, and `record` after; a thread of its own calls
    `renew`. What is claimed is claimed before it is looked at for good: looked at first, and another run could complete
    it in between, which then would be moved again. What is complete is recorded only after `sync`: a journal that says
    so outlives a power cut, and its files have to as well.
    """

    def __init__(
        self,
        journal: Journal,  # open while a batch runs
        archive: Node | str,  # the node that is asked
        destination: Node | str | None,  # a third party; None if we receive
        folder: Path | None,  # where the files lie, if we receive
        sync: Callable[[], None],  # makes what has arrived durable
        *,
        headers_only: bool = False,  # whether a file that lacks the pixels is all that is wanted
        recheck: bool = False,  # whether what is complete is held against the archive once more
        check_room: Callable[[Resumption], None] | None = None,  # raises if what is to come does not fit
    ) -> None:
        self._journal = journal
        self._archive = archive
        self._destination = destination
        self._folder = folder
        self._sync = sync
        self.recheck, self._headers_only = recheck, headers_only
        self._check_room = check_room
        self._root: tuple[int, int] | None = None
        self._place: Place
        self._stock: Stock
        self._lock = threading.Lock()  # of what follows; never held while the archive is asked
        # What this batch has begun is not decided again when it has moved: rows of the same share it, and end alike.
        self._begun: set[str] = set()
        self._parts: dict[Identifier, Part] = {}
        self._claims = Claims()
        self._written: set[int] = set()  # C-MOVEs of which what came is in the journal

    @property
    def folder(self) -> Path | None:
        """Where the files of earlier runs lie; None if a third party receives."""
        return self._folder

    def open(self) -> None:
        """Open the journal."""
        if self._folder is not None:
            self._folder = self._folder.resolve()  # arrivals are named so, however the folder was
            self._root = _root_of(self._folder)
        self._journal.open()
        places = self._journal.places(self._archive, self._destination)
        self._place, self._stock = (
            places[0],
            Stock(self._journal, places, self._folder, headers_only=self._headers_only),
        )
        if self._check_room is not None:
            self._check_room(self)

    def close(self) -> None:
        """Close it; what we hold is free for others."""
        self._journal.close()

    @property
    def costs(self) -> Costs:
        """What C-MOVEs from this archive have cost so far; it is open."""
        return self._journal.costs(self._place).of(headers_only=self._headers_only)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew(self) -> None:
        """Tell other runs that we are alive; cheap, to be called often."""
        self._journal.renew()

    # --- before

    def take(self, request: Request) -> Taken:
        """Claim a request and decide; one that another run holds has a `holder`, and is to be asked for again later."""
        asked = self._asked(request)
        with self._lock:
            if asked.key in self._begun and not self.recheck:  # the same is asked for twice in this batch
                self._hold(request.position, {asked.key: None})
                return Taken(asked)
            if not self.recheck and (taken := self._decided(asked, request)).skip is not None:
                return taken  # whoever holds it, it is complete; a claim would cost ten times as much as this look
            if holder := self._hold(request.position, {asked.key: None}):
                return Taken(asked, holder=holder)
            # Read again: the one who had it before may have completed it.
            self._begun.add(asked.key)
            return self._decided(asked, request)

    def narrow(
        self, request: Request, resolution: Resolution, taken: Taken, listing: Lists, *, trusts: bool = True
    ) -> Taken:
        """Leave out what is here, and claim the rest: `left` is what is still to be asked for.

        Nothing is claimed, and nothing decided, if a row that it is `behind` is moving some of it. `trusts` is False
        where nothing is left out by what the journal says: the destination is to be asked itself.
        """
        targets = resolution.targets
        if taken.skip is not None and all(target.found is False for target in targets):
            taken = replace(taken, skip=self._decided(taken.asked, request, look=True).skip)  # it has its files, or not
        parts = [self._part_before(target, trusts=trusts) for target in targets]
        moving = [target for target, part in zip(targets, parts, strict=True) if part.targets != ()]
        wanted = {key: target.shared for target in moving for key in self._list_claims(target)}
        with self._lock:
            if (other := self._claims.find_other(request.position, wanted)) is not None:
                return replace(taken, behind=other)
            if holder := self._hold(request.position, wanted):
                return replace(taken, holder=holder)
        parts = [
            self._part_now(target, part, listing, trusts=trusts) for target, part in zip(targets, parts, strict=True)
        ]
        return self._sum_up(resolution, taken, parts, trusts=trusts)

    def look(self, request: Request, resolution: Resolution, listing: Lists) -> Taken:
        """Decide as `take` and `narrow` would, and claim nothing; `has_grown` where what is skipped has."""
        asked = self._asked(request)
        taken = self._decided(asked, request, look=True)
        is_own = taken.is_own and not self.recheck
        parts = [self._stock.find(target, None if is_own else listing) for target in resolution.targets]
        keys = [asked.key, *(key for target in resolution.targets for key in self._list_claims(target))]
        holder = next(iter(self._journal.holders(keys).values()), "")
        found = self._sum_up(resolution, taken, parts)
        if is_own:
            return replace(taken, has_grown=found.skip is None, holder=holder)
        return replace(found, holder="" if found.skip is not None else holder)

    def _asked(self, request: Request) -> Asked:
        return self._journal.asked(request, archive=self._archive, destination=self._destination)

    def _decided(self, asked: Asked, request: Request, *, look: bool = False) -> Taken:
        """Read what is recorded of a request, and look at its files; not yet at those that are to be rechecked."""
        entry = self._journal.entries([asked.key]).get(asked.key)
        scopes = None if entry is None else entry.scopes_of(asked, request)
        if entry is None or scopes is None:
            return Taken(asked)
        if not is_verified(entry.result) or not scopes:
            return Taken(asked, seen=True)
        files = None
        if self._folder is not None and (look or not self.recheck):
            files = self._stock.check(scopes)
        if decide(entry.result, files) is not Decision.SKIP:
            return Taken(asked, seen=True)
        skip = replace(entry.result, status=Status.SKIPPED, attempts=0, error=None)
        kept = NOTHING_KEPT if files is None else Kept.of(files.intact)
        return Taken(asked, skip, is_own=True, seen=True, kept=kept)

    def _part_before(self, target: Target, *, trusts: bool) -> Part:
        """Say what this batch has decided of a target, or what is known without a claim and the archive."""
        with self._lock:
            known = self._parts.get(target.shared)
        if known is not None:
            return self._stock.reload(target, known)
        known = self._stock.find(target, None)
        return known if trusts else ALL_AGAIN if known.is_known else ALL

    def _part_now(self, target: Target, part: Part, listing: Lists, *, trusts: bool) -> Part:
        """Decide for the batch, with the claim; what is not complete is looked at once more."""
        with self._lock:
            known = self._parts.get(target.shared)
        if known is not None:
            return self._stock.reload(target, known)
        if part.targets != () and trusts:
            part = self._stock.find(target, listing)
        with self._lock:
            # Without its files: there may be millions of them.
            kept = replace(part, adopted=(), kept=replace(part.kept, files=())) if part.kept.count else part
            known = self._parts.setdefault(target.shared, kept)
        return part if known is kept else self._stock.reload(target, known)

    def _sum_up(self, resolution: Resolution, taken: Taken, parts: Sequence[Part], *, trusts: bool = True) -> Taken:
        """Put the parts of a request together; what nothing is left of is skipped."""
        lefts = [
            (target,) if part.targets is None else part.targets
            for target, part in zip(resolution.targets, parts, strict=True)
        ]
        left = tuple(target for each in lefts for target in each)
        each = [part.kept for part in parts]
        files = tuple(file for kept in each for file in kept.files)
        kept = Kept(sum(kept.count for kept in each), sum(kept.bytes for kept in each), files)
        skip = None
        if trusts and parts and not left:
            is_ours = self._folder is not None
            skip = taken.skip or Result(
                Status.SKIPPED,
                matches=resolution.matches,
                expected=kept.count if is_ours else resolution.expected,
                counters=Counters() if is_ours else Counters(kept.count, 0, 0),
                received=kept.count if is_ours else None,
                bytes=kept.bytes if is_ours else None,
            )
        elif trusts and taken.skip is not None and all(target.found is False for target in left):
            left, skip = (), replace(taken.skip, matches=resolution.matches, expected=None, error=_NO_MORE)
        return Taken(
            taken.asked,
            skip,
            seen=taken.seen or any(part.is_known for part in parts),
            is_own=taken.is_own,
            left=replace(resolution, targets=left),
            kept=kept,
            scopes=tuple(dict.fromkeys(map(self._stock.scope, resolution.targets))),
            adopted=tuple(each for part in parts for each in part.adopted),
        )

    # --- claims

    def _list_claims(self, target: Target) -> list[str]:
        """Name what is claimed before a target is moved: it, and what it is of each of its patients."""
        place, identifier = self._place.number, target.identifier
        patients = [self._journal.keep_patients([patient]) for patient in target.named_patients]
        his = [f"{place} P {whose}" for whose in patients]
        if identifier.level is Level.PATIENT:
            return his
        named = (identifier.uids(level) for level in (Level.STUDY, Level.SERIES, Level.IMAGE))
        paths = [BELOW.join(path) for path in itertools.product(*filter(None, named))]
        return [f"{place} {path}" for path in paths] + [f"{whose}{BELOW}{path}" for whose in his for path in paths]

    def _hold(self, position: int, wanted: Mapping[str, Hashable]) -> str:
        """Claim something for a row; return who else has some of it, and then claim nothing. Called with the lock."""
        keys = [key for key in wanted if key not in self._claims]
        mine = self._journal.claim(keys) if keys else frozenset()
        if others := [key for key in keys if key not in mine]:
            self._journal.release(mine)
            return next(iter(self._journal.holders(others).values()), "another run")
        self._claims.add(position, wanted)
        return ""

    # --- after

    def record(self, row: OpenRow, result: Result) -> None:
        """Write down what became of a row; what was never sent is only given back."""
        try:
            if row.taken is not None:
                self._record(row, row.taken, result)
        finally:  # whatever happened, it holds up no other row
            with self._lock:
                self._claims.let_go(row.request.position)

    def _record(self, row: OpenRow, taken: Taken, result: Result) -> None:
        if taken.is_own and taken.left is None and result.status is Status.SKIPPED:
            with self._lock:
                self._journal.release(self._claims.let_go(row.request.position))
            return
        is_sent = not taken.holder and (result.attempts or not result.unsent)
        if self._folder is not None and is_sent and self._root not in (None, _root_of(self._folder)):
            _take_back(result)
        is_all = result.status is not None and result.status.complete
        kept: Result | None = replace(result, counters=result.settled) if result.settled is not None else result
        if not is_sent or (taken.is_own and (result.status is Status.SKIPPED or not is_all)):
            kept = None  # nothing new; and what was complete is not less so
        elif result.status is Status.SKIPPED:  # nothing of it was missing
            kept = replace(result, status=Status.SUCCESS, error=None)
        with self._lock:
            moves = [move for move in row.moves if is_sent and move.number not in self._written]
            self._written.update(move.number for move in moves)
        try:
            brought, whole = self._take_down(taken, moves, is_all=is_all)
            with self._lock:
                claims = self._claims.let_go(row.request.position)
                if kept is None and not brought:
                    self._journal.release(claims)
                    return
                self._journal.record(
                    taken.asked,
                    kept,
                    taken.scopes,
                    place=self._place,
                    brought=brought,
                    whole=whole,
                    claims=claims,
                    spent=self._list_costs(moves),
                )
        except BaseException:
            with self._lock:
                self._written.difference_update(move.number for move in moves)
            raise

    def _take_down(
        self, taken: Taken, moves: Sequence[SharedMove], *, is_all: bool
    ) -> tuple[dict[str, list[File]], list[tuple[Scope, int | None]]]:
        """Return what has come, by whose it is, and what is complete by now."""
        brought: dict[str, list[File]] = {}
        if self._folder is None:
            ended = [
                (move, move.verdict) for move in moves if move.verdict is not None and move.verdict.status.complete
            ]
            return brought, [
                (self._stock.scope(move.target), verdict.settled.moved)
                for move, verdict in ended
                if verdict.settled is not None
            ]
        if is_all and moves:
            self._sync()
        for whose, file in taken.adopted:
            brought.setdefault(whose, []).append(file)
        for move in moves:
            for whose, file in self._list_files(taken.asked.key, move):
                brought.setdefault(whose, []).append(file)
        return brought, [(scope, None) for scope in taken.scopes if is_all]

    def _list_costs(self, moves: Sequence[SharedMove]) -> list[tuple[str, Cost]]:
        """Return what C-MOVEs have cost that brought something, by their modalities."""
        costs = []
        for move in moves:
            running, verdict = move.running, move.verdict
            settled = None if verdict is None or verdict.settled is None or len(moves) > 1 else verdict.settled.moved
            images, until = running.received, running.last_arrival
            if self._folder is None:
                images, until = settled or 0, time.monotonic()
            if images and 0 < running.begun < until:
                cost = Cost(images, running.bytes, until - running.begun)
                costs.append((HEADERS_ONLY * self._headers_only + move.target.named_modalities, cost))
        return costs

    def _list_files(self, key: str, move: SharedMove) -> Iterable[tuple[str, File]]:
        """Yield what a C-MOVE has brought, and whose it is: as the archive names them, or else as the images do."""
        assert self._folder is not None
        arrivals = list(move.running.arrivals)
        patients = move.target.named_patients or {arrival.patient_id for arrival in arrivals}
        whose = self._journal.keep_patients(patients)
        for arrival in arrivals:
            with contextlib.suppress(OSError):  # moved away already; the next run will notice
                yield whose, File.of(self._mend(arrival, whose) if arrival.conflict else arrival, self._folder, key)

    def _mend(self, arrival: Arrival, whose: str) -> Arrival:
        """Let what has come anew take the place of a file that was changed."""
        assert self._folder is not None
        study, series, sop = arrival.study_instance_uid, arrival.series_instance_uid, arrival.sop_instance_uid
        check = self._stock.check([Scope(Level.IMAGE, study, series, (sop,), whose)])
        return swap_in(arrival, self._folder, check.changed[0].path) if check and check.changed else arrival


def _root_of(folder: Path) -> tuple[int, int] | None:
    """Return which folder is at a path, whatever its name; None if none is."""
    with contextlib.suppress(OSError):
        seen = folder.stat()
        return seen.st_dev, seen.st_ino
    return None


def _take_back(result: Result) -> None:
    """Let a row not say of files that they are here when their whole folder is not."""
    why = "the folder that we receive into is gone or another one since the batch began: unmounted, renamed or removed"
    result.status, result.received, result.bytes = Status.LOST, 0, 0
    result.error = "; ".join(filter(None, (result.error, f"{why}; put it back, and run it again")))
