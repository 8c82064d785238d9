"""What is known of each archive: data of `test_stacks.py`, which holds it, and of a table in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ARCHIVES", "Known", "Way"]

Way = Literal["move", "get"]


@dataclass(frozen=True, slots=True)
class Known:
    """One archive."""

    name: str
    software: str  # what it is, and where it is from
    part: str = ""  # of what `install.py` brings; empty for what the system has
    is_newer: bool = False  # of a newer Debian suite, and not run unless asked for
    secures: frozenset[Way] = frozenset()  # the ways on which it speaks TLS
    loses: bool = False  # of some 1,000 images one, by a fault of its own: what is lost is asked for again
    locks: bool = True  # what it says of the levels below a study adds up
    alters: str = ""  # how it writes each data set anew; the pixels stay
    learned: Mapping[str, object] = field(default_factory=dict)  # the quirks that the doctor finds out
    notes: tuple[str, ...] = ()  # what to know


_BOTH: frozenset[Way] = frozenset({"move", "get"})
_ONE_SYNTAX = (
    "It converts nothing, and uses one presentation context for each SOP Class. Started with the option for the "
    "transfer syntax of its compressed images (here `-xv`; `-xs`, `-xw` and others), it offers that one and "
    "uncompressed ones in it: our receiver chooses one, and what is not in it is asked for by a second C-MOVE, for "
    "which it chooses the other. Without that option it offers uncompressed ones only, and what is compressed comes by "
    "C-GET alone (`via='auto'` turns to it): the row says so."
)
_GET_OPTION = (
    "By C-GET it uses the first transfer syntax that we propose, and the compressed images come by a second C-GET, if "
    "it accepts theirs (`+xv` and the like)."
)
_NO_CANCEL = "It ignores a C-CANCEL: `Quirks(cancels=False)`."

ARCHIVES = (
    Known("DCMTK", "dcmqrscp of DCMTK 3.6.7 (Debian 12)", notes=(_ONE_SYNTAX, _GET_OPTION)),
    Known(
        "DCMTK-3.7",
        "dcmqrscp of DCMTK 3.7.0 (Debian sid)",
        "sid",
        is_newer=True,
        secures=_BOTH,
        notes=(_ONE_SYNTAX, _GET_OPTION),
    ),
    Known(
        "Orthanc",
        "Orthanc 1.10.1 (Debian 12)",
        secures=_BOTH,
        notes=(
            "Whatever is wrong, an unknown destination or study too, ends with 0xC000 and zero counters.",
            "With `SynchronousCMove: false`, as it may be set up, it answers before it sends.",
        ),
    ),
    Known(
        "Orthanc-1.13",
        "Orthanc 1.13.0 (Debian sid)",
        "sid",
        is_newer=True,
        secures=_BOTH,
        notes=(
            "By C-MOVE it keeps the association of the first image for all of a study. If that one is uncompressed and "
            "another one is not, it tries to decompress it, and ends with 0xC000 where it cannot: the rest is asked "
            "for by class, and comes over associations of its own. By C-GET all come at once.",
        ),
    ),
    Known(
        "pynetdicom",
        "qrscp of pynetdicom 3.0.4",
        "python",
        secures=_BOTH,
        loses=True,
        learned={"lists": False},
        notes=(
            "TLS is not among its options: here a few lines start it with contexts of its library.",
            "It answers a C-FIND with one match for each image, and refuses lists of UIDs: `Quirks(lists=False)`.",
            "A destination that is down is 0xA801 too, as if it were unknown.",
            "Now and then it takes its own association with a destination for closed, and an image is failed or a "
            "C-MOVE without an end: `retry` brings what is missing.",
        ),
    ),
    Known(
        "dcm4che",
        "dcm4che 3.3.7, its network stack",
        "dcm4che",
        secures=_BOTH,
        notes=("It would serve several C-MOVEs side by side on one association; it is asked for one at a time.",),
    ),
    Known(
        "dcmjs-dimse",
        "dcmjs-dimse 0.3.3, on Node.js",
        "dcmjs",
        secures=_BOTH,
        alters="implicit VR, UTF-8, other fragments",
        notes=(_NO_CANCEL, "Its pending responses come all at the end, so nothing is counted until then."),
    ),
    Known(
        "tiny-pacs",
        "tiny-pacs 0.4.1, on pynetdicom2",
        "python",
        secures=frozenset({"get"}),
        locks=False,
        notes=(
            "It listens by TLS, and calls a destination in plain only.",
            "Where several match, it answers one of them, so many times or with the counts of all: `find` asks in "
            "parts by StudyDate or warns, and a row that several studies match fails and says so. Ask for one study at "
            "a time, such as by its accession number. A lock by study says that it is `cut-short`.",
            "A list of UIDs finds and moves nothing, and ends with 0x0000: `Quirks(lists=False)`.",
            "It takes images over one association at a time only.",
        ),
    ),
    Known(
        "pydcm",
        "pydcm 0.5.0, an engine in C++",
        "python",
        learned={"lists": False},
        notes=(
            _NO_CANCEL,
            "By C-GET it uses the first presentation context of a SOP Class, whatever its transfer syntax: compressed "
            "images come under a wrong label, are refused with the reason, and asked for once more, in the transfer "
            "syntax that they have shown to be in.",
            "It loses UIDs of a list: `Quirks(lists=False)`.",
            "It sends no pending responses, and an unknown study is 0xA702.",
        ),
    ),
)
