"""The order of a series' files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dicomover.images.order import sort_files
from images_kit import make_slice, save

OBLIQUE = [0.8, 0.6, 0, 0, 0, -1]
CASES = {
    "by position, against the number": [make_slice(9 - n, (0, 0, 2.5 * n)) for n in range(4)],
    "of negative and positive places": [make_slice(n, (0, 0, -10 + 7 * n)) for n in range(4)],
    "oblique": [make_slice(5, (-0.6 * n, 0.8 * n, 0), ImageOrientationPatient=OBLIQUE) for n in range(4)],
    "several at one place, by number": [make_slice(n, (0, 0, n // 2)) for n in range(4)],
    "no positions, by number": [make_slice(n * 7, (0, 0, 0), ImagePositionPatient=None) for n in range(4)],
    "a localizer among them, by number": [
        make_slice(n, (0, 0, -n), ImageOrientationPatient=OBLIQUE if n == 2 else [1, 0, 0, 0, 1, 0]) for n in range(4)
    ],
    "nothing but UIDs": [make_slice(n, (0, 0, 0), ImagePositionPatient=None, InstanceNumber=None) for n in range(4)],
}


@pytest.mark.parametrize("name", CASES)
def test_slices_stand_in_order(name: str, tmp_path: Path) -> None:
    """However the files lie about, they come in the order of their slices, else of numbers, else of UIDs."""
    paths = save(tmp_path, CASES[name])
    shuffled = list(paths)
    random.Random(4).shuffle(shuffled)
    assert shuffled != paths
    if name == "oblique":
        shuffled.reverse()
    assert sort_files(shuffled) == paths


def test_a_file_that_cannot_be_read_hinders_no_other(tmp_path: Path) -> None:
    """The others stand by number, and it comes last."""
    paths = save(tmp_path, [make_slice(n, (0, 0, n)) for n in range(3)])
    broken = tmp_path / "broken"
    broken.write_bytes(b"no image")
    assert sort_files([broken, tmp_path / "gone", *reversed(paths)])[:3] == paths
