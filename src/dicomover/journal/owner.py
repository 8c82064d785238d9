"""Who holds a lease, and whether that process is provably dead."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["NOBODY", "Owner"]


@dataclass(frozen=True, slots=True)
class Owner:
    """One open journal.

    Attributes
    ----------
    token
        Random; tells it from every other.
    host
        The name of the machine, for people.
    place
        Where its process id means something: the machine since it was booted, and the container.
    pid
        Its process id.
    began
        When that process began, as its kernel counts; empty where it does not say.
    """

    token: str
    host: str
    place: str
    pid: int
    began: str

    @classmethod
    def current(cls) -> Self:
        """Name this process."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(secrets.token_hex(16), host, _place(host), pid, _state_of(pid)[1])

    def is_dead(self) -> bool:
        """Tell whether its process is provably gone; False if that cannot be seen from here."""
        if os.name != "posix" or self.place != _place(socket.gethostname()):
            return False
        state, began = _state_of(self.pid)
        if state:
            return state in "ZX" or (bool(self.began) and began != self.began)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        if self.pid == os.getpid() and self.place == _place(socket.gethostname()):
            return "another job of this process"
        return f"process {self.pid} on {self.host}"


NOBODY = Owner("", "", "", 0, "")
"""Holds nothing."""


def _place(host: str) -> str:
    if sys.platform != "linux":
        return host
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{host} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{host} {secrets.token_hex(8)}"  # never the same: nothing can be proved


def _state_of(pid: int) -> tuple[str, str]:
    """Return the state of a process and when it began; empty where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", ""
