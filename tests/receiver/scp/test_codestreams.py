"""A frame is known by its first bytes: what it surely is not, and which transfer syntax it is in."""

from __future__ import annotations

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.uid import AllTransferSyntaxes

from dicomover.receiver.scp.codestreams import BEGINNING, find_syntax, name_other

SYNTAX = "1.2.840.10008.1.2."
HELD = {
    "MR_small_jp2klossless.dcm": "4.91",  # what is reversible may have lost something all the same
    "JPEG2000.dcm": "4.91",
    "MR_small_RLE.dcm": "5",
    "SC_rgb_jpeg_dcmtk.dcm": "4.50",
    "JPEG-lossy.dcm": "4.51",
    "SC_rgb_jpeg_gdcm.dcm": "4.70",
    "MR_small_jpeg_ls_lossless.dcm": "4.80",
    "JPEGLSNearLossless_16.dcm": "4.81",
}


def frame(name: str) -> bytes:
    """Return the first frame of a file of pydicom's."""
    return list(generate_fragments(dcmread(get_testdata_file(name)).PixelData))[1]


@pytest.mark.parametrize("name", HELD)
def test_what_a_frame_is_and_is_not(name: str) -> None:
    """Its transfer syntax is found; what it is not is another compression, and no process is judged."""
    raw = frame(name)
    assert find_syntax(raw[: 1 << 14]) == SYNTAX + HELD[name]
    begin, own = raw[:BEGINNING], HELD[name][:3]
    for end in ("4.50", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.201", "4.110", "5", "4.102", "1"):
        is_vague = begin[3] in range(0xE0, 0xF0)  # both begin so: JPEG and JPEG-LS
        others = {"4.5": ("4.5", "4.7"), "4.7": ("4.5", "4.7"), "4.9": ("4.9", "4.2")}.get(own, (own,))
        may_be = end.startswith((*others, "4.102")) or end == "1" or (is_vague and end.startswith("4.8"))
        assert bool(name_other(begin, SYNTAX + end)) is not may_be, end


def test_what_is_in_a_file_of_its_own_is_taken() -> None:
    """JPEG 2000 in JP2 boxes is what some archives have: readers take it, and it is JPEG 2000."""
    raw = frame("GDCMJ2K_TextGBR.dcm")
    assert raw[4:8] == b"jP  "
    assert (name_other(raw[:BEGINNING], SYNTAX + "4.90"), find_syntax(raw)) == ("", SYNTAX + "4.91")
    assert name_other(raw[:BEGINNING], SYNTAX + "4.50") == "JPEG 2000"


@pytest.mark.parametrize("begin", [b"", b"\xff", b"\xff\xd8", bytes(16), b"\xff\xff\xff\xd8", b"\x10\0\0\0\x40\0\0\0"])
def test_what_is_unknown_may_be_anything(begin: bytes) -> None:
    """Nobody is refused for what we do not know."""
    assert not any(name_other(begin, uid) for uid in AllTransferSyntaxes)
    assert find_syntax(begin) == ""


def test_markers_that_end_nowhere_show_nothing() -> None:
    """What is cut short, or of a length that cannot be, is no reason to guess."""
    raw = frame("SC_rgb_jpeg_dcmtk.dcm")
    assert find_syntax(raw[:100]) == find_syntax(b"\xff\xd8\xff\xe0\0\1" + raw) == ""
    assert find_syntax(b"\xff\x4f\xff\x51\0\4\0\0\xff\x50\0\6\0\0\0\0") == SYNTAX + "4.203"
    assert find_syntax(encapsulate([b"\xff\xd8"])) == ""
