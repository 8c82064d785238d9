"""Studies as an archive holds them: concrete ones, and made ones that exist only when somebody looks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread, uid
from pydicom.uid import ExplicitVRLittleEndian

from dicomover.dicomfile import encode_file_meta
from dicomover.testing._elements import data_set_of_file, encode

_EXPLICIT = str(ExplicitVRLittleEndian)
_SOP_CLASSES = {
    "CR": uid.ComputedRadiographyImageStorage,
    "CT": uid.CTImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "MR": uid.MRImageStorage,
    "NM": uid.NuclearMedicineImageStorage,
    "OT": uid.SecondaryCaptureImageStorage,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "US": uid.UltrasoundImageStorage,
    "XA": uid.XRayAngiographicImageStorage,
}


def _sop_class(modality: str) -> str:
    return str(_SOP_CLASSES.get(modality, uid.SecondaryCaptureImageStorage))


_OF_MADE = {
    "PatientBirthDate": "",
    "PatientSex": "O",
    "ReferringPhysicianName": "",
    "StudyID": "1",
    "StudyTime": "120000",
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One SOP Instance of an archive.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid
        As stored.
    number
        InstanceNumber, empty if it has none.
    path
        The file it comes from, if it comes from one as it is.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    number: str = ""
    path: Path | None = None
    _raw: bytes | None = field(default=None, repr=False, compare=False)
    _made: tuple[Study, int, int] | None = field(default=None, repr=False, compare=False)
    _attributes: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def data_set_bytes(self) -> bytes:
        """Return the data set as it goes onto the wire, byte for byte."""
        if self._raw is not None:
            return self._raw
        if self._made is not None:
            return _made_data_set(*self._made)
        assert self.path is not None
        return data_set_of_file(self.path.read_bytes())

    def file_bytes(self) -> bytes:
        """Return a DICOM file (PS3.10) with this data set."""
        return (
            encode_file_meta(self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid)
            + self.data_set_bytes()
        )

    def attributes(self) -> Mapping[str, str]:
        """Return what a query at IMAGE level can see, by keyword."""
        return {
            **self._attributes,
            "SOPClassUID": self.sop_class_uid,
            "SOPInstanceUID": self.sop_instance_uid,
            "InstanceNumber": self.number,
            "AvailableTransferSyntaxUID": self.transfer_syntax_uid,
        }


def strip_bulk(instance: Instance) -> Instance:
    """Return an instance without what is not sent where no bulk data are asked for (PS3.4 section Z.1.3)."""
    data_set = dcmread(BytesIO(instance.file_bytes()))
    for tag in list(data_set.keys()):
        repeats = (tag.group & 0xFF01, tag.element) in ((0x6000, 0x3000), (0x5000, 0x3000), (0x5000, 0x200C))
        if repeats or tag in (0x7FE00010, 0x7FE00008, 0x7FE00009, 0x00287FE0, 0x56000020):
            del data_set[tag]
    for item in data_set.get("WaveformSequence", ()):
        item.pop("WaveformData", None)
    written = BytesIO()
    data_set.save_as(written)
    return replace(instance, _raw=data_set_of_file(written.getvalue()))


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a study, with its instances."""

    series_instance_uid: str
    modality: str
    number: str
    instances: tuple[Instance, ...] = field(repr=False)
    _attributes: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def attributes(self) -> Mapping[str, str]:
        """Return what a query at SERIES level can see, by keyword."""
        return {
            **self._attributes,
            "SeriesInstanceUID": self.series_instance_uid,
            "Modality": self.modality,
            "SeriesNumber": self.number,
            "NumberOfSeriesRelatedInstances": str(len(self.instances)),
        }


@dataclass(frozen=True, slots=True)
class Study:
    """One study of an archive.

    Examples
    --------
    >>> study = made_study("00123", series=2, instances=5)
    >>> study.accession_number, study.number_of_series, study.number_of_instances
    ('00123', 2, 10)
    >>> len(study.instances()[0].data_set_bytes()) > 2048
    True
    """

    patient_id: str
    patient_name: str
    accession_number: str
    study_instance_uid: str
    study_date: str
    modalities: tuple[str, ...]
    number_of_series: int
    number_of_instances: int
    description: str = ""
    _series: tuple[Series, ...] | None = field(default=None, repr=False, compare=False)
    _size: int = field(default=0, repr=False, compare=False)
    _attributes: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    @property
    def made(self) -> bool:
        """True if it is invented, not read from files or data sets."""
        return self._series is None

    @property
    def series(self) -> tuple[Series, ...]:
        """Its series; those of a made study are made anew each time."""
        return self._series if self._series is not None else tuple(self._make())

    def _make(self) -> Iterator[Series]:
        per_series = self.number_of_instances // max(self.number_of_series, 1)
        for s in range(1, self.number_of_series + 1):
            modality = self.modalities[(s - 1) % len(self.modalities)]
            sop_class = _sop_class(modality)
            series_uid = f"{self.study_instance_uid}.{s}"
            instances = tuple(
                Instance(sop_class, f"{series_uid}.{i}", _EXPLICIT, str(i), _made=(self, s, i))
                for i in range(1, per_series + 1)
            )
            attributes = {"SeriesDescription": f"Made series {s}", "SeriesDate": self.study_date}
            yield Series(series_uid, modality, str(s), instances, attributes)

    def instances(self) -> tuple[Instance, ...]:
        """Return the instances of all its series, in order."""
        return tuple(instance for series in self.series for instance in series.instances)

    def only(self, keep: Callable[[Instance], bool]) -> Study:
        """Return the same study with some of its instances, byte for byte as they were.

        With `DemoPacs.remove` and `DemoPacs.add` it grows or shrinks while the archive runs.

        Examples
        --------
        >>> study = made_study("00123", series=2, instances=5).only(lambda instance: int(instance.number) <= 3)
        >>> study.number_of_series, study.number_of_instances
        (2, 6)
        """
        parts = [replace(part, instances=tuple(filter(keep, part.instances))) for part in self.series]
        kept = tuple(part for part in parts if part.instances)
        count = sum(len(part.instances) for part in kept)
        return replace(self, number_of_series=len(kept), number_of_instances=count, _series=kept)

    def attributes(self) -> Mapping[str, str]:
        """Return what a query at PATIENT or STUDY level can see of it, by keyword."""
        found = map(_sop_class, self.modalities) if self.made else (each.sop_class_uid for each in self.instances())
        return {
            **(_OF_MADE if self._attributes is None else self._attributes),
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "AccessionNumber": self.accession_number,
            "StudyInstanceUID": self.study_instance_uid,
            "StudyDate": self.study_date,
            "StudyDescription": self.description,
            "ModalitiesInStudy": "\\".join(dict.fromkeys(self.modalities)),
            "SOPClassesInStudy": "\\".join(dict.fromkeys(found)),
            "NumberOfStudyRelatedSeries": str(self.number_of_series),
            "NumberOfStudyRelatedInstances": str(self.number_of_instances),
        }


def made_study(
    accession: str = "",
    *,
    series: int = 1,
    instances: int = 3,
    size: int = 2048,
    patient: str | None = None,
    name: str | None = None,
    modality: str | tuple[str, ...] = "CT",
    date: str = "20240102",
    description: str = "Made study",
    number: int = 1,
    study_instance_uid: str | None = None,
) -> Study:
    """Invent a study; the same arguments give the same study, byte for byte.

    Nothing is encoded before it is asked for: ten thousand of them cost some megabytes.

    Parameters
    ----------
    accession
        AccessionNumber.
    series, instances
        Number of series, and number of instances in each of them; 0 is allowed.
    size
        Bytes of pixel data in each instance (16 bit, at least one row of 32 pixels).
    patient, name
        PatientID and PatientName; by default invented from the accession number.
    modality
        One modality, or one for each series in turn.
    date
        StudyDate, YYYYMMDD.
    description
        StudyDescription.
    number
        Counts the studies that share one accession number: another number is another study.
    study_instance_uid
        Instead of the UID that follows from the other arguments.
    """
    if series < 0 or instances < 0:
        raise ValueError(f"a study of {series} series with {instances} instances each cannot be made")
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    patient = f"DEMO-{accession or 'NONE'}" if patient is None else patient
    if study_instance_uid is None:
        seed = "\n".join((accession, patient, date, "\\".join(modalities), f"{series} {instances} {size} {number}"))
        study_instance_uid = f"2.25.{int.from_bytes(hashlib.sha256(seed.encode()).digest()[:15], 'big') | 1 << 119}"
    return Study(
        patient_id=patient,
        patient_name=f"Artificial^{patient}" if name is None else name,
        accession_number=accession,
        study_instance_uid=study_instance_uid,
        study_date=date,
        modalities=modalities,
        number_of_series=series,
        number_of_instances=series * instances,
        description=description,
        _size=size,
    )


def made_studies(
    count: int, *, prefix: str = "M", series: int = 1, instances: int = 3, size: int = 2048
) -> Iterator[Study]:
    """Invent many studies of many patients, with the accession numbers `M000001`, `M000002`, ….

    Examples
    --------
    >>> [study.accession_number for study in made_studies(2)]
    ['M000001', 'M000002']
    """
    for n in range(1, count + 1):
        yield made_study(f"{prefix}{n:06d}", series=series, instances=instances, size=size)


_OF_SLICES = {
    "ImageOrientationPatient": r"1\0\0\0\1\0",
    "PixelSpacing": r"5\5",
    "SliceThickness": "2.5",
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
}
_BODIES = 2
_SLICES = (0.6, 1.0, 0.9, 0.5)  # how large the lungs are, from the neck down


@lru_cache(maxsize=32)
def _picture(size: int, body: int, part: int) -> tuple[int, int, bytes]:
    """Return rows, columns and the pixels, in about `size` bytes, of a slice through a chest made of ellipses.

    There are few of them, so that thousands of instances need no more than these to be drawn and kept.
    """
    columns = max(32, int((size / 2) ** 0.5) // 16 * 16)
    rows = max(1, size // 2 // columns)
    wide, lung = 0.95 - 0.12 * body, _SLICES[part]
    ellipses = (  # centre, radii, value
        (0.0, 0.0, wide, 0.68, 950),
        (0.0, 0.0, wide - 0.07, 0.61, 1050),
        (-0.42, -0.05, 0.30 * lung, 0.42 * lung, 180),
        (0.42, -0.05, 0.30 * lung, 0.42 * lung, 180),
        (0.10, -0.12, 0.20, 0.22 * lung, 1120),
        (0.0, 0.40, 0.13, 0.12, 1650),
        (0.0, 0.40, 0.05, 0.05, 1100),
        (-0.02, 0.20, 0.06, 0.06, 1250),
    )
    across = np.linspace(-1, 1, columns)
    down = np.linspace(-1, 1, rows)[:, None] if rows > 1 else np.zeros((1, 1))
    pixels = np.zeros((rows, columns), "<u2")
    for x, y, half_width, half_height, value in ellipses:
        pixels[((across - x) / half_width) ** 2 + ((down - y) / half_height) ** 2 <= 1] = value
    return rows, columns, pixels.tobytes()


def _made_data_set(study: Study, s: int, i: int) -> bytes:
    per_series = study.number_of_instances // max(study.number_of_series, 1)
    part = (i - 1) * len(_SLICES) // max(per_series, 1)
    rows, columns, pixels = _picture(study._size, sum(study.patient_id.encode()) % _BODIES, part)
    modality = study.modalities[(s - 1) % len(study.modalities)]
    return encode(
        {
            **_OF_MADE,
            "SOPClassUID": _sop_class(modality),
            "SOPInstanceUID": f"{study.study_instance_uid}.{s}.{i}",
            "StudyDate": study.study_date,
            "AccessionNumber": study.accession_number,
            "Modality": modality,
            "StudyDescription": study.description,
            "SeriesDescription": f"Made series {s}",
            "PatientName": study.patient_name,
            "PatientID": study.patient_id,
            "StudyInstanceUID": study.study_instance_uid,
            "SeriesInstanceUID": f"{study.study_instance_uid}.{s}",
            "SeriesNumber": str(s),
            "InstanceNumber": str(i),
            "SamplesPerPixel": "1",
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": str(rows),
            "Columns": str(columns),
            "BitsAllocated": "16",
            "BitsStored": "16",
            "HighBit": "15",
            "PixelRepresentation": "0",
            "PixelData": pixels,
            **({"ImagePositionPatient": rf"0\0\{2.5 * i}", **_OF_SLICES} if modality == "CT" else {}),
        },
        _EXPLICIT,
    )
