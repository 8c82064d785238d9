"""In which parts a C-GET asks for something, by C-FIND: each with the SOP Classes that it may bring."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from dicomover.attributes.reading import read_texts, read_uid
from dicomover.attributes.uid import is_uid
from dicomover.errors import QueryRefused
from dicomover.identifier import UIDS_AT_ONCE, Identifier, Level, Model
from dicomover.query.classes import COMMON, MOST_PAIRS, classes_of, pair_up
from dicomover.query.instances import Find, studies_of
from dicomover.query.targets import Target

__all__ = ["Part", "divide", "divide_missing", "naming_classes", "read_classes"]

_CLASSES = "SOPClassesInStudy"


@dataclass(frozen=True, slots=True)
class Part:
    """What one C-GET asks for."""

    identifier: Identifier
    classes: tuple[str, ...]  # that it may bring

    def covers(self, other: Part) -> bool:
        """Tell whether it asks for what another one does, with the classes of that."""
        ours, theirs = self.identifier, other.identifier
        is_above = ours.study in ("", theirs.study) and ours.series in ("", theirs.series)
        return is_above and set(other.classes) <= set(self.classes)

    def split(self, syntaxes: Mapping[str, str]) -> list[tuple[Part, str]]:
        """Return a part for each transfer syntax in which some of its images are, as far as that is known."""
        uids: dict[str, list[str]] = {}
        for uid in self.identifier.instance.split("\\"):
            if uid in syntaxes:
                uids.setdefault(syntaxes[uid], []).append(uid)
        keys, model = self.identifier.keys(), self.identifier.model
        parts = {each: {**keys, "SOPInstanceUID": "\\".join(named)} for each, named in uids.items()}
        return [(Part(Identifier.of(Level.IMAGE, model, named), self.classes), each) for each, named in parts.items()]


def naming_classes(find: Find) -> Find:
    """Return what finds in the same way, and asks for the SOP Classes of studies too."""

    def find_with_classes(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        asks = level is Level.STUDY and "ModalitiesInStudy" in returned
        return find(level, model, keys, [*returned, _CLASSES] if asks else returned, limit)

    return find_with_classes


def read_classes(answer: Dataset) -> tuple[str, ...]:
    """Return the SOP Classes that an answer names of a study."""
    return tuple(uid for uid in read_texts(answer, _CLASSES) or () if is_uid(uid))


def divide(target: Target, find: Find, accept: Collection[str] = ()) -> list[Part]:
    """Divide what is to be brought so that the classes of each part fit into one association; raises NodeError.

    As a whole where they do; else by series, with those of the same classes one after the other.
    """
    identifier = target.identifier
    classes = target.sop_classes or classes_of(target.modalities) or _ask(identifier, find)
    if len(pair_up(classes, accept)) <= MOST_PAIRS or identifier.level in (Level.SERIES, Level.IMAGE):
        return [Part(identifier, classes)]
    parts = []
    for series, modalities in _list_series(identifier, find):
        his = classes_of(modalities) or _ask_images(series, find)
        parts.append(Part(series, tuple(uid for uid in his if uid in classes) or his))
    return sorted(parts, key=lambda part: part.classes) or [Part(identifier, classes)]


def divide_missing(target: Target, here: Collection[str], find: Find) -> list[Part]:
    """Return by image, series and class what the archive lists behind a target and is not here; raises NodeError.

    Where it names no class of images, they are of those of their series' modality. Nothing where it lists nothing.
    """
    identifier = target.identifier
    is_low = identifier.level in (Level.SERIES, Level.IMAGE)
    parts = []
    for series in [identifier] if is_low else [each for each, _ in _list_series(identifier, find)]:
        missing: dict[str, list[str]] = {}
        for uid, sop_class in _list_classes(series, find).items():
            if uid not in here:
                missing.setdefault(sop_class, []).append(uid)
        for sop_class, uids in missing.items():
            classes = (sop_class,) if sop_class else _guess(series, find)
            classes = tuple(uid for uid in classes if uid in target.sop_classes) or classes
            for start in range(0, len(uids), UIDS_AT_ONCE):
                keys = {**series.keys(), "SOPInstanceUID": "\\".join(uids[start : start + UIDS_AT_ONCE])}
                parts.append(Part(Identifier.of(Level.IMAGE, series.model, keys), classes))
    return parts


def _list_series(identifier: Identifier, find: Find) -> list[tuple[Identifier, list[str]]]:
    """Return the series behind a patient or a study, each with its modalities."""
    found = {}
    for study in studies_of(identifier, find) if identifier.level is Level.PATIENT else [identifier]:
        for answer in _answers(find, Level.SERIES, study, ["Modality"]):
            uid = read_uid(answer, "SeriesInstanceUID")
            if uid and read_uid(answer, "StudyInstanceUID") in ("", study.study):
                series = Identifier.of(Level.SERIES, study.model, {**study.keys(), "SeriesInstanceUID": uid})
                found[series] = read_texts(answer, "Modality") or []
    return list(found.items())


def _ask(identifier: Identifier, find: Find) -> tuple[str, ...]:
    """Ask for the classes of what an identifier names, by one level after the other."""
    if identifier.level in (Level.SERIES, Level.IMAGE):
        return _ask_images(identifier, find)
    answers = _answers(find, Level.STUDY, identifier, ["ModalitiesInStudy", _CLASSES])
    named = [read_classes(answer) or classes_of(read_texts(answer, "ModalitiesInStudy") or ()) for answer in answers]
    if not named or None in named:
        named = [classes_of(names) or _ask_images(series, find) for series, names in _list_series(identifier, find)]
    return tuple(dict.fromkeys(uid for classes in named for uid in classes or ())) or COMMON


def _ask_images(identifier: Identifier, find: Find) -> tuple[str, ...]:
    """Ask for the classes of images; where the archive does not say, by the modality of their series."""
    if classes := tuple(dict.fromkeys(filter(None, _list_classes(identifier, find).values()))):
        return classes
    return _guess(identifier, find)


def _guess(identifier: Identifier, find: Find) -> tuple[str, ...]:
    """Return the classes that images may have by the modality of their series."""
    keys = {key: value for key, value in identifier.keys().items() if key != "SOPInstanceUID"}
    answers = _answers(find, Level.SERIES, Identifier.of(Level.SERIES, identifier.model, keys), ["Modality"])
    return classes_of(name for answer in answers for name in read_texts(answer, "Modality") or ()) or COMMON


def _list_classes(identifier: Identifier, find: Find) -> dict[str, str]:
    """Return the SOP Class of each image behind a series, or named in it; "" where the archive does not say it."""
    found = {}
    for answer in _answers(find, Level.IMAGE, identifier, ["SOPClassUID"]):
        uid, sop_class = read_uid(answer, "SOPInstanceUID"), read_uid(answer, "SOPClassUID")
        if uid and read_uid(answer, "SeriesInstanceUID") in ("", identifier.series):
            found[uid] = sop_class if is_uid(sop_class) else ""
    named = identifier.uids(Level.IMAGE)
    return {uid: sop_class for uid, sop_class in found.items() if not named or uid in named}


def _answers(find: Find, level: Level, identifier: Identifier, returned: Sequence[str]) -> Sequence[Dataset]:
    try:
        return find(level, identifier.model, identifier.keys(), returned, None)
    except QueryRefused:
        return ()
