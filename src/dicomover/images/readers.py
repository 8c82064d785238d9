"""The headers of many files, read by several processes where that is worth their start.

A child is this module in a Python of its own. It is given lists of paths, a line each, and answers each
with a line: the columns of what it read. Both are JSON, so that a file's content is never more than text.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dicomover.dicomfile import HeadError
from dicomover.images.headers import Wanted, read_header
from dicomover.processes.interpreter import find_interpreter, python_command

if TYPE_CHECKING:
    from pandas.api.extensions import ExtensionArray

    Paths = Sequence[str] | ExtensionArray

__all__ = ["NO_DICOM", "read_headers"]

NO_DICOM = ""
"""The error of a file that is none of ours."""

_CHUNK = 500  # files
_AHEAD = 3  # chunks
_WORTH = 2_000  # files, for which a second process pays for its start
_CODE = "from dicomover.images.readers import serve; serve()"

Columns = list[list[str | None]]


def read_headers(
    root: str,  # the folder that the paths begin at
    paths: Paths,  # n paths
    names: Sequence[str],  # k names of attributes
) -> Iterator[Columns]:
    """Read what is wanted of files, and yield it by parts, in order: the texts of a million files take gigabytes.

    Yields
    ------
    list of 3 + k columns of as many texts
        The transfer syntax; why the file could not be read, `NO_DICOM` if it is no DICOM file; something if its pixels
        were left out; and the values.
    """
    chunks = [paths[at : at + _CHUNK] for at in range(0, len(paths), _CHUNK)]  # of an array no copies
    processes = min(os.cpu_count() or 1, len(paths) // _WORTH + 1) if find_interpreter() else 1
    wanted = Wanted(names)
    if processes == 1:
        yield from (_read_chunk(root, chunk, wanted) for chunk in chunks)
        return
    waiting: SimpleQueue[tuple[int, Paths]] = SimpleQueue()
    answers: SimpleQueue[tuple[int, Columns | None]] = SimpleQueue()
    room = threading.Semaphore(_AHEAD * processes)  # of what is read and not taken yet
    for job in enumerate(chunks):
        waiting.put(job)
    with ThreadPoolExecutor(processes, "dicomover headers") as pool:
        for _ in range(processes):
            pool.submit(_ask_child, root, names, waiting, answers, room)
        early: dict[int, Columns | None] = {}
        try:
            for number, chunk in enumerate(chunks):
                while number not in early:
                    early.update([answers.get()])
                columns = early.pop(number)
                yield _read_chunk(root, chunk, wanted) if columns is None else columns
                room.release()
        finally:  # whoever stops early leaves nothing to be read
            list(_take(waiting))
            room.release(processes)


def _read_chunk(root: str, paths: Paths, wanted: Wanted) -> Columns:
    rows: list[list[str | None]] = []
    nothing: list[str | None] = [None] * len(wanted.attributes)
    for path in paths:
        try:
            header = read_header(os.path.join(root, path), wanted)  # noqa: PTH118 - for each file
        except HeadError as error:
            rows.append([None, f"it cannot be read: {error}", None, *nothing])
        except OSError as error:
            rows.append([None, f"it cannot be opened: {error.strerror}", None, *nothing])
        else:
            if header is None:
                rows.append([None, NO_DICOM, None, *nothing])
            else:
                lacking = "1" if header.headers_only else None
                rows.append([header.transfer_syntax, None, lacking, *header.values])
    return [list(column) for column in zip(*rows, strict=True)]


def _ask_child(
    root: str,
    names: Sequence[str],
    waiting: SimpleQueue[tuple[int, Paths]],
    answers: SimpleQueue[tuple[int, Columns | None]],
    room: threading.Semaphore,
) -> None:
    """Have a child read chunks until none is left; runs in a thread of its own.

    Each chunk that is taken has an answer: None where the child does not start, or has died.
    """
    with contextlib.ExitStack() as stack:
        child = None
        with contextlib.suppress(OSError):
            child = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - this module, in our own Python
                    python_command(_CODE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            )
            _write(child.stdin, [root, list(names)])
        room.acquire()
        for number, chunk in _take(waiting):
            found = None
            with contextlib.suppress(OSError, ValueError):
                if child is not None and child.poll() is None:
                    _write(child.stdin, list(chunk))
                    found = json.loads(child.stdout.readline())  # type: ignore[union-attr]
            answers.put((number, found))
            room.acquire()
        if child is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()  # type: ignore[union-attr]


def _take(waiting: SimpleQueue[tuple[int, Paths]]) -> Iterator[tuple[int, Paths]]:
    try:
        while True:
            yield waiting.get_nowait()
    except Empty:
        return


def _write(stream: object, value: object) -> None:
    line = json.dumps(value).encode("ascii") + b"\n"
    stream.write(line)  # type: ignore[attr-defined]
    stream.flush()  # type: ignore[attr-defined]


def serve() -> None:
    """Answer each line of paths with a line of columns: what a child does."""
    root, names = json.loads(sys.stdin.buffer.readline())
    wanted = Wanted(names)
    for line in sys.stdin.buffer:
        _write(sys.stdout.buffer, _read_chunk(root, json.loads(line), wanted))
