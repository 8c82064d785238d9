"""What cannot be sent by C-MOVE in one transfer syntax is asked for again in another one, or by class, or by C-GET."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from batch_kit import seen
from dicomover import Mover
from dicomover.receiver.receiver import Receiver
from dicomover.testing import DemoPacs, Study, made_study
from peers import ONCE, files_in
from stacks.cohort import make_studies

MIXED = next(study for study in make_studies() if study.accession_number == "B2077")
"""Three images in JPEG 2000 and a report."""

ONE = {"AccessionNumber": "B2077"}


def moving(pacs: DemoPacs, folder: Path, **options: Any) -> Mover:
    """Return an open Mover that the archive knows."""
    mover = Mover(
        pacs.node, receive=folder, port=0, **{"progress": "none", "associations": 1, **ONCE, **options}
    ).open()
    pacs.destinations["MOVESCU"] = mover.port  # type: ignore[assignment]
    return mover


def syntaxes(folder: Path) -> list[str]:
    """Return the transfer syntax of each file."""
    return sorted(dcmread(path).file_meta.TransferSyntaxUID for path in files_in(folder))


def with_the_report_first() -> Study:
    """Return the same study, with its report in the first place."""
    from io import BytesIO

    from dicomover.testing._samples import read_sources

    data_sets = [dcmread(BytesIO(instance.file_bytes())) for instance in MIXED.instances()]
    for data_set in data_sets:
        data_set.SeriesInstanceUID = data_set.SeriesInstanceUID[:-1] + ("1" if data_set.Modality == "SR" else "2")
    (study,) = read_sources(sorted(data_sets, key=lambda data_set: data_set.Modality != "SR"))
    return study


def test_the_other_kind_is_chosen_for_what_did_not_come(tmp_path: Path) -> None:
    """Of one context with both kinds the compressed one is chosen; the report comes by a second C-MOVE, unharmed."""
    with DemoPacs([MIXED], misbehave={"B2077": "stores-in-one-context"}) as pacs, moving(pacs, tmp_path) as mover:
        (row,) = mover.move(ONE).to_dict("records")
    told = (row["status"], row["status_code"], row["received"], row["completed"], row["failed"], row["attempts"])
    assert told == ("success", "0x0000", 4, 4, 0, 2), row["error"]
    assert row["error"].startswith("1 came by a C-MOVE of their own: the archive sends either compressed or")
    assert [request.level for request in seen(pacs, "C-MOVE")] == ["STUDY", "IMAGE"]
    assert syntaxes(tmp_path) == [ExplicitVRLittleEndian, *[JPEG2000Lossless] * 3]


def test_what_has_brought_all_is_tried_first_from_then_on(tmp_path: Path) -> None:
    """An archive of uncompressed images fails once; the requests after that come at once."""
    studies = [made_study(f"A{n}", instances=2) for n in range(4)]
    misbehave = {study.accession_number: "stores-in-one-context" for study in studies}
    with DemoPacs(studies, misbehave=misbehave) as pacs, moving(pacs, tmp_path) as mover:
        summary = mover.move([{"AccessionNumber": accession} for accession in misbehave])
    assert summary["status"].tolist() == ["success"] * 4, summary["error"].tolist()
    assert summary["attempts"].tolist() == [2, 1, 1, 1]
    assert summary["failed_uids"].isna().all()
    assert {request.level for request in seen(pacs, "C-MOVE")} == {"STUDY"}


def test_nothing_else_is_under_way_meanwhile(tmp_path: Path) -> None:
    """With several associations too each row gets the kind that it needs: our receiver cannot tell them apart."""
    studies = [*(made_study(f"A{n}", instances=2) for n in range(8)), MIXED]
    requests = [{"AccessionNumber": study.accession_number} for study in studies]
    misbehave = dict.fromkeys((study.accession_number for study in studies), "stores-in-one-context")
    with (
        DemoPacs(studies, misbehave=misbehave) as pacs,
        moving(pacs, tmp_path, associations=4) as mover,
    ):
        summary = mover.move(requests)
    assert summary["status"].tolist() == ["success"] * 9, summary["error"].tolist()


@pytest.mark.parametrize(
    ("way", "status", "received", "said"),
    [
        (
            "move",
            "partial",
            1,
            "the archive offers MR Image Storage uncompressed only: if they are compressed, let its ",
        ),
        ("auto", "success", 4, "3 came by C-GET: by C-MOVE the archive could not send them"),
    ],
)
def test_what_is_offered_uncompressed_only(tmp_path: Path, way: str, status: str, received: int, said: str) -> None:
    """The row says whose matter that is; where C-GET is an option, what has not come comes by C-GET, as it is."""
    with (
        DemoPacs([MIXED], misbehave={"B2077": "stores-uncompressed-only"}) as pacs,
        moving(pacs, tmp_path, via=way) as mover,
    ):
        (row,) = mover.move(ONE).to_dict("records")
    assert (row["status"], row["received"]) == (status, received), row["error"]
    assert said in row["error"]
    assert len(seen(pacs, "C-MOVE")) == 1
    assert syntaxes(tmp_path).count(JPEG2000Lossless) == received - 1


def test_what_comes_after_a_failure_is_asked_for_by_class(tmp_path: Path) -> None:
    """An archive that gives up at the first image which its association is not good for sends the rest over others."""
    with (
        DemoPacs([with_the_report_first()], misbehave={"B2077": "stores-by-the-first"}) as pacs,
        moving(pacs, tmp_path) as mover,
    ):
        (row,) = mover.move(ONE).to_dict("records")
    told = (row["status"], row["status_code"], row["received"], row["failed"], row["attempts"])
    assert told == ("success", "0x0000", 4, 0, 2), row["error"]
    assert row["error"] == "3 came by a C-MOVE of their own: the archive had given up in the middle"


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("out-of-resources", "failure"),
        ("cannot-count", "failure"),
        ("not-authorized", "failure"),
        ("some-failed", "partial"),
    ],
)
def test_what_no_transfer_syntax_is_to_blame_for_is_not_asked_for_again(tmp_path: Path, how: str, status: str) -> None:
    """An archive that is busy, that refuses or that never calls gets one C-MOVE for a row."""
    with DemoPacs([made_study("B2077")], misbehave={"B2077": how}) as pacs, moving(pacs, tmp_path) as mover:
        (row,) = mover.move(ONE).to_dict("records")
    assert (row["status"], row["attempts"]) == (status, 1), row["error"]
    assert "uncompressed" not in row["error"]
    assert len(seen(pacs, "C-MOVE")) == 1


def test_a_call_that_is_told_late_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive's last response may be read before our receiver's process has told of its call, which is awaited."""
    asked: list[bool] = []
    ask, last_call = Receiver.ask_offers, Receiver.last_call.fget
    assert last_call is not None
    monkeypatch.setattr(Receiver, "ask_offers", lambda self: asked.append(True) or ask(self))
    monkeypatch.setattr(Receiver, "last_call", property(lambda self: last_call(self) if asked else 0.0))
    studies = [made_study("B2077", instances=2)]
    with DemoPacs(studies, misbehave={"B2077": "stores-in-one-context"}) as pacs, moving(pacs, tmp_path) as mover:
        (row,) = mover.move(ONE).to_dict("records")
    assert (row["status"], row["attempts"]) == ("success", 2), row["error"]
