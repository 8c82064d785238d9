"""How an association begins (PS3.8 section 9.3): requested, accepted, rejected, and a rejection in words.

What we send is strict. What peers send is read by `association_pdus`.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from dicomover.dicomfile import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, IMPLICIT_LITTLE_ENDIAN
from dicomover.errors import AssociationLost, AssociationRejected, ConfigurationError, LostBy, ProtocolError
from dicomover.node import Node
from dicomover.security.identity import Identity
from dicomover.wire.association_pdus import (
    APPLICATION_CONTEXT,
    AssociationRequest,
    Roles,
    encode_roles,
    parse_answer,
    parse_request,
)
from dicomover.wire.connection import Connection, Until, wait_forever
from dicomover.wire.dump import dump_contexts
from dicomover.wire.messages import Context
from dicomover.wire.pdus import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, encode_item, encode_pdu

__all__ = [
    "AssociationRequest",
    "Roles",
    "encode_accept",
    "encode_reject",
    "parse_request",
    "read_request",
    "request_association",
]

logger = logging.getLogger("dicomover.dimse")

_MAXIMUM_LENGTH, _VERSION_NAME = 0x51, 0x55
_DEFAULT_MAX_PDU = 16384  # for a peer that does not say what it takes
_UNLIMITED = 1 << 17  # for a peer that takes anything
_LONGEST_IDENTITY = 50_000  # bytes: it shares 65,535 with the roles of 128 SOP Classes


_REASONS = {
    (1, 1): "No reason given",
    (1, 2): "Application context name not supported",
    (1, 3): "Calling AE title not recognised",
    (1, 7): "Called AE title not recognised",
    (2, 1): "No reason given",
    (2, 2): "Protocol version not supported",
    (3, 1): "Temporary congestion",
    (3, 2): "Local limit exceeded",
}
"""Source and reason of an A-ASSOCIATE-RJ in words (PS3.8 Table 9-21)."""


def _encode_body(titles: bytes, contexts: bytes, max_pdu: int, roles: Roles, identity: bytes = b"") -> bytes:
    """Encode what an A-ASSOCIATE-RQ and an A-ASSOCIATE-AC have alike."""
    user = (
        encode_item(_MAXIMUM_LENGTH, struct.pack(">L", max_pdu))
        + encode_item(0x52, IMPLEMENTATION_CLASS_UID.encode("ascii"))
        + encode_roles(roles)
        + encode_item(_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode("ascii"))
        + identity
    )
    name = encode_item(0x10, APPLICATION_CONTEXT.encode("ascii"))
    return struct.pack(">Hxx32s32x", 1, titles) + name + contexts + encode_item(0x50, user)


def _encode_context(context: Context) -> bytes:
    syntaxes = b"".join(encode_item(0x40, each.encode("ascii")) for each in context.transfer_syntaxes)
    abstract = encode_item(0x30, context.abstract_syntax.encode("ascii"))
    return encode_item(0x20, struct.pack(">Bxxx", context.id) + abstract + syntaxes)


def _encode_identity(identity: Identity) -> bytes:
    """Encode the sub-item in which we name a user (PS3.7 section D.3.3.7.1); raises ConfigurationError."""
    fields = identity.fields()
    if (length := sum(map(len, fields))) > _LONGEST_IDENTITY:
        del fields  # a traceback shows what a frame holds
        raise ConfigurationError(
            f"{identity} has {length:,} bytes, more than the {_LONGEST_IDENTITY:,} for which an association has room",
            "ask for a shorter one",
        )
    packed = b"".join(struct.pack(">H", len(field)) + field for field in fields)
    return encode_item(0x58, bytes((identity.kind, identity.confirm)) + packed)


def _encode_request(node: Node, ae_title: str, contexts: Iterable[Context], max_pdu: int, roles: Roles) -> memoryview:
    """Encode an A-ASSOCIATE-RQ (PS3.8 section 9.3.2).

    A secret may be in it, and frames live on in tracebacks: those that do have a view of it, which does not show it.
    """
    titles = f"{node.ae_title:16}{ae_title:16}".encode("ascii")
    identity = b"" if node.identity is None else _encode_identity(node.identity)
    proposed = b"".join(map(_encode_context, contexts))
    return memoryview(encode_pdu(ASSOCIATE_RQ, _encode_body(titles, proposed, max_pdu, roles, identity)))


def request_association(
    connection: Connection,
    node: Node,
    ae_title: str,
    contexts: Iterable[Context],
    until: Until = wait_forever,
    roles: Roles = MappingProxyType({}),
) -> None:
    """Negotiate an association; afterwards `connection.contexts` holds what the peer accepted.

    Of a SOP Class that we propose to be the SCP of, nothing is accepted if the peer says that we are not. One that says
    nothing of roles may be no worse for it: archives are known that send all the same.

    Raises AssociationRejected with the reason in words, AssociationLost or ProtocolError if there was no proper answer,
    and ConfigurationError if the secret of our identity is not there.
    """
    proposed = {context.id: context for context in contexts}
    connection.send(_encode_request(node, ae_title, proposed.values(), connection.max_pdu, roles))

    kind, body = connection.read_pdu(until)
    if kind == ASSOCIATE_RJ:
        connection.close()
        raise _explain_rejection(node, ae_title, *bytes(body).ljust(4, b"\0")[1:4])
    if kind == ABORT:
        connection.close()
        raise AssociationLost(f"{node}: the peer aborted the association request", LostBy.ABORT)
    if kind != ASSOCIATE_AC:
        raise connection.refuse(f"a PDU of type {kind} as the answer to an association request", reason=2)
    try:
        answer = parse_answer(body)
    except ValueError as error:
        raise connection.refuse(f"an association acceptance that cannot be read: {error}", reason=6) from error
    if logger.isEnabledFor(logging.DEBUG):
        results = {**dict.fromkeys(answer.accepted, 0), **answer.refused}
        first = {id_: syntaxes[0] for id_, syntaxes in answer.accepted.items() if syntaxes}
        logger.debug("%s answered each context\n%s", node, dump_contexts(proposed.values(), results, first))
    if node.identity is not None and node.identity.confirm:
        says = "confirms" if answer.confirms_identity else "does not confirm, and may not look at,"
        logger.info("%s %s our identity", node, says)
    connection.peer_max_pdu = _DEFAULT_MAX_PDU if answer.max_pdu is None else answer.max_pdu or _UNLIMITED
    connection.contexts = {}
    for id_, syntaxes in answer.accepted.items():
        context = proposed.get(id_)
        # What the peer is going to speak is needed: a syntax that we did not propose is no agreement.
        chosen = [] if context is None else [each for each in syntaxes if each in context.transfer_syntaxes]
        if context is not None and chosen and _is_agreed(context.abstract_syntax, roles, answer.roles):
            connection.contexts[id_] = replace(context, transfer_syntaxes=(chosen[0],))


def _is_agreed(sop_class: str, proposed: Roles, answered: Roles) -> bool:
    is_scp = proposed.get(sop_class, (True, False))[1]
    return not is_scp or answered.get(sop_class, (False, True))[1]


def _explain_rejection(node: Node, ae_title: str, result: int, source: int, reason: int) -> AssociationRejected:
    words = _REASONS.get((source, reason), f"source {source}, reason {reason}")
    mend = {
        (1, 3): f"ask its administrator to add our AE title {ae_title!r} with this machine's address",
        (1, 7): f"either it does not call itself {node.ae_title!r}; ask for its AE title; "
        f"or it does not know ours, {ae_title!r}: some archives say so then",
    }.get((source, reason), "try again later" if result == 2 else "ask its administrator what it allows")
    if node.identity is not None and result != 2:  # archives reject one that they do not accept under any reason
        mend += f"; or it does not accept {node.identity}, whom we have named"
    kind = "for now" if result == 2 else "for good"
    return AssociationRejected(f"{node} rejected the association {kind}: {words}", result, source, reason, mend=mend)


def read_request(connection: Connection) -> AssociationRequest:
    """Read the A-ASSOCIATE-RQ that a connection begins with.

    Raises AssociationLost or ProtocolError if there is none; the connection has been closed.
    """
    kind, body = connection.read_pdu()
    if kind != ASSOCIATE_RQ:
        raise connection.refuse(f"a PDU of type {kind} where an association request was due", reason=2)
    try:
        request = parse_request(body)
    except ValueError as error:
        raise connection.refuse(f"an association request that cannot be read: {error}", reason=6) from error
    if request.rejection is not None:
        connection.send(encode_reject(*request.rejection))
        connection.close()
        raise ProtocolError("the peer asked for an association of another kind than DICOM's; it was rejected")
    return request


def encode_accept(
    request: AssociationRequest, accepted: Mapping[int, str], max_pdu: int, roles: Roles = MappingProxyType({})
) -> bytes:
    """Encode an A-ASSOCIATE-AC (PS3.8 section 9.3.3) with the transfer syntax of each accepted context by its id.

    The others are refused, as 4 where an empty text stands (no transfer syntax supported), else as 3 (abstract syntax
    not supported).
    """
    answered = b""
    for context in request.contexts:
        chosen = accepted.get(context.id)
        shown = chosen or next(iter(context.transfer_syntaxes), IMPLICIT_LITTLE_ENDIAN)
        result = 0 if chosen else 3 if chosen is None else 4
        answered += encode_item(
            0x21, struct.pack(">BxBx", context.id, result) + encode_item(0x40, shown.encode("ascii"))
        )
    # The AE titles as they came (PS3.8 Table 9-17), whatever they are.
    return encode_pdu(ASSOCIATE_AC, _encode_body(request.titles, answered, max_pdu, roles))


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""
    return struct.pack(">BxLxBBB", ASSOCIATE_RJ, 4, result, source, reason)
