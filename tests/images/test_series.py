"""What the images of a series come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
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


def rotated(*degrees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return the directions of rows and columns and the normal, turned about x and then about z."""
    a, b = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return tuple((about_z @ about_x).T)  # type: ignore[return-value]


ROW, COLUMN, NORMAL = rotated(35, 20)
TILT_ROW, TILT_COLUMN, _ = rotated(-15, 0)
START = np.array([-121.7, -98.3, -1042.85])
HEAD = np.cumsum([0.0] + [2.5] * 12 + [5.0] * 9)
FIELD = {
    "oblique, five digits": ([START + 3.3 * n * NORMAL for n in range(40)], (ROW, COLUMN), (40, 3.3, 0, 0, "")),
    "oblique, from the last": ([START - 3.3 * n * NORMAL for n in range(40)], (ROW, COLUMN), (40, 3.3, 0, 0, "")),
    "steps of 0.625 written as tenths": (
        [[0, 0, round(0.625 * n + 1e-9, 1)] for n in range(321)], rotated(0, 0)[:2], (321, 0.625, 0, 0, "")
    ),
    "tilted gantry": (
        [[-125, -140, 5.0 * n] for n in range(24)], (TILT_ROW, TILT_COLUMN), (24, 5 * 0.9659258, 0, 0, "its slices are")
    ),
    "three echoes": (
        [START + 4.0 * (n // 3) * NORMAL for n in range(36)], (ROW, COLUMN), (12, 4.0, 0, 24, "24 of its images lie")
    ),
    "ten phases, rounded apart": (
        [[0, 0, 3.0 * (n // 10) + 0.0002 * (n % 3)] for n in range(80)], rotated(0, 0)[:2],
        (8, 3.0, 0, 72, "72 of its images lie where another does: 10 at each position")
    ),
    "phases, one image lost": (
        [[0, 0, 3.0 * (n // 4)] for n in range(31)], rotated(0, 0)[:2], (8, 3.0, 0, 23, "23 of its images lie where")
    ),
    "two slices lost far apart": (
        [START + 1.2 * n * NORMAL for n in range(60) if n not in (17, 41)], (ROW, COLUMN), (58, 1.2, 2, 0, "2 of its")
    ),
    "a block lost": (
        [[0, 0, 1.25 * n] for n in range(88) if n < 12 or n > 77], rotated(0, 0)[:2], (22, 1.25, 66, 0, "66 of its")
    ),
    "thicker slices above": ([[0, 0, z] for z in HEAD], rotated(0, 0)[:2], (22, 2.5, 0, 0, "the distances between")),
    "no direction": ([[0, 0, n] for n in range(3)], (np.zeros(3), np.zeros(3)), (0, np.nan, 0, 0, "its images do not")),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELD)
def test_series_as_they_come_from_scanners(name: str, tmp_path: Path) -> None:
    """Tilted, oblique, rounded, repeated and broken series have the numbers from which they were made."""
    positions, (row, column), wanted = FIELD[name]
    turned = [f"{value:.6f}" for value in (*row, *column)]
    slices = [
        make_slice(n + 1, [f"{value:.5f}" for value in position], ImageOrientationPatient=turned)
        for n, position in enumerate(positions)
    ]
    save(tmp_path, slices[::2] + slices[1::2])
    (found,) = index(tmp_path, level="SERIES", cache=False).to_dict("records")
    said = [found[key] for key in ("positions", "gaps", "duplicates")]
    assert [0 if pd.isna(value) else value for value in said] == [wanted[0], wanted[2], wanted[3]]
    assert (np.nan if pd.isna(found["spacing"]) else found["spacing"]) == pytest.approx(
        wanted[1], rel=1e-4, nan_ok=True
    )
    assert ("" if pd.isna(found["irregular"]) else found["irregular"])[: len(wanted[4]) or None] == wanted[4]
    assert found["is_volume"] is (not wanted[4])


def test_a_localizer_among_slices_and_colour(tmp_path: Path) -> None:
    """Images across the others make the series no volume; a regular series in colour is one."""
    localizer = make_slice(9, (0, 0, 0), ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    save(tmp_path / "mixed", [localizer, *(make_slice(n, (0, 0, n)) for n in range(3))])
    rgb = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "BitsAllocated": 8}
    pixels = {"BitsStored": 8, "HighBit": 7, "PixelData": bytes(range(72))}
    save(tmp_path / "rgb", (make_slice(n, (0, 0, 2 * n), series="2.25.8", **rgb, **pixels) for n in range(3)))
    found = index(tmp_path, level="SERIES", cache=False).set_index("SeriesInstanceUID")
    assert found.loc["2.25.7", "irregular"] == "its images have several orientations"
    assert (found.loc["2.25.8", "is_volume"], found.loc["2.25.8", "spacing"]) == (True, 2.0)
