"""What happens while a batch runs, as frozen values. Times are `time.monotonic()` seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dicomover.outcome import Counters, Status

__all__ = [
    "MOST_SIGNS",
    "Admission",
    "Arrival",
    "BatchEnded",
    "BatchStarted",
    "Event",
    "InstanceReceived",
    "MoveProgressed",
    "MoveStarted",
    "Noted",
    "Offer",
    "Refusal",
    "Refused",
    "RequestDeferred",
    "RequestEnded",
    "RequestStarted",
    "is_sign",
]

MOST_SIGNS = 1 << 18
"""Instances of one C-MOVE that are a sign of life, where nobody knows how many there are."""

_TIMES, _SPARE = 3, 16  # how often each of them is, and how often any beside


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The batch begins with this many requests."""

    at: float
    requests: int


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request (its position in the batch) is being worked on."""

    at: float
    request: int


@dataclass(frozen=True, slots=True)
class MoveStarted:
    """A C-MOVE is about to be sent, for the first time or again; one request may need several.

    `move` numbers the C-MOVEs of the batch; `request` sends it, others may wait for the same; `expected` is the number
    of instances that C-FIND promised.
    """

    at: float
    move: int
    request: int
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class MoveProgressed:
    """A response to a C-MOVE came; `counters` are the largest seen for it so far."""

    at: float
    move: int
    counters: Counters


@dataclass(frozen=True, slots=True)
class InstanceReceived:
    """An instance reached our disk; `move` is None if it could not be tied to one."""

    at: float
    move: int | None
    size: int


@dataclass(frozen=True, slots=True)
class RequestDeferred:
    """Nobody works on a request for now.

    `until` is when it is tried again; None if it waits for a C-MOVE that another request sends.
    """

    at: float
    request: int
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request has its verdict; `error` is the sentence of its row, without patient data.

    `moved` are the instances that are here, or that the archive counted, of so many `expected`; None if unknown.
    """

    at: float
    request: int
    status: Status
    error: str | None = None
    moved: int | None = None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a person watching should know, in one sentence without patient data.

    `until` is given if it is the reason to wait: until then it is no bad sign that nothing moves.
    """

    at: float
    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """Nothing more will happen."""

    at: float


Event = (
    BatchStarted
    | RequestStarted
    | MoveStarted
    | MoveProgressed
    | InstanceReceived
    | RequestDeferred
    | RequestEnded
    | Noted
    | BatchEnded
)


@dataclass(frozen=True, slots=True)
class Admission:
    """What one C-MOVE may bring."""

    move: int  # our number for the C-MOVE; `dismiss` takes it
    # an instance must be in each of them that is not empty; where all are empty nothing is let in
    patient_ids: frozenset[str] = field(default=frozenset(), repr=False)
    study_uids: frozenset[str] = frozenset()
    series_uids: frozenset[str] = frozenset()
    sop_uids: frozenset[str] = frozenset()
    # The studies that the archive lists for the patients: an instance of one of them is let in whatever its PatientID
    # says. Patients are merged, and archives add an issuer or write the ID in another case.
    patient_study_uids: frozenset[str] = frozenset()
    archive: str = ""  # the address at which the archive answers us: who calls from there has a place before strangers
    headers_only: bool = False  # whether the pixels are to be thrown away
    most: int = MOST_SIGNS  # instances of it that are a sign of life
    # Whether our receiver is to choose the other kind of transfer syntax than usually, compressed or not, where the
    # archive offers both in one presentation context; the latest admission decides.
    other_kind: bool = False

    def lets_in(self, patient_id: str, study: str, series: str, sop: str) -> bool:
        """Tell whether an instance with these values is meant; what is empty here counts as any."""
        return (
            (not self.sop_uids or sop in self.sop_uids)
            and (not self.series_uids or series in self.series_uids)
            and (not self.study_uids or study in self.study_uids)
            and (not self.patient_ids or patient_id in self.patient_ids or study in self.patient_study_uids)
        )


def is_sign(is_new: bool, came: int, here: int, most: int) -> bool:
    """Tell whether what arrives shows that an archive is at work, of a C-MOVE for which so many came, and are here.

    What came already does not, nor what goes on for ever. But some archives send all of it twice, and what two C-MOVEs
    ask for comes for each of them.

    Examples
    --------
    >>> is_sign(True, 100, 1, 1000), is_sign(False, 10, 5, 1000), is_sign(False, 100, 1, 1000)
    (True, True, False)
    """
    return (is_new and here < most) or came <= _TIMES * min(here, most) + _SPARE


class Offer(StrEnum):
    """In which transfer syntaxes the archive offers the images of a SOP Class to our Storage SCP."""

    UNCOMPRESSED = "uncompressed only"
    EITHER_KIND = "either kind"  # in one presentation context, of which it sends the one that is chosen
    OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that our Storage SCP has taken and that is safe on disk."""

    path: Path  # where it lies
    # as in its data set; empty if the data set has none
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str  # as in its data set; for tying only, never shown
    transfer_syntax_uid: str  # as negotiated
    size: int  # bytes of the data set
    calling_ae_title: str  # the AE title that sent it
    # which C-MOVE it belongs to, if the peer says so (0000,1030 and 0000,1031)
    originator_ae_title: str = ""
    originator_message_id: int | None = None
    duplicate: bool = False  # True if the same bytes were there already
    # True if another data set under the same SOP Instance UID was there already; this one lies beside it
    conflict: bool = False
    at: float = 0.0  # `time.monotonic()` when it was safe
    # of the bytes of the data set, without the file meta information; empty if checksums were not asked for
    sha256: str = ""
    requests: tuple[object, ...] = ()  # the labels of the rows that asked for it; empty where nobody has looked that up
    peer: str = ""  # the address that it came from
    headers_only: bool = False  # True if its pixels were left out, as was asked for

    def __repr__(self) -> str:  # no path: the folder may be named after the patient
        from pydicom.uid import UID

        odd = [name for name in ("duplicate", "conflict", "headers_only") if getattr(self, name)]
        return f"<Arrival: {', '.join([f'{self.size:,} bytes', UID(self.transfer_syntax_uid).name, *odd])}>"


class Refused(StrEnum):
    """What our Storage SCP has refused, the smallest thing first."""

    INSTANCE = "instance"  # by a C-STORE status
    CONTEXT = "context"  # one presentation context of an association that goes on
    ASSOCIATION = "association"  # rejected, or aborted
    CONNECTION = "connection"  # before it was an association: a stranger, or another protocol
    EVERYTHING = "everything"  # the receiver has ended


@dataclass(frozen=True, slots=True)
class Refusal:
    """Our Storage SCP refused something, or could not file it."""

    at: float  # `time.monotonic()`
    why: str  # what was found, in words that go on a sentence such as "we refused it: ...". No patient data.
    # the C-STORE status that we answered (0x0124, 0xA700, 0xA900, 0xC000); None for all that is no instance
    status: int | None = None
    calling_ae_title: str = ""  # of the peer; empty where it has not said, or not said properly
    # of the instance, as far as they could be read; they may be no UIDs
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    what: Refused = Refused.INSTANCE  # what was refused
    mend: str = ""  # what to do about it, and who can; empty where nobody knows
    peer: str = ""  # the address that it came from
    # which C-MOVE the instance belongs to, if the peer says so
    originator_ae_title: str = ""
    originator_message_id: int | None = None
    count: int = 1  # how many like it: of very many that nothing ties to a request one is told, with their number
    transfer_syntax_uid: str = ""  # that its pixel data are in, if they came under another one and show it
