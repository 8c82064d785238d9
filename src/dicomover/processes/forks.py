"""A forked child, and what it inherits: each thing that belongs to the parent alone begins anew there.

Never here: a word to anybody. A connection, a pipe and a port are the parent's; the child lets go of its own ends.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["Inherited", "inherit"]


class Inherited(Protocol):
    """Holds a lock, or the end of a line to somebody else."""

    def begin_anew(self) -> None:
        """Be as if just made, in the child; on the only thread that there is, so locks may be held by nobody."""


_things: weakref.WeakSet[Inherited] = weakref.WeakSet()


def inherit(thing: Inherited) -> None:
    """Let it begin anew in every child that is forked from now on, for as long as it lives."""
    _things.add(thing)


def _begin_anew() -> None:
    for thing in list(_things):
        with contextlib.suppress(Exception):  # it would come out of somebody's os.fork()
            thing.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
