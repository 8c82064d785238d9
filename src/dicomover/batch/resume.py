"""Go on where an earlier run stopped: what the journal says of a request before it moves, and what is written after."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from dicomover.batch.work import OpenRow, SharedMove, Taken
from dicomover.disk import Below
from dicomover.errors import ReceiverError
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level, Request
from dicomover.journal import (
    Asked,
    Decision,
    Details,
    File,
    FileCheck,
    Journal,
    Manifest,
    check_files,
    decide,
    list_missing,
)
from dicomover.node import Node
from dicomover.outcome import Status
from dicomover.query.instances import says_all
from dicomover.query.matching import is_of_patient
from dicomover.query.targets import Resolution, Target
from dicomover.summary import Result

__all__ = ["Resumption", "narrow_to_missing"]

Instances = Callable[[Identifier], dict[str, list[str]] | None]
"""Asks the archive what stands behind a study or a series: SOP Instance UIDs by series; None if it does not say."""


class Resumption:
    """Asks the journal before, and tells it after. Every method may be called from any thread.

    Workers `take` before they move and `record` after; a thread of its own calls `renew`. A request is claimed in the
    journal before its entry is read for good: read first, and another run could complete it in between, which then
    would be moved again. What is complete is recorded only after `sync`: a journal that says so outlives a power cut,
    and its files have to as well.

    Parameters
    ----------
    journal
        Open while a batch runs.
    archive
        The node that is asked.
    destination
        A third party; None if we receive.
    folder
        Where the files lie, if we receive.
    sync
        Makes what has arrived durable.
    recheck
        Whether what is complete is held against the archive once more.
    """

    def __init__(
        self,
        journal: Journal,
        archive: Node | str,
        destination: Node | str | None,
        folder: Path | None,
        sync: Callable[[], None],
        *,
        recheck: bool = False,
    ) -> None:
        self._journal = journal
        self._archive = archive
        self._destination = destination
        self._folder = folder
        self._sync = sync
        self._recheck = recheck
        self._place: tuple[int, int] | None = None
        self._taken: dict[str, Taken] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path | None:
        """Where the files of earlier runs lie; None if a third party receives."""
        return self._folder

    def open(self) -> None:
        """Open the journal."""
        if self._folder is not None:
            self._folder = self._folder.resolve()  # arrivals are named so, however the folder was
            self._place = _place_of(self._folder)
        self._journal.open()

    def close(self) -> None:
        """Close it; what we hold is free for others."""
        self._journal.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew(self) -> None:
        """Tell other runs that we are alive; cheap, to be called often."""
        self._journal.renew()

    def take(self, request: Request) -> Taken:
        """Claim a request and decide; one that another run holds has a `holder`, and is to be asked for again later."""
        return self._take(self._asked(request), recheck=self._recheck)

    def take_resolved(self, request: Request, resolution: Resolution, taken: Taken) -> Taken:
        """Take into account what the same came to when it was asked for by other keys: a plan, a cohort, a find.

        What the request comes to is known by now, so that one that has grown since is not taken for complete.
        """
        return self._joined(request, resolution, taken, lambda asked: self._take(asked, recheck=True))

    def _joined(self, request: Request, resolution: Resolution, taken: Taken, take: Callable[[Asked], Taken]) -> Taken:
        """Join what is known of a request with what is known of the same by its UIDs."""
        resolved = _by_uids(request, resolution)
        if resolved is None or taken.skip is not None or (asked := self._asked(resolved)).key == taken.asked.key:
            return taken
        other = take(asked)
        if other.holder:
            return replace(taken, holder=other.holder)
        kept = taken.kept if taken.kept.files else other.kept
        changed = taken.changed or other.changed
        found = Taken(taken.asked, seen=taken.seen or other.seen, kept=kept, changed=changed, also=asked)
        if other.skip is None or other.has_grown(resolution):
            return found
        return replace(found, skip=other.skip, recorded=other.recorded if self._recheck else None)

    def _asked(self, request: Request) -> Asked:
        return self._journal.asked(request, archive=self._archive, destination=self._destination)

    def _take(self, asked: Asked, *, recheck: bool) -> Taken:
        journal = self._journal
        with self._lock:
            if asked.key in self._taken:  # the same is asked for twice in this batch
                return self._taken[asked.key]
            if not recheck and (taken := self._decided(asked, recheck=False)).skip is not None:
                return taken  # whoever holds it, it is complete; a claim would cost ten times as much as this look
            if asked.key not in journal.claim([asked.key]):
                return Taken(asked, holder=journal.holders([asked.key]).get(asked.key, "another run"))
            # Read again: the one who had it before may have completed it.
            taken = self._taken[asked.key] = self._decided(asked, recheck=recheck)
        if taken.skip is not None and taken.recorded is None:
            journal.release([asked.key])
        return taken

    def look(self, request: Request, resolution: Resolution) -> Taken:
        """Decide as `take` and `take_resolved` would, and claim nothing."""
        taken = self._looked(self._asked(request))
        return taken if taken.holder else self._joined(request, resolution, taken, self._looked)

    def _looked(self, asked: Asked) -> Taken:
        taken = self._decided(asked, recheck=True)
        return replace(taken, holder=self._journal.holders([asked.key]).get(asked.key, ""))

    def _decided(self, asked: Asked, *, recheck: bool) -> Taken:
        """Read what is recorded, and look at the files."""
        entry = self._journal.entries([asked.key]).get(asked.key)
        if entry is None:
            return self._decided_before(asked)
        files = self._look_at_files(asked.key)
        decision = decide(entry.result, files)
        intact = Manifest() if files is None else files.intact
        if decision is Decision.SKIP:
            skip = replace(entry.result, status=Status.SKIPPED, attempts=0, error=None)
            return Taken(asked, skip, entry.result, True, intact) if recheck else Taken(asked, skip, None, True, intact)
        changed = () if files is None else files.changed
        return Taken(asked, seen=True, kept=intact if decision is Decision.RETRY else Manifest(), changed=changed)

    def _decided_before(self, asked: Asked) -> Taken:
        """Read what was recorded when an archive was known by its AE title alone, so maybe of another one.

        Nothing is complete by that. But what it brought need not come again, if the archive that is asked now names the
        same instances.
        """
        files = self._look_at_files(asked.former) if asked.former else None
        if files is None:
            return Taken(asked)
        return Taken(asked, seen=bool(files.intact.files), kept=files.intact, changed=files.changed)

    def _look_at_files(self, key: str) -> FileCheck | None:
        if self._folder is None:
            return None
        details = self._journal.details([key]).get(key, Details())
        try:
            return check_files(details.manifest, self._folder)
        except OSError as error:
            why = f"the files in {str(self._folder)!r} cannot be looked at ({error.strerror or error})"
            raise ReceiverError(why, "mend that, and run it again") from None

    def record(self, row: OpenRow, result: Result) -> None:
        """Write down what became of a row; what was never sent is only given back."""
        taken = row.taken
        if taken is None or taken.holder:
            return
        if taken.skip is not None and taken.recorded is None:
            if taken.also is not None:
                self._release(taken)
            return
        if taken.skip is not None and not (row.moves and result.status is not None and result.status.complete):
            self._release(taken)  # what was complete is not less so
            with self._lock:
                row.taken = Taken(taken.asked, taken.skip, seen=True)
                for asked in (taken.asked, taken.also):
                    if asked is not None:
                        self._taken[asked.key] = Taken(asked, taken.skip, seen=True)
            return
        if self._folder is not None and self._place not in (None, _place_of(self._folder)):
            _take_back(result)
        if result.status is Status.SKIPPED:  # nothing of it was missing
            result = replace(result, status=Status.SUCCESS, error=None)
        elif result.unsent and not result.attempts:
            self._release(taken)
            return
        if result.settled is not None:
            result = replace(result, counters=result.settled)
        details = None
        if self._folder is not None:
            if result.status is not None and result.status.complete:
                self._sync()
            identifiers = tuple(move.target.identifier for move in row.moves)
            files = self._files(row, taken.changed)
            if files or not any(_has_brought(move) for move in row.moves):
                details = Details(identifiers, taken.kept.merge(files))
        elif row.moves:
            details = Details(tuple(move.target.identifier for move in row.moves))
        self._journal.record(taken.asked, result, details, also=taken.also)

    def _release(self, taken: Taken) -> None:
        self._journal.release([asked.key for asked in (taken.asked, taken.also) if asked is not None])

    def _files(self, row: OpenRow, changed: Iterable[File]) -> list[File]:
        assert self._folder is not None
        damaged = {file.sop: file.path for file in changed}
        files = []
        for move in row.moves:
            arrivals = list(move.running.arrivals)
            for arrival in arrivals:
                with contextlib.suppress(OSError):  # moved away already; the next run will notice
                    if arrival.conflict and arrival.sop_instance_uid in damaged:
                        arrival = _swap_in(arrival, self._folder, damaged[arrival.sop_instance_uid])  # noqa: PLW2901
                    files.append(File.of(arrival, self._folder))
            if not arrivals and _has_brought(move):
                files += self._files_of_another(row, move)
        return files

    def _files_of_another(self, row: OpenRow, move: SharedMove) -> list[File]:
        """Return what a C-MOVE brought for a row that is over: its arrivals are forgotten, but written down."""
        taken = move.row.taken
        if move.row is row or taken is None:
            return []
        details = self._journal.details([taken.asked.key]).get(taken.asked.key, Details())
        identifier = move.target.identifier
        studies, series, sops = (identifier.uids(level) for level in (Level.STUDY, Level.SERIES, Level.IMAGE))
        return [
            file
            for file in details.manifest.files
            if (not studies or file.study in studies)
            and (not series or file.series in series)
            and (not sops or file.sop in sops)
        ]


def _place_of(folder: Path) -> tuple[int, int] | None:
    """Return which folder is at a path, whatever its name; None if none is."""
    try:
        seen = folder.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _take_back(result: Result) -> None:
    """Let a row not say of files that they are here when their whole folder is not."""
    why = (
        "the folder that we receive into is gone or another one since the batch began: unmounted, renamed or removed; "
    )
    result.status, result.received, result.bytes = Status.LOST, 0, 0
    result.error = "; ".join(filter(None, (result.error, f"{why}; put it back, and run it again")))


def _swap_in(arrival: Arrival, folder: Path, path: str) -> Arrival:
    """Give what has come anew the name of the file that was changed, which is kept beside it under another name."""
    with Below(folder) as below:
        aside = next(name for number in itertools.count(1) if below.look(name := f"{path}.changed-{number}") is None)
        below.rename(path, aside)
        below.rename(arrival.path.relative_to(folder).as_posix(), path)
    return replace(arrival, path=folder / path)


def _has_brought(move: SharedMove) -> bool:
    """Tell whether anything came by a C-MOVE."""
    return bool(move.running.sop_uids or (move.verdict is not None and move.verdict.received))


def _by_uids(request: Request, resolution: Resolution) -> Request | None:
    """Return the request for the same by UIDs, and by whom the archive names; None if it stands for no certain ones."""
    identifiers = [target.identifier for target in resolution.targets]
    levels = {identifier.level for identifier in identifiers}
    if len(levels) != 1 or Level.PATIENT in levels:
        return None
    patient = request.keys.get("PatientID", "")
    if patient and not all(
        target.found and is_of_patient(patient, target.named_patients) for target in resolution.targets
    ):
        return None  # what is here under these UIDs may be another's: nobody has asked the archive whose they are
    # Two patients may have one UID, and another archive's answer is not this one's: whose it is belongs to the key.
    whose = sorted({name for target in resolution.targets for name in target.patients})
    keys: dict[str, str] = {"PatientID": "\\".join(whose)} if whose else {}
    for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
        uids = sorted({uid for identifier in identifiers for uid in identifier.uids(level)})
        if uids:
            keys[level.unique_key] = "\\".join(uids)
    return replace(request, keys=keys, level=levels.pop(), pin="")


def narrow_to_missing(resolution: Resolution, kept: Manifest, instances: Instances) -> tuple[Resolution, Manifest]:
    """Ask for what is not here yet, where the archive says what there is.

    Parameters
    ----------
    resolution
        What the request comes to as a whole.
    kept
        What of it is here.
    instances
        Asks the archive.

    Returns
    -------
    Resolution
        With a target for each series, or some of its instances, that is missing; none if nothing is.
    Manifest
        What is here and counts, which is less than `kept` if the archive does not say what there is.
    """
    here = kept.instances
    targets: list[Target] = []
    counted: set[str] = set()
    for target in resolution.targets:
        identifier = target.identifier
        found = instances(identifier) if identifier.level in (Level.STUDY, Level.SERIES) else None
        if found is None or not says_all(found, target.expected):
            targets.append(target)
            continue
        counted |= here & {uid for uids in found.values() for uid in uids}
        keys = identifier.keys()
        for part in list_missing(here, found):
            level = Level.IMAGE if part.instances else Level.SERIES
            lower = {**keys, "SeriesInstanceUID": part.series, "SOPInstanceUID": "\\".join(part.instances)}
            size = part.count if part.instances else len(set(found[part.series]))
            lacking = Identifier.of(level, identifier.model, lower)
            targets.append(Target(lacking, found=True, expected=size, patients=target.patients))
            counted -= set() if part.instances else set(found[part.series])
    rest = Manifest(tuple(file for file in kept.files if file.sop in counted))
    return replace(resolution, targets=tuple(targets)), rest
