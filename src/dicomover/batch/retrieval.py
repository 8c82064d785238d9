"""How a worker brings what one C-MOVE of the batch stands for: by C-MOVE, or by C-GET in as many parts as it takes.

The verdict knows nothing of it: what is here counts, in whichever way it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dicomover.batch.arrivals import COUNTING_SECONDS
from dicomover.batch.carriers import ByGet, ByMove, Carrier, RetrievingLine
from dicomover.batch.ends import Parts, join_ends
from dicomover.batch.run import BatchRun
from dicomover.batch.verdict import bound_wait
from dicomover.batch.ways import find_dead_end
from dicomover.batch.work import SharedMove
from dicomover.errors import AssociationLost, ContextRejected, ProtocolError
from dicomover.identifier import Identifier, Level, Model
from dicomover.outcome import SUCCESS, Counters, Ended, describe
from dicomover.query.classes import MOST_PAIRS, Pair, fit_pairs, name_class, pass_over_first
from dicomover.query.lists import UidLists
from dicomover.query.parts import Part, divide, divide_missing
from dicomover.query.targets import Target
from dicomover.text.sentences import count_of
from dicomover.wire.lines import Line
from dicomover.wire.responses import MoveEnd
from dicomover.wire.stop import Stop

__all__ = ["Retrieval", "Sent"]

Ask = Callable[[SharedMove, Identifier, Counters | None], tuple[int, MoveEnd]]
"""Asks for what a C-MOVE is to bring, or a part of it, after parts that have come to something; see `Exchange.run`."""

_NAMED = 3  # SOP Classes, in one sentence


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent for a C-MOVE of the batch, and how that ended."""

    attempts: int
    end: MoveEnd
    by_get: bool = False  # whether it ended by C-GET
    remark: str = ""  # what a person should know of the way


class Retrieval:
    """Brings images for one worker."""

    def __init__(
        self,
        run: BatchRun,  # what the batch's workers share
        line: Line,  # the worker's own
        ask_over: Callable[[Carrier], Ask],  # see `Exchange.run`
        note: Callable[[str | None], None],  # takes what a person should know
    ) -> None:
        settings = run.settings
        self._destination, self._accept = settings.destination, settings.syntaxes
        self._roles = run.pool.node.quirks.roles
        self._ways, self._tally, self._controls = run.ways, run.tally, run.controls
        self._line, self._note = line, note
        self._find = UidLists(run.pool.node.quirks.lists).wrap(line.find)
        self._by_move = ask_over(ByMove(line, settings.destination))
        self._get: ByGet | None = None
        if run.get_pool is not None:
            own = RetrievingLine(run.get_pool, settings.timeouts, run.controls, settings.retry.pauses(), frozenset())
            self._get = ByGet(own, line, run.ways)
            self._by_get = ask_over(self._get)

    def close(self) -> None:
        """Give the association for C-GET back."""
        if self._get is not None:
            self._get.close()

    def hang_up(self) -> None:
        """Hang up on C-GET, here and in the pool."""
        if self._get is not None:
            self._get.hang_up()

    def abandon(self) -> None:
        """End what it waits for; from any thread."""
        if self._get is not None:
            self._get.abandon()

    def run(self, move: SharedMove) -> Sent:
        """Bring it; raises Stop if nothing was sent, and ContextRejected if the archive does not offer it."""
        ways = self._ways
        if ways.may_turn and self._get is not None and not self._offers([model.move_sop_class for model in Model]):
            self._turn("the archive offers no C-MOVE")
        if ways.may_turn and self._tally is not None and not self._tally.scp.port:
            self._turn("no port can be had here")
        if ways.gets and self._get is not None:
            sent = self._bring(move, self._get)
            return replace(sent, remark="; ".join(filter(None, [ways.why and f"by C-GET: {ways.why}", sent.remark])))
        attempts, end = self._by_move(move, move.target.identifier, None)
        why = self._find_dead_end(move, end) if ways.may_turn and self._get is not None else ""
        if not why or self._get is None or self._controls.stopping:
            return Sent(attempts, end)
        try:
            sent = self._bring(move, self._get)
        except (ContextRejected, Stop):
            return Sent(attempts, end)
        if sent.end.counters.moved or move.running.received:
            self._turn(why)
        elif end.status_code != 0xA801:
            got = sent.end.why if sent.end.status_code is None else describe(sent.end.status_code)
            return Sent(attempts + sent.attempts, end, remark=f"by C-GET nothing came either: {got}")
        remark = "; ".join(filter(None, [f"by C-GET: {why}", sent.remark]))
        return Sent(attempts + sent.attempts, sent.end, by_get=True, remark=remark)

    def _turn(self, why: str) -> None:
        if self._ways.turn(why):
            self._note(f"going on by C-GET: {why}")

    def _offers(self, sop_classes: list[str]) -> bool:
        association = self._line.connect_patiently()
        return any(map(association.accepts, sop_classes))

    def _find_dead_end(self, move: SharedMove, end: MoveEnd) -> str:
        """Say why nothing can come by C-MOVE, if the archive offers C-GET."""
        running, tally = move.running, self._tally
        if tally is None or end.ended is not Ended.ANSWERED:
            return ""
        if end.status_code != 0xA801:  # what came is about to be counted
            tally.wait(running, *bound_wait(end, move.target))
        reached = tally.is_reached or running.received > 0 or running.is_called
        why = find_dead_end(end, self._destination, reached=reached, called=tally.was_called(running))
        return why if why and self._offers([model.get_sop_class for model in Model]) else ""

    # --- by C-GET

    def _bring(self, move: SharedMove, get: ByGet) -> Sent:
        try:
            return self._bring_parts(move, get)
        finally:
            get.make_room()

    def _bring_parts(self, move: SharedMove, get: ByGet) -> Sent:
        target = replace(move.target, identifier=self._fit(move.target.identifier))
        get.accepted = frozenset()
        get.make_room()
        parts = divide(target, self._find, self._accept)
        attempts, end = self._send_parts(move, get, parts, None)
        assert end is not None
        if end.ended is Ended.CANCELLED or self._controls.stopping or not self._lacks(move, end):
            return Sent(attempts, end, by_get=True)
        missing = self._list_missing(move, target, get)
        further = [part for part in missing if not any(each.covers(part) for each in parts)]
        remark = ""
        if further:
            sent, end, missing = self._ask_again(move, target, get, further, end)
            attempts += sent
        here, others = move.running.received, self._list_others(move, missing, get, end)
        if others and end.ended is Ended.ANSWERED and not self._controls.stopping:
            move.running.expect_again(sum(len(part.identifier.uids(Level.IMAGE)) for part in others))
            sent, end, missing = self._ask_again(move, target, get, list(others), end, others)
            attempts += sent
            if came := move.running.received - here:
                remark = f"{came} came by a C-GET of their own: the archive uses one transfer syntax for each SOP Class"
        # For what we refused ourselves no class and no syntax is to blame.
        if missing and end.ended is Ended.ANSWERED and (end.counters.failed or 0) > move.running.refused.total():
            remark = "; ".join(filter(None, [remark, self._explain(missing, get)]))
        return Sent(attempts, end, by_get=True, remark=remark)

    def _ask_again(
        self,
        move: SharedMove,
        target: Target,
        get: ByGet,
        parts: list[Part],
        end: MoveEnd,
        alone: Mapping[Part, Sequence[Pair]] | None = None,
    ) -> tuple[int, MoveEnd, list[Part]]:
        """Ask for images that have not come; return how often, how it has ended with them, and what has not come yet.

        With all that is to be proposed for their classes, or with those pairs `alone` that are given for each.
        """
        here = move.running.received
        attempts, more = self._send_parts(move, get, parts, end.counters, alone)
        is_lost = more is not None and more.ended not in (Ended.ANSWERED, Ended.CANCELLED)
        # One alone that is lost is no better than what it was for.
        if not (alone is not None and is_lost and move.running.received == here):
            end = self._join(move, end, more, sum(len(part.identifier.uids(Level.IMAGE)) for part in parts))
        return attempts, end, self._list_missing(move, target, get) if self._lacks(move, end) else []

    def _count_refused(self, move: SharedMove, end: MoveEnd) -> int:
        """Count what we refused, once what our receiver may be about to tell has been told."""
        assert self._tally is not None
        running, counters = move.running, end.counters
        self._tally.wait(running, (counters.moved or 0) + (counters.failed or 0), COUNTING_SECONDS)
        return running.refused.total()

    def _list_others(
        self, move: SharedMove, missing: list[Part], get: ByGet, end: MoveEnd
    ) -> dict[Part, Sequence[Pair]]:
        """Return what has not come and may on an association of its own, with the pairs that it has to be there with.

        Of what the archive has accepted, if it uses the first alone. Who has sent something under a wrong label would
        do so under another one: that is asked for in the one transfer syntax that it has shown to be in.
        """
        if not self._count_refused(move, end):
            found = {}
            for part in missing:
                accepted = [[pair for pair in get.accepted if pair[0] == uid] for uid in part.classes]
                found[part] = [pair for pairs in accepted for pair in pass_over_first(pairs, self._accept)][:MOST_PAIRS]
            return {part: pairs for part, pairs in found.items() if pairs}
        known = move.running.mislabelled
        parts = [each for part in missing for each in part.split(known) if each[1] in (self._accept or known.values())]
        return {part: [(uid, syntax) for uid in part.classes] for part, syntax in parts}

    def _fit(self, identifier: Identifier) -> Identifier:
        """Return what to ask for in a model in which the archive offers C-GET; raises ContextRejected if in none."""
        association = self._line.connect_patiently()
        if association.accepts(identifier.model.get_sop_class) or identifier.level is Level.PATIENT:
            association.offers(identifier.model.get_sop_class)
            return identifier
        other = Model.STUDY if identifier.model is Model.PATIENT else Model.PATIENT
        association.offers(other.get_sop_class if other is Model.STUDY else identifier.model.get_sop_class)
        return Identifier.of(identifier.level, other, identifier.keys())

    def _send_parts(
        self,
        move: SharedMove,
        get: ByGet,
        parts: list[Part],
        before: Counters | None,
        alone: Mapping[Part, Sequence[Pair]] | None = None,
    ) -> tuple[int, MoveEnd | None]:
        """Send a C-GET for each part, until one is broken off; `before` is what came before them."""
        sent = Parts(before)
        for part in parts:
            get.want(alone[part] if alone else fit_pairs(part.classes, self._accept), alone=bool(alone))
            try:
                attempts, end = self._by_get(move, part.identifier, sent.so_far)
            except Stop:
                if sent.end is None and before is None:
                    raise
                break  # what came of those that were sent is known
            sent.add(attempts, end)
            if end.ended is not Ended.ANSWERED:
                break
        return sent.attempts, sent.end

    def _lacks(self, move: SharedMove, end: MoveEnd) -> bool:
        """Tell whether something may be missing, once what is on its way has been counted."""
        target, running, moved = move.target, move.running, end.counters.moved or 0
        if end.status_code == SUCCESS and not end.counters.failed and moved and moved >= (target.expected or 0):
            return False
        assert self._tally is not None
        self._tally.wait(running, bound_wait(end, target)[0], COUNTING_SECONDS, target.expected)
        return target.expected is None or running.received < target.expected

    def _list_missing(self, move: SharedMove, target: Target, get: ByGet) -> list[Part]:
        """Return what the archive lists and is not here, by class; nothing where it cannot be asked."""
        get.make_room()
        try:
            return divide_missing(target, move.running.sop_uids, self._find)
        except (AssociationLost, ContextRejected, ProtocolError, Stop):
            return []

    def _join(self, move: SharedMove, end: MoveEnd, more: MoveEnd | None, asked: int) -> MoveEnd:
        """Return how it ended, after so many images that had not come were asked for again with other classes."""
        if more is None:
            return end
        failed = max((end.counters.failed or 0) - asked, 0)
        counters = replace(end.counters, failed=failed, remaining=None) + more.counters
        still = [uid for uid in (*end.failed_uids, *more.failed_uids) if uid not in move.running.sop_uids]
        joint = replace(join_ends(end, more), counters=counters, failed_uids=tuple(dict.fromkeys(still)))
        if more.ended is Ended.ANSWERED and not counters.failed and not self._lacks(move, joint):
            status = more.status_code if counters.warning else SUCCESS
            return replace(joint, ended=Ended.ANSWERED, status_code=status, lost_by=None, why="")
        return joint

    def _explain(self, missing: list[Part], get: ByGet) -> str:
        """Say what of the classes of that which did not come the archive has not accepted."""
        said = []
        for uid in sorted({part.classes[0] for part in missing if len(part.classes) == 1})[:_NAMED]:
            accepted = sum(each == uid for each, _ in get.accepted)
            if not accepted:
                said.append(f"the archive did not accept {name_class(uid)} by C-GET")
            elif accepted < len(fit_pairs([uid], self._accept)):
                syntaxes = count_of(accepted, "transfer syntax", "transfer syntaxes")
                said.append(f"of {name_class(uid)} it accepted {syntaxes} by C-GET, and may hold it in another one")
        if not get.accepted and self._roles == "scp":
            said.append("some archives accept images in both roles only: Quirks(roles='both') of the node")
        return "; ".join(said)
