"""What an error tells of where it came from, and what its frames still hold."""

from __future__ import annotations

import contextlib
import traceback

import pandas as pd
import pytest

from dicomover import Mover, RequestError
from dicomover.text.traces import forgetting, tell_trace


def fail(value: str) -> None:
    """Raise what quotes a value, because of another that does."""
    try:
        int(value)
    except ValueError as error:
        raise KeyError(value) from error


def test_a_trace_has_places_and_kinds_and_no_values() -> None:
    """Both errors are told by where they came from and what they are, whatever they say."""
    with pytest.raises(KeyError) as caught:
        fail("Canaria")
    trace = tell_trace(caught.value)
    assert "Canaria" not in trace.replace('fail("Canaria")', "")
    assert trace.index("ValueError") < trace.index("and then") < trace.index("KeyError")
    assert "in fail" in trace


def test_frames_of_the_user_keep_their_locals() -> None:
    """Only what lies below the call of ours is let go of: who debugs their own code finds it as it was."""

    @forgetting
    def verb() -> None:
        fail("Canaria")

    def theirs() -> None:
        mine = "kept"
        with contextlib.suppress(KeyError):
            {}[mine]
        verb()

    with pytest.raises(KeyError) as caught:
        theirs()
    held = {frame.f_code.co_name: dict(frame.f_locals) for frame, _ in traceback.walk_tb(caught.value.__traceback__)}
    assert held["theirs"]["mine"] == "kept"
    assert not held["verb"]
    assert not held["fail"]


def test_a_table_that_is_refused_is_not_kept() -> None:
    """An error of the input that leaves a verb holds no copy of the table in our frames."""
    table = pd.DataFrame({"AccessionNumber": ["Canaria "]})
    with pytest.raises(RequestError) as caught:
        Mover("A@127.0.0.1:9", destination="WS", progress="none").move(table)
    ours = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__) if "/src/" in frame.f_code.co_filename]
    assert ours
    assert not [name for frame in ours for name, value in dict(frame.f_locals).items() if "Canaria" in repr(value)]
