"""What a request comes to, asked by C-FIND down to the instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom import Dataset

from dicomover.attributes.reading import read_count, read_text, read_uid
from dicomover.cohort.content import LockedRequest, LockedSeries, LockedStudy, LockState
from dicomover.errors import ContextRejected, ProtocolError, QueryRefused
from dicomover.identifier import Identifier, Level, Model, Request
from dicomover.query.instances import Find, studies_of
from dicomover.query.matching import is_of_patient
from dicomover.query.patients import StudyPatients, select_of_patient
from dicomover.query.resolve import resolve
from dicomover.query.targets import Target, TooManyMatches, no_match

__all__ = ["Contents", "find_held", "identify_study", "look_up"]


@dataclass(frozen=True, slots=True)
class Held:
    """What an archive has of a study or of one series, and whether it named as many instances as it counts."""

    study: LockedStudy
    is_whole: bool = True


@dataclass(slots=True)
class Contents:
    """What stands behind studies and series, each asked for once."""

    find: Find
    archive: object
    _known: dict[Identifier, Held | None] = field(default_factory=dict)
    _whose: StudyPatients = field(default_factory=StudyPatients, repr=False)

    def study(self, identifier: Identifier, counted: int | None = None) -> Held | None:
        """Return what a study holds, None if there is no such study; `counted` if it is known to be there."""
        if identifier not in self._known:
            self._known[identifier] = self._study(identifier, counted)
        return self._known[identifier]

    def series(self, identifier: Identifier) -> Held | None:
        """Return one series of a study, None if there is no such series."""
        one = Identifier.of(Level.SERIES, identifier.model, identifier.keys())
        if one not in self._known:
            self._known[one] = self._one_series(one) if self._may_be_his(one) else None
        return self._known[one]

    def _study(self, identifier: Identifier, counted: int | None) -> Held | None:
        if counted is None:
            counts = "NumberOfStudyRelatedInstances"
            asked = self.find(Level.STUDY, identifier.model, identifier.keys(), (counts, "PatientID"), None)
            uid = {"StudyInstanceUID": identifier.study}
            answers, _ = select_of_patient(asked, uid, self.archive, identifier.patient)
            if not answers:
                return None
            counted = read_count(answers[0], counts) or 0
        parts = self._parts(identifier)
        series = tuple(sorted((part for part, _ in parts), key=lambda part: part.uid))
        study = LockedStudy(identifier.study, series)
        return Held(study, all(whole for _, whole in parts) and study.count >= counted)

    def _may_be_his(self, identifier: Identifier) -> bool:
        """Tell whether the archive has a study as that of the patient who is named, or does not say; see `Resolver`."""
        his = identifier.patient
        named = self._whose.ask(identifier.study, self.find, his) if his else ()
        return not named or any(is_of_patient(name, [his]) for name in named)

    def _one_series(self, identifier: Identifier) -> Held | None:
        parts = [(part, whole) for part, whole in self._parts(identifier) if part.uid == identifier.series]
        if not parts:
            return None
        part, whole = parts[0]
        return Held(LockedStudy(identifier.study, (part,)), whole)

    def _parts(self, identifier: Identifier) -> list[tuple[LockedSeries, bool]]:
        """Ask for the series, and the instances of each."""
        counts, model = "NumberOfSeriesRelatedInstances", identifier.model
        keys = identifier.keys()
        found: dict[str, Dataset] = {}
        for answer in self.find(Level.SERIES, model, keys, ("Modality", counts), None):
            found.setdefault(read_uid(answer, "SeriesInstanceUID"), answer)
        found.pop("", None)
        parts = []
        for uid, answer in found.items():
            images = self.find(Level.IMAGE, model, {**keys, "SeriesInstanceUID": uid}, (), None)
            instances = sorted({read_uid(image, "SOPInstanceUID") for image in images} - {""})
            part = LockedSeries(uid, read_text(answer, "Modality"), tuple(instances))
            parts.append((part, len(instances) >= (read_count(answer, counts) or 0)))
        return parts


def look_up(
    request: Request, contents: Contents, *, max_matches: int | None, given: Mapping[str, Any] | None = None
) -> LockedRequest:
    """Ask what a request comes to, down to the instances; more matches than `max_matches` are not looked into.

    What the archive says about this one request is a state. Raises NodeError if it cannot be reached any more.
    """
    none = LockedRequest(request.label, request.level, request.model, request.keys, given or {}, LockState.NOT_FOUND)
    things = request.level.plural
    try:
        resolution = resolve(request, contents.find, archive=contents.archive, count=False, max_matches=max_matches)
        parts, absent, whole = _look_into(resolution.targets, contents)
    except TooManyMatches:
        note = f"more than {max_matches} {things} match"
        return replace(none, state=LockState.TOO_MANY, more_than=max_matches, note=note)
    except (QueryRefused, ContextRejected, ProtocolError) as error:
        return replace(none, state=LockState.REFUSED, note=str(error))
    if not parts:
        return replace(none, note=resolution.note or no_match(request.level))
    state, notes = LockState.FOUND, [resolution.note]
    if absent:
        state = LockState.INCOMPLETE
        notes.append(f"{absent} of the {things} that it names are not in the archive")
    if not whole:
        state = LockState.CUT_SHORT
        notes.append("the archive counts more instances than it names; ask its administrator whether it caps answers")
    return replace(none, state=state, studies=_merge(parts), note="; ".join(filter(None, notes)))


def _look_into(targets: Iterable[Target], contents: Contents) -> tuple[list[LockedStudy], int, bool]:
    """Return what stands behind targets, how many named things are not there, and whether all that is was named."""
    parts: list[LockedStudy] = []
    absent, whole = 0, True
    for target in targets:
        identifier = target.identifier
        if target.is_absent:
            absent += len(identifier.uids(identifier.level))
            continue
        if identifier.level is Level.PATIENT:
            studies = (Target(study) for study in studies_of(identifier, contents.find))
            more, gone, complete = _look_into(studies, contents)
            parts, absent, whole = parts + more, absent + gone, whole and complete
            continue
        if identifier.level is Level.STUDY:
            held = contents.study(identifier, counted=(target.expected or 0) if target.found else None)
        else:
            held = contents.series(identifier)
        if identifier.level is Level.IMAGE:
            wanted = identifier.uids(Level.IMAGE)
            part = None if held is None else _restrict(held.study, wanted)
            absent += len(wanted) - (part.count if part else 0)
            if part is not None and part.count:
                parts.append(part)
        elif held is None:
            absent += 1
        else:
            parts.append(held.study)
            whole = whole and held.is_whole
    return parts, absent, whole


def identify_study(locked: LockedRequest, study: LockedStudy) -> Identifier:
    """Return how to ask for a locked study: in Patient Root only if that was the model and the patient is known."""
    keys, model = {"StudyInstanceUID": study.uid}, Model.STUDY
    if locked.model is Model.PATIENT and locked.is_readable and "PatientID" in locked.keys:
        keys, model = {**keys, "PatientID": locked.keys["PatientID"]}, Model.PATIENT
    return Identifier.of(Level.STUDY, model, keys)


def find_held(locked: LockedRequest, study: LockedStudy, contents: Contents) -> LockedStudy | None:
    """Return what the archive has of a locked study now, at the level at which it was locked; None if nothing."""
    identifier = identify_study(locked, study)
    if locked.level in (Level.PATIENT, Level.STUDY):
        held = contents.study(identifier)
        return None if held is None else held.study
    parts = []
    for series in study.series:
        keys = {**identifier.keys(), "SeriesInstanceUID": series.uid}
        held = contents.series(Identifier.of(Level.SERIES, identifier.model, keys))
        if held is not None:
            wanted = frozenset(series.instances)
            parts.append(held.study if locked.level is Level.SERIES else _restrict(held.study, wanted))
    there = _merge(part for part in parts if part.series)
    return there[0] if there else None


def _restrict(study: LockedStudy, wanted: frozenset[str]) -> LockedStudy:
    """Leave some instances of a study."""
    series = (
        LockedSeries(part.uid, part.modality, tuple(uid for uid in part.instances if uid in wanted))
        for part in study.series
    )
    return LockedStudy(study.uid, tuple(part for part in series if part.instances))


def _merge(parts: Iterable[LockedStudy]) -> tuple[LockedStudy, ...]:
    """Put together what was found in pieces, in ascending order of the UIDs."""
    studies: dict[str, dict[str, LockedSeries]] = {}
    for study in parts:
        known = studies.setdefault(study.uid, {})
        for part in study.series:
            uids = {*part.instances, *(known[part.uid].instances if part.uid in known else ())}
            known[part.uid] = LockedSeries(part.uid, part.modality, tuple(sorted(uids)))
    return tuple(
        LockedStudy(uid, tuple(series for _, series in sorted(known.items()))) for uid, known in sorted(studies.items())
    )
