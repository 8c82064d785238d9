"""Flat data sets as plain text values: identifiers in, answers and made images out.

Hand-written because an archive that answers thousands of requests a second cannot afford a general parser;
what is not flat goes to pydicom.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from io import BytesIO

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian

from dicomover.attributes.attribute import TEXTS
from dicomover.attributes.charset import decode as decode_text
from dicomover.attributes.charset import read_character_sets
from dicomover.attributes.reading import convert
from dicomover.attributes.registry import LONG_VRS
from dicomover.dicomfile import measure_file_meta

IMPLICIT = str(ImplicitVRLittleEndian)
_LONG = frozenset(vr.decode() for vr in LONG_VRS)
_NUMBERS = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "FL": "<f", "FD": "<d"}
_SPACED = TEXTS - {"UI"}  # what is padded with a space, not with NUL
_SHORT_HEAD = struct.Struct("<HH2sH")
_LONG_HEAD = struct.Struct("<HH2s2xL")
_IMPLICIT_HEAD = struct.Struct("<HHL")
_UNDEFINED = 0xFFFFFFFF

Element = tuple[int, str, bytes]
"""A tag, a VR and the bytes of a value."""


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
    if not all(value.isascii() for value in values.values() if isinstance(value, str)):
        values = {**values, "SpecificCharacterSet": "ISO_IR 192"}
    elements = [
        (*_element_of(keyword), value if isinstance(value, bytes) else _value(keyword, value))
        for keyword, value in values.items()
    ]
    return encode_elements(sorted(elements), explicit=transfer_syntax != IMPLICIT)


def encode_elements(elements: Iterable[Element], *, explicit: bool = True) -> bytes:
    """Encode elements in Little Endian, whatever their values are; each length is made even."""
    raw = bytearray()
    for tag, vr, value in elements:
        part = value + (b" " if vr in _SPACED else b"\0") if len(value) % 2 else value
        if not explicit:
            raw += _IMPLICIT_HEAD.pack(tag >> 16, tag & 0xFFFF, len(part))
        elif vr in _LONG:
            raw += _LONG_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(part))
        else:
            raw += _SHORT_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(part))
        raw += part
    return bytes(raw)


def _value(keyword: str, text: str) -> bytes:
    vr = vr_of(keyword)
    if vr in _NUMBERS:
        return b"".join(struct.pack(_NUMBERS[vr], _number(vr, item)) for item in text.split("\\") if item)
    return b"" if vr == "SQ" else text.encode("utf-8")


def _number(vr: str, text: str) -> int | float:
    return float(text) if vr in ("FL", "FD") else int(text)


def decode(raw: bytes, transfer_syntax: str) -> dict[str, str]:
    r"""Decode a data set into its top-level values by keyword, several values joined by a backslash.

    Padding is stripped. A sequence counts as empty. An element without a keyword is named by its tag. Raises ValueError
    if the bytes are no data set in this transfer syntax.

    Examples
    --------
    >>> decode(encode({"PatientID": "4711", "StudyDate": ""}, IMPLICIT), IMPLICIT)
    {'StudyDate': '', 'PatientID': '4711'}
    """
    explicit = transfer_syntax != IMPLICIT
    parts: dict[str, tuple[str, bytes]] = {}
    for tag, vr, _, start, end in walk(raw, explicit):
        if not end:
            return _decode_nested(raw, explicit)
        keyword = _keyword_of(tag)
        parts[keyword] = (vr or vr_of(keyword), raw[start:end])
    _, charset = parts.get("SpecificCharacterSet", ("", b""))
    codecs = read_character_sets(charset) if charset else ()
    return {keyword: _text(vr, value, codecs) for keyword, (vr, value) in parts.items()}


def _text(vr: str, value: bytes, codecs: tuple[str, ...]) -> str:
    if vr == "SQ" or not value:
        return ""
    if vr in _NUMBERS:
        size = struct.calcsize(_NUMBERS[vr])
        return "\\".join(
            str(struct.unpack_from(_NUMBERS[vr], value, offset)[0]) for offset in range(0, len(value) - size + 1, size)
        )
    text = decode_text(value, codecs)
    return "\\".join(item.strip(" \0") for item in text.split("\\")) if "\\" in text else text.strip(" \0")


def split_data_set(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements of a data set in Explicit VR Little Endian, each with its tag and whole."""
    return [(tag, data[at : end or len(data)]) for tag, _, at, _, end in walk(data)]


def walk(raw: bytes, explicit: bool = True) -> Iterator[tuple[int, str, int, int, int]]:
    """Yield the tag and the VR (empty if implicit) of each element, where it and its value begin, and where it ends.

    What has no defined length has 0 as its end, and is the last one.
    """
    at, last = 0, len(raw)
    while at < last:
        try:
            if not explicit:
                group, element, length = _IMPLICIT_HEAD.unpack_from(raw, at)
                vr, start = "", at + 8
            else:
                group, element, code, length = _SHORT_HEAD.unpack_from(raw, at)
                vr, start = code.decode("ascii"), at + 8
                if vr in _LONG:
                    length = _LONG_HEAD.unpack_from(raw, at)[3]
                    start += 4
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"no data element at byte {at}") from error
        tag = group << 16 | element
        if length == _UNDEFINED:
            yield tag, vr, at, start, 0
            return
        if length > last - start:
            raise ValueError(f"({group:04X},{element:04X}) claims {length} bytes where {last - start} are left")
        yield tag, vr, at, start, start + length
        at = start + length


def _decode_nested(raw: bytes, explicit: bool) -> dict[str, str]:
    with warnings.catch_warnings(action="ignore"):
        try:
            dataset = read_dataset(BytesIO(raw), not explicit, True)
            return {
                _keyword_of(element.tag): ""
                if element.VR == "SQ"
                else "\\".join(convert(element, element.VR, [dataset]))
                for element in dataset
            }
        except Exception as error:
            raise ValueError("the data set cannot be read") from error


def data_set_of_file(raw: bytes) -> bytes:
    """Return the data set of a DICOM file's bytes, byte for byte, without preamble and File Meta Information.

    Raises
    ------
    ValueError
        If there is no preamble.

    Examples
    --------
    >>> from dicomover.dicomfile import encode_file_meta
    >>> data_set_of_file(encode_file_meta("1.2", "1.2.3", "1.2.840.10008.1.2.1") + b"the data set")
    b'the data set'
    """
    if raw[128:132] != b"DICM":
        raise ValueError("no DICOM file: DICM is not where it should be")
    return raw[132 + measure_file_meta(memoryview(raw)[132:])[0] :]
