"""The pictures in the README and on the pages show what the code shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pictures import PICTURES, read_told, tell

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_tells_what_the_code_tells(name: str) -> None:
    """Words and colours of a picture are those of today; `python docs/pictures.py` takes it anew."""
    assert read_told(IMAGES / name).splitlines() == tell(PICTURES[name]()).splitlines()


def test_every_picture_is_made_by_the_script() -> None:
    """A page shows no picture that somebody took by hand, and the script takes none that no page shows."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/([\w-]+\.png)", page.read_text(encoding="utf-8"))}
    assert shown == set(PICTURES) == {path.name for path in IMAGES.glob("*.png")}
