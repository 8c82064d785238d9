"""What the Standard registers under its UIDs (PS3.6 annex A): as pydicom has it, and what is newer than that."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom._uid_dict import UID_dictionary

__all__ = ["REGISTERED"]

_NEWER = {
    "1.2.840.10008.1.2.4.110": ("JPEG XL Lossless", "Transfer Syntax", "", "", "JPEGXLLossless"),
    "1.2.840.10008.1.2.4.111": ("JPEG XL JPEG Recompression", "Transfer Syntax", "", "", "JPEGXLJPEGRecompression"),
    "1.2.840.10008.1.2.4.112": ("JPEG XL", "Transfer Syntax", "", "", "JPEGXL"),
    "1.2.840.10008.1.2.8.1": (
        "Deflated Image Frame Compression",
        "Transfer Syntax",
        "",
        "",
        "DeflatedImageFrameCompression",
    ),
}

REGISTERED: Mapping[str, tuple[str, str, str, str, str]] = {**UID_dictionary, **_NEWER}
"""By UID: its name, its kind, more of it, whether it is retired, and its keyword."""
