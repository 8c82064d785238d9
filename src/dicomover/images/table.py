r"""The headers of a folder's files as a table: one row for each image, or for each series."""

from __future__ import annotations

import contextlib
import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from dicomover.attributes.attribute import NoKey, attribute_of
from dicomover.disk import list_files
from dicomover.errors import ConfigurationError, NoSuchFileError
from dicomover.images.cache import read_cache, write_cache
from dicomover.images.frames import read_planes
from dicomover.images.readers import NO_DICOM, read_headers
from dicomover.images.series import series_table
from dicomover.query.answers import dtype_of
from dicomover.text.traces import forgetting

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

_OURS = ("path", "size", "TransferSyntaxUID", "error", "headers_only")
_LEFT_OUT = (".db", ".db-wal", ".db-shm", ".parquet")
_KEYS = ["path", "size", "changed"]
_AT_ONCE = 2_000  # rows
_PATHS = pd.StringDtype("python")  # where a name is not UTF-8, which PyArrow refuses


@forgetting
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
        Where the files are, or links to them. What is unfinished (`.part`) and what is no DICOM file is passed over.
    level
        `"IMAGE"` has one row for each file; `"SERIES"` one for each series, with what its images come to.
    keep
        More attributes, each a column: keywords, tags (`0019,100C:FD`), or paths through sequences
        (`ConceptNameCodeSequence.CodeMeaning`). Private ones and paths take longer: pydicom parses each file.
    cache
        Keep the table beside the files, as Parquet where pyarrow is installed, else in SQLite; for its owner alone,
        since it holds what the headers hold, names and numbers in plain text. What was kept is believed as far as the
        files are: whoever can write it can change those too. False reads anew and keeps nothing. A folder that cannot
        be written to is read each time.

    Returns
    -------
    DataFrame
        In the order of paths. `path`, `size` in bytes, `TransferSyntaxUID`, `error` (why a file could not be read,
        `<NA>` otherwise), `headers_only` (whether it was moved without its pixels), then a column for each keyword of
        `USUAL` and each of `keep`, with the dtype of `mover.find`: `Int64`, `Float64` or `string`, dates and several
        values as text. For series see `series_table`.

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
    before = read_cache(root, [*_OURS[2:], *names]) if cache else None
    table, fresh = _put_together(os.fspath(root), found, before, names)
    if cache and fresh:
        write_cache(root, table)  # what is no DICOM file too, so that it is not opened again
    del found, before, table["changed"]
    if not table["error"].isna().all():
        is_image = (table["error"].fillna(" ") != NO_DICOM).to_numpy(dtype=bool)
        table = table if is_image.all() else _select(table, is_image)
    above = os.path.join(root, "")  # noqa: PTH118 - with its separator
    table.insert(0, "path", _hold_paths(above + path for path in table.pop("path")))
    return table if level == "IMAGE" else series_table(table, read_planes)


def _select(table: pd.DataFrame, wanted: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return some rows, column by column, so that no two tables are in memory; it leaves nothing of the first."""
    rows = np.flatnonzero(wanted)
    nothing: dict[str, Any] = {}  # one for all columns that say nothing
    made = {}
    for name in list(table.columns):
        column = table.pop(name).array
        is_empty = column.isna().all()
        known = nothing.get(str(column.dtype)) if is_empty else None
        made[name] = column.take(rows) if known is None else known
        if is_empty:
            nothing[str(column.dtype)] = made[name]
    return pd.DataFrame(made, copy=False)


def _names(keep: Sequence[str]) -> list[str]:
    """Return the names of all columns that come of headers."""
    try:
        more = [attribute_of(name).name for name in ([keep] if isinstance(keep, str) else keep)]
    except NoKey as error:
        raise ConfigurationError(f"keep names what {error.why}", error.mend) from None
    return list(dict.fromkeys([*USUAL.split(), *more]))


def _list_files(root: str) -> pd.DataFrame:
    """Return path, size and time of change of each file that may be DICOM."""
    sizes, changed = array("q"), array("q")  # of a million files no numbers that are objects

    def look() -> Iterator[str]:
        above = len(os.path.join(root, ""))  # noqa: PTH118 - with its separator
        for entry in list_files(root):
            if not entry.name.startswith(".") and not entry.name.endswith(_LEFT_OUT):
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    stat = entry.stat()
                    sizes.append(stat.st_size)
                    changed.append(stat.st_mtime_ns)
                    yield entry.path[above:]

    found = pd.DataFrame({"path": _hold_paths(look())})
    found["size"], found["changed"] = np.array(sizes), np.array(changed)
    return found.sort_values("path", kind="stable", ignore_index=True)


def _hold_paths(paths: Iterable[str]) -> pd.Series[str]:
    """Return paths in little memory: as texts, or as objects where a name is none."""
    left, parts = iter(paths), []
    while part := list(itertools.islice(left, _AT_ONCE)):
        try:
            parts.append(pd.Series(_convert_texts(part)))
        except UnicodeEncodeError:
            parts.append(pd.Series(part, dtype=_PATHS))
    if len({part.dtype for part in parts}) > 1:
        parts = [part.astype(_PATHS) for part in parts]
    return pd.concat(parts, ignore_index=True) if parts else pd.Series([], dtype="string")


def _put_together(
    root: str, found: pd.DataFrame, before: pd.DataFrame | None, names: Sequence[str]
) -> tuple[pd.DataFrame, bool]:
    """Return what is known of each file, and whether that differs from what was known before."""
    if before is None:
        return _read(root, found, names), True
    before = before.astype({"path": found["path"].dtype})
    places = _find_known(found, before)
    if len(before) == len(found) and (places == np.arange(len(found))).all():
        return before[[*_KEYS, *_OURS[2:], *names]], False
    read = _read(root, found[places < 0], names)
    kept = before.iloc[places[places >= 0]]
    table = pd.concat([kept, read], ignore_index=True)[list(read.columns)] if len(kept) else read
    return table.sort_values("path", kind="stable", ignore_index=True), bool(len(read)) or len(before) != len(found)


def _find_known(found: pd.DataFrame, before: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Return in which row each file is known as it is now, -1 if in none.

    One that could not be read may be readable today, though nothing of it has changed.
    """
    good = (before["error"].fillna(NO_DICOM) == NO_DICOM).to_numpy()
    if len(found) == len(before) and all((found[key].array == before[key].array).all() for key in _KEYS):
        return np.where(good, np.arange(len(found)), -1)  # as nearly always
    rows = np.flatnonzero(good)
    named = pd.Index(before["path"].array[rows])
    if not len(named) or not named.is_unique:  # somebody else has written it
        return np.full(len(found), -1)
    at = named.get_indexer(pd.Index(found["path"].array))
    places = np.where(at >= 0, rows[at], -1)
    for key in _KEYS[1:]:
        was, now = before[key].to_numpy(), found[key].to_numpy()
        places[(places >= 0) & (was[places] != now)] = -1
    return places


def _read(root: str, new: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Read what is not known; by parts, so that of a million files no more than the columns is ever in memory."""
    dtypes = dict.fromkeys(_OURS[2:4], "string") | {"headers_only": "boolean"}
    dtypes |= {name: dtype_of(name) for name in names}
    nothing: dict[str, Any] = {
        dtype: _convert([None], dtype).take(np.zeros(len(new), dtype=np.intp)) for dtype in set(dtypes.values())
    }
    made = {name: nothing[dtype] for name, dtype in dtypes.items()}  # one for all: most keywords are in no file
    pieces: dict[str, list[Any]] = {}
    at = 0
    for columns in _gather(read_headers(root, new["path"].array, names)):
        end = at + len(columns[0])
        for (name, dtype), texts in zip(dtypes.items(), columns, strict=True):
            if name not in pieces and not any(text is not None for text in texts):
                continue
            if dtype == "string":
                before = pieces.setdefault(name, [nothing[dtype][:at]])
                before.append(_convert(texts, dtype))
                continue
            if made[name] is nothing[dtype]:
                made[name] = nothing[dtype].copy()
            made[name][at:end] = _convert(texts, dtype)  # in place: small arrays would leave holes in memory
        at = end
    for name in list(pieces):
        made[name] = pd.concat([pd.Series(part, copy=False) for part in pieces.pop(name)], ignore_index=True).array
    return pd.DataFrame({**{key: new[key].array for key in _KEYS}, **made}, copy=False)


def _gather(parts: Iterable[list[list[str | None]]]) -> Iterator[list[list[str | None]]]:
    """Join parts to larger ones, each of which is worth the making of its arrays."""
    gathered: list[list[str | None]] = []
    for columns in parts:
        gathered = [[*column, *more] for column, more in zip(gathered, columns, strict=True)] if gathered else columns
        if len(gathered[0]) >= _AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _convert_texts(texts: Sequence[str | None]) -> Any:
    if pd.StringDtype().storage != "pyarrow":
        return pd.array(texts, dtype="string")
    import pyarrow as pa

    # PyArrow's own memory would keep up to half of what it had taken while these grew.
    values = pa.array(texts, pa.large_string(), memory_pool=pa.system_memory_pool())
    return pd.array(values, dtype="string")


def _convert(texts: list[str | None], dtype: str) -> Any:
    if dtype == "string":
        last = None
        for place, text in enumerate(texts):  # a text that stands in row after row is kept once
            if text == last:
                texts[place] = last
            else:
                last = text
        return _convert_texts(texts)
    if dtype == "boolean":
        return pd.array([text is not None for text in texts], dtype="boolean")
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").astype("float64")
    numbers = numbers.where(np.isfinite(numbers))
    if dtype == "Int64":
        numbers = numbers.where((numbers % 1 == 0) & (numbers.abs() < 2**53))
    return pd.array(numbers.array, dtype=dtype)  # type: ignore[call-overload]
