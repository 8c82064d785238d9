"""What the images of a series come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicomover import index
from dicomover.images.series import describe_positions
from images_kit import AXIAL, make_enhanced, make_slice, save

CORONAL, TILTED = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0), (1.0, 0.0, 0.0, 0.0, 0.94, 0.34)
SHAPES = {
    "regular": ([0, 2.5, 5, 7.5], AXIAL, ("axial", 4, 2.5, 0, 0, "")),
    "shuffled": ([5, 0, 7.5, 2.5], AXIAL, ("axial", 4, 2.5, 0, 0, "")),
    "a slice is missing": ([0, 2.5, 7.5, 10], AXIAL, ("axial", 4, 2.5, 1, 0, "1 of its slices")),
    "one lies twice": ([0, 2.5, 2.5, 5], AXIAL, ("axial", 3, 2.5, 0, 1, "1 of its images lie where")),
    "uneven": ([0, 2, 5, 7], AXIAL, ("axial", 4, 2.0, 0, 0, "the distances")),
    "one slice": ([0], AXIAL, ("axial", 1, np.nan, 0, 0, "it has one position")),
    "nobody says": ([np.nan, 1], AXIAL, ("", 0, np.nan, 0, 0, "its images do not say")),
    "rounded": ([0, 2.5001, 4.9999, 7.5], AXIAL, ("axial", 4, 2.5, 0, 0, "")),
}


@pytest.mark.parametrize("name", SHAPES)
def test_where_slices_lie(name: str) -> None:
    """Spacing, gaps and duplicates are what one would count by hand, in any order."""
    heights, orientation, wanted = SHAPES[name]
    positions = np.array([[0.0, 0.0, height] for height in heights])
    found = describe_positions(positions, np.array([orientation] * len(heights)))
    assert (found.orientation, found.positions, found.gaps, found.duplicates) == (*wanted[:2], *wanted[3:5])
    assert found.spacing == pytest.approx(wanted[2], rel=1e-3, nan_ok=True)
    assert found.irregular.startswith(wanted[5])
    assert bool(found.irregular) is bool(wanted[5])
    if not np.isnan(positions).any():
        assert [heights[number] for number in found.order] == sorted(heights)


def test_other_planes_and_a_tilted_gantry() -> None:
    """Coronal slices are named so; slices that a tilt shifts are no volume; several orientations neither."""
    positions = np.array([[0.0, 3.0 * n, 0.0] for n in range(3)])
    assert describe_positions(positions, np.array([CORONAL] * 3)).orientation == "coronal"
    tilted = describe_positions(np.array([[0.0, 0.0, 3.0 * n] for n in range(3)]), np.array([TILTED] * 3))
    assert "tilted" in tilted.irregular
    assert "orientations" in describe_positions(positions, np.array([CORONAL, AXIAL, AXIAL])).irregular


def test_a_row_for_each_series(tmp_path: Path) -> None:
    """A series says what its images say alike, how many they are, and whether they make a volume."""
    save(tmp_path / "a", (make_slice(n, (0, 0, 2.5 * n)) for n in range(4)))
    save(tmp_path / "b", (make_slice(n, (0, 0, n), series="2.25.8", Rows=4 + (n > 2), Columns=6) for n in range(4)))
    save(tmp_path / "c", [make_enhanced([(0, 0, n) for n in range(5)])])
    (tmp_path / "c" / "000.dcm").rename(tmp_path / "c" / "enhanced.dcm")
    found = index(tmp_path, level="SERIES").set_index("SeriesInstanceUID")
    assert found["files"].tolist() == [5, 4]
    other = found.loc["2.25.8"]
    assert (other["Modality"], other["is_volume"], other["irregular"]) == ("CT", False, "its images differ in Rows")
    assert found.loc["2.25.7", "irregular"] == "its slices are frames of one file"
    assert found.loc["2.25.7", "slices"] == 9
    (tmp_path / "c" / "enhanced.dcm").unlink()
    row = index(tmp_path, level="SERIES").set_index("SeriesInstanceUID").loc["2.25.7"]
    assert (row["slices"], row["positions"], row["spacing"], row["is_volume"]) == (4, 4, 2.5, True)


def test_no_series(tmp_path: Path) -> None:
    """An empty folder has a table without rows, in the same dtypes."""
    found = index(tmp_path, level="SERIES", cache=False)
    assert len(found) == 0
    assert str(found["spacing"].dtype) == "Float64"
