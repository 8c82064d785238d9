"""Identifiers: what goes out in which transfer syntax, and what is made of answers that may be anything."""

from __future__ import annotations

import logging
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomover.attributes.reading import read_text, read_texts
from dicomover.attributes.uid import is_named
from dicomover.errors import (
    ProtocolError,
    QueryRefused,
)
from dicomover.identifier import UNIQUE_KEYS, Identifier, Level, Model, find_dataset, query_dataset
from dicomover.testing._elements import encode
from dicomover.wire.connection import Connection
from dicomover.wire.identifiers import encode_identifier, read_failed_uids
from dicomover.wire.messages import Message
from wire_kit import (
    EXPLICIT,
    IMPLICIT,
    NEVER,
    STUDY,
    answer,
    associated,
    counts,
    move,
    peer,
)


def test_implicit_vr_if_the_peer_wants_it() -> None:
    """An identifier goes out in the transfer syntax that the peer chose."""
    seen: list[bytes] = []

    def script(connection: Connection, message: Message) -> None:
        seen.append(message.data)
        answer(connection, message, 0x0000, **counts(1))

    with peer(script, IMPLICIT) as node, associated(node) as association:
        move(association)
    assert seen == [encode({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}, IMPLICIT)]


def test_an_identifier_is_not_changed() -> None:
    """A data set that is sent stays as it is."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = ["1.2.3", "1.2.4"]
    before = identifier.to_json()
    with (
        peer(lambda connection, message: answer(connection, message, 0x0000, **counts(1))) as node,
        associated(node) as association,
    ):
        association.move(identifier, Model.STUDY, "DEST", 1)
    assert identifier.to_json() == before


def written_by_pydicom(identifier: Dataset, transfer_syntax: str) -> bytes:
    """Return what pydicom makes of an identifier."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, transfer_syntax == IMPLICIT
    write_dataset(buffer, identifier)
    return buffer.getvalue()


VALUES = st.one_of(
    st.text(alphabet=st.characters(codec="ascii"), max_size=12),
    st.text(max_size=6),
    st.lists(st.sampled_from(["1.2.3", "1.2.34", "", "A"]), max_size=3).map("\\".join),
)


@settings(max_examples=300, deadline=None)
@given(
    keys=st.dictionaries(
        st.sampled_from(
            [*UNIQUE_KEYS, "AccessionNumber", "StudyDate", "StudyTime", "ModalitiesInStudy", "PatientName",
             "NumberOfStudyRelatedInstances", "PatientAge", "Rows", "StudyDescription", "RetrieveAETitle",
             "RequestAttributesSequence.ScheduledProcedureStepID", "0009,1001:LO", "PatientComments"]
        ),
        VALUES,
        max_size=5,
    )
)  # fmt: skip
def test_what_is_written_by_hand_is_what_pydicom_writes(keys: dict[str, str]) -> None:
    """Text in ASCII is encoded without pydicom, to the same bytes in both transfer syntaxes; all else by pydicom."""
    try:
        identifiers = [query_dataset(Level.STUDY, keys), find_dataset(Level.IMAGE, keys)]
    except ValueError:  # a text where a number is due
        return
    for identifier, syntax in ((each, syntax) for each in identifiers for syntax in (IMPLICIT, EXPLICIT)):
        try:
            wanted = written_by_pydicom(identifier, syntax)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what comes here
            with pytest.raises(type(error)):
                encode_identifier(identifier, syntax)
        else:
            assert encode_identifier(identifier, syntax) == wanted


def test_nothing_but_text_in_ascii_is_written_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C-MOVE by a UID, and one by a thousand of them, do without pydicom, which costs ten times as much."""
    monkeypatch.setattr("dicomover.wire.identifiers.write_dataset", None)
    uids = "\\".join(f"1.2.840.99999.{number}" for number in range(1000))
    for uid in ("1.2.3", uids):
        one = Identifier(Level.STUDY, Model.PATIENT, patient="4711", study=uid)
        assert uid.encode() in encode_identifier(one.dataset(), EXPLICIT)
    with pytest.raises(TypeError):
        encode_identifier(query_dataset(Level.STUDY, {"PatientName": "M\u00fcller"}), EXPLICIT)


@pytest.mark.parametrize(
    ("data", "uids"),
    [
        pytest.param(b"", (), id="none"),
        pytest.param(encode({"FailedSOPInstanceUIDList": "1.2.3"}, EXPLICIT), ("1.2.3",), id="one"),
        pytest.param(encode({"FailedSOPInstanceUIDList": ""}, EXPLICIT), (), id="empty"),
        pytest.param(encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT), (), id="another-attribute"),
        pytest.param(b"\x08\x00\x58\x00UI\xff\xff no such length", (), id="broken"),
    ],
)
def test_the_failed_list_may_be_anything(data: bytes, uids: tuple[str, ...]) -> None:
    """A Failed SOP Instance UID List that is missing, empty or broken does not hide the status."""
    with (
        peer(lambda connection, message: answer(connection, message, 0xB000, data, **counts(1, 1))) as node,
        associated(node) as association,
    ):
        end = move(association)
    assert (end.status_code, end.failed_uids) == (0xB000, uids)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff", id="sequence-without-end"),
        pytest.param(b"\x08\x00\x52\x00ZZ\0\0\1\0\0\0a", id="unknown-vr"),
    ],
)
def test_find_answer_that_cannot_be_read(data: bytes) -> None:
    """An identifier that is no data set is a protocol error, not an empty answer."""
    with (
        peer(lambda connection, message: answer(connection, message, 0xFF00, data)) as node,
        associated(node) as association,
        pytest.raises(ProtocolError),
    ):
        list(association.find(STUDY, Model.STUDY, 1))


def test_find_answers_are_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    """Values that the Standard does not allow come through as they are: no warning, no exception, nothing logged."""
    caplog.set_level(logging.DEBUG)
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientBirthDate": "Canary 1950",
        "PatientName": "M\u00fcller^Canary",
        "AccessionNumber": "a text of more than sixteen characters",
        "ModalitiesInStudy": "ct\\sr",
        "NumberOfStudyRelatedInstances": "many",
        "StudyInstanceUID": "canary",
    }

    def script(connection: Connection, message: Message) -> None:
        answer(connection, message, 0xFF00, encode(values, EXPLICIT))
        answer(connection, message, 0x0000)

    with peer(script) as node, associated(node) as association:
        (found,) = association.find(STUDY, Model.STUDY, 1)
    assert {keyword: read_text(found, keyword) for keyword in values} == values
    assert read_texts(found, "ModalitiesInStudy") == ["ct", "sr"]
    assert "canary" not in caplog.text.lower()


MANY = [f"1.2.840.99999.{n}" for n in range(10_000)]


@pytest.mark.parametrize("vr", ["UN", "OB", "UT", "UC"])
@pytest.mark.parametrize("uids", [MANY[:1], MANY], ids=["one", "ten-thousand"])
def test_a_failed_list_in_any_vr_that_can_hold_it(vr: str, uids: list[str]) -> None:
    """A list of more than 64 KiB cannot be UI in Explicit VR (PS3.5 section 6.2.2): as whatever it came, it is told."""
    value = "\\".join(uids).encode()
    value += b"\0" * (len(value) % 2)
    data = b"\x08\x00\x58\x00" + vr.encode() + b"\0\0" + struct.pack("<L", len(value)) + value
    assert read_failed_uids(data, EXPLICIT) == tuple(uids)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80), implicit=st.booleans())
def test_a_failed_list_of_any_bytes(data: bytes, implicit: bool) -> None:
    """Whatever stands where the list should, nothing but UIDs is told, and nothing is raised."""
    for raw in (data, b"\x08\x00\x58\x00" + data):
        assert all(map(is_named, read_failed_uids(raw, IMPLICIT if implicit else EXPLICIT)))


def test_answers_that_do_not_end_are_refused_at_a_limit_with_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the answers to one C-FIND take all memory the archive is left, and the error says how many came."""
    monkeypatch.setattr("dicomover.wire.identifiers._MOST_MEMORY", 1 << 20)

    def script(connection: Connection, message: Message) -> None:
        while True:
            answer(connection, message, 0xFF00, encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT))

    with peer(script) as node, associated(node) as association:
        with pytest.raises(
            QueryRefused, match=r"sent \d+ answers to one C-FIND, more than the 1 MB that they may take"
        ):
            list(association.find(STUDY, Model.STUDY, 1))
        assert not association.is_open


@pytest.mark.parametrize("size", [(1 << 20) + 2, 60 << 20])
def test_an_answer_that_is_far_too_long(size: int) -> None:
    """One answer of more than a megabyte is refused unread, and a message that goes on and on before it is whole."""

    def script(connection: Connection, message: Message) -> None:
        answer(
            connection, message, 0xFF00, encode({"StudyInstanceUID": "1.2.3", "PatientComments": "x" * size}, IMPLICIT)
        )

    with peer(script, IMPLICIT) as node, associated(node, NEVER) as association:
        with pytest.raises(ProtocolError, match=r"answer to C-FIND of 1,048,\d+ bytes|a message of more than 16 MB"):
            list(association.find(STUDY, Model.STUDY, 1))
        assert not association.is_open
