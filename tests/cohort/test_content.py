"""What a lockfile holds of its requests: hidden and revealed, and its hash."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from cohort_kit import SECRET, locked, study
from cohort_strategies import requests
from dicomover.cohort import LockState
from dicomover.cohort.content import LockedRequest, content_hash, hide, reveal
from dicomover.identifier import Level
from dicomover.privacy import DamagedRecord, Hashed

KEEPER, OTHER = Hashed(SECRET, bytes(16)), Hashed("not the same secret", bytes(16))


@given(requests)
def test_what_is_hidden_is_revealed_by_the_secret_alone(request: LockedRequest) -> None:
    """Nothing but UIDs can be read in hashed keys; the secret gives everything back, another one nothing."""
    hidden = hide(request, 0, KEEPER)
    assert hidden == hide(request, 0, KEEPER), "it is not the same every time"
    assert hidden.given == {}
    for key, value in request.keys.items():
        assert key == "StudyInstanceUID" or hidden.keys[key] != value
    assert hidden.label == (0 if request.label == 0 else KEEPER.digest("label", request.as_json()["label"]))
    assert reveal(hidden, KEEPER) == request
    with pytest.raises(DamagedRecord):
        reveal(hidden, OTHER)


def test_the_hash_is_about_requests_and_what_they_came_to() -> None:
    """Order of rows, a label, a key, a row, a state and an instance count; the note does not."""
    one, two = locked(study("1", {"1.1": ["1.1.1"]})), locked(study("2", {"2.1": ["2.1.1"]}), label=1)
    whole = content_hash([one, two])
    others = [
        [two, one],
        [locked(study("1", {"1.1": ["1.1.1"]}), label="a"), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), keys={"AccessionNumber": "3"}), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), given={"AccessionNumber": "1", "age": 3}), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), state=LockState.CUT_SHORT), two],
        [locked(study("1", {"1.1": ["1.1.1", "1.1.2"]})), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), level=Level.SERIES), two],
        [one],
    ]
    hashes = [content_hash(other) for other in others]
    assert len({whole, *hashes}) == len(others) + 1
    assert content_hash([locked(study("1", {"1.1": ["1.1.1"]}), note="a word"), two]) == whole
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", whole)
