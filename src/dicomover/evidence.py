"""What is there of a C-MOVE: on our disk, or at a destination that is asked by C-FIND where a third party receives."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from dicomover.controls import Controls
from dicomover.identifier import Identifier, Level, Model
from dicomover.line import Line
from dicomover.node import Timeouts
from dicomover.pool import Pool
from dicomover.resolve import Target, instances_of
from dicomover.retry import Retry
from dicomover.summary import Instance

__all__ = ["Evidence", "Witness"]

_LOOKS = (0.0, 0.1, 0.2, 0.5, 1.0)  # seconds before each look; the last one over and over
_QUIET = 5.0
"""Seconds without anything new after which a destination is taken to have all that will come."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is there of a C-MOVE.

    Attributes
    ----------
    present
        SOP Instance UIDs; None if nobody has looked.
    doubt
        Why nobody could, where it was wanted.
    passing
        Whether that may be otherwise next time.
    """

    present: Collection[str] | None = None
    doubt: str = ""
    passing: bool = False

    def missing(self, target: Target) -> tuple[Instance, ...]:
        """Return what the archive listed and is not there."""
        if self.present is None or target.instances is None:
            return ()
        study = target.identifier.study
        return tuple(
            Instance(study, series, uid)
            for series, uids in target.instances.items()
            for uid in uids
            if uid not in self.present
        )


class Witness:
    """Asks one destination, over an association of its own that one thread uses.

    Parameters
    ----------
    pool
        Of associations with the destination.
    timeouts, controls, retry
        As for the line to the archive.
    """

    def __init__(self, pool: Pool, timeouts: Timeouts, controls: Controls, retry: Retry) -> None:
        self.node = pool.node
        self._line = Line(pool, timeouts, controls, retry)
        self._controls = controls

    def connect(self) -> None:
        """Open the association; raises NodeError."""
        self._line.connect()

    def close(self) -> None:
        """Give the association back."""
        self._line.close()

    def held(self, target: Target, wanted: int) -> frozenset[str]:
        """Return the SOP Instance UIDs that the destination has of what a C-MOVE asked for.

        A destination may answer C-STORE before it can be asked about the instance: it is given the time that it
        takes, as long as there is something new now and then.

        Parameters
        ----------
        target
            What was asked for.
        wanted
            How many should be there; 0 looks once.

        Raises
        ------
        NodeError
            If it refuses, or its answers cannot be trusted.
        Stop
            If the batch is stopped meanwhile.
        """
        looks = iter(_LOOKS)
        held: frozenset[str] = frozenset()
        latest = time.monotonic()
        while True:
            self._controls.pause(next(looks, _LOOKS[-1]))
            found = self._look(target.identifier)
            if len(found) > len(held):
                latest = time.monotonic()
            held = found
            if len(held) >= wanted or time.monotonic() - latest > _QUIET:
                return held

    def _look(self, identifier: Identifier) -> frozenset[str]:
        """Ask without the patient, whose ID the destination may know as another one."""
        named = identifier.uids(Level.IMAGE)
        level = Level.SERIES if named else identifier.level
        model = Model.PATIENT if level is Level.PATIENT else Model.STUDY
        found = instances_of(Identifier.of(level, model, identifier.keys()), self._line.find)
        listed = frozenset(uid for uids in found.values() for uid in uids)
        return listed & named if named else listed
