"""Association requests and acceptances byte by byte: good ones, and each way in which peers write them otherwise."""

from __future__ import annotations

import itertools
import random
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["VARIANTS", "Outcome", "acceptance", "ask", "context", "item", "request", "user_information", "variants"]

APPLICATION = b"1.2.840.10008.3.1.1.1"
ECHO, CT, MR = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"

Outcome = tuple[Any, ...]
"""("accepted", {context id: result}, is C-ECHO answered), ("rejected", result, source, reason), or ("ended",)."""

Parts = dict[str, Any]


def item(kind: int, value: bytes, reserved: int = 0) -> bytes:
    """Encode an item or a sub-item."""
    return struct.pack(">BBH", kind, reserved, len(value)) + value


def context(
    number: int,
    abstract: bytes | None = CT,
    *transfer: bytes,
    before: bytes = b"",
    after: bytes = b"",
    head: bytes = b"",
) -> bytes:
    """Encode a proposed presentation context."""
    syntaxes = b"".join(item(0x40, uid) for uid in transfer or (EXPLICIT, IMPLICIT))
    name = b"" if abstract is None else item(0x30, abstract)
    return item(0x20, bytes([number]) + (head or bytes(3)) + before + name + syntaxes + after)


def user_information(
    length: bytes | None = struct.pack(">L", 16384),
    uid: bytes | None = b"1.2.826.0.1.3680043.10.5151.9",
    version: bytes | None = b"SCRIPTED_1",
    more: bytes = b"",
) -> bytes:
    """Encode a user information item."""
    parts = ((0x51, length), (0x52, uid), (0x55, version))
    return item(0x50, b"".join(item(kind, value) for kind, value in parts if value is not None) + more)


def good() -> Parts:
    """Return the parts of a request that nobody objects to: an echo, and CT in two transfer syntaxes."""
    return {
        "version": 1,
        "called": b"THERE".ljust(16),
        "calling": b"SCRIPTED".ljust(16),
        "reserved": bytes(32),
        "application": item(0x10, APPLICATION),
        "contexts": [context(1, ECHO, IMPLICIT), context(3, CT)],
        "user": user_information(),
        "tail": b"",
        "order": "application contexts user",
    }


def request(parts: Mapping[str, Any], kind: int = 1) -> bytes:
    """Encode an A-ASSOCIATE-RQ."""
    pieces = {**parts, "contexts": b"".join(parts["contexts"])}
    body = struct.pack(">Hxx", parts["version"]) + parts["called"][:16] + parts["calling"][:16] + parts["reserved"]
    body += b"".join(pieces[name] for name in parts["order"].split()) + parts["tail"]
    return struct.pack(">BxL", kind, len(body)) + body


def _set(**changes: Any) -> Callable[[Parts], None]:
    return lambda parts: parts.update(changes)


def _more(raw: bytes) -> Callable[[Parts], None]:
    return lambda parts: parts["contexts"].append(raw)


def _user(**changes: Any) -> Callable[[Parts], None]:
    return _set(user=user_information(**changes))


LONG_UID = b"1.2." + b"3" * 80
VARIANTS: dict[str, Callable[[Parts], None]] = {
    "as the Standard has it": _set(),
    "version 3": _set(version=3),
    "version 0xFFFF": _set(version=0xFFFF),
    "version 0": _set(version=0),
    "version 2": _set(version=2),
    "reserved bytes set": _set(reserved=b"\xff" * 32),
    "called padded with NUL": _set(called=b"THERE".ljust(16, b"\0")),
    "calling padded with NUL": _set(calling=b"SCRIPTED".ljust(16, b"\0")),
    "calling with leading blanks": _set(calling=b"   SCRIPTED".ljust(16)),
    "called with leading blanks": _set(called=b"  THERE".ljust(16)),
    "called ends in NUL and noise": _set(called=b"THERE\0\xfe\xed noise".ljust(16, b"\0")),
    "calling ends in NUL and noise": _set(calling=b"SCRIPTED\0\xfe\xed\x01".ljust(16, b"\x7f")),
    "calling not ASCII": _set(calling=b"\xc4RCHIV".ljust(16)),
    "calling in UTF-8": _set(calling="ÄRCHIV".encode().ljust(16)),
    "calling with a backslash": _set(calling=b"AR\\CH".ljust(16)),
    "calling with control characters": _set(calling=b"AR\x01\x1bCH".ljust(16)),
    "calling blank": _set(calling=b" " * 16),
    "calling all NUL": _set(calling=bytes(16)),
    "calling of sixteen letters": _set(calling=b"ABCDEFGHIJKLMNOP"),
    "called in lower case": _set(called=b"there".ljust(16)),
    "another called title": _set(called=b"ELSEWHERE".ljust(16)),
    "called blank": _set(called=b" " * 16),
    "application context padded with NUL": _set(application=item(0x10, APPLICATION + b"\0")),
    "application context padded with a blank": _set(application=item(0x10, APPLICATION + b" ")),
    "another application context": _set(application=item(0x10, b"1.2.840.10008.3.1.1.2")),
    "a private application context": _set(application=item(0x10, b"1.3.6.1.4.1.5962.9")),
    "no application context": _set(application=b""),
    "an empty application context": _set(application=item(0x10, b"")),
    "items in another order": _set(order="user contexts application"),
    "application context last": _set(order="contexts user application"),
    "an unknown item before all": lambda p: p.update(application=item(0x60, b"vendor") + p["application"]),
    "an unknown item between": _more(item(0x60, b"vendor")),
    "an unknown item at the end": _set(tail=item(0xEE, b"x" * 300)),
    "an empty unknown item": _set(tail=item(0x70, b"")),
    "an item of type 0": _set(tail=item(0x00, b"zero")),
    "no presentation context": _set(contexts=[]),
    "one context alone": lambda p: p["contexts"].pop(),
    "forty contexts": lambda p: p["contexts"].extend(context(number, CT) for number in range(5, 85, 2)),
    "the 128 contexts that there may be": lambda p: p["contexts"].extend(context(n, CT) for n in range(5, 256, 2)),
    "an even context id": _more(context(4, MR)),
    "context id 0": _more(context(0, MR)),
    "context id 255": _more(context(255, MR)),
    "the same context twice": _more(context(3, CT)),
    "an abstract syntax that nobody knows": _more(context(5, b"1.2.826.0.1.3680043.10.5151.77")),
    "an abstract syntax padded with NUL": _more(context(5, CT + b"\0")),
    "an abstract syntax padded with a blank": _more(context(5, b"1.2.840.10008.5.1.4.1.1.2.1 ")),
    "an abstract syntax that is no UID": _more(context(5, b"\xff\xfe\0\x01")),
    "an abstract syntax in words": _more(context(5, b"CT Image Storage")),
    "an abstract syntax of 84 characters": _more(context(5, LONG_UID)),
    "an abstract syntax with a leading zero": _more(context(5, b"1.2.840.010008.5.1.4.1.1.2")),
    "an empty abstract syntax": _more(context(5, b"")),
    "no abstract syntax": _more(context(5, None)),
    "no transfer syntax": _more(item(0x20, bytes([5, 0, 0, 0]) + item(0x30, CT))),
    "an empty transfer syntax": _more(context(5, CT, b"")),
    "a transfer syntax that is no UID": _more(context(5, CT, b"\xff\xfe\0")),
    "one transfer syntax of three is no UID": _more(context(5, CT, b"\xff\xfe\0", b"", IMPLICIT)),
    "a transfer syntax padded with NUL": _more(context(5, CT, IMPLICIT + b"\0")),
    "a transfer syntax padded with a blank": _more(context(5, CT, EXPLICIT + b" ")),
    "a transfer syntax that nobody knows": _more(context(5, CT, b"1.2.826.0.1.3680043.10.5151.88")),
    "a transfer syntax of 84 characters": _more(context(5, CT, LONG_UID, IMPLICIT)),
    "fifty transfer syntaxes": _more(context(5, CT, *(b"1.2.826.0.1.%d" % n for n in range(49)), IMPLICIT)),
    "an unknown sub-item in a context": _more(context(5, MR, before=item(0x33, b"vendor"))),
    "an unknown sub-item at a context's end": _more(context(5, MR, after=item(0x99, b"vendor"))),
    "a context with its reserved bytes set": _more(context(5, MR, head=b"\xff\xff\xff")),
    "a context without sub-items": _more(item(0x20, bytes([5, 0, 0, 0]))),
    "items with their reserved byte set": _more(
        item(0x20, bytes([5, 0, 0, 0]) + item(0x30, CT, 7) + item(0x40, IMPLICIT, 7), 7)
    ),
    "no user information": _set(user=b""),
    "empty user information": _set(user=item(0x50, b"")),
    "user information twice": _set(user=user_information() + user_information()),
    "no maximum length": _user(length=None),
    "maximum length 0": _user(length=bytes(4)),
    "maximum length 8192": _user(length=struct.pack(">L", 8192)),
    "maximum length 4 GB": _user(length=b"\xff" * 4),
    "maximum length in 8 bytes": _user(length=struct.pack(">Q", 16384)),
    "maximum length in 8 bytes, padded": _user(length=struct.pack(">LL", 16384, 0)),
    "maximum length in 2 bytes": _user(length=b"\x40\0"),
    "no implementation class": _user(uid=None),
    "an implementation class of 84 characters": _user(uid=LONG_UID),
    "an implementation class that is no UID": _user(uid=b"\xff\xfe private \0"),
    "an implementation class padded with NUL": _user(uid=b"1.2.826.0.1.3680043.10.5151.9\0"),
    "an empty implementation class": _user(uid=b""),
    "no version name": _user(version=None),
    "a version name of 40 characters": _user(version=b"A_VERSION_NAME_THAT_IS_FAR_TOO_LONG_1234"),
    "a version name padded with blanks": _user(version=b"SCRIPTED        "),
    "a version name padded with NUL": _user(version=b"SCRIPTED\0\0\0\0\0\0\0\0"),
    "a version name not ASCII": _user(version="Größe 1".encode("latin-1")),
    "an empty version name": _user(version=b""),
    "an unknown user sub-item": _user(more=item(0x5A, b"vendor")),
    "an unknown empty user sub-item": _user(more=item(0x5F, b"")),
    "an unknown long user sub-item": _user(more=item(0x7F, b"v" * 3000)),
    "an asynchronous window": _user(more=item(0x53, struct.pack(">HH", 8, 1))),
    "an asynchronous window of 2 bytes": _user(more=item(0x53, b"\0\x01")),
    "roles": _user(more=item(0x54, struct.pack(">H", len(CT)) + CT + b"\x01\0")),
    "roles that end early": _user(more=item(0x54, struct.pack(">H", 99) + CT)),
    "roles for a class that is not proposed": _user(more=item(0x54, struct.pack(">H", len(MR)) + MR + b"\x01\x01")),
    "an extended negotiation": _user(more=item(0x56, struct.pack(">H", len(CT)) + CT + b"\x02\0\0\0\0\0")),
    "an extended negotiation that ends early": _user(more=item(0x56, struct.pack(">H", 400) + CT)),
    "a common extended negotiation": _user(
        more=item(0x57, struct.pack(">H", len(CT)) + CT + struct.pack(">H", 17) + b"1.2.840.10008.4.2" + bytes(2))
    ),
    "a user identity": _user(more=item(0x58, b"\x01\0" + struct.pack(">H", 4) + b"user" + bytes(2))),
    "a user sub-item that is too long": _set(user=item(0x50, struct.pack(">BxH", 0x51, 4000) + b"\0\0\x40\0")),
    "a context sub-item that is too long": _more(
        item(0x20, bytes([5, 0, 0, 0]) + struct.pack(">BxH", 0x30, 4000) + CT)
    ),
    "an item that is too long": _set(tail=struct.pack(">BxH", 0x60, 4000) + b"vendor"),
    "two bytes more than its items": _set(tail=bytes(2)),
    "four bytes of zero more than its items": _set(tail=bytes(4)),
    "an acceptance's context in a request": _more(item(0x21, bytes([5, 0, 0, 0]) + item(0x40, IMPLICIT))),
}


def variants(count: int, seed: int = 1) -> dict[str, bytes]:
    """Return the requests of the table, and as many again that differ in two ways at once, as bytes."""
    made: dict[str, bytes] = {}
    names = list(VARIANTS)[1:]
    chance = random.Random(seed)
    pairs = chance.sample(list(itertools.combinations(names, 2)), count)
    for ways in [(name,) for name in VARIANTS] + pairs:
        parts = good()
        for way in ways:
            VARIANTS[way](parts)
        made[" + ".join(ways)] = request(parts)
    return made


def acceptance(
    contexts: bytes, user: bytes | None = None, *, application: bytes | None = None, tail: bytes = b""
) -> bytes:
    """Encode an A-ASSOCIATE-AC."""
    parts = {**good(), "contexts": [contexts], "tail": tail}
    parts["application"] = parts["application"] if application is None else application
    parts["user"] = user_information() if user is None else user
    return request(parts, kind=2)


def ask(port: int, raw: bytes, seconds: float) -> Outcome:
    """Send an association request to a peer on loopback and return what comes of it; a C-ECHO on context 1 follows."""
    with socket.create_connection(("127.0.0.1", port), seconds) as sock:
        sock.sendall(raw)
        kind, body = _read_pdu(sock)
        if kind == 3:
            return ("rejected", *body[1:4])
        if kind != 2:
            return ("ended",)
        results = _read_results(body)
        echoed = False
        if results.get(1) == 0:
            command = _element(0x0002, ECHO + b"\0") + _element(0x0100, b"\x30\0") + _element(0x0110, b"\x01\0")
            command += _element(0x0800, b"\x01\x01")
            command = _element(0x0000, struct.pack("<L", len(command))) + command
            value = struct.pack(">LBB", len(command) + 2, 1, 3) + command
            sock.sendall(struct.pack(">BxL", 4, len(value)) + value)
            echoed = _read_pdu(sock)[0] == 4
        sock.sendall(struct.pack(">BxLxxxx", 5, 4))
        _read_pdu(sock)
        return ("accepted", results, echoed)


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def _read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    """Return type and body of the next PDU; type 0 if the connection ends."""
    raw = b""
    try:
        while len(raw) < 6 or len(raw) < 6 + struct.unpack_from(">L", raw, 2)[0]:
            chunk = sock.recv(1 << 16)
            if not chunk:
                return 0, b""
            raw += chunk
    except (ConnectionError, TimeoutError):
        return 0, b""
    return raw[0], raw[6:]


def _read_results(body: bytes) -> dict[int, int]:
    results, at = {}, 68
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x21:
            results[body[at + 4]] = body[at + 6]
        at += 4 + length
    return results
