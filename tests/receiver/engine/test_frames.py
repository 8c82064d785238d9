"""What goes between the processes comes out as it went in."""

from __future__ import annotations

import io

import pytest

from dicomover.events import Admission, Refusal, Refused
from dicomover.receiver.engine.frames import (
    Writer,
    pack_admission,
    pack_event,
    read_frame,
    unpack_admission,
    unpack_event,
)


def through_a_pipe(frame: dict[str, object]) -> dict[str, object] | None:
    """Write a frame and read it."""
    stream = io.BytesIO()
    Writer(stream).write(frame)
    stream.seek(0)
    return read_frame(stream)


@pytest.mark.parametrize("what", Refused)
def test_a_refusal_comes_out_as_it_went_in(what: Refused) -> None:
    """Every field of a refusal survives, and its kind is a kind again."""
    refusal = Refusal(1.5, "why \u00e9", None, "YOU", "1.2", "1.3", what, "mend", "127.0.0.1", "ME", 7)
    frame = through_a_pipe({"events": [pack_event(refusal), {"path": "a"}]})
    assert frame is not None
    got, arrival = map(unpack_event, frame["events"])  # type: ignore[call-overload]
    assert got == refusal
    assert got.what is what
    assert arrival == {"path": "a"}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\0\0", "ended inside a frame, after 2 bytes"),
        (b"\0\0\0\7{}", "ended inside a frame, after 6 bytes"),
        (b"\0\0\0\0", "ended inside a frame"),
        (b"\xff\xff\xff\xff{}", "a frame of 4,294,967,295 bytes"),
        (b"\0\0\0\2[]", "a list is no frame"),
        (b"\0\0\0\2{{", "Expecting property name"),
    ],
)
def test_what_is_no_frame_is_an_error(raw: bytes, why: str) -> None:
    """A pipe that ends in the middle, a frame that is too long and one that is none are told, not taken as the end."""
    with pytest.raises(ValueError, match=why):
        read_frame(io.BytesIO(raw))
    assert read_frame(io.BytesIO()) is None


def test_an_admission_comes_out_as_it_went_in() -> None:
    """Every field of an admission survives."""
    sets = {name: frozenset({name, "1.2"}) for name in ("patient_ids", "study_uids", "series_uids", "sop_uids")}
    admission = Admission(3, **sets, patient_study_uids=frozenset({"1.9"}))
    frame = through_a_pipe(pack_admission(admission))
    assert frame is not None
    assert unpack_admission(frame) == admission
