"""Everything that dicomover raises.

::

    DicomoverError
    ├── RequestError          (also a ValueError)  input that cannot be meant
    ├── ConfigurationError    (also a ValueError)  a setting that cannot be meant
    ├── NoSuchFileError       (also a FileNotFoundError)  a file or folder to read is not there
    ├── CohortError           (also a ValueError)  a lockfile that is not what was written, or does not fit
    ├── SeriesError           (also a ValueError)  images that make no array or picture
    ├── JournalError          the journal cannot be read or written any more
    ├── ReceiverError         our own Storage SCP cannot run
    └── NodeError             the peer, seen from here; `retriable` says whether to try again
        ├── NodeUnreachable       no TCP connection, or no TLS on it
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
import numbers
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dicomover.text.face import setting
from dicomover.text.sentences import count_of, kind_of, merge, span_of
from dicomover.text.shapes import WIDEST, cut, narrow, shape_of
from dicomover.text.visible import make_visible
from dicomover.text.widths import fit

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
    "SeriesError",
    "list_problems",
    "warn_caller",
]

_HOME = str(Path(__file__).parent) + os.sep
_LINES_SHOWN = 20
_LONGEST = 16_000  # characters of a message


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
        self.what, self.mend = (make_visible(narrow(cut(str(text), _LONGEST)), lines=True) for text in (what, mend))

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.what, self.mend)))

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args), vars(self)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints for it: the caller's own lines, and the message."""
        return _shorten_traceback(self)


def _restore(kind: type[DicomoverError], arguments: tuple[object, ...]) -> DicomoverError:
    """Make an error anew, in another process or of a copy, whatever its class takes; its fields follow."""
    return kind.__new__(kind, *arguments)


def _shorten_traceback(error: BaseException) -> list[str]:
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(_HOME):
            break
        if frame.line and str(Path("IPython", "core")) not in frame.filename:
            is_cell = "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input")
            where = "In the cell" if is_cell else f"File {frame.filename}"
            lines += [f"{where}, line {frame.lineno}:", f"    {frame.line}"]
    return [*lines, "", fit(f"{type(error).__name__}: {error}", 80)]  # a notebook breaks within words


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
        As given; messages show no more than its shape if it is `private`, as what may be of a patient is.
    why, mend
        What is wrong, and what to do.
    position
        The row's place in the batch, -1 if it is not about a row.
    place
        Where the row stands in the file that it was read from, such as `line 14 of cohort.csv`; empty if unknown.
    shows_label
        Whether the row is called by its label where that is a number; by its position otherwise.
    """

    row: object
    column: str
    value: object
    why: str
    mend: str
    position: int = -1
    private: bool = True
    place: str = ""
    shows_label: bool = True

    def __repr__(self) -> str:
        return f"Problem({str(self)!r})"

    def __str__(self) -> str:
        return _tell([self], show_keys=False)

    def tell(self, *, show_keys: bool = False) -> str:
        """Return it as a sentence; `show_keys` shows the label and the value too."""
        return _tell([self], show_keys=show_keys)


def list_problems(problems: Iterable[Problem], *, show_keys: bool = False) -> list[tuple[str, int]]:
    """Return a sentence for all problems that are alike but for their rows and numbers, and how many those are.

    Examples
    --------
    >>> alike = [Problem(n, "PatientID", "4711 ", "ends with a space", "take it away", n) for n in (0, 1, 2, 5)]
    >>> list_problems(alike)
    [("rows 0 to 2, 5, PatientID: '9999 ' ends with a space; take it away", 4)]
    """
    kinds: dict[tuple[object, ...], list[Problem]] = {}
    for problem in problems:
        about = () if problem.position >= 0 and problem.private else (repr(problem.value),)
        about = about if problem.position >= 0 else (str(problem.row), *about)
        kinds.setdefault((problem.column, kind_of(problem.why), problem.mend, *about), []).append(problem)
    return [(_tell(alike, show_keys=show_keys), len(alike)) for alike in kinds.values()]


def _tell(alike: Sequence[Problem], *, show_keys: bool) -> str:
    first = alike[0]
    where = _name_rows(alike, show_keys) if first.position >= 0 else str(first.row)
    where = ", ".join(part for part in (where, first.column) if part)
    shown = list(dict.fromkeys(_show(problem, show_keys) for problem in alike))
    others = "(and the like) " if len(shown) > 1 else ""
    return f"{where}: {shown[0]}{others}{merge(list(dict.fromkeys(one.why for one in alike)))}; {first.mend}"


def _show(problem: Problem, show_keys: bool) -> str:
    shown = repr(problem.value) if show_keys or not problem.private else shape_of(problem.value)
    return "" if problem.value is None else f"{cut(shown, WIDEST)} "


def _name_rows(alike: Sequence[Problem], show_keys: bool) -> str:
    """Return what the rows are called, and on which lines they stand."""
    names = [_name_row(problem, show_keys) for problem in alike]
    lines = [problem.place.removeprefix("line ").removeprefix("row ").partition(" of ") for problem in alike]
    files, unit = {file for _, _, file in lines}, "row" if alike[0].place.startswith("row ") else "line"
    text = f"row{'s' * (len(set(names)) > 1)} {span_of(names)}"
    if files == {""} or len(files) > 1:
        return text
    return f"{text} ({unit}{'s' * (len(set(lines)) > 1)} {span_of([line for line, _, _ in lines])} of {files.pop()})"


def _name_row(problem: Problem, show_keys: bool) -> str:
    if show_keys:
        return repr(problem.row)
    is_number = isinstance(problem.row, numbers.Integral) and not isinstance(problem.row, bool)
    return str(problem.row) if is_number and problem.shows_label else str(problem.position)


class RequestError(DicomoverError, ValueError):
    """Requests that cannot be meant, all of them named at once; nothing was sent.

    Rows are named by their number, values by their shape; `show_keys` shows them.

    Attributes
    ----------
    problems : tuple of Problem
        One for each bad value, in the order of the rows.
    """

    def __init__(self, problems: Sequence[Problem], *, show_keys: bool = False) -> None:
        self.problems, self._show_keys = tuple(problems), show_keys
        told = list_problems(self.problems, show_keys=show_keys)
        lines = [f"  {sentence}" for sentence, _ in told[:_LINES_SHOWN]]
        if rest := sum(count for _, count in told[_LINES_SHOWN:]):
            lines.append(f"  … and {rest:,} more, see .problems")
        if any(_show(problem, show_keys) != _show(problem, show_keys=True) for problem in self.problems):
            lines.append(f"  (9 is any digit, A any letter: {setting('show_keys', True)} shows what stands there)")
        rows = len({problem.position for problem in self.problems if problem.position >= 0})
        what = f"{count_of(rows, 'request')} cannot be sent" if rows else "the requests cannot be read"
        super().__init__(what, "\n".join(["nothing was moved:", *lines]))


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


def warn_caller(said: str, category: type[UserWarning]) -> None:
    """Warn, pointing at the line that called dicomover, whatever lies between."""
    frame, depth = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame, depth = frame.f_back, depth + 1
    warnings.warn(said, category, stacklevel=depth)


class CohortError(DicomoverError, ValueError):
    """A lockfile is damaged, edited or too new, says otherwise than the archive, or its files do not allow a seal."""


class SeriesError(DicomoverError, ValueError):
    """The images of a series make no array or picture; the message says what is in the way."""


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
    """No TCP connection (refused, no route, unknown name, too slow), or no TLS on it; most may be otherwise later.

    Attributes
    ----------
    code : int or None
        The system's error number, if it gave one.
    """

    retriable = True

    def __init__(self, what: object, mend: str = "", code: int | None = None, *, hopeless: bool = False) -> None:
        super().__init__(what, mend)
        self.code = code
        self.retriable = not hopeless


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
