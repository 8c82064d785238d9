"""What an archive holds by default, and what can be given to it instead."""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from dicomover.testing import (
    DemoPacs,
    data_set_of_file,
    made_study,
    sample_studies,
)


def test_samples_can_be_asked_for_by_accession_number() -> None:
    """Every sample study has an accession number, a patient, an artificial name and a date; every UID is valid."""
    studies = sample_studies()
    assert {"CT", "MR", "CR", "SR", "US", "NM", "RTPLAN", "RTDOSE"} <= {m for s in studies for m in s.modalities}
    for study in studies:
        assert all((study.accession_number, study.patient_id, study.study_date))
        assert study.patient_name.startswith("Artificial^Patient ")
        assert UID(study.study_instance_uid).is_valid
    uids = [instance.sop_instance_uid for study in studies for instance in study.instances()]
    assert len(uids) == len(set(uids)) > 100
    syntaxes = {UID(i.transfer_syntax_uid) for s in studies for i in s.instances()}
    assert sum(syntax.is_compressed for syntax in syntaxes) >= 4
    assert not any(syntax.is_deflated or not syntax.is_little_endian for syntax in syntaxes)


def test_samples_are_whole_data_sets() -> None:
    """Each data set reads back with the UIDs and names under which the archive knows it."""
    for study in sample_studies():
        for instance in study.instances():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = dcmread(BytesIO(instance.file_bytes()))
                assert dataset.SOPInstanceUID == instance.sop_instance_uid
                assert dataset.StudyInstanceUID == study.study_instance_uid
                assert dataset.AccessionNumber == study.accession_number
                assert dataset.PatientID == study.patient_id
                assert str(dataset.PatientName) == study.patient_name


def test_add_files_folders_and_data_sets(tmp_path: Path) -> None:
    """Files stay as they are, byte for byte; data sets are encoded; what has no UIDs is an error."""
    for instance in made_study("F-1", series=2, instances=2).instances():
        (tmp_path / f"{instance.sop_instance_uid}.dcm").write_bytes(instance.file_bytes())
    (tmp_path / "notes.txt").write_text("no DICOM")
    dataset = dcmread(BytesIO(made_study("D-1", instances=1).instances()[0].file_bytes()))
    bare = Dataset()
    bare.update(made := dataset)
    bare.SOPInstanceUID, bare.StudyInstanceUID = "1.2.3.4", "1.2.3"
    with DemoPacs([tmp_path]) as pacs:
        pacs.add(made, [bare])
        assert [(s.accession_number, s.number_of_instances) for s in pacs.studies] == [
            ("F-1", 4),
            ("D-1", 1),
            ("D-1", 1),
        ]
        instance = pacs.study("F-1").instances()[0]
        assert instance.path is not None
        assert instance.data_set_bytes() == data_set_of_file(instance.path.read_bytes())
        assert b"1.2.3.4\0" in pacs.data_set_bytes("1.2.3.4")
        with pytest.raises(ValueError, match="no DICOM file"):
            pacs.add(tmp_path / "notes.txt")
        del bare.SOPInstanceUID
        with pytest.raises(ValueError, match="SOPInstanceUID"):
            pacs.add(bare)
        with pytest.raises(KeyError, match="2 studies"):
            pacs.study("D-1")
        with pytest.raises(KeyError):
            pacs.data_set_bytes("1.2.3.5")


def test_digests_of_the_samples_differ() -> None:
    """No two sample instances share their bytes, so that a mix-up shows."""
    digests = [hashlib.sha256(i.data_set_bytes()).digest() for s in sample_studies() for i in s.instances()]
    assert len(set(digests)) == len(digests)
