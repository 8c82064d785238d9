"""To which Move Destination a C-MOVE goes: to the only one, or to one of several that come and go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from dicomover.batch.work import SharedMove, Verdict
from dicomover.policy.pace import Wait
from dicomover.wire.stop import Controls, Stop

__all__ = ["LOST", "Destination", "Destinations", "OneDestination", "send_surely"]

LOST = "the place to which it was sent was lost"

_UNKNOWN = 0xA801  # Move Destination unknown
_MOST_LOST = 10  # in a row, before what takes each destination along is an attempt like others


class Destination(Protocol):
    """A Move Destination, as the archive knows it; what of it we do not know is None."""

    @property
    def ae_title(self) -> str:
        """Its AE title."""

    @property
    def port(self) -> int | None:
        """Where it listens."""

    @property
    def host(self) -> str | None:
        """On which machine."""


class Destinations(Protocol):
    """The Move Destinations of a batch. Each C-MOVE is given one when it is admitted (`StorageSCP.admit`).

    From any thread. In this order for each C-MOVE: `find_wait`, admitted, `lend`, `is_lost` and `find`, `conclude`.
    """

    def find_wait(self) -> Wait | None:
        """Return how long to wait until there is one; raises ReceiverError if there is going to be none."""

    def lend(self, move: int, end: Callable[[], None]) -> AbstractContextManager[str | None]:
        """Lend the AE title to which a C-MOVE goes; None if it is lost. `end` ends the C-MOVE when that happens."""

    def hear_out(self, move: int, is_stopping: Callable[[], bool]) -> None:
        """Wait until all that has come there by now is counted, or it is lost: its silence would be no evidence."""

    def is_lost(self, move: int) -> bool:
        """Tell whether that of a C-MOVE was lost since it was admitted."""

    def find(self, move: int) -> Destination:
        """Say which one it is."""

    def conclude(self, move: int, *, brought: bool, is_unknown: bool) -> bool:
        """Take in what a C-MOVE came to: whether something came, and whether the archive does not know where to.

        Return whether it is to be sent again, since that was the destination's fault.
        """


@dataclass(frozen=True, slots=True)
class OneDestination:
    """The only one: ours, or a third party's."""

    ae_title: str
    host: str | None = None
    port: int | None = None

    def find_wait(self) -> None:
        """Wait for nothing."""

    def lend(self, move: int, end: Callable[[], None]) -> AbstractContextManager[str]:  # noqa: ARG002
        """Lend it."""
        return nullcontext(self.ae_title)

    def hear_out(self, move: int, is_stopping: Callable[[], bool]) -> None:
        """Do nothing: it tells at once."""

    def is_lost(self, move: int) -> bool:  # noqa: ARG002
        """Say that it is never."""
        return False

    def find(self, move: int) -> OneDestination:  # noqa: ARG002
        """Return it."""
        return self

    def conclude(self, move: int, *, brought: bool, is_unknown: bool) -> bool:  # noqa: ARG002
        """Let what it came to stand."""
        return False


def send_surely(
    move: SharedMove, send: Callable[[SharedMove], Verdict], destinations: Destinations, controls: Controls
) -> tuple[Verdict, Destination]:
    """Send a C-MOVE, again where its destination was to blame; return what it came to, and where the last one went.

    The row has not had an attempt by that, though all that were sent are counted. Raises what `send` raises, but what
    came of one that was sent stands if the batch is stopped before the next.
    """
    known = 0 if move.latest is None else move.latest.attempts
    before, verdict, destination = 0, None, destinations.find(move.number)
    for left in reversed(range(_MOST_LOST)):
        is_unknown = again = False
        try:
            verdict = send(move)
            verdict.attempts += before
            before = verdict.attempts - known
            destination, is_unknown = destinations.find(move.number), verdict.end.status_code == _UNKNOWN
        except Stop:
            if verdict is None:
                raise
            return verdict, destination
        finally:
            again = destinations.conclude(move.number, brought=move.running.received > 0, is_unknown=is_unknown)
        if not again or not left or verdict.status.complete or controls.stopping:
            break
    assert verdict is not None
    return verdict, destination
