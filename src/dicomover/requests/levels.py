"""At which level and in which model keys ask, and what they lack for it. No network."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from dicomover.identifier import UNIQUE_KEYS, Level, Model, level_of, levels
from dicomover.text.face import advise

__all__ = ["Lack", "choose_level", "choose_model", "find_lacks", "find_query_lacks", "find_widening"]

_ORDER = list(Level)


class Lack(NamedTuple):
    """A key that does not go with the level or the model: its name, its value, why, and the mend."""

    keyword: str
    value: str | None
    why: str
    mend: str


def choose_level(keys: Collection[str]) -> Level:
    """Return the level of the deepest UID among the keys, STUDY if there is none."""
    deepest = [item for item in Level if item is not Level.PATIENT and item.unique_key in keys]
    return deepest[-1] if deepest else Level.STUDY


def choose_model(keys: Collection[str], level: Level) -> Model:
    """Return Patient Root if PatientID is known and no other attribute of the patient is a key; else Study Root."""
    if level is Level.PATIENT:
        return Model.PATIENT
    others = any(level_of(key) is Level.PATIENT and key != "PatientID" for key in keys)
    return Model.PATIENT if "PatientID" in keys and not others else Model.STUDY


def find_lacks(keys: Mapping[str, str], level: Level, model: Model) -> Iterator[Lack]:
    """Yield what a request lacks: a key of each level above its own, and only one value of it (PS3.4 C.4.2.2.1)."""
    order = levels(model)
    if level not in order:
        yield Lack(
            "level", str(level), "does not exist in Study Root", advise("use the Patient Root model or level STUDY")
        )
        return
    yield from _find_deeper(keys, level)
    for above in order[: order.index(level)]:
        own = above.unique_key
        here = [key for key in keys if level_of(key) is above or (model is Model.STUDY and _is_of_patient(key))]
        can_be_found = above is Level.PATIENT and "StudyInstanceUID" in keys
        if own not in keys and not here and not can_be_found and not (above is Level.STUDY and "PatientID" in keys):
            yield Lack(own, None, f"is missing; a request at level {level} in {model.title} needs it", "add it")
        elif "\\" in keys.get(own, ""):
            yield Lack(own, keys[own], f"is a list above level {level}", "give one request for each")


def find_query_lacks(keys: Mapping[str, str], level: Level, model: Model) -> Iterator[Lack]:
    """Yield what a find lacks: one value of the unique key of each level above its own (PS3.4 section C.4.1.2.1)."""
    order = levels(model)
    if level not in order:
        yield Lack("level", str(level), "does not exist in Study Root", advise("use model='patient'"))
        return
    yield from _find_deeper(keys, level)
    for above in order[: order.index(level)]:
        value = keys.get(above.unique_key, "")
        if not value or re.search(r"[*?\\]", value):
            why = f"needs one value for a find at level {level}"
            yield Lack(above.unique_key, None, why, f"find at level {above} first and ask for each")


def _is_of_patient(keyword: str) -> bool:
    return level_of(keyword) is Level.PATIENT


def _find_deeper(keys: Mapping[str, str], level: Level) -> Iterator[Lack]:
    """Yield the keys with a value that belong below the level that is asked at."""
    for keyword, value in keys.items():
        own = level_of(keyword)
        if value and own is not None and _ORDER.index(own) > _ORDER.index(level):
            if keyword in UNIQUE_KEYS:
                mend = f"leave it out, or ask at level {own}"
            else:
                mend = f"ask at level {own}" + (", or use ModalitiesInStudy" if keyword == "Modality" else "")
            yield Lack(keyword, value, f"belongs to level {own}, below level {level}", mend)


def find_widening(missing: Iterable[str], keys: Iterable[str], level: Level | None) -> tuple[str, Level] | None:
    """Return the missing key without which a row asks for more than it should, and the level of what that would be."""
    deepest = max((_ORDER.index(level_of(keyword) or Level.IMAGE) for keyword in keys), default=0)
    for keyword in missing:
        own = level_of(keyword)
        asked = level is None or (own is not None and _ORDER.index(own) <= _ORDER.index(level))
        if own is not None and asked and _ORDER.index(own) > deepest:
            return keyword, _ORDER[deepest]
    return None
