"""What of a target is here, whichever row brought it: all, some, or nothing; and what is still to be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from dicomover.batch.work import NOTHING_KEPT, Kept
from dicomover.disk import Below
from dicomover.errors import ReceiverError
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level
from dicomover.journal import (
    File,
    FileCheck,
    Holding,
    Journal,
    Manifest,
    Place,
    Scope,
    check_files,
    is_complete,
    list_missing,
)
from dicomover.query.instances import says_all
from dicomover.query.targets import Target

__all__ = ["ALL", "ALL_AGAIN", "Lists", "Part", "Stock", "list_missing_targets", "swap_in"]


@dataclass(frozen=True, slots=True)
class Part:
    """What there is to do for one target."""

    # what is still to be asked for; none if all of it is here, None if all of it is to be asked for
    targets: tuple[Target, ...] | None = None
    kept: Kept = NOTHING_KEPT  # what of it is here and counts
    # files of it, and whose they are, that were recorded under the AE title of an archive alone
    adopted: tuple[tuple[str, File], ...] = ()
    is_known: bool = False  # whether anything is known of it


ALL = Part()
ALL_AGAIN = Part(is_known=True)


class Lists(Protocol):
    """Asks the archive; see `Listing`."""

    def ask(self, identifier: Identifier) -> dict[str, list[str]] | None:
        """Return what stands behind a study or a series, by series; None if the archive does not say."""

    def list_studies(self, identifier: Identifier) -> list[Identifier] | None:
        """Return the studies of a patient; None if the archive does not say."""


class Stock:
    """Looks at what is here, by the journal and on the disk. From any thread; nothing is claimed or written."""

    def __init__(
        self,
        journal: Journal,  # open
        # where images come from and go to; what is known by a further one may be another archive's
        places: Sequence[Place],
        folder: Path | None,  # where the files lie; None if a third party receives
        *,
        headers_only: bool = False,  # whether a file that lacks the pixels is all that is wanted
    ) -> None:
        self._journal = journal
        self._places = places
        self._folder = folder
        self._headers_only = headers_only

    def scope(self, target: Target) -> Scope:
        """Name what a target comes to, as the journal knows it."""
        return self._journal.scope(target.identifier, target.named_patients)

    def check(self, scopes: Iterable[Scope]) -> FileCheck | None:
        """Look at the files of some scopes; None if a third party has them."""
        if self._folder is None:
            return None
        holdings = [self._hold(self._places[0], scope) for scope in dict.fromkeys(scopes)]
        return self._check(Manifest(tuple(file for each in holdings for file in each.manifest.files)))

    def find(self, target: Target, listing: Lists | None) -> Part:
        """Say what of a target is here; without a listing, as far as that is known without the archive."""
        identifier, level = target.identifier, target.identifier.level
        scope = self.scope(target)
        if target.found is False and level is not Level.IMAGE:
            return ALL  # it is to be told that the archive has it no more
        known = self._hold(self._places[0], scope)
        if self._folder is None:
            count = max(known.count, known.whole or 0)
            is_all = count >= target.expected if target.expected is not None else known.whole is not None
            return Part((), Kept(count, 0), is_known=True) if count and is_all else ALL_AGAIN if count else ALL
        check = self._check(known.manifest)
        here, is_untouched = check.intact, not (check.missing or check.changed)
        everything = ALL_AGAIN if known.manifest.files else ALL
        if level is Level.IMAGE:
            listed: dict[str, list[str]] | None = {identifier.series: list(scope.sops)}
        elif target.instances is not None:
            listed = {series: list(uids) for series, uids in target.instances.items()}
        else:
            listed = None
            if is_untouched and is_complete(here.count, expected=target.expected, whole=known.whole):
                return Part((), Kept.of(here), is_known=True)
        former = tuple(file for file in self._look_at_former(scope) if file.sop not in here.instances)
        if not here.files and not former:
            return everything
        if level is Level.PATIENT and not (listed and here.instances.issuperset(itertools.chain(*listed.values()))):
            return self._part_of_patient(target, here, listing)
        if listed is None and listing is not None:
            listed = listing.ask(identifier)
        if listed is None or not says_all(listed, target.expected):
            return everything
        targets, counted = list_missing_targets(target, here.instances | {file.sop for file in former}, listed)
        kept = Manifest(tuple(file for file in (*here.files, *former) if file.sop in counted))
        adopted = tuple((scope.whose, file) for file in former if file.sop in counted)
        return Part(targets, Kept.of(kept), adopted, is_known=True)

    def reload(self, target: Target, part: Part) -> Part:
        """Look again at the files of what was decided before, less what its targets are to bring."""
        if not part.kept.bytes or self._folder is None:
            return part
        here = self._check(self._hold(self._places[0], self.scope(target)).manifest).intact
        asked = [each.identifier for each in part.targets or ()]
        files = tuple(file for file in here.files if not any(_brings(each, file) for each in asked))
        return replace(part, kept=replace(part.kept, files=files))

    def _look_at_former(self, scope: Scope) -> tuple[File, ...]:
        """Return what is here under the AE title alone, maybe of another archive: believed by instance, never by count.

        An earlier version did not always say whose it was.
        """
        files: list[File] = []
        for former in self._places[1:]:
            anybodys = scope if scope.level is Level.PATIENT else scope._replace(whose="")
            files += self._check(self._hold(former, anybodys).manifest).intact.files
        return tuple(files)

    def _part_of_patient(self, target: Target, here: Manifest, listing: Lists | None) -> Part:
        """Ask which studies a patient has, and what of each is missing; all of it where the archive does not say."""
        studies = None if listing is None else listing.list_studies(target.identifier)
        if listing is None or not studies:
            return ALL_AGAIN
        targets: list[Target] = []
        files: list[File] = []
        total = 0
        for study in studies:
            listed = listing.ask(study)
            if listed is None or not says_all(listed, None):
                return ALL_AGAIN
            total += (expected := sum(map(len, listed.values())))
            part = Target(study, found=True, expected=expected, patients=target.named_patients)
            mine = Manifest(tuple(file for file in here.files if file.study == study.study))
            missing, counted = list_missing_targets(part, mine.instances, listed)
            targets += missing if mine.files else [part]
            files += [file for file in mine.files if file.sop in counted]
        is_all = total >= (target.expected or 0)
        return Part(tuple(targets), Kept.of(Manifest(tuple(files))), is_known=True) if is_all else ALL_AGAIN

    def _hold(self, place: Place, scope: Scope) -> Holding:
        """Return what is known of a scope, without the files that lack what is wanted."""
        known = self._journal.holding(place, scope)
        if self._headers_only or not any(file.headers_only for file in known.manifest.files):
            return known
        files = tuple(file for file in known.manifest.files if not file.headers_only)
        return replace(known, manifest=Manifest(files))

    def _check(self, manifest: Manifest) -> FileCheck:
        if self._folder is None or not manifest.files:
            return FileCheck()
        try:
            return check_files(manifest, self._folder)
        except OSError as error:
            why = f"the files in {str(self._folder)!r} cannot be looked at ({error.strerror or error})"
            raise ReceiverError(why, "mend that, and run it again") from None


def _brings(identifier: Identifier, file: File) -> bool:
    """Tell whether a C-MOVE brings a file."""
    of_file = (file.study, file.series, file.sop)
    asked = (identifier.uids(level) for level in (Level.STUDY, Level.SERIES, Level.IMAGE))
    return all(not uids or uid in uids for uids, uid in zip(asked, of_file, strict=True))


def list_missing_targets(
    target: Target,  # what was asked for
    here: Iterable[str],  # SOP Instance UIDs that are here
    listed: dict[str, list[str]],  # what the archive lists of it, by series
) -> tuple[tuple[Target, ...], set[str]]:
    """Return a target for each series, or some of its instances, that is missing; and what is here and counts."""
    here = frozenset(here)
    keys, model = target.identifier.keys(), target.identifier.model
    counted = here & {uid for uids in listed.values() for uid in uids}
    targets = []
    for part in list_missing(here, listed):
        sops = part.instances
        if target.identifier.level is Level.IMAGE and not sops:
            sops = tuple(listed[part.series])
        level = Level.IMAGE if sops else Level.SERIES
        lower = {**keys, "SeriesInstanceUID": part.series, "SOPInstanceUID": "\\".join(sops)}
        size = part.count if level is Level.IMAGE else len(set(listed[part.series]))
        lacking = Identifier.of(level, model, lower)
        targets.append(
            Target(lacking, found=True, expected=size, modalities=target.modalities, patients=target.patients)
        )
        counted -= set() if level is Level.IMAGE else set(listed[part.series])
    return tuple(targets), set(counted)


def swap_in(arrival: Arrival, folder: Path, path: str) -> Arrival:
    """Give what has come anew the name of the file that was changed, which is kept beside it under another name."""
    with Below(folder) as below:
        aside = next(name for number in itertools.count(1) if below.look(name := f"{path}.changed-{number}") is None)
        below.rename(path, aside)
        below.rename(arrival.path.relative_to(folder).as_posix(), path)
    return replace(arrival, path=folder / path)
