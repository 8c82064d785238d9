"""The header of one file: what is wanted of it, as texts.

A file that keeps to PS3.10 is walked over by its elements' lengths, which is several times faster than to parse it;
pydicom reads what that cannot: deflated and big-endian files, private elements and what is in sequences.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_has_tag

from dicomover.attributes.attribute import FLOATS, INTEGERS, TEXTS, Attribute, attribute_of
from dicomover.attributes.charset import decode, read_character_sets
from dicomover.attributes.reading import read_text
from dicomover.dicomfile import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    Head,
    HeadError,
    is_headers_only,
    read_file_meta,
)
from dicomover.disk import open_file
from dicomover.images.beginnings import MANY_READS, Beginning, inflate_file
from dicomover.text.hush import hush_pydicom

__all__ = ["Header", "Wanted", "read_header"]

_CHARACTER_SET = 0x00080005
_LAST = 0x7FE00000  # the pixels, and whatever follows them, are never read
_FIRST = 1 << 13  # bytes of a file to read first: most heads end within them
_MORE = 1 << 20  # bytes
_MOST = 1 << 28  # bytes of a head, or that pydicom may read or inflate for one
_FEW_READS = 1 << 19  # of pydicom, where a file is deflated or broken: what is neither has far fewer in its head
_BY_PYDICOM = (DEFLATED, EXPLICIT_BIG_ENDIAN, "")


class Header(NamedTuple):
    """What a file says of itself."""

    transfer_syntax: str  # its Transfer Syntax UID (0002,0010)
    values: list[str | None]  # what was wanted, in that order; None where the file does not say
    start: int = 0  # where its data set begins; 0 where that is not to be seen without pydicom
    headers_only: bool = False  # whether it lacks the pixels, as was asked for


class Wanted:
    """Names of attributes, made ready for many files; raises NoKey if one of them names no attribute."""

    def __init__(
        self,
        names: Sequence[str],  # keywords, tags, or paths through sequences
    ) -> None:
        self.attributes = [attribute_of(name) for name in names]
        self.simple = all(len(item.path) == 1 and not item.path[0] >> 16 & 1 for item in self.attributes)
        self.readers = [(int(item.path[-1]), _reader_of(item)) for item in self.attributes]
        self.tags = frozenset({_CHARACTER_SET, *(tag for tag, _ in self.readers)})
        self.last = min(_LAST, max(self.tags))


_Reader = Callable[[bytes, tuple[str, ...]], str | None]


def _reader_of(attribute: Attribute) -> _Reader:
    code = {**INTEGERS, **FLOATS}.get(attribute.vr)
    if code is not None:
        return lambda raw, _: _numbers(raw, code)
    return _text if attribute.vr in TEXTS else _nothing


def _text(raw: bytes, codecs: tuple[str, ...]) -> str | None:
    text = raw.decode("ascii") if raw.isascii() and b"\x1b" not in raw else decode(raw, codecs)
    return text.strip(" \0") or None


def _nothing(_: bytes, __: tuple[str, ...]) -> None:
    """Say nothing of bytes that are neither text nor number."""


def _numbers(raw: bytes, code: str) -> str | None:
    size = struct.calcsize(f"<{code}")
    if not raw or len(raw) % size:
        return None
    return "\\".join(map(str, struct.unpack(f"<{len(raw) // size}{code}", raw)))


def read_header(path: str, wanted: Wanted, *, strict: bool = False) -> Header | None:
    r"""Read what is wanted of a file; None if it is no DICOM file, or no file at all.

    Raises HeadError if it is one, and cannot be read: in the usual way, if `strict`, and by pydicom otherwise. And
    OSError.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> read_header(get_testdata_file("CT_small.dcm"), Wanted(["Modality", "Rows", "PixelSpacing"])).values
    ['CT', '128', '0.661468\\0.661468']
    """
    stream = open_file(path)
    if stream is None:
        return None
    with stream:
        data = stream.read(_FIRST)
        if data[128:132] != b"DICM":
            return None
        syntax, start = read_file_meta(data)
        lacks_pixels = is_headers_only(data, start)
        if not wanted.simple:
            return _read_by_pydicom(stream, wanted)._replace(headers_only=lacks_pixels)
        if syntax in _BY_PYDICOM:
            return _read_by_pydicom(stream, wanted, _FEW_READS)._replace(headers_only=lacks_pixels)
        head = Head(syntax == IMPLICIT_LITTLE_ENDIAN, wanted.tags, wanted.last)
        try:
            _read_head(head, stream, data, start)
        except HeadError:
            if strict:
                raise
            # It is more patient, or says why not.
            return _read_by_pydicom(stream, wanted, _FEW_READS)._replace(headers_only=lacks_pixels)
    found = head.values
    codecs = read_character_sets(found.get(_CHARACTER_SET, b""))
    values = [read(found[tag], codecs) if tag in found else None for tag, read in wanted.readers]
    return Header(syntax, values, start, lacks_pixels)


def _read_head(head: Head, stream: BinaryIO, data: bytes, start: int) -> None:
    """Read a head to its end: from the first bytes of a file, then from the stream; raises HeadError.

    What was passed is let go, and what is long is not read to be passed over.
    """
    body, ended = data[start:], len(data) < _FIRST
    while not head.feed(body, len(body), complete=ended):
        ahead, head.due = head.due - len(body), 0
        if ahead > _MORE:
            stream.seek(ahead - 1, os.SEEK_CUR)
            if not stream.read(1):
                raise HeadError("the data set ends inside an element")
            body = b""
        else:
            body = body[head.offset :]
        head.offset = 0
        more = stream.read(_MORE)
        body, ended = body + more, not more
        if len(body) > _MOST:
            raise HeadError(f"an element of its head is longer than {_MOST >> 20} MiB")


def _read_by_pydicom(stream: BinaryIO, wanted: Wanted, reads: int = MANY_READS) -> Header:
    stream.seek(0)
    try:
        with hush_pydicom():
            file = inflate_file(stream, _MOST)
            dataset: Dataset = dcmread(Beginning(file, _MOST, reads), stop_before_pixels=True)
            if not dataset.original_encoding[1]:
                dataset.decode()  # what is read as bytes is taken for Little Endian
        syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "") if file is stream else DEFLATED
        if not any(tag >> 16 & 1 or dictionary_has_tag(tag) for tag in list(dataset.keys()) if 4 <= tag >> 16 < 0xFFFE):
            raise HeadError("it has no element of DICOM's dictionary")
        return Header(syntax, [read_text(dataset, item.name) or None for item in wanted.attributes])
    except (HeadError, OSError):
        raise
    except Exception as error:  # a broken file may raise anything
        raise HeadError(f"pydicom cannot read it, {type(error).__name__}") from error
