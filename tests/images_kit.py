"""Series of files as scanners and exporters write them, some of them crooked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def make_slice(number: int, position: Sequence[float], *, series: str = "2.25.7", **others: Any) -> Dataset:
    """Return one slice of 4 x 6 pixels, each of which is its number."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = others.pop("syntax", ExplicitVRLittleEndian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, UID(f"{series}.{number}")
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.6", series
    dataset.PatientID, dataset.Modality, dataset.InstanceNumber = "P-0042", "CT", number
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = list(position), list(AXIAL)
    dataset.PixelSpacing, dataset.RescaleSlope, dataset.RescaleIntercept = [0.5, 0.75], 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 4, 6, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = np.full((4, 6), number, "<u2").tobytes()
    for name, value in others.items():
        setattr(dataset, name, value)
    return dataset


def make_enhanced(positions: Sequence[Sequence[float]]) -> Dataset:
    """Return one Enhanced object with a frame for each position."""
    dataset = make_slice(1, (0, 0, 0))
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, name)
    dataset.NumberOfFrames = len(positions)
    dataset.PixelData = b"".join(np.full((4, 6), n + 1, "<u2").tobytes() for n in range(len(positions)))
    dataset.SharedFunctionalGroupsSequence = Items([Dataset()])
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence = Items([_of(ImageOrientationPatient=list(AXIAL))])
    shared.PixelMeasuresSequence = Items([_of(PixelSpacing=[0.5, 0.75])])
    shared.PixelValueTransformationSequence = Items([_of(RescaleSlope=2, RescaleIntercept=-10)])
    dataset.PerFrameFunctionalGroupsSequence = Items(
        [_of(PlanePositionSequence=Items([_of(ImagePositionPatient=list(position))])) for position in positions]
    )
    return dataset


def _of(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def save(folder: Path, datasets: Iterable[Dataset]) -> list[Path]:
    """Write files, numbered as they come."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        paths.append(folder / f"{number:03d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths
