"""One C-STORE: what is read of its data set, and the status that it ends with."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from dicomover.events import Arrival
from receiver_kit import (
    CT,
    Start,
    data_set,
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
