"""Interrupts of a batch; a SIGTERM is one first, so that what runs is cancelled, and the end of the process then."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pandas as pd

from dicomover.errors import Interrupted
from dicomover.outcome import Status
from dicomover.text.sentences import count_of

__all__ = ["interrupting", "tell_interrupt"]


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Let a SIGTERM raise KeyboardInterrupt while this lasts, and end the process after it.

    A script gets a SystemExit, so that it is tidy; a kernel, which would go on after that, the signal itself. Only in
    the main thread, where Python handles signals, and only if nobody else has said what a SIGTERM does.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    came: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if came and "ipykernel" in sys.modules:
            os.kill(os.getpid(), came[0])
        elif came:
            raise SystemExit(128 + came[0])


def tell_interrupt(known: pd.DataFrame, *, remembers: bool) -> Interrupted:
    """Say how far a batch was when it was interrupted, and how to go on: it `remembers` if it has a journal."""
    over = int((known["status"] != Status.CANCELLED).sum())
    mend = (
        "run the cell again to go on: what is here is skipped"
        if remembers
        else ("move what is not complete of it to go on")
    )
    return Interrupted(
        f"stopped after {over:,} of {count_of(len(known), 'request')}; mover.last.summary() has them all; {mend}",
        known,
    )
