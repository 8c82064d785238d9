"""Details that peers get wrong while the course of the exchange is right: each is reported from the field."""

from __future__ import annotations

import struct
from collections.abc import Callable

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)

from dicomover.testing import _twists as twists
from dicomover.testing._elements import IMPLICIT
from dicomover.testing._raw import BytesTwist, MessageTwist
from dicomover.testing._script import Script, Storing

_EXPLICIT = str(ExplicitVRLittleEndian)
_OFFENDING, _COMMENT_ID = 0x0901, 0x0903
_TWO_KEYS = struct.pack("<HHHH", 0x0020, 0x000D, 0x0020, 0x000E)
_ACCESSION, _PATIENT, _STUDY, _STUDY_COUNT = 0x00080050, 0x00100020, 0x0020000D, 0x00201208
_MANY = 1 << 16  # more than a counter of 16 bits can say
_HELLO = bytes.fromhex("16030100c4010000c00303") + bytes(190)  # the beginning of a TLS handshake
_DEEP = b"\x08\x00\x15\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000


def _response(twist: MessageTwist, **how: object) -> Script:
    return Script(response=twist, **how)  # type: ignore[arg-type]


def _answer(twist: MessageTwist) -> Script:
    return Script(service="find", response=twist)


def _promise(count: bytes) -> Script:
    return _answer(twists.put_answer("STUDY", _STUDY_COUNT, "IS", count))


def _stored(**how: object) -> Script:
    return Script(storing=Storing(**how))  # type: ignore[arg-type]


def _instance(tag: int, vr: str, change: Callable[[bytes], bytes | None]) -> Script:
    return _stored(instance=twists.put_into_data(tag, vr, change))


def _associate(twist: BytesTwist) -> Script:
    return Script("associate", acceptance=twist)


_CHARSETS = {  # what is said of the texts, how they are labelled, and how they are encoded
    "find-utf8-undeclared": ("UTF-8, without a SpecificCharacterSet", "", "utf-8"),
    "find-utf8-called-latin1": ("UTF-8, which is called ISO_IR 100", "ISO_IR 100", "utf-8"),
    "find-latin1-undeclared": ("ISO 8859-1, without a SpecificCharacterSet", "", "latin-1"),
    "find-latin1-called-utf8": ("ISO 8859-1, which is called UTF-8", "ISO_IR 192", "latin-1"),
    "find-iso2022": ("ISO 8859-1, with the SpecificCharacterSet of code extensions", "ISO 2022 IR 100", "latin-1"),
    "find-charset-unknown": ("UTF-8, the SpecificCharacterSet is one that nobody knows", "ISO_IR 999", "utf-8"),
    "find-charset-misspelt": ("UTF-8, the SpecificCharacterSet is `ISO-IR 192`", "ISO-IR 192", "utf-8"),
}

DETAILS: dict[str, tuple[str, Script]] = {
    # Responses
    "pending-announces-identifier": (
        "each pending response says that an identifier follows, and none does",
        _response(twists.announce_data),
    ),
    "final-announces-identifier": (
        "the final response says that an identifier follows, and none does",
        _response(twists.claim_data_at_the_end),
    ),
    "unannounced-identifier": (
        "each pending response says that no identifier follows, and one does",
        _response(twists.send_unannounced_data),
    ),
    "responses-in-one-pdu": ("all responses to a request come in one PDU", Script(together=True)),
    "two-offending-elements": (
        "0xA900 at once, with two Offending Elements",
        _response(twists.put_command(_OFFENDING, _TWO_KEYS), refuse=True, status=0xA900, counters="none"),
    ),
    "empty-offending-element": (
        "0xA900 at once, with an empty Offending Element",
        _response(twists.put_command(_OFFENDING, b""), refuse=True, status=0xA900, counters="none"),
    ),
    "long-error-id": (
        "0xA801 at once, with an ErrorID of 4 bytes",
        _response(twists.put_command(_COMMENT_ID, bytes(4)), refuse=True, status=0xA801, counters="none"),
    ),
    "empty-error-id": (
        "0x0110 at once, with an empty ErrorID",
        _response(twists.put_command(_COMMENT_ID, b""), refuse=True, status=0x0110, counters="none"),
    ),
    "long-counters": (
        "everything is sent, the counters are numbers of 4 bytes",
        _response(twists.change_counters(lambda value: value + b"\0\0")),
    ),
    "odd-counters": (
        "everything is sent, the counters have 3 bytes",
        _response(twists.change_counters(lambda value: value + b"\0")),
    ),
    "empty-counters": ("everything is sent, the counters are empty", _response(twists.change_counters(lambda _: b""))),
    "failed-list-as-un": (
        "the last instance fails, the list of failed instances has the VR UN",
        _response(twists.retype_failed_list("UN"), fail=1),
    ),
    "failed-list-as-ob": (
        "the last instance fails, the list of failed instances has the VR OB",
        _response(twists.retype_failed_list("OB"), fail=1),
    ),
    "failed-list-very-long": (
        "the last instance fails, the list names 10,000 instances in 300 KB, as UN",
        _response(twists.retype_failed_list("UN", 9999), fail=1),
    ),
    # Counting
    "counters-wrap": (
        "counts 65,536 instances more than are sent; the counters begin again after 65,535",
        Script(counts_from=_MANY, wraps=True),
    ),
    "counters-stop": (
        "counts 65,536 instances more than are sent; the counters stop at 65,535",
        Script(counts_from=_MANY),
    ),
    "sent-and-counted-twice": ("the first instance is sent twice, and counted twice", Script(again=1)),
    "sent-twice-with-other-bytes": (
        "the first instance is sent twice, with other bytes the second time, and counted twice",
        Script(again=1, storing=Storing(instance=twists.change_when_repeated)),
    ),
    "sent-but-counted-as-failed": (
        "everything is sent, the last instance is counted and listed as failed: 0xB000",
        Script(miscounted=1),
    ),
    "one-uid-in-two-series": ("one SOP Instance UID stands in both series", Script(one_uid=True)),
    "destination-unknown-after-sending": (
        "0xA801 with zero counters after everything was sent",
        Script(status=0xA801, counters="zero-at-end"),
    ),
    # C-FIND
    "find-announces-nothing": (
        "C-FIND: each match comes although its response says that none does",
        _answer(twists.send_unannounced_data),
    ),
    "find-final-announces-identifier": (
        "C-FIND: the final response says that an identifier follows, and none does",
        _answer(twists.claim_data_at_the_end),
    ),
    "find-ends-with-a-match": (
        "C-FIND: the match comes with the final status 0x0000, and another 0x0000 follows",
        _answer(twists.end_with_a_match),
    ),
    "find-responses-in-one-pdu": (
        "C-FIND: all responses to a request come in one PDU",
        Script(service="find", together=True),
    ),
    "find-two-offending-elements": (
        "C-FIND: 0xA900, with two Offending Elements",
        Script("find", refuse=True, status=0xA900, response=twists.put_command(_OFFENDING, _TWO_KEYS)),
    ),
    "find-two-study-uids": ("C-FIND: each match has two StudyInstanceUIDs", _answer(twists.double_study)),
    "find-huge-count": ("C-FIND: 99999999999999999999 instances are promised", _promise(b"99999999999999999999")),
    "find-count-in-words": ("C-FIND: the number of instances is a word", _promise(b"several")),
    "find-count-below-zero": ("C-FIND: -3 instances are promised", _promise(b"-3")),
    "find-key-of-another-vr": (
        "C-FIND: the key that was asked by comes back as a number of 3 bytes",
        _answer(twists.put_answer("STUDY", _ACCESSION, "US", b"abc")),
    ),
    "find-very-deep": (
        "C-FIND: a sequence of 3,000 levels stands in each match",
        _answer(twists.put_answer("STUDY", 0x00081115, "SQ", _DEEP)),
    ),
    **{
        name: (f"C-FIND: texts are in {said}", Script("find", charset=(label, codec)))
        for name, (said, label, codec) in _CHARSETS.items()
    },
    # What is sent to the destination: the association
    "stores-with-padded-titles": (
        "AE titles are padded with NUL in the association to the destination",
        _stored(request=twists.pad_titles),
    ),
    "stores-under-an-odd-title": (
        "the calling AE title is not ASCII in the association to the destination",
        _stored(request=twists.put_title(b"\xc4RCHIV")),
    ),
    "stores-under-a-backslash": (
        "the calling AE title has a backslash in the association to the destination",
        _stored(request=twists.put_title(b"AR\\CH")),
    ),
    "stores-under-no-title": (
        "the calling AE title is blank in the association to the destination",
        _stored(request=twists.put_title(b"")),
    ),
    "stores-with-unknown-items": (
        "items of unknown types stand in the association request to the destination",
        _stored(request=lambda raw: twists.add_unknown_sub_items(twists.add_unknown_items(raw))),
    ),
    "stores-without-user-information": (
        "the association request to the destination has no user information",
        _stored(request=twists.drop_user_information),
    ),
    "stores-with-a-long-version": (
        "the implementation version name is too long, and not ASCII, in the association to the destination",
        _stored(request=twists.lengthen_version),
    ),
    "stores-with-odd-contexts": (
        "two contexts with bytes that are no UID are proposed to the destination beside the good ones",
        _stored(request=twists.name_contexts_badly),
    ),
    "stores-with-an-even-context": (
        "a context with an even id is proposed to the destination beside the good ones",
        _stored(request=twists.renumber_contexts),
    ),
    "stores-to-another-title": (
        "the destination is called by its AE title in lower case",
        _stored(request=twists.call_in_lower_case),
    ),
    "stores-in-another-context": (
        "another application context than DICOM's is named to the destination",
        _stored(request=twists.rename_application_context),
    ),
    "stores-by-another-protocol": (
        "a version of the upper layer protocol without version 1 is named to the destination",
        _stored(request=twists.change_protocol_version),
    ),
    "stores-big-endian": (
        "only Explicit VR Big Endian is offered to the destination",
        _stored(transfer_syntax=str(ExplicitVRBigEndian), encode=twists.swap_bytes),
    ),
    "stores-deflated": (
        "only Deflated Explicit VR Little Endian is offered to the destination",
        _stored(transfer_syntax=str(DeflatedExplicitVRLittleEndian), encode=twists.deflate),
    ),
    "stores-in-one-context": (
        "one context for each SOP Class is offered, with JPEG 2000 and uncompressed transfer syntaxes; what is not in "
        "the one that is accepted fails (dcmqrscp)",
        _stored(one_context=(str(JPEG2000Lossless), _EXPLICIT, IMPLICIT)),
    ),
    "stores-uncompressed-only": (
        "one context for each SOP Class is offered, in uncompressed transfer syntaxes; what is compressed fails "
        "(dcmqrscp)",
        _stored(one_context=(_EXPLICIT, IMPLICIT)),
    ),
    "stores-by-the-first": (
        "beside the transfer syntax of the first image only uncompressed ones are offered, and what is in another one "
        "ends it: 0xC000, zero counters (Orthanc)",
        Script(stops_at_failure=True, storing=Storing(by_the_first=True)),
    ),
    "stores-a-private-syntax": (
        "only a private transfer syntax is offered to the destination",
        _stored(transfer_syntax="1.2.826.0.1.3680043.10.5151.9"),
    ),
    "stores-in-long-pdus": (
        "PDUs are 6 bytes longer than the destination takes; each data set has 512 KB of padding",
        _stored(excess=6, instance=twists.lengthen),
    ),
    "stores-in-no-context": (
        "each image is sent in a presentation context that was not accepted",
        _stored(no_context=True),
    ),
    "stores-in-any-context": (
        "an image whose transfer syntax was not accepted is sent in another context of its SOP Class, as it is",
        _stored(any_context=True),
    ),
    "response-in-store": (
        "C-GET: a pending response stands between the fragments of each data set",
        _stored(interrupted=True),
    ),
    "stores-by-tls": ("the archive speaks TLS to a destination that does not", _stored(first_bytes=_HELLO)),
    # The instances
    "stores-file-meta": (
        "each data set begins with group 0002, which names the transfer syntax that it is in",
        _stored(instance=twists.add_file_meta(str(ExplicitVRLittleEndian))),
    ),
    "stores-untrue-file-meta": (
        "each data set begins with group 0002, which names JPEG Lossless although it is uncompressed",
        _stored(instance=twists.add_file_meta(str(JPEGLosslessSV1))),
    ),
    "stores-whole-files": (
        "a whole file, preamble and all, is sent as each data set",
        _stored(instance=twists.put_file_around),
    ),
    "stores-hidden-compression": (
        "the pixel data are encapsulated although the transfer syntax is uncompressed",
        _stored(instance=twists.encapsulate_pixels),
    ),
    "stores-false-compression": (
        "only JPEG 2000 is offered to the destination, and the pixel data are not compressed",
        _stored(transfer_syntax=str(JPEG2000Lossless)),
    ),
    "stores-cut-pixels": ("each data set ends in the middle of its pixel data", _stored(instance=twists.cut_pixels)),
    "stores-noise": ("bytes that are no element follow each data set", _stored(instance=twists.add_noise)),
    "stores-without-study": ("no data set has a StudyInstanceUID", _instance(_STUDY, "UI", lambda _: None)),
    "stores-merged-patient": (
        "each data set has another PatientID than C-FIND says (a merged patient)",
        _instance(_PATIENT, "LO", lambda _: b"OLD-4711"),
    ),
    "stores-issuer": (
        "each data set has a PatientID with the issuer behind it",
        _instance(_PATIENT, "LO", lambda value: value + b"^^^HOSP"),
    ),
    "stores-patient-in-lower-case": (
        "each data set has the PatientID in lower case",
        _instance(_PATIENT, "LO", bytes.lower),
    ),
    # Associations, for DemoPacs(on_associate=…)
    "associate-unknown-items": ("accepted, with items of unknown types", _associate(twists.add_unknown_items)),
    "associate-unknown-sub-items": (
        "accepted, with a user information sub-item of an unknown type",
        _associate(twists.add_unknown_sub_items),
    ),
    "associate-without-user-information": (
        "accepted, without any user information",
        _associate(twists.drop_user_information),
    ),
    "associate-long-maximum": ("accepted, with a maximum length of 8 bytes", _associate(twists.lengthen_maximum)),
    "associate-long-version": (
        "accepted, with an implementation version name that is too long, and not ASCII",
        _associate(twists.lengthen_version),
    ),
    "associate-padded-titles": ("accepted, with AE titles padded with NUL", _associate(twists.pad_titles)),
    "associate-without-roles": (
        "C-GET: accepted, without a word about the roles that were proposed; images come all the same",
        _associate(twists.drop_roles),
    ),
    "associate-unproposed-context": (
        "accepted, with two contexts more than were proposed",
        _associate(twists.accept_more),
    ),
    "associate-refused-context": (
        "accepted, but for one context, whose transfer syntax is no UID",
        Script("associate", breaks="no-verification", acceptance=twists.spoil_refused_contexts),
    ),
}
"""By name: one line on what it does, and how."""
