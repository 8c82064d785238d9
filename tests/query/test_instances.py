"""Which instances stand behind an identifier: asked for level by level, each of them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from pydicom import Dataset

from dicomover.identifier import Identifier, Level, Model
from dicomover.query.instances import instances_of, says_all, studies_of

HAS = {("1", "1.1", "1.1.1"), ("1", "1.1", "1.1.2"), ("1", "1.2", "1.2.1"), ("2", "2.1", "2.1.1")}
"""Study, series and instance of everything that the archive has of its patient."""


class Archive:
    """Answers as one that has `HAS`; what it is asked is kept."""

    def __init__(self, *, ignores_keys: bool = False, repeats: int = 1) -> None:
        self.asked: list[tuple[Level, dict[str, str]]] = []
        self._ignores_keys = ignores_keys
        self._repeats = repeats

    def __call__(
        self, level: Level, model: Model, keys: Mapping[str, str], returned: Sequence[str], limit: int | None
    ) -> list[Dataset]:
        """Answer."""
        self.asked.append((level, dict(keys)))
        depth = ["STUDY", "SERIES", "IMAGE"].index(level) + 1
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[:depth]
        answers = []
        for uids in sorted({item[:depth] for item in HAS}) * self._repeats:
            values = dict(zip(names, uids, strict=True))
            if self._ignores_keys or all(keys.get(name, uid) in ("", uid) for name, uid in values.items()):
                answer = Dataset()
                for name, uid in values.items():
                    setattr(answer, name, uid)
                answers.append(answer)
        return answers


def identifier(level: Level, **keys: str) -> Identifier:
    """Return what a C-MOVE would ask for."""
    return Identifier.of(level, Model.PATIENT, {"PatientID": "4711", **keys})


def test_named_instances_are_not_asked_for() -> None:
    """At level IMAGE the identifier says it all."""
    archive = Archive()
    asked = identifier(Level.IMAGE, StudyInstanceUID="1", SeriesInstanceUID="1.1", SOPInstanceUID="7\\8")
    assert instances_of(asked, archive) == {"1.1": ["7", "8"]}
    assert not archive.asked


def test_each_level_is_asked_below_the_one_above() -> None:
    """A patient comes to its studies, a study to its series, a series to its instances."""
    archive = Archive()
    assert instances_of(identifier(Level.SERIES, StudyInstanceUID="1", SeriesInstanceUID="1.1"), archive) == {
        "1.1": ["1.1.1", "1.1.2"]
    }
    assert [level for level, _ in archive.asked] == [Level.IMAGE]
    assert instances_of(identifier(Level.STUDY, StudyInstanceUID="1"), archive) == {
        "1.1": ["1.1.1", "1.1.2"],
        "1.2": ["1.2.1"],
    }
    assert instances_of(identifier(Level.PATIENT), archive) == {
        "1.1": ["1.1.1", "1.1.2"],
        "1.2": ["1.2.1"],
        "2.1": ["2.1.1"],
    }
    assert [study.uids(Level.STUDY) for study in studies_of(identifier(Level.PATIENT), archive)] == [{"1"}, {"2"}]
    assert all(keys["PatientID"] == "4711" for _, keys in archive.asked)


@pytest.mark.parametrize("archive", [Archive(ignores_keys=True), Archive(repeats=3)], ids=["ignores keys", "repeats"])
def test_what_comes_along_or_again_is_left_out(archive: Archive) -> None:
    """Answers of another study, and the same answer again, change nothing."""
    found = instances_of(identifier(Level.STUDY, StudyInstanceUID="1"), archive)
    assert found == {"1.1": ["1.1.1", "1.1.2"], "1.2": ["1.2.1"]}


@pytest.mark.parametrize(
    ("found", "expected", "all_of_it"),
    [
        ({"1": ["a", "b"]}, 2, True),
        ({"1": ["a", "b"]}, None, True),
        ({"1": ["a", "b"]}, 1, True),
        ({"1": ["a"]}, 2, False),
        ({"1": ["a", "b"], "2": []}, 2, False),
        ({}, None, False),
    ],
)
def test_a_list_that_is_short_is_not_all(found: dict[str, list[str]], expected: int | None, all_of_it: bool) -> None:
    """A list is believed to be all only if no series is empty, and it is not shorter than was promised."""
    assert says_all(found, expected) is all_of_it
