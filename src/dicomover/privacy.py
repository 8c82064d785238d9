"""How requests are named and kept in the file: in plain text, or so that no patient can be read from it."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from dicomover.attributes.attribute import attribute_of
from dicomover.attributes.uid import is_uid
from dicomover.disk import DamagedRecord
from dicomover.errors import ConfigurationError
from dicomover.identifier import Request
from dicomover.text.face import advise

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

__all__ = [
    "Asked",
    "DamagedRecord",
    "Hashed",
    "Keeper",
    "Plain",
    "Privacy",
    "Who",
    "check_privacy",
    "make_keeper",
    "open_keeper",
]

Privacy = Literal["plain", "hashed"]
Who = Sequence[object]
"""The archive that is asked, and who receives, each as `Node.known_as` has it."""

_SHORTEST_SECRET = 16  # characters; whoever has the file may try as many secrets as they like
_ROUNDS = 200_000  # of PBKDF2, about a tenth of a second
_CIPHER = "AES-256-GCM-SIV"
_NONCE = 12  # bytes, at the beginning of what is sealed


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as the journal knows it."""

    key: str  # the same for all requests that ask the same of the same archive for the same receiver
    text: str = field(repr=False)  # what is kept of it, as JSON; with hashed keys nothing but UIDs can be read from it


def _normalize(request: Request, who: Who) -> tuple[list[object], dict[str, str]]:
    """Return what a request asks for, whatever its order, label and model: where, and its keys.

    One that a lockfile pins down asks for something else than the same one that the archive is to look up.
    """
    keys = {}
    for keyword, value in sorted(request.keys.items()):
        is_list = "\\" in value and _is_uid(keyword)
        keys[keyword] = "\\".join(sorted(set(value.split("\\")))) if is_list else value
    return [*who, str(request.level), *([request.pin] if request.pin else [])], keys


@lru_cache
def _is_uid(keyword: str) -> bool:
    return keyword.endswith("UID") and attribute_of(keyword).vr == "UI"


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _json(*content: object) -> bytes:
    return _encode(content).encode()


def _text(place: list[object], keys: Mapping[str, str]) -> str:
    archive, destination, level, *_ = place
    content = {"archive": archive, "destination": destination, "level": level, "keys": keys}
    return json.dumps(content)


class Plain:
    """Keeps everything as it is."""

    privacy: Privacy = "plain"

    def asked(self, request: Request, who: Who) -> Asked:
        """Name a request."""
        place, keys = _normalize(request, who)
        return Asked(hashlib.sha256(_json(place, keys)).hexdigest()[:32], _text(place, keys))

    def value(self, keyword: str, value: str) -> str:  # noqa: ARG002 - as `Hashed` does
        """Return what is kept of a key."""
        return value

    def seal(self, content: bytes) -> bytes:
        """Return what is kept of it."""
        return content

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed."""
        return sealed


class Hashed:
    """Keeps keys as HMAC-SHA-256 and seals what may name a patient, such as the paths of files.

    Keys that are UIDs stay readable. What is sealed is sealed by AES-256-GCM-SIV (RFC 8452), which stays safe where a
    nonce is used again; all keys come from the secret and a salt by PBKDF2.

    Examples
    --------
    >>> keeper = Hashed("a long and good secret", bytes(16))
    >>> sealed = keeper.seal(b"4711")
    >>> b"4711" in sealed, keeper.open(sealed)
    (False, b'4711')
    """

    privacy: Privacy = "hashed"

    def __init__(self, secret: str | bytes, salt: bytes) -> None:
        raw = secret.encode() if isinstance(secret, str) else secret
        master = hashlib.pbkdf2_hmac("sha256", raw, salt, _ROUNDS)
        self._names, seal, check = (hmac.digest(master, purpose, "sha256") for purpose in (b"names", b"seal", b"check"))
        self._cipher = _make_cipher(seal)
        self.kept = {"privacy": "hashed", "cipher": _CIPHER, "salt": salt.hex(), "check": check.hex()}

    def asked(self, request: Request, who: Who) -> Asked:
        """Name a request."""
        place, keys = _normalize(request, who)
        kept = {keyword: self.value(keyword, value) for keyword, value in keys.items()}
        return Asked(self.digest(place, keys), _text(place, kept))

    def value(self, keyword: str, value: str) -> str:
        """Return what is kept of a key: a UID as it is, anything else as a keyed hash, whatever column it stands in."""
        is_uid_key = _is_uid(keyword) and all("." in uid and is_uid(uid) for uid in value.split("\\"))
        return value if is_uid_key else self.digest(keyword, value)

    def digest(self, *content: object) -> str:
        """Return the keyed hash of some content, which is the same for the same content and secret."""
        return hmac.digest(self._names, _json(*content), "sha256").hex()[:32]

    def seal(self, content: bytes, *, steady: bool = False) -> bytes:
        """Return what is kept of it; `steady` seals the same content in the same way, which shows that it is."""
        nonce = bytes(_NONCE) if steady else secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, None)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed; raises DamagedRecord if it is not what was sealed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except (InvalidTag, ValueError, TypeError) as error:
            raise DamagedRecord("sealed content that was changed") from error


def _make_cipher(key: bytes) -> AESGCMSIV:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
    except ImportError as error:
        raise ConfigurationError(
            "privacy='hashed' seals with the package cryptography, which is not installed",
            "pip install 'dicomover[privacy]'",
        ) from error
    return AESGCMSIV(key)


Keeper = Plain | Hashed


def check_privacy(privacy: Privacy, secret: str | bytes | None) -> None:
    """Refuse a choice that cannot be meant; the secret is never shown."""
    if privacy not in get_args(Privacy):
        raise ConfigurationError(f"privacy={privacy!r} is neither 'plain' nor 'hashed'", "choose one")
    if privacy == "plain" and secret is not None:
        raise ConfigurationError(
            "a secret was given, but privacy='plain' keeps keys as they are", "say privacy='hashed'"
        )
    if privacy == "hashed" and secret is None:
        raise ConfigurationError(
            "privacy='hashed' needs secret=", "make one with secrets.token_hex(16) and keep it safe"
        )
    if not isinstance(secret, str | bytes | None):
        raise ConfigurationError(f"secret= is {type(secret).__name__}, not text", "make one with secrets.token_hex(16)")
    if privacy == "hashed":
        _make_cipher(bytes(32))
    if secret is not None and len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"a secret of {len(secret)} characters can be guessed by whoever has the file",
            f"give at least {_SHORTEST_SECRET}, {advise('such as secrets.token_hex(16)')}",
        )


def open_keeper(privacy: Privacy, secret: str | bytes | None, kept: Mapping[str, str], name: str) -> Keeper:
    """Return the keeper that a journal was begun with, if the choice and the secret are the same.

    `kept` is what the file has kept of the first choice: `privacy`, `cipher`, `salt`, `check`.
    """
    chosen = kept.get("privacy")
    if chosen not in get_args(Privacy):
        raise ConfigurationError(f"{name} is damaged: it does not say how its keys are kept", "name another file")
    if chosen != privacy:
        raise ConfigurationError(
            f"{name} was begun with privacy={chosen!r}, not {privacy!r}",
            f"say privacy={chosen!r}, or name another file",
        )
    if privacy == "plain" or secret is None:
        return Plain()
    if kept.get("cipher") != _CIPHER:
        raise ConfigurationError(
            f"{name} was sealed in the way of another dicomover, which this one does not read", "begin another file"
        )
    salt, check = (str(kept.get(part, "")) for part in ("salt", "check"))
    if not re.fullmatch(r"([0-9a-f]{2})+", salt) or not check.isascii():
        raise ConfigurationError(f"{name} is damaged: its salt cannot be read", "name another file")
    keeper = Hashed(secret, bytes.fromhex(salt))
    if not hmac.compare_digest(keeper.kept["check"], check):
        raise ConfigurationError(
            f"{name} was begun with another secret (value not shown)", "give that one, or name another file"
        )
    return keeper


def make_keeper(privacy: Privacy, secret: str | bytes | None) -> tuple[Keeper, dict[str, str]]:
    """Return the keeper of a new journal, and what the journal keeps of the choice."""
    if privacy == "plain" or secret is None:
        return Plain(), {"privacy": "plain"}
    keeper = Hashed(secret, secrets.token_bytes(16))
    return keeper, keeper.kept
