"""Whatever a data set says, its file lies in its folders inside the root."""

from __future__ import annotations

import pytest

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
