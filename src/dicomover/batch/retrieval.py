"""How a worker brings what one C-MOVE of the batch stands for: by C-MOVE, or by C-GET in as many parts as it takes.

The verdict knows nothing of it: what is here counts, in whichever way it came.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from dicomover.batch.arrivals import bound_wait
from dicomover.batch.asking import Ask, Asking
from dicomover.batch.carriers import WITHOUT_BULK_DATA, ByGet, ByMove, Carrier, RetrievingLine
from dicomover.batch.run import BatchRun
from dicomover.batch.ways import find_dead_end
from dicomover.batch.work import SharedMove
from dicomover.dicomfile import DEFLATED
from dicomover.errors import ContextRejected, ReceiverError
from dicomover.events import Offer
from dicomover.identifier import Identifier, Level, Model
from dicomover.outcome import SUCCESS, Counters, Ended, describe
from dicomover.query.classes import MOST_PAIRS, Pair, fit_pairs, name_class, pass_over_first
from dicomover.query.lists import UidLists
from dicomover.query.parts import Part, divide
from dicomover.query.targets import Target
from dicomover.text.face import setting
from dicomover.text.sentences import count_of
from dicomover.wire.lines import Line
from dicomover.wire.responses import MoveEnd
from dicomover.wire.services import WITHOUT_BULK
from dicomover.wire.stop import Stop

__all__ = ["Retrieval", "Sent"]

Send = Callable[[SharedMove, Identifier, Counters | None], tuple[int, MoveEnd]]
"""Asks for what a C-MOVE is to bring, or a part of it, after parts that have come to something; see `Exchange.run`."""

_NAMED = 3  # SOP Classes, in one sentence
_ONE_KIND = "the archive sends either compressed or uncompressed images over one association"
_OFFER_MORE = "if they are compressed, let its administrator see that it offers their transfer syntax too, or try {}"


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
        ask_over: Callable[[Carrier], Send],  # see `Exchange.run`
        note: Callable[[str | None], None],  # takes what a person should know
    ) -> None:
        settings = run.settings
        self._destination, self._accept = settings.destination, settings.syntaxes
        self._may_find, self._headers_only = settings.names_missing, settings.headers_only
        self._roles = run.pool.node.quirks.roles
        self._ways, self._tally, self._controls, self._pace = run.ways, run.tally, run.controls, run.pace
        self._line, self._note = line, note
        self._find = UidLists(run.pool.node.quirks.lists).wrap(line.find)
        self._by_move = ask_over(ByMove(line, run.destinations))
        self._get: ByGet | None = None
        self._asking = Asking(run.tally, self._find, self._make_room)
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

    def _make_room(self) -> None:
        if self._get is not None:
            self._get.make_room()

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
        move.running.other_kind = ways.other_kind
        attempts, end = self._by_move(move, move.target.identifier, None)
        why = self._find_dead_end(move, end) if ways.may_turn and self._get is not None else ""
        if self._controls.stopping:
            return Sent(attempts, end)
        if not why or self._get is None:
            with contextlib.suppress(ReceiverError):  # what came of what was sent is known
                return self._complete(move, attempts, end)
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

    def _complete(self, move: SharedMove, attempts: int, end: MoveEnd) -> Sent:
        """Ask once more for what could not be sent by C-MOVE, as far as its transfer syntax may be to blame.

        By C-MOVE alone where the archive offers either kind of them in one context, of which our receiver has chosen
        one, or where it gave up in the middle; by C-GET where it may turn to that.
        """
        running, tally = move.running, self._tally
        if tally is None or not self._may_find or not _could_not_send(end):
            return Sent(attempts, end)
        offers = tally.scp.ask_offers()  # before the rest: whoever called before is known behind it
        is_called = tally.was_called(running) and self._asking.lacks(move, end)
        if not is_called or self._asking.count_refused(move, end):
            return Sent(attempts, end)
        missing, here, said = self._asking.list_missing(move, move.target), running.received, []
        either = [part for part in missing if any(offers.get(uid) is Offer.EITHER_KIND for uid in part.classes)]
        has_given_up = (end.status_code or 0) >> 12 == 0xC and running.received
        if either or has_given_up:
            is_whole = len(either) == len(missing) and not running.received
            parts = [Part(move.target.identifier, either[0].classes)] if is_whole else either or missing
            sent, end = self._move_again(move, parts, end, is_other=bool(either))
            attempts += sent
            if came := running.received - here:
                why = _ONE_KIND if either else "the archive had given up in the middle"
                said.append(f"{came} came by a C-MOVE of their own: {why}")
            missing = self._asking.list_missing(move, move.target) if self._asking.lacks(move, end) else []
        doubtful = [part for part in missing if _is_uncompressed_only(part, offers, running.sop_uids.values())]
        if (doubtful or either) and missing and self._ways.may_turn and self._get is not None:
            sent_by_get = self._get_missing(move, self._get, end)
            if sent_by_get is not None:
                remark = "; ".join(filter(None, [*said, sent_by_get.remark]))
                return replace(sent_by_get, attempts=attempts + sent_by_get.attempts, remark=remark)
        if doubtful:
            names = ", ".join(sorted({name_class(part.classes[0]) for part in doubtful})[:_NAMED])
            said.append(f"the archive offers {names} uncompressed only: {_OFFER_MORE.format(setting('via', 'get'))}")
        return Sent(attempts, end, remark="; ".join(said))

    def _move_again(self, move: SharedMove, parts: list[Part], end: MoveEnd, *, is_other: bool) -> tuple[int, MoveEnd]:
        """Ask for parts by C-MOVE, in the other kind of transfer syntax if that may help."""
        running, here = move.running, move.running.received
        running.is_alone, running.other_kind = is_other, running.other_kind is not is_other
        try:
            return self._asking.ask_again(move, parts, end, self._in_whole, is_extra=True)
        finally:
            running.is_alone = False
            self._pace.let_others(running)
            if is_other and not here and running.received:
                self._ways.other_kind = running.other_kind

    def _in_whole(self, move: SharedMove, part: Part, before: Counters | None) -> tuple[int, MoveEnd]:
        """Ask by C-MOVE for a part."""
        return self._by_move(move, part.identifier, before)

    def _get_missing(self, move: SharedMove, get: ByGet, end: MoveEnd) -> Sent | None:
        """Ask by C-GET for what has not come by C-MOVE; None if the archive does not serve it, or nothing came."""
        here = move.running.received
        try:
            if not self._offers([model.get_sop_class for model in Model]):
                return None
            target = replace(move.target, identifier=self._fit(move.target.identifier))
            get.accepted = frozenset()
            missing = self._asking.list_missing(move, target)
            sent = self._bring_missing(move, target, get, end, missing, missing)
        except (ContextRejected, Stop):
            return None
        finally:
            get.make_room()
        if not (came := move.running.received - here):
            return None
        remark = f"{came} came by C-GET: by C-MOVE the archive could not send them"
        is_all = sent.end.status_code == SUCCESS
        return replace(sent, remark=remark if is_all else "; ".join(filter(None, [remark, sent.remark])))

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
        if self._headers_only and self._line.connect_patiently().accepts(WITHOUT_BULK):
            sent = self._bring_headers(move, target, get)
            if sent is not None:
                return sent
        parts = divide(target, self._find, self._accept)
        attempts, end = self._asking.send(move, parts, None, self._in_all(get))
        assert end is not None
        if end.ended is Ended.CANCELLED or self._controls.stopping or not self._asking.lacks(move, end):
            return Sent(attempts, end, by_get=True)
        missing = self._asking.list_missing(move, target)
        further = [part for part in missing if not any(each.covers(part) for each in parts)]
        sent = self._bring_missing(move, target, get, end, missing, further)
        return replace(sent, attempts=attempts + sent.attempts)

    def _bring_headers(self, move: SharedMove, target: Target, get: ByGet) -> Sent | None:
        """Ask for images without bulk data, and for what has not come as ever; None if the archive lists no images."""
        parts = self._asking.list_missing(move, target)
        attempts, end = self._asking.send(move, parts, None, self._in_headers(get))
        if end is None:
            return None
        if end.ended is not Ended.ANSWERED or self._controls.stopping or not self._asking.lacks(move, end):
            return Sent(attempts, end, by_get=True)
        get.accepted = frozenset()
        missing = self._asking.list_missing(move, target)
        sent = self._bring_missing(move, target, get, end, missing, missing)
        return replace(sent, attempts=attempts + sent.attempts)

    def _in_headers(self, get: ByGet) -> Ask:
        """Return what asks by C-GET for images without bulk data."""

        def ask(move: SharedMove, part: Part, before: Counters | None) -> tuple[int, MoveEnd]:
            # What was deflated as a whole bears no mark that it is without its pixels.
            pairs = [pair for pair in fit_pairs(part.classes, self._accept) if pair[1] != DEFLATED]
            get.want([WITHOUT_BULK_DATA, *pairs], alone=True)
            return self._by_get(move, part.identifier, before)

        return ask

    def _bring_missing(
        self,
        move: SharedMove,
        target: Target,
        get: ByGet,
        end: MoveEnd,  # how it has ended so far
        missing: list[Part],
        further: list[Part],  # what of that has not been asked for with its classes
    ) -> Sent:
        attempts, remark = 0, ""
        if further:
            attempts, end = self._asking.ask_again(move, further, end, self._in_all(get))
            missing = self._asking.list_missing(move, target) if self._asking.lacks(move, end) else []
        here, others = move.running.received, self._list_others(move, missing, get, end)
        if others and end.ended is Ended.ANSWERED and not self._controls.stopping:
            send = self._in_own(get, others)
            sent, end = self._asking.ask_again(move, list(others), end, send, is_extra=True)
            missing = self._asking.list_missing(move, target) if self._asking.lacks(move, end) else []
            attempts += sent
            if came := move.running.received - here:
                remark = f"{came} came by a C-GET of their own: the archive uses one transfer syntax for each SOP Class"
        # For what we refused ourselves no class and no syntax is to blame.
        if missing and end.ended is Ended.ANSWERED and (end.counters.failed or 0) > move.running.refused.total():
            remark = "; ".join(filter(None, [remark, self._explain(missing, get)]))
        return Sent(attempts, end, by_get=True, remark=remark)

    def _in_all(self, get: ByGet) -> Ask:
        """Return what asks by C-GET with all that is to be proposed for the classes of a part."""

        def ask(move: SharedMove, part: Part, before: Counters | None) -> tuple[int, MoveEnd]:
            get.want(fit_pairs(part.classes, self._accept))
            return self._by_get(move, part.identifier, before)

        return ask

    def _in_own(self, get: ByGet, pairs: Mapping[Part, Sequence[Pair]]) -> Ask:
        """Return what asks by C-GET with those pairs alone that are given for each part."""

        def ask(move: SharedMove, part: Part, before: Counters | None) -> tuple[int, MoveEnd]:
            get.want(pairs[part], alone=True)
            return self._by_get(move, part.identifier, before)

        return ask

    def _list_others(
        self, move: SharedMove, missing: list[Part], get: ByGet, end: MoveEnd
    ) -> dict[Part, Sequence[Pair]]:
        """Return what has not come and may on an association of its own, with the pairs that it has to be there with.

        Of what the archive has accepted, if it uses the first alone. Who has sent something under a wrong label would
        do so under another one: that is asked for in the one transfer syntax that it has shown to be in.
        """
        if not self._asking.count_refused(move, end):
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


def _could_not_send(end: MoveEnd) -> bool:
    """Tell whether the archive says that it could not send something, and not that it is busy."""
    code = end.status_code
    if end.ended is not Ended.ANSWERED or code is None or (code >> 8 == 0xA7 and code != 0xA702):
        return False
    return bool(end.counters.failed) or code == 0xA702 or code >> 12 == 0xC


def _is_uncompressed_only(part: Part, offers: Mapping[str, Offer], here: Collection[str]) -> bool:
    """Tell whether images may lack since they are compressed: nothing of their series, by what is here, has come."""
    is_of_images = any("Image" in name_class(uid) for uid in part.classes)
    is_offered_so = all(offers.get(uid) is Offer.UNCOMPRESSED for uid in part.classes)
    return is_of_images and is_offered_so and part.identifier.series not in here
