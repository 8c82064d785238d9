"""A line to the archive: one association at a time, replaced when it has ended, with patience where that helps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydicom import Dataset

from dicomover.errors import AssociationLost, LostBy, NodeError, NodeUnreachable
from dicomover.events import Noted
from dicomover.identifier import Level, Model, query_dataset
from dicomover.node import Timeouts
from dicomover.policy.retry import Retry
from dicomover.wire.association import Association
from dicomover.wire.pool import Pool
from dicomover.wire.stop import Controls

__all__ = ["GONE", "Line"]

GONE = (LostBy.CLOSED, LostBy.ABORT, LostBy.RELEASE)
"""How an association ends that the peer had left while it was idle."""

_RECONNECT_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)


class Line:
    """Lends one thread an open association. As a context manager it gives it back at the end."""

    def __init__(self, pool: Pool, timeouts: Timeouts, controls: Controls, retry: Retry | None = None) -> None:
        retry = retry or Retry.none()
        # An archive that is restarted in the night is worth as long a wait as a request that failed.
        waits = (retry.first_wait * 2**step for step in range(retry.attempts - 3))
        self._patience = tuple(min(wait, retry.longest_wait) for wait in waits)
        self._pool = pool
        self._timeouts = timeouts
        self._controls = controls
        self._association: Association | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._association is not None and kind is not None and not issubclass(kind, Exception):
            self._association.kill()  # an interrupt may have left an answer under way: it would answer the next request
        self.close()

    def close(self) -> None:
        """Give the association back."""
        association, self._association = self._association, None
        if association is not None:
            self._controls.unregister(association)
            self._pool.give(association)

    @property
    def local_address(self) -> str:
        """The address of this machine as the archive sees it, empty while there is no connection."""
        return "" if self._association is None else self._association.local_address

    def connect(self) -> Association:
        """Return an open association: the present one, an idle one, or a new one.

        Raises
        ------
        NodeError
            If there is none to be had.
        """
        if self._association is not None and self._association.is_usable():
            return self._association
        self.close()
        try:
            self._association = self._pool.take(self._timeouts)
            self._controls.register(self._association)
            if not self._association.is_open:
                self._association.open()
        except OSError as error:  # no descriptor is left, or no memory
            self.close()
            why = f"this machine cannot open another connection ({error.strerror or error})"
            raise NodeUnreachable(f"{self._pool.node}: {why}; close what is not needed, or raise its limits") from error
        except BaseException:
            self.close()
            raise
        return self._association

    def connect_patiently(self) -> Association:
        """Return an open association, trying again for a while; raise Stop if there is none to be had."""
        self._controls.check()
        try:
            return self.connect()
        except NodeError as error:
            return self.reconnect(error)

    def reconnect(self, error: NodeError) -> Association:
        """Try again after `error`; raise Stop, for every worker, if that does not help."""
        for delay in (*_RECONNECT_AFTER, *self._patience):
            self._controls.check()
            if not error.retriable:
                break
            self._controls.emit(Noted(time.monotonic(), f"no association ({type(error).__name__}), trying again"))
            self._controls.pause(delay)
            try:
                return self.connect()
            except NodeError as again:
                error = again
        self._controls.check()
        raise self._controls.give_up(str(error))

    def echo(self) -> None:
        """Send a C-ECHO; once more if an idle association turns out to be gone."""
        while True:
            association = self.connect()
            was_idle = association.served > 0
            try:
                return association.echo(self._pool.next_message_id())
            except AssociationLost as error:
                if not was_idle or error.by not in GONE:
                    raise

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Send a C-FIND and return all answers; once more if an idle association turns out to be gone."""
        dataset = query_dataset(level, {**dict.fromkeys([level.unique_key, *returned], ""), **keys})
        while True:
            association = self.connect_patiently()
            was_idle = association.served > 0
            try:
                return list(association.find(dataset, model, self._pool.next_message_id(), limit=limit))
            except AssociationLost as error:
                self._controls.check()
                if not was_idle or error.by not in GONE:
                    raise
