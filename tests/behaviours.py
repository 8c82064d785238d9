"""What peers do and the row that each must end in: data of `system/test_behaviours.py` and of a table in the docs.

Every study has two series of three instances. `here` is the row when we receive ourselves, `there` when a third
party (WORKSTATION) does; where a third party receives, only the archive's own words tell what moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["BEHAVIOURS", "INSTANCES", "Behaviour", "Row"]

INSTANCES = 6


@dataclass(frozen=True, slots=True)
class Row:
    """What the summary has to say.

    Attributes
    ----------
    status, status_code
        As in the summary; an empty code stands for `<NA>`.
    completed, received
        As in the summary; None stands for `<NA>`.
    error
        A fragment of the sentence; empty if there must be none.
    raises
        The exception, where the archive cannot be reached at all and there is no row.
    """

    status: str = ""
    status_code: str = ""
    completed: int | None = None
    received: int | None = None
    error: str = ""
    raises: str = ""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that a peer does, by its name in `dicomover.testing.MISBEHAVIOURS`.

    Attributes
    ----------
    why
        Why the row must be this one.
    knobs
        For the `Misbehaviour`.
    stall
        The stall deadline, in seconds.
    cancelled
        True if the batch is cancelled once the first instance has arrived.
    obstacle
        True if the destination refuses the second series.
    believed
        True if only the destination could tell that the archive lies: where a third party receives, the row says
        success although something is missing there.
    at_least
        True if more may have arrived than the row here says, before the archive saw that we had left.
    also
        What else the archive does at the same time.
    letters
        True if the accession number has a letter that is not ASCII.
    patient
        True if the patient is asked for, at level PATIENT.
    changed
        True if what arrives has other bytes, or other UIDs, than the archive holds.
    """

    name: str
    why: str
    here: Row
    there: Row
    knobs: Mapping[str, float] = field(default_factory=dict)
    stall: float = 1.0
    cancelled: bool = False
    obstacle: bool = False
    believed: bool = False
    at_least: bool = False
    also: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    letters: bool = False
    patient: bool = False
    changed: bool = False


def _alike(name: str, why: str, status: str, code: str, completed: int | None, received: int | None, error: str = "",
           **how: object) -> Behaviour:  # fmt: skip
    row = Row(status, code, completed, None, error)
    return Behaviour(name, why, replace(row, received=received), row, **how)  # type: ignore[arg-type]


def _refused(name: str, code: str, error: str, why: str = "the archive refuses; nothing moved") -> Behaviour:
    return _alike(name, why, "failure", code, None, 0, error)


def _broken(name: str, why: str, error: str, **how: object) -> Behaviour:
    return _alike(name, why, "lost", "", 1, 1, error, **how)


def _unasked(name: str, why: str, status: str, code: str, error: str) -> Behaviour:
    return _alike(name, why, status, code, None, None, error)


def _unreachable(name: str, raises: str, error: str) -> Behaviour:
    row = Row(raises=raises, error=error)
    return Behaviour(name, "no association comes about, so nothing can be said about any row", row, row)


def _turned_away(name: str, why: str, *, there: bool = True) -> Behaviour:
    here = Row("failure", "0xA702", 0, 0, "we refused")
    reason = "what our receiver turns away is told in its words, and nobody else is blamed"
    elsewhere = Row("success", "0x0000", 6) if there else Row("failure", "0xA702", 0, None, "could not send to")
    return Behaviour(name, reason, replace(here, error=why), elsewhere, changed=True)


_ALL_MOVED = ("success", "0x0000", 6, 6)
_NOT_NEEDED = "an optional element that cannot be read takes nothing from the status"
_NUMBERS = "what the counters say goes before the final status"
_DISK = "everything is on our disk, which the archive's numbers cannot take back"
_DIED = "the association died: what is still on its way is unknown"

BEHAVIOURS = (
    # Finals that lie
    _alike("success-with-failures", _NUMBERS, "partial", "0x0000", 5, 5, "1 failed"),
    _alike("success-all-failed", _NUMBERS, "failure", "0x0000", 0, 0, "6 failed"),
    _alike("empty-success", "success that moved nothing is none", "empty", "0x0000", 0, 0, "moved nothing"),
    _alike(
        "empty-success-without-counters",
        "nothing shows that anything moved",
        *("empty", "0x0000", None, 0, "without any count"),
    ),
    Behaviour(
        "success-without-counters",
        "our disk shows that everything arrived; a third party shows nothing",
        Row("success", "0x0000", None, 6),
        Row("empty", "0x0000", None, None, "without any count"),
    ),
    Behaviour(
        "zero-counters-at-end",
        "the largest counters seen stand; our disk knows better",
        Row("success", "0x0000", 5, 6),
        Row("partial", "0x0000", 5, None, "5 of 6 moved"),
    ),
    _alike("takes-no-lists", "a study is named by one UID", *_ALL_MOVED),
    _alike("no-pending", "pending responses are optional", "success", "0x0000", 6, 6),
    Behaviour(
        "unable-after-sending",
        "a failure after everything arrived; the largest counters seen stand",
        Row("warning", "0xC000", 5, 6, "6 of 6 moved"),
        Row("partial", "0xC000", 5, None, "5 of 6 moved"),
    ),
    Behaviour(
        "claims-without-sending",
        "what arrived counts, not what is claimed",
        Row("empty", "0x0000", 6, 0, "nothing arrived here"),
        Row("success", "0x0000", 6),
        believed=True,
    ),
    Behaviour(
        "claims-some-without-sending",
        "what arrived counts, not what is claimed",
        Row("partial", "0x0000", 6, 5, "5 of 6 moved"),
        Row("success", "0x0000", 6),
        believed=True,
    ),
    _alike("success-with-warnings", _NUMBERS, "warning", "0x0000", 5, 6, "1 with a warning"),
    _alike("warnings", "everything moved, one with a warning", "warning", "0xB000", 5, 6, "1 with a warning"),
    _alike("some-failed", "as the Standard has it", "partial", "0xB000", 5, 5, "1 failed"),
    _alike("some-failed-without-list", "the list is optional", "partial", "0xB000", 5, 5, "1 failed"),
    _alike("some-failed-half-listed", "the list may be incomplete", "partial", "0xB000", 4, 4, "2 failed"),
    _alike(
        "stops-at-first-failure",
        "three had arrived before; the zeros at the end do not take them back",
        *("partial", "0xC000", 3, 3, "3 of 6 moved"),
        obstacle=True,
    ),
    _alike("final-twice", "the second one answers nothing", "success", "0x0000", 6, 6),
    Behaviour(
        "unknown-status",
        "a status that is in no table is no success; our disk shows that everything arrived",
        Row("warning", "0x1234", 6, 6, "does not define"),
        Row("partial", "0x1234", 6, None, "does not define"),
    ),
    # Refusals
    _alike("out-of-resources", "nothing could be sent", "failure", "0xA702", 0, 0, "could not send to"),
    _alike("out-of-resources-some", "some moved", "partial", "0xA702", 5, 5, "does send to"),
    _refused("busy", "0xA702", "out of resources"),
    _refused("cannot-count", "0xA701", "short of resources"),
    _refused("destination-unknown", "0xA801", "ask the archive's administrator to add the AE title"),
    _refused("identifier-mismatch", "0xA900", "these keys (0008,0050)"),
    _alike("unable", "it may mean anything", "failure", "0xC000", 0, 0, "is unknown to them or does not answer"),
    _refused("unable-with-comment", "0xC001", "unable to process"),
    _refused("processing-failure", "0x0110", "processing failure"),
    _refused("missing-attribute", "0x0120", "does not accept these keys"),
    _refused("sop-class-not-supported", "0x0122", "allow C-MOVE from our AE title"),
    _refused("not-authorized", "0x0124", "allow C-MOVE from our AE title"),
    _refused("duplicate-invocation", "0x0210", "duplicate invocation"),
    _refused("unrecognized-operation", "0x0211", "unrecognised operation"),
    _refused("mistyped-argument", "0x0212", "mistyped argument"),
    # What is sent, and when
    _alike("stragglers", "the last ones are waited for", "success", "0x0000", 6, 6),
    _alike("duplicate-stores", "an instance counts once", "success", "0x0000", 6, 6),
    Behaviour(
        "foreign-instance",
        "everything that was asked for moved; what else came is named",
        Row("success", "0x0000", 6, 6, "we refused 1 that came with it, not asked for"),
        Row("success", "0x0000", 6),
    ),
    Behaviour(
        "wrong-study",
        "nothing of what was asked for arrived",
        Row("failure", "0xA702", 0, 0, "something else than was asked for"),
        Row("success", "0x0000", 6),
        believed=True,
    ),
    _alike("slow", "slow is not wrong", "success", "0x0000", 6, 6, knobs={"seconds": 0.05}),
    _alike("slow-start", "an archive on tape takes its time", "success", "0x0000", 6, 6, knobs={"seconds": 0.3}),
    Behaviour(
        "sends-after-abort",
        "we gave it up, so it is lost, even if all of it arrives in the end",
        Row("lost", "", None, 6, "the stall timeout"),
        Row("lost", "", None, None, "the stall timeout"),
        knobs={"seconds": 0.5},
        stall=0.3,
    ),
    # Ends in the middle
    _broken("abort", _DIED, "the peer aborted the association"),
    _broken("close", _DIED, "the connection was closed"),
    _broken("release", _DIED, "the peer released the association"),
    _broken("silence", "nothing came for as long as we wait", "for 0.5 s (the stall timeout)", stall=0.5),
    _alike(
        "silence-at-once",
        "nothing came for as long as we wait",
        *("lost", "", None, 0, "for 0.5 s (the stall timeout)"),
        stall=0.5,
    ),
    _broken("silence-in-pdu", "half a response is none", "for 0.5 s (the stall timeout)", stall=0.5),
    _broken("abort-in-store", "half an image is none", "the peer aborted the association"),
    _broken("close-in-store", "half an image is none", "the connection was closed"),
    _broken("silence-in-store", "half an image is none", "for 0.5 s (the stall timeout)", stall=0.5),
    _broken("garbage", "what cannot be read ends the association", "a PDU of type 72"),
    _broken("broken-command", "what cannot be read ends the association", "a command set that cannot be read"),
    _alike(
        "endless-pending",
        "each pending response is a sign of life, so a person has to end it",
        *("cancelled", "0xFE00", 1, 1, "cancelled"),
        cancelled=True,
    ),
    _broken("restart", _DIED, "the connection was closed"),
    _alike("drops-association", "it had answered", "success", "0x0000", 6, 6),
    Behaviour(
        "wrong-message-id",
        "an answer to something else is none",
        Row("lost", "", None, 1, "the answer to another message"),
        Row("lost", "", None, None, "the answer to another message"),
        at_least=True,
    ),
    # C-CANCEL
    _alike(
        "ignores-cancel", "everything moved before the cancel took effect", "success", "0x0000", 6, 6, cancelled=True
    ),
    Behaviour(
        "cancelled-as-success",
        "it was cancelled and is not complete, whatever the final status claims",
        Row("cancelled", "0x0000", 1, 1, "cancelled, 1 of 6 moved"),
        Row("cancelled", "0x0000", 1, None, "cancelled, 1 of 6 moved"),
        cancelled=True,
    ),
    # C-FIND
    _unasked("find-refused", "a refusal is not an empty answer", "failure", "0xA700", "refused the C-FIND"),
    _unasked("find-mismatch", "a refusal is not an empty answer", "failure", "0xA900", "refused the C-FIND"),
    _unasked("find-unable", "a refusal is not an empty answer", "failure", "0xC001", "refused the C-FIND"),
    _unasked("find-no-match", "nobody has it", "not-found", "", "no study has these keys; check them"),
    _alike("find-ignores-keys", "answers are filtered here too", "success", "0x0000", 6, 6),
    _unasked(
        "find-omits-key", "answers that do not say cannot be trusted", "failure", "", "its answers cannot be trusted"
    ),
    _alike("find-omits-counts", "then the levels below are counted", "success", "0x0000", 6, 6),
    _alike("find-counts-more", "one that was promised did not come", "partial", "0x0000", 6, 6, "6 of 7 moved"),
    _alike("find-counts-less", "more than promised is everything", "success", "0x0000", 6, 6),
    _alike("find-takes-no-lists", "a study is named by one UID", *_ALL_MOVED),
    _alike("find-closes-on-lists", "a study is named by one UID", *_ALL_MOVED),
    _alike("find-duplicates", "a study that is named twice is one study", "success", "0x0000", 6, 6),
    _unasked("find-breaks", "half an answer is none", "failure", "0xC001", "refused the C-FIND"),
    replace(_unasked("find-hangs", "nothing came for as long as we wait", "lost", "", "lost during C-FIND"), stall=0.5),
    _unasked("find-aborts", "no answer came", "lost", "", "the peer aborted the association"),
    _unasked("find-closes", "no answer came", "lost", "", "the connection was closed"),
    _alike("find-capped", "one study is no more than it answers", "success", "0x0000", 6, 6),
    _alike("find-capped-cancelled", "one study is no more than it answers", "success", "0x0000", 6, 6),
    _alike("find-capped-closes", "one study is no more than it answers", "success", "0x0000", 6, 6),
    _alike("find-too-many", "one study is no more than it answers", "success", "0x0000", 6, 6),
    _alike("find-slow", "slow is not wrong", "success", "0x0000", 6, 6),
    # Associations
    _unreachable("associate-silence", "AssociationLost", "did not answer the association request within 0.5 s"),
    _unreachable("associate-abort", "AssociationLost", "aborted the association request"),
    _unreachable("associate-close", "AssociationLost", "the connection was closed"),
    _unreachable("associate-garbage", "ProtocolError", "a PDU of type 72"),
    _unreachable("associate-congestion", "AssociationRejected", "for now: Temporary congestion; try again later"),
    _unreachable("associate-no-reason", "AssociationRejected", "for good: No reason given"),
    _unasked("associate-no-context", "the service is not offered", "failure", "", "does not offer C-FIND"),
    # Details of responses
    *(
        _alike(name, "what is announced and what comes need not agree; the status and the counters do", *_ALL_MOVED)
        for name in ("pending-announces-identifier", "final-announces-identifier", "unannounced-identifier")
    ),
    _alike("responses-in-one-pdu", "where a PDU ends says nothing", *_ALL_MOVED),
    _refused("two-offending-elements", "0xA900", "does not accept these keys", _NOT_NEEDED),
    _refused("empty-offending-element", "0xA900", "does not accept these keys", _NOT_NEEDED),
    _refused("long-error-id", "0xA801", "ask the archive's administrator to add the AE title", _NOT_NEEDED),
    _refused("empty-error-id", "0x0110", "processing failure", _NOT_NEEDED),
    _alike("long-counters", "a number is a number, however long", *_ALL_MOVED),
    _alike("odd-counters", "a number is a number, however long", *_ALL_MOVED),
    Behaviour(
        "empty-counters",
        "what is empty was not said; our disk shows that everything arrived",
        Row("success", "0x0000", None, 6),
        Row("empty", "0x0000", None, None, "without any count"),
    ),
    *(
        _alike(name, "a list of UIDs is one under any VR", "partial", "0xB000", 5, 5, "1 failed")
        for name in ("failed-list-as-un", "failed-list-as-ob", "failed-list-very-long")
    ),
    # Counting
    Behaviour(
        "counters-wrap",
        "a counter of 16 bits cannot say more; C-FIND and our disk can",
        Row("partial", "0x0000", 65542, 6, "6 of 65542 moved"),
        Row("success", "0x0000", 65542),
        also={"find-counts-more": {"count": 65536}},
        believed=True,
    ),
    Behaviour(
        "counters-stop",
        "a counter of 16 bits cannot say more; C-FIND and our disk can",
        Row("partial", "0x0000", 65535, 6, "6 of 65542 moved"),
        Row("success", "0x0000", 65535),
        also={"find-counts-more": {"count": 65536}},
        believed=True,
    ),
    Behaviour(
        "sent-and-counted-twice",
        "complete is when all that was listed is here",
        Row("success", "0x0000", 7, 6),
        Row("success", "0x0000", 7),
    ),
    Behaviour(
        "sent-twice-with-other-bytes",
        "complete is when all that was listed is here; both are kept",
        Row("success", "0x0000", 7, 6, "both were kept"),
        Row("success", "0x0000", 7),
        changed=True,
    ),
    Behaviour(
        "sent-but-counted-as-failed",
        "another image may have come in the place of one that failed: only a list of the instances tells",
        Row("partial", "0xB000", 5, 6, "6 of 6 moved, 1 failed"),
        Row("partial", "0xB000", 5, None, "1 failed"),
    ),
    Behaviour(
        "one-uid-in-two-series",
        "complete is when all that was listed is here",
        Row("success", "0x0000", 6, 6, "in another series; all were kept"),
        Row("success", "0x0000", 6),
        changed=True,
    ),
    Behaviour(
        "destination-unknown-after-sending",
        "what arrived shows that the destination is known, whatever the status says",
        Row("warning", "0xA801", 5, 6, "6 of 6 moved"),
        Row("partial", "0xA801", 5, None, "5 of 6 moved"),
    ),
    # Details of C-FIND
    *(
        _alike(name, "what is announced and what comes need not agree", *_ALL_MOVED)
        for name in ("find-announces-nothing", "find-final-announces-identifier", "find-ends-with-a-match")
    ),
    _alike("find-responses-in-one-pdu", "where a PDU ends says nothing", *_ALL_MOVED),
    _unasked("find-two-offending-elements", _NOT_NEEDED, "failure", "0xA900", "refused the C-FIND"),
    _unasked("find-two-study-uids", "an answer must name one study", "failure", "", "StudyInstanceUID"),
    *(
        _alike(name, "a count that cannot be was not said", *_ALL_MOVED)
        for name in ("find-huge-count", "find-count-in-words", "find-count-below-zero")
    ),
    _unasked(
        "find-key-of-another-vr",
        "an answer that says another value does not match, which is told",
        *("not-found", "", "does not match the request"),
    ),
    _alike("find-very-deep", "what nobody asked for is not looked at", *_ALL_MOVED),
    *(
        replace(_alike(name, "an answer that matches by its bytes matches", *_ALL_MOVED), letters=True)
        for name in (
            "find-utf8-undeclared",
            "find-utf8-called-latin1",
            "find-latin1-undeclared",
            "find-latin1-called-utf8",
            "find-iso2022",
            "find-charset-unknown",
            "find-charset-misspelt",
        )
    ),
    # Details of what is sent to the destination
    *(
        _alike(name, "a detail that nobody needs ends no association", *_ALL_MOVED)
        for name in (
            "stores-with-padded-titles",
            "stores-under-an-odd-title",
            "stores-under-a-backslash",
            "stores-under-no-title",
            "stores-with-unknown-items",
            "stores-without-user-information",
            "stores-with-a-long-version",
            "stores-with-odd-contexts",
            "stores-with-an-even-context",
        )
    ),
    _turned_away("stores-to-another-title", "it calls 'movescu'"),
    _turned_away("stores-in-another-context", "application context", there=False),
    _turned_away("stores-by-another-protocol", "protocol version", there=False),
    *(
        replace(_alike(name, "it is taken where nothing else is offered", *_ALL_MOVED), changed=True)
        for name in ("stores-big-endian", "stores-deflated")
    ),
    Behaviour(
        "stores-in-one-context",
        "our receiver chooses the other kind for a second C-MOVE; a third party's choice stands",
        Row("success", "0x0000", 6, 6, "6 came by a C-MOVE of their own"),
        Row("failure", "0xA702", 0, None, "could not send to"),
    ),
    *(
        _alike(name, "what is uncompressed comes at once", *_ALL_MOVED)
        for name in ("stores-uncompressed-only", "stores-by-the-first")
    ),
    _turned_away("stores-a-private-syntax", "transfer syntax"),
    _turned_away("stores-in-long-pdus", "PDU", there=False),
    _turned_away("stores-by-tls", "TLS", there=False),
    _turned_away("stores-in-no-context", "context", there=False),
    _alike("stores-in-any-context", "every transfer syntax is accepted here", *_ALL_MOVED),
    _alike("response-in-store", "the responses to a C-MOVE go another way than the images", *_ALL_MOVED),
    *(
        replace(_alike(name, "the file has one file meta information, which is true", *_ALL_MOVED), changed=True)
        for name in ("stores-file-meta", "stores-untrue-file-meta")
    ),
    _turned_away("stores-whole-files", "could not be read"),
    _turned_away("stores-hidden-compression", "its pixel data are compressed"),
    _turned_away("stores-false-compression", "its pixel data are not compressed"),
    _turned_away("stores-cut-pixels", "the data set ends inside an element"),
    _turned_away("stores-noise", "could not be read"),
    _turned_away("stores-without-study", "it has no StudyInstanceUID"),
    Behaviour(
        "stores-merged-patient",
        "an image belongs to its study, and that it names another patient is told",
        Row(*_ALL_MOVED, "6 carry another PatientID than the archive names"),
        Row(*_ALL_MOVED[:3]),
        patient=True,
        changed=True,
    ),
    *(
        replace(_alike(name, "an image belongs to its study", *_ALL_MOVED), patient=True, changed=True)
        for name in ("stores-issuer", "stores-patient-in-lower-case")
    ),
    # Details of associations
    *(
        _alike(name, "a detail that nobody needs ends no association", *_ALL_MOVED)
        for name in (
            "associate-unknown-items",
            "associate-unknown-sub-items",
            "associate-without-user-information",
            "associate-long-maximum",
            "associate-long-version",
            "associate-padded-titles",
            "associate-refused-context",
            "associate-without-roles",
            "associate-refuses-roles",
            "associate-wants-both-roles",
            "associate-no-storage",
            "associate-unproposed-context",
        )
    ),
)
