"""What we write to a disk: for whom, and whole or not at all; and what lies below a folder, whoever named it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

from dicomover.errors import ConfigurationError
from dicomover.text.face import setting

__all__ = [
    "Below",
    "DamagedRecord",
    "Modes",
    "Share",
    "check_share",
    "create_file",
    "inflate",
    "list_files",
    "make_folders",
    "modes_in",
    "open_file",
    "replace_file",
]

Share = Literal["owner", "group", "all"]
"""Who may read what we write: its owner alone, its group (which may write too), or everybody."""

_MODES: dict[Share, tuple[int, int]] = {"owner": (0o600, 0o700), "group": (0o660, 0o770), "all": (0o664, 0o775)}
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BY_DESCRIPTOR = {os.open, os.stat, os.rename} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_PATH", os.O_RDONLY)

_MOST_TIMES = 100  # that content grows when it is inflated; of ours it is 2 to 4, of a bomb 1,000
_SMALL = 1 << 14  # bytes that anything may grow to


class DamagedRecord(ValueError):
    """One record of a file of ours cannot be read; whoever opened it says which file that is."""


class Modes(NamedTuple):
    """With which permissions a file and a folder are made; what `is_forced`, no umask takes back."""

    file: int
    folder: int
    is_forced: bool = False


def check_share(share: Share) -> Share:
    """Return it, or refuse what cannot be meant."""
    if share not in get_args(Share):
        raise ConfigurationError(f"{setting('share', share)} is unknown", "give 'owner', 'group' or 'all'")
    return share


def modes_in(folder: str | os.PathLike[str], share: Share) -> Modes:
    """Return the permissions of what is made in a folder.

    Somebody who has given the folder a default ACL, or its group by the set-group-id bit, has said with whom to share
    it: then the ACL decides, or the umask does for the group.

    Examples
    --------
    >>> [oct(mode) for mode in modes_in("/nowhere", "owner")[:2]]
    ['0o600', '0o700']
    """
    file, under = _MODES[share]
    if os.name != "posix":
        return Modes(file, under)
    with contextlib.suppress(OSError, AttributeError):
        os.getxattr(folder, "system.posix_acl_default")
        return Modes(0o666, 0o777)
    if share == "owner":
        with contextlib.suppress(OSError):
            mode = os.stat(folder).st_mode  # noqa: PTH116 - on the way of every new folder
            if mode & stat.S_ISGID and mode & stat.S_IRGRP:
                return Modes(*_MODES["group"])
        return Modes(file, under)
    return Modes(file, under, bool(_umask() & under))


def _umask() -> int:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
            return next(int(line.split()[1], 8) for line in status if line.startswith("Umask:"))
    except (OSError, StopIteration):
        mask = os.umask(0o077)  # for this moment other threads write more strictly, never less
        os.umask(mask)
        return mask


def make_folders(folder: str | os.PathLike[str], share: Share) -> None:
    """Make a folder and those above it that are missing; one that is there stays as it is."""
    path = Path(folder)
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folders(path.parent, share)
    modes = modes_in(path.parent, share)
    try:
        path.mkdir(modes.folder)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    if modes.is_forced:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | modes.folder)


def create_file(path: str | os.PathLike[str], share: Share) -> int:
    """Create a file that is not there, neither as a link, and return its descriptor."""
    modes = modes_in(os.path.dirname(os.fspath(path)) or ".", share)  # noqa: PTH120
    fd = os.open(path, _NEW, modes.file)
    if modes.is_forced:
        os.fchmod(fd, modes.file)
    return fd


@contextmanager
def replace_file(target: Path, share: Share = "owner") -> Iterator[Path]:
    """Yield where to write; what is there at the end takes the target's place, durably and at once.

    An older file stays whole until then, and for good if anything goes wrong. A pipe or a device is not replaced.
    Raises OSError if it cannot be written, or what is there is no file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     target = Path(folder, "cohort.csv")
    ...     with replace_file(target) as part:
    ...         _ = part.write_text("AccessionNumber")
    ...     target.read_text(), len(list(Path(folder).iterdir()))
    ('AccessionNumber', 1)
    """
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "what is there is no file", os.fspath(target))
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    # Made here, under a name that nobody can foresee: whoever writes by its path writes into a file of ours.
    os.close(create_file(part, share))
    try:
        yield part
        # Before the name: a power cut must not leave the new name with nothing behind it.
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def open_file(path: str | os.PathLike[str]) -> BufferedReader | None:
    """Open a file that somebody else may have put there; None if it is none: a pipe would wait for who writes into it.

    Raises OSError if it cannot be opened.

    Examples
    --------
    >>> open_file("/dev/null") is open_file("/") is None
    True
    """
    fd = os.open(path, _READ)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return open(fd, "rb")  # noqa: PTH123 - for who called
    os.close(fd)
    return None


_LEFTOVER = re.compile(r"\.(part|changed-\d+)$")


def list_files(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Yield the files in a folder and below it, in order; links are followed, but no folder is entered twice.

    What a receiver has not finished (`.part`) and what a rerun has set aside (`.changed-1`) are left out. Raises
    OSError if a folder cannot be read; one below is not named, since its name may be a patient's.
    """
    entered: set[tuple[int, int]] = set()
    top = os.fspath(folder)
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            seen = os.stat(path)  # noqa: PTH116
            if (seen.st_dev, seen.st_ino) in entered:
                continue
            entered.add((seen.st_dev, seen.st_ino))
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            files = [entry for entry in entries if entry.is_file() and not _LEFTOVER.search(entry.name)]
            waiting += reversed([entry.path for entry in entries if entry.is_dir()])
        except OSError as error:
            if error.filename == top:
                raise
            raise type(error)(error.errno, f"{error.strerror}, of what is below", top) from None
        yield from files


class Below:
    """What lies below a folder under paths that somebody else may have written; no link is followed on the way.

    Not for several threads at once. A path that is absolute, or not in its plain form with `/`, leads nowhere.

    Examples
    --------
    >>> with Below("/") as below:
    ...     below.look("../etc") is below.look("/etc") is below.look("no such file") is None
    True
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        # By a descriptor it stays what it is; by its name it has to be the one that links lead to.
        self._root = os.fspath(folder) if _BY_DESCRIPTOR else os.path.realpath(folder)
        self._at = ""
        self._fds: list[int] = []  # of the root, and of the folder that was entered last

    def __enter__(self) -> Self:
        if _BY_DESCRIPTOR:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._fds = [os.open(self._root, _FOLDER)]
        return self

    def __exit__(self, *_: object) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def look(self, path: str) -> os.stat_result | None:
        """Return what is known of a path itself, be it a link; None if nothing is there.

        Raises OSError if it can neither be seen nor said to be gone.
        """
        try:
            fd, name = self._enter(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def rename(self, path: str, new: str) -> None:
        """Give a file another name in its folder or another one, in place of what is there."""
        fd, name = self._enter(path)
        kept = None if fd is None else os.dup(fd)
        try:
            other, target = self._enter(new)
            os.replace(name, target, src_dir_fd=kept, dst_dir_fd=other)
        finally:
            if kept is not None:
                os.close(kept)

    def _enter(self, path: str) -> tuple[int | None, str]:
        """Return the descriptor of the folder of a path, and the name in it."""
        *folders, name = path.split("/")
        odd = ("", ".", "..")
        if any(part in odd or "\0" in part or (os.sep != "/" and os.sep in part) for part in (*folders, name)):
            raise FileNotFoundError(errno.ENOENT, "no path below the folder")
        where = "/".join(folders)
        if not _BY_DESCRIPTOR:
            inside = os.path.join(self._root, *folders)  # noqa: PTH118
            if os.path.realpath(inside) != inside:
                raise NotADirectoryError(errno.ENOTDIR, "a link lies where a folder should be")
            return None, os.path.join(inside, name)  # noqa: PTH118
        if not self._fds:
            raise FileNotFoundError(errno.ENOENT, "the folder is gone")
        if where != self._at or len(self._fds) == 1:
            while len(self._fds) > 1:
                os.close(self._fds.pop())
            self._at = where
            self._fds.append(os.dup(self._fds[0]))
            for part in folders:
                try:
                    fd = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=self._fds[1])
                except OSError as error:
                    os.close(self._fds.pop())
                    if error.errno == errno.ELOOP:
                        raise NotADirectoryError(errno.ENOTDIR, "a link lies where a folder should be") from None
                    raise
                os.close(self._fds[1])
                self._fds[1] = fd
        return self._fds[1], name


def inflate(packed: bytes) -> bytes:
    """Return compressed content; ValueError, or what zlib raises, if it is none or grows to more than any of ours."""
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, _SMALL + _MOST_TIMES * len(packed))
    if not inflater.eof or inflater.unused_data:
        raise ValueError("content that is cut short, or longer than any is")
    return content
