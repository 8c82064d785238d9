"""Characters that a value cannot have, or that are not what they look like, named by their code point. No network."""

from __future__ import annotations

import re
import unicodedata

from pydicom.valuerep import VALIDATORS

__all__ = ["find_bad_letter", "find_look_alike", "fits_vr", "is_text", "name_letter"]

_LOCAL = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UN", "UT"})
_HALVES = re.compile("[\ud800-\udfff]")
_JOINED = re.compile(r"(?<=[^\x00-\x7f])[\u200c\u200d](?=[^\x00-\x7f])")  # as Persian and Hindi are written


def fits_vr(vr: str, text: str) -> bool:
    """Tell whether a VR can hold one text, or a range of them, as pydicom knows it.

    Examples
    --------
    >>> fits_vr("CS", "CT"), fits_vr("CS", "ct"), fits_vr("TM", "1000-1200"), fits_vr("TM", "10:00")
    (True, False, True, False)
    """
    return bool(VALIDATORS[vr](vr, text)[0])  # type: ignore[no-untyped-call]


def name_letter(letter: str) -> str:
    r"""Return the code point of a character, and its name.

    Examples
    --------
    >>> name_letter("\u2013"), name_letter("\x07")
    ('U+2013 (EN DASH)', 'U+0007')
    """
    name = unicodedata.name(letter, "")
    return f"U+{ord(letter):04X}" + (f" ({name})" if name else "")


def is_text(value: object) -> bool:
    """Tell whether a column of dtype string can hold it: PyArrow's takes no half of a character (a surrogate)."""
    return isinstance(value, str) and (value.isascii() or not _HALVES.search(value))


def find_bad_letter(vr: str, text: str) -> tuple[str, str] | None:
    r"""Return what is wrong with a character of a text, and the mend; None if its VR can hold them all.

    Examples
    --------
    >>> find_bad_letter("DA", "20230101\u201320231231")
    ('has U+2013 (EN DASH), which a DA cannot have', 'write - in its place')
    >>> find_bad_letter("LO", "12\u200b3")
    ('has an invisible character, U+200B (ZERO WIDTH SPACE)', 'take it away, or type the value anew')
    >>> find_bad_letter("PN", "Müller"), find_bad_letter("PN", "山田\u3000太郎")
    (None, None)
    """
    if text.isascii() and text.isprintable():
        return None
    for letter in text:
        if letter < " " or letter == "\x7f":
            return "has a control character or a line break", "take it away"
    if vr in _LOCAL:
        text = _JOINED.sub("", text).replace("\u3000", "")
    for letter in text:
        if letter == "\ufffd":
            return f"has {name_letter(letter)}, which stands for a lost character", "restore it from its source"
        if not letter.isprintable():
            why = f"has an invisible character, {name_letter(letter)}"
            return why, "take it away, or type the value anew"
        if not letter.isascii() and vr not in _LOCAL:
            plain = _plain(letter)
            mend = _replace_by(plain) if plain else "type the value anew, in plain ASCII"
            return f"has {name_letter(letter)}, which {_article(vr)} {vr} cannot have", mend
    return None


def find_look_alike(text: str) -> tuple[str, str] | None:
    r"""Return which character of a number or a code only looks like a plain one, and the mend; None if none does.

    Letters of another alphabet are taken for what they are where no Latin letter stands beside them.

    Examples
    --------
    >>> find_look_alike("A\u20131")
    ('has U+2013 (EN DASH), which looks like -', 'write - in its place')
    >>> find_look_alike("\u0421T1")
    ('has U+0421 (CYRILLIC CAPITAL LETTER ES) among Latin letters', 'type the value anew')
    >>> find_look_alike("É-7"), find_look_alike("\u0421\u0422-7")
    (None, None)
    """
    if text.isascii():
        return None
    is_latin = any(letter.isascii() and letter.isalpha() for letter in text)
    for letter in text:
        if letter.isascii():
            continue
        if plain := _plain(letter):
            return f"has {name_letter(letter)}, which looks like {plain}", _replace_by(plain)
        if is_latin and unicodedata.name(letter, "").startswith(("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")):
            return f"has {name_letter(letter)} among Latin letters", "type the value anew"
    return None


def _plain(letter: str) -> str:
    """Return the ASCII character that a dash, a full-width character or the like stands for; empty for all others."""
    if letter == "\u2212" or unicodedata.category(letter) == "Pd":
        return "-"
    if unicodedata.category(letter) == "Nd":
        return str(unicodedata.digit(letter))
    plain = unicodedata.normalize("NFKC", letter)
    return plain if len(plain) == 1 and "!" <= plain <= "~" else ""


def _replace_by(plain: str) -> str:
    return "take it away" if plain in "*?\\" else f"write {plain} in its place"  # which would mean something else


def _article(vr: str) -> str:
    return "an" if vr[0] in "AFILOS" else "a"
