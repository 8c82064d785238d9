"""In which way the images of a batch come, C-MOVE or C-GET, and when `auto` turns from the one to the other."""

from __future__ import annotations

import threading
from typing import Literal

from dicomover.outcome import SUCCESS, Ended
from dicomover.wire.responses import MoveEnd

__all__ = ["Via", "Ways", "find_dead_end"]

Via = Literal["move", "get", "auto"]
"""By C-MOVE, by C-GET on our own association, or by C-GET where C-MOVE is at a dead end."""


class Ways:
    """The way of a batch; every method may be called from any thread."""

    def __init__(self, via: Via) -> None:
        self._lock = threading.Lock()
        self.gets = via == "get"  # whether it is C-GET by now
        self.may_turn = via == "auto"  # whether it may become C-GET
        self.why = ""  # why it has become C-GET, where it was not asked for
        # Whether the archive has one association with us at a time; None while nothing shows it.
        self.takes_turns: bool | None = None
        # Whether our receiver chooses the other kind of transfer syntax: one has brought what the usual one has not.
        self.other_kind = False

    def turn(self, why: str) -> bool:
        """Go on by C-GET; False if that is known already."""
        with self._lock:
            is_first, self.gets, self.may_turn = not self.gets, True, False
            self.why = self.why or why
            return is_first


def find_dead_end(
    end: MoveEnd,
    destination: str,  # our own AE title
    *,
    reached: bool,  # whether anything of the batch has come to us, taken or refused
    called: bool,  # whether anybody has called our port since the C-MOVE began
) -> str:
    """Say why nothing can come by C-MOVE, by how one has ended of which nothing is here; empty while it may.

    Examples
    --------
    >>> print(find_dead_end(MoveEnd(Ended.ANSWERED, 0xA801), "MOVESCU", reached=False, called=False))
    the archive does not know our AE title 'MOVESCU' (0xA801)
    """
    if end.ended is not Ended.ANSWERED or end.status_code is None or reached:
        return ""
    if end.status_code == 0xA801:
        return f"the archive does not know our AE title {destination!r} (0xA801)"
    could_not_send = end.status_code == 0xA702 or end.status_code >> 12 == 0xC or bool(end.counters.failed)
    went_elsewhere = bool(end.counters.moved) and (end.status_code == SUCCESS or end.status_code >> 12 == 0xB)
    if called or not (could_not_send or went_elsewhere):
        return ""
    return "nothing that the archive sent has reached our port"
