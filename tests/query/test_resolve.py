"""From a request to identifiers and counts, with an archive that is a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from pydicom import Dataset

from dicomover.errors import QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.resolve import resolve
from dicomover.query.targets import Resolution, TooManyMatches
from dicomover.requests.parse import parse_requests

COUNT = {
    Level.PATIENT: "NumberOfPatientRelatedInstances",
    Level.STUDY: "NumberOfStudyRelatedInstances",
    Level.SERIES: "NumberOfSeriesRelatedInstances",
}


def answer(**values: object) -> Dataset:
    """Return one answer."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


class Archive:
    """Holds instances and answers finds truthfully, unless told otherwise."""

    def __init__(self, *instances: Mapping[str, str], counts: bool = True, change: Callable | None = None) -> None:
        self.instances = instances
        self.counts = counts
        self.change = change
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer."""
        self.asked.append((str(level), dict(keys)))
        found: dict[str, list[Mapping[str, str]]] = {}
        for instance in self.instances:
            if all(instance.get(key) in value.split("\\") for key, value in keys.items()):
                found.setdefault(instance[level.unique_key], []).append(instance)
        answers = [self._answer(level, keys, uid, below) for uid, below in found.items()]
        if self.change is not None:
            answers = self.change(level, answers)
        return answers if limit is None else answers[:limit]

    def _answer(self, level: Level, keys: Mapping[str, str], uid: str, below: list[Mapping[str, str]]) -> Dataset:
        made = answer(**{**{key: below[0][key] for key in keys}, level.unique_key: uid})
        if level in COUNT and self.counts:
            setattr(made, COUNT[level], len(below))
        if level is Level.STUDY:
            made.ModalitiesInStudy = sorted({item["Modality"] for item in below})
            made.NumberOfStudyRelatedSeries = len({item["SeriesInstanceUID"] for item in below})
        return made


def study(uid: str, accession: str = "A", patient: str = "P", series: int = 2, images: int = 3) -> list[dict[str, str]]:
    """Return the instances of a study: CT in its first series, SR in the others."""
    return [
        {
            "PatientID": patient,
            "PatientName": f"Name^{patient}",
            "StudyInstanceUID": uid,
            "AccessionNumber": accession,
            "SeriesInstanceUID": f"{uid}.{s}",
            "Modality": "SR" if s else "CT",
            "SOPInstanceUID": f"{uid}.{s}.{i}",
            "InstanceNumber": str(i),
        }
        for s in range(series)
        for i in range(images)
    ]


def resolved(
    keys: dict, archive: Archive, *, count: bool = True, max_matches: int | None = None, **how: str
) -> Resolution:
    """Resolve one request."""
    (request,) = parse_requests(keys, **how).requests
    return resolve(request, archive, archive="ARCHIVE", count=count, max_matches=max_matches)


def targets(resolution: Resolution) -> list[tuple[dict[str, str], int | None]]:
    """Return the identifiers and their counts."""
    return [(target.identifier.keys(), target.expected) for target in resolution.targets]


# --- descent


@pytest.mark.parametrize(
    ("keys", "how", "wanted", "levels"),
    [
        ({"AccessionNumber": "A"}, {}, [({"StudyInstanceUID": "1"}, 6)], ["STUDY"]),
        ({"PatientName": "Name^P"}, {}, [({"StudyInstanceUID": "1"}, 6)], ["STUDY"]),
        ({"PatientID": "P"}, {}, [({"PatientID": "P", "StudyInstanceUID": "1"}, 6)], ["STUDY"]),
        (
            {"PatientID": "P", "AccessionNumber": "A"}, {},
            [({"PatientID": "P", "StudyInstanceUID": "1"}, 6)], ["STUDY"],
        ),
        (
            {"PatientName": "Name^P"}, {"level": "patient"},
            [({"PatientID": "P"}, 6)], ["PATIENT", "STUDY", "PATIENT"],  # whether somebody else has that PatientID
        ),
        (
            {"AccessionNumber": "A"}, {"level": "series"},
            [({"StudyInstanceUID": "1", "SeriesInstanceUID": f"1.{s}"}, 3) for s in range(2)], ["STUDY", "SERIES"],
        ),
        (
            {"StudyInstanceUID": "1", "Modality": "CT"}, {"level": "series"},
            [({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0"}, 3)], ["SERIES"],
        ),
        (
            {"PatientID": "P", "AccessionNumber": "A", "Modality": "SR"}, {"level": "series"},
            [({"PatientID": "P", "StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}, 3)], ["STUDY", "SERIES"],
        ),
        (
            {"AccessionNumber": "A", "SeriesInstanceUID": "1.1"}, {},
            [({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1"}, 3)], ["STUDY", "SERIES"],
        ),
        (
            {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1", "InstanceNumber": "2"}, {"level": "image"},
            [({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.1", "SOPInstanceUID": "1.1.2"}, 1)], ["IMAGE"],
        ),
        (
            {"AccessionNumber": "A", "Modality": "CT", "InstanceNumber": "0"}, {"level": "image"},
            [({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0", "SOPInstanceUID": "1.0.0"}, 1)],
            ["STUDY", "SERIES", "IMAGE"],
        ),
    ],
)  # fmt: skip
def test_descent(keys: dict, how: dict, wanted: list, levels: list[str]) -> None:
    """Each key is asked for at its own level, with the unique keys above, and only unique keys go into the C-MOVE."""
    archive = Archive(*study("1"), *study("9", accession="B", patient="Q"))
    resolution = resolved(keys, archive, **how)
    assert targets(resolution) == wanted
    assert [level for level, _ in archive.asked] == levels
    assert resolution.matches == len(wanted)
    assert resolution.expected == sum(count for _, count in wanted)
    assert all(target.found for target in resolution.targets)
    assert resolution.note == ""


def test_several_studies_of_one_accession() -> None:
    """One accession with several studies moves them all, and says how many."""
    resolution = resolved(
        {"AccessionNumber": "A"}, Archive(*study("1"), *study("2", images=1), *study("3", accession="B"))
    )
    assert targets(resolution) == [({"StudyInstanceUID": "1"}, 6), ({"StudyInstanceUID": "2"}, 2)]
    assert (resolution.matches, resolution.expected) == (2, 8)
    assert [target.modalities for target in resolution.targets] == [("CT", "SR")] * 2
    assert [target.series for target in resolution.targets] == [2, 2]


def test_not_found() -> None:
    """No match is no target and zero matches."""
    resolution = resolved({"AccessionNumber": "Z"}, Archive(*study("1")))
    assert (resolution.targets, resolution.matches, resolution.expected) == ((), 0, None)


def test_not_found_below() -> None:
    """A study without a matching series is no match either."""
    resolution = resolved({"AccessionNumber": "A", "Modality": "MR"}, Archive(*study("1")), level="series")
    assert (resolution.targets, resolution.matches) == ((), 0)


# --- what is resolved already


@pytest.mark.parametrize(
    ("keys", "how", "expected"),
    [
        ({"StudyInstanceUID": "1"}, {}, [6]),
        ({"PatientID": "P", "StudyInstanceUID": "1"}, {}, [6]),
        ({"PatientID": "P"}, {"level": "patient"}, [12]),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0"}, {}, [3]),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0", "SOPInstanceUID": "1.0.0\\1.0.1"}, {}, [2]),
        ({"StudyInstanceUID": "1\\2\\1"}, {}, [6, 6]),
        ({"StudyInstanceUID": "1", "SeriesInstanceUID": ["1.0", "1.1"]}, {}, [3, 3]),
    ],
)
@pytest.mark.parametrize("counts", [True, False], ids=["with counts", "without counts"])
def test_counting(keys: dict, how: dict, expected: list[int], counts: bool) -> None:
    """What is named is only counted, once each; by what lies below where the archive keeps no counts."""
    archive = Archive(*study("1"), *study("2"), counts=counts)
    resolution = resolved(keys, archive, **how)
    assert [count for _, count in targets(resolution)] == expected
    assert resolution.matches is None
    assert resolution.expected == sum(expected)


@pytest.mark.parametrize("keys", [{"PatientID": "P"}, {"StudyInstanceUID": "\\".join(f"1.{n}" for n in range(400))}])
def test_counting_has_an_end(keys: dict[str, str]) -> None:
    """What would take hundreds of C-FINDs to count is unknown, and why; it is not held up by that."""
    archive = Archive(*(item for n in range(400) for item in study(f"1.{n}", series=1, images=1)), counts=False)
    resolution = resolved(keys, archive, level="patient" if "PatientID" in keys else "study")
    assert resolution.expected is None
    assert "keeps no counts" in resolution.caution  # said even of a success, which rests on less then
    assert sum(level in ("SERIES", "IMAGE") for level, _ in archive.asked) <= 300
    assert all(target.found for target in resolution.targets)


def test_without_counting() -> None:
    """Without counting, what is named is not asked for at all."""
    archive = Archive(*study("1"))
    resolution = resolved({"StudyInstanceUID": "1\\2"}, archive, count=False)
    assert archive.asked == []
    assert targets(resolution) == [({"StudyInstanceUID": "1"}, None), ({"StudyInstanceUID": "2"}, None)]
    assert resolution.expected is None


def test_named_but_not_there() -> None:
    """What the archive does not find is moved all the same, but known to be not found."""
    resolution = resolved({"StudyInstanceUID": "1\\7"}, Archive(*study("1")))
    assert [target.found for target in resolution.targets] == [True, False]
    assert resolution.expected is None


@pytest.mark.parametrize("wrong", [0, None, "", -1], ids=repr)
def test_counts_that_are_none(wrong: object) -> None:
    """An archive writes a blank, a zero or nonsense where it does not know: then it is counted below."""

    def change(level: Level, answers: list[Dataset]) -> list[Dataset]:
        for item in answers:
            if level in COUNT:
                setattr(item, COUNT[level], wrong)
        return answers

    assert resolved({"AccessionNumber": "A"}, Archive(*study("1"), change=change)).expected == 6


def test_an_archive_that_refuses_to_be_counted() -> None:
    """A refused count is no obstacle for what is named, but a note; for what must be found it is an error."""

    def refuse(level: Level, answers: list[Dataset]) -> list[Dataset]:
        raise QueryRefused("refused with 0xA900", 0xA900)

    resolution = resolved({"StudyInstanceUID": "1"}, Archive(*study("1"), change=refuse))
    assert targets(resolution) == [({"StudyInstanceUID": "1"}, None)]
    assert resolution.note.startswith("not counted: ")
    with pytest.raises(QueryRefused, match="0xA900"):
        resolved({"AccessionNumber": "A"}, Archive(*study("1"), change=refuse))


def test_an_archive_that_refuses_below() -> None:
    """If only the lower levels are refused, the count is unknown and the match stands."""

    def refuse(level: Level, answers: list[Dataset]) -> list[Dataset]:
        if level is not Level.STUDY:
            raise QueryRefused("no such level")
        return answers

    resolution = resolved({"AccessionNumber": "A"}, Archive(*study("1"), counts=False, change=refuse))
    assert targets(resolution) == [({"StudyInstanceUID": "1"}, None)]
    assert (resolution.matches, resolution.expected) == (1, None)


# --- answers that are wrong


def test_an_archive_that_ignores_keys() -> None:
    """Answers that do not match are left out, and the note says so."""
    everything = [answer(AccessionNumber=f"B{n}", StudyInstanceUID=f"2.{n}") for n in range(20)]

    def add(level: Level, answers: list[Dataset]) -> list[Dataset]:
        return [*everything, *answers]

    for max_matches in (None, 5, 100):
        resolution = resolved({"AccessionNumber": "A"}, Archive(*study("1"), change=add), max_matches=max_matches)
        assert targets(resolution) == [({"StudyInstanceUID": "1"}, 6)], "found even behind what fills the limit"
        assert resolution.matches == 1
        assert "20 answers that do not match" in resolution.note


def test_answers_without_the_key() -> None:
    """An archive that drops the key from its answers cannot be trusted."""

    def drop(level: Level, answers: list[Dataset]) -> list[Dataset]:
        for item in answers:
            del item.AccessionNumber
        return answers

    with pytest.raises(QueryRefused, match="without AccessionNumber"):
        resolved({"AccessionNumber": "A"}, Archive(*study("1"), change=drop))


@pytest.mark.parametrize("uid", [None, ""])
def test_answers_without_a_unique_key(uid: str | None) -> None:
    """A match that cannot be named is an error, not a row that says nothing was found."""

    def change(level: Level, answers: list[Dataset]) -> list[Dataset]:
        answers[0].StudyInstanceUID = uid
        return answers

    with pytest.raises(QueryRefused, match="without StudyInstanceUID"):
        resolved({"AccessionNumber": "A"}, Archive(*study("1"), *study("2"), change=change))


def test_duplicate_answers() -> None:
    """An answer that comes twice is one match, and hides no other one behind the limit."""

    def twice(level: Level, answers: list[Dataset]) -> list[Dataset]:
        return [item for item in answers for _ in range(2)]

    archive = Archive(*study("1"), *study("2"), *study("3"), change=twice)
    for max_matches in (None, 3, 4):
        resolution = resolved({"AccessionNumber": "A"}, archive, max_matches=max_matches)
        assert [keys for keys, _ in targets(resolution)] == [{"StudyInstanceUID": uid} for uid in "123"]
        assert resolution.matches == 3
    with pytest.raises(TooManyMatches):
        resolved({"AccessionNumber": "A"}, archive, max_matches=2)


@pytest.mark.parametrize("stray", [False, True])
def test_answers_without_end(monkeypatch: pytest.MonkeyPatch, stray: bool) -> None:
    """Answers that come twice or do not match are read up to a bound, not for ever; the error names it."""
    limits: list[int | None] = []
    one = answer(StudyInstanceUID="1.2", AccessionNumber="B" if stray else "A", PatientID="P")

    def find(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        limits.append(limit)
        assert limit is not None
        return [one] * limit

    monkeypatch.setattr("dicomover.query.resolve._MOST_ANSWERS", 200)
    (request,) = parse_requests([{"AccessionNumber": "A"}]).requests
    with pytest.raises(QueryRefused, match="sent 200 answers, and few match"):
        resolve(request, find, archive="PACS", count=True, max_matches=5)
    assert limits == [6, 200]


def test_one_study_under_two_patients() -> None:
    """The same study found twice moves once."""

    def patients(level: Level, answers: list[Dataset]) -> list[Dataset]:
        if level is Level.PATIENT:
            return [answer(PatientName="Name^P", PatientID=one) for one in ("P", "Q")]
        return answers

    request = {"PatientName": "Name^P", "AccessionNumber": "A"}
    resolution = resolved(request, Archive(*study("1"), *study("1", patient="Q"), change=patients), model="patient")
    assert len(resolution.targets) == 1


@pytest.mark.parametrize("model", ["study", "patient"])
@pytest.mark.parametrize(
    ("keys", "absent"),
    [
        ({"StudyInstanceUID": "1\\3\\7.7", "AccessionNumber": "A"}, ["3", "7.7"]),
        ({"AccessionNumber": "A", "SeriesInstanceUID": "1.0\\7.7\\7.7", "StudyInstanceUID": "1"}, ["7.7"]),
        ({"PatientID": "P", "AccessionNumber": "A", "SeriesInstanceUID": "1.0\\7.7"}, ["7.7"]),
        ({"PatientID": "P", "StudyInstanceUID": "1\\2"}, ["2"]),
        (
            {
                "AccessionNumber": "A",
                "StudyInstanceUID": "1",
                "SeriesInstanceUID": "1.0",
                "SOPInstanceUID": "1.0.0\\7.7\\8.8",
            },
            ["7.7\\8.8"],
        ),
    ],
)
def test_what_a_list_names_beside_other_keys_and_is_not_there(model: str, keys: dict, absent: list[str]) -> None:
    """It is a target that was not found, whether the archive lacks it or has it by other keys: it is not left out."""
    archive = Archive(*study("1"), *study("2", patient="Q"), *study("3", accession="B"))
    resolution = resolved(keys, archive, model=model)
    level = resolution.targets[0].identifier.level
    told = [target.identifier.keys()[level.unique_key] for target in resolution.targets if target.found is False]
    assert (told, resolution.targets[0].found) == (absent, True)


# --- limits


@pytest.mark.parametrize("max_matches", [1, 2])
def test_too_many_matches(max_matches: int) -> None:
    """More matches than allowed stop the request before anything moves."""
    archive = Archive(*study("1"), *study("2"), *study("3"))
    with pytest.raises(TooManyMatches, match=f"max_matches={max_matches} studies") as caught:
        resolved({"AccessionNumber": "A"}, archive, max_matches=max_matches)
    assert caught.value.matches == max_matches + 1


def test_too_many_matches_over_several_studies() -> None:
    """The limit is on all matches of a request, not on those of each study."""
    archive = Archive(*study("1"), *study("2"))
    assert resolved({"AccessionNumber": "A"}, archive, max_matches=4, level="series").matches == 4
    with pytest.raises(TooManyMatches, match="series"):
        resolved({"AccessionNumber": "A"}, archive, max_matches=3, level="series")


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_many_images(named: bool) -> None:
    """No identifier holds more UIDs than Explicit VR can say, and each image is asked for once."""
    stem = "1.2.840." + "9" * 46
    uids = [f"{stem}.{n:04d}".replace(".0", ".1") for n in range(2_345)]
    instances = [dict(study("1", series=1, images=1)[0], SOPInstanceUID=uid) for uid in uids]
    keys = {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0"}
    keys |= {"SOPInstanceUID": "\\".join([*uids, *uids[:10]])} if named else {"InstanceNumber": "0"}
    resolution = resolved(keys, Archive(*instances), level="image")
    lists = [target.identifier.keys()["SOPInstanceUID"] for target in resolution.targets]
    assert sorted(uid for part in lists for uid in part.split("\\")) == sorted(set(uids))
    assert max(len(part) for part in lists) <= 65_534
    assert resolution.expected == len(set(uids))


def test_named_images_are_counted_without_asking() -> None:
    """A request that names its images says itself how many there should be."""
    archive = Archive(*study("1", series=1, images=2))
    keys = {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.0", "SOPInstanceUID": "1.0.0\\7.7\\7.7"}
    assert resolved(keys, archive, count=False).expected == 2
    assert archive.asked == []
    keys = {**keys, "SOPInstanceUID": "8.8\\7.7"}
    (target,) = resolved(keys, archive).targets
    assert (target.found, target.expected) == (False, 2)


@pytest.mark.parametrize(("count", "suspicious"), [(99, False), (100, True), (101, False), (512, True)])
def test_a_number_of_matches_that_looks_like_a_cap(count: int, suspicious: bool) -> None:
    """An archive that may have answered all that it ever answers is not taken to have said everything."""
    archive = Archive(*(item for n in range(count) for item in study(f"1.{n}", series=1, images=1)))
    found = resolved({"AccessionNumber": "A"}, archive)
    assert found.matches == count
    assert bool(found.caution) is suspicious
    assert ("ask more narrowly" in found.caution) is suspicious


def test_what_is_another_patients_is_not_asked_for() -> None:
    """An archive that ignores the PatientID, and says whose the study is, has none of the patient who was named."""

    def ignoring(
        level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        return [answer(StudyInstanceUID="1", AccessionNumber="A", PatientID="Q", NumberOfStudyRelatedInstances=3)]

    for keys in ({"PatientID": "P", "StudyInstanceUID": "1"}, {"PatientID": "P", "AccessionNumber": "A"}):
        (request,) = parse_requests(keys, model="patient").requests
        assert resolve(request, ignoring, archive="ARCHIVE", count=True, max_matches=None).targets == ()
