"""A series as an array: its slices in order, in the units that the file names, with where it lies in the patient."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import UID

from dicomover.dicomfile import HEADERS_ONLY, HeadError
from dicomover.disk import open_file
from dicomover.errors import SeriesError
from dicomover.images.beginnings import Beginning, inflate_file
from dicomover.images.claims import claimed_samples
from dicomover.images.frames import gather_groups, place_of
from dicomover.images.series import ALIKE, Geometry, describe_positions, tell_mixture, tell_twins
from dicomover.text.hush import hush_pydicom
from dicomover.text.sentences import count_of
from dicomover.text.traces import forgetting

__all__ = ["Volume", "decode_pixels", "list_paths", "naming_by_number", "open_image", "reading", "volume"]

_MOST = 1 << 30  # bytes that one file may inflate to, as much as our receiver takes
_LARGEST = 1e38  # that a float32 holds
_WHOLE = (np.uint8, np.int16, np.uint16, np.int32, np.int64)
_SMALL = 1 << 22  # samples of a frame, which take no memory
_LITTLE = 1 << 26  # bytes that are free, or nothing is
_PIXELS = "install what decodes it: pip install 'dicomover[pixels]'"
_ANEW = "they may be damaged, or as no decoder here knows them; fetch the series again with accept='uncompressed'"


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A regular series of slices.

    Attributes
    ----------
    array : ndarray of shape (slices, rows, columns), or (slices, rows, columns, 3) in colour
        The rescaled values: Hounsfield units of CT, the units that the series names. Integers where slope and
        intercept are whole, else float32.
    spacing
        mm between slices, rows and columns, as the array's axes are.
    origin
        x, y, z in mm of the centre of the first voxel, in the patient's system: to the left, to the back, to the head
        (PS3.3 section C.7.6.2.1.1).
    direction : ndarray of shape (3, 3)
        Column i is the direction in which the array's axis i goes.
    """

    array: npt.NDArray[Any]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: npt.NDArray[np.float64]

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """The matrix (4, 4) that takes (slice, row, column, 1) to (x, y, z, 1) in mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * self.spacing
        matrix[:3, 3] = self.origin
        return matrix

    def __repr__(self) -> str:
        spacing = " x ".join(f"{step:.4g}" for step in self.spacing)
        return f"Volume({' x '.join(map(str, self.array.shape))} of {self.array.dtype}, {spacing} mm)"


@dataclass(slots=True)
class _Slices:
    """What the files of a series hold, a slice each: pixels, where it lies, and what makes values of its numbers."""

    pixels: list[npt.NDArray[Any]]
    positions: list[list[float]]
    orientations: list[list[float]]
    spacings: list[list[float]]


@forgetting
def volume(series: pd.DataFrame | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Volume:
    """Read a series as one array.

    Parameters
    ----------
    series
        Its images: rows of `dicomover.index(folder)`, a folder with nothing else in it, or paths; or one file of an
        Enhanced object.

    Returns
    -------
    Volume
        The slices along their normal, which makes the system of its axes right-handed.

    Raises
    ------
    SeriesError
        If the images make no regular volume: several series, sizes or orientations, slices that are missing, lie twice
        or at uneven distances; or if pixels cannot be decoded. It says which.
    OSError
        If a file cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from dicomover.testing import made_study
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for instance in made_study("00123", instances=4).instances():
    ...     _ = (folder / f"{instance.number}.dcm").write_bytes(instance.file_bytes())
    >>> volume(folder)
    Volume(4 x 32 x 32 of int32, 2.5 x 5 x 5 mm)
    """
    with reading():
        return _stack(_open_each(list_paths(series)))


def _open_each(paths: list[str]) -> Iterator[Dataset]:
    for number, path in enumerate(paths, 1):
        with naming_by_number(number, len(paths)):
            dataset = open_image(path)
        yield dataset


@contextlib.contextmanager
def naming_by_number(number: int, count: int) -> Iterator[None]:
    """Let an OSError name a file by its place in the series: its path may name a patient."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, f"file {number} of {count}: {error.strerror}") from None


def _stack(datasets: Iterable[Dataset]) -> Volume:
    uids: set[str] = set()
    said: dict[str, set[str]] = {name: set() for name in ALIKE}
    instances: list[str] = []
    slices = _Slices([], [], [], [])
    for dataset in datasets:  # one at a time: of each no more is kept than its pixels
        uids.add(str(dataset.get("SeriesInstanceUID", "")))
        instances.append(str(dataset.get("SOPInstanceUID", "")))
        for name, values in said.items():
            values.update(filter(None, [str(dataset.get(name) or "")]))
        if len(uids) == 1:
            _add(slices, dataset)
    if len(uids) != 1:
        raise SeriesError(f"there are {count_of(len(uids), 'series', 'series')}", "give the images of one")
    if mixture := tell_mixture(said):
        raise SeriesError(f"the series is no regular volume: {mixture}", "give the images of one of them")
    geometry = describe_positions(np.array(slices.positions), np.array(slices.orientations))
    _refuse_irregular(geometry, slices, instances)
    order = geometry.order
    array = np.empty((len(order), *slices.pixels[0].shape), np.result_type(*{pixels.dtype for pixels in slices.pixels}))
    for place, number in enumerate(order):
        array[place] = slices.pixels[number]
        slices.pixels[number] = array[place]  # so that no slice is in memory twice for long
    across, down = np.array(slices.orientations[0][:3]), np.array(slices.orientations[0][3:])
    between_rows, between_columns = slices.spacings[0]
    return Volume(
        array,
        (geometry.spacing, between_rows, between_columns),
        tuple(slices.positions[order[0]]),  # type: ignore[arg-type]
        np.stack([np.cross(across, down), down, across], axis=1),
    )


def list_paths(series: pd.DataFrame | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the paths of what somebody calls a series."""
    if isinstance(series, pd.DataFrame):
        if "path" not in series:
            raise SeriesError("the table has no column `path`", "give rows of dicomover.index(folder)")
        return [str(path) for path in series["path"]]
    if isinstance(series, (str, os.PathLike)):
        path = Path(series)
        if path.is_file():
            return [os.fspath(path)]
        return [os.fspath(found) for found in sorted(path.iterdir()) if found.is_file() and found.name[0] != "."]
    return [os.fspath(path) for path in series]


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read files that may be broken in any way: what pydicom says of them, which quotes values, goes no further.

    Whatever else comes out of them is a SeriesError.
    """
    try:
        with hush_pydicom(), np.errstate(all="ignore"):
            yield
    except (SeriesError, OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - and its text may be a value
        raise SeriesError(f"an image of it is damaged, {type(error).__name__}", "fetch the series again") from None


def open_image(path: str) -> Dataset:
    """Read a file, pixels and all."""
    file = open_file(path)
    if file is None:
        raise SeriesError("a file of it is no file any more", "give rows of dicomover.index(folder)")
    with file:
        try:
            return dcmread(Beginning(inflate_file(file, _MOST), sys.maxsize))
        except HeadError:
            raise SeriesError(f"a file of it inflates to {_MOST >> 20:,} MiB or more", "leave it out") from None
        except InvalidDicomError:
            raise SeriesError("a file of it is no DICOM file", "give rows of dicomover.index(folder)") from None


def decode_pixels(dataset: Dataset) -> npt.NDArray[Any]:
    """Decode the pixels of a data set.

    Raises SeriesError if there are none, or nothing that is installed decodes them.
    """
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        if dataset.file_meta.get("PrivateInformation") == HEADERS_ONLY:
            raise SeriesError("a file is headers only: it was moved without its pixels", "move it without headers_only")
        raise SeriesError("a file has no pixels", "leave it out")
    _refuse_too_large(dataset)
    try:
        return dataset.pixel_array
    except (RuntimeError, NotImplementedError):
        syntax = dataset.file_meta.get("TransferSyntaxUID", "")
        mend = _PIXELS if _lacks_decoder(syntax) else _ANEW
        name = getattr(syntax, "name", syntax)  # itself, where pydicom knows none
        name = name if name != syntax else "a transfer syntax that nobody knows"
        raise SeriesError(f"pixels in {name} cannot be decoded", mend) from None
    except Exception as error:  # noqa: BLE001 - whatever is broken in a file comes out of a decoder as anything
        raise SeriesError(f"pixels cannot be decoded: {type(error).__name__}", "fetch the series again") from None


def _refuse_claims(dataset: Dataset) -> None:
    """Raise SeriesError if a compressed frame says that it is far larger than the file does: a decoder believes it."""
    largest, most = 0, max(4 * _product(dataset, "Rows", "Columns", "SamplesPerPixel"), _SMALL)
    offsets = [dataset.get(name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    with contextlib.suppress(ValueError, IndexError, EOFError, struct.error):  # a decoder will say so
        for frame in generate_frames(
            dataset.PixelData,
            number_of_frames=_product(dataset, "NumberOfFrames"),
            extended_offsets=(offsets[0], offsets[1]) if all(offsets) else None,
        ):
            largest = max(largest, claimed_samples(frame))
    if largest > most:
        raise SeriesError("a frame of it says that it is far larger than its file does", "leave it out")


def _product(dataset: Dataset, *names: str) -> int:
    return math.prod(int(dataset.get(name) or 1) for name in names)


def _lacks_decoder(syntax: str) -> bool:
    """Tell whether one of our extra's decoders is made for a transfer syntax, and not installed."""
    try:
        return any("pylibjpeg" in lacking for lacking in get_decoder(syntax).missing_dependencies)
    except (NotImplementedError, ValueError):
        return False


def _refuse_too_large(dataset: Dataset) -> None:
    """Raise SeriesError if the pixels of a file, decoded and as values, do not fit into the memory that is free."""
    frames = _product(dataset, "NumberOfFrames")
    syntax, is_packed = dataset.file_meta.get("TransferSyntaxUID", ""), False
    with contextlib.suppress(ValueError):  # of a UID that is none of those
        is_packed = "PixelData" in dataset and UID(syntax).is_encapsulated
    if frames == 1 and not is_packed:
        return  # they are in memory already
    wanted = 2 * frames * _product(dataset, "Rows", "Columns", "SamplesPerPixel", "BitsAllocated") // 8
    free = _free_memory() if frames > 1 or wanted > _LITTLE else None
    if free is not None and wanted > free:
        pixels = count_of(frames, "frame takes", "frames take")
        said = f"its {pixels} {wanted / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free"
        raise SeriesError(said, "read them one by one with pydicom.pixels.iter_pixels, or on another machine")
    if is_packed:
        _refuse_claims(dataset)


def _free_memory() -> int | None:
    """Return how many bytes of memory can be had; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return 1024 * int(Path("/proc/meminfo").read_text("ascii").partition("MemAvailable:")[2].split()[0])
    return None


def _add(slices: _Slices, dataset: Dataset) -> None:
    """Take the slices of a file."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    pixels = decode_pixels(dataset)
    if frames == 1 and "PerFrameFunctionalGroupsSequence" not in dataset:
        _add_slice(slices, pixels, dataset, dataset, dataset)
        return
    groups = gather_groups(dataset, frames)
    if groups is None:
        raise SeriesError("its frames do not say where they lie", "read them with pydicom, they are no slices")
    for frame, (own, shared) in zip(pixels if frames > 1 else pixels[None], groups, strict=True):
        name = "PixelValueTransformationSequence"
        _add_slice(slices, frame, place_of(own, shared), (own.get(name) or shared.get(name) or [dataset])[0], dataset)


def _add_slice(slices: _Slices, pixels: npt.NDArray[Any], where: Dataset, scale: Dataset, image: Dataset) -> None:
    slices.pixels.append(_rescale(pixels, scale, image))
    for name, count, kept in (
        ("ImagePositionPatient", 3, slices.positions),
        ("ImageOrientationPatient", 6, slices.orientations),
        ("PixelSpacing", 2, slices.spacings),
    ):
        values = where.get(name)
        kept.append([float(value) for value in values] if values and len(values) == count else [np.nan] * count)


def _rescale(pixels: npt.NDArray[Any], scale: Dataset, image: Dataset) -> npt.NDArray[Any]:
    """Return what stored values mean (PS3.3 section C.11.1): whole numbers in the smallest type that holds them all."""
    if "ModalityLUTSequence" in scale:
        return np.asarray(apply_modality_lut(pixels, scale))
    slope, intercept = float(scale.get("RescaleSlope") or 1), float(scale.get("RescaleIntercept") or 0)
    bits, signed = int(image.get("BitsStored") or 16), int(image.get("PixelRepresentation") or 0)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    if not all(abs(end) <= _LARGEST for end in ends):
        said = f"its RescaleSlope {slope:g} and RescaleIntercept {intercept:g} make no numbers of its pixels"
        raise SeriesError(said, "read the stored values with pydicom, and ask who made it what they mean")
    dtype = next((kind for kind in _WHOLE if np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max), None)
    if dtype is None or pixels.dtype.kind == "f" or slope % 1 or intercept % 1:
        return (pixels * np.float32(slope) + np.float32(intercept)).astype(np.float32)
    return (
        (pixels.astype(np.int64) * int(slope) + int(intercept)).astype(dtype)
        if slope != 1 or intercept
        else (pixels.astype(dtype, copy=False))
    )


def _refuse_irregular(geometry: Geometry, slices: _Slices, instances: list[str]) -> None:
    why = geometry.irregular
    if not why and len({pixels.shape for pixels in slices.pixels}) > 1:
        why = "its images differ in size"
    if not why and np.ptp(np.array(slices.spacings), axis=0).max() > 1e-3:
        why = "its images differ in PixelSpacing"
    if not why and not np.isfinite(slices.spacings).all():
        why = "its images do not say how far apart their pixels are"
    why = why or tell_twins(instances)
    if why:
        raise SeriesError(f"the series is no regular volume: {why}", "see dicomover.index(folder, level='SERIES')")
