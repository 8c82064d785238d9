"""The C-MOVEs that bring exactly what was locked: whole studies where nothing has changed, else their instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dicomover.attributes.reading import read_count
from dicomover.cohort.content import LockedRequest, LockedStudy, LockState
from dicomover.cohort.lookup import identify_study
from dicomover.errors import QueryRefused
from dicomover.identifier import UIDS_AT_ONCE, Identifier, Level, Request
from dicomover.outcome import Verify
from dicomover.query.instances import Find, instances_of
from dicomover.query.patients import patients_of, select_of_patient
from dicomover.query.targets import Resolution, Target, TooManyMatches

__all__ = ["PinnedResolver"]

_COUNTS = "NumberOfStudyRelatedInstances"


@dataclass(frozen=True, slots=True, eq=False)
class PinnedResolver:
    """Says of each request of a cohort what it was locked to, and how the archive is to be asked for that now."""

    archive: object  # what to call it in messages
    requests: Sequence[LockedRequest]  # what was locked, by position in the batch
    # with `instances` a study is moved as a whole only if its instances are those that were locked, otherwise also if
    # they are as many
    verify: Verify = "counts"

    def __call__(self, request: Request, find: Find) -> Resolution:
        """Return the C-MOVEs for a request.

        Raises QueryRefused if the archive would not say what it comes to when it was locked, or will not now, and
        TooManyMatches if more than was allowed matched when it was locked.
        """
        locked = self.requests[request.position]
        if locked.state is LockState.TOO_MANY:
            limit = locked.more_than or 0
            raise TooManyMatches(locked.level, limit, limit + 1)
        if locked.state is LockState.REFUSED:
            raise QueryRefused(
                f"when the cohort was locked the archive would not say what this comes to: {locked.note}"
            )
        if not locked.studies:
            return Resolution((), 0, "that was so when the cohort was locked")
        targets: list[Target] = []
        gone = 0
        for study in locked.studies:
            identifier = identify_study(locked, study)
            asked = find(Level.STUDY, identifier.model, identifier.keys(), (_COUNTS, "PatientID"), None)
            answers, _ = select_of_patient(asked, {"StudyInstanceUID": study.uid}, self.archive, _name_patient(locked))
            if asked and not answers:  # the archive has it as somebody else's now
                gone += study.count
                continue
            whose = patients_of(answers, Level.STUDY).get(study.uid, ())
            whole = locked.level in (Level.PATIENT, Level.STUDY) and self.verify not in ("instances", "destination")
            if whole and (not answers or not study.count or read_count(answers[0], _COUNTS) == study.count):
                targets.append(replace(_take_whole(identifier, study, found=bool(answers)), patients=whose))
                continue
            for target in _ask_for_study(identifier, study, instances_of(identifier, find)):
                targets.append(replace(target, patients=whose))
                gone += 0 if target.found else target.expected or 0
        note = f"the archive no longer has {gone} of the locked instances" if gone else ""
        cut = locked.state in (LockState.CUT_SHORT, LockState.INCOMPLETE)
        caution = f"when the cohort was locked this was not all that was asked for: {locked.note}" if cut else ""
        return Resolution(tuple(targets), locked.matches, note, caution)


def _name_patient(locked: LockedRequest) -> str:
    """Return whose images were asked for, empty if the request does not say, or not to be read."""
    patient = locked.keys.get("PatientID", "") if locked.is_readable else ""
    return "" if set("*?\\") & set(patient) else patient


def _take_whole(identifier: Identifier, study: LockedStudy, *, found: bool) -> Target:
    """Ask for a study as it was locked."""
    return Target(identifier, found, study.count, len(study.series), _list_modalities(study), study.by_series)


def _ask_for_study(identifier: Identifier, study: LockedStudy, now: Mapping[str, Sequence[str]]) -> Iterator[Target]:
    """Ask for what was locked of a study and no more, where the archive has it now; what is gone is asked for too."""
    home = {uid: series.uid for series in study.series for uid in series.instances}
    model, keys = identifier.model, identifier.keys()
    if {series: set(uids) for series, uids in now.items()} == {
        each: set(uids) for each, uids in study.by_series.items()
    }:
        yield _take_whole(identifier, study, found=True)
        return
    modalities = {series.uid: (series.modality,) if series.modality else () for series in study.series}
    asked: set[str] = set()
    for series, uids in sorted(now.items()):
        wanted = [uid for uid in sorted(set(uids)) if uid in home and uid not in asked]
        asked.update(wanted)
        if wanted and set(uids) == set(study.by_series.get(series, ())):
            one = Identifier.of(Level.SERIES, model, {**keys, "SeriesInstanceUID": series})
            yield Target(one, True, len(wanted), 1, modalities.get(series, ()), {series: wanted})
        else:
            yield from _ask_for_images(identifier, series, wanted, modalities.get(series, ()), found=True)
    for series, instances in study.by_series.items():
        gone = [uid for uid in instances if uid not in asked]
        yield from _ask_for_images(identifier, series, gone, modalities[series], found=False)


def _ask_for_images(
    identifier: Identifier, series: str, uids: Sequence[str], modalities: tuple[str, ...], *, found: bool
) -> Iterator[Target]:
    for start in range(0, len(uids), UIDS_AT_ONCE):
        chunk = list(uids[start : start + UIDS_AT_ONCE])
        keys = {**identifier.keys(), "SeriesInstanceUID": series, "SOPInstanceUID": "\\".join(chunk)}
        one = Identifier.of(Level.IMAGE, identifier.model, keys)
        yield Target(one, found, len(chunk), 1, modalities, {series: chunk})


def _list_modalities(study: LockedStudy) -> tuple[str, ...]:
    return tuple(dict.fromkeys(series.modality for series in study.series if series.modality))
