"""The table of courses: each name says which service it concerns, and twists no bytes."""

from __future__ import annotations

from dicomover.testing._courses import COURSES
from dicomover.testing._details import DETAILS
from dicomover.testing._script import Storing


def test_names_say_their_service() -> None:
    """What begins with find or associate concerns that, all else C-MOVE; no name stands in both tables."""
    for name, (_, script) in (COURSES | DETAILS).items():
        prefix = name.partition("-")[0]
        assert script.service == (prefix if prefix in ("find", "associate") else "move"), name
    assert not set(COURSES) & set(DETAILS)


def test_courses_twist_no_bytes() -> None:
    """A course goes wrong in messages that are right; details are in the other table."""
    for name, (_, script) in COURSES.items():
        assert (script.acceptance, script.response, script.storing) == (None, None, Storing()), name
