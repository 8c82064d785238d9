"""One C-STORE on its way: its head is read, then its bytes go straight to a file, and it ends with a status."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from dicomover.dicomfile import Head, HeadError, encode_file_meta
from dicomover.errors import ConfigurationError
from dicomover.events import Refusal
from dicomover.node import check_ae_title
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import LAST_TAG, tags_by_keyword
from dicomover.receiver.scp.filing import AlreadyThere, Filing, NoSpace, Part, out_of_space
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.command_set import Command

__all__ = [
    "CANNOT_UNDERSTAND",
    "DOES_NOT_MATCH",
    "DUPLICATE_INSTANCE",
    "NOT_AUTHORISED",
    "OUT_OF_RESOURCES",
    "PROCESSING_FAILURE",
    "SUCCESS",
    "IncomingInstance",
    "Storage",
]

# C-STORE statuses, PS3.4 Table B.2-1 and PS3.7 Annex C. For an instance that is turned away because another
# one lies under its UID (existing="error") no status is foreseen; 0x0111 is a failure that names the reason,
# and every peer counts an unknown failure as a failure.
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_HEAD_CAP = 4 << 20  # of bytes held until the path is known
_FULL_AGAIN = 600.0  # seconds in which a full disk is no news
_IMPLICIT = "1.2.840.10008.1.2"
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE, _PATIENT, _STUDY, _SERIES = (
    0x00080005,
    0x00080016,
    0x00080018,
    0x00100020,
    0x0020000D,
    0x0020000E,
)
_ALWAYS = (_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE, _PATIENT, _STUDY, _SERIES)

logger = logging.getLogger("dicomover.receiver")

Fields = dict[str, Any]
"""The fields of an `Arrival`, with its path as text."""


class Storage:
    """What all receptions share: what is let in, where it is filed, and who is told."""

    def __init__(
        self,
        settings: ReceiverSettings,
        filing: Filing,
        admissions: Admissions,
        tell: Callable[[Fields | Refusal], None],
    ) -> None:
        self.settings = settings
        self.filing = filing
        self.admissions = admissions
        self.tell = tell
        tags = tags_by_keyword()
        self.keywords = {keyword: tags[keyword] for keyword in filing.layout.keywords}
        self.wanted = frozenset((*_ALWAYS, *self.keywords.values()))
        self._full_until = float("-inf")

    def is_news(self, status: int) -> bool:
        """Tell whether a refusal is worth a warning; a full disk is one now and then, not for every instance."""
        now = time.monotonic()
        if status == OUT_OF_RESOURCES and now < self._full_until:
            return False
        if status == OUT_OF_RESOURCES:
            self._full_until = now + _FULL_AGAIN
        return status != NOT_AUTHORISED  # once restricted to what is asked for, a stray sender may bring thousands


def clean_ae_title(text: str) -> str:
    """Return the AE title if it is a proper one, else nothing."""
    try:
        return check_ae_title(text)
    except ConfigurationError:
        return ""


class IncomingInstance:
    """Takes one data set, in pieces, and says with which status to answer.

    `take` may keep the pieces until `flush`; the owner of their buffer calls it before using the buffer again.
    """

    __slots__ = (
        "_calling",
        "_command",
        "_final",
        "_hash",
        "_head",
        "_held",
        "_part",
        "_pending",
        "_storage",
        "_syntax",
        "size",
        "status",
    )

    def __init__(self, storage: Storage, command: Command, transfer_syntax_uid: str, calling_ae_title: str) -> None:
        self._storage = storage
        self._command = command
        self._syntax = transfer_syntax_uid
        self._calling = calling_ae_title
        self._head: Head = Head(transfer_syntax_uid == _IMPLICIT, storage.wanted, LAST_TAG)
        self._held: bytearray | None = None
        self._part: Part | None = None
        self._pending: list[bytes | bytearray | memoryview] = []
        self._final = ""
        self._hash = hashlib.sha256() if storage.settings.checksums else None
        self.size = 0
        self.status = SUCCESS

    def take(self, piece: memoryview, last: bool) -> None:
        """Take the next bytes; nothing more comes after the last ones."""
        self.size += len(piece)
        if self.status:
            return
        if self._part is not None:
            self._pending.append(piece)
            if self._hash is not None:
                self._hash.update(piece)
            return
        held = self._held
        try:
            if held is not None:
                held += piece
                known = self._head.feed(held, len(held), last)
            else:
                known = self._head.feed(piece, len(piece), last)
        except HeadError as error:
            self._refuse(CANNOT_UNDERSTAND, f"the data set cannot be read: {error}")
            return
        if not known:
            if held is None:
                self._held = held = bytearray(piece)
            if len(held) > _HEAD_CAP:
                self._refuse(CANNOT_UNDERSTAND, f"Series Instance UID is not within the first {_HEAD_CAP >> 20} MiB")
            return
        if self.size:
            self._open(piece if held is None else held)
        else:
            self._refuse(CANNOT_UNDERSTAND, "the data set is empty")

    def _open(self, first: memoryview | bytearray) -> None:
        """Everything is known: let it in or not, and begin the file."""
        head, command, storage = self._head, self._command, self._storage
        sop_class = str(command.get("AffectedSOPClassUID", ""))
        sop_instance = str(command.get("AffectedSOPInstanceUID", ""))
        for name, tag, value in (("SOP Instance", _SOP_INSTANCE, sop_instance), ("SOP Class", _SOP_CLASS, sop_class)):
            if not value or _uid(head, tag) != value:
                what = f"name different {name} UIDs" if value else f"have no {name} UID"
                self._refuse(DOES_NOT_MATCH, f"command and data set {what}")
                return
        if storage.settings.restrict and not self._is_meant(sop_instance):
            self._refuse(NOT_AUTHORISED, "no running request asks for it")
            return
        try:
            storage.filing.check_space(len(first))
            values = {keyword: head.text(tag) for keyword, tag in storage.keywords.items()}
            self._part, self._final = storage.filing.begin(values)
        except OSError as error:
            self._refuse_for(error)
            return
        self._held = None
        if self._hash is not None:
            self._hash.update(first)
        self._pending += (encode_file_meta(sop_class, sop_instance, self._syntax, self._calling), first)

    def _is_meant(self, sop_instance: str) -> bool:
        head, command, admissions = self._head, self._command, self._storage.admissions
        if command.get("MoveOriginatorApplicationEntityTitle") == self._storage.settings.ae_title:
            message_id = command.get("MoveOriginatorMessageID")
            if isinstance(message_id, int) and admissions.originated(message_id):
                return True
        return admissions.lets_in(head.text(_PATIENT), head.text(_STUDY), head.text(_SERIES), sop_instance)

    def flush(self) -> None:
        """Write what is pending; the pieces are free afterwards."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        if self.status or self._part is None:
            return
        try:
            self._part.write(pending)
            if self.size > 1 << 20:
                self._storage.filing.check_space(sum(map(len, pending)))
        except OSError as error:
            self._refuse_for(error)

    def finish(self) -> int:
        """Give the file its name and return the status to answer with."""
        self.flush()
        if self.status:
            return self.status
        assert self._part is not None
        try:
            filed = self._storage.filing.publish(self._part, self._final)
        except AlreadyThere:
            self._refuse(DUPLICATE_INSTANCE, "other bytes lie under this SOP Instance UID already")
            return self.status
        except OSError as error:
            self._refuse_for(error)
            return self.status
        self._part = None
        head, command = self._head, self._command
        message_id = command.get("MoveOriginatorMessageID")
        self._storage.tell(
            {
                "path": filed.path,
                "sop_class_uid": command.get("AffectedSOPClassUID", ""),
                "sop_instance_uid": command.get("AffectedSOPInstanceUID", ""),
                "study_instance_uid": head.text(_STUDY),
                "series_instance_uid": head.text(_SERIES),
                "patient_id": head.text(_PATIENT),
                "transfer_syntax_uid": self._syntax,
                "size": self.size,
                "calling_ae_title": self._calling,
                "originator_ae_title": command.get("MoveOriginatorApplicationEntityTitle", ""),
                "originator_message_id": message_id if isinstance(message_id, int) else None,
                "duplicate": filed.duplicate,
                "conflict": filed.conflict,
                "at": time.monotonic(),
                "sha256": self._hash.hexdigest() if self._hash is not None else "",
            }
        )
        return SUCCESS

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._pending = []
        self._held = None
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _refuse_for(self, error: OSError) -> None:
        if isinstance(error, NoSpace):
            self._refuse(OUT_OF_RESOURCES, str(error.strerror))
        elif out_of_space(error):
            self._refuse(OUT_OF_RESOURCES, f"the disk is full ({error.strerror})")
        else:
            self._refuse(PROCESSING_FAILURE, f"the file cannot be written ({error.strerror})")

    def _refuse(self, status: int, why: str) -> None:
        self.abandon()
        self.status = status
        sop_instance = str(self._command.get("AffectedSOPInstanceUID", ""))[:64]
        logger.log(
            logging.WARNING if self._storage.is_news(status) else logging.INFO,
            "refused instance %r with 0x%04X: %s",
            sop_instance,
            status,
            why,
        )
        self._storage.tell(
            Refusal(time.monotonic(), why, status, self._calling, sop_instance, _uid(self._head, _STUDY)[:64])
        )


def _uid(head: Head, tag: int) -> str:
    """Return a UID of the data set, decoded as those of the command set are."""
    return head.values.get(tag, b"").decode("ascii", "replace").strip(" \0")
