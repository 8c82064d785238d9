"""docs/house.py: what the source says of itself, and the drawing of it."""

from __future__ import annotations

import doctest
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import drawing
import house

SVG = "{http://www.w3.org/2000/svg}"
CONTRACT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["dicomover.roof", "dicomover.hall | dicomover.barn", "dicomover.ground"]
"""
FILES = {
    "__init__.py": "from dicomover.roof import climb\n",
    "__main__.py": "from dicomover.roof import climb\n",
    "roof.py": "from dicomover import __version__\n\ndef climb():\n    from dicomover.hall import enter\n",
    "hall/__init__.py": "# a door\n\nfrom dicomover.hall.stairs import enter\n",
    "hall/stairs.py": '"""Stairs.\n\nTwo.\n"""\nfrom dicomover import ground, climb\n',
    "barn.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import dicomover.hall.stairs\n",
    "ground.py": "import os\n",
}


@pytest.fixture
def built(tmp_path: Path) -> house.House:
    """Build a small house."""
    (tmp_path / "pyproject.toml").write_text(CONTRACT)
    for name, text in FILES.items():
        path = tmp_path / "src" / "dicomover" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return house.House(tmp_path)


def test_imports_lead_to_where_a_name_is_at_home(built: house.House) -> None:
    """Imports inside functions and for types count, and names that a door lends lead behind the door."""
    assert built.imports["dicomover.roof"] == {"dicomover.hall.stairs"}
    assert built.imports["dicomover.barn"] == {"dicomover.hall.stairs"}
    assert built.imports["dicomover.hall.stairs"] == {"dicomover.ground", "dicomover.roof"}
    assert built.rooms == {"roof": {"hall"}, "hall": {"roof", "ground"}, "barn": {"hall"}, "ground": frozenset()}


def test_arrows_up_and_circles_are_found(built: house.House) -> None:
    """An arrow to the own floor or one above is no arrow down; a circle is one wherever it begins."""
    assert built.upwards == [("barn", "hall"), ("hall", "roof")]
    assert house.find_circles(built.rooms) == [["hall", "roof"]]
    assert house.find_circles(built.imports) == [["dicomover.hall.stairs", "dicomover.roof"]]
    assert house.find_longest_chain(built.rooms) == ["barn", "hall", "roof", "ground"]


def test_the_figures_count_what_they_say(built: house.House) -> None:
    """Doors are files and no rooms; comments, docstrings and blank lines are told from code."""
    figures = built.figures()
    assert (figures["files"], figures["modules in the root"], figures["rooms"], figures["floors"]) == (7, 4, 4, 3)
    assert (figures["lines"], figures["lines without comments"]) == (18, 17)
    assert figures["lines of code (no comments, docstrings, blank lines)"] == 11
    assert figures["longest chain of imports"] == "3 (barn > hall.stairs > roof > ground)"


def test_the_examples_hold() -> None:
    """The examples in the docstrings are what comes out."""
    tried = doctest.testmod(house)
    assert tried.attempted > 2
    assert not tried.failed


def test_the_drawing_has_every_room_on_its_floor() -> None:
    """Each room is drawn once, none over another, inside the picture; those of one floor at one height."""
    real = house.House()
    tree = ET.fromstring(drawing.draw_house(real))
    width = float(tree.attrib["viewBox"].split()[2])
    kinds = {"package", "module"}
    boxes = [
        {k: float(v) for k, v in box.attrib.items() if k in {"x", "y", "width"}}
        for box in tree.iter(f"{SVG}rect")
        if box.attrib["class"] in kinds
    ]
    names = [text.text for text in tree.iter(f"{SVG}text") if "class" not in text.attrib]
    assert sorted(names) == sorted(real.rooms)
    height = {name: box["y"] for name, box in zip(names, boxes, strict=True)}
    assert [len({height[room] for room in floor}) for floor in real.floors] == [1] * len(real.floors)
    for box in boxes:
        assert 0 <= box["x"] <= width - box["width"]
        assert not [o for o in boxes if o is not box and o["y"] == box["y"] and 0 <= o["x"] - box["x"] < box["width"]]
