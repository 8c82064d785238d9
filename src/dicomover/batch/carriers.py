"""The two ways to the archive of one worker: C-MOVE over its line, and C-GET over an association of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from dicomover.batch.ways import Ways
from dicomover.errors import ConfigurationError, NodeError
from dicomover.identifier import Identifier, Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import SUCCESS, Counters, Ended
from dicomover.query.classes import MOST_PAIRS, Pair, sort_pairs
from dicomover.wire.association import Association
from dicomover.wire.lines import Line, Pool
from dicomover.wire.responses import MoveEnd

__all__ = ["ByGet", "ByMove", "Carrier", "Retriever", "RetrieverPool", "RetrievingLine", "join_ends"]

_SOON = 5.0  # seconds for a second association, until it is known whether the archive has two with us


class Carrier(Protocol):
    """One of the two ways to the archive: what a request goes over, and what it is."""

    def connect(self) -> Association:
        """Return what the next request goes over, open; raises Stop if there is none to be had."""

    def ask(
        self,
        association: Association,
        part: Identifier,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None],
        last_arrival: Callable[[], float] | None,
    ) -> MoveEnd:
        """Send a request and read to its end; see `Association.move`."""


class ByMove:
    """A C-MOVE, over a worker's line."""

    def __init__(self, line: Line, destination: str) -> None:
        self._destination = destination
        self.connect = line.connect_patiently

    def ask(
        self,
        association: Association,
        part: Identifier,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None],
        last_arrival: Callable[[], float] | None,
    ) -> MoveEnd:
        """Send it."""
        return association.move(
            part.dataset(),
            part.model,
            self._destination,
            message_id,
            on_progress=on_progress,
            last_arrival=last_arrival,
        )


class Retriever(Protocol):
    """An association on which images come, otherwise as `Association`; see `Receiver.retriever`."""

    served: int

    @property
    def accepted(self) -> frozenset[Pair]:
        """What the archive has accepted, with the roles."""

    def get(
        self,
        identifier: Any,
        model: Model,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None] = lambda _: None,
        last_arrival: Callable[[], float] | None = None,
    ) -> MoveEnd:
        """Send a C-GET and read to its end; what the peer does never raises."""


MakeRetriever = Callable[[Node, str, Timeouts, Sequence[Pair]], Any]
"""Makes one that is still to be opened; `Receiver.retriever` does."""


class RetrieverPool(Pool):
    """Keeps associations for C-GET while they are idle; its services are pairs."""

    def __init__(self, node: Node, ae_title: str, make: MakeRetriever, accept: Sequence[str] = ()) -> None:
        self._make_retriever = make
        self._accept = accept
        super().__init__(node, ae_title)

    def _make(self, timeouts: Timeouts, services: frozenset[Any]) -> Association:
        pairs = sort_pairs(services, self._accept)
        association = cast("Association", self._make_retriever(self.node, self.ae_title, timeouts, pairs))
        association.services = services
        return association


class _Alone(frozenset[Any]):
    """Pairs beside which no others will do."""

    def __le__(self, other: object) -> bool:
        return self == other


class RetrievingLine(Line):
    """A line whose association is exchanged for another one where it has not the contexts that are wanted."""

    def want(self, pairs: Iterable[Pair], *, alone: bool = False) -> None:
        """Have these pairs, beside those of before if all of them fit and may be there, from the next connection on."""
        wanted: frozenset[Any] = _Alone(pairs) if alone else frozenset(pairs)
        if wanted <= self._services:
            return
        self.close()
        both = wanted | self._services
        self._services = both if len(both) <= MOST_PAIRS and not alone else wanted


class ByGet:
    """A C-GET, over an association of its own beside the worker's line for C-FIND."""

    def __init__(
        self,
        line: RetrievingLine,
        finds: Line,  # the worker's own
        ways: Ways,
    ) -> None:
        self._line, self._finds, self._ways = line, finds, ways
        self.accepted: frozenset[Pair] = frozenset()  # of all associations since `want`
        self.want, self.close, self.hang_up, self.abandon = line.want, line.close, line.hang_up, line.abandon

    def connect(self) -> Association:
        """Return an association with what is wanted; hang up the one for C-FIND where the archive has no two with us.

        Raises Stop if there is none to be had.
        """
        if self._ways.takes_turns:
            self._finds.hang_up()
        association = self._connect()
        self.accepted |= cast("Retriever", association).accepted
        return association

    def _connect(self) -> Association:
        if self._ways.takes_turns is not None:
            return self._line.connect_patiently()
        try:
            self._line.connect_soon(_SOON)
        except (NodeError, ConfigurationError):  # such as a certificate that is not there any more
            self._finds.hang_up()
            association = self._line.connect_patiently()
            self._ways.takes_turns = True
            return association
        self._ways.takes_turns = False
        return self._line.connect()

    def make_room(self) -> None:
        """Hang up before the next C-FIND, where the archive has no two associations with us."""
        if self._ways.takes_turns:
            self.hang_up()

    def ask(
        self,
        association: Association,
        part: Identifier,
        message_id: int,
        *,
        on_progress: Callable[[Counters], None],
        last_arrival: Callable[[], float] | None,
    ) -> MoveEnd:
        """Send it."""
        return cast("Retriever", association).get(
            part.dataset(), part.model, message_id, on_progress=on_progress, last_arrival=last_arrival
        )


def join_ends(before: MoveEnd, end: MoveEnd) -> MoveEnd:
    """Return how two of the same C-MOVE have ended, but for what they count: the worse, with the UIDs of both."""
    is_worse = end.ended is not Ended.ANSWERED or before.status_code == SUCCESS
    return replace(end if is_worse else before, failed_uids=(*before.failed_uids, *end.failed_uids))
