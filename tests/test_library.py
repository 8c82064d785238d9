"""What is here, as a table: of a summary, a cohort, a request or the whole folder; after a restart too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from dicomover import ConfigurationError, Mover
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, data_set_of_file, made_study
from peers import files_in

STUDIES = (
    made_study("TWO", series=2, instances=2, patient="P-1"),
    made_study("TWO", instances=3, patient="P-1", number=2),
    made_study("ONE", instances=1, patient="P-2"),
)
TABLE = pd.DataFrame({"AccessionNumber": ["TWO", "ONE", "B9"], "split": ["a", "b", "c"]}, index=["x", "y", "z"])


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoPacs]:
    """Run an archive, and receivers on threads of this process."""
    monkeypatch.setattr("dicomover.client.Receiver", partial(Receiver, own_process=False))
    with DemoPacs(STUDIES) as pacs:
        yield pacs


def move(pacs: DemoPacs, folder: Path, requests: object) -> pd.DataFrame:
    """Move a batch into a folder."""
    with Mover(pacs.node, receive=folder, port=0, progress="none") as mover:
        pacs.destinations[mover.ae_title] = mover.port or 0
        return mover.move(requests)  # type: ignore[arg-type]


def test_each_image_of_a_summary_has_a_row_with_its_columns(archive: DemoPacs, tmp_path: Path) -> None:
    """By a Mover of tomorrow: label and riding columns, UIDs, path, size, syntax, and a checksum if asked for."""
    summary = move(archive, tmp_path, TABLE)
    later = Mover(archive.node, receive=tmp_path, port=0)
    files = later.files(summary, checksums=True)
    assert files["request"].value_counts().to_dict() == {"x": 7, "y": 1}
    assert files.groupby("request")["split"].unique().str[0].to_dict() == {"x": "a", "y": "b"}
    assert set(files["path"]) == {str(path) for path in files_in(tmp_path) if path.suffix == ".dcm"}
    sops = {item.sop_instance_uid for study in STUDIES for item in study.instances()}
    assert set(files["SOPInstanceUID"]) == sops
    for row in files.itertuples():
        raw = Path(row.path).read_bytes()
        assert (row.size, row.sha256) == (len(raw), hashlib.sha256(data_set_of_file(raw)).hexdigest())
    assert files["intact"].all()
    assert files["TransferSyntaxUID"].str.startswith("1.2.840.10008.1.2").all()
    pd.testing.assert_frame_equal(later.files(TABLE), files.drop(columns="sha256"))


def test_series_have_a_row_each(archive: DemoPacs, tmp_path: Path) -> None:
    """With their folder, their images and their bytes; the whole folder needs no request."""
    move(archive, tmp_path, TABLE)
    mover = Mover(archive.node, receive=tmp_path, port=0)
    series = mover.files(level="SERIES")
    assert sorted(series["images"]) == [1, 2, 2, 3]
    assert series["size"].sum() == mover.files()["size"].sum()
    assert all(len(list(Path(path).iterdir())) == count for path, count in zip(series.path, series.images, strict=True))
    assert "request" not in series


def test_whatever_it_is_asked_by(archive: DemoPacs, tmp_path: Path) -> None:
    """What came by an accession number is here for its study, its series, its patient and a cohort."""
    move(archive, tmp_path, {"AccessionNumber": "TWO"})
    mover = Mover(archive.node, receive=tmp_path, port=0)
    first, second, third = (study.study_instance_uid for study in STUDIES)
    series = STUDIES[0].series[1].series_instance_uid
    asked = [
        {"StudyInstanceUID": first},
        {"StudyInstanceUID": f"{first}\\{second}"},
        {"StudyInstanceUID": first, "SeriesInstanceUID": series},
        {"StudyInstanceUID": third},
        {"StudyInstanceUID": first, "PatientID": "another"},
    ]
    assert [len(mover.files(request)) for request in asked] == [4, 7, 2, 0, 0]
    by_patient = Mover(archive.node, receive=tmp_path, port=0, level="PATIENT")
    assert len(by_patient.files({"PatientID": "P-1"})) == 7
    cohort = mover.lock([{"StudyInstanceUID": first}], path=None)
    assert len(mover.files(cohort)) == 4


def test_what_is_gone_has_no_row_and_what_is_changed_says_so(archive: DemoPacs, tmp_path: Path) -> None:
    """The folder is looked at: the table says what is there now."""
    move(archive, tmp_path, {"AccessionNumber": "TWO"})
    gone, changed, *_ = sorted(tmp_path.rglob("*.dcm"))
    gone.unlink()
    changed.write_bytes(b"DICM")
    files = Mover(archive.node, receive=tmp_path, port=0).files(checksums=True)
    assert len(files) == 6
    assert files.loc[~files["intact"], "path"].tolist() == [str(changed)]
    assert files.loc[~files["intact"], "sha256"].isna().all()


def test_nothing_is_here_and_nothing_is_known(archive: DemoPacs, tmp_path: Path) -> None:
    """Before the first batch the table is empty and has its columns; without a journal it is an error with the mend."""
    mover = Mover(archive.node, receive=tmp_path / "none", port=0)
    assert mover.files().columns.tolist() == mover.files(TABLE).columns.tolist()[3:]
    assert not (tmp_path / "none").exists()
    for blind in (Mover(archive.node, destination="WS"), Mover(archive.node, receive=tmp_path, port=0, journal=None)):
        with pytest.raises(ConfigurationError, match="nothing is known of what is here"):
            blind.files()
    with pytest.raises(ConfigurationError, match="say IMAGE"):
        mover.files(level="STUDY")  # type: ignore[arg-type]
