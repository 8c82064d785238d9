"""The archive at which the tests of cohorts lock."""

from __future__ import annotations

from typing import Any

import pytest

from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def pacs() -> Any:
    """Run an archive of four studies."""
    studies = [
        made_study("00123", series=2, instances=3, patient="P-1"),
        made_study("TWO", instances=2, number=1, patient="P-2"),
        made_study("TWO", instances=1, number=2, patient="P-2"),
        made_study("B", instances=2, patient="P-3"),
    ]
    with DemoPacs(studies) as running:
        yield running
