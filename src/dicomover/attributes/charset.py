"""The character sets of an identifier, as archives name them, and what its bytes may mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydicom.charset import CODES_TO_ENCODINGS, handled_encodings, python_encoding

__all__ = ["decode", "read_character_sets", "read_every_way"]

_NUMBERED = re.compile(r"ISO[ _-]*(2022)?[ _-]*(?:IR)?[ _-]*(\d+)(?:[-:]\d{4})?")
_OTHERS = {"UTF8": "UTF8", "GB18030": "GB18030", "GBK": "GBK", "ISO2022GBK": "GBK", "GB2312": "GB2312"}
_LATIN = {"ISO88591": "ISO_IR 100", "LATIN1": "ISO_IR 100", "ISO88592": "ISO_IR 101", "ISO885915": "ISO_IR 203"}
_CODECS = {**python_encoding, "ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}
_DEFAULT = "ascii"
_ESCAPES = {**CODES_TO_ENCODINGS, b"\x1b-b": "iso8859_15", b"\x1b(B": _DEFAULT, b"\x1b(J": "shift_jis"}
_DELIMITERS = re.compile(rb"[\\^=\r\n\f\t]")
_EVERY = tuple(dict.fromkeys(["UTF8", "latin_1", *_CODECS.values()]))


def read_character_sets(raw: bytes) -> tuple[str, ...]:
    r"""Return Python's names of the sets that (0008,0005) names; none for those that nobody knows, and for ASCII.

    Archives write it as they like: `ISO_IR 100`, `ISO-IR 100`, `ISO 2022 IR 100`, `iso_ir_100`, `UTF-8`.

    Examples
    --------
    >>> read_character_sets(b"ISO-IR 100"), read_character_sets(b"\\ISO 2022 IR 87 "), read_character_sets(b"ISO_IR 6")
    (('latin_1',), ('ascii', 'iso2022_jp'), ())
    """
    names = raw.decode("ascii", "replace").split("\\")
    found = [_read_name(name.strip(" \0").upper()) for name in names]
    found = [codec for n, codec in enumerate(found) if codec != _DEFAULT or (n == 0 and len(found) > 1)]
    return tuple(codec for codec in found if codec) if any(codec != _DEFAULT for codec in found) else ()


def _read_name(name: str) -> str:
    """Return the codec of a defined term, "" if nobody knows it."""
    if not name:
        return _DEFAULT
    if match := _NUMBERED.fullmatch(name):
        if match[2] in ("6", "646"):
            return _DEFAULT
        if match[2] == "58":
            return "iso_ir_58"
        if match[2] == "192":
            return "UTF8"
        found = _CODECS.get(f"ISO_IR {match[2]}") or _CODECS.get(f"ISO 2022 IR {match[2]}")
        if found:
            return found
    plain = re.sub(r"[^A-Z0-9]", "", name)
    return _OTHERS.get(plain) or _CODECS.get(_LATIN.get(plain, "-"), "")


def decode(raw: bytes, codecs: Sequence[str]) -> str:
    r"""Return a text as its data set says; where it does not say, or says what cannot be, as UTF-8, or as Latin-1.

    Examples
    --------
    >>> decode("Müller".encode(), ()), decode(b"M\xfcller", ()), decode(b"M\xfcller", ("UTF8",))
    ('Müller', 'Müller', 'Müller')
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    for codec in (*codecs[:1], "UTF8"):
        try:
            return _decode_escaped(raw, codec) if b"\x1b" in raw else raw.decode(codec)
        except (LookupError, UnicodeError):
            continue
    return raw.decode("latin_1")


def read_every_way(raw: bytes, codecs: Sequence[str]) -> Iterator[str]:
    """Yield what a text may mean: first as its data set says, then in every set that DICOM has.

    Archives label what they do not convert, or do not label it at all.
    """
    yield decode(raw, codecs)
    if raw.isascii():
        return
    for codec in _EVERY:
        try:
            yield raw.decode(codec)
        except (LookupError, UnicodeError):
            continue


def _decode_escaped(raw: bytes, first: str) -> str:
    """Decode a text that switches its set by escape sequences (PS3.5 section 6.1.2.5); a delimiter switches back."""
    texts = []
    for part in re.split(rb"(?=\x1b)", raw):
        code = next((part[:length] for length in (4, 3) if part[:length] in _ESCAPES), b"")
        codec = _ESCAPES[code] if code else first
        if codec in handled_encodings and not code.startswith(b"\x1b$)"):
            texts.append(part.decode(codec))
            continue
        rest = part[len(code) :]
        end = _DELIMITERS.search(rest) if code else None
        cut = end.start() if end else len(rest)
        texts += [rest[:cut].decode(codec), rest[cut:].decode(first)]
    return "".join(texts)
