"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 sections 9.3.2, 9.3.3) as peers really send them, read for what they mean.

What nobody needs is passed over, whatever it is: unknown items and sub-items (section 9.3.1), version names, the
implementation's UID. What is needed and cannot be read refuses the smallest thing: one presentation context. Only what
does not hold together as items, or is shorter than its fixed part, cannot be read at all.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dicomover.wire.messages import Context
from dicomover.wire.pdus import encode_item, split_items

__all__ = [
    "APPLICATION_CONTEXT",
    "AssociationAnswer",
    "AssociationRequest",
    "Roles",
    "encode_roles",
    "parse_answer",
    "parse_request",
]

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

_MOST_CONTEXTS = 128
_FIXED = 68  # protocol version, AE titles, reserved
_APPLICATION_CONTEXT, _PROPOSED, _ANSWERED, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50
_MAXIMUM_LENGTH, _ROLE, _VERSION_NAME, _IDENTITY, _IDENTITY_ANSWER = 0x51, 0x54, 0x55, 0x58, 0x59
_UID = re.compile(r"[0-9.]{1,64}")
_PADDING = " \0"
_OTHER_APPLICATION, _OTHER_VERSION = (1, 1, 2), (1, 2, 2)

Roles = Mapping[str, tuple[bool, bool]]
"""By SOP Class, whether the requester of the association is its SCU, and its SCP; in words of PS3.7 section D.3.3.4."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What an A-ASSOCIATE-RQ asks for (PS3.8 section 9.3.2)."""

    # without their padding; characters beyond ASCII as in ISO 8859-1
    called_ae_title: str
    calling_ae_title: str
    # each once; what is no UID in one is left out of it, so that it is refused and no other
    contexts: tuple[Context, ...]
    max_pdu: int  # the largest P-DATA-TF PDU that the peer accepts; 0 for no limit, or if it says nothing
    implementation: str = ""  # its version name; empty if it says nothing
    # result, source and reason of the A-ASSOCIATE-RJ that the request has to be answered by, whoever we are
    rejection: tuple[int, int, int] | None = None
    # both AE titles as they came: an acceptance repeats them
    titles: bytes = field(default=b"", repr=False, compare=False)
    roles: Roles = field(default_factory=dict)  # that the peer proposes; SCU alone where it proposes none
    # the sub-item in which it names a user and shows a secret (PS3.7 section D.3.3.7), as it came; empty if it does not
    identity: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AssociationAnswer:
    """What an A-ASSOCIATE-AC says; its AE titles and application context are not to be looked at (PS3.8 Table 9-17)."""

    # the transfer syntaxes of each accepted context, by its id; a well-behaved peer names one
    accepted: Mapping[int, tuple[str, ...]]
    # the result of each of the others: 1 by its user, 2 without a reason, 3 and 4 for its syntaxes
    refused: Mapping[int, int]
    max_pdu: int | None  # as in a request; None if the peer says nothing
    implementation: str = ""  # as in a request
    roles: Roles = field(default_factory=dict)  # that the peer accepts of those that were proposed
    confirms_identity: bool = False  # whether it says that it has looked at the user's identity (PS3.7 section D.3.3.7)


def encode_roles(roles: Roles) -> bytes:
    """Encode the sub-items that propose roles, or accept them."""
    items = ((uid.encode("ascii"), scu, scp) for uid, (scu, scp) in roles.items())
    return b"".join(
        encode_item(_ROLE, struct.pack(">H", len(uid)) + uid + bytes((scu, scp))) for uid, scu, scp in items
    )


def parse_request(body: bytes | bytearray | memoryview) -> AssociationRequest:
    """Read the body of an A-ASSOCIATE-RQ; raises ValueError if it does not hold together."""
    raw = bytes(body)
    names: list[str] = []
    contexts: dict[int, Context] = {}
    proposed = 0
    user: dict[int, bytes] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    for kind, value in _split_body(raw):
        if kind == _APPLICATION_CONTEXT:
            names.append(_read_text(value))
        elif kind == _PROPOSED and value:
            proposed += 1
            if proposed > _MOST_CONTEXTS:
                raise ValueError(f"it proposes more presentation contexts than there are ids ({_MOST_CONTEXTS})")
            abstract, transfer = _read_syntaxes(value)
            # An id has one meaning; what uses it again is not answered.
            contexts.setdefault(value[0], Context(value[0], next(iter(abstract), ""), transfer))
        elif kind == _USER:
            parts = _split_leniently(value)
            user.update(parts)
            roles.update(_read_roles(parts))
    rejection = None
    if not raw[1] & 1:
        rejection = _OTHER_VERSION
    elif any(names) and APPLICATION_CONTEXT not in names:
        rejection = _OTHER_APPLICATION
    return AssociationRequest(
        _read_ae_title(raw[4:20]),
        _read_ae_title(raw[20:36]),
        tuple(contexts.values()),
        _read_maximum_length(user) or 0,
        _read_text(user.get(_VERSION_NAME, b"")),
        rejection,
        raw[4:36],
        roles,
        user.get(_IDENTITY, b""),
    )


def parse_answer(body: bytes | bytearray | memoryview) -> AssociationAnswer:
    """Read the body of an A-ASSOCIATE-AC; raises ValueError if it does not hold together."""
    accepted: dict[int, tuple[str, ...]] = {}
    refused: dict[int, int] = {}
    user: dict[int, bytes] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    for kind, value in _split_body(bytes(body)):
        if kind == _ANSWERED and len(value) >= 3:
            if value[2]:
                refused[value[0]] = value[2]  # its transfer syntax means nothing (PS3.8 section 9.3.3.2)
            else:
                accepted[value[0]] = _read_syntaxes(value)[1]
        elif kind == _USER:
            parts = _split_leniently(value)
            user.update(parts)
            roles.update(_read_roles(parts))
    name = _read_text(user.get(_VERSION_NAME, b""))
    return AssociationAnswer(accepted, refused, _read_maximum_length(user), name, roles, _IDENTITY_ANSWER in user)


def _split_body(raw: bytes) -> Iterator[tuple[int, bytes]]:
    if len(raw) < _FIXED:
        raise ValueError(f"it has {len(raw)} bytes, its fixed part alone has {_FIXED}")
    yield from split_items(raw, _FIXED)


def _split_leniently(raw: bytes) -> list[tuple[int, bytes]]:
    """Return the sub-items up to the first one that does not fit in."""
    found: list[tuple[int, bytes]] = []
    with contextlib.suppress(ValueError):
        for item in split_items(raw):
            found.append(item)  # noqa: PERF402 - those before the one that does not fit in stay
    return found


def _read_syntaxes(value: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the abstract and the transfer syntaxes of a context that are UIDs; none if its sub-items do not fit in."""
    try:
        items = list(split_items(value, 4))
    except ValueError:
        return (), ()
    abstract = tuple(uid for kind, raw in items if kind == _ABSTRACT and (uid := _read_uid(raw)))
    return abstract, tuple(uid for kind, raw in items if kind == _TRANSFER and (uid := _read_uid(raw)))


def _read_roles(parts: list[tuple[int, bytes]]) -> Iterator[tuple[str, tuple[bool, bool]]]:
    """Yield the roles for each SOP Class that has a UID, and both roles behind it."""
    for kind, value in parts:
        length = int.from_bytes(value[:2], "big")
        if kind == _ROLE and len(value) >= length + 4 and (uid := _read_uid(value[2 : 2 + length])):
            yield uid, (value[2 + length] == 1, value[3 + length] == 1)


def _read_uid(raw: bytes) -> str:
    text = _read_text(raw)
    return text if _UID.fullmatch(text) else ""


def _read_text(raw: bytes) -> str:
    return raw.decode("latin-1").strip(_PADDING)


def _read_ae_title(raw: bytes) -> str:
    """Return an AE title without its padding; what follows a NUL is what some C program had in its memory."""
    return _read_text(raw.split(b"\0")[0]) or _read_text(raw)


def _read_maximum_length(user: Mapping[int, bytes]) -> int | None:
    """Return the maximum length received (PS3.8 section D.1), 0 for no limit; None if it is not said.

    Of eight bytes either half may be the number: the smaller one is safe.
    """
    value = user.get(_MAXIMUM_LENGTH, b"")
    numbers = [int.from_bytes(value[at : at + 4], "big") for at in range(0, min(len(value), 8), 4)]
    return min((number for number in numbers if number), default=0) if numbers else None
