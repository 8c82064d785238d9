"""How settings, methods and mends are named: in Python, and at a shell; a message is made in the words of its reader.

The command line says for its duration that a person at a shell reads; everybody else writes Python. Whoever makes a
message asks here for the names in it, on any thread that runs in a copy of its caller's context.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["COMMANDS", "MENDS", "OPTIONS", "advise", "at_a_shell", "call", "in_python", "setting"]

_is_shell = ContextVar("_is_shell", default=False)

OPTIONS = {
    "ae_title": "-aet",
    "addresses": "--address",
    "associations": "--associations",
    "accept": "--accept",
    "bind": "--bind",
    "ca": "--tls-ca",
    "calling_ae_titles": "--calling-aet",
    "cert": "--tls-cert",
    "destination": "-aem",
    "identity": "--user",
    "in_plain": "--identity-in-plain",
    "force": "--force",
    "invalid": "--invalid",
    "journal": "--journal",
    "key": "--tls-key",
    "level": "-L",
    "headers_only": "--headers-only",
    "limit": "--limit",
    "look_again": "--locked-only",
    "max_matches": "--max-matches",
    "max_per_minute": "--max-per-minute",
    "name": "--tls-name",
    "show_keys": "--show-keys",
    "one_image": "--one-image",
    "overwrite": "--overwrite",
    "password": "--tls-password-file",
    "peers": "--tls-peer",
    "port": "--port",
    "receive": "-od",
    "recheck": "--recheck",
    "retry": "--retry",
    "retry attempts": "",  # the option stands before the message
    "secret": "--secret-file",
    "shard": "--shard",
    "share": "--share",
    "split": "--split",
    "tls": "--tls",
    "utilization": "--utilization",
    "verify": "--verify",
    "via": "--via",
    "wildcards": "--wildcards",
    "window": "--window",
    "workers": "--workers",
}
"""The option of each setting that a shell can give too."""

COMMANDS = ("find", "lock")
"""The methods that are commands too."""

MENDS = {
    "check() names them": "leave --seal out to see which",
    "give a Retry, a number of attempts, 'none', 'interactive' or 'overnight'": "give a number of attempts, 'none', "
    "'interactive' or 'overnight'",
    "give destination= as a Node, which says where it listens": "write -aem AET@host:port, which says where it listens",
    "give what move() or job.summary() returns, all columns of it": "give what dicomover move --summary FILE writes, "
    "all columns of it",
    "leave it out and filter what find() returns": "leave it out and filter what dicomover find --output FILE writes",
    "make room, move less at once, or say force=True": "make room, move less at once, or say --force",
    "mend the line or name sep=": "mend the line",
    "move the cohort again, or say partial=True": "move the cohort again",
    "name the Python to start by multiprocessing.set_executable(path)": "see whether it is the Python that is meant",
    "name who receives: a destination, or us": "name who receives: -aem AET, or us by -od DIR",
    ", or name it in keys=[...]": "",
    "put a text that holds a separator in quotes, or name sep=": "put a text that holds a separator in quotes",
    "raise max_matches": "raise --max-matches",
    "name its encoding, such as encoding='cp850'": "save it as UTF-8",
    "restore it from its source as text, with read_requests(path) or read_csv(path, dtype=str)": "restore it from its "
    "source as text",
    "say level= instead": "say -L instead",
    "say which: sheet='…'": "save the one that is meant as a file of its own",
    "such as secrets.token_hex(16)": "such as 32 random hexadecimal digits",
    "try the other model": "try the other model, -P or -S",
    "use find() and move what it returns": "write what matches by dicomover find --output FILE, and move that by --csv",
    "use model='patient'": "use -P",
    "use the Patient Root model or level STUDY": "use -P or level STUDY",
}
"""Longer advice for Python, and what a shell is told instead; nothing where a shell has no such way."""


@contextlib.contextmanager
def at_a_shell() -> Iterator[None]:
    """Let messages be made in the words of the command line, for as long as this lasts."""
    token = _is_shell.set(True)
    try:
        yield
    finally:
        _is_shell.reset(token)


def setting(name: str, *value: object) -> str:
    """Return how a setting is given, with its value if one is named.

    Examples
    --------
    >>> setting("workers", 2), setting("receive")
    ('workers=2', 'receive=')
    >>> with at_a_shell():
    ...     setting("workers", 2), setting("receive"), setting("overwrite", True)
    ('--workers 2', '-od', '--overwrite')
    """
    if not _is_shell.get() or name not in OPTIONS:
        return f"{name}={value[0]!r}" if value else f"{name}="
    given = [shlex.quote(str(item)) for item in value if not isinstance(item, bool)]
    return " ".join(filter(None, [OPTIONS[name], *given]))


def call(method: str) -> str:
    """Return how a method is called.

    Examples
    --------
    >>> call("mover.lock")
    'mover.lock()'
    >>> with at_a_shell():
    ...     call("mover.lock")
    'dicomover lock'
    """
    name = method.rpartition(".")[2]
    return f"dicomover {name}" if _is_shell.get() and name in COMMANDS else f"{method}()"


def advise(advice: str) -> str:
    """Return a piece of advice that is worded for Python as its reader can follow it; empty if that reader cannot.

    Examples
    --------
    >>> advise("use model='patient'")
    "use model='patient'"
    >>> with at_a_shell():
    ...     advise("use model='patient'")
    'use -P'
    """
    return MENDS.get(advice, advice) if _is_shell.get() else advice


def in_python(advice: str) -> str:
    """Return a piece of advice that only Python can follow; empty at a shell.

    Examples
    --------
    >>> "save it as CSV" + in_python(", or give a DataFrame")
    'save it as CSV, or give a DataFrame'
    """
    return "" if _is_shell.get() else advice
