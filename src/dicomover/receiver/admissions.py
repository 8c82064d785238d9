"""Who is let in: only what a running C-MOVE has asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from dicomover.events import Admission, is_sign

__all__ = ["Admissions"]

_LEVELS = ("sop_uids", "series_uids", "study_uids", "patient_ids")  # the most specific first


class Admissions:
    """All admissions in force, found by their most specific identifiers: a Message ID can be guessed."""

    def __init__(self) -> None:
        self.other_kind = False  # of transfer syntax, by the latest admission
        self._lock = threading.Lock()
        self._of_move: dict[int, list[Admission]] = {}
        self._came: dict[int, _Came] = {}
        self._index: dict[str, dict[str, dict[Admission, None]]] = {level: {} for level in _LEVELS}

    def __len__(self) -> int:
        return sum(map(len, self._of_move.values()))

    def admit(self, admission: Admission) -> None:
        """Let in what the admission names, from now on."""
        with self._lock:
            self._came[admission.move] = _Came(admission.most)
            self.other_kind = admission.other_kind
            listed = self._of_move.setdefault(admission.move, [])
            if admission in listed:
                return
            listed.append(admission)
            for level, value in _keys(admission):
                self._index[level].setdefault(value, {})[admission] = None

    def dismiss(self, move: int) -> None:
        """Forget everything admitted for this C-MOVE; an unknown one is forgotten already."""
        with self._lock:
            self._came.pop(move, None)
            for admission in self._of_move.pop(move, ()):
                for level, value in _keys(admission):
                    index = self._index[level]
                    del index[value][admission]
                    if not index[value]:
                        del index[value]

    def lets_in(self, patient_id: str, study: str, series: str, sop: str) -> Admission | None:
        """Return an admission that names this instance, one that wants all of it if there is one; None if none does."""
        found = None
        with self._lock:
            for level, value in zip(_LEVELS, (sop, series, study, patient_id), strict=True):
                for admission in self._index[level].get(value, ()):
                    if admission.lets_in(patient_id, study, series, sop):
                        if not admission.headers_only:
                            return admission
                        found = admission
        return found

    def is_news(self, admission: Admission, series: str, sop: str) -> bool:
        """Tell whether an instance that was let in is a sign of life: one that has not come since it was admitted."""
        with self._lock:
            came = self._came.get(admission.move)
            return came is not None and came.add(series, sop)


class _Came:
    """What has come for a C-MOVE since it was asked for."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: set[int] = set()  # hashes: it may be hundreds of thousands
        self._count = 0

    def add(self, series: str, sop: str) -> bool:
        """Take note of one that comes; tell whether it is a sign of life."""
        self._count += 1
        before = len(self._places)
        if before < self._most:
            self._places.add(hash((series, sop)))
        return is_sign(len(self._places) > before, self._count, before, self._most)


def _keys(admission: Admission) -> Iterator[tuple[str, str]]:
    """Yield the level and the value of everything that an admission is found by: its most specific identifiers."""
    named = next((level for level in _LEVELS if getattr(admission, level)), _LEVELS[0])
    for value in getattr(admission, named):
        yield named, value
    if named == "patient_ids":
        for value in admission.patient_study_uids:
            yield "study_uids", value
