"""What a lockfile holds of its requests: what each asks for, and what it came to. Frozen values, no I/O."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from dicomover.identifier import Level, Model, Request
from dicomover.privacy import Hashed

__all__ = [
    "Digest",
    "LockState",
    "LockedRequest",
    "LockedSeries",
    "LockedStudy",
    "content_hash",
    "encode_canonical",
    "hide",
    "reveal",
]


class LockState(StrEnum):
    """What became of a request when it was locked."""

    FOUND = "found"  # it came to something, and all of that is named
    INCOMPLETE = "incomplete"  # some of the UIDs that it names are not there
    CUT_SHORT = "cut-short"  # the archive counts more instances than it names
    NOT_FOUND = "not-found"  # nothing matches
    TOO_MANY = "too-many"  # more matches than `max_matches`; none is named
    REFUSED = "refused"  # the archive would not say
    INVALID = "invalid"  # the row could not be asked for; nobody was asked


@dataclass(frozen=True, slots=True)
class LockedSeries:
    """A series of a request, or some instances of it: its Modality, and SOP Instance UIDs in ascending order."""

    uid: str
    modality: str
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockedStudy:
    """What a request has of one study, in ascending order of the Series Instance UIDs."""

    uid: str
    series: tuple[LockedSeries, ...]

    @property
    def count(self) -> int:
        """Number of instances."""
        return sum(len(series.instances) for series in self.series)

    @property
    def by_series(self) -> dict[str, tuple[str, ...]]:
        """The SOP Instance UIDs by Series Instance UID."""
        return {series.uid: series.instances for series in self.series}


@dataclass(frozen=True, slots=True)
class LockedRequest:
    """One request, and what it came to."""

    label: Any = field(repr=False)  # of its row: a whole number, a text, or a tuple of those
    # the Query/Retrieve Level, and the information model in which it was asked
    level: Level
    model: Model
    keys: Mapping[str, str] = field(repr=False)  # its query keys by keyword
    # the row as it was given, by column: texts, numbers, truth values or None
    given: Mapping[str, Any] = field(repr=False)
    # what became of it: at level STUDY and PATIENT whole studies, else those series or instances that it names
    state: LockState
    studies: tuple[LockedStudy, ...] = ()
    more_than: int | None = None  # how many matches were allowed, if there were more
    note: str = ""  # what a person should know about it, in one sentence without patient data
    # label, keys and row, readable with the secret only; empty where they are kept as they are
    sealed: str = field(default="", repr=False)

    @property
    def count(self) -> int:
        """Number of instances."""
        return sum(study.count for study in self.studies)

    @property
    def matches(self) -> int | None:
        """How many studies (series, instances) it came to, by its level; None where that is not known."""
        if self.state in (LockState.TOO_MANY, LockState.REFUSED, LockState.INVALID):
            return None
        if self.level is Level.IMAGE:
            return self.count
        if self.level is Level.SERIES:
            return sum(len(study.series) for study in self.studies)
        return len(self.studies)

    def instances(self) -> Iterator[tuple[str, str, str]]:
        """Yield Study, Series and SOP Instance UID of all its instances."""
        for study in self.studies:
            for series in study.series:
                for uid in series.instances:
                    yield study.uid, series.uid, uid

    @property
    def is_readable(self) -> bool:
        """True if its keys are known; False if they are hashed and the secret has not been given."""
        return not self.sealed

    def request(self, position: int) -> Request:
        """Return it as a request of a batch; the pin makes the journal know it from the same request unlocked."""
        pin = hashlib.sha256("\n".join(sorted(uid for _, _, uid in self.instances())).encode()).hexdigest()[:32]
        return Request(position, self.label, self.keys, self.level, self.model, pin)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the file."""
        studies = [
            {
                "StudyInstanceUID": study.uid,
                "instances": study.count,
                "series": [
                    {
                        "SeriesInstanceUID": series.uid,
                        "Modality": series.modality,
                        "instances": len(series.instances),
                        "SOPInstanceUID": list(series.instances),
                    }
                    for series in study.series
                ],
            }
            for study in self.studies
        ]
        content: dict[str, Any] = {
            "label": list(self.label) if isinstance(self.label, tuple) else self.label,
            "level": str(self.level),
            "model": self.model.value,
            "keys": dict(self.keys),
            "given": dict(self.given),
            "state": str(self.state),
            "instances": self.count,
            "studies": studies,
        }
        if self.more_than is not None:
            content["more_than"] = self.more_than
        if self.note:
            content["note"] = self.note
        if self.sealed:
            content["sealed"] = self.sealed
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LockedRequest:
        """Read what `as_json` wrote; raises KeyError, TypeError or ValueError if it is not that."""
        studies = tuple(
            LockedStudy(
                _text(study["StudyInstanceUID"]),
                tuple(
                    LockedSeries(
                        _text(series["SeriesInstanceUID"]),
                        _text(series["Modality"]),
                        tuple(_text(uid) for uid in series["SOPInstanceUID"]),
                    )
                    for series in study["series"]
                ),
            )
            for study in content["studies"]
        )
        label = content["label"]
        request = cls(
            tuple(label) if isinstance(label, list) else label,
            Level(content["level"]),
            Model(content["model"]),
            {_text(key): _text(value) for key, value in content["keys"].items()},
            dict(content["given"]),
            LockState(content["state"]),
            studies,
            content.get("more_than"),
            content.get("note", ""),
            content.get("sealed", ""),
        )
        if request.as_json() != content:
            raise ValueError("the numbers of instances are not those of the instances that are named")
        return request


@dataclass(frozen=True, slots=True)
class Digest:
    """Of one instance as it was received: bytes and SHA-256 of its data set, in one transfer syntax."""

    size: int
    sha256: str
    transfer_syntax: str


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text is due")
    return value


def encode_canonical(content: object) -> bytes:
    """Return JSON that is the same for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def content_hash(requests: Iterable[LockedRequest]) -> str:
    """Return the SHA-256 of the requests and what they came to, without the notes, which are for people."""
    sha = hashlib.sha256()
    for request in requests:
        sha.update(encode_canonical(replace(request, note="").as_json()) + b"\n")
    return f"sha256:{sha.hexdigest()}"


def hide(request: LockedRequest, position: int, keeper: Hashed) -> LockedRequest:
    """Put keyed hashes where the request may name a patient: in its keys that are no UIDs, its row and its label."""
    content = encode_canonical([_as_list(request.label), dict(request.keys), dict(request.given)])
    label = position if request.label == position else keeper.digest("label", _as_list(request.label))
    return replace(
        request,
        label=label,
        keys={key: keeper.value(key, value) for key, value in request.keys.items()},
        given={},
        sealed=base64.b64encode(keeper.seal(content, steady=True)).decode("ascii"),
    )


def reveal(request: LockedRequest, keeper: Hashed) -> LockedRequest:
    """Return what was hidden; raises DamagedRecord if it is not what was hidden with this secret."""
    label, keys, given = json.loads(keeper.open(base64.b64decode(request.sealed)))
    return replace(request, label=tuple(label) if isinstance(label, list) else label, keys=keys, given=given, sealed="")


def _as_list(label: object) -> object:
    return list(label) if isinstance(label, Sequence) and not isinstance(label, str) else label
