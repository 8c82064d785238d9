"""Lists of UIDs, for archives that take them and for those that do not: those are asked for one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydicom import Dataset

from dicomover.attributes.reading import read_uid
from dicomover.errors import AssociationLost, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.instances import Find

__all__ = ["UidLists"]


class UidLists:
    """What is known of an archive and lists of UIDs, in one of C-FIND and C-MOVE. From any thread.

    Some archives answer a list with nothing, as if it named one thing that nobody has; some look at its first UID only,
    some refuse it, or hang up. Only an answer to one of its UIDs alone tells that from a list of what is not there.
    """

    def __init__(self, are_taken: bool | None = None) -> None:
        self.are_taken = are_taken  # whether it takes them; None while nothing shows it

    def wrap(self, find: Find) -> Find:
        """Return what finds in the same way, whatever the archive makes of a list."""

        def find_each(
            level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
        ) -> list[Dataset]:
            own = level.unique_key
            uids = keys.get(own, "").split("\\")
            if len(uids) == 1 or level is Level.PATIENT:
                return find(level, model, keys, returned, limit)
            refused: Exception | None = None
            if self.are_taken is not False:
                try:
                    answers = find(level, model, keys, returned, limit)
                except (AssociationLost, QueryRefused) as error:
                    if self.are_taken or (isinstance(error, QueryRefused) and error.retriable):
                        raise
                    refused, answers = error, []
                known = {read_uid(answer, own) for answer in answers}
                if self.are_taken or len(known & set(uids)) > 1:
                    self.are_taken = True
                    return answers
            else:
                answers = []
            found, known = list(answers), {read_uid(answer, own) for answer in answers}
            for uid in uids:
                if limit is not None and len(found) >= limit:
                    break
                if uid not in known and (alone := find(level, model, {**keys, own: uid}, returned, limit)):
                    found += alone
                    self.are_taken = False
            if isinstance(refused, QueryRefused) and not found:  # who hung up on a list has answered to each UID
                raise refused
            return found[:limit]

        return find_each
