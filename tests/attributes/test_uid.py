"""UIDs by the Standard, and those that archives have named."""

from __future__ import annotations

import pytest

from dicomover.attributes.uid import is_named, is_uid, remember_uid, was_named


@pytest.mark.parametrize(
    ("text", "by_standard", "by_archive"),
    [
        ("1.2.3", True, True),
        ("0", True, True),
        ("1." + "2" * 62, True, True),
        ("1." + "2" * 63, False, True),
        ("1.02", False, True),
        ("1.2a", False, True),
        ("..", False, False),
        ("1.2\\1.3", False, False),
        ("1.2*", False, False),
        ("1.2 ", False, False),
        ("1.٢", False, False),
        ("1.2\n", False, False),
        ("", False, False),
        ("2" * 129, False, False),
    ],
)
def test_what_is_a_uid(text: str, by_standard: bool, by_archive: bool) -> None:
    """A UID is what the Standard says, in ASCII; what an archive may call one is wider, but no pattern and no list."""
    assert (is_uid(text), is_named(text)) == (by_standard, by_archive)


def test_what_was_named_is_remembered() -> None:
    """Only what an archive has named is remembered, and only if it can be asked for."""
    assert not was_named("7.007")
    assert [remember_uid(text) for text in ("7.007", "7.7", "7.*")] == ["7.007", "7.7", "7.*"]
    assert [was_named(text) for text in ("7.007", "7.7", "7.*", "7.0070")] == [True, False, False, False]
