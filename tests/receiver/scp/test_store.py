"""One C-STORE: what is read of its data set, and the status that it ends with."""

from __future__ import annotations

import os
import struct
import time
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomover.events import Admission, Arrival, Refused
from dicomover.wire.messages import Context
from receiver_kit import (
    CT,
    DEFLATED_ONLY,
    EXPLICIT,
    IMPLICIT,
    SERIES,
    STUDY,
    VERIFICATION,
    Peer,
    Start,
    body_of,
    data_set,
    deflate,
    element,
    running,
)


def test_an_instance_without_a_uid_is_refused(start_one: Start) -> None:
    """Without a SOP Instance UID, or a SOP Class UID, there is nothing to file by: 0xA900."""
    with start_one() as run, run.peer() as peer:
        assert peer.store("", data_set("")) == 0xA900
        assert peer.store("1.2", data_set("1.2", sop_class=""), sop_class="") == 0xA900
        peer.release()
        run.wait(2)
        assert run.files() == []


def test_command_and_data_set_must_agree(start_one: Start) -> None:
    """Another SOP Instance or SOP Class UID in the data set than in the command gives 0xA900 and a refusal."""
    with start_one() as run, run.peer() as peer:
        assert peer.store("1.2", data_set("1.3")) == 0xA900
        assert peer.store("1.2", data_set("1.2", sop_class="1.2.840.10008.5.1.4.1.1.4")) == 0xA900
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(3)
        assert [refusal.status for refusal in run.refusals] == [0xA900, 0xA900]
        assert len(run.files()) == 1


def nested(depth: int, explicit: bool = True) -> bytes:
    """Return sequences of undefined length in one another."""
    head = struct.pack("<HH", 0x0008, 0x1140) + (b"SQ\0\0" if explicit else b"") + b"\xff" * 4
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return (head + item) * depth + ends * depth


@pytest.mark.parametrize("depth", [1, 1000, 50_000])
def test_nested_sequences_are_passed_over(start_one: Start, depth: int) -> None:
    """However deep sequences are nested before PatientID, the head is read, and in no time."""
    with start_one() as run:
        with run.peer() as peer:
            begun = time.monotonic()
            assert peer.store("1.2", data_set("1.2", before=nested(depth))) == 0
            other = data_set("1.3", explicit=False, before=nested(depth, explicit=False))
            assert peer.store("1.3", other, context_id=3) == 0
            assert time.monotonic() - begun < 5
            peer.release()
        assert [arrival.patient_id for arrival in run.wait(2) if not arrival.conflict] == ["4711", "4711"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"nothing of the sort " * 50,
        data_set("1.2")[:40],
        data_set("1.2", explicit=False),
        element(0x00080016, "UI", CT) + nested(3)[:-8],
        element(0x00080016, "UI", CT) + struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFF0) + bytes(100),
        element(0x00080005, "CS", b"x" * 5000),
        element(0x00080016, "UI", CT) + struct.pack("<HH2sHL", 8, 0x1140, b"OB", 0, 0xFFFFFFFF) + bytes(100),
    ],
    ids=[
        "empty",
        "one-byte",
        "noise",
        "cut",
        "implicit-as-explicit",
        "open-sequence",
        "4GB-sequence",
        "long-value",
        "no-length",
    ],
)
def test_what_cannot_be_read_is_refused(start_one: Start, data: bytes) -> None:
    """A data set that is none gives 0xC000 and a refusal, and the association goes on."""
    with start_one() as run, run.peer() as peer:
        assert peer.store("1.2", data) == 0xC000
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(2)
        assert [refusal.status for refusal in run.refusals] == [0xC000]
        assert len(run.files()) == 1


def test_a_head_without_end_is_not_kept_in_memory(start_one: Start) -> None:
    """If Series Instance UID does not come within 4 MiB the instance is refused."""
    with start_one() as run, run.peer() as peer:
        before = b"".join(element(0x00091000 + i, "UN", bytes(60_000)) for i in range(80))
        assert peer.store("1.2", data_set("1.2", before=before), chunk=100_000) == 0xC000
        assert peer.store("1.3", data_set("1.3", before=before[:3_000_500]), chunk=100_000) == 0xC000
        assert peer.store("1.4", data_set("1.4", before=before[: 60_012 * 50]), chunk=100_000) == 0
        peer.release()


def test_a_full_disk_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While every instance is refused for the same lack of space, the log warns once; each is still told."""
    with running(tmp_path, False) as run, run.peer() as peer:
        filing = run.receiver._engine._service.storage.filing  # type: ignore[union-attr]
        filing._floor, filing._space_until = 1 << 62, 0.0
        assert [peer.store(f"1.2.{number}") for number in range(3)] == [0xA700] * 3
        peer.release()
        run.wait(3)
        assert len(run.refusals) == 3
    warned = [record for record in caplog.records if "0xA700" in record.getMessage()]
    assert [record.levelname for record in warned].count("WARNING") == 1


def test_the_same_text_is_shown_as_it_stands_in_the_data_set(start: Start) -> None:
    """PatientID is decoded by the Specific Character Set, and names a readable folder if it is harmless."""
    with start(layout="{PatientID}/{SOPInstanceUID}.dcm") as run:
        with run.peer() as peer:
            for sop, charset, patient in (
                ("1.1", "ISO_IR 192", "Jürgen".encode()),
                ("1.2", "ISO_IR 100", "Jürgen".encode("latin-1")),
                ("1.3", "nonsense", b"J\xfcrgen"),
                ("1.4", "ISO_IR 192", b"\xff\xfe"),
            ):
                assert peer.store(sop, data_set(sop, patient=patient, charset=charset)) == 0
            peer.release()
        told = [arrival.patient_id for arrival in run.wait(4) if isinstance(arrival, Arrival)]
        assert told == ["Jürgen", "Jürgen", "Jürgen", "ÿþ"]
        assert {arrival.path.parent.name for arrival in run.arrivals} == {"Jürgen", "ÿþ"}


def group_2(syntax: str, *, explicit: bool = True) -> bytes:
    """Return what some senders leave in of a file's meta information."""
    named = element(0x00020010, "UI", syntax, explicit)
    return element(0x00020000, "UL", struct.pack("<L", len(named)), explicit) + named


JPEG = "1.2.840.10008.1.2.4.70"


@pytest.mark.parametrize("syntax", [JPEG, IMPLICIT, EXPLICIT, "1.2.3"])
@pytest.mark.parametrize("chunk", [1, 60, 1 << 14])
def test_file_meta_information_before_a_data_set_is_left_out(start_one: Start, syntax: str, chunk: int) -> None:
    """Whatever transfer syntax it names, the file has the one that was agreed on, and the data set alone."""
    data, implicit = data_set("1.2", pixels=bytes(60)), data_set("1.3", explicit=False, pixels=bytes(60))
    with start_one() as run:
        with run.peer() as peer:
            assert peer.store("1.2", group_2(syntax) + data, chunk=chunk) == 0
            assert peer.store("1.3", group_2(syntax) + implicit, context_id=3, chunk=chunk) == 0
            assert peer.store("1.3", group_2(syntax, explicit=False) + implicit, context_id=3, chunk=chunk) == 0
            peer.release()
        run.wait(3)
        assert [body_of(path) for path in run.files()] == [data, implicit]
        assert [arrival.size for arrival in run.arrivals] == [len(data), len(implicit), len(implicit)]
        assert [str(dcmread(path).file_meta.TransferSyntaxUID) for path in run.files()] == [EXPLICIT, IMPLICIT]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes(128) + b"DICM" + group_2(EXPLICIT) + data_set("1.2"), "it is a whole file, with a preamble"),
        (b"II*\0".ljust(128) + b"DICM" + group_2(EXPLICIT) + data_set("1.2"), ""),
        (data_set("1.2", before=group_2(JPEG)), "file meta information stands inside the data set"),
    ],
    ids=["file", "tiff", "in-the-middle"],
)
def test_a_file_is_no_data_set(start_one: Start, data: bytes, why: str) -> None:
    """A whole file where a data set is due, or file meta information in the middle, is refused and told."""
    with start_one() as run, run.peer() as peer:
        assert peer.store("1.2", data) == 0xC000
        assert peer.store("1.3", data, chunk=50) in (0xC000, 0xA900)
        assert peer.store("1.2") == 0
        peer.release()
        run.wait(3)
        assert why in run.refusals[0].why
        assert len(run.files()) == 1


@pytest.mark.parametrize("late", [element(0x00100020, "LO", "4712"), element(0x0020000D, "UI", "1.9")])
@pytest.mark.parametrize("chunk", [33, 1 << 14])
def test_a_data_set_that_names_another_patient_at_its_end_is_refused(start_one: Start, late: bytes, chunk: int) -> None:
    """Another reader would take the later one: such an image is nobody's, plain or deflated."""
    data = data_set("1.2") + late
    with start_one() as run, run.peer() as peer, Peer(run.port, contexts=DEFLATED_ONLY) as deflating:
        assert peer.store("1.2", data, chunk=chunk) == 0xC000
        assert deflating.store("1.2", deflate(data), chunk=chunk) == 0xC000
        run.wait(2)
        assert all("stands behind its place" in refusal.why for refusal in run.refusals)
        assert not run.files()
        deflating.release()
        peer.release()


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "implicit"])
@pytest.mark.parametrize("chunk", [333, 1 << 14])
def test_a_data_set_that_ends_inside_an_element_is_refused(start_one: Start, explicit: bool, chunk: int) -> None:
    """In the pixel data, in the middle of a header, by one byte, or in noise: 0xC000, told, and no file."""
    whole = data_set("1.2", explicit=explicit)
    head = whole[: whole.index(bytes(100))]
    broken = [
        whole[:-1],
        whole[:-1900],
        head,
        head[:-3],
        head[:-9],
        head[:-13] + b"this is no element at all, just noise" * 3,
    ]
    context = 1 if explicit else 3
    with start_one() as run, run.peer() as peer:
        for data in broken:
            assert peer.store("1.2", data, context_id=context, chunk=chunk) == 0xC000
        run.wait(len(broken))
        assert run.files() == []
        assert peer.store("1.2", whole, context_id=context, chunk=chunk) == 0
        peer.release()
        assert {refusal.status for refusal in run.refusals} == {0xC000}
        assert all("the data set cannot be read" in refusal.why for refusal in run.refusals)


def test_compressed_pixels_in_an_uncompressed_context_are_refused(start_one: Start) -> None:
    """They would lie in a file that says that they are none; the reason is told."""
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    pixels += b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, size) + bytes(size) for size in (0, 200))
    pixels += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    head = data_set("1.2")[:-2012]
    contexts = (Context(1, CT, (EXPLICIT,)), Context(3, CT, (JPEG,)), Context(5, VERIFICATION, (IMPLICIT,)))
    with start_one() as run, run.peer(contexts=contexts) as peer:
        assert peer.store("1.2", head + pixels) == 0xC000
        assert peer.store("1.2", head + pixels, context_id=3) == 0
        assert peer.store("1.3", data_set("1.3")[:-2012] + pixels[:-8], context_id=3) == 0xC000
        peer.release()
        run.wait(3)
        assert "its pixel data are compressed, though Explicit VR Little Endian was agreed on" in run.refusals[0].why
        assert len(run.files()) == 1


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"], ids=["big-endian", "deflated"])
@pytest.mark.parametrize("chunk", [300, 1 << 14])
def test_big_endian_and_deflated_are_filed_as_they_come(start_one: Start, syntax: str, chunk: int) -> None:
    """Where nothing else is offered they are taken, pydicom reads the files, and a part of one is refused."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.PatientID = CT, "1.2", "4711"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.Rows = STUDY, SERIES, 512
    made.add_new(0x7FE00010, "OW", os.urandom(4000))
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, syntax.endswith("99")
    write_dataset(out, made)
    data = out.getvalue()
    if syntax.endswith("99"):
        stream = zlib.compressobj(wbits=-15)
        data = stream.compress(data) + stream.flush()
    contexts = (Context(1, CT, (syntax,)), Context(5, VERIFICATION, (IMPLICIT,)))
    with start_one() as run:
        with run.peer(contexts=contexts) as peer:
            assert peer.store("1.2", data, chunk=chunk) == 0
            assert peer.store("1.2", data[:-30], chunk=chunk) == 0xC000
            assert peer.store("1.2", data[:40], chunk=chunk) == 0xC000
            peer.release()
        run.wait(3)
        (arrival,) = run.arrivals
        assert (arrival.patient_id, arrival.study_instance_uid, arrival.size) == ("4711", STUDY, len(data))
        (path,) = run.files()
        assert body_of(path) == data
        read = dcmread(path)
        assert (read.Rows, read.file_meta.TransferSyntaxUID, len(read.PixelData)) == (512, syntax, 4000)


def test_a_refusal_says_whence_and_for_which_c_move(start_one: Start) -> None:
    """The address, the AE title and the Move Originator are told, and a missing study is named as the reason."""
    data = data_set("1.2").replace(element(0x0020000D, "UI", STUDY), b"")
    ours = {"MoveOriginatorApplicationEntityTitle": "ME", "MoveOriginatorMessageID": 9}
    with start_one(restrict=True) as run, run.peer() as peer:
        run.receiver.admit(Admission(1, study_uids=frozenset({STUDY})))
        assert peer.store("1.2", data, **ours) == 0xC000
        peer.release()
        run.wait(1)
        (refusal,) = run.refusals
        assert (refusal.what, refusal.peer, refusal.calling_ae_title) == (Refused.INSTANCE, "127.0.0.1", "YOU")
        assert (refusal.originator_ae_title, refusal.originator_message_id) == ("ME", 9)
        assert refusal.why == "it has no StudyInstanceUID"
