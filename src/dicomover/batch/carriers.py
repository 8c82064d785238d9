"""The two ways to the archive of one worker: C-MOVE over its line, and C-GET over an association of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypedDict, Unpack, cast

from dicomover.batch.destinations import LOST, Destinations
from dicomover.batch.running import RunningMove
from dicomover.batch.ways import Ways
from dicomover.errors import ConfigurationError, NodeError
from dicomover.identifier import Identifier, Model
from dicomover.node import Node, Timeouts
from dicomover.outcome import CANCELLED, Counters, Ended
from dicomover.query.classes import MOST_PAIRS, Pair, sort_pairs
from dicomover.wire.association import Association
from dicomover.wire.lines import Line, Pool
from dicomover.wire.responses import MoveEnd
from dicomover.wire.services import WITHOUT_BULK

__all__ = [
    "WITHOUT_BULK_DATA",
    "ByGet",
    "ByMove",
    "Carrier",
    "Opened",
    "Retriever",
    "RetrieverPool",
    "RetrievingLine",
    "Watch",
]

WITHOUT_BULK_DATA: Pair = (WITHOUT_BULK, "")
"""Among the pairs of an association: then nothing is asked for on it but images without their pixels."""

_SOON = 5.0  # seconds for a second association, until it is known whether the archive has two with us


class Watch(TypedDict):
    """What is told of a request, and asked about it, while its responses are read."""

    on_progress: Callable[[Counters], None]
    last_arrival: Callable[[], float] | None


class Opened(Protocol):
    """An association, as far as both ways look at it."""

    served: int

    @property
    def peer_address(self) -> str:
        """Whose images are on their way once it was asked."""


class Carrier(Protocol):
    """One of the two ways to the archive: what a request goes over, and what it is."""

    def connect(self) -> Opened:
        """Return what the next request goes over, open; raises Stop if there is none to be had."""

    def ask(self, opened: Any, part: Identifier, move: RunningMove, **watch: Unpack[Watch]) -> MoveEnd:
        """Send a request over what `connect` returned and read to its end; see `Association.move`."""


class ByMove:
    """A C-MOVE, over a worker's line."""

    def __init__(self, line: Line, destinations: Destinations) -> None:
        self._destinations = destinations
        self.connect = line.connect_patiently

    def ask(self, opened: Association, part: Identifier, move: RunningMove, **watch: Unpack[Watch]) -> MoveEnd:
        """Send it; if it was ended since its destination was lost, it is lost, and not cancelled."""
        with self._destinations.lend(move.number, opened.cancel) as title:
            if title is None:
                return MoveEnd(Ended.UNSENT, why=LOST)
            end = opened.move(part.dataset(), part.model, title, move.message_id, **watch)
        is_ended = end.ended is not Ended.ANSWERED or end.status_code == CANCELLED
        if is_ended and self._destinations.is_lost(move.number):
            return replace(end, ended=Ended.LOST, status_code=None, lost_by=None, why=LOST)
        return end


class Retriever(Opened, Protocol):
    """An association on which images come, otherwise as `Association`; see `Receiver.retriever`."""

    @property
    def accepted(self) -> frozenset[Pair]:
        """What the archive has accepted, with the roles."""

    def get(self, identifier: Any, model: Model, message_id: int, **watch: Unpack[Watch]) -> MoveEnd:
        """Send a C-GET and read to its end; what the peer does never raises."""


MakeRetriever = Callable[[Node, str, Timeouts, Sequence[Pair]], Any]
"""Makes one that is still to be opened; `Receiver.retriever` does."""


class RetrieverPool(Pool):
    """Keeps associations for C-GET while they are idle; its services are pairs."""

    def __init__(self, node: Node, ae_title: str, make: MakeRetriever, accept: Sequence[str] = ()) -> None:
        self._make_retriever = make
        self._accept = accept
        super().__init__(node, ae_title)

    def _serves(self, kept: frozenset[Any], services: frozenset[Any], *, alone: bool) -> bool:
        is_of_the_kind = (WITHOUT_BULK_DATA in kept) is (WITHOUT_BULK_DATA in services)
        return is_of_the_kind and super()._serves(kept, services, alone=alone)

    def _make(self, timeouts: Timeouts, services: frozenset[Any]) -> Association:
        pairs = sort_pairs(services, self._accept)
        association: Association = self._make_retriever(self.node, self.ae_title, timeouts, pairs)
        association.services = services
        return association


class RetrievingLine(Line):
    """A line whose association is exchanged for another one where it has not the contexts that are wanted."""

    def want(self, pairs: Iterable[Pair], *, alone: bool = False) -> None:
        """Have these pairs, beside those of before if all of them fit and may be there, from the next connection on."""
        wanted, self._alone = frozenset(pairs), alone
        may_be_more = not alone and WITHOUT_BULK_DATA not in self._services
        if self._services == wanted or (self._services > wanted and may_be_more):
            return
        self.close()
        both = wanted | self._services
        self._services = both if len(both) <= MOST_PAIRS and may_be_more else wanted


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

    def connect(self) -> Retriever:
        """Return an association with what is wanted; hang up the one for C-FIND where the archive has no two with us.

        Raises Stop if there is none to be had.
        """
        if self._ways.takes_turns:
            self._finds.hang_up()
        retriever = cast("Retriever", self._connect())  # its pool makes no other
        self.accepted |= retriever.accepted
        return retriever

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

    def ask(self, opened: Retriever, part: Identifier, move: RunningMove, **watch: Unpack[Watch]) -> MoveEnd:
        """Send it."""
        return opened.get(part.dataset(), part.model, move.message_id, **watch)
