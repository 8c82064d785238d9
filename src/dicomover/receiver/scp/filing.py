"""Files: written beside their place as `.part`, then given their name without ever taking another's."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from dicomover.dicomfile import read_file_meta
from dicomover.receiver.layout import Existing, Layout

__all__ = ["AlreadyThere", "Filed", "Filing", "NoSpace", "Part", "out_of_space"]

_META = 1 << 16  # bytes that hold any file meta information of ours
_READ = 1 << 20
_STALE = 900.0  # seconds; a PDU must end within one minute, so nobody writes to such a file any more
_CHECK_SPACE_EVERY = 16 << 20  # bytes
_UNSYNCED = 50_000  # files remembered by name; beyond that, everything is flushed
_OUT_OF_SPACE = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_FLAGS: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_HAS_WRITEV = hasattr(os, "writev")
_AT_ONCE = 512  # buffers in one writev; systems allow 1024


class NoSpace(OSError):
    """The free-space floor is reached."""


class AlreadyThere(Exception):
    """Another data set lies under this SOP Instance UID, and it is to be left alone."""


@dataclass(frozen=True, slots=True)
class Filed:
    """Where an instance lies now."""

    path: str
    duplicate: bool = False
    conflict: bool = False


class Part:
    """One file that is being written; ends with `Filing.publish` or `abandon`."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, _FLAGS, 0o666)

    def write(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write all pieces."""
        pieces = list(pieces)
        while pieces:
            written = os.writev(self._fd, pieces[:_AT_ONCE]) if _HAS_WRITEV else os.write(self._fd, pieces[0])
            done = 0
            while done < len(pieces) and written >= len(pieces[done]):
                written -= len(pieces[done])
                done += 1
            del pieces[:done]
            if pieces and written:
                pieces[0] = memoryview(pieces[0])[written:]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def abandon(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108


class Filing:
    """Files instances below one folder. Methods may be called from any thread.

    A part lies beside its place from its first byte, so that giving it its name is one step within a folder, and a name
    in the folder means a whole file. A name is taken by a hard link, which fails where something lies already: neither
    two threads nor two processes nor the user can lose a file to it. `_unsynced` is what has its name and may be lost
    in a power cut; it is let go of only after all of it was synced.

    Parameters
    ----------
    root
        The folder; it must exist.
    layout
        Where instances go below it.
    existing
        What happens if other bytes lie under the same SOP Instance UID: they are both kept, the old ones are
        replaced, or the new ones are turned away.
    floor
        Bytes that must stay free on the disk.
    token
        Marks the `.part` files of this receiver, so that another process can find what it left behind.
    turn
        Keeps others, threads or processes, from giving names at the same time; a lock of its own if left out.
    """

    def __init__(
        self,
        root: str,
        layout: Layout,
        existing: Existing = "keep",
        floor: int = 0,
        token: str | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self.root = os.path.realpath(root)
        self.layout = layout
        self.token = token or secrets.token_hex(6)
        self._existing = existing
        self._floor = floor
        self._lock = threading.Lock()
        self._turn = turn or threading.Lock()
        self._folders: set[str] = set()
        self._counter = 0
        self._unsynced: list[str] | None = []  # None: too many to remember
        self._space_until = 0.0
        self._space_left = 0

    # --- space

    def check_space(self, size: int = 0) -> None:
        """Raise NoSpace if less than the floor is free; looks at most once a second, or every few MB."""
        now = time.monotonic()
        self._space_left -= size
        if now < self._space_until and self._space_left > 0:
            return
        free = shutil.disk_usage(self.root).free
        if free < self._floor:
            self._space_until = 0.0
            why = f"{free >> 20} MiB are free on the disk, and {self._floor >> 20} MiB are to stay free"
            raise NoSpace(errno.ENOSPC, why)
        self._space_until = now + 1.0
        self._space_left = _CHECK_SPACE_EVERY

    # --- writing

    def begin(self, values: Mapping[str, str]) -> tuple[Part, str]:
        """Create the `.part` of an instance; return it with the path that it shall have.

        Raises
        ------
        OSError
            If it cannot be created; `out_of_space` tells whether the disk is full.
        """
        final = self.layout.path(self.root, values)
        folder = os.path.dirname(final)  # noqa: PTH120
        self._counter += 1
        path = f"{folder}{os.sep}{self.token}-{self._counter:x}-{threading.get_ident():x}.part"
        if folder not in self._folders:
            self._make(folder)
        try:
            return Part(path), final
        except FileNotFoundError:  # somebody tidied up
            self._make(folder)
            return Part(path), final

    def _make(self, folder: str) -> None:
        try:
            os.makedirs(folder)  # noqa: PTH103
        except FileExistsError:
            _remove_parts(folder, lambda entry: time.time() - entry.stat().st_mtime > _STALE)
        if len(self._folders) > 100_000:
            self._folders.clear()
        self._folders.add(folder)

    def publish(self, part: Part, final: str) -> Filed:
        """Give a part its name, or find out that the same bytes are there already.

        Raises
        ------
        AlreadyThere
            If other bytes are there and shall stay alone; the part is gone then.
        """
        part.close()
        filed = self._publish(part.path, final)
        if not filed.duplicate:
            self._remember(filed.path)
        return filed

    def _publish(self, part: str, final: str) -> Filed:
        path, number = final, 0
        stem, extension = os.path.splitext(final)  # noqa: PTH122
        while not self._claim(part, path):
            if _same_instance(part, path):
                os.unlink(part)  # noqa: PTH108
                return Filed(path, duplicate=True, conflict=number > 0)
            if self._existing == "replace":
                os.replace(part, path)  # noqa: PTH105
                return Filed(path)
            if self._existing == "error":
                os.unlink(part)  # noqa: PTH108
                raise AlreadyThere
            number += 1
            path = f"{stem}.conflict-{number}{extension}"
        return Filed(path, conflict=number > 0)

    def _claim(self, part: str, path: str) -> bool:
        """Move the part to the path unless something lies there; False if so."""
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except (OSError, NotImplementedError, AttributeError) as error:
            if isinstance(error, OSError) and out_of_space(error):
                raise
            # No hard links on this file system: one at a time, and nobody else writes here.
            with self._turn:
                if os.path.lexists(path):
                    return False
                os.rename(part, path)  # noqa: PTH104
                return True
        os.unlink(part)  # noqa: PTH108
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
                self._sync(paths)
        except OSError:
            with self._lock:  # the next sync tries again
                self._unsynced = None if paths is None or self._unsynced is None else paths + self._unsynced
            raise

    def _sync(self, paths: list[str]) -> None:
        folders = set()
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # moved away by its owner
                _fsync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
            folders.add(os.path.dirname(path))  # noqa: PTH120
        if os.name == "nt":
            return
        for folder in list(folders):
            while folder.startswith(self.root + os.sep):
                folder = os.path.dirname(folder)  # noqa: PTH120, PLW2901
                folders.add(folder)
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                _fsync(folder, os.O_RDONLY)

    def sweep(self) -> None:
        """Remove every part of this receiver, wherever it is; for the time after a process was killed."""
        for folder, _, _ in os.walk(self.root):
            _remove_parts(folder, lambda entry: entry.name.startswith(self.token))


def out_of_space(error: OSError) -> bool:
    """Tell whether the disk or a quota is full, or a file would be too large for them."""
    return error.errno in _OUT_OF_SPACE


def _remove_parts(folder: str, which: Callable[[os.DirEntry[str]], bool]) -> None:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".part"):
                with contextlib.suppress(OSError):
                    if which(entry):
                        os.unlink(entry.path)  # noqa: PTH108


def _fsync(path: str, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _same_instance(part: str, path: str) -> bool:
    """Tell whether two files hold the same data set in the same transfer syntax, whatever their file meta says."""
    try:
        with open(part, "rb") as ours, open(path, "rb") as theirs:  # noqa: PTH123
            (our_syntax, our_start), (their_syntax, their_start) = (
                read_file_meta(it.read(_META)) for it in (ours, theirs)
            )
            if not their_start or our_syntax != their_syntax:
                return False
            sizes = os.fstat(ours.fileno()).st_size - our_start, os.fstat(theirs.fileno()).st_size - their_start
            if sizes[0] != sizes[1]:
                return False
            ours.seek(our_start)
            theirs.seek(their_start)
            left = sizes[0]
            while left > 0:
                a = ours.read(min(_READ, left))
                b = theirs.read(len(a))
                if a != b or not a:
                    return False
                left -= len(a)
            return True
    except FileNotFoundError:
        return False
