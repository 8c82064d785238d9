"""Where the frames of one file lie: what an Enhanced object's functional groups say (PS3.3 section C.7.6.16)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread

from dicomover.disk import open_file
from dicomover.images.beginnings import Beginning, inflate_file
from dicomover.text.hush import hush_pydicom

__all__ = ["Planes", "gather_groups", "place_of", "read_planes"]

_MOST = 1 << 28  # bytes of a head
_PLACES = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")


class Planes(NamedTuple):
    """Where n slices lie; NaN where that is not said."""

    positions: npt.NDArray[np.float64]  # (n, 3): Image Position (Patient), in mm
    orientations: npt.NDArray[np.float64]  # (n, 6): Image Orientation (Patient)
    spacings: npt.NDArray[np.float64]  # (n, 2): mm between rows, and between columns


def gather_groups(dataset: Dataset, frames: int) -> list[tuple[Dataset, Dataset]] | None:
    """Return the functional groups of each frame, and those that all share; None if not each frame has its own."""
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return [(own, shared) for own in groups] if len(groups) == frames else None


def place_of(own: Dataset, shared: Dataset) -> Dataset:
    """Return where a frame lies, as one data set."""
    where = Dataset()
    for name in _PLACES:
        where.update((own.get(name) or shared.get(name) or [Dataset()])[0])
    return where


def read_planes(path: str) -> Planes | None:
    """Read where the frames of a file lie; None if it does not say it before its pixels, or cannot be read."""
    try:
        file = open_file(path)
        if file is None:
            return None
        with file, hush_pydicom():
            dataset = dcmread(Beginning(inflate_file(file, _MOST), _MOST), stop_before_pixels=True)
            groups = gather_groups(dataset, int(dataset.get("NumberOfFrames") or 1))
            if groups is None:
                return None
            places = [place_of(*each) for each in groups]
            named = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
            return Planes(*(np.array([_numbers(place.get(name), count) for place in places]) for name, count in named))
    except Exception:  # noqa: BLE001 - a broken file may raise anything, and costs what is said of its frames
        return None


def _numbers(values: Any, count: int) -> list[float]:
    return [float(value) for value in values] if values and len(values) == count else [np.nan] * count
