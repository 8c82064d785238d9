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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from dicomover.dicomfile import HeadError
from dicomover.images.headers import Wanted, read_header
from dicomover.processes.interpreter import find_interpreter, python_command

__all__ = ["NO_DICOM", "read_headers"]

NO_DICOM = ""
"""The error of a file that is none of ours."""

_CHUNK = 500  # files
_WORTH = 2_000  # files, for which a second process pays for its start
_CODE = "from dicomover.images.readers import serve; serve()"

Columns = list[list[str | None]]


def read_headers(root: str, paths: Sequence[str], names: Sequence[str]) -> Columns:
    """Read what is wanted of files.

    Parameters
    ----------
    root
        The folder that the paths begin at.
    paths
        n paths.
    names
        k names of attributes.

    Returns
    -------
    list of 2 + k columns of n texts
        The transfer syntax; why the file could not be read, `NO_DICOM` if it is no DICOM file; and the values.
    """
    chunks = [list(paths[at : at + _CHUNK]) for at in range(0, len(paths), _CHUNK)]
    processes = min(os.cpu_count() or 1, len(paths) // _WORTH + 1) if find_interpreter() else 1
    parts: dict[int, Columns] = {}
    if processes > 1:
        waiting: SimpleQueue[tuple[int, list[str]]] = SimpleQueue()
        for job in enumerate(chunks):
            waiting.put(job)
        with ThreadPoolExecutor(processes, "dicomover headers") as pool:
            for found in pool.map(lambda _: _ask_child(root, waiting, names), range(processes)):
                parts.update(found)
    wanted = Wanted(names)
    for number, chunk in enumerate(chunks):
        if number not in parts:  # no child was worth it, or one has died
            parts[number] = _read_chunk(root, chunk, wanted)
    memory: dict[str, str] = {}  # a text that stands in many rows is kept once
    columns: Columns = [[] for _ in range(len(names) + 2)]
    for number in range(len(chunks)):
        for column, values in zip(columns, parts.pop(number), strict=True):
            column += [None if value is None else memory.setdefault(value, value) for value in values]
    return columns


def _read_chunk(root: str, paths: Sequence[str], wanted: Wanted) -> Columns:
    rows: list[list[str | None]] = []
    nothing: list[str | None] = [None] * len(wanted.attributes)
    for path in paths:
        try:
            header = read_header(os.path.join(root, path), wanted)  # noqa: PTH118 - for each file
        except HeadError as error:
            rows.append([None, f"it cannot be read: {error}", *nothing])
        except OSError as error:
            rows.append([None, f"it cannot be opened: {error.strerror}", *nothing])
        else:
            rows.append(
                [None, NO_DICOM, *nothing] if header is None else [header.transfer_syntax, None, *header.values]
            )
    return [list(column) for column in zip(*rows, strict=True)]


def _ask_child(root: str, waiting: SimpleQueue[tuple[int, list[str]]], names: Sequence[str]) -> dict[int, Columns]:
    """Have a child read chunks until none is left; runs in a thread of its own.

    Of a child that does not start, or dies, what it has not answered is left out.
    """
    found: dict[int, Columns] = {}
    with contextlib.suppress(OSError, ValueError):
        child = subprocess.Popen(  # noqa: S603 - this module, in our own Python
            python_command(_CODE), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with child:
            assert child.stdin is not None
            assert child.stdout is not None
            _write(child.stdin, [root, list(names)])
            for number, chunk in _take(waiting):
                _write(child.stdin, chunk)
                found[number] = json.loads(child.stdout.readline())
    return found


def _take(waiting: SimpleQueue[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
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
