"""Flat data sets as plain text values: identifiers in, answers and made images out.

Hand-written because an archive that answers thousands of requests a second cannot afford a general parser;
what is not flat goes to pydicom.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.uid import ImplicitVRLittleEndian

__all__ = ["IMPLICIT", "data_set_of_file", "decode", "encode", "file_head", "text_of", "vr_of"]

IMPLICIT = str(ImplicitVRLittleEndian)
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_NUMBERS = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "FL": "<f", "FD": "<d"}
_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D, 0x5C, 0x5E, 0x3D}  # where an ISO 2022 escape ends (PS3.5 section 6.1.2.5.3)
_SHORT_HEAD = struct.Struct("<HH2sH")
_LONG_HEAD = struct.Struct("<HH2s2xL")
_IMPLICIT_HEAD = struct.Struct("<HHL")
_UNDEFINED = 0xFFFFFFFF


@lru_cache(maxsize=4096)
def vr_of(keyword: str) -> str:
    """Return the VR that the dictionary gives a keyword; where it leaves a choice, OW or the first one."""
    try:
        choices = dictionary_VR(keyword).split(" or ")
    except KeyError:
        return "UN"
    return "OW" if "OW" in choices else choices[0]


@lru_cache(maxsize=4096)
def _element_of(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag, vr_of(keyword)


@lru_cache(maxsize=4096)
def _keyword_of(tag: int) -> str:
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def encode(values: Mapping[str, str | bytes], transfer_syntax: str) -> bytes:
    r"""Encode values by keyword as a flat data set, in the order of their tags.

    Text in another script than ASCII goes out in UTF-8, with the SpecificCharacterSet that says so.
    Bytes go out as they are. A sequence goes out empty.

    Examples
    --------
    >>> encode({"PatientID": "4711"}, "1.2.840.10008.1.2.1").hex(" ", 4)
    '10002000 4c4f0400 34373131'
    """
    explicit = transfer_syntax != IMPLICIT
    if not all(value.isascii() for value in values.values() if isinstance(value, str)):
        values = {**values, "SpecificCharacterSet": "ISO_IR 192"}
    raw = bytearray()
    for (tag, vr), value in sorted((_element_of(keyword), value) for keyword, value in values.items()):
        if isinstance(value, bytes):
            part = value
        elif vr in _NUMBERS:
            part = b"".join(struct.pack(_NUMBERS[vr], _number(vr, item)) for item in value.split("\\") if item)
        elif vr == "SQ":
            part = b""
        else:
            part = value.encode("utf-8")
        if len(part) % 2:
            part += b"\0" if vr in ("UI", "OB", "UN") else b" "
        if not explicit:
            raw += _IMPLICIT_HEAD.pack(tag >> 16, tag & 0xFFFF, len(part))
        elif vr in _LONG:
            raw += _LONG_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(part))
        else:
            raw += _SHORT_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(part))
        raw += part
    return bytes(raw)


def _number(vr: str, text: str) -> int | float:
    return float(text) if vr in ("FL", "FD") else int(text)


def decode(raw: bytes, transfer_syntax: str) -> dict[str, str]:
    r"""Decode a data set into its top-level values by keyword, several values joined by a backslash.

    Padding is stripped. A sequence counts as empty. An element without a keyword is named by its tag.

    Raises
    ------
    ValueError
        If the bytes are no data set in this transfer syntax.

    Examples
    --------
    >>> decode(encode({"PatientID": "4711", "StudyDate": ""}, IMPLICIT), IMPLICIT)
    {'StudyDate': '', 'PatientID': '4711'}
    """
    explicit = transfer_syntax != IMPLICIT
    parts: dict[str, tuple[str, bytes]] = {}
    for tag, vr, value in _flat(raw, explicit):
        if value is None:
            return _decode_nested(raw, explicit)
        keyword = _keyword_of(tag)
        parts[keyword] = (vr or vr_of(keyword), value)
    charsets = parts.get("SpecificCharacterSet", ("CS", b""))[1].decode("ascii", "replace").strip(" \0")
    encodings = _encodings(charsets)
    return {keyword: _text(vr, value, encodings) for keyword, (vr, value) in parts.items()}


@lru_cache(maxsize=64)
def _encodings(charsets: str) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple(convert_encodings(charsets.split("\\")))
        except LookupError:
            return ("utf-8",)


def _text(vr: str, value: bytes, encodings: tuple[str, ...]) -> str:
    if vr == "SQ":
        return ""
    if vr in _NUMBERS:
        size = struct.calcsize(_NUMBERS[vr])
        return "\\".join(
            str(struct.unpack_from(_NUMBERS[vr], value, offset)[0]) for offset in range(0, len(value) - size + 1, size)
        )
    text = value.decode("ascii") if value.isascii() and b"\x1b" not in value else _decoded(value, encodings)
    if "\\" in text:
        return "\\".join(item.strip(" \0") for item in text.split("\\"))
    return text.strip(" \0")


def _decoded(value: bytes, encodings: tuple[str, ...]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(value, encodings, _DELIMITERS)


def _flat(raw: bytes, explicit: bool) -> Iterator[tuple[int, str, bytes | None]]:
    """Yield tag, VR (empty if implicit) and value; None as the value of what has no defined length."""
    offset, end = 0, len(raw)
    while offset < end:
        try:
            if not explicit:
                group, element, length = _IMPLICIT_HEAD.unpack_from(raw, offset)
                vr = ""
                offset += 8
            else:
                group, element, code, length = _SHORT_HEAD.unpack_from(raw, offset)
                vr = code.decode("ascii")
                if vr in _LONG:
                    length = _LONG_HEAD.unpack_from(raw, offset)[3]
                    offset += 4
                offset += 8
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"no data element at byte {offset}") from error
        tag = group << 16 | element
        if length == _UNDEFINED:
            yield tag, vr, None
            return
        if length > end - offset:
            raise ValueError(f"({group:04X},{element:04X}) claims {length} bytes where {end - offset} are left")
        yield tag, vr, raw[offset : offset + length]
        offset += length


def _decode_nested(raw: bytes, explicit: bool) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = read_dataset(BytesIO(raw), not explicit, True)
            return {_keyword_of(element.tag): text_of(dataset, _keyword_of(element.tag)) for element in dataset}
        except Exception as error:
            raise ValueError("the data set cannot be read") from error


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return a value of a pydicom data set as the text that `decode` would return."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return ""
    element = dataset[tag]
    value = element.value
    if value is None or element.VR == "SQ" or isinstance(value, bytes):
        return ""
    if not isinstance(value, MultiValue):
        return str(value)
    return "\\".join("" if item is None else str(item) for item in value)


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what stands before the data set in a DICOM file (PS3.10 section 7.1)."""
    explicit = "1.2.840.10008.1.2.1"
    meta = encode(
        {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": sop_class_uid,
            "MediaStorageSOPInstanceUID": sop_instance_uid,
            "TransferSyntaxUID": transfer_syntax_uid,
            "ImplementationClassUID": "2.25.164720317393152830247930412345672193408",
        },
        explicit,
    )
    return b"\0" * 128 + b"DICM" + _SHORT_HEAD.pack(2, 0, b"UL", 4) + struct.pack("<L", len(meta)) + meta


def data_set_of_file(raw: bytes) -> bytes:
    """Return the data set of a DICOM file's bytes, byte for byte, without preamble and File Meta Information.

    Raises
    ------
    ValueError
        If there is no preamble.

    Examples
    --------
    >>> data_set_of_file(file_head("1.2", "1.2.3", "1.2.840.10008.1.2.1") + b"the data set")
    b'the data set'
    """
    if raw[128:132] != b"DICM":
        raise ValueError("no DICOM file: DICM is not where it should be")
    offset = 132
    while offset + 8 <= len(raw):
        group, _, vr, length = _SHORT_HEAD.unpack_from(raw, offset)
        if group != 2:
            break
        if vr.decode("ascii", "replace") in _LONG:
            length = _LONG_HEAD.unpack_from(raw, offset)[3] + 4
        offset += 8 + length
    return raw[offset:]
