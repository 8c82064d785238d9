"""Query/Retrieve levels and models, a checked request, and the identifier of a C-MOVE: unique keys and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from pydicom import Dataset

from dicomover.attributes.attribute import attribute_of, put_value
from dicomover.errors import ConfigurationError

__all__ = [
    "IDENTIFYING",
    "KEY",
    "NOTHING",
    "UIDS_AT_ONCE",
    "UNIQUE_KEYS",
    "Identifier",
    "Level",
    "Model",
    "Request",
    "find_dataset",
    "level_of",
    "levels",
    "query_dataset",
]


class Level(StrEnum):
    """The Query/Retrieve Level (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @property
    def unique_key(self) -> str:
        """The keyword of this level's unique key."""
        return _UNIQUE_KEY_OF[self.value]

    @property
    def plural(self) -> str:
        """What the things at this level are called."""
        return {"PATIENT": "patients", "STUDY": "studies", "SERIES": "series", "IMAGE": "images"}[self.value]

    @property
    def singular(self) -> str:
        """What one of the things at this level is called."""
        return str(self).lower()

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read a level in any case; INSTANCE is the same as IMAGE."""
        name = str(text).strip().upper()
        name = "IMAGE" if name == "INSTANCE" else name
        if name not in cls.__members__:
            raise ConfigurationError(f"level {text!r} is none of PATIENT, STUDY, SERIES, IMAGE", "choose one of them")
        return cls(name)


UNIQUE_KEYS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""The unique key of each level, from the top (PS3.4 section C.6)."""

_UNIQUE_KEY_OF = dict(zip(Level.__members__, UNIQUE_KEYS, strict=True))

IDENTIFYING = (*UNIQUE_KEYS, "AccessionNumber")
"""The columns of a table that are keys without being named."""

KEY = "key:"
"""What the name of a column begins with that is a query key wherever the table comes from: `key:StudyDate`."""

UIDS_AT_ONCE = 500
"""How many UIDs one C-MOVE names: at most 32,500 bytes, where Explicit VR can say 65,534 (PS3.5 section 7.1.2)."""


class Model(Enum):
    """The Query/Retrieve information model (PS3.4 section C.6)."""

    PATIENT = "patient"
    STUDY = "study"

    @property
    def title(self) -> str:
        """What the Standard calls it."""
        return f"{self.value.capitalize()} Root"

    @property
    def find_sop_class(self) -> str:
        """The SOP Class UID of its C-FIND."""
        return f"1.2.840.10008.5.1.4.1.2.{1 if self is Model.PATIENT else 2}.1"

    @property
    def move_sop_class(self) -> str:
        """The SOP Class UID of its C-MOVE."""
        return f"1.2.840.10008.5.1.4.1.2.{1 if self is Model.PATIENT else 2}.2"

    @property
    def get_sop_class(self) -> str:
        """The SOP Class UID of its C-GET."""
        return f"1.2.840.10008.5.1.4.1.2.{1 if self is Model.PATIENT else 2}.3"

    @classmethod
    def parse(cls, text: str) -> Model:
        """Read `patient` or `study`, in any case."""
        name = str(text).strip().lower().removesuffix("root").strip(" -_")
        if name not in ("patient", "study"):
            raise ConfigurationError(f"model {text!r} is neither 'patient' nor 'study'", "choose one, or 'auto'")
        return cls(name)


def levels(model: Model) -> tuple[Level, ...]:
    """Return the levels of a model, from the top."""
    return tuple(Level) if model is Model.PATIENT else tuple(Level)[1:]


# Attributes that people query by, by the level they belong to (PS3.4 section C.6.1.1, PS3.3 for the optional ones).
_BY_LEVEL = {
    Level.STUDY: (
        "StudyDate StudyTime AccessionNumber StudyID StudyDescription ReferringPhysicianName ModalitiesInStudy "
        "SOPClassesInStudy PatientAge PatientSize PatientWeight Occupation AdditionalPatientHistory "
        "NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription AnatomicRegionsInStudyCodeSequence "
        "ProcedureCodeSequence InstanceAvailability NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: (
        "Modality SeriesNumber SeriesDescription SeriesDate SeriesTime BodyPartExamined Laterality ProtocolName "
        "OperatorsName PerformingPhysicianName Manufacturer ManufacturerModelName StationName "
        "InstitutionName PatientPosition RequestAttributesSequence PerformedProcedureStepStartDate "
        "PerformedProcedureStepStartTime PerformedProcedureStepID PerformedProcedureStepDescription "
        "NumberOfSeriesRelatedInstances"
    ),
    Level.IMAGE: (
        "InstanceNumber SOPClassUID ContentDate ContentTime AcquisitionDate AcquisitionTime AcquisitionNumber "
        "ImageType Rows Columns NumberOfFrames"
    ),
}
_LEVEL_OF = {keyword: level for level, keywords in _BY_LEVEL.items() for keyword in keywords.split()}
_LEVEL_OF |= dict(zip(UNIQUE_KEYS, Level, strict=True))
_PATIENT_LEVEL = (
    "PatientName IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs OtherPatientNames "
    "EthnicGroup PatientComments NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries "
    "NumberOfPatientRelatedInstances"
)
_LEVEL_OF |= dict.fromkeys(_PATIENT_LEVEL.split(), Level.PATIENT)


def level_of(keyword: str) -> Level | None:
    """Return the level that an attribute, or the sequence that it is in, belongs to; None if it is no usual one.

    Examples
    --------
    >>> level_of("Modality")
    <Level.SERIES: 'SERIES'>
    """
    return _LEVEL_OF.get(keyword.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Request:
    """One checked request: what is asked for, at which level, in which model."""

    position: int  # its place in the batch, from 0
    label: object = field(repr=False)  # in the index of the input
    keys: Mapping[str, str] = field(repr=False)  # query keys by keyword; every value is text
    level: Level
    model: Model
    pin: str = ""  # stands for what a lockfile says that it comes to; empty if the archive is to say so

    @property
    def is_resolved(self) -> bool:
        """True if its keys are unique keys down to its level, so that nothing has to be looked up."""
        wanted = {level.unique_key for level in levels(self.model)[: levels(self.model).index(self.level) + 1]}
        return wanted == set(self.keys)

    @property
    def skips_patient(self) -> bool:
        """True if the patient, whom Patient Root needs, is not known and has to be found by a study."""
        is_below = self.model is Model.PATIENT and self.level is not Level.PATIENT
        return is_below and not any(self.level_of(key) is Level.PATIENT for key in self.keys)

    def level_of(self, keyword: str) -> Level:
        """Return the level of the query that a key belongs in."""
        level = level_of(keyword) or self.level
        return Level.STUDY if self.model is Model.STUDY and level is Level.PATIENT else level


NOTHING: frozenset[str] = frozenset()
"""One for all: an empty frozenset takes 216 bytes, and every C-MOVE of a batch has several of them."""


@dataclass(frozen=True, slots=True)
class Identifier:
    r"""What one C-MOVE asks for: a level and the unique keys that it needs (PS3.4 section C.4.2.2.1).

    A value at the level itself may be a list of UIDs, joined by a backslash.

    Examples
    --------
    >>> Identifier(Level.STUDY, Model.STUDY, study="1.2.3").keys()
    {'StudyInstanceUID': '1.2.3'}
    """

    level: Level
    model: Model
    patient: str = field(default="", repr=False)
    study: str = ""
    series: str = ""
    instance: str = ""

    @classmethod
    def of(cls, level: Level, model: Model, keys: Mapping[str, str]) -> Identifier:
        """Take the unique keys down to the level from `keys`."""
        lowest, highest = UNIQUE_KEYS.index(level.unique_key), 0 if model is Model.PATIENT else 1
        values = [
            keys.get(keyword, "") if highest <= place <= lowest else "" for place, keyword in enumerate(UNIQUE_KEYS)
        ]
        return cls(level, model, *values)

    def keys(self) -> dict[str, str]:
        """Return the unique keys that are set."""
        values = (self.patient, self.study, self.series, self.instance)
        return {keyword: value for keyword, value in zip(UNIQUE_KEYS, values, strict=True) if value}

    def uids(self, level: Level) -> frozenset[str]:
        """Return the values at a level, empty if it has none."""
        value = self.keys().get(level.unique_key, "")
        if level is Level.PATIENT:
            return frozenset([value]) if value else NOTHING
        return frozenset(value.split("\\")) if value else NOTHING

    def without_model(self) -> Identifier:
        """Return what it asks for however it is asked: UIDs are unique without a patient."""
        return self.of_patient(self.patient if self.level is Level.PATIENT else "")

    def of_patient(self, patient: str) -> Identifier:
        """Return what it asks for of a patient, however it is asked."""
        return Identifier(self.level, Model.PATIENT, patient, self.study, self.series, self.instance)

    def dataset(self) -> Dataset:
        """Return it as it goes onto the wire."""
        return query_dataset(self.level, self.keys())


def query_dataset(level: Level, keys: Mapping[str, str]) -> Dataset:
    """Return a query identifier: the level, the keys, and a character set if plain ASCII does not do."""
    dataset = Dataset()
    if not all(value.isascii() for value in keys.values()):
        put_value(dataset, attribute_of("SpecificCharacterSet"), "ISO_IR 192")
    put_value(dataset, attribute_of("QueryRetrieveLevel"), str(level))
    for name, value in keys.items():
        put_value(dataset, attribute_of(name), value)
    return dataset


def find_dataset(level: Level, keys: Mapping[str, str]) -> Dataset:
    """Return the identifier of a C-FIND, which asks for the character set of the answers too (PS3.4 C.4.1.1.3)."""
    dataset = query_dataset(level, keys)
    if "SpecificCharacterSet" not in dataset:
        put_value(dataset, attribute_of("SpecificCharacterSet"), "")
    return dataset
