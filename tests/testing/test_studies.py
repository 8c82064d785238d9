"""Invented studies: the same again, readable, and bounded."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicomover.testing import (
    DemoPacs,
    made_study,
)


def test_made_studies_are_the_same_again() -> None:
    """The same arguments give the same bytes; another number gives another study."""
    one, same = made_study("00123", series=2, instances=3), made_study("00123", series=2, instances=3)
    other = made_study("00123", series=2, instances=3, number=2)
    assert one == same
    assert [i.data_set_bytes() for i in one.instances()] == [i.data_set_bytes() for i in same.instances()]
    assert one.study_instance_uid != other.study_instance_uid
    assert UID(one.instances()[0].sop_instance_uid).is_valid


@pytest.mark.parametrize("size", [64, 2048, 524288])
def test_made_instances_are_images(size: int) -> None:
    """A made instance is a readable image of about the size that was asked for."""
    instance = made_study("A", size=size, modality="MR", date="20230405").instances()[0]
    dataset = dcmread(BytesIO(instance.file_bytes()))
    assert dataset.pixel_array.nbytes == pytest.approx(size, rel=0.05)
    assert (dataset.Modality, dataset.StudyDate) == ("MR", "20230405")
    assert size <= 64 or dataset.pixel_array.max() > 1000


def test_impossible_studies_are_refused() -> None:
    """Negative numbers, and a study that is there already, are errors."""
    with pytest.raises(ValueError, match="cannot be made"):
        made_study("A", instances=-1)
    with DemoPacs([made_study("A")]) as pacs, pytest.raises(ValueError, match="number="):
        pacs.add(made_study("A"))
