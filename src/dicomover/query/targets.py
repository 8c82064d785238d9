"""What a request comes to: the C-MOVEs that it needs, and what C-FIND said of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dicomover.identifier import Identifier, Level, Model, Request
from dicomover.query.availability import delay_of
from dicomover.query.instances import Find
from dicomover.text.face import advise, setting

__all__ = ["Resolution", "Resolve", "Target", "TooManyMatches", "no_match"]

Resolve = Callable[[Request, Find], "Resolution"]
"""Says what a request comes to."""


class TooManyMatches(Exception):
    """A request resolves to more than is allowed; `matches` is at least how many."""

    def __init__(self, level: Level, limit: int, matches: int) -> None:
        self.matches = matches
        super().__init__(
            f"more than {setting('max_matches', limit)} {level.plural} match; nothing was moved; "
            f"ask more narrowly, or {advise('raise max_matches')}"
        )


def no_match(level: Level) -> str:
    """Say that a request comes to nothing.

    Examples
    --------
    >>> no_match(Level.STUDY)
    'no study has these keys; check them'
    """
    return f"no {level.singular} has these keys; check them"


@dataclass(frozen=True, slots=True)
class Target:
    """One C-MOVE that a request needs, and what C-FIND said about it; None where it did not say.

    `instances` are the SOP Instance UIDs that should arrive, by Series Instance UID, where they were asked for; at
    level PATIENT `studies` has the Study Instance UID of each series. `patients` are the PatientIDs of its answers.
    What `is_absent` is named in a list, and is not among what matches: it is told, and never moved.
    """

    identifier: Identifier
    found: bool | None = None
    expected: int | None = None
    series: int | None = None
    modalities: tuple[str, ...] = ()
    instances: Mapping[str, Sequence[str]] | None = None
    studies: Mapping[str, str] | None = None
    patients: tuple[str, ...] = field(default=(), repr=False)
    availability: str = ""
    is_absent: bool = False
    sop_classes: tuple[str, ...] = ()  # of a study, where they were asked for

    @property
    def named_patients(self) -> tuple[str, ...]:
        """Whose it is, as the answers name it, or else the request."""
        return self.patients or tuple(filter(None, [self.identifier.patient]))

    @property
    def named_modalities(self) -> str:
        """Its modalities, in one text."""
        return "\\".join(sorted(self.modalities))

    @property
    def shared(self) -> Identifier:
        """What makes it the same C-MOVE as another: its UIDs, and whose it is: one UID may be of two patients."""
        identifier = self.identifier
        if self.is_absent:  # no C-MOVE: a row that names it by other keys has its own
            return replace(identifier, model=Model.STUDY)
        if identifier.level is Level.PATIENT:
            return identifier.without_model()
        named = "\\".join(self.patients) if self.found else ""
        return identifier.of_patient(named or identifier.patient)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a request comes to."""

    targets: tuple[Target, ...]  # the C-MOVEs that it needs, each once
    # how many studies (series, images) it was resolved to; None if nothing had to be resolved
    matches: int | None = None
    note: str = ""  # what a person should know about it, in one sentence without patient data
    caution: str = ""  # why there may be more than is counted, in one sentence; it is said even if all of it moves

    @property
    def studies(self) -> tuple[str, ...]:
        """The Study Instance UIDs that it leads to, each once."""
        named = ((target.studies or {}).values() or (target.identifier.study,) for target in self.targets)
        return tuple(dict.fromkeys(uid for uids in named for uid in uids if uid))

    @property
    def delay(self) -> int:
        """How late to ask for it: 0 where the archive has all of it at hand."""
        return delay_of([target.availability for target in self.targets])

    @property
    def expected(self) -> int | None:
        """Instances that should arrive; None if unknown for any target."""
        counts = [target.expected for target in self.targets if target.expected is not None]
        return sum(counts) if self.targets and len(counts) == len(self.targets) else None
