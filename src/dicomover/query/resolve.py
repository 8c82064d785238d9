"""From a request to the identifiers that C-MOVE needs, by C-FIND, level by level; and how much should arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from pydicom import Dataset

from dicomover.attributes.reading import read_count, read_text, read_texts, read_uid
from dicomover.errors import QueryRefused
from dicomover.identifier import (
    UIDS_AT_ONCE,
    UNIQUE_KEYS,
    Identifier,
    Level,
    Request,
    levels,
)
from dicomover.node import Node, Quirks
from dicomover.outcome import Verify
from dicomover.query.availability import read_availability, tell_availability
from dicomover.query.instances import Find, instances_of, read_unique_key, says_all, studies_of
from dicomover.query.lists import UidLists
from dicomover.query.matching import explain_letters, is_of_patient, is_round
from dicomover.query.parts import naming_classes, read_classes
from dicomover.query.patients import (
    StudyPatients,
    find_whose,
    names_another,
    patient_of,
    patients_of,
    refuse_namesakes,
    select_of_patient,
)
from dicomover.query.repeats import hides_others
from dicomover.query.targets import Resolution, Target, TooManyMatches
from dicomover.text.sentences import count_of

__all__ = ["Resolver", "resolve"]

_COUNTS = {
    Level.PATIENT: "NumberOfPatientRelatedInstances",
    Level.STUDY: "NumberOfStudyRelatedInstances",
    Level.SERIES: "NumberOfSeriesRelatedInstances",
}
_DETAILS = {
    Level.STUDY: ("NumberOfStudyRelatedSeries", "ModalitiesInStudy", "InstanceAvailability"),
    Level.SERIES: ("Modality", "InstanceAvailability"),
}


_MOST_PATIENTS = 200  # that are asked for one after the other
_MOST_ANSWERS = 50_000  # of which few match: some archives tell a match once for each of its images
_MOST_COUNTED = 300  # C-FINDs for one row to count what lies below, where an archive keeps no counts


@dataclass(frozen=True, slots=True)
class Resolver:
    """Looks up requests in one archive, each in the same way."""

    archive: Node | str  # whose quirks are kept to; a text is what to call it in messages alone
    verify: Verify = "counts"  # decides what is asked beyond what a C-MOVE needs
    max_matches: int | None = None  # more than so many matches are a TooManyMatches; None is no limit
    names_classes: bool = False  # whether to ask for the SOP Classes of studies too, which C-GET needs
    _whose: StudyPatients = field(default_factory=StudyPatients, repr=False, compare=False)
    _quirks: Quirks = field(init=False, repr=False, compare=False)
    _lists: UidLists = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        quirks = self.archive.quirks if isinstance(self.archive, Node) else Quirks()
        object.__setattr__(self, "_quirks", quirks)
        object.__setattr__(self, "_lists", UidLists(quirks.lists))

    def __call__(self, request: Request, find: Find) -> Resolution:
        """Look up what a request comes to; raises as `resolve` does."""
        find = find_whose(find) if self._quirks.patient_id else find
        find = self._lists.wrap(naming_classes(find) if self.names_classes else find)
        count, cap = self.verify != "none", self._quirks.find_cap
        look_up = partial(resolve, archive=self.archive, count=count, max_matches=self.max_matches, cap=cap)
        try:
            found = look_up(request, find)
        except QueryRefused as error:
            if not request.skips_patient:
                raise
            found = _resolve_by_patients(request, find, look_up, error)
        if self.verify != "none":
            known = _without_none(self._with_patients(target, find) for target in found.targets)
            found = replace(found, targets=_with_absent(request, known))
        found = _enumerated(found, find) if self.verify in ("instances", "destination") else found
        late = tell_availability([target.availability for target in found.targets])
        return replace(found, note="; ".join(filter(None, (found.note, late)))) if late else found

    def _with_patients(self, target: Target, find: Find) -> Target | None:
        """Say whose a series or an image is, which answers at its level need not; None if another's."""
        identifier, his = target.identifier, target.identifier.patient
        if target.patients or target.found is False or identifier.level not in (Level.SERIES, Level.IMAGE):
            return target
        try:
            named = self._whose.ask(identifier.study, find, his)
        except QueryRefused:
            if his and target.found:  # else nothing would hold its images against the patient
                raise
            return target
        patients = tuple(name for name in named if not his or is_of_patient(name, [his]))
        return None if named and not patients else replace(target, patients=patients)


class _Counting:
    """How much counting by what lies below is left to a row."""

    def __init__(self) -> None:
        self._left = _MOST_COUNTED

    def spend(self) -> bool:
        """Tell whether one more C-FIND is allowed."""
        self._left -= 1
        return self._left >= 0

    @property
    def note(self) -> str:
        """Why not all was counted, if it was not."""
        if self._left >= 0:
            return ""
        return f"not counted: the archive keeps no counts, and {_MOST_COUNTED} C-FINDs were not enough to count it"


def resolve(
    request: Request,
    find: Find,
    *,
    archive: object,
    count: bool,
    max_matches: int | None,
    cap: int | None = None,  # the most that the archive answers, where that is known
) -> Resolution:
    """Look up what a request means, and with `count` how many instances should arrive.

    For a request that is resolved already, an archive that cannot say how many is no obstacle. Raises NodeError if the
    archive refuses, or its answers cannot be trusted, and TooManyMatches.
    """
    counting = _Counting()
    if request.is_resolved:
        targets = _split(Identifier.of(request.level, request.model, request.keys))
        if not count:
            return Resolution(targets)
        try:
            counted = _without_none(_counted(target, find, archive, counting) for target in targets)
            return Resolution(_with_absent(request, counted), caution=counting.note)
        except QueryRefused as error:
            return Resolution(targets, note=f"not counted: {error}")

    order = levels(request.model)
    skips = request.skips_patient
    known: list[dict[str, str]] = [{}]
    stray: list[Dataset] = []  # what came and does not match
    caution = ""
    answers: list[Dataset] = []
    whose: dict[tuple[str, str], tuple[str, ...]] = {}
    for level in order[: order.index(request.level) + 1]:
        keys = {key: value for key, value in request.keys.items() if request.level_of(key) is level}
        last = level is request.level
        if level is Level.PATIENT and skips:
            continue
        seeks_patient = skips and level is Level.STUDY
        if not last and set(keys) == {level.unique_key} and not seeks_patient:
            known = [{**above, **keys} for above in known]
            continue
        below: list[dict[str, str]] = []
        for above in known:
            limit = None if max_matches is None else max_matches + 1
            returned = _returned(level) if last else ["PatientID"] if level is Level.STUDY else []
            patient = above.get("PatientID", "")
            for bound in dict.fromkeys((limit, limit and max(10 * limit, _MOST_ANSWERS))):
                asked = find(level, request.model, {**above, **keys}, returned, bound)
                found, dropped = select_of_patient(asked, keys, archive, patient)
                by_uid = _by_uid(found, level, archive)
                if limit is None or bound is None or len(by_uid) >= limit or len(asked) < bound:
                    break
            else:  # used up by answers that do not match or come twice, also with room for the right one after them
                raise QueryRefused(f"{archive} sent {bound:,} answers, and few match", mend="ask more narrowly")
            ask_alone = partial(find, level, request.model, returned=returned, limit=None)
            if hides_others(found, level, {**above, **keys}, ask_alone):
                raise QueryRefused(
                    f"{archive} told one {level.singular} in the place of others, so not all that match are known",
                    mend=f"ask for each by its {level.unique_key}, or more narrowly",
                )
            if level is Level.PATIENT:
                refuse_namesakes(by_uid, keys, find, archive)
            if dropped:
                kept = set(map(id, found))
                stray += [answer for answer in asked if id(answer) not in kept]
            is_capped = len(asked) >= cap if cap else level in (Level.PATIENT, Level.STUDY) and is_round(len(asked))
            if is_capped:
                caution = f"{archive} answered with {len(asked)} matches, which may be the most that it gives: "
                caution += "there may be more; ask more narrowly"
            patients = [patient_of(answer) if seeks_patient else {} for answer in by_uid.values()]
            below += [{**above, **his, level.unique_key: uid} for his, uid in zip(patients, by_uid, strict=True)]
            if seeks_patient and not all(patients):
                caution = f"{archive} does not say whose it is: asked for without the PatientID that Patient Root needs"
            answers += by_uid.values()
            if level is Level.STUDY:
                whose |= {(patient, uid): names for uid, names in patients_of(found, level).items()}
            if max_matches is not None and len(below) > max_matches:
                raise TooManyMatches(level, max_matches, len(below))
        known = below
        if not last:
            answers = []

    note = ""
    if stray:
        do, were = ("does", "it was") if len(stray) == 1 else ("do", "they were")
        note = f"the archive sent {count_of(len(stray), 'answer')} that {do} not match the request; {were} left out"
    if not known and (why := explain_letters(request.keys, stray)):
        note = "; ".join(filter(None, [note, why]))
    targets = tuple(
        replace(target, patients=target.patients or whose.get((his, target.identifier.study), ()))
        for target in _targets(request, known, answers)
        for his in ["" if skips else target.identifier.patient]
    )
    if count:
        targets = _without_none(
            target if target.expected is not None else _counted(target, find, archive, counting) for target in targets
        )
        caution = "; ".join(filter(None, [caution, counting.note]))
    return Resolution(_with_absent(request, targets), len(known), note, caution)


def _resolve_by_patients(
    request: Request, find: Find, look_up: Callable[[Request, Find], Resolution], refused: QueryRefused
) -> Resolution:
    """Look for a study at one patient after the other, where an archive wants the PatientID to say anything."""
    answers = find(Level.PATIENT, request.model, {}, (), _MOST_PATIENTS + 1)
    patients = list(dict.fromkeys(his["PatientID"] for answer in answers if (his := patient_of(answer))))
    if len(answers) > _MOST_PATIENTS:
        if set(request.keys) != set(UNIQUE_KEYS[1 : list(Level).index(request.level) + 1]):
            raise QueryRefused(f"{refused}; in Patient Root it wants the PatientID too", mend="add it") from refused
        targets = _split(Identifier.of(request.level, request.model, request.keys))
        return Resolution(targets, caution=f"asked for without the PatientID, which Patient Root needs: {refused}")
    found = [look_up(replace(request, keys={"PatientID": patient, **request.keys}), find) for patient in patients]
    targets = tuple(target for part in found for target in part.targets if target.found is not False)
    caution = next((part.caution for part in found if part.caution), "")
    return Resolution(_with_absent(request, targets), len(targets), caution=caution)


def _by_uid(answers: list[Dataset], level: Level, archive: object) -> dict[str, Dataset]:
    """Return the answers by their unique key, each once."""
    by_uid: dict[str, Dataset] = {}
    for answer in answers:
        by_uid.setdefault(read_unique_key(answer, level), answer)
    if "" in by_uid:
        own = level.unique_key
        said = f"with a {own} that can be none" if read_text(by_uid[""], own) else f"without {own}"
        raise QueryRefused(f"{archive} answered {said}, so what matches cannot be moved", mend="ask its administrator")
    return by_uid


def _enumerated(resolution: Resolution, find: Find) -> Resolution:
    """Ask which instances should arrive; an archive that cannot say them all is no obstacle, but that is said."""
    targets, caution = [], resolution.caution
    for target in resolution.targets:
        listed, why = target, "the archive does not list all that it counts"
        try:
            listed = target if target.found is False else _listed(target, find)
        except QueryRefused as error:
            why = str(error)
        if listed.instances is None and listed.found is not False:
            caution = caution or f"not compared by instance: {why}"
        targets.append(listed)
    return replace(resolution, targets=tuple(targets), caution=caution)


def _listed(target: Target, find: Find) -> Target:
    identifier = target.identifier
    parts = studies_of(identifier, find) if identifier.level is Level.PATIENT else [identifier]
    instances: dict[str, list[str]] = {}
    studies: dict[str, str] = {}
    for part in parts:
        found = instances_of(part, find)
        instances |= found
        studies |= dict.fromkeys(found, part.study)
    if not says_all(instances, target.expected):
        return target
    above = studies if identifier.level is Level.PATIENT else None
    return replace(target, instances=instances, studies=above, expected=sum(map(len, instances.values())))


def _split(identifier: Identifier) -> tuple[Target, ...]:
    """One C-MOVE for each study or series, since not every archive takes a list; images go together."""
    keys = identifier.keys()
    uids = list(dict.fromkeys(keys[identifier.level.unique_key].split("\\")))
    step = UIDS_AT_ONCE if identifier.level is Level.IMAGE else 1
    if identifier.level is Level.PATIENT:
        return (Target(identifier),)
    chunks = ["\\".join(uids[start : start + step]) for start in range(0, len(uids), step)]
    level, model = identifier.level, identifier.model
    identifiers = (Identifier.of(level, model, {**keys, level.unique_key: chunk}) for chunk in chunks)
    # How many images are named is known without asking.
    return tuple(Target(each, expected=len(each.uids(level)) if level is Level.IMAGE else None) for each in identifiers)


def _targets(request: Request, known: list[dict[str, str]], answers: list[Dataset]) -> tuple[Target, ...]:
    level, model = request.level, request.model
    given = {key: request.keys[key] for key in ("PatientID",) if key in request.keys}
    if level is Level.IMAGE:
        together: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for keys in known:
            above = tuple((key, value) for key, value in keys.items() if key != "SOPInstanceUID")
            together.setdefault(above, []).append(keys["SOPInstanceUID"])
        merged = [{**dict(above), "SOPInstanceUID": "\\".join(uids)} for above, uids in together.items()]
        targets = [target for keys in merged for target in _split(Identifier.of(level, model, {**given, **keys}))]
        return tuple(replace(item, found=True) for item in targets)
    found: dict[Identifier, Target] = {}
    for keys, answer in zip(known, answers, strict=True):
        identifier = Identifier.of(level, model, {**given, **keys})
        found.setdefault(identifier.without_model(), _target(identifier, answer))
    return tuple(found.values())


def _target(identifier: Identifier, answer: Dataset) -> Target:
    modalities = read_texts(answer, "ModalitiesInStudy" if identifier.level is Level.STUDY else "Modality") or ()
    return Target(
        identifier,
        True,
        read_count(answer, _COUNTS[identifier.level]) if identifier.level in _COUNTS else None,
        read_count(answer, "NumberOfStudyRelatedSeries"),
        tuple(filter(None, modalities)),
        availability=read_availability([answer]),
        sop_classes=read_classes(answer) if identifier.level is Level.STUDY else (),
    )


def _returned(level: Level) -> list[str]:
    whose = ["PatientID"] if level is Level.STUDY else []  # which is no key of the levels below
    return [_COUNTS[level], *_DETAILS.get(level, ()), *whose] if level in _COUNTS else ["InstanceAvailability"]


def _without_none(targets: Iterable[Target | None]) -> tuple[Target, ...]:
    """Leave out what the archive says is another patient's."""
    return tuple(target for target in targets if target is not None)


def _with_absent(request: Request, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Add what a list names that is not among what matches: what is left of the list is not all of it."""
    level, named = request.level, request.keys.get(request.level.unique_key, "").split("\\")
    if not targets or len(named) == 1 or level is Level.PATIENT:
        return targets
    found = {uid for target in targets for uid in target.identifier.uids(level)}
    if not (absent := [uid for uid in named if uid not in found]):
        return targets
    keys = {**targets[0].identifier.keys(), level.unique_key: "\\".join(absent)}
    parts = _split(Identifier.of(level, request.model, keys))
    return (*targets, *(replace(part, found=False, is_absent=True) for part in parts))


def _counted(target: Target, find: Find, archive: object, counting: _Counting) -> Target | None:
    """Ask whether what a target names exists, and how many instances stand behind it; None if it is another's."""
    identifier = target.identifier
    level, own = identifier.level, identifier.level.unique_key
    asked = find(level, identifier.model, identifier.keys(), _returned(level), None)
    answers, _ = select_of_patient(asked, {own: identifier.keys()[own]}, archive, identifier.patient)
    if not answers and any(names_another(answer, identifier.patient) for answer in asked):
        return None
    whose = tuple(sorted({name for names in patients_of(answers, level).values() for name in names}))
    if level is Level.IMAGE and (known := {read_uid(answer, own) for answer in answers}):
        # Those that are there come first: where a list comes to nothing, they tell whether it is the list.
        uids = sorted(identifier.keys()[own].split("\\"), key=lambda uid: uid not in known)
        target = replace(target, identifier=replace(identifier, instance="\\".join(uids)))
    if not answers or level is Level.IMAGE:
        return replace(target, found=bool(answers), patients=whose, availability=read_availability(answers))
    counted = replace(_target(identifier, answers[0]), patients=whose or target.patients)
    return counted if counted.expected is not None else replace(counted, expected=_below(identifier, find, counting))


def _below(identifier: Identifier, find: Find, counting: _Counting) -> int | None:
    """Count by asking for what lies below, where an archive keeps no counts; None if that cannot be said."""
    below = list(Level)[list(Level).index(identifier.level) + 1]
    if not counting.spend():
        return None
    try:
        answers = find(below, identifier.model, identifier.keys(), _returned(below), None)
        by_uid = {read_uid(answer, below.unique_key): answer for answer in answers}
        by_uid.pop("", None)
        if below is Level.IMAGE:
            return len(by_uid) or None
        total = 0
        for uid, answer in by_uid.items():
            keys = {**identifier.keys(), below.unique_key: uid}
            child = Identifier.of(below, identifier.model, keys)
            count = read_count(answer, _COUNTS[below]) or _below(child, find, counting)
            if count is None:
                return None
            total += count
    except QueryRefused:
        return None
    return total or None
