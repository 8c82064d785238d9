"""What happens in a batch, as values: how they look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dicomover.events import Arrival


def test_an_arrival_is_short_in_a_cell_and_names_nobody() -> None:
    """An arrival shows its size, its transfer syntax and what is odd about it; no path, patient or UID of its own."""
    here = Arrival(Path("CANARY"), "1.2", "1.3", "1.4", "1.5", "CANARY", "1.2.840.10008.1.2.1", 524_288, "ARCHIVE")
    assert repr(here) == "<Arrival: 524,288 bytes, Explicit VR Little Endian>"
    assert repr(replace(here, duplicate=True)) == "<Arrival: 524,288 bytes, Explicit VR Little Endian, duplicate>"
    assert repr(replace(here, conflict=True)) == "<Arrival: 524,288 bytes, Explicit VR Little Endian, conflict>"
    assert repr(replace(here, transfer_syntax_uid="1.2.3")) == "<Arrival: 524,288 bytes, 1.2.3>"
