"""Everything that dicomover raises.

::

    DicomoverError
    ├── RequestError          (also a ValueError)  input that cannot be meant
    ├── ConfigurationError    (also a ValueError)  a setting that cannot be meant
    ├── NoSuchFileError       (also a FileNotFoundError)  a file or folder to read is not there
    ├── CohortError           (also a ValueError)  a lockfile that is not what was written, or does not fit
    ├── JournalError          the journal cannot be read or written any more
    ├── ReceiverError         our own Storage SCP cannot run
    └── NodeError             the peer, seen from here; `retriable` says whether to try again
        ├── NodeUnreachable       no TCP connection
        ├── AssociationRejected   it answered A-ASSOCIATE-RJ
        ├── ContextRejected       it does not offer the service
        ├── AssociationLost       the association ended before the answer did
        ├── ProtocolError         it sent what the Standard does not allow
        └── QueryRefused          a C-FIND or C-ECHO ended with a failure status

    KeyboardInterrupt
    └── Interrupted           somebody stopped a batch; it carries what is known

Whatever a PACS says about one C-MOVE request is a row of the summary, never one of these.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dicomover.text.sentences import count_of
from dicomover.text.visible import make_visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AnswerWarning",
    "AssociationLost",
    "AssociationRejected",
    "CohortError",
    "ConfigurationError",
    "ContextRejected",
    "DicomoverError",
    "Interrupted",
    "JournalError",
    "LostBy",
    "NoSuchFileError",
    "NodeError",
    "NodeUnreachable",
    "Problem",
    "ProtocolError",
    "QueryRefused",
    "ReceiverError",
    "RequestError",
    "RequestWarning",
]


class DicomoverError(Exception):
    """Base of every error that dicomover raises. A notebook shows it without what lies between the cell and us.

    Attributes
    ----------
    what : str
        What was found; nothing in it that a terminal would obey.
    mend : str
        What to do about it; empty where nobody knows.
    """

    def __init__(self, what: object = "", mend: str = "") -> None:
        super().__init__(what, mend)
        self.what, self.mend = make_visible(str(what), lines=True), make_visible(mend, lines=True)

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.what, self.mend)))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints for it: the caller's own lines, and the message."""
        return _shorten_traceback(self)


def _shorten_traceback(error: BaseException) -> list[str]:
    ours, kernel = str(Path(__file__).parent), str(Path("IPython", "core"))
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(ours):
            break
        if frame.line and kernel not in frame.filename:
            in_cell = "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input")
            lines.append(f"{'In the cell' if in_cell else f'File {frame.filename}'}, line {frame.lineno}:")
            lines.append(f"    {frame.line}")
    return [*lines, "", f"{type(error).__name__}: {error}"]


class Interrupted(KeyboardInterrupt):
    """Somebody stopped a batch (Ctrl-C, the kernel's stop button), and what comes after it is not to run on a part.

    A KeyboardInterrupt, so that no `except Exception` takes it for an error of one request.

    Attributes
    ----------
    summary : DataFrame
        What is known: one row per request, and none without a status.
    """

    def __init__(self, what: str, summary: pd.DataFrame) -> None:
        super().__init__(what)  # and not the summary: arguments are shown, and its rows name patients
        self.summary = summary

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.summary)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints for it: the caller's own lines, and the message."""
        return _shorten_traceback(self)


class ConfigurationError(DicomoverError, ValueError):
    """A setting (an AE title, a port, a layout) cannot be meant; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value of one request, and how to mend it.

    Attributes
    ----------
    row
        The row's label; for a problem with the table or the file, its name.
    column
        Which value.
    value
        As given; stays out of messages if `private`, since the column identifies a patient.
    why, mend
        What is wrong, and what to do.
    position
        The row's place in the batch, -1 if it is not about a row.
    place
        Where the row stands in the file that it was read from, such as `line 14 of cohort.csv`; empty if unknown.
    """

    row: object
    column: str
    value: object
    why: str
    mend: str
    position: int = -1
    private: bool = False
    place: str = ""

    def __repr__(self) -> str:
        return f"Problem({str(self)!r})"

    def __str__(self) -> str:
        where = f"row {self.row!r}" if self.position >= 0 else str(self.row)
        where += f" ({self.place})" if self.place else ""
        where = ", ".join(part for part in (where, self.column) if part)
        shown = "" if self.value is None else "(value not shown) " if self.private else f"{self.value!r} "
        return f"{where}: {shown}{self.why}; {self.mend}"


class RequestError(DicomoverError, ValueError):
    """Requests that cannot be meant, all of them named at once; nothing was sent.

    Attributes
    ----------
    problems : tuple of Problem
        One for each bad value, in the order of the rows.
    """

    _SHOWN = 20

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"  {problem}" for problem in self.problems[: self._SHOWN]]
        if len(self.problems) > self._SHOWN:
            lines.append(f"  … and {len(self.problems) - self._SHOWN} more, see .problems")
        rows = len({problem.position for problem in self.problems if problem.position >= 0})
        what = f"{count_of(rows, 'request')} cannot be sent" if rows else "the requests cannot be read"
        super().__init__(what, "\n".join(["nothing was moved:", *lines]))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class NoSuchFileError(DicomoverError, FileNotFoundError):
    """A file or folder that was to be read is not there; it says where a relative path was looked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        FileNotFoundError.__init__(self, errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
        self.what = f"there is no {self.filename!r}" + ("" if Path(path).is_absolute() else f" in {Path.cwd()}")
        self.mend = "check how it is written, and where"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.filename,)


class RequestWarning(UserWarning):
    """A request that will be sent although it looks odd."""


class CohortError(DicomoverError, ValueError):
    """A lockfile is damaged, edited or too new, says otherwise than the archive, or its files do not allow a seal."""


class JournalError(DicomoverError):
    """The journal cannot be read or written any more: the disk is full, locked, or damaged. Nothing was recorded."""


class AnswerWarning(UserWarning):
    """What `find` returns may lack something that the archive has or said."""


class ReceiverError(DicomoverError):
    """The local Storage SCP cannot listen, or cannot write where it should."""


class NodeError(DicomoverError):
    """Something between us and the peer; `retriable` tells whether trying again makes sense."""

    retriable = False


class NodeUnreachable(NodeError):
    """No TCP connection: refused, no route, unknown name, or too slow. A retry makes sense.

    Attributes
    ----------
    code : int or None
        The system's error number, if it gave one.
    """

    retriable = True

    def __init__(self, what: object, mend: str = "", code: int | None = None) -> None:
        super().__init__(what, mend)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.mend, self.code)


class AssociationRejected(NodeError):
    """The peer answered with A-ASSOCIATE-RJ (PS3.8 section 9.3.4); a retry helps only if transient.

    Attributes
    ----------
    result, source, reason : int
        As they came: result 1 is permanent, 2 is transient.
    """

    def __init__(self, what: object, result: int, source: int, reason: int, mend: str = "") -> None:
        super().__init__(what, mend)
        self.result, self.source, self.reason = result, source, reason
        self.retriable = result == 2

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.result, self.source, self.reason, self.mend)


class ContextRejected(NodeError):
    """The peer accepted the association, but not the presentation context that is needed."""


class LostBy(StrEnum):
    """How an association came to its end."""

    ABORT = "abort"  # the peer sent A-ABORT
    RELEASE = "release"  # the peer released in the middle of an exchange
    CLOSED = "closed"  # the connection closed or broke
    TIMEOUT = "timeout"  # nothing came for as long as we were willing to wait
    STOPPED = "stopped"  # we gave it up ourselves


class AssociationLost(NodeError):
    """The association ended before the answer did; a retry makes sense.

    Attributes
    ----------
    by : LostBy
        Who or what ended it.
    """

    retriable = True

    def __init__(self, what: object, by: LostBy, mend: str = "") -> None:
        super().__init__(what, mend)
        self.by = by

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.by, self.mend)


class ProtocolError(NodeError):
    """The peer sent what the Standard does not allow; the association was aborted."""


class QueryRefused(NodeError):
    """A C-FIND or C-ECHO ended with a failure status, or with answers that cannot be trusted.

    Attributes
    ----------
    status : int or None
        The final DIMSE status; None if there was none to blame.
    """

    def __init__(self, what: object, status: int | None = None, mend: str = "") -> None:
        super().__init__(what, mend)
        self.status = status
        self.retriable = status is not None and 0xA700 <= status <= 0xA7FF

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.status, self.mend)
