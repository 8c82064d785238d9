"""What an archive lists behind a C-MOVE, and for whom that vouches."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence

from dicomover.errors import AssociationLost, ContextRejected, ProtocolError, QueryRefused
from dicomover.identifier import Identifier, Level
from dicomover.query.instances import Find, instances_of
from dicomover.query.matching import is_of_patient
from dicomover.query.patients import StudyPatients
from dicomover.query.targets import Target
from dicomover.wire.stop import Stop

__all__ = ["Listing"]


class Listing:
    """Asks over one worker's association, by its `find`."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._patients = StudyPatients()
        self._latest: tuple[Identifier, dict[str, list[str]]] | None = None

    def ask(self, identifier: Identifier) -> dict[str, list[str]] | None:
        """Return what stands behind an identifier, by series; None if the archive does not say."""
        try:
            return instances_of(identifier, self._find)
        except QueryRefused:
            return None

    def list_all(self, target: Target) -> Mapping[str, Sequence[str]] | None:
        """Return the same of a C-MOVE, as it is known or asked now; None if the archive cannot be asked.

        What was asked last is not asked again: whose images are, and which are missing, are two questions about one.
        """
        if target.instances is not None:
            return target.instances
        if self._latest is not None and self._latest[0] == target.identifier:
            return self._latest[1]
        with contextlib.suppress(AssociationLost, ContextRejected, ProtocolError, Stop):
            if (listed := self.ask(target.identifier)) is not None:
                self._latest = target.identifier, listed
                return listed
        return None

    def list_his(self, target: Target, whose: Collection[str]) -> Mapping[str, Sequence[str]] | None:
        """Return the same, if the archive has the study as these patients'; their images may carry another number.

        A list alone vouches for nobody: some archives ignore the PatientID that they are asked by, and some have two
        patients under one UID.
        """
        if target.found is False:
            return None
        if target.identifier.level is not Level.PATIENT:
            names: tuple[str, ...] = ()
            with contextlib.suppress(AssociationLost, ContextRejected, ProtocolError, QueryRefused, Stop):
                names = self._patients.ask(target.identifier.study, self._find, target.identifier.patient)
            if not names or not all(is_of_patient(name, whose) for name in names):
                return None
        return self.list_all(target)
