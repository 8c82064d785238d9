"""Whatever a peer does ends in the right row: a table of every misbehaviour, received here and by a third party."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from behaviours import BEHAVIOURS, INSTANCES, Behaviour, Row
from dicomover import Mover, Timeouts, errors
from dicomover.testing import MISBEHAVIOURS, DemoPacs, Misbehaviour, Received, data_set_of_file, made_study
from peers import ONCE, answers, wait_until

PLACES = ("here", "there")
ACCESSIONS = {item.name: f"{'Ä' if item.letters else 'B'}{number:04d}" for number, item in enumerate(BEHAVIOURS)}
CASES = [pytest.param(behaviour, where, id=f"{behaviour.name}-{where}") for behaviour in BEHAVIOURS for where in PLACES]


@dataclass
class Scene:
    """An archive with a study for each misbehaviour, and a Mover that receives, or lets WORKSTATION receive."""

    pacs: DemoPacs
    mover: Mover
    folder: Path | None

    def arrived(self, accession: str) -> set[str]:
        """Return the instances of a study that are byte for byte where they should be."""
        study = self.pacs.study(accession)
        whole = {item.sop_instance_uid: item.data_set_bytes() for item in study.instances()}
        if self.folder is not None:
            files = {path.stem: path for path in self.folder.rglob("*.dcm")}
            found = {uid: data_set_of_file(files[uid].read_bytes()) for uid in whole if uid in files}
        else:
            found = {
                item.sop_instance_uid: item.data or b"" for item in self.pacs.workstation.received if not item.status
            }
        return {uid for uid, data in whole.items() if found.get(uid) == data}

    def count(self, accession: str) -> int:
        """Count what lies where it should be of a study, whatever its bytes are."""
        study = self.pacs.study(accession).study_instance_uid
        if self.folder is not None:
            return sum(study in path.parts for path in self.folder.rglob("*.dcm"))
        return sum(
            item.sop_instance_uid.startswith(study) and not item.status for item in self.pacs.workstation.received
        )

    def block(self, accession: str) -> None:
        """Let the destination refuse the second series of a study."""
        study = self.pacs.study(accession)
        second = study.series[1].series_instance_uid
        if self.folder is not None:
            place = self.folder / study.patient_id / study.study_instance_uid
            place.mkdir(parents=True)
            (place / second).write_text("a file where a folder should be")

        def answer(item: Received) -> int:
            return 0xA700 if item.sop_instance_uid.startswith(second) else 0

        self.pacs.workstation.answer = answer


@contextmanager
def scene(folder: Path | None, **options: object) -> Iterator[Scene]:
    """Make a scene; the time in which late instances are waited for is short."""
    studies = [made_study(accession, series=2, instances=INSTANCES // 2) for accession in ACCESSIONS.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dicomover.batch.arrivals.STRAGGLER_SECONDS", 1.0)
        patch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.1,) * 20)
        with DemoPacs(studies, **options) as pacs:  # type: ignore[arg-type]
            pacs.workstation.keep = True
            receives = {"destination": "WORKSTATION"} if folder is None else {"receive": folder, "port": 0}
            with Mover(pacs.node, associations=1, progress="none", **receives, **ONCE) as mover:  # type: ignore[arg-type]
                if folder is not None:
                    assert mover.port is not None
                    pacs.destinations["MOVESCU"] = mover.port
                yield Scene(pacs, mover, folder)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    """Make both scenes once: each behaviour has a study of its own."""
    with scene(tmp_path_factory.mktemp("received")) as here, scene(None) as there:
        yield {"here": here, "there": there}


def move(scene: Scene, behaviour: Behaviour) -> pd.DataFrame:
    """Move the study of a behaviour while the archive behaves so."""
    accession = ACCESSIONS[behaviour.name]
    scene.pacs.misbehave[accession] = [
        Misbehaviour(name, **knobs)  # type: ignore[arg-type]
        for name, knobs in {behaviour.name: behaviour.knobs, **behaviour.also}.items()
    ]
    if behaviour.obstacle:
        scene.block(accession)
    request, how = {"AccessionNumber": accession}, {}
    if behaviour.patient:
        request, how = {"PatientID": scene.pacs.study(accession).patient_id}, {"level": "PATIENT", "model": "patient"}
    job = scene.mover.start(request, timeouts=Timeouts(stall=behaviour.stall), **how)
    if behaviour.cancelled:
        study = scene.pacs.study(accession).study_instance_uid
        wait_until(lambda: any(store.study_instance_uid == study for store in list(scene.pacs.stores)))
        job.cancel()
    assert job.wait(30), "the batch did not end"
    return job.summary()


def check(summary: pd.DataFrame, row: Row, *, at_least: bool = False) -> None:
    """Hold the one row of a summary against what it must say."""
    (found,) = summary.to_dict("records")
    shown = {name: None if pd.isna(found[name]) else found[name] for name in ("status_code", "completed", "received")}
    wanted = {"status_code": row.status_code or None, "completed": row.completed, "received": row.received}
    if at_least and row.received is not None:
        assert shown.pop("received") >= wanted.pop("received")
    assert (found["status"], shown) == (row.status, wanted), found["error"]
    if row.error:
        assert row.error in found["error"]
    else:
        assert pd.isna(found["error"])


@pytest.mark.parametrize(("behaviour", "where"), CASES)
def test_every_behaviour_ends_in_its_row(
    scenes: dict[str, Scene], behaviour: Behaviour, where: str, tmp_path: Path
) -> None:
    """Whatever the peer does, the row says the status, the code and the numbers that it must, and what to do."""
    row: Row = getattr(behaviour, where)
    accession = ACCESSIONS[behaviour.name]
    if behaviour.name.startswith("associate"):
        with scene(tmp_path if where == "here" else None, on_associate=behaviour.name) as stage:
            if row.raises:
                with pytest.raises(getattr(errors, row.raises)) as caught:
                    stage.mover.move({"AccessionNumber": accession}, timeouts=Timeouts(acse=0.5))
                assert row.error in str(caught.value)
            else:
                check(stage.mover.move({"AccessionNumber": accession}), row)
            assert len(stage.arrived(accession)) == (INSTANCES if row.status == "success" else 0)
        return
    stage = scenes[where]
    summary = move(stage, behaviour)
    if behaviour.name == "restart":
        wait_until(lambda: answers(stage.mover))
    check(summary, row, at_least=behaviour.at_least)
    arrived = stage.arrived(accession)
    limit = time.monotonic() + (2 if behaviour.name == "stragglers" and where == "there" else 0)
    while len(arrived) < INSTANCES and time.monotonic() < limit:  # a straggler does arrive
        time.sleep(0.01)
        arrived = stage.arrived(accession)
    lies_there = stage.count(accession) if behaviour.changed else len(arrived)
    complete = lies_there >= INSTANCES
    if summary["status"].iloc[0] in ("success", "warning"):
        assert complete or (where == "there" and behaviour.believed), "says that it moved, and it did not"
    if where == "here" and row.received is not None:
        extra = 1 if behaviour.name == "sent-twice-with-other-bytes" else 0  # both are kept
        assert lies_there - extra == summary["received"].iloc[0], (
            "the row counts other instances than those that lie in the folder"
        )


def test_every_misbehaviour_has_its_row() -> None:
    """The table names every misbehaviour that the demo archive knows, each once, and nothing else."""
    names = [behaviour.name for behaviour in BEHAVIOURS]
    assert sorted(names) == sorted(MISBEHAVIOURS)
    assert len(names) >= 60


def test_the_table_itself_never_lies() -> None:
    """No row of the table says success or warning where less than everything can have arrived, if we receive."""
    for behaviour in BEHAVIOURS:
        row = behaviour.here
        assert row.status not in ("success", "warning") or row.received == INSTANCES, behaviour.name
        assert not behaviour.believed or behaviour.here.status not in ("success", "warning"), behaviour.name
