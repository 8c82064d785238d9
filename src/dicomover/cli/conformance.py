"""The DICOM conformance statement, made from the tables that the code itself goes by. No I/O.

Its parts are in the order of PS3.2 Annex N: tables that give the overview come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydicom.charset import python_encoding

from dicomover import __version__
from dicomover.attributes.charset import read_character_sets
from dicomover.attributes.registry import REGISTERED
from dicomover.dicomfile import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomover.identifier import Level
from dicomover.node import Timeouts
from dicomover.outcome import CODES, Counters, Status, describe, judge
from dicomover.policy.retry import Tried, classify
from dicomover.query.answers import returned_keys
from dicomover.query.classes import MOST_PAIRS, pair_up
from dicomover.receiver.scp import statuses
from dicomover.receiver.scp.contexts import is_storage, is_supported_transfer_syntax, name_of
from dicomover.receiver.settings import Limits, ReceiverSettings
from dicomover.wire.connection import MAX_PDU
from dicomover.wire.services import ECHO, FIND, GET, RETRIEVE, SERVICES, WITHOUT_BULK, propose_contexts

__all__ = [
    "ACTIVITIES",
    "CALLING",
    "STORED",
    "make_statement",
    "storage_classes",
    "transfer_syntaxes",
]

ACTIVITIES = {
    "echo": ECHO,
    "find": FIND,
    "move": RETRIEVE,
    "move, via C-GET": FIND | GET,
    "move, headers only via C-GET": FIND | GET | {WITHOUT_BULK},
}
"""Which services each activity proposes on its association."""

CALLING = {
    "maximum length of a P-DATA-TF PDU": f"{MAX_PDU:,} bytes",
    "application context": "1.2.840.10008.3.1.1.1",
    "implementation class UID": IMPLEMENTATION_CLASS_UID,
    "implementation version name": IMPLEMENTATION_VERSION_NAME,
}
"""What every association request of ours says."""

STORED = {
    statuses.SUCCESS: "the file is whole and has its name",
    statuses.PROCESSING_FAILURE: "it could not be written",
    statuses.DUPLICATE_INSTANCE: "other bytes lie under its SOP Instance UID, and those are not to be replaced",
    statuses.NOT_AUTHORISED: "nobody has asked for it",
    statuses.OUT_OF_RESOURCES: "the disk is full, or would be",
    statuses.DOES_NOT_MATCH: "the command and the data set do not name the same instance",
    statuses.CANNOT_UNDERSTAND: "its data set is cut short or broken, names its patient or a UID twice, or has other "
    "pixels than its transfer syntax says",
    0x0211: "another DIMSE service than C-STORE and C-ECHO",
}
"""What each status says with which our Storage SCP answers."""

_TRIED = {"never": "not tried again", "once": "tried once more", "transient": "tried again, after growing pauses"}


_GROUPS = ("data", "images", "frames")  # from the one with the fewest transfer syntaxes on


def make_statement() -> str:
    """Return the statement as Markdown, without its title.

    Examples
    --------
    >>> print(make_statement().splitlines()[0])
    ## 1. Overview
    """
    return "\n\n".join([*_overview(), *_introduction(), *_model(), *_services(), *_details(), *_security(), *_annex()])


def storage_classes() -> list[str]:
    """Return the storage SOP Classes of PS3.6 that our Storage SCP accepts, the retired ones among them."""
    return [uid for uid in REGISTERED if is_storage(uid)]


def transfer_syntaxes() -> list[str]:
    """Return the transfer syntaxes of PS3.6 in which our Storage SCP files what comes."""
    known = (uid for uid, entry in REGISTERED.items() if entry[1] == "Transfer Syntax")
    return [uid for uid in known if is_supported_transfer_syntax(uid)]


def _transfer_groups() -> dict[str, tuple[str, ...]]:
    """Return the transfer syntaxes in which a C-GET asks for the storage SOP Classes of each group."""
    every = sorted({_asked_in(uid) for uid in storage_classes()}, key=len)
    return dict(zip(_GROUPS, every, strict=True))


def _asked_in(uid: str) -> tuple[str, ...]:
    return tuple(syntax for _, syntax in pair_up([uid]))


# --- the parts


def _overview() -> Iterator[str]:
    yield "## 1. Overview"
    yield (
        f"dicomover {__version__} retrieves composite instances from an archive, by requests that come from a table. "
        "It asks as an SCU of Query/Retrieve, and receives, if it is to, as an SCP of Storage. It creates and changes "
        "no instances."
    )
    yield "### Network services"
    services = [(SERVICES[uid], uid, "yes", "yes" if uid in ECHO else "no") for uid in SERVICES if uid in _asked()]
    yield _table(["service", "SOP Class UID", "SCU", "SCP"], [*services, ("C-STORE", "see the annex", "no", "yes")])
    yield "C-STORE is served on associations that we accept, and in a C-GET on one that we request."
    yield "### Media services"
    yield "None. What is received is filed as PS3.10 files; no DICOMDIR is made."
    yield "### Transfer syntaxes of what is received"
    yield _table(["transfer syntax", "UID"], ((name_of(uid), uid) for uid in transfer_syntaxes()))
    yield (
        "Instances are filed as they come: nothing is transcoded. Of what a context offers the first is accepted that "
        "can be filed, Deflated and Explicit VR Big Endian only where nothing else is offered; `accept=` chooses "
        "otherwise."
    )
    yield "### Security"
    yield _table(
        ["what", "supported"],
        [
            ("TLS", "1.2 and 1.3, when asking and when receiving, with or without a certificate of the caller"),
            ("user identity", "types 1, 2, 4 and 5, when asking; over TLS unless it is said otherwise"),
            ("audit messages", "no"),
            ("digital signatures", "kept as they are"),
        ],
    )


def _introduction() -> Iterator[str]:
    yield "## 2. Introduction"
    yield (
        "For those who connect dicomover to an archive. It is made from the program's own tables, and a test holds it "
        "against what goes over the network. That two products conform does not show that they work together: "
        "`dicomover doctor` tries it. Terms are those of PS3.1 to PS3.8."
    )


def _model() -> Iterator[str]:
    yield "## 3. Implementation model"
    yield (
        "There are two Application Entities, with one AE title (MOVESCU by default). The first asks: it verifies an "
        "archive (C-ECHO), looks up what requests come to (C-FIND) and has it moved (C-MOVE, or C-GET by `via=`). The "
        "second receives what was asked for, if the destination is not a third party; for C-MOVEs it listens while "
        "somebody wants to receive, on TCP port 11112 unless another one is said."
    )
    yield (
        "Before a C-MOVE or C-GET is sent, the receiver is told which studies, series and instances may come. One that "
        "fails in a way that may pass is sent again, with pauses; see 4.2. On an interrupt a C-CANCEL is sent."
    )


def _services() -> Iterator[str]:
    yield "## 4. Services"
    yield "### 4.1 Query (C-FIND)"
    yield (
        "Study Root is asked unless the request has a PatientID or the archive offers Patient Root alone. Queries are "
        "hierarchical. Matching is by single value, list of UIDs, wildcard, range and universal; answers are filtered "
        "again here. Any attribute can be a key or be asked for. These are always asked for:"
    )
    yield _table(
        ["level", "unique key", "asked for"],
        ((str(level), level.unique_key, ", ".join(returned_keys(level, {}, []))) for level in Level),
    )
    yield _table(
        ["status of C-FIND", "what is done"],
        [
            ("0xFF00, 0xFF01", "the answer is taken"),
            ("0x0000", "the answers are complete, unless their number looks like a cap; then it is asked in parts"),
            ("0xFE00 without a C-CANCEL, 0xA7xx, 0xBxxx", "it is asked in parts, by StudyDate; else an error"),
            ("0xCxxx, an aborted association", "the same, where the keys have a range of StudyDate"),
            ("any other", "an error: a refusal is never taken for an empty answer"),
        ],
    )
    yield "### 4.2 Retrieve (C-MOVE, C-GET)"
    yield (
        "The identifier has the Query/Retrieve Level and unique keys, and nothing else; at level IMAGE it may name a "
        "list of UIDs. Priority is medium. What became of a request is told from the final status, the counters, and "
        "what arrived:"
    )
    yield _table(["final status of C-MOVE", "nothing moved", "something moved", "and then"], map(_outcome, _ranges()))
    yield (
        "The same holds for a C-GET, which has no Move Destination and never ends with 0xA801. A success that moved "
        "less than C-FIND promised is `partial`. An association that is lost is `lost`, and tried again on another one."
    )
    yield "### 4.3 Storage (C-STORE)"
    yield (
        "An instance is answered when its file is whole. Patient and UIDs are read from the data set; nothing in it is "
        "changed. Without a list of who may ask (`dicomover receive`) every instance is taken."
    )
    yield _table(["status", "when"], ((f"0x{code:04X}", words) for code, words in STORED.items()))


def _details() -> Iterator[str]:
    settings, limits, waits = ReceiverSettings(folder="-", ae_title="-"), Limits(), Timeouts()
    yield "## 5. Communication details"
    yield "### 5.1 Associations that we request"
    yield _table(
        ["parameter", "value"],
        [
            *CALLING.items(),
            ("associations at a time", "2 by default (`associations=`), each for many requests"),
            ("outstanding operations", "1: no asynchronous operations window is negotiated"),
            ("SOP Class extended negotiation", "none: queries and retrievals are hierarchical"),
            ("user identity", "if the node has one: a type of 1, 2, 4 or 5"),
            ("TCP connection", f"within {waits.connect:g} s"),
            ("answer to a request or a release", f"within {waits.acse:g} s"),
            ("without a response and an arrival", f"{waits.stall:g} s, then it is lost"),
        ],
    )
    for activity, wanted in ACTIVITIES.items():
        yield f"Presentation contexts for `{activity}`:"
        yield _table(
            ["id", "SOP Class", "transfer syntaxes", "role"],
            (
                (
                    context.id,
                    f"{SERVICES[context.abstract_syntax]}, {context.abstract_syntax}",
                    ", ".join(f"{name_of(uid)} ({uid})" for uid in context.transfer_syntaxes),
                    "SCU",
                )
                for context in propose_contexts(wanted)
            ),
        )
    yield (
        "The images of a C-GET come on a further association: after the two contexts of C-GET there is one for each "
        f"pair of a storage SOP Class and a transfer syntax, {MOST_PAIRS} at most; what does not fit is asked for on "
        "another one. For a C-GET without bulk data its context stands in the place of those two, no deflated transfer "
        "syntax is proposed, and the identifier has the level IMAGE and SOP Instance UIDs alone. "
        "The SOP Classes are those that C-FIND names, or that go with a modality; the annex has the group "
        "of each. The role of the SCP is proposed for each (SCU 0, SCP 1), or both where a node is said to want that:"
    )
    yield _table(
        ["group", "transfer syntaxes"],
        ((group, ", ".join(f"{name_of(uid)} ({uid})" for uid in uids)) for group, uids in _transfer_groups().items()),
    )
    yield "### 5.2 Associations that we accept"
    yield _table(
        ["parameter", "value"],
        [
            ("maximum length of a P-DATA-TF PDU", f"{settings.max_pdu:,} bytes"),
            ("associations at a time", f"{settings.max_associations}"),
            ("called AE title", "ours, exactly"),
            ("calling AE title, address", "anybody's, unless some are named"),
            ("association request", f"64 KiB at most, complete within {limits.opening:g} s"),
            ("between two messages", f"{limits.idle:g} s at most"),
            ("one message", f"{limits.message:g} s at most, unless it is an image that was asked for and comes"),
        ],
    )
    yield _table(
        ["abstract syntax", "transfer syntaxes", "role"],
        [
            (f"Verification, {next(iter(ECHO))}", "any of those in the overview", "SCP"),
            ("the storage SOP Classes of the annex", "any of those in the overview", "SCP"),
            ("private ones, and what is newer than this statement below 1.2.840.10008.5.1.4.1.1", "the same", "SCP"),
        ],
    )
    yield _table(
        ["A-ASSOCIATE-RJ", "when"],
        [
            ("1/1/7 called AE title not recognised", "it is not ours"),
            ("1/1/3 calling AE title not recognised", "some are named, and it is none of them"),
            ("2/3/2 local limit exceeded", "there are as many associations as there may be"),
        ],
    )
    yield "### 5.3 Character sets"
    yield (
        "Identifiers are in the default repertoire, or in ISO_IR 192 where that does not do. Answers and instances are "
        "read in these, also where an archive names them in other spellings; what names none, or a wrong one, is read "
        f"as UTF-8 if it can be that, else as ISO_IR 100: {', '.join(_character_sets())}."
    )


def _security() -> Iterator[str]:
    yield "## 6. Security"
    yield (
        "**TLS.** Versions 1.2 and 1.3 with the cipher suites of BCP 195 (PS3.15 sections B.12 and B.13); older "
        "versions are refused. Of whom we call, the certificate is verified, and the name in it; nothing switches that "
        "off. A certificate of ours is shown where there is one. When receiving, certificates of callers are asked for "
        "and verified where an authority for them is named."
    )
    yield (
        "**User identity.** Types 1 (user), 2 (user and passcode), 4 (SAML) and 5 (JWT) are sent, a positive response "
        "is asked for if wanted; a server's response is not needed. Secrets are read when an association begins, and "
        "are not kept. As an acceptor identities are not looked at."
    )
    yield (
        "**Who may send.** Instances are taken only if they belong to what was asked for, of the same patient; AE "
        "titles and addresses can be named besides. Files are for their owner alone by default."
    )


def _annex() -> Iterator[str]:
    yield "## 7. Annex: storage SOP Classes"
    retired = {uid for uid, entry in REGISTERED.items() if entry[3]}
    group_of = {uids: group for group, uids in _transfer_groups().items()}
    rows = (
        (name_of(uid), uid, group_of[_asked_in(uid)], "retired" if uid in retired else "") for uid in storage_classes()
    )
    yield _table(["SOP Class", "UID", "group in a C-GET", ""], rows)


# --- behind them


def _asked() -> frozenset[str]:
    """Return the SOP Classes that any activity proposes."""
    return frozenset().union(*ACTIVITIES.values())


def _ranges() -> list[tuple[str, int]]:
    """Return the final statuses of a C-MOVE that are told apart: how each is written, and one that stands for it."""
    named = [(describe(code), code) for code in CODES]
    return [*named, ("0xA7xx, others of them", 0xA7FE), ("0xCxxx (unable to process)", 0xC001), ("any other", 0x0999)]


def _outcome(named: tuple[str, int]) -> Sequence[Any]:
    words, code = named
    none, some = (judge(code, Counters(completed=moved, failed=0)) for moved in (0, 1))
    again = Status.FAILURE if none not in (Status.EMPTY, Status.CANCELLED) else none
    return words, f"`{none}`", f"`{some}`", _TRIED[classify(Tried(again, code))]


def _character_sets() -> list[str]:
    return [term for term in python_encoding if term.startswith("ISO") and read_character_sets(term.encode())] + [
        term for term in python_encoding if term.startswith("GB")
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
