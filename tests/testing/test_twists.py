"""Each twist changes its detail and nothing else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom.filereader import read_dataset

from dicomover.testing import _twists as twists
from dicomover.testing import made_study
from dicomover.testing._elements import decode, encode, split_data_set
from dicomover.testing._raw import FIXED, RawMessage, split_command
from dicomover.wire import command_set
from dicomover.wire.pdus import split_items
from testing_kit import EXPLICIT, make_acceptance, make_request

ACCESSION, PATIENT, STUDY = 0x00080050, 0x00100020, 0x0020000D


def response(status: int, data: bytes = b"") -> RawMessage:
    """Return a response with counters."""
    kind = command_set.WITH_DATA_SET if data else command_set.NO_DATA_SET
    command: dict[str, int | str] = {
        "CommandField": 0x8021,
        "CommandDataSetType": kind,
        "Status": status,
        "NumberOfCompletedSuboperations": 5,
    }
    return RawMessage(split_command(command_set.encode(command)), data)


def image() -> RawMessage:
    """Return a C-STORE request."""
    instance = made_study("A").instances()[0]
    command: dict[str, int | str] = {
        "AffectedSOPClassUID": instance.sop_class_uid,
        "AffectedSOPInstanceUID": instance.sop_instance_uid,
    }
    return RawMessage(split_command(command_set.encode(command)), instance.data_set_bytes())


def user_items(raw: bytes) -> dict[int, bytes]:
    """Return the user information of an association PDU."""
    return dict(split_items(dict(split_items(raw, FIXED)).get(0x50, b"")))


@pytest.mark.parametrize("make", [make_acceptance, make_request], ids=["acceptance", "request"])
def test_items_of_associations(make: Callable[[], bytes]) -> None:
    """Unknown items come along, others go or grow; the PDU's length stays true."""
    raw = make()
    plain = [kind for kind, _ in split_items(raw, FIXED)]
    assert [kind for kind, _ in split_items(twists.add_unknown_items(raw), FIXED)] == [0x60, *plain, 0x7F]
    assert user_items(twists.add_unknown_sub_items(raw)) == {**user_items(raw), 0x5A: b"vendor"}
    assert user_items(twists.drop_user_information(raw)) == {}
    assert len(user_items(twists.lengthen_maximum(raw))[0x51]) == 8
    assert len(user_items(twists.lengthen_version(raw))[0x55]) > 16
    for twist in (twists.add_unknown_items, twists.add_unknown_sub_items, twists.lengthen_version):
        made = twist(raw)
        assert int.from_bytes(made[2:6], "big") == len(made) - 6


def test_titles() -> None:
    """AE titles are padded, replaced or spelt otherwise; nothing else moves."""
    raw = make_request()
    assert twists.pad_titles(raw)[10:42] == b"WORKSTATION".ljust(16, b"\0") + b"TESTER".ljust(16, b"\0")
    assert twists.put_title(b"\xc4RCHIV")(raw)[26:42] == b"\xc4RCHIV".ljust(16)
    assert twists.call_in_lower_case(raw)[10:26] == b"workstation     "
    assert twists.pad_titles(raw)[42:] == raw[42:]


def test_what_an_association_is_about() -> None:
    """Another application context and another protocol version are named; the rest stays."""
    raw = make_request()
    first, *others = split_items(twists.rename_application_context(raw), FIXED)
    assert first == (0x10, b"1.2.3.4")
    assert others == [*split_items(raw, FIXED)][1:]
    assert twists.change_protocol_version(raw)[6:8] == b"\0\2"
    assert twists.change_protocol_version(raw)[8:] == raw[8:]


def test_contexts() -> None:
    """Odd contexts stand beside the good ones; refused ones lose their UID, accepted ones keep it."""
    raw = make_request()
    contexts = [value for kind, value in split_items(twists.name_contexts_badly(raw), FIXED) if kind == 0x20]
    assert [value[0] for value in contexts] == [1, 0xF1, 0xF3]
    even = [value[0] for kind, value in split_items(twists.renumber_contexts(raw), FIXED) if kind == 0x20]
    assert even == [1, 0xF0]
    assert twists.spoil_refused_contexts(make_acceptance()) == make_acceptance()
    refused = dict(split_items(twists.spoil_refused_contexts(make_acceptance(accepted=False)), FIXED))[0x21]
    assert refused[2] == 3
    assert b"\xff\xfe" in refused


def test_announcements() -> None:
    """What a response says of its identifier is untrue, before the end or at it."""
    pending, final = response(0xFF00), response(0)
    assert twists.announce_data(pending).command[0x0800] == b"\x02\x01"
    assert twists.announce_data(final) == final
    assert twists.claim_data_at_the_end(final).command[0x0800] == b"\x02\x01"
    assert twists.claim_data_at_the_end(pending) == pending
    silent = twists.send_unannounced_data(pending)
    assert (silent.command[0x0800], decode(silent.data, EXPLICIT)) == (b"\x01\x01", {"QueryRetrieveLevel": "STUDY"})
    assert twists.end_with_a_match(pending).status == 0


def test_command_elements() -> None:
    """An element is put into the final response; the counters are written otherwise in each."""
    assert twists.put_command(0x0903, b"")(response(0xA900)).command[0x0903] == b""
    assert twists.put_command(0x0903, b"")(response(0xFF00)) == response(0xFF00)
    longer = twists.change_counters(lambda value: value + b"\0\0")(response(0xFF00))
    assert longer.command[0x1021] == struct.pack("<L", 5)


def test_the_failed_list() -> None:
    """The list has another VR, and may be longer than a UI can be."""
    listed = encode({"FailedSOPInstanceUIDList": "1.2.3"}, EXPLICIT)
    made = twists.retype_failed_list("UN", 9999)(response(0xB000, listed)).data
    ((tag, element),) = split_data_set(made)
    assert (tag, element[4:6]) == (0x00080058, b"UN")
    assert len(element[12:].split(b"\\")) == 10_000
    assert len(element) > 1 << 16
    assert twists.retype_failed_list("OB")(response(0)) == response(0)


def test_answers() -> None:
    """A match has another value, under any VR, or names two studies."""
    match = response(0xFF00, encode({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2"}, EXPLICIT))
    put = twists.put_answer("STUDY", ACCESSION, "US", b"abc")
    assert split_data_set(put(match).data)[0] == (ACCESSION, b"\x08\0\x50\0US\x04\0abc\0")
    assert twists.put_answer("IMAGE", ACCESSION, "US", b"abc")(match) == match
    assert decode(twists.double_study(match).data, EXPLICIT)["StudyInstanceUID"] == "1.2\\1.2.9"


def test_values_of_instances() -> None:
    """A value is changed or taken out; all others stay."""
    old = dict(split_data_set(image().data))
    new = dict(split_data_set(twists.put_into_data(PATIENT, "LO", bytes.lower)(image()).data))
    assert new.pop(PATIENT).endswith(b"demo-a")
    assert new == {tag: raw for tag, raw in old.items() if tag != PATIENT}
    assert STUDY not in dict(split_data_set(twists.put_into_data(STUDY, "UI", lambda _: None)(image()).data))


def test_ends_of_instances() -> None:
    """A data set ends early or late, or begins with what belongs into a file."""
    data = image().data
    assert twists.cut_pixels(image()).data == data[:-512]
    assert twists.add_noise(image()).data.startswith(data)
    assert twists.add_file_meta("1.2.3")(image()).data[24:].endswith(data)
    assert twists.put_file_around(image()).data[128:132] == b"DICM"
    hidden = read_dataset(BytesIO(twists.encapsulate_pixels(image()).data), False, True)
    assert hidden["PixelData"].is_undefined_length
    assert twists.lengthen(image()).data[: len(data)] == data
    again = RawMessage(image().command, data, is_repeated=True)
    assert twists.change_when_repeated(image()) == image()
    assert twists.change_when_repeated(again).data != data


def test_transfer_syntaxes() -> None:
    """Deflated and Big Endian data sets read as what they were."""
    data = image().data
    assert zlib.decompress(twists.deflate(data), wbits=-zlib.MAX_WBITS) == data
    small, big = (
        read_dataset(BytesIO(raw), False, order) for raw, order in ((data, True), (twists.swap_bytes(data), False))
    )
    assert (big.Rows, big.StudyInstanceUID) == (small.Rows, small.StudyInstanceUID)
    assert big.PixelData[:2] == small.PixelData[1::-1]
    assert len(twists.swap_bytes(data)) == len(data)
