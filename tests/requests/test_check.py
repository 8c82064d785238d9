"""The hygiene of one request: names, values, levels and models."""

from __future__ import annotations

from requests_kit import parsed, refused


def test_a_key_twice() -> None:
    """The same key under two names is an error."""
    assert "is given twice" in str(refused({"AccessionNumber": "1", "0008,0050": "2"}))


def test_a_request_shows_no_keys() -> None:
    """The repr of a request, which ends up in logs, has no values."""
    assert "SECRET" not in repr(parsed({"PatientID": "SECRET"}))
