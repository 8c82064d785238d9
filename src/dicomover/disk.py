"""What we write to a disk: for whom, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from dicomover.errors import ConfigurationError
from dicomover.text.face import setting

__all__ = ["Modes", "Share", "check_share", "create_file", "make_folders", "modes_in", "replace_file"]

Share = Literal["owner", "group", "all"]
"""Who may read what we write: its owner alone, its group (which may write too), or everybody."""

_MODES: dict[Share, tuple[int, int]] = {"owner": (0o600, 0o700), "group": (0o660, 0o770), "all": (0o664, 0o775)}
_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


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

    An older file stays whole until then, and for good if anything goes wrong.

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
