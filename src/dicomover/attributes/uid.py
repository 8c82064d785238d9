"""UIDs: what is one by the Standard, and what archives call one."""

from __future__ import annotations

import re

__all__ = ["is_named", "is_uid", "may_be_named", "remember_uid", "was_named"]

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_NAMED = re.compile(r"(?=.*[0-9])[0-9A-Za-z._-]{1,128}")
_HEX = re.compile(r"(?=.*[0-9])[0-9A-Fa-f]+(\.[0-9A-Fa-f]+)*")
_MOST = 100_000
_odd: dict[str, None] = {}  # what archives have named in this process; any thread may add, nobody takes away


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID (PS3.5 section 9.1): digits and dots, no leading zeros, at most 64 characters.

    Examples
    --------
    >>> is_uid("1.2.840.10008.1.1"), is_uid("1.02"), is_uid("..")
    (True, False, False)
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_named(uid: str) -> bool:
    """Tell whether a text may be what an archive calls a UID: one of too many characters, with letters, say.

    Nothing of it means something else in an identifier, as a wildcard or a backslash would.

    Examples
    --------
    >>> is_named("1.02.3"), is_named("1.2.A4"), is_named("1.2*"), is_named("['1.2', '1.3']"), is_named("")
    (True, True, False, False, False)
    """
    return _NAMED.fullmatch(uid) is not None


def may_be_named(text: str) -> bool:
    """Tell whether a text that is no UID by the Standard is one that archives do name: leading zeros, a hash, too long.

    To ask for such a one harms nobody: what an archive says of it is held against it letter by letter.

    Examples
    --------
    >>> may_be_named("1.2.07"), may_be_named("05fa52f0e599f17b8186ff18fcdf2b55"), may_be_named("1." + "2" * 64)
    (True, True, True)
    >>> may_be_named("A123"), may_be_named("1.2."), may_be_named("1.2.x")
    (False, False, False)
    """
    return ("." in text or len(text) > 15) and len(text) <= 128 and _HEX.fullmatch(text) is not None


def remember_uid(uid: str) -> str:
    """Return a UID that an archive has named; one that is none by the Standard may be asked for from now on."""
    if not is_uid(uid) and is_named(uid) and len(_odd) < _MOST:
        _odd[uid] = None
    return uid


def was_named(uid: str) -> bool:
    """Tell whether an archive has named something, in this process, that is no UID by the Standard.

    Examples
    --------
    >>> was_named("1.2.07"), remember_uid("1.2.07"), was_named("1.2.07")
    (False, '1.2.07', True)
    """
    return uid in _odd
