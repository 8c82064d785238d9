"""A contact sheet."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file

from dicomover import ConfigurationError, contact_sheet, index
from images_kit import make_slice, save

Image = pytest.importorskip("PIL.Image")


def pixels(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    """Return the picture as an array (rows, columns, 3)."""
    return np.asarray(Image.open(io.BytesIO(png)))


def test_one_picture_for_each_series(tmp_path: Path) -> None:
    """Grey, colour, inverted and multi-frame series each have their place; what cannot be drawn is a grey field."""
    for name in ("CT_small.dcm", "SC_rgb_rle.dcm", "SC_rgb_rle_2frame.dcm", "reportsi.dcm", "MR_small.dcm"):
        shutil.copy(get_testdata_file(name), tmp_path)
    save(tmp_path / "broken", [make_slice(0, (0, 0, 0), series="2.25.8", ModalityLUTSequence=[Dataset()])])
    images = index(tmp_path)
    count = images["SeriesInstanceUID"].nunique()
    sheet = contact_sheet(images, columns=2, size=80, labels=False)
    found = pixels(sheet.png)
    assert found.shape == (-(-count // 2) * 80, 160, 3)
    assert sheet._repr_png_() == sheet.png
    fields = [found[row : row + 80, column : column + 80] for row in range(0, found.shape[0], 80) for column in (0, 80)]
    assert sum(np.ptp(field) > 50 for field in fields) >= 3, "the images are seen"
    assert sum((field == 64).all() for field in fields) == 2, "of the report and the broken one"


def test_the_middle_slice_in_its_window(tmp_path: Path) -> None:
    """The slice in the middle of the body is drawn, not that of the middle name, windowed as the file says."""
    shade = {0.0: 4000, 1.0: 1024 + 40, 2.0: 0}
    datasets = [
        make_slice(n, (0, 0, height), WindowCenter=40, WindowWidth=400,
                   PixelData=np.array([[0, value, 2000] * 2] * 4, "<u2").tobytes())
        for n, (height, value) in enumerate(sorted(shade.items(), reverse=True))
    ]  # fmt: skip
    save(tmp_path, datasets)
    found = pixels(contact_sheet(index(tmp_path), size=60, labels=False).png)
    middle = found[found.shape[0] // 2, :, 0]
    assert {0, 255} <= set(middle.tolist())
    assert any(110 < value < 145 for value in middle.tolist())


def test_nothing_of_a_patient_is_written(tmp_path: Path) -> None:
    """Two patients with the same image make the same picture."""
    for patient in ("P-0042", "P-0043"):
        save(tmp_path / patient, [make_slice(5, (0, 0, 0), PatientID=patient, SeriesDescription=patient)])
    first, second = (contact_sheet(index(tmp_path / patient)).png for patient in ("P-0042", "P-0043"))
    assert first == second


def test_an_empty_table_and_a_file(tmp_path: Path) -> None:
    """No series are an empty picture; it is saved as a PNG."""
    contact_sheet(index(tmp_path, cache=False)).save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"


def test_a_small_image_is_as_large_as_any(tmp_path: Path) -> None:
    """An image of few pixels, as nuclear medicine has them, fills its place too."""
    save(tmp_path, [make_slice(0, (0, 0, 0), PixelData=np.array([[0, 2000] * 3] * 4, "<u2").tobytes())])
    found = pixels(contact_sheet(index(tmp_path), size=60, labels=False).png)
    assert (found.max(axis=(0, 2)) > 0).sum() > 30, "the picture is as wide as its place"


def test_what_are_no_rows_of_images(tmp_path: Path) -> None:
    """A folder, or a table of series, is refused with what to give."""
    for wrong in (str(tmp_path), index(tmp_path, level="SERIES", cache=False)):
        with pytest.raises(ConfigurationError, match=r"give dicomover.index\(folder\)"):
            contact_sheet(wrong)  # type: ignore[arg-type]


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ConfigurationError, match="dicomover\\[pictures\\]"):
        contact_sheet(index(tmp_path, cache=False))
