"""Where a secret is kept: a name of it that can be shown and sent on, read anew whenever the secret is needed."""

from __future__ import annotations

import os
import queue
import stat
import threading
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

from dicomover.errors import ConfigurationError

__all__ = ["Secret", "check_secret", "open_kept"]

_Kind = Literal["env", "file", "keyring", "text"]
_PATIENCE = 10.0  # seconds for a keyring, which may wait for somebody to unlock it; less than others have for us
_MOST = 65535  # bytes: no field of a user identity holds more (PS3.7 Table D.3-14)


class Secret:
    """Where a secret is kept: in an environment variable, a file, or the system's keyring.

    It is read when an association begins, or a key is unlocked, and not kept. What is shown, copied, written down or
    sent to another process is where it is.

    Examples
    --------
    >>> Secret.env("PACS_PASSWORD"), Secret.file("/run/secrets/pacs"), Secret.keyring("pacs", "alice")
    (Secret.env('PACS_PASSWORD'), Secret.file('/run/secrets/pacs'), Secret.keyring('pacs', 'alice'))
    >>> Secret.text("made-up-secret")
    Secret.text(...)
    """

    # No dataclass: `asdict` and `replace` would hand out what a text is.
    __slots__ = ("_kind", "_where")

    _kind: _Kind
    _where: tuple[str, ...]

    def __init__(self, kind: _Kind, *where: str) -> None:
        if not where or not all(isinstance(each, str) and each for each in where):
            raise ConfigurationError(f"Secret.{kind} names nothing", "say where the secret is kept")
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_where", where)

    @classmethod
    def env(cls, name: str) -> Secret:
        """Return the secret that an environment variable holds."""
        return cls("env", name)

    @classmethod
    def file(cls, path: str | os.PathLike[str]) -> Secret:
        """Return the secret that a file holds; a line end after it is none of it, and others may not read it."""
        return cls("file", os.fspath(path))

    @classmethod
    def keyring(cls, service: str, user: str) -> Secret:
        """Return the secret that the system's keyring holds; needs the extra `keyring`."""
        return cls("keyring", service, user)

    @classmethod
    def text(cls, value: str) -> Secret:
        """Return a secret that is typed in, say by `getpass.getpass()`; it stays in this process."""
        return cls("text", value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Secret cannot be changed: {name}")

    def __repr__(self) -> str:
        return f"Secret.{self._kind}({'...' if self._kind == 'text' else ', '.join(map(repr, self._where))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._kind, self._where) == (other._kind, other._where)

    def __hash__(self) -> int:
        return hash((self._kind, self._where))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        if self._kind == "text":
            raise ConfigurationError(
                "a secret that was given as a text is not written down, and not sent to another process",
                "name where it is kept: Secret.env, Secret.file or Secret.keyring",
            )
        return Secret, (self._kind, *self._where)

    def read(self) -> bytes:
        """Return the secret; raises ConfigurationError if it is not there, and never says what it is."""
        if self._kind == "env":
            raw = os.environ.get(self._where[0], "").encode("utf-8", "surrogateescape")
        elif self._kind == "file":
            raw = _read_file(Path(self._where[0]).expanduser())
        elif self._kind == "keyring":
            raw = _ask_keyring(*self._where)
        else:
            raw = self._where[0].encode()
        if 0 < len(raw) <= _MOST:
            return raw
        found = f"more than {_MOST:,} bytes there" if raw else "nothing there"
        del raw  # a traceback shows what a frame holds
        raise ConfigurationError(f"{self!r}: there is {found}", "see where the secret is kept, and how that is written")

    def to_plain(self) -> list[str]:
        """Return it for the pipe to a process of our own, and for nothing else: a text is in it."""
        if self._kind == "file":  # where it is now: that process may have another working directory
            return [self._kind, str(Path(self._where[0]).expanduser().absolute())]
        return [self._kind, *self._where]


def _read_file(path: Path) -> bytes:
    """Return what a file holds without the end of its line; refuse one of ours that everybody can read."""
    with open_kept(str(path), "secret") as file:
        about = os.fstat(file.fileno())
        raw = file.read(_MOST + 3)
    if hasattr(os, "geteuid") and about.st_uid == os.geteuid() and about.st_mode & stat.S_IROTH:
        del raw  # a traceback shows what a frame holds
        raise ConfigurationError(f"everybody can read the secret in {str(path)!r}", f"chmod 600 {path}")
    return raw.removesuffix(b"\n").removesuffix(b"\r")


def open_kept(path: str, what: str) -> BufferedReader:
    """Open a file; raises ConfigurationError, which says what was to be in it, if it cannot be read or is none.

    It is looked at before it is opened, since a pipe would make us wait for who writes into it.
    """
    try:
        kept = Path(path)
        kept.stat()  # is_file() would not say why
        if kept.is_file():
            return kept.open("rb")
        why, mend = "no file, but a pipe, a folder or a device", "put it into a file, which is read anew each time"
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why, mend = str(error.strerror if isinstance(error, OSError) else error), "check its path"
    raise ConfigurationError(f"the {what} in {path!r} cannot be read ({why})", mend)


def _ask_keyring(service: str, user: str) -> bytes:
    try:
        import keyring
    except ImportError as error:
        raise ConfigurationError(
            "a secret of the system's keyring needs the package 'keyring'", "pip install dicomover[keyring]"
        ) from error
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            said.put(keyring.get_password(service, user))
        except Exception as error:  # noqa: BLE001 - raised by who waits
            said.put(error)

    threading.Thread(target=ask, name="dicomover keyring", daemon=True).start()
    mend = "unlock it, or keep the secret in a file or an environment variable"
    try:
        found = said.get(timeout=_PATIENCE)
    except queue.Empty:
        raise ConfigurationError(f"the system's keyring has not answered for {_PATIENCE:g} s", mend) from None
    if isinstance(found, Exception):
        raise ConfigurationError(f"the system's keyring does not answer ({type(found).__name__})", mend) from found
    return str(found or "").encode()


def check_secret(value: object, what: str) -> Secret:
    """Return the secret; a text in its place is refused, since it would be saved with the notebook."""
    if isinstance(value, Secret):
        return value
    raise ConfigurationError(
        f"{what} is no Secret",
        "name where it is kept: Secret.env(name), Secret.file(path), Secret.keyring(service, user), or "
        "Secret.text(getpass.getpass()) to type it in",
    )
