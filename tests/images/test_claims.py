"""How large a compressed frame says that it is."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from dicomover import SeriesError, contact_sheet, index, volume
from dicomover.images.claims import claimed_samples
from images_kit import make_slice, save

JP2 = b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(73)


def j2k(columns: int, rows: int, left: int = 0, components: int = 1) -> bytes:
    """Return the beginning of a codestream of JPEG 2000."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, columns, rows, left, 0, columns, rows, 0, 0, components)
    return b"\xff\x4f\xff\x51" + size + bytes(100)


def sof(marker: int, rows: int, columns: int, components: int = 1) -> bytes:
    """Return the header of a frame of JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">HBHHB", 8 + 3 * components, 8, rows, columns, components) + bytes(99)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (j2k(20_000, 10_000), 200_000_000),
        (j2k(30, 10, left=10), 200),
        (j2k(10, 10, components=16_384), 1_638_400),
        (JP2 + j2k(5, 4), 20),
        (JP2 + j2k(5, 4) + bytes(5_000) + j2k(50, 40), 2_000),
        (b"\xff\xd8\xff\xe0\0\4ab\xff" + sof(0xC3, 300, 200, 3), 180_000),
        (b"\xff\xd8\xff\xc4\0\4ab" + sof(0xF7, 3, 2), 6),
        (b"\xff\xd8\xff\xd0\xff\1 junk" + sof(0xC0, 3, 2), 6),
        (b"\xff\xd8" + sof(0xDE, 300, 200) + sof(0xC0, 3, 2), 60_000),
        (b"\xff\xd8" + sof(0xC0, 0, 2), 131_070),
        (b"\xff\xd8\xff\xda\0\4ab" + sof(0xC0, 3, 2), 0),
        (b"\xff\xd8\xff", 0),
        (b"", 0),
        (b"\xff\x4f\xff\x51", 0),
    ],
)
def test_what_a_frame_says(frame: bytes, size: int) -> None:
    """By its own header, wherever that stands; what says nothing, or is cut, has no size."""
    assert claimed_samples(frame) == size


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPEG-lossy.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_true_frames_say_what_their_file_does(name: str) -> None:
    """Of files that others made."""
    dataset = dcmread(get_testdata_file(name))
    (frame, *_) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert claimed_samples(frame) == dataset.Rows * dataset.Columns * dataset.SamplesPerPixel


BIG = j2k(60_000, 60_000)
OFFSETS = {"ExtendedOffsetTable": struct.pack("<Q", 108), "ExtendedOffsetTableLengths": struct.pack("<Q", len(BIG))}


@pytest.mark.parametrize(
    ("pixels", "others"),
    [
        (encapsulate([BIG]), {}),
        (encapsulate([j2k(9, 9), BIG, j2k(9, 9)]), {"NumberOfFrames": 3}),
        (encapsulate([bytes(100), BIG], has_bot=False), OFFSETS),
        (encapsulate([bytes(9)]), {"Rows": 65_535, "Columns": 65_535, "SamplesPerPixel": 999}),
        (encapsulate([bytes(9)]), {"NumberOfFrames": 2**31 - 1}),
    ],
    ids=["the frame", "the second of three", "by offsets", "the file", "many frames"],
)
def test_no_decoder_is_called_for_what_is_far_too_large(
    pixels: bytes, others: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file of which something claims gigabytes is refused before there is made room for them."""
    monkeypatch.setattr(Dataset, "pixel_array", property(lambda _: pytest.fail("it was decoded")))
    monkeypatch.setattr("dicomover.images.volume._free_memory", lambda: 1 << 33)
    save(tmp_path, [make_slice(1, (0, 0, 0), syntax="1.2.840.10008.1.2.4.90", PixelData=pixels, **others)])
    with pytest.raises(SeriesError, match=r"far larger than its file does|GB are free"):
        volume(tmp_path)
    image = pytest.importorskip("PIL.Image")
    grey = contact_sheet(index(tmp_path, cache=False), size=8, labels=False).png
    assert image.open(BytesIO(grey)).getcolors() == [(64, (64, 64, 64))]
