"""How an association begins (PS3.8 section 9.3): requested, accepted, rejected.

pynetdicom encodes and decodes the PDUs; here they become plain values, and rejections become words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import UserInformationItem
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from dicomover.dicomfile import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomover.errors import AssociationLost, AssociationRejected, LostBy
from dicomover.node import Node
from dicomover.wire.connection import Connection, Until, wait_forever
from dicomover.wire.messages import Context
from dicomover.wire.pdus import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, ASSOCIATE_RQ, PDU_HEAD

__all__ = [
    "AssociationRequest",
    "encode_accept",
    "encode_reject",
    "parse_request",
    "read_request",
    "request_association",
]

_APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
_MAXIMUM_LENGTH, _VERSION_NAME = 0x51, 0x55


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What an A-ASSOCIATE-RQ asks for (PS3.8 section 9.3.2)."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[Context, ...]
    max_pdu: int
    implementation: str = ""


def _user_information(max_pdu: int) -> list[object]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]


def _presentation_context(context: Context) -> PresentationContext:
    item = PresentationContext()
    item.context_id = context.id
    item.abstract_syntax = UID(context.abstract_syntax)
    item.transfer_syntax = [UID(uid) for uid in context.transfer_syntaxes]
    return item


def request_association(
    connection: Connection, node: Node, ae_title: str, contexts: Iterable[Context], until: Until = wait_forever
) -> None:
    """Negotiate an association; afterwards `connection.contexts` holds what the peer accepted.

    Raises
    ------
    AssociationRejected
        With the reason in words.
    AssociationLost, ProtocolError
        If there was no proper answer.
    """
    proposed = {context.id: context for context in contexts}
    primitive = A_ASSOCIATE()
    primitive.application_context_name = _APPLICATION_CONTEXT
    primitive.calling_ae_title = ae_title
    primitive.called_ae_title = node.ae_title
    primitive.presentation_context_definition_list = [_presentation_context(item) for item in proposed.values()]
    primitive.user_information = _user_information(connection.max_pdu)
    connection.send(A_ASSOCIATE_RQ(primitive).encode())

    kind, body = connection.read_pdu(until)
    raw = PDU_HEAD.pack(kind, len(body)) + bytes(body)
    if kind == ASSOCIATE_RJ and len(body) == 4:
        connection.close()
        raise _rejection(node, ae_title, *body[1:4])
    if kind == ABORT:
        connection.close()
        raise AssociationLost(f"{node}: the peer aborted the association request", LostBy.ABORT)
    if kind != ASSOCIATE_AC:
        raise connection.refuse(f"a PDU of type {kind} as the answer to an association request", reason=2)
    try:
        accepted = A_ASSOCIATE_AC()
        accepted.decode(raw)
        results = {item.context_id: item for item in accepted.presentation_context}
        lengths = [
            item.maximum_length_received
            for item in accepted.user_information.user_data
            if item.item_type == _MAXIMUM_LENGTH
        ]
    except Exception as error:
        raise connection.refuse("an association acceptance that cannot be read", reason=6) from error
    connection.peer_max_pdu = lengths[0] if lengths and lengths[0] else 1 << 17
    connection.contexts = {
        id_: Context(id_, proposed[id_].abstract_syntax, (str(item.transfer_syntax),))
        for id_, item in results.items()
        if id_ in proposed and item.result == 0
    }


def _maximum_lengths(user_information: UserInformationItem) -> list[int]:
    return [item.maximum_length_received for item in user_information.user_data if item.item_type == _MAXIMUM_LENGTH]


def _rejection(node: Node, ae_title: str, result: int, source: int, reason: int) -> AssociationRejected:
    pdu = A_ASSOCIATE_RJ()
    pdu.result, pdu.source, pdu.reason_diagnostic = result, source, reason
    try:
        words = pdu.reason_str
    except ValueError:
        words = f"source {source}, reason {reason}"
    mend = {
        (1, 3): f"ask its administrator to add our AE title {ae_title!r} with this machine's address",
        (1, 7): f"it does not call itself {node.ae_title!r}; ask for its AE title; "
        f"or it does not know ours, {ae_title!r}: some archives say so then",
    }.get((source, reason), "try again later" if result == 2 else "ask its administrator what it allows")
    kind = "for now" if result == 2 else "for good"
    return AssociationRejected(f"{node} rejected the association {kind}: {words}", result, source, reason, mend=mend)


def parse_request(body: bytes | bytearray | memoryview) -> AssociationRequest:
    """Read the body of an A-ASSOCIATE-RQ.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(PDU_HEAD.pack(ASSOCIATE_RQ, len(body)) + bytes(body))
        items = pdu.user_information.user_data
        lengths = _maximum_lengths(pdu.user_information)
        names = [str(item.implementation_version_name) for item in items if item.item_type == _VERSION_NAME]
        contexts = tuple(
            Context(item.context_id, str(item.abstract_syntax or ""), tuple(str(uid) for uid in item.transfer_syntax))
            for item in pdu.presentation_context
        )
        if not all(context.id % 2 for context in contexts):
            raise ValueError("a presentation context has an even id")
        return AssociationRequest(
            str(pdu.called_ae_title).strip(),
            str(pdu.calling_ae_title).strip(),
            contexts,
            lengths[0] if lengths else 0,
            names[0] if names else "",
        )
    except Exception as error:
        raise ValueError("the association request cannot be read") from error


def read_request(connection: Connection, until: Until = wait_forever) -> AssociationRequest:
    """Read the A-ASSOCIATE-RQ that a connection begins with.

    Raises
    ------
    AssociationLost, ProtocolError
        If there is none; the connection has been closed.
    """
    kind, body = connection.read_pdu(until)
    if kind != ASSOCIATE_RQ:
        raise connection.refuse(f"a PDU of type {kind} where an association request was due", reason=2)
    try:
        return parse_request(body)
    except ValueError as error:
        raise connection.refuse(f"an association request that cannot be read ({error})", reason=6) from error


def encode_accept(request: AssociationRequest, accepted: Mapping[int, str], max_pdu: int) -> bytes:
    """Encode an A-ASSOCIATE-AC (PS3.8 section 9.3.3).

    By hand: an archive that opens an association for each study, with a hundred contexts, would wait for more of
    pynetdicom's objects than for its images.

    Parameters
    ----------
    request
        What was asked for.
    accepted
        The chosen transfer syntax for each accepted context id; the others are refused, as 4 where an empty
        text stands here (no transfer syntax supported) and as 3 (abstract syntax not supported) otherwise.
    max_pdu
        The largest P-DATA-TF PDU that we accept.
    """
    items = [_item(0x10, _APPLICATION_CONTEXT.encode("ascii"))]
    for context in request.contexts:
        chosen = accepted.get(context.id)
        shown = chosen or next(iter(context.transfer_syntaxes), ImplicitVRLittleEndian)
        result = 0 if chosen else 3 if chosen is None else 4
        items.append(_item(0x21, struct.pack(">BxBx", context.id, result) + _item(0x40, shown.encode("ascii"))))
    items.append(
        _item(
            0x50,
            _item(_MAXIMUM_LENGTH, struct.pack(">L", max_pdu))
            + _item(0x52, IMPLEMENTATION_CLASS_UID.encode("ascii"))
            + _item(_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    names = (request.called_ae_title or "UNKNOWN", request.calling_ae_title or "UNKNOWN")
    titles = [name.encode("ascii").ljust(16)[:16] for name in names]
    body = struct.pack(">Hxx16s16s32x", 1, *titles) + b"".join(items)
    return PDU_HEAD.pack(ASSOCIATE_AC, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    """Encode an item or sub-item of an association PDU (PS3.8 section 9.3.3)."""
    return struct.pack(">BxH", kind, len(value)) + value


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""
    return struct.pack(">BxLxBBB", ASSOCIATE_RJ, 4, result, source, reason)
