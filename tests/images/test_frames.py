"""Where the frames of one file lie."""

from __future__ import annotations

from pathlib import Path

from dicomover import index
from dicomover.images.frames import read_planes
from images_kit import make_enhanced, save


def test_frames_that_say_where_they_lie(tmp_path: Path) -> None:
    """Of an Enhanced object its functional groups tell positions and spacing; frames without them are told as such."""
    (path,) = save(tmp_path, [make_enhanced([(0, 0, 2.5 * n) for n in (2, 0, 1)])])
    row = index(tmp_path, level="SERIES").loc[0]
    assert (row["slices"], row["positions"], row["spacing"], row["is_volume"]) == (3, 3, 2.5, True)
    assert (row["orientation"], row["gaps"], row["PixelSpacing"]) == ("axial", 0, "0.5\\0.75")
    save(tmp_path, [make_enhanced([(0, 0, n) for n in (0, 1, 2, 4)])])
    row = index(tmp_path, level="SERIES").loc[0]
    assert (row["gaps"], row["is_volume"]) == (1, False)
    without = make_enhanced([(0, 0, n) for n in range(3)])
    del without.PerFrameFunctionalGroupsSequence
    save(tmp_path, [without])
    row = index(tmp_path, level="SERIES").loc[0]
    assert row[["positions", "spacing", "is_volume"]].isna().all()
    assert row["irregular"] == "its slices are frames of one file"
    path.write_bytes(path.read_bytes()[:700])
    assert read_planes(str(path)) is None
    assert read_planes(str(tmp_path / "nowhere.dcm")) is None
