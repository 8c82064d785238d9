"""What the Standard registers: UIDs and data elements (PS3.6), as pydicom has them, and what is newer than that.

pydicom's tables are read without the package around them: to import that takes 0.3 s and 25 MB, for numpy and its
decoders, and the receiver's process needs nothing else of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType

__all__ = ["DATA_ELEMENTS", "LONG_VRS", "REGISTERED", "SHORT_VRS", "is_known_otherwise"]


def _read_tables(name: str) -> ModuleType:
    """Return a module of pydicom's that holds tables and nothing else."""
    full = f"pydicom.{name}"
    if full in sys.modules:
        return sys.modules[full]
    package = find_spec("pydicom")
    spec = PathFinder.find_spec(full, package.submodule_search_locations if package else None)
    if spec is None or spec.loader is None:  # it lies in no folder, as in a program that was made into one file
        return importlib.import_module(full)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

REGISTERED: Mapping[str, tuple[str, str, str, str, str]] = {**_read_tables("_uid_dict").UID_dictionary, **_NEWER}
"""By UID: its name, its kind, more of it, whether it is retired, and its keyword."""

DATA_ELEMENTS: Mapping[int, tuple[str, str, str, str, str]] = _read_tables("_dicom_dict").DicomDictionary
"""By tag: its VR, its multiplicity, its name, whether it is retired, and its keyword; without repeating groups."""

LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"}
    | {b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
"""The VRs whose length has four bytes in Explicit VR, after two more, and those whose length has two."""


@lru_cache(maxsize=4096)
def is_known_otherwise(tag: int) -> bool:
    """Tell whether the dictionary knows an element, and not as a sequence: without a length, readers then search."""
    if tag in DATA_ELEMENTS:
        return DATA_ELEMENTS[tag][0] != "SQ"
    if tag >> 16 & 1:  # a private one
        return False
    from pydicom.datadict import dictionary_VR  # of repeating groups; seldom, and pydicom is slow to import

    try:
        return dictionary_VR(tag) != "SQ"
    except KeyError:
        return False
