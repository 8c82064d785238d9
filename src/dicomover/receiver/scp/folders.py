"""The folders below the receive folder: made and held by descriptor, so that no link leads an image elsewhere."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final

from dicomover.disk import Modes, Share, modes_in
from dicomover.receiver.layout import other_name

__all__ = ["Folder", "Root", "sweep_parts"]

logger = logging.getLogger("dicomover.receiver")

_HELD = 128  # folders at a time; each is a descriptor
_SWEPT = 100_000  # folders remembered by name
_STALE = 900.0  # seconds; a PDU must end within one minute, so nobody writes to such a file any more
_OURS = re.compile(r"dicomover-([0-9a-f]{12})-[0-9a-f]{16}\.part")
_BY_DESCRIPTOR: Final = {os.open, os.link, os.mkdir, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# O_PATH needs no more than the right to pass through; a folder may be one that we can write into and not read.
_FOLDER: Final = getattr(os, "O_DIRECTORY", 0) | _NO_LINK | getattr(os, "O_PATH", os.O_RDONLY)
_NEW: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NAMELESS: Final = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC if hasattr(os, "O_TMPFILE") else 0
# What an open with O_TMPFILE ends with where it is not known: a folder is opened for writing, or nothing is.
_HAS_NO_NAMELESS = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EISDIR}
    | {getattr(errno, name, errno.EINVAL) for name in ("ENOTSUP", "EOPNOTSUPP")}
)
_CANNOT_SYNC = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EISDIR, errno.EACCES}
    | {getattr(errno, name, errno.EINVAL) for name in ("ENOTSUP", "EOPNOTSUPP")}
)


class Folder:
    """One folder; what is made in it stays in it, wherever its name leads by now. Closed with its last user.

    Attributes
    ----------
    path
        Where it was found.
    fd
        Its descriptor; None where the system has no calls that take one.
    modes
        With which permissions something is made in it.
    """

    __slots__ = ("_seen", "fd", "modes", "path")

    def __init__(self, path: str, fd: int | None, modes: Modes) -> None:
        self.path, self.fd, self.modes = path, fd, modes
        found = os.stat(path) if fd is None else os.fstat(fd)  # noqa: PTH116
        self._seen = found.st_ino, found.st_dev

    def __del__(self) -> None:
        fd, self.fd = getattr(self, "fd", None), None
        if fd is not None:
            os.close(fd)

    def at(self, name: str) -> str:
        """Return how a system call is given a name in it, beside its descriptor."""
        return name if self.fd is not None else f"{self.path}{os.sep}{name}"

    def create(self, name: str) -> int:
        """Create a file and return its descriptor."""
        return self._create(name, _NEW)

    def create_nameless(self) -> int | None:
        """Create a file that has no name yet; None where the file system of this folder cannot do that."""
        try:
            return self._create(".", _NAMELESS)
        except OSError as error:
            if error.errno not in _HAS_NO_NAMELESS:
                raise
            return None

    def _create(self, name: str, flags: int) -> int:
        fd = os.open(self.at(name), flags, self.modes.file, dir_fd=self.fd)
        if self.modes.is_forced:
            os.fchmod(fd, self.modes.file)
        return fd

    def open_file(self, name: str, access: int = os.O_RDONLY) -> int | None:
        """Open a file; None if nothing lies there.

        Raises OSError if it is no file: one that waits for a writer, or leads elsewhere, is opened by nobody.
        """
        try:
            if stat.S_ISREG(os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False).st_mode):
                flags = access | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | _NO_LINK
                fd = os.open(self.at(name), flags, dir_fd=self.fd)
                if stat.S_ISREG(os.fstat(fd).st_mode):  # it may be another one than a moment ago
                    return fd
                os.close(fd)
        except FileNotFoundError:
            return None
        raise OSError(errno.EEXIST, "what lies under its name is no file but a link, a folder, a pipe or a device")

    def is_there(self) -> bool:
        """Tell whether its path still leads to it."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - once for each image
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == self._seen

    def sync(self) -> None:
        """Make the names in it durable, where the file system can."""
        if os.name != "nt":
            with self._opened() as fd:
                os.fsync(fd)

    def widen(self, mode: int) -> None:
        """Add to its permissions."""
        with self._opened() as fd:
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | mode)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        fd = os.open(self.at("."), os.O_RDONLY, dir_fd=self.fd)  # its own may be one that only passes through
        try:
            yield fd
        finally:
            os.close(fd)


class Root:
    """The receive folder, which may be reached by links, as it was when the receiver began; from any thread."""

    def __init__(self, path: str, share: Share = "owner") -> None:
        self.path = os.path.realpath(path)
        self._share: Share = share
        self._folder: Folder | None = (folder := Folder(self.path, _open(self.path, None), modes_in(self.path, share)))
        self._held: dict[str, Folder] = {}
        self._swept: set[str] = set()
        self._warned: set[str] = set()
        self.has_nameless = _try_nameless(folder)

    def close(self) -> None:
        """Let go of all folders; what is being written keeps its own."""
        self._folder = None
        self._held.clear()

    def check(self) -> None:
        """Raise OSError if another folder, or none, is at its path now."""
        if not self._begin().is_there():
            raise OSError(
                getattr(errno, "ESTALE", errno.ENOENT),
                "the folder that we receive into is gone or another one since the receiver began: unmounted, renamed "
                "or removed",
            )

    def check_folder(self, folder: Folder) -> None:
        """Raise OSError if a folder is not where it was found; the next `open` makes it anew."""
        if not folder.is_there():
            self._forget(folder)
            raise OSError(errno.ENOENT, "its folder was renamed or removed meanwhile")

    def renew(self, folder: Folder) -> Folder:
        """Return what is where a folder was, made again if need be: somebody has tidied up."""
        return self.open(self._forget(folder))

    def _forget(self, folder: Folder) -> str:
        """Let the next `open` look for a folder again; return the path that the layout gives it."""
        paths = [path for path, held in list(self._held.items()) if held is folder]
        for path in paths:
            self._held.pop(path, None)
        self.check()
        return paths[0] if paths else folder.path

    def open(self, path: str) -> Folder:
        """Return a folder by the path that the layout gives it, made if need be.

        Raises OSError if something else lies there; a link counts as that.
        """
        folder = self._held.get(path)
        if folder is None:
            folder = self._walk(path, self._make)
            if len(self._held) >= _HELD:
                self._held.clear()
            self._held[path] = folder
            if path not in self._swept:
                if len(self._swept) >= _SWEPT:
                    self._swept.clear()
                self._swept.add(path)
                _remove_parts(folder.path, lambda entry, _: time.time() - entry.stat().st_mtime > _STALE)
        return folder

    def _begin(self) -> Folder:
        folder = self._folder
        if folder is None:
            raise OSError(errno.EBADF, "the receiver has ended")
        return folder

    def _walk(self, path: str, enter: Callable[[Folder, str], Folder]) -> Folder:
        folder = self._begin()
        for name in filter(None, path[len(self.path) :].split(os.sep)):  # noqa: PTH206
            folder = enter(folder, name)
        return folder

    def _make(self, above: Folder, name: str) -> Folder:
        """Enter a folder, made if need be; one that only this file system takes for the same is another one."""
        try:
            os.mkdir(above.at(name), above.modes.folder, dir_fd=above.fd)
        except FileExistsError:
            return (
                self._make(above, other_name(name)) if _is_spelled_otherwise(above, name) else self._enter(above, name)
            )
        folder = self._enter(above, name)
        if above.modes.is_forced:
            folder.widen(above.modes.folder)
        return folder

    def _enter(self, above: Folder, name: str) -> Folder:
        path = f"{above.path.rstrip(os.sep)}{os.sep}{name}"
        return Folder(path, _open(above.at(name), above.fd), modes_in(path, self._share))

    # --- durability

    def sync(self, paths: list[str]) -> None:
        """Make files durable, then their folders up to the root."""
        self.check()
        names: dict[str, list[str]] = {}
        for path in paths:
            where, name = os.path.split(path)
            names.setdefault(where, []).append(name)
        for where in list(names):
            while where.startswith(self.path + os.sep):
                where = os.path.dirname(where)  # noqa: PTH120, PLW2901
                names.setdefault(where, [])
        for where, files in names.items():
            with _moved_away():
                folder = self._walk(where, self._enter)
                for name in files:
                    with _moved_away():
                        self._sync_file(folder, name)
                with self._bearing():
                    folder.sync()

    def _sync_file(self, folder: Folder, name: str) -> None:
        fd = folder.open_file(name, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        if fd is None:
            return
        try:
            with self._bearing():
                os.fsync(fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _bearing(self) -> Iterator[None]:
        """Go on where a file system has no such call, and say so once."""
        try:
            yield
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise
            self.warn("cannot make files and folders durable, so that a power cut may take the last of them")

    def warn(self, what: str) -> None:
        """Say once what the file system of the receive folder cannot do."""
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("the file system of the receive folder %s", what)


@contextlib.contextmanager
def _moved_away() -> Iterator[None]:
    """Go on where its owner has moved something away, whatever is there by now: who counts it will say so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EEXIST):
            raise


def sweep_parts(root: str, token: str) -> None:
    """Remove every part of one receiver, wherever it is; for the time after a process was killed."""
    for folder, _, _ in os.walk(os.path.realpath(root)):
        _remove_parts(folder, lambda _, theirs: theirs == token)


def _remove_parts(folder: str, which: Callable[[os.DirEntry[str], str], bool]) -> None:
    """Remove parts that have a name as we give them; a file of somebody else that ends so is none of them."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours := _OURS.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and which(entry, ours[1]):
                        os.unlink(entry.path)  # noqa: PTH108


def _try_nameless(folder: Folder) -> bool:
    """Tell whether a file can be made without a name, and be given one later; it needs /proc for that."""
    if folder.fd is None or not _NAMELESS:
        return False
    try:
        if (fd := folder.create_nameless()) is None:
            return False
        name = f"dicomover-{'0' * 12}-{os.urandom(8).hex()}.part"
        try:
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder.fd)
            os.unlink(name, dir_fd=folder.fd)
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _open(path: str, above: int | None) -> int | None:
    """Hold a folder; None where the system cannot."""
    if not _BY_DESCRIPTOR:
        if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114
            raise OSError(errno.ENOTDIR, "a link or a file lies where its folder should be")
        return None
    try:
        return os.open(path, _FOLDER, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise OSError(errno.ENOTDIR, "a link or a file lies where its folder should be") from None
        raise


def _is_spelled_otherwise(above: Folder, name: str) -> bool:
    """Tell whether what lies under a name has another one, on a file system that takes them for the same."""
    swapped = name.swapcase()
    if swapped == name:
        return False
    try:
        one, two = (os.stat(above.at(each), dir_fd=above.fd, follow_symlinks=False) for each in (name, swapped))
        if (one.st_ino, one.st_dev) != (two.st_ino, two.st_dev):
            return False
        with os.scandir(above.path) as entries:
            return not any(entry.name == name for entry in entries)
    except OSError:
        return False
