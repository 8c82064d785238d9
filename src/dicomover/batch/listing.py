"""What an archive lists behind a C-MOVE, and for whom that vouches."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence

from dicomover.attributes.reading import read_count, read_uid
from dicomover.errors import AssociationLost, ContextRejected, ProtocolError, QueryRefused
from dicomover.identifier import Identifier, Level
from dicomover.query.instances import Find, instances_of, says_all, studies_of
from dicomover.query.matching import is_of_patient
from dicomover.query.patients import StudyPatients
from dicomover.query.targets import Target
from dicomover.wire.stop import Stop

__all__ = ["Listing"]

_COUNT = "NumberOfSeriesRelatedInstances"


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

    def list_studies(self, identifier: Identifier) -> list[Identifier] | None:
        """Return the studies of a patient; None if the archive does not say."""
        try:
            return studies_of(identifier, self._find)
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

    def count_by_series(self, target: Target) -> dict[str, int]:
        """Return how many instances a C-MOVE brings of each series; none where the archive does not say it of all.

        Some archives count no series: then it is asked for their images.
        """
        identifier = target.identifier
        if identifier.level is Level.SERIES and target.instances is None and target.expected is not None:
            return {identifier.series: target.expected}
        if identifier.level in (Level.PATIENT, Level.STUDY) and target.instances is None:
            counts: dict[str, int | None] = {}
            with contextlib.suppress(AssociationLost, ContextRejected, ProtocolError, QueryRefused, Stop):
                his = identifier.level is Level.PATIENT
                for study in studies_of(identifier, self._find) if his else [identifier]:
                    for answer in self._find(Level.SERIES, study.model, study.keys(), [_COUNT], None):
                        counts[read_uid(answer, "SeriesInstanceUID")] = read_count(answer, _COUNT)
            known = {series: count for series, count in counts.items() if series and count}
            if known and len(known) == len(counts) and sum(known.values()) >= (target.expected or 0):
                return known
        listed = self.list_all(target) or {}
        is_all = says_all(listed, target.expected) if target.instances is None else True
        return {series: len(set(uids)) for series, uids in listed.items()} if is_all else {}

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
