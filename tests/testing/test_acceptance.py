"""Which presentation contexts the archive accepts."""

from __future__ import annotations

from dicomover.testing import (
    DemoPacs,
)
from testing_kit import client_of


def test_one_model_only() -> None:
    """An archive without Study Root refuses its presentation contexts."""
    with DemoPacs([], models=["PATIENT"]) as pacs, client_of(pacs) as client:
        assert client.connection.contexts == {}
