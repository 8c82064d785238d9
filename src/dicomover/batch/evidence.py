"""What is there of a C-MOVE: on our disk, or at a destination that is asked by C-FIND where a third party receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dicomover.errors import AssociationLost, ContextRejected, ProtocolError, QueryRefused
from dicomover.identifier import Identifier, Level, Model
from dicomover.node import Timeouts
from dicomover.outcome import SUCCESS
from dicomover.query.instances import instances_of
from dicomover.query.targets import Target
from dicomover.summary import Instance
from dicomover.wire.lines import Line, Pool
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Controls, Stop

__all__ = ["Evidence", "Witness", "has_sent"]

_LOOKS = (0.0, 0.1, 0.2, 0.5, 1.0)  # seconds before each look; the last one over and over
_QUIET = 5.0
"""Seconds without anything new after which a destination is taken to have all that will come."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is there of a C-MOVE."""

    present: Collection[str] | None = None  # SOP Instance UIDs; None if nobody has looked
    doubt: str = ""  # why nobody could, where it was wanted
    passing: bool = False  # whether that may be otherwise next time
    twins: int = 0  # further instances that are there, each under the UID of one in another series

    @property
    def count(self) -> int | None:
        """How many instances are there; None if nobody has looked."""
        return None if self.present is None else len(self.present) + self.twins

    def missing(self, target: Target) -> tuple[Instance, ...]:
        """Return what the archive listed and is not there."""
        if self.present is None or target.instances is None:
            return ()
        study, studies = target.identifier.study, target.studies or {}
        return tuple(
            Instance(study or studies.get(series, ""), series, uid)
            for series, uids in target.instances.items()
            for uid in uids
            if uid not in self.present
        )


def has_sent(end: MoveEnd) -> bool:
    """Tell whether the archive says that it has sent something, by a count or by a final success."""
    return end.status_code == SUCCESS or bool(end.counters.moved)


class Witness:
    """Asks one destination, for all workers over one association at a time. Methods may be called from any thread."""

    def __init__(
        self,
        pool: Pool,  # of associations with the destination
        timeouts: Timeouts,  # as for the line to the archive
        controls: Controls,
        pauses: tuple[float, ...],
    ) -> None:
        self.node = pool.node
        self._pool = pool
        self._line = Line(pool, timeouts, controls, pauses)
        self._controls = controls
        self._lock = threading.Lock()  # of the line

    def connect(self) -> None:
        """See that the destination can be asked; raises NodeError."""
        with self._lock:
            try:
                self._line.connect().offers(Model.STUDY.find_sop_class)
            finally:
                self._hang_up()

    def close(self) -> None:
        """Release the association, if there is one."""
        with self._lock:
            self._hang_up()

    def _hang_up(self) -> None:
        """Hold nothing open while images are sent: many a Storage SCP takes one association at a time."""
        self._line.close()
        self._pool.close()

    def look_after(self, target: Target, end: MoveEnd) -> Evidence:
        """Look what the destination has after a C-MOVE; never raises: what cannot be told is a doubt."""
        who = f"{self.node} could not be asked what has arrived"
        if target.instances is None:
            return Evidence(doubt=f"{who}: the archive does not list the instances, so nothing can be compared")
        wanted = max(target.expected or 0, end.counters.moved or 0) if has_sent(end) else 0
        try:
            return Evidence(self.held(target, wanted))
        except (QueryRefused, ContextRejected) as error:
            return Evidence(doubt=f"{who}: {error}")
        except (AssociationLost, ProtocolError) as error:
            return Evidence(doubt=f"{who}: {error}; run it again", passing=True)
        except Stop as stop:
            why = "the batch was cancelled before" if self._controls.cancelled else str(stop)
            return Evidence(doubt=f"{who}: {why}; run it again")

    def held(
        self,
        target: Target,  # what was asked for
        wanted: int,  # how many should be there; 0 looks once
    ) -> frozenset[str]:
        """Return the SOP Instance UIDs that the destination has of what a C-MOVE asked for.

        A destination may answer C-STORE before it can be asked about the instance: it is given the time that it takes,
        as long as there is something new now and then. Raises NodeError if it refuses, or its answers cannot be
        trusted, and Stop if the batch is stopped meanwhile.
        """
        looks = iter(_LOOKS)
        held: frozenset[str] = frozenset()
        latest = time.monotonic()
        while True:
            self._controls.pause(next(looks, _LOOKS[-1]))
            found = self._look(target)
            if len(found) > len(held):
                latest = time.monotonic()
            held = found
            if len(held) >= wanted or time.monotonic() - latest > _QUIET:
                return held

    def has_all(self, target: Target) -> bool:
        """Tell whether the destination has everything of what a C-MOVE would ask for now; raises as `held` does."""
        return target.instances is not None and not Evidence(self.held(target, 0)).missing(target)

    def _look(self, target: Target) -> frozenset[str]:
        """Ask without the patient, whom the destination may know under another ID."""
        identifier = target.identifier
        named = identifier.uids(Level.IMAGE)
        found: set[str] = set()
        with self._lock:
            try:
                for keys in self._places(target):
                    level = Level.SERIES if "SeriesInstanceUID" in keys else Level.STUDY
                    listed = instances_of(Identifier.of(level, Model.STUDY, keys), self._line.find)
                    found.update(uid for uids in listed.values() for uid in uids)
            finally:
                self._hang_up()
        return frozenset(found & named if named else found)

    @staticmethod
    def _places(target: Target) -> Iterable[dict[str, str]]:
        """Return where to look: the study or the series, or every study of a patient."""
        if target.identifier.level is Level.PATIENT:
            return [{"StudyInstanceUID": study} for study in dict.fromkeys((target.studies or {}).values())]
        return [{key: uid for key, uid in target.identifier.keys().items() if key != "PatientID"}]
