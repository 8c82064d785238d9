"""Associations with one node, kept while idle and used again; and the Message IDs of everything that goes over them."""

from __future__ import annotations

import itertools
import secrets
import threading

from dicomover.node import Node, Timeouts
from dicomover.wire.association import Association

__all__ = ["Pool"]

_MESSAGE_IDS = 65535


class Pool:
    """Hands out associations. Every method may be called from any thread."""

    def __init__(self, node: Node, ae_title: str) -> None:
        self.node = node
        self.ae_title = ae_title
        self._idle: list[Association] = []
        self._lock = threading.Lock()
        # Not all from 1: what another program moves under the same AE title must not look like ours.
        start = secrets.randbelow(_MESSAGE_IDS)
        self._message_ids = (1 + (start + number) % _MESSAGE_IDS for number in itertools.count())
        self._numbers = itertools.count()

    def next_message_id(self) -> int:
        """Return a Message ID that no other running request of ours has."""
        with self._lock:
            return next(self._message_ids)

    def next_number(self) -> int:
        """Return a number that no other C-MOVE of ours has; unlike a Message ID it never comes again."""
        with self._lock:
            return next(self._numbers)

    def take(self, timeouts: Timeouts) -> Association:
        """Return an open association that was idle, or a new one that is still to be opened."""
        while True:
            with self._lock:
                association = self._idle.pop() if self._idle else None
            if association is None:
                return Association(self.node, self.ae_title, timeouts)
            if association.is_usable():
                association.timeouts = timeouts
                return association
            association.release()

    def give(self, association: Association) -> None:
        """Take an association back; one that has ended or was cancelled is not kept."""
        if association.is_usable():
            with self._lock:
                self._idle.append(association)
        else:
            association.release()

    def close(self) -> None:
        """Release what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for association in idle:
            association.release()
