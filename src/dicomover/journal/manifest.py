"""Which files a request brought, and whether they still lie there as they came."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from dicomover.disk import Below
from dicomover.events import Arrival
from dicomover.identifier import Identifier, Level, Model
from dicomover.privacy import DamagedRecord

__all__ = ["Details", "File", "FileCheck", "Manifest", "check_files", "pack", "unpack"]

_FORMAT = 1
_LONGEST = 1 << 29  # bytes of details; a million files have a fifth of that


class File(NamedTuple):
    """One file of a request.

    Attributes
    ----------
    path
        Relative to the receive folder, with `/` between its parts.
    sop, series, study
        Its SOP, Series and Study Instance UID.
    size
        Bytes of the file, which are more than those of the data set.
    mtime_ns
        When it was last changed, in nanoseconds since 1970.
    """

    path: str
    sop: str
    series: str
    study: str
    size: int
    mtime_ns: int

    def __repr__(self) -> str:
        return f"File(sop={self.sop!r}, size={self.size})"  # a path may name a patient

    @classmethod
    def of(cls, arrival: Arrival, folder: str | os.PathLike[str]) -> Self:
        """Take down an arrival as it lies on the disk now.

        Raises
        ------
        OSError
            If it is gone again.
        ValueError
            If it does not lie in the folder.
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
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files that lie here for one request.

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
        return len({(file.series, file.sop) for file in self.files})

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(file.size for file in self.files)

    def merge(self, later: Iterable[File]) -> Manifest:
        """Take in files that came later: they replace what has their path, or their UIDs down to the instance."""
        came = tuple(later)
        paths, instances = {file.path for file in came}, {(file.series, file.sop) for file in came}
        kept = (file for file in self.files if file.path not in paths and (file.series, file.sop) not in instances)
        return Manifest((*kept, *came))


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of a request beyond its result: what it was resolved to, and the files that it brought."""

    identifiers: tuple[Identifier, ...] = ()
    manifest: Manifest = Manifest()


@dataclass(frozen=True, slots=True)
class FileCheck:
    """How the files of a manifest were found.

    Attributes
    ----------
    intact
        There, with the size and the time that they had.
    missing
        Not there.
    changed
        There, but with another size or time.
    """

    intact: Manifest = Manifest()
    missing: tuple[File, ...] = ()
    changed: tuple[File, ...] = ()


def check_files(manifest: Manifest, folder: str | os.PathLike[str]) -> FileCheck:
    """Look whether every file of a manifest is there, with the size and the time that it had.

    A manifest is checked, not believed: a path that leads out of the folder, or through a link, leads to nothing.

    Parameters
    ----------
    manifest
        Of n files.
    folder
        The receive folder, to which their paths are relative; it may have been moved together with them.

    Returns
    -------
    FileCheck
        Its parts have n files together.

    Raises
    ------
    OSError
        If a file can neither be seen nor said to be gone, such as on a drive that does not answer.

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


def pack(details: Details) -> bytes:
    """Write details compactly: by column, series and study by number, compressed."""
    files = details.manifest.files
    series = {uid: number for number, uid in enumerate(dict.fromkeys(file.series for file in files))}
    studies = {uid: number for number, uid in enumerate(dict.fromkeys(file.study for file in files))}
    first = files[0].mtime_ns if files else 0
    content = {
        "format": _FORMAT,
        "identifiers": [
            (str(each.level), each.model.value, each.patient, each.study, each.series, each.instance)
            for each in details.identifiers
        ],
        "series": list(series),
        "studies": list(studies),
        "first": first,
        "path": [file.path for file in files],
        "sop": [file.sop for file in files],
        "in_series": [series[file.series] for file in files],
        "in_study": [studies[file.study] for file in files],
        "size": [file.size for file in files],
        "after": [file.mtime_ns - first for file in files],
    }
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 3)


def unpack(packed: bytes) -> Details:
    """Read what `pack` wrote.

    Raises
    ------
    DamagedRecord
        If it is not that.
    """
    try:
        content = json.loads(_inflate(packed))
        if content["format"] != _FORMAT:
            raise DamagedRecord(f"details of format {content['format']!r}")
        series, studies, first = content["series"], content["studies"], content["first"]
        identifiers = [Identifier(Level(level), Model(model), *uids) for level, model, *uids in content["identifiers"]]
        columns = ("path", "sop", "in_series", "in_study", "size", "after")
        if not {type(part) for each in content["identifiers"] for part in each} <= {str}:
            raise TypeError("an identifier of something else than texts")
        files = tuple(
            _file(path, sop, series[in_series], studies[in_study], size, first + after)
            for path, sop, in_series, in_study, size, after in zip(*(content[name] for name in columns), strict=True)
        )
    except DamagedRecord:
        raise
    except (zlib.error, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DamagedRecord(f"details that cannot be read, {type(error).__name__}") from error
    return Details(tuple(identifiers), Manifest(files))


def _inflate(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, _LONGEST)
    if not inflater.eof:
        raise ValueError("details that are cut short, or longer than any are")
    return content


def _file(path: object, sop: object, series: object, study: object, size: object, mtime_ns: object) -> File:
    texts, numbers = (path, sop, series, study), (size, mtime_ns)
    if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
        raise TypeError("a file whose fields are of other types")
    return File(*texts, *numbers)  # type: ignore[arg-type]
