"""What may stand in a file of profiles: the keys of each table, and what each is. Pure; no value is ever quoted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from dicomover.disk import Share
from dicomover.errors import ConfigurationError
from dicomover.node import Roles
from dicomover.outcome import Verify

__all__ = ["ME", "NODE", "QUIRKS", "Keys", "check", "suggest"]

Keys = Mapping[str, Any]
"""What each key is: a word of `_KINDS`, a set of texts of which it is one, the keys of a table; or any of several."""

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "path": str,
    "whole number": int,
    "number": (int, float),
    "switch": bool,
    "list of texts": list,
}
_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
_LONGEST, _NAME = 4096, 100  # characters of a value, and of a key that is shown
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_SECRET: Keys = {"env": "text", "file": "path", "keyring": "text", "user": "text"}
_TLS: Keys = {
    "ca": "path",
    "cert": "path",
    "key": "path",
    "password": ("text", _SECRET),
    "name": "text",
    "peers": "list of texts",
}
_SECONDS = dict.fromkeys(("connect", "acse", "dimse", "stall", "progress", "total"), "number")

QUIRKS: Keys = {
    "lists": "switch",
    "patient_id": "switch",
    "find_cap": "whole number",
    "cancels": "switch",
    "roles": frozenset(get_args(Roles)),
}

ME: Keys = {
    "ae_title": "text",
    "port": "whole number",
    "receive": "path",
    "destination": "text",
    "bind": "text",
    "workers": ("whole number", "text"),
    "addresses": "list of texts",
    "calling_ae_titles": "list of texts",
    "accept": ("text", "list of texts"),
    "layout": "text",
    "share": frozenset(get_args(Share)),
    "tls": _TLS,
}

NODE: Keys = {
    "host": "text",
    "port": "whole number",
    "ae_title": "text",
    "name": "text",
    "tls": ("switch", _TLS),
    "identity": {
        "user": "text",
        "password": ("text", _SECRET),
        "saml": ("text", _SECRET),
        "jwt": ("text", _SECRET),
        "confirm": "switch",
        "in_plain": "switch",
    },
    "via": frozenset({"move", "get", "auto"}),
    "associations": "whole number",
    "max_per_minute": "number",
    "window": "text",
    "utilization": "number",
    "retry": ("text", "whole number"),
    "verify": frozenset(get_args(Verify)),
    "model": frozenset({"patient", "study", "auto"}),
    "timeouts": _SECONDS,
    "quirks": QUIRKS,
    "me": ME,
}


def check(table: object, keys: Keys, where: str) -> None:
    """See that a table has no other keys, and each is what it should be; raises ConfigurationError."""
    if not isinstance(table, dict):
        header = where[where.rindex("[") :]
        raise ConfigurationError(f"{where} is {_word(table)}, not a table", f"begin it by a line {header}")
    for name, value in table.items():
        if name not in keys:
            raise ConfigurationError(f"{where} has no key {name[:_NAME]!r}", suggest(name[:_NAME], keys))
        if isinstance(value, str) and len(value) > _LONGEST:
            said = f"{where} {name} is a text of {len(value):,} characters, and {_LONGEST:,} at most are read"
            raise ConfigurationError(said, "mend it")
        kinds = keys[name] if isinstance(keys[name], tuple) else (keys[name],)
        inner = next((kind for kind in kinds if isinstance(kind, Mapping)), None)
        if inner is not None and (isinstance(value, dict) or len(kinds) == 1):
            check(value, inner, f"{where[:-1]}.{name}]")
        elif isinstance(kinds[0], frozenset) and isinstance(value, str):
            if value not in kinds[0]:
                raise ConfigurationError(f"{where} {name} is another text than is meant", suggest(value, kinds[0]))
        elif not any(isinstance(kind, str) and _is_a(value, kind) for kind in kinds):
            wanted = " or ".join("a table" if isinstance(kind, Mapping) else _named(kind) for kind in kinds)
            raise ConfigurationError(f"{where} {name} is {_word(value)}, where {wanted} is meant", "mend it")
        elif "path" in kinds and _CONTROL.search(value):
            raise ConfigurationError(
                f"{where} {name} has a control character: in double quotes a backslash means more than itself",
                "write a Windows path in single quotes, or with slashes",
            )


def suggest(name: str, known: Iterable[str]) -> str:
    """Return what to do about a name that is none.

    Examples
    --------
    >>> suggest("hots", NODE)
    "did you mean 'host'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, 1)
    return f"did you mean {near[0]!r}?" if near else f"these are known: {', '.join(names)}"


def _is_a(value: object, kind: str) -> bool:
    if isinstance(value, bool) and kind != "switch":
        return False
    if kind == "list of texts":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, _KINDS[kind])


def _named(kind: str | frozenset[str]) -> str:
    if isinstance(kind, frozenset):
        return f"one of {', '.join(sorted(kind))}"
    return {"switch": "true or false", "path": "a path, a text"}.get(kind, f"a {kind}")


def _word(value: object) -> str:
    return _WORDS.get(type(value), "a date or time")
