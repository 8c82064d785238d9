"""What C-GET asks for in which parts, by what an archive says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, KeyObjectSelectionDocumentStorage, MRImageStorage

from dicomover.errors import QueryRefused
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.classes import COMMON, classes_of
from dicomover.query.parts import Part, divide, divide_missing, naming_classes
from dicomover.query.targets import Target

STUDY = Identifier(Level.STUDY, Model.STUDY, study="1")
SERIES = Identifier(Level.SERIES, Model.STUDY, study="1", series="1.1")
IMAGE = Identifier(Level.IMAGE, Model.STUDY, study="1", series="1.1", instance="1.1.1\\1.1.2")
CT, MR, KO = str(CTImageStorage), str(MRImageStorage), str(KeyObjectSelectionDocumentStorage)


class Archive:
    """An archive of one study, as far as it says something; `refuses` are the levels at which it says nothing."""

    def __init__(
        self, series: Mapping[str, tuple[str, list[str]]], refuses: Sequence[Level] = (), **study: Any
    ) -> None:
        self.series = series  # modality and SOP Classes of its images, by UID
        self.refuses = refuses
        self.study = study
        self.asked: list[tuple[Level, tuple[str, ...]]] = []

    def find(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer as far as it says something."""
        self.asked.append((level, tuple(returned)))
        if level in self.refuses:
            raise QueryRefused("no", 0xA900)
        answers = []
        for uid, (modality, classes) in self.series.items() if level is not Level.STUDY else [("", ("", []))]:
            for number, sop_class in enumerate(classes if level is Level.IMAGE else [""]):
                answer = Dataset()
                answer.StudyInstanceUID = "1"
                if level is Level.STUDY:
                    for keyword, value in self.study.items():
                        setattr(answer, keyword, value)
                else:
                    answer.SeriesInstanceUID = uid
                    answer.Modality = modality
                if level is Level.IMAGE:
                    answer.SOPInstanceUID, answer.SOPClassUID = f"{uid}.{number + 1}", sop_class
                answers.append(answer)
        return answers


def test_what_c_find_has_said_already_is_not_asked_again() -> None:
    """A study whose classes, or whose modalities, are known needs no further C-FIND."""
    archive = Archive({})
    assert divide(Target(STUDY, sop_classes=(CT,)), archive.find) == [Part(STUDY, (CT,))]
    assert divide(Target(SERIES, modalities=("KO",)), archive.find) == [Part(SERIES, (KO,))]
    assert archive.asked == []


@pytest.mark.parametrize(
    ("identifier", "archive", "classes"),
    [
        (STUDY, Archive({}, SOPClassesInStudy=[CT, KO]), (CT, KO)),
        (STUDY, Archive({}, ModalitiesInStudy=["KO"]), (KO,)),
        (STUDY, Archive({"1.1": ("KO", [])}, ModalitiesInStudy=["KO", "HOMEMADE"]), (KO,)),
        (STUDY, Archive({"1.1": ("HOMEMADE", [MR, MR])}, ModalitiesInStudy=["HOMEMADE"]), (MR,)),
        (STUDY, Archive({"1.1": ("KO", [])}, refuses=[Level.STUDY]), (KO,)),
        (SERIES, Archive({"1.1": ("HOMEMADE", [MR])}), (MR,)),
        (IMAGE, Archive({"1.1": ("CT", [CT, KO, MR])}), (CT, KO)),
        (SERIES, Archive({"1.1": ("KO", [KO])}, refuses=[Level.IMAGE]), (KO,)),
        (IMAGE, Archive({"1.1": ("HOMEMADE", [""])}), COMMON),
        (STUDY, Archive({}, refuses=list(Level)), COMMON),
    ],
)
def test_the_classes_are_those_that_the_archive_names(
    identifier: Identifier, archive: Archive, classes: tuple[str, ...]
) -> None:
    """By SOPClassesInStudy, else by Modality, else by the images; and the usual ones where it says nothing."""
    assert divide(Target(identifier), archive.find) == [Part(identifier, classes)]


def test_what_does_not_fit_is_asked_for_by_series() -> None:
    """Each series has its own classes, and those of the same are beside each other."""
    archive = Archive({"1.1": ("CT", []), "1.2": ("MR", []), "1.3": ("CT", []), "1.4": ("SR", [])})
    parts = divide(Target(STUDY, modalities=("CT", "MR", "SR")), archive.find)
    assert {part.identifier.series for part in parts} == {"1.1", "1.2", "1.3", "1.4"}
    assert [part.classes for part in parts] == sorted(part.classes for part in parts)
    assert {part.classes for part in parts} == {classes_of([name]) for name in ("CT", "MR", "SR")}


def test_what_is_missing_is_named_by_image_and_class() -> None:
    """What is here is left out; what the archive names no class of is named by those of its series' modality."""
    archive = Archive({"1.1": ("MR", [CT, KO, CT, CT]), "1.2": ("MR", [MR, ""])})
    parts = divide_missing(Target(STUDY), {"1.1.1"}, archive.find)
    assert [(part.identifier.instance, part.classes) for part in parts] == [
        ("1.1.2", (KO,)),
        ("1.1.3\\1.1.4", (CT,)),
        ("1.2.1", (MR,)),
        ("1.2.2", classes_of(["MR"])),
    ]
    known = divide_missing(Target(STUDY, sop_classes=(CT, MR)), {"1.1.1"}, archive.find)
    assert known[-1].classes == (MR,)
    assert all(part.identifier.level is Level.IMAGE for part in parts)
    assert divide_missing(Target(STUDY), {"1.1.1"}, Archive({}, refuses=list(Level)).find) == []


def test_classes_are_asked_for_beside_modalities_only() -> None:
    """A study that is looked up says its SOP Classes too; nothing else is asked otherwise than before."""
    archive = Archive({})
    find = naming_classes(archive.find)
    find(Level.STUDY, Model.STUDY, {}, ["ModalitiesInStudy"], None)
    find(Level.STUDY, Model.STUDY, {}, ["PatientID"], None)
    find(Level.SERIES, Model.STUDY, {}, ["Modality"], None)
    assert [returned for _, returned in archive.asked] == [
        ("ModalitiesInStudy", "SOPClassesInStudy"),
        ("PatientID",),
        ("Modality",),
    ]


def test_a_part_is_split_by_the_transfer_syntaxes_of_its_images() -> None:
    """What nothing is known of is in none of the parts."""
    whole = Part(Identifier(Level.IMAGE, Model.STUDY, study="1", series="1.1", instance="1.1\\1.2\\1.3\\1.4"), (CT,))
    split = whole.split({"1.1": "x", "1.2": "y", "1.4": "x", "2.1": "x"})
    assert [(part.identifier.instance, part.classes, syntax) for part, syntax in split] == [
        ("1.1\\1.4", (CT,), "x"),
        ("1.2", (CT,), "y"),
    ]
