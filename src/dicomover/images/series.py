"""What the images of a series come to: its slices, their spacing, and whether they make a regular volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dicomover.images.frames import Planes

__all__ = ["ALIKE", "Geometry", "describe_positions", "parse_numbers", "series_table", "tell_mixture", "tell_twins"]

_TOLERANCE = 0.01  # of the spacing between slices, and in cosines
_ROUNDED, _SHARE = 0.06, 0.1  # mm, and of the spacing: by as much positions are rounded when they are written
_SAME = 0.001  # mm
_CONSTANT = (
    "PatientID StudyInstanceUID StudyDate AccessionNumber StudyDescription SeriesInstanceUID SeriesNumber Modality "
    "SeriesDescription BodyPartExamined FrameOfReferenceUID SOPClassUID TransferSyntaxUID Rows Columns "
    "PixelSpacing SliceThickness WindowCenter WindowWidth RescaleType Units"
)
ALIKE = {
    "PatientID": "of several patients",
    "StudyInstanceUID": "of several studies",
    "FrameOfReferenceUID": "in several frames of reference, so where they lie cannot be compared",
    "RescaleType": "in several units (RescaleType)",
    "Units": "in several units (Units)",
    "PhotometricInterpretation": "in several photometric interpretations",
}
"""What the images of a volume say alike, where they say it, and what they are if they do not."""

_Vectors = npt.NDArray[np.float64]


class Geometry(NamedTuple):
    """Where the slices of a series lie.

    Attributes
    ----------
    orientation
        `axial`, `coronal`, `sagittal` or `oblique`, by the normal of the slices; empty if they differ or do not say.
    positions
        How many places along the normal have a slice.
    spacing
        The distance between neighbours in mm, the median where it is uneven; NaN with fewer than two positions.
    gaps
        How many slices are missing between the first and the last.
    duplicates
        How many slices lie where another does.
    irregular
        Why the slices make no volume; empty if they do.
    order
        The slices, from the first along the normal to the last: their numbers as they came.
    """

    orientation: str
    positions: int
    spacing: float
    gaps: int
    duplicates: int
    irregular: str
    order: list[int]


def parse_numbers(text: object, count: int) -> list[float]:
    """Return the numbers of a value that has several, NaN for each if there are not as many."""
    try:
        found = [float(part) for part in str(text).split("\\")]
    except ValueError:
        found = []
    return found if len(found) == count else [float("nan")] * count


def describe_positions(
    positions: _Vectors,  # (n, 3): Image Position (Patient) of each, in mm (PS3.3 section C.7.6.2.1.1)
    orientations: _Vectors,  # (n, 6): Image Orientation (Patient), the direction of its rows, and of its columns
) -> Geometry:
    """Tell where slices lie.

    Examples
    --------
    >>> positions = np.array([[0.0, 0, 0], [0, 0, 5], [0, 0, 15]])
    >>> found = describe_positions(positions, np.array([[1.0, 0, 0, 0, 1, 0]] * 3))
    >>> found.orientation, found.positions, found.gaps, found.irregular
    ('axial', 3, 0, 'the distances between slices are 5 to 10 mm')
    """
    nothing = list(range(len(positions)))
    if not len(positions) or not (np.isfinite(positions).all() and np.isfinite(orientations).all()):
        return Geometry("", 0, float("nan"), 0, 0, "its images do not say where they lie", nothing)
    if np.abs(orientations - orientations[0]).max() > _TOLERANCE:
        return Geometry("", 0, float("nan"), 0, 0, "its images have several orientations", nothing)
    normal = np.cross(orientations[0, :3], orientations[0, 3:])
    if abs(np.linalg.norm(normal) - 1) > _TOLERANCE:
        return Geometry("", 0, float("nan"), 0, 0, "its images do not say how they are turned", nothing)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    clear = steps[steps > _SAME]
    apart = steps > max(_TOLERANCE * float(np.median(clear)) if len(clear) else 0.0, _SAME)
    distances = np.diff(along[order][np.concatenate([[True], apart])])  # of the first at each position
    spacing, missing, is_even = _fit(distances)
    gaps = int(missing.sum()) if is_even else 0
    duplicates = int((~apart).sum())
    irregular = _irregularity(positions[order], normal, apart, spacing, gaps)
    if not irregular and not is_even:
        irregular = f"the distances between slices are {distances.min():.4g} to {distances.max():.4g} mm"
    name, numbers = _name_orientation(normal), [int(number) for number in order]
    return Geometry(name, int(apart.sum()) + 1, spacing, gaps, duplicates, irregular, numbers)


def _fit(distances: _Vectors) -> tuple[float, _Vectors, bool]:
    """Return the spacing of the grid on which slices lie, how many are missing before each, and whether there is one.

    Positions are rounded when they are written, so the whole length tells the spacing, and no single step. Where a
    longer step follows another it is no loss: the upper part of a head is often taken in thicker slices.
    """
    if not len(distances):
        return float("nan"), distances, True
    typical = float(np.median(distances))
    counts = np.rint(distances / typical).clip(min=1)
    spacing = float(distances.sum() / counts.sum())
    error = np.abs(np.cumsum(distances) - spacing * np.cumsum(counts)).max()
    long = counts > 1
    is_planned = bool((long[:-2] & long[1:-1] & long[2:]).any())
    is_even = not is_planned and error <= max(_TOLERANCE * spacing, min(_ROUNDED, _SHARE * spacing))
    return (spacing if is_even else typical), counts - 1, is_even


def _irregularity(
    positions: _Vectors, normal: _Vectors, apart: npt.NDArray[np.bool_], spacing: float, gaps: int
) -> str:
    """Say why slices on a grid make no volume; `apart` tells of each but the first whether it lies beyond the last."""
    if not apart.all():
        several = np.diff(np.flatnonzero(np.concatenate([[True], apart, [True]])))
        what = f"{int((~apart).sum())} of its images lie where another does"
        alike = f": {several[0]} at each position, as with echoes or phases"
        return what + (alike if len(several) > 1 and (several == several[0]).all() else "")
    if not len(apart):
        return "it has one position"
    if gaps:
        return f"{gaps} of its slices are missing between the first and the last"
    aside = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    if np.abs(aside).max() > max(_TOLERANCE * spacing, _ROUNDED):
        return "its slices are shifted against each other, as with a tilted gantry"
    return ""


def _name_orientation(normal: _Vectors) -> str:
    axis = int(np.abs(normal).argmax())
    return ("sagittal", "coronal", "axial")[axis] if abs(normal[axis]) > 0.9 else "oblique"


def series_table(images: pd.DataFrame, read_planes: Callable[[str], Planes | None] = lambda _: None) -> pd.DataFrame:
    """Make one row of each series.

    Parameters
    ----------
    images
        What `index` returns of a folder.
    read_planes
        Reads where the frames of a file with several lie; None if it does not say it.

    Returns
    -------
    DataFrame
        What its images say alike (`<NA>` where they differ); `files`, `bytes`, and `slices`: images, and frames of
        those that have several; `orientation`, `positions`, `spacing` (mm), `gaps` and `duplicates` as in `Geometry`;
        `is_volume`, and `irregular`, which says why it is none. Of several frames in a file it is said where each
        lies by their functional groups (Enhanced objects); without those it is not known, and `<NA>`.
    """
    found = images[images["SeriesInstanceUID"].notna()]
    rows = [_row_of(group, read_planes) for _, group in found.groupby("SeriesInstanceUID", sort=False)]
    dtypes: dict[str, Any] = {name: images[name].dtype for name in _CONSTANT.split()}
    dtypes |= dict.fromkeys(("files", "bytes", "slices", "positions", "gaps", "duplicates"), "Int64")
    dtypes |= {"orientation": "string", "spacing": "Float64", "is_volume": "boolean", "irregular": "string"}
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)


def _row_of(group: pd.DataFrame, read_planes: Callable[[str], Planes | None]) -> dict[str, Any]:
    constant = {name: _common(group[name]) for name in _CONSTANT.split()}
    frames = group["NumberOfFrames"].fillna(1)
    counts = {"files": len(group), "bytes": int(group["size"].sum()), "slices": int(frames.sum())}
    if lacking := int(group["headers_only"].sum()) if "headers_only" in group else 0:
        return {**constant, **counts, "is_volume": False, "irregular": f"{lacking} of its files are headers only"}
    if (frames > 1).any():
        planes = [read_planes(path) for path in group["path"]]
        known = [each for each in planes if each is not None]
        if len(known) < len(planes):
            return {**constant, **counts, "is_volume": pd.NA, "irregular": "its slices are frames of one file"}
        positions, orientations, spacings = (np.concatenate(each) for each in zip(*known, strict=True))
        if np.isfinite(spacings).all() and not np.ptp(spacings, axis=0).any():
            constant["PixelSpacing"] = "\\".join(f"{step:.12g}" for step in spacings[0])
    else:
        positions = np.array([parse_numbers(text, 3) for text in group["ImagePositionPatient"]])
        orientations = np.array([parse_numbers(text, 6) for text in group["ImageOrientationPatient"]])
    geometry = describe_positions(positions, orientations)
    irregular = tell_mixture({name: group[name].dropna() for name in ALIKE}) or geometry.irregular
    for name in ("Rows", "Columns", "PixelSpacing"):
        if not irregular and group[name].nunique(dropna=False) > 1:
            irregular = f"its images differ in {name}"
    irregular = irregular or tell_twins(group["SOPInstanceUID"])
    return {
        **constant,
        **counts,
        "orientation": geometry.orientation or pd.NA,
        "positions": geometry.positions or pd.NA,
        "spacing": pd.NA if np.isnan(geometry.spacing) else geometry.spacing,
        "gaps": geometry.gaps if geometry.positions else pd.NA,
        "duplicates": geometry.duplicates if geometry.positions else pd.NA,
        "is_volume": not irregular,
        "irregular": irregular or pd.NA,
    }


def tell_mixture(values: Mapping[str, Iterable[object]]) -> str:
    """Say of images under one Series Instance UID that they are of several patients, say, if they are."""
    found = (ALIKE[name] for name, said in values.items() if len({*map(str, said)}) > 1)
    return next((f"its images are {what}" for what in found), "")


def tell_twins(uids: Iterable[object]) -> str:
    """Say of images that they have the same UIDs, if some have: what several places call the same is one image."""
    uids = list(uids)
    return "several of its images have one SOP Instance UID" if len({*map(str, uids)}) < len(uids) else ""


def _common(values: pd.Series[Any]) -> Any:
    unlike = values.dropna().unique()
    return unlike[0] if len(unlike) == 1 else pd.NA
