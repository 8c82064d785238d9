"""The files that lie here: what is known of each, whether it still is as it came, and many of them in few bytes."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, Self

from dicomover.disk import Below, DamagedRecord, inflate
from dicomover.events import Arrival

__all__ = ["File", "FileCheck", "Manifest", "check_files", "pack_files", "unpack_files"]

_MARK = "*"  # stands for the SOP Instance UID in the name of a file


class File(NamedTuple):
    """One file."""

    path: str  # relative to the receive folder, with `/` between its parts; empty if it lies at a third party
    # its SOP, Series and Study Instance UID
    sop: str
    series: str
    study: str
    size: int  # bytes of the file, which are more than those of the data set
    mtime_ns: int  # when it was last changed, in nanoseconds since 1970
    syntax: str = ""  # the UID of its transfer syntax
    request: str = ""  # the key of the request that brought it
    headers_only: bool = False  # whether it lacks the pixels

    def __repr__(self) -> str:
        return f"File(sop={self.sop!r}, size={self.size})"  # a path may name a patient

    @classmethod
    def of(cls, arrival: Arrival, folder: str | os.PathLike[str], request: str = "") -> Self:
        """Take down an arrival as it lies on the disk now.

        Raises OSError if it is gone again, and ValueError if it does not lie in the folder.
        """
        seen = os.stat(arrival.path)  # noqa: PTH116 - a Path for each file costs more than the call
        path = Path(arrival.path).relative_to(folder).as_posix()
        return cls(
            path,
            arrival.sop_instance_uid,
            arrival.series_instance_uid,
            arrival.study_instance_uid,
            seen.st_size,
            seen.st_mtime_ns,
            arrival.transfer_syntax_uid,
            request,
            arrival.headers_only,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """Some files.

    Examples
    --------
    >>> here = Manifest((File("a.dcm", "1.1", "1", "0", 10, 5), File("b.dcm", "1.2", "1", "0", 10, 5)))
    >>> again = here.merge([File("c.dcm", "1.2", "1", "0", 12, 6)])
    >>> [file.path for file in again.files], sorted(again.instances)
    (['a.dcm', 'c.dcm'], ['1.1', '1.2'])
    """

    files: tuple[File, ...] = ()

    @property
    def instances(self) -> frozenset[str]:
        """The SOP Instance UIDs that are here; a conflicting copy of one counts once."""
        return frozenset(file.sop for file in self.files)

    @property
    def count(self) -> int:
        """How many instances are here; one SOP Instance UID in two series is two of them."""
        return len({(file.study, file.series, file.sop) for file in self.files})

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.size for file in self.files)

    def merge(self, later: Iterable[File]) -> Manifest:
        """Take in files that came later: they replace what has their path, or their UIDs down to the instance."""
        came = tuple(later)
        paths, instances = {file.path for file in came if file.path}, {(file.series, file.sop) for file in came}
        kept = (file for file in self.files if file.path not in paths and (file.series, file.sop) not in instances)
        return Manifest((*kept, *came))


@dataclass(frozen=True, slots=True)
class FileCheck:
    """How the files of a manifest were found."""

    intact: Manifest = Manifest()  # there, with the size and the time that they had
    missing: tuple[File, ...] = ()  # not there
    changed: tuple[File, ...] = ()  # there, but with another size or time


def check_files(manifest: Manifest, folder: str | os.PathLike[str]) -> FileCheck:
    """Look whether every file of a manifest is there, with the size and the time that it had.

    Their paths are relative to the folder, which may have been moved together with them. A manifest is checked, not
    believed: a path that leads out of the folder, or through a link, leads to nothing. Raises OSError if a file can
    neither be seen nor said to be gone, such as on a drive that does not answer.

    Examples
    --------
    >>> check = check_files(Manifest((File("a.dcm", "1.1", "1", "0", 10, 5),)), "no/such/folder")
    >>> len(check.missing), len(check.intact.files)
    (1, 0)
    """
    intact: list[File] = []
    missing: list[File] = []
    changed: list[File] = []
    with Below(folder) as below:
        for file in manifest.files:
            seen = below.look(file.path)
            if seen is None:
                missing.append(file)
                continue
            same = stat.S_ISREG(seen.st_mode) and (seen.st_size, seen.st_mtime_ns) == (file.size, file.mtime_ns)
            (intact if same else changed).append(file)
    return FileCheck(Manifest(tuple(intact)), tuple(missing), tuple(changed))


def pack_files(files: Sequence[File], bond: str) -> bytes:
    """Write the files of one series compactly: by column, what they begin with once, what they share once, compressed.

    `bond` says whose they are: they are read only for that.

    Examples
    --------
    >>> files = (File("P/1.2.7.dcm", "1.2.7", "1.2", "1", 10, 5), File("P/1.2.8.dcm", "1.2.8", "1.2", "1", 12, 7))
    >>> packed = pack_files(files, "A")
    >>> unpack_files(packed, "A", "1", "1.2") == files, unpack_files(packed, "B", "1", "1.2")
    (True, ())
    """
    first = files[0].mtime_ns if files else 0
    start = _find_beginning([file.sop for file in files])
    content = [
        bond,
        start,
        [file.sop[len(start) :] for file in files],
        _fold([file.path if not file.sop else file.path.replace(file.sop, _MARK, 1) for file in files]),
        _fold([file.size for file in files]),
        first,
        _fold([file.mtime_ns - first for file in files]),
        _fold([file.syntax for file in files]),
        _fold([file.request for file in files]),
    ]
    if any(file.headers_only for file in files):  # else it is what earlier versions read, too
        content.append(_fold([file.headers_only for file in files]))
    if any(_MARK in file.path or (file.sop and file.path.count(file.sop) > 1) for file in files):
        content[3] = [[file.path] for file in files]
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 3)


def _find_beginning(texts: Sequence[str]) -> str:
    """Return what all texts begin with, by letters; the first and the last of them in order tell."""
    first, last = min(texts, default=""), max(texts, default="")
    differ = (n for n, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1])
    return first[: next(differ, len(first))]


def _fold(values: list[Any]) -> Any:
    """Return what all of them are, or else all of them."""
    return values[0] if values and all(value == values[0] for value in values) else values


def _unfold(column: Any, kind: type, count: int) -> Any:
    values = [column] * count if type(column) is kind else column
    if type(values) is not list or len(values) != count or not set(map(type, values)) <= {kind}:
        raise TypeError("a column of something else")
    return values


def unpack_files(packed: bytes, bond: str, study: str, series: str) -> tuple[File, ...]:
    """Read what `pack_files` wrote of a series; nothing if it is bound to something else.

    Raises DamagedRecord if it is not that.
    """
    try:
        content = json.loads(inflate(packed).decode("ascii"))
        bound, start, ends, paths, sizes, first, times, syntaxes, requests, *more = content
        if bound != bond:
            return ()
        count = len(ends)
        if type(start) is not str or type(ends) is not list or type(first) is not int:
            raise TypeError("a beginning of something else")
        sops = [start + end for end in ends]
        if type(paths) is list and paths and type(paths[0]) is list:
            paths = _unfold([path for (path,) in paths], str, count)
        else:
            paths = [path.replace(_MARK, sop, 1) for path, sop in zip(_unfold(paths, str, count), sops, strict=True)]
        changed = [first + after for after in _unfold(times, int, count)]
        sizes = _unfold(sizes, int, count)
        syntaxes, requests = _unfold(syntaxes, str, count), _unfold(requests, str, count)
        (lacking,) = more or [False]
        lacking = _unfold(lacking, bool, count)
        rows = zip(paths, sops, repeat(series), repeat(study), sizes, changed, syntaxes, requests, lacking)
        return tuple(map(File._make, rows))
    except (zlib.error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedRecord(f"files that cannot be read, {type(error).__name__}") from error
