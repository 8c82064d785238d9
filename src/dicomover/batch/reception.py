"""Where the images of a batch arrive, if it is here: the receiver, and the tally of what has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dicomover.batch.arrivals import Tally
from dicomover.receiver import Receiver

__all__ = ["Reception"]


@dataclass(frozen=True, slots=True)
class Reception:
    """Our receiver and the tally of one batch."""

    receiver: Receiver
    tally: Tally

    @classmethod
    def of(cls, receiver: Receiver, ae_title: str) -> Self:
        """Tally what a receiver takes under this AE title."""
        return cls(receiver, Tally(ae_title, lambda: receiver.last_activity))
