"""Where the archive sends: never beyond this machine."""

from __future__ import annotations

import pytest

from dicomover import Mover
from dicomover.node import Node
from dicomover.testing import (
    DemoPacs,
    made_study,
)


def test_nothing_is_sent_beyond_loopback() -> None:
    """A destination on another machine is refused when it is named."""
    with DemoPacs([]) as pacs:
        with pytest.raises(ValueError, match="not on this machine"):
            pacs.destinations["FAR"] = ("192.0.2.1", 104)
        pacs.destinations["NEAR"] = ("127.0.0.1", 104)
        assert pacs.destinations.node("NEAR") == Node("127.0.0.1", 104, ae_title="NEAR")


def test_a_destination_needs_a_port() -> None:
    """The port of a Mover that does not listen is None, which is said where it is used."""
    with DemoPacs([made_study("A")]) as pacs, pytest.raises(ValueError, match=r"MOVESCU has no port.*open it first"):
        pacs.destinations["MOVESCU"] = Mover(pacs.node, receive="x").port  # type: ignore[assignment]
