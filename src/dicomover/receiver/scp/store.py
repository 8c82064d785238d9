"""One C-STORE on its way: its head is read, then its bytes go straight to a file, and it ends with a status."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Container
from typing import Any, NamedTuple

from dicomover.dicomfile import IMPLICIT_LITTLE_ENDIAN, WHOLE, Head, HeadError, encode_file_meta
from dicomover.events import Refusal
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import tags_by_keyword
from dicomover.receiver.scp.contexts import parse_accept
from dicomover.receiver.scp.deflated import DeflatedHead, DeflatedWalk, HeadTooLong, WalkEnded
from dicomover.receiver.scp.elements import ElementWalk, HeaderWalk
from dicomover.receiver.scp.filing import AlreadyThere, Filing, NoSpace, Part, out_of_space
from dicomover.receiver.scp.heads import HeadRoom, HeldHead, NoRoom
from dicomover.receiver.scp.notices import Notices
from dicomover.receiver.scp.readers import is_read_alike
from dicomover.receiver.scp.statuses import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    DUPLICATE_INSTANCE,
    MENDS,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
)
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire.command_set import Command

__all__ = [
    "Caller",
    "IncomingInstance",
    "Storage",
]

_LONGEST_TITLE = 16
_FULL_AGAIN = 600.0  # seconds in which a full disk is no news
_ALWAYS = _META_SYNTAX, _CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE, _PATIENT, _STUDY, _SERIES = (
    0x00020010,
    0x00080005,
    0x00080016,
    0x00080018,
    0x00100020,
    0x0020000D,
    0x0020000E,
)

_TOO_LONG = "it may be right all the same: let the archive send it in another transfer syntax, or take another program"
_LONG_HEADS = "too many data sets with a long head came at the same time"
_MISTAKEN = "let it come by C-MOVE: some archives mistake the transfer syntaxes of what they send by C-GET"

Fields = dict[str, Any]
"""The fields of an `Arrival`, with its path as text."""


class Caller(NamedTuple):
    """Who sends: the AE title that it calls itself by, empty if it is none, and the address it comes from.

    `is_asked` of what comes on an association that we have requested; `lacks_bulk` if we have asked for no pixels.
    """

    ae_title: str
    host: str
    is_asked: bool = False
    lacks_bulk: bool = False


class Storage:
    """What all C-STOREs share, on whatever thread: what is let in, where it is filed, and who is told.

    `known` are the archive's addresses. `cut` is set from outside once nothing that is in flight may take any longer.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        filing: Filing,
        admissions: Admissions,
        tell: Callable[[Fields | Refusal], None],
        known: Container[str] = (),
    ) -> None:
        self.settings = settings
        self.filing = filing
        self.head_room = HeadRoom()
        self.admissions = admissions
        self.tell = tell
        self.notices = Notices(tell, known=known)
        self.cut = threading.Event()
        tags = tags_by_keyword()
        self.accept = parse_accept(settings.accept)
        self.keywords = {keyword: tags[keyword] for keyword in filing.layout.keywords}
        self.wanted = frozenset((*_ALWAYS, *self.keywords.values()))
        self.shown = frozenset((_PATIENT, _STUDY, _SERIES, *self.keywords.values()))
        self._full_until = float("-inf")

    def is_news(self, status: int) -> bool:
        """Tell whether a refusal is worth a warning; a full disk is one now and then, not for every instance."""
        now = time.monotonic()
        if status == OUT_OF_RESOURCES and now < self._full_until:
            return False
        if status == OUT_OF_RESOURCES:
            self._full_until = now + _FULL_AGAIN
        return status != NOT_AUTHORISED  # once restricted to what is asked for, a stray sender may bring thousands


class IncomingInstance:
    """Takes one data set, in pieces, and says with which status to answer.

    It runs on the thread of its association. `take` may keep the pieces until `flush`; the owner of their buffer calls
    it before using the buffer again. A status other than success is final: what still comes is counted and let go.

    Until the head is known, all that came is held in memory. Then it is decided whether to let the instance in, and
    only then a file is begun: nobody whom we did not ask makes us write. From there on each piece is walked over as it
    passes and written as it came, and the file gets its name last, after the end has been seen to be an end.

    `admitted` says whether it is known to be something that was asked for, even if it has to be refused later. Where
    only headers are asked for, what stands before the pixels is written, and all is walked over; what was deflated as a
    whole cannot be cut, and is kept as it is.
    """

    __slots__ = (
        "_caller",
        "_command",
        "_final",
        "_hash",
        "_head",
        "_headers",
        "_part",
        "_pending",
        "_ready",
        "_storage",
        "_syntax",
        "_texts",
        "_walk",
        "admitted",
        "is_news",
        "size",
        "status",
    )

    def __init__(
        self, storage: Storage, command: Command, transfer_syntax_uid: str, caller: Caller, ready: Part | None
    ) -> None:
        self._storage = storage
        self._command = command
        self._syntax = transfer_syntax_uid
        self._caller = caller
        self._head = HeldHead(transfer_syntax_uid, storage.wanted, storage.head_room)
        self._texts: dict[int, str] = {}
        self._walk: ElementWalk | None = None
        self._part: Part | None = None
        self._ready = ready  # a file that was prepared for what comes next
        self._pending: list[bytes | bytearray | memoryview] = []
        self._final = ""
        self._headers: HeaderWalk | None = None  # where nothing else is asked for
        self._hash = hashlib.sha256() if storage.settings.checksums else None
        self.admitted, self.is_news = False, True  # until it shows that it has come already
        self.size = 0
        self.status = SUCCESS

    def take(self, piece: memoryview, last: bool) -> None:
        """Take the next bytes; nothing more comes after the last ones."""
        self.size += len(piece)
        if self.status:
            return
        try:
            if self._walk is not None:
                self._walk.take(piece, last)
                if self._headers is None:
                    self._pending.append(piece)
                else:
                    self._pending += self._headers.kept
                if self._hash is not None:
                    self._hash.update(piece)
            else:
                self._take_head(piece, last)
        except HeadTooLong as error:
            self._refuse(CANNOT_UNDERSTAND, f"the data set is not read to its end: {error}", _TOO_LONG)
        except HeadError as error:
            mend = _MISTAKEN if self._caller.is_asked else ""
            self._refuse(CANNOT_UNDERSTAND, f"the data set cannot be read: {error}", mend, error.syntax)
        except NoRoom:
            self._refuse(OUT_OF_RESOURCES, _LONG_HEADS, "let the archive send fewer at a time")
        except WalkEnded:
            self._refuse(PROCESSING_FAILURE, "the receiver was stopped before it was here", "run it again")

    def _take_head(self, piece: memoryview, last: bool) -> None:
        data = self._head.take(piece, last)
        if data is None:
            return
        surplus, self.size, head = self.size - len(data), len(data), self._head.head
        if surplus:
            self._storage.notices.log(logging.INFO, "left out %d bytes of file meta information", surplus)
        if not self.size:
            self._refuse(CANNOT_UNDERSTAND, "the data set is empty")
        elif (headers_only := self._let_in(head)) is not None:
            if isinstance(head, DeflatedHead):
                self._walk = DeflatedWalk(head, self._storage.cut, self._storage.wanted)
                self._walk.take(b"", last)
            else:
                make = HeaderWalk if headers_only else ElementWalk
                self._walk = walk = make(self._syntax, head.offset, self._storage.wanted)
                walk.take(data, last)
                self._headers = walk if isinstance(walk, HeaderWalk) else None
            # Readers go by the first element: to Explicit VR if its length spells one, to a command set in group 0000.
            begins_oddly = bytes(data[:2]) == b"\0\0" or (
                self._syntax == IMPLICIT_LITTLE_ENDIAN and bytes(data[4:6]).isalpha()
            )
            if head.ambiguous or begins_oddly:
                self._walk.ambiguous = True
            self._open(data)

    def _let_in(self, head: Head) -> bool | None:
        """Tell whether only headers are asked for; None if it may not be filed at all, by its head, and is refused."""
        command, storage, headers_only = self._command, self._storage, self._caller.lacks_bulk
        sop_class, sop_instance = (str(command.get(f"Affected{kind}UID", "")) for kind in ("SOPClass", "SOPInstance"))
        for name, tag, value in (("SOP Instance", _SOP_INSTANCE, sop_instance), ("SOP Class", _SOP_CLASS, sop_class)):
            if not value or _uid(head, tag) != value:
                what = f"name different {name} UIDs" if value else f"have no {name} UID"
                self._refuse(DOES_NOT_MATCH, f"command and data set {what}")
                return None
        if _META_SYNTAX in head.values:
            self._refuse(CANNOT_UNDERSTAND, "file meta information stands inside the data set")
            return None
        self._texts = texts = {tag: head.text(tag) for tag in storage.shown}
        if storage.settings.restrict and not texts[_STUDY]:  # it would count for no study, and lie in none
            self._refuse(CANNOT_UNDERSTAND, "it has no StudyInstanceUID")
            return None
        if storage.settings.restrict:
            found = storage.admissions.lets_in(texts[_PATIENT], texts[_STUDY], texts[_SERIES], sop_instance)
            if found is None:
                self._refuse(NOT_AUTHORISED, "no running request asks for it")
                return None
            self.is_news = storage.admissions.is_news(found, texts[_SERIES], sop_instance)
            headers_only = headers_only or found.headers_only
        self.admitted = True
        return headers_only

    def _open(self, first: memoryview | bytearray) -> None:
        """Begin the file."""
        storage, command = self._storage, self._command
        try:
            storage.filing.check_space(len(first))
            values = {keyword: self._texts[tag] for keyword, tag in storage.keywords.items()}
            self._part, self._final = storage.filing.begin(values, self._ready)
            self._ready = None
        except OSError as error:
            self._refuse_for(error)
            return
        self._head.let_go()
        if self._hash is not None:
            self._hash.update(first)
        meta = encode_file_meta(
            str(command["AffectedSOPClassUID"]),
            str(command["AffectedSOPInstanceUID"]),
            self._syntax,
            self._caller.ae_title,
            headers_only=self._headers is not None,
        )
        self._pending += (meta, first) if self._headers is None else (meta, *self._headers.kept)

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
        """Give the file its name and return the status to answer with.

        The order may not change: all bytes are in the file before it has its name, it has its name before the event
        says that it arrived, and the event is on its way before the peer is told of success.
        """
        self.flush()
        if self.status:
            return self.status
        assert self._part is not None
        try:
            if self._headers is not None:
                self._part.headers_only = self._headers.cut is not None or self._caller.lacks_bulk
                if not self._part.headers_only:
                    self._part.overwrite(WHOLE, self.size)
            if self._walk is not None and self._walk.ambiguous and not self._is_read_alike(self._part):
                why = "other programs would take it for somebody else's, or for nobody's: its elements are ambiguous"
                self._refuse(CANNOT_UNDERSTAND, why)
                return self.status
            filed = self._storage.filing.publish(self._part, self._final)
        except AlreadyThere as error:
            self._refuse(DUPLICATE_INSTANCE, str(error), error.mend)
            return self.status
        except OSError as error:
            self._refuse_for(error)
            return self.status
        command, texts, left_out = self._command, self._texts, self._headers.left_out if self._headers else 0
        self._storage.tell(
            {
                "path": filed.path,
                "sop_class_uid": command.get("AffectedSOPClassUID", ""),
                "sop_instance_uid": command.get("AffectedSOPInstanceUID", ""),
                "study_instance_uid": texts[_STUDY],
                "series_instance_uid": texts[_SERIES],
                "patient_id": texts[_PATIENT],
                "transfer_syntax_uid": self._syntax,
                "size": self.size - left_out,
                "calling_ae_title": self._caller.ae_title,
                "peer": self._caller.host,
                **self._originator(),
                "duplicate": filed.duplicate,
                "conflict": filed.conflict,
                "at": time.monotonic(),
                "sha256": self._hash.hexdigest() if self._hash is not None else "",
                **({"headers_only": True} if filed.headers_only else {}),
            }
        )
        return SUCCESS

    def _is_read_alike(self, part: Part) -> bool:
        """Tell whether others find in the file what we have found in its head."""
        with part.read() as file:
            return is_read_alike(file, self._head.head.values, self._storage.wanted)

    def _originator(self) -> dict[str, Any]:
        """Return which C-MOVE the instance belongs to, if the peer says so."""
        title = str(self._command.get("MoveOriginatorApplicationEntityTitle", ""))
        message_id = self._command.get("MoveOriginatorMessageID")
        return {
            "originator_ae_title": title if len(title) <= _LONGEST_TITLE else "",
            "originator_message_id": message_id if isinstance(message_id, int) else None,
        }

    def settle(self, goes_on: bool) -> Part | None:
        """Return a file that is ready for what comes next, if any is; called once the peer has its answer.

        `goes_on` if much is to come: opening a file takes longer than all else, and the peer is busy now.
        """
        part, self._part = self._part, None
        if part is None:
            return self._ready
        return self._storage.filing.prepare(part.folder) if goes_on else None

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._pending = []
        self._head.let_go()
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

    def _refuse(self, status: int, why: str, mend: str = "", held_in: str = "") -> None:
        """Answer with this status when the message is complete, and tell why; half a file is gone at once."""
        self.abandon()
        self.status = status
        sop_instance = str(self._command.get("AffectedSOPInstanceUID", ""))[:64]
        level, notices = logging.WARNING if self._storage.is_news(status) else logging.INFO, self._storage.notices
        notices.log(level, f"refused instance %r with 0x{status:04X}: %s", sop_instance, why)
        refusal = Refusal(
            time.monotonic(),
            why,
            status,
            self._caller.ae_title,
            sop_instance,
            _uid(self._head.head, _STUDY)[:64],
            mend=mend or MENDS.get(status, ""),
            peer=self._caller.host,
            **self._originator(),
            transfer_syntax_uid=held_in,
        )
        # What was asked for is told one by one, whatever else comes: it is missing somewhere.
        (self._storage.tell if self.admitted else notices.tell)(refusal)


def _uid(head: Head, tag: int) -> str:
    """Return a UID of the data set, decoded as those of the command set are."""
    return head.values.get(tag, b"").decode("ascii", "replace").strip(" \0")
