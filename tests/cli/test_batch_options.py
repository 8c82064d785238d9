"""The options of a batch: who receives, at which level, and what reaches the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_kit import MINIMAL, Shell, peer
from dicomover.testing import DemoPacs, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


def test_somebody_has_to_receive(run: Shell) -> None:
    """Without -aem, -od and --port there is nobody."""
    ran = run("move", *MINIMAL)
    assert ran.code == 2
    assert "nobody is named to receive" in ran.err


def test_our_own_title_may_be_named_as_destination(run: Shell, tmp_path: Path) -> None:
    """-aem with the title of -aet agrees with receiving here."""
    with DemoPacs([]) as pacs:
        args = ["-aet", "US", "-aem", "US", "-od", tmp_path / "in", "--port", 0, "-k", "AccessionNumber=1"]
        ran = run("move", *args, *peer(pacs))
    assert "Destination  US, here" in ran.out


@pytest.mark.parametrize(
    ("args", "model", "level"),
    [
        (["-k", "StudyInstanceUID={uid}"], "STUDY", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}"], "PATIENT", "STUDY"),
        (["-k", "PatientID={pid}", "-L", "PATIENT"], "PATIENT", "PATIENT"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}", "-S"], "STUDY", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "PatientID={pid}", "-P"], "PATIENT", "STUDY"),
        (["-k", "StudyInstanceUID={uid}", "-k", "SeriesInstanceUID={uid}.1"], "STUDY", "SERIES"),
        (["-k", "0020,000D={uid}", "-k", "(0020,000e)={uid}.1", "-k", "0008,0052=series"], "STUDY", "SERIES"),
        (
            [
                "-k",
                "StudyInstanceUID={uid}",
                "-k",
                "SeriesInstanceUID={uid}.1",
                "-k",
                "SOPInstanceUID={uid}.1.1",
                "-L",
                "instance",
            ],
            "STUDY",
            "IMAGE",
        ),
    ],
)
def test_model_and_level_on_the_wire(run: Shell, args: list[str], model: str, level: str) -> None:
    """What goes out is what the help says: Patient Root with a PatientID or at level PATIENT, Study Root else."""
    study = made_study("00123", patient="P1")
    args = [arg.format(uid=study.study_instance_uid, pid="P1") for arg in args]
    with DemoPacs([study]) as pacs:
        assert run("move", "-aem", "WORKSTATION", *args, *peer(pacs)).code == 0
        (move,) = [request for request in pacs.requests if request.kind == "C-MOVE"]
    assert (move.model, move.level) == (model, level)


def test_associations_and_max_matches_reach_the_library(run: Shell, tmp_path: Path) -> None:
    """--associations is how many work side by side, --max-matches stops the enormous move."""
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join(["AccessionNumber", *(f"0012{n}" for n in range(6))]))
    with DemoPacs([made_study(f"0012{n}") for n in range(6)], misbehave={"*": "slow"}) as pacs:
        assert run("move", "-aem", "WORKSTATION", "--associations", 3, "--csv", table, *peer(pacs)).code == 0
        assert pacs.most_associations == 3
        ran = run("move", "-aem", "WORKSTATION", "--max-matches", 2, "-k", "AccessionNumber=0012*", *peer(pacs))
        assert ran.code == 2
        assert "--max-matches 2" in ran.out
        assert run("plan", "--max-matches", 0, "-k", "AccessionNumber=0012*", *peer(pacs)).code == 0
