"""The cohort: three patients' studies of several kinds, in two transfer syntaxes, and a request for what nobody has."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

from dicomover.testing import Study, made_study
from dicomover.testing._samples import read_sources

__all__ = ["REQUESTS", "STATUSES", "make_studies"]

REQUESTS = [{"AccessionNumber": number} for number in ("00123", "B2077", "C3000", "00999")]
STATUSES = ["success", "success", "success", "not-found"]
_ROOT = "1.2.826.0.1.3680043.10.5151.77"


def make_studies() -> Sequence[Study]:
    """Return the studies."""
    compressed = dcmread(get_testdata_file("MR_small_jp2klossless.dcm"))
    images = [_copy(compressed, "B2077", 1, n, MRImageStorage, "MR") for n in (1, 2, 3)]
    report = _document("B2077", 2, EnhancedSRStorage, "SR")
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    plain = dcmread(get_testdata_file("MR_small.dcm"))
    several = [_copy(plain, "C3000", 1, n, MRImageStorage, "MR") for n in (1, 2)]
    capture = _copy(plain, "C3000", 2, 1, SecondaryCaptureImageStorage, "OT")
    pdf = _document("C3000", 3, EncapsulatedPDFStorage, "DOC")
    pdf.MIMETypeOfEncapsulatedDocument, pdf.EncapsulatedDocument = "application/pdf", b"%PDF-1.4 made up\n\n"
    first = made_study("00123", series=2, instances=3, patient="P0001")
    return [first, *read_sources([*images, report]), *read_sources([*several, capture, pdf])]


def _document(accession: str, series: int, sop_class: str, modality: str, number: int = 1) -> Dataset:
    study = f"{_ROOT}.{int(accession[1:])}"
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPClassUID, made.SOPInstanceUID = sop_class, f"{study}.{series}.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.{series}"
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = f"P{accession}", "Made^Up", "", "O"
    made.AccessionNumber, made.StudyID, made.StudyDate, made.StudyTime = accession, "1", "20240203", "101112"
    made.Modality, made.SeriesNumber, made.InstanceNumber = modality, str(series), str(number)
    made.ReferringPhysicianName = ""
    return _with_meta(made, ExplicitVRLittleEndian)


def _copy(image: Dataset, accession: str, series: int, number: int, sop_class: str, modality: str) -> Dataset:
    made = _document(accession, series, sop_class, modality, number)
    for element in image.group_dataset(0x0028):
        made.add(element)
    made["PixelData"] = image["PixelData"]
    made["PixelData"].VR = "OB" if image["PixelData"].is_undefined_length else "OW"
    is_compressed = image.file_meta.TransferSyntaxUID == JPEG2000Lossless
    return _with_meta(made, JPEG2000Lossless if is_compressed else ExplicitVRLittleEndian)


def _with_meta(made: Dataset, syntax: str) -> Dataset:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    return made
