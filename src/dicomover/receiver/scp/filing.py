"""Files: written without a name, or as a `.part`, then given their name without ever taking another's."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO

from dicomover.dicomfile import is_headers_only, read_file_meta
from dicomover.disk import Share
from dicomover.receiver.layout import Existing, Layout
from dicomover.receiver.scp.folders import Folder, Root

__all__ = ["AlreadyThere", "Filed", "Filing", "NoSpace", "Part", "out_of_space"]

_META = 1 << 16  # bytes that hold any file meta information of ours
_READ = 1 << 20
_CHECK_SPACE_EVERY = 16 << 20  # bytes
_UNSYNCED = 50_000  # files remembered by name; beyond that, everything is flushed
_OUT_OF_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_HAS_WRITEV = hasattr(os, "writev")
_MOST_VERSIONS = 100  # kept beside the first: another one is held against all of them
_AT_ONCE = 512  # buffers in one writev; systems allow 1024


class NoSpace(OSError):
    """The free-space floor is reached."""


class AlreadyThere(Exception):
    """Another data set lies under this SOP Instance UID, and it is to be left alone; or very many do."""

    def __init__(self, why: str, mend: str) -> None:
        super().__init__(why)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Filed:
    """Where an instance lies now."""

    path: str
    duplicate: bool = False
    conflict: bool = False
    headers_only: bool = False


class Part:
    """One file that is being written; ends with `Filing.publish` or `abandon`.

    Where the file system can do that it has no name until it is whole, and a crash leaves nothing behind.
    """

    __slots__ = ("fd", "folder", "headers_only", "name")

    def __init__(self, folder: Folder, fd: int, name: str = "") -> None:
        self.folder, self.fd, self.name = folder, fd, name
        self.headers_only = False  # whether what is written lacks the pixels

    def write(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write all pieces."""
        pieces = list(pieces)
        while pieces:
            written = os.writev(self.fd, pieces[:_AT_ONCE]) if _HAS_WRITEV else os.write(self.fd, pieces[0])
            done = 0
            while done < len(pieces) and written >= len(pieces[done]):
                written -= len(pieces[done])
                done += 1
            del pieces[:done]
            if pieces and written:
                pieces[0] = memoryview(pieces[0])[written:]

    def overwrite(self, data: bytes, before: int) -> None:
        """Write other bytes where there are some already, so many before the end."""
        os.lseek(self.fd, -len(data) - before, os.SEEK_END)
        os.write(self.fd, data)

    def read(self) -> BinaryIO:
        """Return what was written, from its beginning."""
        fd = os.dup(self.fd) if self.fd >= 0 else self.folder.open_file(self.name)
        if fd is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        file = open(fd, "rb")  # noqa: PTH123, SIM115 - its caller closes it
        file.seek(0)
        return file

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def abandon(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            self.remove()

    def link(self, name: str) -> None:
        """Give it a name that nothing has; raises FileExistsError if something does."""
        source = self.folder.at(self.name) if self.name else f"/proc/self/fd/{self.fd}"
        os.link(source, self.folder.at(name), src_dir_fd=self.folder.fd, dst_dir_fd=self.folder.fd)

    def remove(self) -> None:
        """Take its name away."""
        if self.name:
            os.unlink(self.folder.at(self.name), dir_fd=self.folder.fd)


class Filing:
    """Files instances below one folder. Methods may be called from any thread.

    A part lies beside its place from its first byte, with a name of ours or without one, so that giving it its own is
    one step within a folder, and means a whole file. A name is taken by a hard link, which fails where something lies
    already: neither two threads nor two processes nor the user can lose a file to it. `_unsynced` is what has its name
    and may be lost in a power cut; it is let go of only after all of it was synced.
    """

    def __init__(
        self,
        root: str,
        layout: Layout,
        existing: Existing = "keep",  # other bytes that lie under the same SOP Instance UID
        floor: int = 0,  # bytes that must stay free on the disk
        token: str | None = None,  # twelve hexadecimal digits in the names of its `.part` files, by which to find them
        turn: AbstractContextManager[object] | None = None,  # keeps other processes from giving names at the same time
        share: Share = "owner",
    ) -> None:
        self._root = Root(root, share)
        self.root = self._root.path
        self.layout = layout
        self.token = token or secrets.token_hex(6)
        self._existing = existing
        self._floor = floor
        self._lock = threading.Lock()
        self._turn = turn or threading.Lock()
        self._unsynced: list[str] | None = []  # None: too many to remember
        self._space_until = 0.0
        self._space_left = 0

    def close(self) -> None:
        """Let go of the folders."""
        self._root.close()

    # --- space

    def check_space(self, size: int = 0) -> None:
        """Raise NoSpace if less than the floor is free, OSError if the folder is another one now.

        It looks at most once a second, or every few MB.
        """
        now = time.monotonic()
        self._space_left -= size
        if now < self._space_until and self._space_left > 0:
            return
        self._root.check()
        free = shutil.disk_usage(self.root).free
        if free < self._floor:
            self._space_until = 0.0
            why = f"{free >> 20} MiB are free on the disk, and {self._floor >> 20} MiB are to stay free"
            raise NoSpace(errno.ENOSPC, why)
        self._space_until = now + 1.0
        self._space_left = _CHECK_SPACE_EVERY

    # --- writing

    def begin(self, values: Mapping[str, str], ready: Part | None = None) -> tuple[Part, str]:
        """Create the file of an instance; return it with the path that it shall have.

        `ready` is one that was prepared; it is taken if it lies where it should, and else removed. Raises OSError if
        none can be created, and then leaves it as it is; `out_of_space` tells whether the disk is full.
        """
        where, _, name = self.layout.path(self.root, values).rpartition(os.sep)
        folder = self._root.open(where)
        if ready is not None and ready.folder is folder:
            return ready, f"{folder.path}{os.sep}{name}"
        try:
            part = self._create(folder)
        except OSError:
            if folder.is_there():
                raise
            folder = self._root.renew(folder)
            part = self._create(folder)
        if ready is not None:
            ready.abandon()
        return part, f"{folder.path}{os.sep}{name}"

    def prepare(self, folder: Folder) -> Part | None:
        """Create a file before its instance is there; None if that fails, or it would be seen by others."""
        with contextlib.suppress(OSError):
            return self._create_nameless(folder)
        return None

    def _create(self, folder: Folder) -> Part:
        if part := self._create_nameless(folder):
            return part
        name = self._make_name()
        return Part(folder, folder.create(name), name)

    def _create_nameless(self, folder: Folder) -> Part | None:
        fd = folder.create_nameless() if self._root.has_nameless else None
        return None if fd is None else Part(folder, fd)

    def _make_name(self) -> str:
        # Nobody can foresee the name, and so nobody can be there before us.
        return f"dicomover-{self.token}-{os.urandom(8).hex()}.part"

    def publish(self, part: Part, final: str) -> Filed:
        """Give a part its name, or find out that the same bytes are there already; it is closed then.

        Raises AlreadyThere if other bytes are there and shall stay alone; the part is gone then.
        """
        if part.name:
            part.close()  # some systems rename nothing that is open
        try:
            filed = self._publish(part, final)
        except OSError:
            if part.name or part.folder.is_there():
                raise
            part.folder = self._root.renew(part.folder)
            filed = self._publish(part, f"{part.folder.path}{os.sep}{final.rpartition(os.sep)[2]}")
        self._close(part, filed)
        # The path is told as the place of the file: it has to lead there, which it does not on a disk that was
        # unmounted, or in a folder that was renamed, meanwhile.
        self._root.check_folder(part.folder)
        self._remember(filed.path)  # a duplicate too: of what lay here before nobody knows whether it is durable
        return filed

    def _close(self, part: Part, filed: Filed) -> None:
        """Close a part; raises OSError, with its name taken back, if the disk says now that it has not all of it."""
        try:
            part.close()
        except OSError:
            if not filed.duplicate:
                with contextlib.suppress(OSError):
                    name = filed.path.rpartition(os.sep)[2]
                    os.unlink(part.folder.at(name), dir_fd=part.folder.fd)
                raise

    def _publish(self, part: Part, final: str) -> Filed:
        folder, number = part.folder, 0
        where, _, name = first = final.rpartition(os.sep)
        while not self._claim(part, name):
            found = _compare(part, name)
            if found in (Found.SAME, Found.MORE, Found.SAME_HEADERS):
                part.remove()
                there = f"{where}{os.sep}{name}"
                return Filed(there, duplicate=True, conflict=number > 0, headers_only=found is Found.SAME_HEADERS)
            if found is Found.LESS or self._existing == "replace":
                if not part.name:
                    part.link(between := self._make_name())
                    part.name = between
                    part.close()
                os.replace(folder.at(part.name), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
                return Filed(f"{where}{os.sep}{name}", conflict=number > 0, headers_only=part.headers_only)
            if self._existing == "error":
                part.remove()
                raise AlreadyThere("other bytes lie under this SOP Instance UID already", "existing='keep' keeps both")
            number += 1
            if number > _MOST_VERSIONS:
                part.remove()
                why = f"{number} versions lie under this SOP Instance UID already"
                raise AlreadyThere(why, "see what it is that sends another one each time")
            stem, extension = os.path.splitext(first[2])  # noqa: PTH122
            name = f"{stem}.conflict-{number}{extension}"
        return Filed(f"{where}{os.sep}{name}", conflict=number > 0, headers_only=part.headers_only)

    def _claim(self, part: Part, name: str) -> bool:
        """Move the part to the name unless something lies there; False if so."""
        folder = part.folder
        try:
            part.link(name)
        except FileExistsError:
            return False
        except (OSError, NotImplementedError, AttributeError) as error:
            if isinstance(error, OSError) and (not part.name or out_of_space(error) or error.errno == errno.ENOENT):
                raise
            ours, theirs = folder.at(part.name), folder.at(name)
            # No hard links on this file system: one at a time, and nobody else writes here.
            self._root.warn("has no hard links: let no other program write into the folder meanwhile")
            with self._turn:
                try:
                    os.stat(theirs, dir_fd=folder.fd, follow_symlinks=False)
                except FileNotFoundError:
                    os.rename(ours, theirs, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
                    return True
                return False
        part.remove()
        return True

    # --- durability

    def _remember(self, path: str) -> None:
        with self._lock:
            if self._unsynced is not None:
                self._unsynced.append(path)
                if len(self._unsynced) > _UNSYNCED:
                    self._unsynced = None

    def sync(self) -> None:
        """Make durable what was filed since the last time: the files, then their folders up to the root."""
        with self._lock:
            paths, self._unsynced = self._unsynced, []
        try:
            if (paths is None or len(paths) > 64) and hasattr(os, "sync"):
                os.sync()  # one flush of everything; what follows then only collects errors
            if paths:
                self._root.sync(paths)
        except OSError:
            with self._lock:  # the next sync tries again
                self._unsynced = None if paths is None or self._unsynced is None else paths + self._unsynced
            raise


def out_of_space(error: OSError) -> bool:
    """Tell whether the disk or a quota is full, or a file would be too large for them."""
    return error.errno in _OUT_OF_SPACE


class Found(Enum):
    """What lies under the name that a part is to have."""

    SAME = auto()  # the same data set in the same transfer syntax, whatever its file meta says
    SAME_HEADERS = auto()  # the same, and it lacks the pixels
    MORE = auto()  # the same with its pixels, which the part lacks
    LESS = auto()  # the same without its pixels, which the part has
    OTHER = auto()


def _compare(part: Part, name: str) -> Found:
    """Say what lies under a name."""
    there = part.folder.open_file(name)
    if there is None:
        return Found.OTHER
    with open(there, "rb") as theirs, part.read() as ours:  # noqa: PTH123
        beginnings = [it.read(_META) for it in (ours, theirs)]
        (our_syntax, our_start), (their_syntax, their_start) = map(read_file_meta, beginnings)
        if not their_start or our_syntax != their_syntax:
            return Found.OTHER
        sizes = os.fstat(ours.fileno()).st_size - our_start, os.fstat(theirs.fileno()).st_size - their_start
        they_lack = is_headers_only(beginnings[1], their_start)
        lacks_more = part.headers_only if sizes[0] < sizes[1] else they_lack  # whichever is the shorter one
        if sizes[0] != sizes[1] and not lacks_more:
            return Found.OTHER
        ours.seek(our_start)
        theirs.seek(their_start)
        if not _begin_alike(ours, theirs, min(sizes)):
            return Found.OTHER
    if they_lack:
        return Found.SAME_HEADERS if part.headers_only else Found.LESS
    return Found.MORE if part.headers_only else Found.SAME


def _begin_alike(ours: BinaryIO, theirs: BinaryIO, left: int) -> bool:
    """Tell whether the next bytes of two files are the same."""
    while left > 0:
        a = ours.read(min(_READ, left))
        b = theirs.read(len(a))
        if a != b or not a:
            return False
        left -= len(a)
    return True
