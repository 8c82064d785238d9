"""What an error tells of where it came from, and what it holds: the places in the code, and nothing of a patient."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = ["forgetting", "tell_trace"]

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")
_OURS = str(Path(__file__).parents[1])


def tell_trace(error: BaseException) -> str:
    """Return where an error came from, and its kind, for a log: not what it says, which may quote a patient's values.

    Examples
    --------
    >>> try:
    ...     int("Jane Roe")
    ... except ValueError as error:
    ...     trace = tell_trace(error)
    >>> "ValueError" in trace, "invalid literal" in trace
    (True, False)
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    earlier = "" if cause is None else f"{tell_trace(cause)}\nand then\n"
    return f"{earlier}{frames}{type(error).__name__}"


def forgetting(verb: Callable[_Given, _Returned]) -> Callable[_Given, _Returned]:
    """Let an error that leaves this function hold nothing of what was asked and answered.

    A kernel keeps the last error with all frames that it went through, and so their locals: identifiers, answers,
    whole tables.
    """

    @functools.wraps(verb)
    def called(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        try:
            return verb(*args, **kwargs)
        except Exception as error:
            del args, kwargs
            _clear_frames(error)
            raise

    return called


def _clear_frames(error: BaseException | None) -> None:
    while error is not None:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        reached = [n for n, frame in enumerate(frames) if frame.f_code.co_filename.startswith(_OURS)]
        for frame in frames[reached[0] :] if reached else ():
            with contextlib.suppress(RuntimeError):  # it runs
                frame.clear()
        error = error.__cause__ or error.__context__
