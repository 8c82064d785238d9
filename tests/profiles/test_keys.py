"""The keys of a file of profiles: what each is, and that no value is ever told."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover import ConfigurationError, Mover, Quirks
from dicomover.batch.ways import Via
from dicomover.profiles.keys import ME, NODE, QUIRKS, check

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("s3cret-value"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*NODE, *QUIRKS, "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def test_keys_are_what_they_are_called_elsewhere() -> None:
    """Each is a parameter of a Mover, a field of the quirks, or part of the address: nothing is named twice."""
    parameters = set(inspect.signature(Mover).parameters)
    assert set(ME) <= parameters
    assert set(NODE) - {"host", "name", "quirks", "identity", "me"} <= parameters
    assert set(QUIRKS) == {each.name for each in fields(Quirks)}
    assert NODE["via"] == set(get_args(Via))


@given(st.dictionaries(st.sampled_from([*NODE, "hosts"]), _VALUES, max_size=4))
def test_any_table_is_taken_or_refused_in_a_sentence(table: dict[str, Any]) -> None:
    """Whatever stands there, it is an error of ours or none, and quotes no value: it could be a secret."""
    try:
        check(table, NODE, "nodes.toml: [nodes.main]")
    except ConfigurationError as error:
        assert str(error).startswith("nodes.toml: [nodes.main")  # noqa: PT017
        assert "s3cret" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "mend"), [("Host", "'host'"), ("ae-title", "'ae_title'"), ("zzz", "these are known: ae_title")]
)
def test_the_nearest_is_named(name: str, mend: str) -> None:
    """In any case; where nothing is near, all are."""
    with pytest.raises(ConfigurationError, match=mend):
        check({name: 1}, NODE, "nodes.toml: [nodes.main]")
