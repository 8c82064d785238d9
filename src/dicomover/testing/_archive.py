"""What a demo archive holds, findable by what people ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dicomover.testing._search import LEVELS
from dicomover.testing._studies import Instance, Study


@dataclass(slots=True)
class Archive:
    """Studies, findable by what people ask for most."""

    by_study: dict[str, Study] = field(default_factory=dict)
    by_accession: dict[str, list[Study]] = field(default_factory=dict)
    by_patient: dict[str, list[Study]] = field(default_factory=dict)
    by_instance: dict[str, tuple[Study, Instance]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, studies: Iterable[Study]) -> None:
        """Take studies in; raises ValueError if a study is there already."""
        with self.lock:
            for study in studies:
                if study.study_instance_uid in self.by_study:
                    raise ValueError(
                        f"study {study.study_instance_uid} is in the archive already; "
                        "give made studies of one accession number different values of number="
                    )
                self.by_study[study.study_instance_uid] = study
                self.by_accession.setdefault(study.accession_number, []).append(study)
                self.by_patient.setdefault(study.patient_id, []).append(study)
                if not study.made:
                    for instance in study.instances():
                        self.by_instance[instance.sop_instance_uid] = (study, instance)

    def remove(self, study: Study) -> None:
        """Let a study go; raises KeyError if it is not in the archive."""
        with self.lock:
            held = self.by_study.pop(study.study_instance_uid)
            self.by_accession[held.accession_number].remove(held)
            self.by_patient[held.patient_id].remove(held)
            for instance in () if held.made else held.instances():
                self.by_instance.pop(instance.sop_instance_uid, None)

    def studies(self) -> list[Study]:
        """Return all studies, in the order in which they came."""
        with self.lock:
            return list(self.by_study.values())

    def instance(self, sop_instance_uid: str) -> tuple[Study, Instance]:
        """Return an instance and its study; raises KeyError if there is none."""
        if sop_instance_uid in self.by_instance:
            return self.by_instance[sop_instance_uid]
        study = self.by_study[sop_instance_uid.rsplit(".", 2)[0]]
        for instance in study.instances() if study.made else ():
            if instance.sop_instance_uid == sop_instance_uid:
                return study, instance
        raise KeyError(sop_instance_uid)

    def candidates(self, keys: Mapping[str, str]) -> list[Study]:
        """Return the studies that a query can match at all; all of them if no index helps."""
        uids = keys.get("StudyInstanceUID", "")
        if uids and uids != "*":
            return [self.by_study[uid] for uid in uids.split("\\") if uid in self.by_study]
        for keyword, index in (("AccessionNumber", self.by_accession), ("PatientID", self.by_patient)):
            value = keys.get(keyword, "")
            if value and not any(mark in value for mark in "\\*?"):
                return list(index.get(value, ()))
        return self.studies()

    def resolve(self, level: str, keys: Mapping[str, str]) -> Iterator[tuple[Study, tuple[Instance, ...]]]:
        """Yield what a C-MOVE asks for, study by study."""
        patient, accession = keys.get("PatientID", ""), keys.get("AccessionNumber", "")
        series_uids = set(keys.get("SeriesInstanceUID", "").split("\\")) if level in LEVELS[2:] else set()
        instance_uids = set(keys.get("SOPInstanceUID", "").split("\\")) if level == "IMAGE" else set()
        for study in dict.fromkeys(self.candidates(keys)):
            if (patient and study.patient_id != patient) or (accession and study.accession_number != accession):
                continue
            yield (
                study,
                tuple(
                    instance
                    for series in study.series
                    if series_uids <= {""} or series.series_instance_uid in series_uids
                    for instance in series.instances
                    if instance_uids <= {""} or instance.sop_instance_uid in instance_uids
                ),
            )
