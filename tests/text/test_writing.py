"""A file is written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomover.text.writing import replace_file


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The old file is there until the new one is whole; afterwards there is one file, the new one."""
    target = tmp_path / "cohort.csv"
    target.write_text("old")
    with replace_file(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("trouble", [OSError, KeyboardInterrupt])
def test_trouble_leaves_the_old_file_and_nothing_else(tmp_path: Path, trouble: type[BaseException]) -> None:
    """An error or an interrupt while the new file is written changes nothing."""
    target = tmp_path / "cohort.csv"
    target.write_text("old")

    def write_half() -> None:
        with replace_file(target) as part:
            part.write_text("ne")
            raise trouble

    with pytest.raises(trouble):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
