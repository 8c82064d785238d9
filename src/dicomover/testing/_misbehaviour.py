"""What real archives get wrong, by name, and what each name makes this one do."""

from __future__ import annotations

import threading
from collections import UserDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from dicomover.testing._courses import COURSES
from dicomover.testing._details import DETAILS
from dicomover.testing._script import Script

_TABLE = COURSES | DETAILS

MISBEHAVIOURS: Mapping[str, str] = MappingProxyType({name: line for name, (line, _) in _TABLE.items()})
"""Every misbehaviour that a `DemoPacs` knows, by name, with one line on what it does."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One misbehaviour, with its knobs; None leaves a knob as the name has it.

    Parameters
    ----------
    name
        One of `MISBEHAVIOURS`.
    times
        How often it happens; afterwards the archive is well again. None is always.
    after
        How many sub-operations (or answers) go well before it breaks.
    count
        How many instances are failed, left out, late or counted as warnings; how many answers come at most.
    seconds
        The `seconds` of its description.
    status
        Another final status.

    Examples
    --------
    >>> Misbehaviour("silence", after=3, times=1)
    Misbehaviour(name='silence', times=1, after=3, count=None, seconds=None, status=None)
    """

    name: str
    times: int | None = None
    after: int | None = None
    count: int | None = None
    seconds: float | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        if self.name not in _TABLE:
            raise ValueError(f"misbehaviour {self.name!r} is unknown; one of {', '.join(_TABLE)}")
        script = _TABLE[self.name][1]
        counts = (script.fail, script.skip, script.warn, script.late, script.each > 1, script.counts_off, script.most)
        turns = {
            "after": script.service != "associate" and script.breaks not in ("", "fail"),
            "count": any(counts),
            "seconds": script.seconds > 0,
            "status": script.status is not None or (script.service == "move" and not script.breaks),
        }
        for knob, does in turns.items():
            if getattr(self, knob) is not None and not does:
                raise ValueError(f"misbehaviour {self.name!r} has no {knob}; leave it out")

    @property
    def script(self) -> Script:
        """What it does."""
        script = _TABLE[self.name][1]
        knobs: dict[str, Any] = {knob: getattr(self, knob) for knob in ("after", "seconds", "status")}
        if self.count is not None:
            knobs |= {name: self.count for name in ("fail", "skip", "warn", "late", "most") if getattr(script, name)}
            knobs["each"] = self.count if script.each > 1 else 1
            if script.counts_off is not None:
                knobs["counts_off"] = self.count if script.counts_off > 0 else -self.count
        return replace(script, **{knob: value for knob, value in knobs.items() if value is not None})


MisbehaviourLike = str | Misbehaviour | Iterable[str | Misbehaviour]
"""A name, a `Misbehaviour`, or several of them."""


_EXCHANGES = ("move", "find")


class Misbehaviours(UserDict[str, Any]):
    """Misbehaviours by accession number; `"*"` stands for every study. May be changed while the archive runs."""

    def __init__(self, of: Mapping[str, MisbehaviourLike] | None = None, services: Iterable[str] = _EXCHANGES) -> None:
        self._services = tuple(services)
        self._lock = threading.Lock()
        self._left: dict[tuple[str, int], int] = {}
        super().__init__(of or {})

    def __setitem__(self, accession: str, value: MisbehaviourLike) -> None:
        parts = (value,) if isinstance(value, str | Misbehaviour) else tuple(value)
        several = tuple(Misbehaviour(part) if isinstance(part, str) else part for part in parts)
        for item in several:
            if item.script.service not in self._services:
                raise ValueError(f"misbehaviour {item.name!r} has no place here; only those of {self._services} have")
        with self._lock:
            for position, item in enumerate(several):
                self._left[accession, position] = -1 if item.times is None else item.times
            super().__setitem__(accession, several)

    def take(self, accessions: Iterable[str], service: str) -> Script:
        """Return what to do in one exchange, and count it; good manners if nothing is set."""
        with self._lock:
            for accession in (*dict.fromkeys(accessions), "*"):
                for position, item in enumerate(self.data.get(accession, ())):
                    script: Script = item.script
                    if script.service == service and self._left[accession, position]:
                        self._left[accession, position] -= 1
                        return script
        return Script()
