"""Which Python a process of ours runs in."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["NAME_ANOTHER", "find_interpreter", "python_command"]

NAME_ANOTHER = "name the Python to start by multiprocessing.set_executable(path)"
"""What to do about a Python that does not start; advice for Python."""

_SAME_PATH = "import sys; sys.path.extend(path for path in sys.argv[1:] if path not in sys.path)"
_PYTHON = re.compile(r"(python|pypy|graalpy)", re.IGNORECASE)


def find_interpreter() -> str | None:
    """Return the Python to start, or None if there is none: in a program that embeds Python, as 3D Slicer and QGIS do.

    There `sys.executable` is the program, and to start that would open it once more. Who has told `multiprocessing`
    what to start has told us too.
    """
    spawn = sys.modules.get("multiprocessing.spawn")  # who has named one has imported it
    named = os.fsdecode(spawn.get_executable() or "") if spawn is not None else ""
    if named and named not in (sys.executable, getattr(sys, "_base_executable", None)):
        return named
    if getattr(sys, "frozen", False) or not _PYTHON.match(os.path.basename(sys.executable or "")):  # noqa: PTH119
        return None
    return sys.executable


def python_command(code: str) -> list[str]:
    """Return what starts a Python that finds the same modules as this one, and runs a line of code."""
    paths = [os.path.abspath(path) for path in sys.path if path]  # noqa: PTH100
    return [find_interpreter() or sys.executable, "-P", "-c", f"{_SAME_PATH}; {code}", *paths]
