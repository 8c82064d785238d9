"""What a row is called where people look: on a screen, in a saved notebook. Patients' keys only where asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dicomover.text.visible import make_visible

__all__ = ["Asking", "Label", "is_plain", "row_labels"]

Label = Callable[[int], str]
"""Gives the words for the row at a position of the batch."""


class Asking(Protocol):
    """What is to be known of a request here."""

    @property
    def position(self) -> int:
        """Its position in the batch."""

    @property
    def keys(self) -> Mapping[str, str]:
        """Its query keys, by keyword."""


def row_labels(index: Any, requests: Sequence[Asking] = (), *, show_keys: bool = False) -> Label:
    """Return what rows are called, by their position in the batch.

    The labels of the index are shown if each is there once and they are whole numbers without a name, as after
    `read_csv`; any other may be a column of patients' keys, so the row is called by its position then, counted from 0.
    `show_keys` shows any, and adds each request's query keys, though they may name a patient.

    Examples
    --------
    >>> import pandas as pd
    >>> row_labels(pd.Index([10, 20]))(1), row_labels(pd.Index(["Miller", "Smith"]))(1)
    ('20', '1')
    """
    are_shown = index.is_unique and (show_keys or is_plain(index))

    def label(position: int) -> str:
        name = str(index[position] if are_shown else position)
        keys = _keys(requests, position) if show_keys else ""
        return make_visible(f"{name} ({keys})" if keys else name)

    return label


def is_plain(index: Any) -> bool:
    """Tell whether the labels of an index can be shown: whole numbers without a name, which are no patient's keys."""
    return getattr(index, "name", None) is None and getattr(index.dtype, "kind", "") in "iu"


def _keys(requests: Sequence[Asking], position: int) -> str:
    place = bisect_left(requests, position, key=lambda request: request.position)
    if place == len(requests) or requests[place].position != position:
        return ""  # a row that could not be sent
    return ", ".join(f"{keyword} {value}" for keyword, value in requests[place].keys.items() if value)
