"""A series as NIfTI files, made by dcm2niix: it knows what the makers of scanners write where."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from pydicom.uid import UID

from dicomover.dicomfile import HeadError
from dicomover.errors import ConfigurationError, SeriesError
from dicomover.images.headers import Wanted, read_header
from dicomover.images.series import ALIKE, tell_mixture
from dicomover.images.volume import list_paths, naming_by_number

__all__ = ["to_nifti"]

_CODES = {
    1: "it failed and does not say why",
    2: "it finds no image that it can convert",
    4: "a file is damaged",
    5: "it cannot read what it was given",
    6: "it cannot write there",
    7: "it cannot write there",
    8: "it converted some of it, and not all",
    10: "a volume lacks slices",
}
_HEADER = 348  # bytes of a NIfTI-1 file before its voxels
_MADE_OF = re.compile(r"(.+?)(_Eq|_Tilt)+(_\d+)?\.nii\.gz")
_ALIKE = tuple(name for name in ALIKE if name != "PhotometricInterpretation")  # of colours it makes files of their own
_MEND = "see dicomover.index(folder, level='SERIES') for what it lacks, and fetch it again"


def to_nifti(
    series: pd.DataFrame | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    name: str = "%j",
    timeout: float = 600.0,
) -> list[Path]:
    r"""Convert a series to compressed NIfTI, each file with a JSON beside it (BIDS), by dcm2niix.

    Parameters
    ----------
    series
        Its images, as for `dicomover.volume`; those of several are several files.
    folder
        Where the files go. It is made if it is not there; files of the same names are replaced, once all are whole.
    name
        The files' name, in dcm2niix's terms (its `-f`): the Series Instance UID (`%j`). `%s` is the series' number and
        `%p` its protocol; `%i`, `%n` and `%g` name the patient. dcm2niix adds a suffix where it makes several volumes.
    timeout
        Seconds after which it is ended.

    Returns
    -------
    list of Path
        The `.nii.gz` files; neither they nor the JSON name the patient. They are for their owner alone.

    Raises
    ------
    ConfigurationError
        If dcm2niix is not installed (`pip install 'dicomover[nifti]'`), or `name` names a folder.
    SeriesError
        If a series has images of several patients, studies, frames of reference or units, which dcm2niix would make one
        of, or it does not convert all of it; the message tells its exit code. Nothing is written then.
    OSError
        If a file is gone, or the folder cannot be written to.

    Examples
    --------
    >>> from dicomover import index
    >>> to_nifti(index("cohort/"), "nifti/")  # doctest: +SKIP
    [PosixPath('nifti/2.25.7.nii.gz'), PosixPath('nifti/2.25.8.nii.gz')]
    """
    try:
        from dcm2niix import bin as program
    except ImportError:
        raise ConfigurationError("to_nifti needs dcm2niix", "pip install 'dicomover[nifti]'") from None
    if set(name) & {"/", "\\"} or not name:
        raise ConfigurationError(f"name={name!r} names no file", "name the folder with folder=")
    paths = [Path(path).absolute() for path in list_paths(series)]
    slices = _check_series(paths)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".dicomover-nifti-", dir=target) as work:
        given, made = Path(work, "given"), Path(work, "made")
        given.mkdir()
        made.mkdir()
        for number, path in enumerate(paths):
            path.stat()  # a link leads anywhere
            _lend(path, given / f"{number:06d}.dcm")
        _run([program, *_OPTIONS, "-f", name, "-o", os.fspath(made), os.fspath(given)], timeout)
        found = sorted(made.iterdir())
        images = [target / path.name for path in found if path.name.endswith(".nii.gz")]
        if not images:
            raise SeriesError("dcm2niix made no image of it", _MEND)
        made_slices = sum(_count_slices(path) for path in found if _is_as_given(path, found))
        if made_slices < slices:
            raise SeriesError(f"dcm2niix made {made_slices:,} slices of {slices:,}", _MEND)
        for path in found:
            path.replace(target / path.name)
    return images


# Without the settings that somebody has kept at home (-g), compressed by itself (-z), nothing of the patient in JSON
# (-ba) or in the comment (-c), and each file of a series whatever lies beside it.
_OPTIONS = ("-g", "i", "-z", "i", "-b", "y", "-ba", "y", "-c", "")


def _check_series(paths: Sequence[Path]) -> int:
    """Return how many slices are to be made; dcm2niix leaves out what it cannot read, and stacks what is unlike.

    Raises SeriesError if a file is none of a series or lacks its pixels, or those of a series are of several patients,
    say; OSError if one cannot be read.
    """
    wanted = Wanted(["Rows", "SOPClassUID", "NumberOfFrames", "SeriesInstanceUID", *_ALIKE])
    said_of: dict[str, tuple[set[str], ...]] = {}
    slices = 0
    for number, path in enumerate(paths, 1):
        header = None
        with contextlib.suppress(HeadError), naming_by_number(number, len(paths)):
            header = read_header(os.fspath(path), wanted)
        if header is None or not header.values[3]:
            said = f"file {number} of {len(paths)} is no DICOM file, or a damaged one"
            raise SeriesError(said, "give rows of dicomover.index(folder)")
        if header.headers_only:
            raise SeriesError(
                "a file of it is headers only: it was moved without its pixels", "move it without headers_only"
            )
        rows, sop_class, frames, series, *named = header.values
        if rows or "Image Storage" in UID(sop_class or "").name:  # of a report, say, nothing is to be made
            slices += int(frames) if frames and frames.isdecimal() else 1
        for known, value in zip(said_of.setdefault(series or "", tuple(set() for _ in _ALIKE)), named, strict=True):
            known.update(filter(None, [value]))
    for each in said_of.values():
        if mixture := tell_mixture(dict(zip(_ALIKE, each, strict=True))):
            raise SeriesError(f"a series is no volume: {mixture}", "give the images of one of them")
    return slices


def _is_as_given(path: Path, found: Sequence[Path]) -> bool:
    """Tell whether a file has the slices that were given: where they lie unevenly or tilted, some are made of them."""
    if not path.name.endswith(".nii.gz"):
        return False
    given = _MADE_OF.sub(r"\1.nii.gz", path.name)
    return given == path.name or path.with_name(given) not in found


def _count_slices(path: Path) -> int:
    """Count the slices of a NIfTI-1 file, in all of its volumes."""
    with gzip.open(path) as file:
        dimensions = struct.unpack_from("<8h", file.read(_HEADER), 40)
    return math.prod(dimensions[3 : dimensions[0] + 1])


def _lend(path: Path, place: Path) -> None:
    try:
        place.symlink_to(path)
    except OSError:  # Windows lets not everybody link
        shutil.copyfile(path, place)


def _run(command: list[str], timeout: float) -> None:
    """Run it; what it prints is not shown, since it may name a patient."""
    try:
        done = subprocess.run(  # noqa: S603 - the program that its wheel brings
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            umask=0o077 if os.name == "posix" else -1,
        )
    except subprocess.TimeoutExpired:
        raise SeriesError(f"dcm2niix was not done in {timeout:g} seconds", "raise timeout=") from None
    if done.returncode:
        why = _CODES.get(done.returncode, "it failed")
        raise SeriesError(f"dcm2niix: {why} (exit code {done.returncode})", _MEND)
