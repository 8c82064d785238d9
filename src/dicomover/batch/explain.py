"""The sentence of the `error` column: what went wrong with a request and what to do. Pure; no patient data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomover.events import Refused
from dicomover.outcome import SUCCESS, Status, describe, weigh
from dicomover.text.face import advise, call
from dicomover.text.sentences import count_of
from dicomover.wire.responses import MoveEnd

__all__ = ["Situation", "explain"]


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts about one C-MOVE that its sentence is made of."""

    destination: str  # the Move Destination's AE title
    port: int | None = None  # where we listen; None if a third party receives
    # as in the summary; or what a destination has that was asked
    expected: int | None = None
    received: int | None = None
    # instances that our own receiver refused, by C-STORE status
    refused: Mapping[int, int] = field(default_factory=dict)
    missing: int = 0  # how many instances are not there of those that the archive listed
    # whether the archive is known to send to this destination, since something of the batch has come there
    sends: bool = False
    repeated: int = 0  # sub-operations that brought what had come already
    # instances that our own receiver refused meanwhile and that could not be tied to a request, by C-STORE status
    unclear: Mapping[int, int] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)  # why the first of them was refused, by C-STORE status
    # what else our own receiver refused meanwhile, why, and how to mend it, as often as it happened; it may have been
    # anybody's
    turned_away: Mapping[tuple[bool, Refused, str, str], int] = field(default_factory=dict)
    bind: str | None = None  # the address that we listen on; None for every one
    foreign: int = 0  # how many came for this C-MOVE under UIDs that were not asked for
    # the same of instances of something that no running request has asked for
    stray: Mapping[int, int] = field(default_factory=dict)
    called: bool = False  # whether our own receiver had an association meanwhile, whoever opened it
    strange: int = 0  # how many came under what was asked for as another patient's
    is_archives: bool = False  # whether something that our own receiver refused came from the archive itself
    by_get: bool = False  # whether it was to come by C-GET: then no destination and no port are to blame

    @property
    def is_known(self) -> bool:
        """Whether the archive itself is known to have reached this destination: no stranger can make it so."""
        return bool(self.sends or self.received or self.refused or self.is_archives)

    @property
    def is_reached(self) -> bool:
        """Whether something has reached this destination, as far as is known: it came, or our receiver refused it."""
        return self.is_known or bool(self.unclear or self.turned_away)

    def reason(self, code: int) -> str:
        """Say why we refused instances with a status; more closely where a status has many reasons."""
        said = _REFUSED.get(code, describe(code))
        why = self.reasons.get(code) if code in _OF_MANY_REASONS else None
        return f"{said} ({why})" if why else said


_REFUSED = {
    0xA700: "our disk is full or the quota is reached; make room and run it again",
    0xA900: "their command and data set disagree",
    0xC000: "they could not be read or filed",
    0x0124: "nobody asked for them",
    0x0111: "another file under the same UID was there",
}
_OF_MANY_REASONS = (0x0110, 0xA900, 0xC000)


_NOUNS = {
    Refused.INSTANCE: "instance",
    Refused.CONTEXT: "presentation context",
    Refused.ASSOCIATION: "association",
    Refused.CONNECTION: "connection",
    Refused.EVERYTHING: "sender",
}
_MOST_SAID = 3  # kinds of refusals


def explain(status: Status, end: MoveEnd, situation: Situation) -> str | None:
    """Return the sentence; None if there is nothing to say.

    Examples
    --------
    >>> from dicomover.outcome import Ended
    >>> end = MoveEnd(Ended.ANSWERED, 0xA900, offending="(0008,0050)")
    >>> print(explain(Status.FAILURE, end, Situation("WORKSTATION")))
    0xA900 (identifier does not match the SOP Class): the archive does not accept these keys (0008,0050) at this level;
    try the other model
    """
    parts = [_main(status, end, situation)]
    for code, number in situation.refused.items():
        parts.append(f"we refused {number}: {situation.reason(code)}")
    if not status.complete:
        for code, number in situation.unclear.items():
            said = situation.reason(code)
            parts.append(f"we refused {number} meanwhile that do not say what they belong to: {said}")
        for code, number in situation.stray.items():
            if not situation.received:
                parts.append(f"we refused {number} meanwhile of something else: {situation.reason(code)}")
        most = sorted(situation.turned_away.items(), key=lambda item: (not item[0][0], -item[1]))  # the archive's first
        for (_, what, why, mend), number in most[:_MOST_SAID]:
            parts.append(f"we refused {count_of(number, _NOUNS[what])} meanwhile: {why}{mend and f' ({mend})'}")
    return "; ".join(part for part in parts if part) or None


def _main(status: Status, end: MoveEnd, situation: Situation) -> str:
    if status is Status.SUCCESS:
        return ""
    if status is Status.LOST:
        return f"lost: {end.why}; what is on its way is unknown, run it again"
    if status is Status.CANCELLED:
        return end.why or "cancelled" + _numbers(end, situation)
    if status is Status.NOT_FOUND:
        return "the archive has nothing by these keys, and nothing moved; check them"
    if status is Status.EMPTY:
        return _empty(end, situation)
    numbers = _numbers(end, situation)
    if end.status_code in (None, SUCCESS):
        return f"the archive reports success{numbers}{_next(status, end, situation)}"
    return f"{describe(end.status_code)}{numbers}{_advice(end, situation) or _next(status, end, situation)}"


def _empty(end: MoveEnd, situation: Situation) -> str:
    claimed = end.counters.moved
    if claimed != 0 and situation.received == 0 and (situation.foreign or situation.strange):
        what = "success" if claimed is None else f"{claimed} moved"
        return f"the archive reports {what}, but nothing that was asked for came; ask its administrator"
    if claimed and situation.received == 0 and (situation.refused or situation.unclear):
        return f"the archive reports {claimed} moved, but we took none of it"
    if claimed and situation.received == 0 and situation.stray:
        where = "" if situation.by_get else ", and to which address and port"
        ask = f"ask its administrator what it sends{where}"
        return f"the archive reports {claimed} moved, but nothing that was asked for came; {ask}{_listening(situation)}"
    if claimed != 0 and situation.by_get:
        what = "success" if claimed is None else f"{claimed} sent by C-GET"
        return f"the archive reports {what}, but nothing arrived here; run it again, and ask its administrator"
    if claimed and situation.received == 0:
        here = situation.port is not None
        where = "nothing arrived here" if here else f"{situation.destination!r} has none of it"
        return (
            f"the archive reports {claimed} moved, but {where}; ask its administrator which address "
            f"and port it has for {situation.destination!r}{_listening(situation)}"
        )
    if claimed is None:
        return "the archive reports success without any count: nothing shows that anything moved; check the destination"
    return (
        "the archive reports success, but moved nothing: it found no match for the identifier, or was busy; "
        f"run it again, or check with {call('find')}"
    )


def _listening(situation: Situation) -> str:
    """Say where we listen, where nothing has come."""
    if situation.port is None or situation.received or situation.by_get:
        return ""
    where = "every address of this machine" if situation.bind is None else situation.bind
    return f" (we listen on port {situation.port} of {where})"


def _numbers(end: MoveEnd, situation: Situation) -> str:
    counters = end.counters
    moved, wanted = weigh(
        counters, expected=situation.expected, received=situation.received, repeated=situation.repeated
    )
    said = []
    if moved is not None and wanted is not None and (moved < wanted or moved):
        said.append(f"{moved} of {wanted} moved" if moved <= wanted else f"{moved} moved")
    if situation.missing and (moved is None or wanted is None or moved >= wanted):
        said.append(f"{situation.missing} of those that the archive lists are missing")
    if counters.failed:
        said.append(f"{counters.failed} failed")
    if counters.warning:
        said.append(f"{counters.warning} with a warning")
    return f", {', '.join(said)}" if said else ""


def _advice(end: MoveEnd, situation: Situation) -> str:
    code = end.status_code or 0
    if situation.by_get and (code in (0xA702, 0xA801, 0x0122, 0x0124) or code >> 12 == 0xC):
        return _advice_on_get(code, situation)
    is_reached = situation.is_reached or bool(end.counters.moved)
    title = f"the AE title {situation.destination!r}"
    where = "its address and port" if situation.port is None else f"this machine's address and port {situation.port}"
    if code == 0xA801 and (situation.is_known or bool(end.counters.moved)):
        return f": the archive does know {situation.destination!r}, since it has reached it; run it again"
    if code == 0xA801:
        return f": ask the archive's administrator to add {title} with {where}"
    if code == 0xA702 and situation.foreign and situation.is_archives:
        return ": the archive sends something else than was asked for; ask its administrator"
    if code == 0xA702 and (situation.refused or situation.is_archives):
        return f": the archive does reach {situation.destination!r}"
    if code == 0xA702 and (situation.is_known or end.counters.moved):
        again = "run it again; if the same instances fail each time, it cannot send them"
        return f": the archive does send to {situation.destination!r}; {again}: give its administrator the UIDs"
    if code == 0xA702 and (situation.stray or situation.called or situation.unclear or situation.turned_away):
        check = f"else check which address and port it has for us{_listening(situation)}"
        which = f"if it was the archive, its log says why it could not send, {check}"
        return f": something does reach {situation.destination!r}; {which}"
    if code == 0xA702:
        check = f"check {where} there, the firewall, and that such images are accepted"
        return f": the archive could not send to {situation.destination!r}; {check}{_listening(situation)}"
    if 0xA700 <= code <= 0xA7FF:
        return ": the archive is short of resources; run it again later, with fewer associations"
    if code in (0xA900, 0x0120):
        if situation.received or end.counters.moved:
            return ""  # it has accepted them
        named = f" {end.offending}" if end.offending else ""
        again = "run it again, and if it stays so " if situation.sends else ""
        return f": the archive does not accept these keys{named} at this level; {again}{advise('try the other model')}"
    if code in (0x0122, 0x0124):
        return ": ask the archive's administrator to allow C-MOVE from our AE title"
    if code >> 12 == 0xC and not is_reached:
        check = f"check it, then their log{_listening(situation)}"
        return f": some archives say so when {title} is unknown to them or does not answer; {check}"
    return ""


def _advice_on_get(code: int, situation: Situation) -> str:
    if code in (0x0122, 0x0124):
        return ": ask the archive's administrator to allow C-GET from our AE title"
    if situation.received or situation.refused:
        return ""
    return ": the archive could not send on our own association; its log says why"


def _next(status: Status, end: MoveEnd, situation: Situation) -> str:
    """Say what a person can do where the status itself says nothing of it."""
    if status is Status.WARNING:
        return "; the images can be used"
    again = "run it again"
    if status is Status.FAILURE:
        again += ", and ask the archive's administrator if it stays so"
    return f"; {again}; failed_uids names what failed" if end.failed_uids or situation.missing else f"; {again}"
