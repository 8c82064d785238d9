"""What real archives get wrong, by name, and what each name makes this one do."""

from __future__ import annotations

import threading
from collections import UserDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["MISBEHAVIOURS", "Misbehaviour", "MisbehaviourLike", "Misbehaviours", "Script"]

ALL = 1 << 30


@dataclass(frozen=True, slots=True)
class Script:
    """How one exchange departs from the Standard; the defaults are good manners."""

    service: Literal["move", "find", "associate"] = "move"
    refuse: bool = False  # answer `status` before any sub-operation
    status: int | None = None  # the final status, whatever happened
    counters: Literal["true", "none", "zero", "zero-at-end"] = "true"
    pending: bool = True
    fail: int = 0  # the last so many are not sent and count as failed
    skip: int = 0  # the last so many are not sent and count as completed
    warn: int = 0  # the first so many count as warnings
    listed: Literal["all", "none", "half"] = "all"  # the Failed SOP Instance UID List
    breaks: str = ""  # what happens instead of the next response, after `after` sub-operations
    after: int = 0
    seconds: float = 0.0
    late: int = 0  # the last so many are sent `seconds` after the final response
    each: int = 1  # how often each instance is sent
    foreign: bool = False  # one instance of another study is sent too
    swapped: bool = False  # another study is sent instead
    stops_at_failure: bool = False  # the first failed sub-operation ends it with 0xC000 and zero counters
    message_id_offset: int = 0
    slow: bool = False  # `seconds` pass before each sub-operation
    slow_start: bool = False  # pending responses for `seconds` before the first one
    on_cancel: Literal["obey", "ignore", "success"] = "obey"
    sends_after_abort: bool = False
    then: Literal["", "close", "again"] = ""  # after the final response: close, or send it again
    comment: bool = False  # ErrorComment and OffendingElement come along
    ignores_keys: bool = False
    omits_keys: bool = False
    counts_off: int | None = None  # added to the NumberOf… answers; None with omits_counts
    omits_counts: bool = False
    no_match: bool = False
    most: int = 0  # no more answers than so many; 0 is no cap
    over: Literal["", "final", "refuse", "close"] = ""  # what comes of the others; "" is silence about them


def _refusal(status: int, comment: bool = False) -> Script:
    return Script(refuse=True, status=status, counters="none", comment=comment)


def _broken(breaks: str, after: int = 1, seconds: float = 0.0) -> Script:
    return Script(breaks=breaks, after=after, seconds=seconds)


def _find(**how: object) -> Script:
    return replace(Script(service="find"), **how)  # type: ignore[arg-type]


_TABLE: dict[str, tuple[str, Script]] = {
    # Finals that lie
    "success-with-failures": (
        "final 0x0000 although the last instance failed; only the counter tells",
        Script(status=0, fail=1),
    ),
    "success-all-failed": (
        "final 0x0000 although every instance failed; only the counter tells",
        Script(status=0, fail=ALL),
    ),
    "empty-success": (
        "0x0000 with zero sub-operations, as if nothing matched",
        Script(refuse=True, status=0, counters="zero"),
    ),
    "empty-success-without-counters": (
        "0x0000 at once, without counters, and nothing is sent",
        Script(refuse=True, status=0, counters="none"),
    ),
    "success-without-counters": ("everything is sent, but no response has a counter", Script(counters="none")),
    "zero-counters-at-end": ("everything is sent, but the final 0x0000 counts zero", Script(counters="zero-at-end")),
    "no-pending": ("everything is sent without a pending response", Script(pending=False)),
    "unable-after-sending": (
        "0xC000 with zero counters after everything was sent (Orthanc)",
        Script(status=0xC000, counters="zero-at-end"),
    ),
    "claims-without-sending": ("every instance counts as completed, none is sent", Script(skip=ALL)),
    "claims-some-without-sending": ("the last instance counts as completed, but is not sent", Script(skip=1)),
    "success-with-warnings": ("everything is sent, final 0x0000, one counted as a warning", Script(status=0, warn=1)),
    "warnings": ("everything is sent, final 0xB000, one counted as a warning", Script(status=0xB000, warn=1)),
    "some-failed": ("the last instance fails: 0xB000 with the list, as it should be", Script(fail=1)),
    "some-failed-without-list": (
        "the last instance fails: 0xB000 without the list of failed instances",
        Script(fail=1, listed="none"),
    ),
    "some-failed-half-listed": ("the last two instances fail, the list names one", Script(fail=2, listed="half")),
    "stops-at-first-failure": (
        "the first instance that the destination refuses ends it: 0xC000, zero counters (Orthanc)",
        Script(stops_at_failure=True),
    ),
    "final-twice": ("the final response comes twice", Script(then="again")),
    "unknown-status": ("everything is sent, the final status 0x1234 is in no table", Script(status=0x1234)),
    # Refusals
    "out-of-resources": ("0xA702, every instance failed and listed", Script(status=0xA702, fail=ALL)),
    "out-of-resources-some": ("0xA702 after all but the last instance were sent", Script(status=0xA702, fail=1)),
    "busy": ("0xA702 at once, no counters, no list", _refusal(0xA702)),
    "cannot-count": ("0xA701 at once: unable to calculate the number of matches", _refusal(0xA701)),
    "destination-unknown": ("0xA801 at once: Move Destination unknown", _refusal(0xA801)),
    "identifier-mismatch": ("0xA900 at once, with ErrorComment and OffendingElement", _refusal(0xA900, comment=True)),
    "unable": (
        "0xC000 at once with zero counters, whatever the cause (Orthanc)",
        Script(refuse=True, status=0xC000, counters="zero"),
    ),
    "unable-with-comment": ("0xC001 at once, with an ErrorComment", _refusal(0xC001, comment=True)),
    "processing-failure": ("0x0110 at once", _refusal(0x0110)),
    "missing-attribute": ("0x0120 at once, as dcm4che does", _refusal(0x0120)),
    "sop-class-not-supported": ("0x0122 at once", _refusal(0x0122)),
    "not-authorized": ("0x0124 at once", _refusal(0x0124)),
    "duplicate-invocation": ("0x0210 at once", _refusal(0x0210)),
    "unrecognized-operation": ("0x0211 at once", _refusal(0x0211)),
    "mistyped-argument": ("0x0212 at once", _refusal(0x0212)),
    # What is sent, and when
    "stragglers": ("the final response comes `seconds` before the last instance", Script(late=1, seconds=0.3)),
    "duplicate-stores": ("each instance is sent twice", Script(each=2)),
    "foreign-instance": ("an instance of another study is sent too", Script(foreign=True)),
    "wrong-study": ("the instances of another study are sent instead", Script(swapped=True)),
    "slow": ("`seconds` pass before each instance", Script(slow=True, seconds=0.2)),
    "slow-start": (
        "pending responses for `seconds` before the first instance (tape)",
        Script(slow_start=True, seconds=0.5),
    ),
    "sends-after-abort": (
        "goes on sending after the association was aborted, `seconds` before each",
        Script(sends_after_abort=True, slow=True, seconds=0.05),
    ),
    # Ends in the middle, after `after` instances
    "abort": ("A-ABORT in the middle", _broken("abort")),
    "close": ("the connection is closed in the middle", _broken("close")),
    "release": ("A-RELEASE-RQ in the middle", _broken("release")),
    "silence": ("nothing more ever comes, in the middle", _broken("silence")),
    "silence-at-once": ("the request is never answered", _broken("silence", after=0)),
    "silence-in-pdu": ("half a response PDU, then nothing more ever", _broken("half-pdu")),
    "garbage": ("bytes that are no PDU, in the middle", _broken("garbage")),
    "broken-command": ("a P-DATA-TF PDU whose command set cannot be read, in the middle", _broken("broken-command")),
    "endless-pending": (
        "pending responses for ever, without progress, every `seconds`",
        _broken("endless-pending", seconds=0.05),
    ),
    "restart": (
        "the archive drops every association and refuses connections for `seconds`",
        _broken("restart", seconds=0.2),
    ),
    "drops-association": ("the connection is closed after the final response", Script(then="close")),
    "wrong-message-id": ("the responses answer another Message ID", Script(message_id_offset=1)),
    # C-CANCEL
    "ignores-cancel": (
        "a C-CANCEL changes nothing; `seconds` pass before each instance",
        Script(on_cancel="ignore", slow=True, seconds=0.05),
    ),
    "cancelled-as-success": (
        "a cancelled move ends with 0x0000; `seconds` pass before each instance",
        Script(on_cancel="success", slow=True, seconds=0.2),
    ),
    # C-FIND
    "find-refused": ("C-FIND: 0xA700", _find(refuse=True, status=0xA700)),
    "find-mismatch": (
        "C-FIND: 0xA900, with ErrorComment and OffendingElement",
        _find(refuse=True, status=0xA900, comment=True),
    ),
    "find-unable": ("C-FIND: 0xC001", _find(refuse=True, status=0xC001)),
    "find-no-match": ("C-FIND: nothing is found", _find(no_match=True)),
    "find-ignores-keys": ("C-FIND: the keys are ignored, everything is returned", _find(ignores_keys=True)),
    "find-omits-key": ("C-FIND: the answers lack the keys that were asked by", _find(omits_keys=True)),
    "find-omits-counts": (
        "C-FIND: the answers lack the numbers of related instances and series",
        _find(omits_counts=True),
    ),
    "find-counts-more": ("C-FIND: one instance too many is promised", _find(counts_off=1)),
    "find-counts-less": ("C-FIND: one instance too few is promised", _find(counts_off=-1)),
    "find-duplicates": ("C-FIND: each answer comes twice", _find(each=2)),
    "find-breaks": ("C-FIND: half of the answers, then 0xC001", _find(breaks="fail", status=0xC001)),
    "find-capped": ("C-FIND: the first `count` answers, then 0x0000, as if they were all", _find(most=500)),
    "find-capped-cancelled": (
        "C-FIND: the first `count` answers, then 0xFE00 if there are more (Orthanc)",
        _find(most=500, over="final", status=0xFE00),
    ),
    "find-capped-closes": (
        "C-FIND: the first `count` answers, then the connection is closed if there are more",
        _find(most=500, over="close"),
    ),
    "find-too-many": (
        "C-FIND: more than `count` matches are refused with 0xA700, without any answer",
        _find(most=500, over="refuse", status=0xA700),
    ),
    "find-hangs": ("C-FIND: never answered", _find(breaks="silence")),
    "find-aborts": ("C-FIND: A-ABORT instead of an answer", _find(breaks="abort")),
    "find-closes": ("C-FIND: the connection is closed instead of an answer", _find(breaks="close")),
    "find-slow": ("C-FIND: `seconds` pass before each answer", _find(slow=True, seconds=0.1)),
    # Associations, for DemoPacs(on_associate=…)
    "associate-silence": ("an association request is never answered", Script("associate", breaks="silence")),
    "associate-abort": ("an association request is answered with A-ABORT", Script("associate", breaks="abort")),
    "associate-close": ("the connection is closed upon an association request", Script("associate", breaks="close")),
    "associate-garbage": (
        "an association request is answered with bytes that are no PDU",
        Script("associate", breaks="garbage"),
    ),
    "associate-congestion": ("rejected, transient: temporary congestion (2/3/1)", Script("associate", breaks="2/3/1")),
    "associate-no-reason": ("rejected, permanent: no reason given (1/1/1)", Script("associate", breaks="1/1/1")),
    "associate-no-context": ("accepted, but no presentation context is", Script("associate", breaks="no-context")),
}

MISBEHAVIOURS: Mapping[str, str] = MappingProxyType({name: line for name, (line, _) in _TABLE.items()})
"""Every misbehaviour that a `DemoPacs` knows, by name, with one line on what it does."""


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One misbehaviour, with its knobs; None leaves a knob as the name has it.

    Parameters
    ----------
    name
        One of `MISBEHAVIOURS`.
    times
        How often it happens; afterwards the archive is well again. None is always.
    after
        How many sub-operations (or answers) go well before it breaks.
    count
        How many instances are failed, left out, late or counted as warnings; how many answers come at most.
    seconds
        The `seconds` of its description.
    status
        Another final status.

    Examples
    --------
    >>> Misbehaviour("silence", after=3, times=1)
    Misbehaviour(name='silence', times=1, after=3, count=None, seconds=None, status=None)
    """

    name: str
    times: int | None = None
    after: int | None = None
    count: int | None = None
    seconds: float | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        if self.name not in _TABLE:
            raise ValueError(f"misbehaviour {self.name!r} is unknown; one of {', '.join(_TABLE)}")
        script = _TABLE[self.name][1]
        counts = (script.fail, script.skip, script.warn, script.late, script.each > 1, script.counts_off, script.most)
        turns = {
            "after": script.service != "associate" and script.breaks not in ("", "fail"),
            "count": any(counts),
            "seconds": script.seconds > 0,
            "status": script.status is not None or (script.service == "move" and not script.breaks),
        }
        for knob, does in turns.items():
            if getattr(self, knob) is not None and not does:
                raise ValueError(f"misbehaviour {self.name!r} has no {knob}; leave it out")

    @property
    def script(self) -> Script:
        """What it does."""
        script = _TABLE[self.name][1]
        if self.after is not None:
            script = replace(script, after=self.after)
        if self.seconds is not None:
            script = replace(script, seconds=self.seconds)
        if self.status is not None:
            script = replace(script, status=self.status)
        if self.count is not None:
            script = replace(
                script,
                fail=self.count if script.fail else 0,
                skip=self.count if script.skip else 0,
                warn=self.count if script.warn else 0,
                late=self.count if script.late else 0,
                each=self.count if script.each > 1 else 1,
                most=self.count if script.most else 0,
                counts_off=None if script.counts_off is None else self.count * (1 if script.counts_off > 0 else -1),
            )
        return script


MisbehaviourLike = str | Misbehaviour | Iterable[str | Misbehaviour]
"""A name, a `Misbehaviour`, or several of them."""


_EXCHANGES = ("move", "find")


class Misbehaviours(UserDict[str, Any]):
    """Misbehaviours by accession number; `"*"` stands for every study. May be changed while the archive runs."""

    def __init__(self, of: Mapping[str, MisbehaviourLike] | None = None, services: Iterable[str] = _EXCHANGES) -> None:
        self._services = tuple(services)
        self._lock = threading.Lock()
        self._left: dict[tuple[str, int], int] = {}
        super().__init__(of or {})

    def __setitem__(self, accession: str, value: MisbehaviourLike) -> None:
        parts = (value,) if isinstance(value, str | Misbehaviour) else tuple(value)
        several = tuple(Misbehaviour(part) if isinstance(part, str) else part for part in parts)
        for item in several:
            if item.script.service not in self._services:
                raise ValueError(f"misbehaviour {item.name!r} has no place here; only those of {self._services} have")
        with self._lock:
            for position, item in enumerate(several):
                self._left[accession, position] = -1 if item.times is None else item.times
            super().__setitem__(accession, several)

    def take(self, accessions: Iterable[str], service: str) -> Script:
        """Return what to do in one exchange, and count it; good manners if nothing is set."""
        with self._lock:
            for accession in (*dict.fromkeys(accessions), "*"):
                for position, item in enumerate(self.data.get(accession, ())):
                    script: Script = item.script
                    if script.service == service and self._left[accession, position]:
                        self._left[accession, position] -= 1
                        return script
        return Script()
