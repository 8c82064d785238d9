"""What a demo archive was asked and what it sent, written down as it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dicomover.testing._studies import Study
from dicomover.wire.command_set import Command


@dataclass(frozen=True, slots=True)
class Request:
    """One request that an archive took.

    Attributes
    ----------
    kind
        `C-ECHO`, `C-FIND`, `C-MOVE`, `C-GET` or `C-CANCEL`.
    level, model
        The Query/Retrieve Level, and `PATIENT` or `STUDY` for the model's root; empty if it has none.
    keys
        The identifier, by keyword, several values joined by a backslash.
    message_id, priority, destination
        From the command set; of a C-CANCEL the Message ID is the one that it cancels.
    calling_ae_title, association
        Who asked, and on which association, counted from 1.
    at
        `time.monotonic()` when it came.
    """

    kind: str
    level: str
    model: str
    keys: Mapping[str, str]
    message_id: int
    priority: int | None
    destination: str
    calling_ae_title: str
    association: int
    at: float

    def values(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a key, none if it is missing or empty."""
        value = self.keys.get(keyword, "")
        return tuple(value.split("\\")) if value else ()


@dataclass(frozen=True, slots=True)
class Association:
    """One association that was asked for; a rejected one has `rejected` set to result, source and reason."""

    number: int
    calling_ae_title: str
    called_ae_title: str
    rejected: tuple[int, int, int] | None
    at: float


@dataclass(frozen=True, slots=True)
class Store:
    """One C-STORE that an archive sent; `status` is the answer, None if there was none.

    `destination` is the calling AE title of a C-GET.
    """

    sop_instance_uid: str
    study_instance_uid: str
    destination: str
    status: int | None
    association: int
    message_id: int
    at: float


@dataclass(slots=True)
class Records:
    """The notes of one archive. Methods may be called from any thread."""

    requests: list[Request] = field(default_factory=list)
    associations: list[Association] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _moves: dict[str, list[Request]] = field(default_factory=dict)
    _sends: dict[str, int] = field(default_factory=dict)

    def note_association(self, calling: str, called: str, rejected: tuple[int, int, int] | None) -> int:
        """Write down an association request, and return its number, counted from 1."""
        with self.lock:
            number = len(self.associations) + 1
            self.associations.append(Association(number, calling, called, rejected, time.monotonic()))
        return number

    def note_request(
        self, kind: str, model: str, keys: Mapping[str, str], command: Command, calling: str, association: int
    ) -> Request:
        """Write down a request."""
        priority = command.get("Priority")
        request = Request(
            kind,
            keys.get("QueryRetrieveLevel", ""),
            model,
            keys,
            int(command.get("MessageID", command.get("MessageIDBeingRespondedTo", 0))),
            None if priority is None else int(priority),
            str(command.get("MoveDestination", "")),
            calling,
            association,
            time.monotonic(),
        )
        self.requests.append(request)
        return request

    def note_move(self, request: Request, studies: Iterable[Study]) -> None:
        """Write down that studies are part of a C-MOVE or C-GET."""
        with self.lock:
            for study in studies:
                self._moves.setdefault(study.study_instance_uid, []).append(request)

    def note_store(self, store: Store) -> None:
        """Write down a C-STORE and its answer."""
        with self.lock:
            self.stores.append(store)
            if store.status == 0:
                self._sends[store.sop_instance_uid] = self._sends.get(store.sop_instance_uid, 0) + 1

    def moves_of(self, study_instance_uid: str) -> list[Request]:
        """Return the C-MOVE and C-GET requests that a study was part of."""
        return list(self._moves.get(study_instance_uid, ()))

    def sends_of(self, sop_instance_uid: str) -> int:
        """Return how often an instance was sent and taken."""
        return self._sends.get(sop_instance_uid, 0)

    def forget(self) -> None:
        """Forget everything."""
        with self.lock:
            for notes in (self.requests, self.associations, self.stores, self._moves, self._sends):
                notes.clear()
