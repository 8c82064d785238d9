r"""The headers of a folder's files as a table: one row for each image, or for each series."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from dicomover.attributes.attribute import NoKey, attribute_of
from dicomover.errors import ConfigurationError, NoSuchFileError
from dicomover.images.cache import read_cache, write_cache
from dicomover.images.readers import NO_DICOM, read_headers
from dicomover.images.series import series_table
from dicomover.query.answers import dtype_of

__all__ = ["USUAL", "index"]

USUAL = (
    "PatientID PatientName PatientBirthDate PatientSex PatientAge StudyInstanceUID StudyDate StudyTime AccessionNumber "
    "StudyID StudyDescription SeriesInstanceUID SeriesNumber SeriesDate SeriesTime SeriesDescription Modality "
    "BodyPartExamined Laterality ProtocolName PatientPosition FrameOfReferenceUID Manufacturer ManufacturerModelName "
    "SOPInstanceUID SOPClassUID InstanceNumber AcquisitionNumber AcquisitionDate AcquisitionTime ImageType "
    "ContrastBolusAgent ConvolutionKernel KVP RepetitionTime EchoTime MagneticFieldStrength SliceThickness "
    "SpacingBetweenSlices ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing SliceLocation "
    "SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated BitsStored "
    "PixelRepresentation WindowCenter WindowWidth RescaleIntercept RescaleSlope RescaleType Units BurnedInAnnotation"
)
"""The keywords of the table's columns, whatever else is kept."""

_OURS = ("path", "size", "TransferSyntaxUID", "error")
_LEFT_OUT = (".part", ".db", ".db-wal", ".db-shm", ".parquet")
_KEYS = ["path", "size", "changed"]


def index(
    folder: str | os.PathLike[str],
    *,
    level: Literal["IMAGE", "SERIES"] = "IMAGE",
    keep: Sequence[str] = (),
    cache: bool = True,
) -> pd.DataFrame:
    r"""Read the headers of all DICOM files in a folder and below it; never their pixels.

    Only what is new or has changed since is read, by as many processes as there are cores where that is worth it.

    Parameters
    ----------
    folder
        Where the files are. What is unfinished (`.part`) and what is no DICOM file is passed over.
    level
        `"IMAGE"` has one row for each file; `"SERIES"` one for each series, with what its images come to.
    keep
        More attributes, each a column: keywords, tags (`0019,100C:FD`), or paths through sequences
        (`ConceptNameCodeSequence.CodeMeaning`). Private ones and paths take longer: pydicom parses each file.
    cache
        Keep the table beside the files, as Parquet where pyarrow is installed, else in SQLite; for its owner alone,
        since it holds what the headers hold. A folder that cannot be written to is read each time.

    Returns
    -------
    DataFrame
        In the order of paths. `path`, `size` in bytes, `TransferSyntaxUID`, `error` (why a file could not be read,
        `<NA>` otherwise), then a column for each keyword of `USUAL` and each of `keep`, with the dtype of `mover.find`:
        `Int64`, `Float64` or `string`, dates and several values as text. For series see `series_table`.

    Raises
    ------
    ConfigurationError
        If `keep` names no attribute, or `level` is neither.
    NoSuchFileError
        If there is no such folder.

    Examples
    --------
    >>> import pathlib, shutil, tempfile
    >>> from pydicom.data import get_testdata_file
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = shutil.copy(get_testdata_file("CT_small.dcm"), folder)
    >>> index(folder, keep=["0019,1024:DS"])[["Modality", "Rows", "PixelSpacing", "0019,1024:DS"]]
      Modality  Rows       PixelSpacing 0019,1024:DS
    0       CT   128  0.661468\0.661468    17.784578
    """
    if level not in ("IMAGE", "SERIES"):
        raise ConfigurationError(f"level is {level!r}", "it is IMAGE or SERIES")
    root = Path(folder)
    if not root.is_dir():
        raise NoSuchFileError(folder)
    names = _names(keep)
    found = _list_files(os.fspath(root))
    before = read_cache(root, names) if cache else None
    table, fresh = _put_together(os.fspath(root), found, before, names)
    if cache and fresh:
        write_cache(root, table)
    table = table[table["error"].fillna(" ") != NO_DICOM].drop(columns="changed").reset_index(drop=True)
    table["path"] = [os.path.join(root, path) for path in table["path"]]  # noqa: PTH118 - many
    table = table.astype({"path": "string"})
    return table if level == "IMAGE" else series_table(table)


def _names(keep: Sequence[str]) -> list[str]:
    """Return the names of all columns that come of headers."""
    try:
        more = [attribute_of(name).name for name in ([keep] if isinstance(keep, str) else keep)]
    except NoKey as error:
        raise ConfigurationError(f"keep names what {error.why}", error.mend) from None
    return list(dict.fromkeys([*USUAL.split(), *more]))


def _list_files(root: str) -> pd.DataFrame:
    """Return path, size and time of change of each file that may be DICOM, in order."""
    rows = sorted(_walk(root))
    table = pd.DataFrame(rows, columns=_KEYS)
    return table.astype({"size": "int64", "changed": "int64"})


def _walk(root: str) -> Iterator[tuple[str, int, int]]:
    entered: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        seen = os.stat(folder)  # noqa: PTH116
        if (seen.st_dev, seen.st_ino) in entered:
            continue  # a link that leads back
        entered.add((seen.st_dev, seen.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                elif entry.is_file() and not entry.name.endswith(_LEFT_OUT) and not entry.name.startswith("."):
                    stat = entry.stat()
                    yield os.path.relpath(entry.path, root), stat.st_size, stat.st_mtime_ns


def _put_together(
    root: str, found: pd.DataFrame, before: pd.DataFrame | None, names: Sequence[str]
) -> tuple[pd.DataFrame, bool]:
    """Return what is known of each file, and whether that differs from what was known before."""
    columns = [*_OURS[:2], "changed", *_OURS[2:], *names]
    kept = found.iloc[:0]
    if before is not None:
        kept = found.merge(before, on=_KEYS, how="inner")
    new = found[~found["path"].isin(set(kept["path"]))] if len(kept) else found
    read = _read(root, new, names)
    table = pd.concat([kept, read], ignore_index=True) if len(kept) else read
    fresh = bool(len(new)) or before is None or len(before) != len(table)
    table = table.reindex(columns=columns).sort_values("path", kind="stable", ignore_index=True)
    # What is no DICOM file is remembered, so that it is not opened again, and never shown.
    return table, fresh


def _read(root: str, new: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    columns = read_headers(root, list(new["path"]), names)
    table = new.reset_index(drop=True)
    texts = dict(zip(["TransferSyntaxUID", "error", *names], columns, strict=True))
    made = {name: _convert(values, "string" if name in _OURS else dtype_of(name)) for name, values in texts.items()}
    return pd.concat([table, pd.DataFrame(made, index=table.index)], axis=1)


def _convert(texts: list[str | None], dtype: str) -> pd.Series[Any]:
    if dtype == "string":
        return pd.Series(texts, dtype="string")
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    if dtype == "Int64":
        numbers = numbers.where((numbers % 1 == 0) & (numbers.abs() < 2**53))
    return pd.Series(numbers.array, dtype=dtype)
