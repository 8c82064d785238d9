"""Whatever a data set says, its file lies in its folders inside the root."""

from __future__ import annotations

import os

import pytest

from dicomover.errors import ConfigurationError
from dicomover.receiver import layout as layouts
from dicomover.receiver.layout import Layout, safe_part
from receiver_kit import (
    Start,
    body_of,
    data_set,
    element,
)

EVIL = [
    "..",
    "../../../evil",
    "/etc/passwd",
    "C:\\evil",
    ".hidden",
    "1.2/../../x",
    "1." * 35 + "1",
    "1.2.ö",
    "01.2",
    "1..2",
    "1.2.",
    "CON",
    "a\x01b",
    "~",
]


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_identifiers_never_leave_the_root(start_one: Start, evil: str) -> None:
    """A UID or PatientID that is none becomes a hash: one file inside the root, in its folders, whatever it says."""
    with start_one() as run:
        with run.peer() as peer:
            data = data_set(evil, study=evil, series=evil, patient=evil)
            assert peer.store(evil, data) == 0
            assert peer.store(evil, data) == 0
            peer.release()
        (path,) = run.files()
        assert body_of(path) == data
        assert len(path.relative_to(run.folder).parts) == 4
        assert not any(set(part) & set('/\\:*?"<>|\x01ö') for part in path.relative_to(run.folder).parts)
        assert all(part[0] != "." for part in path.relative_to(run.folder).parts)


def test_layouts_file_by_other_keywords(start: Start) -> None:
    """Keywords before Series Instance UID name folders, in Implicit and in Explicit VR."""
    with start(layout="{Modality}/{PatientID}-{StudyDate}/{SOPInstanceUID}") as run:
        with run.peer() as peer:
            for context_id, explicit, sop in ((1, True, "1.2"), (3, False, "1.3")):
                sequence = element(0x00081110, "SQ", b"\xfe\xff\x00\xe0\x00\x00\x00\x00", explicit)
                data = data_set(sop, explicit=explicit, before=element(0x00080090, "PN", "A^B", explicit) + sequence)
                assert peer.store(sop, data, context_id) == 0
            peer.release()
        assert [str(path.relative_to(run.folder)) for path in run.files()] == [
            "CT/4711-unknown/1.2",
            "CT/4711-unknown/1.3",
        ]


@pytest.mark.parametrize(
    "name", ["journal.db", "Journal.DB-wal", "x.db-shm", "cohort.sqlite3-journal", "half.part", "1.dcm.changed-1"]
)
def test_no_peer_takes_the_names_of_our_own_files(name: str) -> None:
    """A value that would be called as a journal, what SQLite keeps beside one, or a half file becomes a hash."""
    assert "~" in safe_part(name)
    stem, _, ending = name.rpartition(".")
    joined = Layout("{PatientID}.{Modality}/{SOPInstanceUID}.dcm").path(
        "/data", {"PatientID": stem, "Modality": ending, "SOPInstanceUID": "1.2"}
    )
    assert "~" in joined


@pytest.mark.parametrize("template", ["{SOPInstanceUID}.part", "journal.db/{SOPInstanceUID}.dcm"])
def test_a_layout_with_the_names_of_our_own_files_is_refused(template: str) -> None:
    """Nor does a layout take them: its images would be swept up as half files, or lie where the journal has to."""
    with pytest.raises(ConfigurationError, match="reserved name"):
        Layout(template)


def test_names_that_the_locale_has_no_bytes_for_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under an old locale an ID of other letters becomes a hash; one that it can write stays as it is."""
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("iso-8859-1"))
    assert safe_part("Kov\u00e1") == "Kov\u00e1"
    assert safe_part("Kov\u00e1\u010d").startswith("Kov~")
    assert safe_part("\u5c71\u7530").startswith("unknown~")


def test_paths_beyond_the_limit_of_a_system_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a path may have 259 characters the folders become one, then the name a hash: always the same, and apart."""
    monkeypatch.setattr(layouts, "_LONGEST_PATH", 259)
    uids = [f"1.{'9' * 58}.{number}" for number in range(3)]
    values = {"PatientID": "4711", "StudyInstanceUID": uids[0], "SeriesInstanceUID": uids[1], "SOPInstanceUID": uids[2]}
    paths = [Layout().path("/" + "d" * length, values) for length in (20, 100, 150)]
    assert all(len(path) < 259 - len(".conflict-1") for path in paths)
    assert [path.count("/") for path in paths] == [5, 3, 3]
    assert [path.endswith(f"{uids[2]}.dcm") for path in paths] == [True, True, False]
    assert paths[2].endswith(".dcm")
    other = {**values, "SeriesInstanceUID": f"{uids[1]}1"}
    assert Layout().path("/" + "d" * 100, other) != paths[1]
