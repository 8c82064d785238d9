"""How large a compressed frame says that it is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from dicomover import SeriesError, volume
from dicomover.images.claims import claimed_pixels
from images_kit import make_slice, save


def j2k(columns: int, rows: int, left: int = 0) -> bytes:
    """Return the beginning of a codestream of JPEG 2000."""
    return b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, columns, rows, left, 0) + bytes(100)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (j2k(20_000, 10_000), 200_000_000),
        (j2k(30, 10, left=10), 200),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(73) + j2k(5, 4), 20),
        (b"\xff\xd8\xff\xe0\0\4ab\xff\xff\xc3" + struct.pack(">HBHH", 17, 8, 300, 200), 60_000),
        (b"\xff\xd8\xff\xc4\0\4ab\xff\xf7" + struct.pack(">HBHH", 17, 8, 3, 2), 6),
        (b"\xff\xd8\xff\xda\0\4ab", 0),
        (b"\xff\xd8\xff", 0),
        (b"", 0),
        (b"\xff\x4f\xff\x51", 0),
    ],
)
def test_what_a_frame_says(frame: bytes, size: int) -> None:
    """By its own header, wherever that stands; what says nothing, or is cut, has no size."""
    assert claimed_pixels(frame) == size


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "JPEG-lossy.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_true_frames_say_what_their_file_does(name: str) -> None:
    """Of files that others made."""
    dataset = dcmread(get_testdata_file(name))
    (frame, *_) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert claimed_pixels(frame) == dataset.Rows * dataset.Columns


def test_a_decoder_is_not_called_for_what_is_far_too_large(tmp_path: Path) -> None:
    """A small file whose frame claims gigabytes is refused before they are made room for."""
    made = [make_slice(n, (0, 0, n), syntax="1.2.840.10008.1.2.4.90") for n in range(2)]
    for dataset in made:
        dataset.PixelData = encapsulate([j2k(60_000, 60_000)])
    save(tmp_path, made)
    with pytest.raises(SeriesError, match="far larger than its file does"):
        volume(tmp_path)
