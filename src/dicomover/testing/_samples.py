"""Files and data sets become studies; among them the sample files that pydicom ships."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filewriter import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from dicomover.attributes.reading import read_text
from dicomover.identifier import Level, level_of
from dicomover.testing._elements import data_set_of_file
from dicomover.testing._studies import Instance, Series, Study

Source = str | Path | Dataset | Study
"""A file, a folder of files, a pydicom data set, or a study."""

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_NOT_MOVED = (str(ExplicitVRBigEndian), str(DeflatedExplicitVRLittleEndian))
_DESCRIBED = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyDescription", "Modality")
_NAMES = (  # of what else is read, at any level
    "PatientBirthDate PatientSex PatientAge PatientSize PatientWeight OtherPatientIDs StudyTime StudyID "
    "ReferringPhysicianName SeriesDescription SeriesDate SeriesTime BodyPartExamined ProtocolName Manufacturer "
    "ManufacturerModelName StationName InstitutionName Laterality PatientPosition ContentDate ContentTime "
    "AcquisitionDate AcquisitionNumber ImageType Rows Columns NumberOfFrames"
)
_OTHERS = _NAMES.split()
_READ = [*_UIDS, *_DESCRIBED, *_OTHERS, "SeriesNumber", "InstanceNumber"]
# Among pydicom's samples: broken on purpose, and one that comes first so that RLE is represented.
_PASSED_OVER = ("badVR.dcm", "MR_truncated.dcm", "MR_small_padded.dcm", "rtplan_truncated.dcm")
_FIRST = "rtdose_rle.dcm"


@dataclass(frozen=True, slots=True)
class _Item:
    instance: Instance
    values: dict[str, str]


def read_sources(sources: Iterable[Source]) -> list[Study]:
    """Turn files, folders, data sets and studies into studies.

    Raises ValueError if something named cannot be moved: no UIDs, a transfer syntax without a place here, no DICOM
    file.
    """
    studies: list[Study] = []
    items: list[_Item] = []
    for source in sources:
        if isinstance(source, Study):
            studies.append(source)
        elif isinstance(source, Dataset):
            items.append(_of_data_set(source))
        else:
            items.extend(_of_path(Path(source)))
    return studies + _grouped(items)


def _of_path(path: Path) -> Iterator[_Item]:
    if path.is_dir():
        for inner in sorted(p for p in path.rglob("*") if p.is_file()):
            item = _of_file(inner)
            if item is not None:
                yield item
        return
    item = _of_file(path)
    if item is None:
        raise ValueError(f"{path} is no DICOM file with Study, Series and SOP Instance UIDs that can be moved")
    yield item


def _of_file(path: Path) -> _Item | None:
    with warnings.catch_warnings(action="ignore"):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_READ))
        except InvalidDicomError:
            return None
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if not syntax or syntax in _NOT_MOVED or not all(read_text(dataset, keyword) for keyword in _UIDS):
        return None
    return _item(dataset, syntax, path=path)


def _of_data_set(dataset: Dataset) -> _Item:
    missing = [keyword for keyword in _UIDS if not read_text(dataset, keyword)]
    if missing:
        raise ValueError(f"a data set without {', '.join(missing)} cannot be kept in an archive")
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    syntax = str(meta.get("TransferSyntaxUID", "") or ExplicitVRLittleEndian)
    if syntax in _NOT_MOVED:
        raise ValueError(f"a data set in transfer syntax {syntax} cannot be kept in this archive")
    return _item(dataset, syntax, raw=_encoded(dataset, syntax))


def _encoded(dataset: Dataset, syntax: str) -> bytes:
    copy = Dataset()
    copy.update(dataset)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    buffer = BytesIO()
    with warnings.catch_warnings(action="ignore"):
        dcmwrite(buffer, copy, enforce_file_format=True)
    return data_set_of_file(buffer.getvalue())


def _item(dataset: Dataset, syntax: str, *, raw: bytes | None = None, path: Path | None = None) -> _Item:
    with warnings.catch_warnings(action="ignore"):
        values = {keyword: read_text(dataset, keyword) for keyword in _READ}
    instance = Instance(
        values["SOPClassUID"],
        values["SOPInstanceUID"],
        syntax,
        values["InstanceNumber"],
        path=path,
        _raw=raw,
        _attributes=_attributes(values, Level.IMAGE),
    )
    return _Item(instance, values)


def _attributes(values: Mapping[str, str], *levels: Level) -> dict[str, str]:
    return {keyword: values[keyword] for keyword in _OTHERS if level_of(keyword) in levels}


def _grouped(items: Iterable[_Item]) -> list[Study]:
    """Sort instances into series and studies; of a SOP Instance UID seen twice the first one counts."""
    studies: dict[str, dict[str, dict[str, _Item]]] = {}
    for item in items:
        study = studies.setdefault(item.values["StudyInstanceUID"], {})
        series = study.setdefault(item.values["SeriesInstanceUID"], {})
        series.setdefault(item.instance.sop_instance_uid, item)
    return [_study(uid, content) for uid, content in studies.items()]


def _study(study_uid: str, content: dict[str, dict[str, _Item]]) -> Study:
    series = []
    for series_uid, items in content.items():
        first = next(iter(items.values())).values
        attributes = _attributes(first, Level.SERIES)
        instances = tuple(item.instance for item in items.values())
        series.append(Series(series_uid, first["Modality"], first["SeriesNumber"], instances, attributes))
    first = next(iter(next(iter(content.values())).values())).values
    return Study(
        patient_id=first["PatientID"],
        patient_name=first["PatientName"],
        accession_number=first["AccessionNumber"],
        study_instance_uid=study_uid,
        study_date=first["StudyDate"],
        modalities=tuple(dict.fromkeys(item.modality for item in series if item.modality)),
        number_of_series=len(series),
        number_of_instances=sum(len(item.instances) for item in series),
        description=first["StudyDescription"],
        _series=tuple(series),
        _attributes=_attributes(first, Level.PATIENT, Level.STUDY),
    )


@cache
def sample_studies() -> tuple[Study, ...]:
    """Return the studies of the sample files that pydicom ships, in copies of our own.

    CT, MR, CR, SR, RT, US, NM, SEG and ECG, some of them compressed. A study without an accession number gets
    `DEMO0001`, `DEMO0002`, …; a patient without an ID gets one; every patient gets an artificial name; a study
    without a date gets one in the year 2000. Everything else is as shipped. Nothing is downloaded.
    """
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in ("", ".dcm")]
    paths.sort(key=lambda path: path.name != _FIRST)
    invented: dict[str, dict[str, str]] = {}
    patients: dict[str, str] = {}
    items: dict[str, _Item] = {}
    for path in paths:
        found = None if path.name in _PASSED_OVER else _of_file(path)
        if found is None or found.instance.sop_instance_uid in items:
            continue
        values = found.values
        known = invented.setdefault(values["StudyInstanceUID"], {})
        if not known:
            n = len(invented)
            known["PatientID"] = values["PatientID"] or f"DEMO-P{n:02d}"
            known["PatientName"] = patients.setdefault(
                known["PatientID"], f"Artificial^Patient {len(patients) + 1:02d}"
            )
            known["AccessionNumber"] = values["AccessionNumber"] or f"DEMO{n:04d}"
            known["StudyDate"] = values["StudyDate"] or f"200001{n % 28 + 1:02d}"
        items[found.instance.sop_instance_uid] = _copy(path, known | {"Modality": values["Modality"] or "OT"})
    return tuple(_grouped(items.values()))


def _copy(path: Path, values: dict[str, str]) -> _Item:
    with warnings.catch_warnings(action="ignore"):
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            if read_text(dataset, keyword) != value:
                setattr(dataset, keyword, value)
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        return _item(dataset, syntax, raw=_encoded(dataset, syntax))
