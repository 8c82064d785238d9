"""The order of a series' files: along the normal of its slices where their headers say it, else by number or UID."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dicomover.dicomfile import HeadError
from dicomover.images.headers import Wanted, read_header
from dicomover.images.series import describe_positions, parse_numbers

__all__ = ["sort_files"]


def sort_files(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Sort the files of one series; where several lie at one position, or none says where, by number, then by UID.

    A file that cannot be read comes last, and hinders no other.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> [len(sort_files([get_testdata_file("CT_small.dcm")] * 2)), sort_files([])]
    [2, []]
    """
    wanted = Wanted(["ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "SOPInstanceUID"])
    keys: list[tuple[float, str]] = []
    places: list[list[float]] = []
    for path in paths:
        try:
            header = read_header(os.fspath(path), wanted)
        except (HeadError, OSError):
            header = None
        position, orientation, number, uid = (None,) * 4 if header is None else header.values
        (known,) = parse_numbers(number, 1)
        keys.append((np.inf if np.isnan(known) else known, uid or "~"))
        places.append([*parse_numbers(position, 3), *parse_numbers(orientation, 6)])
    order = sorted(range(len(paths)), key=keys.__getitem__)
    if order:
        table = np.array(places)[order]
        order = [order[place] for place in describe_positions(table[:, :3], table[:, 3:]).order]
    return [Path(paths[place]) for place in order]
