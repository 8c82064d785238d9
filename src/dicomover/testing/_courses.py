"""What archives get wrong in the course of an exchange: finals that lie, refusals, ends in the middle."""

from __future__ import annotations

from dataclasses import replace

from dicomover.testing._script import Script

_ALL = 1 << 30


def _refusal(status: int, comment: bool = False) -> Script:
    return Script(refuse=True, status=status, counters="none", comment=comment)


def _broken(breaks: str, after: int = 1, seconds: float = 0.0) -> Script:
    return Script(breaks=breaks, after=after, seconds=seconds)


def _find(**how: object) -> Script:
    return replace(Script(service="find"), **how)  # type: ignore[arg-type]


COURSES: dict[str, tuple[str, Script]] = {
    # Finals that lie
    "success-with-failures": (
        "final 0x0000 although the last instance failed; only the counter tells",
        Script(status=0, fail=1),
    ),
    "success-all-failed": (
        "final 0x0000 although every instance failed; only the counter tells",
        Script(status=0, fail=_ALL),
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
    "claims-without-sending": ("every instance counts as completed, none is sent", Script(skip=_ALL)),
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
    "out-of-resources": ("0xA702, every instance failed and listed", Script(status=0xA702, fail=_ALL)),
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
    "takes-no-lists": (
        "a list of UIDs ends with 0x0000 and zero sub-operations, or with `status`; one UID is moved",
        Script(no_lists=True, status=0),
    ),
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
    "abort-in-store": ("A-ABORT in the middle of a data set that it stores", _broken("abort-in-store")),
    "close-in-store": (
        "the connection is closed in the middle of a data set that it stores",
        _broken("close-in-store"),
    ),
    "silence-in-store": ("half a data set that it stores, then nothing more ever", _broken("silence-in-store")),
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
    "find-takes-no-lists": (
        "C-FIND: nothing is found by a list of UIDs, or it is refused with `status`; one UID is found",
        _find(no_lists=True, status=0),
    ),
    "find-closes-on-lists": (
        "C-FIND: the connection is closed upon a list of UIDs",
        _find(no_lists=True, breaks="close"),
    ),
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
    "associate-no-storage": (
        "C-GET: accepted, but no presentation context of a storage SOP Class is",
        Script("associate", breaks="no-storage"),
    ),
    "associate-refuses-roles": (
        "C-GET: storage SOP Classes are accepted, but not the role that images are taken in",
        Script("associate", breaks="refuses-roles"),
    ),
    "associate-wants-both-roles": (
        "C-GET: storage SOP Classes are accepted only from one who proposes both roles for each",
        Script("associate", breaks="both-roles"),
    ),
}
"""By name: one line on what it does, and how."""
