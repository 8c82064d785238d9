"""A contact sheet: one small picture for each series, its middle slice."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from dicomover.disk import replace_file
from dicomover.errors import ConfigurationError, SeriesError
from dicomover.images.series import describe_positions, parse_numbers
from dicomover.images.volume import decode_pixels, open_image, reading
from dicomover.text.traces import forgetting

__all__ = ["ContactSheet", "contact_sheet"]

_GREY, _CAPTION = 64, 14
_OUTLIERS = 0.5  # percent of the pixels at each end that a window without a file's own leaves out


@dataclass(frozen=True, slots=True, repr=False)
class ContactSheet:
    """A picture in PNG, which a notebook shows."""

    png: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, for its owner alone; a link of that name is replaced, and not followed."""
        with replace_file(Path(path)) as part:
            part.write_bytes(self.png)

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"ContactSheet({len(self.png)} bytes of PNG)"


@forgetting
def contact_sheet(images: pd.DataFrame, *, columns: int = 6, size: int = 160, labels: bool = True) -> ContactSheet:
    r"""Draw the middle slice of each series.

    Parameters
    ----------
    images
        Rows of `dicomover.index(folder)`.
    columns
        Pictures in a row.
    size
        Pixels of a picture's longer side.
    labels
        Write modality and number of images below each; nothing of a patient is ever written. What is burnt into the
        pixels is seen (`BurnedInAnnotation`).

    Returns
    -------
    ContactSheet
        Windowed as the file says, else from its darkest to its brightest. A series without pixels, or whose pixels
        cannot be decoded, is a grey field.

    Raises
    ------
    ConfigurationError
        If Pillow is not installed (`pip install 'dicomover[pictures]'`), or if these are no rows of images.

    Examples
    --------
    >>> from dicomover import index
    >>> from pydicom.data import get_testdata_file
    >>> import pathlib, shutil, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = shutil.copy(get_testdata_file("CT_small.dcm"), folder)
    >>> contact_sheet(index(folder)).png[:4]
    b'\x89PNG'
    """
    try:
        from PIL import Image, ImageDraw, ImageOps
    except ImportError:
        raise ConfigurationError("a contact sheet needs Pillow", "pip install 'dicomover[pictures]'") from None
    if not isinstance(images, pd.DataFrame) or "path" not in images:
        raise ConfigurationError("a contact sheet is drawn from a row for each image", "give dicomover.index(folder)")
    groups = [group for _, group in images.groupby("SeriesInstanceUID", sort=False)]
    across = max(1, min(columns, len(groups)))
    height = size + (_CAPTION if labels else 0)
    sheet = Image.new("RGB", (across * size, max(1, -(-len(groups) // across)) * height))
    draw = ImageDraw.Draw(sheet)
    for number, group in enumerate(groups):
        left, top = number % across * size, number // across * height
        try:
            with reading():
                picture = Image.fromarray(_draw_slice(str(group["path"].iloc[_middle(group)])))
                picture = ImageOps.contain(picture, (size, size))
            sheet.paste(picture, (left + (size - picture.width) // 2, top + (size - picture.height) // 2))
        except (OSError, SeriesError):
            draw.rectangle((left, top, left + size - 1, top + size - 1), fill=(_GREY,) * 3)
        if labels:
            modality = group["Modality"].iloc[0]
            caption = f"{'' if pd.isna(modality) else modality} {len(group)}".strip()
            draw.text((left + 3, top + size), caption.encode("ascii", "replace").decode(), fill=(200, 200, 200))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return ContactSheet(stream.getvalue())


def _middle(group: pd.DataFrame) -> int:
    """Return which row of a series is its middle slice: along the normal, else by number."""
    positions = np.array([parse_numbers(text, 3) for text in group["ImagePositionPatient"]])
    orientations = np.array([parse_numbers(text, 6) for text in group["ImageOrientationPatient"]])
    geometry = describe_positions(positions, orientations)
    if geometry.positions:
        return geometry.order[len(group) // 2]
    return int(group["InstanceNumber"].astype("float64").fillna(0).to_numpy().argsort(kind="stable")[len(group) // 2])


def _draw_slice(path: str) -> npt.NDArray[np.uint8]:
    dataset = open_image(path)
    pixels = decode_pixels(dataset)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        pixels = pixels[len(pixels) // 2]
    if int(dataset.get("SamplesPerPixel") or 1) > 1:
        return np.asarray(pixels[..., :3].astype(np.uint8))  # pydicom has made RGB of YBR
    grey = _window(pixels, dataset)
    low, high = float(grey.min()), float(grey.max())
    shade = (grey - low) * (255 / (high - low)) if high > low else np.zeros(grey.shape)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        shade = 255 - shade
    return np.asarray(shade.astype(np.uint8))


def _window(pixels: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[np.float64]:
    """Return grey values: within the file's window where it has one, else without the outermost."""
    values = apply_modality_lut(pixels, dataset)
    if "WindowCenter" in dataset and "WindowWidth" in dataset:
        try:
            return np.asarray(apply_voi_lut(values, dataset), dtype=np.float64)
        except (IndexError, TypeError, ValueError):
            pass  # a window that is none
    ends = np.percentile(values, (_OUTLIERS, 100 - _OUTLIERS))
    return np.asarray(values, dtype=np.float64).clip(*ends)
