"""Whether an archive has at hand what is asked for, or has to fetch it first (Instance Availability, 0008,0056)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset

from dicomover.attributes.reading import read_texts

__all__ = ["delay_of", "read_availability", "tell_availability"]

_ADVICE = {
    "NEARLINE": "it is fetched from slower storage first, which takes a while",
    "OFFLINE": "somebody has to bring its medium first; ask the archive's administrator",
    "UNAVAILABLE": "it cannot be had; ask the archive's administrator",
}
_ORDER = ("", *_ADVICE)


def read_availability(answers: Iterable[Dataset]) -> str:
    """Return the worst of what some answers say; "" for ONLINE, for nothing, and for what nobody knows."""
    said = {text.strip().upper() for answer in answers for text in read_texts(answer, "InstanceAvailability") or ()}
    return max((word for word in _ORDER if word in said), key=_ORDER.index, default="")


def delay_of(availabilities: Sequence[str]) -> int:
    """Return how late to ask for something of these: 0 where all of it is at hand.

    Examples
    --------
    >>> delay_of([""]), delay_of(["", "OFFLINE"]) > delay_of(["NEARLINE", ""])
    (0, True)
    """
    return max(map(_ORDER.index, availabilities), default=0)


def tell_availability(availabilities: Sequence[str]) -> str:
    """Say what is not at hand, of each of the things that a request comes to; empty if all is.

    Examples
    --------
    >>> tell_availability(["NEARLINE", ""])
    'the archive has 1 of 2 NEARLINE: it is fetched from slower storage first, which takes a while'
    """
    said = []
    for word, advice in _ADVICE.items():
        if count := availabilities.count(word):
            what = "it" if len(availabilities) == 1 else f"{count} of {len(availabilities)}"
            said.append(f"the archive has {what} {word}: {advice}")
    return "; ".join(said)
